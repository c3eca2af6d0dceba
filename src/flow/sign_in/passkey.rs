//! Sign-in with a passkey alone, and the proof by a passkey that it is a certain person.
//!
//! An unknown passkey, one of somebody else, one that was removed, a disabled person and a wrong answer are told apart to nobody (S-L4).

use crate::account::passkey::{Answer, Wrong};
use crate::account::user::User;
use crate::app::App;
use crate::base::id::UserId;
use crate::base::time::Timestamp;
use crate::flow::audit::{self, Act};
use crate::flow::authorize;
use crate::flow::caller::{Browser, Caller};
use crate::flow::passkeys::{self, For, Posted};
use crate::flow::sign_in::begin::{Begin, SignedIn, begin};
use crate::flow::sign_in::password::Refused;
use crate::flow::sign_in::throttle;
use crate::oauth::error::OAuthError;
use crate::store::{passkeys as kept, users};

/// Signs in whoever's passkey answered. What waits, if anything, is `request`, sealed. Throttled by place: nobody says who they are before.
pub async fn sign_in(
    app: &App,
    (posted, request): (Posted<'_>, Option<&str>),
    browser: &Browser,
    caller: &Caller,
) -> Result<SignedIn, Refused> {
    let now = app.now();
    let pending = match request {
        None => None,
        Some(sealed) => Some(authorize::open(app, sealed, browser, now).map_err(Refused::Request)?.pending),
    };
    if let Some(seconds) = throttle::place_waits(app, caller, now).await? {
        metrics::counter!("cnx_sign_ins_total", "outcome" => "throttled").increment(1);
        audit::record(app, &Act::SignInRefused("throttled"), caller);
        return Err(Refused::Wait(seconds));
    }
    let Some(user) = prove(app, None, posted, browser, now).await? else {
        throttle::place_failed(app, caller, now).await?;
        metrics::counter!("cnx_sign_ins_total", "outcome" => "refused").increment(1);
        audit::record(app, &Act::SignInRefused("wrong passkey"), caller);
        return Err(Refused::Wrong);
    };
    let (amr, acr) = passkeys::with_passkey(&[]);
    let means = Begin { user: &user, amr, acr: acr.to_owned(), keys: None, rehashed: None, pending };
    Ok(begin(app, means, browser, caller, now).await?)
}

/// Who answered a challenge with a passkey of theirs: `wanted`, or whoever it is. The challenge is spent, and the passkey's counter went on.
/// The caller throttles.
pub(super) async fn prove(
    app: &App,
    wanted: Option<UserId>,
    posted: Posted<'_>,
    browser: &Browser,
    now: Timestamp,
) -> Result<Option<User>, OAuthError> {
    let Some(site) = passkeys::site(app) else { return Ok(None) };
    let purpose = wanted.map_or(For::Anybody, For::Person);
    let Some(state) = passkeys::take(app, purpose, posted.challenge, browser, now).await? else {
        return Ok(None);
    };
    let tell = |Wrong(reason): &Wrong| tracing::debug!(reason, "a passkey was not taken");
    let Ok(answer) = Answer::read(posted.answer).inspect_err(tell) else { return Ok(None) };
    let id = answer.credential().to_vec();
    let found = app
        .store
        .read(move |conn| {
            let Some(passkey) = kept::find(conn, &id)? else { return Ok(None) };
            let user = users::find(conn, passkey.user)?.filter(User::is_active);
            Ok(user.map(|user| (passkey, user)))
        })
        .await?;
    // Where nobody was named, the answer must name its person (Web Authentication Level 2 §7.2 step 6).
    let is_theirs = |user: &User| match wanted {
        Some(id) => user.id == id && answer.is_of(id).unwrap_or(true),
        None => answer.is_of(user.id).unwrap_or(false),
    };
    let Some((passkey, user)) = found.filter(|(_, user)| is_theirs(user)) else { return Ok(None) };
    let Ok(after) = site.check(state, &answer, &passkey.credential).inspect_err(tell) else {
        return Ok(None);
    };
    let is_first = app
        .store
        .write(move |conn| kept::used(conn, &passkey.id, (&passkey.credential, &after), now))
        .await?;
    Ok(is_first.then_some(user))
}
