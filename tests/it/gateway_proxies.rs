//! Real nginx, Caddy, Traefik and Envoy, with the files that we publish, in front of the example API: what callers, and the API, get to see.
//!
//! `tests/run` installs them and says where they are (`TEST_NGINX`, `TEST_CADDY`, `TEST_TRAEFIK`, `TEST_ENVOY`); a test says so when it was left out.

mod others;
mod routes;
pub mod site;
mod socket;
mod streams;

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use cnx::api_key::allowlist;
use cnx::flow::keys;
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use self::site::{Behind, Kind, Site, manual, scopes, sites, system};
use crate::api_keys::{minted, token_with};
use crate::third_party::present;
use crate::wire::exchange;
use crate::world::Reply;

const ALL: &str = "instances:read instances:write instances:delete";
const STREAM: &str = "/v1/instances/stream";

async fn reply(request: RequestBuilder) -> Reply {
    Reply::of(request.send().await.unwrap()).await
}

impl Site {
    fn request(&self, method: &str, path: &str, key: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.world.http.request(method.clone(), format!("{}{path}", self.url)).bearer_auth(key);
        if method == "POST" { request.json(&json!({"name": "web-1"})) } else { request }
    }

    async fn send(&self, method: &str, path: &str, key: &str) -> Reply {
        reply(self.request(method, path, key)).await
    }

    /// A request from another address of this machine, which is no proxy of anybody.
    fn from(&self, address: &str, key: &str) -> RequestBuilder {
        let address: IpAddr = address.parse().unwrap();
        let http = reqwest::Client::builder().no_proxy().local_address(address).build().unwrap();
        http.get(format!("{}/v1/instances", self.url)).bearer_auth(key)
    }

    /// A key that is good from one address only.
    async fn bound(&self, address: &str) -> String {
        minted(&self.world, |new| new.allow = vec![allowlist::network(address).unwrap()]).await.1
    }
}

/// The example clients whose languages are there, as commands.
fn clients(site: &Site, folder: &tempfile::TempDir, key: &str) -> Vec<Command> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let examples = root.join("examples/clients");
    let mut all = Vec::new();
    if has_curl() {
        let mut command = Command::new("bash");
        command.arg(examples.join("curl.sh"));
        all.push(command);
    }
    if let Some(python) = present("TEST_PYTHON") {
        let mut command = Command::new(python);
        command.arg(examples.join("python.py"));
        all.push(command);
    }
    if let Some(node) = present("TEST_NODE") {
        // Node looks for packages beside the file, so it is run where they are, as a user has it.
        let packages = folder.path().join("node_modules");
        if !packages.exists() {
            std::os::unix::fs::symlink(root.join("tests/clients/node_modules"), packages).unwrap();
            std::fs::copy(examples.join("node.mjs"), folder.path().join("node.mjs")).unwrap();
        }
        let mut command = Command::new(node);
        command.arg(folder.path().join("node.mjs"));
        all.push(command);
    }
    for command in &mut all {
        command.env("CNX_API_KEY", key).env("API_URL", &site.url).env("NO_PROXY", "*");
    }
    all
}

#[expect(clippy::print_stderr, reason = "a test that did nothing must say so")]
fn has_curl() -> bool {
    let found = Command::new("curl").arg("--version").output().is_ok_and(|ended| ended.status.success());
    if !found {
        eprintln!("skipped: curl is not installed");
    }
    found
}

