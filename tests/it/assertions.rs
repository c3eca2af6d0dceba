//! Assertions that must not be taken, of a service account and of a client alike: each is refused with the one right code, none
//! says which check failed, none brings the server down (S-J1 to S-J13, R103).

use cnx::base::algorithm::Algorithm;
use cnx::base::encoding::base64url;
use serde_json::{Value, json};

use crate::offline::forgeries;
use crate::token_requests::{granted, refused};
use crate::world::{CLIENT_ASSERTION, On, Reply, Signer, TestClient, World, new_jti, on_both};

/// How an assertion is presented.
#[derive(Clone, Copy, PartialEq, Eq)]
enum As {
    Grant,
    Client,
}

/// Somebody who may make assertions, and what a world knows of them.
struct Maker {
    id: String,
    signer: Signer,
    other: Signer,
    base: String,
    now: i64,
}

impl Maker {
    fn claims(&self) -> Value {
        json!({"iss": self.id, "sub": self.id, "aud": self.base, "iat": self.now, "exp": self.now + 300, "jti": new_jti()})
    }

    /// Good claims with one changed; `null` takes it away.
    fn changed(&self, name: &str, value: Value) -> String {
        let mut claims = self.claims();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value;
        }
        self.signer.assertion(&claims)
    }

    fn with_header(&self, name: &str, value: Value) -> String {
        let mut header = self.signer.header();
        header[name] = value;
        self.signer.signs(&header, self.claims().to_string().as_bytes())
    }

    /// Every claim missing, wrong, of the wrong type, absurd.
    fn bad_claims(&self, how: As) -> Vec<(String, String)> {
        let (now, base) = (self.now, &self.base);
        let mut bad = vec![
            ("iss", json!(null)),
            ("iss", json!(7)),
            ("iss", json!("")),
            ("iss", json!([self.id])),
            ("iss", json!("nobody@example.com")),
            ("sub", json!(null)),
            ("sub", json!("someone-else")),
            ("sub", json!(7)),
            ("sub", json!([self.id])),
            ("aud", json!(null)),
            ("aud", json!("")),
            ("aud", json!(7)),
            ("aud", json!({})),
            ("aud", json!([])),
            ("aud", json!("https://elsewhere.example")),
            ("aud", json!(format!("{base}/"))),
            ("aud", json!(base.to_uppercase())),
            ("aud", json!(format!("{base}/oauth2/introspect"))),
            ("aud", json!([base, "https://elsewhere.example"])),
            ("aud", json!([base, 7])),
            ("aud", json!("https://oauth2.googleapis.com/token")),
            ("exp", json!(null)),
            ("exp", json!((now + 300).to_string())),
            ("exp", json!(now - 60)),
            ("exp", json!(now - 300)),
            ("exp", json!(-1)),
            ("exp", json!(1e300)),
            ("exp", json!(1e19)),
            ("exp", json!(u64::MAX)),
            ("exp", json!(i64::MAX)),
            ("exp", json!(now + 3601)),
            ("exp", json!(now + 40 * 365 * 86_400)),
            ("exp", json!({})),
            ("exp", json!([now + 300])),
            ("exp", json!(true)),
            ("iat", json!(now + 60)),
            ("iat", json!(now - 3600)),
            ("iat", json!("now")),
            ("iat", json!(1e300)),
            ("iat", json!(-5)),
            ("nbf", json!(now + 60)),
            ("nbf", json!(u64::MAX)),
            ("nbf", json!({})),
            ("jti", json!(null)),
            ("jti", json!("")),
            ("jti", json!(7)),
            ("jti", json!("j".repeat(257))),
        ];
        if how == As::Client {
            // Requirements D2, R89: the issuer, alone and as text.
            bad.extend([("aud", json!([base])), ("aud", json!(format!("{base}/oauth2/token")))]);
        }
        bad.into_iter().map(|(name, value)| (format!("{name} {value}"), self.changed(name, value))).collect()
    }

    /// Headers that ask for something else, or carry keys of their own.
    fn bad_headers(&self) -> Vec<(String, String)> {
        let deep = serde_json::from_str(&("[".repeat(60) + &"]".repeat(60))).unwrap();
        let own = self.other.jwk.clone();
        let mut named_in_header = self.other.header();
        named_in_header["jwk"] = own.clone();
        named_in_header["kid"] = json!(self.signer.kid);
        let mut fetched = self.other.header();
        fetched["jku"] = json!("http://127.0.0.1:9/jwks");
        let claims = self.claims().to_string();
        let mut bad: Vec<(String, String)> = [
            ("crit", json!(["exp"])),
            ("crit", json!([])),
            ("crit", json!(null)),
            ("b64", json!(false)),
            ("b64", json!(true)),
            ("zip", json!("DEF")),
            ("typ", json!("at+jwt")),
            ("typ", json!("dpop+jwt")),
            ("typ", json!("logout+jwt")),
            ("typ", json!("secevent+jwt")),
            ("typ", json!(7)),
            ("kid", json!("nobody")),
            ("kid", json!("")),
            ("kid", json!(7)),
            ("kid", json!("k".repeat(257))),
            ("kid", json!(self.other.kid)),
            ("alg", json!("ES384")),
            ("alg", json!("RS256")),
            ("alg", json!("PS256")),
            ("alg", json!("EdDSA")),
            ("alg", json!("es256")),
            ("alg", json!(null)),
            ("deep", deep),
        ]
        .into_iter()
        .map(|(name, value)| (format!("header {name} {value}"), self.with_header(name, value)))
        .collect();
        bad.push(("a foreign key in jwk".to_owned(), self.other.signs(&named_in_header, claims.as_bytes())));
        bad.push(("a foreign key at jku".to_owned(), self.other.signs(&fetched, claims.as_bytes())));
        let mut chain = self.other.header();
        chain["x5c"] = json!(["MIIB"]);
        bad.push(("a foreign key in x5c".to_owned(), self.other.signs(&chain, claims.as_bytes())));
        bad
    }

    /// What is no such JWT at all.
    fn bad_forms(&self) -> Vec<(String, String)> {
        let good = self.signer.assertion(&self.claims());
        let id = &self.id;
        let twice = format!(
            r#"{{"iss":"{id}","sub":"{id}","aud":"{}","exp":{},"jti":"{}","sub":"x"}}"#,
            self.base,
            self.now + 300,
            new_jti()
        );
        let deep = format!(r#"{{"iss":"{id}","x":{}}}"#, "[".repeat(200) + &"]".repeat(200));
        let mut bad: Vec<(String, String)> = [
            ("a claim twice", twice.as_bytes()),
            ("deep claims", deep.as_bytes()),
            ("claims that are a list", b"[]".as_slice()),
            ("claims that are text", b"\"x\""),
            ("claims that are no JSON", b"{"),
            ("claims that are no UTF-8", b"{\"iss\":\"\xff\xfe\"}"),
            ("no claims", b""),
        ]
        .into_iter()
        .map(|(name, payload)| (name.to_owned(), self.signer.signs(&self.signer.header(), payload)))
        .collect();
        let parts: Vec<&str> = good.split('.').collect();
        for (name, text) in [
            ("five parts, as a JWE", format!("{good}.x.y")),
            (
                "JSON serialization",
                json!({"payload": parts[1], "protected": parts[0], "signature": parts[2]}).to_string(),
            ),
            ("padding", format!("{}=.{}.{}", parts[0], parts[1], parts[2])),
            ("a space", format!("{} .{}.{}", parts[0], parts[1], parts[2])),
            ("the signature of r = s = n", {
                // The order of P-256, twice (CVE-2022-21449 and its kin).
                let n = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
                let n: Vec<u8> =
                    (0..64).step_by(2).map(|i| u8::from_str_radix(&n[i..i + 2], 16).unwrap()).collect();
                format!("{}.{}.{}", parts[0], parts[1], base64url(&[n.clone(), n].concat()))
            }),
            (
                "a DER signature",
                format!("{}.{}.{}", parts[0], parts[1], base64url(&[0x30, 0x06, 2, 1, 1, 2, 1, 1])),
            ),
            ("dots", "..".to_owned()),
            ("text", "not-a-jwt".to_owned()),
        ] {
            bad.push((name.to_owned(), text));
        }
        bad.extend(
            forgeries(&self.signer.jwks(), &good).into_iter().map(|(name, text)| (name.to_owned(), text)),
        );
        bad
    }

    fn all_bad(&self, how: As) -> Vec<(String, String)> {
        [self.bad_claims(how), self.bad_headers(), self.bad_forms()].concat()
    }
}

