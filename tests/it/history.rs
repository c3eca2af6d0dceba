//! Hostile histories (F28): many actors issue, refresh, revoke, replay, sign out, disable, verify at once on the same few objects, at three
//! nodes on one PostgreSQL or at one on SQLite, while nodes are killed with SIGKILL and started again. Each object's history must be explained
//! by a model that does one operation at a time (P1, P2, P3).
//!
//! A longer run by hand, of an optimised server:
//! `CNX_HISTORY_OPERATIONS=1000000 CNX_HISTORY_BIN=target/release/cnx tests/run history::three`; `CNX_HISTORY_SEED` decides the same again.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cnx::base::entropy::Entropy;

mod actor;
mod chance;
mod checker;
mod grants;
mod line;
mod models;
mod planted;
mod site;
mod stage;

use actor::Actor;
use chance::Chance;
use checker::{Event, Model, Moment, NEVER, TOOL, slice};
use models::{Assertion, GrantOp, Key, KeyOp, SessionOp};
use site::{RETRY_SECONDS, Session, Site};
use stage::Stage;

use crate::process::Node;
use crate::world::environment;

/// What is changed at one node is in force at every other within a second (P3), for what nodes know by heart.
const LAG: Moment = 1_000_000;
const ACTORS: u64 = 20;

fn told<T: FromStr>(name: &str) -> Option<T> {
    environment(name).map(|text| text.parse().unwrap_or_else(|_| panic!("{name}: {text}")))
}

#[test]
fn three_nodes_that_are_killed_do_what_one_server_would_f28() {
    play(3, 100_000);
}

#[test]
fn one_node_on_sqlite_that_is_killed_does_what_one_server_would_f28() {
    play(1, 20_000);
}

/// One run, and its judgement.
#[expect(clippy::print_stderr, reason = "a run says what was done, and by which seed it is done again")]
fn play(nodes: usize, operations: usize) {
    let operations = told("CNX_HISTORY_OPERATIONS").unwrap_or(operations);
    let seed = told("CNX_HISTORY_SEED").unwrap_or_else(|| u64::from_le_bytes(Entropy::system().bytes()));
    let Some(site) = Site::new(nodes, told::<String>("CNX_HISTORY_BIN").as_deref()) else {
        assert!(environment("TEST_POSTGRES_URL").is_none());
        return;
    };
    let mut running: Vec<Node> = site.places.iter().map(|place| place.serve(&[])).collect();
    let stage = Stage::new(site);
    let began = Instant::now();
    let kills = std::thread::scope(|scope| {
        let stage = &stage;
        let actors: Vec<_> =
            (0..ACTORS).map(|number| scope.spawn(move || Actor::new(stage, seed, number).act())).collect();
        let desk = scope.spawn(move || work_at_the_desk(stage, seed));
        let kills = kill_until(stage, &mut running, operations, seed);
        stage.stop.store(true, Ordering::SeqCst);
        for actor in actors {
            actor.join().unwrap();
        }
        desk.join().unwrap();
        kills
    });
    let seconds = began.elapsed().as_secs_f64();
    let parked = std::mem::take(&mut *stage.parked.lock().unwrap());
    let mut closing = Actor::new(&stage, seed, ACTORS);
    for grant in &parked {
        closing.look_again(grant);
    }
    let checked = Instant::now();
    let report = judge(&stage, seed);
    let lost = stage.lost.load(Ordering::SeqCst);
    let undecided = stage.undecided.load(Ordering::SeqCst);
    eprintln!(
        "{} operations in {seconds:.1} s, checked in {:.1} s, seed {seed}; {kills} kills, {lost} answers lost, {undecided} undecided, {} grants looked at again\n{report}",
        stage.done.load(Ordering::SeqCst),
        checked.elapsed().as_secs_f64(),
        parked.len(),
    );
    assert!(kills > 0 && lost > 0, "nothing was cut off: {kills} kills, {lost} answers lost");
    let audit = stage.site.places[0].json(&["audit", "verify"]);
    assert_eq!(audit["sound"], true, "{audit}");
}

