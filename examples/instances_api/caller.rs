//! Who calls, on the gateway's word, and what is answered when that is not enough.

use std::fmt;
use std::future::{Ready, ready};
use std::net::IpAddr;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError};
use serde_json::json;

use crate::Api;

/// The newest version of this API, which whoever names none gets.
pub(crate) const NEWEST: &str = "2024-10";

/// A request that the gateway let through.
pub(crate) struct Caller {
    /// Whom the key or token speaks for.
    pub(crate) subject: String,
    /// The key; absent for an access token.
    pub(crate) key_id: Option<String>,
    /// Whose instances are meant: the organization's, or those of a token that has none.
    pub(crate) owner: String,
    /// From where, as the gateway saw it.
    pub(crate) address: Option<IpAddr>,
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(read(req))
    }
}

fn read(req: &HttpRequest) -> Result<Caller, Problem> {
    let gateway = req.app_data::<Data<Api>>().map(|api| api.gateway);
    let peer = req.peer_addr().map(|peer| peer.ip().to_canonical());
    if peer.is_none() || peer != gateway {
        return Err(Problem::new(403, "requests come through the gateway"));
    }
    match header(req, "x-api-version")? {
        None | Some(NEWEST) => {}
        Some(_) => return Err(Problem::new(400, format!("X-API-Version: allowed is {NEWEST}"))),
    }
    let subject =
        header(req, "x-cnx-subject")?.ok_or_else(|| Problem::new(401, "nobody vouches for this request"))?;
    let owner = header(req, "x-cnx-organization")?.unwrap_or(subject);
    // The last address is the gateway's word; what stands in front of it would be the caller's.
    let hops = header(req, "x-forwarded-for")?.unwrap_or_default();
    let address = hops.rsplit(',').next().and_then(|hop| hop.trim().parse().ok());
    Ok(Caller {
        subject: subject.to_owned(),
        key_id: header(req, "x-cnx-key-id")?.map(str::to_owned),
        owner: owner.to_owned(),
        address,
    })
}

/// The one value of a header. Of two, one would not be the gateway's.
pub(crate) fn header<'a>(req: &'a HttpRequest, name: &str) -> Result<Option<&'a str>, Problem> {
    let mut all = req.headers().get_all(name);
    let first = all.next();
    if all.next().is_some() {
        return Err(Problem::new(400, format!("{name} is repeated")));
    }
    match first.map(|value| value.to_str()) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
        Some(Err(_)) => Err(Problem::new(400, format!("{name} has a character that is not ASCII"))),
    }
}

/// A refusal, as problem+json (RFC 9457).
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    detail: String,
    /// Headers of cnx's answer that the caller needs: when to come again, what scope is missing.
    pub(crate) passed_on: Vec<(&'static str, String)>,
}

impl Problem {
    pub(crate) fn new(status: u16, detail: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, detail: detail.into(), passed_on: Vec::new() }
    }

    pub(crate) fn answer(&self) -> HttpResponse {
        let mut answer = HttpResponse::build(self.status);
        for (name, value) in &self.passed_on {
            answer.insert_header((*name, value.as_str()));
        }
        let title = self.status.canonical_reason().unwrap_or("Error");
        let body = json!({ "title": title, "status": self.status.as_u16(), "detail": self.detail });
        answer.content_type("application/problem+json").body(body.to_string())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        self.answer()
    }
}
