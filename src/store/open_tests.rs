//! Tests of opening: what is refused, that it changes nothing, and that both databases get the same tables.

use std::collections::BTreeSet;
use std::fs;

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};

use super::conn::{Conn, open_postgres_for_migrations, open_writer};
use super::testing::{World, race};
use super::{OpenError, Store, StoreOptions, meta, migrate};

fn at(path: &std::path::Path) -> StoreOptions {
    StoreOptions::new(format!("sqlite:{}", path.display()))
}

#[test]
fn a_newer_database_is_refused_with_one_line_and_not_touched() {
    for world in World::each() {
        world
            .write(|c| {
                c.batch_execute(
                    "INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101000000')",
                )?;
                Ok(())
            })
            .unwrap();
        world.store.close();
        let error = Store::open(&world.options).unwrap_err();
        assert!(matches!(&error, OpenError::Newer(v) if v == "99990101000000"), "{error}");
        assert!(!error.to_string().contains('\n'));
        assert!(matches!(migrate::pending(&world.options), Err(OpenError::Newer(_))));
    }
}

#[test]
fn a_migration_that_was_changed_after_it_was_applied_is_refused() {
    for world in World::each() {
        world.write(|c| meta::set(c, "migration.20261123000000", "0123")).unwrap();
        world.store.close();
        assert!(matches!(Store::open(&world.options), Err(OpenError::Changed(_))));
    }
}

#[test]
fn looking_for_pending_migrations_makes_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cnx.db");
    let pending = migrate::pending(&at(&path)).unwrap();
    let there = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite")).unwrap().count();
    assert_eq!((pending.len(), pending.first().map(String::as_str)), (there, Some("20261123000000")));
    assert!(!path.exists());
    let store = Store::open(&at(&path)).unwrap();
    assert!(store.is_fresh());
    assert!(migrate::pending(&at(&path)).unwrap().is_empty());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_migration_that_breaks_off_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cnx.db");
    let mut conn = open_writer(&path, &at(&path)).unwrap();
    // The last table of the migration is in its way: everything before it must be undone.
    conn.batch_execute("CREATE TABLE throttles (x)").unwrap();
    let error = migrate::apply(&mut conn).unwrap_err();
    assert!(matches!(error, OpenError::Migration { .. }), "{error}");
    let tables = tables(&mut conn);
    assert_eq!(tables.into_iter().collect::<Vec<_>>(), ["throttles"]);
    conn.batch_execute("DROP TABLE throttles").unwrap();
    assert!(migrate::apply(&mut conn).unwrap().was_fresh);
}

#[test]
fn servers_that_start_together_migrate_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cnx.db");
    let mut all = vec![at(&path)];
    let database = super::testing::postgres_database();
    all.extend(database.as_ref().map(|(options, _)| options.clone()));
    for options in all {
        let fresh = race(4, |_| Store::open(&options).unwrap().is_fresh());
        assert_eq!(fresh.iter().filter(|f| **f).count(), 1);
    }
    if let Some((_, (server, name))) = database {
        let mut conn = open_postgres_for_migrations(&server).unwrap();
        conn.batch_execute(&format!("DROP DATABASE \"{name}\" WITH (FORCE)")).unwrap();
    }
}

#[test]
fn a_file_that_is_no_database_or_damaged_or_foreign_is_refused_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cnx.db");
    let refused = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let error = Store::open(&at(&path)).unwrap_err();
        assert!(!error.to_string().contains('\n'), "{error}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "{error}");
        error
    };
    assert!(matches!(refused(b"short"), OpenError::Damaged { .. }));
    assert!(matches!(refused(&[b'x'; 5000]), OpenError::Damaged { .. }));

    let world = World::sqlite();
    for n in 0..300 {
        world.write(move |c| meta::set(c, &format!("row {n}"), &"x".repeat(300))).unwrap();
    }
    world.store.close();
    let sound = fs::read(world.path()).unwrap();
    assert!(matches!(refused(&sound[..sound.len() / 2]), OpenError::Damaged { .. }), "cut short");
    let mut flipped = sound.clone();
    for page in flipped.chunks_mut(4096).skip(1) {
        page[..200].fill(0xA5);
    }
    assert!(matches!(refused(&flipped), OpenError::Damaged { .. }), "flipped");

    fs::remove_file(&path).unwrap();
    let mut conn = open_writer(&path, &at(&path)).unwrap();
    conn.batch_execute("PRAGMA journal_mode = DELETE").unwrap();
    conn.batch_execute("CREATE TABLE songs (title TEXT)").unwrap();
    drop(conn);
    let foreign = fs::read(&path).unwrap();
    assert!(matches!(refused(&foreign), OpenError::Foreign(_)));
}

#[test]
fn a_folder_that_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing").join("cnx.db");
    let error = Store::open(&at(&path)).unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
}

