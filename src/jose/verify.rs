//! Reads a compact JWS (RFC 7515 §5.2), ours or somebody else's. The only place that makes a [`Verified`].
//!
//! The key decides the algorithm, never the header (RFC 8725 §3.1); keys inside the header (`jwk`, `jku`, `x5c`) are
//! not looked at. Signature and type only: `exp`, `aud` and what else the claims mean are rules elsewhere.

use ring::hmac;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};

use super::key_set::KeySet;
use super::keyring::Keyring;
use crate::base::algorithm::Algorithm;
use crate::base::encoding::from_base64url;
use crate::base::json;
use crate::base::proof::Verified;
use crate::base::secret::Secret;

/// The longest token that is looked at, in bytes: ours are far shorter, and work on longer ones is an attacker's gain.
const LONGEST: usize = 16 * 1024;

/// The algorithm of a shared secret (RFC 7518 §3.2).
pub const HS256: &str = "HS256";

/// Which keys may have signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Among {
    /// Those in the key set: for tokens that may still be alive.
    Published,
    /// Every key that was not revoked, remembered ones too: for `id_token_hint`, whose token may be long expired
    /// (OIDC Core §3.1.2.1, S-A20).
    EverKnown,
}

/// The header members that matter. A member twice is an error, as RFC 7515 §4 allows.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    typ: Option<String>,
    /// RFC 7515 §4.1.11: unknown critical extensions must be refused; we know none, so the member is refused.
    #[serde(default, deserialize_with = "presence")]
    crit: bool,
    /// RFC 7797: an unencoded payload would change what was signed.
    #[serde(default, deserialize_with = "presence")]
    b64: bool,
    /// RFC 7516 §4.1.3: compression belongs to encryption; nothing of ours is compressed.
    #[serde(default, deserialize_with = "presence")]
    zip: bool,
}

/// True whatever the value is, `null` included.
fn presence<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// A token in its parts, nothing checked.
struct Parts<'a> {
    header: Header,
    /// What was signed: header and claims as they came.
    signed: &'a str,
    claims: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> Parts<'a> {
    fn read(token: &'a str) -> Option<Self> {
        if token.len() > LONGEST {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        if claims.contains('.') {
            return None;
        }
        let header = from_base64url(header)?;
        // serde would read an array as well; a JOSE header is an object (RFC 7515 §4).
        if header.first() != Some(&b'{') {
            return None;
        }
        let header: Header = serde_json::from_slice(&header).ok()?;
        if header.crit || header.b64 || header.zip {
            return None;
        }
        Some(Self { header, signed, claims: from_base64url(claims)?, signature: from_base64url(signature)? })
    }
}

/// The claims of `token`, if one of the keyring's keys signed it as `typ`. `None` for anything else, without a reason:
/// nobody outside may learn which check failed (RFC 6750 §3.1).
pub fn verify<C: DeserializeOwned>(
    keyring: &Keyring,
    token: &str,
    typ: &str,
    among: Among,
) -> Option<Verified<C>> {
    let parts = Parts::read(token)?;
    if !is_of_type(parts.header.typ.as_deref()?, typ) {
        return None;
    }
    let key = keyring.known(parts.header.kid.as_deref()?, among == Among::EverKnown)?;
    if parts.header.alg != key.algorithm().name() || !key.verifies(parts.signed.as_bytes(), &parts.signature)
    {
        return None;
    }
    serde_json::from_slice(&parts.claims).ok().map(Verified::vouch)
}

/// The name of the key that a token says it was signed with, unchecked: it tells which key set is new enough.
pub fn kid_of(token: &str) -> Option<String> {
    Parts::read(token)?.header.kid
}

/// What somebody else may have signed with.
#[derive(Clone, Copy)]
pub enum Foreign<'a> {
    /// A key pair whose public half is here; only `alg` when it is given.
    Public(&'a KeySet, Option<Algorithm>),
    /// One of these shared secrets (HS256).
    Shared(&'a [Secret<Vec<u8>>]),
}

/// Somebody else's token whose signature is right.
#[derive(Debug)]
pub struct Signed<C> {
    /// What it says.
    pub claims: Verified<C>,
    /// The registered name of the key; `None` for a shared secret.
    pub kid: Option<String>,
}

/// Why somebody else's token is not taken. For the audit; a caller is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unproven {
    /// No compact JWS, or claims that are no such claims, or say a name twice.
    Malformed,
    /// Its `typ` says that it is something else (RFC 8725 §3.11).
    WrongType,
    /// No key of that name and algorithm.
    UnknownKey,
    /// Not the signature of that key.
    WrongSignature,
}

/// The claims of somebody else's token. Its `typ` is absent, `JWT`, or one of `types` (S-J11).
pub fn verify_foreign<C: DeserializeOwned>(
    keys: Foreign<'_>,
    token: &str,
    types: &[&str],
) -> Result<Signed<C>, Unproven> {
    let parts = Parts::read(token).ok_or(Unproven::Malformed)?;
    if let Some(typ) = &parts.header.typ
        && !types.iter().chain(&["JWT"]).any(|allowed| is_of_type(typ, allowed))
    {
        return Err(Unproven::WrongType);
    }
    let kid = match keys {
        Foreign::Public(set, only) => Some(signer(&parts, set, only)?),
        Foreign::Shared(secrets) => {
            if parts.header.alg != HS256 {
                return Err(Unproven::UnknownKey);
            }
            let signs = |secret: &Secret<Vec<u8>>| {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret.reveal());
                hmac::verify(&key, parts.signed.as_bytes(), &parts.signature).is_ok()
            };
            if !secrets.iter().any(signs) {
                return Err(Unproven::WrongSignature);
            }
            None
        }
    };
    // Read strictly: what two readers could read in two ways was not said clearly (S-J12).
    let claims = String::from_utf8(parts.claims).ok().and_then(|text| json::strict(&text).ok());
    let claims = claims.and_then(|claims| serde_json::from_value(claims).ok()).ok_or(Unproven::Malformed)?;
    Ok(Signed { claims: Verified::vouch(claims), kid })
}

/// The name of the key that signed.
fn signer(parts: &Parts<'_>, set: &KeySet, only: Option<Algorithm>) -> Result<String, Unproven> {
    let mut of_that_name = set
        .called(parts.header.kid.as_deref())
        .filter(|key| key.algorithm().name() == parts.header.alg)
        .filter(|key| only.is_none_or(|only| only == key.algorithm()))
        .peekable();
    if of_that_name.peek().is_none() {
        return Err(Unproven::UnknownKey);
    }
    of_that_name
        .find(|key| key.verifies(parts.signed.as_bytes(), &parts.signature))
        .map(super::key_set::ForeignKey::kid)
        .ok_or(Unproven::WrongSignature)
}

/// RFC 7515 §4.1.9: a media type, compared without case, whose "application/" may be left out.
fn is_of_type(presented: &str, wanted: &str) -> bool {
    const APPLICATION: &str = "application/";
    let short = match presented.split_at_checked(APPLICATION.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(APPLICATION) => rest,
        _ => presented,
    };
    short.eq_ignore_ascii_case(wanted)
}
