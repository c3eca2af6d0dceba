//! An assertion is taken once: at the same moment, later, on another node, after a restart (P1, S-J9, R103).

use cnx::base::algorithm::Algorithm;
use serde_json::json;

use crate::token_requests::{granted, refused};
use crate::world::{CLIENT_ASSERTION, JWT_BEARER, On, Reply, Signer, World, on_both};

/// Sixteen at once, on the given nodes in turn; how many were answered with tokens.
async fn winners(world: &World, bases: &[String], form: Vec<(&'static str, String)>) -> usize {
    let requests = (0..16).map(|n| {
        let request = world.http.post(format!("{}/oauth2/token", bases[n % bases.len()])).form(&form);
        tokio::spawn(async move { Reply::of(request.send().await.unwrap()).await })
    });
    let mut won = 0;
    for request in requests.collect::<Vec<_>>() {
        let reply = request.await.unwrap();
        match reply.status {
            200 => won += 1,
            400 => assert_eq!(reply.error(), "invalid_grant"),
            401 => assert_eq!(reply.error(), "invalid_client"),
            other => panic!("{other}: {}", reply.text),
        }
    }
    won
}

on_both! {
    async fn of_sixteen_at_once_one_is_taken_s_j9_p1(world: World) {
        let machine = world.machine("ci", Algorithm::Es256, json!({})).await;
        for _ in 0..5 {
            let assertion = machine.signer.assertion(&world.assertion_claims(&machine.id));
            let form = vec![("grant_type", JWT_BEARER.to_owned()), ("assertion", assertion)];
            assert_eq!(winners(&world, std::slice::from_ref(&world.base), form).await, 1);
            world.advance(121); // failures are counted by the minute
        }
    }

    async fn of_sixteen_clients_with_one_assertion_one_authenticates_s_j9(world: World) {
        let signer = Signer::es256();
        let members = json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": signer.jwks(),
            "grant_types": ["client_credentials"], "response_types": [], "redirect_uris": []});
        let client = world.add_client(members).await;
        let form = vec![
            ("grant_type", "client_credentials".to_owned()),
            ("client_assertion_type", CLIENT_ASSERTION.to_owned()),
            ("client_assertion", signer.assertion(&world.assertion_claims(&client.id))),
        ];
        assert_eq!(winners(&world, std::slice::from_ref(&world.base), form).await, 1);
    }

    async fn it_is_remembered_for_longer_than_it_lives_and_across_a_restart_s_j9_pitfall_11(world: World) {
        let mut world = world;
        let machine = world.machine("ci", Algorithm::Es256, json!({})).await;
        let assertion = machine.signer.assertion(&world.assertion_claims(&machine.id));
        granted(&world.present(&assertion, &[]).await);
        world.restart().await;
        refused(&world.present(&assertion, &[]).await, 400, "invalid_grant");
        // To the last second in which it would be taken: exp and the leeway.
        world.advance(300 + 59);
        let fresh = { let mut c = world.assertion_claims(&machine.id); c["exp"] = json!(world.now() - 59); c["iat"] = json!(world.now() - 300); c };
        granted(&world.present(&machine.signer.assertion(&fresh), &[]).await);
        let now = world.clock.now();
        while world.app().store.write(move |conn| cnx::store::sweep::batch(conn, now)).await.unwrap() > 0 {}
        refused(&world.present(&assertion, &[]).await, 400, "invalid_grant");
    }

    async fn ids_of_one_issuer_say_nothing_about_anothers_s_j9(world: World) {
        let (a, b) = (world.machine("a", Algorithm::Es256, json!({})).await, world.machine("b", Algorithm::Es256, json!({})).await);
        for machine in [&a, &b] {
            let mut claims = world.assertion_claims(&machine.id);
            claims["jti"] = json!("the-same");
            granted(&world.present(&machine.signer.assertion(&claims), &[]).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sixteen_on_two_nodes_one_is_taken_s_j9_p1() {
    let Some(world) = World::new(On::Postgres).await else { return };
    let machine = world.machine("ci", Algorithm::Es256, json!({})).await;
    let node = world.second_node().await;
    let bases = [world.base.clone(), node.base.clone()];
    for _ in 0..5 {
        let assertion = machine.signer.assertion(&world.assertion_claims(&machine.id));
        let form = vec![("grant_type", JWT_BEARER.to_owned()), ("assertion", assertion)];
        assert_eq!(winners(&world, &bases, form).await, 1);
        world.advance(121);
    }
}
