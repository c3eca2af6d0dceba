//! What a run works with: nodes on one database, people with sessions, apps, service accounts, API keys; and the command line beside them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cnx::account::role::Role as PersonRole;
use cnx::app::{App, Role};
use cnx::base::entropy::Entropy;
use cnx::base::id::{SessionId, UserId};
use cnx::base::seal::MacPurpose;
use cnx::base::time::Clock;
use cnx::flow::people::{self, NewPerson};
use cnx::flow::{clients, keys, service_accounts};
use cnx::oauth::client_registration;
use cnx::store::sessions::{self, SessionRow};
use serde_json::json;
use tokio::runtime::Runtime;

use super::checker::{Event, Moment, TOOL};
use super::models::{GrantOp, KeyOp, SessionOp, Told};
use crate::api_keys::minted_by;
use crate::process::Place;
use crate::world::{CALLBACK, JWT_BEARER, PostgresDatabase, Signer, by};

/// Shorter than the minute of a server that people use, so that a run meets its end as well.
pub const RETRY_SECONDS: u64 = 4;

/// What one object did, as it is written down.
pub type Story<O> = Mutex<Vec<Event<O>>>;

/// Somebody who is disabled and enabled now and then.
pub struct Person {
    pub id: UserId,
    /// Held while they are disabled: nobody begins a session of theirs then.
    pub standing: Mutex<()>,
    pub disabled: Story<()>,
}

pub struct Session {
    pub person: Arc<Person>,
    pub cookie: String,
    pub begun: Moment,
    /// Proves at sign-out who asks.
    pub id_token: Mutex<Option<String>>,
    pub story: Story<SessionOp>,
}

/// What clients know of a grant.
#[derive(Default)]
pub struct Knowledge {
    /// In the order in which they were seen first.
    pub refresh: Vec<String>,
    pub access: Vec<String>,
    /// How often it was worked on, and how often after it was seen to be dead.
    pub turns: usize,
    pub mourned: usize,
    pub is_dead: bool,
}

pub struct Grant {
    pub session: Arc<Session>,
    /// Which of the apps.
    pub app: usize,
    pub online: bool,
    pub code: String,
    pub code_given: Moment,
    pub known: Mutex<Knowledge>,
    pub story: Story<GrantOp>,
}

pub struct Presented {
    pub form: String,
    pub story: Story<Told<()>>,
}

pub struct ApiKey {
    pub id: String,
    pub secret: String,
    pub story: Story<KeyOp>,
}

/// An app, with the head that proves who it is.
pub struct AppClient {
    pub id: String,
    pub authorization: String,
    pub scope: &'static str,
}

pub struct Site {
    pub places: Vec<Place>,
    /// How often each node was started.
    pub lives: Vec<AtomicU32>,
    pub host: String,
    pub apps: Vec<AppClient>,
    pub people: Vec<Arc<Person>>,
    pub asker: String,
    pub tool: Arc<App>,
    runtime: Runtime,
    accounts: Vec<(String, Signer)>,
    issuer: String,
    began: Instant,
    /// Held: dropped after everything that uses it.
    _database: Option<PostgresDatabase>,
}

