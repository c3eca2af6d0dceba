//! `kill -9` in the middle of a burst of sign-ins and refreshes, three times over on each database; `tests/kill9.py` does it.
//!
//! By hand and for longer: `CNX_KILL9_ROUNDS=20 tests/kill9.py target/release/cnx`.

use std::process::Command;

use crate::world::environment;

#[test]
fn what_was_acknowledged_survives_kill_9_on_sqlite() {
    kill("no");
}

#[test]
fn what_was_acknowledged_survives_kill_9_on_postgres() {
    if environment("TEST_POSTGRES_URL").is_some() {
        kill("yes");
    }
}

fn kill(postgres: &str) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kill9.py");
    let python = environment("TEST_PYTHON").unwrap_or_else(|| "python3".to_owned());
    let ended = Command::new(python)
        .args(["-B", script, env!("CARGO_BIN_EXE_cnx")])
        .env("CNX_KILL9_POSTGRES", postgres)
        .output()
        .expect("python3 runs tests/kill9.py");
    let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success() && out.contains("OK: "), "{}\n{out}\n{err}", ended.status);
}
