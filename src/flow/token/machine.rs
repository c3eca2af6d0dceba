//! A service account's token: what an assertion or an outside token leads to. No refresh token; the next assertion is one.

use std::sync::Arc;

use serde_json::{Value, json};

use super::answer::{TokenAnswer, access_token_text};
use super::{Asked, Authenticated};
use crate::app::App;
use crate::base::algorithm::Algorithm;
use crate::flow::audit::{self, Act};
use crate::jose::issue::issue;
use crate::oauth::access_token::{self, AccessClaims};
use crate::oauth::error::OAuthError;
use crate::oauth::id_token;
use crate::oauth::scope::Scope;
use crate::oauth::service_account::{GrantedBy, ServiceAccount};

/// Who is to get a token, and on whose word.
#[derive(Clone, Debug)]
pub struct Proven {
    /// The account.
    pub account: Arc<ServiceAccount>,
    /// By what.
    pub by: GrantedBy,
    /// The key's name or the rule's id, for the audit.
    pub through: String,
}

/// What is to be answered with; decided before the assertion is taken, so that a request that asks for too much may be made again.
#[derive(Debug)]
pub struct Granted {
    scope: Scope,
    audience: Vec<String>,
    /// An ID token for this audience in place of an access token (C13).
    id_token_for: Option<String>,
}

/// Decides what the account gets of what is asked for.
pub fn grant(
    app: &App,
    account: &ServiceAccount,
    scope: Option<Scope>,
    target_audience: Option<&str>,
    asked: &Asked<'_>,
) -> Result<Granted, OAuthError> {
    let named = asked.resources.iter().map(String::as_str);
    let audience = account.audience_for(app.issuer(), named)?;
    let id_token_for = match target_audience {
        None => None,
        Some(target) => Some(account.audience_for(app.issuer(), std::iter::once(target))?.concat()),
    };
    Ok(Granted { scope: account.grant(scope)?, audience, id_token_for })
}

/// Makes the token.
pub fn issue_token(
    app: &App,
    client: Option<&Authenticated>,
    proven: &Proven,
    granted: Granted,
    asked: &Asked<'_>,
) -> Result<TokenAnswer, OAuthError> {
    let (account, now) = (&proven.account, asked.now);
    let most = app.settings.tokens.access_seconds;
    let life = account.policy.token_seconds.map_or(most, |seconds| seconds.min(most));
    audit::record(
        app,
        &Act::MachineTokenIssued { account: &account.id, through: &proven.through },
        asked.caller,
    );
    if let Some(audience) = granted.id_token_for {
        return id_token_alone(app, account, &audience, life, asked);
    }
    let claims = AccessClaims {
        iss: app.issuer().to_owned(),
        sub: account.id.to_string(),
        aud: granted.audience,
        exp: now.plus(life).as_secs(),
        iat: now.as_secs(),
        jti: access_token::jti_of_machine(proven.by, &app.entropy),
        // Without a client the account is its own (RFC 9068 §2.2: required).
        client_id: client.map_or_else(|| account.id.clone(), |client| client.client().id.clone()),
        scope: granted.scope.clone(),
        auth_time: None,
        acr: None,
        act: None,
    };
    let text = access_token_text(app, account.policy.access_token_format, &claims, now)?;
    Ok(TokenAnswer::bearer(text, life, &granted.scope))
}

/// What google-auth's ID token credentials ask for by `target_audience` (C13).
fn id_token_alone(
    app: &App,
    account: &ServiceAccount,
    audience: &str,
    life: i64,
    asked: &Asked<'_>,
) -> Result<TokenAnswer, OAuthError> {
    let claims: Value = json!({
        "iss": app.issuer(),
        "sub": account.id,
        "azp": account.id,
        "aud": audience,
        "iat": asked.now,
        "exp": asked.now.plus(life),
    });
    let keyring = app.keyring(asked.now).map_err(OAuthError::Server)?;
    let text = issue(&keyring, Algorithm::Rs256, id_token::TYP, &claims).map_err(OAuthError::Server)?;
    Ok(TokenAnswer {
        access_token: None,
        token_type: "N_A",
        expires_in: life,
        scope: String::new(),
        refresh_token: None,
        id_token: Some(text),
        issued_token_type: None,
    })
}
