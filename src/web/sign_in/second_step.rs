//! `/sign-in/second-factor`: a code or a passkey, after the right password.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use super::password::welcome;
use crate::flow::caller::Browser;
use crate::flow::passkeys::Posted;
use crate::flow::sign_in::password::Refused;
use crate::flow::sign_in::second_step::{self, Ended, Shown};
use crate::oauth::error::OAuthError;
use crate::web::pages::{Form, SecondFactor, SignInProblem};
use crate::web::{Node, cookies, csrf, extract, refuse, reply, seat};

/// GET: there is nothing without a first step.
pub(in crate::web) async fn show() -> HttpResponse {
    reply::see_other("/sign-in")
}

/// POST: the code, or the passkey.
pub(in crate::web) async fn submit(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let browser = cookies::read(&app, &req);
    let form = match csrf::form(&app, &req, payload, &browser, false).await {
        Ok(form) => form,
        Err(error) => return refuse::form(&req, error),
    };
    let half = form.get("half").unwrap_or_default();
    let (shown, wrong) = match form.get("passkey") {
        Some(answer) => {
            let challenge = form.get("challenge").unwrap_or_default();
            (Shown::Passkey(Posted { challenge, answer }), SignInProblem::WrongPasskey)
        }
        None => (Shown::Code(form.get("code").unwrap_or_default()), SignInProblem::WrongCode),
    };
    let next = form.get("next").and_then(seat::next);
    let caller = extract::caller(&app, &req);
    let problem = match second_step::finish(&app, (half, shown), &browser, &caller).await {
        Ok(Ended::SignedIn(signed_in)) => return welcome(&app, &req, signed_in, next),
        // Too late: from the beginning, with what was wanted.
        Ok(Ended::Anew(request)) => {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.append_pair("notice", "again");
            query.extend_pairs(request.iter().map(|sealed| ("request", sealed)));
            query.extend_pairs(next.iter().map(|next| ("next", next)));
            return reply::see_other(&format!("/sign-in?{}", query.finish()));
        }
        Err(Refused::Wrong | Refused::Request(_)) => wrong,
        Err(Refused::Wait(retry_after)) => SignInProblem::Throttled { retry_after },
        Err(Refused::Error(OAuthError::Busy)) => SignInProblem::Busy { retry_after: 5 },
        Err(Refused::Error(error)) => return refuse::page(&req, &error),
    };
    let next = next.unwrap_or_default().to_owned();
    refuse::sign_in(problem, page(&app, &req, &browser, half.to_owned(), next, Some(problem)).await)
}

/// The page.
pub(super) async fn page(
    app: &Node,
    req: &HttpRequest,
    browser: &Browser,
    half: String,
    next: String,
    problem: Option<SignInProblem>,
) -> HttpResponse {
    let request = second_step::waiting(app, &half, browser);
    let ways = match second_step::ways(app, &half, browser).await {
        Ok(ways) => ways,
        Err(error) => return refuse::page(req, &error),
    };
    let page = SecondFactor {
        frame: reply::frame_in(app, req, request.as_ref().map_or(&[], |r| r.ui_locales.as_slice())),
        form: Form {
            action: "/sign-in/second-factor",
            csrf_token: csrf::token(app, browser, false),
            request: String::new(),
        },
        half,
        next,
        code: ways.code || ways.passkey.is_none(),
        passkey: ways.passkey.map(Into::into),
        problem,
    };
    // Browsers hold redirects of a form to `form-action` too: the last of them leads to the app.
    let target = request.as_ref().map(|r| r.destination.redirect_uri());
    reply::page_leading_to(req, &page, target)
}
