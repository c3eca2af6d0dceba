//! Secrets of authenticator apps, sealed, and the recovery codes that stand in for them, as fingerprints.

use diesel::prelude::*;

use super::conn::Conn;
use super::error::StoreError;
use super::schema::{recovery_codes, totp_secrets};
use crate::base::id::UserId;
use crate::base::secret::Fingerprint;
use crate::base::time::Timestamp;

/// A person's app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptTotp {
    /// The secret, sealed.
    pub sealed: Vec<u8>,
    /// When it was set up.
    pub created_at: Timestamp,
    /// The step of the code that was taken last.
    pub last_step: i64,
}

/// A person's app, if they have one.
pub fn find(conn: &mut Conn, user: UserId) -> Result<Option<KeptTotp>, StoreError> {
    let row = totp_secrets::table
        .find(user.to_vec())
        .select((totp_secrets::sealed, totp_secrets::created_at, totp_secrets::last_step))
        .get_result::<(Vec<u8>, i64, i64)>(conn)
        .optional()?;
    Ok(row.map(|(sealed, created, last_step)| KeptTotp {
        sealed,
        created_at: Timestamp::from_secs(created),
        last_step,
    }))
}

/// Keeps a person's app in place of the one before.
pub fn put(conn: &mut Conn, user: UserId, kept: &KeptTotp) -> Result<(), StoreError> {
    remove(conn, user)?;
    diesel::insert_into(totp_secrets::table)
        .values((
            totp_secrets::user_id.eq(user.to_vec()),
            totp_secrets::sealed.eq(&kept.sealed),
            totp_secrets::created_at.eq(kept.created_at.as_secs()),
            totp_secrets::last_step.eq(kept.last_step),
        ))
        .execute(conn)?;
    Ok(())
}

/// Takes a person's app away; whether there was one.
pub fn remove(conn: &mut Conn, user: UserId) -> Result<bool, StoreError> {
    Ok(diesel::delete(totp_secrets::table.find(user.to_vec())).execute(conn)? == 1)
}

/// Notes that the code of a step was taken; whether it was not yet, nor that of a later one. Of any number at the same moment one is right.
pub fn use_step(conn: &mut Conn, user: UserId, step: i64) -> Result<bool, StoreError> {
    let row = totp_secrets::table.find(user.to_vec()).filter(totp_secrets::last_step.lt(step));
    Ok(diesel::update(row).set(totp_secrets::last_step.eq(step)).execute(conn)? == 1)
}

/// New recovery codes in place of those of before.
pub fn set_codes(
    conn: &mut Conn,
    user: UserId,
    codes: &[Fingerprint],
    now: Timestamp,
) -> Result<(), StoreError> {
    remove_codes(conn, user)?;
    for code in codes {
        diesel::insert_into(recovery_codes::table)
            .values((
                recovery_codes::user_id.eq(user.to_vec()),
                recovery_codes::fingerprint.eq(code.as_bytes().as_slice()),
                recovery_codes::created_at.eq(now.as_secs()),
            ))
            .execute(conn)?;
    }
    Ok(())
}

/// Takes all recovery codes away.
pub fn remove_codes(conn: &mut Conn, user: UserId) -> Result<(), StoreError> {
    diesel::delete(recovery_codes::table.filter(recovery_codes::user_id.eq(user.to_vec()))).execute(conn)?;
    Ok(())
}

/// How many codes are left.
pub fn codes_left(conn: &mut Conn, user: UserId) -> Result<i64, StoreError> {
    let left = recovery_codes::table
        .filter(recovery_codes::user_id.eq(user.to_vec()))
        .filter(recovery_codes::used_at.is_null());
    Ok(left.count().get_result(conn)?)
}

/// Uses a recovery code up; whether it was one of theirs and still good. Of any number at the same moment one is right.
pub fn use_code(
    conn: &mut Conn,
    user: UserId,
    code: &Fingerprint,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let row = recovery_codes::table
        .find((user.to_vec(), code.as_bytes().to_vec()))
        .filter(recovery_codes::used_at.is_null());
    Ok(diesel::update(row).set(recovery_codes::used_at.eq(now.as_secs())).execute(conn)? == 1)
}
