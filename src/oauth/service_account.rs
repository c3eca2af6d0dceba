//! A service account: a machine's identity, with public keys or trust rules and no shared secret anywhere.
//!
//! Its id is text with an `@`, as google-auth's `client_email` has one, and is a `client_id` and a `sub` at once; no person's
//! id looks so, and no client may bring one that a service account has (S-T13).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::assertion::LONGEST;
use super::client::{AccessTokenFormat, AuthMethod, Client, ClientMetadata};
use super::client_registration::FieldError;
use super::error::OAuthError;
use super::resource::audience_among;
use super::scope::Scope;
use super::trust::TrustRule;
use super::web_address::is_fetchable;
use crate::base::algorithm::Algorithm;
use crate::base::encoding::base62;
use crate::base::entropy::Entropy;
use crate::base::id::{ClientId, OrganizationId};
use crate::base::time::Timestamp;

/// What google-auth writes into `aud` whatever its `token_uri` says (C14).
pub const GOOGLE_AUDIENCE: &str = "https://oauth2.googleapis.com/token";

/// The most keys of one account that work at once.
pub const MOST_KEYS: usize = 10;

/// What an administrator decides about an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountPolicy {
    /// The most that it may ask for.
    pub scope: Scope,
    /// What its tokens may be for; the issuer when empty. A request names them by `resource` (RFC 8707).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<String>,
    /// Takes the assertions of stock google-auth: its fixed `aud`, no `sub`, no `jti` (field notes, requirements D8).
    #[serde(default)]
    pub google_auth: bool,
    /// The longest life of an assertion, in seconds (requirements D6).
    #[serde(default = "longest")]
    pub assertion_seconds: i64,
    /// The life of its access tokens, in seconds; the server's when absent, never longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_seconds: Option<i64>,
    /// JWT or opaque.
    #[serde(default)]
    pub access_token_format: AccessTokenFormat,
    /// Where its public keys are published, beside those that are registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
}

fn longest() -> i64 {
    LONGEST
}

/// One public key of an account. The private half was never kept here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountKey {
    /// Its name within the account.
    pub kid: String,
    /// What it verifies.
    pub alg: Algorithm,
    /// The public half.
    pub jwk: Value,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it stops working: by its greatest age, or after its successor was published.
    pub expires_at: Option<Timestamp>,
    /// When somebody revoked it.
    pub revoked_at: Option<Timestamp>,
    /// When an assertion of it was last taken, to the minute.
    pub last_used_at: Option<Timestamp>,
}

impl AccountKey {
    /// Whether it verifies at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| now < at)
    }
}

/// A service account with everything that a request needs of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Its `client_id`, and the `sub` of its tokens.
    pub id: ClientId,
    /// Whose it is.
    pub organization: OrganizationId,
    /// What people call it; unique in its organization.
    pub name: String,
    /// What it may.
    pub policy: AccountPolicy,
    /// Its keys, newest first, ended ones too.
    pub keys: Vec<AccountKey>,
    /// Whose tokens it takes in place of a key's.
    pub rules: Vec<TrustRule>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Set when an administrator disabled it.
    pub disabled_at: Option<Timestamp>,
}

impl ServiceAccount {
    /// Whether it may get tokens, and whether those that it has are good.
    pub fn is_active(&self) -> bool {
        self.disabled_at.is_none()
    }

    /// The account as a client that may ask about and give back its own tokens, and nothing else.
    pub fn as_client(&self) -> Client {
        Client {
            id: self.id.clone(),
            metadata: ClientMetadata {
                token_endpoint_auth_method: AuthMethod::PrivateKeyJwt,
                grant_types: Vec::new(),
                response_types: Vec::new(),
                scope: self.policy.scope.clone(),
                ..ClientMetadata::named(&self.name)
            },
            secrets: Vec::new(),
            created_at: self.created_at,
            disabled_at: self.disabled_at,
        }
    }

    /// The audience of a token for these resources: those, or all when none is named (RFC 8707 §2).
    pub fn audience_for<'a>(
        &self,
        issuer: &str,
        resources: impl Iterator<Item = &'a str>,
    ) -> Result<Vec<String>, OAuthError> {
        audience_among(&self.policy.audience, issuer, resources)
    }

    /// What is granted of what was asked for; everything when nothing was.
    pub fn grant(&self, asked: Option<Scope>) -> Result<Scope, OAuthError> {
        match asked {
            None => Ok(self.policy.scope.clone()),
            Some(asked) if self.policy.scope.covers(&asked) => Ok(asked),
            Some(_) => Err(OAuthError::InvalidScope(
                "scope has a word that this service account may not have".into(),
            )),
        }
    }

    /// Whether a token that came about by `by` is still good: the key was not revoked, the rule is still there.
    pub fn vouches(&self, by: &GrantedBy) -> bool {
        match by {
            GrantedBy::Key(tag) => {
                !self.keys.iter().any(|key| key.revoked_at.is_some() && tag_of(key.kid.as_bytes()) == *tag)
            }
            GrantedBy::Rule(tag) => self.rules.iter().any(|rule| tag_of(rule.id.as_bytes()) == *tag),
        }
    }
}

