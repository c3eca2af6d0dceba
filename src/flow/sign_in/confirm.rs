//! Somebody who is signed in proves again who they are, before something dangerous (S-L12): the same session goes on under a new cookie
//! (S-L9), no less sure than it was.

use crate::app::{App, Match};
use crate::base::secret::Secret;
use crate::flow::audit::{self, Act};
use crate::flow::caller::{Browser, Caller};
use crate::flow::second_factor;
use crate::flow::session::Live;
use crate::flow::sign_in::begin::{Begin, SignedIn, begin};
use crate::flow::sign_in::password::{Refused, throttle_keys};
use crate::flow::sign_in::throttle;
use crate::oauth::error::OAuthError;
use crate::store::factors;

/// Whether a code is asked for beside the password.
pub async fn needs_code(app: &App, live: &Live) -> Result<bool, OAuthError> {
    let id = live.user.id;
    Ok(app.store.read(move |conn| factors::has_any(conn, id)).await?)
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
    if needs_code(app, live).await? && second_factor::check(app, user.id, code, now).await?.is_none() {
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
