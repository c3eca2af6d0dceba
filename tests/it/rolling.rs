//! Two releases on one schema (F18): what the next release does to the database, under a node of this one that runs and one that starts.
//!
//! The next release is not written yet. What stands here is what it would leave behind: a migration that only adds, noted as ours are, and
//! the word that this release may go on, which `store/migrate.rs` writes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection as _;
use serde_json::Value;

use crate::command_line::client_of;
use crate::process::{Place, sqlite};
use crate::world::{
    Browser, CALLBACK, PASSWORD, PostgresDatabase, Reply, TestClient, VERIFIER, authorize_path, environment,
    http,
};

const NEXT: &str = "29991231000000";

/// A place on either database.
pub struct Ground {
    pub place: Place,
    pub postgres: Option<PostgresDatabase>,
}

impl Ground {
    /// One on each database that there is.
    pub fn each() -> Vec<Self> {
        let mut all = vec![Self { place: Place::new(), postgres: None }];
        match PostgresDatabase::make_now() {
            Some(database) => {
                let mut place = Place::new();
                place.set("CNX_DATABASE_URL", &database.url);
                all.push(Self { place, postgres: Some(database) });
            }
            None => assert!(environment("TEST_POSTGRES_URL").is_none()),
        }
        all
    }

    /// Runs statements behind the server's back.
    pub fn execute(&self, sql: &str) {
        match &self.postgres {
            Some(database) => database.execute(sql),
            None => sqlite(&self.place.database())
                .batch_execute(&format!("PRAGMA busy_timeout = 5000; {sql}"))
                .unwrap(),
        }
    }

    /// What the next release does first. `oldest` is the last migration of the oldest program that may go on.
    fn widen(&self, oldest: &str) {
        self.execute(&format!(
            "BEGIN;
             ALTER TABLE clients ADD COLUMN next_release TEXT NOT NULL DEFAULT 'wider';
             ALTER TABLE families ADD COLUMN next_release INTEGER;
             CREATE TABLE next_release (id INTEGER NOT NULL PRIMARY KEY);
             INSERT INTO __diesel_schema_migrations (version) VALUES ('{NEXT}');
             INSERT INTO meta (key, value) VALUES ('migration.{NEXT}', 'a checksum of theirs');
             INSERT INTO meta (key, value) VALUES ('oldest_program.{NEXT}', '{oldest}');
             COMMIT"
        ));
    }
}

/// The last migration of this program.
fn newest() -> String {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite")).unwrap();
    let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    // `2026-11-27-000000_name` is 20261127000000.
    names.max().unwrap().split('_').next().unwrap().replace('-', "")
}

fn app(place: &Place) -> TestClient {
    let words = [
        "client",
        "add",
        "app",
        "--redirect-uri",
        CALLBACK,
        "--scope",
        "openid profile email offline_access",
    ];
    let made = place.json(&words);
    client_of(&made)
}

async fn ask(
    http: &reqwest::Client,
    base: &str,
    path: &str,
    client: &TestClient,
    form: &[(&str, &str)],
) -> Option<Reply> {
    let request = http.post(format!("{base}{path}")).basic_auth(&client.id, client.secret.as_deref());
    Some(Reply::of(request.form(form).send().await.ok()?).await)
}

async fn signed_in(http: &reqwest::Client, base: &str, client: &TestClient) -> Value {
    let code = Browser::new(base, http).authorize(&authorize_path(client, &[]), "ada").await.code();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let reply = ask(http, base, "/oauth2/token", client, &form).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()
}

/// The next tokens of a chain.
async fn refreshed(http: &reqwest::Client, base: &str, client: &TestClient, tokens: &Value) -> Value {
    let token = tokens["refresh_token"].as_str().unwrap();
    let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
    let reply = ask(http, base, "/oauth2/token", client, &form).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()
}

async fn is_active(http: &reqwest::Client, base: &str, client: &TestClient, tokens: &Value) -> bool {
    let token = tokens["access_token"].as_str().unwrap();
    let reply = ask(http, base, "/oauth2/introspect", client, &[("token", token)]).await.unwrap();
    reply.status == 200 && reply.json()["active"] == true
}

