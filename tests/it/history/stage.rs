//! What all actors of a run share: the few objects that they meet at, and everything that ever was.

use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex};

use super::site::{ApiKey, Grant, Presented, Session, Site};

/// How many grants are worked on at once: fewer than actors, so that they meet.
const SLOTS: usize = 14;

/// What all actors share.
pub struct Stage {
    pub site: Site,
    pub slots: Vec<Mutex<Option<Arc<Grant>>>>,
    pub sessions: Vec<Mutex<Arc<Session>>>,
    pub assertions: Vec<Mutex<Arc<Presented>>>,
    pub keys: Vec<Mutex<Arc<ApiKey>>>,
    /// Everything that ever was, for the checker.
    pub played: Played,
    /// Grants that were left alive, to be looked at again at the end.
    pub parked: Mutex<Vec<Arc<Grant>>>,
    pub done: AtomicUsize,
    pub lost: AtomicUsize,
    pub undecided: AtomicUsize,
    /// Answers that no model has a word for.
    pub strange: Mutex<Vec<String>>,
    pub stop: AtomicBool,
}

#[derive(Default)]
pub struct Played {
    pub grants: Mutex<Vec<Arc<Grant>>>,
    pub sessions: Mutex<Vec<Arc<Session>>>,
    pub assertions: Mutex<Vec<Arc<Presented>>>,
    pub keys: Mutex<Vec<Arc<ApiKey>>>,
}

impl Stage {
    pub fn new(site: Site) -> Self {
        let played = Played::default();
        let people = site.people.iter().cycle().take(12);
        let sessions: Vec<_> = people.map(|person| site.sign_in(person).unwrap()).collect();
        let keys: Vec<_> = (0..8).map(|_| site.mint()).collect();
        let assertions: Vec<_> = (0..4).map(|n| Arc::new(site.present(n))).collect();
        played.sessions.lock().unwrap().extend(sessions.iter().cloned());
        played.keys.lock().unwrap().extend(keys.iter().cloned());
        played.assertions.lock().unwrap().extend(assertions.iter().cloned());
        Self {
            site,
            slots: (0..SLOTS).map(|_| Mutex::default()).collect(),
            sessions: sessions.into_iter().map(Mutex::new).collect(),
            assertions: assertions.into_iter().map(Mutex::new).collect(),
            keys: keys.into_iter().map(Mutex::new).collect(),
            played,
            parked: Mutex::default(),
            done: AtomicUsize::new(0),
            lost: AtomicUsize::new(0),
            undecided: AtomicUsize::new(0),
            strange: Mutex::default(),
            stop: AtomicBool::new(false),
        }
    }
}
