//! Answers: JSON that nobody keeps, redirects, pages, and the delivery of an authorization answer.

use actix_web::body::BoxBody;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{StatusCode, header};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use askama::Template;
use serde::Serialize;

use super::headers::page_policy;
use super::pages::{FormPost, Frame, Lang};
use super::{cookies, look, refuse};
use crate::app::App;
use crate::base::encoding::push_number;
use crate::base::fault::Fault;
use crate::flow::check::Limit;
use crate::oauth::destination::Delivery;
use crate::oauth::error::OAuthError;
use crate::oauth::redirect_uri;

/// What most answers fit in, in bytes.
const USUAL: usize = 512;
const APPLICATION_JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");

/// JSON with `Cache-Control: no-store` (RFC 6749 §5.1).
pub(super) fn json<T: Serialize>(body: &T) -> HttpResponse {
    let mut bytes = Vec::with_capacity(USUAL);
    match serde_json::to_writer(&mut bytes, body) {
        Ok(()) => {
            let mut answer = HttpResponse::with_body(StatusCode::OK, BoxBody::new(bytes));
            let headers = answer.headers_mut();
            headers.insert(header::CONTENT_TYPE, APPLICATION_JSON);
            headers.insert(header::CACHE_CONTROL, NO_STORE);
            headers.insert(header::PRAGMA, NO_CACHE);
            answer
        }
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

/// What every page carries; in the language that the person chose, else in one that the browser asks for.
pub(super) fn frame(app: &App, req: &HttpRequest) -> Frame {
    frame_in(app, req, &[])
}

/// The same; where the person chose no language, one of `ui_locales` goes before those of the browser (OIDC Core §3.1.2.1): the person
/// chose it in the app that they come from.
pub(super) fn frame_in(app: &App, req: &HttpRequest, ui_locales: &[String]) -> Frame {
    let presence = app.presence();
    Frame {
        lang: cookies::lang(app, req).or_else(|| Lang::spoken(&ui_locales.join(" "))).unwrap_or_else(|| {
            let asked = req.headers().get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
            Lang::asked_for(asked.unwrap_or_default())
        }),
        product: presence.title.clone().unwrap_or_else(|| "CloudNexus Identity".to_owned()),
        logo: look::logo_url(&presence),
        style: look::style_url(&presence),
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
            let page = FormPost {
                frame: frame(app, req),
                action: action.clone(),
                fields,
                app_name: app_name.to_owned(),
            };
            page_leading_to(req, &page, Some(&action))
        }
    }
}

const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const X_RATELIMIT_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_RATELIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RATELIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Headers whose values are written one behind the other into one piece of memory: an answer to a gateway has ten of them.
#[derive(Debug)]
pub(super) struct Told {
    text: String,
    /// Each name, and where its value ends.
    names: Vec<(HeaderName, usize)>,
}

impl Told {
    /// None yet.
    pub(super) fn new() -> Self {
        Self { text: String::with_capacity(USUAL), names: Vec::with_capacity(10) }
    }

    /// One more: the value is what `write` appends.
    pub(super) fn tell(&mut self, name: HeaderName, write: impl FnOnce(&mut String)) {
        write(&mut self.text);
        self.names.push((name, self.text.len()));
    }

    /// The budget and where it stands, in the draft's headers and in those of older clients (contract, rate limits).
    pub(super) fn tell_limit(&mut self, limit: &Limit, now: i64) {
        let Limit { budget, standing } = limit;
        self.tell(RATELIMIT_POLICY, |text| budget.write_policy(text));
        self.tell(RATELIMIT, |text| {
            text.push('"');
            text.push_str(budget.class.name());
            text.push_str("\";r=");
            push_number(text, i64::from(standing.remaining));
            text.push_str(";t=");
            push_number(text, standing.more_in);
        });
        self.tell(X_RATELIMIT_LIMIT, |text| push_number(text, i64::from(budget.most())));
        self.tell(X_RATELIMIT_REMAINING, |text| push_number(text, i64::from(standing.remaining)));
        // Epoch seconds, as GitHub has it.
        self.tell(X_RATELIMIT_RESET, |text| push_number(text, now + standing.more_in));
    }

    /// Puts them on an answer. What cannot stand in a header is left out.
    pub(super) fn put(self, answer: &mut HttpResponse) {
        let text = Bytes::from(self.text);
        let mut begin = 0;
        for (name, end) in self.names {
            if let Ok(value) = HeaderValue::from_maybe_shared(text.slice(begin..end)) {
                answer.headers_mut().insert(name, value);
            }
            begin = end;
        }
    }
}

/// [`Told::tell_limit`] alone.
pub(super) fn tell_limit(answer: &mut HttpResponse, limit: &Limit, now: i64) {
    let mut told = Told::new();
    told.tell_limit(limit, now);
    told.put(answer);
}
