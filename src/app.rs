//! Floor 3: everything that a request needs, in one place: settings, clock, chance, keys, store, and the snapshots kept in memory.
//!
//! One `App` is one node. Tests make one with a manual clock and seeded chance; the command line makes one beside a running server.

mod counts;
mod documents;
mod fetch;
mod hashing;
mod mail;
mod master_key;
mod refusals;
mod registered_keys;
mod remote_keys;
mod snapshot;
mod steady;
mod uses;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::base::encoding::base64url;
use crate::base::entropy::Entropy;
use crate::base::seal::{MacPurpose, Vault};
use crate::base::time::{Clock, Timestamp};
use crate::config::Settings;
use crate::jose::keyring::KeyPolicy;
use crate::store::counters::Counters;
use crate::store::limits::Limits;
use crate::store::lock::ServeLock;
use crate::store::{OpenError, Store, StoreOptions, audit, meta, migrate};

pub use self::counts::{ALLOWED, Counted, Counts};
pub use self::documents::Documents;
pub use self::fetch::{FetchError, Fetched, Fetcher};
pub use self::hashing::{Hashing, Match};
pub use self::mail::{Letter, Mail, Mailer, Written, greet as greet_mail_server, newest};
pub use self::refusals::Refusals;
pub use self::registered_keys::RegisteredKeys;
pub use self::remote_keys::{KeySource, RemoteKeys};
pub use self::snapshot::Snapshots;
pub use self::uses::Uses;

/// What this process is to the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A node that answers requests. Holds the lock of an SQLite file.
    Server,
    /// A command beside it.
    Tool,
}

/// One node.
pub struct App {
    /// The settings in force.
    pub settings: Settings,
    /// Where "now" comes from.
    pub clock: Clock,
    /// Where chance comes from.
    pub entropy: Entropy,
    /// The keys derived from the master key.
    pub vault: Vault,
    /// The rows.
    pub store: Store,
    /// Sliding windows of failures and limits.
    pub counters: Counters,
    /// Rate limits and streams of API keys.
    pub limits: Limits,
    /// Password hashing, bounded.
    pub hashing: Hashing,
    /// The way out for mail.
    pub mail: Mail,
    uses: Uses,
    counts: Counts,
    refusals: Refusals,
    /// Fetches what others publish.
    pub fetcher: Fetcher,
    remote_keys: RemoteKeys,
    registered_keys: RegisteredKeys,
    documents: Documents,
    snapshots: Snapshots,
    steady: steady::Steady,
    draining: AtomicBool,
    _lock: Option<ServeLock>,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("public_url", &self.settings.public_url.as_str()).finish_non_exhaustive()
    }
}

