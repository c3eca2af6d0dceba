//! The public half of a signing key: read from its JWK, checked, written back with public members only, and used to
//! verify with ring (measured: faster than OpenSSL for all three algorithms).
//!
//! Not a general JWK reader: only the three kinds of key that this server makes (RFC 7518 §6.2, §6.3, RFC 8037 §2).

use ring::digest::{SHA256, digest};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde_json::{Value, json};

use crate::base::algorithm::Algorithm;
use crate::base::encoding::{base64url, from_base64url};
use crate::base::fault::Fault;

/// The mark of an uncompressed point (SEC 1 §2.3.3), which JWKs leave out and ring wants.
const UNCOMPRESSED: u8 = 4;

/// A public key of one of our algorithms.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum PublicKey {
    /// Modulus and exponent, big-endian without leading zeros (RFC 7518 §6.3.1).
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    /// 4 ‖ x ‖ y, 65 bytes.
    P256(Vec<u8>),
    /// The 32 bytes of RFC 8032.
    Ed25519(Vec<u8>),
}

impl PublicKey {
    /// From the modulus and exponent of an RSA key; refuses fewer than 2,048 bits (S-M5).
    pub(super) fn from_rsa(modulus: Vec<u8>, exponent: Vec<u8>) -> Result<Self, Fault> {
        let canonical = |number: &[u8]| number.first().is_some_and(|&byte| byte != 0);
        // 2,048 bits are 256 bytes whose first bit is set.
        let strong = modulus.len() > 256 || (modulus.len() == 256 && modulus.first() >= Some(&0x80));
        if !canonical(&modulus) || !canonical(&exponent) || !strong {
            return Err(Fault::new(READING, "n and e: an RSA key of 2048 bits or more is allowed"));
        }
        Ok(Self::Rsa { modulus, exponent })
    }

    /// From the point as ring gives it: 4 ‖ x ‖ y.
    pub(super) fn from_p256(point: &[u8]) -> Result<Self, Fault> {
        if point.len() != 65 || point.first() != Some(&UNCOMPRESSED) {
            return Err(Fault::new(READING, "x and y: a P-256 point of 32 and 32 bytes is allowed"));
        }
        Ok(Self::P256(point.to_vec()))
    }

    /// From the 32 bytes of an Ed25519 public key.
    pub(super) fn from_ed25519(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.len() != 32 {
            return Err(Fault::new(READING, "x: an Ed25519 key of 32 bytes is allowed"));
        }
        Ok(Self::Ed25519(bytes.to_vec()))
    }

