//! The chain of the audit log, without the database: what a link is, how a row hangs on the one before it, and what a look at all of
//! them finds.
//!
//! A row's hash is keyed: who can write to the database and has not the master key can make none. It covers the hash of the row before, the
//! row's number and every column, each with its length, so that a row that is changed, removed, brought in or moved does not fit. That the
//! newest rows are all there is what the head says, and where the oldest begins is what the tail says; both are keyed as well, so that
//! neither can be set to another row.

use super::audit::Event;
use crate::base::encoding::{base64url, from_base64url};
use crate::base::seal::{MacPurpose, Vault};

/// Findings that are told; of a log that was written over from end to end nobody wants to read each row.
const MOST_FINDINGS: usize = 100;

/// A row's place in the chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// The row's number; 0 before the first.
    pub seq: i64,
    /// Its keyed hash.
    pub mac: [u8; 32],
}

impl std::fmt::Display for Link {
    /// `SEQ:HASH`, to be kept elsewhere and compared later.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.seq, base64url(&self.mac))
    }
}

impl std::str::FromStr for Link {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (seq, mac) = text.split_once(':')?;
            let seq = seq.parse().ok().filter(|seq| *seq >= 0)?;
            Some(Self { seq, mac: from_base64url(mac)?.try_into().ok()? })
        };
        read().ok_or("SEQ:HASH is needed, as `cnx audit verify` prints it")
    }
}

/// Which end of the chain a sealed link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The newest row.
    Head,
    /// The row before the oldest.
    Tail,
}

impl End {
    /// Under which name it stands in `meta`.
    pub(super) const fn fact(self) -> &'static str {
        match self {
            Self::Head => "audit.head",
            Self::Tail => "audit.tail",
        }
    }
}

fn seal(vault: &Vault, end: End, link: Link) -> [u8; 32] {
    vault.mac(MacPurpose::Audit, &[end.fact().as_bytes(), &link.seq.to_be_bytes(), &link.mac])
}

/// An end of the chain as `meta` keeps it.
pub(super) fn write_end(vault: &Vault, end: End, link: Link) -> String {
    format!("{link}:{}", base64url(&seal(vault, end, link)))
}

/// An end of the chain, when we wrote it.
pub(super) fn read_end(vault: &Vault, end: End, text: &str) -> Option<Link> {
    let (link, mac) = text.rsplit_once(':')?;
    let link: Link = link.parse().ok()?;
    // Not a secret that is guessed: who can try this can read the row.
    (from_base64url(mac)? == seal(vault, end, link)).then_some(link)
}

/// The keyed hash of a row that follows `before`.
pub(super) fn mac(vault: &Vault, before: &[u8; 32], event: &Event) -> [u8; 32] {
    let entry = &event.entry;
    // "Nothing" and "empty" are different columns, so they must be different bytes.
    let there = |text: &Option<String>| u8::from(text.is_some());
    let columns = [&entry.subject, &entry.reason, &entry.address, &entry.request_id, &entry.details];
    let present: Vec<u8> = columns.iter().map(|text| there(text)).collect();
    let [subject, reason, address, request_id, details] =
        columns.map(|text| text.as_deref().unwrap_or_default().as_bytes());
    vault.mac(
        MacPurpose::Audit,
        &[
            b"event",
            before,
            &event.seq.to_be_bytes(),
            &entry.at.as_secs().to_be_bytes(),
            entry.act.as_bytes(),
            entry.actor.as_bytes(),
            entry.outcome.word().as_bytes(),
            &present,
            subject,
            reason,
            address,
            request_id,
            details,
            &entry.times.to_be_bytes(),
        ],
    )
}

