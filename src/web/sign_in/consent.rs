//! `/consent`: what an app asks for, and the person's answer.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use super::{asking_app, person, sign_in_as_another};
use crate::app::App;
use crate::flow::authorize::is_unassured;
use crate::flow::sign_in::consent::{self, Answer, Question};
use crate::oauth::authorize::Authorize;
use crate::oauth::client::GrantType;
use crate::oauth::redirect_uri;
use crate::web::pages::{AccessLife, Consent, Form, ScopeInWords};
use crate::web::{Node, cookies, csrf, extract, refuse, reply};

/// GET: the page.
pub(in crate::web) async fn show(app: Node, req: HttpRequest) -> HttpResponse {
    let sealed = match extract::query(&req) {
        Ok(query) => query.get("request").unwrap_or_default().to_owned(),
        Err(error) => return refuse::page(&req, &error),
    };
    let browser = cookies::read(&app, &req);
    let question = match consent::view(&app, &sealed, &browser).await {
        Ok(question) => question,
        Err(refusal) => return refuse::refusal(&app, &req, refusal),
    };
    let Some(Question { live, resumed }) = question else {
        return reply::see_other(&format!("/oauth2/authorize?pending={sealed}"));
    };
    let request = &resumed.request;
    let unassured = is_unassured(request);
    let target = request.destination.redirect_uri();
    let page = Consent {
        frame: reply::frame_in(&app, &req, &request.ui_locales),
        form: Form { action: "/consent", csrf_token: csrf::token(&app, &browser, true), request: sealed },
        app: asking_app(&request.client, unassured),
        redirect_host: redirect_uri::shown_host(target),
        on_this_device: unassured,
        scopes: ScopeInWords::list(request.consent_scope().words()),
        lasts: lasts(&app, request),
        person: person(&live.user),
    };
    reply::page_leading_to(&req, &page, Some(target))
}

/// POST: the answer.
pub(in crate::web) async fn submit(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let browser = cookies::read(&app, &req);
    let form = match csrf::form(&app, &req, payload, &browser, true).await {
        Ok(form) => form,
        Err(error) => return refuse::form(&req, error),
    };
    let sealed = form.get("request").unwrap_or_default();
    let caller = extract::caller(&app, &req);
    let answer = match form.get("decision") {
        Some("allow") => consent::allow(&app, sealed, &browser, &caller).await,
        Some("switch") => return sign_in_as_another(&app, &req, sealed, &browser),
        // Whatever is not a clear yes is a no.
        _ => consent::deny(&app, sealed, &browser, &caller).await,
    };
    match answer {
        Ok(Answer::Deliver(delivery)) => reply::deliver(&app, &req, delivery, "the app"),
        Ok(Answer::Again(sealed)) => reply::see_other(&format!("/oauth2/authorize?pending={sealed}")),
        Err(refusal) => refuse::refusal(&app, &req, refusal),
    }
}

/// How long the access lasts that is asked for.
fn lasts(app: &App, request: &Authorize) -> AccessLife {
    if request.scope.contains("offline_access") && request.client.may_use(GrantType::RefreshToken) {
        AccessLife::Offline { seconds: app.settings.tokens.refresh_seconds }
    } else {
        AccessLife::Session
    }
}
