//! `/console/keys`: the keys that somebody sees, what is amiss with them, and how keys are used.

use actix_web::{HttpRequest, HttpResponse};

use crate::api_key::key::ApiKey;
use crate::api_key::plan::{Class, Overrides, Plan, budget};
use crate::app::App;
use crate::base::time::Timestamp;
use crate::flow::key_list::{self, Line, Wanted};
use crate::flow::key_practices::{self, Finding};
use crate::flow::key_view::State;
use crate::flow::keys::KeyError;
use crate::oauth::error::OAuthError;
use crate::oauth::params::Params;
use crate::store::organizations;
use crate::web::pages::{Amiss, Example, KeyRow, Keys, LimitRow, Moment, Spark};
use crate::web::seat::{Seat, seat};
use crate::web::{Node, extract, refuse, reply};

/// The place of these pages in the menu.
pub(super) const HERE: &str = "/console/keys";

/// The files that people copy, as they are tested.
const EXAMPLES: [(&str, &str, &str); 3] = [
    ("example-curl", "curl", include_str!("../../../examples/clients/curl.sh")),
    ("example-python", "Python", include_str!("../../../examples/clients/python.py")),
    ("example-node", "Node", include_str!("../../../examples/clients/node.mjs")),
];

/// What stands in those files where a reader puts their own.
const EXAMPLE_KEY: &str = "cnx_prod_…";
const EXAMPLE_ADDRESS: &str = "https://api.example.com";

/// What was just done, by the code in the address.
pub(super) fn notice(code: &str) -> Option<&'static str> {
    Some(match code {
        "revoked" => "The key is revoked. Nothing can use it any more.",
        "disabled" => "The key is disabled. Enable it again when you like.",
        "enabled" => "The key works again.",
        "changed" => "The key is changed.",
        "once" => "That form was sent before, and a key is shown once. If it was not kept, rotate the key.",
        _ => return None,
    })
}

/// GET: the list.
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

async fn page(app: &Node, req: &HttpRequest, seat: &Seat, query: &Params) -> Result<Keys, KeyError> {
    let (by, now) = (seat.by(app, req), app.now());
    let search = query.get("search").unwrap_or_default();
    let wanted = Wanted {
        search: search.chars().take(100).collect(),
        ended: query.get("show") == Some("all"),
        after: query.get("after").and_then(|id| id.parse().ok()),
    };
    let listed = key_list::page(app, &by, &wanted, now).await?;
    let findings = key_practices::findings(app, &by, now).await?;
    let plan = app.store.read(organizations::first_plan).await?;
    let next = listed.next.map(|id| {
        let mut address = url::form_urlencoded::Serializer::new(String::new());
        address.append_pair("after", id.as_str());
        if !wanted.search.is_empty() {
            address.append_pair("search", &wanted.search);
        }
        if wanted.ended {
            address.append_pair("show", "all");
        }
        format!("{HERE}?{}", address.finish())
    });
    let shown = listed.lines.first().map_or_else(|| EXAMPLE_KEY.to_owned(), |line| line.key.masked());
    let mut frame = seat.page(app, req, HERE);
    frame.notice = query.get("done").and_then(notice).map(Into::into);
    Ok(Keys {
        seat: frame,
        keys: listed.lines.iter().map(|line| row(line, now)).collect(),
        next,
        is_later: wanted.after.is_some(),
        search: wanted.search,
        ended: wanted.ended,
        amiss: findings.into_iter().map(amiss).collect(),
        tier: plan.tier.name(),
        limits: limits(app, plan),
        examples: examples(app.issuer(), &shown),
        issuer: app.issuer().to_owned(),
    })
}

/// The examples, with this server's address and a key's public form. Never a key: whoever looks over a shoulder or at a screenshot has
/// nothing (S-K12).
fn examples(issuer: &str, masked: &str) -> Vec<Example> {
    EXAMPLES
        .iter()
        .map(|(id, name, file)| Example {
            id,
            name,
            text: file.replace(EXAMPLE_KEY, masked).replace(EXAMPLE_ADDRESS, issuer),
        })
        .collect()
}

/// A key as pages show it.
pub(super) fn row(line: &Line, now: Timestamp) -> KeyRow {
    let key: &ApiKey = &line.key;
    let state = State::of(key, now);
    let is_over = matches!(state, State::Revoked | State::Expired);
    let last = key.last_use.as_ref();
    KeyRow {
        id: key.id.to_string(),
        name: key.name.clone(),
        masked: key.masked(),
        environment: key.environment.as_str().to_owned(),
        scopes: key.scopes.words().map(str::to_owned).collect(),
        state,
        last_used: last.map(|last| Moment(last.at)),
        last_address: last.and_then(|last| last.address).map(|address| address.to_string()),
        due: key.rotation_due_at.filter(|_| !is_over).map(Moment),
        is_overdue: key.rotation_due_at.is_some_and(|at| at <= now) && !is_over,
        spark: Spark { hours: line.hours.to_vec() },
    }
}

fn amiss(finding: Finding) -> Amiss {
    Amiss {
        practice: finding.practice,
        count: finding.count,
        or_more: finding.or_more,
        named: finding.named.into_iter().map(|(id, name)| (id.to_string(), name)).collect(),
    }
}

fn limits(app: &App, plan: Plan) -> Vec<LimitRow> {
    let row = |class: Class| {
        let whole = budget(class, plan, app.settings.api_keys.enterprise_burst, &Overrides::default());
        let methods = match class {
            Class::Read => "GET, HEAD, OPTIONS",
            Class::Write => "POST, PUT, PATCH",
            Class::Delete => "DELETE",
            Class::Streams => "WebSocket",
        };
        LimitRow {
            class: class_words(class),
            methods,
            limit: whole.limit,
            burst: whole.burst,
            at_once: class == Class::Streams,
        }
    };
    Class::ALL.map(row).to_vec()
}

/// The words of a class.
pub(super) fn class_words(class: Class) -> &'static str {
    crate::web::pages::class_words(class.name())
}

/// What a flow's error is on these pages. A key that is not theirs is none.
pub(super) async fn refused(req: HttpRequest, error: KeyError) -> HttpResponse {
    match error {
        KeyError::Unknown(_) => refuse::not_found(req).await,
        KeyError::Error(error) => refuse::page(&req, &error),
        other => refuse::page(&req, &OAuthError::InvalidRequest(other.to_string().into())),
    }
}
