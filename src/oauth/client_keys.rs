//! What a client registers to authenticate by assertion (OIDC Core §9, RFC 7591 §2): keys for `private_key_jwt`, an algorithm,
//! a longest life. The keys themselves are read by `jose/key_set.rs`.

use super::assertion::LONGEST;
use super::client::{AuthMethod, ClientMetadata};
use super::client_rules::{FieldError, allowed, refuse, shown};
use super::web_address::{MAX_BYTES, is_fetchable};
use crate::base::algorithm::Algorithm;
use crate::base::secret::Secret;

/// The algorithm of `client_secret_jwt`.
const HS256: &str = "HS256";

/// The shortest secret of a `client_secret_jwt` client, in bytes: "A key of the same size as the hash output … or larger MUST be
/// used" (RFC 7518 §3.2).
const SHORTEST_HS256: usize = 32;

/// Whether what is registered fits the way of authentication.
pub(super) fn check(metadata: &ClientMetadata) -> Result<(), FieldError> {
    let method = metadata.token_endpoint_auth_method;
    match (method == AuthMethod::PrivateKeyJwt, &metadata.jwks, &metadata.jwks_uri) {
        // RFC 7591 §2: "The "jwks_uri" and "jwks" parameters MUST NOT both be present".
        (_, Some(_), Some(_)) => return refuse("jwks_uri", "jwks or jwks_uri is allowed, not both"),
        (true, None, None) => {
            return refuse("jwks", "private_key_jwt needs public keys in jwks, or an address in jwks_uri");
        }
        (false, Some(_), _) | (false, _, Some(_)) => {
            return refuse("jwks", "keys are allowed for token_endpoint_auth_method private_key_jwt only");
        }
        _ => {}
    }
    if let Some(uri) = metadata.jwks_uri.as_deref().filter(|uri| !is_fetchable(uri)) {
        return refuse(
            "jwks_uri",
            format!(
                "{}: an https URL is allowed, of at most {MAX_BYTES} bytes, without a fragment",
                shown(uri)
            ),
        );
    }
    if let Some(alg) = &metadata.token_endpoint_auth_signing_alg {
        let fits = match method {
            AuthMethod::PrivateKeyJwt => Algorithm::ALL.iter().any(|known| known.name() == alg),
            AuthMethod::ClientSecretJwt => alg == HS256,
            // It says nothing about a client that sends no assertion.
            AuthMethod::None | AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost => true,
        };
        if !fits {
            return refuse("token_endpoint_auth_signing_alg", allowed("token_endpoint_auth_signing_alg"));
        }
    }
    if metadata.assertion_seconds.is_some_and(|seconds| !(1..=LONGEST).contains(&seconds)) {
        return refuse("assertion_seconds", allowed("assertion_seconds"));
    }
    Ok(())
}

/// Whether a secret fits the way of authentication: there is one where one is shared, and it is a key where it is used as one.
pub fn check_strength(method: AuthMethod, secret: &Secret<String>) -> Result<(), FieldError> {
    if !method.has_secret() {
        return refuse(
            "client_secret",
            format!("none is allowed for token_endpoint_auth_method {}", method.name()),
        );
    }
    if method == AuthMethod::ClientSecretJwt && secret.reveal().len() < SHORTEST_HS256 {
        return refuse("client_secret", "at least 32 characters are needed for client_secret_jwt");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn says(members: &Value) -> String {
        let mut client =
            json!({"client_name": "x", "grant_types": ["client_credentials"], "response_types": []});
        for (name, value) in members.as_object().unwrap() {
            client[name] = value.clone();
        }
        check(&serde_json::from_value(client).unwrap()).map_or_else(|e| e.to_string(), |()| "fine".to_owned())
    }

    #[test]
    fn keys_belong_to_private_key_jwt_and_one_of_two_ways_tells_them() {
        let (keys, uri) = (json!({"keys": []}), "https://app.example/jwks");
        for (members, expected) in [
            (json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": keys}), "fine"),
            (json!({"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": uri}), "fine"),
            (
                json!({"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "http://127.0.0.1:9/jwks"}),
                "fine",
            ),
            (json!({"token_endpoint_auth_method": "private_key_jwt"}), "jwks: private_key_jwt needs"),
            (
                json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": keys, "jwks_uri": uri}),
                "jwks_uri: jwks or",
            ),
            (json!({"jwks": keys}), "jwks: keys are allowed for"),
            (
                json!({"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "http://app.example/"}),
                "jwks_uri: http://app",
            ),
            (
                json!({"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "file:///etc/passwd"}),
                "jwks_uri: file:",
            ),
            (
                json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": keys, "token_endpoint_auth_signing_alg": "HS256"}),
                "token_endpoint_auth_signing_alg: RS256",
            ),
            (
                json!({"token_endpoint_auth_method": "client_secret_jwt", "token_endpoint_auth_signing_alg": "RS256"}),
                "token_endpoint_auth_signing_alg: RS256",
            ),
            (
                json!({"token_endpoint_auth_method": "client_secret_jwt", "token_endpoint_auth_signing_alg": "HS256"}),
                "fine",
            ),
            (json!({"assertion_seconds": 0}), "assertion_seconds: a whole"),
            (json!({"assertion_seconds": 3601}), "assertion_seconds: a whole"),
        ] {
            let told = says(&members);
            assert!(told.starts_with(expected), "{members} says {told}");
        }
    }
}
