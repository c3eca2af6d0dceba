//! What a token request is answered with (RFC 6749 §5.1, OIDC Core §3.1.3.3), and how its tokens are made.

use serde::Serialize;

use crate::account::user::User;
use crate::app::App;
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::jose::issue::issue;
use crate::oauth::access_token::{self, AccessClaims};
use crate::oauth::client::{AccessTokenFormat, Client};
use crate::oauth::error::OAuthError;
use crate::oauth::id_token::{self, Life, SignedIn};
use crate::oauth::refresh::Family;
use crate::oauth::scope::Scope;
use crate::oauth::user_info::{self, Person};

/// The members of RFC 6749 §5.1. `scope` and `expires_in` are always there (C8).
#[derive(Serialize)]
pub struct TokenAnswer {
    /// The access token; absent only where an ID token alone was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_token: Option<String>,
    /// `Bearer`, or `N_A` where there is no access token (RFC 8693 §2.2.1).
    pub token_type: &'static str,
    /// Seconds.
    pub expires_in: i64,
    /// What was granted, which may be less than what was asked for.
    pub scope: String,
    /// For clients that are registered for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// When `openid` was granted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_token: Option<String>,
    /// What an exchange gave (RFC 8693 §2.2.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_token_type: Option<&'static str>,
}

impl TokenAnswer {
    /// An access token and nothing beside it.
    pub fn bearer(access_token: String, expires_in: i64, scope: &Scope) -> Self {
        Self {
            access_token: Some(access_token),
            token_type: "Bearer",
            expires_in,
            scope: scope.to_string(),
            refresh_token: None,
            id_token: None,
            issued_token_type: None,
        }
    }
}

/// Makes the tokens of a family: what a person gave a client, as it stands after the write.
pub fn for_family(
    app: &App,
    client: &Client,
    family: &Family,
    user: Option<&User>,
    scope: &Scope,
    refresh_token: Option<Secret<String>>,
    (audience, now): (Vec<String>, Timestamp),
) -> Result<TokenAnswer, OAuthError> {
    let claims = AccessClaims {
        iss: app.issuer().to_owned(),
        sub: family.user.to_string(),
        aud: audience,
        exp: now.plus(app.settings.tokens.access_seconds).as_secs(),
        iat: now.as_secs(),
        jti: access_token::jti_of_family(family.id, &app.entropy),
        client_id: client.id.clone(),
        scope: scope.clone(),
        auth_time: Some(family.auth_time.as_secs()),
        acr: Some(family.acr.clone()),
        act: None,
    };
    let access_token = access_token_text(app, client.metadata.access_token_format, &claims, now)?;
    let id_token = if scope.contains("openid") {
        Some(id_token_text(app, client, family, user, &access_token, now)?)
    } else {
        None
    };
    Ok(TokenAnswer {
        refresh_token: refresh_token.map(|t| t.reveal().clone()),
        id_token,
        ..TokenAnswer::bearer(access_token, app.settings.tokens.access_seconds, scope)
    })
}

/// The access token in the form that its client or service account is registered for.
pub fn access_token_text(
    app: &App,
    format: AccessTokenFormat,
    claims: &AccessClaims,
    now: Timestamp,
) -> Result<String, OAuthError> {
    match format {
        AccessTokenFormat::Opaque => {
            Ok(access_token::seal_opaque(&app.vault, &app.entropy, claims).reveal().clone())
        }
        AccessTokenFormat::Jwt => {
            let keyring = app.keyring(now).map_err(OAuthError::Server)?;
            issue(&keyring, app.settings.signing.access_token_alg, access_token::TYP, claims)
                .map_err(OAuthError::Server)
        }
    }
}

fn id_token_text(
    app: &App,
    client: &Client,
    family: &Family,
    user: Option<&User>,
    access_token: &str,
    now: Timestamp,
) -> Result<String, OAuthError> {
    let subject = family.user.to_string();
    let requested = match user {
        None => serde_json::Map::new(),
        Some(user) => user_info::id_token_claims(&person(user, &subject), &family.claims),
    };
    let signed_in = SignedIn {
        user: family.user,
        session: family.session,
        auth_time: family.auth_time,
        acr: &family.acr,
        amr: &family.amr,
        nonce: family.nonce.as_deref(),
    };
    let life = Life { from: now, seconds: app.settings.tokens.id_seconds };
    let claims = id_token::build(app.issuer(), client, &signed_in, Some(access_token), requested, life);
    let keyring = app.keyring(now).map_err(OAuthError::Server)?;
    issue(&keyring, client.metadata.id_token_signed_response_alg, id_token::TYP, &claims)
        .map_err(OAuthError::Server)
}

/// A person as the claims' rules see them.
pub fn person<'a>(user: &'a User, subject: &'a str) -> Person<'a> {
    Person {
        sub: subject,
        username: &user.username,
        name: user.name.as_deref(),
        email: user.email.as_deref(),
        email_verified: user.email_verified,
        claims: &user.claims,
        updated_at: user.updated_at,
    }
}
