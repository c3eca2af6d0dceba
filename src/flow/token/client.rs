//! `client_credentials` (RFC 6749 §4.4): a confidential client gets a token for itself. No refresh token, no ID token.

use super::answer::{TokenAnswer, access_token_text};
use super::{Asked, Authenticated};
use crate::app::App;
use crate::flow::audit::{self, Act};
use crate::oauth::access_token::{self, AccessClaims};
use crate::oauth::error::OAuthError;
use crate::oauth::scope::Scope;
use crate::oauth::service_account::OF_PEOPLE;

/// Issues the token.
pub fn issue(
    app: &App,
    client: &Authenticated,
    scope: Option<Scope>,
    asked: Asked<'_>,
) -> Result<TokenAnswer, OAuthError> {
    let (client, Asked { resources, caller, now }) = (client.client(), asked);
    if client.is_public() {
        return Err(OAuthError::UnauthorizedClient("client_credentials needs a confidential client"));
    }
    let own = OF_PEOPLE.iter().fold(client.metadata.scope.clone(), |scope, word| scope.without(word));
    let granted = match scope {
        None => own,
        Some(asked) if own.covers(&asked) => asked,
        Some(_) => {
            return Err(OAuthError::InvalidScope(
                "scope has a word that this client may not have for itself".into(),
            ));
        }
    };
    let claims = AccessClaims {
        iss: app.issuer().to_owned(),
        // A client's id is never a user's: those are UUIDs of ours (S-T13).
        sub: client.id.to_string(),
        aud: client.audience_of(app.issuer(), &resources)?,
        exp: now.plus(app.settings.tokens.access_seconds).as_secs(),
        iat: now.as_secs(),
        jti: access_token::jti_without_family(&app.entropy),
        client_id: client.id.clone(),
        scope: granted.clone(),
        auth_time: None,
        acr: None,
        act: None,
    };
    let access_token = access_token_text(app, client.metadata.access_token_format, &claims, now)?;
    audit::record(app, &Act::ClientTokenIssued(&client.id), caller);
    Ok(TokenAnswer::bearer(access_token, app.settings.tokens.access_seconds, &granted))
}
