//! API keys over HTTP: minted, shown once, listed masked, verified, rotated, revoked; by tokens that may and by nobody else.

use cnx::app::App;
use cnx::flow::audit::By;
use cnx::flow::keys::{self, NewKey};
use cnx::store::{api_keys, key_uses};
use serde_json::{Value, json};

use crate::token_requests::granted;
use crate::world::{On, Reply, World, by, on_both};

/// An access token of a machine with these scopes.
pub async fn token_with(world: &World, scope: &str) -> String {
    let client = world
        .add_client(json!({"grant_types": ["client_credentials"], "response_types": [], "redirect_uris": [], "scope": scope}))
        .await;
    granted(&world.token(&client, &[("grant_type", "client_credentials")]).await).access
}

/// A request to `/v1` with a bearer credential.
pub async fn call(world: &World, method: &str, path: &str, credential: &str, body: Option<Value>) -> Reply {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = world.http.request(method, world.url(path)).bearer_auth(credential);
    if let Some(body) = body {
        request = request.json(&body);
    }
    Reply::of(request.send().await.unwrap()).await
}

/// A key minted behind the server's back, as the command line does.
pub async fn minted(world: &World, change: impl FnOnce(&mut NewKey)) -> (String, String) {
    minted_by(world.app(), change).await
}

pub async fn minted_by(app: &App, change: impl FnOnce(&mut NewKey)) -> (String, String) {
    minted_as(app, by(), change).await
}

/// The same by somebody.
pub async fn minted_as(app: &App, by: &By, change: impl FnOnce(&mut NewKey)) -> (String, String) {
    let mut new = NewKey {
        name: "test".to_owned(),
        environment: "prod".parse().unwrap(),
        scopes: cnx::api_key::permission::Permissions::parse(
            ["instances:read", "instances:write"].into_iter(),
        )
        .unwrap(),
        description: None,
        lifetime: None,
        not_before: None,
        allow: Vec::new(),
        deny: Vec::new(),
        limits: cnx::api_key::plan::Overrides::default(),
        leak_policy: None,
    };
    change(&mut new);
    let (key, secret) = keys::mint(app, by, new).await.unwrap();
    (key.id.to_string(), secret.reveal().clone())
}

pub async fn verify(world: &World, token: &str, body: Value) -> Value {
    let reply = call(world, "POST", "/v1/keys/verify", token, Some(body)).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()
}

#[track_caller]
pub fn problem(reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status, reply.json()["code"].as_str()), (status, Some(code)), "{}", reply.text);
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    assert_eq!(reply.json()["request_id"].as_str(), reply.header("x-request-id"));
}

