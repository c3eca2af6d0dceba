//! Floor 6: listeners. Binds, starts the jobs, serves, and stops gracefully.

mod door;
mod kept;
pub(crate) mod open_files;
mod outbox;
mod public;
mod room;
mod seats;
mod stream;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::{App as Site, HttpServer};
use metrics_exporter_prometheus::PrometheusHandle;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::task::JoinHandle;

use crate::app::App;
use crate::config::{Settings, Tls};
use crate::flow::signing_keys;
use crate::jobs::Jobs;
use crate::web;

#[cfg(unix)]
/// How many connections may wait to be taken; the kernel has a limit of its own, too.
const WAITING: i32 = 4096;
#[cfg(any(target_os = "linux", target_os = "android"))]
/// How long a peer may leave what we sent unread before its connection is given up (F12).
const UNREAD: Duration = Duration::from_secs(30);

/// Why a node does not serve. Each is one clear line.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address cannot be listened on.
    #[error("{key} {address}: {problem}{hint}", hint = hint(key, problem))]
    Listen {
        /// The setting.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        problem: io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error("tls: {0}")]
    Tls(String),
    /// The signing keys cannot be made or read.
    #[error("signing keys: {0}")]
    Keys(String),
}

/// What to do about the one reason that everybody meets.
fn hint(key: &str, problem: &io::Error) -> String {
    if problem.kind() != io::ErrorKind::AddrInUse {
        return String::new();
    }
    format!("; another program listens there; set CNX_{}", key.to_ascii_uppercase())
}

/// A node that serves.
#[derive(Debug)]
pub struct Running {
    /// Where the public listener listens; the port is known now if it was 0.
    pub address: SocketAddr,
    /// Where the metrics listener listens.
    pub metrics_address: Option<SocketAddr>,
    app: Arc<App>,
    public: ServerHandle,
    metrics: Option<ServerHandle>,
    serving: JoinHandle<io::Result<()>>,
    jobs: Jobs,
}

/// Looks whether what only a listener needs is there, the addresses and the certificate with its key, so that a start that
/// fails for want of them has made nothing. [`serve`] takes them; who takes an address in between is told then.
pub fn look(settings: &Settings) -> Result<(), ServeError> {
    drop(bind("listen", settings.listen)?);
    settings.metrics_listen.map(|wanted| bind("metrics_listen", wanted)).transpose()?;
    settings.tls.as_ref().map(tls_config).transpose()?;
    Ok(())
}

/// Makes the first keys if there are none, binds, and serves until [`Running::stop`].
pub async fn serve(app: Arc<App>, metrics: Option<PrometheusHandle>) -> Result<Running, ServeError> {
    signing_keys::keep_current(&app).await.map_err(|e| ServeError::Keys(format!("{e:?}")))?;
    app.keyring(app.now()).map_err(|e| ServeError::Keys(e.to_string()))?;

    let settings = &app.settings;
    let (listener, address) = bind("listen", settings.listen)?;
    let tls = settings.tls.as_ref().map(tls_config).transpose()?;
    let server = public::server(&app, listener, address, tls).map_err(|problem| ServeError::Listen {
        key: "listen",
        address,
        problem,
    })?;
    let public = server.handle();

    let (metrics, metrics_address) = match (metrics, settings.metrics_listen) {
        (Some(handle), Some(wanted)) => {
            let (server, address) = metrics_server(handle, wanted)?;
            let stop = server.handle();
            tokio::spawn(server);
            (Some(stop), Some(address))
        }
        _ => (None, None),
    };
    let jobs = Jobs::start(&app);
    let serving = tokio::spawn(server);
    tracing::info!(%address, issuer = app.issuer(), "ready");
    Ok(Running { address, metrics_address, app, public, metrics, serving, jobs })
}

impl Running {
    /// Stops: `/readyz` says no, nothing new is accepted, requests in flight finish, writes are flushed.
    pub async fn stop(self) {
        self.app.drain();
        self.public.stop(true).await;
        if let Some(metrics) = &self.metrics {
            metrics.stop(false).await;
        }
        if let Ok(Err(error)) = self.serving.await {
            tracing::warn!(%error, "the listener ended badly");
        }
        drop(self.jobs);
        crate::jobs::flush_usage::flush(&self.app).await;
        crate::jobs::write_refusals::flush(&self.app).await;
        let app = self.app;
        if let Err(error) = tokio::task::spawn_blocking(move || app.store.close()).await {
            tracing::error!(%error, "the store could not be closed");
        }
        tracing::info!("stopped");
    }

    /// The node.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }
}

fn bind(key: &'static str, wanted: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |problem| ServeError::Listen { key, address: wanted, problem };
    let listener = TcpListener::bind(wanted).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    // The standard library lets 128 wait; those of a burst beyond them would be told nothing, and try again seconds later (F14).
    #[cfg(unix)]
    socket2::SockRef::from(&listener).listen(WAITING).map_err(failed)?;
    // Accepted connections inherit it. The HTTP library has no limit of its own on writing.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket2::SockRef::from(&listener).set_tcp_user_timeout(Some(UNREAD)).map_err(failed)?;
    Ok((listener, address))
}

fn metrics_server(handle: PrometheusHandle, wanted: SocketAddr) -> Result<(Server, SocketAddr), ServeError> {
    let (listener, address) = bind("metrics_listen", wanted)?;
    let routes = web::metrics_routes(handle);
    let server = HttpServer::new(move || Site::new().configure(routes.clone()))
        .workers(1)
        .disable_signals()
        .listen(listener)
        .map_err(|problem| ServeError::Listen { key: "metrics_listen", address, problem })?
        .run();
    Ok((server, address))
}

/// TLS 1.2 and 1.3 with the suites that rustls keeps: AEAD with ECDHE (R92).
pub(crate) fn tls_config(tls: &Tls) -> Result<rustls::ServerConfig, ServeError> {
    let chain = chain(tls)?;
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|e| wrong(&tls.key, &e))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| ServeError::Tls(e.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| wrong(&tls.cert, &e))
}

/// Our certificate and those above it, as the file has them.
pub(crate) fn chain(tls: &Tls) -> Result<Vec<CertificateDer<'static>>, ServeError> {
    CertificateDer::pem_file_iter(&tls.cert)
        .map_err(|e| wrong(&tls.cert, &e))?
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| wrong(&tls.cert, &e))
}

fn wrong(path: &std::path::Path, problem: &dyn std::fmt::Display) -> ServeError {
    ServeError::Tls(format!("{}: {problem}", path.display()))
}
