//! Every error that OAuth answers with, as one table: variant, code, status, where it is defined. The status follows from the code.

use std::borrow::Cow;

use super::destination::Destination;
use super::scope::Scope;
use crate::base::fault::Fault;

/// Why something that was presented is no good. For the log and the audit only: a caller reads the same words for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nothing of that name or form is known.
    Unknown,
    /// It was used before.
    Spent,
    /// Its time is over.
    Expired,
    /// It belongs to another client.
    OtherClient,
    /// The redirect URI is not the one of the authorization request (RFC 6749 §4.1.3).
    OtherRedirect,
    /// The PKCE verifier is missing, wrong, or not asked for (RFC 7636 §4.6).
    WrongVerifier,
    /// An old refresh token came back after its successor was used.
    Replayed,
    /// It was revoked.
    Revoked,
    /// The person or the session behind it is gone, disabled, or withdrew the consent.
    NoLongerGranted,
    /// An assertion that is no JWT of ours to read, or has a claim of the wrong type.
    Malformed,
    /// An assertion whose `typ` says that it is something else (RFC 8725 §3.11).
    WrongType,
    /// No registered key of that name or algorithm.
    UnknownKey,
    /// The signature is not the key's.
    WrongSignature,
    /// `iss` is not who it must be.
    WrongIssuer,
    /// `sub` is not who it must be.
    WrongSubject,
    /// `aud` is not us.
    WrongAudience,
    /// `iat` or `nbf` lies ahead.
    NotYetValid,
    /// `exp` is further away than is allowed.
    TooLongLived,
    /// There is no `jti`, and one is needed.
    NoTokenId,
    /// The service account or the client is disabled.
    Disabled,
    /// No trust rule takes the outside issuer's token.
    NoRule,
    /// The outside token comes from an event that a stranger can cause.
    RiskyEvent,
    /// The issuer's keys could not be fetched.
    KeysUnavailable,
}

impl Why {
    /// A stable word for logs and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Spent => "spent",
            Self::Expired => "expired",
            Self::OtherClient => "other_client",
            Self::OtherRedirect => "other_redirect",
            Self::WrongVerifier => "wrong_verifier",
            Self::Replayed => "replayed",
            Self::Revoked => "revoked",
            Self::NoLongerGranted => "no_longer_granted",
            Self::Malformed => "malformed",
            Self::WrongType => "wrong_type",
            Self::UnknownKey => "unknown_key",
            Self::WrongSignature => "wrong_signature",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongSubject => "wrong_subject",
            Self::WrongAudience => "wrong_audience",
            Self::NotYetValid => "not_yet_valid",
            Self::TooLongLived => "too_long_lived",
            Self::NoTokenId => "no_token_id",
            Self::Disabled => "disabled",
            Self::NoRule => "no_rule",
            Self::RiskyEvent => "risky_event",
            Self::KeysUnavailable => "keys_unavailable",
        }
    }
}

