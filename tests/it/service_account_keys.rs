//! Keys of service accounts that rotate by themselves: published by the account on the word of a current key, with an overlap in
//! which no request fails; their greatest age, and the warning before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cnx::base::algorithm::Algorithm;
use cnx::base::time::{Clock, Timestamp};
use cnx::flow::service_accounts;
use serde_json::{Value, json};

use crate::token_requests::{granted, refused};
use crate::world::{JWT_BEARER, Machine, On, Reply, START, Signer, World, by, on_both};

fn address(world: &World, id: &str) -> String {
    format!("{}/v1/service-accounts/{id}/keys", world.base)
}

/// Publishes a key with an assertion that is for the address.
async fn publish(world: &World, id: &str, by: &Signer, body: &Value) -> Reply {
    let mut claims = world.assertion_claims(id);
    claims["aud"] = json!(address(world, id));
    publish_with(world, id, &by.assertion(&claims), body).await
}

async fn publish_with(world: &World, id: &str, assertion: &str, body: &Value) -> Reply {
    let request = world.http.post(address(world, id)).bearer_auth(assertion).json(body);
    Reply::of(request.send().await.unwrap()).await
}

async fn token_by(world: &World, id: &str, signer: &Signer) -> Reply {
    world.present(&signer.assertion(&world.assertion_claims(id)), &[]).await
}

/// A whole problem of RFC 9457.
#[track_caller]
fn problem(reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status, reply.json()["code"].as_str()), (status, Some(code)), "{}", reply.text);
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    assert_eq!(reply.json()["status"], status);
    assert_eq!(reply.json()["request_id"].as_str(), reply.header("x-request-id"));
    assert_eq!(reply.header("x-api-version"), Some("2024-10"));
    assert_eq!(reply.header("www-authenticate").is_some(), status == 401);
}

