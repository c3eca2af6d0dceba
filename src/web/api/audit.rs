//! `/v1/audit`: the audit log, listed and exported.

use std::sync::Arc;

use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream;
use serde::Serialize;
use utoipa::ToSchema;

use super::guard::{By, caller};
use super::openapi::{AuditFilters, Refusals};
use super::{Problem, answer, limit, parameters, version};
use crate::app::App;
use crate::flow::audit_log::{self, EventView, Export, FILTERS, Form};
use crate::oauth::params::Params;
use crate::store::audit::{Filter, From};
use crate::web::{Node, refuse, reply};

/// The scope of who may read it.
const READING: &str = "audit:read";
/// Events in one page at most.
const PAGE: i64 = 1_000;

/// A page of events.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEvents)]
pub(super) struct Events {
    /// The newest first, or the oldest first where `after` was asked for.
    events: Vec<EventView>,
    /// What to ask for as `before` (or `after`, where that was asked for) to get the next page; null on the last.
    next: Option<i64>,
}

/// Lists events of the audit log, the newest first. Needs `audit:read`.
#[utoipa::path(get, path = "/v1/audit", operation_id = "list_audit_events", tag = "audit",
    params(AuditFilters, ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "How many at most; 100 when absent.")),
    responses((status = 200, description = "Events.", body = Events), Refusals))]
pub(in crate::web) async fn list(app: Node, req: HttpRequest) -> HttpResponse {
    answer(&app, &req, do_list(&app, &req).await, false)
}

/// Sends every event that the filters let through, the oldest first: one JSON object in each line, or a table. Needs `audit:read`.
#[utoipa::path(get, path = "/v1/audit/export", operation_id = "export_audit_events", tag = "audit",
    params(AuditFilters, ("format" = Option<String>, Query, pattern = "^(ndjson|csv)$", description = "ndjson when absent.")),
    responses((status = 200, description = "Events.",
        content((String = "application/x-ndjson"), (String = "text/csv"))), Refusals))]
pub(in crate::web) async fn export(app: Node, req: HttpRequest) -> HttpResponse {
    match begin_export(&app, &req).await {
        Ok((export, form)) => exported(app, export, form),
        Err(problem) => answer::<()>(&app, &req, Err(problem), false),
    }
}

/// The export as a file that is sent bit by bit.
pub(in crate::web) fn exported(app: Node, export: Export, form: Form) -> HttpResponse {
    let (media, name) = match form {
        Form::Ndjson => ("application/x-ndjson", "audit.ndjson"),
        Form::Csv => ("text/csv; charset=utf-8; header=present", "audit.csv"),
    };
    reply::download(media, name).streaming(pages(app.into_inner(), export))
}

/// A page of the export after the other, each read when the one before was taken. A reader whose download breaks off without the last
/// chunk knows that something is missing.
fn pages(app: Arc<App>, export: Export) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> {
    stream::try_unfold((app, export), |(app, mut export)| async move {
        let next = export.next(&app).await.map_err(|error| {
            tracing::warn!(code = error.code(), "an export of the audit log was broken off");
            std::io::Error::other("the database does not answer")
        })?;
        Ok(next.map(|bytes| (Bytes::from(bytes), (app, export))))
    })
}

async fn begin_export(app: &Node, req: &HttpRequest) -> Result<(Export, Form), Problem> {
    version(req)?;
    caller(app, req, READING, By::Anybody).await?;
    let query = parameters(req, &[&FILTERS[..], &["format"]].concat())?;
    let form = query.get("format").unwrap_or("ndjson").parse().map_err(|problem| Problem {
        field: Some("format"),
        ..Problem::invalid(format!("format: {problem}"))
    })?;
    Ok((Export::new(filter(&query)?, form), form))
}

async fn do_list(app: &Node, req: &HttpRequest) -> Result<Events, Problem> {
    version(req)?;
    caller(app, req, READING, By::Anybody).await?;
    let query = parameters(req, &[&FILTERS[..], &["limit"]].concat())?;
    let (filter, limit) = (filter(&query)?, limit(&query, 100, PAGE)?);
    // Who asks for what is after an event reads on from there; everybody else wants to see the newest.
    let from = if filter.after.is_some() && filter.before.is_none() { From::Oldest } else { From::Newest };
    // One more than is shown tells whether there is more.
    let found =
        audit_log::page(app, filter, from, limit + 1).await.map_err(|error| refuse::problem_of(&error))?;
    let shown = usize::try_from(limit).unwrap_or_default();
    let events: Vec<EventView> = found.iter().take(shown).map(EventView::of).collect();
    let next = events.last().filter(|_| found.len() > shown).map(|event| event.seq);
    Ok(Events { events, next })
}

fn filter(query: &Params) -> Result<Filter, Problem> {
    audit_log::filter(|name| query.get(name)).map_err(|(name, problem)| Problem {
        field: Some(name),
        ..Problem::invalid(format!("{name}: {problem}"))
    })
}
