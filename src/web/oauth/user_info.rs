//! The userinfo endpoint (OIDC Core §5.3), by GET, by POST, and by POST with the token in the body.

use actix_web::http::header;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use crate::app::App;
use crate::flow::user_info::{self, UserInfo};
use crate::oauth::params::Params;
use crate::web::arrived::Arrived;
use crate::web::{Node, extract, refuse, reply};

/// GET with a bearer token.
pub(in crate::web) async fn by_get(app: Node, req: HttpRequest) -> HttpResponse {
    answer(&app, &req, None).await
}

/// POST with a bearer token in the header, or in a form.
pub(in crate::web) async fn by_post(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    if !req.headers().contains_key(header::CONTENT_TYPE) {
        return answer(&app, &req, None).await;
    }
    match extract::form(&app, &req, payload).await {
        Ok(form) => answer(&app, &req, Some(&form)).await,
        Err(error) => refuse::body(&error),
    }
}

/// The answer to a token, whichever way the request came in; `form` is its body.
pub(in crate::web) async fn answer(app: &App, req: &impl Arrived, form: Option<&Params>) -> HttpResponse {
    let token = match extract::bearer(req, form) {
        Ok(token) => token,
        Err(error) => return refuse::bearer(&error),
    };
    match user_info::user_info(app, &token).await {
        Ok(UserInfo::Json(claims)) => reply::json(&claims),
        Ok(UserInfo::Signed(jwt)) => HttpResponse::Ok()
            .content_type("application/jwt")
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .body(jwt),
        Err(error) => refuse::bearer(&error),
    }
}
