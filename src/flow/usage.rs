//! How often keys and apps asked for something lately, for people who look.

use std::str::FromStr;

use super::audit::By;
use super::keys::KeyError;
use crate::api_key::key::ApiKey;
use crate::app::{App, Counted};
use crate::base::time::Timestamp;
use crate::store::usage::{self, HOUR, hour_of};

/// Keys of a member that are summed up at most.
const MOST: usize = 500;

/// How far back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Span {
    /// 24 hours, an hour at a time.
    #[default]
    Day,
    /// 7 days, six hours at a time.
    Week,
    /// 30 days, a day at a time.
    Month,
}

impl Span {
    /// Every span.
    pub const ALL: [Self; 3] = [Self::Day, Self::Week, Self::Month];

    /// As addresses have it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
        }
    }

    /// How long each part is, in seconds.
    pub const fn step(self) -> i64 {
        match self {
            Self::Day => HOUR,
            Self::Week => 6 * HOUR,
            Self::Month => 24 * HOUR,
        }
    }

    /// How many parts.
    pub const fn steps(self) -> usize {
        match self {
            Self::Day => 24,
            Self::Week => 28,
            Self::Month => 30,
        }
    }

    /// When the first part begins, so that the last one holds the present hour.
    fn begins(self, now: Timestamp) -> Timestamp {
        let steps = i64::try_from(self.steps()).unwrap_or_default();
        hour_of(now).plus(HOUR).minus(self.step() * steps)
    }
}

impl FromStr for Span {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|span| span.word() == word).ok_or(())
    }
}

/// Requests that are alike, in each part of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// Which kind of request.
    pub class: String,
    /// What became of them.
    pub outcome: String,
    /// How many in each part.
    pub parts: Vec<i64>,
}

/// Usage over a span.
#[derive(Clone, Debug)]
pub struct Usage {
    /// When each part begins.
    pub begins: Vec<Timestamp>,
    /// What there was, by class and outcome.
    pub series: Vec<Series>,
}

/// The usage of a key, an app, or of all of them together; without one, of all keys that somebody sees.
pub async fn of(
    app: &App,
    by: &By,
    of: Option<&Counted>,
    span: Span,
    now: Timestamp,
) -> Result<Usage, KeyError> {
    let wanted = subjects(app, by, of)?;
    let from = span.begins(now);
    let texts: Vec<String> = wanted.iter().map(Counted::text).collect();
    let kept = app.store.read(move |conn| usage::together(conn, &texts, from)).await?;
    let begins =
        (0..span.steps()).map(|part| from.plus(span.step() * i64::try_from(part).unwrap_or_default()));
    let begins: Vec<Timestamp> = begins.collect();
    let mut series: Vec<Series> = Vec::new();
    for count in kept.into_iter().chain(app.waiting_counts(&wanted, from)) {
        let at = usize::try_from(count.hour.since(from).div_euclid(span.step())).unwrap_or(usize::MAX);
        let same = |series: &Series| series.class == count.class && series.outcome == count.outcome;
        if !series.iter().any(same) {
            let parts = vec![0; span.steps()];
            series.push(Series { class: count.class.clone(), outcome: count.outcome.clone(), parts });
        }
        let found = series.iter_mut().find(|series| same(series));
        if let Some(part) = found.and_then(|series| series.parts.get_mut(at)) {
            *part = part.saturating_add(count.requests);
        }
    }
    Ok(Usage { begins, series })
}

/// What is meant, as far as somebody sees it: a member their own keys.
fn subjects(app: &App, by: &By, of: Option<&Counted>) -> Result<Vec<Counted>, KeyError> {
    let Some(owner) = by.only() else { return Ok(vec![of.cloned().unwrap_or(Counted::AllKeys)]) };
    match of {
        None => {
            let mut own = app.api_keys_that(|key: &ApiKey| key.created_by == owner);
            own.sort_unstable_by_key(|key| std::cmp::Reverse((key.created_at, key.id)));
            Ok(own.iter().take(MOST).map(|key| Counted::Key(key.id)).collect())
        }
        Some(Counted::Key(id)) if app.api_key(*id).is_some_and(|key| by.sees(&key)) => {
            Ok(vec![Counted::Key(*id)])
        }
        Some(other) => Err(KeyError::Unknown(other.text())),
    }
}
