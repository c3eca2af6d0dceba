//! API keys, as the command line and `/v1` make and change them. A key is shown once, when its secret is made.

mod change;
mod fields;

use ipnet::IpNet;
use serde_json::{Value, json};

pub use self::change::{Change, change};
use super::audit::{Act, By, Name, Record};
use super::once::Sheet;
use super::overlap;
use crate::api_key::format::{self, Environment, PublicId};
use crate::api_key::key::{ApiKey, KeySecret};
use crate::api_key::leak::LeakPolicy;
use crate::api_key::permission::Permissions;
use crate::api_key::plan::{Overrides, Plan};
use crate::app::App;
use crate::base::id::OrganizationId;
use crate::base::seal::{MacPurpose, Vault};
use crate::base::secret::{Fingerprint, Secret};
use crate::base::time::Timestamp;
use crate::oauth::error::OAuthError;
use crate::store::key_uses::Renewed;
use crate::store::{StoreError, api_keys, organizations};

/// A key to be minted.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// What people call it.
    pub name: String,
    /// Its environment.
    pub environment: Environment,
    /// What it may do.
    pub scopes: Permissions,
    /// What people say about it.
    pub description: Option<String>,
    /// How long it works, in seconds; for good when absent.
    pub lifetime: Option<i64>,
    /// From when on it works.
    pub not_before: Option<Timestamp>,
    /// From where it may be used.
    pub allow: Vec<IpNet>,
    /// From where it may not be used.
    pub deny: Vec<IpNet>,
    /// Limits that are lower than those of the organization's tier.
    pub limits: Overrides,
    /// What becomes of it when it is found in public; as the settings say when absent.
    pub leak_policy: Option<LeakPolicy>,
}

/// Why a key was not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A field says no: its name, and what is allowed.
    #[error("{field}: {problem}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong and what is allowed.
        problem: String,
    },
    /// No key of that id.
    #[error("no key has the id {0}; `cnx key list` shows them")]
    Unknown(String),
    /// Nobody rotates a key that may do more than they may: the new secret is the key.
    #[error("the key may do more than the caller; whoever has those scopes can rotate it")]
    BeyondCaller,
    /// A revoked key stays revoked.
    #[error("{0} is revoked, for good; mint another key")]
    Revoked(PublicId),
    /// The secret of before the last rotation still works, as it was promised.
    #[error(
        "the secret of before the last rotation works until {0}; rotate again after that, or now without overlap, which stops both"
    )]
    StillWorks(String),
    /// The form that asks for it did so before. A secret is shown once.
    #[error("this form was sent before, and a key is shown once")]
    Again,
    /// We cannot decide now, or something went wrong.
    #[error("{}", .0.description())]
    Error(OAuthError),
}

impl From<StoreError> for KeyError {
    fn from(error: StoreError) -> Self {
        Self::Error(error.into())
    }
}

fn refuse<T>(field: &'static str, problem: impl Into<String>) -> Result<T, KeyError> {
    Err(KeyError::Field { field, problem: problem.into() })
}

/// The stored form of a key under that pepper.
pub fn fingerprint(app: &App, pepper: i32, key: &str) -> Fingerprint {
    hashed(&app.vault, pepper, key)
}

/// The same, where there is no node: within a write.
pub(super) fn hashed(vault: &Vault, pepper: i32, key: &str) -> Fingerprint {
    Fingerprint::from_bytes(vault.mac(MacPurpose::ApiKey, &[&pepper.to_be_bytes(), key.as_bytes()]))
}

/// The form of a key's secret under the present pepper, where it is kept under an earlier one. Only forward: while nodes with two numbers
/// run beside each other, they do not turn it to and fro.
pub fn renewed(app: &App, kept: i32, key: &str) -> Option<Renewed> {
    let pepper = app.settings.api_keys.pepper;
    (kept < pepper).then(|| Renewed { fingerprint: fingerprint(app, pepper, key), pepper })
}

/// How many secrets that still work are kept under another pepper than the present one: keys that nobody used since it was turned.
pub fn under_another_pepper(app: &App, keys: &[ApiKey], now: Timestamp) -> usize {
    let present = app.settings.api_keys.pepper;
    let live = keys.iter().filter(|key| key.revoked_at.is_none() && key.expires_at.is_none_or(|at| now < at));
    let secrets = live.flat_map(|key| key.current().into_iter().chain(key.previous(now)));
    secrets.filter(|secret| secret.pepper != present).count()
}

