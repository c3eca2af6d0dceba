//! A private key that signs: made once, kept as PKCS#8 (sealed by whoever stores it), loaded to sign.
//!
//! RSA is made and used by OpenSSL through josekit: ring makes no RSA keys and signs half as fast. P-256 and Ed25519
//! are ring's. The `rsa` crate never sees a private key (RUSTSEC-2023-0071).

use std::fmt;

use josekit::jwk::KeyPair as _;
use josekit::jws::alg::rsassa::RsassaJwsSigner;
use josekit::jws::{JwsSigner as _, RS256};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use serde_json::Value;

use super::public_key::PublicKey;
use crate::base::algorithm::Algorithm;
use crate::base::encoding::from_base64url;
use crate::base::entropy::Entropy;
use crate::base::fault::Fault;
use crate::base::secret::Secret;

/// A key that was just made and is not stored yet.
#[derive(Debug)]
pub struct NewKey {
    /// PKCS#8 (RFC 5958) in DER: seal it before it is written anywhere (S-M7).
    pub private_der: Secret<Vec<u8>>,
    /// The public half as the key set shows it: `kid`, `use`, `alg`, `kty` and the numbers.
    pub public_jwk: Value,
    /// The RFC 7638 thumbprint as base64url: another key has another one, so none is ever used twice (S-M6).
    pub kid: String,
}

/// A loaded private key.
pub struct SigningKey {
    kid: String,
    public: PublicKey,
    private: Private,
}

enum Private {
    Rsa(RsassaJwsSigner),
    P256(EcdsaKeyPair, SystemRandom),
    Ed25519(Ed25519KeyPair),
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({} {})", self.algorithm(), self.kid)
    }
}

impl SigningKey {
    /// Makes a key. `rsa_bits` (2,048 or more) counts for RS256 only, and takes up to seconds of processor time.
    ///
    /// A seeded `entropy` is not used here: a key that can be made again is no key.
    pub fn generate(alg: Algorithm, rsa_bits: u32, entropy: &Entropy) -> Result<NewKey, Fault> {
        const DOING: &str = "making a signing key";
        let random = match entropy {
            Entropy::System(generator) => generator.clone(),
            Entropy::Seeded(_) => system_random(),
        };
        let der = match alg {
            Algorithm::Rs256 => {
                let pair = RS256.generate_key_pair(rsa_bits).map_err(|e| Fault::new(DOING, e))?;
                pair.to_der_private_key()
            }
            Algorithm::Es256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
                .map_err(|_| Fault::new(DOING, "no ES256 key could be made"))?
                .as_ref()
                .to_vec(),
            Algorithm::EdDsa => Ed25519KeyPair::generate_pkcs8(&random)
                .map_err(|_| Fault::new(DOING, "no EdDSA key could be made"))?
                .as_ref()
                .to_vec(),
        };
        let private_der = Secret::new(der);
        let key = Self::from_private("", alg, private_der.reveal())?;
        let kid = key.public.thumbprint();
        Ok(NewKey { private_der, public_jwk: key.public.to_jwk(&kid), kid })
    }

    /// Loads a key from its PKCS#8 DER; a fault when `der` is no key of this algorithm.
    pub fn from_private(kid: &str, alg: Algorithm, der: &[u8]) -> Result<Self, Fault> {
        let unreadable =
            |what: String| Fault::new("loading a signing key", format!("{alg} key {kid}: {what}"));
        let (public, private) = match alg {
            Algorithm::Rs256 => {
                let pair = RS256.key_pair_from_der(der).map_err(|e| unreadable(e.to_string()))?;
                let jwk = pair.to_jwk_public_key();
                let number = |name| jwk.parameter(name).and_then(Value::as_str).and_then(from_base64url);
                let public =
                    PublicKey::from_rsa(number("n").unwrap_or_default(), number("e").unwrap_or_default())?;
                let signer = RS256.signer_from_der(der).map_err(|e| unreadable(e.to_string()))?;
                (public, Private::Rsa(signer))
            }
            Algorithm::Es256 => {
                let random = system_random();
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &random)
                    .map_err(|e| unreadable(e.to_string()))?;
                (PublicKey::from_p256(pair.public_key().as_ref())?, Private::P256(pair, random))
            }
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::from_pkcs8(der).map_err(|e| unreadable(e.to_string()))?;
                (PublicKey::from_ed25519(pair.public_key().as_ref())?, Private::Ed25519(pair))
            }
        };
        Ok(Self { kid: kid.to_owned(), public, private })
    }

    /// The key's id in headers and in the key set.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The one algorithm that it signs with.
    pub fn algorithm(&self) -> Algorithm {
        self.public.algorithm()
    }

    /// The signature as JWS wants it: PKCS#1 v1.5, r ‖ s in 64 bytes (RFC 7518 §3.4), or Ed25519's 64 bytes.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Fault> {
        const DOING: &str = "signing a token";
        match &self.private {
            Private::Rsa(signer) => signer.sign(message).map_err(|e| Fault::new(DOING, e)),
            Private::P256(pair, random) => pair
                .sign(random, message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| Fault::new(DOING, "ES256 gave no signature")),
            Private::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }

    /// The public half, to hold against the stored one.
    pub(super) fn public(&self) -> &PublicKey {
        &self.public
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "keys and ECDSA nonces must never come from a seed, which would tell them"
)]
fn system_random() -> SystemRandom {
    SystemRandom::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_key_signs_what_its_public_half_verifies() {
        for alg in Algorithm::ALL {
            let new = SigningKey::generate(alg, 2048, &Entropy::seeded(1)).unwrap();
            let key = SigningKey::from_private(&new.kid, alg, new.private_der.reveal()).unwrap();
            let public = PublicKey::from_jwk(alg, &new.public_jwk).unwrap();
            assert_eq!((key.kid(), key.algorithm()), (new.kid.as_str(), alg));
            assert_eq!(&public, key.public());
            assert_eq!(public.thumbprint(), new.kid);
            let signature = key.sign(b"message").unwrap();
            assert_eq!(signature.len(), if alg == Algorithm::Rs256 { 256 } else { 64 });
            assert!(public.verifies(b"message", &signature));
            assert!(!public.verifies(b"another message", &signature));
            for other in Algorithm::ALL.into_iter().filter(|&other| other != alg) {
                assert!(
                    SigningKey::from_private("k", other, new.private_der.reveal()).is_err(),
                    "{alg} as {other}"
                );
            }
            assert!(!format!("{key:?}{new:?}").contains(&format!("{:?}", new.private_der.reveal())));
        }
    }

    #[test]
    fn no_key_below_2048_bits_is_made_and_garbage_is_not_loaded() {
        assert!(SigningKey::generate(Algorithm::Rs256, 1024, &Entropy::system()).is_err());
        for alg in Algorithm::ALL {
            for der in
                [&b""[..], b"\x30", b"\x30\x80", &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 2, 1, 0], &[7; 300]]
            {
                assert!(SigningKey::from_private("k", alg, der).is_err());
            }
        }
    }
}
