//! Clients that take their time: with the head, with the body, with reading the answer (S-H4, S-H5, F12).

use std::time::{Duration, Instant};

use cnx::base::time::{Clock, Timestamp};

use crate::wire::{Wire, get};
use crate::world::{On, START, World, on_both};

const SECOND: Duration = Duration::from_secs(1);

/// A world whose patience is short, so that the test's may be too.
async fn impatient(on: On) -> Option<World> {
    World::with(on, Clock::manual(Timestamp::from_secs(START)), |settings| {
        settings.limits.head_seconds = 1;
        settings.limits.body_seconds = 2;
    })
    .await
}

/// How long the server takes for a request that is fine.
fn discovery(base: &str) -> Duration {
    let began = Instant::now();
    assert_eq!(get(base, "/.well-known/openid-configuration").status(), 200);
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_or_a_body_that_trickles_is_cut_off_in_time_s_h4_f12() {
    let world = impatient(On::Sqlite).await.unwrap();
    // Nothing, half a head, a byte now and then: 408 or closed, a little after the second that a head may take.
    for (first, goes_on) in [(&b"GET /heal"[..], false), (b"GET /healthz HTTP/1.1\r\nX-", true)] {
        let began = Instant::now();
        let mut wire = Wire::open(&world.base);
        wire.send(first);
        let mut heard = wire.rest(Duration::from_millis(200));
        while !heard.closed && began.elapsed() < 8 * SECOND {
            if goes_on {
                wire.send(b"a");
            }
            heard = wire.rest(Duration::from_millis(200));
        }
        assert!(heard.closed, "still open after {:?}", began.elapsed());
        assert!(began.elapsed() < 5 * SECOND, "{:?}", began.elapsed());
        assert!(matches!(heard.status(), 0 | 408), "{heard:?}");
    }
    // A later head has hardly more time than a first one.
    let began = Instant::now();
    let mut wire = Wire::open(&world.base);
    wire.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(wire.answer(5 * SECOND).status(), 200);
    wire.send(b"GET /healthz HTTP/1.1\r\nX-");
    while !wire.rest(Duration::from_millis(200)).closed {
        wire.send(b"a");
        assert!(began.elapsed() < 8 * SECOND, "still open");
    }
    // The head is complete, the body drips: the head's time limit does not cover it, ours does.
    let (length, chunked) = (("Content-Length: 1000", "a"), ("Transfer-Encoding: chunked", "1\r\na\r\n"));
    for (path, (framing, drop)) in [
        ("/oauth2/token", length),
        ("/oauth2/token", chunked),
        ("/sign-in", length),
        ("/sign-in", chunked),
        ("/oauth2/authorize", length),
        ("/oauth2/userinfo", chunked),
        ("/oauth2/introspect", length),
    ] {
        let began = Instant::now();
        let mut wire = Wire::open(&world.base);
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n{framing}\r\n\r\n"
        );
        wire.send(request.as_bytes());
        let mut text = String::new();
        let mut closed = false;
        while !closed && began.elapsed() < 10 * SECOND {
            wire.send(drop.as_bytes());
            let heard = wire.rest(Duration::from_millis(250));
            text.push_str(&heard.text);
            closed = heard.closed;
        }
        assert!(text.starts_with("HTTP/1.1 408 "), "{path}, {framing}: {text}");
        assert!(closed, "{path}, {framing}: still open after {:?}", began.elapsed());
        assert!(began.elapsed() < 7 * SECOND, "{path}, {framing}: {:?}", began.elapsed());
    }
}

on_both! {
    async fn half_open_requests_delay_nobody_s_h5_f12(world: World) {
        let mut wires: Vec<Wire> = (0..300).map(|_| Wire::open(&world.base)).collect();
        for (n, wire) in wires.iter_mut().enumerate() {
            if n % 2 == 0 {
                wire.send(b"GET /.well-known/openid-configuration HTTP/1.1\r\nHost: loc");
            } else {
                wire.send(b"POST /oauth2/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\ngrant");
            }
        }
        let mut took: Vec<Duration> = (0..40).map(|_| discovery(&world.base)).collect();
        took.sort();
        // The best of a loaded machine is near what a user waits; one slow turn is the machine's.
        assert!(took[20] < Duration::from_millis(200), "{took:?}");
        drop(wires);
    }
}

/// A client that asks and asks and never reads: what it is owed must not be kept for ever, and nobody else waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_is_dropped_and_delays_nobody_f12() {
    let world = World::new(On::Sqlite).await.unwrap();
    let mut stuck: Vec<Wire> = (0..20).map(|_| Wire::narrow(&world.base)).collect();
    let request = "GET /assets/app.css HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
    for wire in &mut stuck {
        wire.0.set_write_timeout(Some(SECOND)).unwrap();
        // A megabyte and more of answers for each hundred; it ends when the server stops listening to one who does not.
        for _ in 0..6 {
            if !wire.send(request.as_bytes()) {
                break;
            }
        }
    }
    // What they asked for is answered as far as they take it; that is work, and a test's machine is small.
    tokio::time::sleep(2 * SECOND).await;
    let mut took: Vec<Duration> = (0..40).map(|_| discovery(&world.base)).collect();
    took.sort();
    assert!(took[20] < Duration::from_millis(200), "{took:?}");
    let began = Instant::now();
    let mut open = stuck.len();
    while open > 0 && began.elapsed() < 50 * SECOND {
        tokio::time::sleep(SECOND).await;
        // Writing fails once the server has given the connection up; reading would free it.
        open = stuck.iter_mut().map(is_open).filter(|open| *open).count();
    }
    assert_eq!(open, 0, "{open} of them are still open after {:?}", began.elapsed());
    assert!(discovery(&world.base) < SECOND);
}

/// Whether the server still holds its end: an error waits on the socket when it does not.
fn is_open(wire: &mut Wire) -> bool {
    wire.0.take_error().is_ok_and(|error| error.is_none()) && !failed(wire)
}

fn failed(wire: &mut Wire) -> bool {
    use std::io::Write as _;
    match wire.0.write_all(b"G") {
        Ok(()) => false,
        Err(e) => !matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
    }
}
