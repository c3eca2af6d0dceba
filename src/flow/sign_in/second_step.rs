//! The second step of a sign-in: the password was right, or another provider vouched, and there is no session until a code or a passkey is. What is known until then travels sealed
//! through the browser, for ten minutes and once.

use serde::{Deserialize, Serialize};

use crate::account::user::User;
use crate::app::App;
use crate::base::encoding::base64url;
use crate::base::id::{OnceId, UserId};
use crate::base::seal::{MacPurpose, Purpose};
use crate::base::time::Timestamp;
use crate::flow::audit::{self, Act};
use crate::flow::authorize::{self, Pending};
use crate::flow::caller::{Browser, Caller};
use crate::flow::passkeys::{self, Ask, Posted};
use crate::flow::second_factor::{self, Means};
use crate::flow::sign_in::begin::{Begin, SignedIn, begin};
use crate::flow::sign_in::password::{Refused, throttle_keys};
use crate::flow::sign_in::{passkey, throttle};
use crate::oauth::authorize::Authorize;
use crate::oauth::error::OAuthError;
use crate::oauth::id_token::ACR_MFA;
use crate::store::spent::{self, Once, SpentKind};
use crate::store::{totp, users};

/// How long the second step may take, in seconds.
const LIFE: i64 = 600;

/// How somebody proved who they are at the first step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum FirstStep {
    /// By their password.
    #[default]
    Password,
    /// By the word of another provider.
    Provider,
}

/// A sign-in that waits for its second step. Sealed: it travels through the browser.
#[derive(Debug, Serialize, Deserialize)]
struct Half {
    id: OnceId,
    user: UserId,
    #[serde(default)]
    first: FirstStep,
    /// Of the password that was right, or stood then: another one since then, and the first step is undone.
    password: String,
    browser: String,
    at: Timestamp,
    pending: Option<Pending>,
}

/// What is shown at the second step.
#[derive(Clone, Copy, Debug)]
pub enum Shown<'a> {
    /// A code of an authenticator app, or a recovery code.
    Code(&'a str),
    /// A passkey.
    Passkey(Posted<'a>),
}

/// What somebody can show at the second step.
#[derive(Clone, Debug, Default)]
pub struct Ways {
    /// A code.
    pub code: bool,
    /// A passkey.
    pub passkey: Option<Ask>,
}

/// The ways of a person.
pub(super) async fn ways_of(app: &App, user: UserId, browser: &Browser) -> Result<Ways, OAuthError> {
    let code = app.store.read(move |conn| Ok(totp::find(conn, user)?.is_some())).await?;
    Ok(Ways { code, passkey: passkeys::ask_person(app, user, browser).await? })
}

/// The ways of the person behind a first step; none for one that leads nowhere any more.
pub async fn ways(app: &App, sealed: &str, browser: &Browser) -> Result<Ways, OAuthError> {
    let half: Option<Half> = app.vault.open(Purpose::HalfSignIn, sealed);
    match half.filter(|half| half.browser == mark(app, browser)) {
        Some(half) => ways_of(app, half.user, browser).await,
        None => Ok(Ways::default()),
    }
}

/// Seals the first step.
pub(super) fn half(
    app: &App,
    user: &User,
    first: FirstStep,
    browser: &Browser,
    pending: Option<Pending>,
    now: Timestamp,
) -> String {
    let id = OnceId::new(&app.clock, &app.entropy);
    let (password, browser) = (mark_of_password(app, user), mark(app, browser));
    let half = Half { id, user: user.id, first, password, browser, at: now, pending };
    app.vault.seal(Purpose::HalfSignIn, &half, &app.entropy)
}

/// The request that waits behind a first step, checked anew: the page of the second step leads, by way of redirects, to its app, and is in
/// the language that it asked for.
pub fn waiting(app: &App, sealed: &str, browser: &Browser) -> Option<Authorize> {
    let half: Half = app.vault.open(Purpose::HalfSignIn, sealed)?;
    let pending = authorize::seal(app, &half.pending?);
    authorize::open(app, &pending, browser, app.now()).ok().map(|resumed| resumed.request)
}

/// How a second step ended.
#[derive(Debug)]
pub enum Ended {
    /// Somebody is signed in.
    SignedIn(SignedIn),
    /// The first step is of no use any more: it is too old, was used, or is of another browser; or the password was changed. Begin anew, with
    /// the request that waits, sealed, where this browser brought one.
    Anew(Option<String>),
}

/// Ends the sign-in. `Refused::Wrong` asks again.
pub async fn finish(
    app: &App,
    (sealed, shown): (&str, Shown<'_>),
    browser: &Browser,
    caller: &Caller,
) -> Result<Ended, Refused> {
    let now = app.now();
    let half: Option<Half> = app.vault.open(Purpose::HalfSignIn, sealed);
    let Some(half) = half.filter(|half| half.browser == mark(app, browser)) else {
        return Ok(Ended::Anew(None));
    };
    let anew = || Ended::Anew(half.pending.as_ref().map(|pending| authorize::seal(app, pending)));
    if !now.is_within(LIFE, half.at) {
        return Ok(anew());
    }
    let (id, key) = (half.user, half.id);
    let (user, is_spent) = app
        .store
        .read(move |conn| {
            let is_spent = spent::is_spent(conn, SpentKind::HalfSignIn, key.as_bytes())?;
            Ok((users::find(conn, id)?.filter(User::is_active), is_spent))
        })
        .await?;
    let Some(user) = user.filter(|user| !is_spent && half.password == mark_of_password(app, user)) else {
        return Ok(anew());
    };
    let keys = throttle_keys(app, &user.username, None, Some(&user), browser, caller);
    if let Some(seconds) = throttle::begin(app, keys, now).await? {
        audit::record(app, &Act::SignInRefused("throttled"), caller);
        return Err(Refused::Wait(seconds));
    }
    let means = match shown {
        Shown::Code(typed) => second_factor::check(app, user.id, typed, now).await?,
        Shown::Passkey(posted) => {
            passkey::prove(app, Some(user.id), posted, browser, now).await?.map(|_| Means::Passkey)
        }
    };
    let Some(means) = means else {
        throttle::failed(app, keys, now).await?;
        metrics::counter!("cnx_sign_ins_total", "outcome" => "refused").increment(1);
        audit::record(app, &Act::SignInRefused("wrong second factor"), caller);
        return Err(Refused::Wrong);
    };
    let forget_at = half.at.plus(LIFE + 60);
    let first = app
        .store
        .write(move |conn| spent::once(conn, SpentKind::HalfSignIn, key.as_bytes(), None, forget_at))
        .await?;
    if first != Once::First {
        return Ok(anew());
    }
    let means = Begin {
        user: &user,
        amr: means.amr(half.first == FirstStep::Password),
        acr: ACR_MFA.to_owned(),
        keys: Some(keys),
        rehashed: None,
        pending: half.pending,
    };
    Ok(Ended::SignedIn(begin(app, means, browser, caller, now).await?))
}

fn mark(app: &App, browser: &Browser) -> String {
    let mark = browser.mark.as_deref().unwrap_or_default();
    base64url(&app.vault.mac(MacPurpose::Browser, &[b"second step", mark.as_bytes()]))
}

fn mark_of_password(app: &App, user: &User) -> String {
    let hash = user.password.as_ref().map_or("", |hash| hash.as_str());
    base64url(&app.vault.mac(MacPurpose::Browser, &[b"first step", hash.as_bytes()]))
}
