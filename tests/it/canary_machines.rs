//! What machines are handed and hand in, for `canary_flows`: assertions, tokens, API keys, in their places and in wrong ones.

use std::time::Duration;

use cnx::base::algorithm::Algorithm;
use reqwest::Method;
use serde_json::{Value, json};

use crate::canary_flows::{Walker, now};
use crate::client_assertions::hs256;
use crate::offline::signed_with_pem;
use crate::world::{CLIENT_ASSERTION, JWT_BEARER, Signer, TOKEN_EXCHANGE, TestClient, Tokens, new_jti};

impl Walker<'_> {
    /// A service account: its key file, assertions, a token, and that token traded for another.
    pub async fn works_as_a_machine(&mut self) {
        self.place.json(&["service-account", "add", "ci", "--scope", "deploy:write"]);
        let file = self.place.json(&["service-account", "key", "add", "ci"]);
        let text = |name: &str| file[name].as_str().unwrap();
        let lines: Vec<&str> = text("private_key").lines().filter(|line| line.len() > 32).collect();
        for line in lines {
            self.secrets.keep("a line of a private key", line);
        }
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        for aud in [text("issuer"), "https://elsewhere.example"] {
            let header = json!({"alg": text("alg"), "kid": text("private_key_id")});
            let id = text("client_email");
            let claims = json!({"iss": id, "sub": id, "aud": aud, "iat": now(), "exp": now() + 60, "jti": format!("canary-{}-{}", new_jti(), aud.len())});
            let alg: Algorithm = text("alg").parse().unwrap();
            let assertion = signed_with_pem(alg, text("private_key"), &header, &claims);
            self.secrets.keep("an assertion", &assertion);
            let reply = self.token(None, &[("grant_type", JWT_BEARER), ("assertion", &assertion)]).await;
            if aud == text("issuer") {
                assert_eq!(reply.status, 200, "{}", reply.text);
                self.secrets.keep("a machine's token", reply.json()["access_token"].as_str().unwrap());
                // Once more: it is spent.
                let again = self.token(None, &[("grant_type", JWT_BEARER), ("assertion", &assertion)]).await;
                self.told(&again, 400);
            } else {
                self.told(&reply, 400);
            }
        }
    }

    /// Clients that show who they are by assertions: under a key of their own, and under a secret that both know. Taken once, then refused in each
    /// way: spent, for somebody else, under another secret, in the address; and the secret as it is, which opens nothing.
    pub async fn proves_by_assertions(&mut self) {
        let signer = Signer::es256();
        let keys = self.place.dir().join("jwks.json");
        std::fs::write(&keys, signer.jwks().to_string()).unwrap();
        let add = |more: &[&str]| {
            let usual = ["client", "add", "Keyed", "--grant", "client_credentials", "--scope", "read"];
            self.place.json(&[&usual[..], more].concat())
        };
        let keyed = add(&["--auth", "private_key_jwt", "--jwks", keys.to_str().unwrap()]);
        let shared = add(&["--auth", "client_secret_jwt"]);
        let issuer = &self.place.base;
        let claims = |client: &Value, aud: &str| {
            let id = client["client_id"].as_str().unwrap();
            json!({"iss": id, "sub": id, "aud": aud, "iat": now(), "exp": now() + 60, "jti": format!("canary-{}", new_jti())})
        };
        let secret = shared["client_secret"].as_str().unwrap().to_owned();
        let (good, elsewhere) = (
            [signer.assertion(&claims(&keyed, issuer)), hs256(&secret, &claims(&shared, issuer))],
            [
                signer.assertion(&claims(&keyed, "https://elsewhere.example")),
                hs256(&secret, &claims(&shared, "https://elsewhere.example")),
                hs256("another-secret-of-thirty-two-bytes", &claims(&shared, issuer)),
            ],
        );
        self.secrets.keep("the secret of a client that signs", &secret);
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        for assertion in good.iter().chain(&elsewhere) {
            self.secrets.keep("a client's assertion", assertion);
            let form = [
                ("grant_type", "client_credentials"),
                ("client_assertion_type", CLIENT_ASSERTION),
                ("client_assertion", assertion),
            ];
            if good.contains(assertion) {
                let reply = self.token(None, &form).await;
                self.secrets.keep("a token for an assertion", Tokens::of(&reply).access);
            }
            let refused = self.token(None, &form).await;
            self.told(&refused, 401);
            let asked = format!("/oauth2/token?client_assertion={assertion}");
            let refused = self.call(Method::POST, &asked, assertion, None).await;
            let status = refused.status;
            assert!(status >= 400, "{}", refused.text);
            self.told(&refused, status);
        }
        let id = shared["client_id"].as_str().unwrap().to_owned();
        let bare = TestClient { id, secret: Some(secret) };
        let refused = self.token(Some(&bare), &[("grant_type", "client_credentials")]).await;
        self.told(&refused, 401);
    }

    /// API keys: minted, verified, asked about by a gateway, rotated, shown in the wrong places; and the token that may do so, traded.
    pub async fn has_keys_made(&mut self) {
        let scope = "keys:write keys:read keys:verify instances:read";
        let added = self.place.json(&[
            "client",
            "add",
            "Maker",
            "--grant",
            "client_credentials",
            "--grant",
            TOKEN_EXCHANGE,
            "--scope",
            scope,
        ]);
        let text = |name: &str| added[name].as_str().unwrap().to_owned();
        let maker = TestClient { id: text("client_id"), secret: Some(text("client_secret")) };
        self.secrets.keep("a client's secret", text("client_secret"));
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let token =
            Tokens::of(&self.token(Some(&maker), &[("grant_type", "client_credentials")]).await).access;
        self.secrets.keep("a client's token", &token);
        let form = [
            ("grant_type", TOKEN_EXCHANGE),
            ("subject_token", token.as_str()),
            ("scope", "keys:read"),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ];
        let traded = self.token(Some(&maker), &form).await;
        assert_eq!(traded.status, 200, "{}", traded.text);
        self.secrets.keep("a traded token", traded.json()["access_token"].as_str().unwrap());

        let body = json!({"name": "canary", "environment": "prod", "scopes": ["instances:read"]});
        let minted = self.call(Method::POST, "/v1/keys", &token, Some(body)).await;
        assert_eq!(minted.status, 201, "{}", minted.text);
        let (id, key) = (
            minted.json()["key_id"].as_str().unwrap().to_owned(),
            minted.json()["key"].as_str().unwrap().to_owned(),
        );
        let rotated = self
            .call(
                Method::POST,
                &format!("/v1/keys/{id}/rotate"),
                &token,
                Some(json!({"overlap_seconds": 600})),
            )
            .await;
        let second = rotated.json()["key"].as_str().unwrap().to_owned();
        for key in [&key, &second] {
            self.secrets.keep("an API key", key);
            // Behind the public id.
            self.secrets.keep("an API key's secret", key.split_at(19).1);
            let verified =
                self.call(Method::POST, "/v1/keys/verify", &token, Some(json!({"key": key}))).await;
            assert_eq!(verified.status, 200, "{}", verified.text);
            let asked = self.call(Method::GET, "/gateway/caddy?scope=instances:read", key, None).await;
            assert_eq!(asked.status, 200, "{}", asked.text);
            let refused = self.call(Method::GET, "/gateway/caddy?scope=volumes:read", key, None).await;
            self.told(&refused, 403);
            let refused = self.call(Method::GET, &format!("/v1/keys?key={key}"), key, None).await;
            let status = refused.status;
            assert!(status >= 400, "{}", refused.text);
            self.told(&refused, status);
            // One in sixty-two ends with the first already.
            let other = if key.ends_with('0') { '1' } else { '0' };
            let wrong = format!("{}{other}", &key[..key.len() - 1]);
            let refused = self.call(Method::GET, "/gateway/nginx?scope=instances:read", &wrong, None).await;
            self.told(&refused, 401);
        }
        let reported = self
            .call(
                Method::POST,
                "/v1/keys/report-leak",
                &token,
                Some(json!({"key": key, "url": "https://example.com/x"})),
            )
            .await;
        assert!(reported.status < 500, "{}", reported.text);
    }
}
