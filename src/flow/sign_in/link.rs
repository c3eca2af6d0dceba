//! One-time links: the first administrator's set-up, setting a password, and showing that an address is one's own (S-L14, S-L16). The token is 256 bits, its
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
use crate::flow::mail::{self, SecurityChange};
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
            links::insert(conn, &new_link(fingerprint, LinkPurpose::SetUp, None, None, now))?;
            Ok(true)
        })
        .await?;
    Ok(made.then_some(token))
}

/// Makes a link for setting a person's password; older ones stop working (S-L12).
pub async fn for_password(app: &App, by: &By, user: UserId) -> Result<Secret<String>, OAuthError> {
    let now = app.now();
    let (token, link) = make(app, LinkPurpose::SetPassword, user, None, now);
    let act = Act::Did(Name::UserLinkMade, user.to_string().into(), serde_json::Value::Null);
    let record = Record::new(app, &act, by, now);
    record
        .with(app, move |conn| {
            links::void(conn, LinkPurpose::SetPassword, Some(user), now)?;
            links::insert(conn, &link)
        })
        .await?;
    Ok(token)
}

/// A new link of a person, not written yet, and its token. `email` is the address that it goes to.
pub(in crate::flow) fn make(
    app: &App,
    purpose: LinkPurpose,
    user: UserId,
    email: Option<String>,
    now: Timestamp,
) -> (Secret<String>, Link) {
    let token = Secret::generate("", &app.entropy);
    let fingerprint = app.vault.fingerprint(MacPurpose::OneTimeLink, token.reveal());
    (token, new_link(fingerprint, purpose, Some(user), email, now))
}

/// Where a link leads. What it begins with comes from the settings, never from a request (S-H7).
pub fn url(app: &App, purpose: LinkPurpose, token: &Secret<String>) -> Secret<String> {
    let page = match purpose {
        LinkPurpose::SetUp => "set-up",
        LinkPurpose::SetPassword | LinkPurpose::Invite | LinkPurpose::ResetPassword => "set-password",
        LinkPurpose::VerifyEmail => "verify-email",
    };
    Secret::new(format!("{}/{page}?token={}", app.issuer(), token.reveal()))
}

/// Whether the set-up link would work now; for the page that asks before anything is typed.
pub async fn sets_up(app: &App, token: &str) -> Result<bool, OAuthError> {
    let now = app.now();
    let fingerprint = app.vault.fingerprint(MacPurpose::OneTimeLink, token);
    let found = app
        .store
        .read(move |conn| {
            // Whoever administrates already: there is no first any more.
            if users::has_admin(conn)? {
                return Ok(None);
            }
            links::find(conn, &fingerprint)
        })
        .await?;
    Ok(found.is_some_and(|link| link.purpose == LinkPurpose::SetUp && is_open(&link, now)))
}

/// Whose password a link sets, and how many characters it needs; `None` when it does not work.
pub async fn whose(app: &App, token: &str) -> Result<Option<(String, usize)>, OAuthError> {
    let now = app.now();
    let fingerprint = app.vault.fingerprint(MacPurpose::OneTimeLink, token);
    let found =
        app.store.read(move |conn| person_of(conn, &fingerprint, LinkPurpose::sets_password, now)).await?;
    match found {
        None => Ok(None),
        Some((user, _)) => Ok(Some((user.username, people::least_length(app, user.id).await?))),
    }
}

/// The address that a link shows to be somebody's; `None` when it does not work.
pub async fn address(app: &App, token: &str) -> Result<Option<String>, OAuthError> {
    let now = app.now();
    let fingerprint = app.vault.fingerprint(MacPurpose::OneTimeLink, token);
    let found = app.store.read(move |conn| person_of(conn, &fingerprint, verifies, now)).await?;
    Ok(found.and_then(|(_, link)| link.email))
}

