//! A machine that fails its processes: no random numbers (F23), no memory (F25).

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::backup::settled;
use crate::command_line::Person;
use crate::process::{Place, sqlite};
use crate::world::{Browser, PASSWORD, Tokens, environment, http};

/// Execs what follows in a process to which the kernel gives no random bytes: `getrandom` fails with an error of input and output, which nobody
/// takes for "not there, look elsewhere".
const WITHOUT_CHANCE: &str = r#"
import ctypes, os, platform, struct, sys
number = {"x86_64": 318, "aarch64": 278}[platform.machine()]
# Classic BPF: load the call's number; if it is getrandom, fail with EIO (5), else allow.
code = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | 5), (0x06, 0, 0, 0x7FFF0000)]
rules = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in code))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code), ctypes.addressof(rules)))
libc = ctypes.CDLL(None, use_errno=True)
arguments = sys.argv[1:]
assert libc.prctl(38, 1, 0, 0, 0) == 0, "PR_SET_NO_NEW_PRIVS"
assert libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0, "PR_SET_SECCOMP"
os.execv(arguments[0], arguments)
"#;

#[test]
fn without_random_numbers_nothing_starts_and_the_reason_is_said_f23() {
    let Some(python) = environment("TEST_PYTHON") else { return };
    let place = Place::new();
    place.json(&["migrate"]);
    let before = place.snapshot();
    for arguments in [&["serve"][..], &["serve", "--dev"], &["migrate"], &["user", "add", "ada@example.com"]]
    {
        let mut node = place.launch_under(&[&python, "-c", WITHOUT_CHANCE], arguments);
        let status = node.wait(Duration::from_secs(20));
        assert_eq!(status.code(), Some(1), "{arguments:?}: {}", node.err());
        assert_eq!(node.out(), "", "{arguments:?}");
        let line = "cnx: the operating system gives no random bytes (getrandom, /dev/urandom); nothing was started or changed";
        assert_eq!(node.err().trim_end(), line, "{arguments:?}");
    }
    assert!(before == place.snapshot(), "a file was changed");
    assert!(place.serve(&[]).ended().is_none(), "and with them it starts");
}

/// What a client holds: only what was acknowledged.
#[derive(Default)]
struct Held {
    refresh: String,
    spent: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_runs_out_of_memory_loses_nothing_that_it_acknowledged_f25() {
    let mut place = Place::new();
    // More than the allocator keeps at hand: each hash has it from the system.
    place.set("CNX_PASSWORDS__ARGON2_MEMORY_KIB", "98304");
    let client = settled(&place);
    let mut node = place.serve(&[]);
    let person = Arc::new(Person::at(&node));
    let mut chains = Vec::new();
    for _ in 0..8 {
        let tokens = person.tokens(&client, "ada").await;
        chains.push(Arc::new(Mutex::new(Held { refresh: tokens.refresh().to_owned(), spent: Vec::new() })));
    }
    // What hashing threads keep for the next password is given back when none comes.
    tokio::time::sleep(Duration::from_secs(4)).await;
    // It keeps what it has and gets a few megabytes more.
    node.limit("as", (node.memory("VmSize:") + 4) << 20);
    let mut load = Vec::new();
    for chain in &chains {
        let (chain, client, base) = (Arc::clone(chain), client.clone(), node.base.clone());
        load.push(tokio::spawn(async move {
            let http = http();
            loop {
                let token = chain.lock().unwrap().refresh.clone();
                let form = [("grant_type", "refresh_token"), ("refresh_token", token.as_str())];
                let request = http
                    .post(format!("{base}/oauth2/token"))
                    .basic_auth(&client.id, client.secret.as_deref());
                // The end of the server is the end of the load.
                let Ok(answer) = request.form(&form).send().await else { return };
                if answer.status() != 200 {
                    continue;
                }
                let Ok(body) = answer.json::<serde_json::Value>().await else { return };
                let mut held = chain.lock().unwrap();
                let next = body["refresh_token"].as_str().unwrap().to_owned();
                let spent = std::mem::replace(&mut held.refresh, next);
                held.spent.push(spent);
            }
        }));
    }
    let began = Instant::now();
    while chains.iter().any(|chain| chain.lock().unwrap().spent.len() < 3) {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing is going on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let began = Instant::now();
    let mut sign_ins = Vec::new();
    while node.ended().is_none() {
        assert!(began.elapsed() < Duration::from_secs(60), "it lives: {} MiB", node.memory("VmSize:"));
        // A sign-in that the server does not live to answer ends its task, as it should.
        let browser = Browser::new(&node.base, &http());
        sign_ins.push(tokio::spawn(async move {
            let page = browser.open("/sign-in").await;
            browser.submit(&page, &[("username", "ada"), ("password", PASSWORD)]).await;
        }));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let status = node.ended().unwrap();
    assert!(!status.success(), "{status}: {}", node.err());
    for task in load.into_iter().chain(sign_ins) {
        drop(task.await);
    }

    let began = Instant::now();
    let node = place.serve(&[]);
    assert!(began.elapsed() < Duration::from_secs(5), "ready again after {:?}", began.elapsed());
    let person = Person::at(&node);
    for chain in chains {
        let held = std::mem::take(&mut *chain.lock().unwrap());
        assert!(held.spent.len() > 1, "nothing was going on");
        let last = [("grant_type", "refresh_token"), ("refresh_token", held.refresh.as_str())];
        let next = Tokens::of(&person.post("/oauth2/token", &client, &last).await);
        assert_eq!(person.user_info(&next.access).await, 200);
        let spent = [("grant_type", "refresh_token"), ("refresh_token", held.spent[0].as_str())];
        assert_eq!(person.post("/oauth2/token", &client, &spent).await.error(), "invalid_grant");
    }
    drop(node);
    is_whole(&place);
    assert_eq!(place.run(&["audit", "verify"]).code, Some(0));
}

fn is_whole(place: &Place) {
    use diesel::RunQueryDsl as _;
    #[derive(diesel::QueryableByName)]
    struct Answer {
        #[diesel(sql_type = diesel::sql_types::Text)]
        integrity_check: String,
    }
    let answer: Answer =
        diesel::sql_query("PRAGMA integrity_check").get_result(&mut sqlite(&place.database())).unwrap();
    assert_eq!(answer.integrity_check, "ok");
}
