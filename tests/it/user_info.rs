//! Userinfo (OIDC Core §5.3) as a protected resource (RFC 6750): who is told what, and who is refused how.

use std::collections::BTreeSet;

use cnx::flow::people;
use serde_json::{Value, json};

use crate::offline;
use crate::world::{Reply, TestClient, Tokens, World, by, claims, jwt_part, on_both};

const PATH: &str = "/oauth2/userinfo";

fn names(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

async fn tokens(world: &World, client: &TestClient, scope: &str) -> Tokens {
    world.browser().tokens(world, client, &[("scope", scope)], "ada").await
}

async fn post(world: &World, header: Option<&str>, body: Option<&[(&str, &str)]>) -> Reply {
    let mut request = world.http.post(world.url(PATH));
    if let Some(token) = header {
        request = request.bearer_auth(token);
    }
    if let Some(form) = body {
        request = request.form(form);
    }
    Reply::of(request.send().await.unwrap()).await
}

/// RFC 6750 §3: 401, the error in challenge and body, nothing of which check it was.
fn assert_invalid_token(reply: &Reply, what: &str) {
    assert_eq!((reply.status, reply.error().as_str()), (401, "invalid_token"), "{what}: {}", reply.text);
    let challenge = reply.header("www-authenticate").unwrap();
    assert!(
        challenge.starts_with("Bearer ") && challenge.contains(r#"error="invalid_token""#),
        "{what}: {challenge}"
    );
    assert_eq!(reply.json()["error_description"], "the access token is not valid", "{what}");
    assert_eq!(reply.header("cache-control"), Some("no-store"), "{what}");
}

on_both! {
    async fn it_answers_json_about_the_subject_r13_s_u6_c26(world: World) {
        let user = world.add_user("ada").await;
        let client = world.web_client().await;
        let tokens = tokens(&world, &client, "openid profile email address phone").await;
        let reply = world.user_info(&tokens.access).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert!(reply.header("date").is_some());
        let info = reply.json();
        assert_eq!(info["sub"], claims(tokens.id())["sub"]);
        assert_eq!(info["sub"], user.id.to_string());
        assert_eq!(
            (info["email"].as_str(), info["name"].as_str(), info["preferred_username"].as_str()),
            (Some("ada@example.com"), Some("Ada Lovelace"), Some("ada"))
        );
        assert_eq!((&info["email_verified"], &info["phone_number_verified"]), (&json!(true), &json!(true)));
        assert_eq!(info["address"]["country"], "UK");
        assert!(info["address"].is_object() && info["updated_at"].is_i64());
        for text in [
            "family_name",
            "given_name",
            "birthdate",
            "zoneinfo",
            "locale",
            "phone_number",
            "picture",
            "website",
        ] {
            assert!(info[text].is_string(), "{text}");
        }
    }

    async fn it_answers_get_and_post_with_header_or_body_r38(world: World) {
        world.add_user("ada").await;
        let client = world.web_client().await;
        let tokens = tokens(&world, &client, "openid email").await;
        let by_get = world.user_info(&tokens.access).await;
        assert_eq!(by_get.status, 200);
        for (what, reply) in [
            ("header", post(&world, Some(&tokens.access), None).await),
            ("header with an empty form", post(&world, Some(&tokens.access), Some(&[])).await),
            ("body", post(&world, None, Some(&[("access_token", &tokens.access)])).await),
        ] {
            assert_eq!((reply.status, reply.json()), (200, by_get.json()), "{what}");
        }
        let lower =
            world.http.get(world.url(PATH)).header("authorization", format!("bearer {}", tokens.access));
        assert_eq!(lower.send().await.unwrap().status(), 200, "a scheme is compared without case");
        let put = world.http.put(world.url(PATH)).bearer_auth(&tokens.access).send().await.unwrap();
        assert_eq!(
            (put.status().as_u16(), put.headers()["allow"].to_str().unwrap()),
            (405, "GET, POST, HEAD, OPTIONS")
        );
    }

    async fn each_scope_gives_its_claims_and_no_other_r39_r40(world: World) {
        world.add_user("ada").await;
        let client = world.web_client().await;
        let profile = [
            "name",
            "family_name",
            "given_name",
            "middle_name",
            "nickname",
            "preferred_username",
            "profile",
            "picture",
            "website",
            "gender",
            "birthdate",
            "zoneinfo",
            "locale",
            "updated_at",
        ];
        for (scope, expected) in [
            ("openid", &[][..]),
            ("openid profile", &profile[..]),
            ("openid email", &["email", "email_verified"][..]),
            ("openid address", &["address"][..]),
            ("openid phone", &["phone_number", "phone_number_verified"][..]),
            ("openid offline_access read", &[][..]),
        ] {
            let tokens = tokens(&world, &client, scope).await;
            let info = world.user_info(&tokens.access).await.json();
            let expected: BTreeSet<&str> = expected.iter().copied().chain(["sub"]).collect();
            assert_eq!(names(&info), expected, "{scope}");
        }
    }

    async fn a_client_may_have_it_signed_r70(world: World) {
        let user = world.add_user("ada").await;
        for alg in ["RS256", "ES256", "EdDSA"] {
            let client = world.add_client(json!({"userinfo_signed_response_alg": alg})).await;
            let tokens = tokens(&world, &client, "openid email").await;
            let reply = world.user_info(&tokens.access).await;
            assert_eq!(
                (reply.status, reply.header("content-type")),
                (200, Some("application/jwt")),
                "{}",
                reply.text
            );
            assert_eq!(reply.header("cache-control"), Some("no-store"));
            let (header, told) = (jwt_part(&reply.text, 0), jwt_part(&reply.text, 1));
            assert_eq!(header["alg"], alg);
            assert_eq!(
                told,
                json!({"sub": user.id.to_string(), "email": "ada@example.com", "email_verified": true,
                "iss": world.base, "aud": client.id}),
                "iss and aud, and no nonce"
            );
            let keys = offline::key_set(&world).await;
            assert!(offline::is_signed(&keys, &reply.text), "{alg}");
            // A signed answer is no access token and no hint of a session.
            assert_invalid_token(&world.user_info(&reply.text).await, "a userinfo answer as a token");
        }
    }

    async fn without_a_token_it_challenges_and_no_more_s_u1_c26(world: World) {
        for (what, reply) in [
            ("GET", world.get(PATH).await),
            ("POST", post(&world, None, None).await),
            ("an empty form", post(&world, None, Some(&[])).await),
            (
                "another scheme",
                Reply::of(world.http.get(world.url(PATH)).basic_auth("a", Some("b")).send().await.unwrap())
                    .await,
            ),
            (
                "an empty token",
                Reply::of(
                    world.http.get(world.url(PATH)).header("authorization", "Bearer ").send().await.unwrap(),
                )
                .await,
            ),
        ] {
            assert_eq!((reply.status, reply.text.as_str()), (401, ""), "{what}");
            assert_eq!(
                reply.header("www-authenticate"),
                Some(r#"Bearer realm="cnx""#),
                "{what}: no error code"
            );
        }
    }

    async fn what_is_no_access_token_is_refused_s_u2(world: World) {
        world.add_user("ada").await;
        let client = world.web_client().await;
        let opaque_client = world.add_client(json!({"access_token_format": "opaque"})).await;
        let tokens = tokens(&world, &client, "openid offline_access").await;
        let opaque = world.browser().tokens(&world, &opaque_client, &[("scope", "openid")], "ada").await;
        assert_eq!(world.user_info(&opaque.access).await.status, 200);
        let code = world.browser().authorize(&crate::world::authorize_path(&client, &[]), "ada").await.code();
        let mut flipped = opaque.access.clone().into_bytes();
        let middle = flipped.len() / 2;
        flipped[middle] = if flipped[middle] == b'A' { b'B' } else { b'A' };
        let swapped: String = opaque
            .access
            .chars()
            .map(|c| if c.is_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
            .collect();
        let long = "a".repeat(6000);
        for (what, token) in [
            ("garbage", "garbage".to_owned()),
            ("dots", "..".to_owned()),
            ("long", long),
            ("an ID token", tokens.id().to_owned()),
            ("a refresh token", tokens.refresh().to_owned()),
            ("a code", code),
            ("the prefix alone", "cnx_at_".to_owned()),
            ("opaque, cut", opaque.access[..opaque.access.len() - 1].to_owned()),
            ("opaque, longer", format!("{}A", opaque.access)),
            ("opaque, flipped", String::from_utf8(flipped).unwrap()),
            ("opaque, other case", swapped),
            ("opaque without its prefix", opaque.access["cnx_at_".len()..].to_owned()),
        ] {
            assert_invalid_token(&world.user_info(&token).await, what);
            let in_body = post(&world, None, Some(&[("access_token", &token)])).await;
            assert_invalid_token(&in_body, what);
        }
        world.advance(600);
        assert_invalid_token(&world.user_info(&tokens.access).await, "expired");
        assert_invalid_token(&world.user_info(&opaque.access).await, "expired, opaque");
    }

    async fn forged_signatures_are_refused_s_u3(world: World) {
        world.add_user("ada").await;
        let client = world.web_client().await;
        let tokens = tokens(&world, &client, "openid").await;
        let keys = offline::key_set(&world).await;
        for (what, forged) in offline::forgeries(&keys, &tokens.access) {
            assert_invalid_token(&world.user_info(&forged).await, what);
        }
        assert_eq!(world.user_info(&tokens.access).await.status, 200, "the good one is still good");
    }

    async fn a_token_without_openid_is_not_enough_s_u4(world: World) {
        world.add_user("ada").await;
        let client = world.web_client().await;
        let plain = tokens(&world, &client, "read").await;
        assert!(plain.id.is_none());
        let own = Tokens::of(&world.token(&client, &[("grant_type", "client_credentials")]).await);
        for (what, token) in [("no openid", &plain.access), ("a client's own", &own.access)] {
            let reply = world.user_info(token).await;
            assert_eq!((reply.status, reply.error().as_str()), (403, "insufficient_scope"), "{what}");
            let challenge = reply.header("www-authenticate").unwrap();
            assert!(
                challenge.contains(r#"error="insufficient_scope""#)
                    && challenge.contains(r#"scope="openid""#),
                "{challenge}"
            );
        }
    }

    async fn one_token_in_one_place_never_in_the_address_s_u5(world: World) {
        world.add_user("ada").await;
        let client = world.web_client().await;
        let tokens = tokens(&world, &client, "openid").await;
        let in_query = format!("{PATH}?access_token={}", tokens.access);
        let with_both =
            Reply::of(world.http.get(world.url(&in_query)).bearer_auth(&tokens.access).send().await.unwrap())
                .await;
        let twice = world.http.get(world.url(PATH)).bearer_auth(&tokens.access).bearer_auth(&tokens.access);
        let repeated = [("access_token", tokens.access.as_str()), ("access_token", tokens.access.as_str())];
        for (what, reply) in [
            ("query", world.get(&in_query).await),
            ("query and header", with_both),
            ("header and body", post(&world, Some(&tokens.access), Some(&repeated[..1])).await),
            ("two headers", Reply::of(twice.send().await.unwrap()).await),
            ("twice in the body", post(&world, None, Some(&repeated)).await),
        ] {
            assert_eq!(
                (reply.status, reply.error().as_str()),
                (400, "invalid_request"),
                "{what}: {}",
                reply.text
            );
            assert!(!reply.text.contains(&tokens.access), "{what}: the token is not repeated");
        }
    }

    async fn a_token_whose_person_grant_or_client_is_gone_is_refused_s_u7(world: World) {
        let user = world.add_user("ada").await;
        let client = world.web_client().await;
        let opaque = world.add_client(json!({"access_token_format": "opaque"})).await;

        let revoked = tokens(&world, &client, "openid").await;
        let reply = world.post("/oauth2/revoke", Some(&client), &[("token", &revoked.access)]).await;
        assert_eq!(reply.status, 200);
        assert_invalid_token(&world.user_info(&revoked.access).await, "revoked");

        // Signed out: what was not asked for offline ends with the session.
        let browser = world.browser();
        let online = browser.tokens(&world, &client, &[("scope", "openid")], "ada").await;
        browser.open(&format!("/oauth2/logout?id_token_hint={}", online.id())).await;
        assert_invalid_token(&world.user_info(&online.access).await, "signed out");

        let (jwt, sealed) =
            (tokens(&world, &client, "openid offline_access").await, tokens(&world, &opaque, "openid").await);
        for token in [&jwt.access, &sealed.access] {
            assert_eq!(world.user_info(token).await.status, 200);
        }
        people::set_disabled(world.app(), by(), user.id, true).await.unwrap();
        for token in [&jwt.access, &sealed.access] {
            assert_invalid_token(&world.user_info(token).await, "the person is disabled");
        }
        people::set_disabled(world.app(), by(), user.id, false).await.unwrap();
        for token in [&jwt.access, &sealed.access] {
            assert_invalid_token(
                &world.user_info(token).await,
                "enabled again, and yet what was ended stays so",
            );
        }
        let again = tokens(&world, &client, "openid").await;
        cnx::flow::clients::delete(world.app(), by(), &client.id).await.unwrap();
        assert_invalid_token(&world.user_info(&again.access).await, "the client is deleted");
    }
}
