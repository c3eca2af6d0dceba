//! An API key as it is kept, and what part of its life it is in. The secret itself is nowhere: a keyed hash under a pepper is.

use ipnet::IpNet;

use super::allowlist;
use super::format::{Environment, PublicId, masked};
use super::leak::LeakPolicy;
use super::permission::Permissions;
use super::plan::Overrides;
use crate::base::id::OrganizationId;
use crate::base::secret::Fingerprint;
use crate::base::time::Timestamp;
use std::net::IpAddr;

/// The most secrets of one key that work at once: the present one, and the one before for an overlap.
pub const MOST_SECRETS: usize = 2;

/// Why a key is not good for what it is presented for. The words are those of `POST /v1/keys/verify`; a caller of an API is told less.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such key, or not this secret.
    NotFound,
    /// Somebody revoked it.
    Revoked,
    /// Its time is over, or its secret's overlap is.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// Somebody disabled it.
    Disabled,
    /// Not from there.
    IpNotAllowed,
    /// It lacks this scope.
    InsufficientScope(String),
    /// Too often.
    RateLimited,
}

impl Refusal {
    /// The word on the wire.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "NOT_FOUND",
            Self::Revoked => "REVOKED",
            Self::Expired => "EXPIRED",
            Self::NotYetValid => "NOT_YET_VALID",
            Self::Disabled => "DISABLED",
            Self::IpNotAllowed => "IP_NOT_ALLOWED",
            Self::InsufficientScope(_) => "INSUFFICIENT_SCOPE",
            Self::RateLimited => "RATE_LIMITED",
        }
    }

    /// The word in counts of requests. Never change one: rows carry it.
    pub const fn outcome(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Disabled => "disabled",
            Self::IpNotAllowed => "ip_not_allowed",
            Self::InsufficientScope(_) => "insufficient_scope",
            Self::RateLimited => "rate_limited",
        }
    }
}

/// One of at most two live secrets of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySecret {
    /// The keyed hash.
    pub fingerprint: Fingerprint,
    /// Which pepper it was hashed under.
    pub pepper: i32,
    /// The last characters, for people.
    pub tail: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working, after a rotation.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
}

/// The last use of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastUse {
    /// When, to the minute.
    pub at: Timestamp,
    /// From where.
    pub address: Option<IpAddr>,
    /// For what: the host or path that a gateway told.
    pub resource: Option<String>,
}

/// An API key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its public id, which stands in the key.
    pub id: PublicId,
    /// Whose it is.
    pub organization: OrganizationId,
    /// Its environment.
    pub environment: Environment,
    /// What people call it.
    pub name: String,
    /// What people say about it.
    pub description: Option<String>,
    /// Who made it.
    pub created_by: String,
    /// What it may do.
    pub scopes: Permissions,
    /// From where it may be used; everywhere when empty.
    pub allow: Vec<IpNet>,
    /// From where it may not be used.
    pub deny: Vec<IpNet>,
    /// Limits that are lower than the tier's.
    pub limits: Overrides,
    /// The secrets that work, and those that did lately; newest first.
    pub secrets: Vec<KeySecret>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it works.
    pub not_before: Option<Timestamp>,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
    /// When somebody disabled it; it may be enabled again.
    pub disabled_at: Option<Timestamp>,
    /// When somebody revoked it, and why; for good.
    pub revoked_at: Option<Timestamp>,
    /// Why.
    pub revoked_reason: Option<String>,
    /// When its secret is to be replaced.
    pub rotation_due_at: Option<Timestamp>,
    /// How many days before that somebody was last reminded.
    pub reminded_days: Option<i64>,
    /// What becomes of it when it is found in public; as the settings say when absent.
    pub leak_policy: Option<LeakPolicy>,
    /// When it was last found in public.
    pub leaked_at: Option<Timestamp>,
    /// Its last use, as far as it was written down.
    pub last_use: Option<LastUse>,
}

impl ApiKey {
    /// The present secret.
    pub fn current(&self) -> Option<&KeySecret> {
        self.secrets.iter().find(|secret| secret.expires_at.is_none())
    }

    /// The secret before, while it works for its overlap.
    pub fn previous(&self, now: Timestamp) -> Option<&KeySecret> {
        self.secrets.iter().find(|secret| secret.expires_at.is_some_and(|at| now < at))
    }

    /// What a person may see of it again.
    pub fn masked(&self) -> String {
        masked(&self.environment, self.id, self.current().map_or("", |secret| secret.tail.as_str()))
    }

