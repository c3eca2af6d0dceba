//! Settings as they are written down, each with its default and its range: the one place that states them.
//!
//! Text that needs reading (addresses, URLs, paths) is still text here; `config/check.rs` makes it typed.

use serde::{Deserialize, Serialize};

use super::LogFormat;
use crate::api_key::leak::LeakPolicy;
use crate::api_key::route_table::Row;
use crate::base::algorithm::Algorithm;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// The file, key for key.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stated {
    pub(super) public_url: Option<String>,
    pub(super) listen: String,
    pub(super) data_dir: String,
    pub(super) database_url: Option<String>,
    pub(super) master_key_file: Option<String>,
    pub(super) redis_url: Option<String>,
    pub(super) trusted_proxies: Vec<String>,
    pub(super) metrics_listen: Option<String>,
    pub(super) tls: StatedTls,
    pub(super) log: StatedLog,
    pub(super) workers: usize,
    pub(super) tokens: Tokens,
    pub(super) sessions: Sessions,
    pub(super) signing: Signing,
    pub(super) service_accounts: ServiceAccounts,
    pub(super) api_keys: ApiKeys,
    pub(super) leaks: Leaks,
    pub(super) audit: Audit,
    pub(super) gateway: StatedGateway,
    pub(super) outbound: StatedOutbound,
    pub(super) mail: StatedMail,
    pub(super) passwords: Passwords,
    pub(super) limits: Limits,
    pub(super) database: Database,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StatedTls {
    pub(super) cert: Option<String>,
    pub(super) key: Option<String>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StatedGateway {
    pub(super) routes: Vec<Row>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StatedOutbound {
    pub(super) allow: Vec<String>,
    pub(super) extra_ca: Option<String>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StatedMail {
    pub(super) smtp_url: Option<String>,
    pub(super) from: Option<String>,
    pub(super) folder: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StatedLog {
    pub(super) format: LogFormat,
    pub(super) level: String,
}

/// Lifetimes of what clients hold, in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    /// Access tokens.
    pub access_seconds: i64,
    /// ID tokens.
    pub id_seconds: i64,
    /// Authorization codes.
    pub code_seconds: i64,
    /// Refresh families, from the sign-in on, however often they are used.
    pub refresh_seconds: i64,
    /// Refresh families that nobody uses.
    pub refresh_idle_seconds: i64,
    /// How long a lost answer to a refresh may be asked for again (requirements D1).
    pub refresh_retry_seconds: i64,
}

/// Lifetimes of sign-ins, in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sessions {
    /// Without any request.
    pub idle_seconds: i64,
    /// From the sign-in on.
    pub absolute_seconds: i64,
}

/// The server's own keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signing {
    /// How long a key signs, in seconds.
    pub rotate_seconds: i64,
    /// How long others may cache the JWKS, in seconds.
    pub jwks_max_age_seconds: i64,
    /// The size of new RSA keys, in bits (S-M5).
    pub rsa_bits: u32,
    /// What access tokens are signed with.
    pub access_token_alg: Algorithm,
}

/// The keys of service accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceAccounts {
    /// The greatest age of a key, in seconds; 0 for none.
    pub key_seconds: i64,
    /// How long before its end a key without a successor is warned of, in seconds.
    pub key_warning_seconds: i64,
}

/// API keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKeys {
    /// How long a secret is good before it is due to be replaced, in seconds; 0 for never.
    pub rotation_seconds: i64,
    /// What an organization of the enterprise tier has on top of each limit.
    pub enterprise_burst: u32,
    /// What a token may be for that a gateway lets through, beside the issuer.
    pub audience: Vec<String>,
    /// The number of the pepper that new secrets are hashed under, and used ones of before are moved to.
    pub pepper: i32,
}

/// Keys that are found in public.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaks {
    /// What becomes of a key that was found in public, where the key has no policy of its own.
    pub policy: LeakPolicy,
    /// Where GitHub publishes the keys that it signs its reports with; reports of GitHub are not taken when it is empty.
    pub github_keys_url: String,
}

