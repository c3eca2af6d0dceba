//! Public keys that others publish, kept in memory: fetched when they are first needed, again when they are old, and again for a
//! `kid` that is not among them, at most once a minute (S-J14).
//!
//! One fetch at a time for each source. While it is under way, keys that are known go on verifying; a source that is dead or slow
//! delays those who wait for it by five seconds, and nobody else (F21).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;

use super::App;
use crate::base::json;
use crate::base::time::Timestamp;
use crate::jose::key_set::KeySet;

/// The largest key set or metadata document, in bytes (S-S2).
const LARGEST: usize = 64 * 1024;
/// How long fetched keys are taken for current when the answer does not say, in seconds.
const FRESH: i64 = 300;
/// The most that an answer may say, in seconds: a key that was withdrawn should not verify for longer.
const FRESHEST: i64 = 3_600;
/// How long keys go on verifying when their source does not answer any more, in seconds.
const STALE: i64 = 3_600;
/// How long nobody asks a source again, whatever came of the last time, in seconds.
const REST: i64 = 60;

/// Where keys are published.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeySource {
    /// At this address.
    Uri(String),
    /// Where the metadata of this issuer says (OIDC Discovery §4).
    Issuer(String),
    /// At this address, in the form in which GitHub publishes them for its secret scanning.
    Scanner(String),
}

/// The key sets of a node.
#[derive(Debug, Default)]
pub struct RemoteKeys {
    sources: Mutex<HashMap<KeySource, Arc<Held>>>,
}

impl RemoteKeys {
    fn held(&self, source: &KeySource) -> Arc<Held> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(sources.entry(source.clone()).or_default())
    }
}

/// What is known of a source.
#[derive(Debug, Default)]
struct Held {
    last: ArcSwapOption<Last>,
    /// Held by the one that fetches.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Clone, Debug)]
struct Last {
    keys: Option<Arc<KeySet>>,
    tried_at: Timestamp,
    fresh_until: Timestamp,
    good_until: Timestamp,
}

impl Last {
    /// The keys, if they are still good for anything.
    fn good(&self, now: Timestamp) -> Option<Arc<KeySet>> {
        self.keys.clone().filter(|_| now < self.good_until)
    }

    /// The keys, if nobody has to ask again for a token of `kid`.
    fn current(&self, kid: Option<&str>, now: Timestamp) -> Option<Arc<KeySet>> {
        self.good(now).filter(|keys| now < self.fresh_until && keys.knows(kid))
    }

    fn is_resting(&self, now: Timestamp) -> bool {
        (0..REST).contains(&now.since(self.tried_at))
    }
}

impl App {
    /// The keys of a source, asked for anew where that may help with `kid`. `None` when none can be had.
    pub async fn remote_keys(
        &self,
        source: &KeySource,
        kid: Option<&str>,
        now: Timestamp,
    ) -> Option<Arc<KeySet>> {
        let held = self.remote_keys.held(source);
        let last = held.last.load_full();
        if let Some(last) = &last {
            if let Some(keys) = last.current(kid, now) {
                return Some(keys);
            }
            if last.is_resting(now) {
                return last.good(now);
            }
        }
        let known = last.and_then(|last| last.good(now)).filter(|keys| keys.knows(kid));
        let _alone = match (known, held.fetching.try_lock()) {
            (_, Ok(alone)) => alone,
            // Somebody fetches already, and these will do.
            (Some(keys), Err(_)) => return Some(keys),
            (None, Err(_)) => held.fetching.lock().await,
        };
        let before = held.last.load_full();
        if let Some(last) = before.as_ref().filter(|last| last.is_resting(now)) {
            return last.good(now);
        }
        let last = match self.fetch_keys(source).await {
            Some((keys, max_age)) => Last {
                keys: Some(Arc::new(keys)),
                tried_at: now,
                fresh_until: now.plus(max_age.unwrap_or(FRESH).clamp(REST, FRESHEST)),
                good_until: now.plus(FRESHEST + STALE),
            },
            // What was known stays known for a while; that nothing came is remembered as well.
            None => Last {
                tried_at: now,
                ..before.as_deref().cloned().unwrap_or(Last {
                    keys: None,
                    tried_at: now,
                    fresh_until: now,
                    good_until: now,
                })
            },
        };
        let keys = last.good(now);
        held.last.store(Some(Arc::new(last)));
        keys
    }

    async fn fetch_keys(&self, source: &KeySource) -> Option<(KeySet, Option<i64>)> {
        let address = match source {
            KeySource::Uri(address) | KeySource::Scanner(address) => address.clone(),
            KeySource::Issuer(issuer) => self.discover(issuer).await?,
        };
        match self.fetcher.json(&address, LARGEST).await {
            Ok(fetched) => {
                let keys = match source {
                    KeySource::Scanner(_) => KeySet::of_scanner(&fetched.text),
                    _ => KeySet::fetched(&fetched.text),
                };
                if keys.is_none() {
                    tracing::warn!(%address, "what was fetched is no key set");
                }
                keys.map(|keys| (keys, fetched.max_age))
            }
            Err(error) => {
                tracing::warn!(%address, %error, "a key set could not be fetched");
                None
            }
        }
    }

    /// "The issuer value returned MUST be identical to the Issuer URL that was used as the prefix" (OIDC Discovery §4.3).
    async fn discover(&self, issuer: &str) -> Option<String> {
        let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let found = match self.fetcher.json(&address, LARGEST).await {
            Ok(fetched) => json::strict(&fetched.text).ok(),
            Err(error) => {
                tracing::warn!(%address, %error, "an issuer's metadata could not be fetched");
                return None;
            }
        };
        let member = |name: &str| found.as_ref().and_then(|all| all.get(name)).and_then(|v| v.as_str());
        if member("issuer") != Some(issuer) {
            tracing::warn!(%address, "an issuer's metadata names another issuer");
            return None;
        }
        member("jwks_uri").map(str::to_owned)
    }
}
