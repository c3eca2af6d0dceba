//! Introspection (RFC 7662): what a token says, to those who may know. Everybody else hears `{"active":false}` and
//! nothing more.

use serde_json::Value;

use super::caller::Caller;
use super::token::authenticate;
use super::token::refresh::refresh_policy;
use crate::account::user::User;
use crate::app::App;
use crate::base::fault::Fault;
use crate::base::proof::Verified;
use crate::base::time::Timestamp;
use crate::jose::verify::{Among, verify};
use crate::oauth::access_token::{self, AccessClaims};
use crate::oauth::client::Client;
use crate::oauth::error::OAuthError;
use crate::oauth::introspection::{self, LiveToken, may_see};
use crate::oauth::params::Params;
use crate::oauth::refresh::{self, Family, Verdict, present};
use crate::store::spent::{self, SpentKind};
use crate::store::{families, users};

/// A token of ours that is alive, and what stands behind it.
#[derive(Debug)]
pub struct Alive {
    /// What it says.
    pub claims: AccessClaims,
    /// The family and the person, for a token that a person's grant stands behind.
    pub of: Option<(Box<Family>, Box<User>)>,
}

/// Reads an access token, JWT or opaque, and looks whether it is alive: not expired, not revoked, its family and its
/// person still there. `None` for anything else; one read.
pub async fn alive(app: &App, token: &str, now: Timestamp) -> Result<Option<Alive>, OAuthError> {
    let Some(claims) = read_claims(app, token, now)? else { return Ok(None) };
    if !access_token::is_current(&claims, app.issuer(), now) {
        return Ok(None);
    }
    if !are_parties_active(app, &claims) {
        return Ok(None);
    }
    let family = access_token::family_of(&claims.jti);
    let jti = claims.jti.clone();
    let found = app
        .store
        .read(move |conn| match family {
            None => Ok(if spent::is_spent(conn, SpentKind::AccessToken, jti.as_bytes())? {
                None
            } else {
                Some(None)
            }),
            Some(id) => {
                let Some(family) = families::find(conn, id)?.filter(|f| f.revoked_at.is_none()) else {
                    return Ok(None);
                };
                let user = users::find(conn, family.user)?.filter(User::is_active);
                Ok(user.map(|user| Some((Box::new(family), Box::new(user)))))
            }
        })
        .await?;
    Ok(found.map(|of| Alive { claims, of }))
}

/// Whether whom the token was given to is still there; and for a machine's, the account that it is about with what vouched for it.
fn are_parties_active(app: &App, claims: &AccessClaims) -> bool {
    let is_client = app.client(&claims.client_id).is_some_and(|client| client.disabled_at.is_none());
    let is_account =
        || app.service_account(claims.client_id.as_str()).is_some_and(|account| account.is_active());
    if !is_client && !is_account() {
        return false;
    }
    access_token::granted_by(&claims.jti).is_none_or(|by| {
        app.service_account(&claims.sub).is_some_and(|account| account.is_active() && account.vouches(&by))
    })
}

/// Reads an access token's claims, alive or not.
pub fn read_claims(app: &App, token: &str, now: Timestamp) -> Result<Option<AccessClaims>, OAuthError> {
    if token.starts_with(access_token::OPAQUE_PREFIX) {
        return Ok(access_token::open_opaque(&app.vault, token));
    }
    let keyring = app.keyring(now).map_err(OAuthError::Server)?;
    Ok(verify::<AccessClaims>(&keyring, token, access_token::TYP, Among::Published)
        .map(Verified::into_claims))
}

/// Answers an introspection request.
pub async fn introspect(
    app: &App,
    authorization: Option<&str>,
    params: &Params,
    caller: &Caller,
) -> Result<Value, OAuthError> {
    params.refuse_repeated()?;
    let now = app.now();
    let client = authenticate(app, authorization, params, caller, now).await?;
    if client.client().is_public() {
        // RFC 7662 §2.1: "some form of authorization to access this endpoint". A public client has none.
        return Err(OAuthError::InvalidClient { basic: false });
    }
    let token = params.get("token").ok_or_else(|| OAuthError::InvalidRequest("token is missing".into()))?;
    client.counted(app, "introspect", None, now);
    if token.starts_with(refresh::PREFIX) {
        return refresh_token(app, client.client(), token, now).await;
    }
    match alive(app, token, now).await? {
        Some(alive) if may_see(client.client(), &alive.claims.client_id, &alive.claims.aud) => {
            let username = alive.of.as_ref().map(|(_, user)| user.username.as_str());
            written(&LiveToken::access_token(&alive.claims, username))
        }
        _ => Ok(introspection::inactive()),
    }
}

/// A refresh token: to its own client only, active when presenting it would be answered with tokens.
async fn refresh_token(app: &App, client: &Client, token: &str, now: Timestamp) -> Result<Value, OAuthError> {
    let Some(presented) = refresh::read(&crate::base::secret::Secret::new(token.to_owned())) else {
        return Ok(introspection::inactive());
    };
    let id = presented.0.family;
    let found = app
        .store
        .read(move |conn| {
            let Some(family) = families::find(conn, id)? else { return Ok(None) };
            let user = users::find(conn, family.user)?.filter(User::is_active);
            Ok(user.map(|user| (family, user)))
        })
        .await?;
    let Some((family, user)) = found else { return Ok(introspection::inactive()) };
    let policy = refresh_policy(app);
    match present(&app.vault, &presented, &family, client, &policy, now) {
        Verdict::Rotate | Verdict::Keep | Verdict::Repeat => {
            written(&LiveToken::refresh_token(&family, client, app.issuer(), &policy, Some(&user.username)))
        }
        Verdict::Replay | Verdict::Refuse(_) => Ok(introspection::inactive()),
    }
}

fn written(token: &LiveToken) -> Result<Value, OAuthError> {
    serde_json::to_value(token)
        .map_err(|e| OAuthError::Server(Fault::new("writing an introspection answer", e)))
}
