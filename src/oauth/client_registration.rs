//! What may be registered of a client (RFC 7591 §2), and the metadata file that an administrator writes.
//!
//! [`check`] holds for every way in: the command line, a file, later the API. [`from_json`] reads a file; its members' types
//! are those of [`ClientMetadata`], its errors name the member and what is allowed. Nothing is fetched, nothing is stored.

use serde_json::{Map, Value, json};

use super::client::{AuthMethod, ClientMetadata};
pub use super::client_keys::check_strength;
pub use super::client_rules::{FieldError, check, check_secret};
use super::client_rules::{MEMBERS, allowed, refuse, shown};
use crate::base::id::ClientId;
use crate::base::json;
use crate::base::secret::Secret;

/// What [`from_json`] reads: the id and the secret that an administrator brought, and the rest.
pub type Registration = (Option<ClientId>, Option<Secret<String>>, ClientMetadata);

/// Known members that change nothing here, or nothing as long as what they speak of is not supported: read and dropped.
const DROPPED: [&str; 11] = [
    "client_secret_expires_at",
    "client_id_issued_at",
    "registration_access_token",
    "registration_client_uri",
    "software_id",
    "software_version",
    "software_statement",
    "request_uris",
    "request_object_signing_alg",
    "sector_identifier_uri",
    "default_acr_values",
];

/// Members that ask for protection which is not there: dropping `true` would leave someone less safe than they think.
const ONLY_FALSE: [&str; 4] = [
    "require_pushed_authorization_requests",
    "require_signed_request_object",
    "dpop_bound_access_tokens",
    "tls_client_certificate_bound_access_tokens",
];

/// Reads a metadata file: RFC 7591 members, ours, and `client_id` and `client_secret`; checked as [`check`] does.
///
/// A member that is not known is an error, since a misspelt one would be a silent default. Without `client_name` the
/// `client_id` is the name (RFC 7591 §2). `null` is absent.
pub fn from_json(text: &str) -> Result<Registration, FieldError> {
    let wrong =
        |why: &str| refuse("metadata", format!("a JSON object of RFC 7591 members is allowed ({why})"));
    let mut members: Map<String, Value> = match json::strict(text) {
        Ok(Value::Object(members)) => members,
        Ok(_) => return wrong("it is no object"),
        Err(error) => return wrong(&error.to_string()),
    };
    members.retain(|_, value| !value.is_null());
    drop_what_changes_nothing(&mut members)?;
    for (name, value) in &members {
        let Some((field, allowed)) = MEMBERS.into_iter().find(|(field, _)| field == name) else {
            return refuse("metadata", unknown(name));
        };
        if !has_right_type(field, value) {
            return refuse(field, allowed);
        }
    }
    let mut text_of = |field| members.remove(field).and_then(|v| v.as_str().map(str::to_owned));
    let id = text_of("client_id").map(ClientId::try_from).transpose();
    let id = id.or_else(|_| refuse("client_id", allowed("client_id")))?;
    let secret = text_of("client_secret").map(check_secret).transpose()?;
    if !members.contains_key("client_name") {
        let Some(id) = &id else {
            return refuse("client_name", "a name is needed: it stands on the consent page");
        };
        members.insert("client_name".to_owned(), Value::from(id.as_str()));
    }
    let metadata: ClientMetadata =
        serde_json::from_value(Value::Object(members)).or_else(|e| refuse("metadata", e.to_string()))?;
    check(&metadata)?;
    if let Some(secret) = &secret {
        check_strength(metadata.token_endpoint_auth_method, secret)?;
    }
    Ok((id, secret, metadata))
}

