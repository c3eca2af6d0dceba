//! Requests that were refused lately, each by its id: what the answer did not tell. Kept for a day.

use diesel::prelude::*;

use super::audit::{Entry, Outcome};
use super::conn::{Conn, on_both};
use super::error::StoreError;
use super::schema::refused_requests;
use crate::base::time::Timestamp;

type Row = (String, i64, String, Option<String>, String, Option<String>, Option<String>, Option<String>);

/// Writes why requests were refused; of two with one id the first stays. Those without an id are passed over.
pub fn insert(conn: &mut Conn, entries: &[Entry]) -> Result<(), StoreError> {
    for entry in entries {
        let Some(id) = entry.request_id.as_deref() else { continue };
        let row = (
            refused_requests::request_id.eq(id),
            refused_requests::at.eq(entry.at.as_secs()),
            refused_requests::act.eq(&entry.act),
            refused_requests::reason.eq(entry.reason.as_deref()),
            refused_requests::actor.eq(&entry.actor),
            refused_requests::subject.eq(entry.subject.as_deref()),
            refused_requests::address.eq(entry.address.as_deref()),
            refused_requests::details.eq(entry.details.as_deref()),
        );
        on_both!(conn, c => diesel::insert_into(refused_requests::table)
            .values(row)
            .on_conflict_do_nothing()
            .execute(c))?;
    }
    Ok(())
}

/// Why the request of an id was refused.
pub fn find(conn: &mut Conn, id: &str) -> Result<Option<Entry>, StoreError> {
    let row = refused_requests::table
        .find(id)
        .select(refused_requests::all_columns)
        .get_result::<Row>(conn)
        .optional()?;
    Ok(row.map(|(request_id, at, act, reason, actor, subject, address, details)| Entry {
        at: Timestamp::from_secs(at),
        act,
        actor,
        subject,
        outcome: Outcome::Refused,
        reason,
        address,
        request_id: Some(request_id),
        details,
        times: 1,
    }))
}
