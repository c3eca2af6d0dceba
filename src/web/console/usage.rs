//! `/console/usage`: requests over time of keys and apps, by kind and by what became of them.

use actix_web::{HttpRequest, HttpResponse};

use super::keys::refused;
use crate::app::Counted;
use crate::flow::audit::By;
use crate::flow::key_list::{self, Wanted};
use crate::flow::keys::KeyError;
use crate::flow::usage::{self, Span, Usage};
use crate::oauth::params::Params;
use crate::web::pages::{Plot, UsageChoice, UsagePage, class_words, outcome_words};
use crate::web::seat::{Seat, seat};
use crate::web::{Node, extract, refuse, reply};

const HERE: &str = "/console/usage";

/// Apps that may be chosen.
const APPS: usize = 100;

/// GET.
pub(in crate::web) async fn show(app: Node, req: HttpRequest) -> HttpResponse {
    let seat = match seat(&app, &req).await {
        Ok(seat) => seat,
        Err(instead) => return instead,
    };
    let query = match extract::query(&req) {
        Ok(query) => query,
        Err(error) => return refuse::page(&req, &error),
    };
    match page(&app, &req, &seat, &query).await {
        Ok(page) => reply::page(&req, &page),
        Err(error) => refused(req, error).await,
    }
}

async fn page(app: &Node, req: &HttpRequest, seat: &Seat, query: &Params) -> Result<UsagePage, KeyError> {
    let (by, now) = (seat.by(app, req), app.now());
    let span: Span = query.get("span").and_then(|word| word.parse().ok()).unwrap_or_default();
    let of = match query.get("of") {
        None => None,
        Some(text) => Some(Counted::named(text).ok_or_else(|| KeyError::Unknown(text.to_owned()))?),
    };
    let usage = usage::of(app, &by, of.as_ref(), span, now).await?;
    let shown = of.as_ref().map(Counted::text).unwrap_or_default();
    let key = match &of {
        Some(Counted::Key(id)) => Some(format!("/console/keys/{id}")),
        _ => None,
    };
    Ok(UsagePage {
        seat: seat.page(app, req, HERE),
        wholes: wholes(seat, &shown),
        keys: keys(app, &by, &shown, now).await?,
        apps: if seat.role().is_admin() { apps(app, &shown) } else { Vec::new() },
        spans: spans(span),
        plots: vec![
            Plot::by_class("class", "By kind of request", &usage),
            Plot::by_outcome("outcome", "By what became of them", &usage),
        ],
        sums: sums(&usage),
        key,
    })
}

fn wholes(seat: &Seat, shown: &str) -> Vec<UsageChoice> {
    let choice = |value: &str, name: &'static str| UsageChoice {
        value: value.to_owned(),
        name: name.into(),
        is_shown: value == shown,
    };
    if !seat.role().is_admin() {
        return vec![choice("", "All your keys")];
    }
    vec![choice("keys", "All keys"), choice("clients", "All apps")]
}

/// The newest keys, and the one that is shown.
async fn keys(
    app: &Node,
    by: &By,
    shown: &str,
    now: crate::base::time::Timestamp,
) -> Result<Vec<UsageChoice>, KeyError> {
    let listed = key_list::page(app, by, &Wanted::default(), now).await?;
    let choice = |id: &str, name: &str| {
        let value = format!("key:{id}");
        UsageChoice { is_shown: value == shown, value, name: name.to_owned().into() }
    };
    let mut all: Vec<UsageChoice> =
        listed.lines.iter().map(|line| choice(line.key.id.as_str(), &line.key.name)).collect();
    if let Some(Counted::Key(id)) = Counted::named(shown)
        && !all.iter().any(|choice| choice.is_shown)
        && let Some(key) = app.api_key(id)
    {
        all.insert(0, choice(id.as_str(), &key.name));
    }
    Ok(all)
}

fn apps(app: &Node, shown: &str) -> Vec<UsageChoice> {
    let choice = |id: &str, name: String| {
        let value = format!("client:{id}");
        UsageChoice { is_shown: value == shown, value, name: name.into() }
    };
    let names = app.client_names(APPS);
    let mut all: Vec<UsageChoice> = names.into_iter().map(|(id, name)| choice(id.as_str(), name)).collect();
    if let Some(Counted::Client(id)) = Counted::named(shown)
        && !all.iter().any(|choice| choice.is_shown)
    {
        let name = app.client(&id).map_or_else(|| id.to_string(), |found| found.metadata.client_name.clone());
        all.insert(0, choice(id.as_str(), name));
    }
    all
}

fn spans(shown: Span) -> Vec<(&'static str, &'static str, bool)> {
    let words = |span| match span {
        Span::Day => "24 hours",
        Span::Week => "7 days",
        Span::Month => "30 days",
    };
    Span::ALL.map(|span| (span.word(), words(span), span == shown)).to_vec()
}

/// How many of each kind, with what became of them, the most first.
fn sums(usage: &Usage) -> Vec<(&'static str, &'static str, i64)> {
    let sum = |series: &usage::Series| {
        (class_words(&series.class), outcome_words(&series.outcome), series.parts.iter().sum())
    };
    let mut all: Vec<(&'static str, &'static str, i64)> = usage.series.iter().map(sum).collect();
    all.sort_unstable_by_key(|(class, outcome, requests)| (std::cmp::Reverse(*requests), *class, *outcome));
    all
}
