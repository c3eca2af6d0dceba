//! What a trusted client may ask, and what goes back to it as an error.

use std::net::TcpListener;

use cnx::base::encoding::base64url;
use serde_json::json;

use super::{
    INVALID, NOWHERE, UNTRUSTED, assert_asked, assert_code, assert_error, assert_error_at, assert_page,
    signed_in,
};
use crate::world::{CALLBACK, CHALLENGE, VERIFIER, World, authorize_path, claims, on_both};

/// Each change of a usual request is refused with the code, by redirect; the request itself is taken.
async fn refuses(world: &World, members: serde_json::Value, code: &str, changes: &[&[(&str, &str)]]) {
    let client = world.add_client(members).await;
    assert_asked(&world.get(&authorize_path(&client, &[])).await, "/sign-in");
    for change in changes {
        assert_error(world, &world.get(&authorize_path(&client, change)).await, code);
    }
}

/// An unsecured request object (RFC 9101 §10.1) with these members.
fn unsigned(members: &serde_json::Value) -> String {
    let part = |value: &serde_json::Value| base64url(value.to_string().as_bytes());
    format!("{}.{}.", part(&json!({"alg": "none"})), part(members))
}

on_both! {
    async fn only_the_code_flow_is_there_s_a10(world: World) {
        refuses(&world, json!({}), "unsupported_response_type", &[
            &[("response_type", "token")], &[("response_type", "id_token")], &[("response_type", "id_token token")],
            &[("response_type", "code token")], &[("response_type", "code id_token")], &[("response_type", "code id_token token")],
            &[("response_type", "none")], &[("response_type", "CODE")], &[("response_type", "code code")], &[("response_type", "x")],
        ]).await;
    }

    async fn a_missing_response_type_is_an_error_in_the_query_r36_s_a10(world: World) {
        refuses(&world, json!({}), "invalid_request", &[&[("response_type", "")]]).await;
    }

    async fn a_client_without_the_grant_is_not_served_s_a10(world: World) {
        let client = world.web_client().await;
        world.change_client(&client.id, |m| m.grant_types.retain(|g| g.name() != "authorization_code")).await;
        assert_error(&world, &world.get(&authorize_path(&client, &[])).await, "unauthorized_client");
    }

    async fn a_nonce_may_be_left_out_r37(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let browser = world.browser();
        let tokens = browser.tokens(&world, &client, &[("nonce", "")], "ada").await;
        assert_eq!(claims(tokens.id()).get("nonce"), None);
        let tokens = browser.tokens(&world, &client, &[("nonce", "n/+= :")], "ada").await;
        assert_eq!(claims(tokens.id())["nonce"], "n/+= :");
    }

    async fn pkce_is_required_unless_switched_off_for_a_client_with_a_secret_s_a11(world: World) {
        let without: &[(&str, &str)] = &[("code_challenge", ""), ("code_challenge_method", "")];
        refuses(&world, json!({}), "invalid_request", &[without]).await;
        refuses(&world, json!({"token_endpoint_auth_method": "none"}), "invalid_request", &[without]).await;

        let optional = world.add_client(json!({"require_pkce": false})).await;
        world.add_user("ada").await;
        let code = world.browser().authorize(&authorize_path(&optional, without), "ada").await.code();
        let form = [("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", CALLBACK)];
        assert_eq!(world.token(&optional, &form).await.status, 200);
        // A row that says so for a public client changes nothing.
        let public = world.public_client().await;
        world.change_client(&public.id, |m| m.require_pkce = false).await;
        assert_error(&world, &world.get(&authorize_path(&public, without)).await, "invalid_request");
    }

    async fn only_s256_with_a_whole_challenge_is_taken_s_a12_pitfall_9(world: World) {
        let short = &CHALLENGE[..42];
        let (long, padded) = (format!("{CHALLENGE}a"), format!("{CHALLENGE}="));
        let plus = CHALLENGE.replacen('-', "+", 1);
        let changes: &[&[(&str, &str)]] = &[
            &[("code_challenge_method", "plain")], &[("code_challenge_method", "")], &[("code_challenge_method", "s256")],
            &[("code_challenge_method", "S512")], &[("code_challenge_method", "S256 plain")], &[("code_challenge", "")],
            &[("code_challenge_method", "plain"), ("code_challenge", VERIFIER)],
            &[("code_challenge", short)], &[("code_challenge", &long)], &[("code_challenge", &padded)], &[("code_challenge", &plus)],
            &[("code_challenge", "x")], &[("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw c?")],
        ];
        refuses(&world, json!({}), "invalid_request", changes).await;
        // Where PKCE may be left out, a wrong one is still wrong.
        refuses(&world, json!({"require_pkce": false}), "invalid_request", changes).await;
    }

    async fn a_repeated_parameter_is_refused_s_a14(world: World) {
        let client = world.web_client().await;
        let good = authorize_path(&client, &[]);
        for name in [
            "response_type", "scope", "nonce", "code_challenge", "code_challenge_method", "prompt", "max_age", "response_mode",
            "display", "ui_locales", "claims_locales", "acr_values", "login_hint", "id_token_hint", "claims", "request", "request_uri",
        ] {
            let twice = format!("{good}&{name}=a&{name}=a");
            assert_error(&world, &world.get(&twice).await, "invalid_request");
            let empty_twice = format!("{good}&{name}=&{name}=");
            assert_error(&world, &world.get(&empty_twice).await, "invalid_request");
        }
        // Of two states nobody knows which one is meant.
        let reply = world.get(&format!("{good}&state=state-2")).await;
        assert_eq!(assert_error_at(&world, &reply, "invalid_request", CALLBACK).get("state"), None);
        assert_page(&world.get(&format!("{good}&client_id={}", client.id)).await, 400, INVALID);
        assert_page(&world.get(&format!("{good}&redirect_uri=http%3A%2F%2F127.0.0.1%3A9%2Fcb")).await, 400, INVALID);
    }

    async fn unknown_parameters_and_empty_values_are_ignored_s_a15(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let path = authorize_path(&client, &[("extra", "foobar"), ("access_type", "offline"), ("error", "x"), ("code", "x"), ("iss", "x")]);
        let empty = "&prompt=&max_age=&response_mode=&claims=&request=&request_uri=&registration=&resource=&id_token_hint=&login_hint&=x&new";
        let callback = world.browser().authorize(&format!("{path}{empty}"), "ada").await;
        assert_code(&world, &callback);
    }

    async fn display_locales_hints_and_wishes_never_stand_in_the_way_r41(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        for wish in [
            ("display", "page"), ("display", "popup"), ("display", "hologram"), ("ui_locales", "se"), ("ui_locales", "de-CH x !!"),
            ("claims_locales", "se"), ("login_hint", "nobody@example.org"), ("acr_values", "1 2"), ("extra", "foobar"), ("prompt", "create"),
        ] {
            let callback = world.browser().authorize(&authorize_path(&client, &[wish]), "ada").await;
            assert_code(&world, &callback);
        }
    }

    async fn the_acr_is_one_of_those_asked_for_where_we_have_it_r48(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let ours = cnx::oauth::id_token::ACR_PASSWORD;
        for asked in [format!("urn:other {ours}"), "urn:other".to_owned(), String::new()] {
            let tokens = world.browser().tokens(&world, &client, &[("acr_values", &asked)], "ada").await;
            assert_eq!(claims(tokens.id())["acr"], ours, "a wish, not a demand: {asked}");
        }
    }

    async fn a_request_object_is_refused_and_never_looked_into_r54_r55_s_a21(world: World) {
        let client = world.web_client().await;
        let inner = json!({"client_id": client.id, "redirect_uri": CALLBACK, "response_type": "code", "scope": "openid", "state": "inner"});
        let nested = json!({"request": unsigned(&inner), "client_id": client.id});
        for object in [unsigned(&inner), unsigned(&nested), "garbage".to_owned(), "a.b.c".to_owned()] {
            let path = authorize_path(&client, &[("request", &object)]);
            assert_error(&world, &world.get(&path).await, "request_not_supported");
            // Also where the rest of the request stands in the object alone.
            let path = authorize_path(&client, &[("request", &object), ("response_type", ""), ("scope", ""), ("code_challenge", "")]);
            assert_error(&world, &world.get(&path).await, "request_not_supported");
            // A good redirect URI inside makes up for no bad one outside, and no default steps in (R55).
            for (outer, heading) in [("https://evil.example/cb", UNTRUSTED), ("", NOWHERE)] {
                let path = authorize_path(&client, &[("request", &object), ("redirect_uri", outer)]);
                assert_page(&world.get(&path).await, 400, heading);
            }
        }
        let path = authorize_path(&client, &[("registration", "{}")]);
        assert_error(&world, &world.get(&path).await, "registration_not_supported");
    }

    async fn a_request_uri_is_refused_and_never_fetched_r54_s_a21_s_a22(world: World) {
        let client = world.web_client().await;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let here = format!("http://{}/request.jwt", listener.local_addr().unwrap());
        for uri in [here.as_str(), "http://169.254.169.254/latest/meta-data/", "urn:ietf:params:oauth:request_uri:x", "file:///etc/passwd", "x"] {
            let path = authorize_path(&client, &[("request_uri", uri)]);
            assert_error(&world, &world.get(&path).await, "request_uri_not_supported");
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "somebody came");
    }

    async fn no_scope_beyond_the_registration_is_given_s_a23(world: World) {
        refuses(&world, json!({"scope": "openid profile email offline_access read"}), "invalid_scope", &[
            &[("scope", "openid admin")], &[("scope", "openid phone")], &[("scope", "READ")], &[("scope", "read\u{a0}openid")],
            &[("scope", "openid \"read\"")], &[("scope", "   ")],
        ]).await;
        world.add_user("ada").await;
        // Without the grant for refresh tokens, offline_access has no meaning and is left out.
        let client = world.add_client(json!({"grant_types": ["authorization_code"]})).await;
        let tokens = world.browser().tokens(&world, &client, &[("scope", "openid offline_access read")], "ada").await;
        assert_eq!((tokens.scope.as_str(), tokens.refresh), ("openid read", None));
    }

    async fn offline_access_with_prompt_consent_is_accepted_r60(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let extra = [("scope", "openid offline_access"), ("prompt", "consent")];
        let tokens = world.browser().tokens(&world, &client, &extra, "ada").await;
        assert_eq!(tokens.scope, "offline_access openid");
        assert_eq!(claims(tokens.id())["nonce"], "nonce-1");
        assert!(tokens.refresh().starts_with("cnx_rt_"));
    }

    async fn a_resource_is_one_that_the_client_is_registered_for_s_a24(world: World) {
        let client = world.add_client(json!({"audience": ["https://api.example/v1"]})).await;
        for resource in ["https://api.example/v2", "https://api.example/v1/", "https://api.example", "https://evil.example", "x"] {
            let path = authorize_path(&client, &[("resource", resource)]);
            assert_error(&world, &world.get(&path).await, "invalid_target");
            let among = format!("{path}&resource=https%3A%2F%2Fapi.example%2Fv1");
            assert_error(&world, &world.get(&among).await, "invalid_target");
        }
        world.add_user("ada").await;
        let tokens = world.browser().tokens(&world, &client, &[("resource", "https://api.example/v1")], "ada").await;
        assert_eq!(claims(&tokens.access)["aud"], "https://api.example/v1");
    }

    async fn an_unknown_response_mode_is_refused_in_the_query_s_a25(world: World) {
        refuses(&world, json!({}), "invalid_request", &[
            &[("response_mode", "fragment")], &[("response_mode", "web_message")], &[("response_mode", "jwt")],
            &[("response_mode", "query.jwt")], &[("response_mode", "form_post.jwt")], &[("response_mode", "Query")],
        ]).await;
    }

    async fn requests_that_cannot_be_read_are_pages_s_a28(world: World) {
        let client = world.web_client().await;
        let good = authorize_path(&client, &[]);
        for broken in ["%ff", "%c3%28", "%ed%a0%80", "%00", "%", "%4", "%zz", "%f0%28%8c%28"] {
            assert_page(&world.get(&format!("{good}&login_hint={broken}")).await, 400, INVALID);
            assert_page(&world.get(&format!("{good}&{broken}=x")).await, 400, INVALID);
        }
        let many = "&a=b".repeat(2000);
        assert_page(&world.get(&format!("{good}{many}")).await, 400, INVALID);
        let long = format!("{good}&login_hint={}", "x".repeat(60_000));
        let reply = world.get(&long).await;
        assert!([400, 414, 431].contains(&reply.status), "{}", reply.status);
        assert_eq!(reply.location(), None);
        assert_asked(&world.get(&good).await, "/sign-in");
    }

    async fn claims_that_are_no_plain_object_are_refused_s_a28(world: World) {
        let deep = format!("{{\"userinfo\":{}1{}}}", "{\"a\":".repeat(500), "}".repeat(500));
        let many = format!("{{\"userinfo\":{{{}}}}}", (0..65).map(|i| format!("\"c{i}\":null")).collect::<Vec<_>>().join(","));
        let long = format!("{{\"x\":\"{}\"}}", "y".repeat(8192));
        refuses(&world, json!({}), "invalid_request", &[
            &[("claims", &deep)], &[("claims", &many)], &[("claims", &long)], &[("claims", "{")], &[("claims", "[]")], &[("claims", "1")],
            &[("claims", "null")], &[("claims", "{\"userinfo\":[]}")], &[("claims", "{\"id_token\":{\"name\":true}}")],
        ]).await;
    }

    async fn what_is_too_long_to_come_back_is_refused_and_not_cut_s_a28(world: World) {
        let long = "x".repeat(4097);
        refuses(&world, json!({}), "invalid_request", &[&[("nonce", &long)]]).await;
        let client = world.web_client().await;
        let reply = world.get(&authorize_path(&client, &[("state", &long)])).await;
        let callback = assert_error_at(&world, &reply, "invalid_request", CALLBACK);
        assert_eq!(callback.get("state"), Some(long.as_str()));
    }

    /// It would be lost between our pages: better to say so at once.
    async fn a_request_that_does_not_fit_through_the_pages_is_refused_at_the_door_s_a28(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let fits = "x".repeat(4096);
        let extra = [("state", fits.as_str()), ("nonce", &fits), ("login_hint", "ada")];
        let callback = world.browser().authorize(&authorize_path(&client, &extra), "ada").await;
        assert_eq!(callback.get("state"), Some(fits.as_str()));
        let long = "\u{20ac}".repeat(1365);
        let path = authorize_path(&client, &[("state", &long), ("nonce", &fits)]);
        assert_page(&world.get(&path).await, 400, INVALID);
    }

    async fn numbers_that_are_none_are_refused_s_a28(world: World) {
        refuses(&world, json!({}), "invalid_request", &[
            &[("max_age", "-1")], &[("max_age", "1.5")], &[("max_age", "1e3")], &[("max_age", "abc")], &[("max_age", " 1")],
            &[("max_age", "99999999999999999999")], &[("max_age", "\u{661}")],
        ]).await;
    }

    async fn a_challenge_or_nonce_that_comes_again_is_written_down_s_a13(world: World) {
        let log = crate::world::Log::capture();
        let client = world.web_client().await;
        world.add_user("ada").await;
        let path = |nonce: &str, challenge: &str| authorize_path(&client, &[("nonce", nonce), ("code_challenge", challenge)]);
        let browser = signed_in(&world, &client, &path("n-1", CHALLENGE), "ada").await;
        let other = "3a81oZNherrMQXNJriBBMRLm-k6JqX6iCp7u5ktV05o";
        let reused = || log.lines().into_iter().filter(|l| l.contains("client.reused_challenge") && l.contains(&client.id)).count();
        assert_eq!(reused(), 0);
        browser.get(&path("n-2", other)).await.callback().code();
        assert_eq!(reused(), 0, "both are new");
        browser.get(&path("n-3", CHALLENGE)).await.callback().code();
        assert_eq!(reused(), 1, "the challenge came before");
        browser.get(&path("n-2", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")).await.callback().code();
        assert_eq!(reused(), 2, "the nonce came before");
        // What another client sends is its own.
        let neighbour = world.web_client().await;
        let reply = signed_in(&world, &neighbour, &authorize_path(&neighbour, &[("nonce", "n-1")]), "ada").await;
        drop(reply);
        assert!(!log.lines().iter().any(|l| l.contains("client.reused_challenge") && l.contains(&neighbour.id)));
    }
}