/// Makes the first administrator.
pub async fn set_up(app: &App, token: &str, form: SetUp, caller: &Caller) -> Result<(), LinkError> {
    let now = app.now();
    if !sets_up(app, token).await.map_err(LinkError::Error)? {
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

/// Sets a person's password; every session, token and link of before ends. It signs nobody in: a second factor is asked for as ever.
pub async fn set_password(
    app: &App,
    token: &str,
    password: Secret<String>,
    caller: &Caller,
) -> Result<(), LinkError> {
    let now = app.now();
    let fingerprint = app.vault.fingerprint(MacPurpose::OneTimeLink, token);
    let found =
        app.store.read(move |conn| person_of(conn, &fingerprint, LinkPurpose::sets_password, now)).await?;
    let (user, link) = found.ok_or(LinkError::Stale)?;
    let least = people::least_length(app, user.id).await.map_err(LinkError::Error)?;
    let hash = people::new_password(app, password, (&user.username, user.email.as_deref()), least).await?;
    // Whoever opened the mail has the address.
    let verified = link.email.clone().filter(|_| !user.email_verified);
    let told = match user.password {
        Some(_) => mail::tell_security_change(app, &user, SecurityChange::PasswordChanged, caller, now),
        None => mail::Post::default(),
    };
    let id = user.id;
    let record = Record::new(app, &Act::LinkUsed(link.purpose.word(), id), &By::anybody(caller), now);
    let done = record
        .if_done(app, move |conn| {
            if !links::use_up(conn, &fingerprint, now)? {
                return Ok(false);
            }
            users::set_password(conn, id, &hash, now)?;
            if let Some(email) = &verified {
                users::set_email(conn, id, email, true, now)?;
            }
            links::void_all(conn, id, now)?;
            session::end_all(conn, id, now)?;
            told.put(conn)?;
            Ok(true)
        })
        .await?;
    app.mail.wake();
    if done { Ok(()) } else { Err(LinkError::Stale) }
}

/// Takes the address that a link was sent to for a person's own. Whoever had another one is told there; open links of before end (S-L12).
pub async fn verify_email(app: &App, token: &str, caller: &Caller) -> Result<(), LinkError> {
    let now = app.now();
    let fingerprint = app.vault.fingerprint(MacPurpose::OneTimeLink, token);
    let found = app.store.read(move |conn| person_of(conn, &fingerprint, verifies, now)).await?;
    let Some((user, Some(email))) = found.map(|(user, link)| (user, link.email)) else {
        return Err(LinkError::Stale);
    };
    let told = if user.email.as_deref() == Some(email.as_str()) {
        mail::Post::default()
    } else {
        mail::tell_security_change(app, &user, SecurityChange::EmailChanged, caller, now)
    };
    let (id, before) = (user.id, user.email.clone());
    let record = Record::new(app, &Act::LinkUsed("verify-email", id), &By::anybody(caller), now);
    let done = record
        .if_done(app, move |conn| {
            // As they are by now: an administrator may have changed them since the mail was sent.
            let is_as_before = users::find(conn, id)?.is_some_and(|user| user.email == before);
            if !is_as_before || !links::use_up(conn, &fingerprint, now)? {
                return Ok(false);
            }
            users::set_email(conn, id, &email, true, now)?;
            links::void_all(conn, id, now)?;
            told.put(conn)?;
            Ok(true)
        })
        .await
        .map_err(|error| LinkError::from(PersonError::from(error)))?;
    app.mail.wake();
    if done { Ok(()) } else { Err(LinkError::Stale) }
}

fn new_link(
    fingerprint: Fingerprint,
    purpose: LinkPurpose,
    user: Option<UserId>,
    email: Option<String>,
    now: Timestamp,
) -> Link {
    Link {
        fingerprint,
        purpose,
        user,
        email,
        created_at: now,
        expires_at: now.plus(LINK_LIFE),
        used_at: None,
    }
}

fn is_open(link: &Link, now: Timestamp) -> bool {
    link.used_at.is_none() && now < link.expires_at && !now.is_before(link.created_at)
}

fn verifies(purpose: LinkPurpose) -> bool {
    purpose == LinkPurpose::VerifyEmail
}

/// The person of an open link of a purpose that is meant. A link that sets a password and went to an address that is theirs no more opens nothing.
fn person_of(
    conn: &mut Conn,
    fingerprint: &Fingerprint,
    is_meant: fn(LinkPurpose) -> bool,
    now: Timestamp,
) -> Result<Option<(User, Link)>, StoreError> {
    let link = links::find(conn, fingerprint)?.filter(|link| is_meant(link.purpose) && is_open(link, now));
    let Some((link, id)) = link.and_then(|link| link.user.map(|id| (link, id))) else { return Ok(None) };
    let user = users::find(conn, id)?.filter(User::is_active);
    let is_theirs = |user: &User| verifies(link.purpose) || link.email.is_none() || link.email == user.email;
    Ok(user.filter(is_theirs).map(|user| (user, link)))
}
