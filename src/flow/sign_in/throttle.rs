//! Throttling of sign-ins, durable and shared by every node: failures are rows, counted under keyed hashes (S-L6).
//!
//! An attempt on an account is counted before the password is looked at and taken back when it was right, so that attempts
//! at the same moment all count. A place (address or /64) is counted after a failure, and has ten times as many free.

use crate::account::throttle::wait_after;
use crate::app::App;
use crate::base::seal::MacPurpose;
use crate::base::secret::Fingerprint;
use crate::base::time::Timestamp;
use crate::flow::caller::Caller;
use crate::oauth::error::OAuthError;
use crate::store::{Conn, StoreError, throttles};

/// How long failures on an account are remembered, in seconds: consecutive ones count, however slowly they come.
const ACCOUNT_MEMORY: i64 = 86_400;
/// How long failures from a place are remembered, in seconds.
const PLACE_MEMORY: i64 = 3_600;
/// How many times an account's free failures a place has: many people may sit behind one address.
const PLACE_FACTOR: u32 = 10;

/// The keys that one attempt is counted under.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    account: Fingerprint,
    place: Fingerprint,
}

impl Keys {
    /// `account`: who is tried. `known_device`: their browser from before, which an attacker elsewhere cannot lock out.
    pub(super) fn new(app: &App, account: &str, known_device: bool, place: &str) -> Self {
        let kind: &[u8] = if known_device { b"account on a known device" } else { b"account" };
        let key = |parts: &[&[u8]]| Fingerprint::from_bytes(app.vault.mac(MacPurpose::Throttle, parts));
        Self { account: key(&[kind, account.as_bytes()]), place: key(&[b"place", place.as_bytes()]) }
    }
}

/// Counts an attempt; `Some(seconds)` when it must wait instead.
pub(super) async fn begin(app: &App, keys: Keys, now: Timestamp) -> Result<Option<i64>, OAuthError> {
    let free = app.settings.limits.login_failures;
    let act = move |conn: &mut Conn| {
        for key in [keys.account, keys.place] {
            if let Some(wait) = blocked(conn, &key, now)? {
                return Ok(Some(wait));
            }
        }
        if count(conn, &keys.account, free, ACCOUNT_MEMORY, now)? {
            return Ok(None);
        }
        // Another attempt was quicker and used up what was free.
        Ok(Some(blocked(conn, &keys.account, now)?.unwrap_or(1)))
    };
    Ok(app.store.write(act).await?)
}

/// The password was wrong: the place counts too.
pub(super) async fn failed(app: &App, keys: Keys, now: Timestamp) -> Result<(), OAuthError> {
    let free = app.settings.limits.login_failures.saturating_mul(PLACE_FACTOR);
    app.store.write(move |conn| count(conn, &keys.place, free, PLACE_MEMORY, now)).await?;
    Ok(())
}

/// Seconds until a place may try again where nobody says who they are; `None` when it may now.
pub(super) async fn place_waits(
    app: &App,
    caller: &Caller,
    now: Timestamp,
) -> Result<Option<i64>, OAuthError> {
    let place = Keys::new(app, "", false, &caller.place()).place;
    Ok(app.store.read(move |conn| blocked(conn, &place, now)).await?)
}

/// Such a try failed.
pub(super) async fn place_failed(app: &App, caller: &Caller, now: Timestamp) -> Result<(), OAuthError> {
    failed(app, Keys::new(app, "", false, &caller.place()), now).await
}

/// The password was right: the account begins anew. The place does not: an attacker may have an account too (S-T11).
pub(super) fn forgive(conn: &mut Conn, keys: &Keys) -> Result<(), StoreError> {
    throttles::clear(conn, &keys.account)?;
    Ok(())
}

/// Seconds until a key is free again; `None` when it is.
fn blocked(conn: &mut Conn, key: &Fingerprint, now: Timestamp) -> Result<Option<i64>, StoreError> {
    let blocked = throttles::find(conn, key, now)?.filter(|t| now < t.blocked_until);
    Ok(blocked.map(|t| t.blocked_until.since(now)))
}

/// Counts one more under a key that is free, and blocks it when it is too many; whether it was free.
fn count(
    conn: &mut Conn,
    key: &Fingerprint,
    free: u32,
    memory: i64,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let Some(counted) = throttles::fail(conn, key, now, memory)? else { return Ok(false) };
    let wait = wait_after(counted.failures, free);
    if wait > 0 {
        throttles::block(conn, key, now.plus(wait))?;
    }
    Ok(true)
}
