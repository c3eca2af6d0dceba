//! `/v1/openapi.json` against the server that it describes: a tool that is not ours makes up requests from it, good ones and bad ones, and
//! looks whether each answer is one that is described.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::api_keys::{call, minted, token_with};
use crate::world::{On, World, environment, on_both};

/// What is looked at. Not whether everything is accepted that the description lets through: no description says that a key may end in the
/// future only, or that two credentials may not come together. Nor whether what was deleted is gone: a revoked key is shown for ever.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,negative_data_rejection,unsupported_method,ignored_auth";

/// How long it makes up requests, in seconds; `TEST_OPENAPI_SECONDS` says otherwise.
const SECONDS: &str = "30";

on_both! {
    async fn the_description_is_there_for_everybody(world: World) {
        let reply = world.get("/v1/openapi.json").await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
        let document: Value = reply.json();
        assert_eq!((&document["openapi"], &document["info"]["version"]), (&json!("3.1.0"), &json!("2024-10")));
        // A few answers held against it by hand.
        let token = token_with(&world, "keys:write keys:read instances:*").await;
        let (id, _) = minted(&world, |_| {}).await;
        let shown = call(&world, "GET", &format!("/v1/keys/{id}"), &token, None).await.json();
        let described = document["components"]["schemas"]["Key"]["properties"].as_object().unwrap();
        let names = |all: &serde_json::Map<String, Value>| all.keys().cloned().collect::<std::collections::BTreeSet<_>>();
        assert_eq!(names(shown.as_object().unwrap()), names(described));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stderr, reason = "what was left out is said")]
async fn no_answer_is_undescribed_and_none_is_a_fault() {
    let Some(python) = environment("TEST_PYTHON") else {
        eprintln!("skipped: TEST_PYTHON is not set");
        return;
    };
    let world = World::new(On::Sqlite).await.unwrap();
    let token = token_with(&world, "* keys:read keys:write keys:verify audit:read").await;
    let seconds = environment("TEST_OPENAPI_SECONDS").unwrap_or_else(|| SECONDS.to_owned());
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(Path::new(&python).with_file_name("st"));
    command
        .current_dir(folder.path())
        .arg("run")
        .arg(world.url("/v1/openapi.json"))
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--checks", CHECKS, "--max-time", &seconds])
        .args(["--suppress-health-check", "all", "--continue-on-failure", "--no-color"]);
    let ended = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{said}\n{}", String::from_utf8_lossy(&ended.stderr));
    assert!(
        said.contains("No issues found") || said.contains("Tested: 17"),
        "it tried what there is: {said}"
    );
    let report = cnx::flow::audit_log::verify(world.app(), None).await.unwrap();
    assert!(report.findings.is_empty(), "{report:?}");
}