fn drop_what_changes_nothing(members: &mut Map<String, Value>) -> Result<(), FieldError> {
    if members.get("subject_type").is_some_and(|v| v != "public") {
        return refuse("subject_type", "only public is allowed");
    }
    for field in ONLY_FALSE {
        if members.remove(field).is_some_and(|v| v != false) {
            return refuse(field, "only false is allowed: this server does not support it");
        }
    }
    // Keys and algorithms of another way of authentication: many files state them for a client that never uses them.
    if members
        .get("token_endpoint_auth_method")
        .is_none_or(|method| method != AuthMethod::PrivateKeyJwt.name())
    {
        members.retain(|name, _| name != "jwks" && name != "jwks_uri");
    }
    // RFC 7591 §2.2: names and links in other languages, as `client_name#de`.
    let translated = |name: &str| {
        name.split_once('#').is_some_and(|(stem, _)| {
            ["client_name", "client_uri", "logo_uri", "policy_uri", "tos_uri"].contains(&stem)
        })
    };
    members
        .retain(|name, _| name != "subject_type" && !DROPPED.contains(&name.as_str()) && !translated(name));
    Ok(())
}

/// Asks the member's own type, by reading a client that has nothing but a name and this.
fn has_right_type(field: &'static str, value: &Value) -> bool {
    if ["client_id", "client_secret"].contains(&field) {
        return value.is_string();
    }
    let mut alone = json!({ "client_name": "" });
    if let Some(members) = alone.as_object_mut() {
        members.insert(field.to_owned(), value.clone());
    }
    serde_json::from_value::<ClientMetadata>(alone).is_ok()
}

