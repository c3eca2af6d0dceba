//! The authorization endpoint (OIDC Core §3.1.2), by GET and POST.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use crate::flow::authorize::{self, Outcome};
use crate::oauth::params::Params;
use crate::web::{Node, cookies, csrf, extract, refuse, reply};

/// Our own parameter, beside which nothing else is read: a sealed request that comes back from one of our pages.
const PENDING: &str = "pending";

/// GET.
pub(in crate::web) async fn by_get(app: Node, req: HttpRequest) -> HttpResponse {
    match extract::query(&req) {
        Ok(params) => answer(&app, &req, &params).await,
        Err(error) => refuse::page(&req, &error),
    }
}

/// POST. A browser whose cookies stayed behind is sent here once more by GET, so that a person who is signed in stays so.
pub(in crate::web) async fn by_post(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let params = match extract::form(&app, &req, payload).await {
        Ok(params) => params,
        Err(error) => return refuse::form(&req, csrf::FormError::Body(error)),
    };
    if csrf::came_without_cookies(&app, &req) {
        return reply::see_other(&format!("/oauth2/authorize?{}", params.to_query()));
    }
    answer(&app, &req, &params).await
}

async fn answer(app: &Node, req: &HttpRequest, params: &Params) -> HttpResponse {
    let caller = extract::caller(app, req);
    let (browser, fresh) = cookies::marked(app, cookies::read(app, req));
    let outcome = match params.get(PENDING) {
        Some(sealed) => authorize::resume(app, sealed, &browser).await,
        None => authorize::begin(app, params, &browser, &caller).await,
    };
    let answer = match outcome {
        Ok(Outcome::SignIn(sealed)) => reply::see_other(&format!("/sign-in?request={sealed}")),
        Ok(Outcome::SetUpFactor) => reply::see_other(crate::web::seat::SET_UP_FACTOR),
        Ok(Outcome::SelectAccount(sealed)) => reply::see_other(&format!("/select-account?request={sealed}")),
        Ok(Outcome::Consent(sealed)) => reply::see_other(&format!("/consent?request={sealed}")),
        Ok(Outcome::Deliver(delivery)) => reply::deliver(app, req, delivery, "the app"),
        Err(refusal) => refuse::refusal(app, req, refusal),
    };
    cookies::with_mark(app, answer, fresh)
}
