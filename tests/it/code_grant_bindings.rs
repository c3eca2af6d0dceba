//! What ties a code to who asked for it: the client, the redirect URI, the PKCE verifier (RFC 6749 §4.1.3, RFC 7636).

use cnx::base::digest::sha256;
use cnx::base::encoding::base64url;
use serde_json::json;

use crate::token_requests::{code, exchange, exchange_with, granted, refused};
use crate::world::{CALLBACK, CHALLENGE, TestClient, VERIFIER, World, authorize_path, on_both};

/// What an authorization request without PKCE leaves out.
const NO_PKCE: [(&str, &str); 2] = [("code_challenge", ""), ("code_challenge_method", "")];

async fn code_bound_to(world: &World, client: &TestClient, verifier: &str) -> String {
    let challenge = base64url(&sha256(verifier.as_bytes()));
    code(world, client, &[("code_challenge", &challenge)], "ada").await
}

on_both! {
    async fn a_code_of_another_client_is_refused_s_c5(world: World) {
        let (web, public) = (world.web_client().await, world.public_client().await);
        let (other_web, other_public) = (world.web_client().await, world.public_client().await);
        world.add_user("ada").await;
        for client in [&web, &public] {
            let code = code(&world, client, &[], "ada").await;
            for thief in [&other_web, &other_public] {
                refused(&exchange(&world, thief, &code).await, 400, "invalid_grant");
            }
            // The name of the right client in the body helps a thief's credentials as little.
            let extra = [("client_id", client.id.as_str())];
            refused(&exchange_with(&world, &other_web, &code, &extra).await, 400, "invalid_request");
            granted(&exchange(&world, client, &code).await);
        }
    }

    async fn a_code_is_bound_to_the_redirect_uri_of_its_request_s_c6_pitfall_2(world: World) {
        let second = "https://app.example/cb";
        let client = world.add_client(json!({"redirect_uris": [CALLBACK, second]})).await;
        world.add_user("ada").await;
        let first = code(&world, &client, &[], "ada").await;
        let other = code(&world, &client, &[("redirect_uri", second)], "ada").await;
        for wrong in [
            second, "", "http://127.0.0.1:9/cb/", "http://127.0.0.1:9/CB", "http://127.0.0.1:9/cb?x=1", "http://127.0.0.1:9/cb#",
            "http://127.0.0.1:9/%63b", "http://localhost:9/cb", "http://127.0.0.1:10/cb", "https://evil.example/cb",
        ] {
            refused(&exchange_with(&world, &client, &first, &[("redirect_uri", wrong)]).await, 400, "invalid_grant");
        }
        refused(&exchange(&world, &client, &other).await, 400, "invalid_grant");
        granted(&exchange(&world, &client, &first).await);
        granted(&exchange_with(&world, &client, &other, &[("redirect_uri", second)]).await);
    }

    /// RFC 6749 §4.1.3: the parameter is required if it was in the authorization request, and then identical.
    async fn a_redirect_uri_that_was_left_out_may_be_left_out_again_s_c6(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let plain = [("redirect_uri", ""), ("scope", "read")];
        for (sent, works) in [("", true), (CALLBACK, true), ("http://127.0.0.1:9/other", false)] {
            let code = code(&world, &client, &plain, "ada").await;
            let reply = exchange_with(&world, &client, &code, &[("redirect_uri", sent)]).await;
            if works { granted(&reply); } else { refused(&reply, 400, "invalid_grant"); }
        }
    }

    async fn a_verifier_is_the_right_one_or_the_code_stays_s_c7_r98(world: World) {
        world.add_user("ada").await;
        for client in [world.web_client().await, world.public_client().await] {
            let code = code(&world, &client, &[], "ada").await;
            let long = "a".repeat(129);
            for (wrong, error) in [
                ("", "invalid_grant"),
                ("aBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "invalid_grant"),
                (CHALLENGE, "invalid_grant"),
                (&VERIFIER.to_lowercase(), "invalid_grant"),
                (&format!("{VERIFIER}A"), "invalid_grant"),
                (&long[..128], "invalid_grant"),
                (&VERIFIER[..42], "invalid_request"),
                (&long, "invalid_request"),
                (&format!("{VERIFIER}="), "invalid_request"),
                (&format!("{VERIFIER} "), "invalid_request"),
                (&format!("{}+", &VERIFIER[..42]), "invalid_request"),
                (&format!("{VERIFIER}\u{e4}"), "invalid_request"),
            ] {
                refused(&exchange_with(&world, &client, &code, &[("code_verifier", wrong)]).await, 400, error);
            }
            let form = [("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", CALLBACK), ("code_verifier", "")];
            refused(&world.token(&client, &form).await, 400, "invalid_grant");
            granted(&exchange(&world, &client, &code).await);
        }
    }

    async fn verifiers_of_all_legal_characters_and_lengths_are_taken_c11(world: World) {
        let client = world.public_client().await;
        world.add_user("ada").await;
        let all = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
        for verifier in [all, &".~".repeat(22)[..43], &"~._-".repeat(32)] {
            let code = code_bound_to(&world, &client, verifier).await;
            granted(&exchange_with(&world, &client, &code, &[("code_verifier", verifier)]).await);
        }
    }

    async fn pkce_cannot_be_taken_away_or_added_s_c8_r98_r56(world: World) {
        let client = world.add_client(json!({"require_pkce": false})).await;
        world.add_user("ada").await;
        // Without PKCE, where the registration allows it (R56).
        let plain = code(&world, &client, &NO_PKCE, "ada").await;
        refused(&exchange(&world, &client, &plain).await, 400, "invalid_grant");
        granted(&exchange_with(&world, &client, &plain, &[("code_verifier", "")]).await);
        // With it, it binds this client too.
        let bound = code(&world, &client, &[], "ada").await;
        refused(&exchange_with(&world, &client, &bound, &[("code_verifier", "")]).await, 400, "invalid_grant");
        granted(&exchange(&world, &client, &bound).await);

        // Where it is required, nothing less is asked for: no code comes of it.
        let strict = world.web_client().await;
        let public = world.public_client().await;
        let downgrades: [&[(&str, &str)]; 4] = [
            &NO_PKCE,
            &[("code_challenge_method", "")],
            &[("code_challenge_method", "plain"), ("code_challenge", VERIFIER)],
            &[("code_challenge_method", "s256")],
        ];
        for client in [&strict, &public, &client] {
            for extra in downgrades {
                if client.id != strict.id && client.id != public.id && extra == NO_PKCE {
                    continue;
                }
                let reply = world.browser().get(&authorize_path(client, extra)).await;
                assert_eq!(reply.callback().error(), "invalid_request", "{extra:?}");
                assert_eq!(reply.callback().get("code"), None);
            }
        }
        // A requirement that came after the code was given holds for the code.
        let before = code(&world, &client, &NO_PKCE, "ada").await;
        world.change_client(&client.id, |m| m.require_pkce = true).await;
        refused(&exchange_with(&world, &client, &before, &[("code_verifier", "")]).await, 400, "invalid_grant");
    }
}
