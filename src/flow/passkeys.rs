//! A person's passkeys: challenges, each for one purpose, one browser, five minutes and once; adding, renaming, removing.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::audit::{Act, By, Name, Record};
use super::caller::{Browser, Caller};
use super::mail::{self, SecurityChange};
use super::own_account::Refused;
use super::session::{self, Live};
use crate::account::factor_policy::FactorPolicy;
use crate::account::passkey::{Challenge, Site, State, Wrong};
use crate::account::user::User;
use crate::app::App;
use crate::base::encoding::base64url;
use crate::base::fault::Fault;
use crate::base::id::{OnceId, UserId};
use crate::base::seal::{MacPurpose, Purpose};
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::oauth::error::OAuthError;
use crate::oauth::id_token::ACR_MFA;
use crate::store::passkeys::{self as kept, PasskeyRow};
use crate::store::spent::{self, Once, SpentKind};
use crate::store::{Conn, sessions, totp};

/// How long a challenge may wait for its answer, in seconds.
const LIFE: i64 = 300;
/// The most passkeys of one person.
pub const MOST: usize = 20;
/// The longest name, in characters.
pub const LONGEST_NAME: usize = 100;
/// What a passkey is, in the words of RFC 8176: proof of possession of a key, a user who was there, and two factors at that.
pub(super) const AMR: [&str; 3] = ["pop", "user", "mfa"];

/// What a page asks the browser for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The options, as JSON.
    pub options: String,
    /// The challenge, sealed; it comes back with the answer.
    pub challenge: String,
}

/// What came back.
#[derive(Clone, Copy, Debug)]
pub struct Posted<'a> {
    /// The challenge, sealed.
    pub challenge: &'a str,
    /// The browser's answer, as JSON.
    pub answer: &'a str,
}

/// What a challenge is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum For {
    /// A new passkey of this person.
    New(UserId),
    /// Signing in, whoever it is.
    Anybody,
    /// A proof that it is this person.
    Person(UserId),
}

/// A challenge on its way. Sealed: it travels through the browser.
#[derive(Debug, Serialize, Deserialize)]
struct Asked {
    id: OnceId,
    purpose: For,
    browser: String,
    at: Timestamp,
    state: State,
}

/// The site that passkeys are for; none where our host is an address of numbers.
pub(super) fn site(app: &App) -> Option<Site> {
    let presence = app.presence();
    Site::of(app.settings.public_url.origin(), presence.title.as_deref().unwrap_or("CloudNexus Identity"))
}

/// Whether there can be passkeys here.
pub fn are_possible(app: &App) -> bool {
    site(app).is_some()
}

fn mark(app: &App, browser: &Browser) -> String {
    let mark = browser.mark.as_deref().unwrap_or_default();
    base64url(&app.vault.mac(MacPurpose::Browser, &[b"passkey", mark.as_bytes()]))
}

fn sealed(
    app: &App,
    purpose: For,
    challenge: Result<Challenge, Wrong>,
    browser: &Browser,
) -> Result<Ask, OAuthError> {
    let Challenge { options, state } =
        challenge.map_err(|Wrong(error)| OAuthError::Server(Fault::new("making a challenge", error)))?;
    let id = OnceId::new(&app.clock, &app.entropy);
    let asked = Asked { id, purpose, browser: mark(app, browser), at: app.now(), state };
    Ok(Ask { options, challenge: app.vault.seal(Purpose::PasskeyChallenge, &asked, &app.entropy) })
}

/// Opens a challenge and spends it, whatever comes of its answer; `None` where it was for something else, of another browser, too old or
/// spent.
pub(super) async fn take(
    app: &App,
    purpose: For,
    sealed: &str,
    browser: &Browser,
    now: Timestamp,
) -> Result<Option<State>, OAuthError> {
    let asked: Option<Asked> = app.vault.open(Purpose::PasskeyChallenge, sealed);
    let is_good = |asked: &Asked| {
        asked.purpose == purpose && asked.browser == mark(app, browser) && now.is_within(LIFE, asked.at)
    };
    let Some(asked) = asked.filter(is_good) else { return Ok(None) };
    let (id, forget_at) = (asked.id, asked.at.plus(LIFE + 60));
    let first = app
        .store
        .write(move |conn| spent::once(conn, SpentKind::PasskeyChallenge, id.as_bytes(), None, forget_at))
        .await?;
    Ok((first == Once::First).then_some(asked.state))
}

/// Those of a person, the oldest first.
pub async fn list(app: &App, user: UserId) -> Result<Vec<PasskeyRow>, OAuthError> {
    Ok(app.store.read(move |conn| kept::of_user(conn, user)).await?)
}

/// Asks for a new one; `own` are those that the person has. None where there cannot be any.
pub fn ask_new(
    app: &App,
    user: &User,
    own: &[PasskeyRow],
    browser: &Browser,
) -> Result<Option<Ask>, OAuthError> {
    let Some(site) = site(app) else { return Ok(None) };
    let names = (user.username.as_str(), user.shown_name());
    let challenge = site.ask_new(user.id, names, own.iter().map(|row| row.id.clone()).collect());
    sealed(app, For::New(user.id), challenge, browser).map(Some)
}

/// Asks for one of anybody who signs in. None where there cannot be any.
pub fn ask_anybody(app: &App, browser: &Browser) -> Result<Option<Ask>, OAuthError> {
    site(app).map(|site| sealed(app, For::Anybody, site.ask(&[]), browser)).transpose()
}