    /// Reads the members of a stored JWK that belong to `alg`; the others are not looked at and never come back.
    pub(super) fn from_jwk(alg: Algorithm, jwk: &Value) -> Result<Self, Fault> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str).unwrap_or_default();
        let bytes = |name: &str| from_base64url(text(name)).unwrap_or_default();
        match (alg, text("kty"), text("crv")) {
            (Algorithm::Rs256, "RSA", _) => Self::from_rsa(bytes("n"), bytes("e")),
            (Algorithm::Es256, "EC", "P-256") => {
                let (x, y) = (bytes("x"), bytes("y"));
                if x.len() != 32 {
                    return Err(Fault::new(READING, "x: 32 bytes are allowed for P-256"));
                }
                Self::from_p256(&[&[UNCOMPRESSED], x.as_slice(), y.as_slice()].concat())
            }
            (Algorithm::EdDsa, "OKP", "Ed25519") => Self::from_ed25519(&bytes("x")),
            (_, kty, crv) => {
                Err(Fault::new(READING, format!("{alg}: not the kind of key \"{kty}\" \"{crv}\"")))
            }
        }
    }

    /// The algorithm that this key verifies, and no other.
    pub(super) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa { .. } => Algorithm::Rs256,
            Self::P256(_) => Algorithm::Es256,
            Self::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    /// The JWK as the key set shows it: public members, `kid`, `use` and `alg` (S-M5).
    pub(super) fn to_jwk(&self, kid: &str) -> Value {
        let mut jwk = self.required_members();
        if let Some(members) = jwk.as_object_mut() {
            members.insert("kid".into(), kid.into());
            members.insert("use".into(), "sig".into());
            members.insert("alg".into(), self.algorithm().name().into());
        }
        jwk
    }

    /// RFC 7638 §3: SHA-256 over the required members in lexicographic order, as base64url.
    pub(super) fn thumbprint(&self) -> String {
        let members = self.required_members();
        // Written out by hand: RFC 7638 §3.3 fixes the order, and a map's order is a feature flag away from changing.
        let names: &[&str] = match self {
            Self::Rsa { .. } => &["e", "kty", "n"],
            Self::P256(_) => &["crv", "kty", "x", "y"],
            Self::Ed25519(_) => &["crv", "kty", "x"],
        };
        let pairs: Vec<String> = names
            .iter()
            .map(|&name| {
                let value = members.get(name).and_then(Value::as_str).unwrap_or_default();
                format!("\"{name}\":\"{value}\"")
            })
            .collect();
        base64url(digest(&SHA256, format!("{{{}}}", pairs.join(",")).as_bytes()).as_ref())
    }

    /// Whether `signature` is this key's over `message`. ES256 signatures are r ‖ s (RFC 7518 §3.4).
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Rsa { modulus, exponent } => RsaPublicKeyComponents { n: modulus, e: exponent }
                .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
                .is_ok(),
            Self::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
            }
            Self::Ed25519(bytes) => {
                UnparsedPublicKey::new(&ED25519, bytes).verify(message, signature).is_ok()
            }
        }
    }

    /// Whether `signature` is this key's over `message`, where the signature has the form of ASN.1 (RFC 3279 §2.2.3); P-256 only.
    pub(super) fn verifies_asn1(&self, message: &[u8], signature: &[u8]) -> bool {
        let Self::P256(point) = self else { return false };
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature).is_ok()
    }

    fn required_members(&self) -> Value {
        match self {
            Self::Rsa { modulus, exponent } => {
                json!({"kty": "RSA", "n": base64url(modulus), "e": base64url(exponent)})
            }
            Self::P256(point) => {
                let (x, y) = point.get(1..).unwrap_or_default().split_at_checked(32).unwrap_or_default();
                json!({"kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y)})
            }
            Self::Ed25519(bytes) => json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(bytes)}),
        }
    }
}

const READING: &str = "reading the public half of a signing key";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprints_are_those_of_the_rfcs() {
        // RFC 7638 §3.1 and RFC 8037 appendix A.3.
        let rsa = json!({"kty": "RSA", "e": "AQAB", "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"});
        let key = PublicKey::from_jwk(Algorithm::Rs256, &rsa).unwrap();
        assert_eq!(key.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        let ed = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        let key = PublicKey::from_jwk(Algorithm::EdDsa, &ed).unwrap();
        assert_eq!(key.thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn a_jwk_of_another_kind_or_size_is_refused() {
        let short = base64url(&[255; 128]);
        let long = base64url(&[255; 31]);
        let fine = base64url(&[1; 32]);
        for (alg, jwk) in [
            (Algorithm::Rs256, json!({"kty": "RSA", "n": short, "e": "AQAB"})),
            (Algorithm::Rs256, json!({"kty": "oct", "k": fine})),
            (Algorithm::Rs256, json!({"kty": "EC", "crv": "P-256", "x": fine, "y": fine})),
            (Algorithm::Es256, json!({"kty": "EC", "crv": "P-256", "x": long, "y": fine})),
            (Algorithm::Es256, json!({"kty": "EC", "crv": "P-384", "x": fine, "y": fine})),
            (Algorithm::EdDsa, json!({"kty": "OKP", "crv": "X25519", "x": fine})),
            (Algorithm::EdDsa, json!({"kty": "OKP", "crv": "Ed25519", "x": long})),
            (Algorithm::EdDsa, json!(null)),
        ] {
            assert!(PublicKey::from_jwk(alg, &jwk).is_err(), "{alg} {jwk}");
        }
    }
}
