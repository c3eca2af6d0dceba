//! The SQLite file under somebody else's hands: locked, damaged, served twice (F4, F5, F24).

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection as _;
use serde_json::json;

use crate::command_line::client_of;
use crate::process::{Place, sqlite};
use crate::wire;
use crate::world::{
    CALLBACK, On, PASSWORD, PostgresDatabase, Reply, TestClient, Tokens, VERIFIER, World, authorize_path,
};

const SECOND: Duration = Duration::from_secs(1);

/// Holds the write lock of a file for so long, on a thread of its own; comes back once it is held.
fn hold(path: &Path, how: &'static str, seconds: u64) -> std::thread::JoinHandle<()> {
    let path = path.to_owned();
    let (held, is_held) = std::sync::mpsc::channel();
    let holder = std::thread::spawn(move || {
        let mut other = sqlite(&path);
        other.batch_execute("PRAGMA busy_timeout = 5000").unwrap();
        other.batch_execute(how).unwrap();
        held.send(()).unwrap();
        std::thread::sleep(Duration::from_secs(seconds));
        other.batch_execute("ROLLBACK").unwrap();
    });
    is_held.recv().unwrap();
    holder
}

fn database(world: &World) -> std::path::PathBuf {
    world.settings.database_url.sqlite_path().unwrap().to_owned()
}

