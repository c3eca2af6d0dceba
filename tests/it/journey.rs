//! The whole way of a person and an app: sign in, consent, tokens, userinfo, refresh, introspection, revocation, sign out.

use crate::world::{CALLBACK, authorize_path, claims, jwt_part, on_both};

on_both! {
    /// Issue: "the printed client and user complete a code + PKCE sign-in".
    async fn a_person_signs_in_through_an_app_and_out_again(world: World) {
        let client = world.web_client().await;
        let user = world.add_user("ada").await;
        let browser = world.browser();
        let tokens = browser.tokens(&world, &client, &[], "ada").await;
        assert_eq!(tokens.scope, "email offline_access openid profile");

        let id = claims(tokens.id());
        assert_eq!(id["iss"], world.base.as_str());
        assert_eq!(id["aud"], client.id.as_str());
        assert_eq!(id["nonce"], "nonce-1");
        assert_eq!(id["sub"], user.id.to_string());
        assert_eq!(id["auth_time"], world.now());
        assert_eq!(jwt_part(tokens.id(), 0)["alg"], "RS256");
        assert_eq!(jwt_part(&tokens.access, 0)["typ"], "at+jwt");
        assert_eq!(jwt_part(&tokens.access, 0)["alg"], "ES256");

        let info = world.user_info(&tokens.access).await;
        assert_eq!(info.status, 200, "{}", info.text);
        assert_eq!(info.json()["email"], "ada@example.com");

        let reply = world.token(&client, &[("grant_type", "refresh_token"), ("refresh_token", tokens.refresh())]).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        let refreshed = crate::world::Tokens::of(&reply);
        assert_ne!(refreshed.refresh, tokens.refresh);
        let seen = world.introspect(&client, &refreshed.access).await;
        assert_eq!(seen["active"], true, "{seen}");
        let seen = world.introspect(&client, refreshed.refresh()).await;
        assert_eq!(seen["active"], true, "{seen}");

        let reply = world.post("/oauth2/revoke", Some(&client), &[("token", refreshed.refresh())]).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        assert_eq!(world.introspect(&client, &refreshed.access).await, serde_json::json!({"active": false}));
        assert_eq!(world.user_info(&refreshed.access).await.status, 401);

        // A second app visit needs no page: the session and the consent are remembered.
        let reply = browser.open(&authorize_path(&client, &[])).await;
        assert!(reply.location().unwrap().starts_with(CALLBACK));

        let page = browser.open(&format!("/oauth2/logout?id_token_hint={}", tokens.id())).await;
        assert_eq!(page.status, 200);
        let reply = browser.open(&authorize_path(&client, &[("prompt", "none")])).await;
        assert_eq!(reply.callback().error(), "login_required");
    }

    /// R9: issuer, audience, times, nonce and subject, with and without a nonce in the request.
    async fn an_id_token_says_who_when_and_for_whom_r9(world: World) {
        let client = world.web_client().await;
        let user = world.add_user("ada").await;
        for nonce in ["n-0S6_WzA2Mj", ""] {
            let tokens = world.browser().tokens(&world, &client, &[("nonce", nonce)], "ada").await;
            let id = claims(tokens.id());
            let now = world.now();
            assert_eq!((&id["iss"], &id["aud"]), (&world.base.as_str().into(), &client.id.as_str().into()));
            assert_eq!(id["sub"], user.id.to_string());
            assert_eq!(id["nonce"].as_str().unwrap_or_default(), nonce);
            assert_eq!(id.get("nonce").is_some(), !nonce.is_empty());
            assert_eq!((id["iat"].as_i64(), id["exp"].as_i64()), (Some(now), Some(now + 3600)));
            assert!((0..=1).contains(&(now - id["auth_time"].as_i64().unwrap())));
            assert_eq!(id["acr"], "urn:cloudnexus:acr:password");
            assert_eq!(id["amr"], serde_json::json!(["pwd"]));
        }
    }
}
