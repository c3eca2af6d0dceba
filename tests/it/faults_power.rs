//! Power loss (F2). Nobody pulls a plug here: what counts is that nothing is answered before the disk said that it has it, and
//! what the kernel is asked for, in which order, can be seen.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::backup::settled;
use crate::command_line::Person;
use crate::process::Place;
use crate::world::{Tokens, environment};

/// What happened, in the kernel's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A request for tokens was read.
    Asked,
    /// Something was written to the database's log.
    Written,
    /// The disk said that it has the log.
    Kept,
    /// An answer with 200 went out.
    Answered,
}

/// Reads what strace wrote. A call of one thread may begin on one line and end on another.
fn steps(trace: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut begun: HashMap<&str, &str> = HashMap::new();
    for line in trace.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        let is_whole = !call.ends_with("<unfinished ...>");
        // What counts of a write is its beginning, of a promise of the disk its end.
        if call.starts_with("pwrite64(") && call.contains("cnx.db-wal>") {
            steps.push(Step::Written);
        }
        let is_out = ["write(", "writev(", "sendto(", "sendmsg("].iter().any(|name| call.starts_with(name));
        if is_out && call.contains("HTTP/1.1 200 OK") {
            steps.push(Step::Answered);
        }
        if !is_whole {
            begun.insert(thread, call);
            continue;
        }
        let name_of = |text: &str| text.starts_with("fdatasync(") || text.starts_with("fsync(");
        let first = if call.starts_with("<... ") { begun.remove(thread).unwrap_or(call) } else { call };
        if name_of(first) && first.contains("cnx.db-wal>") && call.ends_with("= 0") {
            steps.push(Step::Kept);
        }
        let is_in = first.starts_with("read(") || first.starts_with("recvfrom(");
        if is_in && (first.contains("POST /oauth2/token") || call.contains("POST /oauth2/token")) {
            steps.push(Step::Asked);
        }
    }
    steps
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_answered_before_the_disk_has_it_f2() {
    const REFRESHES: usize = 30;
    // `tests/run` says what it left out.
    let Some(strace) = environment("TEST_STRACE") else { return };
    let place = Place::new();
    let client = settled(&place);
    let trace = place.dir().join("trace");
    // -D: the server is our child, and strace is the one beside it.
    let calls = "trace=fdatasync,fsync,pwrite64,read,recvfrom,write,writev,sendto,sendmsg";
    let under = [&strace, "-D", "-f", "-qq", "-y", "-s", "96", "-e", calls, "-o", trace.to_str().unwrap()];
    let mut node = place.until_ready(place.launch_under(&under, &["serve"]));
    let person = Person::at(&node);
    let mut tokens = person.tokens(&client, "ada").await;
    for _ in 0..REFRESHES {
        let form = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh())];
        tokens = Tokens::of(&person.post("/oauth2/token", &client, &form).await);
    }
    node.signal("TERM");
    node.wait(Duration::from_secs(30));

    // strace ends a little later than what it watches.
    let began = Instant::now();
    let all = loop {
        let all = steps(&std::fs::read_to_string(&trace).unwrap());
        if all.iter().filter(|step| **step == Step::Asked).count() > REFRESHES
            || began.elapsed() > Duration::from_secs(10)
        {
            break all;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let asked: Vec<usize> = (0..all.len()).filter(|n| all[*n] == Step::Asked).collect();
    assert_eq!(asked.len(), 1 + REFRESHES, "one code and its refreshes: {all:?}");
    for (n, at) in asked.iter().enumerate() {
        let answered = all[*at..].iter().position(|step| *step == Step::Answered).unwrap();
        let between = &all[*at..at + answered];
        let written = between.iter().position(|step| *step == Step::Written);
        let is_kept = written.is_some_and(|written| between[written..].contains(&Step::Kept));
        assert!(is_kept, "request {n} was answered before the disk had what it changed: {between:?}");
    }
}
