//! The administrators' console.

pub(super) mod key_about;
pub(super) mod key_made;
pub(super) mod key_turns;
pub(super) mod keys;
pub(super) mod usage;

use actix_web::HttpResponse;

use super::reply;

/// `/`: to where people begin.
pub(super) async fn home() -> HttpResponse {
    reply::see_other("/account")
}

/// `/console`: its first page.
pub(super) async fn first() -> HttpResponse {
    reply::see_other("/console/keys")
}
