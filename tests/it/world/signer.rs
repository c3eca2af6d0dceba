//! Somebody with a key pair who makes assertions: a client, a service account, an outside issuer.

use std::sync::atomic::{AtomicU64, Ordering};

use cnx::base::algorithm::Algorithm;
use cnx::base::encoding::base64url;
use cnx::base::entropy::Entropy;
use cnx::flow::service_accounts;
use cnx::jose::signing_key::SigningKey;
use cnx::oauth::service_account::{AccountPolicy, ServiceAccount};
use serde_json::{Value, json};

use super::{Reply, World};

/// The grant of an assertion.
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// The grant of an exchange.
pub const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// The type of a client's assertion.
pub const CLIENT_ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A key pair.
pub struct Signer {
    pub kid: String,
    pub jwk: Value,
    key: SigningKey,
}

impl Signer {
    pub fn new(alg: Algorithm) -> Self {
        let made = SigningKey::generate(alg, 2048, &Entropy::system()).unwrap();
        let key = SigningKey::from_private(&made.kid, alg, made.private_der.reveal()).unwrap();
        Self { kid: made.kid, jwk: made.public_jwk, key }
    }

    pub fn es256() -> Self {
        Self::new(Algorithm::Es256)
    }

    /// `{"keys":[…]}` with the public half.
    pub fn jwks(&self) -> Value {
        json!({ "keys": [self.jwk] })
    }

    pub fn header(&self) -> Value {
        json!({"alg": self.key.algorithm().name(), "kid": self.kid})
    }

    /// Any header and any payload, with a right signature.
    pub fn signs(&self, header: &Value, payload: &[u8]) -> String {
        let signed = format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(payload));
        let signature = self.key.sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", base64url(&signature))
    }

    /// These claims under the usual header.
    pub fn assertion(&self, claims: &Value) -> String {
        self.signs(&self.header(), claims.to_string().as_bytes())
    }
}

/// A `jti` that was never used.
pub fn new_jti() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("jti-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A service account with one key.
pub struct Machine {
    pub id: String,
    pub signer: Signer,
}

impl World {
    /// A service account that may `deploy:read deploy:write`, with `policy` on top, and a key of that algorithm.
    pub async fn machine(&self, name: &str, alg: Algorithm, policy: Value) -> Machine {
        let account = self.account(name, policy).await;
        let signer = Signer::new(alg);
        service_accounts::register_key(self.app(), super::by(), &account, &signer.jwk.to_string(), None)
            .await
            .unwrap();
        Machine { id: account.id.to_string(), signer }
    }

    /// A service account without keys.
    pub async fn account(&self, name: &str, policy: Value) -> ServiceAccount {
        let mut members = json!({"scope": "deploy:read deploy:write"});
        for (name, value) in policy.as_object().unwrap() {
            members[name] = value.clone();
        }
        let policy: AccountPolicy = serde_json::from_value(members).unwrap();
        service_accounts::add(self.app(), super::by(), name, policy).await.unwrap()
    }

    /// Good claims of an assertion by `iss`, for the issuer, now.
    pub fn assertion_claims(&self, iss: &str) -> Value {
        let now = self.now();
        json!({"iss": iss, "sub": iss, "aud": self.base, "iat": now, "exp": now + 300, "jti": new_jti()})
    }

    /// Presents an assertion for a token.
    pub async fn present(&self, assertion: &str, extra: &[(&str, &str)]) -> Reply {
        let mut form = vec![("grant_type", JWT_BEARER), ("assertion", assertion)];
        form.extend_from_slice(extra);
        self.post("/oauth2/token", None, &form).await
    }

    /// A token of a machine, asked for as it should be.
    pub async fn machine_token(&self, machine: &Machine, extra: &[(&str, &str)]) -> Reply {
        let assertion = machine.signer.assertion(&self.assertion_claims(&machine.id));
        self.present(&assertion, extra).await
    }
}
