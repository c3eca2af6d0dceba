//! When and from where keys were last used: written in batches, by a job.

use diesel::prelude::*;

use super::changes::{self, ChangeKind};
use super::conn::{Conn, on_both};
use super::error::StoreError;
use super::schema::{api_key_secrets, api_keys};
use crate::api_key::format::PublicId;
use crate::api_key::key::LastUse;
use crate::base::secret::Fingerprint;
use crate::base::time::Timestamp;

/// The use of a key, to be written down.
#[derive(Clone, Debug)]
pub struct Use {
    /// The key.
    pub key: PublicId,
    /// Which of its secrets.
    pub secret: Fingerprint,
    /// When, from where, for what.
    pub last: LastUse,
    /// The same secret under the present pepper, where it is kept under an earlier one.
    pub renewed: Option<Renewed>,
}

/// A secret under another pepper.
#[derive(Clone, Copy, Debug)]
pub struct Renewed {
    /// Its keyed hash.
    pub fingerprint: Fingerprint,
    /// The pepper's number.
    pub pepper: i32,
}

/// Writes last uses down, each only forward: a server that is late overwrites nothing newer. Secrets that were used move to the present
/// pepper; one that was replaced or moved meanwhile is left as it is.
pub fn note_uses(conn: &mut Conn, uses: &[Use]) -> Result<(), StoreError> {
    let mut moved = Vec::new();
    for Use { key, secret, last, renewed } in uses {
        let at = last.at.as_secs();
        let row = api_keys::table
            .find(key.as_str())
            .filter(api_keys::last_used_at.is_null().or(api_keys::last_used_at.lt(at)));
        diesel::update(row)
            .set((
                api_keys::last_used_at.eq(at),
                api_keys::last_used_address.eq(last.address.map(|address| address.to_string())),
                api_keys::last_used_resource.eq(last.resource.as_deref()),
            ))
            .execute(conn)?;
        let row = api_key_secrets::table
            .find(secret.as_bytes().as_slice())
            .filter(api_key_secrets::last_used_at.is_null().or(api_key_secrets::last_used_at.lt(at)));
        diesel::update(row).set(api_key_secrets::last_used_at.eq(at)).execute(conn)?;
        let Some(renewed) = renewed else { continue };
        let row = api_key_secrets::table
            .find(secret.as_bytes().as_slice())
            .filter(api_key_secrets::pepper.lt(renewed.pepper));
        let rows = diesel::update(row)
            .set((
                api_key_secrets::fingerprint.eq(renewed.fingerprint.as_bytes().as_slice()),
                api_key_secrets::pepper.eq(renewed.pepper),
            ))
            .execute(conn)?;
        if rows == 1 {
            moved.push((key, last.at));
        }
    }
    // At the end: a writer of the feed holds its lock to the commit, and must not wait for a row that another writer of it holds.
    for (key, at) in moved {
        changes::record(conn, ChangeKind::ApiKey, key.as_str(), at)?;
    }
    Ok(())
}

/// Which of these keys nobody used since then.
pub fn unused_since(conn: &mut Conn, ids: &[PublicId], then: Timestamp) -> Result<Vec<PublicId>, StoreError> {
    let ids: Vec<&str> = ids.iter().map(PublicId::as_str).collect();
    let rows = on_both!(conn, c => api_keys::table
        .filter(api_keys::id.eq_any(ids))
        .filter(api_keys::last_used_at.is_null().or(api_keys::last_used_at.lt(then.as_secs())))
        .select(api_keys::id)
        .load::<String>(c))?;
    Ok(rows.iter().filter_map(|id| id.parse().ok()).collect())
}
