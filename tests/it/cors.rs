//! Reading across origins (Fetch, C12): metadata and keys by any page, tokens by pages of registered origins, pages by none.

use reqwest::Method;
use serde_json::json;

use crate::world::{Reply, TestClient, Tokens, World, authorize_path, by, on_both};

const SPA: &str = "https://spa.example";
const FOREIGN: &str = "https://evil.example";
const OPEN: [&str; 3] = [
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server",
    "/.well-known/jwks.json",
];
const SHARED: [&str; 3] = ["/oauth2/token", "/oauth2/userinfo", "/oauth2/revoke"];

async fn spa(world: &World) -> TestClient {
    let uris = [
        format!("{SPA}/cb"),
        "https://spa.example:8443/cb".to_owned(),
        "com.example.app:/cb".to_owned(),
        crate::world::CALLBACK.to_owned(),
    ];
    world.add_client(json!({"token_endpoint_auth_method": "none", "redirect_uris": uris})).await
}

async fn ask(
    world: &World,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    form: Option<&[(&str, &str)]>,
) -> Reply {
    let mut request = world.http.request(method, world.url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if let Some(form) = form {
        request = request.form(form);
    }
    Reply::of(request.send().await.unwrap()).await
}

fn allowed(reply: &Reply) -> Option<&str> {
    assert_eq!(
        reply.headers.get_all("access-control-allow-origin").iter().count(),
        usize::from(reply.header("access-control-allow-origin").is_some())
    );
    assert_eq!(reply.header("access-control-allow-credentials"), None, "never with cookies");
    reply.header("access-control-allow-origin")
}

fn varies(reply: &Reply) -> bool {
    reply.headers.get_all("vary").iter().any(|v| v.to_str().unwrap().to_lowercase().contains("origin"))
}

on_both! {
    async fn registered_origins_read_tokens_also_when_refused_s_h12_c12(world: World) {
        world.add_user("ada").await;
        let client = spa(&world).await;
        let tokens = world.browser().tokens(&world, &client, &[], "ada").await;
        let bearer = format!("Bearer {}", tokens.access);
        let refresh = [
            ("grant_type", "refresh_token"),
            ("refresh_token", tokens.refresh()),
            ("client_id", client.id.as_str()),
        ];
        let big = "x".repeat(20_000);
        let get = Method::GET;
        let post = Method::POST;
        for (what, status, method, path, authorization, form) in [
            ("a refresh", 200, &post, "/oauth2/token", None, Some(&refresh[..])),
            (
                "no grant_type",
                400,
                &post,
                "/oauth2/token",
                None,
                Some(&[("client_id", client.id.as_str())][..]),
            ),
            ("no client", 401, &post, "/oauth2/token", None, Some(&[("grant_type", "refresh_token")][..])),
            (
                "an unknown refresh token",
                400,
                &post,
                "/oauth2/token",
                None,
                Some(&[refresh[0], ("refresh_token", "cnx_rt_x"), refresh[2]][..]),
            ),
            ("too large", 413, &post, "/oauth2/token", None, Some(&[("a", big.as_str())][..])),
            ("no form", 400, &post, "/oauth2/token", None, None),
            ("a wrong method", 405, &get, "/oauth2/token", None, None),
            ("userinfo", 200, &get, "/oauth2/userinfo", Some(bearer.as_str()), None),
            ("no token", 401, &get, "/oauth2/userinfo", None, None),
            ("a bad token", 401, &get, "/oauth2/userinfo", Some("Bearer x"), None),
            (
                "a revocation",
                200,
                &post,
                "/oauth2/revoke",
                None,
                Some(&[("token", "unknown"), refresh[2]][..]),
            ),
            ("a refused revocation", 401, &post, "/oauth2/revoke", None, Some(&[("token", "unknown")][..])),
        ] {
            let mut headers = vec![("origin", SPA)];
            headers.extend(authorization.map(|value| ("authorization", value)));
            let reply = ask(&world, method.clone(), path, &headers, form).await;
            assert_eq!(reply.status, status, "{what}: {}", reply.text);
            assert_eq!(allowed(&reply), Some(SPA), "{what}");
            assert!(varies(&reply), "{what}");
            let exposed = reply.header("access-control-expose-headers").unwrap();
            assert!(
                exposed.contains("WWW-Authenticate") && exposed.contains("DPoP-Nonce"),
                "{what}: {exposed}"
            );

            for origin in [
                FOREIGN,
                "null",
                "https://spa.example.evil.example",
                "http://spa.example",
                "https://spa.example:444",
                "https://SPA.example",
                "https://spa.example/",
                "com.example.app:",
                "",
            ] {
                headers[0] = ("origin", origin);
                let reply = ask(
                    &world,
                    method.clone(),
                    path,
                    &headers,
                    if status == 200 && what == "a refresh" { None } else { form },
                )
                .await;
                assert_eq!(allowed(&reply), None, "{what} from {origin}");
                assert!(varies(&reply), "{what} from {origin}: caches keep the two apart");
            }
        }
        let reply =
            ask(&world, Method::GET, "/oauth2/userinfo", &[("origin", "https://spa.example:8443")], None)
                .await;
        assert_eq!(allowed(&reply), Some("https://spa.example:8443"));
        let reply = ask(&world, Method::GET, "/oauth2/userinfo", &[], None).await;
        assert_eq!(allowed(&reply), None, "no page asked");
    }

    async fn preflights_are_answered_for_whom_they_concern_s_h12_c12(world: World) {
        spa(&world).await;
        for (path, method, header) in [
            ("/oauth2/userinfo", "GET", "authorization"),
            ("/oauth2/userinfo", "POST", "authorization,content-type"),
            ("/oauth2/token", "POST", "dpop"),
            ("/oauth2/token", "POST", "authorization, content-type, dpop"),
            ("/oauth2/revoke", "POST", "content-type"),
        ] {
            let headers = [
                ("origin", SPA),
                ("access-control-request-method", method),
                ("access-control-request-headers", header),
            ];
            let reply = ask(&world, Method::OPTIONS, path, &headers, None).await;
            assert_eq!((reply.status, reply.text.as_str()), (204, ""), "{path}");
            assert_eq!(allowed(&reply), Some(SPA), "{path}");
            assert!(
                reply.header("access-control-allow-methods").unwrap().split(", ").any(|m| m == method),
                "{path}"
            );
            let permitted = reply.header("access-control-allow-headers").unwrap().to_lowercase();
            for asked in header.split(',').map(str::trim) {
                assert!(permitted.split(", ").any(|name| name == asked), "{path}: {asked} in {permitted}");
            }
            assert!(reply.header("access-control-max-age").is_some() && varies(&reply));
            let reply =
                ask(&world, Method::OPTIONS, path, &[("origin", FOREIGN), headers[1], headers[2]], None)
                    .await;
            assert_eq!((reply.status, allowed(&reply)), (204, None), "{path}");
            assert_eq!(
                (reply.header("access-control-allow-methods"), reply.header("access-control-allow-headers")),
                (None, None)
            );
        }
        for path in OPEN {
            let headers = [
                ("origin", FOREIGN),
                ("access-control-request-method", "GET"),
                ("access-control-request-headers", "authorization"),
            ];
            let reply = ask(&world, Method::OPTIONS, path, &headers, None).await;
            assert_eq!((reply.status, allowed(&reply)), (204, Some("*")), "{path}");
            assert_eq!(reply.header("access-control-allow-methods"), Some("GET"));
        }
    }

    async fn metadata_and_keys_are_for_any_page_s_h12_c12(world: World) {
        for path in OPEN {
            for origin in [&[("origin", FOREIGN)][..], &[("origin", "null")][..], &[][..]] {
                let reply = ask(&world, Method::GET, path, origin, None).await;
                assert_eq!((reply.status, allowed(&reply)), (200, Some("*")), "{path}");
            }
            let reply = ask(&world, Method::POST, path, &[("origin", FOREIGN)], Some(&[])).await;
            assert_eq!((reply.status, allowed(&reply)), (405, Some("*")), "{path}");
        }
    }

    async fn nothing_else_is_read_across_origins_s_h12(world: World) {
        let client = spa(&world).await;
        world.add_user("ada").await;
        let browser = world.browser();
        browser.authorize(&authorize_path(&client, &[]), "ada").await;
        let session = format!("cnx_session={}", browser.cookie("cnx_session").unwrap());
        let authorize = authorize_path(&client, &[]);
        for path in [
            authorize.as_str(),
            "/oauth2/authorize",
            "/oauth2/introspect",
            "/oauth2/logout",
            "/sign-in",
            "/sign-out",
            "/consent",
            "/select-account",
            "/account",
            "/set-up",
            "/set-password",
            "/",
            "/healthz",
            "/readyz",
            "/nothing-here",
            "/assets/style.css",
        ] {
            for method in [Method::GET, Method::POST, Method::OPTIONS] {
                let headers =
                    [("origin", SPA), ("access-control-request-method", "GET"), ("cookie", session.as_str())];
                let reply = ask(&world, method.clone(), path, &headers, None).await;
                assert_eq!(allowed(&reply), None, "{method} {path}");
                for name in [
                    "access-control-allow-methods",
                    "access-control-allow-headers",
                    "access-control-expose-headers",
                ] {
                    assert_eq!(reply.header(name), None, "{method} {path}");
                }
            }
        }
    }

    async fn an_origin_is_forgotten_with_its_client_s_h12(world: World) {
        for path in SHARED {
            let reply = ask(&world, Method::POST, path, &[("origin", SPA)], Some(&[])).await;
            assert_eq!(allowed(&reply), None, "{path}: nobody registered it yet");
        }
        let client = spa(&world).await;
        for path in SHARED {
            assert_eq!(
                allowed(&ask(&world, Method::POST, path, &[("origin", SPA)], Some(&[])).await),
                Some(SPA),
                "{path}"
            );
        }
        cnx::flow::clients::delete(world.app(), by(), &client.id).await.unwrap();
        for path in SHARED {
            assert_eq!(
                allowed(&ask(&world, Method::POST, path, &[("origin", SPA)], Some(&[])).await),
                None,
                "{path}"
            );
        }
    }

    async fn a_browser_may_send_what_it_was_permitted_c12(world: World) {
        world.add_user("ada").await;
        let client = spa(&world).await;
        let tokens = world.browser().tokens(&world, &client, &[], "ada").await;
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", tokens.refresh()),
            ("client_id", client.id.as_str()),
        ];
        let headers = [
            ("origin", SPA),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "cors"),
            ("dpop", "ignored"),
        ];
        let reply = ask(&world, Method::POST, "/oauth2/token", &headers, Some(&form)).await;
        assert_eq!((reply.status, allowed(&reply)), (200, Some(SPA)));
        assert!(Tokens::of(&reply).refresh.is_some());
    }
}
