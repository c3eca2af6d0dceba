//! Browser sign-ins. The cookie's secret is nowhere; its fingerprint is.

use diesel::prelude::*;

use super::conn::{Conn, on_both};
use super::error::StoreError;
use super::row::{Rows, fingerprint, must, time, words};
use super::schema::sessions;
use crate::base::id::{SessionId, UserId};
use crate::base::secret::Fingerprint;
use crate::base::time::Timestamp;

/// A sign-in, live or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// The `sid` of ID tokens; stays when the cookie is rotated.
    pub id: SessionId,
    /// Of the cookie.
    pub fingerprint: Fingerprint,
    /// Who signed in.
    pub user: UserId,
    /// When they last proved who they are (OIDC Core §2 `auth_time`).
    pub auth_time: Timestamp,
    /// By what means (RFC 8176).
    pub amr: Vec<String>,
    /// How surely (OIDC Core §2 `acr`).
    pub acr: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last used, give or take what the caller saves in writes.
    pub last_seen_at: Timestamp,
    /// When it ends whatever happens.
    pub expires_at: Timestamp,
    /// When it was ended before that.
    pub ended_at: Option<Timestamp>,
    /// The browser's `User-Agent` at the beginning, for the list that a person sees.
    pub user_agent: Option<String>,
    /// The address at the beginning, for the list that a person sees.
    pub address: Option<String>,
}

type Row = (
    Vec<u8>,
    Vec<u8>,
    Vec<u8>,
    i64,
    String,
    String,
    i64,
    i64,
    i64,
    Option<i64>,
    Option<String>,
    Option<String>,
);

/// Begins a session.
pub fn begin(conn: &mut Conn, session: &SessionRow) -> Result<(), StoreError> {
    diesel::insert_into(sessions::table)
        .values((
            sessions::id.eq(session.id.to_vec()),
            sessions::fingerprint.eq(session.fingerprint.as_bytes().as_slice()),
            sessions::user_id.eq(session.user.to_vec()),
            sessions::auth_time.eq(session.auth_time.as_secs()),
            sessions::amr.eq(session.amr.join(" ")),
            sessions::acr.eq(&session.acr),
            sessions::created_at.eq(session.created_at.as_secs()),
            sessions::last_seen_at.eq(session.last_seen_at.as_secs()),
            sessions::expires_at.eq(session.expires_at.as_secs()),
            sessions::ended_at.eq(session.ended_at.map(Timestamp::as_secs)),
            sessions::user_agent.eq(session.user_agent.as_deref()),
            sessions::address.eq(session.address.as_deref()),
        ))
        .execute(conn)?;
    Ok(())
}

/// The session of a cookie, ended and expired ones too: the caller judges.
pub fn find_by_fingerprint(conn: &mut Conn, cookie: &Fingerprint) -> Result<Option<SessionRow>, StoreError> {
    let row = on_both!(conn, c => sessions::table
        .filter(sessions::fingerprint.eq(cookie.as_bytes().as_slice()))
        .select(sessions::all_columns)
        .get_result::<Row>(c)
        .optional()?);
    row.map(session).transpose()
}

/// The session of an id, ended and expired ones too: the caller judges.
pub fn find(conn: &mut Conn, id: SessionId) -> Result<Option<SessionRow>, StoreError> {
    let row = on_both!(conn, c => sessions::table
        .find(id.to_vec())
        .select(sessions::all_columns)
        .get_result::<Row>(c)
        .optional()?);
    row.map(session).transpose()
}

/// Like [`find`], and until this transaction is over nobody can end the session: who tries waits, and then finds what was begun
/// under it. SQLite has one writer, which comes to the same.
pub fn hold(conn: &mut Conn, id: SessionId) -> Result<Option<SessionRow>, StoreError> {
    let Conn::Postgres(postgres) = conn else { return find(conn, id) };
    let row = sessions::table
        .find(id.to_vec())
        .select(sessions::all_columns)
        .for_share()
        .get_result::<Row>(postgres)
        .optional()?;
    row.map(session).transpose()
}

/// The live sessions of a person, newest first.
pub fn of_user(conn: &mut Conn, user: UserId, now: Timestamp) -> Result<Vec<SessionRow>, StoreError> {
    let rows: Rows<Row> = sessions::table
        .filter(sessions::user_id.eq(user.to_vec()))
        .filter(sessions::ended_at.is_null())
        .filter(sessions::expires_at.gt(now.as_secs()))
        .order(sessions::created_at.desc())
        .select(sessions::all_columns)
        .load(conn);
    rows?.into_iter().map(session).collect()
}

/// At most `limit` live sessions, of everybody or of one person, the newest first: those before `after` in that order. `judged` is the
/// moment, and after how many seconds without use a session is over.
pub fn live(
    conn: &mut Conn,
    of: Option<UserId>,
    judged: (Timestamp, i64),
    after: Option<(Timestamp, SessionId)>,
    limit: i64,
) -> Result<Vec<SessionRow>, StoreError> {
    let (now, idle) = judged;
    let rows: Rows<Row> = on_both!(conn, c => {
        let mut query = sessions::table
            .filter(sessions::ended_at.is_null())
            .filter(sessions::expires_at.gt(now.as_secs()))
            .filter(sessions::last_seen_at.gt(now.minus(idle).as_secs()))
            .order((sessions::created_at.desc(), sessions::id.desc()))
            .limit(limit)
            .select(sessions::all_columns)
            .into_boxed();
        if let Some(user) = of {
            query = query.filter(sessions::user_id.eq(user.to_vec()));
        }
        if let Some((at, id)) = after {
            // Said twice, so that the index is begun at the right place.
            query = query.filter(sessions::created_at.le(at.as_secs())).filter(
                sessions::created_at.lt(at.as_secs()).or(sessions::id.lt(id.to_vec())),
            );
        }
        query.load(c)
    });
    rows?.into_iter().map(session).collect()
}

