//! The end-session endpoint (RP-Initiated Logout §2) and our own sign-out: one page, one form.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use crate::flow::caller::Browser;
use crate::flow::sign_out::{self, Outcome};
use crate::oauth::error::Refusal;
use crate::oauth::params::Params;
use crate::web::pages::{Form, SignOut, SignedOut};
use crate::web::sign_in::person;
use crate::web::{Node, cookies, csrf, extract, refuse, reply};

/// GET from an app.
pub(in crate::web) async fn by_get(app: Node, req: HttpRequest) -> HttpResponse {
    match extract::query(&req) {
        Ok(params) => {
            let browser = cookies::read(&app, &req);
            answer(&app, &req, &params, &browser, false).await
        }
        Err(error) => refuse::page(&req, &error),
    }
}

/// POST from an app. A browser whose cookies stayed behind is sent here once more by GET: nobody may be told "you are signed
/// out" whose session was not even seen.
pub(in crate::web) async fn by_post(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    match extract::form(&app, &req, payload).await {
        Ok(params) if csrf::came_without_cookies(&app, &req) => {
            reply::see_other(&format!("/oauth2/logout?{}", params.to_query()))
        }
        Ok(params) => {
            let browser = cookies::read(&app, &req);
            answer(&app, &req, &params, &browser, false).await
        }
        Err(error) => refuse::form(&req, csrf::FormError::Body(error)),
    }
}

/// GET of our own page.
pub(in crate::web) async fn ask(app: Node, req: HttpRequest) -> HttpResponse {
    let browser = cookies::read(&app, &req);
    answer(&app, &req, &Params::default(), &browser, false).await
}

/// The button was pressed. The app's request travels in the form's `request`, as its own query.
pub(in crate::web) async fn confirm(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let browser = cookies::read(&app, &req);
    let form = match csrf::form(&app, &req, payload, &browser, true).await {
        Ok(form) => form,
        Err(error) => return refuse::form(&req, error),
    };
    match Params::parse(form.get("request").unwrap_or_default().as_bytes()) {
        Ok(params) => answer(&app, &req, &params, &browser, true).await,
        Err(error) => refuse::page(&req, &error),
    }
}

async fn answer(
    app: &Node,
    req: &HttpRequest,
    params: &Params,
    browser: &Browser,
    confirmed: bool,
) -> HttpResponse {
    let caller = extract::caller(app, req);
    let outcome = sign_out::sign_out(app, params, browser, confirmed, &caller).await;
    let mut answer = match outcome {
        Ok(Outcome::Confirm { live, client }) => {
            let (browser, fresh) = cookies::marked(app, browser.clone());
            let page = SignOut {
                frame: reply::frame(app, req),
                form: Form {
                    action: "/sign-out",
                    csrf_token: csrf::token(app, &browser, true),
                    request: params.to_query(),
                },
                person: person(&live.user),
                app_name: client.map(|c| c.metadata.client_name.clone()),
            };
            let target = params.get("post_logout_redirect_uri");
            return cookies::with_mark(app, reply::page_leading_to(req, &page, target), fresh);
        }
        Ok(Outcome::Redirect(location)) => reply::see_other(&location),
        Ok(Outcome::SignedOut) => reply::page(req, &SignedOut { frame: reply::frame(app, req) }),
        Err(Refusal::Page(error) | Refusal::Redirect(_, error)) => return refuse::sign_out(req, &error),
    };
    if browser.session.is_some() && answer.add_cookie(&cookies::no_session(app)).is_err() {
        tracing::debug!("the session cookie could not be taken away; it is dead anyway");
    }
    answer
}
