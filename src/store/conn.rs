//! One connection, to PostgreSQL or SQLite, opened by the scheme of its address and never by guessing.
//!
//! Rules of this type: count rows as gates; `returning` lists columns; `ON CONFLICT` goes through `on_both!`; time is seconds, an id
//! is bytes, JSON is text; a look-up by key says `get_result`, not `first`, whose bound LIMIT makes SQLite plan the statement anew each
//! time; and `Conn::establish` is forbidden, since it would turn a PostgreSQL that is down into a new empty SQLite file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection, SqliteConnection};

use super::StoreOptions;
use super::error::{OpenError, one_line};

pub use multi::Conn;

/// A room of its own, so that what the derive writes beside the type is not public.
mod multi {
    #![expect(clippy::disallowed_methods, reason = "the derive writes an `establish` that nobody calls")]

    use diesel::{PgConnection, SqliteConnection};

    /// A connection to one of the two databases.
    #[derive(diesel::MultiConnection)]
    pub enum Conn {
        /// PostgreSQL, pooled.
        Postgres(PgConnection),
        /// SQLite: the writer's connection, or one of the readers'.
        Sqlite(SqliteConnection),
    }
}

/// Runs one Diesel expression on the connection within: for `ON CONFLICT`, which the common type cannot express, and for look-ups that every
/// request makes, whose text the common type writes anew each time to find what was prepared of it.
macro_rules! on_both {
    ($conn:expr, $inner:ident => $act:expr) => {
        match $conn {
            $crate::store::conn::Conn::Postgres($inner) => $act,
            $crate::store::conn::Conn::Sqlite($inner) => $act,
        }
    };
}
pub(super) use on_both;

/// Which database this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// One file, one server.
    Sqlite,
    /// Many servers on one database.
    Postgres,
}

/// An address that was understood.
pub(super) enum Target {
    Sqlite(PathBuf),
    Postgres(String),
}

/// Reads `sqlite:PATH` or `postgres://…`.
pub(super) fn target(url: &str) -> Result<Target, OpenError> {
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok(Target::Postgres(url.to_owned()));
    }
    let Some(path) = url.strip_prefix("sqlite:") else {
        return Err(OpenError::Address("its scheme is unknown".to_owned()));
    };
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path == ":memory:" {
        return Err(OpenError::Address("a file is needed".to_owned()));
    }
    // An absolute path cannot be mistaken for one of SQLite's `file:` addresses.
    let path = std::path::absolute(path).map_err(|e| OpenError::Address(e.to_string()))?;
    Ok(Target::Sqlite(path))
}

/// Opens the SQLite connection that writes. The pragmas stand one per statement and in this order, as Diesel's manual asks.
pub(super) fn open_writer(path: &Path, options: &StoreOptions) -> Result<Conn, OpenError> {
    let mut conn = open_file(path)?;
    let synchronous = if options.synchronous_full { "FULL" } else { "NORMAL" };
    for pragma in [
        format!("PRAGMA busy_timeout = {}", u64::from(options.busy_seconds) * 1000),
        "PRAGMA journal_mode = WAL".to_owned(),
        format!("PRAGMA synchronous = {synchronous}"),
        "PRAGMA foreign_keys = ON".to_owned(),
        // Once per 8 MiB of log: rare enough to spread its two extra syncs, early enough to keep the log short for readers.
        "PRAGMA wal_autocheckpoint = 2000".to_owned(),
        "PRAGMA journal_size_limit = 67108864".to_owned(),
        "PRAGMA cache_size = -16384".to_owned(),
        "PRAGMA temp_store = MEMORY".to_owned(),
        "PRAGMA trusted_schema = OFF".to_owned(),
    ] {
        insist(&mut conn, &pragma, options.busy_seconds)?;
    }
    Ok(Conn::Sqlite(conn))
}

/// Runs a pragma, again for as long as somebody else has the file: where SQLite changes the journal's mode it does not wait, whatever
/// `busy_timeout` says, and servers and commands may start at the same moment.
fn insist(conn: &mut SqliteConnection, pragma: &str, seconds: u32) -> Result<(), diesel::result::Error> {
    const PAUSE: Duration = Duration::from_millis(20);
    for _ in 0..seconds.saturating_mul(50) {
        match conn.batch_execute(pragma) {
            Err(error) if error.to_string().contains("locked") => std::thread::sleep(PAUSE),
            done => return done,
        }
    }
    conn.batch_execute(pragma)
}

/// KiB of pages that a connection that only reads keeps.
pub(super) const CACHE_OF_A_READER: u32 = 4096;