/// The audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// How long events are kept, in seconds; 0 for ever.
    pub retention_seconds: i64,
}

/// Password policy and the cost of a hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Passwords {
    /// The shortest password that may be set, in characters (S-L1).
    pub min_length: usize,
    /// Argon2id memory, in KiB (S-L2).
    pub argon2_memory_kib: u32,
    /// Argon2id passes.
    pub argon2_passes: u32,
    /// Argon2id lanes.
    pub argon2_lanes: u32,
    /// Hashes that run at once; 0 means one for each core (F15).
    pub parallel: usize,
    /// Hashes that may wait; more are answered 503 (F15).
    pub queue: usize,
}

/// What a caller may send, how fast, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The largest form, in bytes (S-H3).
    pub form_bytes: usize,
    /// For the whole request head (S-H4).
    pub head_seconds: i64,
    /// For the whole request body (S-H4).
    pub body_seconds: i64,
    /// Connections that are open at once.
    pub connections: usize,
    /// Of these, how many one address may hold; 0 means a tenth, but not fewer than a hundred (F14).
    pub connections_per_address: usize,
    /// Failed sign-ins of one account or one address before waiting starts (S-L6).
    pub login_failures: u32,
    /// Failed client authentications of one client from one address in a minute; of one address, ten times as many.
    pub client_failures: u32,
}

/// The database's pool and queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Connections that are kept.
    pub pool_size: u32,
    /// Work that may wait for one; more is answered 503 (F8).
    pub queue: usize,
    /// How long a locked database is waited for, in seconds (F4).
    pub busy_seconds: i64,
}

impl Default for Stated {
    fn default() -> Self {
        Self {
            public_url: None,
            listen: "127.0.0.1:8080".to_owned(),
            data_dir: "./data".to_owned(),
            database_url: None,
            master_key_file: None,
            redis_url: None,
            trusted_proxies: Vec::new(),
            metrics_listen: None,
            tls: StatedTls::default(),
            log: StatedLog { format: LogFormat::Human, level: "info,actix_server=warn".to_owned() },
            workers: 0,
            tokens: Tokens::default(),
            sessions: Sessions::default(),
            signing: Signing::default(),
            service_accounts: ServiceAccounts::default(),
            api_keys: ApiKeys::default(),
            leaks: Leaks::default(),
            audit: Audit::default(),
            gateway: StatedGateway::default(),
            outbound: StatedOutbound::default(),
            mail: StatedMail::default(),
            passwords: Passwords::default(),
            limits: Limits::default(),
            database: Database::default(),
        }
    }
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            access_seconds: 10 * MINUTE,
            id_seconds: HOUR,
            code_seconds: MINUTE,
            refresh_seconds: 90 * DAY,
            refresh_idle_seconds: 30 * DAY,
            refresh_retry_seconds: MINUTE,
        }
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Self { idle_seconds: 12 * HOUR, absolute_seconds: 14 * DAY }
    }
}

impl Default for Signing {
    fn default() -> Self {
        Self {
            rotate_seconds: 90 * DAY,
            jwks_max_age_seconds: 5 * MINUTE,
            rsa_bits: 3072,
            access_token_alg: Algorithm::Es256,
        }
    }
}

impl Default for ServiceAccounts {
    fn default() -> Self {
        Self { key_seconds: YEAR, key_warning_seconds: 30 * DAY }
    }
}

impl Default for ApiKeys {
    fn default() -> Self {
        Self { rotation_seconds: 90 * DAY, enterprise_burst: 300, audience: Vec::new(), pepper: 1 }
    }
}

impl Default for Leaks {
    fn default() -> Self {
        Self {
            policy: LeakPolicy::Revoke,
            github_keys_url: "https://api.github.com/meta/public_keys/secret_scanning".to_owned(),
        }
    }
}

impl Default for Audit {
    fn default() -> Self {
        Self { retention_seconds: 400 * DAY }
    }
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            min_length: 15,
            argon2_memory_kib: 19_456,
            argon2_passes: 2,
            argon2_lanes: 1,
            parallel: 0,
            queue: 100,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            form_bytes: 16 * 1024,
            head_seconds: 5,
            body_seconds: 10,
            connections: 10_000,
            connections_per_address: 0,
            login_failures: 10,
            client_failures: 20,
        }
    }
}

