//! The front answers as the routes do: each of its addresses (`gateway` has those of proxies) is asked in the plain form, which it takes, and
//! with a body in chunks, which it leaves to the routes. But for what is new in each answer, both are the same.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::api_keys::{minted, token_with};
use crate::wire::exchange;
use crate::world::{TestClient, on_both};

const PATIENCE: Duration = Duration::from_secs(10);
const SPA: &str = "https://spa.example";

/// The same request twice: with the length of its body told, and in chunks.
fn both(method: &str, path: &str, headers: &str, body: &str) -> [String; 2] {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}");
    let told = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let chunk = if body.is_empty() { String::new() } else { format!("{:x}\r\n{body}\r\n", body.len()) };
    [format!("{head}{told}\r\n{body}"), format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}0\r\n\r\n")]
}

/// An answer without what is new in each: its status, its headers, and of a body in JSON the names of its members.
fn shape(base: &str, request: &str) -> (u16, Vec<String>, Vec<String>) {
    let heard = exchange(base, request.as_bytes(), PATIENCE);
    let lines = heard.text.split("\r\n\r\n").next().unwrap().to_ascii_lowercase();
    let is_new =
        |line: &&str| ["date:", "x-request-id:", "content-length:"].iter().any(|name| line.starts_with(name));
    let mut headers: Vec<String> =
        lines.lines().skip(1).filter(|line| !is_new(line)).map(str::to_owned).collect();
    headers.sort();
    assert!(heard.header("x-request-id").is_some(), "{heard:?}");
    let body: Value = serde_json::from_str(heard.body()).unwrap_or_default();
    let mut members: Vec<String> =
        body.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
    members.sort();
    (heard.status(), headers, members)
}

fn basic(client: &TestClient, secret: &str) -> String {
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    format!("Authorization: Basic {}\r\n{form}", STANDARD.encode(format!("{}:{secret}", client.id)))
}

on_both! {
    async fn the_front_answers_as_the_routes_do(world: World) {
        let client = world.add_client(json!({"grant_types": ["client_credentials"], "response_types": [], "scope": "read"})).await;
        world.add_client(json!({"token_endpoint_auth_method": "none", "redirect_uris": [format!("{SPA}/cb")]})).await;
        let good = basic(&client, client.secret.as_deref().unwrap());
        let token = world.token(&client, &[("grant_type", "client_credentials")]).await.json()["access_token"].as_str().unwrap().to_owned();
        let app = world.web_client().await;
        world.add_user("ada").await;
        let person = world.browser().tokens(&world, &app, &[], "ada").await;
        let tag = world.get("/.well-known/jwks.json").await.header("etag").unwrap().to_owned();
        let grant = "grant_type=client_credentials";
        let (_, key) = minted(&world, |_| {}).await;
        let asks = format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\n", token_with(&world, "keys:verify").await);
        let may_not = asks.replace("Bearer ", "Bearer none");
        let about = |more: &str| format!("{{\"key\":\"{key}\"{more}}}");
        let cases = [
            (200, "GET", "/.well-known/openid-configuration", String::new(), String::new()),
            (200, "GET", "/.well-known/oauth-authorization-server", format!("Origin: {SPA}\r\n"), String::new()),
            (200, "GET", "/.well-known/jwks.json", "If-None-Match: \"other\"\r\n".to_owned(), String::new()),
            (304, "GET", "/.well-known/jwks.json", format!("If-None-Match: \"other\", W/{tag}\r\n"), String::new()),
            (304, "GET", "/.well-known/jwks.json", "If-None-Match: *\r\n".to_owned(), String::new()),
            (200, "POST", "/oauth2/token", good.clone(), grant.to_owned()),
            (200, "POST", "/oauth2/token", format!("{good}Origin: {SPA}\r\n"), grant.to_owned()),
            (200, "POST", "/oauth2/token", format!("{good}Origin: https://evil.example\r\n"), grant.to_owned()),
            (401, "POST", "/oauth2/token", basic(&client, "wrong"), grant.to_owned()),
            (400, "POST", "/oauth2/token", good.clone(), "grant_type=none".to_owned()),
            (400, "POST", "/oauth2/token", "Content-Type: text/plain\r\n".to_owned(), grant.to_owned()),
            (415, "POST", "/oauth2/token", format!("{good}Content-Encoding: gzip\r\n"), grant.to_owned()),
            (200, "POST", "/oauth2/introspect", good.clone(), format!("token={token}")),
            (401, "POST", "/oauth2/introspect", basic(&client, "wrong"), format!("token={token}")),
            (401, "GET", "/oauth2/userinfo", "Authorization: Bearer none\r\n".to_owned(), String::new()),
            (401, "GET", "/oauth2/userinfo", format!("Origin: {SPA}\r\n"), String::new()),
            (400, "GET", "/oauth2/userinfo?access_token=none", String::new(), String::new()),
            (200, "GET", "/oauth2/userinfo", format!("Authorization: Bearer {}\r\n", person.access), String::new()),
            (200, "POST", "/v1/keys/verify", asks.clone(), about("")),
            (200, "POST", "/v1/keys/verify", asks.clone(), about(",\"scopes\":[\"volumes:read\"]")),
            (200, "POST", "/v1/keys/verify", asks.clone(), "{\"key\":\"cnx_prod_nonsense\"}".to_owned()),
            (400, "POST", "/v1/keys/verify", asks.clone(), about(",\"nonsense\":1")),
            (401, "POST", "/v1/keys/verify", may_not, about("")),
            (403, "POST", "/v1/keys/verify", format!("Authorization: Bearer {key}\r\nContent-Type: application/json\r\n"), about("")),
        ];
        for (status, method, path, headers, body) in cases {
            let [plain, chunked] = both(method, path, &headers, &body).map(|request| shape(&world.base, &request));
            assert_eq!(plain.0, status, "{method} {path} {headers}");
            assert_eq!(plain, chunked, "{method} {path} {headers}");
        }
    }
}
