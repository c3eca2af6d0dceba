//! `/account/identities`: accounts elsewhere that open a person's own. The list is on the page of second factors.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use super::{problems, security};
use crate::flow::identities;
use crate::flow::sign_in::upstream::{self, Refused, Wanted};
use crate::web::pages::{FieldProblem, Problems};
use crate::web::seat::posted_fresh;
use crate::web::sign_in::upstream::{away, failed};
use crate::web::{Node, cookies, extract, refuse, reply};

/// POST: to the provider, to show who they are there.
pub(in crate::web) async fn add(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let (seat, form) = match posted_fresh(&app, &req, payload).await {
        Ok(posted) => posted,
        Err(instead) => return instead,
    };
    let (browser, fresh) = cookies::marked(&app, seat.browser.clone());
    let id = form.get("provider").unwrap_or_default();
    let answer = match upstream::go(&app, id, Wanted::Add(&seat.live), &browser).await {
        Ok(out) => away(&app, &req, out),
        // It stood on a page that was open when it was taken away.
        Err(Refused::NoProvider) => {
            let problem = "nobody signs in through that provider now";
            let problems = Problems(vec![FieldProblem { field: "identity", problem: problem.into() }]);
            refuse::fields(security::page(&app, &req, &seat, problems).await)
        }
        Err(refused) => failed(&app, &req, browser, refused).await,
    };
    cookies::with_mark(&app, answer, fresh)
}

/// POST: one less.
pub(in crate::web) async fn remove(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let (seat, form) = match posted_fresh(&app, &req, payload).await {
        Ok(posted) => posted,
        Err(instead) => return instead,
    };
    let key = (form.get("issuer").unwrap_or_default(), form.get("subject").unwrap_or_default());
    let (by, caller) = (seat.by(&app, &req), extract::caller(&app, &req));
    match identities::remove(&app, &by, &seat.live, key, &caller).await {
        Ok(()) => reply::see_other("/account/security?done=identity-removed"),
        Err(refused) => match problems(refused, "identity") {
            Ok(problems) => refuse::fields(security::page(&app, &req, &seat, problems).await),
            Err(error) => refuse::page(&req, &error),
        },
    }
}
