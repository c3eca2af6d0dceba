//! What handlers read of a request: the caller, the parameters, the credentials. Bounded in size and time (S-H3, S-H4).

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::error::PayloadError;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{Bytes, Payload};
use futures_util::{Stream, StreamExt as _};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::api::Problem;
use super::arrived::Arrived;
use super::{hops, multipart};
use crate::app::App;
use crate::base::json;
use crate::flow::caller::Caller;
use crate::oauth::error::OAuthError;
use crate::oauth::params::Params;

/// Why a body was not read.
#[derive(Debug)]
pub(super) enum BodyError {
    /// Over the limit: 413, the rest is not read.
    TooLarge,
    /// Not finished in time: 408.
    TooSlow,
    /// A `Content-Encoding`: 415. A few bytes could become many.
    Encoded,
    /// Not a form, or not a legal one: 400.
    Invalid(OAuthError),
}

/// Who calls.
pub(super) fn caller(app: &App, req: &impl Arrived) -> Caller {
    let user_agent = req
        .head()
        .headers()
        .get(header::USER_AGENT)
        .and_then(|v| v.to_str().ok())
        .map(|v| v.chars().take(200).collect());
    // Whose address is not known shares one place with all others of that kind.
    let address = address(app, req).unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    Caller { address, user_agent, request_id: req.id() }
}

/// The address of the client ([`hops::client`]).
pub(super) fn address(app: &App, req: &impl Arrived) -> Option<IpAddr> {
    let peer = req.head().peer_addr?.ip();
    let mut lines = req.head().headers().get_all(header::X_FORWARDED_FOR).map(HeaderValue::as_bytes);
    // Hardly ever more than one: a list of its own only where there are.
    let behind = |lines: &[&[u8]]| hops::client(peer, lines, &app.settings.trusted_proxies);
    match (lines.next(), lines.next()) {
        (None, _) => behind(&[]),
        (Some(one), None) => behind(&[one]),
        (Some(one), Some(two)) => behind(&[one, two].into_iter().chain(lines).collect::<Vec<_>>()),
    }
}

/// Whether the one who is connected to us is a trusted proxy, whose word about a request counts.
pub(super) fn is_trusted_peer(app: &App, req: &impl Arrived) -> bool {
    let peer = req.head().peer_addr.map(|address| address.ip().to_canonical());
    peer.is_some_and(|peer| hops::is_trusted(peer, &app.settings.trusted_proxies))
}

/// The parameters in the query.
pub(super) fn query(req: &impl Arrived) -> Result<Params, OAuthError> {
    Params::parse(req.query_string().as_bytes())
}

/// The form in the body. `application/x-www-form-urlencoded`, with or without charset (C6), and nothing else (S-T1).
pub(super) async fn form(app: &App, req: &impl Arrived, payload: impl Body) -> Result<Params, BodyError> {
    let named =
        |name: header::HeaderName| req.head().headers().get(name).map(|v| v.to_str().unwrap_or("?").trim());
    if named(header::CONTENT_ENCODING).is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(BodyError::Encoded);
    }
    let media =
        named(header::CONTENT_TYPE).and_then(|v| v.split(';').next()).map(str::trim).unwrap_or_default();
    if !media.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        let problem = "Content-Type must be application/x-www-form-urlencoded";
        return Err(BodyError::Invalid(OAuthError::InvalidRequest(problem.into())));
    }
    let body = bytes(app, req, payload, app.settings.limits.form_bytes).await?;
    Params::parse(&body).map_err(BodyError::Invalid)
}

/// A form with a file in it as it came, at most `limit` bytes, and the boundary of its parts (RFC 7578).
pub(super) async fn upload(
    app: &App,
    req: &HttpRequest,
    payload: Payload,
    limit: usize,
) -> Result<(Bytes, String), BodyError> {
    if req.headers().contains_key(header::CONTENT_ENCODING) {
        return Err(BodyError::Encoded);
    }
    let kind = req.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let Some(boundary) = kind.and_then(multipart::boundary) else {
        let problem = "Content-Type must be multipart/form-data with a boundary";
        return Err(BodyError::Invalid(OAuthError::InvalidRequest(problem.into())));
    };
    Ok((bytes(app, req, payload, limit).await?, boundary.to_owned()))
}

/// The JSON in the body of a request to `/v1`, read strictly (S-H16).
pub(super) async fn json(app: &App, req: &HttpRequest, payload: Payload) -> Result<Value, Problem> {
    is_plain_json(req)?;
    parsed(&bytes(app, req, payload, app.settings.limits.form_bytes).await.map_err(|error| unread(&error))?)
}

/// The body as it came, at most `limit` bytes of it: what is signed is signed byte for byte.
pub(super) async fn raw(
    app: &App,
    req: &HttpRequest,
    payload: Payload,
    limit: usize,
) -> Result<Bytes, Problem> {
    is_plain_json(req)?;
    bytes(app, req, payload, limit).await.map_err(|error| unread(&error))
}

fn is_plain_json(req: &impl Arrived) -> Result<(), Problem> {
    let media = req.head().headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let media = media.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    if !media.eq_ignore_ascii_case(b"application/json") {
        return Err(Problem::new(415, "unsupported_media_type", "Content-Type must be application/json"));
    }
    if req.head().headers().contains_key(header::CONTENT_ENCODING) {
        return Err(Problem::new(
            415,
            "unsupported_media_type",
            "Content-Encoding is not supported in requests",
        ));
    }
    Ok(())
}

