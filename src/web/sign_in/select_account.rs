//! `/select-account`: go on as the person who is signed in, or sign in as another.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use super::{asking_app, person, sign_in_as_another};
use crate::flow::authorize::is_unassured;
use crate::flow::sign_in::select_account;
use crate::web::pages::{Form, SelectAccount};
use crate::web::{Node, cookies, csrf, extract, refuse, reply};

/// GET: the page.
pub(in crate::web) async fn show(app: Node, req: HttpRequest) -> HttpResponse {
    let sealed = match extract::query(&req) {
        Ok(query) => query.get("request").unwrap_or_default().to_owned(),
        Err(error) => return refuse::page(&req, &error),
    };
    let browser = cookies::read(&app, &req);
    let choice = match select_account::view(&app, &sealed, &browser).await {
        Ok(choice) => choice,
        Err(refusal) => return refuse::refusal(&app, &req, refusal),
    };
    let Some(live) = choice.live else { return reply::see_other(&format!("/sign-in?request={sealed}")) };
    let page = SelectAccount {
        frame: reply::frame_in(&app, &req, &choice.request.ui_locales),
        form: Form {
            action: "/select-account",
            csrf_token: csrf::token(&app, &browser, true),
            request: sealed,
        },
        app: Some(asking_app(&choice.request.client, is_unassured(&choice.request))),
        person: person(&live.user),
    };
    reply::page_leading_to(&req, &page, Some(choice.request.destination.redirect_uri()))
}

/// POST: the choice.
pub(in crate::web) async fn submit(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let browser = cookies::read(&app, &req);
    let form = match csrf::form(&app, &req, payload, &browser, true).await {
        Ok(form) => form,
        Err(error) => return refuse::form(&req, error),
    };
    let sealed = form.get("request").unwrap_or_default();
    if form.get("account") != Some("current") {
        return sign_in_as_another(&app, &req, sealed, &browser);
    }
    match select_account::go_on(&app, sealed, &browser).await {
        Ok(sealed) => reply::see_other(&format!("/oauth2/authorize?pending={sealed}")),
        Err(refusal) => refuse::refusal(&app, &req, refusal),
    }
}