/// Runs a client to its end: whether it was content, and all that it said.
async fn run(mut command: Command) -> (bool, String) {
    let ended = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    (ended.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_clients_list_create_and_delete_and_say_what_was_refused_c44_s_k5() {
    for site in sites(system, Behind::Api).await {
        let folder = tempfile::tempdir().unwrap();
        let (_, good) = site.key(ALL).await;
        let (_, fewer) = site.key("instances:read instances:write").await;
        let elsewhere = site.bound("203.0.113.0/24").await;
        let cases = [
            (good.as_str(), true, "deleted"),
            ("cnx_prod_nonsense", false, "401: the key is not valid"),
            (fewer.as_str(), false, r#"error="insufficient_scope", scope="instances:delete""#),
            (elsewhere.as_str(), false, "403: the key may not do this, or not from here"),
        ];
        for (key, content, words) in cases {
            for command in clients(&site, &folder, key) {
                let (well, said) = run(command).await;
                assert!(well == content && said.contains(words), "{:?}, {words}: {said}", site.kind);
            }
        }
        // Each left one that it could not delete, and none of the others.
        let left = site.send("GET", "/v1/instances", &good).await.json();
        assert_eq!(
            left["instances"].as_array().unwrap().len(),
            clients(&site, &folder, &good).len(),
            "{left}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_reaches_the_caller_with_its_reason_c43_c44_s_k5() {
    for site in sites(system, Behind::Api).await {
        let (id, key) = site.key("instances:read instances:write").await;
        let made = site.send("POST", "/v1/instances", &key).await;
        assert_eq!((made.status, made.header("x-api-version")), (201, Some("2024-10")), "{}", made.text);
        assert_eq!(made.json()["created_by"], format!("key:{id}"));
        assert_eq!(made.json()["key_id"], id);
        assert!(made.header("ratelimit").unwrap().starts_with(r#""write";r=119;"#));
        let listed = site.send("GET", "/v1/instances", &key).await;
        assert_eq!((listed.status, &listed.json()["instances"]), (200, &json!([made.json()])));

        let expect = |reply: Reply, status: u16, challenge: Option<&str>| {
            assert_eq!(reply.status, status, "{:?}: {}", site.kind, reply.text);
            assert_eq!(
                reply.headers.get_all("www-authenticate").iter().count(),
                usize::from(challenge.is_some())
            );
            assert_eq!(reply.header("www-authenticate"), challenge, "{:?}", site.kind);
            assert_eq!(reply.header("content-type"), Some("application/problem+json"));
            assert_eq!(reply.json()["status"], status);
            assert_eq!(reply.header("x-cnx-status"), None);
        };
        let lacking = r#"Bearer realm="cnx", error="insufficient_scope", scope="instances:delete""#;
        expect(site.send("DELETE", "/v1/instances/1", &key).await, 403, Some(lacking));
        let invalid = r#"Bearer realm="cnx", error="invalid_token""#;
        expect(site.send("GET", "/v1/instances", "cnx_prod_nonsense").await, 401, Some(invalid));
        let bare = site.world.http.get(format!("{}/v1/instances", site.url));
        expect(reply(bare).await, 401, Some(r#"Bearer realm="cnx""#));
        expect(site.send("GET", "/v1/instances", &site.bound("203.0.113.0/24").await).await, 403, None);
        // The method decides what is needed, and a method of nobody's needs what nobody has.
        let none = r#"Bearer realm="cnx", error="insufficient_scope", scope="instances:none""#;
        expect(site.send("PROPFIND", "/v1/instances", &key).await, 403, Some(none));
        // What the API itself refuses passes as it is.
        let old = site.request("GET", "/v1/instances", &key).header("x-api-version", "2019-01");
        let old = reply(old).await;
        assert_eq!((old.status, old.header("content-type")), (400, Some("application/problem+json")));
        assert!(old.text.contains("2024-10"), "{}", old.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_the_limit_callers_are_told_when_to_come_again_and_the_examples_do_s_k6_c43() {
    for site in sites(manual, Behind::Api).await {
        let folder = tempfile::tempdir().unwrap();
        let few = async || {
            let change = |new: &mut keys::NewKey| {
                new.scopes = scopes(ALL);
                new.limits.write = Some(1);
            };
            let key = minted(&site.world, change).await.1;
            assert_eq!(site.send("POST", "/v1/instances", &key).await.status, 201);
            key
        };
        let key = few().await;
        let over = site.send("POST", "/v1/instances", &key).await;
        assert_eq!((over.status, over.header("retry-after")), (429, Some("61")), "{:?}", site.kind);
        assert_eq!(over.header("ratelimit"), Some(r#""write";r=0;t=61"#));
        assert_eq!(over.header("ratelimit-policy"), Some(r#""write";q=1;w=60"#));
        assert_eq!(over.header("content-type"), Some("application/problem+json"));
        assert_eq!(site.send("GET", "/v1/instances", &key).await.status, 200, "reads have their own");

        for turn in 0..clients(&site, &folder, &key).len() {
            let key = few().await;
            site.world.advance(58);
            let mut command = clients(&site, &folder, &key).swap_remove(turn);
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let mut said = BufReader::new(child.stderr.take().unwrap());
            let mut first = String::new();
            tokio::task::block_in_place(|| said.read_line(&mut first)).unwrap();
            assert_eq!(first, "too many requests; waiting 3 s\n", "{:?}", site.kind);
            site.world.advance(3);
            let ended = tokio::task::block_in_place(|| child.wait_with_output()).unwrap();
            said.read_to_string(&mut first).unwrap();
            assert!(ended.status.success(), "{:?}: {first}", site.kind);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_and_the_method_are_the_gateways_word_alone_s_h8_c42_s_k5() {
    for site in sites(system, Behind::Api).await {
        let bound = site.bound("127.0.0.2/32").await;
        assert_eq!(reply(site.from("127.0.0.2", &bound)).await.status, 200, "{:?}", site.kind);
        let lies = [
            ("x-forwarded-for", "127.0.0.2"),
            ("x-forwarded-for", "127.0.0.2, 127.0.0.1"),
            ("x_forwarded_for", "127.0.0.2"),
            ("x-real-ip", "127.0.0.2"),
            ("forwarded", "for=127.0.0.2"),
            ("true-client-ip", "127.0.0.2"),
        ];
        for (name, value) in lies {
            // From an address that is nobody, and from the one of the proxy itself.
            for caller in ["127.0.0.3", "127.0.0.1"] {
                let lie = reply(site.from(caller, &bound).header(name, value)).await;
                assert_eq!(lie.status, 403, "{:?}: {name}: {value} from {caller}", site.kind);
            }
        }
        let (_, reader) = site.key("instances:read").await;
        let (_, writer) = site.key(ALL).await;
        for name in ["x-forwarded-method", "x-original-method", "x-http-method-override", "x-method-override"]
        {
            let lie = site.request("DELETE", "/v1/instances/1", &reader).header(name, "GET");
            assert_eq!(reply(lie).await.status, 403, "{:?}: {name}", site.kind);
            let lie = reply(site.request("POST", "/v1/instances", &writer).header(name, "GET")).await;
            let told = lie.header("ratelimit").unwrap_or_default().to_owned();
            assert!(lie.status == 201 && told.starts_with("\"write\""), "{:?}: {name}: {told}", site.kind);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_callers_say_about_themselves_never_reaches_the_api_s_h8_c44() {
    for site in sites(system, Behind::Mirror).await {
        let (id, key) = site.key("instances:read").await;
        let token = token_with(&site.world, "instances:read").await;
        let names = [
            "X-Cnx-Subject",
            "x-cnx-key-id",
            "X-CNX-Organization",
            "X-Cnx-Scopes",
            "X_Cnx_Subject",
            "X-Cnx_Key-Id",
            "x_cnx_scopes",
        ];
        for (credential, subject) in [(&key, format!("key:{id}")), (&token, String::new())] {
            let mut request = site.request("GET", "/v1/instances", credential);
            // Caddy removes all that begins so; nginx replaces those that mean something.
            let more = if site.kind == Kind::Caddy { "X-Cnx-Else" } else { "X-Cnx-Subject" };
            for name in names.into_iter().chain([more]) {
                request = request.header(name, "forged").header(name, "forged-again");
            }
            let seen = reply(request.header("x-forwarded-for", "203.0.113.9")).await;
            assert_eq!(seen.status, 200, "{:?}", site.kind);
            assert_eq!(
                seen.header("ratelimit").is_some(),
                !subject.is_empty(),
                "a token has no limit of its own"
            );
            let head = seen.text.to_ascii_lowercase();
            assert!(!head.contains("forged") && !head.contains("203.0.113.9"), "{:?}: {head}", site.kind);
            let values = |name: &str| -> Vec<String> {
                let lines = seen.text.lines().filter_map(|line| line.split_once(": "));
                lines
                    .filter(|(n, _)| n.eq_ignore_ascii_case(name))
                    .map(|(_, v)| v.trim().to_owned())
                    .collect()
            };
            assert!(values("x-cnx-subject")[0].starts_with(&subject), "{head}");
            assert_eq!(values("x-cnx-scopes"), ["instances:read"]);
            assert_eq!(values("x-forwarded-for"), ["127.0.0.1"]);
            // The key stays at the gateway, but for the stream that needs it for its lease.
            assert!(!seen.text.contains(credential.as_str()), "{:?}: {}", site.kind, seen.text);
            let key_id = values("x-cnx-key-id").concat();
            assert_eq!(key_id, if subject.is_empty() { "" } else { id.as_str() });
            assert_eq!(values("x-cnx-organization").is_empty(), subject.is_empty(), "{head}");
        }
        assert!(site.send("GET", STREAM, &key).await.text.contains(&key), "{:?}", site.kind);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_that_comes_twice_or_broken_is_refused_and_nothing_breaks_s_k3() {
    for site in sites(system, Behind::Api).await {
        let (_, key) = site.key("instances:read").await;
        let bearer = format!("Authorization: Bearer {key}\r\n").into_bytes();
        let by_name = format!("X-API-Key: {key}\r\n").into_bytes();
        let long = |before: &str| format!("{before}{}\r\n", "x".repeat(64 * 1024)).into_bytes();
        let cases: [(&str, Vec<u8>, &[u16]); 12] = [
            ("the key by its own header", by_name.clone(), &[200]),
            ("Authorization twice", bearer.repeat(2), &[400]),
            ("X-API-Key twice", by_name.repeat(2), &[400]),
            ("both headers", [bearer.clone(), by_name].concat(), &[400]),
            ("64 KiB", long("Authorization: Bearer cnx_prod_"), &[400, 401, 431]),
            ("64 KiB by name", long("X-API-Key: "), &[400, 401, 431]),
            ("not UTF-8", b"Authorization: Bearer \xff\xfe\r\n".to_vec(), &[400, 401]),
            ("not UTF-8 by name", b"X-API-Key: cnx_\xc3\x28\r\n".to_vec(), &[400, 401]),
            ("Basic", b"Authorization: Basic YTpi\r\n".to_vec(), &[401]),
            ("empty", b"Authorization: Bearer \r\n".to_vec(), &[401]),
            ("none but in the address", Vec::new(), &[401]),
            ("as ever", bearer, &[200]),
        ];
        for (what, headers, allowed) in cases {
            let query = if headers.is_empty() { format!("?api_key={key}") } else { String::new() };
            let request =
                format!("GET /v1/instances{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
            let request = [request.as_bytes(), &headers, b"\r\n"].concat();
            let heard =
                tokio::task::block_in_place(|| exchange(&site.url, &request, Duration::from_secs(10)));
            let told = format!("{:?}: {what}: {}", site.kind, heard.text);
            assert!(allowed.contains(&heard.status()) && heard.closed, "{told}");
            assert_eq!(heard.body().contains("\"instances\""), heard.status() == 200, "{told}");
        }
    }
}