on_both! {
    async fn an_account_publishes_its_next_key_and_the_old_one_retires(world: World) {
        let Machine { id, signer: first } = world.machine("ci", Algorithm::Es256, json!({})).await;
        let second = Signer::new(Algorithm::EdDsa);
        let reply = publish(&world, &id, &first, &json!({"public_key": second.jwk, "overlap_seconds": 600})).await;
        assert_eq!(reply.status, 201, "{}", reply.text);
        let said = reply.json();
        assert_eq!((&said["kid"], &said["alg"], &said["service_account_id"]), (&json!(second.kid), &json!("EdDSA"), &json!(id)));
        assert_eq!(said["previous"]["kid"], first.kid);
        assert_eq!(said["previous"]["expires_at"], Timestamp::from_secs(world.now() + 600).to_rfc3339());
        granted(&token_by(&world, &id, &first).await);
        granted(&token_by(&world, &id, &second).await);
        world.advance(600);
        refused(&token_by(&world, &id, &first).await, 400, "invalid_grant");
        granted(&token_by(&world, &id, &second).await);
        problem(&publish(&world, &id, &first, &json!({"public_key": Signer::es256().jwk})).await, 401, "invalid_token");
        let keys = service_accounts::find(world.app(), "ci").await.unwrap().keys;
        assert!(keys.iter().all(|key| key.last_used_at.is_some()), "each was used, and it was written down");
    }

    async fn nobody_else_publishes_a_key_s_j13(world: World) {
        let Machine { id, signer } = world.machine("ci", Algorithm::Es256, json!({})).await;
        let other = world.machine("other", Algorithm::Es256, json!({})).await;
        let body = json!({"public_key": Signer::es256().jwk});
        // An assertion that asks for a token is not good for more.
        for aud in [json!(world.base), json!(format!("{}/oauth2/token", world.base)), json!([address(&world, &id)]), json!(address(&world, &other.id))] {
            let mut claims = world.assertion_claims(&id);
            claims["aud"] = aud;
            problem(&publish_with(&world, &id, &signer.assertion(&claims), &body).await, 401, "invalid_token");
        }
        problem(&publish(&world, &id, &other.signer, &body).await, 401, "invalid_token");
        let mut claims = world.assertion_claims(&other.id);
        claims["aud"] = json!(address(&world, &id));
        problem(&publish_with(&world, &id, &other.signer.assertion(&claims), &body).await, 401, "invalid_token");
        problem(&publish(&world, "nobody@example", &signer, &body).await, 401, "invalid_token");
        let token = granted(&token_by(&world, &id, &signer).await).access;
        problem(&publish_with(&world, &id, &token, &body).await, 401, "invalid_token");
        let bare = Reply::of(world.http.post(address(&world, &id)).json(&body).send().await.unwrap()).await;
        problem(&bare, 401, "unauthorized");
        // Once: the same assertion publishes no second key.
        let mut claims = world.assertion_claims(&id);
        claims["aud"] = json!(address(&world, &id));
        let assertion = signer.assertion(&claims);
        assert_eq!(publish_with(&world, &id, &assertion, &body).await.status, 201);
        problem(&publish_with(&world, &id, &assertion, &json!({"public_key": Signer::es256().jwk})).await, 401, "invalid_token");
    }

    async fn a_request_that_is_wrong_is_told_what_is_allowed_and_spends_nothing(world: World) {
        let Machine { id, signer } = world.machine("ci", Algorithm::Es256, json!({})).await;
        let mut private = Signer::es256().jwk;
        private["d"] = json!("x");
        let mut claims = world.assertion_claims(&id);
        claims["aud"] = json!(address(&world, &id));
        let assertion = signer.assertion(&claims);
        for (body, says) in [
            (json!({}), "public_key"),
            (json!({"public_key": private}), "private or shared"),
            (json!({"public_key": "x"}), "public_key"),
            (json!({"public_key": Signer::es256().jwk, "overlap": 1}), "overlap"),
            (json!({"public_key": Signer::es256().jwk, "overlap_seconds": -1}), "overlap_seconds"),
            (json!({"public_key": Signer::es256().jwk, "overlap_seconds": 99_999_999}), "overlap_seconds"),
        ] {
            let reply = publish_with(&world, &id, &assertion, &body).await;
            problem(&reply, 400, "invalid_request");
            assert!(reply.json()["detail"].as_str().unwrap().contains(says), "{}", reply.text);
        }
        let post = |content_type: &'static str, version: &'static str, body: String| {
            let request = world.http.post(address(&world, &id)).bearer_auth(&assertion);
            request.header("content-type", content_type).header("x-api-version", version).body(body)
        };
        let good = json!({"public_key": Signer::es256().jwk}).to_string();
        for (request, status, code) in [
            (post("text/plain", "2024-10", good.clone()), 415, "unsupported_media_type"),
            (post("application/json", "2019-01", good.clone()), 400, "unknown_api_version"),
            (post("application/json", "2024-10", "{".to_owned()), 400, "invalid_request"),
            (post("application/json", "2024-10", r#"{"public_key":"a","public_key":"b"}"#.to_owned()), 400, "invalid_request"),
            (post("application/json", "2024-10", format!(r#"{{"public_key":"{}"}}"#, "x".repeat(70_000))), 413, "too_large"),
        ] {
            problem(&Reply::of(request.send().await.unwrap()).await, status, code);
        }
        assert_eq!(publish_with(&world, &id, &assertion, &json!({"public_key": Signer::es256().jwk})).await.status, 201);
        let get = Reply::of(world.http.get(address(&world, &id)).send().await.unwrap()).await;
        assert_eq!((get.status, get.header("allow")), (405, Some("POST")));
    }

    async fn ten_keys_work_at_once_and_no_more(world: World) {
        let Machine { id, signer } = world.machine("ci", Algorithm::Es256, json!({})).await;
        let account = service_accounts::find(world.app(), "ci").await.unwrap();
        for _ in 1..10 {
            service_accounts::register_key(world.app(), by(), &account, &Signer::es256().jwk.to_string(), None).await.unwrap();
        }
        problem(&publish(&world, &id, &signer, &json!({"public_key": Signer::es256().jwk})).await, 409, "too_many_keys");
        let refused = service_accounts::make_key(world.app(), by(), &account, Algorithm::Es256, None).await.unwrap_err();
        assert!(refused.to_string().starts_with("10 keys"), "{refused}");
        problem(&publish(&world, &id, &signer, &json!({"public_key": signer.jwk})).await, 409, "too_many_keys");
    }

    async fn a_key_ends_at_its_greatest_age_and_is_warned_of_before(world: World) {
        let Machine { id, signer } = world.machine("ci", Algorithm::Es256, json!({})).await;
        let year = 365 * 86_400;
        let due = |world: &World| service_accounts::due_keys(world.app(), world.clock.now()).len();
        assert_eq!(service_accounts::find(world.app(), "ci").await.unwrap().keys[0].expires_at, Some(Timestamp::from_secs(START + year)));
        world.advance(year - 31 * 86_400);
        assert_eq!(due(&world), 0);
        world.advance(86_400);
        assert_eq!(due(&world), 1);
        // A successor is published: nobody has to be told any more.
        let next = Signer::es256();
        assert_eq!(publish(&world, &id, &signer, &json!({"public_key": next.jwk})).await.status, 201);
        assert_eq!(due(&world), 0);
        world.advance(31 * 86_400);
        refused(&token_by(&world, &id, &signer).await, 400, "invalid_grant");
        granted(&token_by(&world, &id, &next).await);
        // Somebody may say less, and not more.
        let account = service_accounts::find(world.app(), "ci").await.unwrap();
        for (lifetime, expected) in [(Some(3600), 3600), (Some(10 * year), year), (None, year)] {
            let (key, _) = service_accounts::make_key(world.app(), by(), &account, Algorithm::Es256, lifetime).await.unwrap();
            assert_eq!(key.expires_at, Some(Timestamp::from_secs(world.now() + expected)));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_rotations_under_constant_traffic_fail_no_request() {
    for on in [On::Sqlite, On::Postgres] {
        let Some(world) = World::with(on, Clock::System, |_| {}).await else { continue };
        let Machine { id, signer } = world.machine("ci", Algorithm::Es256, json!({})).await;
        let current = Arc::new(std::sync::Mutex::new(Arc::new(signer)));
        let (done, failed, answered) =
            (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let world = Arc::new(world);
        let traffic: Vec<_> = (0..4)
            .map(|_| {
                let (world, current, id) = (Arc::clone(&world), Arc::clone(&current), id.clone());
                let (done, failed, answered) =
                    (Arc::clone(&done), Arc::clone(&failed), Arc::clone(&answered));
                tokio::spawn(async move {
                    while !done.load(Ordering::SeqCst) {
                        let signer = Arc::clone(&current.lock().unwrap());
                        let form = [
                            ("grant_type", JWT_BEARER.to_owned()),
                            ("assertion", signer.assertion(&world.assertion_claims(&id))),
                        ];
                        let request = world.http.post(world.url("/oauth2/token")).form(&form);
                        let reply = Reply::of(request.send().await.unwrap()).await;
                        failed.fetch_add(usize::from(reply.status != 200), Ordering::SeqCst);
                        answered.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        for _ in 0..3 {
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            let by = Arc::clone(&current.lock().unwrap());
            let next = Signer::es256();
            let reply =
                publish(&world, &id, &by, &json!({"public_key": next.jwk, "overlap_seconds": 60})).await;
            assert_eq!(reply.status, 201, "{}", reply.text);
            *current.lock().unwrap() = Arc::new(next);
        }
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        done.store(true, Ordering::SeqCst);
        for task in traffic {
            task.await.unwrap();
        }
        assert_eq!(failed.load(Ordering::SeqCst), 0);
        assert!(answered.load(Ordering::SeqCst) > 50);
        assert_eq!(service_accounts::find(world.app(), "ci").await.unwrap().keys.len(), 4);
    }
}
