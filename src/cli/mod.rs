//! Floor 6: the command line. One file per command; each reads its arguments, asks a flow, and prints what came of it.
//!
//! Every command takes `--json`: one JSON document on standard output. Logs and reasons go to standard error. The exit
//! code is 0 for done, 1 for refused (one line says why), 2 for bad usage.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};

use crate::app::{App, Role, store_options};
use crate::base::entropy::Entropy;
use crate::base::time::Clock;
use crate::config::{self, ConfigError, Loaded};
use crate::flow::audit::By;
use crate::oauth::error::OAuthError;
use crate::store::{StoreError, migrate as migrations};

mod audit;
mod backup;
mod client;
mod client_add;
mod dev;
mod doctor;
mod doctor_checks;
mod doctor_neighbours;
mod doctor_tls;
mod duration;
mod identity_provider;
mod inert;
mod key;
mod logs;
mod metrics;
mod migrate;
mod organization;
mod print;
mod scan;
mod serve;
mod service_account;
mod settings;
mod signing_key;
mod stdin;
mod trust;
mod user;

#[derive(Parser)]
#[command(name = "cnx", version, arg_required_else_help = true)]
#[command(about = "CloudNexus Identity: an OAuth 2 and OpenID Connect server in one binary")]
struct Cnx {
    /// The settings file; cnx.toml in the working directory is read when it exists
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::Arguments),
    /// Bring the database up to date, or check whether it is
    Migrate(migrate::Arguments),
    /// Show every setting in force and where it came from
    Config,
    /// Explain what is wrong and how to mend it
    Doctor,
    /// Copy the embedded database to a file, while servers run, and check the copy
    Backup(backup::Backup),
    /// Check a copy, and put it in the place of the database
    Restore(backup::Restore),
    /// People: add, list, disable, enable, set a password
    #[command(subcommand)]
    User(user::Command),
    /// OAuth clients (apps): add, list, show, rotate the secret, delete
    #[command(subcommand)]
    Client(client::Command),
    /// Service accounts (machines): add, list, show, disable, enable, and their keys
    #[command(subcommand)]
    ServiceAccount(Box<service_account::Command>),
    /// Find API keys in a folder, offline: before they are published, or after
    Scan(scan::Arguments),
    /// API keys: mint, list, show, rotate, revoke, disable, enable, verify
    #[command(subcommand)]
    Key(key::Command),
    /// Organizations: list, and set what they pay for
    #[command(subcommand)]
    Organization(organization::Command),
    /// Outside issuers whose tokens speak for a service account: add, list, remove
    #[command(subcommand)]
    Trust(trust::Command),
    /// Other providers through which people may sign in: add, list, disable, enable, remove
    #[command(subcommand)]
    IdentityProvider(identity_provider::Command),
    /// The audit log: look at the newest events, verify that nothing was changed, export
    #[command(subcommand)]
    Audit(audit::Command),
    /// The server's own signing keys: list, rotate, revoke
    #[command(subcommand)]
    SigningKey(signing_key::Command),
}

/// Runs the command line and says how it ended.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cnx = match Cnx::try_parse_from(arguments) {
        Ok(cnx) => cnx,
        Err(usage) => {
            // Help and version are answers, everything else is bad usage; a reader that went away is no error.
            drop(usage.print());
            return if usage.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    if !Entropy::is_there() {
        print::reason(
            "the operating system gives no random bytes (getrandom, /dev/urandom); nothing was started or changed",
        );
        return ExitCode::from(1);
    }
    let context = Context { config: cnx.config, json: cnx.json };
    let done = match cnx.command {
        Command::Serve(arguments) => serve::run(&context, &arguments),
        Command::Migrate(arguments) => migrate::run(&context, &arguments),
        Command::Config => settings::run(&context),
        Command::Doctor => doctor::run(&context),
        Command::Backup(arguments) => backup::back_up(&context, &arguments),
        Command::Restore(arguments) => backup::restore(&context, &arguments),
        Command::User(command) => user::run(&context, command),
        Command::Client(command) => client::run(&context, command),
        Command::ServiceAccount(command) => service_account::run(&context, *command),
        Command::Scan(arguments) => scan::run(&context, &arguments),
        Command::Key(command) => key::run(&context, command),
        Command::Organization(command) => organization::run(&context, command),
        Command::Trust(command) => trust::run(&context, command),
        Command::IdentityProvider(command) => identity_provider::run(&context, command),
        Command::Audit(command) => audit::run(&context, command),
        Command::SigningKey(command) => signing_key::run(&context, command),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(refused) => {
            if let Refused::Because(reason) = refused {
                print::reason(&reason);
            }
            ExitCode::from(1)
        }
    }
}

/// What every command is told.
struct Context {
    config: Option<PathBuf>,
    json: bool,
}

/// Why a command ended with 1.
enum Refused {
    /// One line for standard error.
    Because(String),
    /// What was printed says it already.
    Told,
}

impl Refused {
    fn because(reason: impl std::fmt::Display) -> Self {
        Self::Because(reason.to_string())
    }
}

impl From<ConfigError> for Refused {
    fn from(error: ConfigError) -> Self {
        Self::because(error)
    }
}

impl From<OAuthError> for Refused {
    /// To the person who runs the server, a fault is told in full.
    fn from(error: OAuthError) -> Self {
        match error {
            OAuthError::Server(fault) => Self::because(fault),
            OAuthError::Busy => {
                Self::because("the database does not answer now; nothing was changed, try again")
            }
            other => Self::Because(other.description()),
        }
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::because(error)
    }
}

/// Who uses the command line, for the audit log: the account of the operating system.
fn by() -> By {
    By::command_line(rustix::process::getuid().as_raw())
}

impl Context {
    /// The settings in force.
    fn load(&self) -> Result<Loaded, Refused> {
        Ok(config::load(self.config.as_deref(), config::process_environment(), None)?)
    }

    /// Does `work`, which only looks, with a database that is there: to look makes nothing, least of all in the wrong folder.
    fn with_database<T, F>(&self, work: impl FnOnce(Arc<App>) -> F) -> Result<T, Refused>
    where
        F: Future<Output = Result<T, Refused>>,
    {
        let loaded = self.load()?;
        let options = store_options(&loaded.settings, Role::Tool);
        if migrations::look(&options).is_ok_and(|found| found.fresh) {
            return Err(Refused::Because(format!(
                "{}: there is no database yet; `cnx serve` or `cnx migrate` makes one, or another data_dir is meant",
                loaded.settings.database_url.masked()
            )));
        }
        self.with_app(work)
    }

    /// Does `work` with the database open, beside a server that may be running.
    fn with_app<T, F>(&self, work: impl FnOnce(Arc<App>) -> F) -> Result<T, Refused>
    where
        F: Future<Output = Result<T, Refused>>,
    {
        let loaded = self.load()?;
        let _logs = logs::start(&loaded, logs::For::Tool);
        runtime()?.block_on(async {
            let app = App::open(loaded.settings, Clock::System, Entropy::system(), Role::Tool)
                .await
                .map_err(Refused::because)?;
            let done = work(Arc::clone(&app)).await;
            app.store.close();
            done
        })
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Refused> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Refused::Because(format!("the operating system gives no event loop: {error}")))
}
