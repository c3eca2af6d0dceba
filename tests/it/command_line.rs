//! The command line beside a running server: documents, exit codes, and what it changes is in force within a second
//! (contract §3, P3).

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::process::{Node, Place};
use crate::world::{
    Browser, CALLBACK, PASSWORD, PostgresDatabase, Reply, TestClient, Tokens, VERIFIER, authorize_path, http,
};

/// P3: what is changed holds for every later request within a second; a little is added for a machine that is busy.
const SOON: Duration = Duration::from_millis(1500);

/// A person in front of the real server.
pub struct Person {
    pub http: reqwest::Client,
    base: String,
    browser: Browser,
}

impl Person {
    pub fn at(node: &Node) -> Self {
        let http = http();
        Self { browser: Browser::new(&node.base, &http), http, base: node.base.clone() }
    }

    pub async fn post(&self, path: &str, client: &TestClient, form: &[(&str, &str)]) -> Reply {
        let mut form = form.to_vec();
        let mut request = self.http.post(format!("{}{path}", self.base));
        match &client.secret {
            Some(secret) => request = request.basic_auth(&client.id, Some(secret)),
            None => form.push(("client_id", &client.id)),
        }
        Reply::of(request.form(&form).send().await.unwrap()).await
    }

    pub async fn tokens(&self, client: &TestClient, username: &str) -> Tokens {
        let callback = self.browser.authorize(&authorize_path(client, &[]), username).await;
        let code = callback.code();
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        Tokens::of(&self.post("/oauth2/token", client, &form).await)
    }

    pub async fn user_info(&self, token: &str) -> u16 {
        self.http
            .get(format!("{}/oauth2/userinfo", self.base))
            .bearer_auth(token)
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    }
}

