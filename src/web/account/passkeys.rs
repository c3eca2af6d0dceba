//! `/account/passkeys`: a person's passkeys.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use super::{done, problems};
use crate::base::encoding::{base64url, from_base64url};
use crate::base::fault::Fault;
use crate::flow::own_account::Refused;
use crate::flow::passkeys::{self, MOST, Posted};
use crate::oauth::error::OAuthError;
use crate::oauth::params::Params;
use crate::store::passkeys::PasskeyRow;
use crate::web::pages::{PasskeyLine, Passkeys, Problems, When};
use crate::web::seat::{Seat, posted_fresh, seat};
use crate::web::{Node, cookies, extract, refuse, reply};

const HERE: &str = "/account/passkeys";

/// GET: the list.
pub(in crate::web) async fn show(app: Node, req: HttpRequest) -> HttpResponse {
    match seat(&app, &req).await {
        Ok(seat) => page(&app, &req, &seat, "", Problems::default()).await,
        Err(instead) => instead,
    }
}

/// POST: what the browser made.
pub(in crate::web) async fn add(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let (seat, form) = match posted_fresh(&app, &req, payload).await {
        Ok(posted) => posted,
        Err(instead) => return instead,
    };
    let name = form.get("name").unwrap_or_default();
    let posted = Posted {
        challenge: form.get("challenge").unwrap_or_default(),
        answer: form.get("passkey").unwrap_or_default(),
    };
    let (by, caller) = (seat.by(&app, &req), extract::caller(&app, &req));
    match passkeys::add(&app, &by, &seat.live, (name, posted), &seat.browser, &caller).await {
        Ok(cookie) => {
            let mut answer = reply::see_other("/account/passkeys?done=passkey-added");
            match answer.add_cookie(&cookies::session(&app, cookie.reveal().clone())) {
                Ok(()) => answer,
                Err(error) => {
                    let fault = Fault::new("setting a cookie", error.to_string());
                    refuse::page(&req, &OAuthError::Server(fault))
                }
            }
        }
        Err(refused) => again(&app, &req, &seat, name, refused).await,
    }
}

/// POST: another name.
pub(in crate::web) async fn rename(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let (seat, form) = match posted_fresh(&app, &req, payload).await {
        Ok(posted) => posted,
        Err(instead) => return instead,
    };
    let name = form.get("name").unwrap_or_default();
    match passkeys::rename(&app, &seat.by(&app, &req), seat.user(), &id(&form), name).await {
        Ok(()) => reply::see_other("/account/passkeys?done=passkey-renamed"),
        Err(Refused::Field("name", problem)) => {
            again(&app, &req, &seat, "", Refused::Field("passkey", problem)).await
        }
        Err(refused) => again(&app, &req, &seat, "", refused).await,
    }
}

/// POST: one less.
pub(in crate::web) async fn remove(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let (seat, form) = match posted_fresh(&app, &req, payload).await {
        Ok(posted) => posted,
        Err(instead) => return instead,
    };
    let (by, caller) = (seat.by(&app, &req), extract::caller(&app, &req));
    match passkeys::remove(&app, &by, &seat.live, &id(&form), &caller).await {
        Ok(()) => reply::see_other("/account/passkeys?done=passkey-removed"),
        Err(refused) => again(&app, &req, &seat, "", refused).await,
    }
}

/// Which one a form is about; that of no passkey where it cannot be read.
fn id(form: &Params) -> Vec<u8> {
    form.get("id").and_then(from_base64url).unwrap_or_default()
}

async fn again(app: &Node, req: &HttpRequest, seat: &Seat, name: &str, refused: Refused) -> HttpResponse {
    match problems(refused, "passkey") {
        Ok(problems) => refuse::fields(page(app, req, seat, name, problems).await),
        Err(error) => refuse::page(req, &error),
    }
}

async fn page(app: &Node, req: &HttpRequest, seat: &Seat, name: &str, problems: Problems) -> HttpResponse {
    let asked = match passkeys::list(app, seat.user().id).await {
        Ok(own) if own.len() >= MOST => Ok((own, None)),
        Ok(own) => passkeys::ask_new(app, seat.user(), &own, &seat.browser).map(|ask| (own, ask)),
        Err(error) => Err(error),
    };
    let (own, ask) = match asked {
        Ok(asked) => asked,
        Err(error) => return refuse::page(req, &error),
    };
    let mut frame = seat.page(app, req, HERE);
    frame.notice = done(req);
    let page = Passkeys {
        seat: frame,
        passkeys: own.iter().map(line).collect(),
        ask: ask.map(Into::into),
        possible: passkeys::are_possible(app),
        name: name.to_owned(),
        problems,
    };
    reply::page(req, &page)
}

fn line(row: &PasskeyRow) -> PasskeyLine {
    PasskeyLine {
        id: base64url(&row.id),
        name: row.name.clone(),
        added: When::at(row.created_at),
        used: row.last_used_at.map(When::at),
    }
}
