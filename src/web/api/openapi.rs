//! `/v1/openapi.json`: what `/v1` takes and answers, written from the types and addresses of the code. A test holds that no address is missing.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use actix_web::HttpResponse;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, Required, Response, ResponseBuilder};
use utoipa::{IntoParams, IntoResponses, Modify, OpenApi, ToSchema};

use super::{VERSIONS, audit, keys, leaks, service_accounts, streams, verify};
use crate::flow::audit_log::FILTERS;
use crate::web::{Node, reply};

/// What was refused, and why (RFC 9457).
#[derive(ToSchema)]
#[schema(as = Problem)]
#[expect(
    dead_code,
    reason = "only its schema is used; the answer is written in web/refuse.rs, since few members are always there"
)]
pub(super) struct ProblemShape {
    /// The kind: `about:blank`, or that of a used-up quota.
    r#type: String,
    /// The status in words.
    title: String,
    /// The status.
    status: u16,
    /// A sentence that names the field and what is allowed.
    detail: String,
    /// A stable word.
    code: String,
    /// The id that the answer carries in `X-Request-Id` too.
    request_id: String,
    /// The member that is wrong.
    field: Option<String>,
    /// The budgets that are used up.
    #[schema(rename = "violated-policies")]
    violated_policies: Option<Vec<String>>,
}

fn problem(description: &str) -> RefOr<Response> {
    let content = Content::new(Some(Ref::from_schema_name("Problem")));
    let response =
        ResponseBuilder::new().description(description).content("application/problem+json", content);
    response.build().into()
}

fn problems(list: &[(&str, &str)]) -> BTreeMap<String, RefOr<Response>> {
    list.iter().map(|(status, text)| ((*status).to_owned(), problem(text))).collect()
}

/// What every address may refuse with.
pub(super) struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            ("400", "The request cannot be understood; `detail` names the field and what is allowed."),
            ("401", "No credential, or one that is not good. Which of several checks failed is not told."),
            ("403", "The credential lacks what is needed; `WWW-Authenticate` names a scope that is missing."),
            ("429", "Too often; `Retry-After` says when to come again."),
            ("500", "Something of ours went wrong; `request_id` finds it in the log."),
            ("503", "No decision can be made now; `Retry-After` says when to come again."),
        ])
    }
}

/// What an address that takes a body may refuse with besides.
pub(super) struct BodyRefusals;

impl IntoResponses for BodyRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            ("408", "The body did not come in time."),
            ("413", "The body is too large."),
            ("415", "The body is not `application/json`, or it is encoded."),
        ])
    }
}

/// What an address about one thing may refuse with besides.
pub(super) struct NotFound;

impl IntoResponses for NotFound {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[("404", "There is no such thing, or it is not the caller's.")])
    }
}

/// What an address that changes something may refuse with besides.
pub(super) struct Conflict;

impl IntoResponses for Conflict {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[("409", "It is not in a state in which this can be done; `detail` says why.")])
    }
}

/// The filters of the audit log, by the names that the code reads.
pub(super) struct AuditFilters;

impl IntoParams for AuditFilters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let of = |name: &&str| {
            let schema = match *name {
                "after" | "before" => ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)),
                "since" | "until" => ObjectBuilder::new()
                    .schema_type(Type::String)
                    .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))),
                "outcome" => {
                    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["done", "refused"]))
                }
                _ => ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)),
            };
            let about = match *name {
                "act" => "One act by its name, such as `key.minted`, or all of a kind: `key.*`.",
                "actor" => "Who did it, such as `user:…`, `client:…`, `key:…`, `system`.",
                "subject" => "What it was done to, such as `key:…`.",
                "outcome" => "What was done, or what was refused.",
                "request_id" => "The request, by the id that its answer carried.",
                "since" => "From this moment on.",
                "until" => "Before this moment.",
                "after" => "Events with a larger `seq`, the oldest first: to read on.",
                _ => "Events with a smaller `seq`: the next page.",
            };
            ParameterBuilder::new()
                .name(*name)
                .parameter_in(ParameterIn::Query)
                .required(Required::False)
                .description(Some(about))
                .schema(Some(Schema::Object(schema.build())))
                .build()
        };
        FILTERS.iter().map(of).collect()
    }
}

/// A bearer token, or an API key in a header of its own.
struct Credentials;

impl Modify for Credentials {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        VERSIONS.first().copied().unwrap_or_default().clone_into(&mut document.info.version);
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        let header = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key")));
        components.add_security_scheme("key", header);
    }
}

/// The document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "CloudNexus Identity",
        description = "API keys, streams, service accounts and the audit log. Every answer carries `X-Request-Id`; `X-API-Version` says which version is meant, the newest when absent."
    ),
    servers((url = "/")),
    security(("bearer" = []), ("key" = [])),
    modifiers(&Credentials),
    components(schemas(ProblemShape)),
    paths(
        keys::list, keys::mint, keys::show, keys::change, keys::rotate, keys::revoke, verify::verify,
        leaks::report, leaks::github, leaks::gitleaks, leaks::trufflehog,
        streams::open, streams::renew, streams::close,
        service_accounts::publish_key,
        audit::list, audit::export,
    )
)]
pub(in crate::web) struct Document;

/// Built once: it is the same for everybody.
static WRITTEN: LazyLock<String> = LazyLock::new(|| Document::openapi().to_json().unwrap_or_default());

/// `GET /v1/openapi.json`
pub(in crate::web) async fn document(_: Node) -> HttpResponse {
    reply::text("application/json", WRITTEN.clone())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;
    use utoipa::OpenApi as _;

    use super::Document;

    #[test]
    fn every_address_of_v1_is_described_and_nothing_else() {
        let document: Value = serde_json::from_str(&Document::openapi().to_json().unwrap()).unwrap();
        let described: BTreeSet<(String, String)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                item.as_object().unwrap().keys().map(move |method| (path.clone(), method.to_uppercase()))
            })
            .collect();
        let ours: BTreeSet<(String, String)> = crate::web::addresses_of_v1()
            .filter(|(path, _)| *path != "/v1/openapi.json")
            .map(|(path, method)| (path.to_owned(), method.to_owned()))
            .collect();
        assert_eq!(described, ours);
    }

    #[test]
    fn every_refusal_is_described_as_a_problem() {
        let document: Value = serde_json::from_str(&Document::openapi().to_json().unwrap()).unwrap();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                for (status, answer) in operation["responses"].as_object().unwrap() {
                    if status.starts_with(['4', '5']) {
                        assert!(
                            answer["content"]["application/problem+json"].is_object(),
                            "{method} {path} {status}"
                        );
                    }
                }
            }
        }
    }
}
