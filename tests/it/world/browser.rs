//! A person with a browser: keeps cookies, reads pages, fills forms.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::{CALLBACK, Callback, PASSWORD, Reply, TestClient, Tokens, World};

/// A pair of PKCE verifier and challenge (RFC 7636 appendix B).
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A usual authorization request as a path; `extra` replaces or adds parameters, an empty value takes one away.
pub fn authorize_path(client: &TestClient, extra: &[(&str, &str)]) -> String {
    let mut params: BTreeMap<&str, &str> = BTreeMap::from([
        ("client_id", client.id.as_str()),
        ("response_type", "code"),
        ("redirect_uri", CALLBACK),
        ("scope", "openid profile email offline_access"),
        ("state", "state-1"),
        ("nonce", "nonce-1"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]);
    for (name, value) in extra {
        if value.is_empty() {
            params.remove(name);
        } else {
            params.insert(name, value);
        }
    }
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
    format!("/oauth2/authorize?{query}")
}

/// A person's browser: keeps cookies, follows no redirect by itself.
#[derive(Clone)]
pub struct Browser {
    base: String,
    http: reqwest::Client,
    pub cookies: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Browser {
    pub fn new(base: &str, http: &reqwest::Client) -> Self {
        Self { base: base.to_owned(), http: http.clone(), cookies: Arc::default() }
    }

    pub async fn get(&self, path: &str) -> Reply {
        let request = self.http.get(self.absolute(path)).header("sec-fetch-site", "none");
        self.send(request).await
    }

    pub async fn post(&self, path: &str, form: &[(String, String)]) -> Reply {
        let request = self
            .http
            .post(self.absolute(path))
            .header("sec-fetch-site", "same-origin")
            .header("origin", &self.base);
        self.send(request.form(form)).await
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        let cookies: Vec<String> =
            self.cookies.lock().unwrap().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = if cookies.is_empty() { request } else { request.header("cookie", cookies.join("; ")) };
        let reply = Reply::of(request.send().await.unwrap()).await;
        let mut jar = self.cookies.lock().unwrap();
        for cookie in reply.headers.get_all("set-cookie") {
            let text = cookie.to_str().unwrap();
            let (pair, attributes) = text.split_once(';').unwrap_or((text, ""));
            let (name, value) = pair.split_once('=').unwrap();
            if attributes.contains("Max-Age=0") {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
        drop(jar);
        reply
    }

    /// The whole address of a path.
    pub fn absolute(&self, path: &str) -> String {
        if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) }
    }

    pub fn cookie(&self, name: &str) -> Option<String> {
        self.cookies.lock().unwrap().get(name).cloned()
    }

    /// Follows redirects within the server; stops at a page, or at a redirect to somewhere else.
    pub async fn follow(&self, reply: Reply) -> Reply {
        let mut reply = reply;
        for _ in 0..10 {
            match reply.location() {
                Some(location) if location.starts_with('/') || location.starts_with(&self.base) => {
                    reply = self.get(&location).await;
                }
                _ => return reply,
            }
        }
        panic!("redirected too often");
    }

    /// Opens a path and follows.
    pub async fn open(&self, path: &str) -> Reply {
        let reply = self.get(path).await;
        self.follow(reply).await
    }

    /// Fills the first form of a page that has all of these inputs, sends it, and follows.
    pub async fn submit(&self, page: &Reply, fields: &[(&str, &str)]) -> Reply {
        let form = page.form(fields);
        let reply = self.post(&form.action, &form.fields).await;
        self.follow(reply).await
    }

    /// Types name and password into the sign-in page.
    pub async fn sign_in(&self, page: &Reply, username: &str) -> Reply {
        self.submit(page, &[("username", username), ("password", PASSWORD)]).await
    }

    /// Answers the consent page.
    pub async fn consent(&self, page: &Reply, decision: &str) -> Reply {
        self.submit(page, &[("decision", decision)]).await
    }

    /// Goes through whatever pages an authorization request shows, as a willing person; gives the answer to the client.
    pub async fn authorize(&self, path: &str, username: &str) -> Callback {
        let mut reply = self.open(path).await;
        for _ in 0..4 {
            if reply.location().is_some() {
                break;
            }
            assert_eq!(reply.status, 200, "{}", reply.text);
            if reply.text.contains("sign-in-submit") {
                reply = self.sign_in(&reply, username).await;
            } else if reply.text.contains("consent-allow") {
                reply = self.consent(&reply, "allow").await;
            } else if reply.text.contains("account-current") {
                reply = self.submit(&reply, &[("account", "current")]).await;
            } else {
                panic!("an unexpected page: {}", reply.text);
            }
        }
        reply.callback()
    }

    /// The same up to tokens.
    pub async fn tokens(
        &self,
        world: &World,
        client: &TestClient,
        extra: &[(&str, &str)],
        username: &str,
    ) -> Tokens {
        let callback = self.authorize(&authorize_path(client, extra), username).await;
        let code = callback.code();
        let reply = world
            .token(
                client,
                &[
                    ("grant_type", "authorization_code"),
                    ("code", &code),
                    ("redirect_uri", CALLBACK),
                    ("code_verifier", VERIFIER),
                ],
            )
            .await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        Tokens::of(&reply)
    }
}
