//! The pipeline that every grant goes through: authenticate the client, read the grant, is it registered for it, then the
//! grant proves itself. A grant fills in its own part only, so none can forget a shared step.
//!
//! An assertion and an outside token say by themselves who asks: there a client may be absent (RFC 7521 §4.1).

pub mod answer;
pub mod assertion;
pub mod client;
pub mod code;
pub mod exchange;
pub mod machine;
pub mod refresh;
pub mod workload;

use std::cell::RefCell;
use std::sync::Arc;

pub use self::answer::TokenAnswer;
use super::assertion::{NotTaken, Use, account_of, of_account, of_client};
use super::attempts::Attempts;
use super::audit::{self, Act};
use super::caller::Caller;
use super::clients::secret_fingerprint;
use crate::app::{ALLOWED, App, Counted};
use crate::base::id::ClientId;
use crate::base::quick::QuickMap;
use crate::base::time::Timestamp;
use crate::oauth::assertion::Unverified;
use crate::oauth::client::{Client, GrantType};
use crate::oauth::client_auth::{self, Presented};
use crate::oauth::error::OAuthError;
use crate::oauth::params::Params;
use crate::oauth::token_request::Grant;

/// A client that proved who it is. Made by [`authenticate`] only; grants take nothing less.
#[derive(Clone, Debug)]
pub struct Authenticated(Arc<Client>);

impl Authenticated {
    /// The client.
    pub fn client(&self) -> &Client {
        &self.0
    }

    /// Counts a request of theirs, for people who look at the app's usage.
    pub(super) fn counted(&self, app: &App, class: &'static str, error: Option<&OAuthError>, now: Timestamp) {
        let outcome = match error {
            None => ALLOWED,
            Some(OAuthError::SlowDown { .. }) => "rate_limited",
            Some(OAuthError::Busy | OAuthError::Server(_)) => "failed",
            Some(_) => "refused",
        };
        app.count(Counted::Client(self.0.id.clone()), class, outcome, now);
    }

    /// The client, shared.
    pub fn shared(&self) -> Arc<Client> {
        Arc::clone(&self.0)
    }
}

/// What a request says whatever its grant is.
#[derive(Debug)]
pub struct Asked<'a> {
    /// What the tokens are to be for, as sent (RFC 8707 §2); for a client's own grants registered, all of it.
    pub resources: Vec<String>,
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
    let client = if is_needed(app, authorization, params) {
        Some(authenticate(app, authorization, params, caller, now).await?)
    } else {
        None
    };
    let named = params.get("grant_type").and_then(GrantType::named);
    if let (Some(client), Some(kind)) = (&client, named)
        && !client.client().may_use(kind)
    {
        return Err(OAuthError::UnauthorizedClient("this client is not registered for this grant_type"));
    }
    let grant = Grant::read(params)?;
    let kind = grant.kind();
    if let Some(client) = client.as_ref().filter(|_| !kind.speaks_for_itself()) {
        client.client().audience_for(app.issuer(), params.all("resource"))?;
    }
    let resources = params.all("resource").map(str::to_owned).collect();
    let asked = Asked { resources, caller, now };
    let answer = match (grant, &client) {
        (Grant::Code { code, redirect_uri, verifier }, Some(client)) => {
            code::redeem(app, client, code, redirect_uri, verifier, asked).await
        }
        (Grant::Refresh { token, scope }, Some(client)) => {
            refresh::rotate(app, client, token, scope, asked).await
        }
        (Grant::Client { scope }, Some(client)) => client::issue(app, client, scope, asked),
        (Grant::Assertion { assertion, scope, account }, client) => {
            let account = account.filter(|_| client.is_none());
            assertion::redeem(app, client.as_ref(), assertion, (scope, account), asked).await
        }
        (Grant::Exchange(exchange), client) => {
            exchange::exchange(app, client.as_ref(), *exchange, asked).await
        }
        (_, None) => Err(OAuthError::InvalidClient { basic: false }),
    };
    if let Some(client) = &client {
        client.counted(app, "token", answer.as_ref().err(), now);
    }
    let outcome = answer.as_ref().map_or_else(OAuthError::code, |_| "issued");
    count(kind.name(), outcome);
    answer
}

