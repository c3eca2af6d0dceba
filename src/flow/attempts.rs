//! Failures to say who one is, counted by who one says one is and by place (S-T11): too many of them wait.

use super::caller::Caller;
use crate::app::App;
use crate::base::seal::MacPurpose;
use crate::base::secret::Fingerprint;
use crate::base::time::Timestamp;
use crate::oauth::error::OAuthError;

/// The sliding window in which failures count, in seconds.
const WINDOW: i64 = 60;

/// How many times a client's failures one place may have: many clients may sit behind one address.
const PLACE_FACTOR: u64 = 10;

/// The attempts of one name at one place, and of the place alone, which may be the way out of many clients.
pub(super) struct Attempts<'a> {
    app: &'a App,
    keys: [(Fingerprint, u64); 2],
    now: Timestamp,
}

impl<'a> Attempts<'a> {
    /// Those of whoever says to be `name`.
    pub(super) fn of(app: &'a App, name: &str, caller: &Caller, now: Timestamp) -> Self {
        let place = caller.place();
        let key = |parts: &[&[u8]]| Fingerprint::from_bytes(app.vault.mac(MacPurpose::Throttle, parts));
        let keys = [
            (key(&[b"client", name.as_bytes(), place.as_bytes()]), 1),
            (key(&[b"clients of a place", place.as_bytes()]), PLACE_FACTOR),
        ];
        Self { app, keys, now }
    }

    /// `SlowDown` when there were too many.
    pub(super) async fn refuse_too_many(&self) -> Result<(), OAuthError> {
        let limit = u64::from(self.app.settings.limits.client_failures);
        for (key, factor) in &self.keys {
            if self.app.counters.peek(key, WINDOW, self.now).await >= limit.saturating_mul(*factor) {
                return Err(OAuthError::SlowDown { retry_after: WINDOW });
            }
        }
        Ok(())
    }

    /// One more.
    pub(super) async fn count_failure(&self) {
        for (key, _) in &self.keys {
            self.app.counters.hit(key, WINDOW, self.now).await;
        }
    }
}
