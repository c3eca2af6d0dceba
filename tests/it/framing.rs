//! The edge against bytes that are no honest request: framing, heads, bodies, methods (S-H1, S-H2, S-H3, S-H6, F13).

use std::time::{Duration, Instant};

use crate::wire::{Wire, exchange, get};
use crate::world::on_both;

const SECOND: Duration = Duration::from_secs(1);

/// Waits as long as a busy machine may need; a server that keeps the connection open costs this much.
const PATIENCE: Duration = Duration::from_secs(4);

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

/// A second request that would be answered if the first one's end were misread.
const SMUGGLED: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn post(path: &str, headers: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{FORM}{headers}\r\n{body}")
}

on_both! {
    async fn conflicting_framing_is_a_400_and_the_end_of_the_connection_s_h1(world: World) {
        let heads = [
            ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
            ("Content-Length: 3\r\nContent-Length: 4\r\n", "a=b"),
            ("Content-Length: +3\r\n", "a=b"),
            ("Content-Length: -3\r\n", "a=b"),
            ("Content-Length: 3, 4\r\n", "a=b"),
            ("Content-Length: 0x3\r\n", "a=b"),
            ("Content-Length: 18446744073709551616\r\n", "a=b"),
            ("Content-Length : 3\r\n", "a=b"),
            ("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            ("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
            ("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
            ("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
            ("Transfer-Encoding: identity\r\n", ""),
            ("Host: elsewhere.example\r\nContent-Length: 0\r\n", ""),
        ];
        for (headers, body) in heads {
            let heard = exchange(&world.base, (post("/oauth2/token", headers, body) + SMUGGLED).as_bytes(), PATIENCE);
            assert_eq!((heard.status(), heard.answers(), heard.closed), (400, 1, true), "{headers:?}: {heard:?}");
        }
        for (chunks, what) in [
            ("zz\r\n\r\n0\r\n\r\n", "a size that is no number"),
            ("-1\r\na\r\n0\r\n\r\n", "a negative size"),
            ("fffffffffffffffff\r\na\r\n0\r\n\r\n", "a size beyond 64 bits"),
            ("3\r\na=bX\r\n0\r\n\r\n", "no line end after a chunk"),
            ("3;\n\r\na=b0\r\n\r\n", "a line feed in a chunk's extension"),
        ] {
            let request = post("/oauth2/token", "Transfer-Encoding: chunked\r\n", chunks) + SMUGGLED;
            let heard = exchange(&world.base, request.as_bytes(), PATIENCE);
            assert_eq!((heard.status(), heard.answers(), heard.closed), (400, 1, true), "{what}: {heard:?}");
        }
        let http_1_0 = "POST /oauth2/token HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        let heard = exchange(&world.base, http_1_0.as_bytes(), PATIENCE);
        assert_eq!((heard.status(), heard.answers(), heard.closed), (400, 1, true), "{heard:?}");
        let no_host = exchange(&world.base, b"GET /healthz HTTP/1.1\r\n\r\n", PATIENCE);
        assert_eq!((no_host.status(), no_host.answers(), no_host.closed), (400, 1, true), "{no_host:?}");
        assert_eq!(get(&world.base, "/healthz").status(), 200, "and the server goes on");
    }

    async fn a_head_that_is_too_large_is_refused_s_h2_f13(world: World) {
        let header = |n: usize, length: usize| format!("X-{n}: {}\r\n", "a".repeat(length));
        let many: String = (0..97).map(|n| header(n, 1)).collect();
        let long = header(0, 130 * 1024);
        let several: String = (0..90).map(|n| header(n, 1500)).collect();
        for (headers, what) in [(many, "97 headers"), (long, "one of 130 KiB"), (several, "132 KiB in all")] {
            let request = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
            let heard = exchange(&world.base, request.as_bytes(), PATIENCE);
            assert!(matches!(heard.status(), 400 | 431), "{what}: {heard:?}");
            assert!(heard.closed && heard.answers() == 1, "{what}: {heard:?}");
        }
        // A head without end: never more is kept than the limit.
        let mut wire = Wire::open(&world.base);
        wire.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ");
        let mut sent = 0;
        while sent < 64 << 20 && wire.send(&[b'a'; 16 * 1024]) {
            sent += 16 * 1024;
        }
        assert!(sent < 64 << 20, "the server read 64 MiB of one header");
        assert_eq!(get(&world.base, "/healthz").status(), 200);
    }

    async fn a_long_address_is_refused_and_never_an_error_of_ours_s_h2_f13(world: World) {
        for (length, allowed) in [(17_000, [400, 414]), (60_000, [400, 414]), (200_000, [400, 431])] {
            let heard = get(&world.base, &format!("/oauth2/authorize?client_id={}", "a".repeat(length)));
            assert!(allowed.contains(&heard.status()) && heard.closed, "{length}: {heard:?}");
            assert!(!heard.text.contains("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), "{length} came back");
        }
        for path in ["/.well-known/jwks.json", "/healthz", "/assets/x", "/nowhere"] {
            let heard = get(&world.base, &format!("{path}?{}", "a".repeat(60_000)));
            assert!(matches!(heard.status(), 200 | 404 | 414), "{path}: {}", heard.status());
        }
    }

    async fn a_body_over_the_limit_is_a_413_without_reading_the_rest_s_h3_f13(world: World) {
        let limit = world.settings.limits.form_bytes;
        assert_eq!(limit, 16 * 1024);
        let paths = [
            "/oauth2/token", "/oauth2/authorize", "/oauth2/userinfo", "/oauth2/introspect", "/oauth2/revoke", "/oauth2/logout",
            "/sign-in", "/select-account", "/consent", "/sign-out", "/set-up", "/set-password",
        ];
        for path in paths {
            // Announced: refused although not one byte of it has come.
            let began = Instant::now();
            let mut wire = Wire::open(&world.base);
            wire.send(post(path, &format!("Content-Length: {}\r\n", limit + 1), "").as_bytes());
            let heard = wire.answer(PATIENCE);
            assert_eq!(heard.status(), 413, "{path}: {heard:?}");
            assert!(began.elapsed() < 2 * SECOND, "{path}: {:?}", began.elapsed());
            // Not announced: refused when the limit is passed, and the rest is not waited for.
            let mut wire = Wire::open(&world.base);
            wire.send(post(path, "Transfer-Encoding: chunked\r\n", "").as_bytes());
            let chunk = format!("1000\r\n{}\r\n", "a".repeat(0x1000));
            for _ in 0..5 {
                wire.send(chunk.as_bytes());
            }
            let heard = wire.answer(PATIENCE);
            assert_eq!(heard.status(), 413, "{path}: {heard:?}");
        }
        let fits = format!("grant_type=x&a={}", "b".repeat(limit - "grant_type=x&a=".len()));
        let heard = exchange(
            &world.base,
            post("/oauth2/token", &format!("Connection: close\r\nContent-Length: {}\r\n", fits.len()), &fits).as_bytes(),
            PATIENCE,
        );
        assert_eq!(heard.status(), 401, "at the limit it is read: {heard:?}");
    }

    async fn a_body_without_end_is_cut_off_f13(world: World) {
        // Whoever answers, and whether or not it wanted a body: what comes afterwards is read for a moment at most.
        for (method, path) in [("POST", "/oauth2/token"), ("POST", "/sign-in"), ("POST", "/nowhere"), ("GET", "/healthz"), ("PUT", "/oauth2/token"), ("POST", "/oauth2/logout")] {
            let mut wire = Wire::open(&world.base);
            wire.0.set_write_timeout(Some(SECOND)).unwrap();
            wire.send(format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{FORM}Transfer-Encoding: chunked\r\n\r\n").as_bytes());
            let chunk = format!("8000\r\n{}\r\n", "a".repeat(0x8000));
            let began = Instant::now();
            while wire.send(chunk.as_bytes()) {
                assert!(began.elapsed() < 8 * SECOND, "{method} {path}: still read after {:?}", began.elapsed());
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        assert_eq!(get(&world.base, "/healthz").status(), 200);
    }

    async fn a_compressed_body_is_a_415_f13(world: World) {
        for coding in ["gzip", "deflate", "br", "zstd", "x-gzip", "identity, gzip"] {
            for path in ["/oauth2/token", "/oauth2/introspect", "/oauth2/revoke", "/oauth2/userinfo", "/sign-in", "/oauth2/authorize"] {
                let reply = world.http.post(world.url(path)).header("content-encoding", coding)
                    .header("content-type", "application/x-www-form-urlencoded").body("a=b").send().await.unwrap();
                assert_eq!(reply.status(), 415, "{path} {coding}");
            }
        }
        let plain = world.http.post(world.url("/oauth2/token")).header("content-encoding", "identity")
            .header("content-type", "application/x-www-form-urlencoded").body("grant_type=x").send().await.unwrap();
        assert_eq!(plain.status(), 401, "identity is no coding");
    }

    async fn only_listed_methods_are_answered_and_trace_nowhere_s_h6(world: World) {
        let (get, post, both) = ("GET, HEAD, OPTIONS", "OPTIONS, POST", "GET, HEAD, OPTIONS, POST");
        let (get_page, both_page) = ("GET, HEAD", "GET, HEAD, POST");
        let table = [
            ("/.well-known/openid-configuration", get), ("/.well-known/oauth-authorization-server", get),
            ("/.well-known/jwks.json", get), ("/oauth2/authorize", both_page), ("/oauth2/token", post),
            ("/oauth2/userinfo", both), ("/oauth2/introspect", "POST"), ("/oauth2/revoke", post),
            ("/oauth2/logout", both_page), ("/", get_page), ("/account", both_page), ("/console/usage", get_page), ("/sign-in", both_page),
            ("/select-account", both_page), ("/consent", both_page), ("/sign-out", both_page), ("/set-up", both_page),
            ("/set-password", both_page), ("/assets/app.css", get_page), ("/healthz", get_page), ("/readyz", get_page),
        ];
        for (path, allowed) in table {
            let allowed: Vec<&str> = allowed.split(", ").collect();
            for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get"] {
                let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
                let heard = exchange(&world.base, request.as_bytes(), PATIENCE);
                assert!(heard.status() < 500 && heard.status() != 0, "{method} {path}: {heard:?}");
                if allowed.contains(&method) {
                    assert_ne!(heard.status(), 405, "{method} {path}");
                    continue;
                }
                assert_eq!(heard.status(), 405, "{method} {path}: {heard:?}");
                let told = heard.header("allow").unwrap_or_default();
                let mut told: Vec<&str> = told.split(',').map(str::trim).collect();
                told.sort_unstable();
                assert_eq!(told, allowed, "{method} {path}");
                assert!(!heard.body().contains("Host: localhost"), "nothing is echoed");
            }
        }
        // A method that a header claims is no method.
        let reply = world.http.get(world.url("/oauth2/token")).header("x-http-method-override", "POST").send().await.unwrap();
        assert_eq!(reply.status(), 405);
    }
}
