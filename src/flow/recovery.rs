//! "I forgot my password": a link to the address of the account, if there is one. Whoever asks learns nothing (S-L4): the answer is given
//! before anybody looks, and is the same.

use std::sync::Arc;

use super::audit::{Act, By, Name, Record};
use super::caller::Caller;
use super::mail::{self, LinkFor};
use super::pace::Pace;
use super::sign_in::link;
use crate::account::user::User;
use crate::account::username;
use crate::app::App;
use crate::oauth::error::OAuthError;
use crate::store::links::LinkPurpose;
use crate::store::{Conn, links, users};

/// Links that one account is sent in an hour without a wait, whether it exists or not.
const FREE: u32 = 3;
/// Links that are asked for from one place in an hour without a wait.
const FREE_OF_A_PLACE: u32 = 30;
/// How long it is remembered, in seconds.
const MEMORY: i64 = 3_600;

/// What becomes of it, as far as anybody may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// If there is such an account, a mail is on its way.
    Taken,
    /// Too much was asked for from there; so many seconds to wait.
    Wait(i64),
}

/// Somebody asks for a link; `login` is the user name or the address that they typed.
///
/// What is found out comes after the answer: this returns when the request was counted.
pub async fn ask(app: &Arc<App>, login: &str, caller: &Caller) -> Result<Asked, OAuthError> {
    let now = app.now();
    let place = Pace::of(app, "reset from a place", &caller.place(), FREE_OF_A_PLACE, MEMORY);
    if let Some(seconds) = app.store.write(move |conn| place.count(conn, now)).await? {
        return Ok(Asked::Wait(seconds));
    }
    let (app, login, caller) = (Arc::clone(app), login.to_owned(), caller.clone());
    tokio::spawn(async move {
        if let Err(error) = send(&app, &login, &caller).await {
            tracing::warn!(?error, "a link for a new password was not sent");
        }
    });
    Ok(Asked::Taken)
}

/// Sends the link, if there is whom to send it to.
async fn send(app: &App, typed: &str, caller: &Caller) -> Result<(), OAuthError> {
    let now = app.now();
    let Some(login) = username::login(typed) else { return Ok(()) };
    let found = app.store.read(move |conn| users::find_by_login(conn, &login)).await?;
    let Some(user) = found.filter(User::is_active) else { return Ok(()) };
    let Some(email) = user.email.clone().filter(|_| app.mail.is_on()) else { return Ok(()) };
    let id = user.id;
    // One account, one count, whether its name or its address is typed.
    let pace = Pace::of(app, "reset of an account", &id.to_string(), FREE, MEMORY);
    let (token, link) = link::make(app, LinkPurpose::ResetPassword, id, Some(email.clone()), now);
    let url = link::url(app, LinkPurpose::ResetPassword, &token);
    let post = mail::send_link(app, &user, &email, (LinkFor::Reset, url.reveal()), now, link.expires_at);
    let details = serde_json::json!({ "purpose": LinkPurpose::ResetPassword.word() });
    let act = Act::Did(Name::UserLinkMade, id.to_string().into(), details);
    let record = Record::new(app, &act, &By::anybody(caller), now);
    record
        .if_done(app, move |conn: &mut Conn| {
            if pace.count(conn, now)?.is_some() {
                return Ok(false);
            }
            links::void(conn, LinkPurpose::ResetPassword, Some(id), now)?;
            links::insert(conn, &link)?;
            post.put(conn)?;
            Ok(true)
        })
        .await?;
    app.mail.wake();
    Ok(())
}
