//! What people are told by mail: links that they asked for, and what happened to their account.
//!
//! A letter is written before an act and put into the outbox within the act's own transaction ([`Post::put`]), so that none is told of what
//! was not done, and none is forgotten. After the commit [`crate::app::Mail::wake`] sends it off.

mod words;

use crate::account::browser::BrowserName;
use crate::account::user::User;
use crate::app::{App, Letter};
use crate::base::id::MailId;
use crate::base::seal::Purpose;
use crate::base::time::Timestamp;
use crate::flow::caller::Caller;
use crate::store::{Conn, StoreError, mails};

use self::words::Language;

/// For how long news of an account are worth being told, in seconds.
const NEWS_LIFE: i64 = 86_400;

/// A letter that waits to be put into the outbox; none where mail is off, or the person has no address.
#[derive(Clone, Debug, Default)]
pub struct Post(Option<Waiting>);

#[derive(Clone)]
struct Waiting {
    id: MailId,
    sealed: Vec<u8>,
    now: Timestamp,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Waiting({})", self.id)
    }
}

impl Post {
    /// Puts it into the outbox, in the transaction of what it tells of.
    pub fn put(&self, conn: &mut Conn) -> Result<(), StoreError> {
        match &self.0 {
            Some(Waiting { id, sealed, now }) => mails::insert(conn, *id, sealed, *now),
            None => Ok(()),
        }
    }

    /// Whether there is one at all.
    pub const fn is_some(&self) -> bool {
        self.0.is_some()
    }
}

/// What happened to an account that its person must hear of: they may not have done it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityChange {
    /// A new password.
    PasswordChanged,
    /// Another address; the old one is told.
    EmailChanged,
    /// A new passkey.
    PasskeyAdded,
    /// A passkey that works no more.
    PasskeyRemoved,
    /// An app that shows codes.
    TotpAdded,
    /// The app's codes count no more.
    TotpRemoved,
    /// New recovery codes; those of before count no more.
    RecoveryCodesMade,
    /// A sign-in from a browser that the person did not sign in with before.
    NewDevice,
    /// An account at another provider opens this one now.
    IdentityAdded,
    /// It opens it no more.
    IdentityRemoved,
}

/// What a link is sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkFor {
    /// The first password of a new account.
    Invite,
    /// A new password.
    Reset,
    /// To show that the address is theirs.
    Verify,
}

/// Tells a person what happened to their account: to their present address, in their language, with when and from where.
///
/// Call it before the write, [`Post::put`] within it, and `app.mail.wake()` after the commit.
pub fn tell_security_change(
    app: &App,
    user: &User,
    change: SecurityChange,
    caller: &Caller,
    now: Timestamp,
) -> Post {
    let Some(to) = user.email.as_deref() else { return Post::default() };
    let browser = caller.user_agent.as_deref().map(|agent| BrowserName::of(agent).to_string());
    let facts = words::Facts {
        username: &user.username,
        host: app.settings.public_url.host(),
        account: &format!("{}/account", app.issuer()),
        at: &shown(now),
        address: &caller.address.to_string(),
        browser: browser.as_deref().unwrap_or("?"),
    };
    let (subject, text) = words::security_change(Language::of(user.locale.as_deref()), change, &facts);
    post(app, to, subject, text, now, now.plus(NEWS_LIFE))
}

/// Sends a person a link; it is useless after `until`. Whoever holds the address may be somebody else: no name stands in it that a person
/// can choose freely.
pub(super) fn send_link(
    app: &App,
    user: &User,
    to: &str,
    (purpose, url): (LinkFor, &str),
    now: Timestamp,
    until: Timestamp,
) -> Post {
    let facts = words::LinkFacts {
        username: &user.username,
        host: app.settings.public_url.host(),
        url,
        until: &shown(until),
    };
    let (subject, text) = words::link(Language::of(user.locale.as_deref()), purpose, &facts);
    post(app, to, subject, text, now, until)
}

fn post(app: &App, to: &str, subject: String, text: String, now: Timestamp, useless: Timestamp) -> Post {
    if !app.mail.is_on() {
        return Post::default();
    }
    let letter =
        Letter { to: to.to_owned(), subject, text, written_at: now.as_secs(), useless_at: useless.as_secs() };
    let plain = serde_json::to_vec(&letter).unwrap_or_default();
    Post(Some(Waiting {
        id: MailId::new(&app.clock, &app.entropy),
        sealed: app.vault.seal_bytes(Purpose::Mail, &plain, &app.entropy),
        now,
    }))
}

/// A moment as people read it: `2026-11-26 07:40 UTC`.
fn shown(at: Timestamp) -> String {
    let text = at.to_rfc3339();
    match (text.get(..10), text.get(11..16)) {
        (Some(day), Some(time)) => format!("{day} {time} UTC"),
        _ => text,
    }
}
