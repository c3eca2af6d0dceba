//! `prompt`, `max_age` and `login_hint`: when a person is asked to sign in, and when nobody may be asked.

use serde_json::json;

use super::hostile::assert_inert;
use super::{assert_asked, assert_code, assert_error, attribute, count, pending, signed_in, texts};
use crate::world::{
    Browser, CALLBACK, PASSWORD, Reply, TestClient, Tokens, VERIFIER, World, authorize_path, claims, on_both,
};

/// The claims of the ID token that an answer leads to.
async fn id_token(world: &World, client: &TestClient, reply: &Reply) -> serde_json::Value {
    let code = assert_code(world, &reply.callback());
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    claims(Tokens::of(&world.token(client, &form).await).id())
}

/// A client, a person, and their browser a while after the first sign-in.
async fn after(world: &World, seconds: i64) -> (TestClient, Browser, i64) {
    let client = world.web_client().await;
    world.add_user("ada").await;
    let browser = signed_in(world, &client, &authorize_path(&client, &[]), "ada").await;
    let then = world.now();
    world.advance(seconds);
    (client, browser, then)
}

/// With this session the request shows the sign-in page; after it the ID token tells of the new sign-in.
async fn asks_again(world: &World, client: &TestClient, browser: &Browser, extra: &[(&str, &str)]) {
    let page = browser.open(&authorize_path(client, extra)).await;
    assert_eq!(page.status, 200, "{extra:?} {:?}", page.location());
    assert_eq!(count(&page, "#sign-in-submit"), 1, "{extra:?} {}", page.text);
    assert_eq!(texts(&page, "h1"), ["Sign in again"]);
    assert_eq!(texts(&page, ".who"), ["Ada Lovelace ada@example.com"], "it says who");
    assert_eq!(attribute(&page, "input[name=username]", "value").as_deref(), Some("ada@example.com"));
    let claims = id_token(world, client, &browser.sign_in(&page, "ada").await).await;
    assert_eq!(claims["auth_time"], world.now(), "{extra:?}");
}

