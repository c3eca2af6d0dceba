//! What this server fetches from others (S-S1 to S-S3, S-J14, F21): key sets of clients, from servers that are sound, rotated,
//! dead, slow, huge, redirecting, or not where they say.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cnx::base::time::{Clock, Timestamp};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::token_requests::{granted, refused};
use crate::world::{CLIENT_ASSERTION, On, Reply, START, Signer, TestClient, World};

/// How a stand-in answers.
#[derive(Clone)]
pub enum Answers {
    /// With this document, as it stands at the moment.
    Json(Arc<std::sync::Mutex<String>>),
    /// With these bytes as they are.
    Raw(&'static str),
    /// Never.
    Never,
    /// With far too much.
    Huge,
}

/// A stand-in for somebody's web server, on plain http and loopback.
pub struct Publisher {
    pub base: String,
    pub port: u16,
    pub asked: Arc<AtomicUsize>,
    document: Arc<std::sync::Mutex<String>>,
}

impl Publisher {
    /// One that publishes a document.
    pub async fn of(document: &Value) -> Self {
        let document = Arc::new(std::sync::Mutex::new(document.to_string()));
        Self::start(Answers::Json(Arc::clone(&document)), document).await
    }

    pub async fn that(answers: Answers) -> Self {
        Self::start(answers, Arc::default()).await
    }

