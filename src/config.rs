//! Settings: from defaults, a file and the environment to one typed value; the environment wins over the file.
//!
//! Every default is stated once, in `config/stated.rs`. A misspelt key or a bad value is one clear line that names the
//! key, the place where the value stands and what is allowed; nothing is guessed and nothing is changed.
//! Not here: whether a path can be opened or a port is free. That is for the start and for `cnx doctor`.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::api_key::route_table::RouteTable;
use crate::base::secret::Secret;

mod check;
mod error;
mod keys;
mod load;
mod mail;
mod place;
mod rows;
mod stated;
mod values;

pub use error::ConfigError;
pub use load::{Loaded, Shown, Source, load, of_text, process_environment};
pub use mail::Mail;
pub use stated::{
    ApiKeys, Audit, Database, Leaks, Limits, Passwords, ServiceAccounts, Sessions, Signing, Tokens,
};
pub use values::{DatabaseUrl, Issuer};

/// Every setting in force, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The issuer: what people and tokens call this server.
    pub public_url: Issuer,
    /// Where the public listener listens.
    pub listen: SocketAddr,
    /// The folder of the database and the master key, unless they are set apart.
    pub data_dir: PathBuf,
    /// `sqlite:PATH` or `postgres://…`.
    pub database_url: DatabaseUrl,
    /// The file that holds the master key (mode 0600).
    pub master_key_file: PathBuf,
    /// Counters shared by many nodes; each node counts alone without it.
    pub redis_url: Option<Secret<String>>,
    /// The proxies whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Where the metrics listener listens; nowhere when absent.
    pub metrics_listen: Option<SocketAddr>,
    /// Our own TLS; plain http when absent.
    pub tls: Option<Tls>,
    /// Logs.
    pub log: Log,
    /// Threads that serve requests; 0 means one for each core.
    pub workers: usize,
    /// Lifetimes of what clients hold.
    pub tokens: Tokens,
    /// Lifetimes of sign-ins.
    pub sessions: Sessions,
    /// The server's own keys.
    pub signing: Signing,
    /// The keys of service accounts.
    pub service_accounts: ServiceAccounts,
    /// API keys.
    pub api_keys: ApiKeys,
    /// Keys that are found in public.
    pub leaks: Leaks,
    /// The audit log.
    pub audit: Audit,
    /// What gateways ask about.
    pub gateway: Gateway,
    /// What this server may fetch from others.
    pub outbound: Outbound,
    /// How mail leaves.
    pub mail: Mail,
    /// Password policy and cost.
    pub passwords: Passwords,
    /// What a caller may send and how fast.
    pub limits: Limits,
    /// The database's pool and queue.
    pub database: Database,
    /// `serve --dev`: everything in a throw-away folder.
    pub dev: bool,
}

/// Our own certificate and key, both PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate chain, leaf first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// What gateways ask about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gateway {
    /// What each route needs; without rows only what a gateway says itself counts.
    pub routes: RouteTable,
}

/// What this server may fetch from others, beside public https addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outbound {
    /// Hosts, or `host:port`, that may be reached at private addresses.
    pub allow: Vec<String>,
    /// A PEM file of certificate authorities that are trusted beside the public ones.
    pub extra_ca: Option<PathBuf>,
}

/// How and how much is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// For people or for machines.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug` or `trace`, or directives such as `info,cnx=debug`.
    pub level: String,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One readable line for each event.
    Human,
    /// One JSON object for each event.
    Json,
}

impl Settings {
    /// Seconds between a new signing key's publication and its first signature: every cache of the JWKS has it by then (S-M6).
    pub const fn key_propagation_seconds(&self) -> i64 {
        2 * self.signing.jwks_max_age_seconds + 60
    }
}

#[cfg(test)]
mod tests;
