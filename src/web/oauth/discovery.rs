//! Metadata and public keys. They may be kept for a while: metadata changes with the settings, keys are published longer
//! than this before they sign.

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};

use crate::app::App;
use crate::base::fault::Fault;
use crate::oauth::error::OAuthError;
use crate::web::arrived::Arrived;
use crate::web::{Node, refuse};

const APPLICATION_JSON: HeaderValue = HeaderValue::from_static("application/json");
const APPLICATION_JWK_SET: HeaderValue = HeaderValue::from_static("application/jwk-set+json");

/// What is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web) enum Document {
    /// OIDC Discovery §4.
    OpenidConfiguration,
    /// RFC 8414 §3.
    AuthorizationServer,
    /// RFC 7517 §5.
    Keys,
}

impl Document {
    /// The document of an address.
    pub(in crate::web) fn at(path: &str) -> Option<Self> {
        [Self::OpenidConfiguration, Self::AuthorizationServer, Self::Keys]
            .into_iter()
            .find(|document| document.path() == path)
    }

    /// Its address.
    pub(in crate::web) const fn path(self) -> &'static str {
        match self {
            Self::OpenidConfiguration => "/.well-known/openid-configuration",
            Self::AuthorizationServer => "/.well-known/oauth-authorization-server",
            Self::Keys => "/.well-known/jwks.json",
        }
    }
}

/// OIDC Discovery §4.
pub(in crate::web) async fn openid_configuration(app: Node, req: HttpRequest) -> HttpResponse {
    show(&app, Document::OpenidConfiguration, &req)
}

/// RFC 8414 §3.
pub(in crate::web) async fn authorization_server(app: Node, req: HttpRequest) -> HttpResponse {
    show(&app, Document::AuthorizationServer, &req)
}

/// RFC 7517 §5, with an `ETag`.
pub(in crate::web) async fn jwks(app: Node, req: HttpRequest) -> HttpResponse {
    show(&app, Document::Keys, &req)
}

/// A document, whichever way the request came in.
pub(in crate::web) fn show(app: &App, document: Document, req: &impl Arrived) -> HttpResponse {
    let shown = match document {
        Document::OpenidConfiguration => app.openid_configuration().map(metadata),
        Document::AuthorizationServer => app.oauth_authorization_server().map(metadata),
        Document::Keys => keys(app, req),
    };
    match shown {
        Ok(mut answer) => {
            if let Ok(value) = HeaderValue::from_maybe_shared(app.kept_for()) {
                answer.headers_mut().insert(header::CACHE_CONTROL, value);
            }
            answer
        }
        Err(fault) => refuse::json(&OAuthError::Server(fault)),
    }
}

fn metadata(text: Bytes) -> HttpResponse {
    of(text, APPLICATION_JSON)
}

fn of(text: Bytes, media: HeaderValue) -> HttpResponse {
    let mut answer = HttpResponse::with_body(StatusCode::OK, BoxBody::new(text));
    answer.headers_mut().insert(header::CONTENT_TYPE, media);
    answer
}

fn keys(app: &App, req: &impl Arrived) -> Result<HttpResponse, Fault> {
    let keyring = app.keyring(app.now())?;
    let jwks = keyring.jwks();
    let mut answer = if is_known(req, &jwks.etag) {
        HttpResponse::new(StatusCode::NOT_MODIFIED)
    } else {
        of(jwks.json.clone(), APPLICATION_JWK_SET)
    };
    if let Ok(value) = HeaderValue::from_maybe_shared(jwks.etag.clone()) {
        answer.headers_mut().insert(header::ETAG, value);
    }
    Ok(answer)
}

/// Whether whoever asks has the one of this tag (RFC 9110 §13.1.2: compared weakly). What cannot be read is passed over: the whole is sent.
fn is_known(req: &impl Arrived, tag: &[u8]) -> bool {
    let lines = req.head().headers().get_all(header::IF_NONE_MATCH).map(HeaderValue::as_bytes);
    // Our tags hold no comma.
    lines
        .flat_map(|line| line.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .any(|one| one == b"*" || one.strip_prefix(b"W/").unwrap_or(one) == tag)
}
