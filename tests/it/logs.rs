//! What the real binary writes down: one record for each event whatever people send, and no request waits for a reader of
//! the log (S-H13, F22).

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::command_line::client_of;
use crate::page_forms::forms;
use crate::page_table::pages;
use crate::process::{Node, Place};
use crate::wire::{self, exchange};
use crate::world::{Browser, CALLBACK, PASSWORD, TestClient, http};

/// Text that would begin a new line, hide one, or turn it round.
const HOSTILE: &str =
    "bob\r\n{\"level\":\"INFO\",\"forged\":true}\u{1b}[2K\u{9b}1A\u{202e}\u{2066}\u{2028}\u{85}eve";

pub fn place(format: &str, level: &str) -> Place {
    let mut place = Place::new();
    place.set("CNX_LOG__FORMAT", format).set("CNX_LOG__LEVEL", level);
    place
}

pub fn add(place: &Place) -> TestClient {
    place.json_with(&["user", "add", "ada@example.com", "--name", "Ada", "--password-stdin"], Some(PASSWORD));
    let added = place.json(&[
        "client",
        "add",
        "Logged",
        "--redirect-uri",
        CALLBACK,
        "--grant",
        "authorization_code",
        "--grant",
        "refresh_token",
        "--grant",
        "client_credentials",
    ]);
    client_of(&added)
}

pub fn stopped(node: &mut Node) -> String {
    node.signal("TERM");
    assert_eq!(node.wait(Duration::from_secs(10)).code(), Some(0), "{}", node.err());
    node.err()
}

/// The same into every field of every form that an owner finds in the console and in their account.
async fn type_hostile_things(base: &str) {
    let http = http();
    let browser = Browser::new(base, &http);
    for (path, methods, least) in pages() {
        if least.is_none() || !methods.contains(&"GET") || path.contains('{') {
            continue;
        }
        let mut page = browser.get(path).await;
        if page.status == 303 {
            let sign_in = browser.open("/sign-in").await;
            browser.sign_in(&sign_in, "olga").await;
            page = browser.get(path).await;
        }
        for mut form in forms(&page.text, 1) {
            for at in form.texts.clone() {
                HOSTILE.clone_into(&mut form.fields[at].1);
            }
            if form.is_get {
                let query =
                    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&form.fields).finish();
                browser.get(&format!("{}?{query}", form.action)).await;
            } else {
                browser.post(&form.action, &form.fields).await;
            }
        }
    }
}

async fn send_hostile_things(base: &str) {
    let (http, encoded) =
        (http(), url::form_urlencoded::byte_serialize(HOSTILE.as_bytes()).collect::<String>());
    let browser = Browser::new(base, &http);
    for _ in 0..2 {
        let page = browser.open("/sign-in").await;
        let form = page.form(&[("username", HOSTILE), ("password", "wrong wrong wrong")]);
        let request = http
            .post(format!("{base}/sign-in"))
            .header("user-agent", "Mozilla \u{202e} agent")
            .form(&form.fields);
        browser.send(request).await;
    }
    for path in [
        format!("/oauth2/authorize?client_id={encoded}"),
        format!("/oauth2/authorize?client_id=x&redirect_uri={encoded}"),
        format!("/{encoded}"),
        format!("/assets/{encoded}"),
        format!("/sign-in?request={encoded}"),
        format!("/set-password?token={encoded}"),
        format!("/oauth2/logout?id_token_hint={encoded}&post_logout_redirect_uri={encoded}"),
    ] {
        browser.get(&path).await;
    }
    let form = [
        ("grant_type", HOSTILE),
        ("client_id", HOSTILE),
        ("client_secret", HOSTILE),
        ("scope", HOSTILE),
        ("code", HOSTILE),
    ];
    http.post(format!("{base}/oauth2/token")).form(&form).send().await.unwrap();
    // What a proper client cannot send at all: raw bytes in heads.
    for raw in [
        &b"GET /\x1b[2K\xe2\x80\xae HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\nHost: \x1b[2K\r\nUser-Agent: a\x0bb\xe2\x80\xaec\r\nConnection: close\r\n\r\n",
        b"EVIL\x1b /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    ] {
        exchange(base, raw, Duration::from_secs(3));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_one_record_whatever_people_send_s_h13() {
    for (format, level) in [("json", "trace"), ("human", "trace")] {
        let mut place = place(format, level);
        place.set("CNX_LOG__LEVEL", "");
        add(&place);
        let owner = ["user", "add", "olga@example.com", "--username", "olga", "--admin", "--password-stdin"];
        place.json_with(&owner, Some(PASSWORD));
        place.set("CNX_LOG__LEVEL", level);
        let mut node = place.serve(&[]);
        send_hostile_things(&place.base).await;
        type_hostile_things(&place.base).await;
        let log = stopped(&mut node);
        assert!(log.lines().count() > 20, "{log}");
        assert!(
            log.ends_with('\n')
                && !log.contains(['\r', '\u{1b}', '\u{9b}', '\u{202e}', '\u{2066}', '\u{2028}', '\u{85}']),
            "{log}"
        );
        for line in log.lines() {
            if format == "json" {
                let record: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
                assert!(
                    record["timestamp"].is_string()
                        && record["level"].is_string()
                        && record.get("forged").is_none(),
                    "{line}"
                );
            } else {
                let time = line.split(' ').next().unwrap();
                assert!(time.len() >= 20 && time.ends_with('Z') && time.as_bytes()[4] == b'-', "{line}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_the_log_that_stopped_costs_lines_and_not_requests_f22() {
    let mut place = place("json", "debug");
    place.set("CNX_LOG__LEVEL", "");
    let client = add(&place);
    let metrics = crate::world::free_port();
    place.set("CNX_LOG__LEVEL", "trace").set("CNX_METRICS_LISTEN", &format!("127.0.0.1:{metrics}"));
    let mut node = place.launch_unread(&["serve"]);
    let began = Instant::now();
    while wire::try_get(&place.base, "/readyz").is_none_or(|heard| heard.status() != 200) {
        assert!(began.elapsed() < Duration::from_secs(40) && node.ended().is_none());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let http = http();
    let secret = client.secret.as_deref().unwrap();
    let mut slowest = Duration::ZERO;
    for _ in 0..1500 {
        let began = Instant::now();
        let form = [("grant_type", "client_credentials")];
        let reply = http
            .post(format!("{}/oauth2/token", place.base))
            .basic_auth(&client.id, Some(secret))
            .form(&form)
            .send()
            .await
            .unwrap();
        assert_eq!(reply.status(), 200);
        slowest = slowest.max(began.elapsed());
    }
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
    assert!(wire::get(&place.base, "/readyz").status() == 200);
    let began = Instant::now();
    loop {
        let shown = wire::get(&format!("http://localhost:{metrics}"), "/metrics");
        if shown.metric("cnx_log_lines_dropped_total").is_some_and(|n| n > 0) {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(15), "lines were lost and not counted: {}", shown.text);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
