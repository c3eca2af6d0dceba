//! The rules of a registration (RFC 7591 §2, S-G2, S-G5): they hold for every way in, the command line, a file, later the API.
//!
//! What a metadata file looks like is told by `client_registration.rs`. Nothing is fetched, nothing is stored.

use super::client::{ApplicationType, AuthMethod, ClientMetadata, GrantType, RefreshRotation};
use super::client_keys;
use super::redirect_uri;
use super::web_address::{MAX_BYTES, is_https_link};
use crate::base::secret::Secret;

/// A registration that is refused, and why: one line for the person who wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct FieldError {
    /// The member, as RFC 7591 spells it; `metadata` for the file as a whole.
    pub field: &'static str,
    /// What is wrong with it and what is allowed.
    pub problem: String,
}

const MAX_ITEMS: usize = 20;
const MAX_NAME: usize = 200;

/// Every member of a metadata file, with what is allowed when its type is not the right one.
pub(super) const MEMBERS: [(&str, &str); 31] = [
    ("client_name", "text of 1 to 200 characters is allowed"),
    ("redirect_uris", "a list of URIs is allowed"),
    ("post_logout_redirect_uris", "a list of URIs is allowed"),
    (
        "token_endpoint_auth_method",
        "client_secret_basic, client_secret_post, client_secret_jwt, private_key_jwt or none is allowed",
    ),
    ("jwks", "a JSON object with public keys in keys is allowed"),
    ("jwks_uri", "an https URL is allowed"),
    (
        "token_endpoint_auth_signing_alg",
        "RS256, ES256 or EdDSA is allowed for private_key_jwt, HS256 for client_secret_jwt",
    ),
    (
        "grant_types",
        "a list of authorization_code, refresh_token, client_credentials, urn:ietf:params:oauth:grant-type:jwt-bearer and \
         urn:ietf:params:oauth:grant-type:token-exchange is allowed",
    ),
    ("response_types", "a list with nothing but code is allowed"),
    ("scope", "words of printable ASCII without quote and backslash, separated by spaces, are allowed"),
    ("application_type", "web or native is allowed"),
    ("client_uri", "an https URL is allowed"),
    ("logo_uri", "an https URL is allowed"),
    ("policy_uri", "an https URL is allowed"),
    ("tos_uri", "an https URL is allowed"),
    ("contacts", "a list of text is allowed"),
    ("initiate_login_uri", "an https URL is allowed"),
    ("id_token_signed_response_alg", "RS256, ES256 or EdDSA is allowed"),
    ("userinfo_signed_response_alg", "RS256, ES256 or EdDSA is allowed"),
    ("default_max_age", "a whole number of seconds, 0 or more, is allowed"),
    ("require_auth_time", "true or false is allowed"),
    ("require_pkce", "true or false is allowed"),
    ("skip_consent", "true or false is allowed"),
    ("access_token_format", "jwt or opaque is allowed"),
    ("refresh_rotation", "always or never is allowed"),
    ("audience", "a list of text is allowed"),
    ("exchange_audience", "a list of text is allowed"),
    ("legacy_assertion_audience", "true or false is allowed"),
    ("assertion_seconds", "a whole number of seconds from 1 to 3600 is allowed"),
    ("client_id", "1 to 128 letters, digits and - . _ ~ @ are allowed"),
    (
        "client_secret",
        "8 to 256 visible ASCII characters are allowed, none of them a space, a quote or a backslash",
    ),
];

