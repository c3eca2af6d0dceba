//! The introspection endpoint (RFC 7662 §2).

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use super::from_client;
use crate::flow::introspect;
use crate::web::{Node, extract, refuse, reply};

/// POST, form-encoded, by an authenticated client.
pub(in crate::web) async fn introspect(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let (params, authorization) = match from_client(&app, &req, payload).await {
        Ok(request) => request,
        Err(answer) => return answer,
    };
    match introspect::introspect(&app, authorization, &params, &extract::caller(&app, &req)).await {
        Ok(answer) => reply::json(&answer),
        Err(error) => refuse::json(&error),
    }
}
