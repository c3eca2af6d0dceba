//! `/gateway/…`: what a proxy asks before it lets a request through, in the dialect of each.
//!
//! | dialect | lets through | what a refusal may be |
//! | --- | --- | --- |
//! | Caddy, Traefik | any 2xx | the answer as it is |
//! | Envoy (HTTP) | 200 | the answer as it is; the path behind the prefix is the request's own |
//! | nginx (`auth_request`) | any 2xx | 401 and 403 only: the true status stands in `X-Cnx-Status` (C43) |
//!
//! What a proxy tells of the request (method, address, path) is believed of trusted proxies only (C42, S-H8). What a route needs stands in
//! `?scope=` of our address, in the table of routes in the settings, or in both: then all of it is needed.

mod route;

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};

use self::route::Needed;
use super::api::{Problem, guard};
use super::arrived::Arrived;
use super::reply::Told;
use super::{Node, extract, refuse, reply};
use crate::api_key::plan::Class;
use crate::app::App;
use crate::base::time::Timestamp;
use crate::flow::check::{Allowed, Asked, Limit, Verdict, check};
use crate::flow::explain;
use crate::oauth::params::Params;

const X_CNX_SUBJECT: HeaderName = HeaderName::from_static("x-cnx-subject");
const X_CNX_SCOPES: HeaderName = HeaderName::from_static("x-cnx-scopes");
const X_CNX_KEY_ID: HeaderName = HeaderName::from_static("x-cnx-key-id");
const X_CNX_ENVIRONMENT: HeaderName = HeaderName::from_static("x-cnx-environment");
const X_CNX_ORGANIZATION: HeaderName = HeaderName::from_static("x-cnx-organization");

/// A proxy's way of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// The method and path stand in `X-Forwarded-Method` and `X-Forwarded-Uri`.
    Forward,
    /// They stand in `X-Original-Method` and `X-Original-URI`.
    Nginx,
    /// The method is the request's own; its path follows our address, or stands in `path` of our query when scopes stand there too.
    Envoy,
}

impl Dialect {
    /// Where the method and the path stand, as a message says it.
    const fn names(self) -> [&'static str; 2] {
        match self {
            Self::Forward => ["X-Forwarded-Method", "X-Forwarded-Uri"],
            Self::Nginx => ["X-Original-Method", "X-Original-URI"],
            Self::Envoy => ["method", "path, behind /gateway/envoy or behind path= at the end of its query"],
        }
    }
}

/// `/gateway/traefik`, `/gateway/caddy`
pub(super) async fn forward(app: Node, req: HttpRequest) -> HttpResponse {
    decide(&app, &req, Dialect::Forward).await
}

/// `/gateway/nginx`
pub(super) async fn nginx(app: Node, req: HttpRequest) -> HttpResponse {
    decide(&app, &req, Dialect::Nginx).await
}

/// `/gateway/envoy…`
pub(super) async fn envoy(app: Node, req: HttpRequest) -> HttpResponse {
    decide(&app, &req, Dialect::Envoy).await
}

/// The same, whichever way the request came in.
pub(super) async fn decide(app: &App, req: &impl Arrived, dialect: Dialect) -> HttpResponse {
    let now = app.now();
    let (mut answer, status) = match look(app, req, dialect, now).await {
        Ok(allowed) => (let_through(&allowed, now.as_secs()), StatusCode::OK),
        Err((problem, limit)) => {
            let mut answer = refuse::problem(req, &problem);
            if let Some(limit) = limit {
                reply::tell_limit(&mut answer, &limit, now.as_secs());
            }
            let status = answer.status();
            (answer, status)
        }
    };
    if dialect == Dialect::Nginx && !matches!(status.as_u16(), 200 | 401 | 403) {
        let retry = answer.headers().get("retry-after").cloned();
        let mut told = |name: &'static str, value: HeaderValue| {
            answer.headers_mut().insert(HeaderName::from_static(name), value);
        };
        told("x-cnx-status", HeaderValue::from(status.as_u16()));
        if let Some(seconds) = retry {
            told("x-cnx-retry-after", seconds);
        }
        *answer.status_mut() = StatusCode::FORBIDDEN;
    }
    answer
}

