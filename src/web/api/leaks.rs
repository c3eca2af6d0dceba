//! Keys that were found in public: `/v1/keys/report-leak`, GitHub's secret scanning, and the rules by which scanners find keys.

use actix_web::http::header::HeaderName;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::guard::single;
use super::{Problem, answer, members, version};
use crate::api_key::leak;
use crate::flow::audit::By;
use crate::flow::leaks::{self, Found};
use crate::web::{Node, extract, refuse, reply};

/// Which key GitHub signed with.
const IDENTIFIER: HeaderName = HeaderName::from_static("github-public-key-identifier");
/// Its signature over the body.
const SIGNATURE: HeaderName = HeaderName::from_static("github-public-key-signature");
/// The largest batch of GitHub's, in bytes.
const LARGEST: usize = 1024 * 1024;

/// Somebody's finding.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Report {
    /// What was found.
    key: String,
    /// Where.
    #[serde(default)]
    url: Option<String>,
}

/// One of GitHub's; members that it adds later do no harm.
#[derive(Deserialize)]
struct Finding {
    token: String,
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    source: Option<String>,
}

/// `POST /v1/keys/report-leak`: by anybody, since whoever has the key may end it. The answer is the same for every text.
pub(in crate::web) async fn report(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let done = async {
        version(&req)?;
        let caller = extract::caller(&app, &req);
        leaks::refuse_too_many(&app, &caller).await.map_err(|error| refuse::problem_of(&error))?;
        let report: Report = members(extract::json(&app, &req, payload).await?)?;
        let found = Found { text: &report.key, url: report.url.as_deref(), source: "report" };
        let done = leaks::report(&app, &By::anybody(&caller), found).await;
        done.map_err(|error| refuse::problem_of(&error))?;
        Ok(json!({ "received": true }))
    };
    answer(&app, &req, done.await, false)
}

/// `POST /v1/keys/report-leak/github`: a batch of GitHub's secret scanning, signed by GitHub.
pub(in crate::web) async fn github(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    answer(&app, &req, take_batch(&app, &req, payload).await, false)
}

async fn take_batch(app: &Node, req: &HttpRequest, payload: Payload) -> Result<Value, Problem> {
    version(req)?;
    if app.settings.leaks.github_keys_url.is_empty() {
        return Err(Problem::new(
            404,
            "not_found",
            "reports of GitHub are not taken here (leaks.github_keys_url)",
        ));
    }
    let (identifier, signature) = (single(req, &IDENTIFIER), single(req, &SIGNATURE));
    let body = extract::raw(app, req, payload, LARGEST).await?;
    let signature = signature.and_then(|text| STANDARD.decode(text).ok());
    let is_signed = match (identifier, &signature) {
        (Some(identifier), Some(signature)) => leaks::is_from_github(app, identifier, signature, &body).await,
        _ => false,
    };
    if !is_signed {
        return Err(Problem {
            challenge: Some(r#"Bearer realm="cnx""#.to_owned()),
            ..Problem::new(
                401,
                "unsigned",
                "Github-Public-Key-Identifier and Github-Public-Key-Signature of a current key over the body are needed",
            )
        });
    }
    let batch: Vec<Finding> = members(extract::parsed(&body)?)?;
    let by = By::named("github", &extract::caller(app, req));
    let mut labels = Vec::with_capacity(batch.len());
    for finding in &batch {
        let source = format!("github {}", finding.source.as_deref().unwrap_or("unknown"));
        let url = finding.url.as_deref().filter(|url| !url.is_empty());
        let found = Found { text: &finding.token, url, source: &source };
        let ours = leaks::report(app, &by, found).await.map_err(|error| refuse::problem_of(&error))?;
        labels.push(leaks::labelled(&finding.token, &finding.r#type, ours));
    }
    Ok(Value::Array(labels))
}

/// `GET /v1/keys/scanners/gitleaks.toml`
pub(in crate::web) async fn gitleaks() -> HttpResponse {
    reply::text("application/toml", leak::gitleaks_rules())
}

/// `GET /v1/keys/scanners/trufflehog.yaml`
pub(in crate::web) async fn trufflehog() -> HttpResponse {
    reply::text("application/yaml", leak::trufflehog_rules())
}