/// What is wrong with the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A row is not as it was written, or stands in another's place.
    Changed(i64),
    /// These rows are gone, the first and the last of them.
    Missing(i64, i64),
    /// Rows with these numbers were brought in behind the newest that we wrote.
    Foreign(i64, i64),
    /// The record of the newest row, or of the oldest, was changed or removed.
    End(&'static str),
    /// A break that a node found when it wrote, and wrote down: where.
    Broken(i64),
    /// The row that somebody noted elsewhere is not in the log as it was.
    NotAsNoted(Link),
    /// The row that somebody noted elsewhere was removed by rule, so that nobody can say how it was.
    TooOld(Link),
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Changed(seq) => write!(f, "event {seq} is not as it was written"),
            Self::Missing(from, to) if from == to => write!(f, "event {from} is gone"),
            Self::Missing(from, to) => write!(f, "events {from} to {to} are gone"),
            Self::Foreign(from, to) if from == to => write!(f, "event {from} was not written by a server"),
            Self::Foreign(from, to) => write!(f, "events {from} to {to} were not written by a server"),
            Self::End(name) => write!(f, "the record of the log's {name} was changed or removed"),
            Self::Broken(seq) => {
                write!(f, "event {seq}: a server found the log changed when it wrote, and went on from there")
            }
            Self::NotAsNoted(link) => write!(f, "event {} is not the one that was noted", link.seq),
            Self::TooOld(link) => {
                write!(f, "event {} was removed by rule; it cannot be compared with what was noted", link.seq)
            }
        }
    }
}

/// Looks at every row in turn.
#[derive(Clone)]
pub struct Checker {
    vault: Vault,
    last: Link,
    noted: Option<Link>,
    seen: u64,
    findings: Vec<Finding>,
    untold: u64,
}

impl Checker {
    /// Begins behind `tail`; `noted` is a row that somebody kept elsewhere.
    pub(super) fn new(vault: Vault, tail: Link, noted: Option<Link>) -> Self {
        let mut checker = Self { vault, last: tail, noted, seen: 0, findings: Vec::new(), untold: 0 };
        checker.compare_with_tail(tail);
        checker
    }

    /// What was noted may be the very row before the oldest one that is kept, or older than that.
    fn compare_with_tail(&mut self, tail: Link) {
        let Some(noted) = self.noted.filter(|noted| noted.seq <= tail.seq) else { return };
        self.noted = None;
        if noted.seq < tail.seq {
            self.find(Finding::TooOld(noted));
        } else if noted.mac != tail.mac {
            self.find(Finding::NotAsNoted(noted));
        }
    }

    /// Whether every row fitted so far. That a node found a break and wrote it down does not count: the log goes on from there.
    pub(super) fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| matches!(finding, Finding::Broken(_)))
    }

    pub(super) fn find(&mut self, finding: Finding) {
        if self.findings.len() < MOST_FINDINGS { self.findings.push(finding) } else { self.untold += 1 }
    }

    /// The row that was looked at last.
    pub(super) const fn last(&self) -> Link {
        self.last
    }

    /// Goes on behind `tail`, since the rows up to it were removed by rule.
    pub(super) fn skip_to(&mut self, tail: Link) {
        self.last = tail;
        self.compare_with_tail(tail);
    }

    /// Looks at the next row. After a gap the chain is taken up again at the row behind it.
    pub(super) fn next(&mut self, event: &Event) {
        let follows = event.seq == self.last.seq + 1;
        if !follows {
            self.find(Finding::Missing(self.last.seq + 1, event.seq - 1));
        }
        // Behind a gap nobody can say what the row hung on.
        if follows && mac(&self.vault, &self.last.mac, event) != event.mac {
            self.find(Finding::Changed(event.seq));
        }
        if event.entry.act == super::audit::BROKEN {
            self.find(Finding::Broken(event.seq));
        }
        self.last = Link { seq: event.seq, mac: event.mac };
        self.seen += 1;
        if self.noted.is_some_and(|noted| noted.seq == event.seq) {
            let noted = self.noted.take();
            if let Some(noted) = noted.filter(|noted| noted.mac != event.mac) {
                self.find(Finding::NotAsNoted(noted));
            }
        }
    }

    /// What came of it, now that every row was looked at up to `head`.
    pub(super) fn end(mut self, head: Link) -> Report {
        if self.last.seq < head.seq {
            self.find(Finding::Missing(self.last.seq + 1, head.seq));
        } else if self.last.seq == head.seq && self.last.mac != head.mac {
            self.find(Finding::Changed(head.seq));
        }
        if let Some(noted) = self.noted.take() {
            self.find(Finding::NotAsNoted(noted));
        }
        Report { events: self.seen, head, findings: self.findings, untold: self.untold }
    }
}

/// What a look at the whole log came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// How many events there are.
    pub events: u64,
    /// The newest one: worth noting elsewhere, since a whole database that is put back to an older copy looks sound by itself.
    pub head: Link,
    /// What is wrong; nothing, in a sound log.
    pub findings: Vec<Finding>,
    /// How many findings more there are than are told.
    pub untold: u64,
}
