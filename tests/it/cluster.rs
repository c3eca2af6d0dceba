//! Three nodes behind a balancer, under work, while nodes, Redis and PostgreSQL die and come back; `tests/cluster/run` does it and counts.
//!
//! By hand and for longer: `tests/cluster/run target/release/cnx --seconds 600`.

use std::process::Command;

use crate::world::environment;

#[test]
fn three_nodes_lose_nothing_and_take_nothing_twice_while_things_die() {
    let needed = ["TEST_POSTGRES_BIN", "TEST_REDIS_SERVER", "TEST_NGINX"];
    if needed.iter().any(|name| environment(name).is_none()) {
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/run");
    let python = environment("TEST_PYTHON").unwrap_or_else(|| "python3".to_owned());
    let ended = Command::new(python)
        .args(["-B", script, env!("CARGO_BIN_EXE_cnx"), "--seconds", "90"])
        .output()
        .expect("python3 runs tests/cluster/run");
    let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success() && out.contains("OK: "), "{}\n{out}\n{err}", ended.status);
}
