//! Clients that authenticate by assertion (OIDC Core §9, RFC 7523 §2.2): what is taken, in which forms real clients send it, and
//! that nobody gets in another way.

use cnx::base::algorithm::Algorithm;
use cnx::base::encoding::base64url;
use cnx::flow::clients;
use cnx::oauth::client_registration;
use serde_json::{Value, json};

use crate::offline::compact;
use crate::token_requests::{granted, refused};
use crate::world::{CLIENT_ASSERTION, Reply, Signer, TestClient, World, by, claims, on_both};

async fn machine_client(world: &World, members: Value) -> TestClient {
    let mut all = json!({"grant_types": ["client_credentials"], "response_types": [], "redirect_uris": []});
    for (name, value) in members.as_object().unwrap() {
        all[name] = value.clone();
    }
    world.add_client(all).await
}

async fn key_pair_client(world: &World, signer: &Signer, more: Value) -> TestClient {
    let mut members = json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": signer.jwks()});
    for (name, value) in more.as_object().unwrap() {
        members[name] = value.clone();
    }
    machine_client(world, members).await
}

async fn ask(world: &World, assertion: &str, extra: &[(&str, &str)]) -> Reply {
    let mut form = vec![
        ("grant_type", "client_credentials"),
        ("client_assertion_type", CLIENT_ASSERTION),
        ("client_assertion", assertion),
    ];
    form.extend_from_slice(extra);
    world.post("/oauth2/token", None, &form).await
}

/// HS256 under a secret (RFC 7518 §3.2).
pub fn hs256(secret: &str, claims: &Value) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    compact(&json!({"alg": "HS256", "typ": "JWT"}), claims, |message| {
        ring::hmac::sign(&key, message).as_ref().to_vec()
    })
}

