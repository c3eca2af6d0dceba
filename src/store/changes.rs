//! The change feed: a row for every write that touches what servers keep in memory, in the same transaction, so that every server and
//! the command line beside it agree within a second.
//!
//! The order of numbers is the order of commits: SQLite has one writer, and on PostgreSQL a writer of the feed holds an advisory lock until
//! its commit. Otherwise a reader could see number 8, remember it, and never see number 7 that committed later.

use diesel::prelude::*;

use super::conn::Conn;
use super::error::StoreError;
use super::meta;
use super::schema::changes;
use crate::base::time::Timestamp;

/// The advisory lock of the feed's writers; any number that nobody else uses.
const FEED_LOCK: i64 = 0x0063_6e78_6665_6564;
/// The fact that says up to which number rows were swept away.
const SWEPT: &str = "changes.swept";
/// How many changes one reading gives.
const PAGE: i64 = 500;

/// What a change is about. Never change a word: rows carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// A client; the subject is its `client_id`.
    Client,
    /// A person; the subject is the user's id.
    User,
    /// The signing keys; the subject is a `kid`.
    SigningKey,
    /// A service account, its keys or its trust rules; the subject is its id.
    ServiceAccount,
    /// An API key; the subject is its public id.
    ApiKey,
    /// What an organization pays for; the subject is its id.
    Organization,
}

impl ChangeKind {
    const ALL: [Self; 6] =
        [Self::Client, Self::User, Self::SigningKey, Self::ServiceAccount, Self::ApiKey, Self::Organization];

    const fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::User => "user",
            Self::SigningKey => "signing_key",
            Self::ServiceAccount => "service_account",
            Self::ApiKey => "api_key",
            Self::Organization => "organization",
        }
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its number; later changes have larger ones.
    pub seq: i64,
    /// What kind of thing changed.
    pub kind: ChangeKind,
    /// Which one.
    pub subject: String,
    /// When.
    pub at: Timestamp,
}

/// What happened since a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// The changes, oldest first; at most 500, then ask again.
    pub changes: Vec<Change>,
    /// The number to ask from next time.
    pub position: i64,
    /// Older changes than these were swept before they were read, or are of a kind that this release does not know: load everything anew.
    pub gap: bool,
}

/// Records a change in the transaction that makes it.
pub fn record(conn: &mut Conn, kind: ChangeKind, subject: &str, now: Timestamp) -> Result<(), StoreError> {
    stand_in_line(conn)?;
    diesel::insert_into(changes::table)
        .values((changes::kind.eq(kind.word()), changes::subject.eq(subject), changes::at.eq(now.as_secs())))
        .execute(conn)?;
    Ok(())
}

/// Waits until nobody else writes what must be in the order of commits, the feed and the audit log; until the end of the transaction.
pub(super) fn stand_in_line(conn: &mut Conn) -> Result<(), StoreError> {
    if let Conn::Postgres(c) = conn {
        diesel::sql_query("SELECT pg_advisory_xact_lock($1)")
            .bind::<diesel::sql_types::BigInt, _>(FEED_LOCK)
            .execute(c)?;
    }
    Ok(())
}

/// The changes after `position`.
pub fn since(conn: &mut Conn, position: i64) -> Result<Feed, StoreError> {
    let rows = changes::table
        .filter(changes::seq.gt(position))
        .order(changes::seq)
        .limit(PAGE)
        .select((changes::seq, changes::kind, changes::subject, changes::at))
        .load::<(i64, String, String, i64)>(conn)?;
    let mut feed = Feed { changes: Vec::with_capacity(rows.len()), position, gap: false };
    for (seq, word, subject, at) in rows {
        feed.position = seq;
        match ChangeKind::ALL.into_iter().find(|k| k.word() == word) {
            Some(kind) => feed.changes.push(Change { seq, kind, subject, at: Timestamp::from_secs(at) }),
            None => feed.gap = true,
        }
    }
    let swept = swept(conn)?;
    if swept > position {
        feed.gap = true;
        feed.position = feed.position.max(swept);
    }
    Ok(feed)
}

/// The number of the newest change. Read it before loading what is kept in memory, and follow the feed from it.
pub fn latest(conn: &mut Conn) -> Result<i64, StoreError> {
    let newest = changes::table.select(diesel::dsl::max(changes::seq)).first::<Option<i64>>(conn)?;
    Ok(newest.unwrap_or(0).max(swept(conn)?))
}

/// Deletes up to `limit` changes from before `before`, and remembers how far; how many.
pub(super) fn sweep(conn: &mut Conn, before: Timestamp, limit: i64) -> Result<usize, StoreError> {
    let old = changes::table
        .filter(changes::at.lt(before.as_secs()))
        .order(changes::seq)
        .limit(limit)
        .select(changes::seq)
        .load::<i64>(conn)?;
    let Some(last) = old.last() else { return Ok(0) };
    let rows = diesel::delete(changes::table.filter(changes::seq.le(*last))).execute(conn)?;
    if *last > swept(conn)? {
        meta::set(conn, SWEPT, &last.to_string())?;
    }
    Ok(rows)
}

fn swept(conn: &mut Conn) -> Result<i64, StoreError> {
    Ok(meta::find(conn, SWEPT)?.and_then(|text| text.parse().ok()).unwrap_or(0))
}
