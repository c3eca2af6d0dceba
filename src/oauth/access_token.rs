//! Access tokens: what they say (RFC 9068 §2.2), whether JWT or opaque. The claims are the same; a JWT is signed by `jose`,
//! an opaque one is the claims sealed under the master key.
//!
//! Whether the family behind a token still lives is the store's to know, by [`family_of`].

use serde::{Deserialize, Serialize};

use super::scope::Scope;
use super::service_account::GrantedBy;
use crate::base::encoding::{base62, from_base62};
use crate::base::entropy::Entropy;
use crate::base::id::{ClientId, FamilyId};
use crate::base::seal::{Purpose, Vault};
use crate::base::secret::Secret;
use crate::base::time::Timestamp;

/// What every opaque access token begins with. Never change: outstanding tokens and secret scanners carry it.
pub const OPAQUE_PREFIX: &str = "cnx_at_";

/// The JOSE `typ` of a JWT access token (RFC 9068 §2.1).
pub const TYP: &str = "at+jwt";

/// The claims of an access token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessClaims {
    /// Who made it: us.
    pub iss: String,
    /// The person, or the client itself where no person is behind it (RFC 9068 §2.2).
    pub sub: String,
    /// The resource servers that it is for. One is written as a string, several as an array (RFC 7519 §4.1.3).
    #[serde(with = "one_or_many")]
    pub aud: Vec<String>,
    /// Seconds since 1970; no good from then on. A number with a fraction is not ours and does not parse.
    pub exp: i64,
    /// Seconds since 1970.
    pub iat: i64,
    /// Its id; holds the family's id where there is one.
    pub jti: String,
    /// The client that it was given to.
    pub client_id: ClientId,
    /// What it allows.
    #[serde(default, skip_serializing_if = "Scope::is_empty")]
    pub scope: Scope,
    /// When the person proved who they are, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    /// The class of that authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// Who acts for `sub` (RFC 8693 §4.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Actor>,
}

/// Who acts, and for whom that one acts in turn (RFC 8693 §4.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// A person, a client or a service account.
    pub sub: String,
    /// Who acted before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Box<Actor>>,
}

impl Actor {
    /// How many act in a row.
    pub fn depth(&self) -> usize {
        let mut depth = 1;
        let mut next = &self.act;
        while let Some(actor) = next {
            depth += 1;
            next = &actor.act;
        }
        depth
    }
}

/// A new `jti` for a token of a family: whoever holds the token can be asked about the family without a row per token.
pub fn jti_of_family(family: FamilyId, entropy: &Entropy) -> String {
    let mut bytes = [0; FAMILY_JTI];
    let (head, tail) = bytes.split_at_mut(16);
    head.copy_from_slice(family.as_bytes());
    tail.copy_from_slice(&entropy.bytes_for_a_name::<{ FAMILY_JTI - 16 }>());
    base62(&bytes)
}

/// A new `jti` for a token that belongs to no family (client credentials).
pub fn jti_without_family(entropy: &Entropy) -> String {
    base62(&entropy.bytes_for_a_name::<16>())
}

/// A new `jti` for a machine's token: it says which key or rule it came about by, so that the end of one is the end of the other.
pub fn jti_of_machine(by: GrantedBy, entropy: &Entropy) -> String {
    let (kind, tag) = match by {
        GrantedBy::Key(tag) => (1, tag),
        GrantedBy::Rule(tag) => (2, tag),
    };
    let mut bytes = [0; MACHINE_JTI];
    let (head, chance) = bytes.split_at_mut(8);
    for (to, from) in head.iter_mut().zip(std::iter::once(kind).chain(tag)) {
        *to = from;
    }
    chance.copy_from_slice(&entropy.bytes_for_a_name::<{ MACHINE_JTI - 8 }>());
    base62(&bytes)
}

/// What a machine's token with this `jti` came about by; `None` for every other token.
pub fn granted_by(jti: &str) -> Option<GrantedBy> {
    let bytes = from_base62(jti, MACHINE_JTI)?;
    let (kind, rest) = bytes.split_first()?;
    let tag = rest.get(..7)?.try_into().ok()?;
    match kind {
        1 => Some(GrantedBy::Key(tag)),
        2 => Some(GrantedBy::Rule(tag)),
        _ => None,
    }
}

/// The family that a token with this `jti` belongs to; `None` for the tokens of clients themselves.
pub fn family_of(jti: &str) -> Option<FamilyId> {
    FamilyId::from_slice(from_base62(jti, FAMILY_JTI)?.get(..16)?)
}

/// Family id and ten random bytes; another length than that of a jti without a family.
const FAMILY_JTI: usize = 26;

/// A kind, seven bytes of a tag and twelve random ones; a length that no other jti has.
const MACHINE_JTI: usize = 20;

/// The opaque form.
pub fn seal_opaque(vault: &Vault, entropy: &Entropy, claims: &AccessClaims) -> Secret<String> {
    Secret::new(format!("{OPAQUE_PREFIX}{}", vault.seal(Purpose::AccessToken, claims, entropy)))
}

