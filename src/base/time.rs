//! Time as the protocol speaks it: whole seconds since 1970, read from one clock and passed down as a value.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// How far the clocks of those who work together may be apart, in seconds (F11).
pub const CLOCKS_APART: i64 = 60;

/// Seconds since 1970-01-01T00:00:00Z: the unit of every JWT (RFC 7519 §2, `NumericDate`) and of every row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From seconds since 1970.
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Seconds since 1970.
    pub const fn as_secs(self) -> i64 {
        self.0
    }

    /// Later by `seconds`; stops at the ends of the range instead of wrapping.
    #[must_use]
    pub const fn plus(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Earlier by `seconds`; stops at the ends of the range instead of wrapping.
    #[must_use]
    pub const fn minus(self, seconds: i64) -> Self {
        Self(self.0.saturating_sub(seconds))
    }

    /// Seconds from `earlier` to `self`; negative when `earlier` is later.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whether `begun` is at most `life` seconds ago, and not in a future that two clocks which differ cannot explain: what was made
    /// before a clock was turned back would else live for as long again (F10).
    pub const fn is_within(self, life: i64, begun: Self) -> bool {
        self.since(begun) <= life && !self.is_before(begun)
    }

    /// Whether `begun` is in a future that two clocks which differ cannot explain.
    pub const fn is_before(self, begun: Self) -> bool {
        begun.since(self) > CLOCKS_APART
    }

    /// RFC 3339 in UTC with seconds, as the command line and `/v1` print it.
    pub fn to_rfc3339(self) -> String {
        DateTime::<Utc>::from_timestamp(self.0, 0)
            .map_or_else(|| self.0.to_string(), |t| t.to_rfc3339_opts(SecondsFormat::Secs, true))
    }

    /// Reads RFC 3339; `None` for anything else.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        DateTime::parse_from_rfc3339(text).ok().map(|t| Self(t.timestamp()))
    }
}

/// Where "now" comes from. A flow reads it once per request and passes the value down.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// A clock that a test moves by hand.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands still at `start` until it is advanced.
    pub fn manual(start: Timestamp) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(start.as_secs())))
    }

    /// The present moment, in seconds.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp(system_millis().div_euclid(1000)),
            Self::Manual(seconds) => Timestamp(seconds.load(Ordering::SeqCst)),
        }
    }

    /// The present moment in milliseconds, for the time part of a UUIDv7 (RFC 9562 §5.7).
    pub fn now_millis(&self) -> u64 {
        let millis = match self {
            Self::System => system_millis(),
            Self::Manual(seconds) => seconds.load(Ordering::SeqCst).saturating_mul(1000),
        };
        u64::try_from(millis).unwrap_or(0)
    }

    /// Moves a manual clock; the system clock cannot be moved and ignores it.
    pub fn advance(&self, by_seconds: i64) {
        if let Self::Manual(seconds) = self {
            seconds.fetch_add(by_seconds, Ordering::SeqCst);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
fn system_millis() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    // Before 1970 nothing of this works: it is 1970 then.
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