    async fn start(answers: Answers, document: Arc<std::sync::Mutex<String>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        tokio::spawn(async move {
            loop {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                count.fetch_add(1, Ordering::SeqCst);
                let answers = answers.clone();
                tokio::spawn(async move {
                    let mut head = [0; 4096];
                    drop(stream.read(&mut head).await);
                    let text = match &answers {
                        Answers::Json(document) => {
                            let body = document.lock().unwrap().clone();
                            let length = body.len();
                            format!(
                                "HTTP/1.1 200 OK\r\nContent-Type: application/jwk-set+json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                            )
                        }
                        Answers::Raw(text) => (*text).to_owned(),
                        Answers::Never => {
                            tokio::time::sleep(Duration::from_secs(30)).await;
                            return;
                        }
                        Answers::Huge => {
                            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 52428800\r\n\r\n";
                            drop(stream.write_all(head.as_bytes()).await);
                            let chunk = vec![b' '; 65_536];
                            for _ in 0..800 {
                                if stream.write_all(&chunk).await.is_err() {
                                    return;
                                }
                            }
                            return;
                        }
                    };
                    drop(stream.write_all(text.as_bytes()).await);
                });
            }
        });
        Self { base: format!("http://127.0.0.1:{port}"), port, asked, document }
    }

    /// Publishes something else from now on.
    pub fn publish(&self, document: &Value) {
        *self.document.lock().unwrap() = document.to_string();
    }

    pub fn times_asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// A world whose settings let it fetch from these ports of this machine.
pub async fn world_that_may_fetch(on: On, ports: &[u16]) -> Option<World> {
    World::with(on, Clock::manual(Timestamp::from_secs(START)), |settings| {
        settings.outbound.allow = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        settings.limits.client_failures = 10_000;
    })
    .await
}

async fn client_of(world: &World, jwks_uri: &str) -> TestClient {
    let members = json!({"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": jwks_uri,
        "grant_types": ["client_credentials"], "response_types": [], "redirect_uris": []});
    world.add_client(members).await
}

async fn authenticate(world: &World, client: &TestClient, signer: &Signer) -> Reply {
    let assertion = signer.assertion(&world.assertion_claims(&client.id));
    let form = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", CLIENT_ASSERTION),
        ("client_assertion", assertion.as_str()),
    ];
    world.post("/oauth2/token", None, &form).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_key_is_fetched_for_its_kid_and_at_most_once_a_minute_r65_r66_s_j14() {
    let (first, second) = (Signer::es256(), Signer::es256());
    let publisher = Publisher::of(&first.jwks()).await;
    let world = world_that_may_fetch(On::Sqlite, &[publisher.port]).await.unwrap();
    let client = client_of(&world, &format!("{}/jwks", publisher.base)).await;
    for _ in 0..3 {
        granted(&authenticate(&world, &client, &first).await);
    }
    assert_eq!(publisher.times_asked(), 1, "what was fetched is kept");
    publisher.publish(&json!({"keys": [second.jwk, first.jwk]}));
    // A minute has not passed: a flood of unknown kids asks nobody.
    for _ in 0..20 {
        refused(&authenticate(&world, &client, &second).await, 401, "invalid_client");
    }
    assert_eq!(publisher.times_asked(), 1);
    world.advance(61);
    granted(&authenticate(&world, &client, &second).await);
    granted(&authenticate(&world, &client, &first).await);
    assert_eq!(publisher.times_asked(), 2);
    // A key that is withdrawn is no good once the set is old.
    publisher.publish(&second.jwks());
    world.advance(301);
    refused(&authenticate(&world, &client, &first).await, 401, "invalid_client");
    granted(&authenticate(&world, &client, &second).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_make_one_fetch_s_j14() {
    let signer = Arc::new(Signer::es256());
    let publisher = Publisher::of(&signer.jwks()).await;
    let world = Arc::new(world_that_may_fetch(On::Sqlite, &[publisher.port]).await.unwrap());
    let client = client_of(&world, &format!("{}/jwks", publisher.base)).await;
    let tasks = (0..16).map(|_| {
        let (world, signer, client) = (Arc::clone(&world), Arc::clone(&signer), client.clone());
        tokio::spawn(async move { authenticate(&world, &client, &signer).await.status })
    });
    for task in tasks.collect::<Vec<_>>() {
        assert_eq!(task.await.unwrap(), 200);
    }
    assert_eq!(publisher.times_asked(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_is_dead_slow_huge_or_elsewhere_is_refused_in_time_and_stalls_nobody_f21_s_s2_s_j14() {
    let signer = Signer::es256();
    let (slow, huge) = (Publisher::that(Answers::Never).await, Publisher::that(Answers::Huge).await);
    let target = Publisher::of(&signer.jwks()).await;
    let redirect: &'static str =
        format!("HTTP/1.1 302 Found\r\nLocation: {}/jwks\r\nContent-Length: 0\r\n\r\n", target.base).leak();
    let redirecting = Publisher::that(Answers::Raw(redirect)).await;
    let page = Publisher::that(Answers::Raw(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\n{}",
    ))
    .await;
    let broken = Publisher::that(Answers::Raw(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n{",
    ))
    .await;
    let gone = Publisher::that(Answers::Raw("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")).await;
    let dead = { TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port() };
    let private = Publisher::of(&signer.jwks()).await;
    let allowed =
        [slow.port, huge.port, target.port, redirecting.port, page.port, broken.port, gone.port, dead];
    let world = Arc::new(world_that_may_fetch(On::Sqlite, &allowed).await.unwrap());
    let other = world.web_client().await;
    let bystander = {
        let (world, other) = (Arc::clone(&world), other.clone());
        tokio::spawn(async move {
            let mut slowest = Duration::ZERO;
            for _ in 0..200 {
                let began = Instant::now();
                granted(&world.token(&other, &[("grant_type", "client_credentials")]).await);
                slowest = slowest.max(began.elapsed());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            slowest
        })
    };
    let mut fetches = Vec::new();
    for (what, base) in [
        ("slow", slow.base.clone()),
        ("huge", huge.base.clone()),
        ("redirecting", redirecting.base.clone()),
        ("a page", page.base.clone()),
        ("broken", broken.base.clone()),
        ("gone", gone.base.clone()),
        ("dead", format!("http://127.0.0.1:{dead}")),
        ("not allowed", private.base.clone()),
    ] {
        let client = client_of(&world, &format!("{base}/jwks")).await;
        let assertion = signer.assertion(&world.assertion_claims(&client.id));
        let world = Arc::clone(&world);
        fetches.push(tokio::spawn(async move {
            let began = Instant::now();
            let form = [
                ("grant_type", "client_credentials"),
                ("client_assertion_type", CLIENT_ASSERTION),
                ("client_assertion", assertion.as_str()),
            ];
            refused(&world.post("/oauth2/token", None, &form).await, 401, "invalid_client");
            assert!(began.elapsed() < Duration::from_secs(8), "{what} took {:?}", began.elapsed());
        }));
    }
    for fetch in fetches {
        fetch.await.unwrap();
    }
    assert!(bystander.await.unwrap() < Duration::from_secs(2));
    assert_eq!(target.times_asked(), 0, "redirects are not followed");
    assert_eq!(private.times_asked(), 0, "S-S1: refused without any connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_known_go_on_verifying_while_their_source_is_away_f21() {
    let signer = Signer::es256();
    let publisher = Publisher::of(&signer.jwks()).await;
    let world = world_that_may_fetch(On::Sqlite, &[publisher.port]).await.unwrap();
    let client = client_of(&world, &format!("{}/jwks", publisher.base)).await;
    granted(&authenticate(&world, &client, &signer).await);
    publisher.publish(&json!("no key set"));
    world.advance(1_000);
    granted(&authenticate(&world, &client, &signer).await);
    world.advance(7_200);
    refused(&authenticate(&world, &client, &signer).await, 401, "invalid_client");
    publisher.publish(&signer.jwks());
    world.advance(61);
    granted(&authenticate(&world, &client, &signer).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_is_looked_at_where_it_is_registered_s_s3() {
    use cnx::oauth::client_registration;
    for bad in [
        "http://keys.example/jwks",
        "ftp://keys.example/",
        "file:///etc/passwd",
        "https://a@keys.example/",
        "https://keys.example/#x",
        "//keys.example/",
    ] {
        let file = json!({"client_name": "App", "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": bad,
            "grant_types": ["client_credentials"], "response_types": []});
        let refused = client_registration::from_json(&file.to_string()).unwrap_err();
        assert_eq!(refused.field, "jwks_uri", "{bad}");
    }
}
