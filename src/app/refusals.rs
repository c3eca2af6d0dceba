//! What was refused, until a job writes it to the audit log: alike refusals share a row, so that being refused costs the database nothing.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::App;
use crate::store::audit::Entry;

/// Rows of one batch at most. Beyond that it is told what was refused and how often, and no more from where.
const MOST: usize = 1_000;

/// What makes refusals alike.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Alike {
    act: String,
    actor: Option<String>,
    subject: Option<String>,
    reason: Option<String>,
    address: Option<String>,
}

/// Refusals that wait.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<HashMap<Alike, Entry>>);

impl App {
    /// Notes a refusal.
    pub fn note_refusal(&self, entry: Entry) {
        let mut all = self.refusals.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut alike = Alike {
            act: entry.act.clone(),
            actor: Some(entry.actor.clone()),
            subject: entry.subject.clone(),
            reason: entry.reason.clone(),
            address: entry.address.clone(),
        };
        if let Some(before) = all.get_mut(&alike) {
            *before = Entry { times: before.times.saturating_add(entry.times), ..entry };
            return;
        }
        let mut entry = entry;
        if all.len() >= MOST {
            alike = Alike { actor: None, subject: None, address: None, ..alike };
            let before = all.get(&alike).map_or(0, |before| before.times);
            entry = Entry {
                actor: "many".to_owned(),
                subject: None,
                address: None,
                request_id: None,
                details: None,
                times: before.saturating_add(entry.times),
                ..entry
            };
        }
        all.insert(alike, entry);
    }

    /// What waits, the earliest first.
    pub fn take_refusals(&self) -> Vec<Entry> {
        let all = std::mem::take(&mut *self.refusals.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut entries: Vec<Entry> = all.into_values().collect();
        entries.sort_by(|a, b| (a.at, &a.act, &a.address).cmp(&(b.at, &b.act, &b.address)));
        entries
    }
}