/// Words of scopes that only a person can give.
pub const OF_PEOPLE: [&str; 6] = ["openid", "offline_access", "profile", "email", "address", "phone"];

/// Whether an account may be made so.
pub fn check(name: &str, policy: &AccountPolicy) -> Result<(), FieldError> {
    let refuse = |field, problem: String| Err(FieldError { field, problem });
    let plain = |c: char| !c.is_control() && !c.is_whitespace() || c == ' ';
    if name.trim() != name || name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return refuse(
            "name",
            "1 to 64 bytes of text are allowed, without spaces at the ends and control characters".to_owned(),
        );
    }
    if let Some(word) = OF_PEOPLE.iter().find(|word| policy.scope.contains(word)) {
        return refuse(
            "scope",
            format!("{word} can be given by a person only; scopes of your API are allowed"),
        );
    }
    let legal = |a: &String| {
        (1..=2048).contains(&a.len()) && a.bytes().all(|b| b.is_ascii_graphic() && !b"\"\\".contains(&b))
    };
    if policy.audience.len() > 20 || !policy.audience.iter().all(legal) {
        return refuse(
            "audience",
            "up to 20 of 1 to 2048 visible ASCII characters each are allowed, no space, quote or backslash"
                .to_owned(),
        );
    }
    if let Some(uri) = policy.jwks_uri.as_deref().filter(|uri| !is_fetchable(uri)) {
        return refuse("jwks_uri", format!("{uri}: an https URL is allowed"));
    }
    if !(1..=LONGEST).contains(&policy.assertion_seconds) {
        return refuse(
            "assertion_seconds",
            format!("a whole number of seconds from 1 to {LONGEST} is allowed"),
        );
    }
    if policy.token_seconds.is_some_and(|seconds| seconds < 1) {
        return refuse("token_seconds", "a whole number of seconds, 1 or more, is allowed".to_owned());
    }
    Ok(())
}

/// A new id: the name, so that a log can be read, and chance, so that no id is ever given twice.
pub fn new_id(name: &str, host: &str, entropy: &Entropy) -> ClientId {
    let slug: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .take(40)
        .collect();
    let chance = base62(&entropy.bytes::<8>());
    let host: String =
        host.chars().filter(|c| c.is_ascii_alphanumeric() || ".-".contains(*c)).take(60).collect();
    let text = format!("{}-{chance}@{host}", slug.trim_matches('-'));
    text.trim_start_matches('-').parse().unwrap_or_else(|_| ClientId::generate(entropy))
}

/// What a machine's token came about by. It stands in the `jti`, so that a revoked key or a removed rule ends its tokens
/// without a row for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantedBy {
    /// One of the account's keys.
    Key([u8; 7]),
    /// A trust rule.
    Rule([u8; 7]),
}

impl GrantedBy {
    /// By the key of that name.
    pub fn key(kid: &str) -> Self {
        Self::Key(tag_of(kid.as_bytes()))
    }

    /// By that rule.
    pub fn rule(rule: &TrustRule) -> Self {
        Self::Rule(tag_of(rule.id.as_bytes()))
    }
}

/// Enough of a hash to tell the keys of one account apart.
fn tag_of(name: &[u8]) -> [u8; 7] {
    let mut tag = [0; 7];
    for (to, from) in tag.iter_mut().zip(crate::base::digest::sha256(name)) {
        *to = from;
    }
    tag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_like_an_address_and_is_a_client_id_s_t13() {
        let entropy = Entropy::seeded(1);
        let id = new_id("Deploy: Main!", "id.example.com", &entropy);
        assert!(id.as_str().starts_with("deploy--main-") && id.as_str().ends_with("@id.example.com"), "{id}");
        for (name, host) in [("ci", "[::1]"), ("\u{e4}\u{f6}", "localhost"), ("", "localhost")] {
            assert!(new_id(name, host, &entropy).as_str().contains('@'), "{name}");
        }
        assert_ne!(new_id("ci", "h", &entropy), new_id("ci", "h", &entropy));
    }
}
