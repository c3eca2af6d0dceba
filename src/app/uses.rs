//! When keys were last used, until a job writes it down: a request notes it here and writes nothing (pitfall 10).

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use super::App;
use crate::api_key::format::PublicId;
use crate::api_key::key::LastUse;
use crate::base::quick::QuickMap;
use crate::base::secret::Fingerprint;
use crate::base::time::Timestamp;
use crate::store::key_uses::{Renewed, Use};

/// How often the use of one secret is noted, in seconds.
const PRECISION: i64 = 60;
/// Secrets that are remembered at most; beyond that notes are lost, and requests go on.
const MOST: usize = 200_000;
/// Locks, so that requests of different keys do not wait for each other.
const SHARDS: usize = 16;

/// Uses that wait to be written down, and those of the last minute, so that a busy key is noted once in it.
#[derive(Debug, Default)]
pub struct Uses([Mutex<QuickMap<Fingerprint, Noted>>; SHARDS]);

#[derive(Debug)]
struct Noted {
    used: Use,
    written: bool,
}

impl App {
    /// Notes that a key was used with this secret, from there and for that, unless it was noted within the last minute. `renewed` is its
    /// form under the present pepper, where it is kept under another.
    pub fn note_use(
        &self,
        key: PublicId,
        secret: Fingerprint,
        (at, address, resource): (Timestamp, Option<IpAddr>, Option<&str>),
        renewed: impl FnOnce() -> Option<Renewed>,
    ) {
        // A keyed hash: any of its bytes spreads evenly.
        let [first, ..] = *secret.as_bytes();
        let Some(shard) = self.uses.0.get(usize::from(first) % SHARDS) else { return };
        let mut all = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(noted) = all.get(&secret)
            && at.since(noted.used.last.at) < PRECISION
        {
            return;
        }
        if all.len() < MOST / SHARDS || all.contains_key(&secret) {
            let last = LastUse { at, address, resource: resource.map(str::to_owned) };
            all.insert(secret, Noted { used: Use { key, secret, last, renewed: renewed() }, written: false });
        }
    }

    /// What was not written down yet. What is older than a minute and written is forgotten.
    pub fn take_uses(&self) -> Vec<Use> {
        let now = self.now();
        let mut waiting = Vec::new();
        for shard in &self.uses.0 {
            let mut all = shard.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|_, noted| !noted.written || now.since(noted.used.last.at) < PRECISION);
            for noted in all.values_mut().filter(|noted| !noted.written) {
                noted.written = true;
                waiting.push(noted.used.clone());
            }
        }
        waiting
    }
}
