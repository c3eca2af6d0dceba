//! `urn:ietf:params:oauth:grant-type:token-exchange` (RFC 8693): an outside token for a service account's, or one of our access
//! tokens for a narrower one.

use super::answer::{TokenAnswer, access_token_text};
use super::assertion::settle;
use super::{Asked, Authenticated, workload};
use crate::app::App;
use crate::base::secret::Secret;
use crate::flow::attempts::Attempts;
use crate::flow::audit::{self, Act};
use crate::flow::introspect::{Alive, alive};
use crate::oauth::access_token::{self, AccessClaims};
use crate::oauth::error::{OAuthError, Why};
use crate::oauth::exchange::{self, ACCESS_TOKEN, Exchange, Subject};

/// Exchanges a token.
pub async fn exchange(
    app: &App,
    client: Option<&Authenticated>,
    request: Exchange,
    asked: Asked<'_>,
) -> Result<TokenAnswer, OAuthError> {
    let answer = match request.subject.clone() {
        Subject::Outside(unverified) => {
            let attempts = Attempts::of(app, &unverified.iss, asked.caller, asked.now);
            attempts.refuse_too_many().await?;
            // google-auth names the account by `audience` (field notes, external accounts), others by `client_id`.
            let named = request.audience.or(request.account.filter(|_| client.is_none()));
            if named.as_deref().is_some_and(|named| app.service_account(named).is_none()) {
                return Err(OAuthError::InvalidTarget);
            }
            let scope = (request.scope, named.as_deref());
            let answered = workload::by_rule(app, client, &unverified, scope, &asked).await;
            settle(app, answered, &unverified, &attempts, &asked).await?
        }
        Subject::Ours(token) => ours(app, client, request, &token, asked).await?,
    };
    Ok(TokenAnswer { issued_token_type: Some(ACCESS_TOKEN), ..answer })
}

/// One of our own. It must live, and so must what stands behind it; the new one lives no longer, and ends with it.
async fn ours(
    app: &App,
    client: Option<&Authenticated>,
    request: Exchange,
    token: &Secret<String>,
    asked: Asked<'_>,
) -> Result<TokenAnswer, OAuthError> {
    let client = client.ok_or(OAuthError::InvalidClient { basic: false })?.client();
    if client.is_public() {
        // Whoever found a token could narrow it into another; a client must prove that it is the one that may.
        return Err(OAuthError::UnauthorizedClient("token exchange needs a confidential client"));
    }
    let refuse = |why: Why| {
        audit::record(app, &Act::GrantRefused(&client.id, why), asked.caller);
        OAuthError::InvalidGrant(why)
    };
    let now = asked.now;
    let subject = alive(app, token.reveal(), now).await?.ok_or_else(|| refuse(Why::Unknown))?;
    let actor = match &request.actor {
        None => None,
        Some(token) => Some(alive(app, token.reveal(), now).await?.ok_or_else(|| refuse(Why::Unknown))?),
    };
    let targets = asked.resources.iter().chain(&request.audience).map(String::as_str);
    let of_actor = actor.as_ref().map(|actor| &actor.claims);
    let wanted = (request.scope.as_ref(), targets);
    let exchanged = exchange::exchange(client, app.issuer(), &subject.claims, of_actor, wanted)?;
    let longest = now.plus(app.settings.tokens.access_seconds).as_secs();
    let ends = [Some(longest), Some(subject.claims.exp), of_actor.map(|actor| actor.exp)];
    let exp = ends.into_iter().flatten().min().unwrap_or(longest);
    let claims = AccessClaims {
        iss: app.issuer().to_owned(),
        sub: subject.claims.sub.clone(),
        aud: exchanged.audience,
        exp,
        iat: now.as_secs(),
        jti: successor_of(app, &subject),
        client_id: client.id.clone(),
        scope: exchanged.scope.clone(),
        auth_time: subject.claims.auth_time,
        acr: subject.claims.acr.clone(),
        act: exchanged.act,
    };
    let text = access_token_text(app, client.metadata.access_token_format, &claims, now)?;
    audit::record(app, &Act::TokenExchanged { client: &client.id, subject: &claims.sub }, asked.caller);
    Ok(TokenAnswer::bearer(text, exp - now.as_secs(), &exchanged.scope))
}

/// The `jti` says what the subject token's says: the end of the family, of the key or of the rule is the end of both.
fn successor_of(app: &App, subject: &Alive) -> String {
    let jti = &subject.claims.jti;
    match (access_token::family_of(jti), access_token::granted_by(jti)) {
        (Some(family), _) => access_token::jti_of_family(family, &app.entropy),
        (None, Some(by)) => access_token::jti_of_machine(by, &app.entropy),
        (None, None) => access_token::jti_without_family(&app.entropy),
    }
}
