//! No secret is ever written down: a person and an app go their whole way, wrong turns included, and then everything that
//! the server wrote is searched for everything that it was handed or handed out (S-H14, P6).

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use serde_json::Value;

use crate::logs::{add, stopped};
use crate::process::Place;
use crate::rolling::Ground;
use crate::wire::{self, exchange};
use crate::world::{Browser, CALLBACK, PASSWORD, Reply, TestClient, Tokens, VERIFIER, authorize_path, http};

/// Everything that a whole journey hands out or is handed.
#[derive(Default)]
pub struct Canaries(Vec<(&'static str, String)>);

impl Canaries {
    pub fn keep(&mut self, what: &'static str, secret: impl Into<String>) {
        let secret = secret.into();
        assert!(secret.len() >= 12, "{what} is too short to be looked for: {secret}");
        self.0.push((what, secret));
    }

    /// What of it stands in a text, each with the line: as it was, percent-encoded, or the last part of a JWT.
    pub fn found_in<'a>(&self, text: &'a str) -> Vec<(&'static str, &'a str)> {
        let mut found = Vec::new();
        for (what, secret) in &self.0 {
            let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
            let forms = [secret.as_str(), encoded.as_str(), secret.rsplit('.').next().unwrap()];
            if let Some(at) = forms.iter().find_map(|form| text.find(form)) {
                let begin = text[..at].rfind('\n').map_or(0, |end| end + 1);
                found.push((*what, text[begin..].lines().next().unwrap()));
            }
        }
        found
    }

    /// Fails when any of it stands in a text.
    pub fn look_for(&self, place: &str, text: &str) {
        let found = self.found_in(text);
        if let Some((first, line)) = found.first() {
            let others: BTreeSet<_> =
                found.iter().map(|(what, _)| *what).filter(|what| what != first).collect();
            panic!("{first} stands in {place}: {line}\nso do: {others:?}");
        }
    }
}

/// Fails unless a word that must stand there is found in each text by the same search: a search of the wrong text would find no secret either.
pub fn are_what_they_are_taken_for(places: &[(&str, &str, &str)]) {
    for (place, text, word) in places {
        let known = Canaries(vec![("what must be there", (*word).to_owned())]);
        assert_eq!(
            known.found_in(text).len(),
            1,
            "{word} is not in {place}, which is not what it is taken for"
        );
    }
}

impl Ground {
    /// All that lies in the database: of SQLite the files with their log, of PostgreSQL every row.
    pub fn stored(&self) -> String {
        let bytes = if let Some(database) = &self.postgres {
            database.rows()
        } else {
            let files = self.place.snapshot().into_iter();
            files.filter(|(name, _)| name.starts_with("data/cnx.db")).flat_map(|(_, bytes)| bytes).collect()
        };
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// A scan that finds nothing must be able to find something.
#[test]
#[should_panic(expected = "the access token stands in the log")]
fn a_secret_that_was_written_down_would_be_found() {
    let mut canaries = Canaries::default();
    canaries.keep("the access token", "header-part.claims-part.signature-part");
    canaries.look_for("the log", "one line\nand another with ?x=signature-part in it\n");
}

/// A person and an app on their whole way, every secret of which is kept.
struct Traveller<'a> {
    place: &'a Place,
    client: &'a TestClient,
    http: reqwest::Client,
    browser: Browser,
    canaries: Canaries,
}

impl Traveller<'_> {
    fn secret(&self) -> &str {
        self.client.secret.as_deref().unwrap()
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> Reply {
        let request = self.http.post(format!("{}{path}", self.place.base));
        Reply::of(request.basic_auth(&self.client.id, Some(self.secret())).form(form).send().await.unwrap())
            .await
    }

    /// Sends it without looking at the answer.
    async fn send(&self, request: reqwest::RequestBuilder) {
        request.send().await.unwrap();
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.place.base)
    }

    async fn signs_in(&mut self) -> String {
        let wanted = [("state", "state-canary-4711"), ("nonce", "nonce-canary-4711")];
        let page = self.browser.open(&authorize_path(self.client, &wanted)).await;
        let form = page.form(&[("username", "ada"), ("password", "a wrong password canary")]);
        for (name, value) in &form.fields {
            match name.as_str() {
                "request" => self.canaries.keep("a sealed request", value),
                "csrf_token" => self.canaries.keep("a form's token", value),
                _ => {}
            }
        }
        self.canaries.keep("a wrong password", "a wrong password canary");
        let page = self.browser.post(&form.action, &form.fields).await;
        // People type their password where the name belongs.
        let typed = [("username", "password-typed-as-name"), ("password", "a wrong password canary")];
        let page = self.browser.submit(&page, &typed).await;
        self.canaries.keep("a password that was typed as a name", "password-typed-as-name");
        let page = self.browser.sign_in(&page, "ada").await;
        for (what, cookie) in [
            ("the session", "cnx_session"),
            ("the browser's mark", "cnx_browser"),
            ("the device", "cnx_device"),
        ] {
            self.canaries.keep(what, self.browser.cookie(cookie).unwrap());
        }
        let code = self.browser.consent(&page, "allow").await.callback().code();
        self.canaries.keep("the code", &code);
        self.canaries.keep("the state", "state-canary-4711");
        self.canaries.keep("the nonce", "nonce-canary-4711");
        code
    }

    /// Redeems, refreshes, shows tokens; gives the first and the second tokens.
    async fn uses_tokens(&mut self, code: &str) -> (Tokens, Tokens) {
        let grant = [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", CALLBACK)];
        self.post("/oauth2/token", &grant).await;
        let grant = [&grant[..], &[("code_verifier", VERIFIER)]].concat();
        let first = Tokens::of(&self.post("/oauth2/token", &grant).await);
        self.canaries.keep("the access token", &first.access);
        self.canaries.keep("the refresh token", first.refresh());
        self.canaries.keep("the ID token", first.id());
        let refresh = [("grant_type", "refresh_token"), ("refresh_token", first.refresh())];
        let second = Tokens::of(&self.post("/oauth2/token", &refresh).await);
        self.canaries.keep("the second refresh token", second.refresh());
        self.canaries.keep("the second access token", &second.access);
        let user_info = self.url("/oauth2/userinfo");
        self.send(self.http.get(&user_info).bearer_auth(&second.access)).await;
        self.send(self.http.post(&user_info).form(&[("access_token", &second.access)])).await;
        self.post("/oauth2/introspect", &[("token", &second.access)]).await;
        self.post("/oauth2/introspect", &[("token", second.refresh())]).await;
        (first, second)
    }

    /// Secrets in addresses, in wrong places, malformed and spent.
    async fn goes_wrong(&mut self, code: &str, first: &Tokens, second: &Tokens) {
        let (secret, access, token) = (self.secret().to_owned(), &second.access, self.url("/oauth2/token"));
        self.send(self.http.get(format!("{token}?client_secret={secret}&code={code}"))).await;
        self.send(self.http.get(self.url(&format!("/nowhere?code={code}&token={access}")))).await;
        self.send(self.http.get(self.url(&format!("/oauth2/userinfo?access_token={access}")))).await;
        let wrong = [
            ("client_id", self.client.id.as_str()),
            ("client_secret", "not-the-secret-canary"),
            ("grant_type", "x"),
        ];
        self.send(self.http.post(&token).form(&wrong)).await;
        self.canaries.keep("a wrong secret", "not-the-secret-canary");
        let basic = format!("Basic !!{secret}");
        self.send(self.http.post(&token).header("authorization", basic).form(&[("grant_type", "x")])).await;
        self.send(self.http.get(self.url("/oauth2/userinfo")).bearer_auth(format!("{access}x"))).await;
        let hint = [("id_token_hint", first.id()), ("prompt", "none")];
        self.browser.open(&authorize_path(self.client, &hint)).await;
        let evil = [("redirect_uri", "https://evil.example/?code=redirect-canary-4711")];
        self.browser.open(&authorize_path(self.client, &evil)).await;
        self.canaries.keep("a redirect URI's query", "redirect-canary-4711");
        self.browser.open(&format!("/oauth2/logout?id_token_hint={}", first.id())).await;
        self.post("/oauth2/revoke", &[("token", second.refresh())]).await;
        let grant = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        self.post("/oauth2/token", &grant).await;
        self.post("/oauth2/token", &[("grant_type", "refresh_token"), ("refresh_token", first.refresh())])
            .await;
        // A head that the parser refuses, with a secret in it.
        let head = format!("GET /x HTTP/1.1\r\nHost: a\r\nAuthorization : Bearer {access}\r\n\r\n");
        exchange(&self.place.base, head.as_bytes(), Duration::from_secs(3));
    }

    async fn sets_a_password(&mut self) {
        let link = self.place.json(&["user", "set-password", "ada"]);
        let url = link["set_password_url"].as_str().unwrap().to_owned();
        self.canaries.keep("a link's token", url.split_once("token=").unwrap().1);
        let page = self.browser.open(&url).await;
        self.browser.submit(&page, &[("password", "otter plank vivid drum")]).await;
        self.canaries.keep("the new password", "otter plank vivid drum");
        self.browser.open(&url).await;
    }
}

async fn journey(place: &Place, client: &TestClient) -> Canaries {
    let http = http();
    let browser = Browser::new(&place.base, &http);
    let mut traveller = Traveller { place, client, http, browser, canaries: Canaries::default() };
    let secret = traveller.secret().to_owned();
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{}:{secret}", client.id));
    traveller.canaries.keep("the client's secret", secret);
    traveller.canaries.keep("Basic credentials", basic);
    traveller.canaries.keep("the password", PASSWORD);
    traveller.canaries.keep("the verifier", VERIFIER);
    let code = traveller.signs_in().await;
    let (first, second) = traveller.uses_tokens(&code).await;
    traveller.goes_wrong(&code, &first, &second).await;
    traveller.sets_a_password().await;
    traveller.canaries
}

/// At a level of the log, a place on each database.
pub fn grounds(level: &'static str) -> Vec<(&'static str, Ground)> {
    let each = tokio::task::block_in_place(|| std::thread::spawn(Ground::each).join().unwrap());
    each.into_iter().map(|ground| (level, ground)).collect()
}

/// What somebody wrote into a row, as text and as bytes, is found in either database.
#[test]
fn a_secret_that_was_kept_in_a_row_would_be_found() {
    for ground in Ground::each() {
        ground.place.json(&["migrate"]);
        let mut canaries = Canaries::default();
        for (what, secret) in [
            ("a text", "planted-canary-4711"),
            ("bytes", "header-part.claims-part.planted-signature"),
            ("what is in the middle of bytes", "planted-token-4711"),
            ("what nobody wrote", "absent-canary-4711"),
        ] {
            canaries.keep(what, secret);
        }
        canaries.look_for("the database", &ground.stored());
        let (kind, bytes) = match ground.postgres {
            Some(_) => (
                "bytea",
                "convert_to('x.planted-signature', 'UTF8'), convert_to('{\"a\":\"planted-token-4711\"}', 'UTF8')",
            ),
            None => (
                "BLOB",
                "CAST('x.planted-signature' AS BLOB), CAST('{\"a\":\"planted-token-4711\"}' AS BLOB)",
            ),
        };
        ground.execute(&format!(
            "CREATE TABLE planted (one {kind}, other {kind});
             INSERT INTO planted VALUES ({bytes});
             INSERT INTO meta (key, value) VALUES ('planted', '?token=planted-canary-4711&x')"
        ));
        let stored = ground.stored();
        let found: Vec<_> = canaries.found_in(&stored).into_iter().map(|(what, _)| what).collect();
        assert_eq!(found, ["a text", "bytes", "what is in the middle of bytes"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_of_a_whole_journey_is_ever_written_down_s_h14_p6() {
    for (level, mut ground) in ["debug", "trace"].into_iter().flat_map(grounds) {
        let place = &mut ground.place;
        let client = add(place);
        let metrics = crate::world::free_port();
        place
            .set("CNX_LOG__FORMAT", "json")
            .set("CNX_LOG__LEVEL", level)
            .set("CNX_METRICS_LISTEN", &format!("127.0.0.1:{metrics}"));
        let mut node = place.serve(&["--json"]);
        let canaries = journey(place, &client).await;
        let shown = wire::get(&format!("http://localhost:{metrics}"), "/metrics");
        assert!(shown.status() == 200 && shown.text.contains("cnx_http_request_seconds"), "{}", shown.text);
        let log = stopped(&mut node);
        assert!(
            log.lines().count() > 60
                && log.contains("\"target\":\"access\"")
                && log.contains("\"target\":\"audit\""),
            "{log}"
        );
        canaries.look_for(&format!("the log at {level}"), &log);
        canaries.look_for("the metrics", &shown.text);
        // Access lines name the route, never the address's query.
        for line in log.lines().filter(|line| line.contains("\"target\":\"access\"")) {
            let record: Value = serde_json::from_str(line).unwrap();
            assert!(
                !record["route"].as_str().unwrap().contains('?') && record["request_id"].is_string(),
                "{line}"
            );
        }
        assert!(
            log.contains("user.signed_in") && log.contains("grant.refused") && log.contains("client.refused"),
            "the acts are there"
        );
        // In the database lie hashes and sealed values only.
        let stored = tokio::task::block_in_place(|| ground.stored());
        are_what_they_are_taken_for(&[
            ("the log", &log, "user.signed_in"),
            ("the metrics", &shown.text, "/oauth2/token"),
            ("the database", &stored, "ada@example.com"),
        ]);
        let secrets = Canaries(
            canaries
                .0
                .into_iter()
                .filter(|(what, _)| !what.contains("state") && !what.contains("nonce"))
                .collect(),
        );
        secrets.look_for("the database", &stored);
    }
}
