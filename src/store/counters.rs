//! Counters of the last so many seconds: rates of failures and of requests. In Redis when many servers share them, else in memory.
//!
//! Never the place of a decision that must be right: what is accepted once is in the database (F9). When Redis is away each server counts
//! by itself, never not at all, and `cnx_counters_fallback_total` says so. Keys are keyed hashes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::error::OpenError;
use super::redis_link::RedisLink;
use crate::base::encoding::base62;
use crate::base::secret::{Fingerprint, Secret};
use crate::base::time::Timestamp;

/// How many keys memory holds at most: a flood of new ones pushes out others, never grows.
const MOST: usize = 100_000;

/// Where counts are kept.
#[derive(Debug)]
pub enum Counters {
    /// In this process.
    Memory(Memory),
    /// Shared by all servers, with this process's memory for when it is away.
    Redis(Box<Shared>),
}

impl Counters {
    /// Counters in Redis at `url`, or in memory without one. Connects later and by itself: a Redis that is away stops no start.
    /// Call it within the runtime that will live as long as the counters.
    pub fn open(url: Option<&Secret<String>>) -> Result<Self, OpenError> {
        let Some(url) = url else { return Ok(Self::Memory(Memory::default())) };
        let link = RedisLink::open(url, ("counts", "count"))?;
        Ok(Self::Redis(Box::new(Shared { link, memory: Memory::default() })))
    }

    /// Asks Redis, if there is one, whether it is there, so that the log says when it goes away and when it comes back also
    /// while nobody counts. It changes no decision.
    pub async fn look(&self) {
        if let Self::Redis(shared) = self {
            shared.link.look().await;
        }
    }

    /// Counts one more under `key` and gives how many there were in the last `window` seconds, this one included.
    pub async fn hit(&self, key: &Fingerprint, window: i64, now: Timestamp) -> u64 {
        match self {
            Self::Memory(memory) => memory.count(key, window, now, 1),
            Self::Redis(shared) => shared.count(key, window, now, 1).await,
        }
    }

    /// How many there were under `key` in the last `window` seconds.
    pub async fn peek(&self, key: &Fingerprint, window: i64, now: Timestamp) -> u64 {
        match self {
            Self::Memory(memory) => memory.count(key, window, now, 0),
            Self::Redis(shared) => shared.count(key, window, now, 0).await,
        }
    }
}

/// Two neighbouring windows; the last `window` seconds are the current one and the rest of the one before, taken as evenly spread.
#[derive(Clone, Copy, Debug)]
struct Windows {
    number: i64,
    current: u64,
    before: u64,
}

impl Windows {
    fn sliding(self, window: i64, now: Timestamp) -> u64 {
        let passed = u64::try_from(now.as_secs().rem_euclid(window)).unwrap_or(0);
        let window = u64::try_from(window).unwrap_or(1);
        self.current + (self.before.saturating_mul(window.saturating_sub(passed))).div_ceil(window)
    }
}

/// Counts in this process.
#[derive(Debug, Default)]
pub struct Memory {
    windows: Mutex<HashMap<(Fingerprint, i64), Windows>>,
}

impl Memory {
    fn count(&self, key: &Fingerprint, window: i64, now: Timestamp, hits: u64) -> u64 {
        let window = window.max(1);
        let number = now.as_secs().div_euclid(window);
        let mut all = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(&(*key, window)).copied();
        let mut windows = match known {
            Some(w) if w.number == number => w,
            Some(w) if w.number == number - 1 => Windows { number, current: 0, before: w.current },
            // A clock that went back keeps its newer count: a limit must not be washed away by a step of the clock.
            Some(w) if w.number > number => w,
            Some(_) | None => Windows { number, current: 0, before: 0 },
        };
        windows.current += hits;
        if hits > 0 {
            if known.is_none() && all.len() >= MOST {
                make_room(&mut all, now);
            }
            all.insert((*key, window), windows);
        }
        windows.sliding(window, now)
    }
}

/// Removes what is over, and when that is not enough a sixteenth of the rest, in no order that a caller could steer.
fn make_room(all: &mut HashMap<(Fingerprint, i64), Windows>, now: Timestamp) {
    all.retain(|(_, window), w| w.number >= now.as_secs().div_euclid(*window) - 1);
    if all.len() >= MOST {
        let some: Vec<_> = all.keys().take(MOST / 16).copied().collect();
        for key in some {
            all.remove(&key);
        }
    }
}

/// Counts in Redis.
pub struct Shared {
    link: RedisLink,
    memory: Memory,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared(…)")
    }
}

impl Shared {
    async fn count(&self, key: &Fingerprint, window: i64, now: Timestamp, hits: u64) -> u64 {
        // Counted here in any case, so that a Redis that goes away wipes nothing.
        let own = self.memory.count(key, window, now, hits);
        let window = window.max(1);
        if let Some(count) = self.link.ask(self.ask(key, window, now, hits)).await {
            return count;
        }
        metrics::counter!("cnx_counters_fallback_total").increment(1);
        own
    }

    async fn ask(
        &self,
        key: &Fingerprint,
        window: i64,
        now: Timestamp,
        hits: u64,
    ) -> redis::RedisResult<u64> {
        let number = now.as_secs().div_euclid(window);
        let name = |number: i64| format!("cnx:w:{window}:{}:{number}", base62(key.as_bytes()));
        let mut pipe = redis::pipe();
        if hits > 0 {
            pipe.incr(name(number), hits).ignore().expire(name(number), window.saturating_mul(2)).ignore();
        }
        pipe.get(name(number)).get(name(number - 1));
        let (current, before): (Option<u64>, Option<u64>) =
            pipe.query_async(&mut self.link.connection()).await?;
        let windows = Windows { number, current: current.unwrap_or(0), before: before.unwrap_or(0) };
        Ok(windows.sliding(window, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_window_slides() {
        let counters = Counters::open(None).unwrap();
        let key = Fingerprint::from_bytes([1; 32]);
        let at = |seconds: i64| Timestamp::from_secs(6_000 + seconds);
        for n in 1..=10 {
            assert_eq!(counters.hit(&key, 60, at(30)).await, n);
        }
        assert_eq!(counters.peek(&key, 60, at(59)).await, 10);
        assert_eq!(counters.peek(&key, 60, at(60)).await, 10);
        assert_eq!(counters.peek(&key, 60, at(90)).await, 5);
        assert_eq!(counters.peek(&key, 60, at(120)).await, 0);
        assert_eq!(counters.peek(&Fingerprint::from_bytes([2; 32]), 60, at(59)).await, 0);
    }

    #[test]
    fn memory_is_bounded_under_a_flood_of_keys() {
        let memory = Memory::default();
        let now = Timestamp::from_secs(6_000);
        for n in 0..(MOST + 5_000) {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&(n as u64).to_be_bytes());
            memory.count(&Fingerprint::from_bytes(bytes), 60, now, 1);
        }
        assert!(memory.windows.lock().unwrap().len() <= MOST);
    }

    #[tokio::test]
    async fn without_redis_the_server_counts_by_itself() {
        let url = Secret::new("redis://127.0.0.1:1/".to_owned());
        let counters = Counters::open(Some(&url)).unwrap();
        let key = Fingerprint::from_bytes([1; 32]);
        let now = Timestamp::from_secs(6_000);
        assert_eq!(counters.hit(&key, 60, now).await, 1);
        assert_eq!(counters.hit(&key, 60, now).await, 2);
    }
}
