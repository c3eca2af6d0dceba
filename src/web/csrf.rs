//! Form tokens against cross-site request forgery, and the only way to read a form that a person posted to a page of ours.
//!
//! Two walls (S-L7): the browser says where the form came from (`Sec-Fetch-Site`, else `Origin`), and a hidden token must
//! be the keyed hash of this browser's cookies.

use actix_web::HttpRequest;
use actix_web::web::Payload;

use super::cookies;
use super::extract::{self, BodyError};
use crate::app::App;
use crate::base::encoding::base64url;
use crate::base::seal::MacPurpose;
use crate::base::secret::Fingerprint;
use crate::flow::caller::Browser;
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
    let presented = form.get("csrf_token").unwrap_or_default();
    let wanted = token(app, browser, of_session);
    // Compared as keyed hashes, so that the comparison tells nothing about the token.
    let hashed = |text: &str| -> Fingerprint { app.vault.fingerprint(MacPurpose::Csrf, text) };
    if browser.mark.is_none() || hashed(presented) != hashed(&wanted) {
        return Err(FormError::Forged);
    }
    Ok(form)
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
