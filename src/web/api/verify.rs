//! `POST /v1/keys/verify`: is this key good, for that, from there? Many an API asks it with every request that it gets, so it is read and
//! written without detours: typed both ways.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::guard::{By, caller, wanted};
use super::openapi::{BodyRefusals, Refusals};
use super::{Problem, answer, ip, version};
use crate::api_key::plan::Class;
use crate::app::App;
use crate::base::id::OrganizationId;
use crate::base::time::Timestamp;
use crate::flow::check::{Asked, Verdict, check};
use crate::web::arrived::Arrived;
use crate::web::extract::Body;
use crate::web::{Node, extract, refuse};

/// What is asked about a key.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Verify {
    /// The key, or an access token.
    key: String,
    /// What it must be allowed to do; all of it.
    #[serde(default)]
    #[schema(example = json!(["instances:read"]))]
    scopes: Vec<String>,
    /// From where it is used.
    #[serde(default)]
    #[schema(example = "203.0.113.7")]
    ip: Option<String>,
    /// The environment that a key must be of.
    #[serde(default)]
    environment: Option<String>,
    /// The method of the request that is asked about: what is counted. Nothing is counted when absent.
    #[serde(default)]
    #[schema(example = "GET")]
    method: Option<String>,
    /// How many uses of it; 1 when absent.
    #[serde(default)]
    cost: Option<u32>,
}

/// The answer of `POST /v1/keys/verify`. Of a key that was not recognised nothing but the code is told.
#[derive(Serialize, ToSchema)]
pub(super) struct Verified<'a> {
    /// Whether the key may do what was asked.
    valid: bool,
    /// `VALID`, or why not.
    code: &'static str,
    /// The public id; absent for an access token, which may be asked about as well.
    key_id: Option<&'a str>,
    /// What people call it.
    name: Option<&'a str>,
    /// Whose it is.
    #[schema(value_type = Option<String>)]
    organization_id: Option<OrganizationId>,
    /// Who made the key; whom a token speaks for.
    owner: Option<&'a str>,
    /// Its environment.
    environment: Option<&'a str>,
    /// What it may do.
    scopes: Option<Vec<&'a str>>,
    /// Until when it works, as RFC 3339; for good when absent.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// The budget that was charged, when `method` said which.
    ratelimit: Option<Charged>,
}

/// A budget in the answer of `POST /v1/keys/verify`.
#[derive(Serialize, ToSchema)]
struct Charged {
    /// Of which requests.
    class: Class,
    /// How many in any minute.
    limit: u32,
    /// How many are left.
    remaining: u32,
    /// Seconds until there are more.
    reset_seconds: i64,
}

impl<'a> Verified<'a> {
    fn of(verdict: &'a Verdict) -> Self {
        let (code, key, limit, allowed) = match verdict {
            Verdict::Allowed(allowed) => ("VALID", allowed.key.as_ref(), allowed.limit, Some(allowed)),
            Verdict::Refused { refusal, key, limit } => (refusal.code(), key.as_ref(), *limit, None),
        };
        let token = allowed.filter(|_| key.is_none());
        let of_key = key.map(|key| key.scopes.words().collect());
        let expires_at = key.map_or_else(|| token.and_then(|token| token.expires_at), |key| key.expires_at);
        Self {
            valid: allowed.is_some(),
            code,
            key_id: key.map(|key| key.id.as_str()),
            name: key.map(|key| key.name.as_str()),
            organization_id: key.map(|key| key.organization),
            owner: key
                .map(|key| key.created_by.as_str())
                .or(token.and_then(|token| token.token_of.as_deref())),
            environment: key.map(|key| key.environment.as_str()),
            scopes: of_key.or_else(|| token.map(|token| token.scopes.split(' ').collect())),
            expires_at: expires_at.map(Timestamp::to_rfc3339),
            ratelimit: limit.map(|limit| Charged {
                class: limit.budget.class,
                limit: limit.budget.most(),
                remaining: limit.standing.remaining,
                reset_seconds: limit.standing.more_in,
            }),
        }
    }
}

/// Is this key good, for that, from there? Always 200; `code` says why not. Needs `keys:verify`.
#[utoipa::path(post, path = "/v1/keys/verify", operation_id = "verify_key", tag = "keys", request_body = Verify,
    responses((status = 200, description = "The decision.", body = Verified), Refusals, BodyRefusals))]
pub(in crate::web) async fn verify(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    decide(&app, &req, payload).await
}

/// The same, whichever way the request came in.
pub(in crate::web) async fn decide(app: &App, req: &impl Arrived, body: impl Body) -> HttpResponse {
    match decided(app, req, body).await {
        Ok(verdict) => answer(app, req, Ok(Verified::of(&verdict)), false),
        Err(problem) => answer::<()>(app, req, Err(problem), false),
    }
}

async fn decided(app: &App, req: &impl Arrived, body: impl Body) -> Result<Verdict, Problem> {
    version(req)?;
    caller(app, req, "keys:verify", By::Anybody).await?;
    let asked: Verify = extract::members(app, req, body).await?;
    let address = ip(asked.ip.as_deref())?;
    if asked.cost.is_some() && asked.method.is_none() {
        let problem = "cost: method is needed beside it, which says what is counted";
        return Err(Problem { field: Some("cost"), ..Problem::invalid(problem) });
    }
    let cost = asked.cost.unwrap_or(1);
    let scopes = wanted("scopes", asked.scopes.iter().map(String::as_str))?;
    let question = Asked {
        credential: &asked.key,
        scopes: &scopes,
        address,
        environment: asked.environment.as_deref(),
        class: asked.method.as_deref().map(Class::of),
        cost,
        resource: None,
        for_us: false,
    };
    check(app, &question, app.now()).await.map_err(|error| refuse::problem_of(&error))
}