impl Site {
    /// A fresh database with people and apps, and no node yet. `None` where PostgreSQL is wanted and there is none.
    pub fn new(nodes: usize, binary: Option<&str>) -> Option<Self> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let database = if nodes > 1 { Some(runtime.block_on(PostgresDatabase::make())?) } else { None };
        let mut places: Vec<Place> = (0..nodes).map(|_| Place::new()).collect();
        let (issuer, key) =
            (places[0].base.clone(), places[0].dir().join("master.key").display().to_string());
        for place in &mut places {
            if let Some(database) = &database {
                place.set("CNX_DATABASE_URL", &database.url);
            }
            place.set("CNX_PUBLIC_URL", &issuer).set("CNX_MASTER_KEY_FILE", &key);
            place.set("CNX_TOKENS__REFRESH_RETRY_SECONDS", &RETRY_SECONDS.to_string());
            // Looked at again at the end of a run.
            place.set("CNX_TOKENS__ACCESS_SECONDS", "7200");
            // Replays are tried on purpose, all of them from one place.
            place.set("CNX_LIMITS__CLIENT_FAILURES", "10000");
            if let Some(binary) = binary {
                place.run_instead(binary);
            }
        }
        places[0].json(&["migrate"]);
        let settings = places[0].settings();
        let tool =
            runtime.block_on(App::open(settings, Clock::System, Entropy::system(), Role::Tool)).unwrap();
        let host = issuer.strip_prefix("http://").unwrap().to_owned();
        let lives = (0..nodes).map(|_| AtomicU32::new(1)).collect();
        let mut site = Self {
            places,
            lives,
            host,
            apps: Vec::new(),
            people: Vec::new(),
            asker: String::new(),
            tool,
            runtime,
            accounts: Vec::new(),
            issuer,
            began: Instant::now(),
            _database: database,
        };
        site.populate();
        Some(site)
    }

    fn populate(&mut self) {
        let tool = Arc::clone(&self.tool);
        self.runtime.block_on(async {
            // One app whose tokens a node signs, and one whose tokens it looks up.
            for (format, scope) in [("jwt", "openid"), ("opaque", "read")] {
                let metadata = json!({"client_name": format, "redirect_uris": [CALLBACK], "grant_types": ["authorization_code", "refresh_token"],
                    "scope": "openid read offline_access", "skip_consent": true, "access_token_format": format, "id_token_signed_response_alg": "ES256"});
                let (id, secret, metadata) = client_registration::from_json(&metadata.to_string()).unwrap();
                let (client, secret) = clients::add(&tool, by(), metadata, id, secret).await.unwrap();
                let (id, secret) = (client.id.to_string(), secret.unwrap().reveal().clone());
                let authorization = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
                self.apps.push(AppClient { id, authorization, scope });
            }
            for number in 0..6 {
                let person = NewPerson {
                    email: None,
                    username: Some(format!("person{number}")),
                    name: None,
                    email_verified: false,
                    role: PersonRole::Member,
                    claims: serde_json::Map::new(),
                    password: None,
                };
                let id = people::add(&tool, by(), person).await.unwrap().id;
                self.people.push(Arc::new(Person { id, standing: Mutex::new(()), disabled: Story::default() }));
            }
            for number in 0..6 {
                let policy = serde_json::from_value(json!({"scope": "read", "access_token_format": "opaque"})).unwrap();
                let account =
                    service_accounts::add(&tool, by(), &format!("machine{number}"), policy).await.unwrap();
                let signer = Signer::es256();
                service_accounts::register_key(&tool, by(), &account, &signer.jwk.to_string(), None).await.unwrap();
                self.accounts.push((account.id.to_string(), signer));
            }
            let asks = cnx::api_key::permission::Permissions::parse(std::iter::once("keys:verify")).unwrap();
            self.asker = minted_by(&tool, |new| new.scopes = asks).await.1;
        });
    }

    pub fn now(&self) -> Moment {
        Moment::try_from(self.began.elapsed().as_micros()).unwrap()
    }

    pub fn life(&self, node: usize) -> u32 {
        self.lives[node].load(Ordering::SeqCst)
    }

    /// Somebody signs in; the form itself is not what is looked at here. `None` while they are disabled.
    pub fn sign_in(&self, person: &Arc<Person>) -> Option<Arc<Session>> {
        let _standing = person.standing.try_lock().ok()?;
        let tool = &self.tool;
        let (cookie, now) = (cnx::base::encoding::base62(&tool.entropy.bytes::<20>()), tool.now());
        let row = SessionRow {
            id: SessionId::new(&tool.clock, &tool.entropy),
            fingerprint: tool.vault.fingerprint(MacPurpose::Session, &cookie),
            user: person.id,
            auth_time: now,
            amr: vec!["pwd".to_owned()],
            acr: "1".to_owned(),
            created_at: now,
            last_seen_at: now,
            expires_at: now.plus(tool.settings.sessions.absolute_seconds),
            ended_at: None,
            user_agent: None,
            address: None,
        };
        let write = || {
            let row = row.clone();
            self.runtime.block_on(tool.store.write(move |conn| sessions::begin(conn, &row)))
        };
        // A busy file is asked again; twice the same row there cannot be.
        let begun = (0..20).any(|_| write().is_ok());
        begun.then(|| {
            Arc::new(Session {
                person: Arc::clone(person),
                cookie,
                begun: self.now(),
                id_token: Mutex::default(),
                story: Story::default(),
            })
        })
    }

    /// Disables somebody for a moment.
    pub fn disable(&self, person: &Person, pause: Duration) {
        let _alone = person.standing.lock().unwrap();
        let called = self.now();
        self.insist(|tool| people::set_disabled(tool, by(), person.id, true));
        let event = Event { called, returned: self.now(), node: TOOL, op: () };
        person.disabled.lock().unwrap().push(event);
        std::thread::sleep(pause);
        self.insist(|tool| people::set_disabled(tool, by(), person.id, false));
    }

    pub fn mint(&self) -> Arc<ApiKey> {
        let called = self.now();
        let (id, secret) = self.runtime.block_on(minted_by(&self.tool, |_| {}));
        let minted = Event { called, returned: self.now(), node: TOOL, op: KeyOp::Mint };
        Arc::new(ApiKey { id, secret, story: Mutex::new(vec![minted]) })
    }

    pub fn revoke(&self, key: &ApiKey) {
        let called = self.now();
        self.insist(|tool| keys::revoke(tool, by(), &key.id, None));
        let event = Event { called, returned: self.now(), node: TOOL, op: KeyOp::Revoke };
        key.story.lock().unwrap().push(event);
    }

    /// Until it is done: what is revoked or disabled may be so twice.
    fn insist<'a, T, E: std::fmt::Debug>(&'a self, act: impl AsyncFn(&'a App) -> Result<T, E>) {
        let mut last = None;
        for _ in 0..20 {
            match self.runtime.block_on(act(&self.tool)) {
                Ok(_) => return,
                Err(error) => last = Some(error),
            }
        }
        panic!("the command line: {last:?}");
    }

    /// A new assertion, as the form that presents it.
    pub fn present(&self, account: usize) -> Presented {
        let (id, signer) = &self.accounts[account % self.accounts.len()];
        let now = self.tool.now().as_secs();
        let jti = cnx::base::encoding::base62(&self.tool.entropy.bytes::<16>());
        let claims =
            json!({"iss": id, "sub": id, "aud": self.issuer, "iat": now, "exp": now + 300, "jti": jti});
        let form = [("grant_type", JWT_BEARER), ("assertion", &signer.assertion(&claims))];
        Presented { form: super::actor::form(&form), story: Story::default() }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.tool.store.close();
    }
}