/// Reads the opaque form; `None` for anything that we did not seal as an access token (S-U2).
pub fn open_opaque(vault: &Vault, token: &str) -> Option<AccessClaims> {
    vault.open(Purpose::AccessToken, token.strip_prefix(OPAQUE_PREFIX)?)
}

/// Whether the claims are ours and in their time. Whether they were revoked is another question.
pub fn is_current(claims: &AccessClaims, issuer: &str, now: Timestamp) -> bool {
    let issued_at = Timestamp::from_secs(claims.iat);
    claims.iss == issuer && now.as_secs() < claims.exp && !now.is_before(issued_at)
}

/// `aud`: "an array of case-sensitive strings … In the special case when the JWT has one audience, the "aud" value MAY be a
/// single case-sensitive string" (RFC 7519 §4.1.3).
pub(super) mod one_or_many {
    use serde::{Deserialize, Deserializer, Serialize as _, Serializer};

    pub(in super::super) fn serialize<S: Serializer>(
        values: &[String],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match values {
            [one] => serializer.serialize_str(one),
            many => many.serialize(serializer),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<String>, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            One(String),
            Many(Vec<String>),
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::One(one) => vec![one],
            Form::Many(many) => many,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Clock;
    use serde_json::json;

    fn claims(aud: &[&str]) -> AccessClaims {
        AccessClaims {
            iss: "https://id.example".to_owned(),
            sub: "u1".to_owned(),
            aud: aud.iter().map(|a| (*a).to_owned()).collect(),
            exp: 1_600,
            iat: 1_000,
            jti: "j".to_owned(),
            client_id: "app".parse().unwrap(),
            scope: Scope::of(&["openid", "email"]),
            auth_time: Some(900),
            acr: None,
            act: None,
        }
    }

    #[test]
    fn the_claims_are_those_of_rfc_9068_c22() {
        let one = serde_json::to_value(claims(&["https://api.example"])).unwrap();
        assert_eq!(
            one,
            json!({"iss": "https://id.example", "sub": "u1", "aud": "https://api.example", "exp": 1600, "iat": 1000,
                "jti": "j", "client_id": "app", "scope": "email openid", "auth_time": 900})
        );
        let two = claims(&["a", "b"]);
        assert_eq!(serde_json::to_value(&two).unwrap()["aud"], json!(["a", "b"]));
        assert_eq!(serde_json::from_value::<AccessClaims>(one.clone()).unwrap().aud, ["https://api.example"]);
        assert_eq!(serde_json::from_value::<AccessClaims>(serde_json::to_value(&two).unwrap()).unwrap(), two);
        for (name, bad) in [
            ("exp", json!(1e300)),
            ("exp", json!(1600.5)),
            ("exp", json!("1600")),
            ("exp", json!(u64::MAX)),
            ("iat", json!(null)),
            ("aud", json!(7)),
            ("aud", json!(["a", 7])),
        ] {
            let mut changed = one.clone();
            changed[name] = bad;
            assert!(serde_json::from_value::<AccessClaims>(changed).is_err(), "{name}");
        }
    }

    #[test]
    fn an_opaque_token_is_the_sealed_claims_and_nothing_else_opens_s_u2() {
        let (vault, entropy) = (Vault::new(&Secret::new([1; 32])), Entropy::seeded(1));
        let token = seal_opaque(&vault, &entropy, &claims(&["a"]));
        assert_eq!(open_opaque(&vault, token.reveal()), Some(claims(&["a"])));
        let code = format!("{OPAQUE_PREFIX}{}", vault.seal(Purpose::Code, &claims(&["a"]), &entropy));
        for bad in ["", OPAQUE_PREFIX, &token.reveal()[1..], &format!("{}A", token.reveal()), &code] {
            assert_eq!(open_opaque(&vault, bad), None);
        }
    }

    #[test]
    fn a_jti_names_its_family_and_a_clients_own_token_has_none() {
        let entropy = Entropy::seeded(1);
        let family = FamilyId::new(&Clock::manual(Timestamp::from_secs(5)), &entropy);
        let jti = jti_of_family(family, &entropy);
        assert_eq!(family_of(&jti), Some(family));
        assert_ne!(jti, jti_of_family(family, &entropy));
        for none in [jti_without_family(&entropy).as_str(), "", &jti[1..], "*"] {
            assert_eq!(family_of(none), None);
            assert_eq!(granted_by(none), None);
        }
        for by in [GrantedBy::Key([7; 7]), GrantedBy::Rule([255; 7])] {
            let jti = jti_of_machine(by, &entropy);
            assert_eq!((granted_by(&jti), family_of(&jti)), (Some(by), None));
        }
    }

    #[test]
    fn a_token_is_current_between_its_making_and_its_end() {
        let at = Timestamp::from_secs;
        let claims = claims(&["a"]);
        for (issuer, now, expected) in [
            ("https://id.example", at(1_000), true),
            ("https://id.example", at(1_599), true),
            ("https://id.example", at(1_600), false),
            ("https://id.example", at(940), true),
            ("https://id.example", at(939), false),
            ("https://id.example/", at(1_000), false),
        ] {
            assert_eq!(is_current(&claims, issuer, now), expected, "{issuer} {now:?}");
        }
    }
}
