//! The audit log: rows that are added in the transaction of the act that they tell of, never changed, and removed from the old end only.
//!
//! One row at a time is added, whoever adds it: SQLite has one writer, and on PostgreSQL the lock of the change feed is taken first.

use diesel::prelude::*;

use super::audit_chain::{Checker, End, Link, mac, read_end, write_end};
use super::changes;
use super::conn::{Conn, on_both};
use super::error::StoreError;
use super::meta;
use super::row::Rows;
use super::schema::audit_events;
use crate::base::seal::Vault;
use crate::base::time::Timestamp;

/// The act of the first event.
pub const BEGAN: &str = "audit.began";
/// The act that says that the log was found changed.
pub const BROKEN: &str = "audit.broken";
/// The act that says up to where old events were removed.
pub const PRUNED: &str = "audit.pruned";
/// Who does what nobody asked for.
pub const SYSTEM: &str = "system";

/// Whether it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was asked for, and refused.
    Refused,
}

impl Outcome {
    /// As rows and answers have it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }

    /// The outcome of that word.
    pub fn named(word: &str) -> Option<Self> {
        [Self::Done, Self::Refused].into_iter().find(|outcome| outcome.word() == word)
    }
}

/// What happened. Holds ids and words, never a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When; of several refusals in one row the last.
    pub at: Timestamp,
    /// What, such as `key.minted`.
    pub act: String,
    /// Who: `user:…`, `client:…`, `key:…`, `command_line:…`, `system`, `anybody`.
    pub actor: String,
    /// To what: `key:…`, `client:…`, `user:…`.
    pub subject: Option<String>,
    /// Whether it was done.
    pub outcome: Outcome,
    /// Why, in a word or as somebody typed it.
    pub reason: Option<String>,
    /// From where.
    pub address: Option<String>,
    /// The id of the request.
    pub request_id: Option<String>,
    /// What else there is to say: a JSON object.
    pub details: Option<String>,
    /// How often: refusals that are alike share a row.
    pub times: i64,
}

impl Entry {
    /// Something that a node did by itself.
    pub fn by_system(act: &str, details: Option<String>, now: Timestamp) -> Self {
        Self {
            at: now,
            act: act.to_owned(),
            actor: SYSTEM.to_owned(),
            subject: None,
            outcome: Outcome::Done,
            reason: None,
            address: None,
            request_id: None,
            details,
            times: 1,
        }
    }
}

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number; there are no gaps.
    pub seq: i64,
    /// What happened.
    pub entry: Entry,
    /// The keyed hash over it and the row before.
    pub mac: [u8; 32],
}

/// Which events are wanted.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of one of these acts; any when empty.
    pub acts: Vec<String>,
    /// By this actor.
    pub actor: Option<String>,
    /// About this subject.
    pub subject: Option<String>,
    /// Done or refused.
    pub outcome: Option<Outcome>,
    /// From this moment on.
    pub since: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
    /// Of this request.
    pub request_id: Option<String>,
    /// With a larger number than this.
    pub after: Option<i64>,
    /// With a smaller number than this.
    pub before: Option<i64>,
}

/// From which end events are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The newest first.
    Newest,
    /// The oldest first.
    Oldest,
}

type Row = (
    (i64, i64, String, String, Option<String>, String),
    (Option<String>, Option<String>, Option<String>, Option<String>, i64, Vec<u8>),
);

macro_rules! columns {
    () => {
        (
            (
                audit_events::seq,
                audit_events::at,
                audit_events::act,
                audit_events::actor,
                audit_events::subject,
                audit_events::outcome,
            ),
            (
                audit_events::reason,
                audit_events::address,
                audit_events::request_id,
                audit_events::details,
                audit_events::times,
                audit_events::mac,
            ),
        )
    };
}

