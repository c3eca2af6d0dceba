//! A look at the whole audit log: whether every row is there, as it was written.

use super::audit::{Filter, From, end, first, last, page};
use super::audit_chain::{Checker, End, Finding, Link, Report};
use super::conn::Conn;
use super::error::StoreError;
use crate::base::seal::Vault;

/// Rows that are looked at in one go.
const PAGE: i64 = 5_000;

/// A look at the whole log, a page at a time: `step` until it gives the report. Nobody waits for it, and events may be added and removed
/// meanwhile.
#[derive(Clone)]
pub struct Look {
    vault: Vault,
    checker: Checker,
    head: Link,
}

impl Look {
    /// Begins; `noted` is a link that somebody kept elsewhere.
    pub fn begin(conn: &mut Conn, vault: &Vault, noted: Option<Link>) -> Result<Self, StoreError> {
        let tail = end(conn, vault, End::Tail)?;
        let head = end(conn, vault, End::Head)?;
        let newest = last(conn)?.unwrap_or_default();
        let mut checker = Checker::new(vault.clone(), tail.unwrap_or_default(), noted);
        for finding in [tail.err(), head.err()].into_iter().flatten() {
            checker.find(Finding::End(finding));
        }
        // The looking begins behind the tail; nothing may stand before it.
        let oldest = first(conn)?;
        if let Some(oldest) = oldest.filter(|oldest| *oldest <= checker.last().seq) {
            checker.find(Finding::Foreign(oldest, checker.last().seq));
        }
        // Without a head of ours the newest row has to do.
        Ok(Self { vault: vault.clone(), checker, head: head.unwrap_or(newest) })
    }

    /// Looks at the next page; whether there may be more.
    pub fn step(mut self, conn: &mut Conn) -> Result<(bool, Self), StoreError> {
        let after = self.checker.last().seq;
        let filter = Filter { after: Some(after), before: Some(self.head.seq + 1), ..Filter::default() };
        let events = page(conn, &filter, From::Oldest, PAGE)?;
        let is_next = match events.first() {
            Some(event) => event.seq == after + 1,
            None => after >= self.head.seq,
        };
        if !is_next
            && let Ok(tail) = end(conn, &self.vault, End::Tail)?
            && tail.seq > after
        {
            // What was to be looked at next was removed by rule meanwhile: on from where the log begins now.
            self.checker.skip_to(tail);
            return Ok((true, self));
        }
        for event in &events {
            self.checker.next(event);
        }
        Ok((i64::try_from(events.len()).is_ok_and(|count| count == PAGE), self))
    }

    /// The report, when no page is left.
    pub fn end(mut self, conn: &mut Conn) -> Result<Report, StoreError> {
        // The newest row first, and the head after it: then a row beyond the head is not one that was added meanwhile.
        let newest = last(conn)?.unwrap_or_default();
        if let Ok(head) = end(conn, &self.vault, End::Head)?
            && newest.seq > head.seq
        {
            self.checker.find(Finding::Foreign(head.seq + 1, newest.seq));
        }
        Ok(self.checker.end(self.head))
    }
}

/// How the newest events look.
#[derive(Clone, Debug)]
pub struct Glance {
    /// The newest event: worth noting elsewhere.
    pub head: Link,
    /// The number of the oldest one that is kept.
    pub first: Option<i64>,
    /// How many of the newest were looked at.
    pub checked: u64,
    /// What is wrong with them.
    pub findings: Vec<Finding>,
}

impl Glance {
    /// Looks at the newest `most` events, 5,000 at most.
    pub fn of(conn: &mut Conn, vault: &Vault, most: i64) -> Result<Self, StoreError> {
        let mut look = Look::begin(conn, vault, None)?;
        let before = look.head.seq - most.min(PAGE);
        if before > look.checker.last().seq {
            let filter = Filter { after: Some(before - 1), before: Some(before + 1), ..Filter::default() };
            let link = page(conn, &filter, From::Oldest, 1)?.pop();
            let link = link.map_or(Link { seq: before, ..Link::default() }, |event| Link {
                seq: event.seq,
                mac: event.mac,
            });
            look.checker.skip_to(link);
        }
        let report = look.step(conn)?.1.end(conn)?;
        Ok(Self { head: report.head, first: first(conn)?, checked: report.events, findings: report.findings })
    }
}
