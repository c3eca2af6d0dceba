//! What a person allowed a client, remembered: one row for both, whose scope only grows until it is withdrawn.

use diesel::prelude::*;

use super::conn::{Conn, on_both};
use super::error::StoreError;
use super::row::{client_id, scope as read_scope};
use super::schema::consents;
use crate::base::id::{ClientId, UserId};
use crate::base::time::Timestamp;
use crate::oauth::scope::Scope;

/// How often a consent that others change at the same moment is read again.
const ATTEMPTS: usize = 10;

/// What is remembered between a person and a client.
pub fn find(conn: &mut Conn, user: UserId, client: &ClientId) -> Result<Option<Scope>, StoreError> {
    let row = on_both!(conn, c => consents::table
        .find((user.to_vec(), client.as_str()))
        .select(consents::scope)
        .get_result::<String>(c))
    .optional()?;
    row.map(|text| read_scope(&text)).transpose()
}

/// Like [`find`], and until this transaction is over nobody can withdraw the consent: who tries waits, and then finds what was begun
/// under it. SQLite has one writer, which comes to the same.
pub fn hold(conn: &mut Conn, user: UserId, client: &ClientId) -> Result<Option<Scope>, StoreError> {
    let Conn::Postgres(postgres) = conn else { return find(conn, user, client) };
    let row = consents::table
        .find((user.to_vec(), client.as_str()))
        .select(consents::scope)
        .for_share()
        .get_result::<String>(postgres)
        .optional()?;
    row.map(|text| read_scope(&text)).transpose()
}

/// Everything that a person allowed: client, scope, when.
pub fn of_user(conn: &mut Conn, user: UserId) -> Result<Vec<(ClientId, Scope, Timestamp)>, StoreError> {
    let rows = consents::table
        .filter(consents::user_id.eq(user.to_vec()))
        .order(consents::client_id)
        .select((consents::client_id, consents::scope, consents::granted_at))
        .load::<(String, String, i64)>(conn)?;
    rows.into_iter()
        .map(|(id, scope, at)| Ok((client_id(id)?, read_scope(&scope)?, Timestamp::from_secs(at))))
        .collect()
}

/// Adds `scope` to what is remembered; gives what is remembered now.
///
/// The update names the scope that it was made from, so that two consents at the same moment lose nothing of each other.
pub fn grant(
    conn: &mut Conn,
    user: UserId,
    client: &ClientId,
    scope: &Scope,
    now: Timestamp,
) -> Result<Scope, StoreError> {
    let row = (
        consents::user_id.eq(user.to_vec()),
        consents::client_id.eq(client.as_str()),
        consents::scope.eq(scope.to_string()),
        consents::granted_at.eq(now.as_secs()),
    );
    for _ in 0..ATTEMPTS {
        let Some(known) = find(conn, user, client)? else {
            let values = row.clone();
            let rows = on_both!(conn, c => diesel::insert_into(consents::table).values(values).on_conflict_do_nothing().execute(c))?;
            if rows == 1 {
                return Ok(scope.clone());
            }
            continue;
        };
        let union = known.union(scope);
        let rows = diesel::update(
            consents::table
                .find((user.to_vec(), client.as_str()))
                .filter(consents::scope.eq(known.to_string())),
        )
        .set((consents::scope.eq(union.to_string()), consents::granted_at.eq(now.as_secs())))
        .execute(conn)?;
        if rows == 1 {
            return Ok(union);
        }
    }
    Err(StoreError::Busy)
}

/// Forgets a consent; whether there was one. The families that rest on it are revoked by `families::revoke_of_consent`, in the same write
/// and after this: then none begins in between ([`hold`]).
pub fn withdraw(conn: &mut Conn, user: UserId, client: &ClientId) -> Result<bool, StoreError> {
    Ok(diesel::delete(consents::table.find((user.to_vec(), client.as_str()))).execute(conn)? == 1)
}
