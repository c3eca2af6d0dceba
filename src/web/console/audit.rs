//! `/console/audit`: what happened, the newest first, by filters; its export, and how its chain stands.

use actix_web::{HttpRequest, HttpResponse};

use super::page::{self, ASKED, ROWS, answer, desk, with};
use crate::flow::audit_log::{self, Export, FILTERS, Form};
use crate::oauth::params::Params;
use crate::store::audit::{Event, Filter, From, Outcome};
use crate::store::audit_look::Glance;
use crate::web::pages::desk::{Act, Field, Kind, Piece, Section, Table, Tone, Words, code, say, tag, text};
use crate::web::seat::{Seat, seat};
use crate::web::{Node, api, refuse};

const HERE: &str = "/console/audit";
const EXPORT: &str = "/console/audit/export";

/// GET.
pub(in crate::web) async fn show(app: Node, req: HttpRequest) -> HttpResponse {
    let seat = match seat(&app, &req).await {
        Ok(seat) => seat,
        Err(instead) => return instead,
    };
    let query = page::query(&req);
    let filter = match filter(&query) {
        Ok(filter) => filter,
        Err(problem) => return shown(&app, &req, &seat, &query, Err(problem)).await,
    };
    match audit_log::page(&app, filter, From::Newest, ASKED).await {
        Ok(events) => shown(&app, &req, &seat, &query, Ok(events)).await,
        Err(error) => refuse::page(&req, &error),
    }
}

/// GET `/console/audit/export`: everything that the filters let through, the oldest first.
pub(in crate::web) async fn export(app: Node, req: HttpRequest) -> HttpResponse {
    let seat = match seat(&app, &req).await {
        Ok(seat) => seat,
        Err(instead) => return instead,
    };
    let query = page::query(&req);
    let form = query.get("format").unwrap_or("ndjson").parse::<Form>();
    match (filter(&query), form) {
        (Ok(filter), Ok(form)) => api::audit::exported(app, Export::new(filter, form), form),
        (Err(problem), _) => shown(&app, &req, &seat, &query, Err(problem)).await,
        (_, Err(problem)) => shown(&app, &req, &seat, &query, Err(("act", problem.to_owned()))).await,
    }
}

/// A filter of what was typed; times also as people write them, in UTC.
fn filter(query: &Params) -> Result<Filter, (&'static str, String)> {
    let moments = ["since", "until"].map(|name| (name, query.get(name).map(moment)));
    let typed = |name: &str| match moments.iter().find(|(known, _)| *known == name) {
        Some((_, moment)) => moment.as_deref(),
        None => query.get(name).map(str::trim).filter(|text| !text.is_empty()),
    };
    audit_log::filter(typed).map_err(|(name, problem)| match name {
        "since" | "until" => {
            (name, "a day or a minute is allowed, such as 2026-12-01 or 2026-12-01 07:40".to_owned())
        }
        _ => (name, problem),
    })
}

/// `2026-12-01` and `2026-12-01 07:40` as RFC 3339; what is neither stays as it is.
fn moment(typed: &str) -> String {
    let typed = typed.trim().trim_end_matches(" UTC").replace(' ', "T");
    match typed.len() {
        10 => format!("{typed}T00:00:00Z"),
        16 => format!("{typed}:00Z"),
        _ => typed,
    }
}

/// The filters that are set, as parameters.
fn pairs(query: &Params) -> Vec<(&str, &str)> {
    let set = FILTERS.iter().filter(|name| !matches!(**name, "after" | "before"));
    set.filter_map(|name| query.get(name).map(|value| (*name, value))).collect()
}

async fn shown(
    app: &Node,
    req: &HttpRequest,
    seat: &Seat,
    query: &Params,
    found: Result<Vec<Event>, (&'static str, String)>,
) -> HttpResponse {
    let glance = match audit_log::glance(app).await {
        Ok(glance) => glance,
        Err(error) => return refuse::page(req, &error),
    };
    let lead = "Who did what, when, from where. Each event is chained to the one before by a keyed hash, so that nobody changes one unseen.";
    let mut page = desk(app, req, seat, HERE, ("Audit", lead));
    let mut form = filter_form(query);
    let mut table = Table {
        caption: "Events",
        heads: vec!["Number", "When", "Act", "By", "On", "Outcome", "Address", "Request", "More"],
        empty: "No event fits.",
        first: query.get("before").map(|_| with(HERE, &pairs(query))),
        ..Table::default()
    };
    match found {
        Ok(events) => {
            let next = events.get(ROWS - 1).filter(|_| events.len() > ROWS).map(|last| last.seq.to_string());
            table.next = next.map(|seq| with(HERE, &[&pairs(query)[..], &[("before", &seq)]].concat()));
            table.rows = events.iter().take(ROWS).map(row).collect();
        }
        Err((field, problem)) => form.refuse(field, problem),
    }
    let file = |format, words: &'static str| {
        Piece::Go(with(EXPORT, &[&pairs(query)[..], &[("format", format)]].concat()), words.into())
    };
    let files = vec![
        say("Everything that fits, the oldest first:"),
        file("ndjson", "JSON lines"),
        file("csv", "Table (CSV)"),
    ];
    page.sections = vec![
        Section { acts: vec![form], ..Section::default() },
        Section { about: vec![files], table: Some(table), ..Section::default() },
        chain(&glance),
    ];
    answer(req, &page)
}