/// Opens a SQLite connection that only reads, beside the writer, and keeps so many KiB of pages.
pub(super) fn open_reader(path: &Path, cache_kib: u32) -> Result<Conn, OpenError> {
    if !path.exists() {
        return Err(OpenError::Unreachable(format!("{} is gone", path.display())));
    }
    let mut conn = open_file(path)?;
    // A reader of a WAL waits for nobody, except while the log is being recovered.
    for pragma in [
        "PRAGMA busy_timeout = 2000",
        "PRAGMA query_only = ON",
        "PRAGMA foreign_keys = ON",
        &format!("PRAGMA cache_size = -{cache_kib}"),
        "PRAGMA trusted_schema = OFF",
    ] {
        conn.batch_execute(pragma)?;
    }
    Ok(Conn::Sqlite(conn))
}

/// Opens a SQLite connection that looks and changes nothing, not even the journal mode of a file that may not be ours.
pub(super) fn open_probe(path: &Path) -> Result<Conn, OpenError> {
    let mut conn = open_file(path)?;
    conn.batch_execute("PRAGMA busy_timeout = 5000")?;
    conn.batch_execute("PRAGMA query_only = ON")?;
    Ok(Conn::Sqlite(conn))
}

/// Opens a SQLite connection to copy a database that is there and that others may write to. The file itself is only read.
pub(super) fn open_for_copy(path: &Path) -> Result<SqliteConnection, OpenError> {
    if !path.exists() {
        return Err(OpenError::Unreachable(format!("{} is not there", path.display())));
    }
    let mut conn = open_file(path)?;
    conn.batch_execute("PRAGMA busy_timeout = 30000")?;
    Ok(conn)
}

#[expect(clippy::disallowed_methods, reason = "the backend is known here")]
fn open_file(path: &Path) -> Result<SqliteConnection, OpenError> {
    let unreachable =
        |problem: String| OpenError::Unreachable(format!("{}: {}", path.display(), one_line(&problem)));
    let text = path.to_str().ok_or_else(|| unreachable("the path is not UTF-8".to_owned()))?;
    SqliteConnection::establish(text).map_err(|e| unreachable(e.to_string()))
}

/// Opens a PostgreSQL connection whose statements end by themselves, so that a slow database holds no thread for long.
pub(super) fn open_postgres(url: &str) -> Result<Conn, OpenError> {
    let mut conn = establish_postgres(url)?;
    conn.batch_execute(
        "SET application_name = 'cloudnexus-identity'; SET statement_timeout = 2000; SET lock_timeout = 1500; \
         SET idle_in_transaction_session_timeout = 10000; SET synchronous_commit = on; SET timezone = 'UTC'; \
         SET default_transaction_isolation = 'read committed'; SET client_min_messages = warning",
    )?;
    Ok(Conn::Postgres(conn))
}

/// Opens a PostgreSQL connection for migrations, whose statements may take their time but must not wait long for locks (F18).
pub(super) fn open_postgres_for_migrations(url: &str) -> Result<Conn, OpenError> {
    let mut conn = establish_postgres(url)?;
    conn.batch_execute(
        "SET application_name = 'cloudnexus-identity migrate'; SET synchronous_commit = on; SET client_min_messages = warning",
    )?;
    Ok(Conn::Postgres(conn))
}

#[expect(clippy::disallowed_methods, reason = "the backend is known here")]
fn establish_postgres(url: &str) -> Result<PgConnection, OpenError> {
    let joint = if url.contains('?') { '&' } else { '?' };
    // libpq would wait for minutes; two seconds is the least that it takes.
    let url = if url.contains("connect_timeout=") {
        url.to_owned()
    } else {
        format!("{url}{joint}connect_timeout=2")
    };
    // Before libpq does it: its way registers a handler that frees OpenSSL at exit, under the feet of a pool's thread that is still
    // connecting, and a command that had done its work then died of a signal. This way registers none.
    openssl_sys::init();
    PgConnection::establish(&url).map_err(|e| OpenError::Unreachable(one_line(&e.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_by_its_scheme_and_never_guessed() {
        assert!(
            matches!(target("sqlite:/var/lib/cnx.db"), Ok(Target::Sqlite(p)) if p.ends_with("var/lib/cnx.db"))
        );
        assert!(matches!(target("sqlite:data/cnx.db"), Ok(Target::Sqlite(p)) if p.is_absolute()));
        assert!(matches!(target("postgres://cnx@db/cnx"), Ok(Target::Postgres(_))));
        for wrong in ["", "cnx.db", "host=127.0.0.1 dbname=x", "mysql://x", "sqlite:", "sqlite::memory:"] {
            assert!(matches!(target(wrong), Err(OpenError::Address(_))), "{wrong}");
        }
    }
}
