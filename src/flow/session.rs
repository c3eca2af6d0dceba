//! The session behind a browser's cookie: found, kept alive, ended.

use std::time::Duration;

use super::caller::Browser;
use crate::account::user::User;
use crate::app::App;
use crate::base::id::{SessionId, UserId};
use crate::base::seal::MacPurpose;
use crate::base::time::Timestamp;
use crate::oauth::authorize::Present;
use crate::oauth::error::OAuthError;
use crate::store::sessions::SessionRow;
use crate::store::{Conn, StoreError, families, sessions, users};

/// How stale "last seen" may be, in seconds: a session is written at most this often, not at every request.
const TOUCH_EVERY: i64 = 300;

/// How long a request waits for that write: a database that is locked must not hold up those who only read (F4).
const TOUCH_PATIENCE: Duration = Duration::from_millis(400);

/// A live session and the person it is of.
#[derive(Clone, Debug)]
pub struct Live {
    /// The row.
    pub session: SessionRow,
    /// The person.
    pub user: User,
}

impl Live {
    /// What the authorization rules look at; `has_factor` says whether the person has a second factor.
    pub fn present(&self, has_factor: bool) -> Present {
        Present {
            user: self.user.id,
            session: self.session.id,
            auth_time: self.session.auth_time,
            acr: self.session.acr.clone(),
            amr: self.session.amr.clone(),
            has_factor,
        }
    }
}

/// Finds the live session of a browser; none when there is no cookie, or it is ended, too old, idle for too long, or the
/// person was disabled.
pub async fn find(app: &App, browser: &Browser, now: Timestamp) -> Result<Option<Live>, OAuthError> {
    let Some(cookie) = browser.session.as_deref().filter(|c| c.len() <= 128) else { return Ok(None) };
    let fingerprint = app.vault.fingerprint(MacPurpose::Session, cookie);
    let idle = app.settings.sessions.idle_seconds;
    let found = app
        .store
        .read(move |conn| {
            let Some(session) = sessions::find_by_fingerprint(conn, &fingerprint)? else { return Ok(None) };
            if !is_live(&session, idle, now) {
                return Ok(None);
            }
            let user = users::find(conn, session.user)?.filter(User::is_active);
            Ok(user.map(|user| Live { session, user }))
        })
        .await?;
    if let Some(live) = &found
        && now.since(live.session.last_seen_at) >= TOUCH_EVERY
    {
        let id = live.session.id;
        // A session that cannot be touched now is touched next time: reading goes on while the disk is full (F3).
        let write = app.store.write(move |conn| sessions::touch(conn, id, now));
        if let Ok(Err(error)) = tokio::time::timeout(TOUCH_PATIENCE, write).await {
            tracing::debug!(?error, "a session's last-seen time was not written");
        }
    }
    Ok(found)
}

/// Whether a session's row is still good at `now`.
pub fn is_live(session: &SessionRow, idle_seconds: i64, now: Timestamp) -> bool {
    session.ended_at.is_none() && now < session.expires_at && now.since(session.last_seen_at) < idle_seconds
}

/// Ends a session with everything that hangs on it: the refresh families that were not asked for offline (S-O3).
pub fn end(conn: &mut Conn, session: SessionId, now: Timestamp) -> Result<(), StoreError> {
    sessions::end(conn, session, now)?;
    families::revoke_of_session(conn, session, now)?;
    Ok(())
}

/// Ends every session of a person and revokes every family, offline ones too: after a new password, a disabled account.
pub fn end_all(conn: &mut Conn, user: UserId, now: Timestamp) -> Result<(), StoreError> {
    sessions::end_of_user(conn, user, now)?;
    families::revoke_of_user(conn, user, now)?;
    Ok(())
}

/// Ends every session of a person but `keep`, and revokes every family that did not come of that one.
pub fn end_others(conn: &mut Conn, user: UserId, keep: SessionId, now: Timestamp) -> Result<(), StoreError> {
    sessions::end_of_user_but(conn, user, keep, now)?;
    families::revoke_of_user_but(conn, user, keep, now)?;
    Ok(())
}