    /// Whether the key is good at `now`, presented with the secret that `is_it` knows. The secret first: who does not hold it learns
    /// nothing about the key.
    pub fn judge(&self, is_it: impl Fn(&KeySecret) -> bool, now: Timestamp) -> Result<&KeySecret, Refusal> {
        let secret = self.secrets.iter().find(|secret| is_it(secret)).ok_or(Refusal::NotFound)?;
        if self.revoked_at.is_some() {
            return Err(Refusal::Revoked);
        }
        if self.disabled_at.is_some() {
            return Err(Refusal::Disabled);
        }
        if self.not_before.is_some_and(|at| now < at) {
            return Err(Refusal::NotYetValid);
        }
        if [self.expires_at, secret.expires_at].into_iter().flatten().any(|at| now >= at) {
            return Err(Refusal::Expired);
        }
        Ok(secret)
    }

    /// Whether it may be used from there, for that.
    pub fn permits<'a>(
        &self,
        address: Option<IpAddr>,
        wanted: impl Iterator<Item = &'a str>,
    ) -> Result<(), Refusal> {
        if !allowlist::permits(&self.allow, &self.deny, address) {
            return Err(Refusal::IpNotAllowed);
        }
        match self.scopes.missing(wanted) {
            Some(word) => Err(Refusal::InsufficientScope(word.to_owned())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(10_000);

    fn secret(n: u8, expires_at: Option<Timestamp>) -> KeySecret {
        KeySecret {
            fingerprint: Fingerprint::from_bytes([n; 32]),
            pepper: 1,
            tail: "abcd".to_owned(),
            created_at: NOW,
            expires_at,
            last_used_at: None,
        }
    }

    fn key() -> ApiKey {
        ApiKey {
            id: "7Hd2f9QzAk".parse().unwrap(),
            organization: OrganizationId::from_slice(&[1; 16]).unwrap(),
            environment: "prod".parse().unwrap(),
            name: "key".to_owned(),
            description: None,
            created_by: "test".to_owned(),
            scopes: Permissions::parse(std::iter::once("instances:read")).unwrap(),
            allow: vec![allowlist::network("203.0.113.0/24").unwrap()],
            deny: Vec::new(),
            limits: Overrides::default(),
            secrets: vec![secret(2, None), secret(1, Some(NOW.plus(60)))],
            created_at: NOW,
            not_before: None,
            expires_at: None,
            disabled_at: None,
            revoked_at: None,
            revoked_reason: None,
            rotation_due_at: None,
            reminded_days: None,
            leak_policy: None,
            leaked_at: None,
            last_use: None,
        }
    }

    fn judged(key: &ApiKey, n: u8, now: Timestamp) -> Result<u8, Refusal> {
        key.judge(|s| s.fingerprint == Fingerprint::from_bytes([n; 32]), now)
            .map(|s| s.fingerprint.as_bytes()[0])
    }

    #[test]
    fn two_secrets_work_for_the_overlap_and_then_one_s_k9() {
        let key = key();
        assert_eq!((judged(&key, 1, NOW), judged(&key, 2, NOW)), (Ok(1), Ok(2)));
        assert_eq!(judged(&key, 1, NOW.plus(60)), Err(Refusal::Expired));
        assert_eq!(judged(&key, 2, NOW.plus(60)), Ok(2));
        assert_eq!(judged(&key, 3, NOW), Err(Refusal::NotFound));
        assert!(key.previous(NOW).is_some() && key.previous(NOW.plus(60)).is_none());
        assert_eq!(key.masked(), "cnx_prod_7Hd2f9QzAk••••abcd");
    }

    #[test]
    fn each_part_of_a_life_has_its_word_and_none_is_told_without_the_secret_s_k2() {
        let at = Some(NOW);
        for (changed, word) in [
            (ApiKey { revoked_at: at, ..key() }, Refusal::Revoked),
            (ApiKey { disabled_at: at, ..key() }, Refusal::Disabled),
            (ApiKey { not_before: Some(NOW.plus(1)), ..key() }, Refusal::NotYetValid),
            (ApiKey { expires_at: at, ..key() }, Refusal::Expired),
        ] {
            assert_eq!(judged(&changed, 2, NOW), Err(word));
            assert_eq!(judged(&changed, 3, NOW), Err(Refusal::NotFound));
        }
    }

    #[test]
    fn place_and_scope_are_looked_at_s_k4_s_k5() {
        let here: Option<IpAddr> = Some("203.0.113.7".parse().unwrap());
        assert_eq!(key().permits(here, ["instances:read"].into_iter()), Ok(()));
        assert_eq!(key().permits(None, ["instances:read"].into_iter()), Err(Refusal::IpNotAllowed));
        let missing = key().permits(here, ["instances:read", "instances:write"].into_iter());
        assert_eq!(missing, Err(Refusal::InsufficientScope("instances:write".to_owned())));
    }
}