async fn present(world: &World, how: As, assertion: &str) -> Reply {
    match how {
        As::Grant => world.present(assertion, &[]).await,
        As::Client => {
            let form = [
                ("grant_type", "client_credentials"),
                ("client_assertion_type", CLIENT_ASSERTION),
                ("client_assertion", assertion),
            ];
            world.post("/oauth2/token", None, &form).await
        }
    }
}

/// Every bad one is refused in the same words, and afterwards a good one is taken.
async fn every_bad_one_is_refused(world: &World, maker: &Maker, how: As) {
    let bad = maker.all_bad(how);
    assert!(bad.len() >= 60, "{}", bad.len());
    let (status, code) = if how == As::Grant { (400, "invalid_grant") } else { (401, "invalid_client") };
    let mut words = None;
    for (name, assertion) in bad {
        let reply = present(world, how, &assertion).await;
        assert_eq!((reply.status, reply.error().as_str()), (status, code), "{name}: {}", reply.text);
        refused(&reply, status, code);
        let said = words.get_or_insert_with(|| reply.text.clone());
        assert_eq!(*said, reply.text, "{name}: none tells which check failed");
    }
    granted(&present(world, how, &maker.signer.assertion(&maker.claims())).await);
}

fn maker(world: &World, id: &str, signer: Signer) -> Maker {
    Maker { id: id.to_owned(), signer, other: Signer::es256(), base: world.base.clone(), now: world.now() }
}

