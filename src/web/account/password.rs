//! `/account/password`: another password. Who has one proves who they are by it, in the same form; who has none proves it as for anything
//! else that is dangerous.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use super::{done, problems};
use crate::base::fault::Fault;
use crate::base::secret::Secret;
use crate::flow::own_account;
use crate::flow::people;
use crate::oauth::error::OAuthError;
use crate::web::pages::{ChangePassword, Problems};
use crate::web::seat::{Seat, posted, seat, seat_fresh};
use crate::web::{Node, cookies, extract, refuse, reply};

/// GET: the form.
pub(in crate::web) async fn show(app: Node, req: HttpRequest) -> HttpResponse {
    let seat = match seat(&app, &req).await {
        Ok(seat) if seat.user().password.is_some() => seat,
        Ok(_) => match seat_fresh(&app, &req).await {
            Ok(seat) => seat,
            Err(instead) => return instead,
        },
        Err(instead) => return instead,
    };
    page(&app, &req, &seat, Problems::default()).await
}

/// POST: the new password; the session goes on under a new cookie.
pub(in crate::web) async fn submit(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let (seat, form) = match posted(&app, &req, payload).await {
        Ok(posted) => posted,
        Err(instead) => return instead,
    };
    if seat.user().password.is_none() && !seat.is_fresh(&app) {
        return reply::see_other("/account/password");
    }
    let text = |name: &str| Secret::new(form.get(name).unwrap_or_default().to_owned());
    let typed = (text("current_password"), text("password"));
    let (by, caller) = (seat.by(&app, &req), extract::caller(&app, &req));
    match own_account::change_password(&app, &by, &seat.live, typed, &caller).await {
        Ok(cookie) => {
            let mut answer = reply::see_other("/account/password?done=password");
            if let Err(error) = answer.add_cookie(&cookies::session(&app, cookie.reveal().clone())) {
                let fault = Fault::new("setting a cookie", error.to_string());
                return refuse::page(&req, &OAuthError::Server(fault));
            }
            answer
        }
        Err(refused) => match problems(refused, "current_password") {
            Ok(problems) => refuse::fields(page(&app, &req, &seat, problems).await),
            Err(error) => refuse::page(&req, &error),
        },
    }
}

async fn page(app: &Node, req: &HttpRequest, seat: &Seat, problems: Problems) -> HttpResponse {
    let min_length = match people::least_length(app, seat.user().id).await {
        Ok(least) => least,
        Err(error) => return refuse::page(req, &error),
    };
    let mut frame = seat.page(app, req, "/account/password");
    frame.notice = done(req);
    let page = ChangePassword {
        seat: frame,
        username: seat.user().username.clone(),
        has_password: seat.user().password.is_some(),
        min_length,
        problems,
    };
    reply::page(req, &page)
}
