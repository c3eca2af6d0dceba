//! What people change of their own account: name and language, address, password.

use serde_json::Value;

use super::audit::{Act, By, Name, Record};
use super::caller::Caller;
use super::mail::{self, LinkFor, SecurityChange};
use super::pace::Pace;
use super::people::{self, PersonError};
use super::session::{self, Live};
use super::sign_in::link;
use crate::account::user::User;
use crate::account::username;
use crate::app::{App, Match};
use crate::base::seal::MacPurpose;
use crate::base::secret::Secret;
use crate::oauth::error::OAuthError;
use crate::store::links::LinkPurpose;
use crate::store::{links, sessions, users};

/// The longest name, in characters.
pub const LONGEST_NAME: usize = 200;

/// Wrong passwords that may be typed without a wait, and how long they are remembered, in seconds.
const FREE_PASSWORDS: u32 = 5;
const PASSWORD_MEMORY: i64 = 86_400;
/// Links to new addresses in an hour without a wait: nobody makes us fill the mailboxes of others.
const FREE_LINKS: u32 = 5;
const LINK_MEMORY: i64 = 3_600;

/// Why something was not changed.
#[derive(Debug)]
pub enum Refused {
    /// A field says no: its name, and what is allowed.
    Field(&'static str, String),
    /// Too many tries; so many seconds to wait.
    Wait(i64),
    /// We cannot decide now, or something went wrong.
    Error(OAuthError),
}

impl From<crate::store::StoreError> for Refused {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Error(error.into())
    }
}

impl From<OAuthError> for Refused {
    fn from(error: OAuthError) -> Self {
        Self::Error(error)
    }
}

impl From<PersonError> for Refused {
    fn from(error: PersonError) -> Self {
        match error {
            PersonError::Field { field, problem } => Self::Field(field, problem),
            PersonError::Error(error) => Self::Error(error),
            other => Self::Field("name", other.to_string()),
        }
    }
}

fn did<'a>(name: Name, user: &User) -> Act<'a> {
    Act::Did(name, user.id.to_string().into(), Value::Null)
}

/// Sets the name to show and the language; an empty name is none. `locale` is a tag that pages know.
pub async fn set_profile(
    app: &App,
    by: &By,
    user: &User,
    name: &str,
    locale: Option<&'static str>,
) -> Result<(), Refused> {
    let name = Some(name.trim().to_owned()).filter(|name| !name.is_empty());
    let is_line = |name: &String| name.chars().count() <= LONGEST_NAME && !name.chars().any(char::is_control);
    if name.as_ref().is_some_and(|name| !is_line(name)) {
        return Err(Refused::Field(
            "name",
            format!("up to {LONGEST_NAME} characters are allowed, on one line"),
        ));
    }
    let (id, now) = (user.id, app.now());
    Record::new(app, &did(Name::UserProfileChanged, user), by, now)
        .with(app, move |conn| users::set_profile(conn, id, name.as_deref(), locale, now))
        .await?;
    Ok(())
}

/// Sends a link to an address that the person wants for their account, or wants to show to be theirs; gives it in its canonical form.
///
/// An address that somebody else has gets no mail, and whoever asks is told the same (S-L4).
pub async fn ask_for_email(app: &App, user: &User, typed: &str) -> Result<String, Refused> {
    let now = app.now();
    let email = username::canonical_email(typed).map_err(|e| Refused::Field("email", e.to_owned()))?;
    if user.email_verified && user.email.as_deref() == Some(email.as_str()) {
        return Err(Refused::Field("email", "this is your address already".to_owned()));
    }
    if !app.mail.is_on() {
        return Err(Refused::Field("email", "this server sends no mail; ask an administrator".to_owned()));
    }
    let id = user.id;
    let (token, link) = link::make(app, LinkPurpose::VerifyEmail, id, Some(email.clone()), now);
    let url = link::url(app, LinkPurpose::VerifyEmail, &token);
    let post = mail::send_link(app, user, &email, (LinkFor::Verify, url.reveal()), now, link.expires_at);
    let pace = Pace::of(app, "links to addresses", &id.to_string(), FREE_LINKS, LINK_MEMORY);
    let login = username::Login::Email(email.clone());
    let wait = app
        .store
        .write(move |conn| {
            if let Some(seconds) = pace.count(conn, now)? {
                return Ok(Some(seconds));
            }
            links::void(conn, LinkPurpose::VerifyEmail, Some(id), now)?;
            links::insert(conn, &link)?;
            if users::find_by_login(conn, &login)?.is_none_or(|owner| owner.id == id) {
                post.put(conn)?;
            }
            Ok(None)
        })
        .await?;
    app.mail.wake();
    wait.map_or(Ok(email), |seconds| Err(Refused::Wait(seconds)))
}

/// The address that waits to be confirmed, if any.
pub async fn email_in_waiting(app: &App, user: &User) -> Result<Option<String>, OAuthError> {
    let (id, now) = (user.id, app.now());
    Ok(app.store.read(move |conn| links::address_in_waiting(conn, id, now)).await?)
}

/// Changes the password of whoever knows the present one, or has none yet. Every other session ends with what hangs on it, open links
/// end, and this session goes on under the new cookie that is given back (S-L9, S-L11, S-L12).
pub async fn change_password(
    app: &App,
    by: &By,
    live: &Live,
    (present, new): (Secret<String>, Secret<String>),
    caller: &Caller,
) -> Result<Secret<String>, Refused> {
    let now = app.now();
    let user = &live.user;
    let pace = Pace::of(app, "password of an account", &user.id.to_string(), FREE_PASSWORDS, PASSWORD_MEMORY);
    if user.password.is_some() {
        // Counted before it is looked at, so that tries at the same moment all count.
        if let Some(seconds) = app.store.write(move |conn| pace.count(conn, now)).await? {
            return Err(Refused::Wait(seconds));
        }
        if app.hashing.verify(present, user.password.clone()).await? == Match::Wrong {
            return Err(Refused::Field("current_password", "this is not your present password".to_owned()));
        }
    }
    let least = people::least_length(app, user.id).await?;
    let names = (user.username.as_str(), user.email.as_deref());
    let hash = match people::new_password(app, new, names, least).await {
        Ok(hash) => hash,
        Err(refused) => {
            // They know the present one: how often they look for a new one is not counted.
            app.store.write(move |conn| pace.forgive(conn)).await?;
            return Err(refused.into());
        }
    };
    let told = mail::tell_security_change(app, user, SecurityChange::PasswordChanged, caller, now);
    let cookie = Secret::generate("", &app.entropy);
    let fingerprint = app.vault.fingerprint(MacPurpose::Session, cookie.reveal());
    let (id, session) = (user.id, live.session.clone());
    let done = Record::new(app, &did(Name::UserPasswordChanged, user), by, now)
        .if_done(app, move |conn| {
            let proof = (session.amr.as_slice(), session.acr.as_str());
            if !sessions::renew(conn, session.id, &fingerprint, proof, now)? {
                return Ok(false);
            }
            pace.forgive(conn)?;
            users::set_password(conn, id, &hash, now)?;
            links::void_all(conn, id, now)?;
            session::end_others(conn, id, session.id, now)?;
            told.put(conn)?;
            Ok(true)
        })
        .await?;
    app.mail.wake();
    if done { Ok(cookie) } else { Err(Refused::Error(OAuthError::Busy)) }
}
