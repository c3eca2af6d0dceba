//! Form tokens against cross-site request forgery, and the only way to read a form that a person posted to a page of ours.
//!
//! Two walls (S-L7): the browser says where the form came from (`Sec-Fetch-Site`, else `Origin`), and a hidden token must
//! be the keyed hash of this browser's cookies.

use actix_web::HttpRequest;
use actix_web::web::Payload;

use super::extract::{self, BodyError};
use super::{cookies, multipart};
use crate::app::App;
use crate::base::encoding::base64url;
use crate::base::seal::MacPurpose;
use crate::base::secret::Fingerprint;
use crate::flow::caller::Browser;
use crate::oauth::error::OAuthError;
use crate::oauth::params::Params;

/// Why a form was not taken.
pub(super) enum FormError {
    /// It did not come from a page of ours in this browser.
    Forged,
    /// It could not be read.
    Body(BodyError),
}

/// The token of a form: for pages before sign-in bound to the browser's mark, for pages of a session to that session too.
pub(super) fn token(app: &App, browser: &Browser, of_session: bool) -> String {
    let mark = browser.mark.as_deref().unwrap_or_default();
    let session = browser.session.as_deref().filter(|_| of_session).unwrap_or_default();
    base64url(&app.vault.mac(MacPurpose::Csrf, &[mark.as_bytes(), session.as_bytes()]))
}

/// Reads a form that a person posted.
pub(super) async fn form(
    app: &App,
    req: &HttpRequest,
    payload: Payload,
    browser: &Browser,
    of_session: bool,
) -> Result<Params, FormError> {
    if !is_same_site(app, req) {
        return Err(FormError::Forged);
    }
    let form = extract::form(app, req, payload).await.map_err(FormError::Body)?;
    if is_ours(app, form.get("csrf_token").unwrap_or_default(), browser, of_session) {
        Ok(form)
    } else {
        Err(FormError::Forged)
    }
}

/// Reads a form with a file in it that somebody posted to a page of their session: what the input `name` holds, at most `limit` bytes in all.
pub(super) async fn file(
    app: &App,
    req: &HttpRequest,
    payload: Payload,
    browser: &Browser,
    (name, limit): (&str, usize),
) -> Result<Vec<u8>, FormError> {
    if !is_same_site(app, req) {
        return Err(FormError::Forged);
    }
    let (body, boundary) = extract::upload(app, req, payload, limit).await.map_err(FormError::Body)?;
    let parts = multipart::parts(&body, &boundary).ok_or_else(|| {
        FormError::Body(BodyError::Invalid(OAuthError::InvalidRequest("the form cannot be read".into())))
    })?;
    let part = |name: &str| parts.iter().find(|part| part.name == name).map(|part| part.bytes);
    let presented = part("csrf_token").and_then(|bytes| std::str::from_utf8(bytes).ok());
    if is_ours(app, presented.unwrap_or_default(), browser, true) {
        Ok(part(name).unwrap_or_default().to_vec())
    } else {
        Err(FormError::Forged)
    }
}

/// Whether a form's token is this browser's.
fn is_ours(app: &App, presented: &str, browser: &Browser, of_session: bool) -> bool {
    let wanted = token(app, browser, of_session);
    // Compared as keyed hashes, so that the comparison tells nothing about the token.
    let hashed = |text: &str| -> Fingerprint { app.vault.fingerprint(MacPurpose::Csrf, text) };
    browser.mark.is_some() && hashed(presented) == hashed(&wanted)
}

/// Whether a form of another site came without a session. That says nothing: such a form never carries our `SameSite=Lax`
/// cookies, while a GET that the browser makes next does.
pub(super) fn came_without_cookies(app: &App, req: &HttpRequest) -> bool {
    !is_same_site(app, req) && cookies::read(app, req).session.is_none()
}

/// `Sec-Fetch-Site` where the browser sends it; it also covers pages with `Referrer-Policy: no-referrer`, whose forms
/// carry `Origin: null`. Else `Origin`, where there is one.
fn is_same_site(app: &App, req: &HttpRequest) -> bool {
    let header = |name: &str| req.headers().get(name).map(|v| v.to_str().unwrap_or("?"));
    match (header("sec-fetch-site"), header("origin")) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => origin == app.settings.public_url.origin(),
        (None, None) => true,
    }
}
