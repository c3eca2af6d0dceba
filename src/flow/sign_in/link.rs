//! One-time links: the first administrator's set-up, and setting a password (S-L14, S-L16). The token is 256 bits, its
//! keyed hash lies in the row, it works once and for an hour.

use crate::account::role::Role;
use crate::account::user::User;
use crate::app::App;
use crate::base::id::UserId;
use crate::base::seal::MacPurpose;
use crate::base::secret::{Fingerprint, Secret};
use crate::base::time::Timestamp;
use crate::flow::audit::{Act, By, Name, Record};
use crate::flow::caller::Caller;
use crate::flow::people::{self, NewPerson, PersonError};
use crate::flow::session;
use crate::oauth::error::OAuthError;
use crate::store::links::{self, Link, LinkPurpose};
use crate::store::{Conn, StoreError, users};

/// How long a link works, in seconds (ASVS 6.4.1: at most an hour).
pub const LINK_LIFE: i64 = 3600;

/// What is typed on the set-up page.
#[derive(Debug)]
pub struct SetUp {
    /// The administrator's address.
    pub email: String,
    /// The user name; the address's local part when empty.
    pub username: Option<String>,
    /// The name to show.
    pub name: Option<String>,
    /// The password.
    pub password: Secret<String>,
}

/// Why a link did not do its work.
#[derive(Debug)]
pub enum LinkError {
    /// The link is unknown, used or too old.
    Stale,
    /// A field says no; the text names it and what is allowed.
    Field(PersonError),
    /// We cannot decide now, or something went wrong.
    Error(OAuthError),
}

impl From<crate::store::StoreError> for LinkError {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Error(error.into())
    }
}

impl From<PersonError> for LinkError {
    fn from(error: PersonError) -> Self {
        match error {
            PersonError::Error(error) => Self::Error(error),
            field => Self::Field(field),
        }
    }
}

/// Makes the set-up link's token when there is no administrator; `None` when there is one.
pub async fn first_administrator(app: &App) -> Result<Option<Secret<String>>, OAuthError> {
    let now = app.now();
    let token = Secret::generate("", &app.entropy);
    let fingerprint = app.vault.fingerprint(MacPurpose::OneTimeLink, token.reveal());
    let made = app
        .store
        .write(move |conn| {
            if users::has_admin(conn)? {
                return Ok(false);
            }
            links::void(conn, LinkPurpose::SetUp, None, now)?;
            links::insert(conn, &new_link(fingerprint, LinkPurpose::SetUp, None, now))?;
            Ok(true)
        })
        .await?;
    Ok(made.then_some(token))
}

/// Makes a link for setting a person's password; older ones stop working (S-L12).
pub async fn for_password(app: &App, by: &By, user: UserId) -> Result<Secret<String>, OAuthError> {
    let now = app.now();
    let token = Secret::generate("", &app.entropy);
    let fingerprint = app.vault.fingerprint(MacPurpose::OneTimeLink, token.reveal());
    let act = Act::Did(Name::UserLinkMade, user.to_string().into(), serde_json::Value::Null);
    let record = Record::new(app, &act, by, now);
    record
        .with(app, move |conn| {
            links::void(conn, LinkPurpose::SetPassword, Some(user), now)?;
            links::insert(conn, &new_link(fingerprint, LinkPurpose::SetPassword, Some(user), now))
        })
        .await?;
    Ok(token)
}

/// Whether a link would work now; for the page that asks before anything is typed.
pub async fn works(app: &App, token: &str, purpose: LinkPurpose) -> Result<bool, OAuthError> {
    let now = app.now();
    let fingerprint = app.vault.fingerprint(MacPurpose::OneTimeLink, token);
    let found = app
        .store
        .read(move |conn| {
            // Whoever administrates already: there is no first any more.
            if purpose == LinkPurpose::SetUp && users::has_admin(conn)? {
                return Ok(None);
            }
            links::find(conn, &fingerprint)
        })
        .await?;
    Ok(found.is_some_and(|link| is_open(&link, purpose, now)))
}

/// The user name of the person whose password a link sets; `None` when it does not work.
pub async fn whose(app: &App, token: &str) -> Result<Option<String>, OAuthError> {
    let now = app.now();
    let fingerprint = app.vault.fingerprint(MacPurpose::OneTimeLink, token);
    let user = app.store.read(move |conn| person_of(conn, &fingerprint, now)).await?;
    Ok(user.map(|u| u.username))
}

/// Makes the first administrator.
pub async fn set_up(app: &App, token: &str, form: SetUp, caller: &Caller) -> Result<(), LinkError> {
    let now = app.now();
    if !works(app, token, LinkPurpose::SetUp).await.map_err(LinkError::Error)? {
        return Err(LinkError::Stale);
    }
    let person = NewPerson {
        email: Some(form.email),
        username: form.username,
        name: form.name,
        email_verified: false,
        role: Role::Owner,
        claims: serde_json::Map::new(),
        password: Some(form.password),
    };
    let user = people::check(app, person).await?;
    let id = user.id;
    let fingerprint = app.vault.fingerprint(MacPurpose::OneTimeLink, token);
    let record = Record::new(app, &Act::LinkUsed("set-up", id), &By::anybody(caller), now);
    let done = record
        .if_done(app, move |conn| {
            if users::has_admin(conn)? || !links::use_up(conn, &fingerprint, now)? {
                return Ok(false);
            }
            users::insert(conn, &user)?;
            Ok(true)
        })
        .await
        .map_err(|e| LinkError::from(PersonError::from(e)))?;
    if !done {
        return Err(LinkError::Stale);
    }
    Ok(())
}

/// Sets a person's password; every session and token of before ends.
pub async fn set_password(
    app: &App,
    token: &str,
    password: Secret<String>,
    caller: &Caller,
) -> Result<(), LinkError> {
    let now = app.now();
    let fingerprint = app.vault.fingerprint(MacPurpose::OneTimeLink, token);
    let user =
        app.store.read(move |conn| person_of(conn, &fingerprint, now)).await?.ok_or(LinkError::Stale)?;
    let hash = people::new_password(app, password, &user.username, user.email.as_deref()).await?;
    let id = user.id;
    let record = Record::new(app, &Act::LinkUsed("set-password", id), &By::anybody(caller), now);
    let done = record
        .if_done(app, move |conn| {
            if !links::use_up(conn, &fingerprint, now)? {
                return Ok(false);
            }
            users::set_password(conn, id, &hash, now)?;
            session::end_all(conn, id, now)?;
            Ok(true)
        })
        .await?;
    if !done {
        return Err(LinkError::Stale);
    }
    Ok(())
}

fn new_link(fingerprint: Fingerprint, purpose: LinkPurpose, user: Option<UserId>, now: Timestamp) -> Link {
    Link { fingerprint, purpose, user, created_at: now, expires_at: now.plus(LINK_LIFE), used_at: None }
}

fn is_open(link: &Link, purpose: LinkPurpose, now: Timestamp) -> bool {
    link.purpose == purpose && link.used_at.is_none() && now < link.expires_at
}

/// The person whose password an open link sets.
fn person_of(conn: &mut Conn, fingerprint: &Fingerprint, now: Timestamp) -> Result<Option<User>, StoreError> {
    let link = links::find(conn, fingerprint)?.filter(|l| is_open(l, LinkPurpose::SetPassword, now));
    match link.and_then(|l| l.user) {
        None => Ok(None),
        Some(user) => Ok(users::find(conn, user)?.filter(User::is_active)),
    }
}
