//! Revocation (RFC 7009): a client gives a token back, and everything of the same grant ends with it. 200 also for what is
//! unknown or somebody else's, which stays untouched.

use super::audit::{self, Act};
use super::caller::Caller;
use super::introspect::read_claims;
use super::token::authenticate;
use crate::app::App;
use crate::base::id::FamilyId;
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::oauth::access_token;
use crate::oauth::client::Client;
use crate::oauth::error::OAuthError;
use crate::oauth::params::Params;
use crate::oauth::refresh;
use crate::store::families;
use crate::store::spent::{self, SpentKind};

/// Answers a revocation request. `token_type_hint` is not needed: our tokens say what they are.
pub async fn revoke(
    app: &App,
    authorization: Option<&str>,
    params: &Params,
    caller: &Caller,
) -> Result<(), OAuthError> {
    params.refuse_repeated()?;
    let now = app.now();
    let client = authenticate(app, authorization, params, caller, now).await?;
    let token = params.get("token").ok_or_else(|| OAuthError::InvalidRequest("token is missing".into()))?;
    let done = if token.starts_with(refresh::PREFIX) {
        refresh_token(app, client.client(), token, now).await?
    } else {
        access_token(app, client.client(), token, now).await?
    };
    client.counted(app, "revoke", None, now);
    if done {
        audit::record(app, &Act::Revoked(&client.client().id), caller);
    }
    Ok(())
}

async fn refresh_token(app: &App, client: &Client, token: &str, now: Timestamp) -> Result<bool, OAuthError> {
    let Some(presented) = refresh::read(&Secret::new(token.to_owned())) else { return Ok(false) };
    let (vault, whose) = (app.vault.clone(), client.id.clone());
    let done = app
        .store
        .write(move |conn| {
            let Some(family) = families::find(conn, presented.0.family)? else { return Ok(false) };
            // Any generation will do, also a spent one: its holder held the grant. The MAC and the client must be right.
            if family.client != whose || !refresh::is_genuine(&vault, &presented, &family) {
                return Ok(false);
            }
            families::revoke(conn, family.id, now)
        })
        .await?;
    Ok(done)
}

async fn access_token(app: &App, client: &Client, token: &str, now: Timestamp) -> Result<bool, OAuthError> {
    let Some(claims) = read_claims(app, token, now)? else { return Ok(false) };
    if claims.client_id != client.id || !access_token::is_current(&claims, app.issuer(), now) {
        return Ok(false);
    }
    let family: Option<FamilyId> = access_token::family_of(&claims.jti);
    let forget_at = Timestamp::from_secs(claims.exp).plus(60);
    let done = app
        .store
        .write(move |conn| {
            if let Some(id) = family {
                return families::revoke(conn, id, now);
            }
            spent::once(conn, SpentKind::AccessToken, claims.jti.as_bytes(), None, forget_at)?;
            Ok(true)
        })
        .await?;
    Ok(done)
}
