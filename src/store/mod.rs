//! Floor 2: rows. [`Store::read`] and [`Store::write`] are the only doors to SQL; the aggregates are free functions on a connection.
//!
//! SQLite: one thread writes and commits in groups, readers stand beside it and run on the caller (a hop costs more than the read).
//! PostgreSQL: a pool, one transaction per write, bounded waiting. Nothing here decides; it stores, and counts rows as gates.

pub mod api_keys;
pub mod audit;
pub mod audit_chain;
pub mod audit_look;
pub mod backup;
pub mod changes;
pub mod clients;
pub mod conn;
pub mod consents;
pub mod counters;
pub mod error;
pub mod factors;
pub mod families;
pub mod identities;
pub mod identity_providers;
mod integrity;
pub mod key_uses;
pub mod limits;
pub mod links;
pub mod lock;
pub mod mails;
pub mod meta;
pub mod migrate;
pub mod organizations;
pub mod passkeys;
mod pool;
mod readers;
mod redis_link;
pub mod refused_requests;
mod row;
mod schema;
pub mod service_accounts;
pub mod sessions;
pub mod signing_keys;
pub mod spent;
pub mod sweep;
pub mod throttles;
pub mod totp;
pub mod trust_rules;
pub mod usage;
pub mod users;
mod writer;

#[cfg(test)]
mod aggregate_tests;
#[cfg(test)]
mod door_tests;
#[cfg(test)]
mod open_tests;
#[cfg(test)]
mod testing;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::base::secret::Secret;

pub use conn::{Backend, Conn};
pub use error::{OpenError, StoreError};
pub use redis_link::greet as greet_redis;

use conn::{Target, open_writer, target};
use pool::Pool;
use readers::Readers;
use writer::Writer;

/// How to open a database.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// `sqlite:PATH` or `postgres://…`; secret because it may hold a password.
    pub url: Secret<String>,
    /// PostgreSQL: how many connections, and so how many statements run at once.
    pub pool_size: u32,
    /// How many reads and writes may wait; one more is told [`StoreError::Busy`].
    pub queue: usize,
    /// SQLite: how many writes share one commit at most; 1 is one commit per write, for the bench.
    pub max_batch: usize,
    /// SQLite: whether a commit survives power loss (`synchronous=FULL`), not only the end of the process.
    pub synchronous_full: bool,
    /// SQLite: how many seconds to wait while another process holds the database.
    pub busy_seconds: u32,
}

impl StoreOptions {
    /// The options of a server, for the database at `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: Secret::new(url.into()),
            pool_size: 8,
            queue: 256,
            max_batch: 128,
            synchronous_full: true,
            busy_seconds: 5,
        }
    }
}

/// An open database.
pub struct Store {
    doors: Doors,
    fresh: bool,
    /// Set once a statement met a damaged page, until somebody restores a backup and starts anew (F5).
    damaged: AtomicBool,
}

enum Doors {
    Sqlite { writer: Writer, readers: Readers, path: PathBuf },
    Postgres(Pool),
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({:?})", self.backend())
    }
}

impl Store {
    /// Opens a database: looks whether it is sound, ours and not newer than this program (and changes nothing when it is not), then
    /// applies the migrations that it lacks. Blocks; call it before the server runs.
    pub fn open(options: &StoreOptions) -> Result<Self, OpenError> {
        match target(options.url.reveal())? {
            Target::Sqlite(path) => {
                integrity::check(&path, integrity::Look::AtPages)?;
                if path.exists() {
                    migrate::pending(options)?;
                }
                integrity::create_private(&path)?;
                let mut conn = open_writer(&path, options)?;
                let fresh = migrate::apply(&mut conn)?.was_fresh;
                let readers = Readers::new(path.clone());
                let writer = Writer::start(conn, path.clone(), options);
                Ok(Self::of(Doors::Sqlite { writer, readers, path }, fresh))
            }
            Target::Postgres(url) => {
                let mut conn = conn::open_postgres_for_migrations(&url)?;
                let fresh = migrate::apply(&mut conn)?.was_fresh;
                Ok(Self::of(Doors::Postgres(Pool::new(url, options)), fresh))
            }
        }
    }

