//! The pepper of API keys is turned: new secrets are under the new one, used ones move, and every node takes every key all the while.

use std::sync::Arc;

use cnx::api_key::key::{ApiKey, KeySecret};
use cnx::app::{App, Role};
use cnx::base::entropy::Entropy;
use cnx::base::time::Timestamp;
use cnx::flow::keys;
use cnx::jobs::flush_usage::flush;
use cnx::store::api_keys;
use cnx::{Running, serve};
use serde_json::{Value, json};

use crate::api_keys::{call, minted, minted_by, token_with};
use crate::nodes::within_a_second;
use crate::process::Place;
use crate::world::{Reply, World, by, free_port, on_both};

/// A node that was started again with the second pepper, beside one that was not.
struct Turned {
    base: String,
    running: Running,
}

impl Turned {
    async fn beside(world: &World) -> Self {
        let mut settings = world.settings.clone();
        settings.listen.set_port(free_port());
        settings.api_keys.pepper = 2;
        let base = format!("http://localhost:{}", settings.listen.port());
        // An SQLite file has one node; there a tool that listens stands in for the other.
        let role = if settings.database_url.is_sqlite() { Role::Tool } else { Role::Server };
        let app = App::open(settings, world.clock.clone(), Entropy::system(), role).await.unwrap();
        Self { base, running: serve(app, None).await.unwrap() }
    }

    fn app(&self) -> &Arc<App> {
        self.running.app()
    }
}

async fn status(world: &World, base: &str, key: &str) -> u16 {
    let request = world.http.get(format!("{base}/gateway/caddy")).bearer_auth(key);
    Reply::of(request.send().await.unwrap()).await.status
}

async fn row(world: &World, id: &str) -> ApiKey {
    let id = id.parse().unwrap();
    world.app().store.read(move |conn| api_keys::find(conn, id)).await.unwrap().unwrap()
}

fn peppers(key: &ApiKey) -> Vec<i32> {
    key.secrets.iter().map(|secret| secret.pepper).collect()
}

/// Each node takes or refuses each of these keys, from now on or within the second.
async fn everywhere(world: &World, turned: &Turned, keys: &[(&str, u16)]) {
    for base in [&world.base, &turned.base] {
        for (key, expected) in keys {
            let what = format!("{expected} at {base}");
            within_a_second(&what, async || status(world, base, key).await == *expected).await;
        }
    }
}

