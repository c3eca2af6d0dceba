//! How often something may be tried or asked for: by a person, for an account, from a place. Durable and shared by every node, as sign-ins
//! are (S-L6), and counted apart from them, so that asking for a link locks nobody out.

use crate::account::throttle::wait_after;
use crate::app::App;
use crate::base::seal::MacPurpose;
use crate::base::secret::Fingerprint;
use crate::base::time::Timestamp;
use crate::store::{Conn, StoreError, throttles};

/// One thing that is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    key: Fingerprint,
    free: u32,
    memory: i64,
}

impl Pace {
    /// Of `what`, for `whom`: so many are free within `memory` seconds.
    pub(super) fn of(app: &App, what: &str, whom: &str, free: u32, memory: i64) -> Self {
        let mac = app.vault.mac(MacPurpose::Throttle, &[b"pace", what.as_bytes(), whom.as_bytes()]);
        Self { key: Fingerprint::from_bytes(mac), free, memory }
    }

    /// Counts one; the seconds to wait instead, where there were too many.
    pub(super) fn count(&self, conn: &mut Conn, now: Timestamp) -> Result<Option<i64>, StoreError> {
        let blocked = throttles::find(conn, &self.key, now)?.filter(|found| now < found.blocked_until);
        if let Some(found) = blocked {
            return Ok(Some(found.blocked_until.since(now)));
        }
        let Some(counted) = throttles::fail(conn, &self.key, now, self.memory)? else { return Ok(Some(1)) };
        let wait = wait_after(counted.failures, self.free);
        if wait > 0 {
            throttles::block(conn, &self.key, now.plus(wait))?;
        }
        Ok(None)
    }

    /// Begins anew, after it went well.
    pub(super) fn forgive(&self, conn: &mut Conn) -> Result<(), StoreError> {
        throttles::clear(conn, &self.key)?;
        Ok(())
    }
}
