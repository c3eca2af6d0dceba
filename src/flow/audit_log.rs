//! The audit log as the command line and `/v1` show it: listed, exported, and looked at from end to end.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use tokio::runtime::Handle;
use utoipa::ToSchema;

use super::audit::named;
use crate::app::App;
use crate::base::encoding::base64url;
use crate::base::fault::Fault;
use crate::base::time::Timestamp;
use crate::oauth::error::OAuthError;
use crate::store::audit::{self, Event, Filter, From, Outcome};
use crate::store::audit_chain::{Link, Report};
use crate::store::audit_look::{Glance, Look};

/// The columns of an export as a table.
const COLUMNS: [&str; 12] = [
    "seq",
    "at",
    "act",
    "actor",
    "subject",
    "outcome",
    "reason",
    "address",
    "request_id",
    "details",
    "times",
    "hash",
];

/// What people filter by, in the order that they are told of.
pub const FILTERS: [&str; 9] =
    ["act", "actor", "subject", "outcome", "request_id", "since", "until", "after", "before"];

/// A filter from what was typed, by name.
///
/// # Errors
/// The name, and what is allowed.
pub fn filter<'a>(typed: impl Fn(&str) -> Option<&'a str>) -> Result<Filter, (&'static str, String)> {
    let moment = |name: &'static str| {
        let read = |text: &str| {
            let problem = "a time as RFC 3339 is needed, such as 2026-12-01T00:00:00Z";
            Timestamp::from_rfc3339(text).ok_or_else(|| (name, problem.to_owned()))
        };
        typed(name).map(read).transpose()
    };
    let number = |name: &'static str| {
        let read = |text: &str| {
            let problem = "the seq of an event is needed, a whole number";
            text.parse::<i64>().ok().filter(|seq| *seq >= 0).ok_or_else(|| (name, problem.to_owned()))
        };
        typed(name).map(read).transpose()
    };
    let outcome = typed("outcome")
        .map(|word| Outcome::named(word).ok_or_else(|| ("outcome", "done or refused is allowed".to_owned())));
    Ok(Filter {
        acts: typed("act").map(named).transpose().map_err(|problem| ("act", problem))?.unwrap_or_default(),
        actor: typed("actor").map(str::to_owned),
        subject: typed("subject").map(str::to_owned),
        outcome: outcome.transpose()?,
        since: moment("since")?,
        until: moment("until")?,
        request_id: typed("request_id").map(str::to_owned),
        after: number("after")?,
        before: number("before")?,
    })
}

/// The form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One JSON object in each line.
    Ndjson,
    /// A table with a head.
    Csv,
}

impl std::str::FromStr for Form {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "ndjson" => Ok(Self::Ndjson),
            "csv" => Ok(Self::Csv),
            _ => Err("ndjson or csv is allowed"),
        }
    }
}

/// Events that are exported in one go.
const PAGE: i64 = 1_000;

/// An export, a page at a time, the oldest event first.
#[derive(Debug)]
pub struct Export {
    filter: Filter,
    form: Form,
    begun: bool,
    done: bool,
}

impl Export {
    /// Of what `filter` lets through.
    pub const fn new(filter: Filter, form: Form) -> Self {
        Self { filter, form, begun: false, done: false }
    }

    /// The next page; `None` behind the last.
    pub async fn next(&mut self, app: &Arc<App>) -> Result<Option<Vec<u8>>, OAuthError> {
        if self.done {
            return Ok(None);
        }
        let events = page(app, self.filter.clone(), From::Oldest, PAGE).await?;
        self.done = i64::try_from(events.len()).is_ok_and(|count| count < PAGE);
        self.filter.after = events.last().map(|event| event.seq).or(self.filter.after);
        let head = !std::mem::replace(&mut self.begun, true);
        let text = match self.form {
            Form::Ndjson => lines(&events).map_err(|e| Fault::new("writing JSON", e)),
            Form::Csv => table(&events, head).map_err(|e| Fault::new("writing a table", e)),
        };
        text.map(Some).map_err(OAuthError::Server)
    }
}

fn lines(events: &[Event]) -> Result<Vec<u8>, serde_json::Error> {
    let mut text = Vec::new();
    for event in events {
        serde_json::to_writer(&mut text, &EventView::of(event))?;
        text.push(b'\n');
    }
    Ok(text)
}

