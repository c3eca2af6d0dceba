//! `/sign-in/with/{id}`: through another provider, and its way back.

use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{Path, Payload};
use actix_web::{HttpRequest, HttpResponse};

use super::password::{Shown, render, welcome};
use super::second_step;
use crate::flow::caller::Browser;
use crate::flow::sign_in::password::Proved;
use crate::flow::sign_in::upstream::{self, Back, Out, Refused, Waiting, Wanted};
use crate::web::account;
use crate::web::pages::{Away, SignInProblem};
use crate::web::{Node, cookies, csrf, extract, refuse, reply, seat};

/// GET: the page that has the button.
pub(in crate::web) async fn show() -> HttpResponse {
    reply::see_other("/sign-in")
}

/// POST: out.
pub(in crate::web) async fn go(
    app: Node,
    req: HttpRequest,
    id: Path<String>,
    payload: Payload,
) -> HttpResponse {
    let browser = cookies::read(&app, &req);
    let form = match csrf::form(&app, &req, payload, &browser, false).await {
        Ok(form) => form,
        Err(error) => return refuse::form(&req, error),
    };
    let request = form.get("request").filter(|sealed| !sealed.is_empty());
    let wanted = Wanted::SignIn(request, form.get("next").and_then(seat::next));
    match upstream::go(&app, &id, wanted, &browser).await {
        Ok(out) => away(&app, &req, out),
        Err(refused) => failed(&app, &req, browser, refused).await,
    }
}

/// The page on the way.
pub(in crate::web) fn away(app: &Node, req: &HttpRequest, Out { name, url }: Out) -> HttpResponse {
    let refresh = HeaderValue::from_str(&format!("0; url={url}"));
    let mut answer = reply::page(req, &Away { frame: reply::frame(app, req), name, url });
    // An address that cannot stand in a header stands in the link.
    if let Ok(refresh) = refresh {
        answer.headers_mut().insert(header::REFRESH, refresh);
    }
    answer
}

/// GET: back.
pub(in crate::web) async fn come_back(app: Node, req: HttpRequest, id: Path<String>) -> HttpResponse {
    let params = match extract::query(&req) {
        Ok(params) => params,
        Err(error) => return refuse::page(&req, &error),
    };
    let browser = cookies::read(&app, &req);
    let caller = extract::caller(&app, &req);
    match upstream::come_back(&app, &id, &params, &browser, &caller).await {
        Ok(Back::Proved(Proved::SignedIn(signed_in), next)) => {
            welcome(&app, &req, signed_in, next.as_deref())
        }
        Ok(Back::Proved(Proved::FirstStep(half), next)) => {
            second_step::page(&app, &req, &browser, half, next.unwrap_or_default(), None).await
        }
        Ok(Back::Added) => reply::see_other("/account/security?done=identity-added"),
        Err(refused) => failed(&app, &req, browser, refused).await,
    }
}

/// The page to which somebody comes back with nothing.
pub(in crate::web) async fn failed(
    app: &Node,
    req: &HttpRequest,
    browser: Browser,
    refused: Refused,
) -> HttpResponse {
    match refused {
        Refused::NoProvider => refuse::not_found(req.clone()).await,
        Refused::Request(refusal) => refuse::refusal(app, req, refusal),
        Refused::Error(error) => refuse::page(req, &error),
        Refused::Failed(failure, Waiting { request, next, adding }) => {
            let problem = SignInProblem::Provider(failure);
            let page = match seat::current(app, req).await {
                Some(seat) if adding => account::security::after(app, req, &seat, problem).await,
                _ => {
                    let sealed = request.unwrap_or_default();
                    let shown = Shown { sealed, next, problem: Some(problem), ..Shown::default() };
                    render(app, req, browser, shown).await
                }
            };
            refuse::sign_in(problem, page)
        }
    }
}
