//! Rate limits and stream leases of API keys: in Redis when many servers share them, else in memory. One arithmetic
//! (`api_key/window.rs`), written a second time in the script that Redis runs as one step; a test holds the two together.
//!
//! When Redis is away each server limits by itself, never not at all, and `cnx_limits_fallback_total` says so.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::{Mutex, PoisonError};

use redis::{Script, ScriptInvocation};

use super::error::OpenError;
use super::redis_link::RedisLink;
use crate::api_key::format::PublicId;
use crate::api_key::plan::Class;
use crate::api_key::window::{Standing, Window};
use crate::base::quick::{QuickMap, RandomState};
use crate::base::secret::Secret;
use crate::base::time::Timestamp;

/// Locks, so that requests of different keys do not wait for each other.
const SHARDS: usize = 64;
/// How many windows one shard holds before idle ones are thrown away.
const CROWDED: usize = 4_096;

/// The window of `window.rs`, in one step, by the clock of Redis: nodes' own clocks do no harm.
const SPEND: &str = "
local now = tonumber(redis.call('TIME')[1])
local most, cost = tonumber(ARGV[1]), tonumber(ARGV[2])
local all = redis.call('HGETALL', KEYS[1])
local used, oldest, stale = 0, nil, {}
for i = 1, #all, 2 do
  local second, n = tonumber(all[i]), tonumber(all[i + 1])
  if second <= now - 61 then stale[#stale + 1] = all[i]
  else used = used + n; if not oldest or second < oldest then oldest = second end end
end
if #stale > 0 then redis.call('HDEL', KEYS[1], unpack(stale)) end
local allowed = used + cost <= most
if allowed and cost > 0 then
  redis.call('HINCRBY', KEYS[1], now, cost)
  redis.call('EXPIRE', KEYS[1], 62)
  used = used + cost
  if not oldest then oldest = now end
end
local left = most - used
if left < 0 then left = 0 end
return { allowed and 1 or 0, left, oldest and (oldest + 61 - now) or 0 }";

/// Takes or renews a lease: members of a sorted set, by the second in which they end.
const LEASE: &str = "
local now = tonumber(redis.call('TIME')[1])
local most, seconds, renew = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[4] == '1'
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local held = redis.call('ZSCORE', KEYS[1], ARGV[3])
if renew and not held then return { 0, most - redis.call('ZCARD', KEYS[1]) } end
if not held and redis.call('ZCARD', KEYS[1]) >= most then return { 0, 0 } end
redis.call('ZADD', KEYS[1], now + seconds, ARGV[3])
redis.call('EXPIRE', KEYS[1], seconds + 1)
return { 1, most - redis.call('ZCARD', KEYS[1]) }";

/// Where limits are counted.
#[derive(Debug)]
pub struct Limits {
    memory: Memory,
    shared: Option<Shared>,
}

/// A stream that a key has open, or has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Whether the lease is held now.
    pub allowed: bool,
    /// How many more there may be.
    pub remaining: u32,
}

/// What is done to a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// A new one.
    Take,
    /// One that is held already.
    Renew,
}

impl Limits {
    /// Limits in Redis at `url`, or in memory without one; a Redis that is away stops no start.
    pub fn open(url: Option<&Secret<String>>) -> Result<Self, OpenError> {
        Ok(Self { memory: Memory::default(), shared: url.map(Shared::open).transpose()? })
    }

    /// Uses `cost` of `most` in the last minute, all of it or nothing.
    pub async fn spend(&self, key: PublicId, class: Class, most: u32, cost: u32, now: Timestamp) -> Standing {
        match &self.shared {
            None => self.memory.spend(key, class, most, cost, now),
            // Boxed, so that a request that does not wait for Redis carries nothing of it.
            Some(shared) => Box::pin(self.spend_shared(shared, (key, class), most, cost, now)).await,
        }
    }

    async fn spend_shared(
        &self,
        shared: &Shared,
        (key, class): (PublicId, Class),
        most: u32,
        cost: u32,
        now: Timestamp,
    ) -> Standing {
        let mut call = shared.spend.prepare_invoke();
        call.key(format!("cnx:l:{}:{key}", class.name())).arg(most).arg(cost);
        match shared.ask::<(u8, u32, i64)>(&call).await {
            Some((allowed, remaining, more_in)) => {
                // Counted here as well, so that a Redis that goes away wipes nothing.
                if allowed == 1 {
                    self.memory.spend(key, class, u32::MAX, cost, now);
                }
                Standing { allowed: allowed == 1, remaining, more_in }
            }
            None => self.memory.spend(key, class, most, cost, now),
        }
    }

