//! Passkeys of people: public keys and counters, nothing secret.

use diesel::prelude::*;

use super::conn::{Conn, on_both};
use super::error::StoreError;
use super::row::must;
use super::schema::passkeys;
use crate::base::id::UserId;
use crate::base::time::Timestamp;

/// A passkey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasskeyRow {
    /// Its id, which its authenticator chose.
    pub id: Vec<u8>,
    /// Whose it is.
    pub user: UserId,
    /// What they call it.
    pub name: String,
    /// Its public key, counter and flags, as `account::passkey` writes them.
    pub credential: String,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was used last.
    pub last_used_at: Option<Timestamp>,
}

type Columns = (Vec<u8>, Vec<u8>, String, String, i64, Option<i64>);

const COLUMNS: (
    passkeys::id,
    passkeys::user_id,
    passkeys::name,
    passkeys::credential,
    passkeys::created_at,
    passkeys::last_used_at,
) = (
    passkeys::id,
    passkeys::user_id,
    passkeys::name,
    passkeys::credential,
    passkeys::created_at,
    passkeys::last_used_at,
);

fn row((id, user, name, credential, created_at, last_used_at): Columns) -> Result<PasskeyRow, StoreError> {
    Ok(PasskeyRow {
        id,
        user: must(UserId::from_slice(&user), "passkeys.user_id has not 16 bytes")?,
        name,
        credential,
        created_at: Timestamp::from_secs(created_at),
        last_used_at: last_used_at.map(Timestamp::from_secs),
    })
}

/// Keeps a new one; whether its id was free, for whomever.
pub fn insert(conn: &mut Conn, passkey: &PasskeyRow) -> Result<bool, StoreError> {
    let values = (
        passkeys::id.eq(&passkey.id),
        passkeys::user_id.eq(passkey.user.to_vec()),
        passkeys::name.eq(&passkey.name),
        passkeys::credential.eq(&passkey.credential),
        passkeys::created_at.eq(passkey.created_at.as_secs()),
        passkeys::last_used_at.eq(passkey.last_used_at.map(Timestamp::as_secs)),
    );
    let rows = on_both!(conn, c => diesel::insert_into(passkeys::table).values(values).on_conflict_do_nothing().execute(c))?;
    Ok(rows == 1)
}

/// Those of a person, the oldest first. There are few.
pub fn of_user(conn: &mut Conn, user: UserId) -> Result<Vec<PasskeyRow>, StoreError> {
    let rows = passkeys::table
        .filter(passkeys::user_id.eq(user.to_vec()))
        .order((passkeys::created_at, passkeys::id))
        .select(COLUMNS)
        .load::<Columns>(conn)?;
    rows.into_iter().map(row).collect()
}

/// The one with this id.
pub fn find(conn: &mut Conn, id: &[u8]) -> Result<Option<PasskeyRow>, StoreError> {
    passkeys::table.find(id).select(COLUMNS).get_result::<Columns>(conn).optional()?.map(row).transpose()
}

/// Gives one of a person's another name; whether it was there.
pub fn rename(conn: &mut Conn, user: UserId, id: &[u8], name: &str) -> Result<bool, StoreError> {
    let own = passkeys::table.find(id).filter(passkeys::user_id.eq(user.to_vec()));
    Ok(diesel::update(own).set(passkeys::name.eq(name)).execute(conn)? == 1)
}

/// Takes one of a person's away; whether it was there.
pub fn remove(conn: &mut Conn, user: UserId, id: &[u8]) -> Result<bool, StoreError> {
    let own = passkeys::table.find(id).filter(passkeys::user_id.eq(user.to_vec()));
    Ok(diesel::delete(own).execute(conn)? == 1)
}

/// Notes a use, by which `before` became `after`; whether the passkey was still there and as it was. So of two uses at the same moment one
/// counts, and a counter never goes back.
pub fn used(
    conn: &mut Conn,
    id: &[u8],
    (before, after): (&str, &str),
    now: Timestamp,
) -> Result<bool, StoreError> {
    let same = passkeys::table.find(id).filter(passkeys::credential.eq(before));
    let set = (passkeys::credential.eq(after), passkeys::last_used_at.eq(now.as_secs()));
    Ok(diesel::update(same).set(set).execute(conn)? == 1)
}
