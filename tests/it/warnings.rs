//! What a server starts with all the same and an administrator should hear of: the log says it, as `cnx doctor` does.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::process::{Node, Place};
use crate::world::{environment, free_port};

pub const AWAY: &str = "Redis is away; this server counts by itself";
const BACK: &str = "Redis is back";

/// How often the log says `words` by now; waits until it says them `times` times.
pub fn heard(node: &Node, words: &str, times: usize) -> usize {
    let began = Instant::now();
    while node.err().matches(words).count() < times && began.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(50));
    }
    node.err().matches(words).count()
}

#[cfg(unix)]
#[test]
fn a_master_key_that_others_may_read_is_told_at_the_start_and_fails_the_doctor() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    place.json(&["migrate"]);
    let key = place.data().join("master.key");
    let words = format!("{} may be read by others (mode 644); chmod 600 {}", key.display(), key.display());
    let node = place.serve(&[]);
    assert_eq!(heard(&node, "may be read by others", 0), 0, "{}", node.err());
    drop(node);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let node = place.serve(&[]);
    assert_eq!(heard(&node, &words, 1), 1, "{}", node.err());
    assert!(
        node.err().lines().any(|line| line.contains(" WARN ") && line.contains(&words)),
        "{}",
        node.err()
    );
    drop(node);
    let ended = place.run(&["doctor"]);
    assert!(ended.code == Some(1) && ended.out.contains("FAIL  master key"), "{ended:?}");
}

#[test]
fn a_proxy_that_nobody_named_is_told_at_the_start() {
    let mut place = Place::new();
    place.set("CNX_PUBLIC_URL", "https://id.example.com");
    let words = "https://id.example.com is served by a proxy that trusted_proxies does not name: every caller looks like the proxy";
    let node = place.launch(&["serve"]);
    assert_eq!(heard(&node, words, 1), 1, "{}", node.err());
    drop(node);
    place.set("CNX_TRUSTED_PROXIES", "127.0.0.1");
    let node = place.launch(&["serve"]);
    assert_eq!(heard(&node, " ready ", 1), 1, "{}", node.err());
    assert!(!node.err().contains("trusted_proxies"), "{}", node.err());
}

#[test]
fn a_redis_that_is_away_is_told_once_stops_no_start_and_is_told_when_it_is_back() {
    let mut place = Place::new();
    let port = free_port();
    place.set("CNX_REDIS_URL", &format!("redis://127.0.0.1:{port}/"));
    let node = place.serve(&[]);
    assert_eq!(heard(&node, AWAY, 1), 1, "{}", node.err());
    // Nothing new is said as long as nothing changes, whoever asks meanwhile.
    std::thread::sleep(Duration::from_secs(7));
    assert_eq!((heard(&node, AWAY, 1), heard(&node, BACK, 0)), (1, 0), "{}", node.err());
    let Some(program) = environment("TEST_REDIS_SERVER") else { return };
    let _redis = Redis::start(&program, port, place.dir());
    assert_eq!((heard(&node, BACK, 1), heard(&node, AWAY, 1)), (1, 1), "{}", node.err());
}

/// A Redis of one test.
pub struct Redis(Child);

impl Redis {
    pub fn start(program: &str, port: u16, folder: &Path) -> Self {
        Self::start_with(program, port, folder, &[])
    }

    /// The same with further settings of its own.
    pub fn start_with(program: &str, port: u16, folder: &Path, more: &[&str]) -> Self {
        let port = port.to_string();
        let mut command = Command::new(program);
        command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command
            .args(more)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn the_doctor_says_of_a_master_key_that_is_broken_or_of_another_database_what_it_is() {
    let place = Place::new();
    place.json(&["migrate"]);
    let key = place.data().join("master.key");
    for (text, problem) in [
        ("short".to_owned(), "this is not a master key; 43 characters of base64url (32 bytes) are expected"),
        ("A".repeat(43), "this is not the master key of this database; put the right file back"),
    ] {
        std::fs::write(&key, text).unwrap();
        let ended = place.run(&["doctor"]);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let words = format!("{}: {problem}", key.display());
        let says = |line: &str| line.starts_with("FAIL  master key ") && line.ends_with(&words);
        assert!(ended.out.lines().any(says), "{ended:?}");
        assert!(!ended.out.contains("master.key is the server's own"), "{ended:?}");
    }
}