/// Mints a key. The key itself is returned, once.
pub async fn mint(app: &App, by: &By, new: NewKey) -> Result<(ApiKey, Secret<String>), KeyError> {
    mint_once(app, by, new, None).await
}

/// The same for a form, which mints one key however often it is sent.
pub async fn mint_once(
    app: &App,
    by: &By,
    new: NewKey,
    sheet: Option<Sheet>,
) -> Result<(ApiKey, Secret<String>), KeyError> {
    let now = app.now();
    let plan = app.store.read(organizations::first_plan).await?;
    check(&new, now, plan, app.settings.api_keys.enterprise_burst)?;
    by.may_give(&new.scopes).or_else(|problem| refuse("scopes", problem))?;
    let id = format::new_id(&app.entropy);
    let secret = format::mint(&new.environment, id, &app.entropy);
    let rotation = app.settings.api_keys.rotation_seconds;
    let key = ApiKey {
        id,
        organization: OrganizationId::new(&app.clock, &app.entropy),
        environment: new.environment,
        name: new.name,
        description: new.description,
        created_by: by.owner(),
        scopes: new.scopes,
        allow: new.allow,
        deny: new.deny,
        limits: new.limits,
        secrets: vec![stored(app, &secret)],
        created_at: now,
        not_before: new.not_before,
        expires_at: new.lifetime.map(|seconds| now.plus(seconds)),
        disabled_at: None,
        revoked_at: None,
        revoked_reason: None,
        rotation_due_at: (rotation > 0).then(|| now.plus(rotation)),
        reminded_days: None,
        leak_policy: new.leak_policy,
        leaked_at: None,
        last_use: None,
    };
    let about = json!({
        "name": key.name,
        "environment": key.environment.as_str(),
        "scopes": key.scopes.words().collect::<Vec<_>>(),
        "expires_at": key.expires_at.map(Timestamp::to_rfc3339),
    });
    let record = Record::new(app, &Act::Did(Name::KeyMinted, key.id.as_str().into(), about), by, now);
    let minted = record
        .when(Option::is_some, app, move |conn| {
            if let Some(sheet) = &sheet
                && !sheet.spend(conn)?
            {
                return Ok(None);
            }
            let organization = organizations::first(conn, key.organization, now)?;
            let key = ApiKey { organization, ..key.clone() };
            api_keys::insert(conn, &key)?;
            Ok(Some(key))
        })
        .await?;
    let key = minted.ok_or(KeyError::Again)?;
    app.catch_up().await?;
    Ok((key, secret))
}

fn check(new: &NewKey, now: Timestamp, of: Plan, burst: u32) -> Result<(), KeyError> {
    fields::name(&new.name)?;
    fields::description(new.description.as_deref())?;
    if new.lifetime.is_some_and(|seconds| seconds < 1) {
        return refuse("expires_at", "a time in the future is needed");
    }
    let ends = new.lifetime.map(|seconds| now.plus(seconds));
    if ends.zip(new.not_before).is_some_and(|(ends, begins)| begins >= ends) {
        return refuse("not_before", "a time before expires_at is needed; the key would never work");
    }
    fields::networks(&new.allow, &new.deny)?;
    fields::limits(&new.limits, of, burst)
}

fn stored(app: &App, secret: &Secret<String>) -> KeySecret {
    let pepper = app.settings.api_keys.pepper;
    KeySecret {
        fingerprint: fingerprint(app, pepper, secret.reveal()),
        pepper,
        tail: format::tail(secret),
        created_at: app.now(),
        expires_at: None,
        last_used_at: None,
    }
}

/// The key of that id, from the database.
pub async fn find(app: &App, id: &str) -> Result<ApiKey, KeyError> {
    let unknown = || KeyError::Unknown(id.to_owned());
    let wanted: PublicId = id.parse().map_err(|_| unknown())?;
    app.store.read(move |conn| api_keys::find(conn, wanted)).await?.ok_or_else(unknown)
}

/// The same for somebody: what is not theirs to see is no key.
pub async fn seen(app: &App, by: &By, id: &str) -> Result<ApiKey, KeyError> {
    let key = find(app, id).await?;
    if by.sees(&key) { Ok(key) } else { Err(KeyError::Unknown(id.to_owned())) }
}

