//! The passwords that the settings hold, of PostgreSQL, Redis and the mail server: used, refused, and badly written. They stand in no log, no
//! metric, no answer, and in nothing that a command prints (S-H14, P6).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use diesel::connection::SimpleConnection as _;

use crate::canaries::{Canaries, are_what_they_are_taken_for};
use crate::logs::stopped;
use crate::process::{Ended, Place};
use crate::warnings::{AWAY, Redis, heard};
use crate::wire;
use crate::world::{Browser, PASSWORD, PostgresDatabase, Smtp, environment, free_port, http};

/// As people write them: each sign in it means something in an address. And as they stand in an address.
const OF_POSTGRES: [&str; 2] = ["pg canary/4711@%x", "pg%20canary%2F4711%40%25x"];
const OF_REDIS: [&str; 2] = ["redis canary/4711@%x", "redis%20canary%2F4711%40%25x"];
const OF_MAIL: [&str; 2] = ["mail canary/4711@%x", "mail%20canary%2F4711%40%25x"];

fn passwords() -> Canaries {
    let mut canaries = Canaries::default();
    for (what, forms) in [
        ("the password of PostgreSQL", OF_POSTGRES),
        ("the password of Redis", OF_REDIS),
        ("the password of the mail server", OF_MAIL),
    ] {
        for form in forms {
            canaries.keep(what, form);
        }
        canaries.keep(what, STANDARD.encode(forms[0]));
    }
    canaries.keep("what the mail server is told", proof());
    canaries
}

/// What a mail server is told by AUTH PLAIN (RFC 4616).
fn proof() -> String {
    STANDARD.encode(format!("\0id\0{}", OF_MAIL[0]))
}

/// A database of PostgreSQL and an account of its own, which owns it and goes with it.
struct Account {
    name: String,
    database: Option<PostgresDatabase>,
}

impl Account {
    fn make() -> Option<Self> {
        let database = PostgresDatabase::make_now()?;
        let own = url::Url::parse(&database.url).unwrap().path()[1..].to_owned();
        let name = format!("account_of_{own}");
        database.execute(&format!(
            "CREATE ROLE {name} LOGIN PASSWORD '{}'; ALTER DATABASE {own} OWNER TO {name}",
            OF_POSTGRES[0]
        ));
        Some(Self { name, database: Some(database) })
    }

    fn database(&self) -> &PostgresDatabase {
        self.database.as_ref().unwrap()
    }

    /// The address of the database for this account.
    fn url(&self) -> String {
        let place = self.database().url.rsplit_once('@').unwrap().1;
        format!("postgres://{}:{}@{place}", self.name, OF_POSTGRES[1])
    }

    /// The password of the settings is not the right one any more, and whoever is in is put out.
    fn is_shut(&self) {
        let name = &self.name;
        self.database().execute(&format!(
            "ALTER ROLE {name} PASSWORD 'another';
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{name}'"
        ));
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        // Who owns something cannot go.
        drop(self.database.take());
        let (admin, sql) = (environment("TEST_POSTGRES_URL").unwrap(), format!("DROP ROLE {}", self.name));
        crate::world::connect(&admin).batch_execute(&sql).unwrap();
    }
}

/// Somebody forgot their password, so that there is a mail.
async fn forgets(place: &Place) {
    let browser = Browser::new(&place.base, &http());
    let page = browser.open("/forgot-password").await;
    let form = page.form(&[("username", "ada")]);
    assert_eq!(browser.post(&form.action, &form.fields).await.status, 303);
}

/// What each command prints that looks at the settings or at what they name.
fn printed(place: &Place) -> String {
    const COMMANDS: &[&[&str]] = &[
        &["config"],
        &["config", "--json"],
        &["doctor"],
        &["doctor", "--json"],
        &["migrate", "--check"],
        &["user", "list"],
    ];
    COMMANDS.iter().fold(String::new(), |text, command| text + &told(command, &place.run(command)))
}

fn told(command: &[&str], ended: &Ended) -> String {
    format!("cnx {}\n{}\n{}\n", command.join(" "), ended.out, ended.err)
}

