//! A key as the command line and `/v1` show it: everything but what it is.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api_key::key::{ApiKey, KeySecret};
use crate::api_key::leak::LeakPolicy;
use crate::api_key::plan::Overrides;
use crate::base::time::Timestamp;

/// In which part of its life a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It works.
    Active,
    /// Its time has not come.
    NotYetValid,
    /// Its time is over.
    Expired,
    /// Somebody disabled it; it may be enabled again.
    Disabled,
    /// Somebody revoked it, for good.
    Revoked,
}

impl State {
    /// Of a key, now.
    pub fn of(key: &ApiKey, now: Timestamp) -> Self {
        if key.revoked_at.is_some() {
            Self::Revoked
        } else if key.disabled_at.is_some() {
            Self::Disabled
        } else if key.expires_at.is_some_and(|at| now >= at) {
            Self::Expired
        } else if key.not_before.is_some_and(|at| now < at) {
            Self::NotYetValid
        } else {
            Self::Active
        }
    }

    /// The word on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::NotYetValid => "not_yet_valid",
            Self::Expired => "expired",
            Self::Disabled => "disabled",
            Self::Revoked => "revoked",
        }
    }
}

/// An API key. Times are RFC 3339.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Key)]
pub struct KeyView {
    /// The public id, which stands in the key.
    pub key_id: String,
    /// What people recognise it by.
    pub masked: String,
    /// What people call it.
    pub name: String,
    /// What people say about it.
    pub description: Option<String>,
    /// Whose it is.
    pub organization_id: String,
    /// Its environment.
    pub environment: String,
    /// In which part of its life it is.
    pub state: State,
    /// What it may do: `resource:action`, with wildcards.
    pub scopes: Vec<String>,
    /// From where it may be used; from everywhere when empty.
    pub allow_ips: Vec<String>,
    /// From where it may not be used.
    pub deny_ips: Vec<String>,
    /// Limits of its own.
    pub limits: Overrides,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// From when on it works.
    #[schema(format = DateTime)]
    pub not_before: Option<String>,
    /// Until when it works; for good when null.
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
    /// When somebody disabled it.
    #[schema(format = DateTime)]
    pub disabled_at: Option<String>,
    /// When somebody revoked it.
    #[schema(format = DateTime)]
    pub revoked_at: Option<String>,
    /// Why.
    pub revoked_reason: Option<String>,
    /// When its secret is due to be replaced.
    #[schema(format = DateTime)]
    pub rotation_due_at: Option<String>,
    /// What becomes of it when it is found in public; as the settings say when null.
    pub leak_policy: Option<LeakPolicy>,
    /// When it was last found in public.
    #[schema(format = DateTime)]
    pub leaked_at: Option<String>,
    /// The number of the pepper that its present secret is hashed under.
    pub pepper: Option<i32>,
    /// When it was last used, to the minute.
    #[schema(format = DateTime)]
    pub last_used_at: Option<String>,
    /// From where.
    pub last_used_address: Option<String>,
    /// For what, as a gateway told.
    pub last_used_resource: Option<String>,
    /// The secret of before the last rotation, while it works.
    pub previous_secret: Option<PreviousView>,
}

/// The secret of before a rotation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PreviousSecret)]
pub struct PreviousView {
    /// When it stops working.
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
    /// When it was last used.
    #[schema(format = DateTime)]
    pub last_used_at: Option<String>,
    /// The number of the pepper that it is hashed under.
    pub pepper: i32,
}

impl KeyView {
    /// Of a key, now.
    pub fn of(key: &ApiKey, now: Timestamp) -> Self {
        let at = |time: Option<Timestamp>| time.map(Timestamp::to_rfc3339);
        let last = key.last_use.as_ref();
        let previous = |secret: &KeySecret| PreviousView {
            expires_at: at(secret.expires_at),
            last_used_at: at(secret.last_used_at),
            pepper: secret.pepper,
        };
        Self {
            key_id: key.id.to_string(),
            masked: key.masked(),
            name: key.name.clone(),
            description: key.description.clone(),
            organization_id: key.organization.to_string(),
            environment: key.environment.as_str().to_owned(),
            state: State::of(key, now),
            scopes: key.scopes.words().map(str::to_owned).collect(),
            allow_ips: key.allow.iter().map(ToString::to_string).collect(),
            deny_ips: key.deny.iter().map(ToString::to_string).collect(),
            limits: key.limits,
            created_by: key.created_by.clone(),
            created_at: key.created_at.to_rfc3339(),
            not_before: at(key.not_before),
            expires_at: at(key.expires_at),
            disabled_at: at(key.disabled_at),
            revoked_at: at(key.revoked_at),
            revoked_reason: key.revoked_reason.clone(),
            rotation_due_at: at(key.rotation_due_at),
            leak_policy: key.leak_policy,
            leaked_at: at(key.leaked_at),
            pepper: key.current().map(|secret| secret.pepper),
            last_used_at: at(last.map(|last| last.at)),
            last_used_address: last.and_then(|last| last.address).map(|address| address.to_string()),
            last_used_resource: last.and_then(|last| last.resource.clone()),
            previous_secret: key.previous(now).map(previous),
        }
    }
}

/// A key with what it is: shown once, when its secret is made.
#[derive(Serialize, ToSchema)]
#[schema(as = NewKey)]
pub struct ShownOnce<'a> {
    #[serde(flatten)]
    view: KeyView,
    /// The key itself. Nothing shows it again.
    key: &'a str,
}

impl<'a> ShownOnce<'a> {
    /// Of a key and its new secret.
    pub fn of(key: &ApiKey, secret: &'a crate::base::secret::Secret<String>, now: Timestamp) -> Self {
        Self { view: KeyView::of(key, now), key: secret.reveal() }
    }
}
