//! `/v1/keys`: mint, list, show, rotate, revoke.

use actix_web::web::{Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::{Value, json};

use super::guard::{By, caller};
use super::{Problem, answer, limit, members, parameters, version};
use crate::api_key::allowlist;
use crate::api_key::key::ApiKey;
use crate::api_key::leak::LeakPolicy;
use crate::api_key::permission::Permissions;
use crate::api_key::plan::Overrides;
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::flow::audit;
use crate::flow::keys::{self, KeyError, NewKey};
use crate::store::api_keys;
use crate::web::{Node, extract, refuse};

/// Keys in one page of the list at most.
const PAGE: i64 = 200;

/// What is asked for a key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mint {
    name: String,
    environment: String,
    scopes: Vec<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    expires_at: Option<String>,
    #[serde(default)]
    not_before: Option<String>,
    #[serde(default)]
    allow_ips: Vec<String>,
    #[serde(default)]
    deny_ips: Vec<String>,
    #[serde(default)]
    limits: Overrides,
    #[serde(default)]
    leak_policy: Option<LeakPolicy>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotate {
    #[serde(default)]
    overlap_seconds: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoke {
    #[serde(default)]
    reason: Option<String>,
}

/// `POST /v1/keys`
pub(in crate::web) async fn mint(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    answer(&app, &req, do_mint(&app, &req, payload).await, true)
}

/// `GET /v1/keys`
pub(in crate::web) async fn list(app: Node, req: HttpRequest) -> HttpResponse {
    answer(&app, &req, do_list(&app, &req).await, false)
}

/// `GET /v1/keys/{id}`
pub(in crate::web) async fn show(app: Node, req: HttpRequest, id: Path<String>) -> HttpResponse {
    let done = async {
        version(&req)?;
        caller(&app, &req, "keys:read", By::Anybody).await?;
        Ok(keys::described(&keys::find(&app, &id).await.map_err(refused)?, app.now()))
    };
    answer(&app, &req, done.await, false)
}

/// `POST /v1/keys/{id}/rotate`
pub(in crate::web) async fn rotate(
    app: Node,
    req: HttpRequest,
    id: Path<String>,
    payload: Payload,
) -> HttpResponse {
    let done = async {
        version(&req)?;
        let by = doer(&app, &req).await?;
        let asked: Rotate = body_or_default(&app, &req, payload).await?;
        let overlap = asked.overlap_seconds.unwrap_or(86_400);
        let (key, secret) = keys::rotate(&app, &by, &id, overlap).await.map_err(refused)?;
        Ok(shown_once(&app, &key, &secret))
    };
    answer(&app, &req, done.await, false)
}

/// `DELETE /v1/keys/{id}`
pub(in crate::web) async fn revoke(
    app: Node,
    req: HttpRequest,
    id: Path<String>,
    payload: Payload,
) -> HttpResponse {
    let done = async {
        version(&req)?;
        let by = doer(&app, &req).await?;
        let asked: Revoke = body_or_default(&app, &req, payload).await?;
        let key = keys::revoke(&app, &by, &id, asked.reason).await.map_err(refused)?;
        Ok(keys::described(&key, app.now()))
    };
    answer(&app, &req, done.await, false)
}

/// A body that may be left out.
async fn body_or_default<T: Default + for<'de> Deserialize<'de>>(
    app: &Node,
    req: &HttpRequest,
    payload: Payload,
) -> Result<T, Problem> {
    match extract::optional_json(app, req, payload).await? {
        None => Ok(T::default()),
        Some(body) => members(body),
    }
}

async fn do_mint(app: &Node, req: &HttpRequest, payload: Payload) -> Result<Value, Problem> {
    version(req)?;
    let by = doer(app, req).await?;
    let asked: Mint = members(extract::json(app, req, payload).await?)?;
    let field =
        |field: &'static str, problem: &str| refused(KeyError::Field { field, problem: problem.to_owned() });
    let scopes =
        Permissions::parse(asked.scopes.iter().map(String::as_str)).map_err(|p| field("scopes", &p))?;
    let moment = |name: &'static str, text: Option<String>| match text {
        None => Ok(None),
        Some(text) => Timestamp::from_rfc3339(&text)
            .map(Some)
            .ok_or_else(|| field(name, "a time as RFC 3339 is needed, such as 2026-12-01T00:00:00Z")),
    };
    let nets = |name: &'static str, list: Vec<String>| {
        list.iter()
            .map(|text| allowlist::network(text).map_err(|p| field(name, &p)))
            .collect::<Result<Vec<_>, _>>()
    };
    let expires = moment("expires_at", asked.expires_at)?;
    let new = NewKey {
        name: asked.name,
        environment: asked.environment.parse().map_err(|p: &'static str| field("environment", p))?,
        scopes,
        description: asked.description,
        lifetime: expires.map(|at| at.since(app.now())),
        not_before: moment("not_before", asked.not_before)?,
        allow: nets("allow_ips", asked.allow_ips)?,
        deny: nets("deny_ips", asked.deny_ips)?,
        limits: asked.limits,
        leak_policy: asked.leak_policy,
    };
    let (key, secret) = keys::mint(app, &by, new).await.map_err(refused)?;
    Ok(shown_once(app, &key, &secret))
}

/// Who makes or changes keys, for the audit log and for the bounds of what they may give away.
async fn doer(app: &Node, req: &HttpRequest) -> Result<audit::By, Problem> {
    let holder = caller(app, req, "keys:write", By::TokenOnly).await?;
    Ok(audit::By::holder(&holder, &extract::caller(app, req)))
}

/// A key with what it is: the one answer that holds it.
fn shown_once(app: &Node, key: &ApiKey, secret: &Secret<String>) -> Value {
    let mut document = keys::described(key, app.now());
    if let Some(members) = document.as_object_mut() {
        members.insert("key".to_owned(), secret.reveal().clone().into());
    }
    document
}

async fn do_list(app: &Node, req: &HttpRequest) -> Result<Value, Problem> {
    version(req)?;
    caller(app, req, "keys:read", By::Anybody).await?;
    let query = parameters(req, &["limit", "after"])?;
    let limit = usize::try_from(limit(&query, 50, PAGE)?).unwrap_or_default();
    let after = query.get("after").map(str::to_owned);
    let after = match after {
        None => None,
        Some(id) => Some(keys::find(app, &id).await.map_err(|error| match error {
            KeyError::BeyondCaller => Problem::new(403, "scopes_exceed_callers", error.to_string()),
            KeyError::Unknown(_) => {
                Problem { field: Some("after"), ..Problem::invalid("after: the key_id of a key is allowed") }
            }
            other => refused(other),
        })?),
    };
    // One more than is shown tells whether there is more.
    let found = app
        .store
        .read(move |conn| api_keys::page(conn, after.as_ref().map(|key| (key.created_at, key.id)), limit + 1))
        .await
        .map_err(|error| refuse::problem_of(&error.into()))?;
    let page: Vec<Value> = found.iter().take(limit).map(|key| keys::described(key, app.now())).collect();
    let next = page.last().filter(|_| found.len() > limit).map(|key| key["key_id"].clone());
    Ok(json!({ "keys": page, "next": next }))
}

fn refused(error: KeyError) -> Problem {
    match error {
        KeyError::Field { field, .. } => {
            Problem { field: Some(field), ..Problem::invalid(error.to_string()) }
        }
        KeyError::BeyondCaller => Problem::new(403, "scopes_exceed_callers", error.to_string()),
        KeyError::Unknown(_) => Problem::new(404, "not_found", "there is no such key"),
        KeyError::Revoked(_) | KeyError::StillWorks(_) => Problem::new(409, "conflict", error.to_string()),
        KeyError::Error(error) => refuse::problem_of(&error),
    }
}
