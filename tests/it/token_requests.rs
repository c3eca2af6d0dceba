//! What the tests of the token endpoint ask, and how they read a refusal.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::world::{CALLBACK, Reply, TestClient, Tokens, VERIFIER, World, authorize_path};

/// A new code: `username` signs in and consents in a browser of their own.
pub async fn code(world: &World, client: &TestClient, extra: &[(&str, &str)], username: &str) -> String {
    world.browser().authorize(&authorize_path(client, extra), username).await.code()
}

/// Tokens from a new code.
pub async fn tokens(world: &World, client: &TestClient, username: &str) -> Tokens {
    world.browser().tokens(world, client, &[], username).await
}

/// Presents a code as its client should.
pub async fn exchange(world: &World, client: &TestClient, code: &str) -> Reply {
    exchange_with(world, client, code, &[]).await
}

/// Presents a code; `extra` replaces or adds parameters, an empty value takes one away.
pub async fn exchange_with(world: &World, client: &TestClient, code: &str, extra: &[(&str, &str)]) -> Reply {
    let usual = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    world.token(client, &with(&usual, extra)).await
}

/// Presents a refresh token as its client should.
pub async fn refresh(world: &World, client: &TestClient, token: &str) -> Reply {
    refresh_with(world, client, token, &[]).await
}

/// Presents a refresh token with more parameters.
pub async fn refresh_with(world: &World, client: &TestClient, token: &str, extra: &[(&str, &str)]) -> Reply {
    world.token(client, &with(&[("grant_type", "refresh_token"), ("refresh_token", token)], extra)).await
}

/// Presents a refresh token that must work.
pub async fn refreshed(world: &World, client: &TestClient, token: &str) -> Tokens {
    granted(&refresh(world, client, token).await)
}

fn with<'a>(usual: &[(&'a str, &'a str)], extra: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let replaced = |name: &str| extra.iter().any(|(n, _)| *n == name);
    let kept = usual.iter().filter(|(name, _)| !replaced(name));
    kept.chain(extra.iter().filter(|(_, value)| !value.is_empty())).copied().collect()
}

/// The names of an answer's members, sorted.
pub fn members(reply: &Reply) -> Vec<String> {
    let mut names: Vec<String> = reply.json().as_object().unwrap().keys().cloned().collect();
    names.sort();
    names
}

/// The tokens of an answer that must be a success.
#[track_caller]
pub fn granted(reply: &Reply) -> Tokens {
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    Tokens::of(reply)
}

/// A whole error answer of RFC 6749 §5.2: status, code, JSON, nothing cached, legal characters, a challenge with 401 only.
#[track_caller]
pub fn refused(reply: &Reply, status: u16, error: &str) {
    assert_eq!((reply.status, reply.error().as_str()), (status, error), "{}", reply.text);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("location"), None);
    assert_eq!(reply.header("www-authenticate").is_some(), status == 401);
    assert_eq!(members(reply), ["error", "error_description"]);
    let json = reply.json();
    let text = json["error_description"].as_str().unwrap();
    assert!(
        !text.is_empty() && text.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\'),
        "{text}"
    );
}

/// Nothing of these tokens works any more.
pub async fn assert_dead(world: &World, client: &TestClient, tokens: &Tokens) {
    assert_access_dead(world, tokens).await;
    refused(&refresh(world, client, tokens.refresh()).await, 400, "invalid_grant");
}

/// The access token is good for nothing; the refresh token is not looked at.
pub async fn assert_access_dead(world: &World, tokens: &Tokens) {
    let reply = world.user_info(&tokens.access).await;
    assert_eq!(reply.status, 401, "{}", reply.text);
}

/// The access token works; the refresh token is not touched.
pub async fn assert_alive(world: &World, tokens: &Tokens) {
    let reply = world.user_info(&tokens.access).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
}

/// `Authorization: Basic` of text that stands there as it is.
pub fn basic(credentials: &str) -> String {
    format!("Basic {}", STANDARD.encode(credentials))
}

/// A form with an `Authorization` header and a body of the test's own.
pub async fn post_raw(world: &World, path: &str, authorization: Option<&str>, body: &str) -> Reply {
    let mut request = world
        .http
        .post(world.url(path))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body.to_owned());
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    Reply::of(request.send().await.unwrap()).await
}

impl TestClient {
    /// `id:secret`.
    pub fn credentials(&self) -> String {
        format!("{}:{}", self.id, self.secret())
    }

    pub fn secret(&self) -> &str {
        self.secret.as_deref().expect("a confidential client")
    }

    /// The same client with another secret.
    pub fn with_secret(&self, secret: &str) -> Self {
        Self { id: self.id.clone(), secret: Some(secret.to_owned()) }
    }
}
