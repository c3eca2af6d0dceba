//! ID tokens (OIDC Core §2) and JWT access tokens (RFC 9068), checked offline with other people's code.

use std::collections::BTreeSet;

use cnx::account::user::User;
use cnx::base::algorithm::Algorithm;
use cnx::base::time::{Clock, Timestamp};
use cnx::flow::people::{self, NewPerson};
use cnx::oauth::client::AccessTokenFormat;
use cnx::store::users;
use serde_json::{Map, Value, json};

use crate::offline::{self, Expected};
use crate::world::{On, START, Tokens, World, by, claims, jwt_part, on_both};

/// All that an ID token may hold unasked beside an access token (R11).
const UNASKED: [&str; 15] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "auth_time",
    "nonce",
    "acr",
    "amr",
    "azp",
    "at_hash",
    "c_hash",
    "nbf",
    "jti",
    "sid",
];

fn names(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

async fn own_token(world: &World, client: &crate::world::TestClient) -> String {
    let reply = world.token(client, &[("grant_type", "client_credentials")]).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    Tokens::of(&reply).access
}

on_both! {
    async fn other_peoples_code_accepts_them_in_every_algorithm_r10_r17_s_i1(world: World) {
        let user = world.add_user("ada").await;
        let browser = world.browser();
        let keys = offline::key_set(&world).await;
        for (registered, alg) in
            [(None, "RS256"), (Some("RS256"), "RS256"), (Some("ES256"), "ES256"), (Some("EdDSA"), "EdDSA")]
        {
            let mut members = json!({});
            if let Some(alg) = registered {
                members["id_token_signed_response_alg"] = alg.into();
            }
            let client = world.add_client(members).await;
            let tokens = browser.tokens(&world, &client, &[], "ada").await;
            let header = jwt_part(tokens.id(), 0);
            assert_eq!(
                names(&header),
                BTreeSet::from(["alg", "kid", "typ"]),
                "no key, no address of one: {header}"
            );
            assert_eq!((header["alg"].as_str(), header["typ"].as_str()), (Some(alg), Some("JWT")));
            let key =
                keys["keys"].as_array().unwrap().iter().find(|key| key["kid"] == header["kid"]).unwrap();
            assert_eq!(key["alg"], alg);

            let expected = Expected {
                issuer: &world.base,
                client: &client.id,
                nonce: Some("nonce-1"),
                access_token: &tokens.access,
                now: world.now(),
            };
            assert_eq!(
                offline::verify_id_token(&keys, tokens.id(), &expected),
                Ok(user.id.to_string()),
                "{alg}"
            );
            // And the checker does check.
            for wrong in [
                Expected { client: "another", ..expected },
                Expected { issuer: "http://localhost:1", ..expected },
                Expected { nonce: Some("nonce-2"), ..expected },
                Expected { nonce: None, ..expected },
                Expected { access_token: "another", ..expected },
                Expected { now: world.now() + 3601, ..expected },
            ] {
                offline::verify_id_token(&keys, tokens.id(), &wrong).unwrap_err();
            }
            for (what, forged) in offline::forgeries(&keys, tokens.id()) {
                assert!(offline::verify_id_token(&keys, &forged, &expected).is_err(), "{what}");
            }
        }
    }

    async fn they_say_who_signed_in_to_whom_and_when_s_i1_c27(world: World) {
        let user = world.add_user("ada").await;
        let client = world.web_client().await;
        let browser = world.browser();
        let signed_in_at = world.now();
        let tokens = browser.tokens(&world, &client, &[], "ada").await;
        let id = claims(tokens.id());
        assert_eq!(
            names(&id),
            BTreeSet::from([
                "iss",
                "sub",
                "aud",
                "azp",
                "exp",
                "iat",
                "auth_time",
                "nonce",
                "at_hash",
                "acr",
                "amr",
                "sid"
            ])
        );
        assert_eq!(id["aud"], client.id.as_str(), "the client alone, as text");
        assert_eq!(
            (id["azp"].as_str(), id["sub"].as_str()),
            (Some(client.id.as_str()), Some(user.id.to_string().as_str()))
        );
        assert_eq!(
            (id["iat"].as_i64(), id["exp"].as_i64()),
            (Some(signed_in_at), Some(signed_in_at + 3600)),
            "an hour at most"
        );
        assert_eq!(id["auth_time"], signed_in_at);
        assert_eq!((&id["acr"], &id["amr"]), (&json!("urn:cloudnexus:acr:password"), &json!(["pwd"])));
        let sid = id["sid"].as_str().unwrap().to_owned();

        // The same session later: same sid and auth_time, a later iat; no nonce was sent, so there is none.
        world.advance(100);
        let later = browser.tokens(&world, &client, &[("nonce", ""), ("max_age", "10000")], "ada").await;
        let id = claims(later.id());
        assert_eq!((id["sid"].as_str(), id["auth_time"].as_i64()), (Some(sid.as_str()), Some(signed_in_at)));
        assert_eq!(id["iat"], signed_in_at + 100);
        assert!(id.get("nonce").is_none());
        // Another session of the same person has another sid.
        let other = world.browser().tokens(&world, &client, &[], "ada").await;
        assert_ne!(claims(other.id())["sid"], sid.as_str());
    }

    async fn nothing_of_the_person_stands_in_them_unasked_r11(world: World) {
        world.add_user("ada").await;
        let client = world.web_client().await;
        let scope = "openid profile email address phone offline_access";
        let tokens = world.browser().tokens(&world, &client, &[("scope", scope)], "ada").await;
        assert_eq!(tokens.scope, "address email offline_access openid phone profile");
        let id = claims(tokens.id());
        for name in names(&id) {
            assert!(UNASKED.contains(&name), "{name} was not asked for");
        }
        let text = id.to_string();
        for secret in ["ada@example.com", "Lovelace", "7946"] {
            assert!(!text.contains(secret), "{text}");
        }
    }

    async fn the_claims_parameter_puts_claims_where_it_says_r49(world: World) {
        world.add_user("ada").await;
        let client = world.web_client().await;
        let browser = world.browser();
        let asked = r#"{"userinfo":{"name":{"essential":true}}}"#;
        let tokens = browser.tokens(&world, &client, &[("scope", "openid"), ("claims", asked)], "ada").await;
        assert!(claims(tokens.id()).get("name").is_none(), "asked for at userinfo");
        let info = world.user_info(&tokens.access).await.json();
        assert_eq!(
            (names(&info), info["name"].as_str()),
            (BTreeSet::from(["name", "sub"]), Some("Ada Lovelace"))
        );

        let asked = r#"{"id_token":{"email":null,"nickname":{"essential":true},"no_such_claim":null,"auth_time":{"essential":true}}}"#;
        let tokens = browser.tokens(&world, &client, &[("scope", "openid"), ("claims", asked)], "ada").await;
        let id = claims(tokens.id());
        assert_eq!((id["email"].as_str(), id["nickname"].as_str()), (Some("ada@example.com"), Some("ada")));
        assert!(id.get("no_such_claim").is_none() && id["auth_time"].is_i64());
        assert_eq!(names(&world.user_info(&tokens.access).await.json()), BTreeSet::from(["sub"]));
    }

    async fn nothing_stored_of_a_person_overwrites_what_we_state_s_i2(world: World) {
        let evil = json!({
            "iss": "https://evil.example", "sub": "root", "aud": "evil", "azp": "evil", "exp": 9_999_999_999_i64, "iat": 1, "nbf": 1,
            "auth_time": 1, "nonce": "evil", "at_hash": "evil", "acr": "evil", "amr": ["evil"], "sid": "evil", "jti": "evil",
            "email_verified": true, "email": "boss@example.com", "preferred_username": "root", "updated_at": 1, "client_id": "evil",
            "scope": "admin", "is_admin": true
        });
        let person = |claims: Map<String, Value>| NewPerson {
            email: Some("eve@example.com".to_owned()),
            username: Some("eve".to_owned()),
            name: Some("Eve".to_owned()),
            email_verified: false,
            role: cnx::account::role::Role::Member,
            claims,
            password: Some(cnx::base::secret::Secret::new(crate::world::PASSWORD.to_owned())),
        };
        // The front door refuses reserved names one by one.
        for name in [
            "iss",
            "sub",
            "aud",
            "exp",
            "iat",
            "nonce",
            "auth_time",
            "acr",
            "amr",
            "azp",
            "sid",
            "at_hash",
            "email_verified",
        ] {
            let one = Map::from_iter([(name.to_owned(), evil[name].clone())]);
            let refused = people::add(world.app(), by(), person(one)).await.unwrap_err().to_string();
            assert!(refused.starts_with("claims: ") && refused.contains(name), "{refused}");
        }
        // And were they in the row, nothing would come of it.
        let mut eve: User = people::check(world.app(), person(Map::new())).await.unwrap();
        eve.claims = evil.as_object().unwrap().clone();
        let row = eve.clone();
        world.app().store.write(move |conn| users::insert(conn, &row)).await.unwrap();

        let every: Map<String, Value> = evil
            .as_object()
            .unwrap()
            .keys()
            .filter(|n| *n != "sub")
            .map(|n| (n.clone(), Value::Null))
            .collect();
        let asked = json!({"id_token": every, "userinfo": every}).to_string();
        let client = world.web_client().await;
        let tokens = world.browser().tokens(&world, &client, &[("claims", &asked)], "eve").await;
        let keys = offline::key_set(&world).await;
        let expected = Expected {
            issuer: &world.base,
            client: &client.id,
            nonce: Some("nonce-1"),
            access_token: &tokens.access,
            now: world.now(),
        };
        assert_eq!(offline::verify_id_token(&keys, tokens.id(), &expected), Ok(eve.id.to_string()));
        let id = claims(tokens.id());
        assert_eq!((&id["acr"], &id["amr"]), (&json!("urn:cloudnexus:acr:password"), &json!(["pwd"])));
        let info = world.user_info(&tokens.access).await.json();
        for (told, place) in
            [(&id, "ID token"), (&info, "userinfo"), (&claims(&tokens.access), "access token")]
        {
            let text = told.to_string();
            for word in ["evil", "root", "boss", "9999999999", "admin"] {
                assert!(!text.contains(word), "{place}: {text}");
            }
        }
        assert_eq!(
            (info["email"].as_str(), info["email_verified"].as_bool()),
            (Some("eve@example.com"), Some(false))
        );
        assert_eq!(info["preferred_username"], "eve");
    }

    async fn a_subject_is_nobodys_name_and_never_given_again_s_i3(world: World) {
        let ada = world.add_user("ada").await;
        let (first, second) = (world.web_client().await, world.web_client().await);
        let browser = world.browser();
        let sub =
            claims(browser.tokens(&world, &first, &[], "ada").await.id())["sub"].as_str().unwrap().to_owned();
        assert_eq!(claims(browser.tokens(&world, &second, &[], "ada").await.id())["sub"], sub.as_str());
        assert_eq!(sub.parse::<cnx::base::id::UserId>().unwrap(), ada.id);
        // Ada is renamed; somebody else takes her old name and address. Both keep their subject.
        let mut renamed = ada.clone();
        renamed.username = "countess".to_owned();
        renamed.email = Some("countess@example.com".to_owned());
        world.app().store.write(move |conn| users::update(conn, &renamed)).await.unwrap();
        world.add_user("ada").await;
        let new = claims(world.browser().tokens(&world, &first, &[], "ada").await.id())["sub"].clone();
        assert_ne!(new, sub.as_str());
        let old = claims(world.browser().tokens(&world, &first, &[], "countess").await.id())["sub"].clone();
        assert_eq!(old, sub.as_str());
    }

    async fn access_tokens_are_those_of_rfc_9068_c22(world: World) {
        let user = world.add_user("ada").await;
        let client = world.web_client().await;
        let keys = offline::key_set(&world).await;
        let tokens = world.browser().tokens(&world, &client, &[("scope", "openid read")], "ada").await;
        let of_person = offline::verify_access_token(&keys, &tokens.access).unwrap();
        let mut expected = BTreeSet::from([
            "iss",
            "aud",
            "exp",
            "iat",
            "jti",
            "client_id",
            "sub",
            "scope",
            "auth_time",
            "acr",
        ]);
        assert_eq!(names(&of_person), expected);
        assert_eq!(
            (of_person["sub"].as_str(), of_person["scope"].as_str()),
            (Some(user.id.to_string().as_str()), Some("openid read"))
        );
        assert_eq!(
            (of_person["aud"].as_str(), of_person["client_id"].as_str()),
            (Some(world.base.as_str()), Some(client.id.as_str()))
        );
        assert_eq!(of_person["exp"].as_i64().unwrap() - of_person["iat"].as_i64().unwrap(), 600);

        let of_client = offline::verify_access_token(&keys, &own_token(&world, &client).await).unwrap();
        expected.retain(|name| !["auth_time", "acr"].contains(name));
        assert_eq!(names(&of_client), expected);
        assert_eq!(of_client["sub"], client.id.as_str(), "the client is the subject");
        assert_ne!(of_client["jti"], of_person["jti"]);
        assert_eq!(names(&jwt_part(&tokens.access, 0)), BTreeSet::from(["alg", "kid", "typ"]));

        world
            .change_client(&client.id, |m| {
                m.audience = vec!["https://a.example".into(), "https://b.example".into()];
            })
            .await;
        let two = offline::verify_access_token(&keys, &own_token(&world, &client).await).unwrap();
        assert_eq!(two["aud"], json!(["https://a.example", "https://b.example"]));
        world.change_client(&client.id, |m| m.access_token_format = AccessTokenFormat::Opaque).await;
        let opaque = own_token(&world, &client).await;
        assert!(opaque.starts_with("cnx_at_") && !opaque.contains('.'), "{opaque}");
        assert_eq!(world.introspect(&client, &opaque).await["sub"], client.id.as_str());
    }
}

/// The database does not matter to signatures, so one is enough.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn access_tokens_may_be_signed_with_any_algorithm_c22() {
    for alg in Algorithm::ALL {
        let clock = Clock::manual(Timestamp::from_secs(START));
        let world = World::with(On::Sqlite, clock, |s| s.signing.access_token_alg = alg).await.unwrap();
        let client = world.web_client().await;
        let token = own_token(&world, &client).await;
        assert_eq!(jwt_part(&token, 0)["alg"], alg.name());
        let keys = offline::key_set(&world).await;
        assert!(offline::verify_access_token(&keys, &token).is_some(), "{alg}");
        for (what, forged) in offline::forgeries(&keys, &token) {
            assert_eq!(world.introspect(&client, &forged).await, json!({"active": false}), "{alg}: {what}");
        }
        assert_eq!(world.introspect(&client, &token).await["active"], true);
    }
}
