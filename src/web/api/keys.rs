//! `/v1/keys`: mint, list, show, change, rotate, revoke.

use actix_web::web::{Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::guard::{By, caller};
use super::openapi::{BodyRefusals, Conflict, NotFound, Refusals};
use super::{Problem, answer, limit, members, object, parameters, version};
use crate::api_key::allowlist;
use crate::api_key::key::ApiKey;
use crate::api_key::leak::LeakPolicy;
use crate::api_key::permission::Permissions;
use crate::api_key::plan::Overrides;
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::flow::audit;
use crate::flow::key_view::{KeyView, ShownOnce};
use crate::flow::keys::{self, KeyError, NewKey};
use crate::store::api_keys;
use crate::web::{Node, extract, refuse};

/// Keys in one page of the list at most.
const PAGE: i64 = 200;

/// What is asked for a key.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Mint {
    /// What people call it.
    #[schema(min_length = 1, max_length = 100, example = "deploy")]
    name: String,
    /// Its environment: 2 to 8 small letters, and none of the words of our other secrets (`at`, `rt`, `ac`, `cs`, `dcr`).
    #[schema(pattern = "^[a-z]{2,8}$", example = "prod")]
    environment: String,
    /// What it may do: `resource:action`, with wildcards; the caller's own scopes or fewer.
    #[schema(min_items = 1, example = json!(["instances:read"]))]
    scopes: Vec<String>,
    /// What people say about it.
    #[serde(default)]
    #[schema(max_length = 500)]
    description: Option<String>,
    /// Until when it works; for good when absent.
    #[serde(default)]
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// From when on it works.
    #[serde(default)]
    #[schema(format = DateTime)]
    not_before: Option<String>,
    /// Addresses and networks from which it may be used; everywhere when empty.
    #[serde(default)]
    #[schema(example = json!(["203.0.113.0/24"]))]
    allow_ips: Vec<String>,
    /// Addresses and networks from which it may not be used.
    #[serde(default)]
    deny_ips: Vec<String>,
    /// Limits that are lower than those of the organization's tier.
    #[serde(default, deserialize_with = "object")]
    limits: Overrides,
    /// What becomes of it when it is found in public; as the settings say when absent.
    #[serde(default)]
    leak_policy: Option<LeakPolicy>,
}

/// How a key is rotated.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotate {
    /// How long the secret before goes on working; a day when absent, 0 to stop it at once.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 2_592_000)]
    overlap_seconds: Option<i64>,
}

/// What is to change of a key; what is absent stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeKey {
    /// What people call it.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
    /// What people say about it; nothing when empty.
    #[serde(default)]
    #[schema(max_length = 500)]
    description: Option<String>,
    /// Addresses and networks from which it may be used; everywhere when empty.
    #[serde(default)]
    #[schema(example = json!(["203.0.113.0/24"]))]
    allow_ips: Option<Vec<String>>,
    /// Addresses and networks from which it may not be used.
    #[serde(default)]
    deny_ips: Option<Vec<String>>,
}

/// Why a key is revoked.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Revoke {
    /// For whoever looks later.
    #[serde(default)]
    #[schema(max_length = 500)]
    reason: Option<String>,
}

/// A page of keys, the newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct Keys {
    keys: Vec<KeyView>,
    /// What to ask for as `after` to get the next page; null on the last.
    next: Option<String>,
}

/// Mints a key. It is shown this once. Needs `keys:write` and an access token: a key makes no keys.
#[utoipa::path(post, path = "/v1/keys", operation_id = "mint_key", tag = "keys", security(("bearer" = ["keys:write"])), request_body = Mint,
    responses((status = 201, description = "The key, shown this once.", body = ShownOnce), Refusals, BodyRefusals))]
pub(in crate::web) async fn mint(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    shown_once(&app, &req, do_mint(&app, &req, payload).await, true)
}

/// Lists keys, masked, the newest first. Needs `keys:read`.
#[utoipa::path(get, path = "/v1/keys", operation_id = "list_keys", tag = "keys",
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "How many at most; 50 when absent."),
        ("after" = Option<String>, Query, min_length = 1, description = "The `next` of the page before.")),
    responses((status = 200, description = "Keys, masked.", body = Keys), Refusals))]
pub(in crate::web) async fn list(app: Node, req: HttpRequest) -> HttpResponse {
    answer(&app, &req, do_list(&app, &req).await, false)
}

/// Shows a key, masked. Needs `keys:read`.
#[utoipa::path(get, path = "/v1/keys/{id}", operation_id = "show_key", tag = "keys", params(("id" = String, Path, description = "The key's id.")),
    responses((status = 200, description = "The key, masked.", body = KeyView), Refusals, NotFound))]
pub(in crate::web) async fn show(app: Node, req: HttpRequest, id: Path<String>) -> HttpResponse {
    let done = async {
        version(&req)?;
        caller(&app, &req, "keys:read", By::Anybody).await?;
        Ok(KeyView::of(&keys::find(&app, &id).await.map_err(refused)?, app.now()))
    };
    answer(&app, &req, done.await, false)
}

