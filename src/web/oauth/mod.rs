//! The OAuth 2 and OpenID Connect endpoints: one file each.

pub(super) mod authorize;
pub(super) mod discovery;
pub(super) mod introspect;
pub(super) mod revoke;
pub(super) mod sign_out;
pub(super) mod token;
pub(super) mod user_info;

use actix_web::HttpResponse;

use super::arrived::Arrived;
use super::extract::Body;
use super::{extract, refuse};
use crate::app::App;
use crate::oauth::params::Params;

/// What a client posts to an endpoint where it authenticates: the form, and the `Authorization` header.
async fn from_client<'r>(
    app: &App,
    req: &'r impl Arrived,
    body: impl Body,
) -> Result<(Params, Option<&'r str>), HttpResponse> {
    let form = extract::form(app, req, body).await.map_err(|error| refuse::body(&error))?;
    let authorization = extract::authorization(req).map_err(|error| refuse::json(&error))?;
    Ok((form, authorization))
}