/// A server that uses all three, each of which then shuts it out.
fn is_taken_in_and_shut_out(level: &str, runtime: &tokio::runtime::Runtime) {
    let Some(program) = environment("TEST_REDIS_SERVER") else { return };
    let Some(account) = Account::make() else { return };
    let mut place = Place::new();
    let (redis_port, smtp_port, metrics) = (free_port(), free_port(), free_port());
    let password = ["--requirepass", OF_REDIS[0]];
    let redis = Redis::start_with(&program, redis_port, place.dir(), &password);
    let smtp = Smtp::listen(smtp_port);
    place
        .set("CNX_DATABASE_URL", &account.url())
        .set("CNX_REDIS_URL", &format!("redis://default:{}@127.0.0.1:{redis_port}/0", OF_REDIS[1]))
        .set("CNX_MAIL__SMTP_URL", &format!("smtp://id:{}@127.0.0.1:{smtp_port}", OF_MAIL[1]))
        .set("CNX_MAIL__FROM", "id@example.com")
        .set("CNX_METRICS_LISTEN", &format!("127.0.0.1:{metrics}"));
    let ada = ["user", "add", "ada@example.com", "--username", "ada", "--email-verified", "--password-stdin"];
    place.json_with(&ada, Some(PASSWORD));
    place.set("CNX_LOG__FORMAT", "json").set("CNX_LOG__LEVEL", level);
    let mut node = place.serve(&[]);
    runtime.block_on(async {
        forgets(&place).await;
        assert_eq!(smtp.wait_for(1).await.len(), 1, "{}", node.err());
    });
    assert!(smtp.proofs().iter().any(|said| said.contains(&proof())), "{:?}", smtp.proofs());
    let good = printed(&place);
    assert!(good.contains(&format!("127.0.0.1:{redis_port} answers")), "{good}");
    assert!(good.contains(&format!("127.0.0.1:{smtp_port} takes us in")), "{good}");
    assert_eq!(heard(&node, AWAY, 0), 0, "Redis takes it in: {}", node.err());

    smtp.refuse();
    runtime.block_on(forgets(&place));
    assert!(heard(&node, "a mail was not taken", 1) > 0, "{}", node.err());
    drop(redis);
    let redis = Redis::start_with(&program, redis_port, place.dir(), &["--requirepass", "another"]);
    assert!(heard(&node, AWAY, 1) > 0, "{}", node.err());
    account.is_shut();
    let refused = format!("password authentication failed for user \\\"{}", account.name);
    assert!(heard(&node, &refused, 1) > 0, "{}", node.err());
    let ready = wire::get(&place.base, "/readyz");
    assert_eq!(ready.status(), 503, "{}", ready.text);
    let shown = wire::get(&format!("http://localhost:{metrics}"), "/metrics");
    let bad = printed(&place);
    drop(redis);
    let log = stopped(&mut node);
    let texts = [
        ("the log", log.as_str(), "password authentication failed"),
        ("the metrics", &shown.text, "cnx_http_request_seconds"),
        ("an answer", &ready.text, "HTTP/1.1 503"),
        ("what commands print", &good, "takes us in"),
        ("what commands print then", &bad, "password authentication failed"),
    ];
    are_what_they_are_taken_for(&texts);
    for (where_to, text, _) in texts {
        passwords().look_for(where_to, text);
    }
}

#[test]
fn no_password_of_the_settings_is_ever_written_down_s_h14_p6() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for level in ["debug", "trace"] {
        is_taken_in_and_shut_out(level, &runtime);
    }
}

const HIDDEN: &str = "hidden-canary-4711";

fn hidden() -> Canaries {
    let mut canaries = Canaries::default();
    canaries.keep("a password", HIDDEN);
    canaries
}