on_both! {
    async fn a_key_is_shown_once_and_listed_masked_s_k1(world: World) {
        let token = token_with(&world, "keys:write keys:read keys:verify instances:*").await;
        let body = json!({"name": "deploy", "environment": "prod", "scopes": ["instances:read"], "description": "for CI",
            "allow_ips": ["203.0.113.0/24"], "limits": {"read": 100}});
        let reply = call(&world, "POST", "/v1/keys", &token, Some(body)).await;
        assert_eq!((reply.status, reply.header("cache-control")), (201, Some("no-store")), "{}", reply.text);
        let made = reply.json();
        let key = made["key"].as_str().unwrap().to_owned();
        assert!(cnx::api_key::format::read(&key).is_some() && key.starts_with("cnx_prod_"));
        let id = made["key_id"].as_str().unwrap();
        assert_eq!(made["masked"], format!("cnx_prod_{id}••••{}", &key[key.len() - 4..]));
        for (path, credential) in [("/v1/keys".to_owned(), &token), (format!("/v1/keys/{id}"), &token)] {
            let seen = call(&world, "GET", &path, credential, None).await;
            assert_eq!(seen.status, 200, "{}", seen.text);
            assert!(seen.text.contains(id) && !seen.text.contains(&key[20..]), "masked: {}", seen.text);
        }
        assert!(!world.stores(&key[19..51]).await, "no row holds the secret");
        assert_eq!(verify(&world, &token, json!({"key": key, "ip": "203.0.113.7"})).await["valid"], true);
    }

    async fn every_answer_of_verify_has_its_word_s_k2_s_k4_s_k5(world: World) {
        let token = token_with(&world, "keys:verify").await;
        let at = world.clock.now();
        let (_, plain) = minted(&world, |_| {}).await;
        let (_, short) = minted(&world, |new| new.lifetime = Some(60)).await;
        let (_, later) = minted(&world, |new| new.not_before = Some(at.plus(60))).await;
        let (off, disabled) = minted(&world, |_| {}).await;
        let (gone, revoked) = minted(&world, |_| {}).await;
        let (_, bound) = minted(&world, |new| new.allow = vec![cnx::api_key::allowlist::network("203.0.113.0/24").unwrap()]).await;
        let (_, few) = minted(&world, |new| new.limits.delete = Some(2)).await;
        keys::set_disabled(world.app(), by(), &off, true).await.unwrap();
        keys::revoke(world.app(), by(), &gone, Some("leaked".to_owned())).await.unwrap();
        world.advance(30);
        let code = async |body: Value| verify(&world, &token, body).await["code"].as_str().unwrap().to_owned();
        assert_eq!(code(json!({"key": plain, "scopes": ["instances:read", "instances:write"]})).await, "VALID");
        assert_eq!(code(json!({"key": plain, "scopes": ["volumes:read"]})).await, "INSUFFICIENT_SCOPE");
        assert_eq!(code(json!({"key": short})).await, "VALID");
        assert_eq!(code(json!({"key": later})).await, "NOT_YET_VALID");
        assert_eq!(code(json!({"key": disabled})).await, "DISABLED");
        assert_eq!(code(json!({"key": revoked})).await, "REVOKED");
        assert_eq!(code(json!({"key": bound, "ip": "203.0.113.9"})).await, "VALID");
        assert_eq!(code(json!({"key": bound, "ip": "::ffff:203.0.113.9"})).await, "VALID");
        assert_eq!(code(json!({"key": bound, "ip": "203.0.114.9"})).await, "IP_NOT_ALLOWED");
        assert_eq!(code(json!({"key": bound})).await, "IP_NOT_ALLOWED");
        assert_eq!(code(json!({"key": few, "method": "DELETE"})).await, "VALID");
        assert_eq!(code(json!({"key": few, "method": "DELETE", "cost": 2})).await, "RATE_LIMITED");
        assert_eq!(code(json!({"key": few, "method": "DELETE"})).await, "VALID");
        assert_eq!(code(json!({"key": few, "method": "DELETE"})).await, "RATE_LIMITED");
        world.advance(31);
        assert_eq!(code(json!({"key": short})).await, "EXPIRED");
        assert_eq!(code(json!({"key": later})).await, "VALID");
        // What is no key, or another secret of a known id, is not found, whatever the key's state is.
        for key in ["", "x", "cnx_prod_", &plain[..plain.len() - 1], &format!("{plain}0"), &plain.to_uppercase(), &token[1..]] {
            assert_eq!(code(json!({"key": key})).await, "NOT_FOUND", "{key}");
        }
        let id = plain[9..19].parse().unwrap();
        let other = cnx::api_key::format::mint(&"prod".parse().unwrap(), id, &world.app().entropy);
        assert_eq!(code(json!({"key": other.reveal()})).await, "NOT_FOUND");
        let whole = verify(&world, &token, json!({"key": plain, "method": "GET"})).await;
        assert_eq!(whole["ratelimit"], json!({"class": "read", "limit": 1200, "remaining": 1199, "reset_seconds": 61}));
        assert_eq!(whole["scopes"], json!(["instances:read", "instances:write"]));
    }

    async fn a_rotated_secret_works_for_its_overlap_and_its_last_use_is_shown_s_k9(world: World) {
        let token = token_with(&world, "keys:verify keys:write keys:read instances:*").await;
        let (id, first) = minted(&world, |_| {}).await;
        let rotated = call(&world, "POST", &format!("/v1/keys/{id}/rotate"), &token, Some(json!({"overlap_seconds": 600}))).await;
        assert_eq!(rotated.status, 200, "{}", rotated.text);
        let second = rotated.json()["key"].as_str().unwrap().to_owned();
        assert_eq!((rotated.json()["key_id"].as_str(), &second[9..19]), (Some(id.as_str()), id.as_str()), "the same record");
        for key in [&first, &second] {
            assert_eq!(verify(&world, &token, json!({"key": key})).await["code"], "VALID");
        }
        cnx::jobs::flush_usage::flush(world.app()).await;
        let shown = call(&world, "GET", &format!("/v1/keys/{id}"), &token, None).await.json();
        let at = world.clock.now().to_rfc3339();
        assert_eq!(shown["previous_secret"]["last_used_at"], json!(at));
        assert_eq!(shown["last_used_at"], json!(at));
        problem(&call(&world, "POST", &format!("/v1/keys/{id}/rotate"), &token, None).await, 409, "conflict");
        let stays = call(&world, "GET", &format!("/v1/keys/{id}"), &token, None).await.json();
        assert!(stays["previous_secret"].is_object(), "a promise is kept");
        world.advance(600);
        let token = token_with(&world, "keys:verify keys:write instances:*").await;
        assert_eq!(verify(&world, &token, json!({"key": first})).await["code"], "EXPIRED");
        assert_eq!(verify(&world, &token, json!({"key": second})).await["code"], "VALID");
        let now = call(&world, "POST", &format!("/v1/keys/{id}/rotate"), &token, Some(json!({"overlap_seconds": 0}))).await;
        assert_eq!(now.status, 200, "{}", now.text);
        assert_eq!(verify(&world, &token, json!({"key": second})).await["code"], "NOT_FOUND");
    }

    async fn a_key_makes_no_keys_and_nobody_gives_away_more_than_they_have_s_k4(world: World) {
        let (_, mighty) = minted(&world, |new| new.scopes = cnx::api_key::permission::Permissions::parse(std::iter::once("*")).unwrap()).await;
        let body = json!({"name": "x", "environment": "prod", "scopes": ["instances:read"]});
        problem(&call(&world, "POST", "/v1/keys", &mighty, Some(body.clone())).await, 403, "key_not_allowed");
        assert_eq!(call(&world, "GET", "/v1/keys", &mighty, None).await.status, 200, "it may look");
        let token = token_with(&world, "keys:write instances:read").await;
        assert_eq!(call(&world, "POST", "/v1/keys", &token, Some(body)).await.status, 201);
        for scopes in [json!(["instances:write"]), json!(["instances:*"]), json!(["*"]), json!(["instances:read", "volumes:read"])] {
            let wider = json!({"name": "x", "environment": "prod", "scopes": scopes});
            problem(&call(&world, "POST", "/v1/keys", &token, Some(wider)).await, 400, "invalid_request");
        }
        // A new secret of a wider key would be that key.
        let (wide, _) = minted(&world, |_| {}).await;
        problem(&call(&world, "POST", &format!("/v1/keys/{wide}/rotate"), &token, None).await, 403, "scopes_exceed_callers");
        let wider = token_with(&world, "keys:write instances:*").await;
        assert_eq!(call(&world, "POST", &format!("/v1/keys/{wide}/rotate"), &wider, None).await.status, 200);
        let reader = token_with(&world, "keys:read").await;
        let refused = call(&world, "POST", "/v1/keys", &reader, Some(json!({}))).await;
        problem(&refused, 403, "insufficient_scope");
        assert_eq!(refused.header("www-authenticate"), Some(r#"Bearer realm="cnx", error="insufficient_scope", scope="keys:write""#));
        problem(&call(&world, "GET", "/v1/keys", "nonsense", None).await, 401, "invalid_token");
    }

    async fn what_is_wrong_is_named_and_nothing_is_made(world: World) {
        let token = token_with(&world, "keys:write keys:read keys:verify *").await;
        let good = json!({"name": "x", "environment": "prod", "scopes": ["a:b"]});
        for (field, value) in [
            ("name", json!("")),
            ("name", json!("a\u{1}")),
            ("environment", json!("rt")),
            ("environment", json!("Prod")),
            ("scopes", json!([])),
            ("scopes", json!(["nonsense"])),
            ("allow_ips", json!(["10.0.0.0/33"])),
            ("deny_ips", json!(["host.example"])),
            ("expires_at", json!("tomorrow")),
            ("not_before", json!("2026")),
            ("expires_at", json!("2020-01-01T00:00:00Z")),
            ("deny_ips", json!(vec!["10.0.0.1"; 101])),
            ("limits", json!({"read": 100_000})),
            ("limits", json!({"streams": 100_000})),
        ] {
            let mut body = good.clone();
            body[field] = value.clone();
            let reply = call(&world, "POST", "/v1/keys", &token, Some(body)).await;
            problem(&reply, 400, "invalid_request");
            assert_eq!(reply.json()["field"], field, "{value}: {}", reply.text);
        }
        let mut never = good.clone();
        never["not_before"] = json!("2030-01-02T00:00:00Z");
        never["expires_at"] = json!("2030-01-01T00:00:00Z");
        assert_eq!(call(&world, "POST", "/v1/keys", &token, Some(never)).await.json()["field"], "not_before");
        for body in [json!({}), json!([]), json!({"name": "x", "environment": "prod", "scopes": ["a:b"], "colour": 1}), json!({"name": 7})] {
            problem(&call(&world, "POST", "/v1/keys", &token, Some(body)).await, 400, "invalid_request");
        }
        problem(&call(&world, "GET", "/v1/keys/nothing", &token, None).await, 404, "not_found");
        problem(&call(&world, "DELETE", "/v1/keys/aaaaaaaaaa", &token, None).await, 404, "not_found");
        problem(&call(&world, "GET", "/v1/keys?limit=0", &token, None).await, 400, "invalid_request");
        problem(&call(&world, "GET", "/v1/keys?after=x", &token, None).await, 400, "invalid_request");
        for (field, body) in [
            ("ip", json!({"key": "x", "ip": "host"})),
            ("cost", json!({"key": "x", "cost": 5})),
            ("scopes", json!({"key": "x", "scopes": ["a:b\n"]})),
        ] {
            let reply = call(&world, "POST", "/v1/keys/verify", &token, Some(body)).await;
            problem(&reply, 400, "invalid_request");
            assert_eq!(reply.json()["field"], field);
        }
        assert_eq!(call(&world, "GET", "/v1/keys", &token, None).await.json(), json!({"keys": [], "next": null}));
        for _ in 0..3 {
            minted(&world, |_| {}).await;
        }
        let first = call(&world, "GET", "/v1/keys?limit=2", &token, None).await.json();
        let next = first["next"].as_str().unwrap();
        let second = call(&world, "GET", &format!("/v1/keys?limit=2&after={next}"), &token, None).await.json();
        let ids = |page: &Value| page["keys"].as_array().unwrap().iter().map(|key| key["key_id"].to_string()).collect::<Vec<_>>();
        let mut seen = [ids(&first), ids(&second)].concat();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 3, "made in the same second, each is listed once");
        assert_eq!(first["keys"][0]["masked"].as_str().map(|text| text.contains("••••")), Some(true));
        assert_eq!((first["keys"].as_array().unwrap().len(), second["keys"].as_array().unwrap().len(), &second["next"]), (2, 1, &Value::Null));
    }

    async fn what_a_key_is_called_and_from_where_it_works_can_be_changed_and_nothing_else(world: World) {
        let token = token_with(&world, "keys:write keys:verify").await;
        let (id, key) = minted(&world, |new| new.description = Some("old".to_owned())).await;
        let path = format!("/v1/keys/{id}");
        let body = json!({"name": "new name", "allow_ips": ["203.0.113.0/24"], "description": ""});
        let changed = call(&world, "PATCH", &path, &token, Some(body)).await;
        assert_eq!(changed.status, 200, "{}", changed.text);
        let shown = changed.json();
        assert_eq!((&shown["name"], &shown["description"], &shown["allow_ips"]), (&json!("new name"), &Value::Null, &json!(["203.0.113.0/24"])));
        assert_eq!(verify(&world, &token, json!({"key": key, "ip": "192.0.2.1"})).await["code"], "IP_NOT_ALLOWED", "at once");
        let again = call(&world, "PATCH", &path, &token, Some(json!({"deny_ips": ["203.0.113.9"]}))).await.json();
        assert_eq!((&again["name"], &again["allow_ips"]), (&json!("new name"), &json!(["203.0.113.0/24"])), "what is absent stays");
        for (body, field) in [(json!({"name": " x"}), "name"), (json!({"allow_ips": ["nowhere"]}), "allow_ips")] {
            let refused = call(&world, "PATCH", &path, &token, Some(body)).await;
            problem(&refused, 400, "invalid_request");
            assert_eq!(refused.json()["field"], field);
        }
        problem(&call(&world, "PATCH", &path, &token, Some(json!({"scopes": ["*"]}))).await, 400, "invalid_request");
        let (_, other) = minted(&world, |_| {}).await;
        problem(&call(&world, "PATCH", &path, &other, Some(json!({"name": "x"}))).await, 403, "insufficient_scope");
        problem(&call(&world, "PATCH", "/v1/keys/0000000000", &token, Some(json!({"name": "x"}))).await, 404, "not_found");
        keys::revoke(world.app(), by(), &id, None).await.unwrap();
        problem(&call(&world, "PATCH", &path, &token, Some(json!({"name": "x"}))).await, 409, "conflict");
    }

    async fn a_credential_comes_once_and_never_in_the_address_s_k3(world: World) {
        let (_, key) = minted(&world, |_| {}).await;
        let url = world.url("/gateway/caddy");
        let status = async |request: reqwest::RequestBuilder| Reply::of(request.send().await.unwrap()).await.status;
        assert_eq!(status(world.http.get(&url).bearer_auth(&key)).await, 200);
        assert_eq!(status(world.http.get(&url).header("x-api-key", &key)).await, 200);
        assert_eq!(status(world.http.get(&url).header("x-api-key", &key).bearer_auth(&key)).await, 400);
        assert_eq!(status(world.http.get(&url).header("x-api-key", &key).header("x-api-key", &key)).await, 400);
        assert_eq!(status(world.http.get(&url).bearer_auth(&key).header("authorization", "Bearer x")).await, 400);
        assert_eq!(status(world.http.get(&url).header("authorization", &key)).await, 401);
        assert_eq!(status(world.http.get(&url).header("authorization", [0xff_u8, 0xfe].as_slice())).await, 400);
        for name in ["key", "api_key", "access_token"] {
            assert_eq!(status(world.http.get(format!("{url}?{name}={key}"))).await, 401);
            assert_eq!(status(world.http.get(format!("{url}?{name}={key}")).bearer_auth(&key)).await, 401);
        }
        assert_eq!(status(world.http.get(format!("{url}?key=&key={key}")).bearer_auth(&key)).await, 401);
        assert_eq!(status(world.http.get(&url)).await, 401);
    }

    async fn a_revoked_key_is_refused_at_once_and_on_a_tools_word_within_a_second_s_k11_p3(world: World) {
        let token = token_with(&world, "keys:write").await;
        let (id, key) = minted(&world, |_| {}).await;
        let check = async || Reply::of(world.http.get(world.url("/gateway/caddy")).bearer_auth(&key).send().await.unwrap()).await.status;
        assert_eq!(check().await, 200);
        let reply = call(&world, "DELETE", &format!("/v1/keys/{id}"), &token, Some(json!({"reason": "leaked"}))).await;
        assert_eq!((reply.status, &reply.json()["revoked_reason"]), (200, &json!("leaked")), "{}", reply.text);
        assert_eq!(check().await, 401);
        let (id, key) = minted(&world, |_| {}).await;
        let check = async || Reply::of(world.http.get(world.url("/gateway/caddy")).bearer_auth(&key).send().await.unwrap()).await.status;
        assert_eq!(check().await, 200);
        // Behind the server's back, as the command line does it.
        let (wanted, now) = (id.parse().unwrap(), world.clock.now());
        world.app().store.write(move |conn| api_keys::revoke(conn, wanted, None, now)).await.unwrap();
        crate::nodes::within_a_second("a key that was revoked", async || check().await == 401).await;
    }

    async fn nothing_is_written_by_a_check_and_uses_are_written_down_forward_only_pitfall_10(world: World) {
        let (id, key) = minted(&world, |_| {}).await;
        let stored = async || {
            let wanted = id.parse().unwrap();
            world.app().store.read(move |conn| api_keys::find(conn, wanted)).await.unwrap().unwrap().last_use
        };
        for _ in 0..20 {
            let reply = world.http.get(world.url("/gateway/caddy")).bearer_auth(&key).send().await.unwrap();
            assert_eq!(reply.status(), 200);
        }
        assert_eq!(stored().await, None, "a request writes nothing");
        cnx::jobs::flush_usage::flush(world.app()).await;
        let first = stored().await.unwrap();
        assert_eq!((first.at, first.address), (world.clock.now(), Some("127.0.0.1".parse().unwrap())));
        let older = key_uses::Use {
            renewed: None,
            key: id.parse().unwrap(),
            secret: world.app().api_key(id.parse().unwrap()).unwrap().secrets[0].fingerprint,
            last: cnx::api_key::key::LastUse { at: world.clock.now().minus(60), address: None, resource: None },
        };
        world.app().store.write(move |conn| key_uses::note_uses(conn, std::slice::from_ref(&older))).await.unwrap();
        assert_eq!(stored().await.unwrap().at, first.at, "never backwards");
    }
}

/// Of the right shape and length, so that only the check can tell: one in 56 billion would pass by chance.
#[test]
fn ten_million_random_strings_are_no_keys_s_k1() {
    const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz09";
    let tries = |seed: u64| {
        let mut state = seed;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut text = *b"cnx_prod_000000000000000000000000000000000000000000000000";
        let mut accepted = 0;
        for _ in 0..5_000_000 {
            // Ten digits at a random place, and the ten at the end with the whole check.
            let (place, here, end) = (9 + usize::try_from(random() % 28).unwrap(), random(), random());
            for (n, digit) in (0..10_u64).map(|n| (usize::try_from(n).unwrap(), n * 6)) {
                text[place + n] = DIGITS[usize::try_from((here >> digit) & 63).unwrap()];
                text[47 + n] = DIGITS[usize::try_from((end >> digit) & 63).unwrap()];
            }
            accepted += u32::from(cnx::api_key::format::read(str::from_utf8(&text).unwrap()).is_some());
        }
        accepted
    };
    let other = std::thread::spawn(move || tries(0x9e37_79b9_7f4a_7c15));
    assert_eq!(tries(0x2545_f491_4f6c_dd1d) + other.join().unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_minted_on_one_node_is_known_on_the_other_at_once() {
    let Some(world) = World::new(On::Postgres).await else { return };
    let node = world.second_node().await;
    let (id, key) = minted(&world, |_| {}).await;
    let ask = async |key: &str| {
        let request = world.http.get(format!("{}/gateway/caddy", node.base)).bearer_auth(key);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask(&key).await, 200, "a miss is looked up");
    for _ in 0..5 {
        // The other node may not have heard yet.
        let (_, secret) = keys::rotate(world.app(), by(), &id, 0).await.unwrap();
        assert_eq!(ask(secret.reveal()).await, 200, "a new secret is looked up");
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    }
}
