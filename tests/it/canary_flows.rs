//! The ways that the journey of `canaries` does not take: second factors, passkeys, mail, accounts elsewhere, machines, API keys. With the log at
//! its most verbose, as the real binary writes it, everything that was handed out or handed in is looked for in the log, the metrics, the
//! pages and answers of refusals, and the database with what its log holds (S-H14, P6).

use cnx::account::totp;
use cnx::app::newest;
use cnx::base::time::Clock;
use reqwest::Method;
use serde_json::{Value, json};

use crate::authenticator::{Asking, Device};
use crate::canaries::{Canaries, are_what_they_are_taken_for, grounds};
use crate::canary_links::token_of;
use crate::identity_provider_stub::{Asked, Provider, US};
use crate::logs::stopped;
use crate::process::Place;
use crate::rolling::Ground;
use crate::second_factors::{base32, owned, select};
use crate::wire;
use crate::world::{Browser, PASSWORD, Reply, TestClient, http, link_in};

const UPSTREAM_SECRET: &str = "upstream-secret-canary-4711";
const CHOSEN: &str = "vivid otter drum canary 4711";
/// Where ada is written to in the end.
const MOVED: &str = "ada@elsewhere.example";

pub struct Walker<'a> {
    pub place: &'a Place,
    http: reqwest::Client,
    /// What is a secret wherever it stands.
    pub secrets: Canaries,
    /// What a form or an address may carry, so that a page may show it.
    carried: Canaries,
    /// What people and machines were told when they were refused.
    refusals: String,
}

pub fn now() -> i64 {
    Clock::System.now().as_secs()
}

