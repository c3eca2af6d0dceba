//! `cnx service-account` and `cnx trust` beside a running server, as a newcomer types them; and that commands which only look make
//! nothing.

use std::time::{Duration, Instant};

use cnx::base::algorithm::Algorithm;
use cnx::base::time::{Clock, Timestamp};
use serde_json::{Value, json};

use crate::offline::signed_with_pem;
use crate::process::Place;
use crate::world::{JWT_BEARER, Reply, Signer, http, new_jti};

/// A token by a key file, as the file says.
async fn token_by(file: &Value) -> Reply {
    let now = Clock::System.now().as_secs();
    let text = |name: &str| file[name].as_str().unwrap();
    let header = json!({"alg": text("alg"), "kid": text("private_key_id")});
    let claims = json!({"iss": text("client_email"), "sub": text("client_email"), "aud": text("issuer"), "iat": now, "exp": now + 60,
        "jti": format!("{}-{now}-{}", new_jti(), text("private_key_id"))});
    let alg: Algorithm = text("alg").parse().unwrap();
    let assertion = signed_with_pem(alg, text("private_key"), &header, &claims);
    let form = [("grant_type", JWT_BEARER), ("assertion", assertion.as_str())];
    Reply::of(http().post(text("token_uri")).form(&form).send().await.unwrap()).await
}

/// Waits for at most the promised second, and a little more for a machine that is busy.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_millis(1500), "{what}: not in force after a second");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_is_made_used_and_ended_beside_a_running_server() {
    let place = Place::new();
    let _node = place.serve(&[]);
    let made = place.json(&[
        "service-account",
        "add",
        "ci",
        "--scope",
        "deploy:write",
        "--audience",
        "https://deploy.example",
    ]);
    assert_eq!(
        (&made["name"], &made["scope"], &made["disabled_at"]),
        (&json!("ci"), &json!("deploy:write"), &Value::Null)
    );
    assert_eq!(made["service_account_id"], made["client_id"]);
    // The file itself is what is printed, with --json and without.
    let plain = place.run(&["service-account", "key", "add", "ci"]);
    assert_eq!(plain.code, Some(0), "{plain:?}");
    let file: Value = serde_json::from_str(&plain.out).unwrap();
    assert_eq!((&file["type"], &file["alg"]), (&json!("service_account"), &json!("ES256")));
    until("a key that was added", async || token_by(&file).await.status == 200).await;
    let rsa = place.json(&["service-account", "key", "add", "ci", "--alg", "RS256", "--expires", "90d"]);
    until("a second key", async || token_by(&rsa).await.status == 200).await;
    assert!(rsa["expires_at"].as_str().unwrap() < file["expires_at"].as_str().unwrap());

    // A public key of which the private half was never here, as JWK and as PEM.
    let signer = Signer::es256();
    std::fs::write(place.dir().join("jwk.json"), signer.jwk.to_string()).unwrap();
    let added = place.json(&["service-account", "key", "add", "ci", "--public-key", "jwk.json"]);
    assert_eq!((&added["kid"], &added["alg"]), (&json!(signer.kid), &json!("ES256")));
    for (alg, kind) in [("ec", &["-pkeyopt", "ec_paramgen_curve:P-256"][..]), ("rsa", &[]), ("ed25519", &[])]
    {
        let Some(pem) = public_pem(alg, kind) else { continue };
        std::fs::write(place.dir().join("key.pem"), &pem).unwrap();
        let added = place.json(&["service-account", "key", "add", "ci", "--public-key", "key.pem"]);
        assert!(added["kid"].as_str().is_some_and(|kid| kid.len() == 43), "{alg}: its thumbprint");
    }
    let listed = place.json(&["service-account", "key", "list", "ci"]);
    let used =
        listed["keys"].as_array().unwrap().iter().filter(|key| key["last_used_at"].is_string()).count();
    assert_eq!(used, 2, "{listed}");
    let secret = file["private_key"].as_str().unwrap().lines().nth(1).unwrap();
    assert!(!listed.to_string().contains(secret));

    let kid = file["private_key_id"].as_str().unwrap();
    place.json(&["service-account", "key", "revoke", "ci", kid]);
    until("a key that was revoked", async || token_by(&file).await.error() == "invalid_grant").await;
    place.json(&["service-account", "disable", "ci"]);
    until("an account that was disabled", async || token_by(&rsa).await.error() == "invalid_grant").await;
    place.json(&["service-account", "enable", "ci"]);
    until("an account that was enabled", async || token_by(&rsa).await.status == 200).await;

    rules_come_and_go(&place, &signer);
    assert!(Timestamp::from_rfc3339(made["created_at"].as_str().unwrap()).is_some());
}