impl Default for Database {
    fn default() -> Self {
        Self { pool_size: 8, queue: 256, busy_seconds: 5 }
    }
}

/// What a whole number may be.
pub(super) struct Range {
    pub(super) key: &'static str,
    pub(super) least: i128,
    pub(super) most: i128,
    /// What it counts, as a message says it.
    pub(super) unit: &'static str,
}

const fn range(key: &'static str, least: i64, most: i64, unit: &'static str) -> Range {
    Range { key, least: least as i128, most: most as i128, unit }
}

/// The range of every whole number; a test holds that none is missing.
pub(super) const RANGES: &[Range] = &[
    range("workers", 0, 1024, "threads, 0 for one on each core"),
    range("tokens.access_seconds", 1, DAY, "seconds"),
    range("tokens.id_seconds", 1, DAY, "seconds"),
    range("tokens.code_seconds", 1, MINUTE, "seconds"),
    range("tokens.refresh_seconds", 1, 10 * YEAR, "seconds"),
    range("tokens.refresh_idle_seconds", 1, 10 * YEAR, "seconds"),
    range("tokens.refresh_retry_seconds", 0, 10 * MINUTE, "seconds"),
    range("sessions.idle_seconds", 1, YEAR, "seconds"),
    range("sessions.absolute_seconds", 1, YEAR, "seconds"),
    range("signing.rotate_seconds", HOUR, 2 * YEAR, "seconds"),
    range("signing.jwks_max_age_seconds", 1, DAY, "seconds"),
    range("signing.rsa_bits", 2048, 4096, "bits: 2048, 3072 or 4096"),
    range("service_accounts.key_seconds", 0, 10 * YEAR, "seconds, 0 for keys without an end"),
    range("service_accounts.key_warning_seconds", 0, YEAR, "seconds"),
    range("api_keys.rotation_seconds", 0, 10 * YEAR, "seconds, 0 for never"),
    range("api_keys.enterprise_burst", 0, 1_000_000, "requests"),
    range("audit.retention_seconds", 0, 100 * YEAR, "seconds, 0 for ever"),
    range("api_keys.pepper", 1, 1_000_000, "a number that only grows"),
    range("passwords.min_length", 8, 64, "characters"),
    range("passwords.argon2_memory_kib", 7168, 4_194_304, "KiB"),
    range("passwords.argon2_passes", 1, 100, "passes"),
    range("passwords.argon2_lanes", 1, 64, "lanes"),
    range("passwords.parallel", 0, 1024, "hashes, 0 for one on each core"),
    range("passwords.queue", 0, 100_000, "hashes"),
    range("limits.form_bytes", 1024, 1_048_576, "bytes"),
    range("limits.head_seconds", 1, 5 * MINUTE, "seconds"),
    range("limits.body_seconds", 1, 5 * MINUTE, "seconds"),
    range("limits.connections", 16, 1_000_000, "connections"),
    range("limits.connections_per_address", 0, 1_000_000, "connections, 0 for a tenth of all"),
    range("limits.login_failures", 1, 100, "failures"),
    range("limits.client_failures", 1, 10_000, "failures a minute"),
    range("database.pool_size", 1, 1000, "connections"),
    range("database.queue", 1, 100_000, "jobs"),
    range("database.busy_seconds", 1, MINUTE, "seconds"),
];

/// Settings whose value is chosen from a list of words.
pub(super) const CHOICES: &[(&str, &[&str])] = &[
    ("log.format", &["human", "json"]),
    ("signing.access_token_alg", &["RS256", "ES256", "EdDSA"]),
    ("leaks.policy", &["notify", "disable", "revoke"]),
];

/// The setting that is a list of tables.
pub(super) const ROWS: &str = "gateway.routes";

/// Settings whose value is never shown, wholly or in part.
pub(super) const SECRET: &[&str] = &["database_url", "redis_url", "mail.smtp_url"];