impl Walker<'_> {
    pub fn browser(&self) -> Browser {
        Browser::new(&self.place.base, &self.http)
    }

    pub fn told(&mut self, reply: &Reply, status: u16) {
        assert_eq!(reply.status, status, "{}", reply.text);
        self.refusals.push_str(&reply.text);
        self.refusals.push('\n');
    }

    /// Keeps what a page's forms carry, and the cookies of its browser.
    fn carries(&mut self, browser: &Browser, page: &Reply) {
        for name in ["csrf_token", "request", "half", "draft"] {
            for value in
                select(page, &format!("input[name={name}]")).into_iter().filter(|value| value.len() >= 12)
            {
                self.carried.keep("what a form carries", value);
            }
        }
        for name in ["cnx_session", "cnx_browser", "cnx_device"] {
            if let Some(value) = browser.cookie(name) {
                self.secrets.keep("a cookie", value);
            }
        }
    }

    pub async fn token(&self, client: Option<&TestClient>, form: &[(&str, &str)]) -> Reply {
        let mut request = self.http.post(format!("{}/oauth2/token", self.place.base)).form(form);
        if let Some(client) = client {
            request = request.basic_auth(&client.id, client.secret.as_deref());
        }
        Reply::of(request.send().await.unwrap()).await
    }

    pub async fn call(&self, method: Method, path: &str, credential: &str, body: Option<Value>) -> Reply {
        let mut request =
            self.http.request(method, format!("{}{path}", self.place.base)).bearer_auth(credential);
        if let Some(body) = body {
            request = request.json(&body);
        }
        Reply::of(request.send().await.unwrap()).await
    }

    /// The newest link that went to an address by mail, once so many did.
    pub async fn mailed(&self, to: &str, count: usize) -> String {
        let folder = self.place.data().join("mail");
        for _ in 0..200 {
            let mails = newest(&folder, 100).unwrap_or_default();
            let links: Vec<_> = mails
                .iter()
                .filter(|mail| mail.to == to && mail.text.contains("token="))
                .map(|mail| link_in(&mail.text))
                .collect();
            if links.len() == count {
                return links[0].clone();
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("no link went to {to}");
    }

    /// The first step of a sign-in; the page of the second.
    async fn first_step(&mut self) -> (Browser, Reply) {
        let browser = self.browser();
        let page = browser.open("/sign-in").await;
        self.carries(&browser, &page);
        let form = page.form(&[("username", "ada"), ("password", PASSWORD)]);
        let page = browser.post(&form.action, &form.fields).await;
        self.carries(&browser, &page);
        (browser, page)
    }

    async fn second_step(&mut self, browser: &Browser, page: &Reply, code: &str, status: u16) -> Reply {
        let hidden = |name: &str| select(page, &format!("input[name={name}]"))[0].clone();
        let (token, half) = (hidden("csrf_token"), hidden("half"));
        let form =
            [("csrf_token", token.as_str()), ("request", ""), ("half", &half), ("next", ""), ("code", code)];
        let reply = browser.post("/sign-in/second-factor", &owned(&form)).await;
        self.carries(browser, &reply);
        if status >= 400 {
            self.told(&reply, status);
        }
        assert_eq!(reply.status, status, "{}", reply.text);
        reply
    }

    /// An authenticator app, its codes, and what stands in for it when it is lost.
    async fn proves_twice(&mut self) -> Browser {
        let browser = self.browser();
        let page = browser.open("/account").await;
        browser.sign_in(&page, "ada").await;
        let page = browser.get("/account/security/app").await;
        self.carries(&browser, &page);
        let shown = select(&page, "#totp-secret")[0].clone();
        let secret = base32(&shown);
        self.secrets.keep("the secret of an app", shown.replace(' ', ""));
        self.secrets.keep("the secret of an app as it is shown", shown);
        let form = page.form(&[("code", &totp::code_of(&secret, now() / 30))]);
        let done = browser.post("/account/security/app", &form.fields).await;
        let codes = select(&done, "#recovery-codes code");
        assert_eq!(codes.len(), 10, "{}", done.text);
        for code in &codes {
            self.secrets.keep("a recovery code", code.replace('-', ""));
            self.secrets.keep("a recovery code as it is shown", code);
        }
        let (signing_in, page) = self.first_step().await;
        let page = self.second_step(&signing_in, &page, "wrong code canary", 422).await;
        self.secrets.keep("a wrong code", "wrong code canary");
        self.second_step(&signing_in, &page, &totp::code_of(&secret, now() / 30 + 1), 303).await;
        for status in [303, 422] {
            let (signing_in, page) = self.first_step().await;
            self.second_step(&signing_in, &page, &codes[0], status).await;
        }
        browser
    }

    async fn shows_a_passkey(&mut self, browser: &Browser) {
        let mut device = Device::new(&self.place.base);
        let page = browser.get("/account/passkeys").await;
        let asking = Asking::of(&page, "passkey-add").with("name", "This computer");
        self.challenged(&asking);
        let added = asking.send(browser, device.make(&asking.options)).await;
        assert_eq!(added.status, 303, "{}", added.text);
        for status in [422, 303] {
            let visitor = self.browser();
            let asking = Asking::of(&visitor.get("/sign-in").await, "sign-in-passkey");
            self.challenged(&asking);
            device.forged = status == 422;
            let reply = asking.send(&visitor, device.answer(&asking.options)).await;
            self.carries(&visitor, &reply);
            if status == 422 {
                self.told(&reply, 422);
            }
            assert_eq!(reply.status, status, "{}", reply.text);
        }
    }

    fn challenged(&mut self, asking: &Asking) {
        let options = asking.options.get("publicKey").unwrap_or(&asking.options);
        self.carried.keep("a challenge", options["challenge"].as_str().unwrap());
        for (_, value) in asking.fields.iter().filter(|(_, value)| value.len() >= 24) {
            self.carried.keep("what a passkey's form carries", value);
        }
    }

    /// "I forgot my password": a link comes by mail, is used, and is spent.
    async fn forgets_the_password(&mut self) {
        let browser = self.browser();
        let page = browser.open("/forgot-password").await;
        let form = page.form(&[("username", "ada")]);
        assert_eq!(browser.post(&form.action, &form.fields).await.status, 303);
        let link = self.mailed(MOVED, 2).await;
        self.secrets.keep("a link's token", token_of(&link));
        let page = browser.open(&link).await;
        browser.submit(&page, &[("password", CHOSEN)]).await;
        self.secrets.keep("the password that was chosen", CHOSEN);
        let spent = browser.get(&link).await;
        self.told(&spent, 400);
    }

    /// An account elsewhere: our secret there, what we send and what comes back.
    async fn comes_from_elsewhere(&mut self, provider: &Provider) {
        self.secrets.keep("our secret at a provider", UPSTREAM_SECRET);
        for code in ["upstream-code-canary-1", "upstream-code-canary-2"] {
            let browser = self.browser();
            let asked = Asked::new(&browser).await;
            for name in ["state", "nonce", "code_challenge"] {
                self.carried.keep("what we ask a provider with", asked.get(name).unwrap());
            }
            self.secrets.keep("a provider's code", code);
            let claims = json!({"iss": provider.issuer, "sub": "7", "aud": US, "iat": now(), "exp": now() + 300, "nonce": asked.get("nonce"),
                "email": "ada@example.com", "email_verified": true});
            let mut header = provider.signer.header();
            header["kid"] = json!(provider.signer.kid);
            let token = provider.signer.signs(&header, claims.to_string().as_bytes());
            self.secrets.keep("a provider's ID token", &token);
            let good = code.ends_with('1');
            let body =
                json!({"access_token": "upstream-access-canary", "token_type": "Bearer", "id_token": token});
            provider.says.lock().unwrap().token =
                if good { (200, body.to_string()) } else { (400, body.to_string()) };
            let reply = asked.back(&[("code", code)]).await;
            self.carries(&browser, &reply);
            if good {
                assert!(reply.status < 400, "{}", reply.text);
            } else {
                let status = reply.status;
                assert!(status >= 400, "{}", reply.text);
                self.told(&reply, status);
            }
        }
        self.secrets.keep("a provider's access token", "upstream-access-canary");
        let redeemed = provider.says.lock().unwrap().redeemed.clone();
        for (_, verifier) in redeemed.iter().filter(|(name, _)| name == "code_verifier") {
            self.secrets.keep("our verifier", verifier);
        }
    }
}

async fn everywhere(level: &str, mut ground: Ground) {
    let provider = Provider::start().await;
    let place = &mut ground.place;
    place.json_with(
        &["user", "add", "ada@example.com", "--name", "Ada", "--email-verified", "--password-stdin"],
        Some(PASSWORD),
    );
    place.set("CNX_OUTBOUND__ALLOW", &format!("127.0.0.1:{}", provider.port));
    let issuer = provider.issuer.as_str();
    let elsewhere = [
        "identity-provider",
        "add",
        "example",
        "--issuer",
        issuer,
        "--client-id",
        US,
        "--trust-addresses",
        "--secret-stdin",
    ];
    place.json_with(&elsewhere, Some(UPSTREAM_SECRET));
    let metrics = crate::world::free_port();
    let mail = place.data().join("mail").display().to_string();
    place
        .set("CNX_LOG__FORMAT", "json")
        .set("CNX_LOG__LEVEL", level)
        .set("CNX_METRICS_LISTEN", &format!("127.0.0.1:{metrics}"))
        .set("CNX_MAIL__FOLDER", &mail)
        .set("CNX_MAIL__FROM", "Test <id@example.com>");
    let mut node = place.serve(&["--json"]);
    let mut walker = Walker {
        place: &ground.place,
        http: http(),
        secrets: Canaries::default(),
        carried: Canaries::default(),
        refusals: String::new(),
    };
    walker.secrets.keep("the password", PASSWORD);
    let olga = walker.is_set_up(&node).await;
    walker.invites(&olga).await;
    let browser = walker.proves_twice().await;
    walker.shows_a_passkey(&browser).await;
    walker.comes_from_elsewhere(&provider).await;
    walker.moves(&browser, MOVED).await;
    walker.forgets_the_password().await;
    walker.works_as_a_machine().await;
    walker.proves_by_assertions().await;
    walker.has_keys_made().await;
    let Walker { secrets, carried, refusals, .. } = walker;

    let shown = wire::get(&format!("http://localhost:{metrics}"), "/metrics");
    assert!(shown.status() == 200 && shown.text.contains("cnx_http_request_seconds"), "{}", shown.text);
    // While it runs, so that the write-ahead log is there.
    let database = tokio::task::block_in_place(|| ground.stored());
    let master = std::fs::read_to_string(ground.place.data().join("master.key")).unwrap();
    let log = stopped(&mut node);
    for event in ["totp", "passkey", "identity", "machine_token.issued", "key.rotated"] {
        assert!(log.contains(event), "nothing tells of {event}");
    }
    are_what_they_are_taken_for(&[
        ("the log", &log, "machine_token.issued"),
        ("the metrics", &shown.text, "/oauth2/token"),
        ("the database", &database, MOVED),
        ("a refusal", &refusals, "invalid_client"),
    ]);
    let mut master_key = Canaries::default();
    master_key.keep("the master key", master.trim());
    if let Some(database) = &ground.postgres {
        let url = url::Url::parse(&database.url).unwrap();
        master_key.keep("the database's password", url.password().unwrap());
    }
    for (where_to, text) in [
        ("the log", &log),
        ("the metrics", &shown.text),
        ("the database", &database),
        ("a refusal", &refusals),
    ] {
        secrets.look_for(where_to, text);
        master_key.look_for(where_to, text);
        if where_to != "a refusal" {
            carried.look_for(where_to, text);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_of_any_other_way_is_ever_written_down_s_h14_p6() {
    for (level, ground) in ["debug", "trace"].into_iter().flat_map(grounds) {
        everywhere(level, ground).await;
    }
}
