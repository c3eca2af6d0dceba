//! Another provider, and a browser on its way there and back, for the tests of S-L15.

use std::sync::{Arc, Mutex};

use cnx::base::secret::Secret;
use cnx::flow::identity_providers::{self, New};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::outbound::world_that_may_fetch;
use crate::page_table::token_of;
use crate::world::{Browser, On, Reply, Signer, World, by, http};

pub const WITH: &str = "/sign-in/with/example";
pub const US: &str = "client-1234";

/// What a provider says at the moment.
pub struct Says {
    pub metadata: Value,
    pub jwks: Value,
    /// Status and body of the token endpoint.
    pub token: (u16, String),
    /// What came to the token endpoint: head and body.
    pub redeemed: Vec<(String, String)>,
}

/// Another provider.
pub struct Provider {
    pub issuer: String,
    pub port: u16,
    pub signer: Signer,
    pub says: Arc<Mutex<Says>>,
}

/// A request and its answer.
pub async fn answer(mut stream: TcpStream, says: Arc<Mutex<Says>>) -> Option<()> {
    let mut read = Vec::new();
    let (head, body) = loop {
        let mut some = [0; 4096];
        let count = stream.read(&mut some).await.ok().filter(|count| *count > 0)?;
        read.extend_from_slice(&some[..count]);
        let text = String::from_utf8_lossy(&read).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            break (head.to_owned(), body.to_owned());
        }
    };
    let (status, text) = {
        let mut says = says.lock().unwrap();
        match head.split(' ').nth(1)? {
            "/.well-known/openid-configuration" => (200, says.metadata.to_string()),
            "/jwks" => (200, says.jwks.to_string()),
            "/token" => {
                says.redeemed.push((head.clone(), body));
                says.token.clone()
            }
            _ => (404, String::new()),
        }
    };
    let head = format!(
        "HTTP/1.1 {status} OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        text.len()
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(text.as_bytes()).await.ok()
}

impl Provider {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let issuer = format!("http://127.0.0.1:{port}");
        let signer = Signer::es256();
        let metadata = json!({"issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"), "jwks_uri": format!("{issuer}/jwks")});
        let (jwks, token, redeemed) = (signer.jwks(), (500, String::new()), Vec::new());
        let says = Arc::new(Mutex::new(Says { metadata, jwks, token, redeemed }));
        let shared = Arc::clone(&says);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&shared)));
            }
        });
        Self { issuer, port, signer, says }
    }

    pub fn described(&self, id: &str) -> New {
        New {
            id: id.to_owned(),
            name: "Example Inc.".to_owned(),
            issuer: self.issuer.clone(),
            client_id: US.to_owned(),
            secret: Some(Secret::new("a secret & more".to_owned())),
            scope: "openid email".to_owned(),
            trusted_for_addresses: false,
        }
    }

    pub async fn add(&self, world: &World, trusted_for_addresses: bool) {
        let new = New { trusted_for_addresses, ..self.described("example") };
        identity_providers::add(world.app(), by(), new).await.unwrap();
    }

    /// The next code is good for an ID token about `subject`, in answer to `asked`, with these changes; `null` takes a claim away.
    pub fn will_say(&self, world: &World, asked: &Asked, subject: &str, changes: &Value) {
        self.will_sign(&self.signer, world, asked, subject, changes);
    }

    pub fn will_sign(&self, signer: &Signer, world: &World, asked: &Asked, subject: &str, changes: &Value) {
        let mut claims = json!({"iss": self.issuer, "sub": subject, "aud": US, "iat": world.now(), "exp": world.now() + 300,
            "nonce": asked.get("nonce"), "email": "ada@example.com", "email_verified": true});
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        let mut header = signer.header();
        header["kid"] = json!(self.signer.kid);
        let token = signer.signs(&header, claims.to_string().as_bytes());
        let body = json!({"access_token": "x", "token_type": "Bearer", "id_token": token});
        self.says.lock().unwrap().token = (200, body.to_string());
    }
}

/// What a browser was sent to a provider with.
pub struct Asked {
    pub browser: Browser,
    pub url: url::Url,
}

impl Asked {
    /// Presses the button on a page that has it.
    pub async fn from(browser: &Browser, page: &Reply) -> Self {
        let form = ["csrf_token", "request", "next"].map(|name| (name.to_owned(), value_of(page, name)));
        Self::of(browser, &browser.post(WITH, &form).await)
    }

    /// Presses it on the sign-in page.
    pub async fn new(browser: &Browser) -> Self {
        let page = browser.open("/sign-in").await;
        assert!(page.text.contains("id=\"sign-in-with-example\""), "{}", page.text);
        Self::from(browser, &page).await
    }

    pub fn of(browser: &Browser, reply: &Reply) -> Self {
        assert_eq!(reply.status, 200, "{}", reply.text);
        let refresh = reply.header("refresh").unwrap_or_else(|| panic!("not on the way: {}", reply.text));
        let url = url::Url::parse(refresh.strip_prefix("0; url=").unwrap()).unwrap();
        let link = format!("href=\"{}\"", url.as_str().replace('&', "&#38;"));
        assert!(reply.text.contains(&link), "{link} {}", reply.text);
        Self { browser: browser.clone(), url }
    }

    pub fn get(&self, name: &str) -> Option<String> {
        self.url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
    }

    /// Comes back.
    pub async fn back(&self, params: &[(&str, &str)]) -> Reply {
        back(&self.browser, &self.get("state").unwrap(), params).await
    }
}

pub async fn back(browser: &Browser, state: &str, params: &[(&str, &str)]) -> Reply {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("state", state).extend_pairs(params);
    let request = http().get(browser.absolute(&format!("{WITH}/callback?{}", query.finish())));
    browser.send(request.header("sec-fetch-site", "cross-site")).await
}

pub const CODE: &[(&str, &str)] = &[("code", "c-1")];

/// The value of the first input of that name.
pub fn value_of(page: &Reply, name: &str) -> String {
    let html = scraper::Html::parse_document(&page.text);
    let selector = scraper::Selector::parse(&format!("input[name={name}]")).unwrap();
    html.select(&selector).next().and_then(|input| input.attr("value")).unwrap_or_default().to_owned()
}

pub fn is_nobody(browser: &Browser) -> bool {
    browser.cookie("cnx_session").is_none()
}

/// Whoever sits at `browser`, signed in, adds who they are at the provider to their account.
pub async fn add(world: &World, provider: &Provider, browser: &Browser, subject: &str) -> Reply {
    let page = browser.get("/account/security").await;
    let form = [("csrf_token", token_of(&page)), ("provider", "example".to_owned())];
    let form = form.map(|(name, value)| (name.to_owned(), value));
    let asked = Asked::of(browser, &browser.post("/account/identities", &form).await);
    provider.will_say(world, &asked, subject, &json!({}));
    asked.back(CODE).await
}

pub async fn on_each<F: Future<Output = ()>>(story: impl Fn(World, Provider) -> F) {
    for on in [On::Sqlite, On::Postgres] {
        let provider = Provider::start().await;
        let Some(world) = world_that_may_fetch(on, &[provider.port]).await else { continue };
        story(world, provider).await;
    }
}
