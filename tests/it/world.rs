//! A whole server for one test: its own database (SQLite or PostgreSQL), a clock that the test moves, and people with
//! browsers. Tests talk to it over HTTP, as anybody would.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use cnx::account::user::User;
use cnx::app::{App, Role};
use cnx::base::entropy::Entropy;
use cnx::base::id::ClientId;
use cnx::base::secret::Secret;
use cnx::base::time::{Clock, Timestamp};
use cnx::config::{self, Settings};
use cnx::flow::audit::By;
use cnx::flow::people::NewPerson;
use cnx::flow::{clients, people};
use cnx::oauth::client_registration;
use cnx::{Running, serve};
use serde_json::Value;

mod browser;
mod database;
mod log;
mod mailbox;
mod reply;
mod second_node;
mod signer;
mod stored;

pub use browser::{Browser, CHALLENGE, VERIFIER, authorize_path};
pub use database::{PostgresDatabase, connect, environment};
pub use log::Log;
pub use mailbox::{Smtp, link_in};
pub use reply::{Callback, Form, Reply, Tokens, claims, jwt_part};
pub use second_node::Node;
pub use signer::{CLIENT_ASSERTION, JWT_BEARER, Machine, Signer, TOKEN_EXCHANGE, new_jti};

/// Which database a world stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    Sqlite,
    Postgres,
}

