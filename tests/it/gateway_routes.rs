//! A table of routes in the settings: what a route needs, that nobody passes where none is, and that no way of writing a path gets past it.

use std::time::Duration;

use cnx::api_key::route_table::{RouteTable, Row};
use cnx::base::time::{Clock, Timestamp};
use serde_json::{Value, json};

use crate::api_keys::{minted, token_with};
use crate::process::Place;
use crate::wire::{Heard, exchange};
use crate::world::{On, START, World};

fn row(methods: &[&str], path: &str, scope: &str) -> Row {
    let methods = methods.iter().map(|method| (*method).to_owned()).collect();
    Row { methods, path: path.to_owned(), scope: scope.to_owned() }
}

async fn with_table(is_trusted: bool) -> World {
    let table = RouteTable::parse(&[
        row(&["GET"], "/v1/instances/{id}", "instances:read"),
        row(&["POST"], "/v1/instances", "instances:read instances:write"),
        row(&["DELETE"], "/v1/instances/{id}", "instances:delete"),
        row(&["*"], "/v1/files/{path...}", "instances:read"),
        row(&["*"], "/v1/files/secret", "secrets:read"),
        row(&["GET"], "/v1/open", ""),
    ]);
    World::with(On::Sqlite, Clock::manual(Timestamp::from_secs(START)), |settings| {
        let proxy = if is_trusted { "127.0.0.1/32" } else { "203.0.113.1/32" };
        settings.trusted_proxies = vec![proxy.parse().unwrap()];
        settings.gateway.routes = table.unwrap();
    })
    .await
    .unwrap()
}

/// How a proxy tells of a request; Envoy has two ways.
const DIALECTS: [&str; 5] = ["caddy", "traefik", "nginx", "envoy/", "envoy?"];

/// A request with these headers, byte for byte: an HTTP library would tidy a path up.
fn send(world: &World, method: &str, path: &str, headers: &[(&str, &str)]) -> Heard {
    let lines: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let headers = lines.concat();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n"
    );
    exchange(&world.base, request.as_bytes(), Duration::from_secs(10))
}

/// Asks whether a request may pass; the gateway asks for `scope` itself.
fn ask(world: &World, dialect: &str, scope: &str, request: (&str, &str), key: &str) -> Heard {
    let (method, target) = request;
    let bearer = format!("Bearer {key}");
    let scope = if scope.is_empty() { String::new() } else { format!("scope={scope}") };
    let told = |path: &str, names: [&str; 2]| {
        let headers = [("Authorization", bearer.as_str()), (names[0], method), (names[1], target)];
        send(world, "GET", &format!("{path}?{scope}"), &headers)
    };
    let auth = [("Authorization", bearer.as_str())];
    match dialect {
        "nginx" => told("/gateway/nginx", ["X-Original-Method", "X-Original-URI"]),
        "envoy/" => send(world, method, &format!("/gateway/envoy{target}"), &auth),
        "envoy?" => send(world, method, &format!("/gateway/envoy?{scope}&path={target}"), &auth),
        other => told(&format!("/gateway/{other}"), ["X-Forwarded-Method", "X-Forwarded-Uri"]),
    }
}

/// The true status, whatever nginx has to hear.
fn status(heard: &Heard) -> u16 {
    heard.header("x-cnx-status").map_or_else(|| heard.status(), |status| status.parse().unwrap())
}

