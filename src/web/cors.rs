//! Cross-origin reading by web pages (C12): metadata and keys by anyone, tokens and userinfo by registered origins, and
//! never with cookies (S-H12). The authorization endpoint and the pages have none.

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};

use super::{Address, Class};
use crate::app::App;

/// What pages may read of an answer besides its body.
const EXPOSED: &str = "WWW-Authenticate, DPoP-Nonce, Retry-After, X-Request-Id";

/// Whose origin may read, for the `Access-Control-Allow-Origin` of an answer.
pub(super) fn allowed(app: &App, class: Class, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
    match class {
        Class::Open => Some(HeaderValue::from_static("*")),
        Class::Shared => origin.filter(|o| o.to_str().is_ok_and(|o| app.is_registered_origin(o))).cloned(),
        Class::Json | Class::Api | Class::Page => None,
    }
}

/// Adds the headers of an actual answer; errors carry them too, or the page would not learn why.
pub(super) fn add(headers: &mut HeaderMap, class: Class, allowed: Option<HeaderValue>) {
    if class == Class::Shared {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    if let Some(origin) = allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }
}

/// Answers a preflight (Fetch §4.8): 204, with permissions only for whom they concern.
pub(super) fn preflight(app: &App, req: &HttpRequest, address: &Address) -> HttpResponse {
    let mut answer = HttpResponse::NoContent();
    answer.insert_header((header::ALLOW, allow(address)));
    if let Some(origin) = allowed(app, address.class, req.headers().get(header::ORIGIN)) {
        answer.insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, origin));
        answer.insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, address.methods.join(", ")));
        answer.insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Content-Type, DPoP"));
        answer.insert_header((header::ACCESS_CONTROL_MAX_AGE, "600"));
    }
    answer.insert_header((HeaderName::from_static("vary"), "Origin"));
    answer.finish()
}

/// The `Allow` of an address.
pub(super) fn allow(address: &Address) -> String {
    let mut methods = address.methods.to_vec();
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    if matches!(address.class, Class::Open | Class::Shared) {
        methods.push("OPTIONS");
    }
    methods.join(", ")
}
