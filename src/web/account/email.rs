//! `/account/email`: another address, or showing that the present one is theirs. Dangerous: who has the address can ask for a new password.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use super::problems;
use crate::flow::own_account;
use crate::web::pages::{ChangeEmail, Problems};
use crate::web::seat::{Seat, posted_fresh, seat_fresh};
use crate::web::{Node, refuse, reply};

/// GET: the form.
pub(in crate::web) async fn show(app: Node, req: HttpRequest) -> HttpResponse {
    let seat = match seat_fresh(&app, &req).await {
        Ok(seat) => seat,
        Err(instead) => return instead,
    };
    let unverified = seat.user().email.clone().filter(|_| !seat.user().email_verified);
    page(&app, &req, &seat, unverified.unwrap_or_default(), Problems::default())
}

/// POST: a link goes to the address.
pub(in crate::web) async fn submit(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let (seat, form) = match posted_fresh(&app, &req, payload).await {
        Ok(posted) => posted,
        Err(instead) => return instead,
    };
    let typed = form.get("email").unwrap_or_default();
    match own_account::ask_for_email(&app, seat.user(), typed).await {
        Ok(_) => reply::see_other("/account?done=link-sent"),
        Err(refused) => match problems(refused, "email") {
            Ok(problems) => refuse::fields(page(&app, &req, &seat, typed.to_owned(), problems)),
            Err(error) => refuse::page(&req, &error),
        },
    }
}

fn page(app: &Node, req: &HttpRequest, seat: &Seat, email: String, problems: Problems) -> HttpResponse {
    let page = ChangeEmail {
        seat: seat.page(app, req, "/account"),
        present: seat.user().email.clone(),
        email,
        mail: app.mail.is_on(),
        problems,
    };
    reply::page(req, &page)
}
