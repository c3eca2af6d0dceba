//! `cnx serve`: runs the server until SIGTERM or SIGINT, and says once what a person needs to begin.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};

use super::{Context, Refused, dev, doctor_checks, logs, metrics, runtime};
use crate::app::{App, Role};
use crate::base::entropy::Entropy;
use crate::base::time::Clock;
use crate::config::{self, Loaded};
use crate::flow::sign_in::link::{self, LINK_LIFE};

/// How long `/readyz` says no before the listener closes.
const NOTICE: Duration = Duration::from_millis(700);

/// With the notice, longer than the listener gives requests in flight, and under the ten seconds in which we promise to
/// be gone.
const STOP: Duration = Duration::from_millis(8800);

/// How often metrics are looked after.
const UPKEEP: Duration = Duration::from_secs(5);

#[derive(Args)]
pub(super) struct Arguments {
    /// For development: a throw-away folder, an administrator and two clients, printed once
    #[arg(long)]
    dev: bool,
}

pub(super) fn run(context: &Context, arguments: &Arguments) -> Result<(), Refused> {
    // Held until the end: the folder goes when it is dropped, after the database was closed.
    let folder = arguments.dev.then(dev::folder).transpose()?;
    let loaded = config::load(
        context.config.as_deref(),
        config::process_environment(),
        folder.as_ref().map(tempfile::TempDir::path),
    )?;
    let logs = logs::start(&loaded, logs::For::Server);
    let served = runtime()?.block_on(serve(context, &loaded, &logs));
    drop(logs);
    served
}

async fn serve(context: &Context, loaded: &Loaded, logs: &logs::Logs) -> Result<(), Refused> {
    // Before anything is made: a signal during the start stops it too, instead of being lost.
    let mut signals = Signals::listen()?;
    let handle = metrics::gather(&loaded.settings)?;
    crate::look(&loaded.settings).map_err(Refused::because)?;
    let app = App::open(loaded.settings.clone(), Clock::System, Entropy::system(), Role::Server)
        .await
        .map_err(Refused::because)?;
    for finding in doctor_checks::at_start(&app.settings) {
        tracing::warn!("{}; {}", finding.message, finding.mend.unwrap_or_default());
    }
    let furnished = if app.settings.dev { Some(dev::furnish(&app).await?) } else { None };
    let running = crate::serve(Arc::clone(&app), handle.clone()).await.map_err(Refused::because)?;
    let greeting = match furnished {
        Some(greeting) => greeting,
        None => greeting(&app).await?,
    };
    context.show(&greeting.with_address(running.address), || greeting.text)?;
    drop(app);

    tokio::select! {
        () = signals.next() => tracing::info!("stopping"),
        () = keep_metrics(logs, handle) => {}
    }
    // `/readyz` says no first, and for a moment we still answer: a balancer then sends nobody to a closed door (F20).
    running.app().drain();
    tokio::time::sleep(NOTICE).await;
    let stopped = tokio::select! {
        done = tokio::time::timeout(STOP, running.stop()) => done.is_ok(),
        () = signals.next() => false,
    };
    if !stopped {
        tracing::warn!("stopped before every request was answered");
    }
    Ok(())
}

/// What is printed once the server answers.
pub(super) struct Greeting {
    pub(super) document: Value,
    pub(super) text: String,
}

impl Greeting {
    /// The document with the address that is listened on, which nobody knew before when the port was 0.
    fn with_address(&self, address: SocketAddr) -> Value {
        let mut document = self.document.clone();
        if let Some(members) = document.as_object_mut() {
            members.insert("listen".to_owned(), address.to_string().into());
        }
        document
    }
}

/// The issuer, and the link that makes the first administrator as long as there is none (S-L16).
async fn greeting(app: &App) -> Result<Greeting, Refused> {
    let mut document = json!({ "issuer": app.issuer() });
    let mut text = format!("CloudNexus Identity {} answers at {}", env!("CARGO_PKG_VERSION"), app.issuer());
    if let Some(token) = link::first_administrator(app).await? {
        let url = format!("{}/set-up?token={}", app.issuer(), token.reveal());
        let until = app.now().plus(LINK_LIFE).to_rfc3339();
        let _ = write!(
            text,
            "\n\nThere is no administrator yet. This link makes the first one, once, until {until} (a restart makes a new link):\n  {url}"
        );
        if let Some(members) = document.as_object_mut() {
            members.insert("set_up_url".to_owned(), url.into());
            members.insert("expires_at".to_owned(), until.into());
        }
    }
    Ok(Greeting { document, text })
}

/// Keeps the metric of dropped log lines (F22), and the recorder's memory small, until it is dropped itself.
async fn keep_metrics(logs: &logs::Logs, handle: Option<PrometheusHandle>) {
    loop {
        let dropped = u64::try_from(logs.dropped_lines()).unwrap_or(u64::MAX);
        ::metrics::counter!("cnx_log_lines_dropped_total").absolute(dropped);
        if let Some(handle) = &handle {
            handle.run_upkeep();
        }
        tokio::time::sleep(UPKEEP).await;
    }
}

/// What asks a server to stop.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn listen() -> Result<Self, Refused> {
        use tokio::signal::unix::{SignalKind, signal};
        let refused = |e: std::io::Error| Refused::Because(format!("signals cannot be received: {e}"));
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(refused)?,
            interrupt: signal(SignalKind::interrupt()).map_err(refused)?,
        })
    }

    #[cfg(not(unix))]
    fn listen() -> Result<Self, Refused> {
        Ok(Self {})
    }

    /// Waits for the next one.
    async fn next(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        #[cfg(not(unix))]
        drop(tokio::signal::ctrl_c().await);
    }
}
