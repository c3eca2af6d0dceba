//! Clients that nobody here wrote, against a whole server: openid-client, authlib and requests-oauthlib, and headless Chromium.
//!
//! `tests/run` installs them and says where they are (`TEST_NODE`, `TEST_PYTHON`, `TEST_CHROMIUM`); without that each test says
//! that it was left out. What is sent and checked stands in `tests/clients/`.

use std::path::PathBuf;
use std::process::Command;

use cnx::base::time::Clock;
use serde_json::{Value, json};

use crate::world::{On, PASSWORD, World, environment, free_port};

const USER: &str = "ada";
const SCOPE: &str = "openid profile email offline_access phone api:read api:write";

/// Nobody listens there: the simulated person stops where the redirect would lead.
const REDIRECT: &str = "http://127.0.0.1:1/callback";
const AFTER: &str = "http://127.0.0.1:1/signed-out";

#[tokio::test(flavor = "multi_thread")]
async fn openid_client_walks_the_whole_journey_on_sqlite() {
    walk(On::Sqlite, "TEST_NODE", "openid_client.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openid_client_walks_the_whole_journey_on_postgres() {
    walk(On::Postgres, "TEST_NODE", "openid_client.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn authlib_and_requests_oauthlib_walk_the_whole_journey_on_sqlite() {
    walk(On::Sqlite, "TEST_PYTHON", "authlib_client.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn authlib_and_requests_oauthlib_walk_the_whole_journey_on_postgres() {
    walk(On::Postgres, "TEST_PYTHON", "authlib_client.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_in_chromium_goes_from_app_to_sign_out_on_sqlite() {
    browse(On::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_in_chromium_goes_from_app_to_sign_out_on_postgres() {
    browse(On::Postgres).await;
}

/// A world with the real time, which is what other people's clients go by.
async fn world(on: On) -> Option<World> {
    let world = World::with(on, Clock::System, |_| {}).await?;
    world.add_user(USER).await;
    Some(world)
}

async fn walk(on: On, runtime: &str, script: &'static str) {
    let (Some(program), Some(world)) = (present(runtime), world(on).await) else { return };
    let client = world.add_client(confidential(REDIRECT, AFTER)).await;
    let mut public = confidential(REDIRECT, AFTER);
    public["token_endpoint_auth_method"] = json!("none");
    public["grant_types"] = json!(["authorization_code", "refresh_token"]);
    let public = world.add_client(public).await;
    let told = vec![
        ("CNX_TEST_URL", world.base.clone()),
        ("CNX_TEST_CLIENT_ID", client.id),
        ("CNX_TEST_CLIENT_SECRET", client.secret.unwrap()),
        ("CNX_TEST_PUBLIC_CLIENT_ID", public.id),
        ("CNX_TEST_USER", USER.to_owned()),
        ("CNX_TEST_PASSWORD", PASSWORD.to_owned()),
        ("CNX_TEST_REDIRECT_URI", REDIRECT.to_owned()),
        ("CNX_TEST_POST_LOGOUT_REDIRECT_URI", AFTER.to_owned()),
    ];
    run(program, script, told).await;
}

async fn browse(on: On) {
    let (Some(node), Some(chromium)) = (present("TEST_NODE"), present("TEST_CHROMIUM")) else { return };
    let Some(world) = world(on).await else { return };
    // The app stands on the server's own host name, so that a browser counts both as one site (C30).
    let host = world.base.rsplit_once(':').unwrap().0;
    let app = format!("{host}:{}", free_port());
    let client = world.add_client(confidential(&format!("{app}/callback"), &format!("{app}/"))).await;
    let mut told = vec![
        ("CNX_TEST_URL", world.base.clone()),
        ("CNX_TEST_CLIENT_ID", client.id),
        ("CNX_TEST_CLIENT_SECRET", client.secret.unwrap()),
        ("CNX_TEST_USER", USER.to_owned()),
        ("CNX_TEST_PASSWORD", PASSWORD.to_owned()),
        ("CNX_TEST_APP_URL", app),
        ("CNX_TEST_CHROMIUM", chromium),
    ];
    told.extend(screenshots());
    run(node, "browser.mjs", told).await;
}

fn confidential(redirect: &str, after: &str) -> Value {
    json!({
        "client_name": "Third-party app",
        "redirect_uris": [redirect],
        "post_logout_redirect_uris": [after],
        "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
        "token_endpoint_auth_method": "client_secret_basic",
        "scope": SCOPE,
    })
}

/// Where pictures of pages go, when `tests/run --screenshots` wants them.
pub fn screenshots() -> Option<(&'static str, String)> {
    environment("CNX_TEST_SCREENSHOTS").map(|folder| ("CNX_TEST_SCREENSHOTS", folder))
}

/// Runs a script of `tests/clients` until it ends, on a thread of its own: the server may share this one.
pub async fn run(program: String, script: &'static str, told: Vec<(&'static str, String)>) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let command = move || Command::new(program).arg(script).current_dir(folder).envs(told).output();
    let ended = tokio::task::spawn_blocking(command).await.unwrap().unwrap();
    let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(
        ended.status.success() && out.trim_end().ends_with("OK"),
        "{script}: {}\n{out}\n{err}",
        ended.status
    );
}

/// What `tests/run` found, or a word that this test was left out.
#[expect(clippy::print_stderr, reason = "a test that did nothing must say so")]
pub fn present(name: &str) -> Option<String> {
    let found = environment(name);
    if found.is_none() {
        eprintln!("skipped: {name} is not set; tests/run sets it");
    }
    found
}