fn unknown(name: &str) -> String {
    let known: Vec<&str> = MEMBERS.into_iter().map(|(field, _)| field).collect();
    format!("{} is not a member that is known here; allowed are {}", shown(name), known.join(", "))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::oauth::client::GrantType;

    fn read(changes: &Value) -> Result<Registration, FieldError> {
        let mut file = json!({ "client_name": "App", "redirect_uris": ["https://app.example/cb"] });
        for (name, value) in changes.as_object().unwrap() {
            file[name] = value.clone();
        }
        from_json(&file.to_string())
    }

    #[test]
    fn a_file_is_read_with_the_defaults_of_rfc_7591() {
        let (id, secret, metadata) = read(&json!({
            "client_id": "my-app", "client_secret": "a-secret-of-mine", "client_name#de": "Anwendung", "subject_type": "public",
            "jwks": {"keys": []}, "software_id": "x", "logo_uri": null, "require_signed_request_object": false,
        }))
        .unwrap();
        assert_eq!(id.unwrap().as_str(), "my-app");
        assert_eq!(secret.unwrap().reveal(), "a-secret-of-mine");
        assert_eq!(metadata.token_endpoint_auth_method, AuthMethod::ClientSecretBasic);
        assert_eq!(metadata.grant_types, [GrantType::AuthorizationCode]);
        let named = from_json(r#"{"client_id":"svc","grant_types":["client_credentials"]}"#).unwrap();
        assert_eq!(named.2.client_name, "svc");
    }

    #[test]
    fn every_member_of_a_client_is_known_and_says_what_is_allowed() {
        let mut full = json!({ "client_name": "App" });
        for (name, value) in [
            ("userinfo_signed_response_alg", json!("RS256")),
            ("token_endpoint_auth_signing_alg", json!("RS256")),
            ("default_max_age", json!(1)),
            ("assertion_seconds", json!(1)),
            ("legacy_assertion_audience", json!(true)),
            ("jwks", json!({})),
        ] {
            full[name] = value;
        }
        for name in ["client_uri", "logo_uri", "policy_uri", "tos_uri", "initiate_login_uri", "jwks_uri"] {
            full[name] = json!("x");
        }
        for name in ["contacts", "audience", "exchange_audience"] {
            full[name] = json!(["x"]);
        }
        let metadata: ClientMetadata = serde_json::from_value(full).unwrap();
        let written = serde_json::to_value(&metadata).unwrap();
        let written: BTreeSet<&str> = written.as_object().unwrap().keys().map(String::as_str).collect();
        let known = MEMBERS.map(|(name, _)| name).into_iter();
        assert_eq!(written, known.filter(|name| !["client_id", "client_secret"].contains(name)).collect());
        for (field, allowed) in MEMBERS {
            if field.starts_with("jwks") {
                continue; // of another way of authentication: dropped, whatever it is
            }
            assert_eq!(
                read(&json!({ field: {} })).unwrap_err(),
                FieldError { field, problem: allowed.to_owned() }
            );
        }
    }

    #[test]
    fn each_rule_names_its_member_and_what_is_allowed() {
        let many: Vec<String> = (0..21).map(|i| format!("https://app.example/{i}")).collect();
        let native =
            json!({ "token_endpoint_auth_method": "none", "redirect_uris": ["com.example.app:/cb"] });
        assert!(read(&native).is_ok());
        let public =
            |member: &str, value: Value| json!({ "token_endpoint_auth_method": "none", member: value });
        for (changes, expected) in [
            (
                json!({ "colour": "red" }),
                "metadata: colour is not a member that is known here; allowed are client_name,",
            ),
            (json!({ "any_loopback_redirect": true }), "metadata: any_loopback_redirect is not a member"),
            (json!({ "client_name": " " }), "client_name: text of 1 to 200"),
            (json!({ "client_name": "Bank\u{202e}" }), "client_name: no control"),
            (json!({ "redirect_uris": [] }), "redirect_uris: at least one is needed"),
            (json!({ "redirect_uris": many }), "redirect_uris: at most 20"),
            (
                json!({ "post_logout_redirect_uris": ["http://a.example/"] }),
                "post_logout_redirect_uris: http://a.example/: https",
            ),
            (json!({ "response_types": ["code", "token"] }), "response_types: token: only code"),
            (json!({ "response_types": [] }), "response_types: code must be there"),
            (
                json!({ "grant_types": ["password"] }),
                "grant_types: a list of authorization_code, refresh_token",
            ),
            (
                json!({ "token_endpoint_auth_method": "tls_client_auth" }),
                "token_endpoint_auth_method: client_secret_basic,",
            ),
            (
                json!({ "logo_uri": "http://app.example/l.png" }),
                "logo_uri: http://app.example/l.png: an https URL",
            ),
            (json!({ "client_uri": "javascript:alert(1)" }), "client_uri: javascript:alert(1): an https URL"),
            (
                json!({ "initiate_login_uri": "http://localhost/" }),
                "initiate_login_uri: http://localhost/: an https",
            ), // R72
            (json!({ "default_max_age": -1 }), "default_max_age: a whole number"),
            (json!({ "audience": ["a b"] }), "audience: 1 to 2048"),
            (json!({ "contacts": [""] }), "contacts: 1 to 256"),
            (json!({ "subject_type": "pairwise" }), "subject_type: only public"),
            (json!({ "dpop_bound_access_tokens": true }), "dpop_bound_access_tokens: only false"),
            (json!({ "client_id": "a b" }), "client_id: 1 to 128"),
            (json!({ "client_secret": "short" }), "client_secret: 8 to 256"),
            (
                public("client_secret", json!("a-secret-of-mine")),
                "client_secret: none is allowed for token_endpoint_auth_method none",
            ),
            (
                public("grant_types", json!(["client_credentials"])),
                "grant_types: client_credentials is allowed for",
            ),
            (public("refresh_rotation", json!("never")), "refresh_rotation: never is allowed for"),
            (public("require_pkce", json!(false)), "require_pkce: false is allowed for"),
            (
                json!({ "token_endpoint_auth_method": "none", "skip_consent": true, "application_type": "native" }),
                "skip_consent: not allowed for a public native client",
            ),
            (
                json!({ "token_endpoint_auth_method": "none", "skip_consent": true, "redirect_uris": ["http://127.0.0.1/"] }),
                "skip_consent: not allowed for a public native client",
            ),
        ] {
            let line = read(&changes).unwrap_err().to_string();
            assert!(line.starts_with(expected) && !line.contains('\n'), "{changes} says {line}");
        }
        assert_eq!(from_json("[]").unwrap_err().field, "metadata");
        assert_eq!(from_json("{").unwrap_err().field, "metadata");
    }
}
