//! Machines that nobody here wrote, against a whole server: stock google-auth, authlib and `PyJWT`, jose and openid-client; and our own
//! two examples, which users copy, through three rotations of their key.

use std::path::{Path, PathBuf};
use std::process::Command;

use cnx::base::algorithm::Algorithm;
use cnx::base::encoding::base64url;
use cnx::base::entropy::Entropy;
use cnx::base::time::Clock;
use cnx::flow::service_accounts;
use cnx::jose::signing_key::SigningKey;
use serde_json::{Value, json};

use crate::third_party::{present, run};
use crate::world::{On, World, by};

const API: &str = "https://api.example.com";

/// A key file of a new account in `folder`.
async fn key_file(world: &World, folder: &Path, name: &str, alg: Algorithm, google: bool) -> String {
    let policy = json!({"scope": "api:read api:write", "audience": [API], "google_auth": google});
    let account = world.account(name, policy).await;
    let (key, pem) = service_accounts::make_key(world.app(), by(), &account, alg, None).await.unwrap();
    let path = folder.join(format!("{name}.json"));
    let file = service_accounts::key_file(world.app(), &account, &key, &pem);
    std::fs::write(&path, file.to_string()).unwrap();
    path.display().to_string()
}

/// An API that may ask about the machines' tokens.
async fn api(world: &World, more: Value) -> crate::world::TestClient {
    let mut members = json!({"grant_types": ["client_credentials"], "response_types": [], "redirect_uris": [],
        "scope": "api:read", "audience": [API]});
    for (name, value) in more.as_object().unwrap() {
        members[name] = value.clone();
    }
    world.add_client(members).await
}

async fn world(on: On) -> Option<World> {
    World::with(on, Clock::System, |settings| settings.limits.client_failures = 1000).await
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_google_auth_authlib_and_pyjwt_take_our_key_files() {
    for on in [On::Sqlite, On::Postgres] {
        let (Some(python), Some(world)) = (present("TEST_PYTHON"), world(on).await) else { continue };
        let folder = tempfile::tempdir().unwrap();
        let client = api(&world, json!({})).await;
        let told = vec![
            ("CNX_TEST_URL", world.base.clone()),
            ("CNX_TEST_AUDIENCE", API.to_owned()),
            ("CNX_TEST_CLIENT_ID", client.id),
            ("CNX_TEST_CLIENT_SECRET", client.secret.unwrap()),
            (
                "CNX_TEST_KEY_FILE_GOOGLE",
                key_file(&world, folder.path(), "google", Algorithm::Rs256, true).await,
            ),
            (
                "CNX_TEST_KEY_FILE_STRICT",
                key_file(&world, folder.path(), "strict", Algorithm::Rs256, false).await,
            ),
        ];
        run(python, "google_auth.py", told).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jose_and_openid_client_authenticate_by_assertion() {
    for on in [On::Sqlite, On::Postgres] {
        let (Some(node), Some(world)) = (present("TEST_NODE"), world(on).await) else { continue };
        let folder = tempfile::tempdir().unwrap();
        let made = SigningKey::generate(Algorithm::Es256, 2048, &Entropy::system()).unwrap();
        let mut private = made.public_jwk.clone();
        // Where the number stands in PKCS#8 of a P-256 key (RFC 5915 section 3).
        private["d"] = json!(base64url(&made.private_der.reveal()[36..68]));
        let jwk = folder.path().join("jwk.json");
        std::fs::write(&jwk, private.to_string()).unwrap();
        let keys =
            json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [made.public_jwk]}});
        let told = vec![
            ("CNX_TEST_URL", world.base.clone()),
            ("CNX_TEST_AUDIENCE", API.to_owned()),
            (
                "CNX_TEST_KEY_FILE_STRICT2",
                key_file(&world, folder.path(), "strict", Algorithm::Es256, false).await,
            ),
            ("CNX_TEST_JWT_CLIENT_ID", api(&world, keys).await.id),
            ("CNX_TEST_JWT_CLIENT_JWK", jwk.display().to_string()),
        ];
        run(node, "machine_jose.mjs", told).await;
    }
}

/// Runs a program until it ends; its output.
async fn ends_well(program: String, arguments: Vec<String>) -> String {
    let command = move || Command::new(program).args(arguments).output();
    let ended = tokio::task::spawn_blocking(command).await.unwrap().unwrap();
    let out = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(ended.status.success(), "{}\n{out}\n{}", ended.status, String::from_utf8_lossy(&ended.stderr));
    out
}

fn member(path: &str, name: &str) -> String {
    let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    file[name].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_example_gets_tokens_and_rotates_its_own_key() {
    let (Some(python), Some(world)) = (present("TEST_PYTHON"), world(On::Sqlite).await) else { return };
    let example =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/service_assertion.py").display().to_string();
    let folder = tempfile::tempdir().unwrap();
    let file = key_file(&world, folder.path(), "ci", Algorithm::Es256, false).await;
    let mut kids = vec![member(&file, "private_key_id")];
    for _ in 0..3 {
        let token = ends_well(python.clone(), vec![example.clone(), file.clone(), "token".to_owned()]).await;
        assert_eq!(token.trim().split('.').count(), 3);
        ends_well(python.clone(), vec![example.clone(), file.clone(), "rotate".to_owned()]).await;
        kids.push(member(&file, "private_key_id"));
    }
    ends_well(python, vec![example, file, "token".to_owned()]).await;
    let keys = service_accounts::find(world.app(), "ci").await.unwrap().keys;
    assert_eq!(keys.len(), 4);
    assert!(kids.iter().all(|kid| keys.iter().any(|key| key.kid == *kid)));
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stderr, reason = "a test that did nothing must say so")]
async fn the_rust_example_rotates_its_own_key_three_times_under_constant_traffic() {
    let example = Path::new(env!("CARGO_BIN_EXE_cnx")).with_file_name("examples").join("service_assertion");
    if !example.exists() {
        eprintln!("skipped: {} is not built; tests/run builds it", example.display());
        return;
    }
    for on in [On::Sqlite, On::Postgres] {
        let Some(world) = world(on).await else { continue };
        let folder = tempfile::tempdir().unwrap();
        let file = key_file(&world, folder.path(), "ci", Algorithm::Es256, false).await;
        let program = example.display().to_string();
        let out = ends_well(program.clone(), vec![file.clone(), "serve".to_owned(), "0.5".to_owned()]).await;
        assert!(
            out.lines()
                .last()
                .is_some_and(|line| line.starts_with("rotation 3:") && !line.contains(": 0 tokens")),
            "{out}"
        );
        let token = ends_well(program, vec![file]).await;
        assert_eq!(token.trim().split('.').count(), 3);
        assert_eq!(service_accounts::find(world.app(), "ci").await.unwrap().keys.len(), 4);
    }
}
