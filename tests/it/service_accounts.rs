//! Service accounts: a machine gets a token with a key that it holds, and no secret is shared (RFC 7523 §2.1).

use cnx::base::algorithm::Algorithm;
use cnx::flow::service_accounts;
use serde_json::json;

use crate::nodes::within_a_second;
use crate::offline::{key_set, signed_with_pem, verify_access_token};
use crate::token_requests::{granted, members, refused};
use crate::world::{CLIENT_ASSERTION, On, Reply, Signer, World, by, claims, jwt_part, new_jti, on_both};

const API: &str = "https://deploy.example";

/// Whether a resource server that the tokens name calls one active.
async fn is_active(world: &World, token: &str) -> bool {
    let id = "resource-server".parse().unwrap();
    if world.app().client(&id).is_none() {
        let server = json!({"client_id": "resource-server", "client_secret": "a-secret-of-the-server",
            "grant_types": ["client_credentials"], "audience": [API]});
        world.add_client(server).await;
    }
    let server = crate::world::TestClient {
        id: "resource-server".to_owned(),
        secret: Some("a-secret-of-the-server".to_owned()),
    };
    world.introspect(&server, token).await["active"] == true
}

on_both! {
    async fn a_machine_gets_a_token_with_any_kind_of_key_s_j13_d2(world: World) {
        for alg in Algorithm::ALL {
            let machine = world.machine(alg.name(), alg, json!({"audience": [API]})).await;
            let reply = world.machine_token(&machine, &[]).await;
            let given = granted(&reply);
            assert_eq!(members(&reply), ["access_token", "expires_in", "scope", "token_type"], "no refresh token, no ID token");
            let said = claims(&given.access);
            assert_eq!((&said["sub"], &said["client_id"], &said["aud"]), (&json!(machine.id), &json!(machine.id), &json!(API)));
            assert_eq!(said["scope"], "deploy:read deploy:write");
            assert_eq!(jwt_part(&given.access, 0)["typ"], "at+jwt");
            verify_access_token(&key_set(&world).await, &given.access).unwrap();
            assert!(is_active(&world, &given.access).await);
            assert_eq!(world.user_info(&given.access).await.status, 403, "nobody is behind it");
            // D2: the token endpoint's address is an audience of this grant as well, and so are both in a list.
            for aud in [json!(format!("{}/oauth2/token", world.base)), json!([world.base, format!("{}/oauth2/token", world.base)])] {
                let mut made = world.assertion_claims(&machine.id);
                made["aud"] = aud;
                granted(&world.present(&machine.signer.assertion(&made), &[]).await);
            }
        }
    }

    async fn scope_is_narrowed_and_never_widened_c15(world: World) {
        let machine = world.machine("ci", Algorithm::Es256, json!({})).await;
        assert_eq!(granted(&world.machine_token(&machine, &[("scope", "deploy:read")]).await).scope, "deploy:read");
        refused(&world.machine_token(&machine, &[("scope", "deploy:read admin")]).await, 400, "invalid_scope");
        let within = |scope: &str| {
            let mut made = world.assertion_claims(&machine.id);
            made["scope"] = json!(scope);
            machine.signer.assertion(&made)
        };
        assert_eq!(granted(&world.present(&within("deploy:read"), &[]).await).scope, "deploy:read");
        refused(&world.present(&within("admin"), &[]).await, 400, "invalid_scope");
        refused(&world.present(&within("deploy:read"), &[("scope", "deploy:write")]).await, 400, "invalid_scope");
        // Nothing was spent by a request that asked for too much.
        let assertion = machine.signer.assertion(&world.assertion_claims(&machine.id));
        refused(&world.present(&assertion, &[("scope", "admin")]).await, 400, "invalid_scope");
        granted(&world.present(&assertion, &[]).await);
        for scope in ["openid", "offline_access"] {
            let policy = serde_json::from_value(json!({ "scope": scope })).unwrap();
            let refused = service_accounts::add(world.app(), by(), "person", policy).await.unwrap_err().to_string();
            assert!(refused.starts_with("scope: "), "{refused}");
        }
    }

    async fn the_resource_decides_the_audience_c23_c41(world: World) {
        let other = "http://127.0.0.1:14605/mcp";
        let machine = world.machine("ci", Algorithm::Es256, json!({"audience": [API, other]})).await;
        let aud = |reply: &Reply| claims(&granted(reply).access)["aud"].clone();
        assert_eq!(aud(&world.machine_token(&machine, &[]).await), json!([API, other]));
        assert_eq!(aud(&world.machine_token(&machine, &[("resource", other)]).await), json!(other));
        for wrong in ["https://deploy.example/", "HTTP://127.0.0.1:14605/mcp", "https://elsewhere.example"] {
            refused(&world.machine_token(&machine, &[("resource", wrong)]).await, 400, "invalid_target");
        }
        // C41: a client for itself, by secret; the token is for what was named.
        let client = world.add_client(json!({"audience": [API, other]})).await;
        let reply = world.token(&client, &[("grant_type", "client_credentials"), ("resource", other), ("scope", "read")]).await;
        assert_eq!(aud(&reply), json!(other));
    }

    async fn stock_google_auth_is_taken_where_an_account_says_so_c13_c14_c15_d8(world: World) {
        let strict = world.machine("strict", Algorithm::Rs256, json!({"audience": [API]})).await;
        let google = world.machine("google", Algorithm::Rs256, json!({"audience": [API], "google_auth": true})).await;
        let now = world.now();
        let stock = |machine: &crate::world::Machine| {
            machine.signer.assertion(&json!({"iat": now, "exp": now + 3600, "iss": machine.id,
                "aud": "https://oauth2.googleapis.com/token", "scope": "deploy:write"}))
        };
        refused(&world.present(&stock(&strict), &[]).await, 400, "invalid_grant");
        assert_eq!(granted(&world.present(&stock(&google), &[]).await).scope, "deploy:write");
        // D8: without a jti there is nothing that makes it once; with one it is once.
        granted(&world.present(&stock(&google), &[]).await);
        // C15: golang.org/x/oauth2/jwt names the token endpoint, and neither sub nor jti.
        let go = |machine: &crate::world::Machine| {
            machine.signer.assertion(&json!({"iss": machine.id, "scope": "deploy:read", "iat": now, "exp": now + 3600,
                "aud": format!("{}/oauth2/token", world.base)}))
        };
        refused(&world.present(&go(&strict), &[]).await, 400, "invalid_grant");
        granted(&world.present(&go(&google), &[]).await);
        let mut with_jti = world.assertion_claims(&google.id);
        with_jti["aud"] = json!("https://oauth2.googleapis.com/token");
        let with_jti = google.signer.assertion(&with_jti);
        granted(&world.present(&with_jti, &[]).await);
        refused(&world.present(&with_jti, &[]).await, 400, "invalid_grant");
        // C13: ID token credentials.
        let asks = |target: &str| {
            google.signer.assertion(&json!({"iat": now, "exp": now + 3600, "iss": google.id,
                "aud": "https://oauth2.googleapis.com/token", "target_audience": target}))
        };
        let reply = world.present(&asks(API), &[]).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        let token = reply.json()["id_token"].as_str().unwrap().to_owned();
        assert!(reply.json().get("access_token").is_none());
        let said = claims(&token);
        assert_eq!((&said["aud"], &said["sub"], &said["iss"]), (&json!(API), &json!(google.id), &json!(world.base)));
        assert_eq!(jwt_part(&token, 0)["alg"], "RS256");
        refused(&world.present(&asks("https://elsewhere.example"), &[]).await, 400, "invalid_target");
    }

    async fn what_will_never_work_is_not_told_to_be_tried_again_c17(world: World) {
        let machine = world.machine("ci", Algorithm::Es256, json!({})).await;
        let spent = machine.signer.assertion(&world.assertion_claims(&machine.id));
        granted(&world.present(&spent, &[]).await);
        let mut expired = world.assertion_claims(&machine.id);
        expired["exp"] = json!(world.now() - 100);
        let fresh = || machine.signer.assertion(&world.assertion_claims(&machine.id));
        let mut answers = vec![
            world.present(&spent, &[]).await,
            world.present(&machine.signer.assertion(&expired), &[]).await,
            world.present(&machine.signer.assertion(&world.assertion_claims("nobody@example.com")), &[]).await,
            world.present(&Signer::es256().assertion(&world.assertion_claims(&machine.id)), &[]).await,
            world.present(&fresh(), &[("scope", "admin")]).await,
            world.present(&fresh(), &[("resource", "https://elsewhere.example")]).await,
            world.present("x", &[]).await,
        ];
        service_accounts::set_disabled(world.app(), by(), "ci", true).await.unwrap();
        answers.push(world.present(&fresh(), &[]).await);
        for answer in answers {
            assert_eq!(answer.status, 400, "{}", answer.text);
            for word in ["internal_failure", "server_error", "temporarily_unavailable"] {
                assert!(!answer.text.contains(word), "{}", answer.text);
            }
        }
    }

    async fn a_key_file_is_what_google_auth_reads_c16(world: World) {
        let account = world.account("ci", json!({})).await;
        for alg in Algorithm::ALL {
            let (key, pem) = service_accounts::make_key(world.app(), by(), &account, alg, None).await.unwrap();
            let file = service_accounts::key_file(world.app(), &account, &key, &pem);
            for member in ["type", "project_id", "private_key_id", "private_key", "client_email", "client_id", "token_uri", "issuer"] {
                assert!(file[member].as_str().is_some_and(|text| !text.is_empty()), "{member}");
            }
            assert_eq!(file["type"], "service_account");
            assert_eq!(file["token_uri"], format!("{}/oauth2/token", world.base));
            let pem = file["private_key"].as_str().unwrap();
            assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n") && pem.ends_with("-----END PRIVATE KEY-----\n"));
            // Code that is not ours reads the key and signs with it.
            let header = json!({"alg": alg.name(), "kid": key.kid});
            let assertion = signed_with_pem(alg, pem, &header, &world.assertion_claims(account.id.as_str()));
            granted(&world.present(&assertion, &[]).await);
        }
    }

    async fn nothing_of_a_private_key_is_kept(world: World) {
        let account = world.account("ci", json!({})).await;
        let (_, pem) = service_accounts::make_key(world.app(), by(), &account, Algorithm::Es256, None).await.unwrap();
        let body: String = pem.reveal().lines().filter(|line| !line.starts_with('-')).collect();
        assert!(world.stores(account.id.as_str()).await, "the account is there");
        for part in body.as_bytes().chunks(32).map(|part| str::from_utf8(part).unwrap()) {
            assert!(part.len() < 32 || !world.stores(part).await);
        }
    }

    async fn a_disabled_account_is_out_at_once_with_its_tokens_s_j13(world: World) {
        let machine = world.machine("ci", Algorithm::Es256, json!({"audience": [API]})).await;
        let token = granted(&world.machine_token(&machine, &[]).await).access;
        assert!(is_active(&world, &token).await);
        service_accounts::set_disabled(world.app(), by(), "ci", true).await.unwrap();
        assert!(!is_active(&world, &token).await);
        refused(&world.machine_token(&machine, &[]).await, 400, "invalid_grant");
        service_accounts::set_disabled(world.app(), by(), "ci", false).await.unwrap();
        assert!(is_active(&world, &token).await, "within its time, it is what it was");
        granted(&world.machine_token(&machine, &[]).await);
    }

    async fn a_revoked_key_takes_its_tokens_along_and_no_others(world: World) {
        let machine = world.machine("ci", Algorithm::Es256, json!({"audience": [API]})).await;
        let second = Signer::es256();
        let account = service_accounts::find(world.app(), "ci").await.unwrap();
        service_accounts::register_key(world.app(), by(), &account, &second.jwk.to_string(), None).await.unwrap();
        let first_token = granted(&world.machine_token(&machine, &[]).await).access;
        let by_second = || second.assertion(&world.assertion_claims(&machine.id));
        let second_token = granted(&world.present(&by_second(), &[]).await).access;
        let account = service_accounts::find(world.app(), "ci").await.unwrap();
        service_accounts::revoke_key(world.app(), by(), &account, &machine.signer.kid).await.unwrap();
        assert!(!is_active(&world, &first_token).await);
        assert!(is_active(&world, &second_token).await);
        refused(&world.machine_token(&machine, &[]).await, 400, "invalid_grant");
        granted(&world.present(&by_second(), &[]).await);
        // Its name is used up: nobody registers it again by mistake.
        let again = service_accounts::register_key(world.app(), by(), &account, &machine.signer.jwk.to_string(), None).await;
        assert!(again.unwrap_err().to_string().starts_with("kid: "));
    }

    async fn an_account_asks_about_and_gives_back_its_own_tokens(world: World) {
        let machine = world.machine("ci", Algorithm::Es256, json!({})).await;
        let token = granted(&world.machine_token(&machine, &[]).await).access;
        let ask = |path: &'static str| {
            let assertion = machine.signer.assertion(&world.assertion_claims(&machine.id));
            let (world, token) = (&world, token.clone());
            async move {
                let form = [("token", token.as_str()), ("client_assertion_type", CLIENT_ASSERTION), ("client_assertion", &assertion)];
                world.post(path, None, &form).await
            }
        };
        assert_eq!(ask("/oauth2/introspect").await.json()["sub"], machine.id);
        assert_eq!(ask("/oauth2/revoke").await.status, 200);
        assert_eq!(ask("/oauth2/introspect").await.text, r#"{"active":false}"#);
        // It authenticates, and may use no grant of clients.
        let assertion = machine.signer.assertion(&world.assertion_claims(&machine.id));
        let form = [("grant_type", "client_credentials"), ("client_assertion_type", CLIENT_ASSERTION), ("client_assertion", &assertion)];
        refused(&world.post("/oauth2/token", None, &form).await, 400, "unauthorized_client");
    }

    async fn names_and_ids_are_given_once_s_t13(world: World) {
        let account = world.account("ci", json!({})).await;
        let policy = account.policy.clone();
        let taken = service_accounts::add(world.app(), by(), "ci", policy).await.unwrap_err().to_string();
        assert_eq!(taken, "name: ci is taken");
        let file = json!({"client_id": account.id, "grant_types": ["client_credentials"], "response_types": []});
        let (id, secret, metadata) = cnx::oauth::client_registration::from_json(&file.to_string()).unwrap();
        let added = cnx::flow::clients::add(world.app(), by(), metadata, id, secret).await.unwrap_err().to_string();
        assert!(added.ends_with("is taken"), "{added}");
    }

    async fn a_client_may_stand_between_and_must_be_registered_for_it(world: World) {
        let machine = world.machine("ci", Algorithm::Es256, json!({})).await;
        let plain = world.web_client().await;
        let assertion = || machine.signer.assertion(&world.assertion_claims(&machine.id));
        let asked = |text: &str| [("grant_type", crate::world::JWT_BEARER), ("assertion", text)].map(|(n, v)| (n, v.to_owned()));
        let form = asked(&assertion());
        let form: Vec<(&str, &str)> = form.iter().map(|(n, v)| (*n, v.as_str())).collect();
        refused(&world.token(&plain, &form).await, 400, "unauthorized_client");
        let between = world.add_client(json!({"grant_types": [crate::world::JWT_BEARER], "response_types": []})).await;
        let given = granted(&world.token(&between, &form).await);
        let said = claims(&given.access);
        assert_eq!((&said["sub"], &said["client_id"]), (&json!(machine.id), &json!(between.id)));
        let mut wrong = between.clone();
        wrong.secret = Some("wrong".to_owned());
        refused(&world.token(&wrong, &form).await, 401, "invalid_client");
    }
}

