//! Migrations: embedded in the binary, twinned for both databases, all that are missing in one transaction.
//!
//! A crash in the middle rolls back (F19). Several servers that start together take turns: an advisory lock on PostgreSQL, the write lock on
//! SQLite. Checksums of what was applied are kept in `meta` and verified at every start; a database that is newer than the binary is refused,
//! unless the release that made it says there that this one may go on: so nodes are upgraded one by one, and an upgrade is taken back (F18).

use diesel::connection::{AnsiTransactionManager, SimpleConnection as _, TransactionManager};
use diesel::dsl::sql;
use diesel::migration::{Migration, MigrationConnection as _, MigrationSource as _};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::StoreOptions;
use super::conn::{Conn, Target, on_both, open_postgres_for_migrations, open_probe, target};
use super::error::{OpenError, one_line};
use super::{integrity, meta};
use crate::base::digest::sha256;

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

type Manager = <Conn as Connection>::TransactionManager;

/// The advisory lock of whoever migrates; any number that nobody else uses.
const MIGRATION_LOCK: i64 = 0x0063_6e78_6d69_6772;

/// A migration's number and its two texts, for checksums. A test holds that this is what is embedded.
struct Known {
    version: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

macro_rules! known {
    ($($version:literal => $folder:literal),+ $(,)?) => {
        &[$(Known {
            version: $version,
            sqlite: include_str!(concat!("../../migrations/sqlite/", $folder, "/up.sql")),
            postgres: include_str!(concat!("../../migrations/postgres/", $folder, "/up.sql")),
        }),+]
    };
}

const KNOWN: &[Known] = known! {
    "20261123000000" => "2026-11-23-000000_initial",
    "20261125000000" => "2026-11-25-000000_machines",
    "20261126000000" => "2026-11-26-000000_api_keys",
    "20261126010000" => "2026-11-26-010000_organization_burst",
    "20261126020000" => "2026-11-26-020000_audit",
    "20261126030000" => "2026-11-26-030000_people",
    "20261127000000" => "2026-11-27-000000_identity_providers",
};

/// The oldest program that works on this schema as well, by its last migration. A migration that only adds (a table, an index, a column that may
/// be left out) leaves it as it is; one that changes or takes away what an older program uses sets it to itself, and comes a release after the
/// last program that used it.
const OLDEST: &str = "20261127000000";

/// Diesel's own table of what was applied.
mod history {
    diesel::table! {
        __diesel_schema_migrations (version) {
            version -> Text,
        }
    }
}
use history::__diesel_schema_migrations::dsl as history_of;

/// What was done to a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Whether it held no migration before.
    pub was_fresh: bool,
    /// The versions that were applied now, oldest first.
    pub versions: Vec<String>,
}

/// The versions that the database of `options` lacks, oldest first. Looks only: makes no file and changes nothing.
pub fn pending(options: &StoreOptions) -> Result<Vec<String>, OpenError> {
    let mut conn = match target(options.url.reveal())? {
        Target::Sqlite(path) if !path.exists() => return Ok(missing(&[])),
        Target::Sqlite(path) => open_probe(&path)?,
        Target::Postgres(url) => open_postgres_for_migrations(&url)?,
    };
    let applied = applied(&mut conn)?.unwrap_or_default();
    verify(&mut conn, &applied)?;
    Ok(missing(&applied))
}

/// What a database holds before anything is done to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// No table of ours is there yet.
    pub fresh: bool,
    /// The kept check of the master key that it was made with.
    pub key_check: Option<String>,
}

/// Looks at the database of `options`: sound, ours, not newer than this program, and made with which master key. Makes no
/// file and changes nothing.
pub fn look(options: &StoreOptions) -> Result<Found, OpenError> {
    match target(options.url.reveal())? {
        Target::Sqlite(path) if !path.exists() => Ok(Found { fresh: true, key_check: None }),
        Target::Sqlite(path) => {
            integrity::check(&path, integrity::Look::AtPages)?;
            look_into(&mut open_probe(&path)?).map_err(|error| integrity::named(&path, error))
        }
        Target::Postgres(url) => look_into(&mut open_postgres_for_migrations(&url)?),
    }
}

fn look_into(conn: &mut Conn) -> Result<Found, OpenError> {
    let Some(applied) = applied(conn)? else { return Ok(Found { fresh: true, key_check: None }) };
    verify(conn, &applied)?;
    let key_check = find(conn, meta::KEY_CHECK)?;
    Ok(Found { fresh: false, key_check })
}

/// Applies what is missing, all or nothing.
pub(super) fn apply(conn: &mut Conn) -> Result<Applied, OpenError> {
    if let Some(before) = applied(conn)? {
        if let Some(later) = verify(conn, &before)? {
            tracing::warn!(migration = %later, "a later release widened this database, and lets this one go on");
        }
        if missing(&before).is_empty() {
            return Ok(Applied { was_fresh: false, versions: Vec::new() });
        }
    }
    begin_alone(conn)?;
    let done = apply_within(conn);
    match &done {
        Ok(_) => Manager::commit_transaction(conn)?,
        // The first error is the one to tell.
        Err(_) => drop(Manager::rollback_transaction(conn)),
    }
    done
}

/// Begins the transaction that nobody else migrates beside.
fn begin_alone(conn: &mut Conn) -> Result<(), OpenError> {
    match conn {
        Conn::Sqlite(c) => AnsiTransactionManager::begin_transaction_sql(c, "BEGIN IMMEDIATE")?,
        Conn::Postgres(c) => {
            AnsiTransactionManager::begin_transaction_sql(c, "BEGIN ISOLATION LEVEL READ COMMITTED")?;
            diesel::sql_query("SELECT pg_advisory_xact_lock($1)")
                .bind::<BigInt, _>(MIGRATION_LOCK)
                .execute(c)?;
            // A statement that waits for a table stops everybody behind it; better to fail and be started again (F18).
            c.batch_execute("SET LOCAL lock_timeout = 5000")?;
        }
    }
    Ok(())
}

