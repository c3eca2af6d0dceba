//! The token endpoint (RFC 6749 §3.2).

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use super::from_client;
use crate::app::App;
use crate::flow::token;
use crate::web::arrived::Arrived;
use crate::web::extract::Body;
use crate::web::{Node, extract, refuse, reply};

/// POST, form-encoded; the address's query is not read (S-T1).
pub(in crate::web) async fn token(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    answer(&app, &req, payload).await
}

/// The same, whichever way the request came in.
pub(in crate::web) async fn answer(app: &App, req: &impl Arrived, body: impl Body) -> HttpResponse {
    let (params, authorization) = match from_client(app, req, body).await {
        Ok(request) => request,
        Err(answer) => return answer,
    };
    match token::token(app, authorization, &params, &extract::caller(app, req)).await {
        Ok(answer) => reply::json(&answer),
        Err(error) => refuse::json(&error),
    }
}
