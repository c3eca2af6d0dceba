//! The `claims` parameter (OIDC Core §5.5): single claims, asked for by name, at userinfo or in the ID token.
//!
//! Only claims that we know are kept, so that what travels in codes and rows stays small. A `value` other than that of `sub`
//! and `acr` changes nothing: we tell what is true of the person, and the client compares.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::OAuthError;
use super::scope::Scope;
use super::user_info::scope_of;
use crate::base::json;

/// What was asked for by name. Serialized compactly: it is part of every code and of every family's row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimsRequest {
    /// Claims about the person, for the ID token.
    #[serde(rename = "i", default, skip_serializing_if = "BTreeSet::is_empty")]
    pub id_token: BTreeSet<String>,
    /// Claims about the person, for userinfo.
    #[serde(rename = "u", default, skip_serializing_if = "BTreeSet::is_empty")]
    pub userinfo: BTreeSet<String>,
    /// The `sub` that the answer must be about (OIDC Core §5.5.1).
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Values of `acr` of which one is essential; empty when any will do (OIDC Core §5.5.1.1).
    #[serde(rename = "a", default, skip_serializing_if = "Vec::is_empty")]
    pub essential_acr: Vec<String>,
}

impl ClaimsRequest {
    /// The longest parameter that is read, in bytes.
    pub const MAX_BYTES: usize = 8192;
    /// The most claims that one request may name.
    pub const MAX_NAMES: usize = 64;

    /// Reads the parameter's JSON. Claims and members that we do not know are ignored (OIDC Core §5.5).
    pub fn parse(text: &str) -> Result<Self, OAuthError> {
        if text.len() > Self::MAX_BYTES {
            return Err(OAuthError::InvalidRequest("claims is longer than 8192 bytes".into()));
        }
        let Ok(Value::Object(object)) = json::strict(text) else { return Err(malformed()) };
        let (id_token, userinfo) = (part(&object, "id_token")?, part(&object, "userinfo")?);
        let count = |part: Option<&Map<String, Value>>| part.map_or(0, Map::len);
        if count(id_token) + count(userinfo) > Self::MAX_NAMES {
            return Err(OAuthError::InvalidRequest("claims names more than 64 claims".into()));
        }
        let subject = |part| values(part, "sub").into_iter().next();
        Ok(Self {
            id_token: known(id_token),
            userinfo: known(userinfo),
            subject: subject(id_token).or_else(|| subject(userinfo)),
            essential_acr: if is_essential(id_token, "acr") { values(id_token, "acr") } else { Vec::new() },
        })
    }

    /// Without the claims of scopes that the client is not registered for: naming a claim must not reach further than
    /// naming its scope (S-A23).
    #[must_use]
    pub fn limited_to(mut self, registered: &Scope) -> Self {
        let may_have = |claim: &String| scope_of(claim).is_some_and(|scope| registered.contains(scope));
        self.id_token.retain(may_have);
        self.userinfo.retain(may_have);
        self
    }

    /// The scopes that the named claims belong to: what a person has to consent to beside the request's `scope`.
    pub fn scope(&self) -> Scope {
        let words: Vec<&str> =
            self.id_token.iter().chain(&self.userinfo).filter_map(|c| scope_of(c)).collect();
        Scope::of(&words)
    }

    /// Whether nothing was asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn malformed() -> OAuthError {
    OAuthError::InvalidRequest(
        "claims is not a JSON object with the members userinfo and id_token, each an object of claim names, \
         none of them twice and at most 32 levels deep"
            .into(),
    )
}

/// The member, which is an object of claim names; each holds `null` or an object (OIDC Core §5.5.1).
fn part<'a>(
    object: &'a Map<String, Value>,
    member: &str,
) -> Result<Option<&'a Map<String, Value>>, OAuthError> {
    match object.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(claims)) if claims.values().all(|v| v.is_null() || v.is_object()) => {
            Ok(Some(claims))
        }
        Some(_) => Err(malformed()),
    }
}

fn known(claims: Option<&Map<String, Value>>) -> BTreeSet<String> {
    claims.into_iter().flat_map(Map::keys).filter(|name| scope_of(name).is_some()).cloned().collect()
}

fn is_essential(claims: Option<&Map<String, Value>>, claim: &str) -> bool {
    claims.and_then(|c| c.get(claim)?.get("essential")?.as_bool()).unwrap_or(false)
}

/// The texts of `value` and `values`.
fn values(claims: Option<&Map<String, Value>>, claim: &str) -> Vec<String> {
    let Some(asked) = claims.and_then(|c| c.get(claim)) else { return Vec::new() };
    let many = asked.get("values").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    asked.get("value").into_iter().chain(many).filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_claims_are_kept_and_unknown_ones_ignored_r49() {
        let request = ClaimsRequest::parse(
            r#"{"userinfo":{"name":{"essential":true},"exp":null,"http://x/y":{"value":1}},
                "id_token":{"email":null,"sub":{"value":"u1"},"acr":{"essential":true,"values":["a","b"]},"auth_time":{"essential":true}},
                "else":7}"#,
        )
        .unwrap();
        assert_eq!(request.userinfo.iter().collect::<Vec<_>>(), ["name"]);
        assert_eq!(request.id_token.iter().collect::<Vec<_>>(), ["email"]);
        assert_eq!(request.subject.as_deref(), Some("u1"));
        assert_eq!(request.essential_acr, ["a", "b"]);
        assert_eq!(request.scope(), Scope::of(&["email", "profile"]));
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(text, r#"{"i":["email"],"u":["name"],"s":"u1","a":["a","b"]}"#);
        assert_eq!(serde_json::from_str::<ClaimsRequest>(&text).unwrap(), request);
        let limited = request.limited_to(&Scope::of(&["openid", "profile"]));
        assert_eq!(limited.scope(), Scope::of(&["profile"]));
        assert_eq!(serde_json::to_string(&ClaimsRequest::default()).unwrap(), "{}");
    }

    #[test]
    fn what_is_no_claims_object_is_refused_s_a28() {
        let many: Vec<String> = (0..65).map(|i| format!(r#""c{i}":null"#)).collect();
        let (deep, long) = ("[".repeat(4000), format!(r#"{{"x":"{}"}}"#, "a".repeat(8192)));
        let many = format!(r#"{{"userinfo":{{{}}}}}"#, many.join(","));
        for bad in
            ["", "7", "[]", "{", r#"{"userinfo":[]}"#, r#"{"id_token":{"name":true}}"#, &deep, &long, &many]
        {
            assert!(ClaimsRequest::parse(bad).is_err(), "{bad:.40}");
        }
        assert!(ClaimsRequest::parse("{}").unwrap().is_empty());
        let voluntary =
            ClaimsRequest::parse(r#"{"id_token":{"acr":{"values":["a"]},"sub":{"value":7}}}"#).unwrap();
        assert!(voluntary.is_empty());
    }
}