/// Whether this may be registered (S-G2, S-G5).
pub fn check(metadata: &ClientMetadata) -> Result<(), FieldError> {
    check_text(metadata)?;
    let public = metadata.token_endpoint_auth_method == AuthMethod::None;
    let custom_scheme = public || metadata.application_type == ApplicationType::Native;
    check_uris("redirect_uris", &metadata.redirect_uris, custom_scheme)?;
    check_uris("post_logout_redirect_uris", &metadata.post_logout_redirect_uris, custom_scheme)?;
    for (field, link) in [
        ("client_uri", &metadata.client_uri),
        ("logo_uri", &metadata.logo_uri),
        ("policy_uri", &metadata.policy_uri),
        ("tos_uri", &metadata.tos_uri),
        ("initiate_login_uri", &metadata.initiate_login_uri),
    ] {
        if let Some(link) = link.as_deref().filter(|link| !is_https_link(link)) {
            return refuse(field, format!("{}: an https URL is allowed, of at most 2048 bytes", shown(link)));
        }
    }
    if let Some(other) = metadata.response_types.iter().find(|r| *r != "code") {
        return refuse("response_types", format!("{}: only code is allowed", shown(other)));
    }
    if metadata.default_max_age.is_some_and(|seconds| seconds < 0) {
        return refuse("default_max_age", allowed("default_max_age"));
    }
    if metadata.grant_types.contains(&GrantType::AuthorizationCode) {
        if metadata.response_types.is_empty() {
            return refuse("response_types", "code must be there for the grant authorization_code");
        }
        if metadata.redirect_uris.is_empty() && !metadata.any_loopback_redirect {
            return refuse("redirect_uris", "at least one is needed for the grant authorization_code");
        }
    }
    client_keys::check(metadata)?;
    if public { check_public(metadata) } else { Ok(()) }
}

/// Checks a secret that an administrator brings.
///
/// Beside length and alphabet, a `%` may not look like an escape: half of the clients escape Basic credentials and half do
/// not (RFC 6749 §2.3.1, C1), and both must be read as the same secret.
pub fn check_secret(text: String) -> Result<Secret<String>, FieldError> {
    let secret = Secret::new(text);
    let bytes = secret.reveal().as_bytes();
    if !(8..=256).contains(&bytes.len())
        || !bytes.iter().all(|b| b.is_ascii_graphic() && !b"\"\\".contains(b))
    {
        return refuse("client_secret", allowed("client_secret"));
    }
    let escape = |w: &[u8]| matches!(w, [b'%', a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
    if bytes.windows(3).any(escape) {
        return refuse(
            "client_secret",
            "no % in front of two hexadecimal digits is allowed: clients would escape it differently",
        );
    }
    Ok(secret)
}

fn check_text(metadata: &ClientMetadata) -> Result<(), FieldError> {
    let name = &metadata.client_name;
    if name.trim().is_empty() || name.chars().count() > MAX_NAME {
        return refuse("client_name", allowed("client_name"));
    }
    if name.chars().any(is_deceptive) {
        return refuse("client_name", "no control, invisible or direction-changing characters are allowed");
    }
    for (field, items) in [
        ("contacts", &metadata.contacts),
        ("audience", &metadata.audience),
        ("exchange_audience", &metadata.exchange_audience),
    ] {
        if items.len() > MAX_ITEMS {
            return refuse(field, "at most 20 are allowed");
        }
    }
    let contact = |c: &String| (1..=256).contains(&c.len()) && !c.chars().any(is_deceptive);
    if !metadata.contacts.iter().all(contact) {
        return refuse("contacts", "1 to 256 bytes each are allowed, without control characters");
    }
    let audience = |a: &String| {
        (1..=MAX_BYTES).contains(&a.len()) && a.bytes().all(|b| b.is_ascii_graphic() && !b"\"\\".contains(&b))
    };
    for (field, items) in
        [("audience", &metadata.audience), ("exchange_audience", &metadata.exchange_audience)]
    {
        if !items.iter().all(audience) {
            return refuse(
                field,
                "1 to 2048 visible ASCII characters each are allowed, no space, quote or backslash",
            );
        }
    }
    Ok(())
}

fn check_uris(field: &'static str, uris: &[String], custom_scheme: bool) -> Result<(), FieldError> {
    if uris.len() > MAX_ITEMS {
        return refuse(field, "at most 20 are allowed");
    }
    for uri in uris {
        redirect_uri::check(uri, custom_scheme)
            .or_else(|problem| refuse(field, format!("{}: {problem}", shown(uri))))?;
    }
    Ok(())
}

/// A public client proves nothing about itself, so it may do less (RFC 6749 §2.1).
fn check_public(metadata: &ClientMetadata) -> Result<(), FieldError> {
    if metadata.grant_types.contains(&GrantType::ClientCredentials) {
        // RFC 6749 §4.4: "MUST only be used by confidential clients".
        return refuse("grant_types", "client_credentials is allowed for a client with a secret only");
    }
    if metadata.refresh_rotation == RefreshRotation::Never {
        return refuse("refresh_rotation", "never is allowed for a client with a secret only");
    }
    if !metadata.require_pkce {
        return refuse("require_pkce", "false is allowed for a client with a secret only");
    }
    let unassured = |uri: &&String| redirect_uri::is_unassured_for(metadata, uri);
    if let Some(uri) = metadata.redirect_uris.iter().find(unassured).filter(|_| metadata.skip_consent) {
        return refuse(
            "skip_consent",
            format!("not allowed for a public native client (redirect URI {})", shown(uri)),
        );
    }
    Ok(())
}

/// What is allowed for a member, of the table.
pub(super) fn allowed(field: &str) -> &'static str {
    MEMBERS.into_iter().find(|(name, _)| *name == field).map_or("", |(_, allowed)| allowed)
}

/// The error for a member.
pub(super) fn refuse<T>(field: &'static str, problem: impl Into<String>) -> Result<T, FieldError> {
    Err(FieldError { field, problem: problem.into() })
}

/// Text from outside in an error: on one line, and not endless.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(100).collect::<String>().escape_debug().to_string()
}

