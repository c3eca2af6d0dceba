//! Mail on its way: what an act has to tell somebody is put here in the act's own transaction, and leaves when it can.
//!
//! Any number of nodes deliver. Who takes a mail puts its next try off, so that nobody else takes it meanwhile; who took it and
//! ended has lost nothing.

use diesel::prelude::*;

use super::conn::{Conn, on_both};
use super::error::StoreError;
use super::row::must;
use super::schema::mails;
use crate::base::id::MailId;
use crate::base::time::Timestamp;

/// A mail that somebody took to deliver it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its id.
    pub id: MailId,
    /// Whom it is for and what it says, sealed.
    pub sealed: Vec<u8>,
    /// When it was put here.
    pub created_at: Timestamp,
    /// Which try this is; the first is 1.
    pub attempt: i32,
}

/// Puts a mail here; it is due at once.
pub fn insert(conn: &mut Conn, id: MailId, sealed: &[u8], now: Timestamp) -> Result<(), StoreError> {
    diesel::insert_into(mails::table)
        .values((
            mails::id.eq(id.to_vec()),
            mails::sealed.eq(sealed),
            mails::created_at.eq(now.as_secs()),
            mails::attempts.eq(0),
            mails::next_try_at.eq(now.as_secs()),
        ))
        .execute(conn)?;
    Ok(())
}

/// Whether any is due: looks, and holds nobody up.
pub fn any_due(conn: &mut Conn, now: Timestamp) -> Result<bool, StoreError> {
    let due = mails::table.filter(mails::next_try_at.le(now.as_secs())).select(mails::next_try_at).limit(1);
    Ok(due.get_result::<i64>(conn).optional()?.is_some())
}

/// Takes up to `limit` that are due, the longest due first; until `until` nobody else takes them.
pub fn take(conn: &mut Conn, now: Timestamp, until: Timestamp, limit: i64) -> Result<Vec<Taken>, StoreError> {
    let due = mails::table
        .filter(mails::next_try_at.le(now.as_secs()))
        .order(mails::next_try_at)
        .limit(limit)
        .select((mails::id, mails::sealed, mails::created_at, mails::attempts));
    // Nodes that take at the same moment take different ones. SQLite has one writer.
    let rows = match conn {
        Conn::Postgres(c) => due.for_update().skip_locked().load::<(Vec<u8>, Vec<u8>, i64, i32)>(c)?,
        Conn::Sqlite(c) => due.load::<(Vec<u8>, Vec<u8>, i64, i32)>(c)?,
    };
    let mut taken = Vec::with_capacity(rows.len());
    for (id, sealed, created_at, attempts) in rows {
        let attempt = attempts.saturating_add(1);
        diesel::update(mails::table.find(id.clone()))
            .set((mails::attempts.eq(attempt), mails::next_try_at.eq(until.as_secs())))
            .execute(conn)?;
        taken.push(Taken {
            id: must(MailId::from_slice(&id), "mails.id has not 16 bytes")?,
            sealed,
            created_at: Timestamp::from_secs(created_at),
            attempt,
        });
    }
    Ok(taken)
}

/// Puts a mail off to `at`, if it is still in the hands of who tried it for the `attempt`th time; whether it was.
pub fn put_off(conn: &mut Conn, id: MailId, attempt: i32, at: Timestamp) -> Result<bool, StoreError> {
    let row = mails::table.find(id.to_vec()).filter(mails::attempts.eq(attempt));
    Ok(on_both!(conn, c => diesel::update(row).set(mails::next_try_at.eq(at.as_secs())).execute(c))? == 1)
}

/// Removes a mail that was delivered, or given up; whether it was there.
pub fn remove(conn: &mut Conn, id: MailId) -> Result<bool, StoreError> {
    Ok(diesel::delete(mails::table.find(id.to_vec())).execute(conn)? == 1)
}
