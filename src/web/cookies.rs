//! Our cookies: their names, their attributes, and reading them (S-L10).
//!
//! On https each has the `__Host-` prefix: Secure, for this host only, for every path. On loopback http, where that prefix
//! is impossible, the plain name.

use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::header::{self, HeaderValue};
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

/// The longest value of a cookie of ours, in bytes.
const LONGEST: usize = 256;

/// The value of a cookie in the lines of a `Cookie` header (RFC 6265 §4.2.1); of two with one name the first counts, as browsers send the
/// most specific first. As bytes: whoever shares the host may set cookies too, and one odd byte in theirs must not hide ours.
pub fn value<'a>(lines: impl IntoIterator<Item = &'a [u8]>, name: &str) -> Option<String> {
    let pairs = lines.into_iter().flat_map(|line| line.split(|b| *b == b';'));
    let mut values = pairs.filter_map(|pair| {
        let at = pair.iter().position(|b| *b == b'=')?;
        let (named, value) = (pair.get(..at)?, pair.get(at + 1..)?);
        (named.trim_ascii() == name.as_bytes()).then_some(value.trim_ascii())
    });
    let value = values.next().filter(|value| value.len() <= LONGEST)?;
    str::from_utf8(value).ok().map(str::to_owned)
}

fn of_request(app: &App, req: &HttpRequest, name: &str) -> Option<String> {
    let lines = req.headers().get_all(header::COOKIE).map(HeaderValue::as_bytes);
    value(lines, &full_name(app, name))
}

/// Reads our cookies.
pub(super) fn read(app: &App, req: &HttpRequest) -> Browser {
    let value = |name| of_request(app, req, name);
    Browser { session: value(SESSION), mark: value(MARK), device: value(DEVICE) }
}

/// The language that the person chose in this browser.
pub(super) fn lang(app: &App, req: &HttpRequest) -> Option<Lang> {
    of_request(app, req, LANG)?.parse().ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_the_cookies_of_others_hides_ours() {
        let read = |lines: &[&[u8]]| value(lines.iter().copied(), SESSION);
        for line in [
            &b"cnx_session=abc"[..],
            b"theirs=\xe9; cnx_session=abc",
            b"nameless; cnx_session=abc",
            b"=; ;;x=%ff; cnx_session=abc",
            b"Cnx_session=x; xcnx_session=x;cnx_session = abc ; cnx_session=second",
        ] {
            assert_eq!(read(&[line]).as_deref(), Some("abc"), "{}", line.escape_ascii());
        }
        assert_eq!(
            read(&[b"a=\xff", b"cnx_session=abc"]).as_deref(),
            Some("abc"),
            "HTTP/2 sends one in a line"
        );
        assert_eq!(read(&[b"cnx_session=\xe9; cnx_session=abc"]), None, "the first counts");
        let (longest, longer) = ("a".repeat(LONGEST), "a".repeat(LONGEST + 1));
        assert_eq!(read(&[format!("cnx_session={longest}").as_bytes()]), Some(longest));
        assert_eq!(read(&[format!("cnx_session={longer}").as_bytes()]), None);
    }
}
