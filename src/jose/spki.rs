//! PEM: the public keys that people register (RFC 7468 §13, `SubjectPublicKeyInfo` of RFC 5280 §4.1.2.7), and the private keys
//! that we hand out once (PKCS#8, RFC 7468 §10).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pkcs1::RsaPublicKey;
use pkcs1::der::oid::ObjectIdentifier;
use pkcs1::der::pem::PemLabel as _;
use pkcs1::der::{Decode as _, Document};
use spki::SubjectPublicKeyInfoRef;

use super::public_key::PublicKey;
use super::signing_key::NewKey;
use crate::base::algorithm::Algorithm;
use crate::base::secret::Secret;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// PKCS#8 of an Ed25519 key in its first version, up to the 32 bytes of the key (RFC 8410 §7).
const ED25519_V1: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Reads a public key; the text says what is allowed.
pub(super) fn from_pem(text: &str) -> Result<PublicKey, String> {
    const ALLOWED: &str = "a PEM file with BEGIN PUBLIC KEY is allowed, of RSA, P-256 or Ed25519";
    if text.contains("PRIVATE KEY") {
        return Err("it is a private key; only the public half is allowed, keep this one".to_owned());
    }
    let (label, document) = Document::from_pem(text).map_err(|e| format!("{ALLOWED} ({e})"))?;
    if label != SubjectPublicKeyInfoRef::PEM_LABEL {
        return Err(ALLOWED.to_owned());
    }
    let info =
        SubjectPublicKeyInfoRef::from_der(document.as_bytes()).map_err(|e| format!("{ALLOWED} ({e})"))?;
    let bits = info.subject_public_key.as_bytes().ok_or(ALLOWED)?;
    let key = match info.algorithm.oid {
        RSA => {
            let numbers = RsaPublicKey::from_der(bits).map_err(|e| format!("{ALLOWED} ({e})"))?;
            PublicKey::from_rsa(
                numbers.modulus.as_bytes().to_vec(),
                numbers.public_exponent.as_bytes().to_vec(),
            )
        }
        EC if info.algorithm.parameters_oid().is_ok_and(|curve| curve == P256) => PublicKey::from_p256(bits),
        ED25519 => PublicKey::from_ed25519(bits),
        _ => return Err(ALLOWED.to_owned()),
    };
    key.map_err(|e| e.to_string())
}

impl NewKey {
    /// The private half as PKCS#8 in PEM, in the form that OpenSSL, Node and Python read.
    pub fn private_pem(&self, alg: Algorithm) -> Secret<String> {
        let der = self.private_der.reveal();
        // ring writes the second version of PKCS#8 for Ed25519, in a way that OpenSSL refuses; the key stands at the same place.
        let seed = der.get(ED25519_V1.len()..ED25519_V1.len() + 32).filter(|_| alg == Algorithm::EdDsa);
        let der = seed.map_or_else(|| der.clone(), |seed| [ED25519_V1.as_slice(), seed].concat());
        let text = STANDARD.encode(der);
        let lines: Vec<&str> =
            (0..text.len()).step_by(64).filter_map(|at| text.get(at..text.len().min(at + 64))).collect();
        Secret::new(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n")))
    }
}
