//! Keys that were found in public, and keys that are due to be replaced: what becomes of them, and who is told.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cnx::api_key::leak::LeakPolicy;
use cnx::app::{App, Role};
use cnx::base::digest::sha256_hex;
use cnx::base::entropy::Entropy;
use cnx::flow::keys;
use cnx::jobs::remind_of_rotation;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::api_keys::{call, minted, problem, token_with, verify};
use crate::outbound::{Publisher, world_that_may_fetch};
use crate::world::{On, Reply, World, by, on_both};

async fn report(world: &World, body: &Value) -> Reply {
    Reply::of(world.http.post(world.url("/v1/keys/report-leak")).json(body).send().await.unwrap()).await
}

async fn events(world: &World, query: &str) -> Vec<Value> {
    let token = token_with(world, "audit:read").await;
    let reply = call(world, "GET", &format!("/v1/audit?{query}"), &token, None).await;
    reply.json()["events"].as_array().unwrap().clone()
}

on_both! {
    async fn whoever_holds_a_key_may_end_it_and_learns_nothing_s_k1(world: World) {
        let token = token_with(&world, "keys:verify keys:read").await;
        let (id, key) = minted(&world, |_| {}).await;
        let (told_of, told) = minted(&world, |new| new.leak_policy = Some(LeakPolicy::Notify)).await;
        let (off, disabled) = minted(&world, |new| new.leak_policy = Some(LeakPolicy::Disable)).await;
        let made_up = cnx::api_key::format::mint(&"prod".parse().unwrap(), id.parse().unwrap(), &Entropy::system());
        for text in [key.as_str(), told.as_str(), disabled.as_str(), made_up.reveal().as_str(), "nothing", "cnx_prod_x"] {
            let reply = report(&world, &json!({"key": text, "url": "https://example.com/paste/1"})).await;
            assert_eq!((reply.status, reply.json()), (200, json!({"received": true})), "{}", reply.text);
        }
        let code = async |key: &str| verify(&world, &token, json!({"key": key})).await["code"].clone();
        assert_eq!((code(&key).await, code(&told).await, code(&disabled).await), (json!("REVOKED"), json!("VALID"), json!("DISABLED")));
        let shown = call(&world, "GET", &format!("/v1/keys/{id}"), &token, None).await.json();
        assert_eq!((&shown["revoked_reason"], &shown["last_used_at"]), (&json!("found in public"), &Value::Null));
        assert!(shown["leaked_at"].is_string());
        let shown = call(&world, "GET", &format!("/v1/keys/{told_of}"), &token, None).await.json();
        assert!(shown["leaked_at"].is_string() && shown["leak_policy"] == "notify" && shown["state"] == "active", "{shown}");
        keys::set_disabled(world.app(), by(), &off, false).await.unwrap();
        assert_eq!(code(&disabled).await, "VALID");
        let leaks = events(&world, "act=key.leaked").await;
        assert_eq!(leaks.len(), 3, "what is no key of ours is none of our acts");
        let of = leaks.iter().find(|event| event["subject"] == format!("key:{id}")).unwrap();
        assert_eq!(of["details"], json!({"policy": "revoke", "source": "report", "url": "https://example.com/paste/1"}));
        assert_eq!(of["actor"], "anybody");
        // Once revoked there is nothing more to do, and nothing more to tell.
        for again in [&key, &told, &disabled] {
            report(&world, &json!({"key": again})).await;
        }
        assert_eq!(events(&world, "act=key.leaked").await.len(), 4, "enabled again and found again");
        report(&world, &json!({"key": disabled})).await;
        world.advance(3_601);
        report(&world, &json!({"key": told})).await;
        assert_eq!(events(&world, "act=key.leaked").await.len(), 5, "what goes on working is told again after an hour");
    }

    async fn a_secret_that_was_replaced_ends_nothing(world: World) {
        let token = token_with(&world, "keys:verify").await;
        let (id, before) = minted(&world, |_| {}).await;
        let (_, after) = keys::rotate(world.app(), by(), &id, 60).await.unwrap();
        world.advance(61);
        report(&world, &json!({"key": before})).await;
        assert_eq!(verify(&world, &token, json!({"key": after.reveal()})).await["code"], "VALID");
        // While it works, it is the key.
        let (id, before) = minted(&world, |_| {}).await;
        let (_, after) = keys::rotate(world.app(), by(), &id, 60).await.unwrap();
        report(&world, &json!({"key": before})).await;
        assert_eq!(verify(&world, &token, json!({"key": after.reveal()})).await["code"], "REVOKED");
    }

    async fn a_place_that_reports_all_day_waits_and_a_bad_report_is_named(world: World) {
        for (body, named) in [(json!({}), "key"), (json!({"key": 1}), "string"), (json!({"key": "x", "who": "me"}), "who")] {
            let reply = report(&world, &body).await;
            problem(&reply, 400, "invalid_request");
            assert!(reply.json()["detail"].as_str().unwrap().contains(named), "{}", reply.text);
        }
        for _ in 0..27 {
            assert_eq!(report(&world, &json!({"key": "x"})).await.status, 200);
        }
        let reply = report(&world, &json!({"key": "x"})).await;
        assert_eq!((reply.status, reply.header("retry-after")), (429, Some("60")), "{}", reply.text);
        world.advance(120);
        assert_eq!(report(&world, &json!({"key": "x"})).await.status, 200);
    }

    async fn a_secret_that_is_due_is_reminded_of_once_a_date_s_k9(world: World) {
        let (id, _) = minted(&world, |_| {}).await;
        let (gone, _) = minted(&world, |_| {}).await;
        keys::revoke(world.app(), by(), &gone, None).await.unwrap();
        let node = App::open(world.settings.clone(), world.clock.clone(), Entropy::system(), Role::Tool).await.unwrap();
        let reminded = async || {
            for app in [world.app(), &node, world.app()] {
                app.catch_up().await.unwrap();
                remind_of_rotation::remind(app).await;
            }
            let all = events(&world, "act=key.rotation_due").await;
            all.iter().map(|event| event["details"]["days"].as_i64().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(reminded().await, [0; 0]);
        for (days, told) in [(75, vec![0; 0]), (1, vec![14]), (1, vec![14]), (6, vec![7, 14]), (6, vec![1, 7, 14]), (1, vec![0, 1, 7, 14]), (30, vec![0, 1, 7, 14])] {
            world.advance(days * 86_400);
            assert_eq!(reminded().await, told, "after {days} more days");
        }
        let newest = &events(&world, "act=key.rotation_due").await[0];
        assert_eq!((&newest["subject"], &newest["actor"]), (&json!(format!("key:{id}")), &json!("system")));
        keys::rotate(world.app(), by(), &id, 0).await.unwrap();
        assert_eq!(reminded().await.len(), 4, "a new secret is good for a quarter");
        world.advance(80 * 86_400);
        assert_eq!(reminded().await, [14, 0, 1, 7, 14]);
        node.store.close();
    }
}

/// A key pair as GitHub has one: its PEM, and how it signs.
#[expect(clippy::disallowed_methods, reason = "ring makes and signs with no other chance")]
fn pair() -> (String, impl Fn(&[u8]) -> String) {
    let random = SystemRandom::new();
    let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der.as_ref(), &random).unwrap();
    let mut info = vec![
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
        0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];
    info.extend_from_slice(pair.public_key().as_ref());
    let text = STANDARD.encode(info);
    let pem =
        format!("-----BEGIN PUBLIC KEY-----\n{}\n{}\n-----END PUBLIC KEY-----\n", &text[..64], &text[64..]);
    (pem, move |body| STANDARD.encode(pair.sign(&random, body).unwrap()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn github_reports_what_it_finds_and_signs_it() {
    let (pem, sign) = pair();
    let (old_pem, old_sign) = pair();
    let publisher = Publisher::of(&json!({"public_keys": [
        {"key_identifier": "new", "key": pem, "is_current": true},
        {"key_identifier": "old", "key": old_pem, "is_current": false},
    ]}))
    .await;
    let mut world = world_that_may_fetch(On::Sqlite, &[publisher.port]).await.unwrap();
    world.settings.leaks.github_keys_url = format!("{}/keys", publisher.base);
    world.restart().await;
    let (id, key) = minted(&world, |_| {}).await;
    let (_, other) = minted(&world, |_| {}).await;
    let batch = json!([
        {"token": key, "type": "cloudnexus_api_key", "url": "https://github.com/o/r/blob/x/.env", "source": "content"},
        {"token": "cnx_prod_nothing", "type": "cloudnexus_api_key", "url": "", "source": "commit"},
    ])
    .to_string();
    let send = async |identifier: Option<&str>, signature: Option<String>, body: &str| {
        let mut request = world
            .http
            .post(world.url("/v1/keys/report-leak/github"))
            .header("content-type", "application/json")
            .body(body.to_owned());
        if let Some(identifier) = identifier {
            request = request.header("Github-Public-Key-Identifier", identifier);
        }
        if let Some(signature) = signature {
            request = request.header("Github-Public-Key-Signature", signature);
        }
        Reply::of(request.send().await.unwrap()).await
    };
    let other_batch = batch.replace(&key, &other);
    for (identifier, signature) in [
        (None, None),
        (Some("new"), None),
        (None, Some(sign(batch.as_bytes()))),
        (Some("old"), Some(old_sign(batch.as_bytes()))),
        (Some("nobody"), Some(sign(batch.as_bytes()))),
        (Some("new"), Some(old_sign(batch.as_bytes()))),
        (Some("new"), Some(sign(other_batch.as_bytes()))),
        (Some("new"), Some("not base64".to_owned())),
    ] {
        problem(&send(identifier, signature, &batch).await, 401, "unsigned");
    }
    let token = token_with(&world, "keys:verify").await;
    assert_eq!(verify(&world, &token, json!({"key": key})).await["code"], "VALID");
    let reply = send(Some("new"), Some(sign(batch.as_bytes())), &batch).await;
    assert_eq!(
        (reply.status, reply.json()),
        (
            200,
            json!([
                {"token_hash": sha256_hex(key.as_bytes()), "token_type": "cloudnexus_api_key", "label": "true_positive"},
                {"token_hash": sha256_hex(b"cnx_prod_nothing"), "token_type": "cloudnexus_api_key", "label": "false_positive"},
            ])
        ),
        "{}",
        reply.text
    );
    assert_eq!(verify(&world, &token, json!({"key": key})).await["code"], "REVOKED");
    assert_eq!(verify(&world, &token, json!({"key": other})).await["code"], "VALID");
    let event = &events(&world, &format!("act=key.leaked&subject=key:{id}")).await[0];
    assert_eq!((&event["actor"], &event["details"]["source"]), (&json!("github"), &json!("github content")));
    // Again: revoked already, and still one of ours.
    let reply = send(Some("new"), Some(sign(batch.as_bytes())), &batch).await;
    assert_eq!(reply.json()[0]["label"], "true_positive");
    // A large batch, as GitHub sends them.
    let large = Value::Array(vec![
        json!({"token": "cnx_prod_nothing", "type": "t", "url": "https://github.com", "source": "content"});
        5_000
    ])
    .to_string();
    let reply = send(Some("new"), Some(sign(large.as_bytes())), &large).await;
    assert_eq!(reply.json().as_array().unwrap().len(), 5_000);
    let huge = format!("[{}]", " ".repeat(1024 * 1024));
    problem(&send(Some("new"), Some(sign(huge.as_bytes())), &huge).await, 413, "too_large");
    assert_eq!(publisher.times_asked(), 1, "the keys are kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rules_for_scanners_find_keys_and_nothing_else() {
    let world = World::new(On::Sqlite).await.unwrap();
    let get = async |path: &str| Reply::of(world.http.get(world.url(path)).send().await.unwrap()).await;
    let gitleaks = get("/v1/keys/scanners/gitleaks.toml").await;
    assert_eq!((gitleaks.status, gitleaks.header("content-type")), (200, Some("application/toml")));
    let trufflehog = get("/v1/keys/scanners/trufflehog.yaml").await;
    assert_eq!((trufflehog.status, trufflehog.header("content-type")), (200, Some("application/yaml")));
    for text in [&gitleaks.text, &trufflehog.text] {
        let pattern = text.split(['\'']).find(|part| part.contains("cnx_[")).unwrap();
        let pattern = regex::Regex::new(pattern).unwrap();
        let (_, key) = minted(&world, |_| {}).await;
        assert!(pattern.is_match(&format!("export CNX_API_KEY={key}\n")));
        assert!(pattern.is_match(&format!("\"{key}\"")));
        for other in
            [&key[..key.len() - 1], &format!("{key}x"), &format!("x{key}"), "cnx_prod_x", &key.to_uppercase()]
        {
            assert!(!pattern.is_match(other), "{other}");
        }
    }
}
