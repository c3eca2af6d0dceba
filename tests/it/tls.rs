//! Our own TLS, and what is fetched over it: one server trusts another one's tokens, whose keys it reads over https with a certificate
//! authority that only the settings know.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cnx::base::algorithm::Algorithm;
use cnx::base::time::{Clock, Timestamp};
use cnx::config::{Issuer, Settings, Tls};
use cnx::flow::caller::Caller;
use cnx::flow::token;
use cnx::flow::trust::{self, NewRule};
use cnx::oauth::params::Params;
use cnx::oauth::trust::{ClaimRule, IssuerKeys};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer as Authority, KeyPair};
use reqwest::{StatusCode, Version};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;

use crate::token_requests::{granted, refused};
use crate::world::{JWT_BEARER, On, START, World, by, claims};

/// Writes a certificate authority, and a certificate of it for this machine with its key, into `folder`.
pub fn certificates(folder: &Path) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    let authority = Authority::new(params, key);
    let own = KeyPair::generate().unwrap();
    let signed =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&own, &authority).unwrap();
    std::fs::write(folder.join("ca.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.join("cert.pem"), signed.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), own.serialize_pem()).unwrap();
}

/// A way in for clients that speak no TLS: what they say goes on, encrypted, and so does the answer; of neither side more is taken than the
/// other takes.
pub struct Tunnel {
    pub base: String,
    /// How many times the server ended without a word.
    pub cut: Arc<AtomicUsize>,
    _runtime: Runtime,
}

impl Tunnel {
    /// To the server at the port of `base`, which need not be there yet; `folder` has its authority.
    pub fn to(base: &str, folder: &Path) -> Self {
        let port = url::Url::parse(base).unwrap().port().unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(folder.join("ca.pem")).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap();
        let connector =
            TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let base = format!("http://localhost:{}", listener.local_addr().unwrap().port());
        let cut = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&cut);
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (passed, counted) = (pass_on(client, port, connector.clone()), Arc::clone(&counted));
                tokio::spawn(async move {
                    if passed.await.is_err_and(|error| error.kind() == ErrorKind::UnexpectedEof) {
                        counted.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        Self { base, cut, _runtime: runtime }
    }
}

/// Until either side ends, which the other is told.
async fn pass_on(mut client: TcpStream, port: u16, connector: TlsConnector) -> std::io::Result<()> {
    // What it holds on the way is little.
    const HELD: u32 = 16 * 1024;
    socket2::SockRef::from(&client).set_send_buffer_size(HELD as usize)?;
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(HELD)?;
    let server = socket.connect((Ipv4Addr::LOCALHOST, port).into()).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let server = connector.connect("localhost".try_into().unwrap(), server).await;
    // Of a handshake that fails nobody is owed a word.
    let mut server = server.map_err(std::io::Error::other)?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// A server with TLS of its own.
async fn secure(folder: &Path) -> World {
    secure_with(folder, Clock::manual(Timestamp::from_secs(START)), |_| {}).await
}

/// The same, with other settings of one's own.
pub async fn secure_with(folder: &Path, clock: Clock, change: impl FnOnce(&mut Settings)) -> World {
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let mut world = World::with(On::Sqlite, clock, |settings| {
        change(settings);
        settings.public_url =
            Issuer::parse(&format!("https://localhost:{}", settings.listen.port())).unwrap();
        settings.tls = Some(Tls { cert, key });
    })
    .await
    .unwrap();
    world.base = world.base.replace("http://", "https://");
    world
}

/// A client that trusts the authority in `folder`.
pub fn client(folder: &Path) -> reqwest::ClientBuilder {
    let authority = reqwest::Certificate::from_pem(&std::fs::read(folder.join("ca.pem")).unwrap()).unwrap();
    reqwest::Client::builder().no_proxy().add_root_certificate(authority)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_tls_of_its_own_is_https_throughout_r92_s_m1() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let world = secure(folder.path()).await;
    let http = client(folder.path()).build().unwrap();
    let answer = http.get(world.url("/.well-known/openid-configuration")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().contains_key("strict-transport-security"));
    let document: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(document["issuer"], json!(world.base));
    let stranger = reqwest::Client::builder().no_proxy().build().unwrap();
    assert!(stranger.get(world.url("/healthz")).send().await.is_err(), "nobody else trusts this authority");
    let plain = world.base.replace("https://", "http://");
    assert!(http.get(format!("{plain}/healthz")).send().await.is_err(), "plain http is not spoken there");
}

/// An answer over HTTP/2 is sent in two parts. Where the second waits until the client has confirmed the first, which clients do not hurry
/// to do, each answer takes 44 ms: 4.4 s for all of these.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_part_of_an_answer_waits_until_the_other_is_confirmed() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let world = secure(folder.path()).await;
    for version in [Version::HTTP_2, Version::HTTP_11] {
        let http = client(folder.path());
        let http = if version == Version::HTTP_2 { http } else { http.http1_only() }.build().unwrap();
        let began = Instant::now();
        for _ in 0..100 {
            let answer = http.get(world.url("/.well-known/openid-configuration")).send().await.unwrap();
            assert_eq!((answer.status(), answer.version()), (StatusCode::OK, version));
            answer.bytes().await.unwrap();
        }
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_server_trusts_another_over_https_where_its_settings_say_so_s_s1() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let issuer = secure(folder.path()).await;
    let name = issuer.base.clone();
    let port = issuer.settings.listen.port();
    for (allow, ca, taken) in [
        (vec![format!("localhost:{port}")], true, true),
        (vec![format!("localhost:{port}")], false, false),
        (Vec::new(), true, false),
    ] {
        let ca = ca.then(|| folder.path().join("ca.pem"));
        let world = World::with(On::Sqlite, Clock::manual(Timestamp::from_secs(START)), |settings| {
            settings.outbound.allow = allow;
            settings.outbound.extra_ca = ca;
        })
        .await
        .unwrap();
        // An ID token of the one server, for the other, by a machine that has a key there.
        let machine_name = format!("ci-{}", world.settings.listen.port());
        let there = issuer
            .machine(&machine_name, Algorithm::Es256, json!({"audience": [world.base], "google_auth": true}))
            .await;
        let mut asked = issuer.assertion_claims(&there.id);
        asked["target_audience"] = json!(world.base);
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("grant_type", JWT_BEARER),
                ("assertion", there.signer.assertion(&asked).as_str()),
            ])
            .finish();
        let caller =
            Caller { address: IpAddr::V4(Ipv4Addr::LOCALHOST), user_agent: None, request_id: String::new() };
        let answer = token::token(issuer.app(), None, &Params::parse(form.as_bytes()).unwrap(), &caller)
            .await
            .unwrap();
        let id_token = answer.id_token.unwrap();

        let here = world.account("deploy", json!({})).await.id.to_string();
        let rule = NewRule {
            provider: "oidc",
            issuer: name.clone(),
            keys: IssuerKeys::Discover,
            audience: Vec::new(),
            claims: vec![ClaimRule::one("sub", there.id.clone())],
            allowed_events: Vec::new(),
            reusable: true,
            longest: 3600,
        };
        trust::add(world.app(), by(), "deploy", rule).await.unwrap();
        let reply = world.present(&id_token, &[]).await;
        if taken {
            assert_eq!(claims(&granted(&reply).access)["sub"], json!(here));
        } else {
            refused(&reply, 400, "invalid_grant");
        }
    }
}

#[test]
fn a_certificate_authority_that_cannot_be_read_stops_the_start() {
    let place = crate::process::Place::new();
    std::fs::write(place.dir().join("empty.pem"), "").unwrap();
    for (file, says) in [("nothing.pem", "nothing.pem: "), ("empty.pem", "empty.pem: no certificate in it")] {
        let mut place = crate::process::Place::new();
        std::fs::write(place.dir().join("empty.pem"), "").unwrap();
        place.set("CNX_OUTBOUND__EXTRA_CA", file);
        let line = place.refused(&["serve"]);
        assert!(line.starts_with("cnx: outbound.extra_ca ") && line.contains(says), "{line}");
        assert!(!place.data().exists());
    }
}
