//! `/v1/streams`: leases of WebSocket streams, of which a key may have so many at once. A lease that is not renewed ends by itself.

use actix_web::web::{Path, Payload};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::guard::{By, caller, wanted};
use super::openapi::{BodyRefusals, NotFound, Refusals};
use super::{Problem, answer, ip, members, version};
use crate::api_key::format::PublicId;
use crate::api_key::key::{KeySecret, Refusal};
use crate::api_key::plan::{Class, WINDOW};
use crate::api_key::window::Standing;
use crate::app::ALLOWED;
use crate::base::encoding::base62;
use crate::flow::check::{Asked, Limit, Verdict, check};
use crate::store::limits::Lease;
use crate::web::{Node, extract, refuse};

/// How long a lease lasts without being renewed, in seconds: a stream whose holder was killed is free again after that.
const LIFE: i64 = WINDOW;

/// How often a holder renews, in seconds: it hears of a revocation by renewing, and closes within this time (S-K8).
const RENEWAL: i64 = 5;

/// What is asked for a stream.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OpenStream)]
pub(super) struct Open {
    /// The key that it is opened with.
    key: String,
    /// For what, for people who look when the key was used last.
    #[serde(default)]
    resource: Option<String>,
    /// What the key must be allowed to do.
    #[serde(default)]
    scopes: Vec<String>,
    /// From where it is used.
    #[serde(default)]
    ip: Option<String>,
}

/// A stream that was opened.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenedStream)]
pub(super) struct Opened {
    /// The lease.
    id: String,
    /// The key's id.
    key_id: String,
    /// When it ends unless it is renewed, in seconds.
    expires_in: i64,
    /// How often to renew it, in seconds: the holder hears so of a revoked key.
    renew_in: i64,
    /// How many more the key may have.
    remaining: u32,
}

/// A stream that was renewed.
#[derive(Serialize, ToSchema)]
#[schema(as = RenewedStream)]
pub(super) struct Renewed {
    /// The lease.
    id: String,
    /// When it ends unless it is renewed, in seconds.
    expires_in: i64,
    /// How often to renew it, in seconds.
    renew_in: i64,
}

/// A stream that was given back.
#[derive(Serialize, ToSchema)]
#[schema(as = ReleasedStream)]
pub(super) struct Released {
    /// The lease.
    id: String,
    /// That it is free again.
    released: bool,
}

/// Takes a lease of a stream, of which a key may have so many at once. Needs `keys:verify`.
#[utoipa::path(post, path = "/v1/streams", operation_id = "open_stream", tag = "streams", request_body = Open,
    responses((status = 201, description = "The lease.", body = Opened), Refusals, BodyRefusals, NotFound))]
pub(in crate::web) async fn open(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    answer(&app, &req, do_open(&app, &req, payload).await, true)
}

/// Renews a lease. A key that was revoked meanwhile renews none: close the stream then. Needs `keys:verify`.
#[utoipa::path(put, path = "/v1/streams/{id}", operation_id = "renew_stream", tag = "streams", params(("id" = String, Path, description = "The lease.")),
    responses((status = 200, description = "Renewed.", body = Renewed), Refusals, NotFound))]
pub(in crate::web) async fn renew(app: Node, req: HttpRequest, id: Path<String>) -> HttpResponse {
    answer(&app, &req, do_renew(&app, &req, &id).await, false)
}

/// Gives a lease back. Needs `keys:verify`.
#[utoipa::path(delete, path = "/v1/streams/{id}", operation_id = "close_stream", tag = "streams", params(("id" = String, Path, description = "The lease.")),
    responses((status = 200, description = "Given back.", body = Released), Refusals, NotFound))]
pub(in crate::web) async fn close(app: Node, req: HttpRequest, id: Path<String>) -> HttpResponse {
    let done = async {
        version(&req)?;
        caller(&app, &req, "keys:verify", By::Anybody).await?;
        let (key, _, lease) = parts(&id)?;
        if app.limits.release(key, lease).await {
            Ok(Released { id: id.to_string(), released: true })
        } else {
            Err(gone())
        }
    };
    answer(&app, &req, done.await, false)
}

