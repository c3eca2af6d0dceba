//! Refresh tokens in use: rotation, retries, replays, scope (RFC 6749 §6, RFC 9700 §4.14, requirements D1).

use std::net::TcpListener;

use cnx::oauth::client_registration;
use serde_json::json;

use crate::token_requests::{
    assert_access_dead, assert_alive, assert_dead, granted, refresh, refresh_with, refreshed, refused, tokens,
};
use crate::world::{TestClient, claims, on_both};

on_both! {
    async fn a_refresh_answers_like_the_first_time_r57_s_r14(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let first = tokens(&world, &client, "ada").await;
        world.advance(100);
        let reply = refresh(&world, &client, first.refresh()).await;
        let second = granted(&reply);
        assert_eq!((&reply.json()["token_type"], &reply.json()["expires_in"]), (&json!("Bearer"), &json!(600)));
        assert_eq!(second.scope, first.scope);
        let (before, after) = (claims(first.id()), claims(second.id()));
        for same in ["iss", "sub", "aud", "azp", "auth_time", "acr", "amr", "sid"] {
            assert_eq!(before.get(same), after.get(same), "{same}");
        }
        assert!(after["auth_time"].is_i64() && after["sid"].is_string());
        assert_eq!(after["iat"], before["iat"].as_i64().unwrap() + 100);
        assert_eq!(after["exp"], world.now() + 3600);
        assert_eq!((before.get("nonce"), after.get("nonce")), (Some(&json!("nonce-1")), None));
        assert_ne!(claims(&second.access)["jti"], claims(&first.access)["jti"]);
        assert_eq!(claims(&second.access)["auth_time"], claims(&first.access)["auth_time"]);
        assert_eq!(claims(&second.access)["exp"], world.now() + 600);
        // The token of before lives for its time.
        assert_alive(&world, &first).await;
        assert_alive(&world, &second).await;
    }

    async fn a_refresh_token_is_its_clients_alone_r58_s_r8(world: World) {
        let (web, public) = (world.web_client().await, world.public_client().await);
        let (other_web, other_public) = (world.web_client().await, world.public_client().await);
        world.add_user("ada").await;
        for client in [&web, &public] {
            let first = tokens(&world, client, "ada").await;
            let second = refreshed(&world, client, first.refresh()).await;
            for thief in [&other_web, &other_public] {
                refused(&refresh(&world, thief, second.refresh()).await, 400, "invalid_grant");
                // An old one in a stranger's hands ends nothing (pitfall 3).
                refused(&refresh(&world, thief, first.refresh()).await, 400, "invalid_grant");
            }
            assert_alive(&world, &second).await;
            granted(&refresh(&world, client, second.refresh()).await);
        }
        let given = tokens(&world, &web, "ada").await;
        refused(&refresh(&world, &TestClient { id: web.id.clone(), secret: None }, given.refresh()).await, 401, "invalid_client");
        refused(&refresh(&world, &web.with_secret("wrong-secret"), given.refresh()).await, 401, "invalid_client");
        let form = [("grant_type", "refresh_token"), ("refresh_token", given.refresh())];
        refused(&world.post("/oauth2/token", None, &form).await, 401, "invalid_client");
        granted(&refresh(&world, &web, given.refresh()).await);
    }

    async fn a_public_client_gets_a_new_token_each_time_s_r1(world: World) {
        let public = world.public_client().await;
        let never = world.add_client(json!({"refresh_rotation": "never"})).await;
        world.add_user("ada").await;
        let mut seen = vec![tokens(&world, &public, "ada").await.refresh().to_owned()];
        for _ in 0..5 {
            let next = refreshed(&world, &public, seen.last().unwrap()).await;
            assert!(!seen.contains(&next.refresh().to_owned()));
            seen.push(next.refresh().to_owned());
        }
        // Without rotation, for a client that proves itself, the token stays: also far beyond the idle time.
        let first = tokens(&world, &never, "ada").await;
        for _ in 0..3 {
            let next = refreshed(&world, &never, first.refresh()).await;
            assert_eq!(next.refresh, first.refresh);
            assert_ne!(next.access, first.access);
            world.advance(25 * 86_400);
        }
        world.advance(15 * 86_400);
        refused(&refresh(&world, &never, first.refresh()).await, 400, "invalid_grant");
        // A public client cannot be registered so, and when a row says so it rotates all the same.
        let file = json!({"client_name": "App", "token_endpoint_auth_method": "none", "refresh_rotation": "never", "redirect_uris": ["https://app.example/"]});
        assert_eq!(client_registration::from_json(&file.to_string()).unwrap_err().field, "refresh_rotation");
        world.change_client(&public.id, |m| m.refresh_rotation = cnx::oauth::client::RefreshRotation::Never).await;
        let first = tokens(&world, &public, "ada").await;
        assert_ne!(refreshed(&world, &public, first.refresh()).await.refresh, first.refresh);
    }

    async fn a_predecessor_whose_successor_was_used_ends_the_family_s_r2(world: World) {
        world.add_user("ada").await;
        for client in [world.web_client().await, world.public_client().await, world.add_client(json!({"access_token_format": "opaque"})).await] {
            let one = tokens(&world, &client, "ada").await;
            let elsewhere = tokens(&world, &client, "ada").await;
            let two = refreshed(&world, &client, one.refresh()).await;
            let three = refreshed(&world, &client, two.refresh()).await;
            for tokens in [&one, &two, &three] {
                assert_alive(&world, tokens).await;
            }
            refused(&refresh(&world, &client, one.refresh()).await, 400, "invalid_grant");
            for tokens in [&one, &two, &three] {
                assert_dead(&world, &client, tokens).await;
            }
            // Another sign-in of the same person at the same client is another family.
            assert_alive(&world, &elsewhere).await;
            granted(&refresh(&world, &client, elsewhere.refresh()).await);
        }
    }

    async fn a_lost_answer_is_given_again_for_a_minute_s_r3(world: World) {
        let client = world.public_client().await;
        world.add_user("ada").await;
        let first = tokens(&world, &client, "ada").await;
        let second = refreshed(&world, &client, first.refresh()).await;
        for wait in [0, 30, 30] {
            world.advance(wait);
            let again = refreshed(&world, &client, first.refresh()).await;
            assert_eq!(again.refresh, second.refresh, "one branch: the same successor");
            assert_alive(&world, &again).await;
        }
        // Once the successor was used, its predecessor is a replay, minute or not.
        let third = refreshed(&world, &client, second.refresh()).await;
        assert_eq!(refreshed(&world, &client, second.refresh()).await.refresh, third.refresh);
        refused(&refresh(&world, &client, first.refresh()).await, 400, "invalid_grant");
        assert_dead(&world, &client, &third).await;

        // A second after the minute it is a replay although nobody used the successor.
        let first = tokens(&world, &client, "ada").await;
        let second = refreshed(&world, &client, first.refresh()).await;
        world.advance(61);
        refused(&refresh(&world, &client, first.refresh()).await, 400, "invalid_grant");
        assert_dead(&world, &client, &second).await;
    }

    async fn generations_count_and_not_seconds_s_r5(world: World) {
        let client = world.public_client().await;
        world.add_user("ada").await;
        for old in 0..4 {
            let mut given = vec![tokens(&world, &client, "ada").await];
            for _ in 0..5 {
                let next = refreshed(&world, &client, given.last().unwrap().refresh()).await;
                given.push(next);
            }
            refused(&refresh(&world, &client, given[old].refresh()).await, 400, "invalid_grant");
            for tokens in &given {
                assert_dead(&world, &client, tokens).await;
            }
        }
    }

    async fn what_is_spent_stays_spent_across_a_restart_s_r7(world: World) {
        let mut world = world;
        let client = world.web_client().await;
        world.add_user("ada").await;
        let lost = tokens(&world, &client, "ada").await;
        let kept = refreshed(&world, &client, lost.refresh()).await;
        let old = tokens(&world, &client, "ada").await;
        let newer = refreshed(&world, &client, old.refresh()).await;
        let newest = refreshed(&world, &client, newer.refresh()).await;
        let dead = tokens(&world, &client, "ada").await;
        assert_eq!(world.post("/oauth2/revoke", Some(&client), &[("token", dead.refresh())]).await.status, 200);
        let code = crate::token_requests::code(&world, &client, &[], "ada").await;
        let from_code = granted(&crate::token_requests::exchange(&world, &client, &code).await);

        world.restart().await;
        assert_alive(&world, &kept).await;
        assert_eq!(refreshed(&world, &client, lost.refresh()).await.refresh, kept.refresh, "the retry works still");
        granted(&refresh(&world, &client, kept.refresh()).await);
        assert_alive(&world, &newest).await;
        refused(&refresh(&world, &client, old.refresh()).await, 400, "invalid_grant");
        assert_dead(&world, &client, &newest).await;
        assert_dead(&world, &client, &dead).await;
        assert_alive(&world, &from_code).await;
        refused(&crate::token_requests::exchange(&world, &client, &code).await, 400, "invalid_grant");
        assert_dead(&world, &client, &from_code).await;
        world.restart().await;
        assert_dead(&world, &client, &newest).await;
    }

    async fn a_scope_may_be_narrowed_and_never_widened_s_r9_c9(world: World) {
        let client = world.add_client(json!({"audience": ["https://api.example"]})).await;
        world.add_user("ada").await;
        let browser = world.browser();
        let first = browser.tokens(&world, &client, &[("scope", "openid read offline_access")], "ada").await;
        let mut token = first.refresh().to_owned();
        for (asked, expected) in [
            ("openid read offline_access", "offline_access openid read"), // repeated as most clients do (C9)
            ("read", "read"),
            ("", "offline_access openid read"), // narrowing did not shrink the grant
            ("openid", "openid"),
            ("read openid", "openid read"),
        ] {
            let reply = refresh_with(&world, &client, &token, &[("scope", asked)]).await;
            let given = granted(&reply);
            assert_eq!(given.scope, expected);
            assert_eq!(claims(&given.access)["scope"], expected);
            assert_eq!(given.id.is_some(), expected.contains("openid"));
            token = given.refresh().to_owned();
        }
        for wider in ["openid read write", "write", "profile", "admin", "openid read offline_access phone"] {
            refused(&refresh_with(&world, &client, &token, &[("scope", wider)]).await, 400, "invalid_scope");
        }
        for resource in ["https://other.example", "https://api.example/", &client.id] {
            refused(&refresh_with(&world, &client, &token, &[("resource", resource)]).await, 400, "invalid_target");
        }
        // Asking for too much spent nothing.
        let given = granted(&refresh_with(&world, &client, &token, &[("resource", "https://api.example")]).await);
        assert_eq!(claims(&given.access)["aud"], "https://api.example");
        assert_eq!(given.scope, "offline_access openid read");
    }

    async fn parameters_of_a_refresh_are_no_addresses_to_us_s_r15(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let trap = TcpListener::bind("127.0.0.1:0").unwrap();
        trap.set_nonblocking(true).unwrap();
        let host = trap.local_addr().unwrap().to_string();
        let url = format!("http://{host}/trap");
        let given = tokens(&world, &client, "ada").await;
        let names = [
            "client_session_host", "client_session_state", "redirect_uri", "jwks_uri", "request_uri", "sector_identifier_uri",
            "logo_uri", "webhook", "callback", "host",
        ];
        let mut token = given.refresh().to_owned();
        for value in [url.as_str(), host.as_str(), "http://169.254.169.254/latest/meta-data"] {
            let extra: Vec<(&str, &str)> = names.iter().map(|name| (*name, value)).collect();
            token = granted(&refresh_with(&world, &client, &token, &extra).await).refresh().to_owned();
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        assert_eq!(trap.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "somebody called");
        for value in [url.as_str(), host.as_str(), "169.254.169.254"] {
            assert!(!world.stores(value).await, "{value} was kept");
        }
    }

    async fn an_access_token_of_before_a_replay_is_dead_for_everybody_s_r2(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let one = tokens(&world, &client, "ada").await;
        let two = refreshed(&world, &client, one.refresh()).await;
        refreshed(&world, &client, two.refresh()).await;
        assert_eq!(world.introspect(&client, &two.access).await["active"], true);
        refused(&refresh(&world, &client, one.refresh()).await, 400, "invalid_grant");
        for token in [&one.access, &two.access, two.refresh()] {
            assert_eq!(world.introspect(&client, token).await, json!({"active": false}));
        }
        assert_access_dead(&world, &two).await;
    }
}
