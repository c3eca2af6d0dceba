//! ID tokens (OIDC Core §2): what they say, and what is read of one that comes back as a hint. `jose` signs and verifies.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::access_token::one_or_many;
use super::client::Client;
use crate::base::algorithm::Algorithm;
use crate::base::digest::{sha256, sha512};
use crate::base::encoding::base64url;
use crate::base::id::{ClientId, SessionId, UserId};
use crate::base::time::Timestamp;

/// The JOSE `typ` of an ID token.
pub const TYP: &str = "JWT";

/// The class of a sign-in with a password alone.
pub const ACR_PASSWORD: &str = "urn:cloudnexus:acr:password";
/// Two factors, or one that holds two: a passkey whose holder was verified.
pub const ACR_MFA: &str = "urn:cloudnexus:acr:mfa";

/// The claims of an ID token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IdClaims {
    /// Us, exactly as in metadata (C18).
    pub iss: String,
    /// The person.
    pub sub: String,
    /// The client, and nobody else (S-I1). A string: some clients choke on an array.
    pub aud: ClientId,
    /// The client again, for libraries that look there.
    pub azp: ClientId,
    /// Seconds since 1970.
    pub exp: i64,
    /// Seconds since 1970.
    pub iat: i64,
    /// When the person proved who they are, in seconds since 1970. Always there (R46).
    pub auth_time: i64,
    /// As it was sent; absent if none was (R9), and at a refresh (OIDC Core §12.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// Binds the access token that comes with it (OIDC Core §3.1.3.6).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_hash: Option<String>,
    /// The class of the authentication.
    pub acr: String,
    /// Its methods (RFC 8176).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    /// The session (OIDC Back-Channel Logout §2.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sid: Option<SessionId>,
    /// Claims about the person that the request named for the ID token.
    #[serde(flatten)]
    pub person: Map<String, Value>,
}

/// The sign-in that an ID token tells of.
#[derive(Clone, Copy, Debug)]
pub struct SignedIn<'a> {
    /// Who signed in.
    pub user: UserId,
    /// The session, while it is known.
    pub session: Option<SessionId>,
    /// When.
    pub auth_time: Timestamp,
    /// The class of the authentication.
    pub acr: &'a str,
    /// Its methods.
    pub amr: &'a [String],
    /// The nonce of the authorization request; leave it out at a refresh.
    pub nonce: Option<&'a str>,
}

/// When an ID token is made, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// Now.
    pub from: Timestamp,
    /// Seconds.
    pub seconds: i64,
}

/// The ID token for `client`, which gets `access_token` beside it; `person` are the claims of
/// [`id_token_claims`](super::user_info::id_token_claims).
pub fn build(
    issuer: &str,
    client: &Client,
    signed_in: &SignedIn<'_>,
    access_token: Option<&str>,
    person: Map<String, Value>,
    life: Life,
) -> IdClaims {
    let algorithm = client.metadata.id_token_signed_response_alg;
    let mut person = person;
    // Whatever the account holds, these are ours to say (S-I2).
    person.retain(|name, _| !RESERVED.contains(&name.as_str()));
    IdClaims {
        iss: issuer.to_owned(),
        sub: signed_in.user.to_string(),
        aud: client.id.clone(),
        azp: client.id.clone(),
        exp: life.from.plus(life.seconds).as_secs(),
        iat: life.from.as_secs(),
        auth_time: signed_in.auth_time.as_secs(),
        nonce: signed_in.nonce.map(str::to_owned),
        at_hash: access_token.map(|token| at_hash(token, algorithm)),
        acr: signed_in.acr.to_owned(),
        amr: signed_in.amr.to_vec(),
        sid: signed_in.session,
        person,
    }
}

/// Names that no claim about a person may have.
const RESERVED: [&str; 16] = [
    "iss",
    "sub",
    "aud",
    "azp",
    "exp",
    "iat",
    "nbf",
    "jti",
    "auth_time",
    "nonce",
    "at_hash",
    "c_hash",
    "s_hash",
    "acr",
    "amr",
    "sid",
];

/// The left half of the access token's digest; the digest is the one of the ID token's algorithm (OIDC Core §3.1.3.6), and
/// for Ed25519 that is SHA-512 (RFC 8032 §5.1).
pub fn at_hash(access_token: &str, algorithm: Algorithm) -> String {
    match algorithm {
        Algorithm::Rs256 | Algorithm::Es256 => {
            base64url(sha256(access_token.as_bytes()).first_chunk::<16>().map_or(&[][..], |half| half))
        }
        Algorithm::EdDsa => {
            base64url(sha512(access_token.as_bytes()).first_chunk::<32>().map_or(&[][..], |half| half))
        }
    }
}

