//! What an organization still misses: keys that do not follow good practice, found in memory.

use std::sync::Arc;

use super::audit::By;
use super::key_view::State;
use super::keys::KeyError;
use crate::api_key::format::PublicId;
use crate::api_key::key::ApiKey;
use crate::app::App;
use crate::base::time::Timestamp;
use crate::store::key_uses;

/// A quarter of a year, in seconds.
const QUARTER: i64 = 90 * 86_400;
/// Keys of a finding that are named; the rest is told as a number.
const NAMED: usize = 5;
/// Keys that the database is asked about at most.
const LOOKED_AT: usize = 1_000;

/// What may be amiss with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Practice {
    /// Its secret is older than a quarter, or due to be replaced.
    Old,
    /// For production, and usable from everywhere.
    OpenProduction,
    /// In a pipeline, with a wildcard among its scopes.
    WideCi,
    /// It never ends, and nobody used it for a quarter.
    Idle,
}

impl Practice {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Old, Self::OpenProduction, Self::WideCi, Self::Idle];

    /// Whether a key that works falls short of it, as far as memory knows.
    fn is_missed(self, key: &ApiKey, now: Timestamp) -> bool {
        let old = now.minus(QUARTER);
        match self {
            Self::Old => {
                key.current().is_some_and(|secret| secret.created_at < old)
                    || key.rotation_due_at.is_some_and(|at| at <= now)
            }
            Self::OpenProduction => {
                matches!(key.environment.as_str(), "prod" | "live") && key.allow.is_empty()
            }
            Self::WideCi => key.environment.as_str() == "ci" && key.scopes.has_wildcard(),
            // Uses are written down and not told to other nodes: what looks unused here is looked up.
            Self::Idle => {
                key.expires_at.is_none()
                    && key.created_at < old
                    && key.last_use.as_ref().is_none_or(|last| last.at < old)
            }
        }
    }
}

/// Keys that fall short of a practice.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Which.
    pub practice: Practice,
    /// How many keys.
    pub count: usize,
    /// Whether there may be more than were counted.
    pub or_more: bool,
    /// The oldest of them: id and name.
    pub named: Vec<(PublicId, String)>,
}

/// What is amiss with the keys that somebody sees; for each practice one finding, which may be empty.
pub async fn findings(app: &App, by: &By, now: Timestamp) -> Result<Vec<Finding>, KeyError> {
    let works = |key: &ApiKey| by.sees(key) && State::of(key, now) == State::Active;
    let mut all = Vec::with_capacity(Practice::ALL.len());
    for practice in Practice::ALL {
        let mut keys = app.api_keys_that(|key| practice.is_missed(key, now) && works(key));
        let mut or_more = false;
        if practice == Practice::Idle {
            or_more = keys.len() > LOOKED_AT;
            keys.truncate(LOOKED_AT);
            keys = unused(app, keys, now).await?;
        }
        let count = keys.len();
        if count > NAMED {
            keys.select_nth_unstable_by_key(NAMED, |key| (key.created_at, key.id));
            keys.truncate(NAMED);
        }
        keys.sort_unstable_by_key(|key| (key.created_at, key.id));
        let named = keys.iter().map(|key| (key.id, key.name.clone())).collect();
        all.push(Finding { practice, count, or_more, named });
    }
    Ok(all)
}

async fn unused(app: &App, keys: Vec<Arc<ApiKey>>, now: Timestamp) -> Result<Vec<Arc<ApiKey>>, KeyError> {
    if keys.is_empty() {
        return Ok(keys);
    }
    let ids: Vec<PublicId> = keys.iter().map(|key| key.id).collect();
    let then = now.minus(QUARTER);
    let unused = app.store.read(move |conn| key_uses::unused_since(conn, &ids, then)).await?;
    let unused: std::collections::HashSet<PublicId> = unused.into_iter().collect();
    Ok(keys.into_iter().filter(|key| unused.contains(&key.id)).collect())
}
