//! Who sits in front of a page: the one way by which a handler learns who is signed in, and the check of its row in the route table.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use super::pages::Seated;
use super::sign_in::person;
use super::{Node, address, cookies, csrf, extract, refuse, reply};
use crate::account::role::Role;
use crate::account::user::User;
use crate::flow::audit::By;
use crate::flow::caller::Browser;
use crate::flow::session::{self, Live};
use crate::oauth::params::Params;

/// For how long a proof of who somebody is lets them do what is dangerous, in seconds (S-L12).
pub(super) const FRESH: i64 = 300;

/// Somebody who is signed in and may have the address that they asked for.
pub(super) struct Seat {
    /// Their session.
    pub live: Live,
    /// Their browser.
    pub browser: Browser,
}

impl Seat {
    /// The person.
    pub(super) fn user(&self) -> &User {
        &self.live.user
    }

    /// What they may do.
    pub(super) fn role(&self) -> Role {
        self.live.user.role
    }

    /// Them, as the audit log names them.
    pub(super) fn by(&self, app: &Node, req: &HttpRequest) -> By {
        By::person(self.user(), &extract::caller(app, req))
    }

    /// What a page of theirs carries; `here` is its place in the menu.
    pub(super) fn page(&self, app: &Node, req: &HttpRequest, here: &'static str) -> Seated {
        let mut frame = reply::frame(app, req);
        // What they chose for their account counts where they chose nothing for this browser.
        if cookies::lang(app, req).is_none()
            && let Some(lang) = self.user().locale.as_deref().and_then(|tag| tag.parse().ok())
        {
            frame.lang = lang;
        }
        Seated {
            frame,
            person: person(self.user()),
            role: self.role(),
            here,
            csrf_token: csrf::token(app, &self.browser, true),
            notice: None,
        }
    }

    /// Whether they proved lately who they are.
    pub(super) fn is_fresh(&self, app: &Node) -> bool {
        app.now().since(self.live.session.auth_time) <= FRESH
    }
}

/// Who asks for a page; the answer instead where they may not have it.
pub(super) async fn seat(app: &Node, req: &HttpRequest) -> Result<Seat, HttpResponse> {
    let browser = cookies::read(app, req);
    let live = session::find(app, &browser, app.now()).await.map_err(|error| refuse::page(req, &error))?;
    let Some(live) = live else {
        return Err(reply::see_other(&sign_in_for(req)));
    };
    // A page that is not in the table is nobody's.
    let least = req.match_pattern().as_deref().and_then(address).and_then(|row| row.seat);
    match least {
        Some(least) if live.user.role >= least => Ok(Seat { live, browser }),
        _ => Err(refuse::not_yours(req)),
    }
}

/// Who posted a form of a page of theirs, and what it holds.
pub(super) async fn posted(
    app: &Node,
    req: &HttpRequest,
    payload: Payload,
) -> Result<(Seat, Params), HttpResponse> {
    let seat = seat(app, req).await?;
    let form = csrf::form(app, req, payload, &seat.browser, true).await;
    Ok((seat, form.map_err(|error| refuse::form(req, error))?))
}

/// Who asks for a page that ends in something dangerous: who did not prove lately who they are does so before they type anything.
pub(super) async fn seat_fresh(app: &Node, req: &HttpRequest) -> Result<Seat, HttpResponse> {
    let seat = seat(app, req).await?;
    if seat.is_fresh(app) { Ok(seat) } else { Err(reply::see_other(&sign_in_for(req))) }
}

/// The same for what is dangerous: who did not prove lately who they are does so first.
pub(super) async fn posted_fresh(
    app: &Node,
    req: &HttpRequest,
    payload: Payload,
) -> Result<(Seat, Params), HttpResponse> {
    let (seat, form) = posted(app, req, payload).await?;
    if seat.is_fresh(app) { Ok((seat, form)) } else { Err(reply::see_other(&sign_in_for(req))) }
}

/// Who posted a form with a file in it, and what the file's input holds; for what is dangerous.
pub(super) async fn posted_file(
    app: &Node,
    req: &HttpRequest,
    payload: Payload,
    wanted: (&str, usize),
) -> Result<(Seat, Vec<u8>), HttpResponse> {
    let seat = seat(app, req).await?;
    let file = csrf::file(app, req, payload, &seat.browser, wanted).await;
    let file = file.map_err(|error| refuse::form(req, error))?;
    if seat.is_fresh(app) { Ok((seat, file)) } else { Err(reply::see_other(&sign_in_for(req))) }
}

/// The sign-in page that leads back to what was asked for.
fn sign_in_for(req: &HttpRequest) -> String {
    let asked = req.uri().path_and_query().map_or("/account", |path| path.as_str());
    let next: String = url::form_urlencoded::byte_serialize(asked.as_bytes()).collect();
    format!("/sign-in?next={next}")
}
