//! The keys of the console, a page at a time: which ones, out of memory; what the database knows of them, in one read.

use std::sync::Arc;

use super::audit::By;
use super::key_view::State;
use super::keys::KeyError;
use crate::api_key::format::PublicId;
use crate::api_key::key::ApiKey;
use crate::app::{App, Counted};
use crate::base::time::Timestamp;
use crate::store::usage::{HOUR, hour_of};
use crate::store::{api_keys, usage};

/// Keys in one page.
pub const PAGE: usize = 50;
/// Hours of which the list shows how many requests there were.
pub const HOURS: usize = 24;

/// Which keys.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Those whose name or environment holds this, or whose id it is, however it is written; all when empty.
    pub search: String,
    /// Those that ended too: revoked or expired.
    pub ended: bool,
    /// Those made before this one.
    pub after: Option<PublicId>,
}

impl Wanted {
    fn is_meant(&self, by: &By, key: &ApiKey, search: &str, now: Timestamp) -> bool {
        by.sees(key)
            && (self.ended || !matches!(State::of(key, now), State::Revoked | State::Expired))
            && (search.is_empty()
                || key.id.as_str() == self.search
                || key.environment.as_str() == search
                || key.name.to_lowercase().contains(search))
    }
}

/// A key in the list.
#[derive(Clone, Debug)]
pub struct Line {
    /// The key.
    pub key: ApiKey,
    /// Its requests of the last hours, the present one last.
    pub hours: [i64; HOURS],
}

/// A page.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The keys, newest first.
    pub lines: Vec<Line>,
    /// After which key the next page begins; the last page has none.
    pub next: Option<PublicId>,
}

/// A page of the keys that somebody sees.
pub async fn page(app: &App, by: &By, wanted: &Wanted, now: Timestamp) -> Result<Listed, KeyError> {
    let search = wanted.search.trim().to_lowercase();
    let place = |key: &ApiKey| (key.created_at, key.id);
    let after = wanted.after.and_then(|id| app.api_key(id)).map(|key| place(&key));
    let mut found: Vec<Arc<ApiKey>> = app.api_keys_that(|key| {
        after.is_none_or(|after| place(key) < after) && wanted.is_meant(by, key, &search, now)
    });
    // Of ten thousand only those that are shown are put in order, and one more, which tells that there is another page.
    if found.len() > PAGE + 1 {
        found.select_nth_unstable_by_key(PAGE, |key| std::cmp::Reverse(place(key)));
        found.truncate(PAGE + 1);
    }
    found.sort_unstable_by_key(|key| std::cmp::Reverse(place(key)));
    let has_more = found.len() > PAGE;
    let ids: Vec<PublicId> = found.iter().take(PAGE).map(|key| key.id).collect();
    let next = ids.last().copied().filter(|_| has_more);
    let lines = lines(app, &ids, now).await?;
    Ok(Listed { lines, next })
}

/// These keys as the database has them, in this order, with their requests of the last hours.
pub async fn lines(app: &App, ids: &[PublicId], now: Timestamp) -> Result<Vec<Line>, KeyError> {
    let hours = i64::try_from(HOURS).unwrap_or_default();
    let from = hour_of(now).minus((hours - 1) * HOUR);
    let counted: Vec<Counted> = ids.iter().map(|id| Counted::Key(*id)).collect();
    let subjects: Vec<String> = counted.iter().map(Counted::text).collect();
    let wanted = ids.to_vec();
    let (rows, counts) = app
        .store
        .read(move |conn| Ok((api_keys::some(conn, &wanted)?, usage::by_hour(conn, &subjects, from)?)))
        .await?;
    let waiting = app.waiting_counts(&counted, from);
    let waiting = waiting.into_iter().map(|count| (count.subject, count.hour, count.requests));
    let mut lines: Vec<Line> = rows.into_iter().map(|key| Line { key, hours: [0; HOURS] }).collect();
    lines.sort_unstable_by_key(|line| ids.iter().position(|id| *id == line.key.id));
    for (subject, hour, requests) in counts.into_iter().chain(waiting) {
        let line = lines.iter_mut().find(|line| subject.strip_prefix("key:") == Some(line.key.id.as_str()));
        let at = usize::try_from(hour.since(from).div_euclid(HOUR)).ok();
        if let Some(slot) = line.zip(at).and_then(|(line, at)| line.hours.get_mut(at)) {
            *slot = slot.saturating_add(requests);
        }
    }
    Ok(lines)
}
