//! `client_credentials` (RFC 6749 §4.4), and what access tokens of every grant say (RFC 9068).

use std::collections::HashSet;

use cnx::flow::clients;
use cnx::oauth::client_registration;
use serde_json::{Value, json};

use crate::token_requests::{assert_alive, granted, members, refused, tokens};
use crate::world::{Tokens, World, by, claims, jwt_part, on_both};

const GRANT: (&str, &str) = ("grant_type", "client_credentials");

async fn jwks_kids(world: &World) -> Vec<Value> {
    let jwks = world.get("/.well-known/jwks.json").await.json();
    jwks["keys"].as_array().unwrap().iter().map(|k| k["kid"].clone()).collect()
}

on_both! {
    async fn a_client_speaks_for_itself_only_s_t13(world: World) {
        let client = world.web_client().await;
        let user = world.add_user("ada").await;
        let reply = world.token(&client, &[GRANT]).await;
        let given = granted(&reply);
        assert_eq!(members(&reply), ["access_token", "expires_in", "scope", "token_type"], "no refresh token, no ID token");
        assert_eq!(claims(&given.access)["sub"], client.id.as_str());
        assert_ne!(claims(&given.access)["sub"], user.id.to_string());
        assert!(claims(&given.access).get("auth_time").is_none());
        // It is nobody's: there is no person to tell about.
        assert!((400..500).contains(&world.user_info(&given.access).await.status));

        // A public client proves nothing, so it speaks for nobody; registration says so, and so does the endpoint.
        let public = json!({"client_name": "App", "token_endpoint_auth_method": "none", "grant_types": ["client_credentials"]});
        assert_eq!(client_registration::from_json(&public.to_string()).unwrap_err().field, "grant_types");
        let public = world.public_client().await;
        refused(&world.token(&public, &[GRANT]).await, 400, "unauthorized_client");
        world.change_client(&public.id, |m| m.grant_types.push(cnx::oauth::client::GrantType::ClientCredentials)).await;
        refused(&world.token(&public, &[GRANT]).await, 400, "unauthorized_client");
    }

    async fn no_client_can_be_called_like_a_person_s_t13(world: World) {
        let user = world.add_user("ada").await.id.to_string();
        for id in [user.clone(), user.to_uppercase(), user.replace('-', "")] {
            let file = json!({"client_id": id, "grant_types": ["client_credentials"], "response_types": []});
            let (id, secret, metadata) = client_registration::from_json(&file.to_string()).unwrap();
            let added = clients::add(world.app(), by(), metadata, id, secret).await;
            assert!(added.unwrap_err().to_string().starts_with("client_id: "));
        }
        world.add_client(json!({"client_id": "0a1b2c3d-1111-4222-8333-444455556666"})).await;
    }

    async fn a_client_has_its_own_scope_and_nothing_of_people_s_t13(world: World) {
        let client = world.web_client().await;
        let scope_of = |reply: &crate::world::Reply| {
            let given = granted(reply);
            assert_eq!(claims(&given.access)["scope"], given.scope.as_str());
            given.scope
        };
        assert_eq!(scope_of(&world.token(&client, &[GRANT]).await), "read write");
        assert_eq!(scope_of(&world.token(&client, &[GRANT, ("scope", "")]).await), "read write");
        assert_eq!(scope_of(&world.token(&client, &[GRANT, ("scope", "read")]).await), "read");
        assert_eq!(scope_of(&world.token(&client, &[GRANT, ("scope", "write read write")]).await), "read write");
        for wrong in ["openid", "read openid", "offline_access", "profile", "read email", "admin", "read admin", "READ", "read\u{e4}", "re\"ad"] {
            refused(&world.token(&client, &[GRANT, ("scope", wrong)]).await, 400, "invalid_scope");
        }
    }

    async fn an_access_token_says_what_rfc_9068_asks_for_s_t14_c22(world: World) {
        let client = world.web_client().await;
        let user = world.add_user("ada").await;
        let of_person = tokens(&world, &client, "ada").await;
        let own = granted(&world.token(&client, &[GRANT]).await);
        let kids = jwks_kids(&world).await;
        let mut ids = HashSet::new();
        for (token, sub) in [(&of_person.access, user.id.to_string()), (&own.access, client.id.clone())] {
            let (header, claims) = (jwt_part(token, 0), claims(token));
            assert_eq!((&header["typ"], &header["alg"]), (&json!("at+jwt"), &json!("ES256")));
            assert!(kids.contains(&header["kid"]));
            assert_eq!(claims["iss"], world.base.as_str());
            assert_eq!(claims["sub"], sub);
            assert_eq!(claims["client_id"], client.id.as_str());
            assert_eq!(claims["aud"], world.base.as_str(), "never the client");
            assert_eq!(claims["iat"], world.now());
            assert_eq!(claims["exp"], world.now() + 600, "ten minutes at most");
            assert!(claims["scope"].is_string());
            let jti = claims["jti"].as_str().unwrap();
            assert!(jti.len() >= 22 && ids.insert(jti.to_owned()), "128 bits");
        }
        for _ in 0..20 {
            let jti = claims(&granted(&world.token(&client, &[GRANT]).await).access)["jti"].to_string();
            assert!(ids.insert(jti));
        }
        assert_eq!(claims(&of_person.access)["auth_time"], world.now());

        world.advance(599);
        assert_alive(&world, &of_person).await;
        assert_eq!(world.introspect(&client, &own.access).await["active"], true);
        world.advance(1);
        assert_eq!(world.user_info(&of_person.access).await.status, 401);
        assert_eq!(world.introspect(&client, &own.access).await, json!({"active": false}));
    }

    async fn the_audience_is_the_registered_one_or_the_resource_of_it_s_t14(world: World) {
        let (api, other) = ("https://api.example", "https://files.example");
        let one = world.add_client(json!({"audience": [api]})).await;
        let two = world.add_client(json!({"audience": [api, other]})).await;
        let none = world.web_client().await;
        world.add_user("ada").await;
        assert_eq!(claims(&granted(&world.token(&one, &[GRANT]).await).access)["aud"], api);
        assert_eq!(claims(&granted(&world.token(&two, &[GRANT]).await).access)["aud"], json!([api, other]));
        assert_eq!(claims(&tokens(&world, &one, "ada").await.access)["aud"], api);
        // RFC 8707 §2: a resource narrows, and one that is not this client's is an error, never ignored.
        assert_eq!(claims(&granted(&world.token(&two, &[GRANT, ("resource", other)]).await).access)["aud"], other);
        assert_eq!(claims(&granted(&world.token(&two, &[GRANT, ("resource", other), ("resource", api)]).await).access)["aud"], json!([api, other]));
        for wrong in ["https://evil.example", "https://api.example/", "HTTPS://api.example", "api", one.id.as_str()] {
            for client in [&one, &two, &none] {
                refused(&world.token(client, &[GRANT, ("resource", wrong)]).await, 400, "invalid_target");
            }
        }
        refused(&world.token(&one, &[GRANT, ("resource", api), ("resource", other)]).await, 400, "invalid_target");
    }

    async fn an_opaque_access_token_is_long_and_readable_to_us_only_s_t14(world: World) {
        let client = world.add_client(json!({"access_token_format": "opaque"})).await;
        let user = world.add_user("ada").await;
        let of_person = tokens(&world, &client, "ada").await;
        let own = granted(&world.token(&client, &[GRANT, ("scope", "read")]).await);
        for (token, sub) in [(&of_person, user.id.to_string()), (&own, client.id.clone())] {
            let Tokens { access, .. } = token;
            let random = access.strip_prefix("cnx_at_").unwrap();
            assert!(random.len() >= 27, "160 bits");
            assert!(!access.contains('.') && !access.contains(&sub));
            assert!(!world.stores(random).await);
            let seen = world.introspect(&client, access).await;
            assert_eq!((&seen["active"], &seen["sub"], &seen["client_id"]), (&json!(true), &json!(sub), &json!(client.id)));
            assert_eq!(seen["exp"], world.now() + 600);
            assert_eq!(world.introspect(&client, &access[..access.len() - 1]).await, json!({"active": false}));
        }
        assert_alive(&world, &of_person).await;
        let again = granted(&world.token(&client, &[GRANT, ("scope", "read")]).await);
        assert_ne!(again.access, own.access, "the same claims in the same second are another token");
        world.advance(600);
        assert_eq!(world.user_info(&of_person.access).await.status, 401);
    }
}
