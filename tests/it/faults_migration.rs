//! `kill -9` in the middle of a migration, at its first start and at each statement (F19).

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::Text;

use crate::process::{Place, sqlite};
use crate::world::{PASSWORD, PostgresDatabase, environment};

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Text)]
    integrity_check: String,
}

/// The tables of a file, looked at and left alone.
fn tables(path: &Path) -> BTreeSet<String> {
    if !path.exists() {
        return BTreeSet::new();
    }
    let rows = diesel::sql_query("SELECT name FROM sqlite_master WHERE type = 'table'")
        .load::<Name>(&mut sqlite(path))
        .unwrap();
    rows.into_iter().map(|row| row.name).collect()
}

fn all_tables() -> BTreeSet<String> {
    let place = Place::new();
    place.json(&["migrate"]);
    let tables = tables(&place.database());
    assert!(tables.len() > 10, "{tables:?}");
    tables
}

/// What a start finds after whatever happened: a whole database, made now or before, that a person can be added to.
fn is_whole(place: &Place, all: &BTreeSet<String>) {
    place.json(&["migrate"]);
    assert_eq!(&tables(&place.database()), all);
    place.json_with(&["user", "add", "ada@example.com", "--password-stdin"], Some(PASSWORD));
    let mut conn = sqlite(&place.database());
    let answer = diesel::sql_query("PRAGMA integrity_check").get_result::<Answer>(&mut conn).unwrap();
    assert_eq!(answer.integrity_check, "ok");
}

/// The real thing, at moments that sweep over the whole first start: the key's file, the database's, the migration.
#[test]
fn a_first_start_that_is_killed_at_any_moment_is_done_again_by_the_next_f19() {
    let all = all_tables();
    let (mut nothing, mut half_way, mut done) = (0, 0, 0);
    let mut delay = Duration::from_micros(500);
    while done < 3 && delay < Duration::from_secs(3) {
        let place = Place::new();
        let mut node = place.launch(&["migrate"]);
        std::thread::sleep(delay);
        node.kill();
        let found = tables(&place.database());
        assert!(found.is_empty() || found == all, "half a migration after {delay:?}: {found:?}");
        match (found.is_empty(), place.data().exists()) {
            (false, _) => done += 1,
            (true, true) => half_way += 1,
            (true, false) => nothing += 1,
        }
        is_whole(&place, &all);
        delay += delay / 12 + Duration::from_micros(300);
    }
    assert!(nothing > 0 && done > 0, "{nothing} before, {half_way} in between, {done} after");
}

/// What lies on the disk when the process dies after each statement of a migration: the file and a log whose last
/// transaction has no commit.
#[test]
fn a_migration_that_was_cut_off_after_any_statement_is_rolled_back_and_done_f19() {
    let all = all_tables();
    let text = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sqlite/2026-11-23-000000_initial/up.sql"),
    )
    .unwrap();
    let without_comments: Vec<&str> =
        text.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let without_comments = without_comments.join("\n");
    let statements: Vec<&str> =
        without_comments.split(';').map(str::trim).filter(|s| !s.is_empty()).collect();
    assert!(statements.len() > 20, "{}", statements.len());
    for cut in (0..statements.len()).step_by(3).chain([statements.len()]) {
        let place = Place::new();
        std::fs::create_dir_all(place.data()).unwrap();
        let work = place.dir().join("work.db");
        let mut conn = sqlite(&work);
        // A cache of one page spills what was not committed into the log.
        conn.batch_execute(
            "PRAGMA journal_mode = WAL; PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN IMMEDIATE",
        )
        .unwrap();
        conn.batch_execute("CREATE TABLE __diesel_schema_migrations (version VARCHAR(50) PRIMARY KEY NOT NULL, run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)").unwrap();
        for statement in &statements[..cut] {
            conn.batch_execute(statement).unwrap();
        }
        for (from, to) in [("work.db", "cnx.db"), ("work.db-wal", "cnx.db-wal")] {
            let from = place.dir().join(from);
            if from.exists() {
                std::fs::copy(from, place.data().join(to)).unwrap();
            }
        }
        drop(conn);
        is_whole(&place, &all);
    }
}

/// On PostgreSQL the middle can be held: another transaction makes a table of the same name and does not commit.
#[test]
fn a_migration_that_is_killed_in_its_middle_leaves_nothing_on_postgresql_f19() {
    let Some(database) = PostgresDatabase::make_now() else {
        assert!(environment("TEST_POSTGRES_URL").is_none());
        return;
    };
    for table in ["clients", "families", "throttles"] {
        let mut place = Place::new();
        place.set("CNX_DATABASE_URL", &database.url);
        database.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
        let mut other = database.connection();
        other.batch_execute(&format!("BEGIN; CREATE TABLE {table} (x int)")).unwrap();
        let mut node = place.launch(&["migrate"]);
        std::thread::sleep(Duration::from_millis(1500));
        assert!(node.ended().is_none(), "{table}: it waits in the middle: {}", node.err());
        node.kill();
        other.batch_execute("ROLLBACK").unwrap();
        // The server that lost its client notices when it goes on; then nothing of the migration is there.
        let left = |conn: &mut PgConnection| {
            diesel::sql_query("SELECT tablename::text AS name FROM pg_tables WHERE schemaname = 'public'")
                .load::<Name>(conn)
                .unwrap()
                .len()
        };
        let began = std::time::Instant::now();
        while left(&mut other) > 0 {
            assert!(
                began.elapsed() < Duration::from_secs(10),
                "{table}: {} tables are left",
                left(&mut other)
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(place.json(&["migrate"])["applied"].as_array().unwrap().len(), 4, "{table}");
        assert_eq!(place.run(&["migrate", "--check"]).code, Some(0), "{table}");
        place.json_with(&["user", "add", "ada@example.com", "--password-stdin"], Some(PASSWORD));
    }
}
