//! The token endpoint (RFC 6749 §3.2).

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use super::from_client;
use crate::flow::token;
use crate::web::{Node, extract, refuse, reply};

/// POST, form-encoded; the address's query is not read (S-T1).
pub(in crate::web) async fn token(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let (params, authorization) = match from_client(&app, &req, payload).await {
        Ok(request) => request,
        Err(answer) => return answer,
    };
    match token::token(&app, authorization, &params, &extract::caller(&app, &req)).await {
        Ok(answer) => reply::json(&answer),
        Err(error) => refuse::json(&error),
    }
}
