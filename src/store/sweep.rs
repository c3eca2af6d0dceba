//! Removes rows whose time is over, a few at a time and by index, so that nobody waits for it (F26).
//!
//! What protects against replay outlives what it protects: spent ids until their own `expires_at` by every clock, families a week after their end, so
//! that an old refresh token is still recognised as one; changes for an hour, so that a server that slept can catch up.

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::changes;
use super::conn::{Conn, on_both};
use super::error::StoreError;
use crate::base::time::{CLOCKS_APART, Timestamp};

/// How long a family is remembered after it expired or was revoked, in seconds.
pub const FAMILY_MEMORY: i64 = 7 * 86_400;
/// How long changes are kept, in seconds.
pub const CHANGE_MEMORY: i64 = 3_600;
/// How long it is kept why a request was refused, in seconds.
pub const REFUSED_MEMORY: i64 = 86_400;
/// How many rows of a table one batch removes at most: a few milliseconds of work.
pub const BATCH: i64 = 200;

/// A table, its key, when its rows are over, and how many seconds longer they are kept.
struct Rule {
    table: &'static str,
    key: &'static str,
    over: &'static str,
    memory: i64,
}

/// How long it is kept who asked how often, in seconds.
pub const USAGE_MEMORY: i64 = 90 * 86_400;

const RULES: [Rule; 10] = [
    // A node whose clock is behind ours still takes what is over by our clock (F11).
    Rule { table: "spent", key: "kind, id", over: "expires_at", memory: CLOCKS_APART },
    Rule { table: "one_time_links", key: "fingerprint", over: "expires_at", memory: 0 },
    Rule { table: "sessions", key: "id", over: "expires_at", memory: 0 },
    Rule { table: "throttles", key: "key", over: "expires_at", memory: 0 },
    Rule { table: "client_secrets", key: "fingerprint", over: "expires_at", memory: 0 },
    // For a while it is told apart what never was and what was replaced.
    Rule { table: "api_key_secrets", key: "fingerprint", over: "expires_at", memory: FAMILY_MEMORY },
    Rule { table: "families", key: "id", over: "expires_at", memory: FAMILY_MEMORY },
    Rule { table: "families", key: "id", over: "revoked_at", memory: FAMILY_MEMORY },
    Rule { table: "usage_counts", key: "subject, hour, class, outcome", over: "hour", memory: USAGE_MEMORY },
    Rule { table: "refused_requests", key: "request_id", over: "at", memory: REFUSED_MEMORY },
];

/// Removes one batch from every table; how many rows. Call it again, after a pause, until it removes none.
pub fn batch(conn: &mut Conn, now: Timestamp) -> Result<usize, StoreError> {
    let mut rows = changes::sweep(conn, now.minus(CHANGE_MEMORY), BATCH)?;
    // Servers that sweep at the same moment take different rows instead of waiting for each other.
    let skip = if matches!(conn, Conn::Postgres(_)) { " FOR UPDATE SKIP LOCKED" } else { "" };
    for Rule { table, key, over, memory } in RULES {
        let text = format!(
            "DELETE FROM {table} WHERE ({key}) IN \
             (SELECT {key} FROM {table} WHERE {over} <= $1 ORDER BY {over} LIMIT $2{skip})"
        );
        let query =
            diesel::sql_query(text).bind::<BigInt, _>(now.minus(memory).as_secs()).bind::<BigInt, _>(BATCH);
        rows += on_both!(conn, c => query.execute(c))?;
    }
    Ok(rows)
}