/// A client whose key pair is `signer`'s.
async fn key_pair_client(world: &World, signer: &Signer) -> TestClient {
    let members = json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": signer.jwks(),
        "grant_types": ["client_credentials"], "response_types": [], "redirect_uris": []});
    world.add_client(members).await
}

/// Many failures in a minute are what this file is about.
async fn patient(on: On) -> Option<World> {
    use cnx::base::time::{Clock, Timestamp};
    World::with(on, Clock::manual(Timestamp::from_secs(crate::world::START)), |settings| {
        settings.limits.client_failures = 10_000;
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_assertion_for_a_token_is_held_to_every_rule_s_j1_s_j2_s_j3_s_j4_s_j5_s_j6_s_j7_s_j11_s_j12_s_j13_r103()
 {
    for on in [On::Sqlite, On::Postgres] {
        if let Some(world) = patient(on).await {
            of_machines(&world).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_assertion_of_a_client_is_held_to_every_rule_s_j1_s_j2_s_j3_s_j4_s_j5_s_j6_s_j7_s_j8_s_j11_s_j12_r89_r103_pitfall_4()
 {
    for on in [On::Sqlite, On::Postgres] {
        if let Some(world) = patient(on).await {
            of_clients(&world).await;
        }
    }
}

async fn of_machines(world: &World) {
    let machine = world.machine("ci", Algorithm::Es256, json!({})).await;
    let other = world.machine("other", Algorithm::Es256, json!({})).await;
    let maker = Maker { other: other.signer, ..maker(world, &machine.id, machine.signer) };
    every_bad_one_is_refused(world, &maker, As::Grant).await;
    // Of another account: its key under this name, and its name under this key.
    let theirs = maker.other.assertion(&maker.claims());
    refused(&world.present(&theirs, &[]).await, 400, "invalid_grant");
    let mut claims = maker.claims();
    claims["iss"] = json!(other.id);
    claims["sub"] = json!(other.id);
    refused(&world.present(&maker.signer.assertion(&claims), &[]).await, 400, "invalid_grant");
}

async fn of_clients(world: &World) {
    let signer = Signer::es256();
    let client = key_pair_client(world, &signer).await;
    let maker = maker(world, &client.id, signer);
    every_bad_one_is_refused(world, &maker, As::Client).await;
}

on_both! {
    async fn tokens_of_ours_are_no_assertions_s_j11(world: World) {
        let machine = world.machine("ci", Algorithm::Es256, json!({})).await;
        let client = world.web_client().await;
        world.add_user("ada").await;
        let tokens = world.browser().tokens(&world, &client, &[], "ada").await;
        let own = granted(&world.machine_token(&machine, &[]).await).access;
        for token in [tokens.id(), tokens.access.as_str(), own.as_str(), tokens.refresh()] {
            refused(&world.present(token, &[]).await, 400, "invalid_grant");
            let form = [("grant_type", "client_credentials"), ("client_assertion_type", CLIENT_ASSERTION), ("client_assertion", token)];
            refused(&world.post("/oauth2/token", None, &form).await, 401, "invalid_client");
        }
    }

    async fn an_assertion_that_is_too_large_is_not_read_s_j12_s_h3(world: World) {
        let machine = world.machine("ci", Algorithm::Es256, json!({})).await;
        let mut claims = world.assertion_claims(&machine.id);
        claims["filler"] = json!("x".repeat(1_000_000));
        assert_eq!(world.present(&machine.signer.assertion(&claims), &[]).await.status, 413);
    }

    async fn what_is_missing_is_named(world: World) {
        let reply = world.post("/oauth2/token", None, &[("grant_type", crate::world::JWT_BEARER)]).await;
        refused(&reply, 400, "invalid_request");
        assert!(reply.json()["error_description"].as_str().unwrap().contains("assertion"));
        let reply = world.post("/oauth2/token", None, &[("grant_type", "client_credentials")]).await;
        refused(&reply, 401, "invalid_client");
    }

    async fn guessing_assertions_is_slowed_down_s_t11(world: World) {
        let machine = world.machine("ci", Algorithm::Es256, json!({})).await;
        let bad = Signer::es256().assertion(&world.assertion_claims(&machine.id));
        let limit = world.settings.limits.client_failures;
        for _ in 0..limit {
            refused(&world.present(&bad, &[]).await, 400, "invalid_grant");
        }
        let slow = world.present(&bad, &[]).await;
        assert_eq!((slow.status, slow.header("retry-after").is_some()), (429, true));
        world.advance(121);
        granted(&world.machine_token(&machine, &[]).await);
    }
}
