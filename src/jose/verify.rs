//! Reads a compact JWS (RFC 7515 §5.2) that this server signed. The only place that makes a [`Verified`].
//!
//! The key decides the algorithm, never the header (RFC 8725 §3.1); keys inside the header (`jwk`, `jku`, `x5c`) are
//! not looked at. Signature and type only: `exp`, `aud` and what else the claims mean are rules elsewhere.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};

use super::keyring::Keyring;
use crate::base::encoding::from_base64url;
use crate::base::proof::Verified;

/// The longest token that is looked at, in bytes: ours are far shorter, and work on longer ones is an attacker's gain.
const LONGEST: usize = 16 * 1024;

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
    kid: String,
    typ: String,
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

/// The claims of `token`, if one of the keyring's keys signed it as `typ`. `None` for anything else, without a reason:
/// nobody outside may learn which check failed (RFC 6750 §3.1).
pub fn verify<C: DeserializeOwned>(
    keyring: &Keyring,
    token: &str,
    typ: &str,
    among: Among,
) -> Option<Verified<C>> {
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
    if header.crit || header.b64 || header.zip || !is_of_type(&header.typ, typ) {
        return None;
    }
    let key = keyring.known(&header.kid, among == Among::EverKnown)?;
    if header.alg != key.algorithm().name() {
        return None;
    }
    if !key.verifies(signed.as_bytes(), &from_base64url(signature)?) {
        return None;
    }
    serde_json::from_slice(&from_base64url(claims)?).ok().map(Verified::vouch)
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
