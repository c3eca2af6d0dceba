//! What happened to a person's account lately, as they see it: their sign-ins, and what they or others changed.

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::app::App;
use crate::base::fault::Fault;
use crate::base::id::UserId;
use crate::oauth::error::OAuthError;
use crate::store::audit::{self, Event, Filter, From};

/// Events on one page.
pub const PAGE: i64 = 30;

/// A page of what a person did and of what was done to their account, the newest first, from before the event `before`. The second value is
/// where the next page begins.
pub async fn page(
    app: &Arc<App>,
    user: UserId,
    before: Option<i64>,
) -> Result<(Vec<Event>, Option<i64>), OAuthError> {
    let (app, runtime) = (Arc::clone(app), Handle::current());
    let name = format!("user:{user}");
    let read = move || {
        runtime.block_on(app.store.read(move |conn| {
            let by = Filter { actor: Some(name.clone()), before, ..Filter::default() };
            let about = Filter { subject: Some(name.clone()), before, ..Filter::default() };
            let limit = PAGE.saturating_add(1);
            let mut events = audit::page(conn, &by, From::Newest, limit)?;
            events.extend(audit::page(conn, &about, From::Newest, limit)?);
            Ok(events)
        }))
    };
    // Not on the thread that answers requests: the log is long.
    let done = tokio::task::spawn_blocking(read).await;
    let mut events = done.map_err(|e| OAuthError::Server(Fault::new("reading the audit log", e)))??;
    events.sort_by_key(|event| std::cmp::Reverse(event.seq));
    events.dedup_by_key(|event| event.seq);
    let most = usize::try_from(PAGE).unwrap_or(usize::MAX);
    let more = events.len() > most;
    events.truncate(most);
    let next = events.last().map(|event| event.seq).filter(|_| more);
    Ok((events, next))
}
