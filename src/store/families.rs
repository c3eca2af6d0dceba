//! Token families: one row for what a person gave a client at one sign-in, none for a token (architecture, refresh tokens).
//!
//! A refresh is one conditional update of `generation`; its row count says who won. What a presented token means is decided in `oauth/`.

use diesel::backend::Backend;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, Binary, HasSqlType};

use super::conn::{Conn, on_both};
use super::error::StoreError;
use super::row::{Rows, client_id, may, must, scope as read_scope, time, words};
use super::schema::families;
use crate::base::id::{ClientId, FamilyId, SessionId, UserId};
use crate::base::time::Timestamp;
use crate::oauth::refresh::Family;

type Row = (
    Vec<u8>,
    String,
    Vec<u8>,
    Option<Vec<u8>>,
    String,
    String,
    Option<String>,
    i64,
    String,
    String,
    Vec<u8>,
    i64,
    i64,
    i64,
    i64,
    bool,
    bool,
    Option<i64>,
    String,
);

/// Begins a family.
pub fn begin(conn: &mut Conn, family: &Family) -> Result<(), StoreError> {
    let claims = must(serde_json::to_string(&family.claims).ok(), "a claims request cannot be written")?;
    let resources = must(serde_json::to_string(&family.resources).ok(), "resources cannot be written")?;
    let row = diesel::insert_into(families::table).values((
        families::id.eq(family.id.to_vec()),
        families::client_id.eq(family.client.as_str()),
        families::user_id.eq(family.user.to_vec()),
        families::session_id.eq(family.session.map(SessionId::to_vec)),
        families::scope.eq(family.scope.to_string()),
        families::claims.eq(claims),
        families::nonce.eq(family.nonce.as_deref()),
        families::auth_time.eq(family.auth_time.as_secs()),
        families::acr.eq(&family.acr),
        families::amr.eq(family.amr.join(" ")),
        families::salt.eq(&family.salt),
        families::generation.eq(family.generation),
        families::rotated_at.eq(family.rotated_at.as_secs()),
        families::created_at.eq(family.created_at.as_secs()),
        families::expires_at.eq(family.expires_at.as_secs()),
        families::refreshable.eq(family.refreshable),
        families::offline.eq(family.offline),
        families::revoked_at.eq(family.revoked_at.map(Timestamp::as_secs)),
        families::resources.eq(resources),
    ));
    on_both!(conn, c => row.execute(c)?);
    Ok(())
}

/// The family of an id, revoked and expired ones too: the caller judges. `None` must be read as revoked.
pub fn find(conn: &mut Conn, id: FamilyId) -> Result<Option<Family>, StoreError> {
    let row = on_both!(conn, c => families::table
        .find(id.to_vec())
        .select(families::all_columns)
        .get_result::<Row>(c)
        .optional()?);
    row.map(family).transpose()
}

/// The live families of a person, newest first: the apps that may act for them.
pub fn of_user(conn: &mut Conn, user: UserId, now: Timestamp) -> Result<Vec<Family>, StoreError> {
    let rows: Rows<Row> = families::table
        .filter(families::user_id.eq(user.to_vec()))
        .filter(families::revoked_at.is_null())
        .filter(families::expires_at.gt(now.as_secs()))
        .order(families::created_at.desc())
        .select(families::all_columns)
        .load(conn);
    rows?.into_iter().map(family).collect()
}

/// Moves a family from `generation` to the next; whether this call did. Of any number at the same moment one wins, and none when it is revoked.
pub fn rotate(conn: &mut Conn, id: FamilyId, generation: i64, now: Timestamp) -> Result<bool, StoreError> {
    let rotation =
        Rotation { id: id.to_vec(), from: generation, to: generation.saturating_add(1), at: now.as_secs() };
    Ok(on_both!(conn, c => rotation.execute(c)?) == 1)
}

/// The one update that every refresh does. The query builder has its updates prepared anew each time, which costs the writing thread as
/// much as running them; this one's text is always the same, so it is prepared once for each connection.
#[derive(QueryId)]
struct Rotation {
    id: Vec<u8>,
    from: i64,
    to: i64,
    at: i64,
}

impl<DB> QueryFragment<DB> for Rotation
where
    DB: Backend + HasSqlType<BigInt> + HasSqlType<Binary>,
    i64: ToSql<BigInt, DB>,
    Vec<u8>: ToSql<Binary, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_sql("UPDATE families SET generation = ");
        out.push_bind_param::<BigInt, _>(&self.to)?;
        out.push_sql(", rotated_at = ");
        out.push_bind_param::<BigInt, _>(&self.at)?;
        out.push_sql(" WHERE id = ");
        out.push_bind_param::<Binary, _>(&self.id)?;
        out.push_sql(" AND generation = ");
        out.push_bind_param::<BigInt, _>(&self.from)?;
        out.push_sql(" AND revoked_at IS NULL");
        Ok(())
    }
}

impl<C> RunQueryDsl<C> for Rotation {}

/// Notes a use that does not rotate, so that the family does not count as idle; whether it is live. Never moves the time back.
pub fn touch(conn: &mut Conn, id: FamilyId, now: Timestamp) -> Result<bool, StoreError> {
    let row = families::table
        .find(id.to_vec())
        .filter(families::revoked_at.is_null())
        .filter(families::rotated_at.le(now.as_secs()));
    Ok(diesel::update(row).set(families::rotated_at.eq(now.as_secs())).execute(conn)? == 1)
}

