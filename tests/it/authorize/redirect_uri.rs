//! Redirect URIs: the registered one, byte for byte, or a page. Never a redirect anywhere else.

use cnx::oauth::client_registration;
use serde_json::json;

use super::{
    INVALID, NOBODY, NOWHERE, UNKNOWN, UNTRUSTED, assert_error_at, assert_page, client_at, post_raw,
    signed_in,
};
use crate::world::{CALLBACK, TestClient, VERIFIER, World, authorize_path, on_both};

const REGISTERED: &str = "https://app.example/cb";

/// Each of these gets a page, by GET and by POST, also where a person is signed in and has consented.
async fn refuses(world: &World, uris: &[&str]) {
    let client = client_at(world, &[REGISTERED]).await;
    world.add_user("ada").await;
    let good = authorize_path(&client, &[("redirect_uri", REGISTERED)]);
    let browser = signed_in(world, &client, &good, "ada").await;
    for uri in uris {
        let path = authorize_path(&client, &[("redirect_uri", uri)]);
        assert_page(&browser.get(&path).await, 400, UNTRUSTED);
        let (endpoint, body) = path.split_once('?').unwrap();
        assert_page(&post_raw(world, &browser, endpoint, body).await, 400, UNTRUSTED);
    }
    // The registered one still works, so it was the URI that was refused.
    let answer = browser.get(&good).await.callback();
    assert!(answer.location.starts_with("https://app.example/cb?code="), "{}", answer.location);
}

