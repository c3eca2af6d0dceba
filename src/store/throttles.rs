//! Failures that are counted durably: sign-ins per account and address. The key is a keyed hash, so that no name lies in a row.
//!
//! When to block and for how long is decided above; here failures are counted without losing one.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary};

use super::conn::Conn;
use super::error::StoreError;
use super::schema::throttles;
use crate::base::secret::Fingerprint;
use crate::base::time::Timestamp;

/// What is known of failures under one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttle {
    /// How many, since the first.
    pub failures: i32,
    /// When the first was.
    pub first_failed_at: Timestamp,
    /// When the last was.
    pub last_failed_at: Timestamp,
    /// Until when nothing is tried; 0 when nothing blocks.
    pub blocked_until: Timestamp,
    /// When all this is forgotten.
    pub expires_at: Timestamp,
}

/// What is known under `key`; `None` when nothing is, or when it is to be forgotten.
pub fn find(conn: &mut Conn, key: &Fingerprint, now: Timestamp) -> Result<Option<Throttle>, StoreError> {
    let row = throttles::table
        .find(key.as_bytes().as_slice())
        .filter(throttles::expires_at.gt(now.as_secs()))
        .select((
            throttles::failures,
            throttles::first_failed_at,
            throttles::last_failed_at,
            throttles::blocked_until,
            throttles::expires_at,
        ))
        .get_result::<(i32, i64, i64, i64, i64)>(conn)
        .optional()?;
    Ok(row.map(|(failures, first, last, blocked, expires)| Throttle {
        failures,
        first_failed_at: Timestamp::from_secs(first),
        last_failed_at: Timestamp::from_secs(last),
        blocked_until: Timestamp::from_secs(blocked),
        expires_at: Timestamp::from_secs(expires),
    }))
}

/// Counts a failure, from one again when the last are to be forgotten; gives the count. It is remembered for `remember` seconds more.
/// `None`, and nothing is counted, while `key` is blocked: whoever found it free a moment ago learns here that another was quicker.
pub fn fail(
    conn: &mut Conn,
    key: &Fingerprint,
    now: Timestamp,
    remember: i64,
) -> Result<Option<Throttle>, StoreError> {
    // One statement, so that failures at the same moment on several servers all count. Both databases read this text alike. What is not
    // blocked is so since ever: the next one may come with the clock of a server that is behind, or have waited, and would count as too many.
    let counted = diesel::sql_query(
        "INSERT INTO throttles (key, failures, first_failed_at, last_failed_at, blocked_until, expires_at) \
         VALUES ($1, 1, $2, $2, 0, $3) ON CONFLICT (key) DO UPDATE SET \
         failures = CASE WHEN throttles.expires_at <= excluded.last_failed_at THEN 1 \
             WHEN throttles.failures < 1000000 THEN throttles.failures + 1 ELSE throttles.failures END, \
         first_failed_at = CASE WHEN throttles.expires_at <= excluded.last_failed_at \
             THEN excluded.first_failed_at ELSE throttles.first_failed_at END, \
         last_failed_at = excluded.last_failed_at, \
         blocked_until = CASE WHEN throttles.blocked_until > excluded.last_failed_at \
             THEN throttles.blocked_until ELSE 0 END, \
         expires_at = CASE WHEN throttles.blocked_until > excluded.expires_at \
             THEN throttles.blocked_until ELSE excluded.expires_at END \
         WHERE throttles.blocked_until <= excluded.last_failed_at",
    )
    .bind::<Binary, _>(key.as_bytes().as_slice())
    .bind::<BigInt, _>(now.as_secs())
    .bind::<BigInt, _>(now.plus(remember.max(1)).as_secs())
    .execute(conn)?;
    if counted == 0 {
        return Ok(None);
    }
    find(conn, key, now)?.map(Some).ok_or_else(|| StoreError::row("a failure that was just counted is gone"))
}

/// Blocks `key` until `until`, if it is known; an earlier block that lasts longer stays. Whether it is known.
pub fn block(conn: &mut Conn, key: &Fingerprint, until: Timestamp) -> Result<bool, StoreError> {
    let key = key.as_bytes().as_slice();
    let row = throttles::table.find(key).filter(throttles::blocked_until.lt(until.as_secs()));
    diesel::update(row).set(throttles::blocked_until.eq(until.as_secs())).execute(conn)?;
    // What blocks must not be forgotten before it ends.
    let row = throttles::table.find(key).filter(throttles::expires_at.lt(until.as_secs()));
    diesel::update(row).set(throttles::expires_at.eq(until.as_secs())).execute(conn)?;
    Ok(throttles::table.find(key).select(throttles::failures).get_result::<i32>(conn).optional()?.is_some())
}

/// Forgets `key`, after a success; whether it was known.
pub fn clear(conn: &mut Conn, key: &Fingerprint) -> Result<bool, StoreError> {
    Ok(diesel::delete(throttles::table.find(key.as_bytes().as_slice())).execute(conn)? == 1)
}