fn event(row: Row) -> Event {
    let ((seq, at, act, actor, subject, outcome), (reason, address, request_id, details, times, mac)) = row;
    let outcome = Outcome::named(&outcome);
    // What we cannot have written fits no chain: it is told as a changed row, and is no fault of ours.
    let mac = mac.try_into().ok().filter(|_| outcome.is_some()).unwrap_or_default();
    Event {
        seq,
        entry: Entry {
            at: Timestamp::from_secs(at),
            act,
            actor,
            subject,
            outcome: outcome.unwrap_or(Outcome::Refused),
            reason,
            address,
            request_id,
            details,
            times,
        },
        mac,
    }
}

/// The fact that says that no event was written yet, since the table was made.
const BEGINS: &str = "audit.begins";

/// Begins the log of a new database; does nothing where it began before. A log that was emptied does not begin again: it is missed.
pub fn begin(conn: &mut Conn, vault: &Vault, now: Timestamp) -> Result<(), StoreError> {
    if meta::take(conn, BEGINS)? {
        append(conn, vault, &[Entry::by_system(BEGAN, None, now)])
    } else {
        Ok(())
    }
}

/// Adds events, in the transaction that they tell of. Call it last in a write: on PostgreSQL everybody else who has something to tell waits
/// from here to the commit.
pub fn append(conn: &mut Conn, vault: &Vault, entries: &[Entry]) -> Result<(), StoreError> {
    let Some(first) = entries.first() else { return Ok(()) };
    changes::stand_in_line(conn)?;
    let found = meta::find(conn, End::Head.fact())?;
    let mut head = match &found {
        Some(text) => read_end(vault, End::Head, text),
        None => Some(Link::default()).filter(|_| first.act == BEGAN),
    };
    let mut all = Vec::with_capacity(entries.len());
    // A row behind ours is nobody's, and in the way.
    let newest = last(conn)?;
    if newest.is_some_and(|newest| head.is_none_or(|head| newest.seq > head.seq)) {
        head = None;
    }
    if head.is_none() {
        // Nobody is turned away because somebody changed the log; that it was changed is told for ever.
        tracing::error!("the audit log was changed; run `cnx audit verify`");
        metrics::counter!("cnx_audit_broken_total").increment(1);
        head = newest;
        all.push(Entry::by_system(BROKEN, None, first.at));
    }
    all.extend_from_slice(entries);
    let mut link = head.unwrap_or_default();
    for entry in all {
        let seq =
            link.seq.checked_add(1).ok_or_else(|| StoreError::row("audit_events.seq has no successor"))?;
        let mut event = Event { seq, entry, mac: [0; 32] };
        event.mac = mac(vault, &link.mac, &event);
        link = Link { seq: event.seq, mac: event.mac };
        insert(conn, &event)?;
    }
    meta::set(conn, End::Head.fact(), &write_end(vault, End::Head, link))
}

fn insert(conn: &mut Conn, event: &Event) -> Result<(), StoreError> {
    let entry = &event.entry;
    diesel::insert_into(audit_events::table)
        .values((
            audit_events::seq.eq(event.seq),
            audit_events::at.eq(entry.at.as_secs()),
            audit_events::act.eq(&entry.act),
            audit_events::actor.eq(&entry.actor),
            audit_events::subject.eq(entry.subject.as_deref()),
            audit_events::outcome.eq(entry.outcome.word()),
            audit_events::reason.eq(entry.reason.as_deref()),
            audit_events::address.eq(entry.address.as_deref()),
            audit_events::request_id.eq(entry.request_id.as_deref()),
            audit_events::details.eq(entry.details.as_deref()),
            audit_events::times.eq(entry.times),
            audit_events::mac.eq(event.mac.to_vec()),
        ))
        .execute(conn)?;
    Ok(())
}

/// The number of the oldest row, whoever wrote it.
pub(super) fn first(conn: &mut Conn) -> Result<Option<i64>, StoreError> {
    Ok(audit_events::table.select(diesel::dsl::min(audit_events::seq)).get_result(conn)?)
}

/// The newest row, whoever wrote it.
pub(super) fn last(conn: &mut Conn) -> Result<Option<Link>, StoreError> {
    let row = audit_events::table
        .order(audit_events::seq.desc())
        .limit(1)
        .select((audit_events::seq, audit_events::mac))
        .get_result::<(i64, Vec<u8>)>(conn)
        .optional()?;
    Ok(row.map(|(seq, mac)| Link { seq, mac: mac.try_into().unwrap_or_default() }))
}

