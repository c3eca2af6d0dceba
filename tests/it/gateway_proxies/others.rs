//! Traefik and Envoy, which Debian does not have, with the files that we publish: who passes, who does not and hears why, and what reaches
//! the API.

use reqwest::Method;
use serde_json::json;

use super::site::{Behind, Kind, manual, other_sites, scopes, system};
use super::{ALL, reply};
use crate::api_keys::minted;
use crate::wire::exchange;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_passes_passes_and_who_does_not_hears_why_c44_s_k5() {
    for site in other_sites(system, Behind::Api).await {
        let (id, key) = site.key("instances:read instances:write").await;
        let made = site.send("POST", "/v1/instances", &key).await;
        assert_eq!(made.status, 201, "{:?}: {}", site.kind, made.text);
        assert_eq!(
            (&made.json()["created_by"], &made.json()["key_id"]),
            (&json!(format!("key:{id}")), &json!(id))
        );
        let listed = site.send("GET", "/v1/instances", &key).await;
        assert_eq!(
            (listed.status, &listed.json()["instances"]),
            (200, &json!([made.json()])),
            "{:?}",
            site.kind
        );

        let lacking = site.send("DELETE", "/v1/instances/1", &key).await;
        let challenge = r#"Bearer realm="cnx", error="insufficient_scope", scope="instances:delete""#;
        assert_eq!(
            (lacking.status, lacking.header("www-authenticate")),
            (403, Some(challenge)),
            "{:?}",
            site.kind
        );
        assert_eq!(lacking.header("content-type"), Some("application/problem+json"));
        let invalid = site.send("GET", "/v1/instances", "cnx_prod_nonsense").await;
        let challenge = r#"Bearer realm="cnx", error="invalid_token""#;
        assert_eq!(
            (invalid.status, invalid.header("www-authenticate")),
            (401, Some(challenge)),
            "{:?}",
            site.kind
        );
        let bare = reply(site.world.http.get(format!("{}/v1/instances", site.url))).await;
        assert_eq!(bare.status, 401, "{:?}", site.kind);
        let elsewhere = site.send("GET", "/v1/instances", &site.bound("203.0.113.0/24").await).await;
        assert_eq!(
            (elsewhere.status, &elsewhere.json()["code"]),
            (403, &json!("ip_not_allowed")),
            "{:?}",
            site.kind
        );
        // The address is what the gateway saw, whatever the caller says.
        let forged = site
            .request("GET", "/v1/instances", &site.bound("203.0.113.0/24").await)
            .header("X-Forwarded-For", "203.0.113.7");
        assert_eq!(reply(forged).await.status, 403, "{:?}", site.kind);
        // A method of nobody's passes for nobody.
        let odd = site
            .world
            .http
            .request(Method::from_bytes(b"PROPFIND").unwrap(), format!("{}/v1/instances", site.url));
        assert!(
            matches!(reply(odd.bearer_auth(&key)).await.status, 401 | 403 | 404 | 405),
            "{:?}",
            site.kind
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_the_limit_they_pass_the_429_on_s_k6() {
    for site in other_sites(manual, Behind::Api).await {
        let change = |new: &mut cnx::flow::keys::NewKey| {
            new.scopes = scopes(ALL);
            new.limits.write = Some(1);
        };
        let key = minted(&site.world, change).await.1;
        assert_eq!(site.send("POST", "/v1/instances", &key).await.status, 201);
        let over = site.send("POST", "/v1/instances", &key).await;
        assert_eq!((over.status, over.header("retry-after")), (429, Some("61")), "{:?}", site.kind);
        assert_eq!(over.header("ratelimit"), Some(r#""write";r=0;t=61"#), "{:?}", site.kind);
        assert_eq!(site.send("GET", "/v1/instances", &key).await.status, 200, "reads have their own");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_callers_say_of_themselves_and_the_key_itself_stay_at_the_gateway_s_h8_c44() {
    for site in other_sites(system, Behind::Mirror).await {
        let (id, key) = site.key(ALL).await;
        let request = site
            .request("GET", "/v1/instances?x=1", &key)
            .header("X-Cnx-Subject", "key:somebody")
            .header("x-cnx-organization", "theirs")
            .header("X-Cnx-Scopes", "*");
        let seen = reply(request).await;
        assert_eq!(seen.status, 200, "{:?}: {}", site.kind, seen.text);
        let seen = seen.text.to_lowercase();
        let lines = |name: &str| {
            seen.lines()
                .filter(|line| line.starts_with(&format!("{name}:")))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            lines("x-cnx-subject"),
            [format!("x-cnx-subject: key:{}", id.to_lowercase())],
            "{:?}: {seen}",
            site.kind
        );
        assert_eq!(lines("x-cnx-key-id").len(), 1);
        assert_eq!(lines("x-cnx-organization").len(), 1);
        assert!(!seen.contains("theirs") && !seen.contains("somebody"), "{seen}");
        assert!(!seen.contains(&key.to_lowercase()), "{:?} keeps the key: {seen}", site.kind);
        // A request that cannot be read twice is not passed on.
        for (what, head) in [
            ("two keys", format!("Authorization: Bearer {key}\r\nX-API-Key: {key}\r\n")),
            ("too long", format!("Authorization: Bearer {}\r\n", "x".repeat(64 * 1024))),
        ] {
            let text = format!("GET /v1/instances HTTP/1.1\r\nHost: x\r\n{head}Connection: close\r\n\r\n");
            let heard = exchange(&site.url, text.as_bytes(), std::time::Duration::from_secs(3));
            let refused = matches!(heard.status(), 0 | 400 | 401 | 403 | 413 | 431);
            assert!(refused, "{:?}, {what}: {}", site.kind, heard.status());
        }
        assert!(matches!(site.kind, Kind::Traefik | Kind::Envoy));
    }
}