    const fn of(doors: Doors, fresh: bool) -> Self {
        Self { doors, fresh, damaged: AtomicBool::new(false) }
    }

    /// Which database this is.
    pub const fn backend(&self) -> Backend {
        match self.doors {
            Doors::Sqlite { .. } => Backend::Sqlite,
            Doors::Postgres(_) => Backend::Postgres,
        }
    }

    /// Whether [`Store::open`] found no tables and made them.
    pub const fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Reads. Each statement sees what was committed when it began; a closure that needs one view for several uses `conn.transaction`.
    ///
    /// SQLite: runs on the caller, in microseconds for a look-up by key. PostgreSQL: on a pooled connection, within two seconds; the
    /// closure may run again when a connection breaks.
    pub async fn read<T, F>(&self, act: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Conn) -> Result<T, StoreError> + Send + 'static,
    {
        let answer = match &self.doors {
            Doors::Sqlite { readers, .. } => readers.run(act),
            Doors::Postgres(pool) => pool.read(act).await,
        };
        answer.inspect_err(|error| self.look_for_damage(error))
    }

    /// Reads whole tables, once: as [`Store::read`], but on SQLite by a connection of its own that keeps next to no pages and is closed
    /// afterwards, for what it saw is not asked for again.
    pub async fn read_through<T, F>(&self, act: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Conn) -> Result<T, StoreError> + Send + 'static,
    {
        let answer = match &self.doors {
            Doors::Sqlite { readers, .. } => readers.run_through(act),
            Doors::Postgres(pool) => pool.read(act).await,
        };
        answer.inspect_err(|error| self.look_for_damage(error))
    }

    /// Writes: the whole closure is one transaction, and the answer comes after its commit is durable. `Err` rolls it back; a decision
    /// that must be kept (a replay that revokes) is `Ok`.
    ///
    /// The closure may run again, when the transaction lost against another one or when another write of the same batch failed, so it must
    /// have no effect outside the database. When the
    /// caller goes away, a write that is in the queue still happens.
    pub async fn write<T, F>(&self, act: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Conn) -> Result<T, StoreError> + Send + 'static,
    {
        let answer = match &self.doors {
            Doors::Sqlite { writer, .. } => writer.run(act).await,
            Doors::Postgres(pool) => pool.write(act).await,
        };
        answer.inspect_err(|error| self.look_for_damage(error))
    }

    fn look_for_damage(&self, error: &StoreError) {
        if error.is_damage() {
            self.found_damage(error);
        }
    }

    fn found_damage(&self, error: &StoreError) {
        if !self.damaged.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "the database file is damaged; restore a backup and start again");
        }
    }

    /// Looks at every page of an embedded database that was too large for it at the start, beside the work; of a damaged one nothing is ready
    /// any more ([`Store::ping`]). Blocks for a second for some hundred MB.
    pub fn look_through(&self) {
        if let Doors::Sqlite { path, .. } = &self.doors
            && let Some(error) = integrity::look_through(path)
        {
            self.found_damage(&error);
        }
    }

    /// Whether the database answers and was never found damaged, and after a write failed for want of space or of a sound disk, whether
    /// writing works again.
    pub async fn ping(&self) -> Result<(), StoreError> {
        if self.damaged.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("the database file is damaged".to_owned()));
        }
        self.read(|conn| meta::find(conn, "ping").map(drop)).await?;
        match &self.doors {
            Doors::Sqlite { writer, .. } if !writer.is_well() => {
                writer.run(|conn| meta::set(conn, "ping", "written")).await
            }
            _ => Ok(()),
        }
    }

    /// Commits what waits, stops the writer and closes the file; later writes are refused. Blocks until it is done; may be called twice.
    pub fn close(&self) {
        match &self.doors {
            Doors::Sqlite { writer, readers, .. } => {
                readers.close();
                writer.stop();
            }
            Doors::Postgres(_) => {}
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}
