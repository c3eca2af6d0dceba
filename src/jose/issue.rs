//! Writes a compact JWS (RFC 7515 §7.1) with a typed header (RFC 8725 §3.11).
//!
//! Signs whatever claims it is given: what they say was decided elsewhere. The header never carries a key, a
//! certificate or an address of one (S-I1).

use serde::Serialize;

use super::keyring::Keyring;
use crate::base::algorithm::Algorithm;
use crate::base::encoding::base64url;
use crate::base::fault::Fault;

#[derive(Serialize)]
struct Header<'a> {
    alg: Algorithm,
    kid: &'a str,
    typ: &'a str,
}

/// Signs `claims` with the key of `alg` that signs at the keyring's moment; `typ` is "JWT", "at+jwt" and the like.
///
/// A fault when no key of `alg` signs, or the claims are no JSON.
pub fn issue<C: Serialize>(
    keyring: &Keyring,
    alg: Algorithm,
    typ: &str,
    claims: &C,
) -> Result<String, Fault> {
    const DOING: &str = "writing a token";
    let key = keyring.signing(alg)?;
    let header =
        serde_json::to_vec(&Header { alg, kid: key.kid(), typ }).map_err(|e| Fault::new(DOING, e))?;
    let claims = serde_json::to_vec(claims).map_err(|e| Fault::new(DOING, e))?;
    let mut token = format!("{}.{}", base64url(&header), base64url(&claims));
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    token.push_str(&base64url(&signature));
    Ok(token)
}
