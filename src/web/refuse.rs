//! Errors on their way out: JSON, redirect or page. The only file that writes error statuses; a fault of ours is logged
//! here, once.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template as _;
use serde_json::json;

use super::api::Problem;
use super::arrived::Arrived;
use super::csrf::FormError;
use super::extract::BodyError;
use super::pages::{Refused, RefusedReason, SignInProblem};
use super::{Class, Node, address, cors, reply};
use crate::api_key::key::Refusal as KeyRefusal;
use crate::flow::check::Limit;
use crate::flow::sign_in::upstream::Failure;
use crate::oauth::error::{OAuthError, Refusal};
use crate::store::links::LinkPurpose;

/// Seconds after which a caller may try again when we cannot decide now.
const RETRY_AFTER: i64 = 1;

/// An error of an OAuth endpoint (RFC 6749 §5.2).
pub(super) fn json(error: &OAuthError) -> HttpResponse {
    log(error);
    let mut answer = builder(error);
    if let OAuthError::InvalidClient { basic } = error {
        // RFC 6749 §5.2: the challenge of the scheme that the client used; and some scheme must stand in a 401 (RFC 9110).
        let challenge = if *basic { r#"Basic realm="cnx", charset="UTF-8""# } else { r#"Basic realm="cnx""# };
        answer.insert_header((header::WWW_AUTHENTICATE, challenge));
    }
    answer.json(json!({ "error": error.code(), "error_description": error.description() }))
}

/// An error of a protected resource (RFC 6750 §3).
pub(super) fn bearer(error: &OAuthError) -> HttpResponse {
    log(error);
    let (code, description) = (error.code(), error.description());
    let challenge = match error {
        // "If the request lacks any authentication information, the resource server SHOULD NOT include an error code."
        OAuthError::MissingToken => r#"Bearer realm="cnx""#.to_owned(),
        OAuthError::InsufficientScope(scope) => {
            format!(
                r#"Bearer realm="cnx", error="{code}", error_description="{description}", scope="{scope}""#
            )
        }
        _ => format!(r#"Bearer realm="cnx", error="{code}", error_description="{description}""#),
    };
    let mut answer = builder(error);
    if error.status() < 500 {
        answer.insert_header((header::WWW_AUTHENTICATE, challenge));
    }
    if matches!(error, OAuthError::MissingToken) {
        return answer.finish();
    }
    answer.json(json!({ "error": error.code(), "error_description": error.description() }))
}

/// A body that could not be read, at a JSON address.
pub(super) fn body(error: &BodyError) -> HttpResponse {
    let (status, text) = match error {
        BodyError::Invalid(error) => return json(error),
        BodyError::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the request's body is too large"),
        BodyError::TooSlow => (StatusCode::REQUEST_TIMEOUT, "the request's body did not come in time"),
        BodyError::Encoded => {
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Encoding is not supported in requests")
        }
    };
    HttpResponse::build(status)
        .insert_header((header::CONNECTION, "close"))
        .json(json!({ "error": "invalid_request", "error_description": text }))
}

/// An error of `/v1` (RFC 9457).
pub(super) fn problem(req: &impl Arrived, problem: &Problem) -> HttpResponse {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = HttpResponse::build(status);
    answer.insert_header((header::CACHE_CONTROL, "no-store"));
    if let Some(challenge) = &problem.challenge {
        answer.insert_header((header::WWW_AUTHENTICATE, challenge.as_str()));
    }
    if let Some(seconds) = problem.retry_after {
        answer.insert_header((header::RETRY_AFTER, seconds.to_string()));
    }
    let kind = problem.violated.map_or("about:blank", |_| QUOTA_EXCEEDED);
    let mut body = json!({
        "type": kind,
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "request_id": req.id(),
    });
    if let (Some(field), Some(members)) = (problem.field, body.as_object_mut()) {
        members.insert("field".to_owned(), field.into());
    }
    if let (Some(class), Some(members)) = (problem.violated, body.as_object_mut()) {
        members.insert("violated-policies".to_owned(), json!([class]));
    }
    answer.content_type("application/problem+json").body(body.to_string())
}

/// Why a key or a token is not good for what it was presented for (RFC 6750 §3.1). What is wrong with a secret is never told apart.
pub(super) fn refusal_of(refusal: &KeyRefusal, limit: Option<Limit>) -> Problem {
    match refusal {
        KeyRefusal::InsufficientScope(scope) => Problem {
            challenge: Some(format!(r#"Bearer realm="cnx", error="insufficient_scope", scope="{scope}""#)),
            ..Problem::new(403, "insufficient_scope", format!("the key or token lacks the scope {scope}"))
        },
        KeyRefusal::IpNotAllowed => {
            Problem::new(403, "ip_not_allowed", "the key may not be used from this address")
        }
        KeyRefusal::RateLimited => {
            let wait = limit.map_or(1, |limit| limit.standing.more_in.max(1));
            Problem {
                retry_after: Some(wait),
                violated: limit.map(|limit| limit.budget.class.name()),
                ..Problem::new(
                    429,
                    "rate_limited",
                    format!("the limit of this key is used up; try again in {wait} seconds"),
                )
            }
        }
        KeyRefusal::NotFound
        | KeyRefusal::Revoked
        | KeyRefusal::Expired
        | KeyRefusal::NotYetValid
        | KeyRefusal::Disabled => Problem {
            challenge: Some(r#"Bearer realm="cnx", error="invalid_token""#.to_owned()),
            ..Problem::new(401, "invalid_token", "the key or token is not valid")
        },
    }
}

/// The problem type of a budget that is used up.
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// What a flow's error is at `/v1`.
pub(super) fn problem_of(error: &OAuthError) -> Problem {
    log(error);
    Problem {
        retry_after: retry_after(error),
        ..Problem::new(error.status(), error.code(), error.description())
    }
}

/// A refused authorization request: a page, or back to the client.
pub(super) fn refusal(app: &Node, req: &HttpRequest, refusal: Refusal) -> HttpResponse {
    match refusal {
        Refusal::Page(error) => page(req, &error),
        Refusal::Redirect(destination, error) => {
            log(&error);
            let fields = vec![("error", error.code().to_owned()), ("error_description", error.description())];
            reply::deliver(app, req, destination.answer(fields), "the app")
        }
    }
}

/// An error page for a person.
pub(super) fn page(req: &HttpRequest, error: &OAuthError) -> HttpResponse {
    page_with(req, error, false)
}

/// The same, for a sign-out that an app asked for in vain. What the app got wrong is not the person's fault: the page
/// leads to our own sign-out.
pub(super) fn sign_out(req: &HttpRequest, error: &OAuthError) -> HttpResponse {
    page_with(req, error, error.status() < 500)
}

fn page_with(req: &HttpRequest, error: &OAuthError, sign_out: bool) -> HttpResponse {
    log(error);
    let reason = match error {
        OAuthError::InvalidRequest(text) => reason_of(text),
        OAuthError::SlowDown { retry_after } => RefusedReason::TooOften { retry_after: *retry_after },
        OAuthError::Busy => RefusedReason::Unavailable,
        OAuthError::Server(_) => RefusedReason::Fault,
        _ => RefusedReason::BadRequest,
    };
    let detail = if error.status() < 500 { Some(error.description()) } else { None };
    let told = Told { reason, code: error.code(), detail, retry_after: retry_after(error), sign_out };
    render(req, builder(error).finish().status(), told)
}

/// Which words fit: the text begins with the name of the parameter that is wrong.
fn reason_of(text: &str) -> RefusedReason {
    let (is_missing, is_repeated) = (text.ends_with(" is missing"), text.ends_with(" is repeated"));
    match text.split([' ', ':']).next().unwrap_or_default() {
        // Which of two is meant, nobody knows.
        _ if is_repeated => RefusedReason::BadRequest,
        "client_id" if is_missing => RefusedReason::NoClient,
        "client_id" => RefusedReason::UnknownClient,
        "redirect_uri" if is_missing => RefusedReason::NoRedirectUri,
        "redirect_uri" => RefusedReason::BadRedirectUri,
        "post_logout_redirect_uri" => RefusedReason::BadSignOut,
        "id_token_hint" => RefusedReason::BadSignOutHint,
        "this" => RefusedReason::ExpiredRequest,
        _ => RefusedReason::BadRequest,
    }
}

/// A form that was not taken.
pub(super) fn form(req: &HttpRequest, error: FormError) -> HttpResponse {
    let (status, reason, code) = match error {
        FormError::Forged => (StatusCode::FORBIDDEN, RefusedReason::ForgedForm, "forged_form"),
        FormError::Body(BodyError::TooLarge) => {
            (StatusCode::PAYLOAD_TOO_LARGE, RefusedReason::TooLarge, "too_large")
        }
        FormError::Body(BodyError::TooSlow) => {
            (StatusCode::REQUEST_TIMEOUT, RefusedReason::BadRequest, "too_slow")
        }
        FormError::Body(BodyError::Encoded) => {
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, RefusedReason::BadRequest, "content_encoding")
        }
        FormError::Body(BodyError::Invalid(error)) => return page(req, &error),
    };
    render(req, status, Told::of(reason, code))
}

/// The sign-in page after a refusal: the status says what the page says in words.
pub(super) fn sign_in(problem: SignInProblem, mut page: HttpResponse) -> HttpResponse {
    let (status, retry_after) = match problem {
        SignInProblem::Missing
        | SignInProblem::Wrong
        | SignInProblem::WrongCode
        | SignInProblem::WrongPasskey => (StatusCode::UNPROCESSABLE_ENTITY, None),
        SignInProblem::Provider(Failure::Away) => (StatusCode::BAD_GATEWAY, None),
        SignInProblem::Provider(Failure::Wait(seconds)) => (StatusCode::TOO_MANY_REQUESTS, Some(seconds)),
        SignInProblem::Provider(_) => (StatusCode::FORBIDDEN, None),
        SignInProblem::Throttled { retry_after } => (StatusCode::TOO_MANY_REQUESTS, Some(retry_after)),
        SignInProblem::Busy { retry_after } => (StatusCode::SERVICE_UNAVAILABLE, Some(retry_after)),
    };
    if page.status() == StatusCode::OK {
        *page.status_mut() = status;
        if let Some(seconds) = retry_after {
            page.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
    }
    page
}

/// A page whose form has a field that says no: 400 with the reason (S-L1).
pub(super) fn fields(mut page: HttpResponse) -> HttpResponse {
    if page.status() == StatusCode::OK {
        *page.status_mut() = StatusCode::BAD_REQUEST;
    }
    page
}

/// A link that does not work any more.
pub(super) fn stale_link(req: &HttpRequest, purpose: LinkPurpose) -> HttpResponse {
    let reason = match purpose {
        LinkPurpose::SetUp => RefusedReason::SetUpSpent,
        _ => RefusedReason::LinkSpent,
    };
    render(req, StatusCode::BAD_REQUEST, Told::of(reason, "link_spent"))
}

/// A page of ours that is for others: without a word of what is there.
pub(super) fn not_yours(req: &HttpRequest) -> HttpResponse {
    render(req, StatusCode::FORBIDDEN, Told::of(RefusedReason::NotAllowed, "not_allowed"))
}

/// An address that is not ours.
pub(super) async fn not_found(req: HttpRequest) -> HttpResponse {
    let wants_page = req
        .headers()
        .get(header::ACCEPT)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    if wants_page {
        return render(&req, StatusCode::NOT_FOUND, Told::of(RefusedReason::NotFound, "not_found"));
    }
    HttpResponse::NotFound()
        .json(json!({ "error": "not_found", "error_description": "this address is not one of ours" }))
}

/// A method that an address does not answer (S-H6).
pub(super) async fn wrong_method(req: HttpRequest) -> HttpResponse {
    let row = req.match_pattern().as_deref().and_then(address);
    let allow = row.map(cors::allow).unwrap_or_default();
    let mut answer = if row.is_some_and(|r| r.class == Class::Page) {
        let told = Told::of(RefusedReason::WrongMethod, "method_not_allowed");
        render(&req, StatusCode::METHOD_NOT_ALLOWED, told)
    } else {
        HttpResponse::MethodNotAllowed().json(json!({
            "error": "invalid_request",
            "error_description": format!("this address answers {allow}"),
        }))
    };
    if let Ok(value) = HeaderValue::from_str(&allow) {
        answer.headers_mut().insert(header::ALLOW, value);
    }
    answer
}

/// What a caught panic is answered with.
pub(super) fn plain_fault() -> HttpResponse {
    HttpResponse::InternalServerError()
        .json(json!({ "error": "server_error", "error_description": "something went wrong on our side" }))
}

/// What an error page says.
struct Told {
    reason: RefusedReason,
    code: &'static str,
    detail: Option<String>,
    retry_after: Option<i64>,
    sign_out: bool,
}

impl Told {
    fn of(reason: RefusedReason, code: &'static str) -> Self {
        Self { reason, code, detail: None, retry_after: None, sign_out: false }
    }
}

fn render(req: &HttpRequest, status: StatusCode, told: Told) -> HttpResponse {
    let Some(app) = req.app_data::<Node>() else { return plain_fault() };
    let page = Refused {
        frame: reply::frame(app, req),
        reason: told.reason,
        code: told.code,
        detail: told.detail,
        request_id: req.id(),
        sign_out: told.sign_out,
    };
    let Ok(html) = page.render() else { return plain_fault() };
    let mut answer = HttpResponse::build(status);
    if let Some(seconds) = told.retry_after {
        answer.insert_header((header::RETRY_AFTER, seconds.to_string()));
    }
    answer
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(html)
}

fn retry_after(error: &OAuthError) -> Option<i64> {
    match error {
        OAuthError::SlowDown { retry_after } => Some(*retry_after),
        OAuthError::Busy => Some(RETRY_AFTER),
        _ => None,
    }
}

fn builder(error: &OAuthError) -> actix_web::HttpResponseBuilder {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = HttpResponse::build(status);
    answer.insert_header((header::CACHE_CONTROL, "no-store"));
    answer.insert_header((header::PRAGMA, "no-cache"));
    if let Some(seconds) = retry_after(error) {
        answer.insert_header((header::RETRY_AFTER, seconds.to_string()));
    }
    answer
}

fn log(error: &OAuthError) {
    match error {
        OAuthError::Server(fault) => tracing::error!(%fault, "a fault of ours"),
        OAuthError::Busy => tracing::warn!("answered busy"),
        other => tracing::debug!(code = other.code(), "refused: {}", other.description()),
    }
}