/// Makes a new secret for a key: same id, same scopes, same limits, same past. The one before works for an overlap.
/// Needs `keys:write`, the key's own scopes, and an access token.
#[utoipa::path(post, path = "/v1/keys/{id}/rotate", operation_id = "rotate_key", tag = "keys", security(("bearer" = ["keys:write"])),
    params(("id" = String, Path, description = "The key's id.")), request_body(content = Option<Rotate>),
    responses((status = 200, description = "The key with its new secret, shown this once.", body = ShownOnce), Refusals, BodyRefusals, NotFound, Conflict))]
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
        keys::rotate(&app, &by, &id, overlap).await.map_err(refused)
    };
    shown_once(&app, &req, done.await, false)
}

/// Changes what a key is called and from where it may be used; what it may do never changes. Needs `keys:write` and an access token.
#[utoipa::path(patch, path = "/v1/keys/{id}", operation_id = "change_key", tag = "keys", security(("bearer" = ["keys:write"])),
    params(("id" = String, Path, description = "The key's id.")), request_body = ChangeKey,
    responses((status = 200, description = "The key, masked.", body = KeyView), Refusals, BodyRefusals, NotFound, Conflict))]
pub(in crate::web) async fn change(
    app: Node,
    req: HttpRequest,
    id: Path<String>,
    payload: Payload,
) -> HttpResponse {
    let done = async {
        version(&req)?;
        let by = doer(&app, &req).await?;
        let asked: ChangeKey = members(extract::json(&app, &req, payload).await?)?;
        let list = |name, list: Option<Vec<String>>| list.map(|list| networks(name, &list)).transpose();
        let change = keys::Change {
            name: asked.name,
            description: asked.description,
            allow: list("allow_ips", asked.allow_ips)?,
            deny: list("deny_ips", asked.deny_ips)?,
            limits: None,
        };
        let key = keys::change(&app, &by, &id, change).await.map_err(refused)?;
        Ok(KeyView::of(&key, app.now()))
    };
    answer(&app, &req, done.await, false)
}

/// Revokes a key for good. Needs `keys:write` and an access token.
#[utoipa::path(delete, path = "/v1/keys/{id}", operation_id = "revoke_key", tag = "keys", security(("bearer" = ["keys:write"])),
    params(("id" = String, Path, description = "The key's id.")), request_body(content = Option<Revoke>),
    responses((status = 200, description = "The key, revoked.", body = KeyView), Refusals, BodyRefusals, NotFound))]
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
        Ok(KeyView::of(&key, app.now()))
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

async fn do_mint(app: &Node, req: &HttpRequest, payload: Payload) -> Result<Minted, Problem> {
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
    let expires = moment("expires_at", asked.expires_at)?;
    let new = NewKey {
        name: asked.name,
        environment: asked.environment.parse().map_err(|p: &'static str| field("environment", p))?,
        scopes,
        description: asked.description,
        lifetime: expires.map(|at| at.since(app.now())),
        not_before: moment("not_before", asked.not_before)?,
        allow: networks("allow_ips", &asked.allow_ips)?,
        deny: networks("deny_ips", &asked.deny_ips)?,
        limits: asked.limits,
        leak_policy: asked.leak_policy,
    };
    keys::mint(app, &by, new).await.map_err(refused)
}

/// The networks of a member.
fn networks(field: &'static str, list: &[String]) -> Result<Vec<IpNet>, Problem> {
    let read = list.iter().map(|text| allowlist::network(text)).collect::<Result<Vec<_>, _>>();
    read.map_err(|problem| refused(KeyError::Field { field, problem }))
}

/// Who makes or changes keys, for the audit log and for the bounds of what they may give away.
async fn doer(app: &Node, req: &HttpRequest) -> Result<audit::By, Problem> {
    let holder = caller(app, req, "keys:write", By::TokenOnly).await?;
    Ok(audit::By::holder(&holder, &extract::caller(app, req)))
}

/// A key and its new secret.
type Minted = (ApiKey, Secret<String>);

/// The one answer that holds a key.
fn shown_once(app: &Node, req: &HttpRequest, done: Result<Minted, Problem>, created: bool) -> HttpResponse {
    match done {
        Ok((key, secret)) => answer(app, req, Ok(ShownOnce::of(&key, &secret, app.now())), created),
        Err(problem) => answer::<()>(app, req, Err(problem), created),
    }
}

async fn do_list(app: &Node, req: &HttpRequest) -> Result<Keys, Problem> {
    version(req)?;
    caller(app, req, "keys:read", By::Anybody).await?;
    let query = parameters(req, &["limit", "after"])?;
    let limit = usize::try_from(limit(&query, 50, PAGE)?).unwrap_or_default();
    let after = query.get("after").map(str::to_owned);
    let after = match after {
        None => None,
        Some(id) => Some(keys::find(app, &id).await.map_err(|error| match error {
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
    let page: Vec<KeyView> = found.iter().take(limit).map(|key| KeyView::of(key, app.now())).collect();
    let next = page.last().filter(|_| found.len() > limit).map(|key| key.key_id.clone());
    Ok(Keys { keys: page, next })
}

fn refused(error: KeyError) -> Problem {
    match error {
        KeyError::Field { field, .. } => {
            Problem { field: Some(field), ..Problem::invalid(error.to_string()) }
        }
        KeyError::BeyondCaller => Problem::new(403, "scopes_exceed_callers", error.to_string()),
        KeyError::Unknown(_) => Problem::new(404, "not_found", "there is no such key"),
        KeyError::Revoked(_) | KeyError::StillWorks(_) | KeyError::Again => {
            Problem::new(409, "conflict", error.to_string())
        }
        KeyError::Error(error) => refuse::problem_of(&error),
    }
}
