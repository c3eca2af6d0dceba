//! Which request a proxy asks about, and what its route needs by the table in the settings.

use actix_web::http::header::HeaderName;

use super::Dialect;
use crate::api_key::route_table::Unrouted;
use crate::app::App;
use crate::web::api::{Problem, guard};
use crate::web::arrived::Arrived;

const X_FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const X_FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
const X_ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");
const X_ORIGINAL_URI: HeaderName = HeaderName::from_static("x-original-uri");

/// Our address in Envoy's dialect.
const ENVOY: &str = "/gateway/envoy";
/// What stands before the request's own path when it stands in our query.
const IN_QUERY: &str = "path=";
/// More of a path than anybody wants to read in an answer.
const SHOWN: usize = 200;

/// What a proxy told of the request, whether it is believed or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    /// The method.
    pub(super) method: Option<&'a str>,
    /// The path and the query, byte for byte.
    pub(super) target: Option<&'a str>,
}

/// Reads it where the dialect has it.
pub(super) fn told(req: &impl Arrived, dialect: Dialect) -> Told<'_> {
    let (method, target) = match dialect {
        Dialect::Envoy => {
            return Told { method: Some(req.head().method.as_str()), target: envoy(req) };
        }
        Dialect::Forward => (X_FORWARDED_METHOD, X_FORWARDED_URI),
        Dialect::Nginx => (X_ORIGINAL_METHOD, X_ORIGINAL_URI),
    };
    Told { method: guard::single(req, &method), target: guard::single(req, &target) }
}

/// Envoy puts the request's path and query behind our address, or behind `path=` at the end of our query. Undecoded: decoded, two requests
/// would look like one. Once a path follows our address, the query is the caller's, and what it says of a path is nothing to us.
fn envoy(req: &impl Arrived) -> Option<&str> {
    let whole = req.head().uri.path_and_query()?.as_str().strip_prefix(ENVOY)?;
    match whole.strip_prefix('?') {
        None => Some(whole).filter(|target| !target.is_empty()),
        Some(ours) => {
            let mut from = 0;
            for pair in ours.split('&') {
                if pair.starts_with(IN_QUERY) {
                    return ours.get(from + IN_QUERY.len()..).filter(|target| !target.is_empty());
                }
                from += pair.len() + 1;
            }
            None
        }
    }
}

/// What the table says of the request.
pub(super) enum Needed<'a> {
    /// There is no table.
    NoTable,
    /// These scopes beside those that the gateway asks for.
    Scopes(&'a [String]),
    /// There is no such route; only who is known is told so.
    NoRoute(Problem),
}

/// Looks the request up. With a table in force nothing is guessed: without a believed method and path nobody is let through.
pub(super) fn needed<'a>(
    app: &'a App,
    trusted: bool,
    dialect: Dialect,
    told: Told<'_>,
) -> Result<Needed<'a>, Problem> {
    let routes = &app.settings.gateway.routes;
    if routes.is_empty() {
        return Ok(Needed::NoTable);
    }
    let [method_name, path_name] = dialect.names();
    if !trusted {
        let detail = "a table of routes (gateway.routes) is in force, and what this peer tells of a request is not believed: it is not in trusted_proxies";
        return Err(Problem::new(403, "untrusted_proxy", detail));
    }
    let missing = |name: &str| {
        Problem::invalid(format!(
            "a table of routes (gateway.routes) is in force, and the proxy did not tell the request's {name}, once and in ASCII"
        ))
    };
    let method = told.method.ok_or_else(|| missing(method_name))?;
    let target = told.target.ok_or_else(|| missing(path_name))?;
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    match routes.needed(method, path) {
        Ok(scopes) => Ok(Needed::Scopes(scopes)),
        Err(Unrouted::Ambiguous(how)) => Err(Problem::new(
            400,
            "ambiguous_request",
            format!(
                "the request can be read in more than one way, so that no route can be chosen for it: {how}"
            ),
        )),
        Err(Unrouted::NoRoute) => {
            let shown: String = path.chars().take(SHOWN).collect();
            Ok(Needed::NoRoute(Problem::new(
                403,
                "no_route",
                format!("no route of the gateway is for {method} {shown}"),
            )))
        }
    }
}
