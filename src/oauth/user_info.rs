//! What a token or the userinfo endpoint tells of a person (OIDC Core §5.1, §5.3, §5.4). The table below is the only list of
//! claim names: what is not in it is never told, so nothing that is stored of a person can pose as `iss` or `exp` (S-I2).
//!
//! Not here: who the person is and whether they may still be told of; the flow knows that.

use serde_json::{Map, Value};

use super::claims_request::ClaimsRequest;
use super::scope::Scope;
use crate::base::time::Timestamp;

/// What is known of a person. Floor 1 has no siblings, so this is filled from the account.
#[derive(Clone, Copy, Debug)]
pub struct Person<'a> {
    /// The `sub` of every token about them.
    pub sub: &'a str,
    /// Told as `preferred_username`.
    pub username: &'a str,
    /// Told as `name`.
    pub name: Option<&'a str>,
    /// The address, if there is one.
    pub email: Option<&'a str>,
    /// Whether the address was shown to be theirs.
    pub email_verified: bool,
    /// Further standard claims, as JSON members; a member of the wrong type is not told.
    pub claims: &'a Map<String, Value>,
    /// When anything told here changed.
    pub updated_at: Timestamp,
}

/// The JSON type that OIDC Core §5.1 gives a claim.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Flag,
    Number,
    Object,
}

impl Kind {
    fn admits(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Flag => value.is_boolean(),
            Self::Number => value.is_number(),
            Self::Object => value.is_object(),
        }
    }
}

/// Every claim about a person, the scope that asks for it (OIDC Core §5.4), and its type (§5.1).
const CLAIMS: [(&str, &str, Kind); 19] = [
    ("name", "profile", Kind::Text),
    ("family_name", "profile", Kind::Text),
    ("given_name", "profile", Kind::Text),
    ("middle_name", "profile", Kind::Text),
    ("nickname", "profile", Kind::Text),
    ("preferred_username", "profile", Kind::Text),
    ("profile", "profile", Kind::Text),
    ("picture", "profile", Kind::Text),
    ("website", "profile", Kind::Text),
    ("gender", "profile", Kind::Text),
    ("birthdate", "profile", Kind::Text),
    ("zoneinfo", "profile", Kind::Text),
    ("locale", "profile", Kind::Text),
    ("updated_at", "profile", Kind::Number),
    ("email", "email", Kind::Text),
    ("email_verified", "email", Kind::Flag),
    ("address", "address", Kind::Object),
    ("phone_number", "phone", Kind::Text),
    ("phone_number_verified", "phone", Kind::Flag),
];

/// The scopes that stand for claims (OIDC Core §5.4).
pub const CLAIM_SCOPES: [&str; 4] = ["profile", "email", "address", "phone"];

/// The scope that asks for `claim`; `None` for a claim that we do not know.
pub fn scope_of(claim: &str) -> Option<&'static str> {
    CLAIMS.iter().find(|(name, ..)| *name == claim).map(|(_, scope, _)| *scope)
}

/// The names of all claims about a person, for metadata.
pub fn names() -> impl Iterator<Item = &'static str> {
    CLAIMS.iter().map(|(name, ..)| *name)
}

/// The userinfo answer: `sub`, what the scopes stand for, and what the `claims` parameter asked for at userinfo.
pub fn claims(person: &Person<'_>, scope: &Scope, requested: &ClaimsRequest) -> Map<String, Value> {
    let mut told = chosen(person, |name, of| scope.contains(of) || requested.userinfo.contains(name));
    told.insert("sub".to_owned(), Value::from(person.sub));
    told
}

/// What the `claims` parameter asked for in the ID token. Scopes put nothing there: their claims are at userinfo, because
/// an access token always comes with it (OIDC Core §5.4, R11).
pub fn id_token_claims(person: &Person<'_>, requested: &ClaimsRequest) -> Map<String, Value> {
    chosen(person, |name, _| requested.id_token.contains(name))
}

fn chosen(person: &Person<'_>, wanted: impl Fn(&str, &str) -> bool) -> Map<String, Value> {
    let mut told = Map::new();
    for (name, scope, kind) in CLAIMS {
        if wanted(name, scope)
            && let Some(value) = value(person, name).filter(|v| kind.admits(v))
        {
            told.insert(name.to_owned(), value);
        }
    }
    told
}

fn value(person: &Person<'_>, claim: &str) -> Option<Value> {
    match claim {
        "name" => person.name.map(Value::from),
        "preferred_username" => Some(Value::from(person.username)),
        "email" => person.email.map(Value::from),
        "email_verified" => person.email.map(|_| Value::from(person.email_verified)),
        "updated_at" => Some(Value::from(person.updated_at.as_secs())),
        other => person.claims.get(other).cloned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(scope: &[&str], request: &str) -> Vec<String> {
        let claims = json!({"given_name": "Ada", "address": {"locality": "London"}, "phone_number": "+441", "phone_number_verified": "yes",
            "iss": "https://evil", "exp": 1, "sub": "x", "email_verified": "no", "website": 7});
        let person = Person {
            sub: "u1",
            username: "ada",
            name: Some("Ada L"),
            email: Some("ada@example.com"),
            email_verified: true,
            claims: claims.as_object().unwrap(),
            updated_at: Timestamp::from_secs(5),
        };
        let request = ClaimsRequest::parse(request).unwrap();
        let told = super::claims(&person, &Scope::of(scope), &request);
        assert_eq!(told["sub"], "u1");
        if let Some(flag) = told.get("email_verified") {
            assert_eq!(flag, &json!(true), "R13: a boolean, of the account");
        }
        assert!(!told.contains_key("iss") && !told.contains_key("exp"));
        let mut names: Vec<String> = told.keys().filter(|k| *k != "sub").cloned().collect();
        names.sort();
        names
    }

    #[test]
    fn each_scope_gives_its_claims_and_no_other_r39_r40_s_i2() {
        assert!(told(&["openid"], "{}").is_empty());
        assert_eq!(
            told(&["openid", "profile"], "{}"),
            ["given_name", "name", "preferred_username", "updated_at"]
        );
        assert_eq!(told(&["email"], "{}"), ["email", "email_verified"]);
        assert_eq!(told(&["address"], "{}"), ["address"]);
        assert_eq!(told(&["phone"], "{}"), ["phone_number"], "a flag that is no boolean is not told");
        assert_eq!(
            told(&["openid"], r#"{"userinfo":{"name":{"essential":true},"exp":null,"website":null}}"#),
            ["name"]
        );
    }

    #[test]
    fn the_id_token_holds_only_what_was_asked_for_there_r11_r49() {
        let empty = Map::new();
        let person = Person {
            sub: "u1",
            username: "ada",
            name: Some("Ada L"),
            email: None,
            email_verified: false,
            claims: &empty,
            updated_at: Timestamp::from_secs(5),
        };
        let request = ClaimsRequest::parse(
            r#"{"userinfo":{"name":null},"id_token":{"preferred_username":null,"email_verified":null}}"#,
        );
        let told = id_token_claims(&person, &request.unwrap());
        assert_eq!(Value::from(told), json!({"preferred_username": "ada"}));
    }
}
