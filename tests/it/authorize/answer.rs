//! The answer to the client: what stands in it, how it is written, and what a code is.

use std::collections::BTreeSet;

use serde_json::json;

use super::{assert_code, assert_error, assert_error_at, attribute, client_at, signed_in};
use crate::world::{
    Browser, CALLBACK, CHALLENGE, Reply, TestClient, VERIFIER, World, authorize_path, on_both,
};

/// What clients put into `state` and `nonce` (C28), and what attackers do.
fn echoed() -> Vec<String> {
    vec![
        "x".repeat(128),
        "a+b/c==".to_owned(), // passport-openidconnect
        "1712345678:BhX+/9z==:%7B%22a%22%7D:http://localhost:4321".to_owned(), // oidc-agent
        "eyJyZXR1cm5UbyI6Imh0dHA6Ly9sb2NhbGhvc3Q6MzAwMC9hP2I9YyJ9".to_owned(), // express-openid-connect
        "a&code=stolen&iss=https://evil.example&error=x#fragment?=;%26%23".to_owned(),
        "line\r\nLocation: https://evil.example\r\n\r\n<html>\t\u{b}".to_owned(),
        "\"'><script>alert(1)</script>{{7*7}}`".to_owned(),
        " leading, trailing and + plus %20 %2B ".to_owned(),
        "\u{e4}\u{1f642}\u{202e}\u{5d0}\u{feff}\u{fffd}".to_owned(),
        "z\u{fc}rich/?&=".chars().cycle().take(1500).collect(),
        "x".repeat(4096),
    ]
}

/// The redirect carries exactly these parameters in this order, `state` as it was sent, and is one clean line.
fn assert_answer(reply: &Reply, names: &[&str], state: &str) {
    assert_eq!(reply.status, 303, "{}", reply.text);
    let location = reply.location().unwrap();
    assert!(location.starts_with("http://127.0.0.1:9/cb?"), "{location}");
    assert!(location.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}#'".contains(&b)), "{location}");
    let callback = reply.callback();
    let found: Vec<&str> = callback.params.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(found, names, "{location}");
    assert_eq!(callback.get("state"), Some(state), "{location}");
}

async fn redeem(world: &World, client: &TestClient, code: &str, redirect_uri: &str, verifier: &str) -> Reply {
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", redirect_uri),
        ("code_verifier", verifier),
    ];
    world.token(client, &form).await
}

async fn code(browser: &Browser, client: &TestClient) -> String {
    browser.get(&authorize_path(client, &[])).await.callback().code()
}

