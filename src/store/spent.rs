//! The gate of everything that is accepted once: codes, pending requests, assertions, revoked access tokens. The unique row decides every race.

use diesel::prelude::*;

use super::conn::{Conn, on_both};
use super::error::StoreError;
use super::row::may;
use super::schema::spent;
use crate::base::id::FamilyId;
use crate::base::time::Timestamp;

/// What kind of thing was spent. Never change a number: rows carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpentKind {
    /// An authorization code (RFC 6749 §4.1.2: once).
    Code = 1,
    /// An authorization request that was answered.
    Pending = 2,
    /// An access token that was revoked before its time (RFC 7009).
    AccessToken = 3,
    /// The `jti` of an assertion, with its issuer (RFC 7523 §3 point 7).
    Assertion = 4,
    /// A form that shows a new secret.
    Form = 21,
    /// A sign-in that waited for its second factor.
    HalfSignIn = 22,
    /// A challenge that a passkey answered.
    PasskeyChallenge = 23,
    /// A sign-in that was under way at another provider.
    Elsewhere = 24,
}

impl SpentKind {
    const fn number(self) -> i16 {
        self as i16
    }
}

/// Whether this was the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Once {
    /// It was; it is spent now.
    First,
    /// It was spent before; with the family that the first time began.
    Again(Option<FamilyId>),
}

/// Spends `id`. Of any number of callers at the same moment one gets [`Once::First`]; the others wait for its commit.
/// Keep it until `expires_at`, which must not be before the thing itself has expired, leeway included.
pub fn once(
    conn: &mut Conn,
    kind: SpentKind,
    id: &[u8],
    family: Option<FamilyId>,
    expires_at: Timestamp,
) -> Result<Once, StoreError> {
    let row = (
        spent::kind.eq(kind.number()),
        spent::id.eq(id),
        spent::family_id.eq(family.map(FamilyId::to_vec)),
        spent::expires_at.eq(expires_at.as_secs()),
    );
    let rows = on_both!(conn, c => diesel::insert_into(spent::table).values(row).on_conflict_do_nothing().execute(c))?;
    if rows == 1 {
        return Ok(Once::First);
    }
    let family = on_both!(conn, c => spent::table
        .find((kind.number(), id))
        .select(spent::family_id)
        .get_result::<Option<Vec<u8>>>(c)?);
    Ok(Once::Again(may(family, |b| FamilyId::from_slice(&b), "spent.family_id has not 16 bytes")?))
}

/// Whether `id` is spent, without spending it.
pub fn is_spent(conn: &mut Conn, kind: SpentKind, id: &[u8]) -> Result<bool, StoreError> {
    let found = on_both!(conn, c => spent::table
        .find((kind.number(), id))
        .select(spent::kind)
        .get_result::<i16>(c)
        .optional()?);
    Ok(found.is_some())
}