fn rules_come_and_go(place: &Place, signer: &Signer) {
    let rule = place.json(&[
        "trust",
        "add",
        "github",
        "--repo",
        "org/app",
        "--ref",
        "refs/heads/main",
        "--environment",
        "prod",
        "--service-account",
        "ci",
    ]);
    assert_eq!(
        rule["claims"],
        json!([{"name": "repository", "values": ["org/app"]}, {"name": "ref", "values": ["refs/heads/main"]},
        {"name": "environment", "values": ["prod"]}])
    );
    assert_eq!(rule["issuer"], "https://token.actions.githubusercontent.com");
    place.json(&[
        "trust",
        "add",
        "gitlab",
        "--repo",
        "group/app",
        "--ref",
        "main",
        "--protected",
        "--service-account",
        "ci",
    ]);
    std::fs::write(place.dir().join("jwks.json"), signer.jwks().to_string()).unwrap();
    place.json(&[
        "trust",
        "add",
        "kubernetes",
        "--issuer",
        "https://kubernetes.default.svc",
        "--namespace",
        "prod",
        "--account",
        "deploy",
        "--jwks",
        "jwks.json",
        "--audience",
        "cnx",
        "--service-account",
        "ci",
    ]);
    place.json(&[
        "trust",
        "add",
        "oidc",
        "--issuer",
        "https://issuer.example",
        "--claim",
        "sub=job-1",
        "--claim",
        "sub=job-2",
        "--service-account",
        "ci",
    ]);
    let listed = place.json(&["trust", "list", "--service-account", "ci"]);
    let providers: Vec<&str> =
        listed["trust"].as_array().unwrap().iter().map(|r| r["provider"].as_str().unwrap()).collect();
    assert_eq!(providers, ["github", "gitlab", "kubernetes", "oidc"]);
    place.json(&["trust", "remove", rule["id"].as_str().unwrap()]);
    assert_eq!(place.json(&["trust", "list"])["trust"].as_array().unwrap().len(), 3);
}

