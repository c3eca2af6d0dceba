//! `/v1`: JSON for automation. Errors are problem+json (RFC 9457) with a `code` and the request's id; `X-API-Version` is understood.

pub(super) mod audit;
pub(super) mod guard;
pub(super) mod keys;
pub(super) mod leaks;
pub(super) mod openapi;
pub(super) mod service_accounts;
pub(super) mod streams;
pub(super) mod verify;

use actix_web::{HttpRequest, HttpResponse};
use serde::de::DeserializeOwned;
use serde::{Deserialize as _, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::arrived::Arrived;
use super::headers::X_API_VERSION;
use super::{extract, refuse, reply};
use crate::app::App;
use crate::oauth::params::Params;

/// The versions that are spoken, the newest first.
pub(super) const VERSIONS: [&str; 1] = ["2024-10"];

/// What an API address refuses with.
#[derive(Debug)]
pub(super) struct Problem {
    /// The HTTP status.
    pub(super) status: u16,
    /// A stable word.
    pub(super) code: &'static str,
    /// A sentence that names the field and what is allowed.
    pub(super) detail: String,
    /// The member that is wrong.
    pub(super) field: Option<&'static str>,
    /// `WWW-Authenticate`, for 401 and 403.
    pub(super) challenge: Option<String>,
    /// Seconds to wait.
    pub(super) retry_after: Option<i64>,
    /// Budgets that are used up, by name (draft-ietf-httpapi-ratelimit-headers-10).
    pub(super) violated: Option<&'static str>,
}

impl Problem {
    /// Without anything beside code and sentence.
    pub(super) fn new(status: u16, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            field: None,
            challenge: None,
            retry_after: None,
            violated: None,
        }
    }

    /// A request that cannot be understood.
    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(400, "invalid_request", detail)
    }
}

/// Looks whether the version that is asked for is one that we speak; absent is the newest.
pub(super) fn version(req: &impl Arrived) -> Result<(), Problem> {
    match req.head().headers().get(X_API_VERSION).map(|v| v.to_str().unwrap_or("?").trim()) {
        None => Ok(()),
        Some(asked) if VERSIONS.contains(&asked) => Ok(()),
        Some(_) => {
            let known = VERSIONS.join(", ");
            Err(Problem::new(400, "unknown_api_version", format!("X-API-Version: allowed are {known}")))
        }
    }
}

/// What a handler came to, with the limit that the request was counted against.
pub(super) fn answer<T: Serialize>(
    app: &App,
    req: &impl Arrived,
    done: Result<T, Problem>,
    created: bool,
) -> HttpResponse {
    let mut answer = match done {
        Ok(document) if created => reply::created(&document),
        Ok(document) => reply::json(&document),
        Err(problem) => refuse::problem(req, &problem),
    };
    if let Some(limit) = req.noted() {
        reply::tell_limit(&mut answer, &limit, app.now().as_secs());
    }
    answer
}

/// The members of a body; what is missing, unknown or of another type is named.
pub(super) fn members<T: DeserializeOwned>(body: Value) -> Result<T, Problem> {
    // A list of the right length would be read as well, member by member.
    if !body.is_object() {
        return Err(Problem::invalid("an object is needed as the request's body"));
    }
    serde_json::from_value(body).map_err(|e| Problem::invalid(e.to_string()))
}

/// A member that is an object, and not a list of its members' values.
pub(super) fn object<'de, D: Deserializer<'de>, T: DeserializeOwned>(from: D) -> Result<T, D::Error> {
    let members = Map::<String, Value>::deserialize(from)?;
    serde_json::from_value(Value::Object(members)).map_err(serde::de::Error::custom)
}

/// The parameters in the query, of which only these are known: a misspelt filter must not show everything.
pub(super) fn parameters(req: &HttpRequest, known: &[&str]) -> Result<Params, Problem> {
    let query = extract::query(req).map_err(|error| refuse::problem_of(&error))?;
    query.refuse_repeated().map_err(|error| refuse::problem_of(&error))?;
    if let Some(name) = query.names().find(|name| !known.contains(name)) {
        let shown: String = name.chars().take(64).collect();
        return Err(Problem::invalid(format!("{}: allowed are {}", shown.escape_debug(), known.join(", "))));
    }
    // So must not a filter whose value got lost in somebody's script.
    if let Some(name) = query.without_value() {
        return Err(Problem::invalid(format!("{name}: a value is needed; leave the name out otherwise")));
    }
    Ok(query)
}

/// How many rows of a list are wanted, at most `most`.
pub(super) fn limit(query: &Params, usual: i64, most: i64) -> Result<i64, Problem> {
    let Some(text) = query.get("limit") else { return Ok(usual) };
    text.parse().ok().filter(|limit| (1..=most).contains(limit)).ok_or_else(|| Problem {
        field: Some("limit"),
        ..Problem::invalid(format!("limit: a number from 1 to {most} is allowed"))
    })
}

/// The address in the member `ip`.
pub(super) fn ip(text: Option<&str>) -> Result<Option<std::net::IpAddr>, Problem> {
    text.map(str::parse).transpose().map_err(|_| Problem {
        field: Some("ip"),
        ..Problem::invalid("ip: an address is needed, such as 203.0.113.7 or 2001:db8::7")
    })
}