/// Runs one test on both databases; the PostgreSQL half is skipped, and says so, where `tests/run` started none.
macro_rules! on_both {
    ($($(#[$meta:meta])* async fn $name:ident($world:ident: World) $body:block)+) => {$(
        $(#[$meta])*
        async fn $name($world: $crate::world::World) $body

        mod $name {
            use $crate::world::{On, World};

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                super::$name(World::new(On::Sqlite).await.expect("SQLite is always there")).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                match World::new(On::Postgres).await {
                    Some(world) => super::$name(world).await,
                    None => eprintln!("skipped: TEST_POSTGRES_URL is not set"),
                }
            }
        }
    )+};
}
pub(crate) use on_both;

/// The password of everybody whom a test adds without one of their own.
pub const PASSWORD: &str = "correct-horse-battery-staple-42";

/// Where callbacks go; nothing listens there, tests read the `Location`.
pub const CALLBACK: &str = "http://127.0.0.1:9/cb";

/// The moment at which a manual clock starts.
pub const START: i64 = 1_800_000_000;

pub struct World {
    pub settings: Settings,
    pub clock: Clock,
    pub running: Option<Running>,
    pub base: String,
    pub http: reqwest::Client,
    /// Held: the folder goes with the world.
    _dir: tempfile::TempDir,
    database: Option<PostgresDatabase>,
}

/// A registered client, as a test holds it.
#[derive(Clone, Debug)]
pub struct TestClient {
    pub id: String,
    pub secret: Option<String>,
}

impl World {
    /// A world with a manual clock. `None` when the database cannot be had.
    pub async fn new(on: On) -> Option<Self> {
        Self::with(on, Clock::manual(Timestamp::from_secs(START)), |_| {}).await
    }

    /// A world with a clock and settings of the test's own.
    pub async fn with(on: On, clock: Clock, change: impl FnOnce(&mut Settings)) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let database = match on {
            On::Sqlite => None,
            On::Postgres => Some(PostgresDatabase::make().await?),
        };
        let port = free_port();
        let mut environment = vec![
            ("CNX_DATA_DIR".to_owned(), dir.path().join("data").display().to_string()),
            ("CNX_LISTEN".to_owned(), format!("127.0.0.1:{port}")),
            ("CNX_PUBLIC_URL".to_owned(), format!("http://localhost:{port}")),
        ];
        if let Some(database) = &database {
            environment.push(("CNX_DATABASE_URL".to_owned(), database.url.clone()));
        }
        let mut settings = config::load(None, environment.into_iter(), None).unwrap().settings;
        settings.workers = 2;
        // Hashing is tested elsewhere at its real cost; here it would only take time.
        settings.passwords.argon2_memory_kib = 64;
        settings.passwords.argon2_passes = 1;
        settings.database.pool_size = 8;
        change(&mut settings);
        let mut world = Self {
            base: format!("http://localhost:{}", settings.listen.port()),
            settings,
            clock,
            running: None,
            http: http(),
            _dir: dir,
            database,
        };
        world.start().await;
        Some(world)
    }

    /// Starts the node (again).
    pub async fn start(&mut self) {
        let app = App::open(self.settings.clone(), self.clock.clone(), Entropy::system(), Role::Server)
            .await
            .unwrap();
        self.running = Some(serve(app, None).await.unwrap());
    }

    /// Stops the node as SIGTERM does, and starts it again on the same data.
    pub async fn restart(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
        self.start().await;
    }

    pub fn app(&self) -> &Arc<App> {
        self.running.as_ref().expect("the node runs").app()
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub fn now(&self) -> i64 {
        self.clock.now().as_secs()
    }

    pub fn advance(&self, seconds: i64) {
        self.clock.advance(seconds);
    }

    /// Registers a client from RFC 7591 members; `client_id` and `client_secret` may be among them. Grants, scope and
    /// redirect URI are usual ones unless given.
    pub async fn add_client(&self, members: Value) -> TestClient {
        let mut members = members;
        let object = members.as_object_mut().unwrap();
        object.entry("client_name").or_insert_with(|| "Test app".into());
        object.entry("redirect_uris").or_insert_with(|| vec![CALLBACK].into());
        let public = object.get("token_endpoint_auth_method").is_some_and(|m| m == "none");
        object.entry("grant_types").or_insert_with(|| {
            let mut grants = vec!["authorization_code", "refresh_token"];
            if !public {
                grants.push("client_credentials");
            }
            grants.into()
        });
        object
            .entry("scope")
            .or_insert_with(|| "openid profile email address phone offline_access read write".into());
        let (id, secret, metadata) = client_registration::from_json(&members.to_string()).unwrap();
        let (client, secret) = clients::add(self.app(), by(), metadata, id, secret).await.unwrap();
        TestClient { id: client.id.to_string(), secret: secret.map(|s| s.reveal().clone()) }
    }

    /// A confidential client with everything usual.
    pub async fn web_client(&self) -> TestClient {
        self.add_client(serde_json::json!({})).await
    }

    /// A public client with everything usual.
    pub async fn public_client(&self) -> TestClient {
        self.add_client(serde_json::json!({"token_endpoint_auth_method": "none"})).await
    }

    /// Adds a person; their address is `NAME@example.com`, verified, and they have a value for every standard claim.
    pub async fn add_user(&self, username: &str) -> User {
        self.add_person(username, cnx::account::role::Role::Member).await
    }

    /// The same with a role.
    pub async fn add_person(&self, username: &str, role: cnx::account::role::Role) -> User {
        let claims = serde_json::json!({
            "given_name": "Ada", "family_name": "Lovelace", "middle_name": "K", "nickname": "ada",
            "profile": "https://example.com/ada", "picture": "https://example.com/ada.png",
            "website": "https://example.com", "gender": "female", "birthdate": "1815-12-10",
            "zoneinfo": "Europe/London", "locale": "en-GB", "phone_number": "+44 20 7946 0000",
            "phone_number_verified": true,
            "address": {"formatted": "12 St James's Square, London", "country": "UK"}
        });
        let person = NewPerson {
            email: Some(format!("{username}@example.com")),
            username: Some(username.to_owned()),
            name: Some("Ada Lovelace".to_owned()),
            email_verified: true,
            role,
            claims: claims.as_object().unwrap().clone(),
            password: Some(Secret::new(PASSWORD.to_owned())),
        };
        people::add(self.app(), by(), person).await.unwrap()
    }

    pub async fn client_row(&self, id: &str) -> cnx::oauth::client::Client {
        clients::find(self.app(), id).await.unwrap()
    }

    /// Changes a client's registration behind its back, as an administrator would.
    pub async fn change_client(
        &self,
        id: &str,
        change: impl FnOnce(&mut cnx::oauth::client::ClientMetadata),
    ) {
        let id: ClientId = id.parse().unwrap();
        let mut metadata = self.client_row(id.as_str()).await.metadata;
        change(&mut metadata);
        let now = self.clock.now();
        self.app()
            .store
            .write(move |conn| cnx::store::clients::update(conn, &id, &metadata, now))
            .await
            .unwrap();
        self.app().catch_up().await.unwrap();
    }

    /// A browser without cookies.
    pub fn browser(&self) -> Browser {
        Browser::new(&self.base, &self.http)
    }

    /// GET without cookies.
    pub async fn get(&self, path: &str) -> Reply {
        Reply::of(self.http.get(self.url(path)).send().await.unwrap()).await
    }

    /// POST of a form without cookies, with a client's Basic credentials if given.
    pub async fn post(&self, path: &str, client: Option<&TestClient>, form: &[(&str, &str)]) -> Reply {
        let mut request = self.http.post(self.url(path)).form(form);
        if let Some(TestClient { id, secret: Some(secret) }) = client {
            request = request.basic_auth(id, Some(secret));
        }
        Reply::of(request.send().await.unwrap()).await
    }

    /// The token endpoint; a public client's id goes into the form.
    pub async fn token(&self, client: &TestClient, form: &[(&str, &str)]) -> Reply {
        let mut form = form.to_vec();
        if client.secret.is_none() {
            form.push(("client_id", &client.id));
        }
        self.post("/oauth2/token", Some(client), &form).await
    }

    pub async fn introspect(&self, client: &TestClient, token: &str) -> Value {
        let reply = self.post("/oauth2/introspect", Some(client), &[("token", token)]).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.json()
    }

    pub async fn user_info(&self, token: &str) -> Reply {
        Reply::of(self.http.get(self.url("/oauth2/userinfo")).bearer_auth(token).send().await.unwrap()).await
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The store must be closed before its database is dropped.
        self.running = None;
    }
}

/// How many migrations there are.
pub fn migrations() -> usize {
    std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite")).unwrap().count()
}

/// Who changes things in tests.
pub fn by() -> &'static By {
    static BY: LazyLock<By> = LazyLock::new(|| By::command_line(0));
    &BY
}

/// A client that follows no redirect and knows no proxy.
pub fn http() -> reqwest::Client {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap()
}

/// A port that nothing listens on, and that nobody else takes before the caller listens there: below the range that the kernel gives to
/// outgoing connections, each only once in this process, and from a range of its own for each test that runs at the same time.
pub fn free_port() -> u16 {
    const SLOTS: u16 = 20;
    const PORTS: u16 = 500;
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    let slot = environment("NEXTEST_TEST_GLOBAL_SLOT").and_then(|text| text.parse::<u16>().ok());
    let first = 10_000 + slot.unwrap_or(0) % SLOTS * PORTS;
    // Where the last test of the slot began, connections may still be on their way out.
    let begin = u16::from_le_bytes(Entropy::system().bytes::<2>()) % PORTS;
    let next = NEXT.get_or_init(|| AtomicU16::new(begin));
    loop {
        let port = first + next.fetch_add(1, Ordering::Relaxed) % PORTS;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