/// Revokes a family; whether this call did.
pub fn revoke(conn: &mut Conn, id: FamilyId, now: Timestamp) -> Result<bool, StoreError> {
    let row = families::table.find(id.to_vec()).filter(families::revoked_at.is_null());
    Ok(diesel::update(row).set(families::revoked_at.eq(now.as_secs())).execute(conn)? == 1)
}

/// Revokes what a sign-in began and what does not outlive it; how many. Offline families stay (OIDC Core §11).
pub fn revoke_of_session(conn: &mut Conn, session: SessionId, now: Timestamp) -> Result<usize, StoreError> {
    let rows = families::table
        .filter(families::session_id.eq(session.to_vec()))
        .filter(families::offline.eq(false))
        .filter(families::revoked_at.is_null());
    Ok(diesel::update(rows).set(families::revoked_at.eq(now.as_secs())).execute(conn)?)
}

/// Revokes every family; how many.
pub fn revoke_everybodys(conn: &mut Conn, now: Timestamp) -> Result<usize, StoreError> {
    let rows = families::table.filter(families::revoked_at.is_null());
    Ok(diesel::update(rows).set(families::revoked_at.eq(now.as_secs())).execute(conn)?)
}

/// Revokes everything that speaks for a person, offline families too; how many.
pub fn revoke_of_user(conn: &mut Conn, user: UserId, now: Timestamp) -> Result<usize, StoreError> {
    let rows =
        families::table.filter(families::user_id.eq(user.to_vec())).filter(families::revoked_at.is_null());
    Ok(diesel::update(rows).set(families::revoked_at.eq(now.as_secs())).execute(conn)?)
}

/// Revokes everything that speaks for a person but what came of one sign-in; how many.
pub fn revoke_of_user_but(
    conn: &mut Conn,
    user: UserId,
    keep: SessionId,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let elsewhere =
        families::session_id.is_null().or(families::session_id.assume_not_null().ne(keep.to_vec()));
    let rows = families::table
        .filter(families::user_id.eq(user.to_vec()))
        .filter(families::revoked_at.is_null())
        .filter(elsewhere.assume_not_null());
    Ok(diesel::update(rows).set(families::revoked_at.eq(now.as_secs())).execute(conn)?)
}

/// The clients that hold live access of a person: since when, and when it was last used.
pub fn by_client(
    conn: &mut Conn,
    user: UserId,
    now: Timestamp,
) -> Result<Vec<(ClientId, Timestamp, Timestamp)>, StoreError> {
    let rows = families::table
        .filter(families::user_id.eq(user.to_vec()))
        .filter(families::revoked_at.is_null())
        .filter(families::expires_at.gt(now.as_secs()))
        .group_by(families::client_id)
        .select((
            families::client_id,
            diesel::dsl::min(families::created_at).assume_not_null(),
            diesel::dsl::max(families::rotated_at).assume_not_null(),
        ))
        .load::<(String, i64, i64)>(conn)?;
    rows.into_iter()
        .map(|(id, began, used)| {
            Ok((client_id(id)?, Timestamp::from_secs(began), Timestamp::from_secs(used)))
        })
        .collect()
}

/// Revokes everything that a person gave a client; how many.
pub fn revoke_of_consent(
    conn: &mut Conn,
    user: UserId,
    client: &ClientId,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let rows = families::table
        .filter(families::user_id.eq(user.to_vec()))
        .filter(families::client_id.eq(client.as_str()))
        .filter(families::revoked_at.is_null());
    Ok(diesel::update(rows).set(families::revoked_at.eq(now.as_secs())).execute(conn)?)
}

/// Revokes everything of a client; how many.
pub fn revoke_of_client(conn: &mut Conn, client: &ClientId, now: Timestamp) -> Result<usize, StoreError> {
    let rows = families::table
        .filter(families::client_id.eq(client.as_str()))
        .filter(families::revoked_at.is_null());
    Ok(diesel::update(rows).set(families::revoked_at.eq(now.as_secs())).execute(conn)?)
}

fn family(row: Row) -> Result<Family, StoreError> {
    let (
        id,
        client,
        user,
        session,
        scope,
        claims,
        nonce,
        auth_time,
        acr,
        amr,
        salt,
        generation,
        rotated,
        created,
        expires,
        refreshable,
        offline,
        revoked,
        resources,
    ) = row;
    Ok(Family {
        id: must(FamilyId::from_slice(&id), "families.id has not 16 bytes")?,
        client: client_id(client)?,
        user: must(UserId::from_slice(&user), "families.user_id has not 16 bytes")?,
        session: may(session, |b| SessionId::from_slice(&b), "families.session_id has not 16 bytes")?,
        scope: read_scope(&scope)?,
        claims: must(serde_json::from_str(&claims).ok(), "families.claims is not a claims request")?,
        nonce,
        auth_time: Timestamp::from_secs(auth_time),
        acr,
        amr: words(&amr),
        salt,
        generation,
        rotated_at: Timestamp::from_secs(rotated),
        created_at: Timestamp::from_secs(created),
        expires_at: Timestamp::from_secs(expires),
        refreshable,
        offline,
        revoked_at: time(revoked),
        resources: must(serde_json::from_str(&resources).ok(), "families.resources is no list of text")?,
    })
}
