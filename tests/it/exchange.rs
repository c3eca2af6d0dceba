//! Token exchange between our own tokens (RFC 8693): narrowing, delegation, and that no token ever grows.

use cnx::base::algorithm::Algorithm;
use cnx::flow::service_accounts;
use serde_json::{Value, json};

use crate::token_requests::{granted, members, refused};
use crate::world::{Reply, TOKEN_EXCHANGE, TestClient, World, by, claims, on_both};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const FRONT: &str = "https://front.example";
const BACK: &str = "https://back.example";

/// An API that takes tokens for [`FRONT`] and calls [`BACK`] with what it gets for them.
async fn front(world: &World) -> TestClient {
    world
        .add_client(json!({"client_id": "front", "grant_types": [TOKEN_EXCHANGE, "client_credentials"], "response_types": [],
            "redirect_uris": [], "scope": "read write", "audience": [FRONT], "exchange_audience": [BACK]}))
        .await
}

/// An app of people, whose tokens are for [`FRONT`].
async fn app(world: &World) -> TestClient {
    world.add_client(json!({"client_id": "app", "audience": [FRONT]})).await
}

async fn exchange(world: &World, client: &TestClient, token: &str, extra: &[(&str, &str)]) -> Reply {
    let mut form =
        vec![("grant_type", TOKEN_EXCHANGE), ("subject_token", token), ("subject_token_type", ACCESS_TOKEN)];
    form.extend_from_slice(extra);
    world.token(client, &form).await
}

async fn persons_token(world: &World, app: &TestClient) -> (String, Value) {
    let user = world.add_user("ada").await;
    let scope = [("scope", "openid profile read write offline_access")];
    let token = world.browser().tokens(world, app, &scope, "ada").await.access;
    (token, json!(user.id.to_string()))
}

