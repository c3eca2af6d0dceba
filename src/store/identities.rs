//! Who people are at other providers: by issuer and subject together, and by nothing else.

use diesel::prelude::*;

use super::conn::{Conn, on_both};
use super::error::StoreError;
use super::row::must;
use super::schema::identities;
use crate::base::id::UserId;
use crate::base::time::Timestamp;

/// Somebody at another provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityRow {
    /// The provider's issuer.
    pub issuer: String,
    /// Whom it knows under this.
    pub subject: String,
    /// Who they are here.
    pub user: UserId,
    /// Their address there, as it was when it was added; for people to read.
    pub email: Option<String>,
    /// Since when.
    pub created_at: Timestamp,
    /// When they signed in by it last.
    pub last_used_at: Option<Timestamp>,
}

type Columns = (String, String, Vec<u8>, Option<String>, i64, Option<i64>);

const COLUMNS: (
    identities::issuer,
    identities::subject,
    identities::user_id,
    identities::email,
    identities::created_at,
    identities::last_used_at,
) = (
    identities::issuer,
    identities::subject,
    identities::user_id,
    identities::email,
    identities::created_at,
    identities::last_used_at,
);

fn row((issuer, subject, user, email, created_at, last_used_at): Columns) -> Result<IdentityRow, StoreError> {
    Ok(IdentityRow {
        issuer,
        subject,
        user: must(UserId::from_slice(&user), "identities.user_id has not 16 bytes")?,
        email,
        created_at: Timestamp::from_secs(created_at),
        last_used_at: last_used_at.map(Timestamp::from_secs),
    })
}

/// Whose this is.
pub fn find(conn: &mut Conn, issuer: &str, subject: &str) -> Result<Option<IdentityRow>, StoreError> {
    let found = identities::table.find((issuer, subject)).select(COLUMNS).get_result::<Columns>(conn);
    found.optional()?.map(row).transpose()
}

/// Those of a person, the oldest first. There are few.
pub fn of_user(conn: &mut Conn, user: UserId) -> Result<Vec<IdentityRow>, StoreError> {
    let rows = identities::table
        .filter(identities::user_id.eq(user.to_vec()))
        .order((identities::created_at, identities::issuer, identities::subject))
        .select(COLUMNS)
        .load::<Columns>(conn)?;
    rows.into_iter().map(row).collect()
}

/// Adds one; whether it was nobody's yet. Of any number at the same moment one is right.
pub fn insert(conn: &mut Conn, new: &IdentityRow) -> Result<bool, StoreError> {
    let values = (
        identities::issuer.eq(&new.issuer),
        identities::subject.eq(&new.subject),
        identities::user_id.eq(new.user.to_vec()),
        identities::email.eq(&new.email),
        identities::created_at.eq(new.created_at.as_secs()),
        identities::last_used_at.eq(new.last_used_at.map(Timestamp::as_secs)),
    );
    let rows = on_both!(conn, c => diesel::insert_into(identities::table).values(values).on_conflict_do_nothing().execute(c))?;
    Ok(rows == 1)
}

/// Notes a sign-in by it; whether it was still this person's.
pub fn used(
    conn: &mut Conn,
    (issuer, subject): (&str, &str),
    user: UserId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let own = identities::table.find((issuer, subject)).filter(identities::user_id.eq(user.to_vec()));
    Ok(diesel::update(own).set(identities::last_used_at.eq(now.as_secs())).execute(conn)? == 1)
}

/// Takes one of a person's away; whether it was there.
pub fn remove(conn: &mut Conn, user: UserId, issuer: &str, subject: &str) -> Result<bool, StoreError> {
    let own = identities::table.find((issuer, subject)).filter(identities::user_id.eq(user.to_vec()));
    Ok(diesel::delete(own).execute(conn)? == 1)
}
