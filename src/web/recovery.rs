//! `/forgot-password` and `/verify-email`: what people do who have nothing but a mailbox. Nobody learns here who has an account (S-L4), and
//! looking at a link does not use it.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use super::pages::{ForgotPassword, Form, VerifyEmail};
use super::{Node, cookies, csrf, extract, refuse, reply};
use crate::flow::caller::Browser;
use crate::flow::recovery::{self, Asked};
use crate::flow::sign_in::link::{self, LinkError};
use crate::oauth::error::OAuthError;
use crate::store::links::LinkPurpose;

/// GET `/forgot-password`: the form, or after it what happens next.
pub(super) async fn show(app: Node, req: HttpRequest) -> HttpResponse {
    let query = match extract::query(&req) {
        Ok(query) => query,
        Err(error) => return refuse::page(&req, &error),
    };
    let sent = query.get("sent").is_some();
    forgot_page(&app, &req, cookies::read(&app, &req), String::new(), (sent, None))
}

/// POST `/forgot-password`.
pub(super) async fn submit(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let browser = cookies::read(&app, &req);
    let form = match csrf::form(&app, &req, payload, &browser, false).await {
        Ok(form) => form,
        Err(error) => return refuse::form(&req, error),
    };
    let typed = form.get("username").unwrap_or_default().to_owned();
    if typed.trim().is_empty() || !app.mail.is_on() {
        let problem = Some("Enter your user name or your e-mail address.".to_owned());
        return refuse::fields(forgot_page(&app, &req, browser, typed, (false, problem)));
    }
    match recovery::ask(&app, &typed, &extract::caller(&app, &req)).await {
        Ok(Asked::Taken) => reply::see_other("/forgot-password?sent=1"),
        Ok(Asked::Wait(retry_after)) => refuse::page(&req, &OAuthError::SlowDown { retry_after }),
        Err(error) => refuse::page(&req, &error),
    }
}

fn forgot_page(
    app: &Node,
    req: &HttpRequest,
    browser: Browser,
    username: String,
    (sent, problem): (bool, Option<String>),
) -> HttpResponse {
    let (browser, fresh) = cookies::marked(app, browser);
    let mail = app.mail.is_on();
    let page = ForgotPassword {
        frame: reply::frame(app, req),
        form: form(app, &browser, "/forgot-password"),
        username,
        mail,
        sent,
        problem: problem.filter(|_| mail),
    };
    cookies::with_mark(app, reply::page(req, &page), fresh)
}

/// GET `/verify-email?token=…`: asks.
pub(super) async fn show_verify_email(app: Node, req: HttpRequest) -> HttpResponse {
    let query = match extract::query(&req) {
        Ok(query) => query,
        Err(error) => return refuse::page(&req, &error),
    };
    let token = query.get("token").unwrap_or_default().to_owned();
    match link::address(&app, &token).await {
        Ok(Some(email)) => verify_page(&app, &req, cookies::read(&app, &req), token, email, (false, None)),
        Ok(None) => refuse::stale_link(&req, LinkPurpose::VerifyEmail),
        Err(error) => refuse::page(&req, &error),
    }
}

/// POST `/verify-email`: it is theirs.
pub(super) async fn verify_email(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let browser = cookies::read(&app, &req);
    let form = match csrf::form(&app, &req, payload, &browser, false).await {
        Ok(form) => form,
        Err(error) => return refuse::form(&req, error),
    };
    let token = form.get("link").unwrap_or_default().to_owned();
    let email = match link::address(&app, &token).await {
        Ok(Some(email)) => email,
        Ok(None) => return refuse::stale_link(&req, LinkPurpose::VerifyEmail),
        Err(error) => return refuse::page(&req, &error),
    };
    match link::verify_email(&app, &token, &extract::caller(&app, &req)).await {
        Ok(()) => verify_page(&app, &req, browser, String::new(), email, (true, None)),
        Err(LinkError::Stale) => refuse::stale_link(&req, LinkPurpose::VerifyEmail),
        Err(LinkError::Error(error)) => refuse::page(&req, &error),
        // Somebody else has it by now. Whoever opened the link has the mailbox, and may know.
        Err(LinkError::Field(_)) => {
            let problem = Some("Another account has this address. Sign in with it, or use another address.");
            refuse::fields(verify_page(&app, &req, browser, String::new(), email, (false, problem)))
        }
    }
}

fn verify_page(
    app: &Node,
    req: &HttpRequest,
    browser: Browser,
    link: String,
    email: String,
    (done, problem): (bool, Option<&'static str>),
) -> HttpResponse {
    let (browser, fresh) = cookies::marked(app, browser);
    let page = VerifyEmail {
        frame: reply::frame(app, req),
        form: form(app, &browser, "/verify-email"),
        link,
        email,
        done,
        problem,
    };
    cookies::with_mark(app, reply::page(req, &page), fresh)
}

fn form(app: &Node, browser: &Browser, action: &'static str) -> Form {
    Form { action, csrf_token: csrf::token(app, browser, false), request: String::new() }
}
