//! Service accounts and their public keys. Every write leaves a change in the feed, since servers keep them all in memory;
//! when a key was last used is the exception, which nobody has to know at once.

use std::collections::HashMap;

use diesel::prelude::*;

use super::changes::{self, ChangeKind};
use super::conn::Conn;
use super::error::{StoreError, duplicate};
use super::row::{client_id, must, time};
use super::schema::{service_account_keys, service_accounts};
use super::trust_rules;
use crate::base::id::{ClientId, OrganizationId};
use crate::base::time::Timestamp;
use crate::oauth::service_account::{AccountKey, ServiceAccount};
use crate::oauth::trust::TrustRule;

type Row = (String, Vec<u8>, String, String, i64, Option<i64>);
type KeyRow = (String, String, String, String, i64, Option<i64>, Option<i64>, Option<i64>);

/// How old "last used" may be before it is written again, in seconds.
pub const USE_PRECISION: i64 = 60;

/// Every service account, by name.
pub fn all(conn: &mut Conn) -> Result<Vec<ServiceAccount>, StoreError> {
    load(conn, None)
}

/// One service account.
pub fn find(conn: &mut Conn, id: &ClientId) -> Result<Option<ServiceAccount>, StoreError> {
    Ok(load(conn, Some(id))?.pop())
}

fn load(conn: &mut Conn, id: Option<&ClientId>) -> Result<Vec<ServiceAccount>, StoreError> {
    let accounts = service_accounts::table.order(service_accounts::name).select((
        service_accounts::id,
        service_accounts::organization_id,
        service_accounts::name,
        service_accounts::policy,
        service_accounts::created_at,
        service_accounts::disabled_at,
    ));
    let keys = service_account_keys::table
        .order((service_account_keys::created_at.desc(), service_account_keys::kid))
        .select(service_account_keys::all_columns);
    let (rows, key_rows) = match id {
        None => (accounts.load::<Row>(conn)?, keys.load::<KeyRow>(conn)?),
        Some(id) => (
            accounts.filter(service_accounts::id.eq(id.as_str())).load::<Row>(conn)?,
            keys.filter(service_account_keys::service_account_id.eq(id.as_str())).load::<KeyRow>(conn)?,
        ),
    };
    let mut keys_of: HashMap<String, Vec<AccountKey>> = HashMap::new();
    for row in key_rows {
        keys_of.entry(row.0.clone()).or_default().push(key(row)?);
    }
    let mut rules_of: HashMap<String, Vec<TrustRule>> = HashMap::new();
    for (account, rule) in trust_rules::load(conn, id)? {
        rules_of.entry(account).or_default().push(rule);
    }
    rows.into_iter()
        .map(|(id, organization, name, policy, created_at, disabled_at)| {
            Ok(ServiceAccount {
                organization: must(
                    OrganizationId::from_slice(&organization),
                    "service_accounts.organization_id has not 16 bytes",
                )?,
                name,
                policy: must(serde_json::from_str(&policy).ok(), "service_accounts.policy is no policy")?,
                keys: keys_of.remove(&id).unwrap_or_default(),
                rules: rules_of.remove(&id).unwrap_or_default(),
                id: client_id(id)?,
                created_at: Timestamp::from_secs(created_at),
                disabled_at: time(disabled_at),
            })
        })
        .collect()
}

/// Adds an account without keys; `Duplicate("name")` when its organization has one of that name.
pub fn insert(conn: &mut Conn, account: &ServiceAccount) -> Result<(), StoreError> {
    let policy = must(serde_json::to_string(&account.policy).ok(), "a policy cannot be written")?;
    diesel::insert_into(service_accounts::table)
        .values((
            service_accounts::id.eq(account.id.as_str()),
            service_accounts::organization_id.eq(account.organization.to_vec()),
            service_accounts::name.eq(&account.name),
            service_accounts::policy.eq(policy),
            service_accounts::created_at.eq(account.created_at.as_secs()),
            service_accounts::updated_at.eq(account.created_at.as_secs()),
            service_accounts::disabled_at.eq(account.disabled_at.map(Timestamp::as_secs)),
        ))
        .execute(conn)
        .map_err(|e| duplicate(e, &["name"]))?;
    changes::record(conn, ChangeKind::ServiceAccount, account.id.as_str(), account.created_at)
}