fn table(events: &[Event], head: bool) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    if head {
        writer.write_record(COLUMNS)?;
    }
    for event in events {
        writer.write_record(cells(event))?;
    }
    writer.into_inner().map_err(|e| csv::Error::from(e.into_error()))
}

/// At most `limit` events.
///
/// Not on the thread of whoever asks: what few events fit may mean a walk through all of them.
pub async fn page(app: &Arc<App>, filter: Filter, from: From, limit: i64) -> Result<Vec<Event>, OAuthError> {
    let (app, runtime) = (Arc::clone(app), Handle::current());
    let read = move || runtime.block_on(app.store.read(move |conn| audit::page(conn, &filter, from, limit)));
    let done = tokio::task::spawn_blocking(read).await;
    Ok(done.map_err(|e| OAuthError::Server(Fault::new("reading the audit log", e)))??)
}

/// Looks at every event; `noted` is one that somebody kept elsewhere. Reads a page at a time and holds nobody up.
pub async fn verify(app: &App, noted: Option<Link>) -> Result<Report, OAuthError> {
    let vault = app.vault.clone();
    let mut look = app.store.read(move |conn| Look::begin(conn, &vault, noted)).await?;
    let mut more = true;
    while more {
        (more, look) = app.store.read(move |conn| look.clone().step(conn)).await?;
    }
    Ok(app.store.read(move |conn| look.clone().end(conn)).await?)
}

/// Events that a glance looks at.
const GLANCE: i64 = 1_000;

/// How the log stands, as far as its newest events tell: a few milliseconds, however long it is.
pub async fn glance(app: &App) -> Result<Glance, OAuthError> {
    let vault = app.vault.clone();
    Ok(app.store.read(move |conn| Glance::of(conn, &vault, GLANCE)).await?)
}

/// An event as the command line and `/v1` show it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEvent)]
pub struct EventView {
    /// Its number; later events have larger ones, without gaps.
    pub seq: i64,
    /// When, as RFC 3339; of several refusals in one event the last.
    #[schema(format = DateTime)]
    pub at: String,
    /// What, such as `key.minted`.
    pub act: String,
    /// Who: `user:…`, `client:…`, `key:…`, `service_account:…`, `command_line:…`, `github`, `system`, `anybody`, `many`.
    pub actor: String,
    /// To what.
    pub subject: Option<String>,
    /// `done` or `refused`.
    pub outcome: &'static str,
    /// Why.
    pub reason: Option<String>,
    /// From where.
    pub address: Option<String>,
    /// The id that the answer carried.
    pub request_id: Option<String>,
    /// What else there is to say.
    #[schema(value_type = Option<Object>)]
    pub details: Option<Value>,
    /// How often: refusals that are alike share an event.
    pub times: i64,
    /// The keyed hash over the event and the one before.
    pub hash: String,
}

impl EventView {
    /// Of an event.
    pub fn of(event: &Event) -> Self {
        let entry = event.entry.clone();
        // We wrote it as JSON; what somebody else wrote there is shown as it is.
        let details = entry.details.map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text)));
        Self {
            seq: event.seq,
            at: entry.at.to_rfc3339(),
            act: entry.act,
            actor: entry.actor,
            subject: entry.subject,
            outcome: entry.outcome.word(),
            reason: entry.reason,
            address: entry.address,
            request_id: entry.request_id,
            details,
            times: entry.times,
            hash: base64url(&event.mac),
        }
    }
}

/// An event as a row of a table, in the order of [`COLUMNS`]. What a spreadsheet would take for a formula stands behind an apostrophe
/// (ASVS 1.2.10): people choose their own names.
fn cells(event: &Event) -> [String; 12] {
    let entry = &event.entry;
    let text = |text: &Option<String>| inert(text.as_deref().unwrap_or_default());
    [
        event.seq.to_string(),
        entry.at.to_rfc3339(),
        inert(&entry.act),
        inert(&entry.actor),
        text(&entry.subject),
        entry.outcome.word().to_owned(),
        text(&entry.reason),
        text(&entry.address),
        text(&entry.request_id),
        text(&entry.details),
        entry.times.to_string(),
        inert(&base64url(&event.mac)),
    ]
}

fn inert(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::inert;

    #[test]
    fn no_cell_is_a_formula() {
        for (text, shown) in [
            ("=HYPERLINK(\"https://evil.example\")", "'=HYPERLINK(\"https://evil.example\")"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "'\r=1"),
            ("a=1", "a=1"),
            ("", ""),
        ] {
            assert_eq!(inert(text), shown);
        }
    }
}