on_both! {
    async fn an_api_calls_another_for_the_person_and_says_so(world: World) {
        let (app, front) = (app(&world).await, front(&world).await);
        let back = world.add_client(json!({"client_id": "back", "audience": [BACK]})).await;
        let (token, ada) = persons_token(&world, &app).await;
        let reply = exchange(&world, &front, &token, &[("scope", "read")]).await;
        assert_eq!(members(&reply), ["access_token", "expires_in", "issued_token_type", "scope", "token_type"]);
        assert_eq!(reply.json()["issued_token_type"], ACCESS_TOKEN);
        let second = granted(&reply).access;
        let said = claims(&second);
        assert_eq!((&said["sub"], &said["aud"], &said["client_id"], &said["scope"]), (&ada, &json!(BACK), &json!("front"), &json!("read")));
        assert_eq!(said["act"], json!({"sub": "front"}), "RFC 8693 section 4.1");
        assert_eq!(said["auth_time"], claims(&token)["auth_time"]);
        assert!(said["exp"].as_i64() <= claims(&token)["exp"].as_i64());
        let told = world.introspect(&back, &second).await;
        assert_eq!((&told["active"], &told["act"], &told["sub"]), (&json!(true), &json!({"sub": "front"}), &ada));
        // The end of what the person gave is the end of both.
        assert_eq!(world.post("/oauth2/revoke", Some(&app), &[("token", &token)]).await.status, 200);
        assert_eq!(world.introspect(&back, &second).await, json!({"active": false}));
        refused(&exchange(&world, &front, &token, &[]).await, 400, "invalid_grant");
    }

    async fn a_token_never_grows(world: World) {
        let (app, front) = (app(&world).await, front(&world).await);
        let (token, _) = persons_token(&world, &app).await;
        let whole = granted(&exchange(&world, &front, &token, &[]).await);
        assert_eq!(whole.scope, "read write", "nothing that the client may not have: no openid, no profile");
        refused(&exchange(&world, &front, &token, &[("scope", "read admin")]).await, 400, "invalid_scope");
        refused(&exchange(&world, &front, &token, &[("scope", "openid")]).await, 400, "invalid_scope");
        refused(&exchange(&world, &front, &token, &[("resource", FRONT)]).await, 400, "invalid_target");
        refused(&exchange(&world, &front, &token, &[("audience", "https://elsewhere.example")]).await, 400, "invalid_target");
        granted(&exchange(&world, &front, &token, &[("audience", BACK)]).await);
        world.advance(500);
        let late = exchange(&world, &front, &token, &[]).await;
        assert_eq!(late.json()["expires_in"], 100, "it lives no longer than what it came from");
        world.advance(100);
        refused(&exchange(&world, &front, &token, &[]).await, 400, "invalid_grant");
    }

    async fn only_whom_a_token_was_given_to_or_is_for_may_trade_it(world: World) {
        let (app, front) = (app(&world).await, front(&world).await);
        let (token, _) = persons_token(&world, &app).await;
        let stranger = world.add_client(json!({"client_id": "stranger", "grant_types": [TOKEN_EXCHANGE], "response_types": [],
            "redirect_uris": [], "scope": "read write", "audience": ["https://stranger.example"]})).await;
        refused(&exchange(&world, &stranger, &token, &[]).await, 400, "invalid_grant");
        refused(&exchange(&world, &app, &token, &[]).await, 400, "unauthorized_client");
        for bad in ["", "x", "cnx_at_x", &token[..token.len() - 1]] {
            let reply = exchange(&world, &front, bad, &[]).await;
            let code = if bad.is_empty() { "invalid_request" } else { "invalid_grant" };
            refused(&reply, 400, code);
        }
        let nobody = world.post("/oauth2/token", None, &[("grant_type", TOKEN_EXCHANGE), ("subject_token", &token), ("subject_token_type", ACCESS_TOKEN)]).await;
        refused(&nobody, 401, "invalid_client");
        let types = exchange(&world, &front, &token, &[("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token")]).await;
        refused(&types, 400, "invalid_request");
        // A public client proves nothing, whoever registered it for this.
        let public = world.public_client().await;
        world.change_client(&public.id, |m| m.grant_types.push(cnx::oauth::client::GrantType::TokenExchange)).await;
        refused(&exchange(&world, &public, &token, &[]).await, 400, "unauthorized_client");
    }

    async fn a_client_makes_its_own_token_smaller_and_acts_for_nobody(world: World) {
        let front = front(&world).await;
        let own = granted(&world.token(&front, &[("grant_type", "client_credentials")]).await).access;
        let said = claims(&granted(&exchange(&world, &front, &own, &[("scope", "read")]).await).access);
        assert_eq!((&said["sub"], &said["scope"]), (&json!("front"), &json!("read")));
        assert!(said.get("act").is_none());
    }

    async fn an_actor_is_named_and_a_chain_ends(world: World) {
        let (app, front) = (app(&world).await, front(&world).await);
        let machine = world.machine("robot", Algorithm::Es256, json!({"audience": [FRONT]})).await;
        let (person, ada) = persons_token(&world, &app).await;
        let robot = granted(&world.machine_token(&machine, &[]).await).access;
        let actor = [("actor_token", robot.as_str()), ("actor_token_type", ACCESS_TOKEN)];
        let reply = exchange(&world, &front, &person, &actor).await;
        let said = claims(&granted(&reply).access);
        assert_eq!((&said["sub"], &said["act"]), (&ada, &json!({"sub": machine.id})));
        let first = granted(&exchange(&world, &front, &person, &[]).await).access;
        let mut token = first;
        for _ in 0..3 {
            token = granted(&exchange(&world, &front, &token, &actor).await).access;
        }
        assert_eq!(claims(&token)["act"]["act"]["act"]["act"]["sub"], "front");
        refused(&exchange(&world, &front, &token, &actor).await, 400, "invalid_request");
        refused(&exchange(&world, &front, &person, &[("actor_token", "x"), ("actor_token_type", ACCESS_TOKEN)]).await, 400, "invalid_grant");
        refused(&exchange(&world, &front, &person, &[("actor_token", &robot)]).await, 400, "invalid_request");
    }

    async fn a_machines_token_ends_with_its_key_after_an_exchange_too(world: World) {
        let front = front(&world).await;
        let back = world.add_client(json!({"client_id": "back", "audience": [BACK]})).await;
        let machine = world.machine("robot", Algorithm::Es256, json!({"audience": [FRONT], "scope": "read"})).await;
        let token = granted(&world.machine_token(&machine, &[]).await).access;
        let second = granted(&exchange(&world, &front, &token, &[]).await).access;
        assert_eq!(world.introspect(&back, &second).await["active"], true);
        let account = service_accounts::find(world.app(), "robot").await.unwrap();
        service_accounts::revoke_key(world.app(), by(), &account, &machine.signer.kid).await.unwrap();
        assert_eq!(world.introspect(&back, &second).await, json!({"active": false}));
    }

    async fn a_grant_that_was_asked_for_a_resource_is_for_that_one_c23(world: World) {
        let (one, two) = ("http://127.0.0.1:14605/mcp", "https://two.example");
        let client = world.add_client(json!({"audience": [one, two]})).await;
        world.add_user("ada").await;
        let tokens = world.browser().tokens(&world, &client, &[("resource", one)], "ada").await;
        assert_eq!(claims(&tokens.access)["aud"], one);
        let again = |extra: &[(&'static str, &'static str)]| {
            let mut form = vec![("grant_type", "refresh_token".to_owned()), ("refresh_token", tokens.refresh().to_owned())];
            form.extend(extra.iter().map(|(n, v)| (*n, (*v).to_owned())));
            form
        };
        let post = async |form: Vec<(&str, String)>| {
            let form: Vec<(&str, &str)> = form.iter().map(|(n, v)| (*n, v.as_str())).collect();
            world.token(&client, &form).await
        };
        // What was not asked for is not to be had later, and nothing is spent by asking.
        refused(&post(again(&[("resource", "https://two.example")])).await, 400, "invalid_target");
        assert_eq!(claims(&granted(&post(again(&[("resource", "http://127.0.0.1:14605/mcp")])).await).access)["aud"], one);
        let whole = world.browser().tokens(&world, &client, &[], "ada").await;
        assert_eq!(claims(&whole.access)["aud"], json!([one, two]));
        let narrowed = [("grant_type", "refresh_token"), ("refresh_token", whole.refresh()), ("resource", two)];
        assert_eq!(claims(&granted(&world.token(&client, &narrowed).await).access)["aud"], two);
    }
}