async fn look(
    app: &App,
    req: &impl Arrived,
    dialect: Dialect,
    now: Timestamp,
) -> Result<Box<Allowed>, (Problem, Option<Limit>)> {
    let plain = |problem: Problem| (problem, None);
    let credential = guard::credential(req).map_err(plain)?;
    let query = extract::query(req).map_err(|error| plain(refuse::problem_of(&error)))?;
    if dialect != Dialect::Envoy {
        only_known(&query).map_err(plain)?;
    }
    let words = query.get("scope").unwrap_or_default().split(' ').filter(|s| !s.is_empty());
    let mut scopes = guard::wanted("scope", words).map_err(plain)?;
    let trusted = extract::is_trusted_peer(app, req);
    let told = route::told(req, dialect);
    let target = told.target.filter(|_| trusted).map(|target| target.split_once('?').unwrap_or((target, "")));
    if let Some((_, query)) = target {
        guard::none_in_address(query).map_err(plain)?;
    }
    let no_route = match route::needed(app, trusted, dialect, told).map_err(plain)? {
        Needed::NoTable => None,
        Needed::Scopes(more) => {
            scopes.extend(more.iter().map(String::as_str));
            None
        }
        Needed::NoRoute(problem) => Some(problem),
    };
    // A stranger who asks for himself is counted by what he sends.
    let method =
        told.method.filter(|_| trusted || dialect == Dialect::Envoy).unwrap_or(req.head().method.as_str());
    let resource = target.map(|(path, _)| first_of(path, 200));
    let asked = Asked {
        credential,
        scopes: &scopes,
        address: extract::address(app, req),
        environment: query.get("env"),
        class: Some(Class::of(method)),
        cost: 1,
        resource,
        for_us: false,
    };
    let verdict = check(app, &asked, now).await;
    match verdict.map_err(|error| plain(refuse::problem_of(&error)))? {
        Verdict::Allowed(allowed) => match no_route {
            Some(problem) => Err((problem, allowed.limit)),
            None => Ok(allowed),
        },
        Verdict::Refused { refusal, limit, key } => {
            explain::note(app, &asked, (&refusal, key.as_deref()), &extract::caller(app, req), now);
            Err((refuse::refusal_of(&refusal, limit), limit))
        }
    }
}

/// The first so many characters.
fn first_of(text: &str, most: usize) -> &str {
    text.char_indices().nth(most).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

/// A misspelt or repeated word in a gateway's settings must not open it. With Envoy the caller's own query follows ours, and of a
/// repeated name the first is taken, which is ours.
fn only_known(query: &Params) -> Result<(), Problem> {
    let problem = match query.names().find(|name| !matches!(*name, "scope" | "env")) {
        Some(_) => "scope and env are allowed in the query",
        None if query.is_repeated("scope") || query.is_repeated("env") => {
            "scope and env may stand in the query once; several scopes are separated by spaces"
        }
        None => return Ok(()),
    };
    Err(Problem { field: Some("scope"), ..Problem::invalid(problem) })
}

/// 200, and who it is, for the API behind.
fn let_through(allowed: &Allowed, now: i64) -> HttpResponse {
    let mut told = Told::new();
    told.tell(X_CNX_SUBJECT, |text| text.push_str(&allowed.subject()));
    told.tell(X_CNX_SCOPES, |text| text.push_str(&allowed.scopes));
    if let Some(key) = &allowed.key {
        told.tell(X_CNX_KEY_ID, |text| text.push_str(key.id.as_str()));
        told.tell(X_CNX_ENVIRONMENT, |text| text.push_str(key.environment.as_str()));
        told.tell(X_CNX_ORGANIZATION, |text| key.organization.write(text));
    }
    if let Some(limit) = &allowed.limit {
        told.tell_limit(limit, now);
    }
    let mut answer = HttpResponse::new(StatusCode::OK);
    told.put(&mut answer);
    answer
}