/// An error that a caller is told.
#[derive(Debug)]
pub enum OAuthError {
    /// A parameter is missing, repeated or malformed; the text names it and what is allowed. RFC 6749 §5.2.
    InvalidRequest(Cow<'static, str>),
    /// The client did not authenticate. RFC 6749 §5.2; with a Basic challenge when Basic was used.
    InvalidClient {
        /// Whether the client tried HTTP Basic, so that the answer carries the challenge.
        basic: bool,
    },
    /// The code or refresh token is no good. RFC 6749 §5.2.
    InvalidGrant(Why),
    /// This client may not do that. RFC 6749 §5.2.
    UnauthorizedClient(&'static str),
    /// RFC 6749 §5.2.
    UnsupportedGrantType,
    /// RFC 6749 §4.1.2.1.
    UnsupportedResponseType,
    /// RFC 6749 §5.2.
    InvalidScope(Cow<'static, str>),
    /// RFC 8707 §2.
    InvalidTarget,
    /// The person said no. RFC 6749 §4.1.2.1.
    AccessDenied,
    /// OIDC Core §3.1.2.6.
    LoginRequired,
    /// OIDC Core §3.1.2.6.
    ConsentRequired,
    /// OIDC Core §3.1.2.6.
    InteractionRequired,
    /// OIDC Core §3.1.2.6.
    AccountSelectionRequired,
    /// An essential `acr` that this person cannot meet. OIDC Unmet Authentication Requirements 1.0 §2.
    UnmetAuthenticationRequirements,
    /// OIDC Core §3.1.2.6: `request` is not supported.
    RequestNotSupported,
    /// OIDC Core §3.1.2.6: `request_uri` is not supported.
    RequestUriNotSupported,
    /// OIDC Core §3.1.2.6: `registration` is not supported.
    RegistrationNotSupported,
    /// No token was sent: a challenge without an error code. RFC 6750 §3.1.
    MissingToken,
    /// RFC 6750 §3.1.
    InvalidToken(Why),
    /// RFC 6750 §3.1, with the scope that is missing.
    InsufficientScope(Scope),
    /// Too many failures; try again after so many seconds. RFC 6585 §4.
    SlowDown {
        /// Seconds to wait.
        retry_after: i64,
    },
    /// We cannot decide now. RFC 6749 §4.1.2.1.
    Busy,
    /// A fault of ours. RFC 6749 §4.1.2.1.
    Server(Fault),
}

impl OAuthError {
    /// The registered error code, and the status that belongs to it.
    const fn row(&self) -> (&'static str, u16) {
        match self {
            Self::InvalidRequest(_) => ("invalid_request", 400),
            Self::InvalidClient { .. } => ("invalid_client", 401),
            Self::InvalidGrant(_) => ("invalid_grant", 400),
            Self::UnauthorizedClient(_) => ("unauthorized_client", 400),
            Self::UnsupportedGrantType => ("unsupported_grant_type", 400),
            Self::UnsupportedResponseType => ("unsupported_response_type", 400),
            Self::InvalidScope(_) => ("invalid_scope", 400),
            Self::InvalidTarget => ("invalid_target", 400),
            Self::AccessDenied => ("access_denied", 403),
            Self::LoginRequired => ("login_required", 400),
            Self::ConsentRequired => ("consent_required", 400),
            Self::InteractionRequired => ("interaction_required", 400),
            Self::AccountSelectionRequired => ("account_selection_required", 400),
            Self::UnmetAuthenticationRequirements => ("unmet_authentication_requirements", 400),
            Self::RequestNotSupported => ("request_not_supported", 400),
            Self::RequestUriNotSupported => ("request_uri_not_supported", 400),
            Self::RegistrationNotSupported => ("registration_not_supported", 400),
            Self::MissingToken | Self::InvalidToken(_) => ("invalid_token", 401),
            Self::InsufficientScope(_) => ("insufficient_scope", 403),
            // No registered code says "too often"; clients retry on the status (RFC 6585 §4), not on the code.
            Self::SlowDown { .. } => ("temporarily_unavailable", 429),
            Self::Busy => ("temporarily_unavailable", 503),
            Self::Server(_) => ("server_error", 500),
        }
    }

    /// The error code.
    pub const fn code(&self) -> &'static str {
        self.row().0
    }

    /// The HTTP status.
    pub const fn status(&self) -> u16 {
        self.row().1
    }

    /// A sentence for the developer of a client, of the characters that RFC 6749 §5.2 allows (no `"` and no `\`, C7).
    /// It never says which of several checks on a secret failed.
    pub fn description(&self) -> String {
        let text: Cow<'_, str> = match self {
            Self::InvalidRequest(text) | Self::InvalidScope(text) => text.clone(),
            Self::InvalidClient { .. } => "client authentication failed".into(),
            Self::InvalidGrant(_) => {
                "the grant is not valid: unknown, used, expired, revoked or not for this request".into()
            }
            Self::UnauthorizedClient(text) => (*text).into(),
            Self::UnsupportedGrantType => {
                "grant_type is not supported; the metadata's grant_types_supported lists what is".into()
            }
            Self::UnsupportedResponseType => "response_type is not supported; use code".into(),
            Self::InvalidTarget => "resource is not one that this client may ask for".into(),
            Self::AccessDenied => "the request was denied".into(),
            Self::LoginRequired => "sign-in is needed".into(),
            Self::ConsentRequired => "consent is needed".into(),
            Self::InteractionRequired => "the person has to act".into(),
            Self::AccountSelectionRequired => "the person has to choose an account".into(),
            Self::UnmetAuthenticationRequirements => {
                "the person cannot sign in as surely as the request demands; they have no such second factor"
                    .into()
            }
            Self::RequestNotSupported => "request is not supported".into(),
            Self::RequestUriNotSupported => "request_uri is not supported".into(),
            Self::RegistrationNotSupported => "registration is not supported".into(),
            Self::MissingToken => "an access token is needed".into(),
            Self::InvalidToken(_) => "the access token is not valid".into(),
            Self::InsufficientScope(scope) => format!("the access token lacks the scope {scope}").into(),
            Self::SlowDown { .. } => "too many failures; try again later".into(),
            Self::Busy => "the server cannot decide now; try again".into(),
            Self::Server(_) => "something went wrong on our side".into(),
        };
        text.chars().map(|c| if matches!(c, ' '..='!' | '#'..='[' | ']'..='~') { c } else { '?' }).collect()
    }
}

/// A refused authorization request, and the way the refusal may take.
#[derive(Debug)]
pub enum Refusal {
    /// Client or redirect URI are not trusted: a page, never a redirect (RFC 6749 §4.1.2.1).
    Page(OAuthError),
    /// Back to the client. Only a checked request has a [`Destination`].
    Redirect(Box<Destination>, OAuthError),
}