/// Why a node does not start. Each is one clear line.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be made or used.
    #[error("data_dir {path}: {problem}", path = path.display())]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        problem: std::io::Error,
    },
    /// The master key is missing, unreadable, malformed, or of another database.
    #[error("master_key_file {path}: {problem}", path = path.display())]
    MasterKey {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The database cannot be opened, is damaged, is newer than this program, or is in use.
    #[error("database_url {url}: {problem}")]
    Database {
        /// The address, without its password.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// Redis cannot be used.
    #[error("{0}")]
    Redis(String),
    /// What is needed to fetch from others cannot be used.
    #[error("outbound.extra_ca {0}")]
    Outbound(String),
    /// Mail cannot leave as the settings say.
    #[error("{0}")]
    Mail(String),
    /// The keys in the database cannot be used.
    #[error("signing keys: {0}")]
    Keys(String),
}

impl App {
    /// Opens the database, checks the master key against it, migrates, and reads what is kept in memory.
    ///
    /// Nothing is changed before everything that can refuse has agreed: a wrong key, a damaged file or a newer database
    /// leaves no trace. Only an empty database gets a new master key; over old data nothing is made anew.
    pub async fn open(
        settings: Settings,
        clock: Clock,
        entropy: Entropy,
        role: Role,
    ) -> Result<Arc<Self>, StartError> {
        let refused = |e: OpenError| StartError::Database {
            url: settings.database_url.masked(),
            problem: e.to_string(),
        };
        let fetcher = Fetcher::new(&settings.outbound).map_err(StartError::Outbound)?;
        let mail = Mail::open(&settings).map_err(StartError::Mail)?;
        let options = store_options(&settings, role);
        let found = migrate::look(&options).map_err(refused)?;
        let (master, made) = master_key::load_or_make(&settings.master_key_file, found.fresh, &entropy)?;
        let vault = Vault::new(&master);
        let check = key_check(&vault);
        let wrong_key = |problem: &str| StartError::MasterKey {
            path: settings.master_key_file.clone(),
            problem: problem.to_owned(),
        };
        if found.key_check.is_some_and(|kept| kept != check) {
            return Err(wrong_key(WRONG_KEY));
        }
        make_data_dir(&settings)?;
        let lock = match (role, settings.database_url.sqlite_path()) {
            (Role::Server, Some(path)) => Some(ServeLock::take(path).map_err(refused)?),
            _ => None,
        };
        // Another node may have been first since we looked: then its key lies there, and this is refused.
        if let Some(made) = made {
            made.write()?;
        }
        let store = Store::open(&options).map_err(refused)?;
        let (ours, keys, now) = (check.clone(), vault.clone(), clock.now());
        let kept = store
            .write(move |conn| {
                meta::set_once(conn, meta::KEY_CHECK, &ours)?;
                let kept = meta::find(conn, meta::KEY_CHECK)?;
                if kept.as_deref() == Some(ours.as_str()) {
                    audit::begin(conn, &keys, now)?;
                }
                Ok(kept)
            })
            .await
            .map_err(|e| StartError::Database {
                url: settings.database_url.masked(),
                problem: e.to_string(),
            })?;
        if kept.as_deref() != Some(check.as_str()) {
            return Err(wrong_key("another node made this database with its own key; copy that file here"));
        }

        let counters =
            Counters::open(settings.redis_url.as_ref()).map_err(|e| StartError::Redis(e.to_string()))?;
        let limits =
            Limits::open(settings.redis_url.as_ref()).map_err(|e| StartError::Redis(e.to_string()))?;
        let hashing = Hashing::new(&settings.passwords);
        let snapshots = Snapshots::default();
        let steady = steady::Steady::begin(&clock);
        let app = Self {
            steady,
            settings,
            clock,
            entropy,
            vault,
            store,
            counters,
            limits,
            hashing,
            mail,
            uses: Uses::default(),
            counts: Counts::default(),
            refusals: Refusals::default(),
            fetcher,
            remote_keys: RemoteKeys::default(),
            registered_keys: RegisteredKeys::default(),
            documents: Documents::default(),
            snapshots,
            draining: AtomicBool::new(false),
            _lock: lock,
        };
        app.load_snapshots().await.map_err(|e| StartError::Keys(e.to_string()))?;
        let app = Arc::new(app);
        if role == Role::Server {
            let of = Arc::downgrade(&app);
            let through = move || {
                std::thread::sleep(LOOK_AFTER);
                if let Some(app) = of.upgrade() {
                    app.store.look_through();
                }
            };
            // A thread that does not start leaves what was not looked at to whoever meets it.
            drop(std::thread::Builder::new().name("integrity".to_owned()).spawn(through));
        }
        Ok(app)
    }

    /// The present moment. A flow reads it once and passes it down.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The present moment, for those who delete what is over: a clock that was turned forward since the start is not followed, since what it
    /// ends is back when it is turned back (F10).
    pub fn steady_now(&self) -> Timestamp {
        self.steady.now(&self.clock)
    }

    /// By how many seconds the clock is ahead of the time that passed since the start.
    pub fn clock_ahead(&self) -> i64 {
        self.steady.ahead(&self.clock)
    }

    /// The issuer, byte for byte as configured (C18).
    pub fn issuer(&self) -> &str {
        self.settings.public_url.as_str()
    }

    /// When keys are published, sign, retire and are forgotten.
    pub fn key_policy(&self) -> KeyPolicy {
        let tokens = &self.settings.tokens;
        KeyPolicy {
            rotate_every: self.settings.signing.rotate_seconds,
            propagation: self.settings.key_propagation_seconds(),
            longest_token_life: tokens.access_seconds.max(tokens.id_seconds),
            hint_memory: 400 * 86_400,
        }
    }

    /// From now on `/readyz` says no, so that a balancer sends nobody here any more.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Whether the node is about to stop.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }
}

/// When a node begins to look through its database: by then its start is over.
const LOOK_AFTER: Duration = Duration::from_secs(1);

const WRONG_KEY: &str = "this is not the master key of this database; put the right file back";

/// What a database keeps of the master key that it was made with.
fn key_check(vault: &Vault) -> String {
    base64url(&vault.mac(MacPurpose::KeyCheck, &[b"master key"]))
}

/// Whether the master key's file, where there is one, holds a key, and the one that the database was made with. Looks only;
/// [`App::open`] asks the same before it changes anything.
pub fn master_key_fits(settings: &Settings) -> Result<(), StartError> {
    let path = &settings.master_key_file;
    let Some(master) = master_key::read(path)? else { return Ok(()) };
    let found = migrate::look(&store_options(settings, Role::Tool))
        .map_err(|e| StartError::Database { url: settings.database_url.masked(), problem: e.to_string() })?;
    if found.key_check.is_some_and(|kept| kept != key_check(&Vault::new(&master))) {
        return Err(StartError::MasterKey { path: path.clone(), problem: WRONG_KEY.to_owned() });
    }
    Ok(())
}

/// Connections that a command beside the server opens: it does one thing at a time.
const POOL_OF_A_TOOL: u32 = 2;

/// How the settings open the database.
pub fn store_options(settings: &Settings, role: Role) -> StoreOptions {
    StoreOptions {
        pool_size: match role {
            Role::Server => settings.database.pool_size,
            Role::Tool => settings.database.pool_size.min(POOL_OF_A_TOOL),
        },
        queue: settings.database.queue,
        busy_seconds: u32::try_from(settings.database.busy_seconds).unwrap_or(5),
        ..StoreOptions::new(settings.database_url.as_str())
    }
}

fn make_data_dir(settings: &Settings) -> Result<(), StartError> {
    let path = &settings.data_dir;
    let refused = |problem| StartError::DataDir { path: path.clone(), problem };
    if !path.exists() {
        std::fs::create_dir_all(path).map_err(refused)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).map_err(refused)?;
        }
    }
    Ok(())
}