/// Addresses that cannot be used or read, as people write them who have such a password. `~` is where it stands.
const UNUSABLE: &[(&str, &[&str])] = &[
    (
        "CNX_DATABASE_URL",
        &[
            "postgres://cnx:~@127.0.0.1:1/cnx",
            "postgres://cnx:~@nowhere.invalid/cnx",
            "postgres://cnx:~@127.0.0.1:x/cnx",
            "postgres://cnx:%s~@127.0.0.1:1/cnx",
            "postgres://cnx:%00~@127.0.0.1:1/cnx",
            "postgres://cnx:p@~@127.0.0.1:1/cnx",
            "postgres://cnx:p ~@127.0.0.1:1/cnx",
            "postgres://cnx:p:~@127.0.0.1:1/cnx",
            "postgres://cnx:p/~@127.0.0.1:1/cnx",
            "postgres://cnx:p#~@127.0.0.1:1/cnx",
            "postgres://cnx:1/~@127.0.0.1:1/cnx",
            "postgres://cnx:1#~@127.0.0.1:1/cnx",
            "postgres://cnx:1?~@127.0.0.1:1/cnx",
            "postgres://cnx:[~@127.0.0.1:1/cnx",
            "postgres://127.0.0.1:1/cnx?user=cnx&password=~",
            "postgres://127.0.0.1:1/cnx?user=cnx&password=%s~",
            "postgres://127.0.0.1:1/cnx?user=cnx&password=p&~",
            "postgre://cnx:~@127.0.0.1/cnx",
            "cnx:~@127.0.0.1/cnx",
        ],
    ),
    (
        "CNX_REDIS_URL",
        &[
            "redis://:~@127.0.0.1:1/0",
            "redis://:~@127.0.0.1:1/x",
            "redis://:%s~@127.0.0.1:1/0",
            "redis://:%ff~@127.0.0.1:1/0",
            "redis://:p@~@127.0.0.1:1/0",
            "redis://:p/~@127.0.0.1:1/0",
            "redis://cnx:1/~@127.0.0.1:1/0",
            "redis://cnx:1#~@127.0.0.1:1/0",
            "rediss://:~@127.0.0.1:1/0",
        ],
    ),
    (
        "CNX_MAIL__SMTP_URL",
        &[
            "smtp://id:~@127.0.0.1:1",
            "smtp://id:~@mail.example.com:1",
            "smtps://id:~@nowhere.invalid:1",
            "smtp://id:%ff~@127.0.0.1:1",
            "smtp://id:%s~@127.0.0.1:1",
            "smtp://id:p@~@127.0.0.1:1",
            "smtp://id:p/~@127.0.0.1:1",
            "smtp://127.0.0.1:1/~@x",
            "smtp://id:~@127.0.0.1:1/?tls=~",
        ],
    ),
];

#[test]
fn a_password_that_cannot_be_used_or_read_is_in_no_message_s_h14() {
    for (name, addresses) in UNUSABLE {
        for address in *addresses {
            let mut place = Place::new();
            place.set(name, &address.replace('~', HIDDEN)).set("CNX_MAIL__FROM", "id@example.com");
            place.set("CNX_LOG__LEVEL", "trace");
            let mut text = printed(&place);
            // A server starts without Redis and without mail, so only the database stops it.
            if *name == "CNX_DATABASE_URL" {
                text += &told(&["serve"], &place.run(&["serve"]));
            }
            hidden().look_for(&format!("what is said of {address}"), &text);
        }
    }
}

#[test]
fn a_settings_file_that_cannot_be_read_is_not_shown_s_h14() {
    for text in [
        "database_url = postgres://cnx:~@db/cnx",
        "database_url = \"postgres://cnx:~@db/cnx",
        "redis_url = \"redis://:~@cache/0\" x",
        "redis_url = [\"redis://:~@cache/0\"]",
        "redis_ur = \"redis://:~@cache/0\"",
        "[mail]\nsmtp_url = { url = \"smtp://id:~@127.0.0.1\" }",
        "[mail]\nsmtp_url = 'smtp://id:~@127.0.0.1'\nsmtp_url = 'smtp://id:~@127.0.0.1'",
    ] {
        let place = Place::new();
        std::fs::write(place.dir().join("cnx.toml"), text.replace('~', HIDDEN)).unwrap();
        let printed = printed(&place);
        are_what_they_are_taken_for(&[("what commands print", &printed, "cnx.toml:")]);
        hidden().look_for(&format!("what is said of {text}"), &printed);
    }
}

/// The same search, of the same texts, where the server does write it: what is no password is shown.
#[test]
fn a_password_that_was_printed_would_be_found() {
    let mut place = Place::new();
    place.set("CNX_MAIL__FROM", &format!("{HIDDEN}@example.com"));
    assert!(!hidden().found_in(&printed(&place)).is_empty());
    place.set("CNX_MAIL__FROM", "");
    // Not at the password's place, so that it stands in what PostgreSQL's own library says.
    place.set("CNX_DATABASE_URL", &format!("postgres://cnx:p@{HIDDEN}.invalid:1/cnx"));
    assert!(!hidden().found_in(&told(&["serve"], &place.run(&["serve"]))).is_empty());
    // In each form of each password.
    let passwords = passwords();
    for text in OF_POSTGRES.iter().chain(&OF_REDIS).chain(&OF_MAIL) {
        assert!(!passwords.found_in(&format!("one line\n{{\"error\":\"{text}\"}}\n")).is_empty(), "{text}");
    }
    assert!(!passwords.found_in(&format!("AUTH PLAIN {}", proof())).is_empty());
}