on_both! {
    async fn an_unregistered_redirect_uri_is_a_page_and_nothing_is_called_r52_s_a1(world: World) {
        refuses(&world, &["https://evil.example/cb", "https://app.example/other", "https://app.example/c", "https://app.example"]).await;
    }

    async fn a_percent_encoded_twin_is_not_decoded_twice_s_a1(world: World) {
        refuses(&world, &["https%3A%2F%2Fapp.example%2Fcb", "https://app.example/%63b", "https://app.example%2Fcb"]).await;
    }

    async fn nothing_may_be_added_to_a_redirect_uri_s_a2(world: World) {
        refuses(&world, &[
            "https://app.example/cb/", "https://app.example/cb2", "https://app.example/cb/x", "https://app.example/cb?",
            "https://app.example/cb#", "https://app.example/cb?a=b", "https://app.example/cb#a", "https://app.example/cb&a=b",
            "https://app.example/cb;a", "https://app.example/cb?code=x", "https://app.example//cb",
        ]).await;
    }

    async fn another_host_that_looks_like_it_is_refused_s_a3(world: World) {
        refuses(&world, &[
            "https://app.example.evil.example/cb", "https://evilapp.example/cb", "https://x.app.example/cb",
            "https://app.example@evil.example/cb", "https://evil@app.example/cb", "https://a:b@app.example/cb",
            "https://app.example./cb", "https://app.example:443/cb", "https://app.example:8443/cb", "https://app.example:/cb",
            "https://app.example:443@evil.example/cb", "https://evil.example/app.example/cb",
            "https://evil.example/?https://app.example/cb", "https://evil.example#https://app.example/cb",
        ]).await;
    }

    async fn dot_segments_and_double_encoding_are_refused_s_a4(world: World) {
        refuses(&world, &[
            "https://app.example/x/../cb", "https://app.example/./cb", "https://app.example/cb/..", "https://app.example/cb/.",
            "https://app.example/%2e/cb", "https://app.example/%2e%2e/cb", "https://app.example/x/%252e%252e/cb",
            "https://app.example/x/..;/cb", "https://app.example/cb%2f..", "https://app.example/cb%00", "https://app.example/cb%2523",
        ]).await;
    }

    async fn characters_that_browsers_bend_are_refused_s_a5(world: World) {
        refuses(&world, &[
            "https://app.example\\cb", "https:\\\\app.example\\cb", "https://evil.example\\@app.example/cb",
            "https://app.example/cb\t", "\thttps://app.example/cb", "https://app.example/c\tb", "https://app.example/cb\n",
            "https://app.example/cb\r\nSet-Cookie: a=b", " https://app.example/cb", "https://app.example/cb ",
            "https://app\u{ff0e}example/cb", "https://app.example/cb\u{202e}", "https://app.example\u{3002}evil.example/cb",
            "HTTPS://app.example/cb", "https://APP.example/cb", "https://app.example/CB", "https://app.example/cb\u{200b}",
        ]).await;
    }

    /// NUL is no character of a form: the whole request is unreadable, and that is a page too.
    async fn a_nul_in_a_redirect_uri_is_a_page_s_a5(world: World) {
        let client = client_at(&world, &[REGISTERED]).await;
        let path = authorize_path(&client, &[("redirect_uri", "https://app.example/cb\0")]);
        assert_page(&world.get(&path).await, 400, INVALID);
    }

    async fn other_schemes_and_relative_ones_are_refused_s_a6(world: World) {
        refuses(&world, &[
            "javascript:alert(1)", "javascript://app.example/cb", "data:text/html,x", "http://app.example/cb", "ftp://app.example/cb",
            "file:///etc/passwd", "com.example.app:/cb", "//app.example/cb", "/cb", "cb", "app.example/cb", "https:app.example/cb",
            "https:/app.example/cb", "https:///app.example/cb", "view-source:https://app.example/cb", "blob:https://app.example/cb",
        ]).await;
    }

    async fn two_redirect_uris_are_a_page_even_when_they_are_equal_s_a7_s_a14(world: World) {
        let client = client_at(&world, &[REGISTERED]).await;
        let good = authorize_path(&client, &[("redirect_uri", REGISTERED)]);
        for second in ["https%3A%2F%2Fapp.example%2Fcb", "https%3A%2F%2Fevil.example%2Fcb", ""] {
            assert_page(&world.get(&format!("{good}&redirect_uri={second}")).await, 400, INVALID);
            let first = good.replacen('?', &format!("?redirect_uri={second}&"), 1);
            assert_page(&world.get(&first).await, 400, INVALID);
        }
    }

    async fn a_missing_redirect_uri_is_a_page_where_two_are_registered_r61_s_a7(world: World) {
        let client = client_at(&world, &[REGISTERED, "https://app.example/two"]).await;
        for scope in ["openid", "read"] {
            let path = authorize_path(&client, &[("redirect_uri", ""), ("scope", scope)]);
            assert_page(&world.get(&path).await, 400, NOWHERE);
        }
    }

    /// OpenID Connect requires the parameter even then (OIDC Core §3.1.2.1).
    async fn a_missing_redirect_uri_stands_for_the_only_one_outside_openid_s_a7(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        assert_page(&world.get(&authorize_path(&client, &[("redirect_uri", "")])).await, 400, NOWHERE);
        let path = authorize_path(&client, &[("redirect_uri", ""), ("scope", "read")]);
        let code = world.browser().authorize(&path, "ada").await.code();
        let form = [("grant_type", "authorization_code"), ("code", code.as_str()), ("code_verifier", VERIFIER)];
        let reply = world.token(&client, &form).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
    }

    async fn the_redirect_uri_of_another_client_is_refused_s_a7(world: World) {
        client_at(&world, &["https://other.example/cb"]).await;
        refuses(&world, &["https://other.example/cb"]).await;
    }

    async fn the_registered_query_survives_and_no_other_is_taken_r6_r62(world: World) {
        let registered = "https://app.example/cb?foo=bar&x=%2F%20&empty=";
        let client = client_at(&world, &[registered]).await;
        world.add_user("ada").await;
        let path = authorize_path(&client, &[("redirect_uri", registered)]);
        let answer = world.browser().authorize(&path, "ada").await;
        assert!(answer.location.starts_with(&format!("{registered}&code=")), "{}", answer.location);
        for (name, value) in [("foo", "bar"), ("x", "/ "), ("empty", ""), ("state", "state-1")] {
            assert_eq!(answer.get(name), Some(value), "{}", answer.location);
        }
        let reply = world.get(&authorize_path(&client, &[("redirect_uri", registered), ("prompt", "none")])).await;
        let location = reply.location().unwrap();
        assert!(location.starts_with(&format!("{registered}&error=login_required&")), "{location}");

        for other in [
            "https://app.example/cb", "https://app.example/cb?foo=bar", "https://app.example/cb?foo=evil&x=%2F%20&empty=",
            "https://app.example/cb?x=%2F%20&foo=bar&empty=", "https://app.example/cb?foo=bar&x=%2f%20&empty=",
            "https://app.example/cb?foo=bar&x=%2F%20&empty=&more=1", "https://app.example/cb?foo=bar&x=%2F+&empty=",
        ] {
            assert_page(&world.get(&authorize_path(&client, &[("redirect_uri", other)])).await, 400, UNTRUSTED);
        }
    }

    async fn a_loopback_address_may_have_any_port_s_a8_c29(world: World) {
        let client = world.add_client(json!({
            "token_endpoint_auth_method": "none", "redirect_uris": ["http://127.0.0.1/cb", "http://[::1]/cb?a=b"],
        })).await;
        world.add_user("ada").await;
        for uri in ["http://127.0.0.1/cb", "http://127.0.0.1:1/cb", "http://127.0.0.1:49152/cb", "http://[::1]:65535/cb?a=b"] {
            let answer = world.browser().authorize(&authorize_path(&client, &[("redirect_uri", uri)]), "ada").await;
            let joint = if uri.contains('?') { "&" } else { "?" };
            assert!(answer.location.starts_with(&format!("{uri}{joint}code=")), "{}", answer.location);
            let form = [("grant_type", "authorization_code"), ("code", &answer.code()), ("redirect_uri", uri), ("code_verifier", VERIFIER)];
            let reply = world.token(&client, &form).await;
            assert_eq!(reply.status, 200, "{}", reply.text);
        }
        for uri in [
            "http://localhost:49152/cb", "http://localhost.evil:49152/cb", "http://127.0.0.1.evil.example/cb",
            "http://127.0.0.1@evil.example/cb", "http://127.0.0.1:49152@evil.example/cb", "http://2130706433/cb",
            "http://2130706433:49152/cb", "http://0x7f000001/cb", "http://127.1/cb", "http://127.0.0.2/cb", "http://0.0.0.0/cb",
            "http://127.0.0.1:49152/cb/", "http://127.0.0.1:49152/other", "http://127.0.0.1:49152/cb?a=b",
            "http://127.0.0.1:49152/cb#", "http://127.0.0.1:49152", "https://127.0.0.1:49152/cb", "http://127.0.0.1:/cb",
            "http://127.0.0.1:65536/cb", "http://127.0.0.1:+80/cb", "http://127.0.0.1: 80/cb", "http://[::1]:49152/cb",
            "http://[0:0:0:0:0:0:0:1]:49152/cb?a=b", "http://[::ffff:127.0.0.1]/cb", "http://a@127.0.0.1/cb",
        ] {
            assert_page(&world.get(&authorize_path(&client, &[("redirect_uri", uri)])).await, 400, UNTRUSTED);
        }
    }

    /// With a port it is that port, and `localhost` has no free port: a resolver may send it elsewhere.
    async fn localhost_is_taken_as_it_is_registered_without_a_path_c29(world: World) {
        let uri = "http://localhost:4321";
        let client = world.add_client(json!({"token_endpoint_auth_method": "none", "redirect_uris": [uri, "http://127.0.0.1:8080/cb"]})).await;
        world.add_user("ada").await;
        let answer = world.browser().authorize(&authorize_path(&client, &[("redirect_uri", uri)]), "ada").await;
        assert!(answer.location.starts_with("http://localhost:4321?code="), "{}", answer.location);
        for other in ["http://localhost:4322", "http://localhost:4321/", "http://localhost", "http://127.0.0.1:8081/cb"] {
            assert_page(&world.get(&authorize_path(&client, &[("redirect_uri", other)])).await, 400, UNTRUSTED);
        }
    }

    async fn an_unknown_empty_or_malformed_client_is_a_page_s_a9(world: World) {
        let client = world.web_client().await;
        let unknown = ["nobody", "a b", "../admin", "app\u{202e}", "\u{0}", "<script>", "'; DROP TABLE clients; --", &"x".repeat(129)];
        for id in unknown {
            let asked = TestClient { id: id.to_owned(), secret: None };
            let heading = if id == "\u{0}" { INVALID } else { UNKNOWN };
            assert_page(&world.get(&authorize_path(&asked, &[])).await, 400, heading);
        }
        let good = authorize_path(&client, &[]);
        let without = good.replace(&format!("client_id={}&", client.id), "");
        assert_ne!(without, good);
        for (path, heading) in [
            ("/oauth2/authorize".to_owned(), NOBODY),
            (without.clone(), NOBODY),
            (format!("{without}&client_id="), NOBODY),
            (format!("{without}&client_id={}x", client.id), UNKNOWN),
            (format!("{good}&client_id={}", client.id), INVALID),
            (format!("{good}&client_id=other"), INVALID),
        ] {
            assert_page(&world.get(&path).await, 400, heading);
        }
    }

    async fn a_disabled_client_gets_a_page_s_a9(world: World) {
        let client = world.web_client().await;
        let (id, now) = (client.id.parse().unwrap(), world.clock.now());
        world.app().store.write(move |conn| cnx::store::clients::set_disabled(conn, &id, Some(now), now)).await.unwrap();
        world.app().catch_up().await.unwrap();
        assert_page(&world.get(&authorize_path(&client, &[])).await, 400, UNKNOWN);
    }

    async fn a_star_is_a_character_like_any_other_pitfall_6(world: World) {
        for uri in ["https://app.example/*", "https://*.app.example/cb", "http://localhost:*/cb"] {
            let refused = client_registration::from_json(&json!({"client_name": "App", "redirect_uris": [uri]}).to_string());
            assert_eq!(refused.unwrap_err().field, "redirect_uris", "{uri}");
        }
        // Even in a row that got there by another way it matches itself and nothing longer.
        let client = client_at(&world, &[REGISTERED]).await;
        world.change_client(&client.id, |m| m.redirect_uris = vec!["https://app.example/*".to_owned()]).await;
        for uri in ["https://app.example/evil", "https://app.example/", "https://app.example/*/"] {
            assert_page(&world.get(&authorize_path(&client, &[("redirect_uri", uri)])).await, 400, UNTRUSTED);
        }
    }

    async fn a_code_is_bound_to_its_redirect_uri_at_the_token_endpoint_pitfall_2(world: World) {
        let client = client_at(&world, &[CALLBACK, "https://app.example/two"]).await;
        world.add_user("ada").await;
        let browser = world.browser();
        let code = browser.authorize(&authorize_path(&client, &[]), "ada").await.code();
        let form = [("grant_type", "authorization_code"), ("code", code.as_str()), ("code_verifier", VERIFIER)];
        for other in [None, Some("https://app.example/two"), Some("http://127.0.0.1:9/cb/"), Some("")] {
            let form: Vec<_> = form.into_iter().chain(other.map(|uri| ("redirect_uri", uri))).collect();
            let reply = world.token(&client, &form).await;
            assert_eq!((reply.status, reply.error().as_str()), (400, "invalid_grant"), "{other:?}");
        }
        let form: Vec<_> = form.into_iter().chain([("redirect_uri", CALLBACK)]).collect();
        assert_eq!(world.token(&client, &form).await.status, 200, "what was refused spent nothing");
    }

    async fn errors_go_only_where_the_client_is_known_to_be_s_a34(world: World) {
        let client = client_at(&world, &[REGISTERED]).await;
        // Nobody is signed in; the client was registered by an administrator, so it is told.
        let trusted = authorize_path(&client, &[("redirect_uri", REGISTERED), ("scope", "admin")]);
        assert_error_at(&world, &world.get(&trusted).await, "invalid_scope", REGISTERED);
        // Whoever is not, or asks to be told elsewhere, gets nothing: the same mistake is a page.
        let elsewhere = authorize_path(&client, &[("redirect_uri", "https://evil.example/cb"), ("scope", "admin")]);
        assert_page(&world.get(&elsewhere).await, 400, UNTRUSTED);
        let unknown = TestClient { id: "https://evil.example/client.json".to_owned(), secret: None };
        assert_page(&world.get(&authorize_path(&unknown, &[("scope", "admin")])).await, 400, UNKNOWN);
    }
}
