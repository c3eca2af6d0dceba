//! Where a person is signed in, as they see it, and ending it.

use serde_json::json;

use super::audit::{Act, By, Name, Record};
use super::session;
use crate::app::App;
use crate::base::id::{SessionId, UserId};
use crate::oauth::error::OAuthError;
use crate::store::sessions::{self, SessionRow};

/// Sessions on one page.
pub const PAGE: i64 = 50;

/// A page of a person's live sessions, the newest first; those that began before the session `after`. The second value is where the next
/// page begins.
pub async fn page(
    app: &App,
    user: UserId,
    after: Option<SessionId>,
) -> Result<(Vec<SessionRow>, Option<SessionId>), OAuthError> {
    let (now, idle) = (app.now(), app.settings.sessions.idle_seconds);
    let mut rows = app
        .store
        .read(move |conn| sessions::page_of_user(conn, user, (now, idle), after, PAGE.saturating_add(1)))
        .await?;
    let most = usize::try_from(PAGE).unwrap_or(usize::MAX);
    let more = rows.len() > most;
    rows.truncate(most);
    let next = rows.last().map(|row| row.id).filter(|_| more);
    Ok((rows, next))
}

/// Ends one session of a person, with the access that hangs on it; whether it was theirs and live.
pub async fn end(app: &App, by: &By, user: UserId, session: SessionId) -> Result<bool, OAuthError> {
    let now = app.now();
    let act = Act::Did(Name::SessionEnded, session.to_string().into(), json!({ "user": user }));
    let done = Record::new(app, &act, by, now)
        .if_done(app, move |conn| {
            let is_theirs =
                sessions::find(conn, session)?.is_some_and(|row| row.user == user && row.ended_at.is_none());
            if is_theirs {
                session::end(conn, session, now)?;
            }
            Ok(is_theirs)
        })
        .await?;
    Ok(done)
}

/// Ends every session of a person but this one, with the access that hangs on them.
pub async fn end_others(app: &App, by: &By, user: UserId, keep: SessionId) -> Result<(), OAuthError> {
    let now = app.now();
    let act = Act::Did(Name::SessionOthersEnded, keep.to_string().into(), json!({ "user": user }));
    Record::new(app, &act, by, now).with(app, move |conn| session::end_others(conn, user, keep, now)).await?;
    Ok(())
}