async fn do_open(app: &Node, req: &HttpRequest, payload: Payload) -> Result<Opened, Problem> {
    version(req)?;
    caller(app, req, "keys:verify", By::Anybody).await?;
    let asked: Open = members(extract::json(app, req, payload).await?)?;
    let address = ip(asked.ip.as_deref())?;
    let now = app.now();
    let scopes = wanted("scopes", asked.scopes.iter().map(String::as_str))?;
    let question = Asked {
        credential: &asked.key,
        scopes: &scopes,
        address,
        resource: asked.resource.as_deref(),
        ..Asked::default()
    };
    let verdict = check(app, &question, now).await.map_err(|error| refuse::problem_of(&error))?;
    let allowed = match verdict {
        Verdict::Allowed(allowed) => *allowed,
        // The field tells it from a caller who may not ask.
        Verdict::Refused { refusal, .. } => {
            return Err(Problem { field: Some("key"), ..refuse::refusal_of(&refusal, None) });
        }
    };
    let (Some(key), Some(fingerprint)) = (allowed.key, allowed.secret) else {
        return Err(Problem { field: Some("key"), ..Problem::invalid("key: an API key is needed") });
    };
    let secret = key.secrets.iter().find(|secret| secret.fingerprint == fingerprint).ok_or_else(gone)?;
    let budget = app.budget(&key, Class::Streams);
    let lease = base62(&app.entropy.bytes::<16>());
    let held = app.limits.lease((key.id, &lease, Lease::Take), budget.most(), LIFE, now).await;
    let standing = Standing { allowed: held.allowed, remaining: held.remaining, more_in: LIFE };
    let limit = Limit { budget, standing };
    req.extensions_mut().insert(limit);
    let outcome = if held.allowed { ALLOWED } else { Refusal::RateLimited.outcome() };
    app.count_key(key.id, Class::Streams, outcome, now);
    if !held.allowed {
        return Err(refuse::refusal_of(&Refusal::RateLimited, Some(limit)));
    }
    Ok(Opened {
        id: format!("{}-{}-{lease}", key.id, mark(secret)),
        key_id: key.id.to_string(),
        expires_in: LIFE,
        renew_in: RENEWAL,
        remaining: held.remaining,
    })
}

/// A key that was revoked meanwhile renews no stream, and neither does a secret that a rotation ended: its holder closes it (S-K8).
async fn do_renew(app: &Node, req: &HttpRequest, id: &str) -> Result<Renewed, Problem> {
    version(req)?;
    caller(app, req, "keys:verify", By::Anybody).await?;
    let (key_id, marked, lease) = parts(id)?;
    let now = app.now();
    let key = app.api_key(key_id).ok_or_else(gone)?;
    if key.judge(|secret| mark(secret) == marked, now).is_err() {
        app.limits.release(key_id, lease).await;
        return Err(gone());
    }
    let budget = app.budget(&key, Class::Streams);
    let held = app.limits.lease((key_id, lease, Lease::Renew), budget.most(), LIFE, now).await;
    if !held.allowed {
        return Err(gone());
    }
    Ok(Renewed { id: id.to_owned(), expires_in: LIFE, renew_in: RENEWAL })
}

/// What a stream's id says of the secret that it was opened with: enough to know it again among two. Not of the keyed hash, which is
/// another one under another pepper.
fn mark(secret: &KeySecret) -> String {
    format!("{}{}", secret.tail, base62(&secret.created_at.as_secs().to_be_bytes()))
}

fn parts(id: &str) -> Result<(PublicId, &str, &str), Problem> {
    let mut parts = id.splitn(3, '-');
    match (parts.next().and_then(|key| key.parse().ok()), parts.next(), parts.next()) {
        (Some(key), Some(mark), Some(lease)) => Ok((key, mark, lease)),
        _ => Err(gone()),
    }
}

fn gone() -> Problem {
    Problem::new(404, "not_found", "there is no such stream, or it ended; close it and open another")
}