/// Asks again until the answer is as wanted, and says how long that took.
async fn until(what: &str, wanted: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !wanted().await {
        assert!(began.elapsed() < SOON, "{what}: not in force after {:?}", began.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub fn client_of(document: &Value) -> TestClient {
    let text = |name: &str| document[name].as_str().map(str::to_owned);
    TestClient { id: text("client_id").unwrap(), secret: text("client_secret") }
}

fn names(document: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = document.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

fn is_time(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.len() == 20 && text.ends_with('Z') && text.as_bytes()[10] == b'T')
}

async fn whole_life(place: &mut Place) {
    // A secret that is asked for every few milliseconds until it works is a secret that is guessed.
    place.set("CNX_LIMITS__CLIENT_FAILURES", "10000");
    // Before the first start, the command line makes everything that it needs.
    let ada = place.json_with(
        &["user", "add", "ada@example.com", "--name", "Ada", "--email-verified", "--password-stdin"],
        Some(PASSWORD),
    );
    assert_eq!(
        (&ada["username"], &ada["email"], &ada["email_verified"], &ada["name"]),
        (&json!("ada"), &json!("ada@example.com"), &json!(true), &json!("Ada"))
    );
    assert_eq!(
        (&ada["is_admin"], &ada["has_password"], &ada["disabled_at"]),
        (&json!(false), &json!(true), &Value::Null)
    );
    assert!(is_time(&ada["created_at"]) && ada["user_id"].as_str().unwrap().len() == 36, "{ada}");
    assert!(!ada.to_string().contains("argon2") && !ada.to_string().contains(PASSWORD));

    let node = place.serve(&["--json"]);
    let person = Person::at(&node);

    // A client that is added beside the running server works within a second.
    let added = place.json(&[
        "client",
        "add",
        "Beside",
        "--redirect-uri",
        CALLBACK,
        "--scope",
        "openid email profile offline_access",
    ]);
    let client = client_of(&added);
    assert_eq!(
        (&added["client_name"], &added["redirect_uris"], &added["token_endpoint_auth_method"]),
        (&json!("Beside"), &json!([CALLBACK]), &json!("client_secret_basic"))
    );
    assert_eq!(
        (&added["require_pkce"], &added["scope"]),
        (&json!(true), &json!("email offline_access openid profile"))
    );
    assert!(client.secret.as_ref().unwrap().starts_with("cnx_cs_"), "{added}");
    until("a new client", async || {
        person
            .http
            .get(format!("{}{}", person.base, authorize_path(&client, &[])))
            .send()
            .await
            .unwrap()
            .status()
            == 303
    })
    .await;
    let tokens = person.tokens(&client, "ada").await;
    assert_eq!(person.user_info(&tokens.access).await, 200);

    let shown = place.json(&["client", "show", &client.id]);
    assert_eq!((shown["client_id"].as_str(), shown.get("client_secret")), (Some(client.id.as_str()), None));
    assert_eq!(shown["secrets"].as_array().unwrap().len(), 1);
    let listed = place.json(&["client", "list"]);
    assert_eq!(listed["clients"].as_array().unwrap().len(), 1);
    assert!(!listed.to_string().contains("cnx_cs_") && !shown.to_string().contains("cnx_cs_"));

    let last = two_secrets(place, &person, &client).await;
    let tokens = a_person_ends(place, &person, &last, tokens).await;
    keys_come_and_go(place, &person).await;

    // A deleted client is nobody within a second.
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh())];
    assert_eq!(place.json(&["client", "delete", &last.id]), json!({"client_id": last.id, "deleted": true}));
    until("a deleted client", async || person.post("/oauth2/token", &last, &refresh).await.status == 401)
        .await;
    assert_eq!(person.browser.get(&authorize_path(&last, &[])).await.status, 400);
    assert_eq!(place.json(&["migrate", "--check"])["pending"], json!([]));
    assert_eq!(place.json(&["doctor"])["ok"], true);
}

/// Two secrets for as long as was said; with no overlap the one before stops at once. Gives the last.
async fn two_secrets(place: &Place, person: &Person, client: &TestClient) -> TestClient {
    let grant = [("grant_type", "authorization_code"), ("code", "x")];
    let accepts = async |client: &TestClient| {
        person.post("/oauth2/token", client, &grant).await.error() == "invalid_grant"
    };
    let second = client_of(&place.json(&["client", "rotate-secret", &client.id, "--overlap", "1h"]));
    until("a second secret", async || accepts(&second).await).await;
    assert!(accepts(client).await, "the one before works on");
    let third = place.json(&["client", "rotate-secret", &client.id, "--overlap", "0"]);
    assert_eq!(names(&third), ["client_id", "client_secret", "previous_secret"]);
    let third = client_of(&third);
    until("a third secret", async || accepts(&third).await).await;
    assert!(!accepts(client).await && !accepts(&second).await, "and the ones before are over");
    third
}

/// A disabled person: sessions and tokens die within a second and come back no more; so with a new password. Gives tokens
/// that are dead.
async fn a_person_ends(place: &Place, person: &Person, third: &TestClient, tokens: Tokens) -> Tokens {
    let disabled = place.json(&["user", "disable", "ada"]);
    assert!(is_time(&disabled["disabled_at"]), "{disabled}");
    until("a disabled person's access token", async || person.user_info(&tokens.access).await == 401).await;
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh())];
    assert_eq!(person.post("/oauth2/token", third, &refresh).await.error(), "invalid_grant");
    let silent = person.browser.open(&authorize_path(third, &[("prompt", "none")])).await;
    assert_eq!(silent.callback().error(), "login_required");
    let reset = place.json(&["user", "reset-factors", "ada"]);
    assert_eq!(reset["user_id"], disabled["user_id"], "{reset}");
    assert!(place.run(&["audit", "export"]).out.contains("user.factors_reset"));
    let enabled = place.json(&["user", "enable", "ada@example.com"]);
    assert_eq!(enabled["disabled_at"], Value::Null);
    assert_eq!(person.user_info(&tokens.access).await, 401, "what died stays dead");
    let tokens = person.tokens(third, "ada").await;

    // A new password ends what the old one began.
    place.json_with(&["user", "set-password", "ada", "--password-stdin"], Some("otter plank vivid drum\n"));
    until("a new password", async || person.user_info(&tokens.access).await == 401).await;
    let link = place.json(&["user", "set-password", "ada"]);
    assert!(
        link["set_password_url"]
            .as_str()
            .unwrap()
            .starts_with(&format!("{}/set-password?token=", place.base)),
        "{link}"
    );
    assert!(is_time(&link["expires_at"]), "{link}");
    tokens
}

