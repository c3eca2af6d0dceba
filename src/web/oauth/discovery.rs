//! Metadata and public keys. They may be kept for a while: metadata changes with the settings, keys are published longer
//! than this before they sign.

use actix_web::http::header::{self, EntityTag, HeaderValue, IfNoneMatch};
use actix_web::{HttpResponse, web};

use crate::base::fault::Fault;
use crate::oauth::error::OAuthError;
use crate::web::{Node, refuse};

const APPLICATION_JSON: HeaderValue = HeaderValue::from_static("application/json");

/// OIDC Discovery §4.
pub(in crate::web) async fn openid_configuration(app: Node) -> HttpResponse {
    document(&app, app.openid_configuration())
}

/// RFC 8414 §3.
pub(in crate::web) async fn authorization_server(app: Node) -> HttpResponse {
    document(&app, app.oauth_authorization_server())
}

fn document(app: &Node, text: Result<&str, Fault>) -> HttpResponse {
    match text {
        Ok(text) => HttpResponse::Ok()
            .content_type(APPLICATION_JSON)
            .insert_header((header::CACHE_CONTROL, max_age(app)))
            .body(text.to_owned()),
        Err(fault) => refuse::json(&OAuthError::Server(fault)),
    }
}

/// RFC 7517 §5, with an `ETag`.
pub(in crate::web) async fn jwks(app: Node, known: Option<web::Header<IfNoneMatch>>) -> HttpResponse {
    let keyring = match app.keyring(app.now()) {
        Ok(keyring) => keyring,
        Err(fault) => return refuse::json(&OAuthError::Server(fault)),
    };
    let jwks = keyring.jwks();
    let tag = EntityTag::new_strong(jwks.etag.trim_matches('"').to_owned());
    let unchanged = known.is_some_and(|known| match &*known {
        IfNoneMatch::Any => true,
        IfNoneMatch::Items(tags) => tags.iter().any(|t| t.weak_eq(&tag)),
    });
    let mut answer = if unchanged { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    answer.insert_header((header::CACHE_CONTROL, max_age(&app))).insert_header(header::ETag(tag));
    if unchanged {
        answer.finish()
    } else {
        answer.content_type("application/jwk-set+json").body(jwks.json.clone())
    }
}

fn max_age(app: &Node) -> String {
    format!("public, max-age={}", app.settings.signing.jwks_max_age_seconds)
}