#[derive(QueryableByName, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Column {
    #[diesel(sql_type = Text)]
    table: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Bool)]
    nullable: bool,
    #[diesel(sql_type = Text)]
    kind: String,
}

fn columns(conn: &mut Conn) -> BTreeSet<Column> {
    let rows: Vec<Column> = match conn {
        Conn::Sqlite(c) => diesel::sql_query(
            "SELECT m.name AS \"table\", p.name AS name, p.\"notnull\" = 0 AND p.pk = 0 AS nullable, p.type AS kind \
             FROM sqlite_master m JOIN pragma_table_info(m.name) p \
             WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' AND m.name NOT LIKE '\\_\\_%' ESCAPE '\\'",
        )
        .load(c)
        .unwrap(),
        Conn::Postgres(c) => diesel::sql_query(
            "SELECT table_name::text AS \"table\", column_name::text AS name, is_nullable = 'YES' AS nullable, \
             data_type::text AS kind FROM information_schema.columns \
             WHERE table_schema = 'public' AND table_name NOT LIKE '\\_\\_%'",
        )
        .load(c)
        .unwrap(),
    };
    rows.into_iter()
        .map(|column| Column {
            kind: match column.kind.as_str() {
                "bigint" | "integer" | "smallint" | "boolean" | "INTEGER" => "number".to_owned(),
                "bytea" | "BLOB" => "bytes".to_owned(),
                "text" | "TEXT" => "text".to_owned(),
                other => other.to_owned(),
            },
            ..column
        })
        .collect()
}

fn tables(conn: &mut Conn) -> BTreeSet<String> {
    columns(conn).into_iter().map(|c| c.table).collect()
}

fn indexes(conn: &mut Conn) -> BTreeSet<String> {
    #[derive(QueryableByName)]
    struct Index {
        #[diesel(sql_type = Text)]
        name: String,
    }
    let rows: Vec<Index> = match conn {
        Conn::Sqlite(c) => {
            diesel::sql_query("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
                .load(c)
        }
        Conn::Postgres(c) => diesel::sql_query(
            "SELECT indexname::text AS name FROM pg_indexes WHERE schemaname = 'public' \
             AND indexname NOT LIKE '%\\_pkey' AND indexname NOT LIKE '%\\_key'",
        )
        .load(c),
    }
    .unwrap();
    rows.into_iter().map(|i| i.name).collect()
}

#[test]
fn both_databases_have_the_same_tables_columns_nullability_and_indexes() {
    let lite = World::sqlite();
    let ours = lite.read(|c| Ok((columns(c), indexes(c)))).unwrap();
    assert_eq!(ours.0.iter().map(|c| c.table.as_str()).collect::<BTreeSet<_>>().len(), 27);
    let Some(world) = World::postgres() else { return };
    let theirs = world.read(|c| Ok((columns(c), indexes(c)))).unwrap();
    assert_eq!(ours, theirs);
}

#[test]
fn every_migration_can_be_undone() {
    for world in World::each() {
        world
            .write(|c| {
                let newest_first = [
                    (
                        include_str!("../../migrations/sqlite/2026-11-27-000000_identity_providers/down.sql"),
                        include_str!(
                            "../../migrations/postgres/2026-11-27-000000_identity_providers/down.sql"
                        ),
                    ),
                    (
                        include_str!("../../migrations/sqlite/2026-11-26-030000_people/down.sql"),
                        include_str!("../../migrations/postgres/2026-11-26-030000_people/down.sql"),
                    ),
                    (
                        include_str!("../../migrations/sqlite/2026-11-26-020000_audit/down.sql"),
                        include_str!("../../migrations/postgres/2026-11-26-020000_audit/down.sql"),
                    ),
                    (
                        include_str!("../../migrations/sqlite/2026-11-26-010000_organization_burst/down.sql"),
                        include_str!(
                            "../../migrations/postgres/2026-11-26-010000_organization_burst/down.sql"
                        ),
                    ),
                    (
                        include_str!("../../migrations/sqlite/2026-11-26-000000_api_keys/down.sql"),
                        include_str!("../../migrations/postgres/2026-11-26-000000_api_keys/down.sql"),
                    ),
                    (
                        include_str!("../../migrations/sqlite/2026-11-25-000000_machines/down.sql"),
                        include_str!("../../migrations/postgres/2026-11-25-000000_machines/down.sql"),
                    ),
                    (
                        include_str!("../../migrations/sqlite/2026-11-23-000000_initial/down.sql"),
                        include_str!("../../migrations/postgres/2026-11-23-000000_initial/down.sql"),
                    ),
                ];
                for (lite, postgres) in newest_first {
                    c.batch_execute(if matches!(c, Conn::Sqlite(_)) { lite } else { postgres })?;
                }
                assert!(tables(c).is_empty());
                Ok(())
            })
            .unwrap();
    }
}
