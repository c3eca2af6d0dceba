//! `/sign-in/passkey`: a passkey alone.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use super::password::{Shown, render, welcome};
use crate::flow::passkeys::Posted;
use crate::flow::sign_in::passkey;
use crate::flow::sign_in::password::Refused;
use crate::oauth::error::OAuthError;
use crate::web::pages::SignInProblem;
use crate::web::{Node, cookies, csrf, extract, refuse, reply, seat};

/// GET: the page that has the button.
pub(in crate::web) async fn show() -> HttpResponse {
    reply::see_other("/sign-in")
}

/// POST: what the browser says.
pub(in crate::web) async fn submit(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let browser = cookies::read(&app, &req);
    let form = match csrf::form(&app, &req, payload, &browser, false).await {
        Ok(form) => form,
        Err(error) => return refuse::form(&req, error),
    };
    let sealed = form.get("request").unwrap_or_default();
    let next = form.get("next").and_then(seat::next);
    let posted = Posted {
        challenge: form.get("challenge").unwrap_or_default(),
        answer: form.get("passkey").unwrap_or_default(),
    };
    let request = Some(sealed).filter(|sealed| !sealed.is_empty());
    let caller = extract::caller(&app, &req);
    let problem = match passkey::sign_in(&app, (posted, request), &browser, &caller).await {
        Ok(signed_in) => return welcome(&app, &req, signed_in, next),
        Err(Refused::Wrong) => SignInProblem::WrongPasskey,
        Err(Refused::Wait(retry_after)) => SignInProblem::Throttled { retry_after },
        Err(Refused::Request(refusal)) => return refuse::refusal(&app, &req, refusal),
        Err(Refused::Error(OAuthError::Busy)) => SignInProblem::Busy { retry_after: 5 },
        Err(Refused::Error(error)) => return refuse::page(&req, &error),
    };
    let shown = Shown {
        sealed: sealed.to_owned(),
        next: next.map(str::to_owned),
        problem: Some(problem),
        ..Shown::default()
    };
    refuse::sign_in(problem, render(&app, &req, browser, shown).await)
}
