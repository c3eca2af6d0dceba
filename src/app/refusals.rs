//! What was refused, until a job writes it to the audit log: alike refusals share a row, so that being refused costs the database nothing.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::App;
use crate::store::audit::Entry;

/// Rows that wait at most. Beyond that it is told what was refused and how often, and no more from where.
const MOST: usize = 1_000;
/// Rows of one place at most: who tries a thousand names from one place must not hide what comes from others.
const MOST_OF_A_PLACE: usize = 20;
/// Who did it, where there were too many to tell.
const MANY: &str = "many";

/// What makes refusals alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Alike {
    act: String,
    actor: String,
    subject: Option<String>,
    reason: Option<String>,
    place: Option<String>,
}

/// Refused requests that wait at most, each by its id: more than that in a minute are not explained one by one.
const MOST_REQUESTS: usize = 1_000;

/// Refusals that wait.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    rows: HashMap<Alike, Entry>,
    of_a_place: HashMap<Option<String>, usize>,
    requests: Vec<Entry>,
}

impl Waiting {
    fn add(&mut self, entry: Entry, place: Option<String>) {
        let mut alike = Alike {
            act: entry.act.clone(),
            actor: entry.actor.clone(),
            subject: entry.subject.clone(),
            reason: entry.reason.clone(),
            place,
        };
        if !self.rows.contains_key(&alike) {
            if self.of_a_place.get(&alike.place).is_some_and(|rows| *rows >= MOST_OF_A_PLACE) {
                alike = Alike { actor: MANY.to_owned(), subject: None, ..alike };
            }
            if self.rows.len() >= MOST && !self.rows.contains_key(&alike) {
                alike = Alike { actor: MANY.to_owned(), subject: None, place: None, ..alike };
            }
        }
        let before = self.rows.get(&alike).map(|before| before.times);
        if before.is_none() {
            *self.of_a_place.entry(alike.place.clone()).or_default() += 1;
        }
        let is_cut = alike.actor == MANY;
        let entry = Entry {
            actor: alike.actor.clone(),
            subject: alike.subject.clone(),
            address: entry.address.filter(|_| alike.place.is_some()),
            request_id: entry.request_id.filter(|_| !is_cut),
            details: entry.details.filter(|_| !is_cut),
            times: entry.times.saturating_add(before.unwrap_or(0)),
            ..entry
        };
        self.rows.insert(alike, entry);
    }
}

impl App {
    /// Notes a refusal; `place` is what counts as one place of its address.
    pub fn note_refusal(&self, entry: Entry, place: Option<String>) {
        self.refusals.0.lock().unwrap_or_else(PoisonError::into_inner).add(entry, place);
    }

    /// At most `most` of what waits, each with its place; the rest waits on.
    pub fn take_refusals(&self, most: usize) -> Vec<(Entry, Option<String>)> {
        let mut waiting = self.refusals.0.lock().unwrap_or_else(PoisonError::into_inner);
        let keys: Vec<Alike> = waiting.rows.keys().take(most).cloned().collect();
        let mut taken: Vec<(Entry, Option<String>)> = keys
            .into_iter()
            .filter_map(|alike| waiting.rows.remove(&alike).map(|entry| (entry, alike.place)))
            .collect();
        if waiting.rows.is_empty() {
            waiting.of_a_place.clear();
        }
        taken.sort_by(|(a, _), (b, _)| (a.at, &a.act, &a.address).cmp(&(b.at, &b.act, &b.address)));
        taken
    }

    /// Notes why one request was refused, by its id; what comes beyond what may wait is let go.
    pub fn note_refused_request(&self, entry: Entry) {
        let mut waiting = self.refusals.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entry.request_id.is_some() && waiting.requests.len() < MOST_REQUESTS {
            waiting.requests.push(entry);
        }
    }

    /// Every refused request that waits.
    pub fn take_refused_requests(&self) -> Vec<Entry> {
        std::mem::take(&mut self.refusals.0.lock().unwrap_or_else(PoisonError::into_inner).requests)
    }

    /// Why a request was refused that still waits to be written down.
    pub fn refused_request(&self, id: &str) -> Option<Entry> {
        let waiting = self.refusals.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.requests.iter().find(|entry| entry.request_id.as_deref() == Some(id)).cloned()
    }
}
