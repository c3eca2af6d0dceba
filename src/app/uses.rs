//! When keys were last used, until a job writes it down: a request notes it here and writes nothing (pitfall 10).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::App;
use crate::base::secret::Fingerprint;
use crate::store::api_keys::Use;

/// How often the use of one secret is noted, in seconds.
const PRECISION: i64 = 60;
/// Secrets that are remembered at most; beyond that notes are lost, and requests go on.
const MOST: usize = 200_000;

/// Uses that wait to be written down, and those of the last minute, so that a busy key is noted once in it.
#[derive(Debug, Default)]
pub struct Uses(Mutex<HashMap<Fingerprint, Noted>>);

#[derive(Debug)]
struct Noted {
    used: Use,
    written: bool,
}

impl App {
    /// Notes a use, unless one of the same secret was noted within the last minute.
    pub fn note_use(&self, used: Use) {
        let mut all = self.uses.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(noted) = all.get(&used.secret)
            && used.last.at.since(noted.used.last.at) < PRECISION
        {
            return;
        }
        if all.len() < MOST || all.contains_key(&used.secret) {
            all.insert(used.secret, Noted { used, written: false });
        }
    }

    /// What was not written down yet. What is older than a minute and written is forgotten.
    pub fn take_uses(&self) -> Vec<Use> {
        let now = self.now();
        let mut all = self.uses.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, noted| !noted.written || now.since(noted.used.last.at) < PRECISION);
        let mut waiting = Vec::new();
        for noted in all.values_mut().filter(|noted| !noted.written) {
            noted.written = true;
            waiting.push(noted.used.clone());
        }
        waiting
    }
}