/// Control characters, and those of Unicode that are invisible or turn the reading direction (S-A5).
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn redirect_uris_are_https_or_loopback_or_an_app_of_its_own() {
        let registered = |auth: &str, uri: &str| {
            let client =
                json!({ "client_name": "App", "token_endpoint_auth_method": auth, "redirect_uris": [uri] });
            check(&serde_json::from_value(client).unwrap())
        };
        let good = "https://app.example https://app.example:8443/a?b=c http://localhost:1/cb http://[::1]/ http://127.0.0.1";
        for uri in good.split_whitespace() {
            assert_eq!(registered("client_secret_basic", uri), Ok(()), "{uri}");
        }
        let bad = "/cb //app.example/ app.example http://app.example/ http://2130706433/ http://localhost.evil/ \
            http://127.0.0.1@evil/ https://a@app.example/ https://app.example/# https://*.app.example/ \
            https://app.example/* https://app.example/a/../b https://app.example/%2E%2e https://app.example\\x \
            https://app.example/\u{e4} https://app\u{ff0e}example/ https:app.example/ https:///cb https:// \
            https://app.example:/ https://app.example:0/ https://127.1/ https://a;b.example/ https://a..b/ \
            com.example.app:/cb javascript:alert(1) data:text/html,x myapp://cb HTTPS://app.example/";
        for uri in bad.split_whitespace().chain(["", "https://app.example/ ", "https://app.example/\r\n"]) {
            let refused = registered("client_secret_basic", uri).unwrap_err();
            assert_eq!(refused.field, "redirect_uris", "S-G2: {uri}");
        }
        for uri in ["com.example.app:/cb", "com.example.app://cb"] {
            assert_eq!(registered("none", uri), Ok(()));
        }
        let bad = "myapp:/cb javascript:x.y com.example.app://a@b/ com.example.app:/cb#x 1.a:/ com.example.app:/a/../b";
        for uri in bad.split_whitespace() {
            assert!(registered("none", uri).is_err(), "{uri}");
        }
        let long = format!("https://app.example/{}", "a".repeat(MAX_BYTES));
        assert!(registered("none", &long).unwrap_err().to_string().len() < 200);
    }

    #[test]
    fn a_secret_reads_alike_escaped_or_not() {
        for good in ["12345678", "a+b:c/d=e~!", "100%-sure", "%2-%zz-%%"] {
            assert!(check_secret(good.to_owned()).is_ok(), "{good}");
        }
        for bad in [
            "1234567",
            "with a space",
            "quo\"te-quote",
            "back\\slash",
            "t\u{e4}tlich!",
            "abc%2Ddef",
            "12345678\n",
        ] {
            assert_eq!(check_secret(bad.to_owned()).unwrap_err().field, "client_secret", "{bad}");
        }
        assert!(check_secret("a".repeat(257)).is_err());
    }
}
