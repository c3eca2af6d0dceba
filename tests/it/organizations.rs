//! What an organization pays for, over HTTP: in force at once, on every node, for every key that it has.

use cnx::api_key::plan::Tier;
use cnx::flow::organizations::set_tier;
use serde_json::json;

use crate::api_keys::{call, minted, token_with};
use crate::nodes::{second_node, tool, within_a_second};
use crate::process::Place;
use crate::world::{Reply, World, by, on_both};

async fn ask(world: &World, base: &str, method: &str, key: &str) -> Reply {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let request = world.http.request(method, format!("{base}/gateway/envoy/v1/instances"));
    Reply::of(request.bearer_auth(key).send().await.unwrap()).await
}

async fn policy(world: &World, base: &str, key: &str) -> String {
    ask(world, base, "GET", key).await.header("ratelimit-policy").unwrap_or_default().to_owned()
}

on_both! {
    async fn an_enterprise_has_its_burst_on_every_node_within_a_second_s_k6_p3(world: World) {
        let (_second, other) = second_node(&world).await;
        let command_line = tool(&world).await;
        let (_, key) = minted(&world, |_| {}).await;
        let (_, low) = minted(&world, |new| new.limits.read = Some(10)).await;
        let both = [world.base.clone(), other];
        let in_force = async |expected: &str| {
            for base in &both {
                within_a_second(expected, async || policy(&world, base, &key).await == expected).await;
            }
        };
        let standard = r#""read";q=1200;w=60"#;
        in_force(standard).await;
        // A number of its own, the setting's number, and none.
        set_tier(&command_line, by(), "default", Tier::Enterprise, Some(5)).await.unwrap();
        in_force(r#""read";q=1200;w=60;cnx-burst=5"#).await;
        for n in 1..=35 {
            let reply = ask(&world, &world.base, "DELETE", &key).await;
            assert_eq!(reply.status, 200, "{n}");
            assert_eq!(reply.header("ratelimit"), Some(format!("\"delete\";r={};t=61", 35 - n).as_str()));
        }
        let over = ask(&world, &world.base, "DELETE", &key).await;
        assert_eq!((over.status, over.header("ratelimit-policy")), (429, Some(r#""delete";q=30;w=60;cnx-burst=5"#)));
        assert_eq!(policy(&world, &world.base, &low).await, r#""read";q=10;w=60"#, "its own is lower");
        set_tier(&command_line, by(), "default", Tier::Enterprise, None).await.unwrap();
        in_force(r#""read";q=1200;w=60;cnx-burst=300"#).await;
        assert_eq!(ask(&world, &world.base, "DELETE", &key).await.status, 200, "at once, for what was counted already");
        set_tier(&command_line, by(), "default", Tier::Enterprise, Some(0)).await.unwrap();
        in_force(standard).await;
        set_tier(&command_line, by(), "default", Tier::Standard, None).await.unwrap();
        in_force(standard).await;
        assert_eq!(ask(&world, &world.base, "DELETE", &key).await.status, 429);
    }

    async fn a_limit_of_a_key_is_lower_than_its_organizations_s_k6(world: World) {
        let token = token_with(&world, "keys:write instances:*").await;
        let mint = async |limits: serde_json::Value| {
            let body = json!({"name": "x", "environment": "prod", "scopes": ["instances:read"], "limits": limits});
            call(&world, "POST", "/v1/keys", &token, Some(body)).await
        };
        for (limits, detail) in [
            (json!({"read": 1_200}), "limits: read: a number below 1200 is allowed, which is what the organization's tier (standard) gives"),
            (json!({"read": 1_300}), "limits: read: a number below 1200 is allowed, which is what the organization's tier (standard) gives"),
            (json!({"streams": 50}), "limits: streams: a number below 50 is allowed, which is what the organization's tier (standard) gives"),
        ] {
            let reply = mint(limits).await;
            assert_eq!((reply.status, &reply.json()["field"]), (400, &json!("limits")), "{}", reply.text);
            assert_eq!(reply.json()["detail"], detail);
        }
        assert_eq!(mint(json!({"read": 1_199})).await.status, 201);
        set_tier(world.app(), by(), "default", Tier::Enterprise, Some(200)).await.unwrap();
        assert_eq!(mint(json!({"read": 1_300})).await.status, 201, "lower than with the burst");
        let reply = mint(json!({"read": 1_400})).await;
        assert!(reply.status == 400 && reply.text.contains("below 1400") && reply.text.contains("(enterprise)"), "{}", reply.text);
    }
}

#[test]
fn the_command_line_sets_the_policy_of_the_second_factor() {
    let place = Place::new();
    place.json(&["migrate"]);
    for word in ["required", "off", "optional"] {
        assert_eq!(
            place.json(&["organization", "set-second-factor", word]),
            json!({ "second_factor": word })
        );
    }
    let ended = place.run(&["organization", "set-second-factor", "sometimes"]);
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(ended.err.contains("off") && ended.err.contains("required"), "{}", ended.err);
    let log = place.run(&["audit", "export"]).out;
    assert_eq!(log.matches("\"second_factor\"").count(), 3, "{log}");
}

#[test]
fn the_command_line_lists_organizations_and_sets_their_tier() {
    let mut place = Place::new();
    place.json(&["migrate"]);
    assert_eq!(place.json(&["organization", "list"]), json!({"organizations": []}));
    // The first one is made when it is named.
    let made = place.json(&["organization", "set-tier", "default", "--tier", "enterprise"]);
    let id = made["organization_id"].as_str().unwrap().to_owned();
    let with = |tier: &str, burst: serde_json::Value, in_force: u32| {
        json!({"organization_id": id, "name": "default", "tier": tier, "burst": burst, "burst_in_force": in_force,
            "created_at": made["created_at"]})
    };
    assert_eq!(made, with("enterprise", json!(null), 300));
    place.set("CNX_API_KEYS__ENTERPRISE_BURST", "40");
    assert_eq!(
        place.json(&["organization", "list"])["organizations"],
        json!([with("enterprise", json!(null), 40)])
    );
    let set = place.json(&["organization", "set-tier", &id, "--tier", "enterprise", "--burst", "7"]);
    assert_eq!(set, with("enterprise", json!(7), 7));
    assert_eq!(
        place.json(&["organization", "set-tier", &id, "--tier", "standard"]),
        with("standard", json!(null), 0)
    );
    let shown = place.run(&["organization", "list"]).out;
    assert!(shown.contains("standard") && shown.contains(&id), "{shown}");
    for (arguments, line) in [
        (
            &["nobody", "--tier", "standard"][..],
            "cnx: no organization has the id or name nobody; `cnx organization list` shows them",
        ),
        (
            &["default", "--tier", "standard", "--burst", "1"],
            "cnx: burst: the standard tier has none; enterprise has",
        ),
        (
            &["default", "--tier", "enterprise", "--burst", "1000001"],
            "cnx: burst: a whole number from 0 to 1000000 is allowed",
        ),
    ] {
        let ended = place.run(&[&["organization", "set-tier"], arguments].concat());
        assert_eq!((ended.code, ended.err.trim_end()), (Some(1), line));
    }
    assert_eq!(place.run(&["organization", "set-tier", "default", "--tier", "gold"]).code, Some(2));
}
