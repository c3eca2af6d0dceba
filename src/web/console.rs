//! A person's own page, the way to it, and the files that pages load. The administrators' console has its place here.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};

use super::pages::{Account, Form};
use super::sign_in::person;
use super::{Node, assets, cookies, csrf, refuse, reply};
use crate::flow::session;

/// `/`: to one's own page.
pub(super) async fn home() -> HttpResponse {
    reply::see_other("/account")
}

/// `/account`: who is signed in.
pub(super) async fn account(app: Node, req: HttpRequest) -> HttpResponse {
    let browser = cookies::read(&app, &req);
    let live = match session::find(&app, &browser, app.now()).await {
        Ok(Some(live)) => live,
        Ok(None) => return reply::see_other("/sign-in"),
        Err(error) => return refuse::page(&req, &error),
    };
    let page = Account {
        frame: reply::frame(&app),
        form: Form {
            action: "/sign-out",
            csrf_token: csrf::token(&app, &browser, true),
            request: String::new(),
        },
        person: person(&live.user),
        username: live.user.username.clone(),
        email: live.user.email.clone(),
        email_verified: live.user.email_verified,
        is_administrator: live.user.is_admin,
        notice: None,
    };
    reply::page(&req, &page)
}

/// `/assets/{file}`: style, scripts, icon.
pub(super) async fn asset(req: HttpRequest, file: web::Path<String>) -> HttpResponse {
    match assets::find(&file) {
        Some(found) => HttpResponse::Ok()
            .content_type(found.asset.content_type)
            .insert_header((header::CACHE_CONTROL, found.cache_control))
            .body(found.asset.bytes),
        None => refuse::not_found(req).await,
    }
}
