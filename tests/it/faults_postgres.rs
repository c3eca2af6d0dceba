//! PostgreSQL that is down, hangs, became read-only, or has no connection left (F7, F8).

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cnx::base::time::{Clock, Timestamp};
use cnx::config::DatabaseUrl;
use diesel::connection::SimpleConnection as _;
use futures_util::future::join_all;

use crate::world::{
    CALLBACK, On, PASSWORD, Reply, START, TestClient, Tokens, VERIFIER, World, authorize_path, environment,
    free_port,
};

const SECOND: Duration = Duration::from_secs(1);

/// Two seconds are promised; the rest is for a machine that does other things as well.
const IN_TIME: Duration = Duration::from_millis(3200);

/// A throw-away PostgreSQL of one test, to be stopped and started.
struct Postgres {
    dir: tempfile::TempDir,
    bin: PathBuf,
    user: Option<String>,
    port: u16,
    running: Option<Child>,
}

impl Postgres {
    /// `None` where `tests/run` found none, which is said.
    fn make() -> Option<Self> {
        let bin = PathBuf::from(environment("TEST_POSTGRES_BIN")?);
        // PostgreSQL refuses to run as root; then tests/run names an account that may.
        let root =
            std::fs::metadata("/proc/self").is_ok_and(|data| std::os::unix::fs::MetadataExt::uid(&data) == 0);
        let user = environment("TEST_POSTGRES_USER").filter(|_| root);
        let dir = tempfile::tempdir().unwrap();
        if let Some(user) = &user {
            assert!(Command::new("chown").arg(user).arg(dir.path()).status().unwrap().success());
        }
        let mut made = Self { dir, bin, user, port: free_port(), running: None };
        let data = made.data();
        let done = made
            .program("initdb")
            .args(["-D", &data, "-U", "cnx", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"])
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        made.start();
        Some(made)
    }

    fn data(&self) -> String {
        self.dir.path().join("data").display().to_string()
    }

    fn program(&self, name: &str) -> Command {
        let program = self.bin.join(name);
        let mut command = match &self.user {
            None => Command::new(program),
            Some(user) => {
                let mut command = Command::new("setpriv");
                command
                    .args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups", "--"])
                    .arg(program);
                command
            }
        };
        command.current_dir(self.dir.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn url(&self) -> String {
        format!("postgres://cnx@127.0.0.1:{}/postgres", self.port)
    }

    fn start(&mut self) {
        let (data, port, sockets) =
            (self.data(), self.port.to_string(), self.dir.path().display().to_string());
        let command = &[
            "-D",
            &data,
            "-p",
            &port,
            "-k",
            &sockets,
            "-c",
            "fsync=off",
            "-c",
            "listen_addresses=127.0.0.1",
        ];
        self.running = Some(self.program("postgres").args(command).spawn().unwrap());
        let began = Instant::now();
        while !self.program("pg_isready").args(["-h", "127.0.0.1", "-p", &port]).status().unwrap().success() {
            assert!(began.elapsed() < 20 * SECOND, "PostgreSQL does not start");
            std::thread::sleep(SECOND / 20);
        }
    }

    /// A fast stop: clients are thrown out.
    fn stop(&mut self) {
        self.signal("INT");
        drop(self.running.take().unwrap().wait());
    }

    fn signal(&self, name: &str) {
        signal(self.running.as_ref().unwrap().id(), name);
    }

    /// The server and each of its processes stand still, or go on: connections stay open and nobody answers.
    fn everybody(&self, name: &str) {
        let id = self.running.as_ref().unwrap().id();
        self.signal(name);
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        for child in children.split_whitespace() {
            signal(child.parse().unwrap(), name);
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            signal(running.id(), "CONT");
            signal(running.id(), "INT");
            drop(running.wait());
        }
    }
}

fn signal(id: u32, name: &str) {
    drop(Command::new("sh").args(["-c", &format!("kill -{name} {id}")]).stderr(Stdio::null()).status());
}

fn refresh(token: &str) -> [(&'static str, &str); 2] {
    [("grant_type", "refresh_token"), ("refresh_token", token)]
}

/// What an answer is when the database does not answer: in time, try again, and nothing that was decided.
fn is_unavailable(reply: &Reply, began: Instant, what: &str) {
    assert_eq!(reply.status, 503, "{what}: {}", reply.text);
    assert!(reply.header("retry-after").is_some_and(|v| v.parse::<u32>().is_ok()), "{what}");
    assert!(began.elapsed() < IN_TIME, "{what} took {:?}", began.elapsed());
}

async fn nothing_is_decided(world: &World, client: &TestClient, tokens: &Tokens, what: &str) {
    let began = Instant::now();
    is_unavailable(
        &world.token(client, &refresh(tokens.refresh())).await,
        began,
        &format!("{what}: a refresh"),
    );
    // Many at once pile up no threads and wait no longer.
    let began = Instant::now();
    let many = join_all((0..60).map(|n| {
        let form = if n % 2 == 0 {
            vec![("token", tokens.access.as_str())]
        } else {
            vec![("token", tokens.refresh())]
        };
        async move { world.post("/oauth2/introspect", Some(client), &form).await }
    }))
    .await;
    for reply in &many {
        is_unavailable(reply, began, &format!("{what}: introspection"));
    }
    let began = Instant::now();
    is_unavailable(&world.user_info(&tokens.access).await, began, &format!("{what}: userinfo"));
    let browser = world.browser();
    let page = browser.open("/sign-in").await;
    assert_eq!(page.status, 200, "the page itself needs no database");
    let began = Instant::now();
    is_unavailable(&browser.sign_in(&page, "ada").await, began, &format!("{what}: a sign-in"));
    assert!(browser.cookie("cnx_session").is_none());
    for (path, status) in [
        ("/.well-known/openid-configuration", 200),
        ("/.well-known/jwks.json", 200),
        ("/healthz", 200),
        ("/readyz", 503),
    ] {
        let began = Instant::now();
        assert_eq!(world.get(path).await.status, status, "{what}: {path}");
        assert!(
            began.elapsed() < if path == "/readyz" { IN_TIME } else { SECOND / 2 },
            "{what}: {path} took {:?}",
            began.elapsed()
        );
    }
    let began = Instant::now();
    let machine = world.token(client, &[("grant_type", "client_credentials")]).await;
    assert!(matches!(machine.status, 200 | 503) && began.elapsed() < IN_TIME, "{what}: {}", machine.text);
}

/// Within five seconds and without a restart everything works again, and what was refused was not done.
async fn recovers(world: &World, client: &TestClient, tokens: &Tokens, what: &str) -> Tokens {
    let began = Instant::now();
    while world.get("/readyz").await.status != 200 {
        assert!(began.elapsed() < 5 * SECOND, "{what}: not ready after {:?}", began.elapsed());
        tokio::time::sleep(SECOND / 10).await;
    }
    let reply = world.token(client, &refresh(tokens.refresh())).await;
    assert_eq!(reply.status, 200, "{what}: {}", reply.text);
    let tokens = Tokens::of(&reply);
    assert_eq!(world.user_info(&tokens.access).await.status, 200, "{what}");
    let many = join_all((0..20).map(|_| world.introspect(client, &tokens.access))).await;
    assert!(many.iter().all(|seen| seen["active"] == true), "{what}");
    tokens
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_stops_hangs_or_is_read_only_is_a_503_and_recovers_by_itself_f7() {
    let Some(mut postgres) = Postgres::make() else {
        assert!(environment("TEST_POSTGRES_BIN").is_none());
        return;
    };
    let url = DatabaseUrl::parse(&postgres.url()).unwrap();
    let world = World::with(On::Sqlite, Clock::manual(Timestamp::from_secs(START)), |settings| {
        settings.database_url = url;
    })
    .await
    .unwrap();
    let client = world.web_client().await;
    world.add_user("ada").await;
    let browser = world.browser();
    let tokens = browser.tokens(&world, &client, &[], "ada").await;

    postgres.stop();
    nothing_is_decided(&world, &client, &tokens, "stopped").await;
    let began = Instant::now();
    let answer = browser.get(&authorize_path(&client, &[])).await.callback();
    assert_eq!(
        answer.error(),
        "temporarily_unavailable",
        "a session that cannot be read is neither there nor gone"
    );
    assert_eq!((answer.get("state"), answer.get("code")), (Some("state-1"), None));
    assert!(began.elapsed() < IN_TIME, "{:?}", began.elapsed());
    postgres.start();
    let tokens = recovers(&world, &client, &tokens, "stopped").await;

    let code = browser.authorize(&authorize_path(&client, &[]), "ada").await.code();
    let redeemed = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    postgres.everybody("STOP");
    let began = Instant::now();
    is_unavailable(&world.token(&client, &redeemed).await, began, "hanging: a code");
    nothing_is_decided(&world, &client, &tokens, "hanging").await;
    postgres.everybody("CONT");
    let tokens = recovers(&world, &client, &tokens, "hanging").await;
    // What was under way when its caller was told to ask again is not done behind their back: it would spend the code, or end what the code
    // began when it was asked again.
    let reply = world.token(&client, &redeemed).await;
    assert_eq!(reply.status, 200, "the code is as good as before: {}", reply.text);
    tokio::time::sleep(SECOND / 2).await;
    let reply = world.token(&client, &refresh(Tokens::of(&reply).refresh())).await;
    assert_eq!(reply.status, 200, "and so is what it began: {}", reply.text);

    // As a replica that was not promoted yet: reads go on, writes wait for better times.
    let set = |word: &str| {
        let mut other = crate::world::connect(&postgres.url());
        other.batch_execute(&format!("ALTER SYSTEM SET default_transaction_read_only = {word}")).unwrap();
        other.batch_execute("SELECT pg_reload_conf()").unwrap();
    };
    set("on");
    tokio::time::sleep(SECOND / 2).await;
    let began = Instant::now();
    is_unavailable(&world.token(&client, &refresh(tokens.refresh())).await, began, "read-only: a refresh");
    assert_eq!(world.introspect(&client, &tokens.access).await["active"], true);
    assert_eq!(world.user_info(&tokens.access).await.status, 200);
    let mut other = crate::world::connect(&postgres.url());
    other.batch_execute("SET default_transaction_read_only = off").unwrap();
    other.batch_execute("ALTER SYSTEM RESET default_transaction_read_only").unwrap();
    other.batch_execute("SELECT pg_reload_conf()").unwrap();
    tokio::time::sleep(SECOND / 2).await;
    recovers(&world, &client, &tokens, "read-only").await;
    assert!(PASSWORD.len() > 15);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_and_200_clients_are_a_bounded_queue_f8() {
    let clock = Clock::manual(Timestamp::from_secs(START));
    let world = World::with(On::Postgres, clock, |settings| {
        settings.database.pool_size = 1;
        settings.database.queue = 100;
    })
    .await;
    let Some(world) = world else { return };
    let client = world.web_client().await;
    world.add_user("ada").await;
    let tokens = world.browser().tokens(&world, &client, &[], "ada").await;

    // The one connection is kept busy: its statement waits for a table that another program holds.
    let url = world.settings.database_url.as_str().to_owned();
    let (held, is_held) = tokio::sync::oneshot::channel();
    let holder = tokio::task::spawn_blocking(move || {
        let mut other = crate::world::connect(&url);
        other.batch_execute("BEGIN; LOCK TABLE families IN ACCESS EXCLUSIVE MODE").unwrap();
        held.send(()).unwrap();
        std::thread::sleep(4 * SECOND);
        other.batch_execute("ROLLBACK").unwrap();
    });
    is_held.await.unwrap();
    let began = Instant::now();
    let (replies, health) = tokio::join!(
        join_all((0..200).map(|n| {
            let (world, client, tokens) = (&world, &client, &tokens);
            async move {
                let reply = match n % 2 {
                    0 => world.token(client, &refresh(tokens.refresh())).await,
                    _ => world.post("/oauth2/introspect", Some(client), &[("token", &tokens.access)]).await,
                };
                (reply, began.elapsed())
            }
        })),
        async {
            let mut took = Vec::new();
            while began.elapsed() < 3 * SECOND {
                let one = Instant::now();
                assert_eq!(world.get("/healthz").await.status, 200);
                assert_eq!(world.get("/.well-known/jwks.json").await.status, 200);
                took.push(one.elapsed());
                tokio::time::sleep(SECOND / 20).await;
            }
            took.sort();
            took
        }
    );
    for (reply, took) in &replies {
        assert_eq!(
            (reply.status, reply.error().as_str()),
            (503, "temporarily_unavailable"),
            "{}",
            reply.text
        );
        assert!(reply.header("retry-after").is_some());
        assert!(*took < 5 * SECOND, "{took:?}");
    }
    let at_once = replies.iter().filter(|(_, took)| *took < SECOND).count();
    assert!(at_once >= 50, "whoever finds the queue full is told at once: {at_once}");
    assert!(health[health.len() / 2] < Duration::from_millis(300), "{health:?}");
    holder.await.unwrap();

    let form = [("token", tokens.access.as_str())];
    let many = join_all((0..200).map(|_| world.post("/oauth2/introspect", Some(&client), &form))).await;
    let answered = many.iter().filter(|reply| reply.status == 200).count();
    assert!(many.iter().all(|reply| matches!(reply.status, 200 | 503)) && answered >= 100, "{answered}");
    let reply = world.token(&client, &refresh(tokens.refresh())).await;
    assert_eq!(reply.status, 200, "and nothing of what was refused was done: {}", reply.text);
}
