//! An OAuth client as it is registered (RFC 7591 §2), and what its registration allows.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::OAuthError;
use super::resource::audience_among;
use super::scope::Scope;
use crate::base::algorithm::Algorithm;
use crate::base::id::ClientId;
use crate::base::secret::Fingerprint;
use crate::base::time::Timestamp;

/// A grant that a client may be registered for; discovery lists these (RFC 7591 §2 `grant_types`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    /// RFC 6749 §4.1.
    AuthorizationCode,
    /// RFC 6749 §6.
    RefreshToken,
    /// RFC 6749 §4.4.
    ClientCredentials,
    /// RFC 7523 §2.1. A service account needs no registration for it: its assertion speaks for itself.
    #[serde(rename = "urn:ietf:params:oauth:grant-type:jwt-bearer")]
    JwtBearer,
    /// RFC 8693. Neither does an outside issuer's token that a trust rule takes.
    #[serde(rename = "urn:ietf:params:oauth:grant-type:token-exchange")]
    TokenExchange,
}

impl GrantType {
    /// Every grant that this server speaks.
    pub const ALL: [Self; 5] = [
        Self::AuthorizationCode,
        Self::RefreshToken,
        Self::ClientCredentials,
        Self::JwtBearer,
        Self::TokenExchange,
    ];

    /// The `grant_type` on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::ClientCredentials => "client_credentials",
            Self::JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
            Self::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
        }
    }

    /// The grant of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether what is presented may say by itself who asks, so that no client has to authenticate (RFC 7521 §4.1,
    /// RFC 8693 §2.1).
    pub const fn speaks_for_itself(self) -> bool {
        matches!(self, Self::JwtBearer | Self::TokenExchange)
    }
}

/// How a client authenticates at our endpoints (RFC 7591 §2 `token_endpoint_auth_method`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// A public client: no secret, PKCE required.
    None,
    /// A shared secret; Basic and body are taken alike (requirements D7).
    ClientSecretBasic,
    /// A shared secret; Basic and body are taken alike (requirements D7).
    ClientSecretPost,
    /// A JWT under a shared secret (OIDC Core §9): the secret is kept, sealed, because its hash could check no MAC.
    ClientSecretJwt,
    /// A JWT under a key pair whose public half is registered (OIDC Core §9, RFC 7523 §2.2).
    PrivateKeyJwt,
}

impl AuthMethod {
    /// Every method that this server speaks, as metadata lists them.
    pub const ALL: [Self; 5] = [
        Self::ClientSecretBasic,
        Self::ClientSecretPost,
        Self::ClientSecretJwt,
        Self::PrivateKeyJwt,
        Self::None,
    ];

    /// Whether a secret is shared with the client.
    pub const fn has_secret(self) -> bool {
        matches!(self, Self::ClientSecretBasic | Self::ClientSecretPost | Self::ClientSecretJwt)
    }

    /// Whether the client proves itself by an assertion, and by nothing else (S-J10).
    pub const fn is_assertion(self) -> bool {
        matches!(self, Self::ClientSecretJwt | Self::PrivateKeyJwt)
    }

    /// The registered name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::ClientSecretJwt => "client_secret_jwt",
            Self::PrivateKeyJwt => "private_key_jwt",
        }
    }
}

/// The form of a client's access tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessTokenFormat {
    /// RFC 9068 `at+jwt`, which a resource server checks by itself.
    #[default]
    Jwt,
    /// `cnx_at_…`, which only introspection can read.
    Opaque,
}

/// Whether refresh tokens rotate (requirements D1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefreshRotation {
    /// At every use.
    #[default]
    Always,
    /// Never; confidential clients only.
    Never,
}

/// RFC 7591 / OIDC Registration §2 `application_type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplicationType {
    /// Served from a web origin.
    #[default]
    Web,
    /// Installed on a device (RFC 8252).
    Native,
}