/// A new key is published at once and signs later; a revoked one is gone within a second.
async fn keys_come_and_go(place: &Place, person: &Person) {
    let kids = async || -> Vec<String> {
        let jwks: Value = person
            .http
            .get(format!("{}/.well-known/jwks.json", person.base))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    };
    let before = place.json(&["signing-key", "list"]);
    assert_eq!(before["keys"].as_array().unwrap().len(), 3);
    assert_eq!(
        names(&before["keys"][0]),
        ["alg", "expires_at", "generation", "kid", "retires_at", "sign_from", "state"]
    );
    let rotated = place.json(&["signing-key", "rotate", "--alg", "ES256"]);
    let kid = rotated["keys"][0]["kid"].as_str().unwrap().to_owned();
    assert_eq!(
        (&rotated["keys"][0]["alg"], &rotated["keys"][0]["state"]),
        (&json!("ES256"), &json!("published"))
    );
    until("a new key", async || kids().await.contains(&kid)).await;
    place.json(&["signing-key", "revoke", &kid]);
    until("a revoked key", async || !kids().await.contains(&kid)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_command_line_changes_is_in_force_within_a_second_on_sqlite() {
    whole_life(&mut Place::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_command_line_changes_is_in_force_within_a_second_on_postgres() {
    let Some(database) = PostgresDatabase::make().await else { return };
    let mut place = Place::new();
    place.set("CNX_DATABASE_URL", &database.url);
    whole_life(&mut place).await;
}

#[test]
fn a_command_that_is_refused_says_why_on_one_line_and_ends_with_1() {
    let place = Place::new();
    place.json_with(&["user", "add", "ada@example.com", "--password-stdin"], Some(PASSWORD));
    place.json(&["client", "add", "App", "--id", "app", "--redirect-uri", CALLBACK]);
    for (arguments, input, line) in [
        (&["user", "add", "ada@example.com"][..], None, "cnx: email: it is taken"),
        (&["user", "add", "ada@example.com", "--username", "other"], None, "cnx: email: it is taken"),
        (&["user", "add", "no address"], None, "cnx: email: an address like name@example.org is needed"),
        (
            &["user", "add", "b@example.com", "--password-stdin"],
            Some("short"),
            "cnx: password: at least 15 characters are needed",
        ),
        (
            &["user", "add", "b@example.com", "--password-stdin"],
            Some(""),
            "cnx: password: standard input is empty",
        ),
        (
            &["user", "add", "b@example.com", "--password-stdin"],
            Some("two\nlines"),
            "cnx: password: one line is expected on standard input",
        ),
        (
            &["user", "disable", "nobody"],
            None,
            "cnx: nobody: there is no such user; a user name, an e-mail address or a user_id is expected",
        ),
        (
            &["user", "disable", "%"],
            None,
            "cnx: %: there is no such user; a user name, an e-mail address or a user_id is expected",
        ),
        (
            &["client", "add", "Twin", "--id", "app", "--redirect-uri", CALLBACK],
            None,
            "cnx: client_id: app is taken",
        ),
        (&["client", "show", "nobody"], None, "cnx: no client has the id nobody"),
        (&["client", "delete", "nobody"], None, "cnx: no client has the id nobody"),
        (
            &["client", "add", "--metadata", "nowhere.json"],
            None,
            "cnx: --metadata nowhere.json: the file cannot be read: No such file or directory (os error 2)",
        ),
        (
            &["signing-key", "revoke", "nothing"],
            None,
            "cnx: nothing: there is no such key; `cnx signing-key list` shows what there is",
        ),
    ] {
        let ended = place.run_with(arguments, input);
        assert_eq!(
            (ended.code, ended.err.trim_end(), ended.out.as_str()),
            (Some(1), line, ""),
            "{arguments:?}"
        );
        let ended = place.run_with(&[arguments, &["--json"]].concat(), input);
        assert_eq!(
            (ended.code, ended.err.trim_end(), ended.out.as_str()),
            (Some(1), line, ""),
            "{arguments:?} --json"
        );
    }
    assert_eq!(place.json(&["user", "list"])["users"].as_array().unwrap().len(), 1, "nothing was half done");
    assert_eq!(place.json(&["client", "list"])["clients"].as_array().unwrap().len(), 1);
}

#[test]
fn the_first_key_of_an_algorithm_signs_at_once_also_where_no_server_ran_before() {
    let place = Place::new();
    let rotate = || place.json(&["signing-key", "rotate", "--alg", "ES256"])["keys"][0].clone();
    let first = rotate();
    assert!(first["state"] == "signing" && is_time(&first["sign_from"]), "{first}");
    let (second, again) = (rotate(), rotate());
    assert_eq!((&second["state"], &second), (&json!("published"), &again), "one waits, and is shown again");
    assert!(second["sign_from"].as_str() > first["sign_from"].as_str(), "{first} {second}");
}

#[test]
fn a_metadata_file_brings_id_and_secret_and_is_read_strictly() {
    let place = Place::new();
    let file = place.dir().join("client.json");
    std::fs::write(&file, json!({"client_id": "brought", "client_secret": "a-secret-that-was-brought", "client_name": "Brought", "redirect_uris": [CALLBACK]}).to_string()).unwrap();
    let added = place.json(&["client", "add", "--metadata", "client.json"]);
    assert_eq!(
        (&added["client_id"], &added["client_secret"]),
        (&json!("brought"), &json!("a-secret-that-was-brought"))
    );
    for (text, reason) in [
        (r#"{"client_name":"X","redirect_uris":["http://evil.example/cb"]}"#, "redirect_uris: "),
        (r#"{"client_name":"X","redirect_uri":["https://a.example/cb"]}"#, "metadata: "),
        (
            r#"{"client_name":"X","redirect_uris":["https://a.example/cb"],"redirect_uris":["https://b.example/cb"]}"#,
            "metadata: ",
        ),
        ("[]", "metadata: "),
        ("{", "metadata: "),
    ] {
        std::fs::write(&file, text).unwrap();
        let ended = place.run(&["client", "add", "--metadata", "client.json"]);
        assert_eq!((ended.code, ended.err.trim_end().lines().count()), (Some(1), 1), "{text}: {ended:?}");
        assert!(ended.err.starts_with(&format!("cnx: {reason}")), "{text}: {ended:?}");
    }
}

#[test]
fn migrate_and_doctor_tell_what_is_missing_by_their_exit_code() {
    let place = Place::new();
    let ended = place.run(&["migrate", "--check", "--json"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let pending: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(pending["pending"].as_array().unwrap().len(), crate::world::migrations());
    assert!(!place.data().exists(), "looking makes nothing");
    assert_eq!(place.json(&["migrate"])["applied"], pending["pending"]);
    assert_eq!(place.json(&["migrate"])["applied"], json!([]));
    assert_eq!(place.run(&["migrate", "--check"]).code, Some(0));
    let before = place.snapshot();
    let well = place.json(&["doctor"]);
    assert_eq!(well["ok"], true, "{well}");
    assert_eq!(names(&well["checks"][0]), ["check", "message", "state"]);
    std::fs::remove_file(place.data().join("master.key")).unwrap();
    let ended = place.run(&["doctor", "--json"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let ill: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(ill["ok"], false);
    let failed: Vec<&Value> =
        ill["checks"].as_array().unwrap().iter().filter(|c| c["state"] == "fail").collect();
    assert!(!failed.is_empty() && failed.iter().all(|c| c["mend"].is_string()), "{ill}");
    assert!(failed.iter().any(|c| c["check"] == "master key"), "{ill}");
    assert_eq!(place.snapshot().len(), before.len() - 1, "and nothing was made anew");
}
