//! The administrators' console.

pub(super) mod account_page;
mod app_form;
pub(super) mod app_page;
pub(super) mod apps;
pub(super) mod audit;
pub(super) mod explain;
pub(super) mod key_about;
pub(super) mod key_made;
pub(super) mod key_turns;
pub(super) mod keys;
pub(super) mod organization;
mod page;
pub(super) mod people;
pub(super) mod person;
pub(super) mod service_accounts;
pub(super) mod sessions;
pub(super) mod signing_keys;
pub(super) mod trust_form;
pub(super) mod usage;

use actix_web::{HttpRequest, HttpResponse};

use super::{Node, cookies, reply, seat};
use crate::flow::session;

/// `/`: to where people begin.
pub(super) async fn home(app: Node, req: HttpRequest) -> HttpResponse {
    let live = session::find(&app, &cookies::read(&app, &req), app.now()).await.ok().flatten();
    reply::see_other(seat::landing(live.is_some_and(|live| live.user.is_admin())))
}

/// `/console`: its first page.
pub(super) async fn first() -> HttpResponse {
    reply::see_other("/console/keys")
}
