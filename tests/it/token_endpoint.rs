//! The token endpoint before any grant: what it reads, who may speak, how it answers (RFC 6749 §3.2, §5; RFC 9700).

use cnx::config;
use serde_json::json;

use crate::token_requests::{
    basic, code, exchange, exchange_with, granted, members, post_raw, refused, tokens,
};
use crate::world::{CALLBACK, Reply, TestClient, VERIFIER, authorize_path, claims, on_both};

const TOKEN: &str = "/oauth2/token";

on_both! {
    async fn only_a_posted_form_is_read_s_t1_r104(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let code = code(&world, &client, &[], "ada").await;
        let form = format!(
            "grant_type=authorization_code&code={code}&redirect_uri={CALLBACK}&code_verifier={VERIFIER}"
        );
        let with_credentials = format!("{form}&client_id={}&client_secret={}", client.id, client.secret());
        let auth = basic(&client.credentials());

        // RFC 6749 §3.2: POST. A GET with everything in the address stays without effect.
        for method in ["GET", "PUT", "DELETE", "PATCH", "HEAD"] {
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
            let address = world.url(&format!("{TOKEN}?{with_credentials}"));
            let request = world.http.request(method.clone(), address).header("authorization", &auth);
            let reply = Reply::of(request.send().await.unwrap()).await;
            assert_eq!(reply.status, 405, "{method}");
            assert!(reply.header("allow").unwrap().contains("POST"), "{method}");
            assert!(!reply.text.contains("access_token"));
        }
        // Another kind of body is no form, whatever it holds.
        for media in ["application/json", "text/plain", "multipart/form-data; boundary=x", "", "*/*"] {
            let request = world.http.post(world.url(TOKEN)).header("authorization", &auth).body(form.clone());
            let request = if media.is_empty() { request } else { request.header("content-type", media) };
            refused(&Reply::of(request.send().await.unwrap()).await, 400, "invalid_request");
        }
        // The address is not read: neither credentials nor parameters.
        refused(&post_raw(&world, &format!("{TOKEN}?{with_credentials}"), None, "").await, 401, "invalid_client");
        refused(&post_raw(&world, &format!("{TOKEN}?{with_credentials}"), None, &form).await, 401, "invalid_client");
        refused(&post_raw(&world, &format!("{TOKEN}?{form}"), Some(&auth), "").await, 400, "invalid_request");
        let reply = post_raw(&world, &format!("{TOKEN}?grant_type=password&code=x&code=y"), Some(&auth), &form).await;
        assert!(granted(&reply).refresh.is_some(), "the code was not spent, and the address changes nothing");
    }

    async fn a_repeated_parameter_is_refused_s_t2_r101(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let code = code(&world, &client, &[], "ada").await;
        let once = [
            ("grant_type", "authorization_code"), ("code", code.as_str()), ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER), ("client_id", client.id.as_str()), ("extra", "1"),
        ];
        for (name, value) in once {
            for second in [value, "", "other"] {
                let mut form = once.to_vec();
                form.push((name, second));
                refused(&world.post(TOKEN, Some(&client), &form).await, 400, "invalid_request");
            }
        }
        let twice = [("client_id", client.id.as_str()), ("client_secret", client.secret()), ("client_secret", client.secret())];
        refused(&world.post(TOKEN, None, &[&once[..4], &twice[..]].concat()).await, 400, "invalid_request");
        granted(&world.post(TOKEN, Some(&client), &once).await);

        // At the authorization endpoint: by redirect, but never to an address that stands there twice.
        let browser = world.browser();
        for (name, by_redirect) in [("scope", true), ("state", true), ("nonce", true), ("code_challenge", true), ("client_id", false), ("redirect_uri", false)] {
            let reply = browser.get(&format!("{}&{name}=x", authorize_path(&client, &[]))).await;
            if by_redirect {
                assert_eq!(reply.callback().error(), "invalid_request", "{name}");
                assert_eq!(reply.callback().get("code"), None, "{name}");
            } else {
                assert_eq!((reply.status, reply.location()), (400, None), "{name}");
            }
        }
    }

    async fn a_grant_type_is_known_and_registered_s_t3_s_t4(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        for (form, error) in [
            (&[][..], "invalid_request"),
            (&[("grant_type", "")], "invalid_request"),
            (&[("code", "x"), ("redirect_uri", CALLBACK)], "invalid_request"),
            (&[("grant_type", "implicit")], "unsupported_grant_type"),
            (&[("grant_type", "AUTHORIZATION_CODE"), ("code", "x")], "unsupported_grant_type"),
            (&[("grant_type", "authorization_code ")], "unsupported_grant_type"),
            (&[("grant_type", "password"), ("username", "ada"), ("password", crate::world::PASSWORD)], "unsupported_grant_type"),
            (&[("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", "x")], "unauthorized_client"),
            (&[("grant_type", "authorization_code")], "invalid_request"),
            (&[("grant_type", "refresh_token")], "invalid_request"),
        ] {
            refused(&world.token(&client, form).await, 400, error);
        }
        // A grant that exists and is not registered for this client.
        let code_only = world.add_client(json!({"grant_types": ["authorization_code"]})).await;
        let machine = world.add_client(json!({"grant_types": ["client_credentials"], "response_types": [], "redirect_uris": []})).await;
        let given = tokens(&world, &client, "ada").await;
        let refresh_form = [("grant_type", "refresh_token"), ("refresh_token", given.refresh())];
        for (client, form) in [
            (&code_only, &refresh_form[..]),
            (&code_only, &[("grant_type", "client_credentials")]),
            (&machine, &refresh_form),
            (&machine, &[("grant_type", "authorization_code"), ("code", "x")]),
        ] {
            refused(&world.token(client, form).await, 400, "unauthorized_client");
        }
        let code = code(&world, &code_only, &[("scope", "openid")], "ada").await;
        let reply = exchange(&world, &code_only, &code).await;
        assert_eq!(granted(&reply).refresh, None, "no refresh token for who cannot use it");
    }

    async fn an_answer_is_json_that_nobody_keeps_s_t5_r8_c8(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let code = code(&world, &client, &[], "ada").await;
        let reply = exchange(&world, &client, &code).await;
        granted(&reply);
        assert_eq!(reply.header("pragma"), Some("no-cache"));
        let json = reply.json();
        assert_eq!(members(&reply), ["access_token", "expires_in", "id_token", "refresh_token", "scope", "token_type"]);
        assert_eq!(json["token_type"], "Bearer");
        assert_eq!(json["expires_in"], 600, "a number");
        assert_eq!(json["scope"], "email offline_access openid profile");
        assert_eq!(claims(json["id_token"].as_str().unwrap())["aud"], client.id.as_str());
        // RFC 6750 §2.1: b64token.
        let access = json["access_token"].as_str().unwrap();
        assert!(access.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b)), "{access}");
        let reply = world.token(&client, &[("grant_type", "client_credentials"), ("scope", "read")]).await;
        assert_eq!((&reply.json()["scope"], &reply.json()["expires_in"]), (&json!("read"), &json!(600)));
    }

    async fn an_error_is_one_of_oauths_own_in_legal_characters_s_t5_r15_c7_pitfall_8(world: World) {
        let client = world.web_client().await;
        let auth = basic(&client.credentials());
        for (body, status, error) in [
            ("", 400, "invalid_request"),
            ("grant_type=%22%5C%0D%0A%C3%A4", 400, "unsupported_grant_type"),
            ("grant_type=refresh_token&refresh_token=%22%5C", 400, "invalid_grant"),
            ("grant_type=authorization_code&code=unknown", 400, "invalid_grant"),
            ("grant_type=client_credentials&scope=%22%5C", 400, "invalid_scope"),
            ("grant_type=client_credentials&scope=unheard-of", 400, "invalid_scope"),
            ("grant_type=client_credentials&resource=https%3A%2F%2Fother.example", 400, "invalid_target"),
            ("grant_type=client_credentials&%22%5C%0A=1&%22%5C%0A=2", 400, "invalid_request"),
            ("grant_type=%ff", 400, "invalid_request"),
            ("grant_type=client_credentials%00", 400, "invalid_request"),
            ("grant_type=%zz", 400, "invalid_request"),
        ] {
            refused(&post_raw(&world, TOKEN, Some(&auth), body).await, status, error);
        }
        let many = (0..2000).map(|i| format!("p{i}=")).collect::<Vec<_>>().join("&");
        refused(&post_raw(&world, TOKEN, Some(&auth), &many).await, 400, "invalid_request");
        let reply = post_raw(&world, TOKEN, Some(&auth), &"a".repeat(20_000)).await;
        assert_eq!((reply.status, reply.error().as_str()), (413, "invalid_request"));
    }

    async fn a_client_that_does_not_prove_itself_is_told_how_s_t6_c7(world: World) {
        let client = world.web_client().await;
        let grant = "grant_type=client_credentials";
        let id = format!("{grant}&client_id={}", client.id);
        for (authorization, body) in [
            (None, grant.to_owned()),
            (None, id.clone()),
            (None, format!("{id}&client_secret=wrong")),
            (None, format!("{id}&client_secret=")),
            (None, format!("{grant}&client_secret={}", client.secret())),
            (Some(basic(&format!("{}:wrong", client.id))), grant.to_owned()),
            (Some(basic(&format!("{}:", client.id))), grant.to_owned()),
            (Some(basic(&client.id)), grant.to_owned()),
            (Some(basic(&format!(":{}", client.secret()))), grant.to_owned()),
            (Some("Basic !!!".to_owned()), grant.to_owned()),
            (Some(format!("Bearer {}", client.secret())), grant.to_owned()),
            (Some("Digest username=x".to_owned()), grant.to_owned()),
        ] {
            let reply = post_raw(&world, TOKEN, authorization.as_deref(), &body).await;
            refused(&reply, 401, "invalid_client");
            let challenge = reply.header("www-authenticate").unwrap();
            assert!(challenge.starts_with("Basic realm="), "{challenge}");
        }
        // The same at the other endpoints where clients prove themselves.
        for path in ["/oauth2/introspect", "/oauth2/revoke"] {
            let wrong = basic(&format!("{}:wrong", client.id));
            refused(&post_raw(&world, path, Some(&wrong), "token=x").await, 401, "invalid_client");
        }
    }

    async fn two_ways_or_two_clients_at_once_are_refused_s_t7_r105(world: World) {
        let (client, other) = (world.web_client().await, world.web_client().await);
        let auth = basic(&client.credentials());
        let grant = "grant_type=client_credentials";
        for body in [
            format!("{grant}&client_id={}&client_secret={}", client.id, client.secret()),
            format!("{grant}&client_secret={}", client.secret()),
            format!("{grant}&client_id={}", other.id),
            format!("{grant}&client_id={}&client_secret={}", other.id, other.secret()),
            format!("{grant}&client_id={}", client.id.to_uppercase()),
            format!("{grant}&client_assertion=e30.e30.&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ] {
            refused(&post_raw(&world, TOKEN, Some(&auth), &body).await, 400, "invalid_request");
        }
        // RFC 6749 §2.3 forbids two ways, not the name beside the header (C2).
        granted(&post_raw(&world, TOKEN, Some(&auth), &format!("{grant}&client_id={}", client.id)).await);
        let request = world.http.post(world.url(TOKEN)).header("authorization", &auth).header("authorization", &auth);
        let reply = Reply::of(request.form(&[("grant_type", "client_credentials")]).send().await.unwrap()).await;
        refused(&reply, 400, "invalid_request");
    }

    async fn basic_credentials_are_percent_decoded_strictly_c1_pitfall_12(world: World) {
        world.add_client(json!({"client_id": "heldout-basic", "client_secret": "basic-secret.0123~_x"})).await;
        let grant = "grant_type=client_credentials&scope=read";
        for credentials in [
            "heldout-basic:basic-secret.0123~_x", // raw, as most send it
            "heldout%2Dbasic:basic%2Dsecret%2E0123%7E%5Fx", // openid-client escapes every mark
            "heldout%2dbasic:basic%2dsecret.0123~_x",
            "%68eldout-basic:%62asic-secret.0123~_x",
        ] {
            granted(&post_raw(&world, TOKEN, Some(&basic(credentials)), grant).await);
        }
        let right = basic("heldout-basic:basic-secret.0123~_x");
        for wrong in [
            basic("heldout%252Dbasic:basic-secret.0123~_x"), // escaped twice
            basic("heldout-basic:basic%252Dsecret.0123~_x"),
            right.trim_end_matches('=').to_owned() + "*",
            format!("{right}="),
            right.replacen("Basic ", "Basic", 1),
            format!("{right},{right}"),
        ] {
            refused(&post_raw(&world, TOKEN, Some(&wrong), grant).await, 401, "invalid_client");
        }
        granted(&post_raw(&world, TOKEN, Some(&right.replacen("Basic", "bAsIc", 1)), grant).await);
        // In a body the form itself is the only escaping.
        let body = format!("{grant}&client_id=heldout-basic&client_secret=basic%2Dsecret.0123%7E_x");
        granted(&post_raw(&world, TOKEN, None, &body).await);
        let body = format!("{grant}&client_id=heldout-basic&client_secret=basic%252Dsecret.0123~_x");
        refused(&post_raw(&world, TOKEN, None, &body).await, 401, "invalid_client");
    }

    async fn basic_and_body_are_taken_alike_r53_c2(world: World) {
        for method in ["client_secret_basic", "client_secret_post"] {
            let client = world.add_client(json!({"token_endpoint_auth_method": method})).await;
            let auth = basic(&client.credentials());
            let body = format!("client_id={}&client_secret={}", client.id, client.secret());
            let grant = "grant_type=client_credentials";
            granted(&post_raw(&world, TOKEN, Some(&auth), grant).await);
            let given = granted(&post_raw(&world, TOKEN, None, &format!("{grant}&{body}")).await);
            for path in ["/oauth2/introspect", "/oauth2/revoke"] {
                let token = format!("token={}", given.access);
                assert_eq!(post_raw(&world, path, Some(&auth), &token).await.status, 200);
                assert_eq!(post_raw(&world, path, None, &format!("{token}&{body}")).await.status, 200);
            }
        }
        let metadata = world.get("/.well-known/openid-configuration").await.json();
        let methods = metadata["token_endpoint_auth_methods_supported"].as_array().unwrap();
        for method in ["client_secret_basic", "client_secret_post", "none"] {
            assert!(methods.contains(&json!(method)), "{methods:?}");
        }
    }

    async fn an_empty_password_is_how_some_public_clients_speak_c3(world: World) {
        let (public, confidential) = (world.public_client().await, world.web_client().await);
        world.add_user("ada").await;
        let code_of = |client: TestClient| {
            let world = &world;
            async move { code(world, &client, &[], "ada").await }
        };
        let form = |code: &str| format!("grant_type=authorization_code&code={code}&redirect_uri={CALLBACK}&code_verifier={VERIFIER}");
        let body = form(&code_of(public.clone()).await);
        let given = granted(&post_raw(&world, TOKEN, Some(&basic(&format!("{}:", public.id))), &body).await);
        let body = format!("grant_type=refresh_token&refresh_token={}", given.refresh());
        granted(&post_raw(&world, TOKEN, Some(&basic(&format!("{}:", public.id))), &body).await);
        // A client with a secret cannot leave it out so, and a public one has none to send.
        let body = form(&code_of(confidential.clone()).await);
        refused(&post_raw(&world, TOKEN, Some(&basic(&format!("{}:", confidential.id))), &body).await, 401, "invalid_client");
        let body = form(&code_of(public.clone()).await);
        refused(&post_raw(&world, TOKEN, Some(&basic(&format!("{}:guess", public.id))), &body).await, 401, "invalid_client");
    }

    async fn unknown_parameters_charsets_and_raw_spaces_are_taken_c5_c6(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let code = code(&world, &client, &[], "ada").await;
        let extra = [("response_type", "token"), ("access_type", "offline"), ("allow_redirects", "True"), ("username", "ada")];
        let given = granted(&exchange_with(&world, &client, &code, &extra).await);
        let auth = basic(&client.credentials());
        let mut token = given.refresh().to_owned();
        for media in [
            "application/x-www-form-urlencoded",
            "application/x-www-form-urlencoded;charset=UTF-8",
            "application/x-www-form-urlencoded; charset=utf-8",
            "Application/X-WWW-Form-Urlencoded",
        ] {
            let body = format!("grant_type=refresh_token&refresh_token={token}&scope=openid offline_access&allow_redirects=True");
            let request = world.http.post(world.url(TOKEN)).header("authorization", &auth).header("content-type", media);
            let request = request.header("x-goog-api-client", "gl-python").body(body);
            let next = granted(&Reply::of(request.send().await.unwrap()).await);
            assert_eq!(next.scope, "offline_access openid", "{media}");
            token = next.refresh().to_owned();
        }
    }

    /// What is no assertion must not be mistaken for nothing.
    async fn a_client_assertion_that_is_none_is_refused_c4(world: World) {
        let (public, client) = (world.public_client().await, world.web_client().await);
        let assertion = "client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion=e30.e30.";
        for id in [&public.id, &client.id] {
            let body = format!("grant_type=client_credentials&client_id={id}&{assertion}");
            refused(&post_raw(&world, TOKEN, None, &body).await, 401, "invalid_client");
        }
        refused(&post_raw(&world, TOKEN, None, &format!("grant_type=client_credentials&{assertion}")).await, 401, "invalid_client");
    }
}

/// In the open, tokens would travel for everybody to read: an address without TLS is for one's own machine.
#[test]
fn an_issuer_without_tls_is_refused_beyond_loopback_r104() {
    let load = |url: &str| {
        let environment = [("CNX_PUBLIC_URL".to_owned(), url.to_owned())];
        config::load(None, environment.into_iter(), None)
    };
    for good in ["https://id.example", "http://localhost:8080", "http://127.0.0.1:8080"] {
        assert!(load(good).is_ok(), "{good}");
    }
    for bad in ["http://id.example", "http://localhost.example", "http://10.0.0.1:8080"] {
        assert!(load(bad).err().unwrap().to_string().contains("public_url"), "{bad}");
    }
}
