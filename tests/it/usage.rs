//! How often keys and apps are used: counted where it is decided, kept over a restart, added by every node, shown to who may see it.

use cnx::account::role::Role;
use cnx::jobs::flush_usage::flush;
use cnx::store::usage::together;
use serde_json::json;

use crate::api_keys::{minted, token_with, verify};
use crate::console_keys::{mint, signed_in};
use crate::nodes::second_node;
use crate::world::{World, on_both};

/// What the database holds of a subject, in words.
async fn kept(world: &World, subject: &str) -> Vec<String> {
    let wanted = [subject.to_owned()];
    let from = world.clock.now().minus(86_400);
    let mut found: Vec<String> = world
        .app()
        .store
        .read(move |conn| together(conn, &wanted, from))
        .await
        .unwrap()
        .into_iter()
        .map(|count| format!("{} {} {}", count.class, count.outcome, count.requests))
        .collect();
    found.sort();
    found
}

on_both! {
    async fn requests_are_counted_by_class_and_outcome_and_kept_over_a_restart(world: World) {
        let mut world = world;
        let token = token_with(&world, "keys:verify").await;
        let (id, key) = minted(&world, |new| new.limits.delete = Some(1)).await;
        let ask = async |world: &World, body| verify(world, &token, body).await["code"].as_str().unwrap().to_owned();
        for _ in 0..3 {
            assert_eq!(ask(&world, json!({"key": key, "method": "GET"})).await, "VALID");
        }
        ask(&world, json!({"key": key, "method": "DELETE"})).await;
        assert_eq!(ask(&world, json!({"key": key, "method": "DELETE"})).await, "RATE_LIMITED");
        assert_eq!(ask(&world, json!({"key": key, "method": "POST", "scopes": ["volumes:write"]})).await, "INSUFFICIENT_SCOPE");
        ask(&world, json!({"key": key})).await;
        let other = cnx::api_key::format::mint(&"prod".parse().unwrap(), id.parse().unwrap(), &world.app().entropy);
        assert_eq!(ask(&world, json!({"key": other.reveal(), "method": "GET"})).await, "NOT_FOUND");
        assert!(kept(&world, &format!("key:{id}")).await.is_empty(), "a request writes nothing");
        let ada = signed_in(&world, "ada", Role::Owner).await;
        let page = ada.get(&format!("/console/usage?of=key:{id}")).await;
        assert!(page.status == 200 && page.text.contains("over the limit") && page.text.contains("6 requests in all"), "{}", page.text);
        world.restart().await;
        let counted = ["delete allowed 1", "delete rate_limited 1", "read allowed 3", "write insufficient_scope 1"];
        assert_eq!(kept(&world, &format!("key:{id}")).await, counted, "what was asked without a method, or without the secret, counts nothing");
        assert_eq!(kept(&world, "keys").await, counted);
        let page = ada.get(&format!("/console/usage?of=key:{id}&span=7d")).await;
        assert!(page.text.contains("6 requests in all"), "{}", page.text);
        let list = ada.get("/console/keys").await;
        assert!(list.text.contains("<span class=\"spark-sum\">6</span>"), "{}", list.text);
        world.advance(25 * 3600);
        let eve = signed_in(&world, "eve", Role::Admin).await;
        assert!(eve.get(&format!("/console/usage?of=key:{id}&span=24h")).await.text.contains("No requests in this time"));
        assert!(eve.get("/console/usage?span=30d").await.text.contains("6 requests in all"));
    }

    async fn two_nodes_count_into_one_row(world: World) {
        let (other, base) = second_node(&world).await;
        let token = token_with(&world, "keys:verify").await;
        let (id, key) = minted(&world, |_| {}).await;
        other.app().catch_up().await.unwrap();
        for at in [&world.base, &base, &base] {
            let request = world.http.post(format!("{at}/v1/keys/verify")).bearer_auth(&token);
            let answer = request.json(&json!({"key": key, "method": "GET"})).send().await.unwrap();
            assert_eq!(answer.json::<serde_json::Value>().await.unwrap()["code"], "VALID");
        }
        flush(world.app()).await;
        assert_eq!(kept(&world, &format!("key:{id}")).await, ["read allowed 1"]);
        flush(other.app()).await;
        flush(world.app()).await;
        assert_eq!(kept(&world, &format!("key:{id}")).await, ["read allowed 3"], "added, and nothing twice");
        assert_eq!(kept(&world, "keys").await, ["read allowed 3"]);
        other.stop().await;
    }

    async fn the_requests_of_apps_are_counted_too(world: World) {
        let client = world.web_client().await;
        world.add_user("carol").await;
        let browser = world.browser();
        let tokens = browser.tokens(&world, &client, &[], "carol").await;
        assert_eq!(world.user_info(&tokens.access).await.status, 200);
        world.introspect(&client, &tokens.access).await;
        let refused = world.token(&client, &[("grant_type", "authorization_code"), ("code", "cnx_ac_none"), ("redirect_uri", crate::world::CALLBACK)]).await;
        assert_eq!(refused.status, 400);
        world.post("/oauth2/revoke", Some(&client), &[("token", tokens.refresh())]).await;
        flush(world.app()).await;
        let subject = format!("client:{}", client.id);
        let counted = ["authorize allowed 1", "introspect allowed 1", "revoke allowed 1", "token allowed 1", "token refused 1", "userinfo allowed 1"];
        assert_eq!(kept(&world, &subject).await, counted);
        assert_eq!(kept(&world, "clients").await, counted);
        let ada = signed_in(&world, "ada", Role::Owner).await;
        let page = ada.get(&format!("/console/usage?of={subject}")).await;
        assert!(page.text.contains("Token requests") && page.text.contains("6 requests in all"), "{}", page.text);
        assert!(page.text.contains("Test app"), "it can be chosen by name: {}", page.text);
        for strange in ["nobody", "key:", "key:x", "user:1"] {
            assert_eq!(ada.get(&format!("/console/usage?of={strange}")).await.status, 404, "{strange}");
        }
    }

    async fn a_member_sees_the_usage_of_their_own_keys_alone(world: World) {
        let token = token_with(&world, "keys:verify").await;
        let (_, others) = minted(&world, |new| new.name = "of somebody else".to_owned()).await;
        let bob = signed_in(&world, "bob", Role::Member).await;
        let (_, own) = mint(&bob, "his", "instances:read").await;
        for key in [&others, &others, &own] {
            verify(&world, &token, json!({"key": key, "method": "GET"})).await;
        }
        let page = bob.get("/console/usage").await;
        assert!(page.text.contains("1 requests in all") && !page.text.contains("of somebody else"), "{}", page.text);
        assert!(!page.text.contains("Test app"), "apps are for administrators");
    }
}
