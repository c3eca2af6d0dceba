//! Our own signing keys: the private half sealed under the master key (the store never opens it), the public half as a JWK.

use diesel::prelude::*;

use super::changes::{self, ChangeKind};
use super::conn::{Conn, on_both};
use super::error::StoreError;
use super::row::{Rows, must, time};
use super::schema::signing_keys;
use crate::base::algorithm::Algorithm;
use crate::base::time::Timestamp;

/// A key as its row holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKeyRow {
    /// Its id in JOSE headers; never used again.
    pub kid: String,
    /// What it signs with.
    pub alg: Algorithm,
    /// The how-manieth key of its algorithm; unique there, so that of several servers one makes the next key.
    pub generation: i64,
    /// The private half, sealed; gone once nothing is signed with it any more.
    pub private_sealed: Option<Vec<u8>>,
    /// The public half, JSON text (RFC 7517).
    pub public_jwk: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when it signs.
    pub sign_from: Timestamp,
    /// Set when it was revoked.
    pub revoked_at: Option<Timestamp>,
}

type Row = (String, String, i64, Option<Vec<u8>>, String, i64, i64, Option<i64>);

/// Every key that is remembered, oldest generation first.
pub fn all(conn: &mut Conn) -> Result<Vec<SigningKeyRow>, StoreError> {
    let rows: Rows<Row> = signing_keys::table
        .order((signing_keys::alg, signing_keys::generation))
        .select(signing_keys::all_columns)
        .load(conn);
    rows?
        .into_iter()
        .map(|(kid, alg, generation, private_sealed, public_jwk, created_at, sign_from, revoked_at)| {
            Ok(SigningKeyRow {
                kid,
                alg: must(alg.parse().ok(), "signing_keys.alg is unknown")?,
                generation,
                private_sealed,
                public_jwk,
                created_at: Timestamp::from_secs(created_at),
                sign_from: Timestamp::from_secs(sign_from),
                revoked_at: time(revoked_at),
            })
        })
        .collect()
}

/// Adds a key, unless its generation exists already: then another server was first, and its key is the one. Whether this one was added.
pub fn insert(conn: &mut Conn, key: &SigningKeyRow) -> Result<bool, StoreError> {
    let row = (
        signing_keys::kid.eq(&key.kid),
        signing_keys::alg.eq(key.alg.name()),
        signing_keys::generation.eq(key.generation),
        signing_keys::private_sealed.eq(key.private_sealed.as_deref()),
        signing_keys::public_jwk.eq(&key.public_jwk),
        signing_keys::created_at.eq(key.created_at.as_secs()),
        signing_keys::sign_from.eq(key.sign_from.as_secs()),
        signing_keys::revoked_at.eq(key.revoked_at.map(Timestamp::as_secs)),
    );
    let rows = on_both!(conn, c => diesel::insert_into(signing_keys::table).values(row).on_conflict_do_nothing().execute(c))?;
    changed(conn, &key.kid, rows, key.created_at)
}

/// Revokes a key; whether this call did.
pub fn revoke(conn: &mut Conn, kid: &str, now: Timestamp) -> Result<bool, StoreError> {
    let row = signing_keys::table.find(kid).filter(signing_keys::revoked_at.is_null());
    let rows = diesel::update(row).set(signing_keys::revoked_at.eq(now.as_secs())).execute(conn)?;
    changed(conn, kid, rows, now)
}

/// Lets a key that waits for its turn sign from `now` on; whether it did wait.
pub fn hasten(conn: &mut Conn, kid: &str, now: Timestamp) -> Result<bool, StoreError> {
    let row = signing_keys::table
        .find(kid)
        .filter(signing_keys::revoked_at.is_null())
        .filter(signing_keys::sign_from.gt(now.as_secs()));
    let rows = diesel::update(row).set(signing_keys::sign_from.eq(now.as_secs())).execute(conn)?;
    changed(conn, kid, rows, now)
}

/// Deletes the private half; whether there was one.
pub fn wipe_private(conn: &mut Conn, kid: &str, now: Timestamp) -> Result<bool, StoreError> {
    let row = signing_keys::table.find(kid).filter(signing_keys::private_sealed.is_not_null());
    let rows = diesel::update(row).set(signing_keys::private_sealed.eq(None::<Vec<u8>>)).execute(conn)?;
    changed(conn, kid, rows, now)
}

/// Deletes a key; whether it was there.
pub fn forget(conn: &mut Conn, kid: &str, now: Timestamp) -> Result<bool, StoreError> {
    let rows = diesel::delete(signing_keys::table.find(kid)).execute(conn)?;
    changed(conn, kid, rows, now)
}

fn changed(conn: &mut Conn, kid: &str, rows: usize, now: Timestamp) -> Result<bool, StoreError> {
    if rows == 1 {
        changes::record(conn, ChangeKind::SigningKey, kid, now)?;
    }
    Ok(rows == 1)
}
