//! Sign-in with user name (or e-mail address) and password.
//!
//! The order is the point: count the attempt, then hash, then take the count back when the password was right. So a
//! thousand attempts in parallel are a thousand counted attempts (S-L6), and an unknown person costs what a known one
//! costs (S-L4).

use crate::account::password::PasswordHash;
use crate::account::user::User;
use crate::account::username::{self, Login};
use crate::app::{App, Match};
use crate::base::secret::Secret;
use crate::flow::audit::{self, Act};
use crate::flow::authorize;
use crate::flow::caller::{Browser, Caller};
use crate::flow::sign_in::begin::{Begin, SignedIn, begin, device_cookie};
use crate::flow::sign_in::second_step::{self, FirstStep};
use crate::flow::sign_in::throttle::{self, Keys};
use crate::oauth::error::{OAuthError, Refusal};
use crate::oauth::id_token::ACR_PASSWORD;
use crate::store::{factors, users};

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

/// What a right password came to.
#[derive(Debug)]
pub enum Proved {
    /// A session.
    SignedIn(SignedIn),
    /// The first step; sealed, for the form of the second.
    FirstStep(String),
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
pub async fn sign_in(app: &App, form: Form, browser: &Browser, caller: &Caller) -> Result<Proved, Refused> {
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
    let id = user.id;
    if app.store.read(move |conn| factors::has_any(conn, id)).await? {
        // Here and not at the second step, which never sees the password; and a first step is bound to the hash that it proved.
        let user = match new_hash {
            Some(new) => rehashed(app, user, new).await?,
            None => user,
        };
        // The attempt stays counted until the second step is done: who knows the password may guess codes no faster.
        return Ok(Proved::FirstStep(second_step::half(
            app,
            &user,
            FirstStep::Password,
            browser,
            pending,
            now,
        )));
    }
    let means = Begin {
        user: &user,
        amr: vec!["pwd".to_owned()],
        acr: ACR_PASSWORD.to_owned(),
        keys: Some(keys),
        rehashed: new_hash,
        pending,
    };
    Ok(Proved::SignedIn(begin(app, means, browser, caller, now).await?))
}

/// Keeps a costlier hash of the same password, unless the password was changed meanwhile.
async fn rehashed(app: &App, mut user: User, new: PasswordHash) -> Result<User, Refused> {
    let Some(old) = user.password.clone() else { return Ok(user) };
    let id = user.id;
    let hash = new.clone();
    if app.store.write(move |conn| users::rehash_password(conn, id, &old, &hash)).await? {
        user.password = Some(new);
    }
    Ok(user)
}

async fn find(app: &App, login: Option<&Login>) -> Result<Option<User>, Refused> {
    let Some(login) = login.cloned() else { return Ok(None) };
    Ok(app.store.read(move |conn| users::find_by_login(conn, &login)).await?)
}

/// What attempts are counted under: the account (or, on a device where its person signed in before, that device, so that
/// an attacker elsewhere cannot lock them out), and the place.
pub(super) fn throttle_keys(
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