/// Serves through the migration of the next release, starts on it, and is the way back from it, with all data.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_the_next_release_widened_is_served_and_started_on_f18() {
    for ground in tokio::task::spawn_blocking(Ground::each).await.unwrap() {
        let place = &ground.place;
        let mut node = place.serve(&[]);
        place.json_with(
            &["user", "add", "ada@example.com", "--username", "ada", "--password-stdin"],
            Some(PASSWORD),
        );
        let (client, http, base) = (app(place), http(), place.base.as_str());
        tokio::time::sleep(Duration::from_secs(1)).await;
        let first = signed_in(&http, base, &client).await;
        let (stop, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
        // A chain of refreshes that never pauses, while the table under it gets its column.
        let traffic = async {
            let mut tokens = signed_in(&http, base, &client).await;
            while !stop.load(Ordering::SeqCst) {
                tokens = refreshed(&http, base, &client, &tokens).await;
                assert!(is_active(&http, base, &client, &tokens).await);
                asked.fetch_add(1, Ordering::SeqCst);
            }
            tokens
        };
        let widening = async {
            let until = async |most: usize| {
                while asked.load(Ordering::SeqCst) < most {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            until(10).await;
            tokio::task::block_in_place(|| ground.widen(&newest()));
            until(asked.load(Ordering::SeqCst) + 10).await;
            stop.store(true, Ordering::SeqCst);
        };
        let (last, ()) = tokio::join!(traffic, widening);
        node.kill();
        // This program finds a database that a later one widened; for that one it is the way back.
        let mut node = place.serve(&[]);
        assert!(
            node.err().contains("a later release widened this database") && node.err().contains(NEXT),
            "{}",
            node.err()
        );
        assert_eq!(place.run(&["migrate", "--check"]).code, Some(0));
        for tokens in [&first, &last] {
            assert!(is_active(&http, base, &client, tokens).await);
            let next = refreshed(&http, base, &client, tokens).await;
            assert!(is_active(&http, base, &client, &next).await);
        }
        // What it writes fits: whoever is new here has what the next release gives everybody.
        place.json_with(&["user", "add", "bob@example.com", "--password-stdin"], Some(PASSWORD));
        let other = app(place);
        tokio::time::sleep(Duration::from_secs(1)).await;
        signed_in(&http, base, &other).await;
        node.signal("TERM");
        assert!(node.wait(Duration::from_secs(20)).success());
    }
}

/// A release that took something away says so, and this one does not start on it.
#[test]
fn a_database_on_which_this_release_cannot_work_is_refused_and_not_touched_f18() {
    for ground in Ground::each() {
        let place = &ground.place;
        place.json(&["migrate"]);
        ground.widen(NEXT);
        let line = place.refused(&["serve"]);
        assert!(line.contains("newer than this program") && line.contains(NEXT), "{line}");
        // So is one that was made before there was such a word.
        ground.execute(&format!("DELETE FROM meta WHERE key = 'oldest_program.{NEXT}'"));
        assert_eq!(place.refused(&["serve"]), line);
        // And one of another line, which lacks a migration of ours in the middle.
        ground.execute(&format!(
            "INSERT INTO meta (key, value) VALUES ('oldest_program.{NEXT}', '{}');
             DELETE FROM __diesel_schema_migrations WHERE version = '20261126010000'",
            newest()
        ));
        assert_eq!(place.refused(&["serve"]), line);
    }
}

/// A statement that waits for a table holds up everybody behind it, so it gives up soon, and the next start does it.
#[test]
fn a_migration_that_has_to_wait_for_others_gives_up_and_leaves_nothing_f18() {
    let Some(database) = PostgresDatabase::make_now() else {
        assert!(environment("TEST_POSTGRES_URL").is_none());
        return;
    };
    let mut place = Place::new();
    place.set("CNX_DATABASE_URL", &database.url);
    let mut other = database.connection();
    other.batch_execute("BEGIN; CREATE TABLE families (x int)").unwrap();
    let began = Instant::now();
    let ended = place.run(&["migrate"]);
    let waited = began.elapsed();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains("lock timeout"), "{ended:?}");
    assert!(waited > Duration::from_secs(4) && waited < Duration::from_secs(15), "{waited:?}");
    other.batch_execute("ROLLBACK").unwrap();
    assert_eq!(place.json(&["migrate"])["applied"].as_array().unwrap().len(), crate::world::migrations());
}
