//! `cnx audit`: the audit log.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use super::inert::inert;
use super::{Context, Refused};
use crate::app::App;
use crate::flow::audit_log::{self, EventView, Export, Form};
use crate::store::audit::{Event, Filter, From};
use crate::store::audit_chain::Link;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Show the newest events, the newest last
    Tail(Box<Tail>),
    /// Look at every event: whether one was changed, removed, brought in or moved
    Verify(Verify),
    /// Write events to standard output, the oldest first
    Export(Box<Exported>),
}

#[derive(Args)]
struct Filters {
    /// Only this act, such as key.minted, or all of a kind: key.*
    #[arg(long, value_name = "ACT")]
    act: Option<String>,
    /// Only by this actor: user:ID, client:ID, `command_line:UID`, system, anybody
    #[arg(long, value_name = "ACTOR")]
    actor: Option<String>,
    /// Only about this: key:ID, client:ID, user:ID
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// Only what was done, or only what was refused
    #[arg(long, value_name = "done|refused")]
    outcome: Option<String>,
    /// Only of this request, by the id that its answer carried
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Only from this moment on, as RFC 3339
    #[arg(long, value_name = "T")]
    since: Option<String>,
    /// Only before this moment, as RFC 3339
    #[arg(long, value_name = "T")]
    until: Option<String>,
}

#[derive(Args)]
pub(super) struct Tail {
    /// How many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    lines: i64,
    /// Go on showing what comes; with --json one object in each line
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    filters: Filters,
}

#[derive(Args)]
pub(super) struct Verify {
    /// An event that was noted elsewhere before, as this command printed it: whether it is still there as it was
    #[arg(long, value_name = "SEQ:HASH")]
    noted: Option<Link>,
}

#[derive(Args)]
pub(super) struct Exported {
    /// ndjson: one JSON object in each line; csv: a table
    #[arg(long, value_name = "FORM", default_value = "ndjson")]
    format: Form,
    #[command(flatten)]
    filters: Filters,
}

/// How often it is looked whether there is something new.
const EVERY: Duration = Duration::from_millis(500);

impl Filters {
    fn read(&self) -> Result<Filter, Refused> {
        let typed = |name: &str| match name {
            "act" => self.act.as_deref(),
            "actor" => self.actor.as_deref(),
            "subject" => self.subject.as_deref(),
            "outcome" => self.outcome.as_deref(),
            "request_id" => self.request_id.as_deref(),
            "since" => self.since.as_deref(),
            "until" => self.until.as_deref(),
            _ => None,
        };
        audit_log::filter(typed)
            .map_err(|(name, problem)| Refused::Because(format!("--{}: {problem}", name.replace('_', "-"))))
    }
}

pub(super) fn run(context: &Context, command: Command) -> Result<(), Refused> {
    match command {
        Command::Tail(arguments) => tail(context, &arguments),
        Command::Verify(arguments) => verify(context, &arguments),
        Command::Export(arguments) => export(context, &arguments),
    }
}

fn tail(context: &Context, arguments: &Tail) -> Result<(), Refused> {
    let mut filter = arguments.filters.read()?;
    context.with_database(|app| async move {
        let mut events = audit_log::page(&app, filter.clone(), From::Newest, arguments.lines).await?;
        events.reverse();
        if !arguments.follow {
            let documents: Vec<EventView> = events.iter().map(EventView::of).collect();
            return context.show(&json!({ "events": documents }), || {
                events.iter().map(line).collect::<Vec<_>>().join("\n")
            });
        }
        loop {
            for event in &events {
                if !put(&one(context, event)?)? {
                    return Ok(());
                }
                filter.after = Some(event.seq);
            }
            // Nothing was there yet: what comes from now on has larger numbers than what there is.
            filter.after = Some(filter.after.unwrap_or_default());
            tokio::time::sleep(EVERY).await;
            events = audit_log::page(&app, filter.clone(), From::Oldest, 1_000).await?;
        }
    })
}

fn one(context: &Context, event: &Event) -> Result<Vec<u8>, Refused> {
    let text = if context.json {
        serde_json::to_string(&EventView::of(event)).map_err(Refused::because)?
    } else {
        inert(&line(event), false).into_owned()
    };
    Ok(format!(
        "{text}
"
    )
    .into_bytes())
}

/// An event in a line.
fn line(event: &Event) -> String {
    let entry = &event.entry;
    let mut text = format!("{}  {}  {}  by {}", event.seq, entry.at.to_rfc3339(), entry.act, entry.actor);
    let mut add = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            let _ = write!(text, "  {name} {value}"); // writing to a String cannot fail
        }
    };
    add("on", entry.subject.as_deref());
    add("from", entry.address.as_deref());
    add("because", entry.reason.as_deref());
    add("times", Some(entry.times.to_string()).filter(|_| entry.times > 1).as_deref());
    add("request", entry.request_id.as_deref());
    add("with", entry.details.as_deref());
    text
}

/// Writes to standard output; whether anybody still reads it.
fn put(bytes: &[u8]) -> Result<bool, Refused> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Refused::Because(format!("standard output cannot be written: {error}"))),
    }
}

fn export(context: &Context, arguments: &Exported) -> Result<(), Refused> {
    let mut export = Export::new(arguments.filters.read()?, arguments.format);
    context.with_database(|app| async move {
        while let Some(page) = export.next(&app).await? {
            if !put(&page)? {
                break;
            }
        }
        Ok(())
    })
}

fn verify(context: &Context, arguments: &Verify) -> Result<(), Refused> {
    context.with_database(|app: std::sync::Arc<App>| async move {
        let report = audit_log::verify(&app, arguments.noted).await?;
        let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
        let document = json!({
            "sound": findings.is_empty(),
            "events": report.events,
            "head": report.head.to_string(),
            "findings": findings,
            "more_findings": report.untold,
        });
        context.show(&document, || {
            let mut text = if findings.is_empty() {
                format!("{} events; none was changed, removed, brought in or moved", report.events)
            } else {
                findings.join("\n")
            };
            if report.untold > 0 {
                let _ = write!(text, "\nand {} more", report.untold);
            }
            format!(
                "{text}\nThe newest is {}; keep that elsewhere, and --noted shows later that nothing before it was changed",
                report.head
            )
        })?;
        if findings.is_empty() { Ok(()) } else { Err(Refused::because("the audit log was changed")) }
    })
}