/// Asks a person for one of theirs. None where they have none.
pub async fn ask_person(app: &App, user: UserId, browser: &Browser) -> Result<Option<Ask>, OAuthError> {
    let Some(site) = site(app) else { return Ok(None) };
    let own: Vec<_> = list(app, user).await?.into_iter().map(|row| row.id).collect();
    if own.is_empty() {
        return Ok(None);
    }
    sealed(app, For::Person(user), site.ask(&own), browser).map(Some)
}

/// A name as it is kept.
fn named(typed: &str) -> Result<String, Refused> {
    let name = typed.trim();
    let count = name.chars().count();
    if count == 0 || count > LONGEST_NAME || name.chars().any(char::is_control) {
        return Err(Refused::Field(
            "name",
            format!("1 to {LONGEST_NAME} characters are needed, on one line"),
        ));
    }
    Ok(name.to_owned())
}

fn no_passkey(problem: &str) -> Refused {
    Refused::Field("passkey", problem.to_owned())
}

fn record(app: &App, by: &By, name: Name, id: &[u8], more: Value, now: Timestamp) -> Record {
    Record::new(app, &Act::Did(name, base64url(id).into(), more), by, now)
}

/// What a session tells once a passkey is among its means, and how sure it is then.
pub(super) fn with_passkey(before: &[String]) -> (Vec<String>, &'static str) {
    let more = AMR.iter().filter(|word| !before.iter().any(|known| known == *word));
    (before.iter().cloned().chain(more.map(|word| (*word).to_owned())).collect(), ACR_MFA)
}

/// Adds the passkey that a browser made. Gives the session's new cookie, for it is surer than before (S-L9). Every other session ends
/// (S-L11).
pub async fn add(
    app: &App,
    by: &By,
    live: &Live,
    (typed, posted): (&str, Posted<'_>),
    browser: &Browser,
    caller: &Caller,
) -> Result<Secret<String>, Refused> {
    let (user, now) = (&live.user, app.now());
    let name = named(typed)?;
    let site = site(app).ok_or_else(|| no_passkey("there are no passkeys at an address of numbers"))?;
    let state = take(app, For::New(user.id), posted.challenge, browser, now)
        .await?
        .ok_or_else(|| no_passkey("that took too long, or it was sent before; try again"))?;
    let credential = site.new_passkey(&state, posted.answer).map_err(|Wrong(reason)| {
        tracing::debug!(reason, "a new passkey was not taken");
        no_passkey("what the browser sent is no passkey for this site; try again")
    })?;
    let details = json!({ "name": name });
    let row = PasskeyRow {
        id: credential.id,
        user: user.id,
        name,
        credential: credential.text,
        created_at: now,
        last_used_at: None,
    };
    let cookie = Secret::generate("", &app.entropy);
    let fingerprint = app.vault.fingerprint(MacPurpose::Session, cookie.reveal());
    let told = mail::tell_security_change(app, user, SecurityChange::PasskeyAdded, caller, now);
    let record = record(app, by, Name::PasskeyAdded, &row.id, details, now);
    let (id, session) = (user.id, live.session.id);
    let (amr, acr) = with_passkey(&live.session.amr);
    let write = move |conn: &mut Conn| {
        if kept::of_user(conn, id)?.len() >= MOST {
            return Ok(Err(Some("you have as many as there can be; remove one first")));
        }
        if kept::find(conn, &row.id)?.is_some() {
            return Ok(Err(Some("this passkey is in use already")));
        }
        if !sessions::renew(conn, session, &fingerprint, (&amr, acr), now)? {
            return Ok(Err(None));
        }
        kept::insert(conn, &row)?;
        session::end_others(conn, id, session, now)?;
        told.put(conn)?;
        Ok(Ok(()))
    };
    let done = record.if_allowed(app, write).await?;
    app.mail.wake();
    match done {
        Ok(()) => Ok(cookie),
        Err(Some(problem)) => Err(no_passkey(problem)),
        Err(None) => Err(Refused::Error(OAuthError::Busy)),
    }
}

/// Gives one another name. One that is gone meanwhile is no error: there is nothing to be told that the list does not show.
pub async fn rename(app: &App, by: &By, user: &User, id: &[u8], typed: &str) -> Result<(), Refused> {
    let (name, now) = (named(typed)?, app.now());
    let (of, key) = (user.id, id.to_vec());
    record(app, by, Name::PasskeyRenamed, id, json!({ "name": name }), now)
        .if_done(app, move |conn| kept::rename(conn, of, &key, &name))
        .await?;
    Ok(())
}

/// Takes one away; not the last factor where the organization asks for one. Every other session ends (S-L11).
pub async fn remove(app: &App, by: &By, live: &Live, id: &[u8], caller: &Caller) -> Result<(), Refused> {
    let (user, now) = (&live.user, app.now());
    let is_needed = app.presence().second_factor == FactorPolicy::Required;
    let told = mail::tell_security_change(app, user, SecurityChange::PasskeyRemoved, caller, now);
    let (of, session, key) = (user.id, live.session.id, id.to_vec());
    let write = move |conn: &mut Conn| {
        let own = kept::of_user(conn, of)?;
        let others = own.iter().any(|row| row.id != key) || totp::find(conn, of)?.is_some();
        if is_needed && !others {
            return Ok(Err(Some("your organization asks for a second factor; add another one first")));
        }
        if !kept::remove(conn, of, &key)? {
            return Ok(Err(None));
        }
        session::end_others(conn, of, session, now)?;
        told.put(conn)?;
        Ok(Ok(()))
    };
    let done = record(app, by, Name::PasskeyRemoved, id, Value::Null, now).if_allowed(app, write).await?;
    app.mail.wake();
    match done {
        Err(Some(problem)) => Err(no_passkey(problem)),
        // One that is gone is gone.
        Ok(()) | Err(None) => Ok(()),
    }
}
