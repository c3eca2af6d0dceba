//! Who calls about API keys: with which limits, as which kind of person, and what a place that guesses is answered.

use cnx::app::{App, Role};
use cnx::base::entropy::Entropy;
use cnx::flow::check::{Asked, Verdict, check};
use cnx::flow::keys::NewKey;
use serde_json::{Value, json};

use crate::api_keys::{call, minted, minted_by, problem, token_with, verify};
use crate::world::{Reply, by, on_both};

on_both! {
    async fn what_a_key_does_at_v1_is_limited_and_told_s_k6(world: World) {
        let scopes = |words: &'static str| move |new: &mut NewKey| {
            new.scopes = cnx::api_key::permission::Permissions::parse(std::iter::once(words)).unwrap();
            new.limits.read = Some(3);
            new.limits.write = Some(3);
        };
        let (_, key) = minted(&world, scopes("keys:read keys:verify")).await;
        for left in (0..3).rev() {
            let reply = call(&world, "GET", "/v1/keys", &key, None).await;
            assert_eq!((reply.status, reply.header("x-ratelimit-remaining")), (200, Some(left.to_string().as_str())));
        }
        let over = call(&world, "GET", "/v1/keys", &key, None).await;
        problem(&over, 429, "rate_limited");
        assert_eq!((over.header("retry-after"), over.header("ratelimit-policy")), (Some("61"), Some(r#""read";q=3;w=60"#)));
        // What an API asks about others is not counted as its own.
        for _ in 0..10 {
            assert_eq!(call(&world, "POST", "/v1/keys/verify", &key, Some(json!({"key": key}))).await.status, 200);
        }
    }

    async fn a_person_needs_to_administrate_for_v1_whatever_an_app_has_s_k4(world: World) {
        let client = world.add_client(json!({"scope": "openid keys:read", "token_endpoint_auth_method": "client_secret_basic"})).await;
        world.add_user("ada").await;
        let browser = world.browser();
        let tokens = browser.tokens(&world, &client, &[("scope", "openid keys:read")], "ada").await;
        problem(&call(&world, "GET", "/v1/keys", &tokens.access, None).await, 403, "insufficient_scope");
        let administrator = cnx::flow::people::NewPerson {
            email: None, username: Some("root".to_owned()), name: None, email_verified: false, role: cnx::account::role::Role::Owner,
            claims: serde_json::Map::new(), password: Some(cnx::base::secret::Secret::new(crate::world::PASSWORD.to_owned())),
        };
        cnx::flow::people::add(world.app(), by(), administrator).await.unwrap();
        let browser = world.browser();
        let tokens = browser.tokens(&world, &client, &[("scope", "openid keys:read")], "root").await;
        assert_eq!(call(&world, "GET", "/v1/keys", &tokens.access, None).await.status, 200);
    }

    async fn guesses_from_one_place_cost_no_look_up_after_a_while_s_k6(world: World) {
        let (_, key) = minted(&world, |_| {}).await;
        let made_up = || {
            let entropy = Entropy::system();
            let environment = "prod".parse().unwrap();
            cnx::api_key::format::mint(&environment, cnx::api_key::format::new_id(&entropy), &entropy).reveal().clone()
        };
        let ask = async |key: &str| {
            let reply = world.http.get(world.url("/gateway/caddy")).bearer_auth(key).send().await.unwrap();
            reply.status().as_u16()
        };
        for _ in 0..201 {
            assert_eq!(ask(&made_up()).await, 401);
        }
        assert_eq!(ask(&key).await, 200, "who holds a good key is not locked out");
        // A key that this node has not heard of yet is looked up for others, and not for who guesses.
        let tool = App::open(world.settings.clone(), world.clock.clone(), Entropy::system(), Role::Tool).await.unwrap();
        let mut told_apart = false;
        for _ in 0..10 {
            let (_, fresh) = minted_by(&tool, |_| {}).await;
            let from = async |address: &str| {
                let asked = Asked { credential: &fresh, address: Some(address.parse().unwrap()), ..Asked::default() };
                matches!(check(world.app(), &asked, world.clock.now()).await.unwrap(), Verdict::Allowed(_))
            };
            // Unless it was heard of in between, which happens once a second.
            told_apart |= !from("127.0.0.1").await && from("203.0.113.7").await;
        }
        assert!(told_apart);
        tool.store.close();
    }

    async fn a_body_without_a_type_is_not_passed_over(world: World) {
        let token = token_with(&world, "keys:write *").await;
        let (id, _) = minted(&world, |_| {}).await;
        let rotate = async |kind: Option<&str>, body: &'static str| {
            let mut request = world.http.post(world.url(&format!("/v1/keys/{id}/rotate"))).bearer_auth(&token).body(body);
            if let Some(kind) = kind {
                request = request.header("content-type", kind);
            }
            Reply::of(request.send().await.unwrap()).await
        };
        problem(&rotate(None, r#"{"overlap_seconds": 0}"#).await, 415, "unsupported_media_type");
        problem(&rotate(Some("text/plain"), r#"{"overlap_seconds": 0}"#).await, 415, "unsupported_media_type");
        assert_eq!(rotate(Some("application/json"), "").await.status, 200);
        assert_eq!(rotate(None, "").await.status, 409, "it was rotated with the usual overlap");
    }

    async fn verify_tells_a_token_from_a_key_and_an_environment_from_another_s_k4(world: World) {
        let token = token_with(&world, "keys:verify instances:read").await;
        let told = verify(&world, &token, json!({"key": token})).await;
        assert_eq!((&told["valid"], &told["key_id"], &told["scopes"]), (&json!(true), &Value::Null, &json!(["instances:read", "keys:verify"])));
        assert!(told["owner"].is_string() && told["expires_at"].is_string(), "{told}");
        let (_, key) = minted(&world, |_| {}).await;
        for (environment, code) in [("prod", "VALID"), ("test", "NOT_FOUND")] {
            assert_eq!(verify(&world, &token, json!({"key": key, "environment": environment})).await["code"], code);
        }
    }
}
