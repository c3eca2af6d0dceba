//! Answers: JSON that nobody keeps, redirects, pages, and the delivery of an authorization answer.

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use askama::Template;
use serde::Serialize;

use super::headers::page_policy;
use super::pages::{FormPost, Frame};
use super::refuse;
use crate::app::App;
use crate::base::fault::Fault;
use crate::flow::check::Limit;
use crate::oauth::destination::Delivery;
use crate::oauth::error::OAuthError;
use crate::oauth::redirect_uri;

/// JSON with `Cache-Control: no-store` (RFC 6749 §5.1).
pub(super) fn json<T: Serialize>(body: &T) -> HttpResponse {
    match serde_json::to_vec(body) {
        Ok(bytes) => HttpResponse::Ok()
            .content_type("application/json")
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .insert_header((header::PRAGMA, "no-cache"))
            .body(bytes),
        Err(error) => refuse::json(&OAuthError::Server(Fault::new("writing JSON", error))),
    }
}

/// 201 with JSON.
pub(super) fn created<T: Serialize>(body: &T) -> HttpResponse {
    let mut answer = json(body);
    if answer.status() == StatusCode::OK {
        *answer.status_mut() = StatusCode::CREATED;
    }
    answer
}

/// A short text that anybody may read, and keep for an hour.
pub(super) fn text(media: &str, text: String) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(media)
        .insert_header((header::CACHE_CONTROL, "public, max-age=3600"))
        .body(text)
}

/// A file to be kept by whoever asked for it, to be sent bit by bit.
pub(super) fn download(media: &str, name: &str) -> HttpResponseBuilder {
    let mut answer = HttpResponse::Ok();
    answer
        .content_type(media)
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")));
    answer
}

/// 303: whatever the method was, the browser goes on by GET and carries no body along (RFC 9700 §4.12).
pub(super) fn see_other(location: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, location)).finish()
}

/// What every page carries.
pub(super) fn frame(app: &App) -> Frame {
    Frame {
        product: "CloudNexus Identity".to_owned(),
        host: app
            .settings
            .public_url
            .as_str()
            .trim_start_matches("https://")
            .trim_start_matches("http://")
            .to_owned(),
    }
}

/// A page.
pub(super) fn page<T: Template>(req: &HttpRequest, template: &T) -> HttpResponse {
    page_leading_to(req, template, None)
}

/// A page whose form leads, by way of redirects, to `target`: browsers hold redirects of a form to `form-action` too.
pub(super) fn page_leading_to<T: Template>(
    req: &HttpRequest,
    template: &T,
    target: Option<&str>,
) -> HttpResponse {
    let form_action = match target {
        None => "'self'".to_owned(),
        Some(uri) => format!("'self' {}", redirect_uri::form_action_source(uri)),
    };
    match template.render() {
        Ok(html) => HttpResponse::Ok()
            .content_type("text/html; charset=utf-8")
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .insert_header((header::CONTENT_SECURITY_POLICY, page_policy(&form_action)))
            .body(html),
        Err(error) => refuse::page(req, &OAuthError::Server(Fault::new("rendering a page", error))),
    }
}

/// An authorization answer on its way: a redirect, or a page whose form posts itself.
pub(super) fn deliver(app: &App, req: &HttpRequest, delivery: Delivery, app_name: &str) -> HttpResponse {
    match delivery {
        Delivery::Redirect(location) => see_other(&location),
        Delivery::FormPost { action, fields } => {
            let page =
                FormPost { frame: frame(app), action: action.clone(), fields, app_name: app_name.to_owned() };
            page_leading_to(req, &page, Some(&action))
        }
    }
}

/// The budget and where it stands, in the draft's headers and in those of older clients (contract, rate limits).
pub(super) fn tell_limit(answer: &mut HttpResponse, limit: &Limit, now: i64) {
    let Limit { budget, standing } = limit;
    let name = budget.class.name();
    let mut tell = |header: &'static str, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            answer.headers_mut().insert(HeaderName::from_static(header), value);
        }
    };
    tell("ratelimit-policy", budget.policy());
    tell("ratelimit", format!("\"{name}\";r={};t={}", standing.remaining, standing.more_in));
    tell("x-ratelimit-limit", budget.most().to_string());
    tell("x-ratelimit-remaining", standing.remaining.to_string());
    // Epoch seconds, as GitHub has it.
    tell("x-ratelimit-reset", (now + standing.more_in).to_string());
}
