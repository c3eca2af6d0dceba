//! Introspection (RFC 7662): whole answers to those who may know, one member to everybody else.

use cnx::flow::people;
use serde_json::{Value, json};

use crate::world::{Reply, TestClient, Tokens, World, by, claims, on_both};

const PATH: &str = "/oauth2/introspect";

fn inactive() -> Value {
    json!({"active": false})
}

async fn own_token(world: &World, client: &TestClient) -> String {
    Tokens::of(&world.token(client, &[("grant_type", "client_credentials"), ("scope", "read")]).await).access
}

/// A client that is a resource server: it asks about tokens that name `audience`.
async fn resource_server(world: &World, audience: &str) -> TestClient {
    world
        .add_client(
            json!({"grant_types": ["client_credentials"], "redirect_uris": [], "audience": [audience]}),
        )
        .await
}

on_both! {
    async fn a_live_token_is_told_whole_c24(world: World) {
        let user = world.add_user("ada").await;
        let api = resource_server(&world, "https://api.example").await;
        for format in ["jwt", "opaque"] {
            let client = world
                .add_client(json!({"access_token_format": format, "audience": ["https://api.example"]}))
                .await;
            let started = world.now();
            let tokens = world
                .browser()
                .tokens(&world, &client, &[("scope", "openid read offline_access")], "ada")
                .await;
            let seen = world.introspect(&client, &tokens.access).await;
            let jti = seen["jti"].as_str().unwrap().to_owned();
            if format == "jwt" {
                assert_eq!(claims(&tokens.access)["jti"], jti.as_str());
            }
            assert_eq!(
                seen,
                json!({
                    "active": true, "scope": "offline_access openid read", "client_id": client.id, "username": "ada",
                    "token_type": "Bearer", "exp": started + 600, "iat": started, "sub": user.id.to_string(),
                    "aud": "https://api.example", "iss": world.base, "jti": jti, "auth_time": started,
                    "acr": "urn:cloudnexus:acr:password"
                })
            );
            // Another client's token, by Basic and with the credentials in the body.
            assert_eq!(world.introspect(&api, &tokens.access).await, seen);
            let secret = api.secret.as_deref().unwrap();
            let in_body = world
                .post(
                    PATH,
                    None,
                    &[("client_id", &api.id), ("client_secret", secret), ("token", &tokens.access)],
                )
                .await;
            assert_eq!(in_body.json(), seen);

            let own = own_token(&world, &client).await;
            let seen = world.introspect(&api, &own).await;
            assert_eq!(
                (seen["sub"].as_str(), seen["client_id"].as_str()),
                (Some(client.id.as_str()), Some(client.id.as_str()))
            );
            assert!(
                seen["active"] == true && seen.get("username").is_none() && seen.get("auth_time").is_none()
            );

            let refresh = world.introspect(&client, tokens.refresh()).await;
            assert_eq!(
                (refresh["active"].as_bool(), refresh["sub"].as_str()),
                (Some(true), Some(user.id.to_string().as_str()))
            );
            assert!(refresh.get("token_type").is_none(), "{refresh}");
            assert_eq!(world.introspect(&api, tokens.refresh()).await, inactive(), "its own client's affair");
        }
    }

    async fn the_caller_must_authenticate_s_n1(world: World) {
        world.add_user("ada").await;
        let client = world.web_client().await;
        let public = world.public_client().await;
        let tokens = world.browser().tokens(&world, &client, &[], "ada").await;
        let token = [("token", tokens.access.as_str())];
        let wrong = TestClient { secret: Some("wrong-secret".to_owned()), ..client.clone() };
        let bearer = world.http.post(world.url(PATH)).bearer_auth(&tokens.access).form(&token);
        for (what, reply) in [
            ("nobody", world.post(PATH, None, &token).await),
            ("the token itself", Reply::of(bearer.send().await.unwrap()).await),
            ("a wrong secret", world.post(PATH, Some(&wrong), &token).await),
            ("a public client", world.post(PATH, None, &[("client_id", &public.id), token[0]]).await),
            (
                "a confidential client without its secret",
                world.post(PATH, None, &[("client_id", &client.id), token[0]]).await,
            ),
        ] {
            assert_eq!(
                (reply.status, reply.error().as_str()),
                (401, "invalid_client"),
                "{what}: {}",
                reply.text
            );
            assert!(reply.header("www-authenticate").is_some_and(|c| c.starts_with("Basic ")), "{what}");
            assert!(!reply.text.contains("active"), "{what}");
        }
        let by_get = world
            .http
            .get(world.url(&format!("{PATH}?token={}", tokens.access)))
            .basic_auth(&client.id, client.secret.as_deref());
        let reply = Reply::of(by_get.send().await.unwrap()).await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")));
        let reply = world.post(PATH, Some(&client), &[]).await;
        assert_eq!((reply.status, reply.error().as_str()), (400, "invalid_request"), "no token");
        let reply = world.post(PATH, Some(&client), &[token[0], token[0]]).await;
        assert_eq!((reply.status, reply.error().as_str()), (400, "invalid_request"), "two tokens");
    }

    async fn everything_else_is_exactly_inactive_s_n2(world: World) {
        let user = world.add_user("ada").await;
        let (client, other) = (world.web_client().await, world.web_client().await);
        let api = resource_server(&world, "https://api.example").await;
        let tokens = world.browser().tokens(&world, &client, &[], "ada").await;
        let code = world.browser().authorize(&crate::world::authorize_path(&client, &[]), "ada").await.code();
        let keys = crate::offline::key_set(&world).await;
        let mut dead = vec![
            ("garbage", "garbage".to_owned()),
            ("an ID token", tokens.id().to_owned()),
            ("a code", code),
            ("a prefix", "cnx_at_".to_owned()),
            ("another prefix", "cnx_rt_".to_owned()),
            ("a refresh token, cut", tokens.refresh()[..tokens.refresh().len() - 1].to_owned()),
            ("a refresh token, longer", format!("{}a", tokens.refresh())),
        ];
        dead.extend(crate::offline::forgeries(&keys, &tokens.access));
        for (what, token) in dead {
            let reply = world.post(PATH, Some(&client), &[("token", &token)]).await;
            assert_eq!((reply.status, reply.text.as_str()), (200, r#"{"active":false}"#), "{what}");
            assert_eq!(reply.header("content-type"), Some("application/json"), "{what}");
        }
        // A live token, but not the caller's to know: the same bytes.
        for (what, caller) in [("another client", &other), ("another resource server", &api)] {
            for token in [&tokens.access, tokens.refresh.as_ref().unwrap()] {
                let reply = world.post(PATH, Some(caller), &[("token", token)]).await;
                assert_eq!((reply.status, reply.text.as_str()), (200, r#"{"active":false}"#), "{what}");
            }
        }
        // The form of the answer is JSON, whatever is asked for: a JWT would say more (RFC 9701).
        let request = world
            .http
            .post(world.url(PATH))
            .basic_auth(&other.id, other.secret.as_deref())
            .header("accept", "application/token-introspection+jwt")
            .form(&[("token", &tokens.access)]);
        assert_eq!(Reply::of(request.send().await.unwrap()).await.text, r#"{"active":false}"#);

        people::set_disabled(world.app(), by(), user.id, true).await.unwrap();
        for token in [&tokens.access, tokens.refresh.as_ref().unwrap()] {
            assert_eq!(world.introspect(&client, token).await, inactive(), "the person is disabled");
        }
        let own = own_token(&world, &client).await;
        world.advance(600);
        assert_eq!(world.introspect(&client, &own).await, inactive(), "expired");
    }

    async fn a_hint_is_only_a_hint_and_unknown_parameters_are_ignored_s_n2(world: World) {
        world.add_user("ada").await;
        let client = world.web_client().await;
        let tokens = world.browser().tokens(&world, &client, &[], "ada").await;
        for token in [&tokens.access, tokens.refresh.as_ref().unwrap()] {
            for hint in ["access_token", "refresh_token", "id_token", "nonsense", ""] {
                let form = [("token", token.as_str()), ("token_type_hint", hint), ("foo", "bar")];
                assert_eq!(world.post(PATH, Some(&client), &form).await.json()["active"], true, "{hint}");
            }
        }
    }

    async fn nothing_is_remembered_past_a_revocation_or_for_another_caller_s_n3(world: World) {
        world.add_user("ada").await;
        let (client, other) = (world.web_client().await, world.web_client().await);
        let browser = world.browser();
        for kill in ["access token", "refresh token", "session", "own token"] {
            let scope = if kill == "session" { "openid read" } else { "openid read offline_access" };
            let tokens = browser.tokens(&world, &client, &[("scope", scope)], "ada").await;
            let token =
                if kill == "own token" { own_token(&world, &client).await } else { tokens.access.clone() };
            for _ in 0..3 {
                let reply = world.post(PATH, Some(&client), &[("token", &token)]).await;
                assert_eq!(reply.header("cache-control"), Some("no-store"));
                assert_eq!(reply.json()["active"], true, "{kill}");
                assert_eq!(
                    world.introspect(&other, &token).await,
                    inactive(),
                    "{kill}: the last answer was for another caller"
                );
            }
            if kill == "session" {
                browser.open(&format!("/oauth2/logout?id_token_hint={}", tokens.id())).await;
            } else {
                let victim = if kill == "refresh token" { tokens.refresh() } else { &token };
                assert_eq!(
                    world.post("/oauth2/revoke", Some(&client), &[("token", victim)]).await.status,
                    200
                );
            }
            assert_eq!(world.introspect(&client, &token).await, inactive(), "{kill}");
        }
    }
}