on_both! {
    async fn state_and_nonce_come_back_unchanged_r3_c28_s_a16_pitfall_7(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let browser = signed_in(&world, &client, &authorize_path(&client, &[]), "ada").await;
        for text in echoed() {
            let reply = browser.get(&authorize_path(&client, &[("state", &text), ("nonce", &text)])).await;
            assert_answer(&reply, &["code", "state", "iss"], &text);
            let tokens = redeem(&world, &client, &reply.callback().code(), CALLBACK, VERIFIER).await;
            assert_eq!(crate::world::claims(tokens.json()["id_token"].as_str().unwrap())["nonce"], text.as_str());
            // In errors too, before anyone signed in.
            let reply = world.get(&authorize_path(&client, &[("state", &text), ("prompt", "none")])).await;
            assert_answer(&reply, &["error", "error_description", "state", "iss"], &text);
        }
    }

    /// The request travels through the sign-in and the consent page; nothing of it may get lost or be too long there.
    async fn state_survives_the_pages_r3_s_a16(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        for text in echoed() {
            let path = authorize_path(&client, &[("state", &text), ("nonce", &text)]);
            let callback = world.browser().authorize(&path, "ada").await;
            assert_eq!(callback.get("state"), Some(text.as_str()), "{}", callback.location);
            let tokens = redeem(&world, &client, &callback.code(), CALLBACK, VERIFIER).await;
            assert_eq!(crate::world::claims(tokens.json()["id_token"].as_str().unwrap())["nonce"], text.as_str());
        }
    }

    async fn without_a_state_none_comes_back_r3(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let callback = world.browser().authorize(&authorize_path(&client, &[("state", "")]), "ada").await;
        let names: Vec<_> = callback.params.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["code", "iss"], "{}", callback.location);
    }

    async fn the_answer_is_in_the_query_and_names_the_issuer_r4_r5_s_a17(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let callback = world.browser().authorize(&authorize_path(&client, &[]), "ada").await;
        assert_code(&world, &callback);
        assert_eq!(callback.get("iss"), Some(world.base.as_str()), "byte for byte as in the metadata");
        assert!(!callback.location.contains('#'), "{}", callback.location);
        let explicit = world.browser().authorize(&authorize_path(&client, &[("response_mode", "query")]), "ada").await;
        assert_code(&world, &explicit);
        let refused = world.get(&authorize_path(&client, &[("prompt", "none")])).await;
        assert_eq!(assert_error(&world, &refused, "login_required").get("iss"), Some(world.base.as_str()));
    }

    async fn every_error_redirect_holds_what_the_specification_names_r14(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let browser = signed_in(&world, &client, &authorize_path(&client, &[]), "ada").await;
        for (changes, code) in [
            (&[("response_type", "token")][..], "unsupported_response_type"),
            (&[("response_type", "")], "invalid_request"),
            (&[("scope", "openid \u{201c}quoted\u{201d} \\ \" \r\n\t")], "invalid_scope"),
            (&[("scope", "admin")], "invalid_scope"),
            (&[("code_challenge", "")], "invalid_request"),
            (&[("response_mode", "\"\\\r\n")], "invalid_request"),
            (&[("prompt", "none login")], "invalid_request"),
            (&[("prompt", "none"), ("max_age", "0")], "login_required"),
            (&[("prompt", "none"), ("scope", "openid address")], "consent_required"),
            (&[("request", "\u{1f642}")], "request_not_supported"),
            (&[("request_uri", "x")], "request_uri_not_supported"),
            (&[("registration", "x")], "registration_not_supported"),
            (&[("resource", "\"")], "invalid_target"),
            (&[("id_token_hint", "x")], "invalid_request"),
        ] {
            // assert_error looks at the names, the characters of the description, state and iss.
            assert_error(&world, &browser.get(&authorize_path(&client, changes)).await, code);
        }
        // The name of a repeated parameter is told, and can hold anything.
        let odd = "%22%5C%0d%0a%c3%bc%3cscript%3e";
        let path = format!("{}&{odd}=1&{odd}=1", authorize_path(&client, &[]));
        assert_error(&world, &browser.get(&path).await, "invalid_request");
    }

    async fn a_person_who_says_no_is_an_error_redirect_r14(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let browser = world.browser();
        let page = browser.open(&authorize_path(&client, &[])).await;
        let page = browser.sign_in(&page, "ada").await;
        assert_error(&world, &browser.consent(&page, "deny").await, "access_denied");
    }

    async fn a_code_is_long_random_and_stored_nowhere_s_a30(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let browser = signed_in(&world, &client, &authorize_path(&client, &[]), "ada").await;
        let mut seen = BTreeSet::new();
        let mut tails = BTreeSet::new();
        for _ in 0..64 {
            let code = code(&browser, &client).await;
            assert!(code.starts_with("cnx_ac_") && code.len() >= 7 + 27, "160 bits at least: {code}");
            tails.insert(code[7..29].to_owned());
            seen.insert(code);
        }
        assert_eq!((seen.len(), tails.len()), (64, 64), "the first 128 bits alone tell each from every other");
        let one = seen.first().unwrap();
        assert!(!world.stores(one).await && !world.stores(&one[7..29]).await);
        assert_eq!(redeem(&world, &client, one, CALLBACK, VERIFIER).await.status, 200);
        assert!(!world.stores(one).await && !world.stores(&one[7..29]).await);
    }

    async fn a_code_lives_a_minute_s_a30(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let browser = signed_in(&world, &client, &authorize_path(&client, &[]), "ada").await;
        let (early, late) = (code(&browser, &client).await, code(&browser, &client).await);
        world.advance(59);
        assert_eq!(redeem(&world, &client, &early, CALLBACK, VERIFIER).await.status, 200);
        world.advance(1);
        let reply = redeem(&world, &client, &late, CALLBACK, VERIFIER).await;
        assert_eq!((reply.status, reply.error().as_str()), (400, "invalid_grant"));
    }

    async fn a_code_is_bound_to_client_address_challenge_and_session_s_a30(world: World) {
        let client = client_at(&world, &[CALLBACK, "https://app.example/two"]).await;
        let other = client_at(&world, &[CALLBACK]).await;
        world.add_user("ada").await;
        let browser = signed_in(&world, &client, &authorize_path(&client, &[]), "ada").await;
        let one = code(&browser, &client).await;
        let flipped = format!("{}{}", &one[..one.len() - 1], if one.ends_with('A') { 'B' } else { 'A' });
        for (who, code, uri, verifier) in [
            (&other, one.as_str(), CALLBACK, VERIFIER),
            (&client, &one, "https://app.example/two", VERIFIER),
            (&client, &one, CALLBACK, CHALLENGE),
            (&client, &flipped, CALLBACK, VERIFIER),
            (&client, &one[..one.len() - 1], CALLBACK, VERIFIER),
        ] {
            let reply = redeem(&world, who, code, uri, verifier).await;
            assert_eq!((reply.status, reply.error().as_str()), (400, "invalid_grant"), "{uri} {verifier}");
        }
        // The session that it was given in is over.
        let page = browser.get("/account").await;
        browser.submit(&page, &[("csrf_token", &attribute(&page, "input[name=csrf_token]", "value").unwrap())]).await;
        let reply = redeem(&world, &client, &one, CALLBACK, VERIFIER).await;
        assert_eq!((reply.status, reply.error().as_str()), (400, "invalid_grant"));
    }

    async fn a_registered_app_of_a_device_is_answered_at_its_own_scheme_r5(world: World) {
        let uri = "com.example.app:/cb";
        let client = world.add_client(json!({"token_endpoint_auth_method": "none", "redirect_uris": [uri]})).await;
        let path = authorize_path(&client, &[("redirect_uri", uri), ("prompt", "none")]);
        assert_error_at(&world, &world.get(&path).await, "login_required", uri);
    }
}
