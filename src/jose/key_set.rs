//! Public keys of others: of clients, service accounts and outside issuers (RFC 7517), as they are registered or fetched.
//!
//! A registered key is held to every rule, and each refusal names what is allowed (S-J15). Of a fetched set, keys that cannot
//! be used are passed over, as RFC 7517 §5 asks. A key has one algorithm, from its kind; the token's header never chooses.

use josekit::jwk::Jwk;
use josekit::jws::ES256;
use serde_json::{Map, Value};

use super::public_key::PublicKey;
use super::spki;
use crate::base::algorithm::Algorithm;
use crate::base::json;

/// More keys than anybody has at once.
const MOST_KEYS: usize = 50;
/// The longest `kid`, in bytes (S-J3).
const LONGEST_KID: usize = 256;
/// Members that only a private or a shared key has (RFC 7518 §6).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Why a key or a set is refused: one line that says what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyProblem(String);

/// A public key of somebody else, with the one algorithm that it verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignKey {
    kid: Option<String>,
    key: PublicKey,
}

/// Somebody's public keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet(Vec<ForeignKey>);

impl ForeignKey {
    /// Reads a public key that somebody registers: a JWK, or a PEM file with `BEGIN PUBLIC KEY`.
    pub fn registered(text: &str) -> Result<Self, KeyProblem> {
        let text = text.trim();
        if text.starts_with("-----BEGIN") {
            let key = spki::from_pem(text).map_err(|e| problem(&e))?;
            return Ok(Self { kid: None, key });
        }
        match json::strict(text) {
            Ok(Value::Object(jwk)) => Self::read(&jwk),
            Ok(_) => Err(problem("a JWK (a JSON object) or a PEM public key is allowed")),
            Err(error) => Err(problem(&format!("it is neither PEM nor JSON: {error}"))),
        }
    }

    /// Reads a JWK by every rule of a registration.
    fn read(jwk: &Map<String, Value>) -> Result<Self, KeyProblem> {
        if PRIVATE.iter().any(|member| jwk.contains_key(*member)) {
            return Err(problem(
                "it holds a private or shared key; only the public half is allowed, keep the other",
            ));
        }
        let text = |name: &str| match jwk.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(problem(&format!("{name} is not text"))),
        };
        let alg = match (text("kty")?, text("crv")?) {
            (Some("RSA"), _) => Algorithm::Rs256,
            (Some("EC"), Some("P-256")) => Algorithm::Es256,
            (Some("OKP"), Some("Ed25519")) => Algorithm::EdDsa,
            _ => return Err(problem("kty RSA, EC with crv P-256, or OKP with crv Ed25519 is allowed")),
        };
        if text("alg")?
            .is_some_and(|stated| stated != alg.name() && !(stated == "Ed25519" && alg == Algorithm::EdDsa))
        {
            return Err(problem(&format!("alg must be {alg} for a key of this kind, or left out")));
        }
        if text("use")?.is_some_and(|usage| usage != "sig") {
            return Err(problem("use must be sig, or left out"));
        }
        if let Some(operations) = jwk.get("key_ops") {
            let verifies = operations.as_array().is_some_and(|all| all.iter().any(|op| op == "verify"));
            if !verifies {
                return Err(problem("key_ops must hold verify, or be left out"));
            }
        }
        let kid = text("kid")?.map(str::to_owned);
        // Printable, because people read it in lists and logs.
        let legal =
            |kid: &str| (1..=LONGEST_KID).contains(&kid.len()) && kid.bytes().all(|b| b.is_ascii_graphic());
        if kid.as_deref().is_some_and(|kid| !legal(kid)) {
            return Err(problem("kid of 1 to 256 visible ASCII characters is allowed"));
        }
        let value = Value::Object(jwk.clone());
        let key = PublicKey::from_jwk(alg, &value).map_err(|e| problem(&e.to_string()))?;
        if alg == Algorithm::Es256 && !is_on_curve(&key) {
            return Err(problem("x and y are no point of P-256"));
        }
        Ok(Self { kid, key })
    }

    /// A key that was registered and kept.
    pub fn kept(kid: &str, alg: Algorithm, jwk: &Value) -> Option<Self> {
        let key = PublicKey::from_jwk(alg, jwk).ok()?;
        Some(Self { kid: Some(kid.to_owned()), key })
    }

    /// The name that it is registered under; of a key without one, its RFC 7638 thumbprint.
    pub fn kid(&self) -> String {
        self.kid.clone().unwrap_or_else(|| self.key.thumbprint())
    }

    /// What it verifies.
    pub fn algorithm(&self) -> Algorithm {
        self.key.algorithm()
    }

    /// The JWK with its public members, `kid`, `use` and `alg`.
    pub fn to_jwk(&self) -> Value {
        self.key.to_jwk(&self.kid())
    }

    /// Whether `signature` is this key's over `message`.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verifies(message, signature)
    }
}

