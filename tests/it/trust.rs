//! Workload identity: an outside issuer's tokens speak for a service account where a trust rule says so, by both grants, once, and
//! exactly where everything matches.

use cnx::base::time::Timestamp;
use cnx::flow::trust::{self, NewRule};
use cnx::oauth::trust::{ClaimRule, IssuerKeys};
use serde_json::{Value, json};

use crate::outbound::{Answers, Publisher, world_that_may_fetch};
use crate::token_requests::{granted, members, refused};
use crate::world::{On, Signer, TOKEN_EXCHANGE, World, by, claims, new_jti};

const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// An outside issuer with its metadata and its keys.
struct Issuer {
    name: String,
    signer: Signer,
    metadata: Publisher,
    keys: Publisher,
}

impl Issuer {
    async fn new() -> Self {
        let signer = Signer::es256();
        let keys = Publisher::of(&signer.jwks()).await;
        let metadata = Publisher::of(&json!({})).await;
        let name = metadata.base.clone();
        metadata.publish(&json!({"issuer": name, "jwks_uri": format!("{}/keys", keys.base)}));
        Self { name, signer, metadata, keys }
    }

    fn ports(&self) -> [u16; 2] {
        [self.metadata.port, self.keys.port]
    }

    /// A job's token, with changes; `null` takes a claim away.
    fn token(&self, world: &World, changes: &Value) -> String {
        let mut claims = json!({"iss": self.name, "sub": "repo:org/app:ref:refs/heads/main", "aud": world.base,
            "iat": world.now(), "nbf": world.now() - 5, "exp": world.now() + 300, "jti": new_jti(),
            "repository": "org/app", "ref": "refs/heads/main", "event_name": "push"});
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        let mut header = self.signer.header();
        header["typ"] = json!("JWT");
        self.signer.signs(&header, claims.to_string().as_bytes())
    }
}

fn rule(issuer: &Issuer) -> NewRule {
    NewRule {
        provider: "github",
        issuer: issuer.name.clone(),
        keys: IssuerKeys::Discover,
        audience: Vec::new(),
        claims: vec![ClaimRule::one("repository", "org/app"), ClaimRule::one("ref", "refs/heads/main")],
        allowed_events: Vec::new(),
        reusable: false,
        longest: 3600,
    }
}

async fn by_exchange(world: &World, token: &str, extra: &[(&str, &str)]) -> crate::world::Reply {
    let mut form =
        vec![("grant_type", TOKEN_EXCHANGE), ("subject_token", token), ("subject_token_type", JWT)];
    form.extend_from_slice(extra);
    world.post("/oauth2/token", None, &form).await
}

