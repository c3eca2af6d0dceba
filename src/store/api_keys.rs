//! API keys and their secrets. Every write leaves a change in the feed, since servers keep all keys in memory; last uses are the exception
//! ([`super::key_uses`]), which are written in batches and which nobody has to know at once.

use std::collections::HashMap;

use diesel::prelude::*;

use super::changes::{self, ChangeKind};
use super::conn::{Conn, on_both};
use super::error::{StoreError, duplicate};
use super::row::{fingerprint, may, must, time};
use super::schema::{api_key_secrets, api_keys};
use crate::api_key::allowlist::network;
use crate::api_key::format::PublicId;
use crate::api_key::key::{ApiKey, KeySecret, LastUse};
use crate::api_key::leak::LeakPolicy;
use crate::api_key::permission::Permissions;
use crate::api_key::plan::Overrides;
use crate::base::id::OrganizationId;
use crate::base::time::Timestamp;

type Row = (
    (String, Vec<u8>, String, String, Option<String>, String),
    (String, String, String, String),
    (i64, Option<i64>, Option<i64>, Option<i64>, Option<i64>, Option<String>, Option<i64>),
    (Option<i64>, Option<String>, Option<String>),
    (Option<String>, Option<i64>, Option<i64>),
);
type SecretRow = (Vec<u8>, String, i32, String, i64, Option<i64>, Option<i64>);

macro_rules! columns {
    () => {
        (
            (
                api_keys::id,
                api_keys::organization_id,
                api_keys::environment,
                api_keys::name,
                api_keys::description,
                api_keys::created_by,
            ),
            (api_keys::scopes, api_keys::allow_ips, api_keys::deny_ips, api_keys::limits),
            (
                api_keys::created_at,
                api_keys::not_before,
                api_keys::expires_at,
                api_keys::disabled_at,
                api_keys::revoked_at,
                api_keys::revoked_reason,
                api_keys::rotation_due_at,
            ),
            (api_keys::last_used_at, api_keys::last_used_address, api_keys::last_used_resource),
            (api_keys::leak_policy, api_keys::leaked_at, api_keys::reminded_days),
        )
    };
}

/// So many rows are held at once while all are read: what every row takes on its way is a good deal more than what is kept of it.
const AT_ONCE: i64 = 500;

/// Every key, in the order of their ids.
pub fn all(conn: &mut Conn) -> Result<Vec<ApiKey>, StoreError> {
    let mut all = Vec::new();
    each(conn, |key| all.push(key))?;
    Ok(all)
}

/// Hands every key on, in the order of their ids.
pub fn each(conn: &mut Conn, mut take: impl FnMut(ApiKey)) -> Result<(), StoreError> {
    let mut after = String::new();
    loop {
        let rows = api_keys::table
            .filter(api_keys::id.gt(&after))
            .order(api_keys::id)
            .limit(AT_ONCE)
            .select(columns!())
            .load::<Row>(conn)?;
        let Some(last) = rows.last().map(|row| row.0.0.clone()) else { return Ok(()) };
        let secrets = api_key_secrets::table
            .filter(api_key_secrets::key_id.gt(&after).and(api_key_secrets::key_id.le(&last)))
            .order(api_key_secrets::created_at.desc())
            .select(api_key_secrets::all_columns)
            .load::<SecretRow>(conn)?;
        after = last;
        together(rows, secrets)?.into_iter().for_each(&mut take);
    }
}

fn together(rows: Vec<Row>, secrets: Vec<SecretRow>) -> Result<Vec<ApiKey>, StoreError> {
    let mut of: HashMap<String, Vec<KeySecret>> = HashMap::new();
    for row in secrets {
        of.entry(row.1.clone()).or_default().push(secret(row)?);
    }
    rows.into_iter()
        .map(|row| {
            let mut secrets = of.remove(&row.0.0).unwrap_or_default();
            // A list that grew has room for four, and all keys stay in memory.
            secrets.shrink_to_fit();
            key(row, secrets)
        })
        .collect()
}