impl KeySet {
    /// Reads a key set that somebody registers (RFC 7591 §2 `jwks`).
    pub fn registered(set: &Value) -> Result<Self, KeyProblem> {
        let keys = set
            .get("keys")
            .and_then(Value::as_array)
            .filter(|keys| (1..=MOST_KEYS).contains(&keys.len()))
            .ok_or_else(|| problem("an object with 1 to 50 public keys in keys is allowed"))?;
        let mut read: Vec<ForeignKey> = Vec::with_capacity(keys.len());
        for (number, key) in keys.iter().enumerate() {
            let at = |e: &KeyProblem| problem(&format!("key {}: {e}", number + 1));
            let jwk = key.as_object().ok_or_else(|| at(&problem("an object is allowed")))?;
            let key = ForeignKey::read(jwk).map_err(|e| at(&e))?;
            if key.kid.is_some() && read.iter().any(|other| other.kid == key.kid) {
                return Err(at(&problem("its kid stands there twice")));
            }
            read.push(key);
        }
        Ok(Self(read))
    }

    /// Reads a key set that was fetched; `None` when it is none. Keys of kinds that we do not know are not counted.
    pub fn fetched(text: &str) -> Option<Self> {
        let set = json::strict(text).ok()?;
        let keys = set.get("keys")?.as_array()?;
        Some(Self(
            keys.iter()
                .take(MOST_KEYS)
                .filter_map(Value::as_object)
                .filter_map(|jwk| ForeignKey::read(jwk).ok())
                .collect(),
        ))
    }

    /// Reads the keys that GitHub signs its reports of secrets with: those that it calls current, by their identifiers.
    pub fn of_scanner(text: &str) -> Option<Self> {
        let set = json::strict(text).ok()?;
        let keys = set.get("public_keys")?.as_array()?;
        let read = |key: &Value| {
            let text = |name: &str| key.get(name).and_then(Value::as_str);
            let kid = text("key_identifier").filter(|kid| kid.len() <= LONGEST_KID)?;
            let is_current = key.get("is_current").and_then(Value::as_bool) == Some(true);
            let key = spki::from_pem(text("key")?).ok().filter(|_| is_current)?;
            Some(ForeignKey { kid: Some(kid.to_owned()), key })
        };
        Some(Self(keys.iter().take(MOST_KEYS).filter_map(read).collect()))
    }

    /// Whether the key called `kid` signed `message`; `signature` is ECDSA over P-256 and SHA-256, as ASN.1.
    pub fn has_signed(&self, kid: &str, message: &[u8], signature: &[u8]) -> bool {
        self.called(Some(kid)).any(|key| key.key.verifies_asn1(message, signature))
    }

    /// These keys, as they are registered one by one.
    pub fn of(keys: Vec<ForeignKey>) -> Self {
        Self(keys)
    }

    /// The keys that may have signed: those called `kid`, or all when the header names none (C4).
    pub(super) fn called<'a>(&'a self, kid: Option<&'a str>) -> impl Iterator<Item = &'a ForeignKey> {
        self.0.iter().filter(move |key| kid.is_none_or(|kid| key.kid() == kid))
    }

