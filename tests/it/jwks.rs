//! The key set (RFC 7517 §5): public members only, and kept by others for as long as it says and no longer.

use std::collections::BTreeSet;

use cnx::base::algorithm::Algorithm;
use cnx::base::encoding::from_base64url;
use cnx::flow::signing_keys;
use openidconnect::JsonWebKey as _;
use openidconnect::core::CoreJsonWebKeySet;
use serde_json::Value;

use crate::offline;
use crate::world::{Reply, World, by, on_both};

const JWKS: &str = "/.well-known/jwks.json";

async fn conditional(world: &World, tag: &str) -> Reply {
    Reply::of(world.http.get(world.url(JWKS)).header("if-none-match", tag).send().await.unwrap()).await
}

fn max_age(reply: &Reply) -> i64 {
    let rule = reply.header("cache-control").unwrap();
    rule.strip_prefix("public, max-age=").unwrap().parse().unwrap()
}

fn bytes(key: &Value, name: &str) -> Vec<u8> {
    from_base64url(key[name].as_str().unwrap()).unwrap()
}

on_both! {
    async fn keys_have_public_members_and_distinct_ids_r2_s_m5_c21(world: World) {
        let reply = world.get(JWKS).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/jwk-set+json")));
        let set = reply.json();
        assert_eq!(set.as_object().unwrap().keys().collect::<Vec<_>>(), ["keys"]);
        let keys = set["keys"].as_array().unwrap();
        assert_eq!(keys.len(), 3);
        for key in keys {
            let names: BTreeSet<&str> = key.as_object().unwrap().keys().map(String::as_str).collect();
            let (own, alg) = match key["kty"].as_str().unwrap() {
                "RSA" => (vec!["n", "e"], "RS256"),
                "EC" => (vec!["crv", "x", "y"], "ES256"),
                "OKP" => (vec!["crv", "x"], "EdDSA"),
                other => panic!("a key of the kind {other}"),
            };
            let expected = ["kty", "kid", "use", "alg"].into_iter().chain(own).collect::<BTreeSet<_>>();
            assert_eq!(names, expected, "no private and no home-made member");
            assert_eq!((key["use"].as_str(), key["alg"].as_str()), (Some("sig"), Some(alg)));
            assert!(key["kid"].as_str().is_some_and(|kid| kid.len() == 43), "RFC 7638 thumbprint: {key}");
            match alg {
                "RS256" => {
                    assert_eq!(bytes(key, "n").len() * 8, 3072);
                    assert_eq!(bytes(key, "e"), [1, 0, 1]);
                }
                "ES256" => {
                    assert_eq!(key["crv"], "P-256");
                    assert_eq!((bytes(key, "x").len(), bytes(key, "y").len()), (32, 32));
                }
                _ => assert_eq!((key["crv"].as_str(), bytes(key, "x").len()), (Some("Ed25519"), 32)),
            }
            josekit::jwk::Jwk::from_map(key.as_object().unwrap().clone()).unwrap();
        }
        let kids: BTreeSet<String> = offline::kids(&set).into_iter().collect();
        assert_eq!(kids.len(), 3);
        let read: CoreJsonWebKeySet = serde_json::from_value(set).unwrap();
        assert!(read.keys().iter().all(|key| key.key_id().is_some()) && read.keys().len() == 3);
    }

    async fn a_known_tag_is_answered_304_until_the_keys_change(world: World) {
        let first = world.get(JWKS).await;
        let tag = first.header("etag").unwrap().to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"'), "a strong tag: {tag}");
        for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
            let reply = conditional(&world, &known).await;
            assert_eq!((reply.status, reply.text.as_str()), (304, ""), "{known}");
            assert_eq!(reply.header("etag"), Some(tag.as_str()));
            assert_eq!(reply.header("cache-control"), first.header("cache-control"));
            assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
        }
        for unknown in ["\"other\"", "\"\"", "W/\"other\"", "garbage"] {
            let reply = conditional(&world, unknown).await;
            assert_eq!((reply.status, &reply.text), (200, &first.text), "{unknown}");
        }
        signing_keys::rotate(world.app(), by(), Algorithm::Es256, false).await.unwrap();
        let changed = conditional(&world, &tag).await;
        assert_eq!(changed.status, 200);
        assert_ne!(changed.header("etag"), Some(tag.as_str()));
        assert_eq!(offline::kids(&changed.json()).len(), 4);
        let head = world.http.head(world.url(JWKS)).send().await.unwrap();
        assert_eq!(
            (head.status().as_u16(), head.headers()["etag"].to_str().ok()),
            (200, changed.header("etag"))
        );
    }

    async fn caches_forget_the_key_set_before_a_new_key_signs_s_m6(world: World) {
        let before = world.get(JWKS).await;
        let age = max_age(&before);
        assert!(age > 0 && age < world.settings.key_propagation_seconds(), "{age}");
        let fetched_at = world.now();
        let kid = signing_keys::rotate(world.app(), by(), Algorithm::Es256, false).await.unwrap();
        assert!(!offline::kids(&before.json()).contains(&kid));
        assert!(offline::kids(&world.get(JWKS).await.json()).contains(&kid), "published at once");
        let client = world.web_client().await;
        // A cache that read the set the moment before asks again before anything is signed with the new key.
        while world.now() <= fetched_at + age {
            let reply = world.token(&client, &[("grant_type", "client_credentials")]).await;
            let token = crate::world::Tokens::of(&reply).access;
            assert!(offline::verify_access_token(&before.json(), &token).is_some(), "at {}", world.now());
            world.advance(50);
        }
    }
}