/// Kills nodes with SIGKILL and starts them again until so much was done; how often.
fn kill_until(stage: &Stage, running: &mut [Node], operations: usize, seed: u64) -> usize {
    let mut chance = Chance::of(seed, u64::MAX);
    let mut kills = 0;
    let mut pause = |most: usize| Duration::from_millis(u64::try_from(chance.below(most)).unwrap());
    while stage.done.load(Ordering::SeqCst) < operations {
        let until = Instant::now() + Duration::from_millis(500) + pause(1500);
        while Instant::now() < until && stage.done.load(Ordering::SeqCst) < operations {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(stage.strange.lock().unwrap().len() < 20, "seed {seed}: {:?}", stage.strange.lock().unwrap());
        let node = usize::try_from(pause(running.len()).as_millis()).unwrap();
        running[node].kill();
        // From here on its connections are those of a process that is gone.
        stage.site.lives[node].fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(pause(300));
        running[node] = stage.site.places[node].serve(&[]);
        kills += 1;
    }
    kills
}

/// The command line beside the nodes: disables people for a moment, mints keys and revokes them.
fn work_at_the_desk(stage: &Stage, seed: u64) {
    let mut chance = Chance::of(seed, u64::MAX - 1);
    let site = &stage.site;
    while !stage.stop.load(Ordering::Relaxed) {
        let seat = &stage.keys[chance.below(stage.keys.len())];
        let key = Arc::clone(&seat.lock().unwrap());
        if !key.story.lock().unwrap().iter().any(|event| event.op == KeyOp::Revoke) {
            site.revoke(&key);
        } else if key.story.lock().unwrap().iter().any(|event| {
            event.op == KeyOp::Revoke && site.now() > event.returned.saturating_add(LAG + LAG / 2)
        }) {
            let fresh = site.mint();
            stage.played.keys.lock().unwrap().push(Arc::clone(&fresh));
            *seat.lock().unwrap() = fresh;
        }
        std::thread::sleep(Duration::from_millis(100 + u64::try_from(chance.below(300)).unwrap()));
        if chance.in_thousand(400) {
            let person = &site.people[chance.below(site.people.len())];
            site.disable(person, Duration::from_millis(u64::try_from(chance.below(200)).unwrap()));
        }
    }
}

/// Asks the checker about every object; what was done, in numbers.
fn judge(stage: &Stage, seed: u64) -> String {
    let mut told = Findings { seed, counts: BTreeMap::new(), found: Vec::new() };
    let played = &stage.played;
    for grant in played.grants.lock().unwrap().iter() {
        let mut events = grant.story.lock().unwrap().clone();
        // An end that began while the last answer was under way counts as well.
        let Some(last) = events.iter().map(|event| event.returned).max() else { continue };
        let session = &grant.session;
        events.extend(ends_of(session, last).map(|(event, op)| event.with(op)));
        let model = models::Grant { online: grant.online, retry: RETRY_SECONDS };
        told.look("grant", &model, &events);
    }
    for session in played.sessions.lock().unwrap().iter() {
        let mut events = session.story.lock().unwrap().clone();
        let disabled = session.person.disabled.lock().unwrap();
        let since = disabled.iter().filter(|event| event.called > session.begun);
        // The first one ends it.
        events.extend(since.take(1).map(|e| e.with(SessionOp::EndUser)));
        told.look("session", &models::Session, &events);
    }
    for presented in played.assertions.lock().unwrap().iter() {
        told.look("assertion", &Assertion, &presented.story.lock().unwrap());
    }
    for key in played.keys.lock().unwrap().iter() {
        told.look("API key", &Key { lag: LAG }, &key.story.lock().unwrap());
    }
    let strange = stage.strange.lock().unwrap();
    assert!(strange.is_empty(), "seed {seed}: answers that nobody foresaw: {strange:?}");
    told.conclude()
}

/// What ended a session, or everything of its person, before `last`.
fn ends_of(session: &Session, last: Moment) -> impl Iterator<Item = (Event<()>, GrantOp)> {
    let outs = session.story.lock().unwrap().clone();
    let outs = outs.into_iter().filter(|event| event.op == SessionOp::SignOut);
    let disabled = session.person.disabled.lock().unwrap().clone();
    let begun = session.begun;
    let disabled = disabled.into_iter().filter(move |event| event.called > begun).take(1);
    outs.map(|event| (event.with(()), GrantOp::EndSession))
        .chain(disabled.map(|event| (event, GrantOp::EndUser)))
        .filter(move |(event, _)| event.called <= last)
}

impl<O> Event<O> {
    /// The same moments for what it meant to another object.
    fn with<P>(&self, op: P) -> Event<P> {
        Event { called: self.called, returned: self.returned, node: self.node, op }
    }
}

/// What the checker says.
struct Findings {
    seed: u64,
    counts: BTreeMap<String, usize>,
    found: Vec<String>,
}

impl Findings {
    fn look<M: Model>(&mut self, what: &str, model: &M, events: &[Event<M::Op>]) {
        for event in events {
            let known = if event.returned == NEVER { ", lost" } else { "" };
            *self.counts.entry(format!("{what}: {}{known}", kind(&event.op))).or_default() += 1;
        }
        if let Some(slice) = slice(model, events) {
            self.found.push(format!("{what} that no order explains:\n{}", lines(&slice)));
        }
    }

    fn conclude(self) -> String {
        let Self { seed, counts, found } = self;
        assert!(found.is_empty(), "seed {seed}, {} violations; the first:\n{}", found.len(), found[0]);
        let none: Vec<_> = EXPECTED.iter().filter(|kind| !counts.contains_key(**kind)).collect();
        assert!(none.is_empty(), "seed {seed}: nothing of this happened: {none:?}\n{counts:#?}");
        counts.iter().fold(String::new(), |mut text, (kind, count)| {
            writeln!(text, "{count:>9} {kind}").unwrap();
            text
        })
    }
}

/// A run without one of these tried less than it says.
const EXPECTED: &[&str] = &[
    "grant: Redeem Yes",
    "grant: Redeem No",
    "grant: Refresh Yes",
    "grant: Refresh No",
    "grant: Refresh Nothing, lost",
    "grant: AskRefresh alive",
    "grant: AskRefresh dead",
    "grant: AskAccess alive",
    "grant: AskAccess dead",
    "grant: Revoke",
    "grant: EndSession",
    "grant: EndUser",
    "session: Authorize in",
    "session: Authorize out",
    "session: SignOut",
    "session: EndUser",
    "assertion: Yes",
    "assertion: No",
    "API key: Mint",
    "API key: Verify good",
    "API key: Verify bad",
    "API key: Revoke",
];

/// An operation without the tokens in it: `Refresh Yes`.
fn kind(op: &impl Debug) -> String {
    let text = format!("{op:?}");
    let name: String = text.chars().take_while(char::is_ascii_alphabetic).collect();
    let told = [
        ("Yes(", "Yes"),
        ("No", "No"),
        ("Nothing", "Nothing"),
        ("alive: true", "alive"),
        ("alive: false", "dead"),
        ("signed_in: true", "in"),
        ("signed_in: false", "out"),
        ("good: true", "good"),
        ("good: false", "bad"),
    ];
    let rest = &text[name.len()..];
    // `Nothing` has a `No` in it.
    let told = told.iter().filter(|(mark, _)| rest.contains(mark)).max_by_key(|(mark, _)| mark.len());
    told.map_or_else(|| name.clone(), |(_, word)| format!("{name} {word}"))
}

/// A history as somebody reads it: seconds from call to answer, the node, the operation.
fn lines<O: Debug>(events: &[Event<O>]) -> String {
    let seconds = |moment: Moment| format!("{}.{:06}", moment / 1_000_000, moment % 1_000_000);
    events.iter().fold(String::new(), |mut text, event| {
        let until = if event.returned == NEVER { "never".to_owned() } else { seconds(event.returned) };
        let node =
            if event.node == TOOL { "command line".to_owned() } else { format!("node {}", event.node + 1) };
        writeln!(text, "  {:>12} – {until:>12}  {node}  {:?}", seconds(event.called), event.op).unwrap();
        text
    })
}
