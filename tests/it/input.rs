//! Input on its way to SQL and to JSON, and a handler that breaks (S-H15, S-H16, S-H17).

use actix_web::dev::Service as _;
use actix_web::middleware::from_fn;
use actix_web::{App as Site, test, web};
use cnx::base::secret::Secret;
use cnx::flow::people::{self, NewPerson};
use serde_json::json;

use crate::world::{CALLBACK, On, PASSWORD, World, authorize_path, by, claims, on_both};

on_both! {
    async fn what_people_type_is_no_sql_and_no_pattern_s_h15(world: World) {
        let client = world.web_client().await;
        for name in ["ada", "o'brien", "100%_sure", "a;drop--table", "x\\y"] {
            let person = NewPerson {
                email: (name == "ada").then(|| "ada@example.com".to_owned()), username: Some(name.to_owned()), name: None,
                email_verified: true, role: cnx::account::role::Role::Member, claims: serde_json::Map::new(), password: Some(Secret::new(PASSWORD.to_owned())),
            };
            people::add(world.app(), by(), person).await.unwrap();
        }
        // Each name is itself and nothing more.
        for name in ["ada", "o'brien", "100%_sure", "a;drop--table", "x\\y"] {
            let user = people::find(world.app(), name).await.unwrap();
            assert_eq!(user.username, name);
            let page = world.browser();
            let reply = page.sign_in(&page.open("/sign-in").await, name).await;
            assert_eq!((reply.status, reply.text.contains("id=\"problem\"")), (200, false), "{name}");
        }
        for hostile in [
            "ad%", "a__", "_da", "%", "___", "ad\\a", "ada'--", "ada' OR '1'='1", "' OR 1=1 --", "ada';DROP TABLE users;--", "ada\" OR \"\"=\"",
            "ada/*", "ADA' COLLATE NOCASE--", "%@example.com", "ad_@example.com", "ada@example.com' OR 'a'='a", "$1", "?1", "${jndi:x}",
        ] {
            assert!(people::find(world.app(), hostile).await.is_err(), "{hostile}");
            let browser = world.browser();
            let page = browser.open("/sign-in").await;
            let reply = browser.submit(&page, &[("username", hostile), ("password", PASSWORD)]).await;
            assert_eq!(reply.status, 422, "{hostile}: {}", reply.text);
        }
        for hostile in ["%", "_", &client.id.replace(|c: char| c.is_ascii_digit(), "_"), "' OR 1=1 --", &format!("{}'--", client.id)] {
            let page = world.get(&authorize_path(&client, &[("client_id", hostile)])).await;
            assert_eq!((page.status, page.location()), (400, None), "{hostile}");
            let form = [("grant_type", "client_credentials"), ("client_id", hostile), ("client_secret", client.secret.as_deref().unwrap())];
            let reply = world.post("/oauth2/token", None, &form).await;
            assert_eq!((reply.status, reply.error().as_str()), (401, "invalid_client"), "{hostile}");
        }
        for hostile in ["%", "' OR 1=1 --", "cnx_rt_%", "cnx_at_' OR 1=1 --", "cnx_ac_%"] {
            assert_eq!(world.introspect(&client, hostile).await, json!({"active": false}), "{hostile}");
            let form = [("grant_type", "refresh_token"), ("refresh_token", hostile)];
            assert_eq!(world.token(&client, &form).await.error(), "invalid_grant", "{hostile}");
        }
        assert_eq!(world.get("/readyz").await.status, 200, "and the tables are all there");
    }

    async fn what_travels_through_the_browser_cannot_be_made_there_s_h15(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let browser = world.browser();
        let page = browser.open(&authorize_path(&client, &[])).await;
        let form = page.form(&[("username", "ada"), ("password", PASSWORD)]);
        let sealed = form.fields.iter().find(|(name, _)| name == "request").unwrap().1.clone();
        assert!(sealed.len() > 40);
        let mut flipped = sealed.clone().into_bytes();
        let middle = flipped.len() / 2;
        flipped[middle] = if flipped[middle] == b'A' { b'B' } else { b'A' };
        let flipped = String::from_utf8(flipped).unwrap();
        for forged in ["", "x", "AAAA", &sealed[..sealed.len() - 4], &format!("{sealed}AAAA"), &flipped, "' OR 1=1 --", "1", &"A".repeat(9000)] {
            if forged.is_empty() {
                continue;
            }
            for path in ["/sign-in?request=", "/consent?request=", "/select-account?request=", "/oauth2/authorize?pending="] {
                let query: String = url::form_urlencoded::byte_serialize(forged.as_bytes()).collect();
                let reply = browser.get(&format!("{path}{query}")).await;
                assert_eq!((reply.status, reply.location()), (400, None), "{path}{forged:.20}: {}", reply.text);
            }
            let mut fields = form.fields.clone();
            fields.iter_mut().find(|(name, _)| name == "request").unwrap().1 = forged.to_owned();
            let reply = browser.post("/sign-in", &fields).await;
            assert_eq!(reply.status, 400, "{forged:.20}");
        }
        let reply = browser.submit(&page, &[("username", "ada"), ("password", PASSWORD)]).await;
        assert!(reply.text.contains("consent-allow"), "the sealed one itself works: {}", reply.text);
    }

    async fn json_that_is_deep_long_or_says_things_twice_is_refused_s_h16(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let nested = |depth: usize| format!("{{\"userinfo\":{{\"x\":{}}}}}", "{\"a\":".repeat(depth) + "null" + &"}".repeat(depth));
        let arrays = |depth: usize| format!("{{\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        let long = format!("{{\"x\":\"{}\"}}", "a".repeat(8200));
        for (bad, what) in [
            (nested(31), "33 deep"),
            (nested(300), "302 deep"),
            (arrays(32), "33 deep in arrays"),
            (arrays(1500), "1501 deep in arrays"),
            (long, "8 kB"),
            (r#"{"userinfo":{"name":null},"userinfo":{"email":null}}"#.to_owned(), "userinfo twice"),
            (r#"{"id_token":{"sub":{"value":"a"},"sub":{"value":"b"}}}"#.to_owned(), "sub twice"),
            (r#"{"id_token":{"sub":{"value":"a","value":"b"}}}"#.to_owned(), "value twice"),
            (r#"{"id_token":{"acr":{"essential":false,"\u0065ssential":true}}}"#.to_owned(), "essential twice, once escaped"),
            ("{\"userinfo\":{}} x".to_owned(), "something behind it"),
            ("{\"userinfo\":{\"name\":null,}}".to_owned(), "a comma too many"),
        ] {
            let reply = world.get(&authorize_path(&client, &[("claims", &bad)])).await;
            let callback = reply.callback();
            assert!(callback.location.starts_with(CALLBACK), "{what}");
            assert_eq!((callback.error(), callback.get("code")), ("invalid_request", None), "{what}: {}", callback.location);
            assert_eq!(callback.get("state"), Some("state-1"), "{what}");
        }
        let tokens = world.browser().tokens(&world, &client, &[("claims", &nested(30))], "ada").await;
        assert!(claims(tokens.id())["sub"].is_string(), "32 deep is fine");
    }
}

async fn breaks() -> actix_web::HttpResponse {
    let text = String::from("hunter2 /etc/secret");
    assert!(text.is_empty(), "the inside of the server: {text}");
    actix_web::HttpResponse::Ok().finish()
}

/// A site of our own edge and routes, with one handler that breaks: what `serve` wires is wired here the same way.
#[actix_web::test]
async fn a_panic_in_a_handler_is_a_500_that_tells_nothing_and_the_process_lives_s_h17() {
    let metrics = metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder().unwrap();
    let world = World::new(On::Sqlite).await.unwrap();
    let site = test::init_service(
        Site::new()
            .wrap(from_fn(cnx::web::edge))
            .route("/breaks", web::get().to(breaks))
            .configure(cnx::web::routes(world.app())),
    )
    .await;
    for _ in 0..3 {
        // As a server does: an error on its way out is turned into its answer.
        let answer = match site.call(test::TestRequest::get().uri("/breaks").to_request()).await {
            Ok(answer) => answer.into_parts().1,
            Err(error) => error.error_response(),
        };
        assert_eq!(answer.status(), 500);
        let headers = answer.headers().clone();
        for (name, value) in [
            ("content-type", "application/json"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("x-frame-options", "DENY"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ] {
            assert_eq!(headers.get(name).map(|v| v.to_str().unwrap()), Some(value), "{name}");
        }
        assert!(headers.get("x-request-id").is_some_and(|id| id.len() >= 16));
        let body = actix_web::body::to_bytes(answer.into_body()).await.ok().unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            body,
            json!({"error": "server_error", "error_description": "something went wrong on our side"})
        );
    }
    let alive = test::call_service(&site, test::TestRequest::get().uri("/healthz").to_request()).await;
    assert_eq!(alive.status(), 200);
    let counted = metrics.render();
    assert!(counted.contains("cnx_panics_total 3"), "{counted}");
    assert!(counted.contains("status=\"500\""), "{counted}");
    assert!(!counted.contains("hunter2"));
}