/// Notes that the session was used; whether it is live. Never moves the time back.
pub fn touch(conn: &mut Conn, id: SessionId, now: Timestamp) -> Result<bool, StoreError> {
    let row = sessions::table
        .find(id.to_vec())
        .filter(sessions::ended_at.is_null())
        .filter(sessions::last_seen_at.le(now.as_secs()));
    Ok(diesel::update(row).set(sessions::last_seen_at.eq(now.as_secs())).execute(conn)? == 1)
}

/// A new proof within a live session: new means, new time, and a new cookie, so that an older cookie that somebody planted is worth
/// nothing; whether the session is live.
pub fn renew(
    conn: &mut Conn,
    id: SessionId,
    cookie: &Fingerprint,
    proof: (&[String], &str),
    now: Timestamp,
) -> Result<bool, StoreError> {
    let (amr, acr) = proof;
    let row = sessions::table.find(id.to_vec()).filter(sessions::ended_at.is_null());
    let rows = diesel::update(row)
        .set((
            sessions::fingerprint.eq(cookie.as_bytes().as_slice()),
            sessions::auth_time.eq(now.as_secs()),
            sessions::last_seen_at.eq(now.as_secs()),
            sessions::amr.eq(amr.join(" ")),
            sessions::acr.eq(acr),
        ))
        .execute(conn)?;
    Ok(rows == 1)
}

/// Ends a session; whether this call ended it.
pub fn end(conn: &mut Conn, id: SessionId, now: Timestamp) -> Result<bool, StoreError> {
    let row = sessions::table.find(id.to_vec()).filter(sessions::ended_at.is_null());
    Ok(diesel::update(row).set(sessions::ended_at.eq(now.as_secs())).execute(conn)? == 1)
}

/// Ends every session; how many.
pub fn end_everybodys(conn: &mut Conn, now: Timestamp) -> Result<usize, StoreError> {
    let rows = sessions::table.filter(sessions::ended_at.is_null());
    Ok(diesel::update(rows).set(sessions::ended_at.eq(now.as_secs())).execute(conn)?)
}

/// Ends all sessions of a person; how many.
pub fn end_of_user(conn: &mut Conn, user: UserId, now: Timestamp) -> Result<usize, StoreError> {
    let rows =
        sessions::table.filter(sessions::user_id.eq(user.to_vec())).filter(sessions::ended_at.is_null());
    Ok(diesel::update(rows).set(sessions::ended_at.eq(now.as_secs())).execute(conn)?)
}

/// Ends all sessions of a person but one; how many.
pub fn end_of_user_but(
    conn: &mut Conn,
    user: UserId,
    keep: SessionId,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let rows = sessions::table
        .filter(sessions::user_id.eq(user.to_vec()))
        .filter(sessions::id.ne(keep.to_vec()))
        .filter(sessions::ended_at.is_null());
    Ok(diesel::update(rows).set(sessions::ended_at.eq(now.as_secs())).execute(conn)?)
}

/// Up to `limit` live sessions of a person that were used within `idle` seconds, the newest first; those with a smaller id than `after`.
/// An id begins with the time at which it was made.
pub fn page_of_user(
    conn: &mut Conn,
    user: UserId,
    (now, idle): (Timestamp, i64),
    after: Option<SessionId>,
    limit: i64,
) -> Result<Vec<SessionRow>, StoreError> {
    let rows: Rows<Row> = on_both!(conn, c => {
        let mut query = sessions::table
            .filter(sessions::user_id.eq(user.to_vec()))
            .filter(sessions::ended_at.is_null())
            .filter(sessions::expires_at.gt(now.as_secs()))
            .filter(sessions::last_seen_at.gt(now.minus(idle).as_secs()))
            .order(sessions::id.desc())
            .limit(limit)
            .select(sessions::all_columns)
            .into_boxed();
        if let Some(after) = after {
            query = query.filter(sessions::id.lt(after.to_vec()));
        }
        query.load::<Row>(c)
    });
    rows?.into_iter().map(session).collect()
}

fn session(row: Row) -> Result<SessionRow, StoreError> {
    let (id, cookie, user, auth_time, amr, acr, created, seen, expires, ended, user_agent, address) = row;
    Ok(SessionRow {
        id: must(SessionId::from_slice(&id), "sessions.id has not 16 bytes")?,
        fingerprint: fingerprint(&cookie)?,
        user: must(UserId::from_slice(&user), "sessions.user_id has not 16 bytes")?,
        auth_time: Timestamp::from_secs(auth_time),
        amr: words(&amr),
        acr,
        created_at: Timestamp::from_secs(created),
        last_seen_at: Timestamp::from_secs(seen),
        expires_at: Timestamp::from_secs(expires),
        ended_at: time(ended),
        user_agent,
        address,
    })
}