    /// Takes or renews the lease `id` of a stream, of which there may be `most` at once; it ends by itself after `seconds`.
    pub async fn lease(
        &self,
        (key, id, act): (PublicId, &str, Lease),
        most: u32,
        seconds: i64,
        now: Timestamp,
    ) -> Held {
        if let Some(shared) = &self.shared {
            let mut call = shared.lease.prepare_invoke();
            let renew = u8::from(act == Lease::Renew);
            call.key(format!("cnx:s:{key}")).arg(most).arg(seconds).arg(id).arg(renew);
            let mut answer = shared.ask::<(u8, i64)>(&call).await;
            // Held here and not there: Redis lost it, or was away when it was taken. It goes on, within the limit.
            if matches!(answer, Some((0, _))) && act == Lease::Renew && self.memory.holds(key, id, now) {
                let mut call = shared.lease.prepare_invoke();
                call.key(format!("cnx:s:{key}")).arg(most).arg(seconds).arg(id).arg(0);
                answer = shared.ask::<(u8, i64)>(&call).await;
            }
            if let Some((allowed, left)) = answer {
                if allowed == 1 {
                    self.memory.lease((key, id, Lease::Take), u32::MAX, seconds, now);
                } else {
                    self.memory.release(key, id);
                }
                return Held { allowed: allowed == 1, remaining: u32::try_from(left).unwrap_or(0) };
            }
            // Redis is away. This server may never have seen the lease, which another one took: within the limit it goes on.
            return self.memory.lease((key, id, Lease::Take), most, seconds, now);
        }
        self.memory.lease((key, id, act), most, seconds, now)
    }

    /// Gives a lease back; whether it was held.
    pub async fn release(&self, key: PublicId, id: &str) -> bool {
        let here = self.memory.release(key, id);
        let Some(shared) = &self.shared else { return here };
        let mut call = shared.release.prepare_invoke();
        call.key(format!("cnx:s:{key}")).arg(id);
        shared.ask::<u8>(&call).await.map_or(here, |removed| removed == 1)
    }
}

/// Limits in this process.
#[derive(Debug)]
struct Memory {
    windows: Vec<Mutex<QuickMap<(PublicId, Class), Window>>>,
    /// Leases by key: id and the second in which each ends.
    leases: Mutex<HashMap<PublicId, HashMap<String, i64>>>,
    hasher: RandomState,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            windows: (0..SHARDS).map(|_| Mutex::default()).collect(),
            leases: Mutex::default(),
            hasher: RandomState::default(),
        }
    }
}

impl Memory {
    fn spend(&self, key: PublicId, class: Class, most: u32, cost: u32, now: Timestamp) -> Standing {
        let shard = usize::try_from(self.hasher.hash_one(key)).unwrap_or(0) % SHARDS;
        let Some(shard) = self.windows.get(shard) else {
            return Standing { allowed: false, remaining: 0, more_in: 1 };
        };
        let mut windows = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= CROWDED && !windows.contains_key(&(key, class)) {
            windows.retain(|_, window| !window.is_idle(now));
        }
        windows.entry((key, class)).or_insert_with(|| Window::new(now)).spend(most, cost, now)
    }

    fn lease(
        &self,
        (key, id, act): (PublicId, &str, Lease),
        most: u32,
        seconds: i64,
        now: Timestamp,
    ) -> Held {
        let mut all = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        let leases = all.entry(key).or_default();
        leases.retain(|_, ends| *ends > now.as_secs());
        let left = |leases: &HashMap<String, i64>| {
            most.saturating_sub(u32::try_from(leases.len()).unwrap_or(u32::MAX))
        };
        let held = leases.contains_key(id);
        let allowed = match act {
            Lease::Renew => held,
            Lease::Take => held || left(leases) > 0,
        };
        if allowed {
            leases.insert(id.to_owned(), now.plus(seconds).as_secs());
        }
        let remaining = left(leases);
        if leases.is_empty() {
            all.remove(&key);
        }
        Held { allowed, remaining }
    }

    fn holds(&self, key: PublicId, id: &str, now: Timestamp) -> bool {
        let all = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&key).and_then(|leases| leases.get(id)).is_some_and(|ends| *ends > now.as_secs())
    }

    fn release(&self, key: PublicId, id: &str) -> bool {
        let mut all = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(leases) = all.get_mut(&key) else { return false };
        let held = leases.remove(id).is_some();
        if leases.is_empty() {
            all.remove(&key);
        }
        held
    }
}

/// Limits in Redis.
struct Shared {
    link: RedisLink,
    spend: Script,
    lease: Script,
    release: Script,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared(…)")
    }
}

impl Shared {
    fn open(url: &Secret<String>) -> Result<Self, OpenError> {
        Ok(Self {
            link: RedisLink::open(url, ("limits keys", "limit keys"))?,
            spend: Script::new(SPEND),
            lease: Script::new(LEASE),
            release: Script::new("return redis.call('ZREM', KEYS[1], ARGV[1])"),
        })
    }