/// At most `limit` keys, newest first, from the one after `after` on.
pub fn page(
    conn: &mut Conn,
    after: Option<(Timestamp, PublicId)>,
    limit: usize,
) -> Result<Vec<ApiKey>, StoreError> {
    let (at, id) = match &after {
        None => (i64::MAX, "~"),
        Some((at, id)) => (at.as_secs(), id.as_str()),
    };
    let later = api_keys::created_at.lt(at).or(api_keys::created_at.eq(at).and(api_keys::id.lt(id)));
    let rows = api_keys::table
        .filter(later)
        .order((api_keys::created_at.desc(), api_keys::id.desc()))
        .limit(i64::try_from(limit).unwrap_or(i64::MAX))
        .select(columns!())
        .load::<Row>(conn)?;
    with_secrets(conn, rows)
}

/// The keys of these ids, in no order.
pub fn some(conn: &mut Conn, ids: &[PublicId]) -> Result<Vec<ApiKey>, StoreError> {
    let ids: Vec<&str> = ids.iter().map(PublicId::as_str).collect();
    let rows = on_both!(conn, c => api_keys::table
        .filter(api_keys::id.eq_any(&ids))
        .select(columns!())
        .load::<Row>(c))?;
    with_secrets(conn, rows)
}

fn with_secrets(conn: &mut Conn, rows: Vec<Row>) -> Result<Vec<ApiKey>, StoreError> {
    let ids: Vec<&str> = rows.iter().map(|row| row.0.0.as_str()).collect();
    let secrets = on_both!(conn, c => api_key_secrets::table
        .filter(api_key_secrets::key_id.eq_any(ids))
        .order(api_key_secrets::created_at.desc())
        .select(api_key_secrets::all_columns)
        .load::<SecretRow>(c))?;
    together(rows, secrets)
}

/// One key.
pub fn find(conn: &mut Conn, id: PublicId) -> Result<Option<ApiKey>, StoreError> {
    let row = api_keys::table.find(id.as_str()).select(columns!()).get_result::<Row>(conn).optional()?;
    let Some(row) = row else { return Ok(None) };
    let secrets = api_key_secrets::table
        .filter(api_key_secrets::key_id.eq(id.as_str()))
        .order(api_key_secrets::created_at.desc())
        .select(api_key_secrets::all_columns)
        .load::<SecretRow>(conn)?;
    key(row, secrets.into_iter().map(secret).collect::<Result<_, _>>()?).map(Some)
}

/// Takes the key's row for the rest of the transaction, so that two changes come one after the other; the key as it stands then.
pub fn hold(conn: &mut Conn, id: PublicId, now: Timestamp) -> Result<Option<ApiKey>, StoreError> {
    let rows = diesel::update(api_keys::table.find(id.as_str()))
        .set(api_keys::updated_at.eq(now.as_secs()))
        .execute(conn)?;
    if rows == 1 { find(conn, id) } else { Ok(None) }
}

/// Writes what people may change of a key: its name and description, its networks, its limits.
pub fn set_about(conn: &mut Conn, key: &ApiKey, now: Timestamp) -> Result<(), StoreError> {
    diesel::update(api_keys::table.find(key.id.as_str()))
        .set((
            api_keys::name.eq(&key.name),
            api_keys::description.eq(key.description.as_deref()),
            api_keys::allow_ips.eq(written(&key.allow)?),
            api_keys::deny_ips.eq(written(&key.deny)?),
            api_keys::limits.eq(written(&key.limits)?),
        ))
        .execute(conn)?;
    changes::record(conn, ChangeKind::ApiKey, key.id.as_str(), now)
}

/// As JSON, for a column.
fn written<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    must(serde_json::to_string(value).ok(), "networks or limits cannot be written")
}