/// A public key that OpenSSL's own program made; `None` where it is not installed.
fn public_pem(alg: &str, options: &[&str]) -> Option<Vec<u8>> {
    let made = std::process::Command::new("openssl")
        .args(["genpkey", "-algorithm", alg])
        .args(options)
        .output()
        .ok()?;
    let mut child = std::process::Command::new("openssl")
        .args(["pkey", "-pubout"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .ok()?;
    std::io::Write::write_all(&mut child.stdin.take()?, &made.stdout).ok()?;
    Some(child.wait_with_output().ok()?.stdout)
}

#[test]
fn what_cannot_be_is_one_line_that_names_it() {
    let place = Place::new();
    place.json(&["migrate"]);
    place.json(&["service-account", "add", "ci", "--scope", "a"]);
    std::fs::write(place.dir().join("private.json"), r#"{"kty":"EC","d":"x"}"#).unwrap();
    std::fs::write(
        place.dir().join("text.pem"),
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    )
    .unwrap();
    for (arguments, says) in [
        (&["service-account", "add", "ci"][..], "cnx: name: ci is taken"),
        (&["service-account", "add", " x"], "cnx: name: 1 to 64"),
        (
            &["service-account", "add", "p", "--scope", "openid"],
            "cnx: scope: openid can be given by a person only",
        ),
        (&["service-account", "add", "p", "--audience", "a b"], "cnx: audience: "),
        (
            &["service-account", "add", "p", "--jwks-uri", "http://x.example"],
            "cnx: jwks_uri: http://x.example",
        ),
        (&["service-account", "add", "p", "--max-assertion-age", "2h"], "cnx: assertion_seconds: "),
        (&["service-account", "show", "nobody"], "cnx: no service account is called nobody"),
        (&["service-account", "disable", "nobody"], "cnx: no service account is called nobody"),
        (&["service-account", "key", "add", "nobody"], "cnx: no service account is called nobody"),
        (
            &["service-account", "key", "add", "ci", "--public-key", "nothing.pem"],
            "cnx: --public-key nothing.pem: ",
        ),
        (
            &["service-account", "key", "add", "ci", "--public-key", "private.json"],
            "cnx: public_key: it holds a private",
        ),
        (
            &["service-account", "key", "add", "ci", "--public-key", "text.pem"],
            "cnx: public_key: it is a private key",
        ),
        (&["service-account", "key", "revoke", "ci", "nothing"], "cnx: ci-"),
        (
            &["trust", "add", "github", "--repo", "org/*", "--service-account", "ci"],
            "cnx: rule: repository: org/*",
        ),
        (
            &["trust", "add", "github", "--repo", "org/app", "--service-account", "nobody"],
            "cnx: no service account is called nobody",
        ),
        (
            &["trust", "add", "oidc", "--issuer", "https://x.example", "--service-account", "ci"],
            "cnx: rule: claim: at least one",
        ),
        (
            &[
                "trust",
                "add",
                "oidc",
                "--issuer",
                "https://x.example",
                "--claim",
                "x",
                "--service-account",
                "ci",
            ],
            "cnx: --claim x: NAME=VALUE",
        ),
        (&["trust", "remove", "nothing"], "cnx: nothing: there is no such rule"),
    ] {
        let ended = place.run(arguments);
        assert_eq!(
            (ended.code, ended.out.as_str(), ended.err.trim_end().lines().count()),
            (Some(1), "", 1),
            "{arguments:?}: {ended:?}"
        );
        assert!(ended.err.starts_with(says), "{arguments:?}: {}", ended.err);
    }
}

#[test]
fn to_look_where_there_is_nothing_makes_nothing() {
    let place = Place::new();
    for command in [
        &["user", "list"][..],
        &["client", "list"],
        &["client", "show", "x"],
        &["signing-key", "list"],
        &["service-account", "list"],
        &["trust", "list"],
    ] {
        let ended = place.run(command);
        assert_eq!(ended.code, Some(1), "{command:?}: {ended:?}");
        assert!(ended.err.contains("there is no database yet"), "{command:?}: {}", ended.err);
        assert!(!place.data().exists());
    }
    place.json(&["client", "add", "App", "--redirect-uri", "https://app.example/cb"]);
    assert_eq!(place.json(&["client", "list"])["clients"].as_array().unwrap().len(), 1);
}

/// `cnx key` beside a running server, and `cnx scan` with none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_minted_used_rotated_revoked_and_found_in_a_tree() {
    let place = Place::new();
    let node = place.serve(&[]);
    let check = async |key: &str| {
        let request =
            http().get(format!("{}/gateway/caddy?scope=instances:read", node.base)).bearer_auth(key);
        Reply::of(request.send().await.unwrap()).await.status
    };
    let made = place.json(&[
        "key",
        "mint",
        "--name",
        "deploy",
        "--env",
        "ci",
        "--scope",
        "instances:*",
        "--expires",
        "90d",
    ]);
    let (id, key) = (made["key_id"].as_str().unwrap(), made["key"].as_str().unwrap());
    assert_eq!(check(key).await, 200, "a miss is looked up, so it works at once");
    let second = place.json(&["key", "rotate", id, "--overlap", "1h"]);
    let second = second["key"].as_str().unwrap();
    until("a rotated key", async || check(second).await == 200 && check(key).await == 200).await;
    assert!(place.run(&["key", "rotate", id]).err.contains("works until"));
    let changed = place.json(&["key", "change", id, "--name", "deploy 2", "--allow-ip", "192.0.2.1"]);
    assert_eq!((&changed["name"], &changed["allow_ips"]), (&json!("deploy 2"), &json!(["192.0.2.1/32"])));
    until("a changed key", async || check(second).await == 403).await;
    assert_eq!(place.json(&["key", "change", id, "--allow-everywhere"])["allow_ips"], json!([]));
    until("a changed key", async || check(second).await == 200).await;
    let verified = place.run_with(&["key", "verify", "--scope", "instances:read", "--json"], Some(second));
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let listed = place.json(&["key", "list"]).to_string();
    assert!(listed.contains(id) && !listed.contains(&key[17..]));
    assert_eq!(place.json(&["key", "list", "--due"])["keys"], json!([]));

    std::fs::create_dir_all(place.dir().join("tree/deep/.git")).unwrap();
    std::fs::write(place.dir().join("tree/deep/settings.env"), format!("A=1\nCNX_API_KEY={key}\n")).unwrap();
    std::fs::write(place.dir().join("tree/deep/.git/objects"), key).unwrap();
    std::fs::write(
        place.dir().join("tree/notes.txt"),
        format!("{}. {}\n", key.replace("cnx_ci_", "cnx_cj_"), &key[..key.len() - 1]),
    )
    .unwrap();
    let scan = place.run(&["scan", "tree", "--json"]);
    let found: Value = serde_json::from_str(&scan.out).unwrap();
    assert_eq!(
        (scan.code, &found["found"]),
        (
            Some(1),
            &json!([{"path": "tree/deep/settings.env", "line": 2, "key_id": id,
        "masked": format!("cnx_ci_{id}••••{}", &key[key.len() - 4..])}])
        )
    );
    std::fs::remove_file(place.dir().join("tree/deep/settings.env")).unwrap();
    assert_eq!(place.run(&["scan", "tree"]).code, Some(0));

    place.json(&["key", "disable", id]);
    until("a disabled key", async || check(second).await == 401).await;
    place.json(&["key", "enable", id]);
    until("an enabled key", async || check(second).await == 200).await;
    assert_eq!(place.json(&["key", "revoke", id, "--reason", "leaked"])["revoked_reason"], "leaked");
    until("a revoked key", async || check(second).await == 401).await;
    let verified = place.run_with(&["key", "verify"], Some(second));
    assert_eq!((verified.code, verified.out.trim()), (Some(1), "REVOKED"));
    for (arguments, says) in [
        (&["key", "mint", "--name", "x", "--env", "prod", "--scope", "nonsense"][..], "cnx: scope: nonsense"),
        (&["key", "show", "nothing"], "cnx: no key has the id nothing"),
        (&["key", "rotate", id], "is revoked, for good"),
        (&["scan", "nowhere"], "cnx: nowhere: there is no such file"),
    ] {
        let ended = place.run(arguments);
        assert!(ended.code == Some(1) && ended.err.contains(says), "{arguments:?}: {ended:?}");
    }
    for usage in [
        &["key", "mint", "--name", "x", "--env", "rt", "--scope", "a:b"][..],
        &["key", "mint", "--name", "x", "--env", "prod", "--scope", "a:b", "--allow-ip", "host"],
    ] {
        assert_eq!(place.run(usage).code, Some(2), "{usage:?}");
    }
}
