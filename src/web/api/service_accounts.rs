//! `/v1/service-accounts/{id}/keys`: an account publishes its own next key.

use actix_web::web::{Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::openapi::{BodyRefusals, Conflict, NotFound, Refusals};
use super::{Problem, answer, members, version};
use crate::base::time::Timestamp;
use crate::flow::service_accounts::{self, AccountError};
use crate::oauth::error::OAuthError;
use crate::web::{Node, extract, refuse};

/// An account's next key.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NextKey)]
pub(super) struct NewKey {
    /// A JWK (object) or a PEM public key (text).
    public_key: Value,
    /// How long the key that signs the assertion goes on working; an hour when absent.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 2_592_000)]
    overlap_seconds: Option<i64>,
}

/// A key that was published. Times are RFC 3339.
#[derive(Serialize, ToSchema)]
#[schema(as = PublishedKey)]
pub(super) struct Published {
    /// The account.
    service_account_id: String,
    /// The key's name.
    kid: String,
    /// What it signs with.
    alg: &'static str,
    /// When it was published.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it stops working.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// The key that vouched for it.
    previous: Previous,
}

/// The key that vouched for the next one.
#[derive(Serialize, ToSchema)]
#[schema(as = VouchingKey)]
struct Previous {
    /// Its name.
    kid: String,
    /// When it stops working.
    #[schema(format = DateTime)]
    expires_at: String,
}

/// An account publishes its own next key, with the assertion of a current one as bearer token, whose `aud` is this address.
#[utoipa::path(post, path = "/v1/service-accounts/{id}/keys", operation_id = "publish_key", tag = "service accounts", security(("bearer" = [])),
    params(("id" = String, Path, description = "The account's id.")), request_body = NewKey,
    responses((status = 201, description = "The key.", body = Published), Refusals, BodyRefusals, NotFound, Conflict))]
pub(in crate::web) async fn publish_key(
    app: Node,
    req: HttpRequest,
    id: Path<String>,
    payload: Payload,
) -> HttpResponse {
    answer(&app, &req, publish(&app, &req, &id, payload).await, true)
}

async fn publish(app: &Node, req: &HttpRequest, id: &str, payload: Payload) -> Result<Published, Problem> {
    version(req)?;
    let assertion = extract::bearer(req, None).map_err(|error| not_authorised(&error))?;
    let new: NewKey = members(extract::json(app, req, payload).await?)?;
    let text = match &new.public_key {
        Value::String(pem) => pem.clone(),
        other => other.to_string(),
    };
    let caller = extract::caller(app, req);
    let done = service_accounts::publish_key(app, id, &assertion, (&text, new.overlap_seconds), &caller);
    let done = done.await.map_err(refused)?;
    Ok(Published {
        service_account_id: id.to_owned(),
        kid: done.key.kid,
        alg: done.key.alg.name(),
        created_at: done.key.created_at.to_rfc3339(),
        expires_at: done.key.expires_at.map(Timestamp::to_rfc3339),
        previous: Previous { kid: done.previous, expires_at: done.previous_ends.to_rfc3339() },
    })
}

fn not_authorised(error: &OAuthError) -> Problem {
    match error {
        OAuthError::InvalidRequest(text) => Problem::invalid(text.clone()),
        _ => Problem {
            challenge: Some(r#"Bearer realm="cnx""#.to_owned()),
            ..Problem::new(401, "unauthorized", "an assertion of a current key is needed as bearer token")
        },
    }
}

fn refused(error: AccountError) -> Problem {
    match error {
        // One answer for an unknown account and for every flaw of an assertion.
        AccountError::Refused(_) | AccountError::Unknown(_) => Problem {
            challenge: Some(r#"Bearer realm="cnx", error="invalid_token""#.to_owned()),
            ..Problem::new(
                401,
                "invalid_token",
                "the assertion is not one of a current key of this account for this address",
            )
        },
        AccountError::Field(field) => {
            Problem { field: Some(field.field), ..Problem::invalid(field.to_string()) }
        }
        AccountError::KnownKey(_) | AccountError::Taken(_) => {
            Problem::new(409, "conflict", error.to_string())
        }
        AccountError::TooManyKeys => Problem::new(409, "too_many_keys", error.to_string()),
        AccountError::UnknownKey { .. } => Problem::new(404, "not_found", error.to_string()),
        AccountError::Error(error) => refuse::problem_of(&error),
    }
}