thread_local! {
    /// The counters of this thread's answers, looked up once each.
    static COUNTERS: RefCell<QuickMap<(&'static str, &'static str), metrics::Counter>> = RefCell::default();
}

fn count(grant: &'static str, outcome: &'static str) {
    COUNTERS.with_borrow_mut(|counters| {
        let counter = counters.entry((grant, outcome)).or_insert_with(
            || metrics::counter!("cnx_token_requests_total", "grant" => grant, "outcome" => outcome),
        );
        counter.increment(1);
    });
}

/// Whether a client must say who it is: always, but for a grant that speaks for itself and comes without credentials and
/// without the name of a client.
fn is_needed(app: &App, authorization: Option<&str>, params: &Params) -> bool {
    let kind = params.get("grant_type").and_then(GrantType::named);
    let names_client = || {
        let id = params.get("client_id").and_then(|id| id.parse::<ClientId>().ok());
        id.is_some_and(|id| app.client(&id).is_some())
    };
    !kind.is_some_and(GrantType::speaks_for_itself)
        || client_auth::is_present(authorization, params)
        || names_client()
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
        audit::record(app, &Act::ClientRefused(None), caller);
    })?;
    let attempts = Attempts::of(app, presented.client_id().as_str(), caller, now);
    attempts.refuse_too_many().await?;
    let proved = match &presented {
        Presented::Assertion(id, unverified) => by_assertion(app, id, unverified, caller, now).await?,
        _ => by_secret(app, &presented, now),
    };
    if let Some(client) = proved {
        return Ok(Authenticated(client));
    }
    attempts.count_failure().await;
    audit::record(app, &Act::ClientRefused(Some(presented.client_id())), caller);
    // RFC 6749 §5.2: the challenge comes whenever the client tried by the Authorization header.
    Err(OAuthError::InvalidClient { basic: authorization.is_some() })
}

/// By a secret, or by being a public client, where one of these is the registered way.
fn by_secret(app: &App, presented: &Presented, now: Timestamp) -> Option<Arc<Client>> {
    let client = app.client(presented.client_id()).filter(|c| c.disabled_at.is_none());
    match presented.secret() {
        None => client.filter(|c| c.is_public()),
        Some(secret) => {
            let fingerprint = secret_fingerprint(app, presented.client_id(), secret);
            // S-J10: whoever is registered to make assertions does not come with the bare secret.
            let is_secret = |c: &Client| {
                let method = c.metadata.token_endpoint_auth_method;
                method.has_secret() && !method.is_assertion()
            };
            client.filter(|c| is_secret(c) && c.has_secret(&fingerprint, now))
        }
    }
}

/// By an assertion: of a client, or of a service account, which may ask about and give back its own tokens.
async fn by_assertion(
    app: &App,
    id: &ClientId,
    unverified: &Unverified,
    caller: &Caller,
    now: Timestamp,
) -> Result<Option<Arc<Client>>, OAuthError> {
    let client = app.client(id).filter(|c| c.disabled_at.is_none());
    let (client, taken) = match (client, account_of(app, unverified).await?) {
        (Some(client), _) => {
            let taken = of_client(app, &client, unverified, now).await;
            (client, taken)
        }
        (None, Some(account)) => {
            let taken = match of_account(app, &account, unverified, Use::Client, now).await {
                Ok(proven) => proven.take(app, &account, now).await,
                Err(not_taken) => Err(not_taken),
            };
            (Arc::new(account.as_client()), taken)
        }
        (None, None) => return Ok(None),
    };
    match taken {
        Ok(()) => Ok(Some(client)),
        Err(NotTaken::Error(error)) => Err(error),
        Err(NotTaken::Because(why)) => {
            let kid = unverified.kid.as_deref();
            audit::record(app, &Act::AssertionRefused { issuer: id.as_str(), kid, why }, caller);
            Ok(None)
        }
    }
}