/// Adds a key with its secrets; `Duplicate("id")` in the unlikely case that its id is taken.
pub fn insert(conn: &mut Conn, key: &ApiKey) -> Result<(), StoreError> {
    diesel::insert_into(api_keys::table)
        .values((
            api_keys::id.eq(key.id.as_str()),
            api_keys::organization_id.eq(key.organization.to_vec()),
            api_keys::environment.eq(key.environment.as_str()),
            api_keys::name.eq(&key.name),
            api_keys::description.eq(key.description.as_deref()),
            api_keys::created_by.eq(&key.created_by),
            api_keys::scopes.eq(key.scopes.to_string()),
            api_keys::allow_ips.eq(written(&key.allow)?),
            api_keys::deny_ips.eq(written(&key.deny)?),
            api_keys::limits.eq(written(&key.limits)?),
            api_keys::created_at.eq(key.created_at.as_secs()),
            api_keys::updated_at.eq(key.created_at.as_secs()),
            api_keys::not_before.eq(key.not_before.map(Timestamp::as_secs)),
            api_keys::expires_at.eq(key.expires_at.map(Timestamp::as_secs)),
            api_keys::rotation_due_at.eq(key.rotation_due_at.map(Timestamp::as_secs)),
            api_keys::leak_policy.eq(key.leak_policy.map(LeakPolicy::word)),
        ))
        .execute(conn)
        .map_err(|e| duplicate(e, &["id"]))?;
    insert_secrets(conn, key.id, &key.secrets)?;
    changes::record(conn, ChangeKind::ApiKey, key.id.as_str(), key.created_at)
}

/// Replaces the secrets of a key, and says when they are to be replaced again.
pub fn set_secrets(
    conn: &mut Conn,
    id: PublicId,
    secrets: &[KeySecret],
    rotation_due_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), StoreError> {
    diesel::delete(api_key_secrets::table.filter(api_key_secrets::key_id.eq(id.as_str()))).execute(conn)?;
    insert_secrets(conn, id, secrets)?;
    diesel::update(api_keys::table.find(id.as_str()))
        .set((
            api_keys::rotation_due_at.eq(rotation_due_at.map(Timestamp::as_secs)),
            api_keys::reminded_days.eq(None::<i64>),
        ))
        .execute(conn)?;
    changes::record(conn, ChangeKind::ApiKey, id.as_str(), now)
}

/// Notes that a key was found in public.
pub fn note_leak(conn: &mut Conn, id: PublicId, now: Timestamp) -> Result<(), StoreError> {
    diesel::update(api_keys::table.find(id.as_str()))
        .set(api_keys::leaked_at.eq(now.as_secs()))
        .execute(conn)?;
    changes::record(conn, ChangeKind::ApiKey, id.as_str(), now)
}

/// Notes that whoever looks after a key was reminded so many days before its secret is due; whether this call is the one to remind.
pub fn note_reminder(
    conn: &mut Conn,
    id: PublicId,
    (due, days): (Timestamp, i64),
    now: Timestamp,
) -> Result<bool, StoreError> {
    let later = api_keys::reminded_days.is_null().or(api_keys::reminded_days.gt(days));
    // Of the secret that was looked at: another may have come meanwhile, and it is due at another time.
    let row = api_keys::table
        .find(id.as_str())
        .filter(api_keys::revoked_at.is_null())
        .filter(api_keys::disabled_at.is_null())
        .filter(api_keys::rotation_due_at.eq(due.as_secs()))
        .filter(later);
    let rows = diesel::update(row).set(api_keys::reminded_days.eq(days)).execute(conn)?;
    changed(conn, id, rows, now)
}

/// Revokes a key for good; whether this call did.
pub fn revoke(
    conn: &mut Conn,
    id: PublicId,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let row = api_keys::table.find(id.as_str()).filter(api_keys::revoked_at.is_null());
    let rows = diesel::update(row)
        .set((api_keys::revoked_at.eq(now.as_secs()), api_keys::revoked_reason.eq(reason)))
        .execute(conn)?;
    changed(conn, id, rows, now)
}

