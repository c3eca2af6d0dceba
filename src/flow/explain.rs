//! Why a request was refused: what the answer did not tell, for whoever helps people by the id that the answer carried. Never a secret.

use serde_json::{Value, json};

use super::audit;
use super::caller::Caller;
use super::check::Asked;
use crate::api_key::format;
use crate::api_key::key::{ApiKey, Refusal};
use crate::app::App;
use crate::base::time::Timestamp;
use crate::oauth::error::OAuthError;
use crate::store::audit::{Entry, Event, Filter, From, page};
use crate::store::refused_requests;

/// What is known of a request.
#[derive(Clone, Debug, Default)]
pub struct Explained {
    /// Why it was refused.
    pub refused: Option<Entry>,
    /// What it did, and what it was refused, as the audit log has it.
    pub events: Vec<Event>,
}

/// Events of one request at most.
const MOST: i64 = 20;

/// What is known of the request of that id. Refusals of other nodes come within a minute, and are kept for a day.
pub async fn find(app: &App, request_id: &str) -> Result<Explained, OAuthError> {
    let filter = Filter { request_id: Some(request_id.to_owned()), ..Filter::default() };
    let (id, waiting) = (request_id.to_owned(), app.refused_request(request_id));
    let (written, events) = app
        .store
        .read(move |conn| Ok((refused_requests::find(conn, &id)?, page(conn, &filter, From::Oldest, MOST)?)))
        .await?;
    Ok(Explained { refused: waiting.or(written), events })
}

/// Notes why a key or a token was refused, by the id of the request that brought it.
pub fn note(
    app: &App,
    asked: &Asked<'_>,
    refused: (&Refusal, Option<&ApiKey>),
    caller: &Caller,
    now: Timestamp,
) {
    let (refusal, key) = refused;
    let (needed, came) = reasons(app, asked, refusal, key);
    let details = json!({ "needed": needed, "came": came });
    let id = key.map(|key| key.id);
    audit::explain_check(
        app,
        id.as_ref().map(format::PublicId::as_str),
        (refusal.code(), &details),
        caller,
        now,
    );
}

/// What was needed, and what came.
fn reasons(app: &App, asked: &Asked<'_>, refusal: &Refusal, key: Option<&ApiKey>) -> (Value, Value) {
    let at = |moment: Option<Timestamp>| moment.map(Timestamp::to_rfc3339);
    match (refusal, key) {
        (Refusal::NotFound, _) => {
            (json!("a key or token that this server knows"), json!(unknown(app, asked)))
        }
        (Refusal::InsufficientScope(scope), key) => {
            (json!(scope), json!(key.map(|key| key.scopes.to_string())))
        }
        (Refusal::IpNotAllowed, Some(key)) => {
            let networks = |all: &[ipnet::IpNet]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
            let needed = json!({ "allowed": networks(&key.allow), "denied": networks(&key.deny) });
            (needed, json!(asked.address.map(|address| address.to_string())))
        }
        (Refusal::Expired, Some(key)) => (json!("a key that is not over"), json!(at(key.expires_at))),
        (Refusal::NotYetValid, Some(key)) => (json!("a key whose time has come"), json!(at(key.not_before))),
        (Refusal::Disabled, Some(key)) => (json!("a key that is enabled"), json!(at(key.disabled_at))),
        (Refusal::Revoked, Some(key)) => (json!("a key that was not revoked"), json!(at(key.revoked_at))),
        (Refusal::RateLimited, _) => {
            (json!("a limit that is not used up"), json!(asked.class.map(crate::api_key::plan::Class::name)))
        }
        _ => (Value::Null, Value::Null),
    }
}

/// Why nothing was found.
fn unknown(app: &App, asked: &Asked<'_>) -> &'static str {
    match format::read(asked.credential) {
        Some(written) if app.api_key(written.id).is_some() => {
            "the id of a key of ours with another secret, one that was replaced, or from another environment"
        }
        Some(_) => "a well-formed key whose id is not known here",
        None if asked.credential.starts_with(format::PREFIX) => {
            "text that begins like a key and has another length or another check at its end: cut off or mistyped"
        }
        None => "a token that is not ours, is over, was revoked or is for somebody else",
    }
}
