//! The edge that every request passes: its id, the headers of every answer, CORS, a caught panic, one log line, one metric.

use std::cell::RefCell;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _, HttpResponse, ResponseError};
use futures_util::FutureExt as _;

use super::{Class, Node, cors, refuse, row, seat, unread};
use crate::app::App;
use crate::base::encoding::{base62_width, put_base62};
use crate::base::quick::QuickMap;

/// The id of a request: in its answer, its log lines and its error page.
#[derive(Clone, Debug)]
pub(super) struct RequestId([u8; base62_width(ID_BYTES)]);

/// 96 bits of chance, so that nobody guesses that of another.
const ID_BYTES: usize = 12;

impl RequestId {
    /// A new one.
    pub(super) fn new(app: &App) -> Self {
        let mut text = [b'0'; base62_width(ID_BYTES)];
        put_base62(&app.entropy.bytes_for_a_name::<ID_BYTES>(), &mut text);
        Self(text)
    }

    /// As text.
    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The name of the header that every answer carries.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Which version of `/v1` is asked for, and which answered.
pub(super) const X_API_VERSION: HeaderName = HeaderName::from_static("x-api-version");
/// What an answer that is no page may load, and where it may be framed: nothing and nowhere.
const NOTHING: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// The policy of a page (S-H11): our own style, script and pictures, nothing inline, nothing from elsewhere, framed by
/// nobody. `form_action` lists where its forms may lead, redirects included.
pub(super) fn page_policy(form_action: &str) -> String {
    format!(
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action {form_action}; \
         frame-ancestors 'none'; base-uri 'none'; object-src 'none'"
    )
}

/// What a caught panic is answered with.
#[derive(Debug)]
struct Panicked {
    request_id: RequestId,
    https: bool,
}

impl std::fmt::Display for Panicked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a handler panicked")
    }
}

impl ResponseError for Panicked {
    fn status_code(&self) -> StatusCode {
        StatusCode::INTERNAL_SERVER_ERROR
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        let mut answer = refuse::plain_fault();
        every_answer(answer.headers_mut(), &self.request_id, self.https);
        frame_rules(StatusCode::INTERNAL_SERVER_ERROR, answer.headers_mut());
        answer
    }
}

/// The middleware.
pub async fn edge(
    mut req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let began = Instant::now();
    let Some(app) = req.app_data::<Node>().cloned() else {
        return Err(actix_web::error::ErrorInternalServerError("no app"));
    };
    let id = RequestId::new(&app);
    req.extensions_mut().insert(id.clone());
    let method = req.method().clone();
    let row = row(&req);
    let pattern = row.map_or("none", |row| row.path);
    let class = row.map_or(Class::Page, |row| row.class);
    let origin = if class == Class::Shared { req.headers().get(header::ORIGIN).cloned() } else { None };
    let body = unread::hold(&mut req);

    let outcome = match row {
        Some(row) if method == Method::OPTIONS && matches!(class, Class::Open | Class::Shared) => {
            let answer = cors::preflight(&app, req.request(), row);
            Ok(Ok(req.into_response(answer)))
        }
        _ => AssertUnwindSafe(next.call(req))
            .catch_unwind()
            .await
            .map(|r| r.map(ServiceResponse::map_into_boxed_body)),
    };
    let result = match outcome {
        Ok(Ok(mut answer)) => {
            let renewed = answer.request().extensions_mut().remove::<seat::Renewed>();
            if let Some(seat::Renewed(cookie)) = renewed
                && let Err(error) = answer.response_mut().add_cookie(&cookie)
            {
                tracing::error!(%error, "a cookie could not be set");
            }
            dress(&app, answer.response_mut(), class, &id);
            if method != Method::OPTIONS {
                cors::add(answer.headers_mut(), class, cors::allowed(&app, class, origin.as_ref()));
            }
            Ok(match body {
                Some(body) if !body.was_read() => answer.map_body(|_, own| body.until_the_end_of(own)),
                _ => answer,
            })
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Err(panicked(&app, &id, pattern)),
    };
    let status = result.as_ref().map_or(500, |answer| answer.status().as_u16());
    account(method_label(&method), pattern, status, began, &id);
    result
}

/// The headers of an answer of ours.
pub(super) fn dress<B>(app: &App, answer: &mut HttpResponse<B>, class: Class, id: &RequestId) {
    let status = answer.status();
    every_answer(answer.headers_mut(), id, app.settings.public_url.is_https());
    if class == Class::Api {
        let version = HeaderValue::from_static(super::api::VERSIONS[0]);
        answer.headers_mut().insert(X_API_VERSION, version);
    }
    frame_rules(status, answer.headers_mut());
    // Whoever keeps this connection is to send its next request elsewhere, rather than find it closed.
    if app.is_draining() {
        answer.head_mut().set_connection_type(ConnectionType::Close);
    }
}

/// A handler panicked: said once, and answered.
pub(super) fn panicked(app: &App, id: &RequestId, route: &'static str) -> Error {
    metrics::counter!("cnx_panics_total").increment(1);
    tracing::error!(request_id = id.as_str(), route, "a handler panicked");
    Panicked { request_id: id.clone(), https: app.settings.public_url.is_https() }.into()
}

thread_local! {
    /// The histograms of this thread's answers: as many as there are addresses, methods and statuses. Looked up once each, for whoever
    /// gathers metrics is there before a request is.
    static TIMES: RefCell<QuickMap<(&'static str, &'static str, u16), metrics::Histogram>> = RefCell::default();
}

/// One line and one metric. The line holds the route's pattern and no query: codes and tokens travel there (S-H14).
pub(super) fn account(
    method: &'static str,
    route: &'static str,
    status: u16,
    began: Instant,
    id: &RequestId,
) {
    let took = began.elapsed();
    TIMES.with_borrow_mut(|times| {
        let histogram = times.entry((route, method, status)).or_insert_with(|| {
            let labels = [("method", method.into()), ("route", route.into()), ("status", status.to_string())];
            metrics::histogram!("cnx_http_request_seconds", &labels)
        });
        histogram.record(took.as_secs_f64());
    });
    tracing::debug!(
        target: "access",
        method,
        route,
        status,
        duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        request_id = id.as_str(),
        "answered"
    );
}

/// A method as a label: what anybody may invent is "other", so that metrics stay bounded.
pub(super) fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// What every answer carries (S-H10).
fn every_answer(headers: &mut HeaderMap, id: &RequestId, https: bool) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if https {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=63072000"));
    }
    if let Ok(id) = HeaderValue::from_bytes(&id.0) {
        headers.insert(X_REQUEST_ID, id);
    }
}

/// No frame around an answer that is shown. A redirect is not shown: `prompt=none` in a frame must pass (C30).
fn frame_rules(status: StatusCode, headers: &mut HeaderMap) {
    if status.is_redirection() {
        return;
    }
    let is_page = headers.get(header::CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(b"text/html"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    if is_page {
        headers.insert(
            HeaderName::from_static("cross-origin-opener-policy"),
            HeaderValue::from_static("same-origin"),
        );
    }
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        let policy = if is_page { HeaderValue::from_str(&page_policy("'self'")).ok() } else { Some(NOTHING) };
        if let Some(value) = policy {
            headers.insert(header::CONTENT_SECURITY_POLICY, value);
        }
    }
}