    /// The answer of a script; `None` while Redis is away.
    async fn ask<T: redis::FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Option<T> {
        let mut connection = self.link.connection();
        let answer = self.link.ask(call.invoke_async(&mut connection)).await;
        if answer.is_none() {
            metrics::counter!("cnx_limits_fallback_total").increment(1);
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> PublicId {
        text.parse().unwrap()
    }

    const NOW: Timestamp = Timestamp::from_secs(100_000);

    #[tokio::test]
    async fn each_key_and_class_has_a_budget_of_its_own_s_k6() {
        let limits = Limits::open(None).unwrap();
        let (a, b) = (id("aaaaaaaaaa"), id("bbbbbbbbbb"));
        for _ in 0..30 {
            assert!(limits.spend(a, Class::Delete, 30, 1, NOW).await.allowed);
        }
        assert!(!limits.spend(a, Class::Delete, 30, 1, NOW).await.allowed);
        assert!(limits.spend(a, Class::Read, 30, 1, NOW).await.allowed);
        assert!(limits.spend(b, Class::Delete, 30, 1, NOW).await.allowed);
    }

    #[tokio::test]
    async fn a_lease_ends_when_it_is_given_back_or_not_renewed_s_k8() {
        let limits = Limits::open(None).unwrap();
        let key = id("aaaaaaaaaa");
        let take = async |name: &str, at: Timestamp| limits.lease((key, name, Lease::Take), 2, 30, at).await;
        assert_eq!(take("1", NOW).await, Held { allowed: true, remaining: 1 });
        assert!(take("2", NOW).await.allowed);
        assert_eq!(take("3", NOW).await, Held { allowed: false, remaining: 0 });
        assert!(limits.lease((key, "1", Lease::Renew), 2, 30, NOW.plus(20)).await.allowed);
        assert!(!limits.lease((key, "9", Lease::Renew), 2, 30, NOW.plus(20)).await.allowed);
        assert!(take("3", NOW.plus(31)).await.allowed, "the second was not renewed");
        assert!(!take("4", NOW.plus(31)).await.allowed);
        assert!(limits.release(key, "1").await && !limits.release(key, "1").await);
        assert!(take("4", NOW.plus(31)).await.allowed);
    }

    #[test]
    fn memory_forgets_windows_that_are_idle() {
        let memory = Memory::default();
        for n in 0..(SHARDS * CROWDED + 10_000) {
            memory.spend(
                id(&format!("{n:010}")),
                Class::Read,
                10,
                1,
                NOW.plus(i64::try_from(n / 1000).unwrap()),
            );
        }
        let held: usize = memory.windows.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(held <= SHARDS * CROWDED, "{held}");
    }

    #[tokio::test]
    async fn without_redis_a_server_limits_by_itself_s_k7_f9() {
        let url = Secret::new("redis://127.0.0.1:1/".to_owned());
        let limits = Limits::open(Some(&url)).unwrap();
        let key = id("aaaaaaaaaa");
        assert!(limits.spend(key, Class::Delete, 1, 1, NOW).await.allowed);
        assert!(!limits.spend(key, Class::Delete, 1, 1, NOW).await.allowed);
        assert!(limits.lease((key, "1", Lease::Take), 1, 30, NOW).await.allowed);
        assert!(!limits.lease((key, "2", Lease::Take), 1, 30, NOW).await.allowed);
        // One that another server took goes on here, as long as there is room.
        assert!(!limits.lease((key, "other", Lease::Renew), 1, 30, NOW).await.allowed);
        assert!(limits.lease((key, "other", Lease::Renew), 2, 30, NOW).await.allowed);
    }

    /// The script and `window.rs` are the same arithmetic: what one allows the other allows.
    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "where the tests' Redis is stands in the environment")]
    async fn redis_and_memory_agree_s_k6() {
        let Ok(url) = std::env::var("TEST_REDIS_URL") else { return };
        let shared = Limits::open(Some(&Secret::new(url))).unwrap();
        let key =
            id(&crate::base::encoding::base62(&crate::base::entropy::Entropy::system().bytes::<8>())[..10]);
        let alone = Memory::default();
        let now = crate::base::time::Clock::System.now();
        for cost in [1, 3, 0, 5, 2, 4, 1, 1, 0, 7, 1] {
            let (there, here) = (
                shared.spend(key, Class::Write, 12, cost, now).await,
                alone.spend(key, Class::Write, 12, cost, now),
            );
            assert_eq!((there.allowed, there.remaining), (here.allowed, here.remaining), "{cost}");
            assert!((there.more_in - here.more_in).abs() <= 2);
        }
        for (act, name) in [
            (Lease::Take, "1"),
            (Lease::Take, "2"),
            (Lease::Take, "3"),
            (Lease::Renew, "1"),
            (Lease::Renew, "3"),
        ] {
            let there = shared.lease((key, name, act), 2, 30, now).await;
            assert_eq!(there, alone.lease((key, name, act), 2, 30, now), "{act:?} {name}");
        }
        assert!(shared.release(key, "1").await && !shared.release(key, "1").await);
        assert!(shared.lease((key, "3", Lease::Take), 2, 30, now).await.allowed);
        // Redis that lost everything closes no stream: who holds it brings it back. What nobody holds stays gone (F9).
        let mut link = shared.shared.as_ref().unwrap().link.connection();
        let _: u8 = redis::cmd("DEL").arg(format!("cnx:s:{key}")).query_async(&mut link).await.unwrap();
        assert!(!shared.lease((key, "1", Lease::Renew), 2, 30, now).await.allowed);
        assert_eq!(
            shared.lease((key, "3", Lease::Renew), 2, 30, now).await,
            Held { allowed: true, remaining: 1 }
        );
    }
}