/// What is read of an ID token that comes back as `id_token_hint`; its age does not matter (OIDC RP-Initiated Logout §2).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct HintClaims {
    /// Must be us.
    pub iss: String,
    /// Whom it is about.
    pub sub: String,
    /// For which client.
    #[serde(with = "one_or_many")]
    pub aud: Vec<String>,
    /// The session it was given in.
    #[serde(default)]
    pub sid: Option<String>,
    /// Not looked at, but there: a signed userinfo answer has none, and is no ID token.
    pub exp: i64,
}

impl HintClaims {
    /// The person, if the hint is ours and, where the client is known, was given to it.
    pub fn subject(&self, issuer: &str, client: Option<&ClientId>) -> Option<UserId> {
        let is_for = |client: &ClientId| self.aud.iter().any(|aud| aud == client.as_str());
        if self.iss != issuer || !client.is_none_or(is_for) {
            return None;
        }
        self.sub.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::entropy::Entropy;
    use crate::base::time::Clock;
    use crate::oauth::samples::client;
    use serde_json::json;

    #[test]
    fn at_hash_is_the_left_half_of_the_algorithms_digest_r10() {
        // OpenID Connect Core, appendix A.3: the access token and the at_hash of its example ID token.
        let token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
        assert_eq!(at_hash(token, Algorithm::Rs256), "77QmUPtjPfzWtF2AnpK9RQ");
        assert_eq!(at_hash(token, Algorithm::Es256), "77QmUPtjPfzWtF2AnpK9RQ");
        assert_eq!(at_hash(token, Algorithm::EdDsa).len(), 43, "32 of 64 bytes");
        assert_eq!(at_hash("abc", Algorithm::EdDsa), "3a81oZNherrMQXNJriBBMRLm-k6JqX6iCp7u5ktV05o");
    }

    #[test]
    fn an_id_token_says_who_signed_in_to_whom_and_no_claim_overwrites_that_s_i1_s_i2() {
        let (clock, entropy) = (Clock::manual(Timestamp::from_secs(5)), Entropy::seeded(1));
        let (user, session) = (UserId::new(&clock, &entropy), SessionId::new(&clock, &entropy));
        let amr = ["pwd".to_owned()];
        let at = Timestamp::from_secs(1_000);
        let signed_in = SignedIn {
            user,
            session: Some(session),
            auth_time: at.minus(9),
            acr: "a",
            amr: &amr,
            nonce: Some("n/+="),
        };
        let person =
            json!({"email": "a@b.example", "iss": "https://evil", "exp": 9, "sid": "x", "nonce": "y"});
        let person = person.as_object().unwrap().clone();
        let life = Life { from: at, seconds: 600 };
        let claims = build("https://id.example", &client("app"), &signed_in, Some("abc"), person, life);
        assert_eq!(
            serde_json::to_value(&claims).unwrap(),
            json!({"iss": "https://id.example", "sub": user.to_string(), "aud": "app", "azp": "app", "exp": 1600,
                "iat": 1000, "auth_time": 991, "nonce": "n/+=", "at_hash": "ungWv48Bz-pBQUDeXa4iIw", "acr": "a",
                "amr": ["pwd"], "sid": session.to_string(), "email": "a@b.example"})
        );
        let refreshed = SignedIn { nonce: None, session: None, ..signed_in };
        let claims = build("https://id.example", &client("app"), &refreshed, None, Map::new(), life);
        let written = serde_json::to_value(&claims).unwrap();
        for absent in ["nonce", "sid", "at_hash"] {
            assert!(written.get(absent).is_none(), "{absent}");
        }

        let hint: HintClaims = serde_json::from_value(written).unwrap();
        let (mine, other) = ("app".parse().unwrap(), "other".parse().unwrap());
        assert_eq!(hint.subject("https://id.example", Some(&mine)), Some(user));
        assert_eq!(hint.subject("https://id.example", None), Some(user));
        assert_eq!(hint.subject("https://id.example", Some(&other)), None);
        assert_eq!(hint.subject("https://evil.example", Some(&mine)), None);
    }
}
