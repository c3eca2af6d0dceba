//! How many requests an hour: of each key and app, and of all keys and all apps together, by class and outcome. Nodes only ever add, so that
//! any number of them count into one row.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel::upsert::excluded;

use super::conn::{Conn, on_both};
use super::error::StoreError;
use super::schema::usage_counts;
use crate::base::time::Timestamp;

/// An hour, in seconds.
pub const HOUR: i64 = 3600;

/// Requests of one hour that are alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count {
    /// Whose: `key:ID`, `client:ID`, or `keys` and `clients` for all of them.
    pub subject: String,
    /// When the hour began.
    pub hour: Timestamp,
    /// Which kind of request: `read`, `write`, `token`, …
    pub class: String,
    /// What became of them: `allowed`, `rate_limited`, …
    pub outcome: String,
    /// How many.
    pub requests: i64,
}

/// The hour that a moment lies in, by when it began.
pub const fn hour_of(at: Timestamp) -> Timestamp {
    at.minus(at.as_secs().rem_euclid(HOUR))
}

/// Adds counts to what is there. Let them be sorted, so that two nodes that write at the same moment do not wait for each other.
pub fn add(conn: &mut Conn, counts: &[Count]) -> Result<(), StoreError> {
    if counts.is_empty() {
        return Ok(());
    }
    let row = |count: &Count| {
        (
            usage_counts::subject.eq(count.subject.clone()),
            usage_counts::hour.eq(count.hour.as_secs()),
            usage_counts::class.eq(count.class.clone()),
            usage_counts::outcome.eq(count.outcome.clone()),
            usage_counts::requests.eq(count.requests),
        )
    };
    let key = (usage_counts::subject, usage_counts::hour, usage_counts::class, usage_counts::outcome);
    let more = usage_counts::requests.eq(usage_counts::requests + excluded(usage_counts::requests));
    match conn {
        Conn::Postgres(c) => {
            let rows: Vec<_> = counts.iter().map(row).collect();
            diesel::insert_into(usage_counts::table)
                .values(rows)
                .on_conflict(key)
                .do_update()
                .set(more)
                .execute(c)?;
        }
        Conn::Sqlite(c) => {
            for count in counts {
                diesel::insert_into(usage_counts::table)
                    .values(row(count))
                    .on_conflict(key)
                    .do_update()
                    .set(more)
                    .execute(c)?;
            }
        }
    }
    Ok(())
}

/// The counts of some subjects together, from `from` on, by hour, class and outcome; `subject` is empty.
pub fn together(conn: &mut Conn, subjects: &[String], from: Timestamp) -> Result<Vec<Count>, StoreError> {
    let rows = on_both!(conn, c => usage_counts::table
        .filter(usage_counts::subject.eq_any(subjects))
        .filter(usage_counts::hour.ge(from.as_secs()))
        .group_by((usage_counts::hour, usage_counts::class, usage_counts::outcome))
        .select((
            usage_counts::hour,
            usage_counts::class,
            usage_counts::outcome,
            sql::<BigInt>("CAST(SUM(requests) AS BIGINT)"),
        ))
        .load::<(i64, String, String, i64)>(c))?;
    let count = |(hour, class, outcome, requests)| Count {
        subject: String::new(),
        hour: Timestamp::from_secs(hour),
        class,
        outcome,
        requests,
    };
    Ok(rows.into_iter().map(count).collect())
}

/// How many requests each of some subjects made in each hour from `from` on, whatever became of them.
pub fn by_hour(
    conn: &mut Conn,
    subjects: &[String],
    from: Timestamp,
) -> Result<Vec<(String, Timestamp, i64)>, StoreError> {
    let rows = on_both!(conn, c => usage_counts::table
        .filter(usage_counts::subject.eq_any(subjects))
        .filter(usage_counts::hour.ge(from.as_secs()))
        .group_by((usage_counts::subject, usage_counts::hour))
        .select((
            usage_counts::subject,
            usage_counts::hour,
            sql::<BigInt>("CAST(SUM(requests) AS BIGINT)"),
        ))
        .load::<(String, i64, i64)>(c))?;
    Ok(rows.into_iter().map(|(subject, hour, sum)| (subject, Timestamp::from_secs(hour), sum)).collect())
}
