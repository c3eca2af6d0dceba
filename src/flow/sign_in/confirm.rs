//! Somebody who is signed in proves again who they are, before something dangerous (S-L12): the same session goes on under a new cookie
//! (S-L9), no less sure than it was.

use crate::app::{App, Match};
use crate::base::secret::Secret;
use crate::flow::audit::{self, Act};
use crate::flow::caller::{Browser, Caller};
use crate::flow::identities;
use crate::flow::passkeys::{self, Ask, Posted};
use crate::flow::second_factor;
use crate::flow::session::Live;
use crate::flow::sign_in::begin::{Begin, SignedIn, begin};
use crate::flow::sign_in::password::{Refused, throttle_keys};
use crate::flow::sign_in::{passkey, second_step, throttle};
use crate::oauth::error::OAuthError;
use crate::store::factors;

/// How somebody can prove it.
#[derive(Clone, Debug)]
pub struct Proofs {
    /// By their password; not where they have a passkey and no code, for then a password is half a proof.
    pub password: bool,
    /// A code is asked for beside the password.
    pub code: bool,
    /// By a passkey.
    pub passkey: Option<Ask>,
    /// By another sign-in through another provider, at which they have an account of theirs.
    pub elsewhere: bool,
}

/// How this person can prove it.
pub async fn proofs(app: &App, live: &Live, browser: &Browser) -> Result<Proofs, OAuthError> {
    let second_step::Ways { code, passkey } = second_step::ways_of(app, live.user.id, browser).await?;
    let (own, _) = identities::list(app, live.user.id).await?;
    let elsewhere = own.iter().any(|own| own.works);
    // Who came through another provider may have no password at all.
    let has_password = live.user.password.is_some() || !elsewhere;
    Ok(Proofs { password: has_password && (code || passkey.is_none()), code, passkey, elsewhere })
}

/// By their password, and a code where they have an app for it. Counted and throttled as at the sign-in (S-L6).
pub async fn by_password(
    app: &App,
    live: &Live,
    (password, code): (Secret<String>, &str),
    browser: &Browser,
    caller: &Caller,
) -> Result<SignedIn, Refused> {
    let now = app.now();
    let user = &live.user;
    let keys = throttle_keys(app, &user.username, None, Some(user), browser, caller);
    if let Some(seconds) = throttle::begin(app, keys, now).await? {
        audit::record(app, &Act::SignInRefused("throttled"), caller);
        return Err(Refused::Wait(seconds));
    }
    let Match::Right { .. } = app.hashing.verify(password, user.password.clone()).await? else {
        throttle::failed(app, keys, now).await?;
        audit::record(app, &Act::SignInRefused("wrong name or password"), caller);
        return Err(Refused::Wrong);
    };
    // Who has a second factor shows both, here as at the sign-in.
    let id = user.id;
    let has_second = app.store.read(move |conn| factors::has_any(conn, id)).await?;
    if has_second && second_factor::check(app, id, code, now).await?.is_none() {
        throttle::failed(app, keys, now).await?;
        audit::record(app, &Act::SignInRefused("wrong second factor"), caller);
        return Err(Refused::Wrong);
    }
    let again = Begin {
        user,
        amr: live.session.amr.clone(),
        acr: live.session.acr.clone(),
        keys: Some(keys),
        rehashed: None,
        pending: None,
    };
    Ok(begin(app, again, browser, caller, now).await?)
}

/// By one of their passkeys, which is two factors. Counted and throttled as at the sign-in.
pub async fn by_passkey(
    app: &App,
    live: &Live,
    posted: Posted<'_>,
    browser: &Browser,
    caller: &Caller,
) -> Result<SignedIn, Refused> {
    let now = app.now();
    let user = &live.user;
    let keys = throttle_keys(app, &user.username, None, Some(user), browser, caller);
    if let Some(seconds) = throttle::begin(app, keys, now).await? {
        audit::record(app, &Act::SignInRefused("throttled"), caller);
        return Err(Refused::Wait(seconds));
    }
    if passkey::prove(app, Some(user.id), posted, browser, now).await?.is_none() {
        throttle::failed(app, keys, now).await?;
        audit::record(app, &Act::SignInRefused("wrong passkey"), caller);
        return Err(Refused::Wrong);
    }
    let (amr, acr) = passkeys::with_passkey(&live.session.amr);
    let again = Begin { user, amr, acr: acr.to_owned(), keys: Some(keys), rehashed: None, pending: None };
    Ok(begin(app, again, browser, caller, now).await?)
}