/// Who, with which key, from where, and which rule said no: to us, not to the caller; and nothing that could be used.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_and_refused_is_written_down_and_no_assertion_is_s_h14_s_h13() {
    let log = crate::world::Log::capture();
    let world = World::new(On::Sqlite).await.unwrap();
    let machine = world.machine("ci", Algorithm::Es256, json!({})).await;
    let taken = machine.signer.assertion(&world.assertion_claims(&machine.id));
    granted(&world.present(&taken, &[]).await);
    let mut expired = world.assertion_claims(&machine.id);
    expired["exp"] = json!(world.now() - 100);
    let expired = machine.signer.assertion(&expired);
    refused(&world.present(&expired, &[]).await, 400, "invalid_grant");
    let forged = "nobody\nact=\"user.signed_in\" \u{1b}[31m";
    let stranger = Signer::es256().assertion(&world.assertion_claims(forged));
    refused(&world.present(&stranger, &[]).await, 400, "invalid_grant");
    let lines = log.lines();
    let line = |words: &[&str]| lines.iter().find(|line| words.iter().all(|word| line.contains(word)));
    let issued = line(&["machine_token.issued", &machine.id, &machine.signer.kid, "127.0.0.1"]);
    assert!(issued.is_some(), "{lines:#?}");
    assert!(
        line(&["assertion.refused", &machine.id, &machine.signer.kid, "expired", "request_id"]).is_some()
    );
    assert!(line(&["assertion.refused", "nobody", "reason=\"unknown\""]).is_some(), "{lines:#?}");
    assert!(
        !lines.iter().any(|line| line.starts_with("act=") || line.contains('\u{1b}')),
        "one record for one event"
    );
    for secret in [&taken, &expired, &stranger] {
        let signature = secret.rsplit('.').next().unwrap();
        assert!(!lines.iter().any(|line| line.contains(signature)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_ends_is_over_on_the_other_within_a_second_p3() {
    let Some(world) = World::new(On::Postgres).await else { return };
    let node = world.second_node().await;
    let machine = world.machine("ci", Algorithm::Es256, json!({})).await;
    let account = service_accounts::find(world.app(), "ci").await.unwrap();
    let present = || {
        let assertion = machine.signer.assertion(&world.assertion_claims(&machine.id));
        let request = world.http.post(format!("{}/oauth2/token", node.base));
        async move {
            let form = [("grant_type", crate::world::JWT_BEARER), ("assertion", assertion.as_str())];
            Reply::of(request.form(&form).send().await.unwrap()).await
        }
    };
    within_a_second("an account that was added", async || present().await.status == 200).await;
    let token = granted(&present().await).access;
    let about = |token: String| {
        let assertion = machine.signer.assertion(&world.assertion_claims(&machine.id));
        let request = world.http.post(format!("{}/oauth2/introspect", node.base));
        async move {
            let form = [
                ("token", token.as_str()),
                ("client_assertion_type", CLIENT_ASSERTION),
                ("client_assertion", &assertion),
            ];
            Reply::of(request.form(&form).send().await.unwrap()).await
        }
    };
    assert_eq!(about(token.clone()).await.json()["active"], true);
    service_accounts::revoke_key(world.app(), by(), &account, &machine.signer.kid).await.unwrap();
    within_a_second("a key that was revoked", async || present().await.error() == "invalid_grant").await;
    assert!(node.app().service_account(&machine.id).unwrap().keys[0].revoked_at.is_some());
    service_accounts::set_disabled(world.app(), by(), "ci", true).await.unwrap();
    within_a_second("an account that was disabled", async || {
        node.app().service_account(&machine.id).is_some_and(|account| !account.is_active())
    })
    .await;
    assert!(new_jti() != new_jti());
}
