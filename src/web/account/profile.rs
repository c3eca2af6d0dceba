//! `/account`: who is signed in.

use actix_web::{HttpRequest, HttpResponse};

use crate::web::pages::{Form, Profile};
use crate::web::seat::seat;
use crate::web::{Node, reply};

/// GET: what we know of them.
pub(in crate::web) async fn show(app: Node, req: HttpRequest) -> HttpResponse {
    let seat = match seat(&app, &req).await {
        Ok(seat) => seat,
        Err(instead) => return instead,
    };
    let frame = seat.page(&app, &req, "/account");
    let page = Profile {
        form: Form { action: "/sign-out", csrf_token: frame.csrf_token.clone(), request: String::new() },
        seat: frame,
        username: seat.user().username.clone(),
        email: seat.user().email.clone(),
        email_verified: seat.user().email_verified,
    };
    reply::page(&req, &page)
}
