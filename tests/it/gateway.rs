//! What proxies ask at `/gateway/…`: each dialect, the limits as they are told, and that no header of a stranger changes anything.

use cnx::base::time::{Clock, Timestamp};
use serde_json::json;

use crate::api_keys::{call, minted, token_with};
use crate::world::{On, Reply, START, World, on_both};

/// A world whose proxies are on this machine.
async fn behind_proxies(on: On) -> Option<World> {
    World::with(on, Clock::manual(Timestamp::from_secs(START)), |settings| {
        settings.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    })
    .await
}

async fn ask(world: &World, path: &str, key: &str, headers: &[(&str, &str)]) -> Reply {
    let mut request = world.http.get(world.url(path)).bearer_auth(key);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Reply::of(request.send().await.unwrap()).await
}

on_both! {
    async fn identity_goes_upstream_and_a_refusal_names_the_scope_c44(world: World) {
        let (id, key) = minted(&world, |_| {}).await;
        for dialect in ["caddy", "traefik", "nginx", "envoy", "envoy/v1/instances"] {
            let reply = ask(&world, &format!("/gateway/{dialect}?scope=instances:read"), &key, &[]).await;
            assert_eq!(reply.status, 200, "{dialect}: {}", reply.text);
            assert_eq!(reply.header("x-cnx-key-id"), Some(id.as_str()));
            assert_eq!(reply.header("x-cnx-subject"), Some(format!("key:{id}").as_str()));
            assert_eq!(reply.header("x-cnx-scopes"), Some("instances:read instances:write"));
            assert!(reply.header("x-cnx-organization").is_some());
            let reply = ask(&world, &format!("/gateway/{dialect}?scope=volumes:read"), &key, &[]).await;
            assert_eq!(reply.status, 403);
            assert_eq!(reply.header("www-authenticate"), Some(r#"Bearer realm="cnx", error="insufficient_scope", scope="volumes:read""#));
            let reply = ask(&world, &format!("/gateway/{dialect}"), "cnx_prod_nonsense", &[]).await;
            assert_eq!((reply.status, reply.header("www-authenticate")), (401, Some(r#"Bearer realm="cnx", error="invalid_token""#)));
        }
    }

    /// A request with a body goes past the front (`web/front.rs`) to the routes of the table: nobody can tell from the answer.
    async fn the_front_and_the_routes_answer_alike(world: World) {
        let (_, key) = minted(&world, |_| {}).await;
        let told = |reply: &Reply| {
            let counted = ["x-request-id", "date", "ratelimit", "x-ratelimit-remaining"];
            let mut headers: Vec<(String, String)> = reply.headers.iter()
                .filter(|(name, _)| !counted.contains(&name.as_str()))
                .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                .collect();
            headers.sort();
            let id = reply.header("x-request-id").unwrap();
            assert!(id.len() >= 16, "{id}");
            (reply.status, reply.text.replace(id, "ID"), headers)
        };
        let mut seen = std::collections::BTreeSet::new();
        for path in ["caddy", "traefik", "nginx", "envoy", "envoy/v1/instances"] {
            for scope in ["?scope=instances:read", "?scope=volumes:read", "?scope=b\u{e4}d", "?nonsense=%zz", ""] {
                for credential in [Some(format!("Bearer {key}")), Some("Bearer cnx_prod_nonsense".to_owned()), Some("Basic x".to_owned()), None] {
                    let ask = |body: Option<&'static str>| {
                        let mut request = world.http.get(world.url(&format!("/gateway/{path}{scope}")));
                        if let Some(credential) = &credential {
                            request = request.header("authorization", credential);
                        }
                        if let Some(body) = body {
                            request = request.body(body);
                        }
                        request.send()
                    };
                    let plain = told(&Reply::of(ask(None).await.unwrap()).await);
                    let routed = told(&Reply::of(ask(Some("x")).await.unwrap()).await);
                    // An answer to a body that nobody read may close the connection.
                    let without = |mut told: (u16, String, Vec<(String, String)>)| {
                        told.2.retain(|(name, _)| name != "connection");
                        told
                    };
                    assert_eq!(without(plain.clone()), without(routed), "{path} {scope} {credential:?}");
                    seen.insert(plain.0);
                }
            }
        }
        assert!(seen.contains(&200) && seen.contains(&401) && seen.contains(&403), "{seen:?}");
    }

    async fn a_token_passes_as_a_key_does_where_it_is_for_us(world: World) {
        let token = token_with(&world, "instances:read").await;
        let reply = ask(&world, "/gateway/caddy?scope=instances:read", &token, &[]).await;
        assert_eq!((reply.status, reply.header("x-cnx-scopes")), (200, Some("instances:read")));
        assert_eq!(ask(&world, "/gateway/caddy?scope=instances:write", &token, &[]).await.status, 403);
        let elsewhere = world.add_client(json!({"grant_types": ["client_credentials"], "response_types": [], "redirect_uris": [],
            "scope": "instances:read", "audience": ["https://elsewhere.example"]})).await;
        let token = crate::token_requests::granted(&world.token(&elsewhere, &[("grant_type", "client_credentials")]).await).access;
        assert_eq!(ask(&world, "/gateway/caddy?scope=instances:read", &token, &[]).await.status, 401, "for somebody else");
    }

    async fn each_class_has_its_limit_and_it_is_told_s_k6(world: World) {
        let (_, key) = minted(&world, |_| {}).await;
        let (_, other) = minted(&world, |_| {}).await;
        let send = async |method: &str, key: &str| {
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
            Reply::of(world.http.request(method, world.url("/gateway/envoy/v1/instances")).bearer_auth(key).send().await.unwrap()).await
        };
        for (method, class, limit) in [("DELETE", "delete", 30), ("POST", "write", 120), ("GET", "read", 1_200)] {
            for n in 1..=limit {
                let reply = send(method, &key).await;
                assert_eq!(reply.status, 200, "{method} {n}");
                assert_eq!(reply.header("ratelimit"), Some(format!("\"{class}\";r={};t=61", limit - n).as_str()));
            }
            let reply = send(method, &key).await;
            assert_eq!((reply.status, reply.header("retry-after")), (429, Some("61")));
            assert_eq!(reply.header("ratelimit-policy"), Some(format!("\"{class}\";q={limit};w=60").as_str()));
            assert_eq!(reply.header("x-ratelimit-limit"), Some(limit.to_string().as_str()));
            assert_eq!(reply.header("x-ratelimit-remaining"), Some("0"));
            assert_eq!(reply.header("x-ratelimit-reset"), Some((world.now() + 61).to_string().as_str()));
            let body = reply.json();
            assert_eq!((&body["code"], &body["violated-policies"]), (&json!("rate_limited"), &json!([class])));
            assert_eq!(body["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
            assert_eq!(send(method, &other).await.status, 200, "another key has its own");
        }
        assert_eq!(send("HEAD", &key).await.status, 429, "HEAD is a read");
        assert_eq!(send("PUT", &key).await.status, 429, "PUT is a write");
        world.advance(61);
        assert_eq!(send("DELETE", &key).await.status, 200);
    }

    async fn fifty_streams_are_open_at_once_s_k8(world: World) {
        let token = token_with(&world, "keys:verify keys:write instances:*").await;
        let (id, key) = minted(&world, |_| {}).await;
        let open = async || call(&world, "POST", "/v1/streams", &token, Some(json!({"key": key, "resource": "/v1/stream"}))).await;
        let mut leases = Vec::new();
        for n in 1..=50 {
            let reply = open().await;
            assert_eq!((reply.status, &reply.json()["remaining"]), (201, &json!(50 - n)), "{}", reply.text);
            leases.push(reply.json()["id"].as_str().unwrap().to_owned());
        }
        let full = open().await;
        assert_eq!((full.status, &full.json()["violated-policies"]), (429, &json!(["streams"])));
        assert_eq!(full.header("x-ratelimit-remaining"), Some("0"));
        assert_eq!(call(&world, "DELETE", &format!("/v1/streams/{}", leases[0]), &token, None).await.status, 200);
        assert_eq!(call(&world, "DELETE", &format!("/v1/streams/{}", leases[0]), &token, None).await.status, 404);
        let told = open().await;
        assert_eq!((told.status, told.header("ratelimit-policy")), (201, Some(r#""streams";q=50;qu="concurrent-requests""#)));
        assert_eq!(told.header("ratelimit"), Some(r#""streams";r=0;t=60"#));
        // What is not renewed ends by itself.
        world.advance(40);
        assert_eq!(call(&world, "PUT", &format!("/v1/streams/{}", leases[1]), &token, None).await.status, 200);
        world.advance(30);
        assert_eq!(call(&world, "PUT", &format!("/v1/streams/{}", leases[2]), &token, None).await.status, 404);
        assert_eq!(open().await.json()["remaining"], 48);
        // A secret that a rotation ended renews none, and the new one begins its own.
        let (turned, old) = minted(&world, |_| {}).await;
        let stream = call(&world, "POST", "/v1/streams", &token, Some(json!({"key": old}))).await.json()["id"].as_str().unwrap().to_owned();
        let renew = async || call(&world, "PUT", &format!("/v1/streams/{stream}"), &token, None).await.status;
        let rotate = async |overlap: i64| call(&world, "POST", &format!("/v1/keys/{turned}/rotate"), &token, Some(json!({"overlap_seconds": overlap}))).await;
        assert_eq!(rotate(600).await.status, 200);
        assert_eq!(renew().await, 200, "the overlap holds");
        assert_eq!(rotate(0).await.status, 200);
        assert_eq!(renew().await, 404);
        let refused = call(&world, "POST", "/v1/streams", &token, Some(json!({"key": old}))).await;
        assert_eq!((refused.status, &refused.json()["field"]), (401, &json!("key")));
        // A revoked key renews none.
        assert_eq!(call(&world, "DELETE", &format!("/v1/keys/{id}"), &token, None).await.status, 200);
        assert_eq!(call(&world, "PUT", &format!("/v1/streams/{}", leases[1]), &token, None).await.status, 404);
        assert_eq!(open().await.status, 401);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_trusted_proxy_tells_counts_and_what_a_stranger_tells_does_not_c42_s_h8_s_k5() {
    let trusted = behind_proxies(On::Sqlite).await.unwrap();
    let strange = World::new(On::Sqlite).await.unwrap();
    for (world, is_trusted) in [(&trusted, true), (&strange, false)] {
        let (_, bound) = minted(world, |new| {
            new.allow = vec![cnx::api_key::allowlist::network("203.0.113.0/24").unwrap()];
        })
        .await;
        let from = |text: &'static str| [("x-forwarded-for", text)];
        let expected = if is_trusted { 200 } else { 403 };
        assert_eq!(ask(world, "/gateway/caddy", &bound, &from("203.0.113.7")).await.status, expected);
        // The rightmost that is not one of ours: what a client writes in front changes nothing.
        assert_eq!(
            ask(world, "/gateway/caddy", &bound, &from("203.0.113.7, 198.51.100.1")).await.status,
            403
        );
        assert_eq!(
            ask(world, "/gateway/caddy", &bound, &[("forwarded", "for=203.0.113.7")]).await.status,
            403
        );
        assert_eq!(ask(world, "/gateway/caddy", &bound, &[("x-real-ip", "203.0.113.7")]).await.status, 403);
        let (_, few) = minted(world, |new| new.limits.delete = Some(1)).await;
        for (path, name) in
            [("/gateway/caddy", "x-forwarded-method"), ("/gateway/nginx", "x-original-method")]
        {
            let first = ask(world, path, &few, &[(name, "DELETE")]).await;
            let told = first.header("ratelimit").unwrap_or_default().to_owned();
            assert!(told.starts_with(if is_trusted { "\"delete\"" } else { "\"read\"" }), "{told}");
            world.advance(61);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_cannot_be_read_opens_no_network_s_h8_s_k5() {
    let world = behind_proxies(On::Sqlite).await.unwrap();
    let network = |text: &str| vec![cnx::api_key::allowlist::network(text).unwrap()];
    let (_, inside) = minted(&world, |new| new.allow = network("127.0.0.0/8")).await;
    let (_, outside) = minted(&world, |new| new.deny = network("198.51.100.0/24")).await;
    let with = async |key: &str, forwarded: &[u8]| {
        let request = world.http.get(world.url("/gateway/caddy")).bearer_auth(key);
        Reply::of(request.header("x-forwarded-for", forwarded).send().await.unwrap()).await.status
    };
    // What a client puts in front, byte by byte, hides nothing that the proxy wrote behind it.
    assert_eq!(with(&inside, b"\xff, 198.51.100.9").await, 403);
    assert_eq!(with(&outside, b"\xff, 198.51.100.9").await, 403);
    assert_eq!(with(&outside, b"198.51.100.9:4711").await, 403);
    for unreadable in [&b"unknown"[..], b"\xff", b"198.51.100.9, _hidden", b""] {
        assert_eq!(with(&inside, unreadable).await, 403);
        assert_eq!(with(&outside, unreadable).await, 403);
    }
    assert_eq!(with(&inside, b"127.0.0.9").await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mistake_in_a_gateways_address_opens_nothing_s_k4() {
    let world = behind_proxies(On::Sqlite).await.unwrap();
    let (_, key) = minted(&world, |_| {}).await;
    for query in [
        "scopes=instances:read",
        "scope=instances:read&scope=billing:write",
        "scope=instances",
        "scope=a%0Ab",
        "scope=a%22:b",
        "env=prod&env=test",
    ] {
        let reply = ask(&world, &format!("/gateway/caddy?{query}"), &key, &[]).await;
        assert_eq!((reply.status, &reply.json()["field"]), (400, &json!("scope")), "{query}: {}", reply.text);
        let reply = ask(&world, &format!("/gateway/nginx?{query}"), &key, &[]).await;
        assert_eq!((reply.status, reply.header("x-cnx-status")), (403, Some("400")), "{query}");
    }
    assert_eq!(ask(&world, "/gateway/envoy?scope=a%0Ab", &key, &[]).await.status, 400);
    for (environment, status) in [("prod", 200), ("test", 401)] {
        for dialect in ["caddy", "traefik", "nginx", "envoy"] {
            let reply = ask(&world, &format!("/gateway/{dialect}?env={environment}"), &key, &[]).await;
            assert_eq!(reply.status, status, "{dialect} {environment}");
            assert_eq!(reply.header("x-cnx-environment"), (status == 200).then_some("prod"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_hears_401_and_403_only_and_the_true_status_in_a_header_c43() {
    let world = behind_proxies(On::Sqlite).await.unwrap();
    let (_, few) = minted(&world, |new| new.limits.delete = Some(1)).await;
    let delete = [("x-original-method", "DELETE"), ("x-original-uri", "/v1/instances/1?x=y")];
    assert_eq!(ask(&world, "/gateway/nginx", &few, &delete).await.status, 200);
    let reply = ask(&world, "/gateway/nginx", &few, &delete).await;
    assert_eq!(
        (reply.status, reply.header("x-cnx-status"), reply.header("x-cnx-retry-after")),
        (403, Some("429"), Some("61"))
    );
    let bad = Reply::of(
        world
            .http
            .get(world.url("/gateway/nginx"))
            .bearer_auth(&few)
            .header("x-api-key", &few)
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!((bad.status, bad.header("x-cnx-status")), (403, Some("400")));
    cnx::jobs::flush_usage::flush(world.app()).await;
    let id = few[9..19].parse().unwrap();
    let used = world
        .app()
        .store
        .read(move |conn| cnx::store::api_keys::find(conn, id))
        .await
        .unwrap()
        .unwrap()
        .last_use
        .unwrap();
    assert_eq!(used.resource.as_deref(), Some("/v1/instances/1"), "without the query");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_in_the_address_of_the_request_itself_is_refused_s_k3() {
    let world = behind_proxies(On::Sqlite).await.unwrap();
    let (id, key) = minted(&world, |_| {}).await;
    let with = format!("/v1/instances?a=b&api_key={key}");
    for (path, header) in [
        ("/gateway/caddy", "x-forwarded-uri"),
        ("/gateway/traefik", "x-forwarded-uri"),
        ("/gateway/nginx", "x-original-uri"),
    ] {
        assert_eq!(ask(&world, path, &key, &[(header, "/v1/instances?a=b")]).await.status, 200, "{path}");
        assert_eq!(ask(&world, path, &key, &[(header, &with)]).await.status, 401, "{path}");
    }
    // Envoy puts it behind our address, or behind `path=` of our query.
    for (path, status) in [
        ("/gateway/envoy/v1/instances?a=b".to_owned(), 200),
        (format!("/gateway/envoy{with}"), 401),
        (format!("/gateway/envoy/v1/instances?api_key={key}"), 401),
        ("/gateway/envoy?scope=instances:read&path=/v1/volumes?a=b".to_owned(), 200),
        (format!("/gateway/envoy?scope=instances:read&path=/v1/volumes?api_key={key}"), 401),
        (format!("/gateway/envoy?scope=instances:read&path={with}"), 401),
        // What the caller asks for in its own query gives it nothing that the gateway did not ask for.
        ("/gateway/envoy?scope=volumes:read&path=/v1/volumes?a=b&scope=instances:read".to_owned(), 403),
    ] {
        assert_eq!(ask(&world, &path, &key, &[]).await.status, status, "{path}");
    }
    // The last use is told by the request's own path.
    for path in
        ["/gateway/envoy/v1/volumes/7?a=b", "/gateway/envoy?scope=instances:read&path=/v1/volumes/8?a=b"]
    {
        world.advance(61);
        assert_eq!(ask(&world, path, &key, &[]).await.status, 200, "{path}");
        cnx::jobs::flush_usage::flush(world.app()).await;
        let token = token_with(&world, "keys:read").await;
        let shown = call(&world, "GET", &format!("/v1/keys/{id}"), &token, None).await.json();
        let expected = if path.contains('8') { "/v1/volumes/8" } else { "/v1/volumes/7" };
        assert_eq!(shown["last_used_resource"], expected);
    }
}
