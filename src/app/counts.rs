//! How many requests keys and apps made, until a job writes it down: a request adds one here and writes nothing.
//!
//! Each thread counts in a place of its own, so that no request waits for another.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::App;
use crate::api_key::format::PublicId;
use crate::api_key::plan::Class;
use crate::base::id::ClientId;
use crate::base::quick::QuickMap;
use crate::base::time::Timestamp;
use crate::store::usage::{Count, hour_of};

/// Places to count in: more than there are threads that answer requests, usually.
const SHARDS: usize = 32;

/// What became of a request that was let through.
pub const ALLOWED: &str = "allowed";

/// Whose requests they are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Counted {
    /// A key's.
    Key(PublicId),
    /// An app's, or a service account's.
    Client(ClientId),
    /// Those of all keys together.
    AllKeys,
    /// Those of all apps together.
    AllClients,
}

impl Counted {
    /// As rows and addresses have it.
    pub fn text(&self) -> String {
        match self {
            Self::Key(id) => format!("key:{id}"),
            Self::Client(id) => format!("client:{id}"),
            Self::AllKeys => "keys".to_owned(),
            Self::AllClients => "clients".to_owned(),
        }
    }

    /// What that text says.
    pub fn named(text: &str) -> Option<Self> {
        match text.split_once(':') {
            Some(("key", id)) => id.parse().ok().map(Self::Key),
            Some(("client", id)) => id.parse().ok().map(Self::Client),
            None if text == "keys" => Some(Self::AllKeys),
            None if text == "clients" => Some(Self::AllClients),
            _ => None,
        }
    }

    /// What it is part of.
    const fn whole(&self) -> Self {
        match self {
            Self::Key(_) | Self::AllKeys => Self::AllKeys,
            Self::Client(_) | Self::AllClients => Self::AllClients,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Slot {
    subject: Counted,
    hour: Timestamp,
    class: &'static str,
    outcome: &'static str,
}

impl Slot {
    fn count(&self, subject: &Counted, requests: i64) -> Count {
        Count {
            subject: subject.text(),
            hour: self.hour,
            class: self.class.to_owned(),
            outcome: self.outcome.to_owned(),
            requests,
        }
    }
}

/// Counts that wait to be written down.
#[derive(Debug, Default)]
pub struct Counts {
    fresh: [Mutex<QuickMap<Slot, i64>>; SHARDS],
    /// What could not be written yet.
    late: Mutex<Vec<Count>>,
}

thread_local! {
    /// Where this thread counts.
    static PLACE: Cell<Option<usize>> = const { Cell::new(None) };
}

fn place() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    PLACE.get().unwrap_or_else(|| {
        let place = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
        PLACE.set(Some(place));
        place
    })
}

impl App {
    /// Counts a request of a key.
    pub fn count_key(&self, key: PublicId, class: Class, outcome: &'static str, at: Timestamp) {
        self.count(Counted::Key(key), class.name(), outcome, at);
    }

    /// Counts a request.
    pub fn count(&self, subject: Counted, class: &'static str, outcome: &'static str, at: Timestamp) {
        let Some(shard) = self.counts.fresh.get(place()) else { return };
        let slot = Slot { subject, hour: hour_of(at), class, outcome };
        *shard.lock().unwrap_or_else(PoisonError::into_inner).entry(slot).or_default() += 1;
    }

    /// Takes what was not written down yet, with the sums of all keys and all apps, sorted.
    pub fn take_counts(&self) -> Vec<Count> {
        let mut slots = QuickMap::<Slot, i64>::default();
        for shard in &self.counts.fresh {
            let taken = std::mem::take(&mut *shard.lock().unwrap_or_else(PoisonError::into_inner));
            for (slot, requests) in taken {
                let whole = Slot { subject: slot.subject.whole(), ..slot.clone() };
                *slots.entry(whole).or_default() += requests;
                *slots.entry(slot).or_default() += requests;
            }
        }
        let late = std::mem::take(&mut *self.counts.late.lock().unwrap_or_else(PoisonError::into_inner));
        let fresh = slots.iter().map(|(slot, requests)| slot.count(&slot.subject, *requests));
        merged(late.into_iter().chain(fresh).collect())
    }

    /// Gives back what could not be written down.
    pub fn put_counts_back(&self, counts: Vec<Count>) {
        let mut late = self.counts.late.lock().unwrap_or_else(PoisonError::into_inner);
        late.extend(counts);
        *late = merged(std::mem::take(&mut *late));
    }

    /// What of these is not written down yet on this node, so that people see at once what they just did.
    pub fn waiting_counts(&self, wanted: &[Counted], from: Timestamp) -> Vec<Count> {
        let mut found = Vec::new();
        for shard in &self.counts.fresh {
            let all = shard.lock().unwrap_or_else(PoisonError::into_inner);
            for (slot, requests) in all.iter().filter(|(slot, _)| slot.hour >= from) {
                let meant = wanted.iter().filter(|of| **of == slot.subject || **of == slot.subject.whole());
                found.extend(meant.map(|of| slot.count(of, *requests)));
            }
        }
        let texts: Vec<String> = wanted.iter().map(Counted::text).collect();
        let late = self.counts.late.lock().unwrap_or_else(PoisonError::into_inner);
        found.extend(late.iter().filter(|c| c.hour >= from && texts.contains(&c.subject)).cloned());
        found
    }
}

/// Sorted, and what is alike in one.
fn merged(mut counts: Vec<Count>) -> Vec<Count> {
    counts.sort_unstable();
    let is_alike = |a: &Count, b: &Count| {
        (&a.subject, a.hour, &a.class, &a.outcome) == (&b.subject, b.hour, &b.class, &b.outcome)
    };
    counts.dedup_by(|later, first| {
        let alike = is_alike(later, first);
        if alike {
            first.requests += later.requests;
        }
        alike
    });
    counts
}