/// What a rotation decided; committed or not, as it says.
enum Rotated {
    Done,
    Again,
    Revoked,
    Promised(String),
}

/// Makes a new secret for a key: same id, same scopes, same limits, same past. The one before works for `overlap` more seconds.
pub async fn rotate(
    app: &App,
    by: &By,
    id: &str,
    overlap: i64,
) -> Result<(ApiKey, Secret<String>), KeyError> {
    rotate_once(app, by, id, overlap, None).await
}

/// The same for a form, which rotates once however often it is sent.
pub async fn rotate_once(
    app: &App,
    by: &By,
    id: &str,
    overlap: i64,
    sheet: Option<Sheet>,
) -> Result<(ApiKey, Secret<String>), KeyError> {
    if let Err(problem) = overlap::check(overlap) {
        return refuse("overlap_seconds", problem);
    }
    let key = seen(app, by, id).await?;
    // What a key may do never changes.
    by.may_give(&key.scopes).map_err(|_| KeyError::BeyondCaller)?;
    let now = app.now();
    let secret = format::mint(&key.environment, key.id, &app.entropy);
    let new = stored(app, &secret);
    let rotation = app.settings.api_keys.rotation_seconds;
    let due = (rotation > 0).then(|| now.plus(rotation));
    let wanted = key.id;
    let act = Act::Did(Name::KeyRotated, key.id.as_str().into(), json!({ "overlap_seconds": overlap }));
    let record = Record::new(app, &act, by, now);
    let told = record.clone();
    let done = app
        .store
        .write(move |conn| {
            if let Some(sheet) = &sheet
                && !sheet.spend(conn)?
            {
                return Ok(Rotated::Again);
            }
            // As it stands within this write: another rotation may have been first.
            let Some(key) = api_keys::hold(conn, wanted, now)? else { return Ok(Rotated::Revoked) };
            if key.revoked_at.is_some() {
                return Ok(Rotated::Revoked);
            }
            if let Some(until) =
                key.previous(now).and_then(|secret| secret.expires_at).filter(|_| overlap > 0)
            {
                return Ok(Rotated::Promised(until.to_rfc3339()));
            }
            let before = key.current().filter(|_| overlap > 0);
            let before =
                before.map(|before| KeySecret { expires_at: Some(now.plus(overlap)), ..before.clone() });
            let secrets: Vec<KeySecret> = std::iter::once(new.clone()).chain(before).collect();
            api_keys::set_secrets(conn, wanted, &secrets, due, now)?;
            record.write(conn)?;
            Ok(Rotated::Done)
        })
        .await?;
    match done {
        Rotated::Done => told.log(),
        Rotated::Again => return Err(KeyError::Again),
        Rotated::Revoked => return Err(KeyError::Revoked(key.id)),
        Rotated::Promised(until) => return Err(KeyError::StillWorks(until)),
    }
    app.catch_up().await?;
    Ok((find(app, id).await?, secret))
}

/// Revokes a key for good: no secret of it works any more.
pub async fn revoke(app: &App, by: &By, id: &str, reason: Option<String>) -> Result<ApiKey, KeyError> {
    if reason.as_deref().is_some_and(|text| text.chars().count() > 500 || text.chars().any(char::is_control))
    {
        return refuse("reason", "at most 500 characters are allowed, without control characters");
    }
    let key = seen(app, by, id).await?;
    let (wanted, now) = (key.id, app.now());
    let act = Act::Did(Name::KeyRevoked, key.id.as_str().into(), Value::Null);
    let record = Record::new(app, &act, by, now).because(reason.clone());
    record.if_done(app, move |conn| api_keys::revoke(conn, wanted, reason.as_deref(), now)).await?;
    app.catch_up().await?;
    find(app, id).await
}

/// Disables a key, or enables it again.
pub async fn set_disabled(app: &App, by: &By, id: &str, disabled: bool) -> Result<ApiKey, KeyError> {
    let key = seen(app, by, id).await?;
    let (wanted, now) = (key.id, app.now());
    let deed = if disabled { Name::KeyDisabled } else { Name::KeyEnabled };
    let record = Record::new(app, &Act::Did(deed, key.id.as_str().into(), Value::Null), by, now);
    record.with(app, move |conn| api_keys::set_disabled(conn, wanted, disabled.then_some(now), now)).await?;
    app.catch_up().await?;
    find(app, id).await
}