    /// Whether a key is called `kid`; without a `kid`, whether there is any key.
    pub fn knows(&self, kid: Option<&str>) -> bool {
        self.called(kid).next().is_some()
    }
}

/// OpenSSL looks whether the point lies on the curve; ring only at the first signature.
fn is_on_curve(key: &PublicKey) -> bool {
    let Value::Object(members) = key.to_jwk("") else { return false };
    Jwk::from_map(members).is_ok_and(|jwk| ES256.verifier_from_jwk(&jwk).is_ok())
}

fn problem(text: &str) -> KeyProblem {
    KeyProblem(text.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::encoding::base64url;
    use crate::base::entropy::Entropy;
    use crate::jose::signing_key::SigningKey;

    fn public(alg: Algorithm) -> Value {
        SigningKey::generate(alg, 2048, &Entropy::system()).unwrap().public_jwk
    }

    fn with(mut jwk: Value, name: &str, value: Value) -> Value {
        jwk[name] = value;
        jwk
    }

    #[test]
    fn a_registered_key_is_public_strong_and_for_signatures_s_j15() {
        let (ec, rsa) = (public(Algorithm::Es256), public(Algorithm::Rs256));
        let off_curve = base64url(&[1; 32]);
        for (jwk, says) in [
            (with(ec.clone(), "d", json!("x")), "private or shared"),
            (with(rsa.clone(), "p", json!("x")), "private or shared"),
            (json!({"kty": "oct", "k": "c2VjcmV0"}), "private or shared"),
            (json!({"kty": "EC", "crv": "P-384", "x": "", "y": ""}), "crv P-256"),
            (with(ec.clone(), "x", json!(off_curve)), "no point of P-256"),
            (with(ec.clone(), "use", json!("enc")), "use must be sig"),
            (with(ec.clone(), "key_ops", json!(["sign"])), "key_ops must hold verify"),
            (with(ec.clone(), "alg", json!("ES384")), "alg must be ES256"),
            (with(rsa.clone(), "alg", json!("PS256")), "alg must be RS256"),
            (with(rsa, "n", json!(base64url(&[255; 128]))), "2048 bits"),
            (with(ec.clone(), "kid", json!("k".repeat(257))), "1 to 256"),
            (with(ec.clone(), "kid", json!(7)), "kid is not text"),
            (with(ec.clone(), "kid", json!("a\nb")), "visible ASCII"),
        ] {
            let refused = ForeignKey::registered(&jwk.to_string()).unwrap_err().to_string();
            assert!(refused.contains(says), "{jwk} says {refused}");
            assert!(KeySet::registered(&json!({ "keys": [jwk] })).is_err());
            assert_eq!(KeySet::fetched(&json!({ "keys": [jwk, ec] }).to_string()).unwrap().0.len(), 1);
        }
        assert!(KeySet::registered(&json!({ "keys": [ec, ec] })).unwrap_err().to_string().contains("twice"));
        for bad in [json!({}), json!({"keys": []}), json!([]), json!({"keys": [7]})] {
            assert!(KeySet::registered(&bad).is_err(), "{bad}");
        }
        assert!(KeySet::fetched("{").is_none() && KeySet::fetched("{}").is_none());
    }

    #[test]
    fn every_kind_of_key_is_read_from_a_jwk_and_keeps_its_name() {
        for alg in Algorithm::ALL {
            let jwk = public(alg);
            let key = ForeignKey::registered(&jwk.to_string()).unwrap();
            assert_eq!((key.algorithm(), key.to_jwk()), (alg, jwk.clone()));
            let mut nameless = jwk.clone();
            nameless.as_object_mut().unwrap().remove("kid");
            assert_eq!(
                ForeignKey::registered(&nameless.to_string()).unwrap().kid(),
                jwk["kid"].as_str().unwrap()
            );
        }
    }
}
