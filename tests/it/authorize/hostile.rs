//! Values that want to be more than text: on every page, in every parameter, in names of apps and people.

use cnx::base::secret::Secret;
use cnx::flow::people::{self, NewPerson};
use scraper::{Html, Selector};
use serde_json::json;

use super::{attribute, count, texts};
use crate::world::{CALLBACK, PASSWORD, Reply, authorize_path, by, on_both};

/// What attackers write.
const HOSTILE: [&str; 8] = [
    "\"><script>alert(1)</script>",
    "'><img src=x onerror=alert(1)>",
    "\" onmouseover=alert(1) x=\"",
    "</title></textarea></style><svg/onload=alert(1)>",
    "javascript:alert(1)//",
    "</form><form action=https://evil.example>",
    "{{7*7}}${7*7}<%= 7*7 %>",
    "\u{202e}\u{200b}\u{2028}<b>",
];

/// The page runs nothing, loads nothing from elsewhere and sends nothing elsewhere but what its policy allows.
pub fn assert_inert(reply: &Reply) {
    assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
    let page = Html::parse_document(&reply.text);
    for element in page.select(&Selector::parse("*").unwrap()) {
        let element = element.value();
        let name = element.name();
        assert!(
            !["iframe", "object", "embed", "base", "b", "img", "style", "audio", "video", "template"]
                .contains(&name),
            "<{name}> {}",
            reply.text
        );
        if name == "script" {
            assert!(element.attr("src").is_some_and(|src| src.starts_with("/assets/")), "{}", reply.text);
        }
        for (attribute, value) in element.attrs() {
            assert!(
                !attribute.starts_with("on") && attribute != "style" && attribute != "srcdoc",
                "{attribute} {}",
                reply.text
            );
            if ["href", "src", "action", "formaction", "xlink:href"].contains(&attribute) {
                let good = name == "form"
                    || value.starts_with('/') && !value.starts_with("//")
                    || value.starts_with('#')
                    || value.starts_with("https://");
                assert!(good, "{attribute}={value}");
            }
        }
    }
    for script in page.select(&Selector::parse("script").unwrap()) {
        assert_eq!(script.text().collect::<String>().trim(), "", "nothing inline");
    }
    let policy = reply.header("content-security-policy").expect("a page has a policy");
    assert!(policy.contains("script-src 'self';") && !policy.contains("unsafe-"), "{policy}");
}

on_both! {
    async fn no_parameter_is_reflected_unescaped_s_a27(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let browser = world.browser();
        browser.authorize(&authorize_path(&client, &[]), "ada").await;
        let stranger = world.add_client(json!({"redirect_uris": [CALLBACK]})).await;
        for text in HOSTILE {
            for name in [
                "client_id", "redirect_uri", "response_type", "scope", "state", "nonce", "code_challenge", "code_challenge_method",
                "response_mode", "prompt", "max_age", "login_hint", "id_token_hint", "acr_values", "ui_locales", "claims_locales",
                "display", "claims", "request", "request_uri", "registration", "resource", "pending", "extra", text,
            ] {
                let path = authorize_path(&stranger, &[(name, text)]);
                for reply in [world.browser().open(&path).await, browser.open(&path).await] {
                    assert!(reply.status < 500, "{name}={text}: {}", reply.status);
                    match reply.location() {
                        None => assert_inert(&reply),
                        Some(to) => assert!(to.starts_with("http://127.0.0.1:9/cb?") && !to.contains(['<', '"', '\'']), "{to}"),
                    }
                }
            }
        }
    }

    async fn no_parameter_of_our_pages_is_reflected_unescaped_s_a27(world: World) {
        for text in HOSTILE {
            let query: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
            for path in ["/sign-in", "/consent", "/select-account", "/set-up", "/set-password", "/oauth2/logout", "/sign-out", "/account", "/nothing-here"] {
                for name in ["request", "token", "notice", "pending", "error", "state", "id_token_hint", "post_logout_redirect_uri", "username"] {
                    let request = world.http.get(world.url(&format!("{path}?{name}={query}"))).header("accept", "text/html");
                    let reply = world.browser().send(request).await;
                    assert!(reply.status < 500, "{path} {name}: {}", reply.status);
                    match reply.location() {
                        None => assert_inert(&reply),
                        Some(to) => assert!(to.starts_with('/') && !to.starts_with("//") && !to.contains(['<', '"']), "{to}"),
                    }
                }
            }
        }
    }

    async fn the_name_of_an_app_is_text_on_every_page_s_a27_s_g5(world: World) {
        world.add_user("ada").await;
        // Those of the rest are refused at registration: control, invisible and direction-changing characters.
        for name in &HOSTILE[..7] {
            let client = world.add_client(json!({"client_name": name, "policy_uri": "https://a.example/?a=%22%3E"})).await;
            let shown = name.split_whitespace().collect::<Vec<_>>().join(" ");
            let browser = world.browser();
            let path = authorize_path(&client, &[("prompt", "select_account")]);
            let sign_in = browser.open(&path).await;
            let consent = browser.sign_in(&sign_in, "ada").await;
            let choice = browser.open(&path).await;
            for page in [&sign_in, &consent, &choice] {
                assert_inert(page);
                assert!(texts(page, "bdi").contains(&shown), "{name}: {}", page.text);
            }
            let delivered = browser.consent(&consent, "allow").await.callback();
            let tokens = world.token(&client, &[
                ("grant_type", "authorization_code"), ("code", &delivered.code()), ("redirect_uri", CALLBACK), ("code_verifier", crate::world::VERIFIER),
            ]).await;
            let logout = format!("/oauth2/logout?client_id={}", client.id);
            assert_eq!(tokens.status, 200, "{}", tokens.text);
            assert_inert(&browser.open(&logout).await);
        }
    }

    async fn the_name_of_a_person_is_text_on_every_page_s_a27(world: World) {
        let client = world.web_client().await;
        for (i, name) in HOSTILE.into_iter().enumerate() {
            let username = format!("ada{i}");
            let person = NewPerson {
                email: None,
                username: Some(username.clone()),
                name: Some(name.to_owned()),
                email_verified: false,
                role: cnx::account::role::Role::Member,
                claims: serde_json::Map::new(),
                password: Some(Secret::new(PASSWORD.to_owned())),
            };
            people::add(world.app(), by(), person).await.unwrap();
            let browser = world.browser();
            let page = browser.open(&authorize_path(&client, &[])).await;
            let consent = browser.sign_in(&page, &username).await;
            assert_eq!(count(&consent, "#consent-allow"), 1, "{}", consent.text);
            let choice = browser.open(&authorize_path(&client, &[("prompt", "select_account")])).await;
            let account = browser.open("/account").await;
            let sign_out = browser.open("/sign-out").await;
            for page in [consent, choice, account, sign_out] {
                assert_inert(&page);
                assert!(page.text.contains(&username), "{}", page.text);
            }
        }
    }

    async fn what_was_typed_comes_back_as_text_s_a27(world: World) {
        for text in HOSTILE {
            let browser = world.browser();
            let page = browser.open("/sign-in").await;
            let again = browser.submit(&page, &[("username", text), ("password", text)]).await;
            assert_eq!(again.status, 422, "{}", again.text);
            assert_inert(&again);
            assert_eq!(attribute(&again, "input[name=username]", "value").as_deref(), Some(text));
            assert_eq!(attribute(&again, "input[name=password]", "value"), None, "a password comes back never");
        }
    }
}