fn apply_within(conn: &mut Conn) -> Result<Applied, OpenError> {
    // Again, now that nobody else can: another server may have been first.
    let before = applied(conn)?;
    let was_fresh = before.is_none();
    let before = before.unwrap_or_default();
    verify(conn, &before)?;
    on_both!(conn, c => c.setup())?;
    let versions = missing(&before);
    for version in &versions {
        let failed =
            |problem: String| OpenError::Migration { version: version.clone(), problem: one_line(&problem) };
        let done = match conn {
            Conn::Sqlite(c) => run(c, &SQLITE, version),
            Conn::Postgres(c) => run(c, &POSTGRES, version),
        };
        done.map_err(|e| failed(e.to_string()))?;
        if let Some(checksum) = checksum(conn, version) {
            meta::set(conn, &key(version), &checksum).map_err(|e| failed(e.to_string()))?;
            meta::set(conn, &oldest_key(version), OLDEST).map_err(|e| failed(e.to_string()))?;
        }
    }
    Ok(Applied { was_fresh, versions })
}

/// Runs the one migration of that version.
fn run<C, B>(conn: &mut C, source: &EmbeddedMigrations, version: &str) -> diesel::migration::Result<()>
where
    B: diesel::backend::Backend,
    C: MigrationHarness<B>,
    EmbeddedMigrations: diesel::migration::MigrationSource<B>,
{
    for migration in source.migrations()? {
        if migration.name().version().to_string() == version {
            let migration: &dyn Migration<B> = &migration;
            conn.run_migration(migration)?;
        }
    }
    Ok(())
}

/// The versions that were applied, oldest first; `None` when none ever was.
fn applied(conn: &mut Conn) -> Result<Option<Vec<String>>, OpenError> {
    let tables = match conn {
        Conn::Sqlite(c) => diesel::select(sql::<BigInt>(
            "(SELECT count(*) FROM sqlite_master WHERE name = '__diesel_schema_migrations')",
        ))
        .get_result::<i64>(c)?,
        Conn::Postgres(c) => diesel::select(sql::<BigInt>(
            "(SELECT count(*) FROM pg_catalog.pg_class WHERE oid = to_regclass('__diesel_schema_migrations'))",
        ))
        .get_result::<i64>(c)?,
    };
    if tables == 0 {
        return Ok(None);
    }
    Ok(Some(
        history_of::__diesel_schema_migrations
            .order(history_of::version)
            .select(history_of::version)
            .load::<String>(conn)?,
    ))
}

fn missing(applied: &[String]) -> Vec<String> {
    KNOWN.iter().map(|k| k.version.to_owned()).filter(|v| !applied.contains(v)).collect()
}

/// Refuses a database that a later release made, unless that one lets this one go on; and one whose migrations are not ours word for word.
/// Gives a migration of a later release.
fn verify(conn: &mut Conn, applied: &[String]) -> Result<Option<String>, OpenError> {
    let mut later = None;
    for version in applied {
        if let Some(expected) = checksum(conn, version) {
            if find(conn, &key(version))?.is_none_or(|kept| kept != expected) {
                return Err(OpenError::Changed(version.clone()));
            }
            continue;
        }
        let oldest = find(conn, &oldest_key(version))?;
        // A program that lacks a migration in the middle is of another line, and nobody thought of it.
        let goes_on = missing(applied).is_empty() && oldest.is_some_and(|oldest| is_known(&oldest));
        if !goes_on {
            return Err(OpenError::Newer(version.clone()));
        }
        later = Some(version.clone());
    }
    Ok(later)
}

fn is_known(version: &str) -> bool {
    KNOWN.iter().any(|known| known.version == version)
}

fn find(conn: &mut Conn, key: &str) -> Result<Option<String>, OpenError> {
    meta::find(conn, key).map_err(|e| OpenError::Unreachable(e.to_string()))
}

fn key(version: &str) -> String {
    format!("migration.{version}")
}

/// Where [`OLDEST`] stands in `meta` beside a migration, for older programs to read.
fn oldest_key(version: &str) -> String {
    format!("oldest_program.{version}")
}

/// SHA-256 of a migration's text for this database, as hex; `None` for a version that this binary does not know.
fn checksum(conn: &Conn, version: &str) -> Option<String> {
    let known = KNOWN.iter().find(|k| k.version == version)?;
    let text = match conn {
        Conn::Sqlite(_) => known.sqlite,
        Conn::Postgres(_) => known.postgres,
    };
    Some(sha256(text.as_bytes()).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use diesel::sqlite::Sqlite;

    #[test]
    fn what_is_embedded_is_what_checksums_are_taken_of() {
        let names = |source: &EmbeddedMigrations| -> Vec<String> {
            let migrations: Vec<Box<dyn Migration<Sqlite>>> = source.migrations().unwrap();
            let mut names: Vec<_> = migrations.iter().map(|m| m.name().version().to_string()).collect();
            names.sort();
            names
        };
        let known: Vec<_> = KNOWN.iter().map(|k| k.version.to_owned()).collect();
        assert_eq!(names(&SQLITE), known);
        assert_eq!(names(&POSTGRES), known);
    }

    #[test]
    fn the_oldest_program_that_may_go_on_is_one_that_there_was() {
        assert!(is_known(OLDEST));
    }
}