/// At most `limit` events.
pub fn page(conn: &mut Conn, filter: &Filter, from: From, limit: i64) -> Result<Vec<Event>, StoreError> {
    let rows: Rows<Row> = on_both!(conn, c => {
        let mut query = audit_events::table.select(columns!()).limit(limit).into_boxed();
        if !filter.acts.is_empty() {
            query = query.filter(audit_events::act.eq_any(&filter.acts));
        }
        if let Some(actor) = &filter.actor {
            query = query.filter(audit_events::actor.eq(actor));
        }
        if let Some(subject) = &filter.subject {
            query = query.filter(audit_events::subject.eq(subject));
        }
        if let Some(outcome) = filter.outcome {
            query = query.filter(audit_events::outcome.eq(outcome.word()));
        }
        if let Some(id) = &filter.request_id {
            query = query.filter(audit_events::request_id.eq(id));
        }
        if let Some(since) = filter.since {
            query = query.filter(audit_events::at.ge(since.as_secs()));
        }
        if let Some(until) = filter.until {
            query = query.filter(audit_events::at.lt(until.as_secs()));
        }
        if let Some(after) = filter.after {
            query = query.filter(audit_events::seq.gt(after));
        }
        if let Some(before) = filter.before {
            query = query.filter(audit_events::seq.lt(before));
        }
        let query = match from {
            From::Newest => query.order(audit_events::seq.desc()),
            From::Oldest => query.order(audit_events::seq.asc()),
        };
        query.load::<Row>(c)
    });
    Ok(rows?.into_iter().map(event).collect())
}

/// What came of removing old events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pruned {
    /// So many were removed.
    Rows(usize),
    /// None was: the oldest events are not as they were written, and what removes them would hide that.
    Changed,
}

/// Removes up to `limit` events from before `before`, the oldest first, and writes down where the log begins now.
pub fn prune(conn: &mut Conn, vault: &Vault, before: Timestamp, limit: i64) -> Result<Pruned, StoreError> {
    changes::stand_in_line(conn)?;
    let Ok(tail) = end(conn, vault, End::Tail)? else { return Ok(Pruned::Changed) };
    let mut checker = Checker::new(vault.clone(), tail, None);
    let oldest = page(conn, &Filter::default(), From::Oldest, limit)?;
    // By number and not by time: a clock that was set back must not tear a hole.
    for event in oldest.iter().take_while(|event| event.entry.at < before) {
        checker.next(event);
    }
    // One whose own time was set forward would keep the rest for ever, unseen.
    let is_first = oldest.first().is_none_or(|event| event.seq == tail.seq + 1);
    if !is_first || !checker.is_sound() {
        return Ok(Pruned::Changed);
    }
    let link = checker.last();
    if link.seq == tail.seq {
        return Ok(Pruned::Rows(0));
    }
    meta::set(conn, End::Tail.fact(), &write_end(vault, End::Tail, link))?;
    Ok(Pruned::Rows(
        diesel::delete(audit_events::table.filter(audit_events::seq.le(link.seq))).execute(conn)?,
    ))
}

/// An end of the chain; `Err` of what is wrong with it.
pub(super) fn end(
    conn: &mut Conn,
    vault: &Vault,
    end: End,
) -> Result<Result<Link, &'static str>, StoreError> {
    Ok(match (meta::find(conn, end.fact())?, end) {
        (Some(text), End::Head) => read_end(vault, end, &text).ok_or("newest event"),
        (Some(text), End::Tail) => read_end(vault, end, &text).ok_or("oldest event"),
        (None, End::Head) => Err("newest event"),
        // Nothing was removed yet.
        (None, End::Tail) => Ok(Link::default()),
    })
}

/// The newest event, when the log is sound there.
pub fn head(conn: &mut Conn, vault: &Vault) -> Result<Option<Link>, StoreError> {
    Ok(end(conn, vault, End::Head)?.ok())
}
