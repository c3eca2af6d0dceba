//! Sign-in with user name (or e-mail address) and password.
//!
//! The order is the point: count the attempt, then hash, then take the count back when the password was right. So a
//! thousand attempts in parallel are a thousand counted attempts (S-L6), and an unknown person costs what a known one
//! costs (S-L4).

use crate::account::user::User;
use crate::account::username::{self, Login};
use crate::app::{App, Match};
use crate::base::encoding::base64url;
use crate::base::id::{SessionId, UserId};
use crate::base::seal::MacPurpose;
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::flow::audit::{self, Act, By, Record};
use crate::flow::authorize;
use crate::flow::caller::{Browser, Caller};
use crate::flow::session::is_live;
use crate::flow::sign_in::throttle::{self, Keys};
use crate::oauth::error::{OAuthError, Refusal};
use crate::oauth::id_token::ACR_PASSWORD;
use crate::store::sessions::{self, SessionRow};
use crate::store::{families, users};

/// What the form holds.
#[derive(Debug)]
pub struct Form {
    /// A user name or an e-mail address.
    pub username: String,
    /// The password.
    pub password: Secret<String>,
    /// The sealed request that waits, if any.
    pub request: Option<String>,
}

/// A successful sign-in.
#[derive(Debug)]
pub struct SignedIn {
    /// The new session cookie.
    pub cookie: Secret<String>,
    /// The cookie that marks this device as one of this person.
    pub device: String,
    /// The request that waits, sealed again with the sign-in noted.
    pub request: Option<String>,
}

/// Why nobody was signed in.
#[derive(Debug)]
pub enum Refused {
    /// Name or password are wrong; which of them is not told.
    Wrong,
    /// Too many attempts; so many seconds to wait.
    Wait(i64),
    /// The request that waits is no good.
    Request(Refusal),
    /// We cannot decide now, or something went wrong.
    Error(OAuthError),
}

impl From<OAuthError> for Refused {
    fn from(error: OAuthError) -> Self {
        Self::Error(error)
    }
}

impl From<crate::store::StoreError> for Refused {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Error(error.into())
    }
}

/// Signs a person in.
pub async fn sign_in(app: &App, form: Form, browser: &Browser, caller: &Caller) -> Result<SignedIn, Refused> {
    let now = app.now();
    let pending = match &form.request {
        None => None,
        Some(sealed) => Some(authorize::open(app, sealed, browser, now).map_err(Refused::Request)?.pending),
    };
    let login = username::login(&form.username);
    let user = find(app, login.as_ref()).await?;
    let keys = throttle_keys(app, &form.username, login.as_ref(), user.as_ref(), browser, caller);

    if let Some(seconds) = throttle::begin(app, keys, now).await? {
        metrics::counter!("cnx_sign_ins_total", "outcome" => "throttled").increment(1);
        audit::record(app, &Act::SignInRefused("throttled"), caller);
        return Err(Refused::Wait(seconds));
    }

    let stored = user.as_ref().filter(|u| u.is_active()).and_then(|u| u.password.clone());
    let found = app.hashing.verify(form.password.clone(), stored).await?;
    let (Some(user), Match::Right { rehash }) = (user, found) else {
        throttle::failed(app, keys, now).await?;
        metrics::counter!("cnx_sign_ins_total", "outcome" => "refused").increment(1);
        audit::record(app, &Act::SignInRefused("wrong name or password"), caller);
        return Err(Refused::Wrong);
    };
    let new_hash = if rehash { app.hashing.hash(form.password, &app.entropy).await.ok() } else { None };
    let cookie = Secret::generate("", &app.entropy);
    let session = write_session(app, &user, &cookie, browser, caller, keys, new_hash, now).await?;
    metrics::counter!("cnx_sign_ins_total", "outcome" => "signed_in").increment(1);
    Ok(SignedIn {
        cookie,
        device: device_cookie(app, user.id),
        request: pending.map(|p| authorize::seal(app, &p.with_sign_in(session))),
    })
}