fn filter_form(query: &Params) -> Act {
    let kept = |name: &str| query.get(name).unwrap_or_default().to_owned();
    let line = |name, label| Field::new(name, label, Kind::Line("off"), kept(name)).optional();
    let outcomes = [("", "any"), ("done", "done"), ("refused", "refused")];
    let outcomes = outcomes.map(|(value, words)| (value.to_owned(), Words::Borrowed(words))).to_vec();
    Act::asking(HERE, "audit-filter", "Show").fields(vec![
        line("act", "Act").hint("Such as key.minted, or all of a kind: key.*"),
        line("actor", "By").hint("Such as user:ID, client:ID, key:ID, anybody"),
        line("subject", "On").hint("Such as user:ID, client:ID, key:ID"),
        Field::new("outcome", "Outcome", Kind::Choice(outcomes), kept("outcome")).optional(),
        line("since", "From").hint("Such as 2026-12-01 or 2026-12-01 07:40, in UTC"),
        line("until", "Before").hint("Such as 2026-12-01 or 2026-12-01 07:40, in UTC"),
        line("request_id", "Request"),
    ])
}

fn row(event: &Event) -> Vec<Vec<Piece>> {
    let entry = &event.entry;
    let value = |value: &Option<String>| value.as_deref().map(text).into_iter().collect::<Vec<_>>();
    let by = |name: &'static str, value: &str| Piece::Link(with(HERE, &[(name, value)]), value.to_owned());
    let mut outcome = vec![match entry.outcome {
        Outcome::Done => tag("done", Tone::Good),
        Outcome::Refused => tag("refused", Tone::Danger),
    }];
    outcome.extend(entry.reason.as_deref().map(text));
    if entry.times > 1 {
        outcome.push(say(format!("{} times", entry.times)));
    }
    let request = entry
        .request_id
        .as_deref()
        .map(|id| Piece::Link(with("/console/explain", &[("request_id", id)]), id.to_owned()));
    vec![
        vec![text(event.seq.to_string())],
        vec![Piece::At(entry.at)],
        vec![code(&entry.act)],
        vec![by("actor", &entry.actor)],
        entry.subject.as_deref().map(|subject| by("subject", subject)).into_iter().collect(),
        outcome,
        value(&entry.address),
        request.into_iter().collect(),
        entry.details.as_deref().map(code).into_iter().collect(),
    ]
}

/// How the chain stands, as far as a glance tells.
fn chain(glance: &Glance) -> Section {
    let mut section = Section::headed("The chain");
    let state = if glance.findings.is_empty() {
        vec![
            tag("sound", Tone::Good),
            say(format!("The newest {} events follow each other.", glance.checked)),
        ]
    } else {
        vec![tag("changed", Tone::Danger), say("Somebody changed the log.")]
    };
    section.facts = vec![
        ("The newest events", state),
        ("The newest event", vec![code(&glance.head)]),
        ("The oldest event", vec![text(glance.first.map_or_else(String::new, |seq| seq.to_string()))]),
    ];
    if !glance.findings.is_empty() {
        section.facts.push((
            "What was found",
            glance.findings.iter().map(|finding| text(finding.to_string())).collect(),
        ));
    }
    section.about = vec![
        vec![say("Keep the newest event elsewhere: it shows later that nothing before it was changed.")],
        vec![say("Every event is looked at by"), code(&"cnx audit verify")],
    ];
    section
}

#[cfg(test)]
mod tests {
    use super::moment;

    #[test]
    fn a_day_and_a_minute_are_times() {
        for (typed, read) in [
            ("2026-12-01", "2026-12-01T00:00:00Z"),
            (" 2026-12-01 07:40 ", "2026-12-01T07:40:00Z"),
            ("2026-12-01T07:40", "2026-12-01T07:40:00Z"),
            ("2026-12-01 07:40 UTC", "2026-12-01T07:40:00Z"),
            ("2026-12-01T07:40:00Z", "2026-12-01T07:40:00Z"),
            ("yesterday", "yesterday"),
        ] {
            assert_eq!(moment(typed), read);
        }
    }
}
