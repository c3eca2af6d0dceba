//! The revocation endpoint (RFC 7009 §2).

use actix_web::http::header;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use super::from_client;
use crate::flow::revoke;
use crate::web::{Node, extract, refuse};

/// POST, form-encoded. 200 with an empty body and no `Content-Type` (C25).
pub(in crate::web) async fn revoke(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let (params, authorization) = match from_client(&app, &req, payload).await {
        Ok(request) => request,
        Err(answer) => return answer,
    };
    match revoke::revoke(&app, authorization, &params, &extract::caller(&app, &req)).await {
        Ok(()) => HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).finish(),
        Err(error) => refuse::json(&error),
    }
}