async fn find(app: &App, login: Option<&Login>) -> Result<Option<User>, Refused> {
    let Some(login) = login.cloned() else { return Ok(None) };
    Ok(app.store.read(move |conn| users::find_by_login(conn, &login)).await?)
}

/// One write: the attempt is taken back, the old session of this browser ends or is renewed, the new one begins.
#[expect(
    clippy::too_many_arguments,
    reason = "the one caller stands above, and each is one thing that the row holds"
)]
async fn write_session(
    app: &App,
    user: &User,
    cookie: &Secret<String>,
    browser: &Browser,
    caller: &Caller,
    keys: Keys,
    new_hash: Option<crate::account::password::PasswordHash>,
    now: Timestamp,
) -> Result<SessionId, Refused> {
    let sessions_policy = app.settings.sessions.clone();
    let old = browser.session.as_deref().map(|c| app.vault.fingerprint(MacPurpose::Session, c));
    let row = SessionRow {
        id: SessionId::new(&app.clock, &app.entropy),
        fingerprint: app.vault.fingerprint(MacPurpose::Session, cookie.reveal()),
        user: user.id,
        auth_time: now,
        amr: vec!["pwd".to_owned()],
        acr: ACR_PASSWORD.to_owned(),
        created_at: now,
        last_seen_at: now,
        expires_at: now.plus(sessions_policy.absolute_seconds),
        ended_at: None,
        user_agent: caller.user_agent.clone(),
        address: Some(caller.address.to_string()),
    };
    let (user_id, old_hash) = (user.id, user.password.clone());
    let record = Record::new(app, &Act::SignedIn(user.id), &By::anybody(caller), now);
    let write = move |conn: &mut crate::store::Conn| {
        throttle::forgive(conn, &keys)?;
        if let (Some(new), Some(old)) = (&new_hash, &old_hash) {
            users::rehash_password(conn, user_id, old, new)?;
        }
        let before = match &old {
            None => None,
            Some(fingerprint) => sessions::find_by_fingerprint(conn, fingerprint)?,
        };
        match before {
            // Signing in again: the same session, so that apps keep their `sid`, under a new cookie (S-L9).
            Some(before) if before.user == user_id && is_live(&before, sessions_policy.idle_seconds, now) => {
                sessions::renew(conn, before.id, &row.fingerprint, (&row.amr, &row.acr), now)?;
                return Ok(before.id);
            }
            // Another person takes this browser over: the one before is signed out.
            Some(before) => {
                sessions::end(conn, before.id, now)?;
                families::revoke_of_session(conn, before.id, now)?;
            }
            None => {}
        }
        sessions::begin(conn, &row)?;
        Ok(row.id)
    };
    Ok(record.with(app, write).await?)
}

/// What attempts are counted under: the account (or, on a device where its person signed in before, that device, so that
/// an attacker elsewhere cannot lock them out), and the place.
fn throttle_keys(
    app: &App,
    typed: &str,
    login: Option<&Login>,
    user: Option<&User>,
    browser: &Browser,
    caller: &Caller,
) -> Keys {
    let known_device =
        user.is_some_and(|u| browser.device.as_deref() == Some(device_cookie(app, u.id).as_str()));
    let account = match (user, login) {
        // One account, one count, whether its user name or its e-mail address is typed.
        (Some(user), _) => user.id.to_string(),
        (None, Some(Login::Username(name) | Login::Email(name))) => name.clone(),
        (None, None) => typed.chars().take(256).collect(),
    };
    Keys::new(app, &account, known_device, &caller.place())
}

/// The cookie that says "this person signed in here before": their id and a MAC.
fn device_cookie(app: &App, user: UserId) -> String {
    let mac = app.vault.mac(MacPurpose::Browser, &[b"device", user.as_bytes()]);
    base64url(&[user.as_bytes().as_slice(), mac.as_slice()].concat())
}