on_both! {
    async fn prompt_login_asks_in_spite_of_a_session_r42_s_a19(world: World) {
        let (client, browser, then) = after(&world, 5).await;
        let before = id_token(&world, &client, &browser.get(&authorize_path(&client, &[])).await).await;
        assert_eq!(before["auth_time"], then);
        asks_again(&world, &client, &browser, &[("prompt", "login")]).await;
        // Once for each request: the next one asks anew.
        asks_again(&world, &client, &browser, &[("prompt", "login")]).await;
    }

    async fn prompt_none_without_a_session_is_an_error_by_redirect_r43_s_a18(world: World) {
        let client = world.web_client().await;
        let reply = world.get(&authorize_path(&client, &[("prompt", "none")])).await;
        assert_error(&world, &reply, "login_required");
    }

    /// oidc-client-ts renews in an iframe: what would stop a page from being framed must not stand on the redirect.
    async fn a_silent_answer_passes_through_a_frame_c30(world: World) {
        let (client, browser, _) = after(&world, 5).await;
        let path = authorize_path(&client, &[("prompt", "none")]);
        for reply in [browser.get(&path).await, world.get(&path).await] {
            assert_eq!(reply.status, 303, "{}", reply.text);
            assert!(reply.location().unwrap().starts_with(CALLBACK));
            for name in ["x-frame-options", "content-security-policy"] {
                assert_eq!(reply.header(name), None);
            }
        }
        // The same endpoint, asked the same way, may be framed nowhere when it shows something.
        let page = world.get(&authorize_path(&client, &[("prompt", "none"), ("redirect_uri", "https://evil.example")])).await;
        assert_eq!(page.header("x-frame-options"), Some("DENY"));
    }

    async fn prompt_none_with_a_session_gives_the_same_person_and_time_r44(world: World) {
        let (client, browser, then) = after(&world, 600).await;
        let first = id_token(&world, &client, &browser.get(&authorize_path(&client, &[])).await).await;
        let silent = id_token(&world, &client, &browser.get(&authorize_path(&client, &[("prompt", "none")])).await).await;
        assert_eq!((&silent["sub"], &silent["sid"]), (&first["sub"], &first["sid"]));
        assert_eq!(silent["auth_time"], then);
    }

    async fn prompt_none_never_shows_a_page_s_a18(world: World) {
        let (client, browser, _) = after(&world, 5).await;
        let stranger = world.add_client(json!({"client_name": "Another app"})).await;
        let none = ("prompt", "none");
        for (client, extra, code) in [
            (&stranger, &[none][..], "consent_required"),
            (&client, &[none, ("scope", "openid phone")], "consent_required"),
            (&client, &[none, ("claims", r#"{"userinfo":{"phone_number":null}}"#)], "consent_required"),
            (&client, &[none, ("max_age", "0")], "login_required"),
            (&client, &[none, ("max_age", "4")], "login_required"),
            (&client, &[none, ("claims", r#"{"id_token":{"acr":{"essential":true,"value":"urn:other"}}}"#)], "unmet_authentication_requirements"),
            (&client, &[("prompt", "none login")], "invalid_request"),
            (&client, &[("prompt", "consent none")], "invalid_request"),
            (&client, &[("prompt", "none select_account")], "invalid_request"),
            (&client, &[("prompt", "none other")], "invalid_request"),
        ] {
            assert_error(&world, &browser.get(&authorize_path(client, extra)).await, code);
        }
    }

    async fn max_age_asks_when_the_sign_in_is_older_r45_s_a19(world: World) {
        let (client, browser, then) = after(&world, 2).await;
        let silent = id_token(&world, &client, &browser.get(&authorize_path(&client, &[("max_age", "2")])).await).await;
        assert_eq!(silent["auth_time"], then);
        asks_again(&world, &client, &browser, &[("max_age", "1")]).await;
        // Zero means now, in the very second of the last sign-in too.
        asks_again(&world, &client, &browser, &[("max_age", "0")]).await;
    }

    async fn within_max_age_nothing_is_asked_and_the_time_is_told_r46(world: World) {
        let (client, browser, then) = after(&world, 5).await;
        let reply = browser.get(&authorize_path(&client, &[("max_age", "10000")])).await;
        let claims = id_token(&world, &client, &reply).await;
        assert_eq!(claims["auth_time"], then);
    }

    async fn a_registered_default_max_age_counts_unless_the_request_has_its_own_r45(world: World) {
        let (client, browser, _) = after(&world, 100).await;
        world.change_client(&client.id, |m| m.default_max_age = Some(60)).await;
        assert_code(&world, &browser.get(&authorize_path(&client, &[("max_age", "1000")])).await.callback());
        asks_again(&world, &client, &browser, &[]).await;
        assert_code(&world, &browser.get(&authorize_path(&client, &[])).await.callback());
    }

    async fn a_cancelled_sign_in_renews_nothing_s_a19(world: World) {
        let (client, browser, then) = after(&world, 100).await;
        let page = browser.open(&authorize_path(&client, &[("prompt", "login")])).await;
        let request = pending(&page);
        // Going on without having signed in leads back to the page, as does a wrong password.
        assert_asked(&browser.get(&format!("/oauth2/authorize?pending={request}")).await, "/sign-in");
        let again = browser.submit(&page, &[("username", "ada"), ("password", "wrong")]).await;
        assert_eq!(again.status, 422);
        assert_asked(&browser.get(&format!("/oauth2/authorize?pending={request}")).await, "/sign-in");
        // Neither does the consent page let anyone round it.
        let consent = browser.get(&format!("/consent?request={request}")).await;
        assert_asked(&browser.get(&browser_path(&browser, &consent).await).await, "/sign-in");
        // The session is as old as it was.
        let reply = browser.get(&authorize_path(&client, &[("prompt", "none"), ("max_age", "99")])).await;
        assert_error(&world, &reply, "login_required");
        let silent = id_token(&world, &client, &browser.get(&authorize_path(&client, &[("prompt", "none")])).await).await;
        assert_eq!(silent["auth_time"], then);
    }

    async fn a_sign_in_for_one_request_does_not_count_for_another_s_a19(world: World) {
        let (client, browser, _) = after(&world, 100).await;
        let path = authorize_path(&client, &[("prompt", "login")]);
        let (first, second) = (browser.open(&path).await, browser.open(&path).await);
        assert_code(&world, &browser.sign_in(&first, "ada").await.callback());
        let other = browser.get(&format!("/oauth2/authorize?pending={}", pending(&second))).await;
        assert_asked(&other, "/sign-in");
    }

    async fn select_account_goes_on_as_who_is_signed_in_or_as_another(world: World) {
        let (client, browser, then) = after(&world, 5).await;
        let user = world.add_user("grace").await;
        let path = authorize_path(&client, &[("prompt", "select_account")]);
        let page = browser.open(&path).await;
        assert_eq!(texts(&page, "h1"), ["Choose an account"]);
        assert!(texts(&page, ".who").concat().contains("ada@example.com"), "{}", page.text);
        let claims = id_token(&world, &client, &browser.submit(&page, &[("account", "current")]).await).await;
        assert_eq!(claims["auth_time"], then, "the session as it was");

        let page = browser.open(&path).await;
        let page = browser.submit(&page, &[("account", "other")]).await;
        assert_eq!(count(&page, "#sign-in-submit"), 1, "{}", page.text);
        assert_eq!((count(&page, ".who"), texts(&page, "h1")), (0, vec!["Sign in".to_owned()]), "another is wanted");
        assert_eq!(attribute(&page, "input[name=username]", "value").as_deref(), Some(""));
        let page = browser.sign_in(&page, "grace").await;
        assert_eq!(count(&page, "#consent-allow"), 1, "chosen already, but grace has not consented: {}", page.text);
        let claims = id_token(&world, &client, &browser.consent(&page, "allow").await).await;
        assert_eq!(claims["sub"], user.id.to_string());
        // Who has just typed their name has chosen.
        let callback = world.browser().authorize(&path, "grace").await;
        assert_code(&world, &callback);
    }

    async fn a_hint_or_a_typed_name_counts_for_more_than_who_is_signed_in(world: World) {
        let (client, browser, _) = after(&world, 5).await;
        for (hint, heading) in [("ada", "Sign in again"), ("Ada@Example.com", "Sign in again"), ("grace", "Sign in")] {
            let page = browser.open(&authorize_path(&client, &[("prompt", "login"), ("login_hint", hint)])).await;
            assert_eq!(texts(&page, "h1"), [heading], "{hint}");
            assert_eq!(attribute(&page, "input[name=username]", "value").as_deref(), Some(hint));
        }
        let page = browser.open(&authorize_path(&client, &[("prompt", "login")])).await;
        let again = browser.submit(&page, &[("username", "grace"), ("password", "wrong")]).await;
        assert_eq!((count(&again, ".who"), texts(&again, "h1")), (0, vec!["Sign in".to_owned()]));
        let again = browser.submit(&page, &[("username", "ada"), ("password", "wrong")]).await;
        assert_eq!((count(&again, ".who"), texts(&again, "h1")), (1, vec!["Sign in again".to_owned()]));
        assert_eq!(attribute(&again, "input[name=username]", "value").as_deref(), Some("ada"));
    }

    async fn a_login_hint_is_filled_in_and_nothing_more_r41(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        for hint in ["ada", "nobody@example.org", "\"><script>alert(1)</script>", "\u{5d0}\u{202e}x"] {
            let page = world.browser().open(&authorize_path(&client, &[("login_hint", hint)])).await;
            assert_eq!(attribute(&page, "input[name=username]", "value").as_deref(), Some(hint));
            assert_eq!(attribute(&page, "input[name=password]", "value"), None);
            assert_inert(&page);
        }
        let long = "x".repeat(321);
        let page = world.browser().open(&authorize_path(&client, &[("login_hint", &long)])).await;
        assert_eq!(attribute(&page, "input[name=username]", "value").as_deref(), Some(""));
        // A session counts for more than a hint; after a failure what was typed stands there.
        let browser = world.browser();
        let page = browser.open(&authorize_path(&client, &[("login_hint", "nobody")])).await;
        let again = browser.submit(&page, &[("username", "ada"), ("password", "wrong")]).await;
        assert_eq!(attribute(&again, "input[name=username]", "value").as_deref(), Some("ada"));
        let page = browser.submit(&again, &[("username", "ada"), ("password", PASSWORD)]).await;
        assert_eq!(count(&page, "#consent-allow"), 1, "{}", page.text);
    }
}

/// Allows what a consent page asks, and gives where the answer leads.
async fn browser_path(browser: &Browser, consent: &Reply) -> String {
    let form = consent.form(&[("decision", "allow")]);
    browser.post(&form.action, &form.fields).await.location().unwrap()
}