fn body(heard: &Heard) -> Value {
    serde_json::from_str(heard.body()).unwrap_or_else(|e| panic!("{e}: {}", heard.text))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_needs_what_its_row_says_and_a_refusal_names_it_c44_s_k4() {
    let world = with_table(true).await;
    let (_, key) = minted(&world, |_| {}).await;
    let lacks = |scope: &str| format!(r#"Bearer realm="cnx", error="insufficient_scope", scope="{scope}""#);
    for dialect in DIALECTS {
        for (request, scope) in [
            (("GET", "/v1/instances/7"), None),
            (("GET", "/v1/instances/7?a=/../b;%2e%2e"), None),
            (("POST", "/v1/instances"), None),
            (("DELETE", "/v1/instances/7"), Some("instances:delete")),
            (("PATCH", "/v1/files/a/b/c"), None),
            (("GET", "/v1/files/secret"), Some("secrets:read")),
            (("GET", "/v1/files/secret/"), None),
            (("GET", "/v1/open"), None),
        ] {
            let heard = ask(&world, dialect, "", request, &key);
            let expected = match (scope, request.1) {
                (None, "/v1/files/secret/") => 400,
                (None, _) => 200,
                (Some(_), _) => 403,
            };
            assert_eq!(status(&heard), expected, "{dialect} {request:?}: {}", heard.text);
            assert_eq!(heard.header("www-authenticate"), scope.map(lacks), "{dialect} {request:?}");
        }
        // HEAD needs what GET needs; an answer to it has no body.
        let head = send(
            &world,
            "HEAD",
            "/gateway/envoy/v1/files/secret",
            &[("Authorization", &format!("Bearer {key}"))],
        );
        assert_eq!((head.status(), head.header("www-authenticate")), (403, Some(lacks("secrets:read"))));
        // What the gateway asks for comes on top, and never in place of it.
        if dialect != "envoy/" {
            let both = ask(&world, dialect, "volumes:read", ("GET", "/v1/instances/7"), &key);
            assert_eq!(
                (status(&both), both.header("www-authenticate")),
                (403, Some(lacks("volumes:read"))),
                "{dialect}"
            );
            let both = ask(&world, dialect, "instances:read", ("GET", "/v1/files/secret"), &key);
            assert_eq!(both.header("www-authenticate"), Some(lacks("secrets:read")), "{dialect}");
        }
    }
    // A token is held to the table as a key is.
    let token = token_with(&world, "instances:read").await;
    for (request, expected) in [(("GET", "/v1/instances/7"), 200), (("POST", "/v1/instances"), 403)] {
        assert_eq!(ask(&world, "caddy", "", request, &token).status(), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_row_is_nobody_passes_and_only_who_is_known_hears_why_s_k4() {
    let world = with_table(true).await;
    let (_, key) = minted(&world, |new| {
        new.scopes = cnx::api_key::permission::Permissions::parse(["*"].into_iter()).unwrap();
    })
    .await;
    for dialect in DIALECTS {
        for request in [
            ("GET", "/v1/volumes"),
            ("PUT", "/v1/instances/7"),
            ("GET", "/v1/instances"),
            ("GET", "/v1/instances/7/logs"),
            ("POST", "/v1/open"),
            ("GET", "/v1/files"),
            ("GET", "/v1/Files/a"),
            ("GET", "/"),
        ] {
            let heard = ask(&world, dialect, "", request, &key);
            let told = body(&heard);
            assert_eq!(
                (heard.status(), &told["code"]),
                (403, &json!("no_route")),
                "{dialect} {request:?}: {}",
                heard.text
            );
            assert_eq!(told["detail"], format!("no route of the gateway is for {} {}", request.0, request.1));
            let stranger = ask(&world, dialect, "", request, "cnx_prod_nonsense");
            assert_eq!((stranger.status(), &body(&stranger)["code"]), (401, &json!("invalid_token")));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_can_be_read_in_two_ways_passes_nowhere_s_k4() {
    let world = with_table(true).await;
    let (_, key) = minted(&world, |_| {}).await;
    for target in [
        "/v1/files/../admin",
        "/v1/files/./secret",
        "/v1/files/x/..",
        "/v1/files/x/.",
        "/v1/files//secret",
        "//v1/files/a",
        "/v1/files/%2e%2e/admin",
        "/v1/files/.%2E/admin",
        "/v1/files/..%2fadmin",
        "/v1/files%2Fsecret",
        "/v1/files/..%5cadmin",
        "/v1/files/..\\admin",
        "/v1/files/%73ecret",
        "/v1/files/%2573ecret",
        "/v1/files/secret;x",
        "/v1/files/secret%3Bx",
        "/v1/files/secret%00",
        "/v1/files/secret%0A",
        "/v1/files/secret.",
        "/v1/files/secret%20",
        "/v1/files/secret/",
        "/v1/files/SECRET",
        "/v1/files/%C3%A4",
        "/v1/files/%c0%ae%c0%ae/admin",
        "/v1/files/%",
        "/v1/files/%u0073ecret",
    ] {
        for dialect in DIALECTS {
            let heard = ask(&world, dialect, "", ("GET", target), &key);
            assert_eq!(status(&heard), 400, "{dialect} {target}: {}", heard.text);
            if dialect != "envoy/" && dialect != "envoy?" {
                assert_eq!(body(&heard)["code"], "ambiguous_request", "{dialect} {target}");
            }
        }
    }
    for target in
        ["v1/files/a", "http://api.example.com/v1/files/a", "*", "/v1/files/a#b", "/v1/files/\u{e4}"]
    {
        for dialect in ["caddy", "nginx"] {
            assert_eq!(status(&ask(&world, dialect, "", ("GET", target), &key)), 400, "{dialect} {target}");
        }
    }
    for method in ["get", "Delete", "D3LETE"] {
        for dialect in ["caddy", "nginx"] {
            let heard = ask(&world, dialect, "", (method, "/v1/files/a"), &key);
            assert_eq!(
                (status(&heard), &body(&heard)["code"]),
                (400, &json!("ambiguous_request")),
                "{method}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_caller_says_of_its_path_chooses_no_row_s_k4_s_h8() {
    let world = with_table(true).await;
    let (_, key) = minted(&world, |_| {}).await;
    let bearer = format!("Bearer {key}");
    let auth = ("Authorization", bearer.as_str());
    // The caller's own query, behind the path that Envoy told.
    for target in ["/v1/files/secret?path=/v1/open", "/v1/files/secret?a=b&path=/v1/open"] {
        for dialect in ["envoy/", "envoy?"] {
            let heard = ask(&world, dialect, "", ("GET", target), &key);
            assert_eq!(heard.status(), 403, "{dialect} {target}: {}", heard.text);
        }
    }
    // An & in the path itself does not end it.
    let heard = ask(&world, "envoy?", "", ("GET", "/v1/open&/x"), &key);
    assert_eq!((heard.status(), &body(&heard)["code"]), (403, &json!("no_route")), "{}", heard.text);
    // Twice, or not at all: nothing is guessed.
    let method = ("X-Forwarded-Method", "GET");
    let uri = ("X-Forwarded-Uri", "/v1/open");
    for (headers, missing) in [
        (vec![auth], "X-Forwarded-Method"),
        (vec![auth, method], "X-Forwarded-Uri"),
        (vec![auth, uri], "X-Forwarded-Method"),
        (vec![auth, method, uri, uri], "X-Forwarded-Uri"),
        (vec![auth, method, method, uri], "X-Forwarded-Method"),
    ] {
        let heard = send(&world, "GET", "/gateway/caddy", &headers);
        let told = body(&heard);
        assert_eq!((heard.status(), &told["code"]), (400, &json!("invalid_request")), "{}", heard.text);
        assert!(told["detail"].as_str().unwrap().contains(missing), "{told}");
    }
    let heard = send(&world, "GET", "/gateway/nginx", &[auth, method, uri]);
    assert!(status(&heard) == 400 && heard.body().contains("X-Original-Method"), "{}", heard.text);
    for path in ["/gateway/envoy", "/gateway/envoy?scope=instances:read", "/gateway/envoy?path="] {
        let heard = send(&world, "GET", path, &[auth]);
        assert_eq!((heard.status(), &body(&heard)["code"]), (400, &json!("invalid_request")), "{path}");
    }
    // And a stranger's word is not taken at all.
    let strange = with_table(false).await;
    let (_, key) = minted(&strange, |_| {}).await;
    for dialect in DIALECTS {
        let heard = ask(&strange, dialect, "", ("GET", "/v1/open"), &key);
        assert_eq!(
            (heard.status(), &body(&heard)["code"]),
            (403, &json!("untrusted_proxy")),
            "{}",
            heard.text
        );
    }
}

#[test]
fn a_table_comes_from_the_file_or_the_environment_and_a_mistake_names_its_row() {
    let mut place = Place::new();
    place.set("CNX_TRUSTED_PROXIES", "127.0.0.1/32");
    let path = place.dir().join("cnx.toml");
    let good = "[[gateway.routes]]\nmethods = [\"GET\"]\npath = \"/v1/instances/{id}\"\nscope = \"instances:read\"\n\n";
    let shown = |place: &Place| {
        let settings = place.json(&["config"])["settings"].as_array().unwrap().clone();
        settings.into_iter().find(|row| row["key"] == "gateway.routes").unwrap()
    };
    assert_eq!(shown(&place), json!({"key": "gateway.routes", "value": null, "from": "default"}));
    std::fs::write(&path, format!("{good}[[gateway.routes]]\nmethods = [\"*\"]\npath = \"/v1/open\"\n"))
        .unwrap();
    let rows = r#"[{"methods":["GET"],"path":"/v1/instances/{id}","scope":"instances:read"},{"methods":["*"],"path":"/v1/open"}]"#;
    assert_eq!(shown(&place), json!({"key": "gateway.routes", "value": rows, "from": "cnx.toml:1"}));
    for (second, problem) in [
        (
            "methods = [\"GTE\"]\npath = \"/v1\"",
            "methods: \"GTE\" is not allowed here; GET, POST, PUT, PATCH, DELETE, OPTIONS or \"*\" alone is allowed; HEAD follows GET",
        ),
        (
            "method = \"GET\"\npath = \"/v1\"",
            "there is no member method; did you mean methods?; a row has methods = [\"GET\"], path = \"/v1/instances/{id}\" and scope = \"instances:read\"",
        ),
        (
            "methods = [\"GET\"]\npath = \"/v1/instances/{other}\"",
            "row 1 is for the same path and method; one of them is needed (a name in braces and the case of letters make no difference)",
        ),
    ] {
        std::fs::write(&path, format!("{good}[[gateway.routes]]\n{second}\n")).unwrap();
        assert_eq!(place.refused(&["serve"]), format!("cnx: gateway.routes (cnx.toml:6): row 2: {problem}"));
    }
    std::fs::write(&path, "[gateway]\nroutes = \"/v1\"\n").unwrap();
    assert!(
        place.refused(&["config"]).starts_with("cnx: gateway.routes (cnx.toml:2): a list of rows is allowed")
    );
    std::fs::write(&path, good).unwrap();
    // The environment wins, and takes what `cnx config` prints.
    place.set("CNX_GATEWAY__ROUTES", rows);
    assert_eq!(shown(&place), json!({"key": "gateway.routes", "value": rows, "from": "CNX_GATEWAY__ROUTES"}));
    for (text, problem) in [
        ("GET /v1", "this is not JSON: "),
        (r#"[{"methods":["GET"],"path":"v1"}]"#, "row 1: path: \"v1\": it does not begin with /"),
        (r#"[{"methods":["GET"],"path":"/v1","path":"/v2"}]"#, "this is not JSON: "),
        ("[7]", "row 1: a row has methods"),
    ] {
        place.set("CNX_GATEWAY__ROUTES", text);
        let line = place.refused(&["serve"]);
        assert!(line.starts_with(&format!("cnx: gateway.routes (CNX_GATEWAY__ROUTES): {problem}")), "{line}");
    }
    place.set("CNX_GATEWAY__ROUTES", rows).set("CNX_TRUSTED_PROXIES", "");
    assert_eq!(
        place.refused(&["serve"]),
        "cnx: gateway.routes (CNX_GATEWAY__ROUTES): trusted_proxies is empty, and method and path are believed of trusted proxies only; name the gateway there"
    );
}