/// One of at most two live secrets of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSecret {
    /// The keyed hash; the secret itself is nowhere.
    pub fingerprint: Fingerprint,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working, after a rotation with overlap.
    pub expires_at: Option<Timestamp>,
    /// The secret under the master key, for a `client_secret_jwt` client and no other.
    pub sealed: Option<Vec<u8>>,
}

/// What is registered of a client: RFC 7591 member names, so that a metadata file, a row and `/v1` read alike.
/// Members that are ours stand at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientMetadata {
    /// What a person reads on the consent page.
    pub client_name: String,
    /// Exactly these, plus any port for a loopback address that is registered without one (RFC 8252 §7.3).
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    /// Where sign-out may lead (OIDC RP-Initiated Logout §3.1).
    #[serde(default)]
    pub post_logout_redirect_uris: Vec<String>,
    /// `client_secret_basic` when absent (RFC 7591 §2).
    #[serde(default = "default_auth_method")]
    pub token_endpoint_auth_method: AuthMethod,
    /// Its public keys (RFC 7591 §2), for `private_key_jwt`. Either these or `jwks_uri`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Value>,
    /// Where its public keys are published (RFC 7591 §2); https, fetched with care.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// The one algorithm of its assertions (OIDC Registration §2); that of the key when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint_auth_signing_alg: Option<String>,
    /// `authorization_code` when absent (RFC 7591 §2).
    #[serde(default = "default_grant_types")]
    pub grant_types: Vec<GrantType>,
    /// Only `code` exists here; `["code"]` when absent.
    #[serde(default = "default_response_types")]
    pub response_types: Vec<String>,
    /// The most that this client may ask for.
    #[serde(default = "default_scope")]
    pub scope: Scope,
    /// `web` when absent.
    #[serde(default)]
    pub application_type: ApplicationType,
    /// The client's home page, shown on the consent page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_uri: Option<String>,
    /// https only; shown as a link, never fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logo_uri: Option<String>,
    /// https only; shown on the consent page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_uri: Option<String>,
    /// https only; shown on the consent page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tos_uri: Option<String>,
    /// People responsible for the client.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<String>,
    /// Kept for third-party initiated sign-in (OIDC Core §4); https only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initiate_login_uri: Option<String>,
    /// RS256 when absent (OIDC Registration §2).
    #[serde(default = "default_id_token_alg")]
    pub id_token_signed_response_alg: Algorithm,
    /// Signed userinfo answers when present (OIDC Registration §2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub userinfo_signed_response_alg: Option<Algorithm>,
    /// Applied when a request has no `max_age`, in seconds (OIDC Registration §2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_max_age: Option<i64>,
    /// `auth_time` in every ID token (OIDC Registration §2). We always send it; kept as registered.
    #[serde(default)]
    pub require_auth_time: bool,
    /// Ours: PKCE must be used. Always for public clients (requirements D3).
    #[serde(default = "yes")]
    pub require_pkce: bool,
    /// Ours: no consent page, for first-party apps. Not for public native clients (S-A33).
    #[serde(default)]
    pub skip_consent: bool,
    /// Ours: JWT or opaque access tokens.
    #[serde(default)]
    pub access_token_format: AccessTokenFormat,
    /// Ours: rotation of refresh tokens.
    #[serde(default)]
    pub refresh_rotation: RefreshRotation,
    /// Ours: the `aud` of access tokens, and what an introspecting resource server is called. The issuer when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<String>,
    /// Ours: what a token may be for that this client gets in exchange for another (RFC 8693); `audience` when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exchange_audience: Vec<String>,
    /// Ours: an assertion may be for the token endpoint's address as well as for the issuer (requirements D2). Older
    /// libraries send that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub legacy_assertion_audience: bool,
    /// Ours: the longest life of an assertion, in seconds; an hour when absent (requirements D6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assertion_seconds: Option<i64>,
    /// Ours, `serve --dev` only: any loopback redirect URI on any port.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub any_loopback_redirect: bool,
}

