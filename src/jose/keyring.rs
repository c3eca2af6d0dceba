//! The keys of one moment: which signs, which verify, and the key set that clients read (RFC 7517 §5).
//!
//! An immutable snapshot. A changed row, or the moment of [`Keyring::next_change`], is a reason to build another one;
//! nothing is ever taken out of a ring that exists, so no key lingers in an index that forgot to forget it.

use std::cmp::Reverse;
use std::collections::HashMap;

use bytes::Bytes;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::public_key::PublicKey;
pub use super::rotation::{KeyPolicy, KeyState, Step, StoredKey, heir, plan, successor};
use super::rotation::{leaves_at, signs_until, state};
use super::signing_key::SigningKey;
use crate::base::algorithm::Algorithm;
use crate::base::encoding::base64url;
use crate::base::fault::Fault;
use crate::base::time::Timestamp;

/// The signing keys, as they stand at one moment.
#[derive(Debug)]
pub struct Keyring {
    signing: Vec<SigningKey>,
    known: HashMap<String, Known>,
    jwks: Jwks,
    statuses: Vec<KeyStatus>,
    next_change: Option<Timestamp>,
}

/// The key set as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwks {
    /// `{"keys":[…]}`, public members only (S-M5).
    pub json: Bytes,
    /// A strong entity tag with its quotes (RFC 9110 §8.8.3); the same key set has the same one on every node.
    pub etag: Bytes,
}

/// A key as the command line lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStatus {
    /// The key's id.
    pub kid: String,
    /// Its algorithm.
    pub alg: Algorithm,
    /// Its place among the keys of the algorithm.
    pub generation: i64,
    /// Where it is in its life.
    pub state: KeyState,
    /// The moment from which it may sign.
    pub sign_from: Timestamp,
    /// When a successor takes over, if one was made.
    pub retires_at: Option<Timestamp>,
    /// When it leaves the key set, if a successor was made; for a revoked key, when it was revoked.
    pub leaves_at: Option<Timestamp>,
}

#[derive(Debug)]
struct Known {
    key: PublicKey,
    published: bool,
}

impl Keyring {
    /// Builds the ring of the moment `now`. A fault for a row that is no key, a private half that does not belong to
    /// its public half, or a `kid` that appears twice.
    pub fn build(keys: &[StoredKey], policy: &KeyPolicy, now: Timestamp) -> Result<Self, Fault> {
        let mut signing = Vec::new();
        let mut entries: Vec<(KeyStatus, PublicKey)> = Vec::new();
        for key in keys {
            if entries.iter().any(|(status, _)| status.kid == key.kid) {
                return Err(Fault::new(DOING, format!("two keys are called {}", key.kid)));
            }
            let public = PublicKey::from_jwk(key.alg, &key.public_jwk)
                .map_err(|e| Fault::new(DOING, format!("key {}: {e}", key.kid)))?;
            let status = KeyStatus::of(keys, key, policy, now);
            if status.state == KeyState::Signing {
                signing.push(load(key, &public)?);
            }
            entries.push((status, public));
        }
        entries.sort_by_key(|(status, _)| (status.alg, status.state, Reverse(status.generation)));
        let shown = entries.iter().filter(|(status, _)| status.is_published());
        let jwks = Jwks::of(&shown.map(|(status, key)| key.to_jwk(&status.kid)).collect::<Vec<_>>());
        let next_change = entries.iter().filter_map(|(status, _)| status.next_change(now)).min();
        let (mut known, mut statuses) = (HashMap::new(), Vec::new());
        for (status, key) in entries {
            if status.state != KeyState::Revoked {
                known.insert(status.kid.clone(), Known { key, published: status.is_published() });
            }
            statuses.push(status);
        }
        Ok(Self { signing, known, jwks, statuses, next_change })
    }

    /// The key that signs with `alg`; a fault when there is none.
    pub fn signing(&self, alg: Algorithm) -> Result<&SigningKey, Fault> {
        self.signing
            .iter()
            .find(|key| key.algorithm() == alg)
            .ok_or_else(|| Fault::new("choosing a signing key", format!("no {alg} key signs now")))
    }

    /// The key set as clients read it.
    pub fn jwks(&self) -> &Jwks {
        &self.jwks
    }

    /// The moment at which this ring is out of date although no row changed.
    pub fn next_change(&self) -> Option<Timestamp> {
        self.next_change
    }

    /// The algorithms that can be signed with, in the order of metadata.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        Algorithm::ALL.into_iter().filter(|&alg| self.signing(alg).is_ok()).collect()
    }

    /// Every key, revoked ones too, by algorithm and state.
    pub fn describe(&self) -> &[KeyStatus] {
        &self.statuses
    }

    /// The public half called `kid`: of the key set, or `ever` known. Never a revoked one.
    pub(super) fn known(&self, kid: &str, ever: bool) -> Option<&PublicKey> {
        self.known.get(kid).filter(|known| known.published || ever).map(|known| &known.key)
    }
}

impl KeyStatus {
    fn of(keys: &[StoredKey], key: &StoredKey, policy: &KeyPolicy, now: Timestamp) -> Self {
        Self {
            kid: key.kid.clone(),
            alg: key.alg,
            generation: key.generation,
            state: state(keys, key, policy, now),
            sign_from: key.sign_from,
            retires_at: signs_until(keys, key),
            leaves_at: key.revoked_at.or_else(|| leaves_at(keys, key, policy)),
        }
    }

    fn is_published(&self) -> bool {
        matches!(self.state, KeyState::Signing | KeyState::Published | KeyState::Retired)
    }

    fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let times = [Some(self.sign_from), self.retires_at, self.leaves_at];
        let is_live = self.state != KeyState::Revoked;
        times.into_iter().flatten().filter(|&at| is_live && at > now).min()
    }
}

impl Jwks {
    fn of(keys: &[Value]) -> Self {
        let json = json!({ "keys": keys }).to_string();
        // Half of SHA-256 is enough to tell two key sets apart.
        let hash = digest(&SHA256, json.as_bytes());
        let etag = format!("\"{}\"", base64url(hash.as_ref().get(..16).unwrap_or_default()));
        Self { json: json.into(), etag: etag.into() }
    }
}

const DOING: &str = "building the key ring";

fn load(key: &StoredKey, public: &PublicKey) -> Result<SigningKey, Fault> {
    let fault = |what: &str| Fault::new(DOING, format!("key {}: {what}", key.kid));
    let der = key.private_der.as_ref().ok_or_else(|| fault("the private half is missing"))?;
    let signing = SigningKey::from_private(&key.kid, key.alg, der.reveal())?;
    if signing.public() != public {
        return Err(fault("the private half does not belong to the public half"));
    }
    Ok(signing)
}