/// The members of the JSON in the body of a request to `/v1`, for an address that is asked very often: read straight into their places. The
/// type must refuse members that it does not know (`deny_unknown_fields`), and hold nothing that nests: then it is as strict as
/// [`json`], which whatever it refuses is read by again, for the words of the refusal.
pub(super) async fn members<T: DeserializeOwned>(
    app: &App,
    req: &impl Arrived,
    payload: impl Body,
) -> Result<T, Problem> {
    is_plain_json(req)?;
    let body =
        bytes(app, req, payload, app.settings.limits.form_bytes).await.map_err(|error| unread(&error))?;
    // A list of the right length would be read as well, member by member.
    let is_object = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    match serde_json::from_slice(&body) {
        Ok(members) if is_object => Ok(members),
        _ => super::api::members(parsed(&body)?),
    }
}

/// What [`json`] reads, of a body that may be left out: `None` without one, whatever `Content-Type` says; what came without a type is refused
/// and not passed over.
pub(super) async fn optional_json(
    app: &App,
    req: &HttpRequest,
    payload: Payload,
) -> Result<Option<Value>, Problem> {
    let body =
        bytes(app, req, payload, app.settings.limits.form_bytes).await.map_err(|error| unread(&error))?;
    if body.is_empty() {
        return Ok(None);
    }
    is_plain_json(req)?;
    parsed(&body).map(Some)
}

fn unread(error: &BodyError) -> Problem {
    match error {
        BodyError::TooLarge => Problem::new(413, "too_large", "the request's body is too large"),
        BodyError::TooSlow => Problem::new(408, "too_slow", "the request's body did not come in time"),
        BodyError::Encoded | BodyError::Invalid(_) => Problem::invalid("the request's body ended too early"),
    }
}

pub(super) fn parsed(body: &[u8]) -> Result<Value, Problem> {
    let text = str::from_utf8(body).map_err(|_| Problem::invalid("the request's body is not UTF-8"))?;
    json::strict(text).map_err(|e| Problem::invalid(format!("the request's body is not JSON: {e}")))
}

/// A request's body, whoever holds it.
pub(super) trait Body: Stream<Item = Result<Bytes, PayloadError>> + Unpin {}
impl<T: Stream<Item = Result<Bytes, PayloadError>> + Unpin> Body for T {}

async fn bytes(
    app: &App,
    req: &impl Arrived,
    mut payload: impl Body,
    limit: usize,
) -> Result<Bytes, BodyError> {
    let announced = req
        .head()
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(BodyError::TooLarge);
    }
    let read = async {
        // Most bodies are one chunk, which needs no copy.
        let (mut first, mut body) = (Bytes::new(), Vec::new());
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| {
                BodyError::Invalid(OAuthError::InvalidRequest("the request's body ended too early".into()))
            })?;
            if first.len().max(body.len()) + chunk.len() > limit {
                return Err(BodyError::TooLarge);
            }
            if first.is_empty() {
                first = chunk;
                continue;
            }
            if body.is_empty() {
                body.reserve(announced.unwrap_or_default());
                body.extend_from_slice(&first);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(if body.is_empty() { first } else { body.into() })
    };
    let seconds = u64::try_from(app.settings.limits.body_seconds).unwrap_or(10);
    in_time(Duration::from_secs(seconds), read).await.unwrap_or(Err(BodyError::TooSlow))
}

/// What `read` comes to; `None` when it takes longer. A timer is set only when there is nothing for the second time: the HTTP library hands
/// a body over right behind its head, and most bodies came with it.
async fn in_time<T>(most: Duration, read: impl Future<Output = T>) -> Option<T> {
    let mut read = pin!(read);
    let mut is_first = true;
    let early = poll_fn(|cx| match read.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if std::mem::take(&mut is_first) => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        Poll::Pending => Poll::Ready(None),
    });
    match early.await {
        Some(done) => Some(done),
        None => tokio::time::timeout(most, read).await.ok(),
    }
}

/// The `Authorization` header as text; `Err` for two of them or one that is not ASCII.
pub(super) fn authorization(req: &impl Arrived) -> Result<Option<&str>, OAuthError> {
    let mut all = req.head().headers().get_all(header::AUTHORIZATION);
    let first = all.next();
    if all.next().is_some() {
        return Err(OAuthError::InvalidRequest("Authorization is repeated".into()));
    }
    match first {
        None => Ok(None),
        Some(value) => value.to_str().map(Some).map_err(|_| {
            OAuthError::InvalidRequest("Authorization has a character that is not ASCII".into())
        }),
    }
}

/// The bearer token of a request to a protected resource (RFC 6750 §2): from the header or the body, from one of them.
pub(super) fn bearer(req: &impl Arrived, body: Option<&Params>) -> Result<String, OAuthError> {
    if extract_query_token(req) {
        // S-U5: a token in an address ends up in logs.
        return Err(OAuthError::InvalidRequest("access_token may not stand in the address".into()));
    }
    let in_header = match authorization(req)? {
        None => None,
        Some(value) => match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Some(token.trim().to_owned()),
            _ => return Err(OAuthError::MissingToken),
        },
    };
    if let Some(body) = body {
        body.refuse_repeated()?;
    }
    let in_body = body.and_then(|b| b.get("access_token")).map(str::to_owned);
    match (in_header, in_body) {
        (Some(_), Some(_)) => {
            Err(OAuthError::InvalidRequest("the access token came in two ways; use one".into()))
        }
        (Some(token), None) | (None, Some(token)) if !token.is_empty() => Ok(token),
        _ => Err(OAuthError::MissingToken),
    }
}

fn extract_query_token(req: &impl Arrived) -> bool {
    query(req).is_ok_and(|params| params.get("access_token").is_some())
}