impl ClientMetadata {
    /// What is registered of a client of which nothing but the name is said.
    pub fn named(name: &str) -> Self {
        Self {
            client_name: name.to_owned(),
            redirect_uris: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
            token_endpoint_auth_method: default_auth_method(),
            jwks: None,
            jwks_uri: None,
            token_endpoint_auth_signing_alg: None,
            grant_types: default_grant_types(),
            response_types: default_response_types(),
            scope: default_scope(),
            application_type: ApplicationType::default(),
            client_uri: None,
            logo_uri: None,
            policy_uri: None,
            tos_uri: None,
            contacts: Vec::new(),
            initiate_login_uri: None,
            id_token_signed_response_alg: default_id_token_alg(),
            userinfo_signed_response_alg: None,
            default_max_age: None,
            require_auth_time: false,
            require_pkce: true,
            skip_consent: false,
            access_token_format: AccessTokenFormat::default(),
            refresh_rotation: RefreshRotation::default(),
            audience: Vec::new(),
            exchange_audience: Vec::new(),
            legacy_assertion_audience: false,
            assertion_seconds: None,
            any_loopback_redirect: false,
        }
    }
}

/// A client with everything that a request needs of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Client {
    /// Its `client_id`.
    pub id: ClientId,
    /// What is registered.
    pub metadata: ClientMetadata,
    /// Live and expiring secrets, newest first; empty for a public client.
    pub secrets: Vec<ClientSecret>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// Set when an administrator disabled it.
    pub disabled_at: Option<Timestamp>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.id)
    }
}

impl Client {
    /// No secret to authenticate with (RFC 6749 §2.1).
    pub fn is_public(&self) -> bool {
        self.metadata.token_endpoint_auth_method == AuthMethod::None
    }

    /// Whether PKCE must be used: always for public clients, by registration for the others.
    pub fn requires_pkce(&self) -> bool {
        self.is_public() || self.metadata.require_pkce
    }

    /// Whether the grant is registered.
    pub fn may_use(&self, grant: GrantType) -> bool {
        self.metadata.grant_types.contains(&grant)
    }

    /// Whether the presented secret's fingerprint is one of the live ones.
    pub fn has_secret(&self, presented: &Fingerprint, now: Timestamp) -> bool {
        self.secrets.iter().any(|s| s.fingerprint == *presented && s.expires_at.is_none_or(|at| now < at))
    }

    /// The audience of this client's access tokens when no resource was asked for.
    pub fn audience(&self, issuer: &str) -> Vec<String> {
        if self.metadata.audience.is_empty() {
            vec![issuer.to_owned()]
        } else {
            self.metadata.audience.clone()
        }
    }

    /// [`Client::audience_for`] of resources that are kept.
    pub fn audience_of(&self, issuer: &str, resources: &[String]) -> Result<Vec<String>, OAuthError> {
        self.audience_for(issuer, resources.iter().map(String::as_str))
    }

    /// The audience of a token that is asked for these resources (RFC 8707 §2): those, or everything registered when none is
    /// named. `InvalidTarget` when one is not registered: a token must not go out for another than was named.
    pub fn audience_for<'a>(
        &self,
        issuer: &str,
        resources: impl Iterator<Item = &'a str>,
    ) -> Result<Vec<String>, OAuthError> {
        audience_among(&self.metadata.audience, issuer, resources)
    }
}

fn default_auth_method() -> AuthMethod {
    AuthMethod::ClientSecretBasic
}

fn default_grant_types() -> Vec<GrantType> {
    vec![GrantType::AuthorizationCode]
}

fn default_response_types() -> Vec<String> {
    vec!["code".to_owned()]
}

fn default_scope() -> Scope {
    Scope::of(&["openid", "profile", "email", "address", "phone", "offline_access"])
}

fn default_id_token_alg() -> Algorithm {
    Algorithm::Rs256
}

fn yes() -> bool {
    true
}
