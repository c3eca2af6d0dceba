//! The pipeline that every grant goes through: authenticate the client, read the grant, is it registered for it, then the
//! grant proves itself. A grant fills in its own part only, so none can forget a shared step.

pub mod answer;
pub mod client;
pub mod code;
pub mod refresh;

use std::sync::Arc;

pub use self::answer::TokenAnswer;
use super::audit::{self, Act};
use super::caller::Caller;
use super::clients::secret_fingerprint;
use crate::app::App;
use crate::base::seal::MacPurpose;
use crate::base::secret::Fingerprint;
use crate::base::time::Timestamp;
use crate::oauth::client::Client;
use crate::oauth::client_auth::{self, Presented};
use crate::oauth::error::OAuthError;
use crate::oauth::params::Params;
use crate::oauth::token_request::Grant;

/// The sliding window in which failures of client authentication count, in seconds.
const FAILURE_WINDOW: i64 = 60;

/// How many times a client's failures one place may have: many clients may sit behind one address.
const PLACE_FACTOR: u64 = 10;

/// A client that proved who it is. Made by [`authenticate`] only; grants take nothing less.
#[derive(Clone, Debug)]
pub struct Authenticated(Arc<Client>);

impl Authenticated {
    /// The client.
    pub fn client(&self) -> &Client {
        &self.0
    }

    /// The client, shared.
    pub fn shared(&self) -> Arc<Client> {
        Arc::clone(&self.0)
    }
}

/// What a request says whatever its grant is.
#[derive(Debug)]
pub struct Asked<'a> {
    /// What the tokens are to be for; registered, all of it (RFC 8707 §2).
    pub audience: Vec<String>,
    /// Who calls.
    pub caller: &'a Caller,
    /// When.
    pub now: Timestamp,
}

/// Answers a token request.
pub async fn token(
    app: &App,
    authorization: Option<&str>,
    params: &Params,
    caller: &Caller,
) -> Result<TokenAnswer, OAuthError> {
    params.refuse_repeated()?;
    let now = app.now();
    let client = authenticate(app, authorization, params, caller, now).await?;
    let grant = Grant::read(params)?;
    let audience = client.client().audience_for(app.issuer(), params.all("resource"))?;
    let kind = grant.kind();
    if !client.client().may_use(kind) {
        return Err(OAuthError::UnauthorizedClient("this client is not registered for this grant_type"));
    }
    let asked = Asked { audience, caller, now };
    let answer = match grant {
        Grant::Code { code, redirect_uri, verifier } => {
            code::redeem(app, &client, code, redirect_uri, verifier, asked).await
        }
        Grant::Refresh { token, scope } => refresh::rotate(app, &client, token, scope, asked).await,
        Grant::Client { scope } => client::issue(app, &client, scope, asked),
    };
    let outcome = answer.as_ref().map_or_else(OAuthError::code, |_| "issued");
    metrics::counter!("cnx_token_requests_total", "grant" => kind.name(), "outcome" => outcome).increment(1);
    answer
}

/// Finds out who the client is (RFC 6749 §2.3). An unknown client and a wrong secret cost the same and read the same
/// (S-T10); failures are counted by client and place, and too many of them wait (S-T11).
pub async fn authenticate(
    app: &App,
    authorization: Option<&str>,
    params: &Params,
    caller: &Caller,
    now: Timestamp,
) -> Result<Authenticated, OAuthError> {
    let presented = client_auth::read(authorization, params).inspect_err(|_| {
        audit::record(&Act::ClientRefused(None), caller);
    })?;
    let keys = failure_keys(app, &presented, caller);
    let limit = u64::from(app.settings.limits.client_failures);
    for (key, factor) in &keys {
        if app.counters.peek(key, FAILURE_WINDOW, now).await >= limit.saturating_mul(*factor) {
            return Err(OAuthError::SlowDown { retry_after: FAILURE_WINDOW });
        }
    }
    if let Some(client) = prove(app, &presented, now) {
        return Ok(Authenticated(client));
    }
    for (key, _) in &keys {
        app.counters.hit(key, FAILURE_WINDOW, now).await;
    }
    audit::record(&Act::ClientRefused(Some(presented.client_id())), caller);
    // RFC 6749 §5.2: the challenge comes whenever the client tried by the Authorization header.
    Err(OAuthError::InvalidClient { basic: authorization.is_some() })
}

fn prove(app: &App, presented: &Presented, now: Timestamp) -> Option<Arc<Client>> {
    let client = app.client(presented.client_id()).filter(|c| c.disabled_at.is_none());
    match presented.secret() {
        None => client.filter(|c| c.is_public()),
        Some(secret) => {
            let fingerprint = secret_fingerprint(app, presented.client_id(), secret);
            client.filter(|c| !c.is_public() && c.has_secret(&fingerprint, now))
        }
    }
}

/// What failures are counted under, and how many times the limit each may have: the client at this place, and the place
/// alone, which may be the way out of many clients.
fn failure_keys(app: &App, presented: &Presented, caller: &Caller) -> [(Fingerprint, u64); 2] {
    let (id, place) = (presented.client_id().as_str(), caller.place());
    let key = |parts: &[&[u8]]| Fingerprint::from_bytes(app.vault.mac(MacPurpose::Throttle, parts));
    [
        (key(&[b"client", id.as_bytes(), place.as_bytes()]), 1),
        (key(&[b"clients of a place", place.as_bytes()]), PLACE_FACTOR),
    ]
}