fn refresh(token: &str) -> [(&'static str, &str); 2] {
    [("grant_type", "refresh_token"), ("refresh_token", token)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_locked_for_a_second_costs_a_second_f4() {
    for how in ["BEGIN EXCLUSIVE", "BEGIN IMMEDIATE"] {
        let world = World::new(On::Sqlite).await.unwrap();
        let client = world.web_client().await;
        world.add_user("ada").await;
        let tokens = world.browser().tokens(&world, &client, &[], "ada").await;
        let holder = hold(&database(&world), how, 1);
        let began = Instant::now();
        let reply = world.token(&client, &refresh(tokens.refresh())).await;
        assert_eq!(reply.status, 200, "{how}: {}", reply.text);
        assert!(began.elapsed() > SECOND / 2, "{how}: it waited for the lock: {:?}", began.elapsed());
        holder.join().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_locked_for_long_is_a_503_for_writes_while_reads_go_on_f4() {
    let world = World::new(On::Sqlite).await.unwrap();
    let client = world.web_client().await;
    world.add_user("ada").await;
    let browser = world.browser();
    let tokens = browser.tokens(&world, &client, &[], "ada").await;
    let callback = browser.authorize(&authorize_path(&client, &[]), "ada").await;
    let code = callback.code();
    // A session that was not seen for a while would be written to when it is read.
    world.advance(50);
    let page = world.browser().open("/sign-in").await;

    let holder = hold(&database(&world), "BEGIN EXCLUSIVE", 8);
    let began = Instant::now();
    let reads = async {
        while began.elapsed() < 7 * SECOND {
            let one = Instant::now();
            assert_eq!(world.get("/.well-known/openid-configuration").await.status, 200);
            assert_eq!(world.get("/.well-known/jwks.json").await.status, 200);
            assert_eq!(world.user_info(&tokens.access).await.status, 200);
            assert_eq!(world.introspect(&client, &tokens.access).await["active"], true);
            let silent = browser.open(&authorize_path(&client, &[("prompt", "none")])).await;
            assert!(silent.callback().get("code").is_some(), "{silent:?}");
            assert_eq!(world.get("/readyz").await.status, 200);
            assert!(one.elapsed() < SECOND, "reading takes {:?}", one.elapsed());
            tokio::time::sleep(SECOND / 4).await;
        }
    };
    let grant = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let refresh_form = refresh(tokens.refresh());
    let writes = async {
        let (refreshed, redeemed, signed_in, revoked) = tokio::join!(
            world.token(&client, &refresh_form),
            world.token(&client, &grant),
            async {
                let browser = world.browser();
                let page = browser.open("/sign-in").await;
                browser.submit(&page, &[("username", "ada"), ("password", PASSWORD)]).await
            },
            world.post("/oauth2/revoke", Some(&client), &[("token", "cnx_rt_nothing")]),
        );
        for (what, reply) in [("a refresh", &refreshed), ("a code", &redeemed)] {
            assert_eq!(
                (reply.status, reply.error().as_str()),
                (503, "temporarily_unavailable"),
                "{what}: {}",
                reply.text
            );
            assert!(reply.header("retry-after").is_some_and(|v| v.parse::<u32>().is_ok()), "{what}");
            assert!(reply.header("cache-control").is_some_and(|v| v.contains("no-store")), "{what}");
        }
        assert_eq!(signed_in.status, 503, "{}", signed_in.text);
        assert!(signed_in.header("retry-after").is_some() && signed_in.text.contains("sign-in-submit"));
        assert!(matches!(revoked.status, 200 | 503), "a token that is none needs no write");
        let took = began.elapsed();
        assert!(took > 4 * SECOND && took < 7 * SECOND, "five seconds is how long it waits: {took:?}");
    };
    tokio::join!(reads, writes);
    assert_eq!(page.status, 200);
    holder.join().unwrap();

    // What was refused was not done: each works now, once.
    let again = world.token(&client, &refresh(tokens.refresh())).await;
    assert_eq!(again.status, 200, "{}", again.text);
    assert_eq!(world.token(&client, &grant).await.status, 200);
    assert_eq!(world.token(&client, &grant).await.error(), "invalid_grant");
    let browser = world.browser();
    let page = browser.open("/sign-in").await;
    assert_eq!(browser.sign_in(&page, "ada").await.status, 200);
    assert!(browser.cookie("cnx_session").is_some());
}

/// The first write after a long pause is due when a session is only read; it must not make the reader wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_only_read_waits_for_no_lock_f4() {
    let world = World::new(On::Sqlite).await.unwrap();
    let client = world.web_client().await;
    world.add_user("ada").await;
    let browser = world.browser();
    browser.tokens(&world, &client, &[], "ada").await;
    world.advance(400);
    let holder = hold(&database(&world), "BEGIN IMMEDIATE", 3);
    let began = Instant::now();
    let silent = browser.open(&authorize_path(&client, &[("prompt", "none")])).await;
    assert!(silent.callback().get("code").is_some(), "{silent:?}");
    assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
    holder.join().unwrap();
}

/// A place where a server ran, a person signed in and everything was written to the file.
async fn lived_in() -> (Place, TestClient, Tokens) {
    let place = Place::new();
    place.json_with(&["user", "add", "ada@example.com", "--password-stdin"], Some(PASSWORD));
    let added = place.json(&["client", "add", "App", "--redirect-uri", CALLBACK]);
    let client = client_of(&added);
    let mut node = place.serve(&[]);
    let http = crate::world::http();
    let browser = crate::world::Browser::new(&place.base, &http);
    let mut tokens = None;
    for _ in 0..30 {
        let code = browser.authorize(&authorize_path(&client, &[]), "ada").await.code();
        let grant = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        tokens = Some(Tokens::of(&post(&place, &client, "/oauth2/token", &grant).await));
    }
    node.signal("TERM");
    assert_eq!(node.wait(10 * SECOND).code(), Some(0));
    (place, client, tokens.unwrap())
}

async fn post(place: &Place, client: &TestClient, path: &str, form: &[(&str, &str)]) -> Reply {
    let request = crate::world::http()
        .post(format!("{}{path}", place.base))
        .basic_auth(&client.id, client.secret.as_deref());
    Reply::of(request.form(form).send().await.unwrap()).await
}

/// Writes over a part of the file, without cutting it.
fn overwrite(path: &Path, from: u64, bytes: &[u8]) {
    let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(from)).unwrap();
    file.write_all(bytes).unwrap();
    file.sync_all().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_or_one_that_is_no_database_stops_the_start_and_is_not_touched_f5() {
    let (place, _, _) = lived_in().await;
    let path = place.database();
    let sound = std::fs::read(&path).unwrap();
    assert!(sound.len() > 16 * 4096, "{}", sound.len());
    let at =
        format!("cnx: database_url sqlite:{}: the database {} is damaged: ", path.display(), path.display());
    let mut flipped = sound.clone();
    for byte in &mut flipped[3 * 4096..9 * 4096] {
        *byte ^= 0x5a;
    }
    let cut = sound[..sound.len() - 5000].to_vec();
    let mut wrong_head = sound.clone();
    wrong_head[..16].copy_from_slice(b"SQLite format 4\0");
    for (bytes, what) in [
        (flipped, "flipped bytes"),
        (cut, "cut short"),
        (sound[..10].to_vec(), "ten bytes"),
        (wrong_head, "another head"),
        (vec![b'x'; 100_000], "no database at all"),
        (b"just a text file\n".to_vec(), "a text file"),
    ] {
        std::fs::write(&path, &bytes).unwrap();
        for command in [&["serve"][..], &["user", "list"]] {
            let line = place.refused(command);
            assert!(
                line.starts_with(&at) && line.ends_with("; restore a backup, nothing was changed"),
                "{what}: {line}"
            );
        }
    }
    // A sound file of somebody else.
    std::fs::remove_file(&path).unwrap();
    sqlite(&path).batch_execute("CREATE TABLE songs (name TEXT); INSERT INTO songs VALUES ('x')").unwrap();
    let line = place.refused(&["serve"]);
    assert!(
        line.ends_with(" holds tables of another program; name a new file or an empty database"),
        "{line}"
    );
    std::fs::write(&path, &sound).unwrap();
    assert_eq!(
        place.json(&["user", "list"])["users"].as_array().unwrap().len(),
        1,
        "the sound one opens as before"
    );
}

#[test]
fn a_file_in_a_fresh_folder_that_is_no_database_leaves_no_trace_f5() {
    let mut place = Place::new();
    let other = place.dir().join("other.db");
    std::fs::write(&other, "this is a text").unwrap();
    place.set("CNX_DATABASE_URL", &format!("sqlite:{}", other.display()));
    let line = place.refused(&["serve"]);
    assert!(line.contains("is damaged: "), "{line}");
}

/// A large file is looked through beside the work: a start does not wait for it, and what is found says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_page_of_a_large_file_is_found_after_the_start_f5() {
    let (place, _, _) = lived_in().await;
    sqlite(&place.database())
        .batch_execute(
            "CREATE TABLE of_a_test (x TEXT); INSERT INTO of_a_test VALUES (hex(zeroblob(5242880)))",
        )
        .unwrap();
    let size = std::fs::metadata(place.database()).unwrap().len();
    assert!(size > 9 << 20, "{size}");
    overwrite(&place.database(), size - 40 * 4096, &vec![0xa5; 8 * 4096]);
    let node = place.serve(&[]);
    let began = std::time::Instant::now();
    while wire::get(&place.base, "/readyz").status() == 200 {
        assert!(began.elapsed().as_secs() < 30, "nothing was found: {}", node.err());
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(
        node.err().contains("the database file is damaged; restore a backup and start again"),
        "{}",
        node.err()
    );
}

/// Damage under a running server: what cannot be read is a 503, never a yes and never a no, and readiness says so until
/// somebody restores a backup.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_while_running_is_a_503_and_never_fails_open_f5() {
    let (place, client, tokens) = lived_in().await;
    let sound = std::fs::read(place.database()).unwrap();
    let node = place.serve(&[]);
    assert_eq!(wire::get(&place.base, "/readyz").status(), 200);
    let size = std::fs::metadata(place.database()).unwrap().len();
    // All but the first two pages; the server has looked at what it needed for its start and keeps that in memory.
    overwrite(&place.database(), 2 * 4096, &vec![0xa5; usize::try_from(size).unwrap() - 2 * 4096]);

    let unavailable = |reply: &Reply, what: &str| {
        assert_eq!(reply.status, 503, "{what}: {}", reply.text);
        assert!(reply.header("retry-after").is_some(), "{what}");
    };
    unavailable(
        &post(&place, &client, "/oauth2/introspect", &[("token", &tokens.access)]).await,
        "introspection",
    );
    unavailable(&post(&place, &client, "/oauth2/token", &refresh(tokens.refresh())).await, "a refresh");
    unavailable(
        &post(&place, &client, "/oauth2/revoke", &[("token", tokens.refresh())]).await,
        "a revocation",
    );
    let http = crate::world::http();
    let request = http.get(format!("{}/oauth2/userinfo", place.base)).bearer_auth(&tokens.access);
    unavailable(&Reply::of(request.send().await.unwrap()).await, "userinfo");
    let browser = crate::world::Browser::new(&place.base, &http);
    let page = browser.open("/sign-in").await;
    unavailable(&browser.sign_in(&page, "ada").await, "a sign-in");
    assert!(browser.cookie("cnx_session").is_none());

    let ready = wire::get(&place.base, "/readyz");
    assert_eq!(ready.status(), 503, "{}", ready.text);
    let body: serde_json::Value = serde_json::from_str(ready.body()).unwrap();
    assert_eq!(body, json!({"status": "failed", "database": "failed", "signing_keys": "ok"}));
    assert_eq!(wire::get(&place.base, "/healthz").status(), 200, "alive all the same");
    assert_eq!(
        wire::get(&place.base, "/.well-known/jwks.json").status(),
        200,
        "and tokens can be verified by others"
    );
    assert!(
        node.err().contains("the database file is damaged; restore a backup and start again"),
        "{}",
        node.err()
    );
    drop(node);
    for left in ["cnx.db-wal", "cnx.db-shm"] {
        drop(std::fs::remove_file(place.data().join(left)));
    }
    assert!(place.refused(&["serve"]).contains("is damaged: "));
    std::fs::write(place.database(), sound).unwrap();
    let _node = place.serve(&[]);
    assert_eq!(
        post(&place, &client, "/oauth2/token", &refresh(tokens.refresh())).await.status,
        200,
        "the backup is as it was"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_on_one_file_is_refused_f24() {
    let place = Place::new();
    let first = place.serve(&[]);
    let mut second = Place::new();
    second.set("CNX_DATA_DIR", &place.data().display().to_string());
    let ended = second.run(&["serve"]);
    let line = format!(
        "cnx: database_url sqlite:{0}: another server runs on {0}; stop it first",
        place.database().display()
    );
    assert_eq!((ended.code, ended.err.trim_end(), ended.out.as_str()), (Some(1), line.as_str(), ""));
    assert_eq!(wire::get(&place.base, "/readyz").status(), 200, "the first goes on");
    place.json_with(&["user", "add", "ada@example.com", "--password-stdin"], Some(PASSWORD));
    drop(first);
    // The lock goes with the process, however it went.
    let _after = second.serve(&[]);
    assert_eq!(wire::get(&second.base, "/readyz").status(), 200);
}

/// On PostgreSQL any number of nodes serve one issuer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_node_on_postgresql_is_welcome_f24() {
    let Some(database) = PostgresDatabase::make().await else { return };
    let mut first = Place::new();
    first.set("CNX_DATABASE_URL", &database.url);
    let _one = first.serve(&[]);
    let mut second = Place::new();
    second.set("CNX_DATABASE_URL", &database.url).set("CNX_PUBLIC_URL", &first.base);
    second.set("CNX_MASTER_KEY_FILE", &first.data().join("master.key").display().to_string());
    let _two = second.serve(&[]);
    let keys = |place: &Place| wire::get(&place.base, "/.well-known/jwks.json").body().to_owned();
    assert_eq!(keys(&first), keys(&second));
    let mut stranger = Place::new();
    stranger.set("CNX_DATABASE_URL", &database.url);
    let line = stranger.refused(&["serve"]);
    assert!(line.contains("the file is missing, and the database was made with it"), "{line}");
}
