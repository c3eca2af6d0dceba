//! More connections than anybody needs (F14): ten thousand that are silent, more than are allowed, more than there are files for.

use std::time::{Duration, Instant};

use crate::backup::settled;
use crate::command_line::Person;
use crate::process::{Node, Place, limit};
use crate::wire::Wire;
use crate::world::Tokens;

const SECOND: Duration = Duration::from_secs(1);
const ASK: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Whether the server answers on this connection, which stays open.
fn answers(wire: &mut Wire, patience: Duration) -> bool {
    wire.send(ASK) && wire.answer(patience).status() == 200
}

/// So many connections, each after one answer, and silent since.
fn silent(node: &Node, count: usize) -> Vec<Wire> {
    const THREADS: usize = 8;
    std::thread::scope(|scope| {
        let open = |share: usize| {
            let mut wires: Vec<Wire> = (0..share).map(|_| Wire::open(&node.base)).collect();
            for wire in &mut wires {
                assert!(answers(wire, 10 * SECOND));
            }
            wires
        };
        let threads: Vec<_> = (0..THREADS)
            .map(|n| scope.spawn(move || open(count / THREADS + usize::from(n < count % THREADS))))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// The hard limit of open files of this process, and so of its children.
fn most_files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    line.split_whitespace().nth(4).unwrap().parse().unwrap_or(usize::MAX)
}

#[expect(
    clippy::print_stderr,
    reason = "a smaller machine tries less, and says so; what it costs is worth knowing"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_silent_connections_are_not_noticed_by_those_who_work_f14() {
    // One for each connection at either end, and some for everything else.
    let count = most_files().saturating_sub(1000).min(10_000);
    if count < 10_000 {
        eprintln!("{count} connections only: this machine lets a process open {} files", most_files());
    }
    limit(std::process::id(), "nofile", u64::try_from(count + 500).unwrap());
    let mut place = Place::new();
    place.set("CNX_LIMITS__CONNECTIONS", &(count + 400).to_string());
    let client = settled(&place);
    let node = place.serve(&[]);
    let before = node.memory("VmRSS:");
    let began = Instant::now();
    let mut silent = silent(&node, count);
    assert!(node.open_files() > count, "{} files", node.open_files());
    // A silent connection is closed after 75 seconds; all of this happens before.
    let person = Person::at(&node);
    let mut took = Vec::new();
    let mut tokens = person.tokens(&client, "ada").await;
    for _ in 0..100 {
        let began = Instant::now();
        let form = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh())];
        tokens = Tokens::of(&person.post("/oauth2/token", &client, &form).await);
        assert_eq!(person.user_info(&tokens.access).await, 200);
        took.push(began.elapsed());
    }
    assert!(began.elapsed() < 70 * SECOND, "{:?}", began.elapsed());
    took.sort();
    assert!(took[98] < SECOND, "the slowest: {:?}", &took[90..]);
    let memory = node.memory("VmRSS:");
    eprintln!(
        "{count} connections: {memory} MiB, {before} MiB before; refresh and userinfo {:?}, p99 {:?}",
        took[50], took[98]
    );
    // Half of what they would cost if each had the HTTP library's buffers for as long as it is open.
    assert!(memory < before + 70, "{memory} MiB");
    // They were not cut off to make room.
    for wire in silent.iter_mut().step_by(100) {
        assert!(answers(wire, 10 * SECOND));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_allowed_connections_others_wait_and_nobody_is_cut_off_f14() {
    const MOST: usize = 32;
    let mut place = Place::new();
    place.set("CNX_LIMITS__CONNECTIONS", &MOST.to_string()).set("CNX_WORKERS", "2");
    let node = place.serve(&[]);
    // What asked whether it is ready is gone by then.
    std::thread::sleep(SECOND);
    let mut inside: Vec<Wire> = (0..MOST).map(|_| Wire::open(&node.base)).collect();
    for (n, wire) in inside.iter_mut().enumerate() {
        assert!(answers(wire, 5 * SECOND), "{n}");
    }
    let mut outside: Vec<Wire> = (0..8).map(|_| Wire::open(&node.base)).collect();
    let busy = node.busy();
    for wire in &mut outside {
        assert!(!answers(wire, SECOND / 4), "there is no room");
    }
    assert!(inside.iter_mut().all(|wire| answers(wire, 5 * SECOND)), "who is in is served");
    assert!(node.busy() - busy < 100, "waiting costs no work: {} hundredths", node.busy() - busy);
    // One leaves, one comes in; its request waited.
    for wire in &mut outside {
        drop(inside.pop());
        assert_eq!(wire.answer(5 * SECOND).status(), 200);
    }
    assert!(inside.iter_mut().all(|wire| answers(wire, 5 * SECOND)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_files_for_more_connections_a_server_serves_those_it_has_and_recovers_f14() {
    let place = Place::new();
    let client = settled(&place);
    let node = place.serve(&[]);
    let person = Person::at(&node);
    let tokens = person.tokens(&client, "ada").await;
    let mut inside: Vec<Wire> = (0..20).map(|_| Wire::open(&node.base)).collect();
    assert!(inside.iter_mut().all(|wire| answers(wire, 5 * SECOND)));

    // Hardly a file more. Connections are still made, by the kernel; nobody takes them.
    let files = u64::try_from(node.open_files()).unwrap();
    node.limit("nofile", files);
    let mut outside: Vec<Wire> = (0..200).map(|_| Wire::open(&node.base)).collect();
    for wire in &mut outside {
        wire.send(ASK);
    }
    let (busy, began) = (node.busy(), Instant::now());
    while began.elapsed() < 3 * SECOND {
        assert!(inside.iter_mut().all(|wire| answers(wire, 5 * SECOND)), "who is in is served");
        std::thread::sleep(SECOND / 5);
    }
    let spent = node.busy() - busy;
    assert!(spent < 150, "it does not try without a pause: {spent} hundredths of 300");
    outside.retain_mut(|wire| wire.rest(Duration::from_millis(1)).text.is_empty());
    assert!(outside.len() > 150, "{} are outside", outside.len());
    // What is written goes on: the database has its files. The person's own connection is one of those that are in.
    let form = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh())];
    let reply = person.post("/oauth2/token", &client, &form).await;
    assert_eq!(reply.status, 200, "{}", reply.text);

    node.limit("nofile", files + 500);
    for wire in &mut outside {
        assert_eq!(wire.answer(10 * SECOND).status(), 200, "it waited, and is served now");
    }
}