/// Takes the account's row for the rest of the transaction, so that two changes of its keys come one after the other, and
/// gives the account as it stands then.
pub fn hold(conn: &mut Conn, id: &ClientId, now: Timestamp) -> Result<Option<ServiceAccount>, StoreError> {
    let rows = diesel::update(service_accounts::table.find(id.as_str()))
        .set(service_accounts::updated_at.eq(now.as_secs()))
        .execute(conn)?;
    if rows == 1 { find(conn, id) } else { Ok(None) }
}

/// Disables an account, or enables it again; whether it exists.
pub fn set_disabled(
    conn: &mut Conn,
    id: &ClientId,
    disabled_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let rows = diesel::update(service_accounts::table.find(id.as_str()))
        .set((
            service_accounts::disabled_at.eq(disabled_at.map(Timestamp::as_secs)),
            service_accounts::updated_at.eq(now.as_secs()),
        ))
        .execute(conn)?;
    changed(conn, id, rows, now)
}

/// Adds a public key; `Duplicate("kid")` when the account has, or had, one of that name.
pub fn insert_key(conn: &mut Conn, id: &ClientId, key: &AccountKey) -> Result<(), StoreError> {
    diesel::insert_into(service_account_keys::table)
        .values((
            service_account_keys::service_account_id.eq(id.as_str()),
            service_account_keys::kid.eq(&key.kid),
            service_account_keys::alg.eq(key.alg.name()),
            service_account_keys::public_jwk.eq(key.jwk.to_string()),
            service_account_keys::created_at.eq(key.created_at.as_secs()),
            service_account_keys::expires_at.eq(key.expires_at.map(Timestamp::as_secs)),
        ))
        .execute(conn)
        .map_err(|e| duplicate(e, &["kid"]))?;
    changes::record(conn, ChangeKind::ServiceAccount, id.as_str(), key.created_at)
}

/// Lets a key end at `at`, unless it ends earlier already.
pub fn end_key(
    conn: &mut Conn,
    id: &ClientId,
    kid: &str,
    at: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    let row = service_account_keys::table.find((id.as_str(), kid)).filter(
        service_account_keys::expires_at.is_null().or(service_account_keys::expires_at.gt(at.as_secs())),
    );
    diesel::update(row).set(service_account_keys::expires_at.eq(at.as_secs())).execute(conn)?;
    changes::record(conn, ChangeKind::ServiceAccount, id.as_str(), now)
}

/// Revokes a key; whether this call did.
pub fn revoke_key(conn: &mut Conn, id: &ClientId, kid: &str, now: Timestamp) -> Result<bool, StoreError> {
    let row = service_account_keys::table
        .find((id.as_str(), kid))
        .filter(service_account_keys::revoked_at.is_null());
    let rows = diesel::update(row).set(service_account_keys::revoked_at.eq(now.as_secs())).execute(conn)?;
    changed(conn, id, rows, now)
}

/// Notes that a key was used; forward only, and once in a minute (pitfall 10).
pub fn note_use(conn: &mut Conn, id: &ClientId, kid: &str, now: Timestamp) -> Result<(), StoreError> {
    let stale = now.minus(USE_PRECISION).as_secs();
    let row = service_account_keys::table.find((id.as_str(), kid)).filter(
        service_account_keys::last_used_at.is_null().or(service_account_keys::last_used_at.le(stale)),
    );
    diesel::update(row).set(service_account_keys::last_used_at.eq(now.as_secs())).execute(conn)?;
    Ok(())
}

fn changed(conn: &mut Conn, id: &ClientId, rows: usize, now: Timestamp) -> Result<bool, StoreError> {
    if rows == 1 {
        changes::record(conn, ChangeKind::ServiceAccount, id.as_str(), now)?;
    }
    Ok(rows == 1)
}

fn key((_, kid, alg, jwk, created, expires, revoked, used): KeyRow) -> Result<AccountKey, StoreError> {
    Ok(AccountKey {
        kid,
        alg: must(alg.parse().ok(), "service_account_keys.alg is no algorithm")?,
        jwk: must(serde_json::from_str(&jwk).ok(), "service_account_keys.public_jwk is no JSON")?,
        created_at: Timestamp::from_secs(created),
        expires_at: time(expires),
        revoked_at: time(revoked),
        last_used_at: time(used),
    })
}