async fn on_each<F: Future<Output = ()>>(story: impl Fn(World, Issuer) -> F) {
    for on in [On::Sqlite, On::Postgres] {
        let issuer = Issuer::new().await;
        let Some(world) = world_that_may_fetch(on, &issuer.ports()).await else { continue };
        story(world, issuer).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_the_matching_tokens_are_let_in_s_j13() {
    on_each(async |world, issuer| {
        let account = world.account("deploy", json!({})).await;
        trust::add(world.app(), by(), "deploy", rule(&issuer)).await.unwrap();
        let reply = world.present(&issuer.token(&world, &json!({})), &[]).await;
        let said = claims(&granted(&reply).access);
        assert_eq!((&said["sub"], &said["client_id"]), (&json!(account.id), &json!(account.id)));
        let reply = by_exchange(&world, &issuer.token(&world, &json!({})), &[("scope", "deploy:read"), ("requested_token_type", ACCESS_TOKEN)]).await;
        assert_eq!(members(&reply), ["access_token", "expires_in", "issued_token_type", "scope", "token_type"]);
        assert_eq!((reply.json()["issued_token_type"].as_str(), reply.json()["scope"].as_str()), (Some(ACCESS_TOKEN), Some("deploy:read")));
        for (changes, why) in [
            (json!({"repository": "org/app2"}), "another repository"),
            (json!({"repository": "ORG/app"}), "another spelling"),
            (json!({"repository": null}), "no repository"),
            (json!({"repository": ["org/other"]}), "a list without it"),
            (json!({"ref": "refs/heads/mainly"}), "another branch"),
            (json!({"ref": null}), "no branch"),
            (json!({"aud": "https://elsewhere.example"}), "for somebody else"),
            (json!({"aud": [world.base, "https://elsewhere.example"]}), "for somebody else too"),
            (json!({"aud": null}), "for nobody"),
            (json!({"exp": world.now() - 61}), "expired"),
            (json!({"exp": null}), "without an end"),
            (json!({"nbf": world.now() + 61}), "not yet"),
            (json!({"iat": world.now() - 4000}), "too old"),
            (json!({"jti": null}), "without an id"),
            (json!({"event_name": "pull_request_target"}), "an event of a stranger"),
            (json!({"event_name": "issue_comment"}), "an event of a stranger"),
            (json!({"iss": "https://token.elsewhere.example"}), "another issuer"),
        ] {
            for exchange in [false, true] {
                let token = issuer.token(&world, &changes);
                let reply = if exchange { by_exchange(&world, &token, &[]).await } else { world.present(&token, &[]).await };
                assert_eq!((reply.status, reply.error().as_str()), (400, "invalid_grant"), "{why}: {}", reply.text);
            }
        }
        let stranger = Signer::es256();
        let mut header = stranger.header();
        header["kid"] = json!(issuer.signer.kid);
        let claims = json!({"iss": issuer.name, "sub": "x", "aud": world.base, "exp": world.now() + 60, "jti": new_jti(),
            "repository": "org/app", "ref": "refs/heads/main"});
        refused(&world.present(&stranger.signs(&header, claims.to_string().as_bytes()), &[]).await, 400, "invalid_grant");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_speaks_once_by_either_grant_and_its_issuer_may_rotate() {
    on_each(async |world, mut issuer| {
        world.account("deploy", json!({})).await;
        trust::add(world.app(), by(), "deploy", rule(&issuer)).await.unwrap();
        let token = issuer.token(&world, &json!({}));
        granted(&world.present(&token, &[]).await);
        refused(&world.present(&token, &[]).await, 400, "invalid_grant");
        refused(&by_exchange(&world, &token, &[]).await, 400, "invalid_grant");
        let old = std::mem::replace(&mut issuer.signer, Signer::es256());
        issuer.keys.publish(&json!({"keys": [old.jwk, issuer.signer.jwk]}));
        refused(&world.present(&issuer.token(&world, &json!({})), &[]).await, 400, "invalid_grant");
        world.advance(61);
        granted(&world.present(&issuer.token(&world, &json!({})), &[]).await);
        assert_eq!((issuer.metadata.times_asked(), issuer.keys.times_asked()), (2, 2));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_that_is_removed_takes_its_tokens_along() {
    on_each(async |world, issuer| {
        world.account("deploy", json!({"audience": ["https://deploy.example"]})).await;
        let (_, added) = trust::add(world.app(), by(), "deploy", rule(&issuer)).await.unwrap();
        let server = world.add_client(json!({"audience": ["https://deploy.example"]})).await;
        let token = granted(&world.present(&issuer.token(&world, &json!({})), &[]).await).access;
        assert_eq!(world.introspect(&server, &token).await["active"], true);
        assert!(trust::remove(world.app(), by(), &added.id.to_string()).await.unwrap());
        assert_eq!(world.introspect(&server, &token).await, json!({"active": false}));
        refused(&world.present(&issuer.token(&world, &json!({})), &[]).await, 400, "invalid_grant");
        assert!(!trust::remove(world.app(), by(), &added.id.to_string()).await.unwrap());
        assert!(!trust::remove(world.app(), by(), "no-id").await.unwrap());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_two_accounts_trust_a_token_the_request_says_which() {
    on_each(async |world, issuer| {
        let one = world.account("one", json!({})).await.id.to_string();
        let two = world.account("two", json!({"scope": "other"})).await.id.to_string();
        for name in ["one", "two"] {
            trust::add(world.app(), by(), name, rule(&issuer)).await.unwrap();
        }
        refused(&world.present(&issuer.token(&world, &json!({})), &[]).await, 400, "invalid_request");
        let sub = |reply: &crate::world::Reply| claims(&granted(reply).access)["sub"].clone();
        assert_eq!(
            sub(&world.present(&issuer.token(&world, &json!({})), &[("client_id", &two)]).await),
            json!(two)
        );
        // As google-auth's external accounts name it.
        assert_eq!(
            sub(&by_exchange(&world, &issuer.token(&world, &json!({})), &[("audience", &one)]).await),
            json!(one)
        );
        refused(
            &by_exchange(&world, &issuer.token(&world, &json!({})), &[("audience", "nobody")]).await,
            400,
            "invalid_target",
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_cannot_be_reached_has_its_keys_pinned_and_its_pods_read_one_token_often() {
    on_each(async |world, issuer| {
        world.account("deploy", json!({})).await;
        let new = NewRule {
            provider: "kubernetes",
            keys: IssuerKeys::Pinned(issuer.signer.jwks()),
            audience: vec!["cnx".to_owned()],
            claims: vec![ClaimRule::one("sub", "system:serviceaccount:prod:deploy")],
            reusable: true,
            longest: 366 * 86_400,
            ..rule(&issuer)
        };
        trust::add(world.app(), by(), "deploy", new).await.unwrap();
        let token = issuer.token(
            &world,
            &json!({"sub": "system:serviceaccount:prod:deploy", "aud": ["cnx"], "jti": null,
            "exp": world.now() + 86_400, "kubernetes.io": {"namespace": "prod"}}),
        );
        for _ in 0..3 {
            granted(&world.present(&token, &[]).await);
        }
        assert_eq!((issuer.metadata.times_asked(), issuer.keys.times_asked()), (0, 0));
        let other = issuer.token(&world, &json!({"sub": "system:serviceaccount:dev:deploy", "aud": ["cnx"]}));
        refused(&world.present(&other, &[]).await, 400, "invalid_grant");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_that_is_dead_or_names_another_lets_nobody_in_s_j14() {
    let issuer = Issuer::new().await;
    let slow = Publisher::that(Answers::Never).await;
    let [metadata, keys] = issuer.ports();
    let world = world_that_may_fetch(On::Sqlite, &[metadata, keys, slow.port]).await.unwrap();
    world.account("deploy", json!({})).await;
    trust::add(world.app(), by(), "deploy", rule(&issuer)).await.unwrap();
    issuer.metadata.publish(
        &json!({"issuer": "https://elsewhere.example", "jwks_uri": format!("{}/keys", issuer.keys.base)}),
    );
    refused(&world.present(&issuer.token(&world, &json!({})), &[]).await, 400, "invalid_grant");
    assert_eq!(issuer.keys.times_asked(), 0);
    issuer.metadata.publish(&json!({"issuer": issuer.name, "jwks_uri": format!("{}/keys", slow.base)}));
    world.advance(61);
    let began = std::time::Instant::now();
    refused(&world.present(&issuer.token(&world, &json!({})), &[]).await, 400, "invalid_grant");
    assert!(began.elapsed().as_secs() < 8);
    issuer
        .metadata
        .publish(&json!({"issuer": issuer.name, "jwks_uri": format!("{}/keys", issuer.keys.base)}));
    world.advance(61);
    granted(&world.present(&issuer.token(&world, &json!({})), &[]).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_that_trusts_too_much_is_not_added_pitfall_6() {
    let issuer = Issuer::new().await;
    let world = world_that_may_fetch(On::Sqlite, &issuer.ports()).await.unwrap();
    world.account("deploy", json!({})).await;
    let ours = NewRule { issuer: world.base.clone(), ..rule(&issuer) };
    for (new, says) in [
        (NewRule { claims: Vec::new(), ..rule(&issuer) }, "claim: at least one"),
        (
            NewRule { claims: vec![ClaimRule::one("repository", "org/*")], ..rule(&issuer) },
            "repository: org/*",
        ),
        (
            NewRule { issuer: "http://token.example".to_owned(), ..rule(&issuer) },
            "issuer: http://token.example",
        ),
        (ours, "issuer: our own"),
        (NewRule { keys: IssuerKeys::Pinned(json!({"keys": []})), ..rule(&issuer) }, "jwks: "),
        (NewRule { keys: IssuerKeys::Uri("ftp://x".to_owned()), ..rule(&issuer) }, "jwks-uri: ftp://x"),
        (NewRule { allowed_events: vec!["push".to_owned()], ..rule(&issuer) }, "allow-event: push"),
    ] {
        let refused = trust::add(world.app(), by(), "deploy", new).await.unwrap_err().to_string();
        assert!(refused.contains(says), "{refused}");
    }
    assert!(
        trust::add(world.app(), by(), "nobody", rule(&issuer))
            .await
            .unwrap_err()
            .to_string()
            .contains("nobody")
    );
    assert!(world.app().service_accounts()[0].rules.is_empty());
    assert!(Timestamp::from_secs(0) < world.clock.now());
}