on_both! {
    async fn a_used_secret_moves_to_the_new_pepper_and_every_node_takes_it_s_k1(world: World) {
        let turned = Turned::beside(&world).await;
        let (id, key) = minted(&world, |_| {}).await;
        let (unused, _) = minted(&world, |_| {}).await;
        let before = row(&world, &id).await.secrets[0].clone();
        assert_eq!(before.pepper, 1);
        everywhere(&world, &turned, &[(&key, 200)]).await;
        assert_eq!(row(&world, &id).await.secrets[0].fingerprint, before.fingerprint, "no request writes");
        flush(world.app()).await;
        assert_eq!(peppers(&row(&world, &id).await), [1], "to that node it is the present one");
        flush(turned.app()).await;
        // Before either node has heard of it, and after.
        for base in [&world.base, &turned.base] {
            assert_eq!(status(&world, base, &key).await, 200);
        }
        let after = row(&world, &id).await.secrets[0].clone();
        assert!(after.fingerprint != before.fingerprint);
        let moved = KeySecret { fingerprint: after.fingerprint, pepper: 2, ..before };
        assert_eq!(KeySecret { last_used_at: None, ..after.clone() }, moved, "and nothing else of it changed");
        assert_eq!(after.last_used_at.map(Timestamp::as_secs), Some(world.now()));
        let known = |app: &App| app.api_key(id.parse().unwrap()).is_some_and(|key| key.secrets[0].fingerprint == after.fingerprint);
        within_a_second("the feed", async || known(world.app()) && known(turned.app())).await;
        everywhere(&world, &turned, &[(&key, 200)]).await;
        assert_eq!(peppers(&row(&world, &unused).await), [1], "nobody used it");

        // What is minted and rotated at a turned node is under the new pepper, and the other takes it and leaves it there.
        let (new_id, new) = minted_by(turned.app(), |_| {}).await;
        everywhere(&world, &turned, &[(&new, 200)]).await;
        world.advance(61);
        everywhere(&world, &turned, &[(&new, 200), (&key, 200)]).await;
        flush(world.app()).await;
        assert_eq!((peppers(&row(&world, &new_id).await), peppers(&row(&world, &id).await)), (vec![2], vec![2]));
        let (_, first) = minted(&world, |_| {}).await;
        let turning = first[9..19].to_owned();
        let (_, second) = keys::rotate(turned.app(), by(), &turning, 600).await.unwrap();
        assert_eq!(peppers(&row(&world, &turning).await).iter().sum::<i32>(), 3, "one under each");
        everywhere(&world, &turned, &[(&first, 200), (second.reveal(), 200)]).await;
        flush(turned.app()).await;
        assert_eq!(peppers(&row(&world, &turning).await), [2, 2], "the one before too");
        everywhere(&world, &turned, &[(&first, 200), (second.reveal(), 200)]).await;

        // `/v1` tells.
        let token = token_with(&world, "keys:read").await;
        let shown = call(&world, "GET", &format!("/v1/keys/{turning}"), &token, None).await.json();
        assert_eq!((&shown["pepper"], &shown["previous_secret"]["pepper"]), (&json!(2), &json!(2)), "{shown}");
        let shown = call(&world, "GET", &format!("/v1/keys/{unused}"), &token, None).await.json();
        assert_eq!(shown["pepper"], 1, "{shown}");
    }

    async fn a_secret_that_is_replaced_or_revoked_while_it_moves_stays_so_s_k9_s_k11(world: World) {
        let turned = Turned::beside(&world).await;
        // Noted before, written after.
        let (rotated, old) = minted(&world, |_| {}).await;
        let (revoked, gone) = minted(&world, |_| {}).await;
        everywhere(&world, &turned, &[(&old, 200), (&gone, 200)]).await;
        let (_, new) = keys::rotate(world.app(), by(), &rotated, 0).await.unwrap();
        keys::revoke(world.app(), by(), &revoked, None).await.unwrap();
        let stands = row(&world, &rotated).await.secrets;
        flush(turned.app()).await;
        assert_eq!(row(&world, &rotated).await.secrets, stands, "there is nothing to move");
        everywhere(&world, &turned, &[(&old, 401), (&gone, 401), (new.reveal(), 200)]).await;
        // At the same moment, again and again.
        let mut all = Vec::new();
        for _ in 0..12 {
            all.push(minted(&world, |_| {}).await);
        }
        for (_, key) in &all {
            everywhere(&world, &turned, &[(key, 200)]).await;
        }
        let turn = async {
            let mut secrets = Vec::new();
            for (n, (id, _)) in all.iter().enumerate() {
                let overlap = if n % 2 == 0 { 0 } else { 600 };
                secrets.push(keys::rotate(world.app(), by(), id, overlap).await.unwrap().1);
            }
            secrets
        };
        let (secrets, ()) = tokio::join!(turn, flush(turned.app()));
        for (n, ((id, old), new)) in all.iter().zip(&secrets).enumerate() {
            let expected = if n % 2 == 0 { 401 } else { 200 };
            everywhere(&world, &turned, &[(old, expected), (new.reveal(), 200)]).await;
            assert_eq!(row(&world, id).await.secrets.len(), 1 + n % 2);
        }
    }

    async fn a_stream_goes_on_when_its_secret_moves_s_k8(world: World) {
        let turned = Turned::beside(&world).await;
        let token = token_with(&world, "keys:verify").await;
        let (id, key) = minted(&world, |_| {}).await;
        let opened = call(&world, "POST", "/v1/streams", &token, Some(json!({"key": key}))).await;
        assert_eq!(opened.status, 201, "{}", opened.text);
        let stream = format!("/v1/streams/{}", opened.json()["id"].as_str().unwrap());
        assert_eq!(status(&world, &turned.base, &key).await, 200);
        flush(turned.app()).await;
        assert_eq!(peppers(&row(&world, &id).await), [2]);
        world.app().catch_up().await.unwrap();
        assert_eq!(call(&world, "PUT", &stream, &token, None).await.status, 200);
        keys::rotate(world.app(), by(), &id, 0).await.unwrap();
        assert_eq!(call(&world, "PUT", &stream, &token, None).await.status, 404, "and ends with its secret");
    }
}

#[test]
fn the_list_tells_how_many_secrets_are_under_another_pepper() {
    let mut place = Place::new();
    let mint = |place: &Place, name: &str| -> String {
        let made = place.json(&["key", "mint", "--name", name, "--env", "ci", "--scope", "a:b"]);
        made["key_id"].as_str().unwrap().to_owned()
    };
    let (first, second) = (mint(&place, "first"), mint(&place, "second"));
    let told = |place: &Place| -> (Value, Value) {
        let list = place.json(&["key", "list"]);
        (list["pepper"].clone(), list["secrets_under_another_pepper"].clone())
    };
    assert_eq!(told(&place), (json!(1), json!(0)));
    assert!(!place.run(&["key", "list"]).out.contains("pepper"));
    place.set("CNX_API_KEYS__PEPPER", "2");
    assert_eq!(told(&place), (json!(2), json!(2)));
    let shown = place.run(&["key", "list"]).out;
    assert!(shown.contains("Under another pepper than 2: 2."), "{shown}");
    assert_eq!(place.json(&["key", "rotate", &first, "--overlap", "1h"])["previous_secret"]["pepper"], 1);
    assert_eq!(told(&place), (json!(2), json!(2)), "the one before still works");
    place.json(&["key", "rotate", &first, "--overlap", "0"]);
    assert_eq!(told(&place), (json!(2), json!(1)));
    place.json(&["key", "revoke", &second]);
    assert_eq!(told(&place), (json!(2), json!(0)), "a revoked key does not count");
    place.set("CNX_API_KEYS__PEPPER", "0");
    assert_eq!(
        place.refused(&["serve"]),
        "cnx: api_keys.pepper (CNX_API_KEYS__PEPPER): 0 is not allowed; 1 to 1000000 is (a number that only grows)"
    );
}
