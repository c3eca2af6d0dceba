//! Keys that were found in public: `/v1/keys/report-leak`, GitHub's secret scanning, and the rules by which scanners find keys.

use actix_web::http::header::HeaderName;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::guard::single;
use super::openapi::{BodyRefusals, NotFound, Refusals};
use super::{Problem, answer, members, version};
use crate::api_key::leak;
use crate::flow::audit::By;
use crate::flow::leaks::{self, Found, Label};
use crate::web::{Node, extract, refuse, reply};

/// Which key GitHub signed with.
const IDENTIFIER: HeaderName = HeaderName::from_static("github-public-key-identifier");
/// Its signature over the body.
const SIGNATURE: HeaderName = HeaderName::from_static("github-public-key-signature");
/// The largest batch of GitHub's, in bytes.
const LARGEST: usize = 1024 * 1024;

/// Somebody's finding.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LeakReport)]
pub(super) struct Report {
    /// What was found.
    key: String,
    /// Where.
    #[serde(default)]
    url: Option<String>,
}

/// One of GitHub's; members that it adds later do no harm.
#[derive(Deserialize, ToSchema)]
#[schema(as = GithubFinding)]
pub(super) struct Finding {
    /// What was found.
    token: String,
    /// The name of the pattern that it was found by.
    #[serde(default)]
    r#type: String,
    /// Where.
    #[serde(default)]
    url: Option<String>,
    /// In what kind of place: `content`, `commit`, `issue_title`, …
    #[serde(default)]
    source: Option<String>,
}

/// That a report came; the same for every text.
#[derive(Serialize, ToSchema)]
pub(super) struct Received {
    received: bool,
}

/// Reports a key that was found in public. Whoever has it may: no credential is needed, and the answer is the same for every text.
#[utoipa::path(post, path = "/v1/keys/report-leak", operation_id = "report_leak", tag = "leaks", security(()), request_body = Report,
    responses((status = 200, description = "It was received.", body = Received), Refusals, BodyRefusals))]
pub(in crate::web) async fn report(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let done = async {
        version(&req)?;
        let caller = extract::caller(&app, &req);
        leaks::refuse_too_many(&app, &caller, leaks::MOST)
            .await
            .map_err(|error| refuse::problem_of(&error))?;
        let report: Report = members(extract::json(&app, &req, payload).await?)?;
        let found = Found { text: &report.key, url: report.url.as_deref(), source: "report" };
        let done = leaks::report(&app, &By::anybody(&caller), found).await;
        done.map_err(|error| refuse::problem_of(&error))?;
        Ok(Received { received: true })
    };
    answer(&app, &req, done.await, false)
}

/// Takes a batch of GitHub's secret scanning, signed by GitHub (`Github-Public-Key-Identifier`, `Github-Public-Key-Signature`).
#[utoipa::path(post, path = "/v1/keys/report-leak/github", operation_id = "report_leaks_of_github", tag = "leaks", security(()),
    params(("Github-Public-Key-Identifier" = String, Header, description = "Which key signed."),
        ("Github-Public-Key-Signature" = String, Header, description = "Its signature over the body, base64 of ASN.1.")),
    request_body = Vec<Finding>,
    responses((status = 200, description = "What each finding is.", body = Vec<Label>), Refusals, BodyRefusals, NotFound))]
pub(in crate::web) async fn github(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    answer(&app, &req, take_batch(&app, &req, payload).await, false)
}

async fn take_batch(app: &Node, req: &HttpRequest, payload: Payload) -> Result<Vec<Label>, Problem> {
    version(req)?;
    if app.settings.leaks.github_keys_url.is_empty() {
        return Err(Problem::new(
            404,
            "not_found",
            "reports of GitHub are not taken here (leaks.github_keys_url)",
        ));
    }
    let caller = extract::caller(app, req);
    leaks::refuse_too_many(app, &caller, leaks::MOST_BATCHES)
        .await
        .map_err(|error| refuse::problem_of(&error))?;
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
    let batch: Vec<Finding> = serde_json::from_value(extract::parsed(&body)?)
        .map_err(|e| Problem::invalid(format!("a list of findings is needed: {e}")))?;
    let by = By::named("github", &caller);
    let mut labels = Vec::with_capacity(batch.len());
    for finding in &batch {
        let source = format!("github {}", finding.source.as_deref().unwrap_or("unknown"));
        let url = finding.url.as_deref().filter(|url| !url.is_empty());
        let found = Found { text: &finding.token, url, source: &source };
        let ours = leaks::report(app, &by, found).await.map_err(|error| refuse::problem_of(&error))?;
        labels.push(Label::of(&finding.token, &finding.r#type, ours));
    }
    Ok(labels)
}

/// A rule by which gitleaks finds keys.
#[utoipa::path(get, path = "/v1/keys/scanners/gitleaks.toml", operation_id = "gitleaks_rules", tag = "leaks", security(()),
    responses((status = 200, description = "The rule.", body = String, content_type = "application/toml")))]
pub(in crate::web) async fn gitleaks() -> HttpResponse {
    reply::text("application/toml", leak::gitleaks_rules())
}

/// A detector by which `TruffleHog` finds keys.
#[utoipa::path(get, path = "/v1/keys/scanners/trufflehog.yaml", operation_id = "trufflehog_rules", tag = "leaks", security(()),
    responses((status = 200, description = "The detector.", body = Object, content_type = "application/yaml")))]
pub(in crate::web) async fn trufflehog() -> HttpResponse {
    reply::text("application/yaml", leak::trufflehog_rules())
}
