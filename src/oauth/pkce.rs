//! Proof Key for Code Exchange (RFC 7636): the challenge of an authorization request and the verifier that meets it.
//!
//! S256 only: `plain` shows the verifier to whoever reads the request (RFC 9700 §2.1.1). What a wrong verifier means for a
//! code is decided in `code.rs`.

use serde::{Deserialize, Serialize};

use super::client::Client;
use super::error::OAuthError;
use crate::base::digest::sha256;
use crate::base::encoding::{base64url, from_base64url};
use crate::base::secret::Secret;

/// SHA-256 of a verifier (RFC 7636 §4.2). Public by nature: it travels in the address bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CodeChallenge([u8; 32]);

impl CodeChallenge {
    /// Reads `code_challenge` and `code_challenge_method`; `None` when neither was sent (S-A12).
    pub fn parse(challenge: Option<&str>, method: Option<&str>) -> Result<Option<Self>, OAuthError> {
        let refuse = |text: &'static str| Err(OAuthError::InvalidRequest(text.into()));
        match (challenge, method) {
            (None, None) => Ok(None),
            (None, Some(_)) => refuse("code_challenge is missing beside code_challenge_method"),
            (Some(challenge), Some("S256")) => match Self::read(challenge) {
                Some(challenge) => Ok(Some(challenge)),
                None => refuse("code_challenge must be 43 base64url characters: SHA-256 of the verifier"),
            },
            // RFC 7636 §4.3: the method "defaults to plain if not present in the request".
            (Some(_), None) => {
                refuse("code_challenge_method is missing, which means plain; only S256 is allowed")
            }
            (Some(_), Some(_)) => refuse("code_challenge_method must be S256"),
        }
    }

    /// Whether the verifier is the one that was hashed (RFC 7636 §4.6). Both sides are hashes, which cannot be steered, so a
    /// plain comparison tells an attacker nothing.
    pub fn is_met_by(&self, verifier: &CodeVerifier) -> bool {
        sha256(verifier.0.reveal().as_bytes()) == self.0
    }

    fn read(text: &str) -> Option<Self> {
        from_base64url(text)?.try_into().ok().map(Self)
    }
}

impl TryFrom<String> for CodeChallenge {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::read(&text).ok_or("a code challenge is 43 base64url characters")
    }
}

impl From<CodeChallenge> for String {
    fn from(challenge: CodeChallenge) -> Self {
        base64url(&challenge.0)
    }
}

/// A well-formed verifier: 43 to 128 unreserved characters (RFC 7636 §4.1).
#[derive(Clone, Debug)]
pub struct CodeVerifier(Secret<String>);

impl CodeVerifier {
    /// Reads `code_verifier`; a malformed one is `invalid_request` (S-C7), a wrong one is the challenge's business.
    pub fn parse(text: &str) -> Result<Self, OAuthError> {
        let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        if !(43..=128).contains(&text.len()) || !text.bytes().all(unreserved) {
            return Err(OAuthError::InvalidRequest(
                "code_verifier must be 43 to 128 characters: letters, digits and - . _ ~".into(),
            ));
        }
        Ok(Self(Secret::new(text.to_owned())))
    }
}

/// What ties a code to whoever asked for it. A public client without PKCE has no value to be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// Only who knows the verifier can redeem the code.
    Pkce(CodeChallenge),
    /// Only the client's secret protects the code: a confidential client whose registration says that PKCE may be left out.
    ConfidentialOnly,
}

impl Binding {
    /// The binding of a request; `invalid_request` when the client must use PKCE and did not (S-A11, requirements D3).
    pub fn new(client: &Client, challenge: Option<CodeChallenge>) -> Result<Self, OAuthError> {
        match challenge {
            Some(challenge) => Ok(Self::Pkce(challenge)),
            None if client.requires_pkce() => Err(OAuthError::InvalidRequest(
                "code_challenge is missing; this client must use PKCE with S256".into(),
            )),
            None => Ok(Self::ConfidentialOnly),
        }
    }

    /// The challenge, for the code.
    pub fn challenge(&self) -> Option<CodeChallenge> {
        match self {
            Self::Pkce(challenge) => Some(*challenge),
            Self::ConfidentialOnly => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 7636 appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn the_example_of_rfc_7636_is_met_and_nothing_near_it() {
        let challenge = CodeChallenge::parse(Some(CHALLENGE), Some("S256")).unwrap().unwrap();
        assert!(challenge.is_met_by(&CodeVerifier::parse(VERIFIER).unwrap()));
        for wrong in [CHALLENGE.to_owned(), format!("{VERIFIER}a"), VERIFIER.to_lowercase()] {
            assert!(!challenge.is_met_by(&CodeVerifier::parse(&wrong).unwrap()), "S-C7: {wrong}");
        }
        assert_eq!(serde_json::to_string(&challenge).unwrap(), format!("\"{CHALLENGE}\""));
        assert_eq!(serde_json::from_str::<CodeChallenge>(&format!("\"{CHALLENGE}\"")).unwrap(), challenge);
        assert!(serde_json::from_str::<CodeChallenge>("\"short\"").is_err());
    }

    #[test]
    fn only_s256_with_43_characters_is_a_challenge() {
        assert_eq!(CodeChallenge::parse(None, None).unwrap(), None);
        let (long, dirty) = (format!("{CHALLENGE}A"), CHALLENGE.replace('-', "+"));
        for (challenge, method) in [
            (Some(CHALLENGE), None),
            (Some(CHALLENGE), Some("plain")),
            (Some(CHALLENGE), Some("s256")),
            (Some(CHALLENGE), Some("S512")),
            (None, Some("S256")),
            (CHALLENGE.get(..42), Some("S256")),
            (Some(&long), Some("S256")),
            (Some(&dirty), Some("S256")),
            (Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cN"), Some("S256")), // stray bits: a second spelling
            (Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM="), Some("S256")),
        ] {
            let refused = CodeChallenge::parse(challenge, method).unwrap_err();
            assert_eq!(refused.code(), "invalid_request", "S-A12: {challenge:?} {method:?}");
        }
    }

    #[test]
    fn a_verifier_is_43_to_128_unreserved_characters() {
        for good in ["a".repeat(43), "~".repeat(128), ".-_~".repeat(11)] {
            assert!(CodeVerifier::parse(&good).is_ok(), "C11: {good}");
        }
        for bad in [
            String::new(),
            "a".repeat(42),
            "a".repeat(129),
            "+".repeat(43),
            "ä".repeat(43),
            format!("{VERIFIER}\0"),
        ] {
            assert_eq!(CodeVerifier::parse(&bad).unwrap_err().code(), "invalid_request", "S-C7: {bad:?}");
        }
        assert!(!format!("{:?}", CodeVerifier::parse(VERIFIER).unwrap()).contains(VERIFIER));
    }
}
