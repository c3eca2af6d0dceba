//! Our cookies: their names, their attributes, and reading them (S-L10).
//!
//! On https each has the `__Host-` prefix: Secure, for this host only, for every path. On loopback http, where that prefix
//! is impossible, the plain name.

use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::{HttpRequest, HttpResponse};

use super::pages::Lang;
use crate::app::App;
use crate::base::encoding::base62;
use crate::flow::caller::Browser;

/// The session.
pub(super) const SESSION: &str = "cnx_session";
/// The mark of a browser before anyone signed in.
pub(super) const MARK: &str = "cnx_browser";
/// The person who signed in here before.
pub(super) const DEVICE: &str = "cnx_device";

/// The language of pages that the person chose.
pub(super) const LANG: &str = "cnx_lang";

/// How long a device is remembered, in days: browsers keep no cookie longer than 400.
const DEVICE_DAYS: i64 = 400;

/// Reads our cookies; of two with one name the first counts, as browsers send the most specific first.
pub(super) fn read(app: &App, req: &HttpRequest) -> Browser {
    let value =
        |name| req.cookie(&full_name(app, name)).map(|c| c.value().to_owned()).filter(|v| v.len() <= 256);
    Browser { session: value(SESSION), mark: value(MARK), device: value(DEVICE) }
}

/// The language that the person chose in this browser.
pub(super) fn lang(app: &App, req: &HttpRequest) -> Option<Lang> {
    req.cookie(&full_name(app, LANG)).and_then(|cookie| cookie.value().parse().ok())
}

/// Keeps the language that the person chose.
pub(super) fn with_lang(app: &App, lang: Lang) -> Cookie<'static> {
    cookie(app, LANG, lang.tag().to_owned(), Duration::days(DEVICE_DAYS))
}

/// The browser with a mark, and the mark if it is new, for [`with_mark`].
pub(super) fn marked(app: &App, mut browser: Browser) -> (Browser, Option<String>) {
    let fresh = browser.mark.is_none().then(|| base62(&app.entropy.bytes::<20>()));
    if let Some(mark) = &fresh {
        browser.mark = Some(mark.clone());
    }
    (browser, fresh)
}

/// Adds a new mark to the answer whose form or redirect is bound to it. Without it the form would be refused as forged, so
/// a failure is only written down.
pub(super) fn with_mark(app: &App, mut answer: HttpResponse, fresh: Option<String>) -> HttpResponse {
    if let Some(value) = fresh
        && let Err(error) = answer.add_cookie(&mark(app, value))
    {
        tracing::error!(%error, "a cookie could not be set");
    }
    answer
}

/// The session cookie; it lives as long as the session may at most.
pub(super) fn session(app: &App, value: String) -> Cookie<'static> {
    cookie(app, SESSION, value, Duration::seconds(app.settings.sessions.absolute_seconds))
}

/// The mark, for as long as the browser runs.
fn mark(app: &App, value: String) -> Cookie<'static> {
    let mut cookie = cookie(app, MARK, value, Duration::ZERO);
    cookie.set_max_age(None);
    cookie
}

/// The device cookie.
pub(super) fn device(app: &App, value: String) -> Cookie<'static> {
    cookie(app, DEVICE, value, Duration::days(DEVICE_DAYS))
}

/// Takes the session cookie away.
pub(super) fn no_session(app: &App) -> Cookie<'static> {
    cookie(app, SESSION, String::new(), Duration::ZERO)
}

fn full_name(app: &App, name: &str) -> String {
    if app.settings.public_url.is_https() { format!("__Host-{name}") } else { name.to_owned() }
}

fn cookie(app: &App, name: &str, value: String, max_age: Duration) -> Cookie<'static> {
    Cookie::build(full_name(app, name), value)
        .path("/")
        .http_only(true)
        .secure(app.settings.public_url.is_https())
        .same_site(SameSite::Lax)
        .max_age(max_age)
        .finish()
}