/// Disables a key, or enables it again; whether it exists.
pub fn set_disabled(
    conn: &mut Conn,
    id: PublicId,
    disabled_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let rows = diesel::update(api_keys::table.find(id.as_str()))
        .set(api_keys::disabled_at.eq(disabled_at.map(Timestamp::as_secs)))
        .execute(conn)?;
    changed(conn, id, rows, now)
}

fn insert_secrets(conn: &mut Conn, id: PublicId, secrets: &[KeySecret]) -> Result<(), StoreError> {
    for secret in secrets {
        diesel::insert_into(api_key_secrets::table)
            .values((
                api_key_secrets::fingerprint.eq(secret.fingerprint.as_bytes().as_slice()),
                api_key_secrets::key_id.eq(id.as_str()),
                api_key_secrets::pepper.eq(secret.pepper),
                api_key_secrets::tail.eq(&secret.tail),
                api_key_secrets::created_at.eq(secret.created_at.as_secs()),
                api_key_secrets::expires_at.eq(secret.expires_at.map(Timestamp::as_secs)),
                api_key_secrets::last_used_at.eq(secret.last_used_at.map(Timestamp::as_secs)),
            ))
            .execute(conn)
            .map_err(|e| duplicate(e, &["secret"]))?;
    }
    Ok(())
}

fn changed(conn: &mut Conn, id: PublicId, rows: usize, now: Timestamp) -> Result<bool, StoreError> {
    if rows == 1 {
        changes::record(conn, ChangeKind::ApiKey, id.as_str(), now)?;
    }
    Ok(rows == 1)
}

fn secret((bytes, _, pepper, tail, created, expires, used): SecretRow) -> Result<KeySecret, StoreError> {
    Ok(KeySecret {
        fingerprint: fingerprint(&bytes)?,
        pepper,
        tail,
        created_at: Timestamp::from_secs(created),
        expires_at: time(expires),
        last_used_at: time(used),
    })
}

fn key(row: Row, secrets: Vec<KeySecret>) -> Result<ApiKey, StoreError> {
    let (
        (id, organization, environment, name, description, created_by),
        (scopes, allow, deny, limits),
        (created, not_before, expires, disabled, revoked, revoked_reason, due),
        (used_at, used_address, used_resource),
        (leak_policy, leaked_at, reminded_days),
    ) = row;
    let networks = |text: &str| {
        // Most keys have none, and a node that starts reads them all.
        if text == "[]" {
            return Ok(Vec::new());
        }
        let list: Option<Vec<String>> = serde_json::from_str(text).ok();
        let nets =
            list.and_then(|list| list.iter().map(|text| network(text).ok()).collect::<Option<Vec<_>>>());
        must(nets, "api_keys holds what is no network")
    };
    Ok(ApiKey {
        id: must(id.parse().ok(), "api_keys.id is no id of a key")?,
        organization: must(
            OrganizationId::from_slice(&organization),
            "api_keys.organization_id has not 16 bytes",
        )?,
        environment: must(environment.parse().ok(), "api_keys.environment is none")?,
        name,
        description,
        created_by,
        scopes: must(Permissions::parse(std::iter::once(scopes.as_str())).ok(), "api_keys.scopes are none")?,
        allow: networks(&allow)?,
        deny: networks(&deny)?,
        limits: match limits.as_str() {
            "{}" => Overrides::default(),
            text => must(serde_json::from_str(text).ok(), "api_keys.limits are none")?,
        },
        secrets,
        created_at: Timestamp::from_secs(created),
        not_before: time(not_before),
        expires_at: time(expires),
        disabled_at: time(disabled),
        revoked_at: time(revoked),
        revoked_reason,
        rotation_due_at: time(due),
        reminded_days,
        leak_policy: may(leak_policy, |word| word.parse().ok(), "api_keys.leak_policy is none")?,
        leaked_at: time(leaked_at),
        last_use: time(used_at).map(|at| LastUse {
            at,
            address: used_address.and_then(|text| text.parse().ok()),
            resource: used_resource,
        }),
    })
}
