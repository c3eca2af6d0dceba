//! `cnx serve --dev`, and the first start of a server for keeps: what is printed works (contract §2, S-L16).

use std::time::Duration;

use serde_json::Value;

use crate::command_line::client_of;
use crate::process::{Node, Place};
use crate::wire;
use crate::world::{Browser, Reply, Tokens, VERIFIER, authorize_path, claims, http};

/// The document that `serve --json` prints, once it is all there.
async fn printed(node: &Node) -> Value {
    for _ in 0..200 {
        if let Ok(document) = serde_json::from_str(&node.out()) {
            return document;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} {}", node.out(), node.err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serve_dev_prints_a_person_and_two_clients_that_sign_in() {
    let place = Place::new();
    let mut node = place.serve(&["--dev", "--json"]);
    let document = printed(&node).await;
    assert_eq!(document["issuer"], place.base.as_str());
    let discovery: Value =
        serde_json::from_str(wire::get(&place.base, "/.well-known/openid-configuration").body()).unwrap();
    assert_eq!(discovery["issuer"], place.base.as_str());

    let key = document["api_key"]["key"].as_str().unwrap();
    assert_eq!(
        http().get(format!("{}/v1/keys", place.base)).bearer_auth(key).send().await.unwrap().status(),
        200
    );

    let administrator = &document["administrator"];
    assert_eq!(administrator["email"], "admin@example.com");
    let password = administrator["password"].as_str().unwrap();
    let http = http();
    for (client, redirect) in [
        (&document["clients"][0], "http://127.0.0.1:5173/callback"),
        (&document["clients"][1], "http://[::1]:3000/any/path?x=1"),
    ] {
        let client = client_of(client);
        let browser = Browser::new(&place.base, &http);
        let page = browser.open(&authorize_path(&client, &[("redirect_uri", redirect)])).await;
        let mut reply =
            browser.submit(&page, &[("username", "admin@example.com"), ("password", password)]).await;
        if reply.text.contains("consent-allow") {
            reply = browser.consent(&reply, "allow").await;
        }
        let callback = reply.callback();
        assert!(callback.location.starts_with(redirect), "{}", callback.location);
        let code = callback.code();
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", redirect),
            ("code_verifier", VERIFIER),
        ];
        let mut request = http.post(format!("{}/oauth2/token", place.base));
        match &client.secret {
            Some(secret) => request = request.basic_auth(&client.id, Some(secret)),
            None => form.push(("client_id", &client.id)),
        }
        let reply = Reply::of(request.form(&form).send().await.unwrap()).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        let tokens = Tokens::of(&reply);
        assert_eq!(claims(tokens.id())["sub"], administrator["user_id"]);
        let request = http.get(format!("{}/oauth2/userinfo", place.base)).bearer_auth(&tokens.access);
        let info = Reply::of(request.send().await.unwrap()).await;
        assert_eq!(info.json()["email"], "admin@example.com");
    }
    assert_eq!(document["clients"][0]["client_id"], "dev-spa");
    assert_eq!(document["clients"][1]["client_id"], "dev-web");

    let folder = document["data_dir"].as_str().unwrap().to_owned();
    assert!(
        std::path::Path::new(&folder).exists() && !place.data().exists(),
        "it lives in a throw-away folder"
    );
    assert!(!node.err().contains(password), "what is printed once is not logged as well");
    node.signal("TERM");
    assert_eq!(node.wait(Duration::from_secs(10)).code(), Some(0));
    assert!(!std::path::Path::new(&folder).exists(), "which goes with it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_serve_dev_have_other_secrets_and_a_person_reads_them_in_text() {
    let place = Place::new();
    let mut secrets = Vec::new();
    for _ in 0..2 {
        let node = place.serve(&["--dev"]);
        let text = node.out();
        let value = |name: &str| {
            text.lines()
                .find_map(|line| line.trim_start().strip_prefix(name))
                .unwrap_or_else(|| panic!("{name}: {text}"))
                .trim()
                .to_owned()
        };
        assert_eq!(value("issuer"), place.base);
        secrets.push((value("password"), value("client_secret")));
    }
    assert_ne!(secrets[0].0, secrets[1].0);
    assert_ne!(secrets[0].1, secrets[1].1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_start_prints_one_link_that_makes_the_first_administrator_s_l16() {
    let place = Place::new();
    let first = place.serve(&["--json"]);
    let before = printed(&first).await["set_up_url"].as_str().unwrap().to_owned();
    drop(first);
    let mut node = place.serve(&["--json"]);
    let document = printed(&node).await;
    let url = document["set_up_url"].as_str().unwrap().to_owned();
    assert!(url.starts_with(&format!("{}/set-up?token=", place.base)), "{document}");
    assert!(document["expires_at"].as_str().unwrap().ends_with('Z'));
    let http = http();
    let browser = Browser::new(&place.base, &http);
    assert_eq!(browser.get(&before).await.status, 400, "the link of the start before is over");
    let page = browser.open(&url).await;
    let fields = [
        ("email", "root@example.com"),
        ("username", "root-admin"),
        ("name", "Root"),
        ("password", "otter plank vivid drum"),
    ];
    let page = browser.submit(&page, &fields).await;
    let page =
        browser.submit(&page, &[("username", "root-admin"), ("password", "otter plank vivid drum")]).await;
    assert!(page.status == 200 && browser.cookie("cnx_session").is_some(), "{}", page.text);
    assert_eq!(browser.get(&url).await.status, 400, "used");
    assert!(!node.err().contains("token="), "the link is printed once and never logged: {}", node.err());
    assert_eq!(place.json(&["user", "list"])["users"][0]["is_admin"], true);
    node.signal("TERM");
    assert_eq!(node.wait(Duration::from_secs(10)).code(), Some(0));
    let again = place.serve(&["--json"]);
    assert!(printed(&again).await.get("set_up_url").is_none(), "there is an administrator");
}
