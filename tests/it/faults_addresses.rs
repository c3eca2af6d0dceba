//! One address that opens more connections than its share (F14), over http and over our own TLS: it alone is refused.

use std::time::{Duration, Instant};

use cnx::base::time::Clock;
use cnx::config::Settings;

use crate::logs::stopped;
use crate::process::{Node, Place};
use crate::tls::{certificates, client, secure_with};
use crate::wire::{self, Wire};
use crate::world::{World, free_port};

const SECOND: Duration = Duration::from_secs(1);
const ASK: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
const GREEDY: [u8; 4] = [127, 0, 0, 2];
const OTHER: [u8; 4] = [127, 0, 0, 3];
/// Where the server listens, too.
const HERE: [u8; 4] = [127, 0, 0, 1];

fn answers(wire: &mut Wire) -> bool {
    wire.send(ASK) && wire.answer(5 * SECOND).status() == 200
}

/// So many connections from one address, each after one answer.
fn connected(from: [u8; 4], node: &Node, count: usize) -> Vec<Wire> {
    let mut wires: Vec<Wire> = (0..count).map(|_| Wire::open_from(from, &node.base)).collect();
    assert!(wires.iter_mut().all(answers), "{from:?}");
    wires
}

/// Whether a new connection from this address ends without an answer.
fn is_refused(from: [u8; 4], base: &str) -> bool {
    let began = Instant::now();
    let mut wire = Wire::open_from(from, base);
    wire.send(ASK);
    let heard = wire.rest(5 * SECOND);
    heard.closed && heard.text.is_empty() && began.elapsed() < SECOND
}

/// Waits until a new connection from this address is served.
fn comes_in(from: [u8; 4], base: &str) -> bool {
    let began = Instant::now();
    while began.elapsed() < 5 * SECOND {
        if answers(&mut Wire::open_from(from, base)) {
            return true;
        }
        std::thread::sleep(SECOND / 20);
    }
    false
}

#[test]
fn one_address_holds_its_share_of_connections_and_nobody_else_notices_f14() {
    const MOST: usize = 12;
    const REFUSED: usize = 30;
    let metrics = free_port();
    let mut place = Place::new();
    place
        .set("CNX_LIMITS__CONNECTIONS_PER_ADDRESS", &MOST.to_string())
        .set("CNX_WORKERS", "2")
        .set("CNX_TRUSTED_PROXIES", "127.0.0.4/32")
        .set("CNX_METRICS_LISTEN", &format!("127.0.0.1:{metrics}"));
    let mut node = place.serve(&[]);
    let mut inside = connected(GREEDY, &node, MOST);
    for n in 0..REFUSED {
        assert!(is_refused(GREEDY, &node.base), "{n}");
    }
    // Another address has a share of its own; a proxy, and what runs on this machine, bring the connections of many.
    let mut others = connected(OTHER, &node, MOST);
    others.extend(connected([127, 0, 0, 4], &node, 2 * MOST));
    others.extend(connected(HERE, &node, 2 * MOST));
    assert!(is_refused(OTHER, &node.base) && is_refused(GREEDY, &node.base));
    assert!(inside.iter_mut().chain(&mut others).all(answers), "who is in is served");

    drop(inside.pop());
    assert!(comes_in(GREEDY, &node.base), "one left, so one comes in");
    let numbers = wire::get(&format!("http://127.0.0.1:{metrics}"), "/metrics");
    let told = numbers.metric("cnx_connections_refused_total");
    assert!(told.unwrap() >= REFUSED + 2, "{told:?}");

    // Connections between two requests do not hold up the end.
    let began = Instant::now();
    let log = stopped(&mut node);
    assert!(began.elapsed() < 4 * SECOND, "{:?}", began.elapsed());
    let lines: Vec<_> = log.lines().filter(|line| line.contains("connections_per_address")).collect();
    assert_eq!(lines.len(), 1, "a flood of connections is none of lines: {log}");
    assert!(lines[0].contains("127.0.0.2"), "{lines:?}");
}

/// A server with TLS, one worker, and `most` connections for an address.
async fn secure(folder: &std::path::Path, most: usize) -> World {
    certificates(folder);
    let change = move |settings: &mut Settings| {
        settings.workers = 1;
        settings.limits.connections_per_address = most;
    };
    secure_with(folder, Clock::System, change).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_begin_no_tls_are_counted_and_shut_nobody_out_f14() {
    // More than the handshakes that the TLS library would let begin at once by itself.
    const MOST: usize = 300;
    let folder = tempfile::tempdir().unwrap();
    let world = secure(folder.path(), MOST).await;
    // The server gives those up that say nothing for three seconds; all of this happens before.
    let began = Instant::now();
    let mut silent: Vec<Wire> = (0..MOST).map(|_| Wire::open_from(GREEDY, &world.base)).collect();
    assert!(is_refused(GREEDY, &world.base));
    let health = world.url("/healthz");
    let of_another = client(folder.path()).local_address(Some(OTHER.into())).build().unwrap();
    assert_eq!(of_another.get(&health).send().await.unwrap().status(), 200);
    let greedy = client(folder.path()).local_address(Some(GREEDY.into())).build().unwrap();
    assert!(greedy.get(&health).send().await.is_err(), "it has no room left");
    assert!(began.elapsed() < 2 * SECOND, "{:?}", began.elapsed());
    // None of them was cut off to make room.
    assert!(silent.iter_mut().step_by(50).all(|wire| !wire.rest(SECOND / 100).closed));
    drop(silent);
    let began = Instant::now();
    while greedy.get(&health).send().await.is_err() {
        assert!(began.elapsed() < 5 * SECOND, "there is room again");
        tokio::time::sleep(SECOND / 20).await;
    }
}
