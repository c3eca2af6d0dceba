//! Userinfo (OIDC Core §5.3): the claims that a living access token with `openid` may see.

use serde_json::{Map, Value};

use super::introspect::alive;
use super::token::answer::person;
use crate::app::{ALLOWED, App, Counted};
use crate::jose::issue::issue;
use crate::oauth::error::{OAuthError, Why};
use crate::oauth::scope::Scope;
use crate::oauth::user_info;

/// The answer, as the client is registered for it.
#[derive(Debug)]
pub enum UserInfo {
    /// JSON.
    Json(Map<String, Value>),
    /// A JWT (`application/jwt`).
    Signed(String),
}

/// Answers a userinfo request.
pub async fn user_info(app: &App, token: &str) -> Result<UserInfo, OAuthError> {
    let now = app.now();
    let alive = alive(app, token, now).await?.ok_or(OAuthError::InvalidToken(Why::Unknown))?;
    if !alive.claims.scope.contains("openid") {
        return Err(OAuthError::InsufficientScope(Scope::of(&["openid"])));
    }
    let Some((family, user)) = alive.of else {
        return Err(OAuthError::InsufficientScope(Scope::of(&["openid"])));
    };
    app.count(Counted::Client(family.client.clone()), "userinfo", ALLOWED, now);
    let subject = user.id.to_string();
    let mut claims = user_info::claims(&person(&user, &subject), &alive.claims.scope, &family.claims);
    let Some(client) = app.client(&family.client) else { return Err(OAuthError::InvalidToken(Why::Unknown)) };
    let Some(alg) = client.metadata.userinfo_signed_response_alg else { return Ok(UserInfo::Json(claims)) };
    // "If signed, the UserInfo Response MUST contain the Claims iss and aud" (OIDC Core §5.3.2).
    claims.insert("iss".to_owned(), app.issuer().into());
    claims.insert("aud".to_owned(), client.id.as_str().into());
    let keyring = app.keyring(now).map_err(OAuthError::Server)?;
    issue(&keyring, alg, "JWT", &claims).map(UserInfo::Signed).map_err(OAuthError::Server)
}