on_both! {
    async fn what_real_clients_send_is_taken_c4_r71_s_j7(world: World) {
        for alg in Algorithm::ALL {
            let signer = Signer::new(alg);
            let client = key_pair_client(&world, &signer, json!({})).await;
            let made = || world.assertion_claims(&client.id);
            // openid-client: kid, no typ, client_id in the body, nbf; exp in a minute.
            let mut claims = made();
            claims["nbf"] = json!(world.now());
            claims["exp"] = json!(world.now() + 60);
            granted(&ask(&world, &signer.assertion(&claims), &[("client_id", &client.id)]).await);
            // The MCP clients: no kid, no client_id.
            let no_kid = signer.signs(&json!({"alg": alg.name()}), made().to_string().as_bytes());
            granted(&ask(&world, &no_kid, &[]).await);
            // A typ that says what it is (RFC 7523bis), in any case, with and without the prefix.
            for typ in ["JWT", "jwt", "client-authentication+jwt", "application/client-authentication+jwt"] {
                let header = json!({"alg": alg.name(), "kid": signer.kid, "typ": typ});
                granted(&ask(&world, &signer.signs(&header, made().to_string().as_bytes()), &[]).await);
            }
            // A clock that is a little ahead, and an hour of life (authlib, requirements D6).
            let mut ahead = made();
            ahead["iat"] = json!(world.now() + 8);
            ahead["nbf"] = json!(world.now() + 8);
            ahead["exp"] = json!(world.now() + 3608);
            granted(&ask(&world, &signer.assertion(&ahead), &[]).await);
        }
    }

    async fn the_audience_is_the_issuer_alone_unless_a_client_is_old_d2_c4_r89(world: World) {
        let signer = Signer::es256();
        let strict = key_pair_client(&world, &signer, json!({})).await;
        let legacy = key_pair_client(&world, &signer, json!({"legacy_assertion_audience": true})).await;
        let endpoint = format!("{}/oauth2/token", world.base);
        let for_whom = |client: &TestClient, aud: Value| {
            let mut claims = world.assertion_claims(&client.id);
            claims["aud"] = aud;
            signer.assertion(&claims)
        };
        refused(&ask(&world, &for_whom(&strict, json!(endpoint)), &[]).await, 401, "invalid_client");
        granted(&ask(&world, &for_whom(&legacy, json!(endpoint)), &[]).await);
        granted(&ask(&world, &for_whom(&legacy, json!(world.base)), &[]).await);
        for aud in [json!([world.base]), json!([endpoint]), json!([world.base, endpoint]), json!(format!("{}/oauth2/revoke", world.base))] {
            for client in [&strict, &legacy] {
                refused(&ask(&world, &for_whom(client, aud.clone()), &[]).await, 401, "invalid_client");
            }
        }
    }

    async fn the_longest_life_is_an_hour_or_less_where_it_is_set_d6_s_j6(world: World) {
        let signer = Signer::es256();
        let usual = key_pair_client(&world, &signer, json!({})).await;
        let short = key_pair_client(&world, &signer, json!({"assertion_seconds": 600})).await;
        let lives = |client: &TestClient, seconds: i64| {
            let mut claims = world.assertion_claims(&client.id);
            claims["exp"] = json!(world.now() + seconds);
            signer.assertion(&claims)
        };
        granted(&ask(&world, &lives(&usual, 3600), &[]).await);
        refused(&ask(&world, &lives(&usual, 3601), &[]).await, 401, "invalid_client");
        granted(&ask(&world, &lives(&short, 600), &[]).await);
        refused(&ask(&world, &lives(&short, 601), &[]).await, 401, "invalid_client");
    }

    async fn a_registered_algorithm_is_the_only_one_s_j1(world: World) {
        let (ec, rsa) = (Signer::es256(), Signer::new(Algorithm::Rs256));
        let both = json!({"keys": [ec.jwk, rsa.jwk]});
        let client = machine_client(&world, json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": both,
            "token_endpoint_auth_signing_alg": "ES256"})).await;
        granted(&ask(&world, &ec.assertion(&world.assertion_claims(&client.id)), &[]).await);
        refused(&ask(&world, &rsa.assertion(&world.assertion_claims(&client.id)), &[]).await, 401, "invalid_client");
    }

    async fn nobody_gets_in_another_way_than_registered_s_j10(world: World) {
        let signer = Signer::es256();
        let client = key_pair_client(&world, &signer, json!({})).await;
        let grant = ("grant_type", "client_credentials");
        let made = || signer.assertion(&world.assertion_claims(&client.id));
        let with_secret = |secret: &str| TestClient { id: client.id.clone(), secret: Some(secret.to_owned()) };
        refused(&world.post("/oauth2/token", None, &[grant, ("client_id", &client.id)]).await, 401, "invalid_client");
        refused(&world.post("/oauth2/token", Some(&with_secret("")), &[grant]).await, 401, "invalid_client");
        refused(&world.post("/oauth2/token", Some(&with_secret("x")), &[grant]).await, 401, "invalid_client");
        refused(&world.post("/oauth2/token", None, &[grant, ("client_id", &client.id), ("client_secret", "x")]).await, 401, "invalid_client");
        refused(&ask(&world, &made(), &[("client_secret", "x")]).await, 400, "invalid_request");
        let basic = world.post("/oauth2/token", Some(&with_secret("x")), &[grant, ("client_assertion_type", CLIENT_ASSERTION), ("client_assertion", &made())]).await;
        refused(&basic, 400, "invalid_request");
        for form in [
            vec![grant, ("client_assertion", "x")],
            vec![grant, ("client_assertion_type", CLIENT_ASSERTION)],
        ] {
            refused(&world.post("/oauth2/token", None, &form).await, 401, "invalid_client");
        }
        let urn = "urn:ietf:params:oauth:client-assertion-type:saml2-bearer";
        let wrong_type = made();
        refused(&world.post("/oauth2/token", None, &[grant, ("client_assertion_type", urn), ("client_assertion", &wrong_type)]).await, 401, "invalid_client");
        // S-J8: the client that the body names is the one that the assertion names.
        refused(&ask(&world, &made(), &[("client_id", "another")]).await, 401, "invalid_client");
        // And a client with a secret has no other way either.
        let secret = world.web_client().await;
        refused(&ask(&world, &signer.assertion(&world.assertion_claims(&secret.id)), &[]).await, 401, "invalid_client");
        granted(&ask(&world, &wrong_type, &[]).await);
    }

    async fn a_shared_secret_signs_too_and_is_kept_sealed(world: World) {
        let client = machine_client(&world, json!({"token_endpoint_auth_method": "client_secret_jwt"})).await;
        let secret = client.secret.clone().unwrap();
        let made = || world.assertion_claims(&client.id);
        let assertion = hs256(&secret, &made());
        granted(&ask(&world, &assertion, &[]).await);
        refused(&ask(&world, &assertion, &[]).await, 401, "invalid_client");
        refused(&ask(&world, &hs256("another-secret-of-thirty-two-bytes", &made()), &[]).await, 401, "invalid_client");
        refused(&ask(&world, &hs256("", &made()), &[]).await, 401, "invalid_client");
        assert!(!world.stores(&secret).await, "nothing stands in a row as it is");
        // S-J10: the bare secret does not open what a signature must.
        refused(&world.token(&client, &[("grant_type", "client_credentials")]).await, 401, "invalid_client");
        // Two live secrets while one is rotated.
        let next = clients::rotate_secret(world.app(), by(), &client.id, 3600).await.unwrap();
        granted(&ask(&world, &hs256(next.reveal(), &made()), &[]).await);
        granted(&ask(&world, &hs256(&secret, &made()), &[]).await);
        world.advance(3600);
        refused(&ask(&world, &hs256(&secret, &made()), &[]).await, 401, "invalid_client");
        granted(&ask(&world, &hs256(next.reveal(), &made()), &[]).await);
        // HS256 with the public key of a key pair is the oldest trick (S-J1).
        let signer = Signer::es256();
        let pair = key_pair_client(&world, &signer, json!({})).await;
        for key in [signer.jwk.to_string(), signer.jwk["x"].as_str().unwrap().to_owned(), base64url(b"x")] {
            refused(&ask(&world, &hs256(&key, &world.assertion_claims(&pair.id)), &[]).await, 401, "invalid_client");
        }
    }

    async fn every_endpoint_takes_it_and_a_disabled_client_is_out_s_t12(world: World) {
        let signer = Signer::es256();
        let client = key_pair_client(&world, &signer, json!({})).await;
        let token = granted(&ask(&world, &signer.assertion(&world.assertion_claims(&client.id)), &[]).await).access;
        let by = |assertion: &str| vec![
            ("token", token.clone()), ("client_assertion_type", CLIENT_ASSERTION.to_owned()), ("client_assertion", assertion.to_owned())];
        let made = || signer.assertion(&world.assertion_claims(&client.id));
        let post = async |path: &str, form: Vec<(&str, String)>| {
            let form: Vec<(&str, &str)> = form.iter().map(|(n, v)| (*n, v.as_str())).collect();
            world.post(path, None, &form).await
        };
        assert_eq!(post("/oauth2/introspect", by(&made())).await.json()["active"], true);
        assert_eq!(post("/oauth2/revoke", by(&made())).await.status, 200);
        assert_eq!(post("/oauth2/introspect", by(&made())).await.json()["active"], false);
        let (id, now) = (client.id.parse().unwrap(), world.clock.now());
        world.app().store.write(move |c| cnx::store::clients::set_disabled(c, &id, Some(now), now)).await.unwrap();
        world.app().catch_up().await.unwrap();
        refused(&ask(&world, &made(), &[]).await, 401, "invalid_client");
    }

    async fn resource_and_scope_are_taken_beside_an_assertion_c41(world: World) {
        let signer = Signer::es256();
        let (api, other) = ("https://api.example/mcp", "https://other.example");
        let client = key_pair_client(&world, &signer, json!({"audience": [api, other], "scope": "read write"})).await;
        let reply = ask(&world, &signer.assertion(&world.assertion_claims(&client.id)), &[("resource", api), ("scope", "read")]).await;
        let said = claims(&granted(&reply).access);
        assert_eq!((&said["aud"], &said["scope"], &said["sub"]), (&json!(api), &json!("read"), &json!(client.id)));
    }
}

#[tokio::test]
async fn a_key_that_is_no_good_is_not_registered_s_j15() {
    let world = World::new(crate::world::On::Sqlite).await.unwrap();
    let signer = Signer::es256();
    let mut private = signer.jwk.clone();
    private["d"] = json!("c2VjcmV0");
    let mut encryption = signer.jwk.clone();
    encryption["use"] = json!("enc");
    let weak = json!({"kty": "RSA", "e": "AQAB", "n": base64url(&[255; 128])});
    for (key, says) in [
        (private, "private or shared"),
        (encryption, "use must be sig"),
        (weak, "2048 bits"),
        (json!({"kty": "oct", "k": "eA"}), "private or shared"),
    ] {
        let file = json!({"client_name": "App", "token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [key]},
            "grant_types": ["client_credentials"], "response_types": []});
        let (id, secret, metadata) = client_registration::from_json(&file.to_string()).unwrap();
        let refused = clients::add(world.app(), by(), metadata, id, secret).await.unwrap_err().to_string();
        assert!(refused.starts_with("jwks: ") && refused.contains(says), "{refused}");
    }
}
