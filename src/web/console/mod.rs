//! The administrators' console.

use actix_web::HttpResponse;

use super::reply;

/// `/`: to where people begin.
pub(super) async fn home() -> HttpResponse {
    reply::see_other("/account")
}
