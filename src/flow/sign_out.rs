//! RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0): ends the session, and sends the browser back only to a
//! registered address of a known client.

use std::sync::Arc;

use super::audit::{Act, By, Record};
use super::caller::{Browser, Caller};
use super::session::{self, Live};
use crate::app::App;
use crate::base::proof::Verified;
use crate::base::time::Timestamp;
use crate::jose::verify::{Among, verify};
use crate::oauth::client::Client;
use crate::oauth::error::{OAuthError, Refusal};
use crate::oauth::id_token::HintClaims;
use crate::oauth::params::Params;

/// What the browser is shown or sent next.
#[derive(Debug)]
pub enum Outcome {
    /// Ask first: nobody proved that the person wants it (S-O1).
    Confirm {
        /// Who is signed in.
        live: Box<Live>,
        /// Which app asks, if it is known.
        client: Option<Arc<Client>>,
    },
    /// Signed out: back to the app.
    Redirect(String),
    /// Signed out: our own page.
    SignedOut,
}

/// A checked request.
struct Request {
    client: Option<Arc<Client>>,
    /// The session that a valid hint names.
    hinted: Option<String>,
    target: Option<String>,
}

/// Answers a request at the end-session endpoint. `confirmed`: the person pressed the button on our page.
pub async fn sign_out(
    app: &App,
    params: &Params,
    browser: &Browser,
    confirmed: bool,
    caller: &Caller,
) -> Result<Outcome, Refusal> {
    let now = app.now();
    let request = read(app, params, now).map_err(Refusal::Page)?;
    let live = session::find(app, browser, now).await.map_err(Refusal::Page)?;
    if let Some(live) = live {
        let proven = request.hinted.as_deref() == Some(live.session.id.to_string().as_str());
        if !proven && !confirmed {
            return Ok(Outcome::Confirm { live: Box::new(live), client: request.client });
        }
        let id = live.session.id;
        let record = Record::new(app, &Act::SignedOut(live.user.id), &By::anybody(caller), now);
        record
            .with(app, move |conn| session::end(conn, id, now))
            .await
            .map_err(|e| Refusal::Page(e.into()))?;
    }
    Ok(request.target.map_or(Outcome::SignedOut, Outcome::Redirect))
}

fn read(app: &App, params: &Params, now: Timestamp) -> Result<Request, OAuthError> {
    params.refuse_repeated()?;
    let invalid = |text: &'static str| OAuthError::InvalidRequest(text.into());
    let hint = match params.get("id_token_hint") {
        None => None,
        Some(hint) => {
            let keyring = app.keyring(now).map_err(OAuthError::Server)?;
            // After its expiry too (RP-Initiated Logout §2), but signed by us.
            let claims = verify::<HintClaims>(&keyring, hint, "JWT", Among::EverKnown)
                .map(Verified::into_claims)
                .filter(|c| c.iss == app.issuer())
                .ok_or_else(|| invalid("id_token_hint is not an ID token of this server"))?;
            Some(claims)
        }
    };
    let named = match params.get("client_id") {
        None => None,
        Some(id) => {
            let client = id.parse().ok().and_then(|id| app.client(&id)).filter(|c| c.disabled_at.is_none());
            Some(client.ok_or_else(|| invalid("client_id is not known"))?)
        }
    };
    let of_hint = hint
        .as_ref()
        .and_then(|h| h.aud.iter().find_map(|aud| aud.parse().ok().and_then(|id| app.client(&id))));
    if let (Some(named), Some(hint)) = (&named, &hint)
        && !hint.aud.iter().any(|aud| aud == named.id.as_str())
    {
        return Err(invalid("id_token_hint was issued to another client than client_id names"));
    }
    let client = named.or(of_hint);
    let target = match params.get("post_logout_redirect_uri") {
        None => None,
        Some(uri) => {
            let registered = client.as_ref().is_some_and(|c| {
                c.metadata.post_logout_redirect_uris.iter().any(|r| r == uri)
                    || (c.metadata.any_loopback_redirect && crate::oauth::redirect_uri::matches(c, uri))
            });
            if !registered {
                return Err(invalid(
                    "post_logout_redirect_uri is not registered for a client that id_token_hint or client_id names",
                ));
            }
            Some(with_state(uri, params.get("state")))
        }
    };
    Ok(Request { client, hinted: hint.and_then(|h| h.sid), target })
}

/// The registered address, byte for byte, with `state` and nothing else (R74).
fn with_state(uri: &str, state: Option<&str>) -> String {
    let Some(state) = state else { return uri.to_owned() };
    let pair = url::form_urlencoded::Serializer::new(String::new()).append_pair("state", state).finish();
    let joint = if uri.contains('?') { "&" } else { "?" };
    format!("{uri}{joint}{pair}")
}
