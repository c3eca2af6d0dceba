//! Server metadata (OIDC Discovery §3, RFC 8414 §2), built from the types that clients read it with. What the enums of this
//! floor can do is listed; nothing is listed by hand twice, and no member is home-made.

use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType, CoreJsonWebKey,
    CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreJwsSigningAlgorithm,
    CoreResponseMode, CoreResponseType, CoreSubjectIdentifierType,
};
use openidconnect::{
    AdditionalProviderMetadata, AuthUrl, AuthenticationContextClass, IssuerUrl, JsonWebKeySetUrl,
    LanguageTag, ProviderMetadata, ResponseTypes, TokenUrl, UserInfoUrl,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::client::{AuthMethod, GrantType};
use super::id_token::{ACR_MFA, ACR_PASSWORD};
use super::user_info;
use crate::base::algorithm::Algorithm;
use crate::base::fault::Fault;

/// The one place that spells the twelve type parameters.
type Document = ProviderMetadata<
    Beyond,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// Registered members that the type above does not have (RFC 8414 §2, RFC 9207 §3, OIDC RP-Initiated Logout §2.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Beyond {
    end_session_endpoint: String,
    revocation_endpoint: String,
    revocation_endpoint_auth_methods_supported: Vec<String>,
    revocation_endpoint_auth_signing_alg_values_supported: Vec<CoreJwsSigningAlgorithm>,
    introspection_endpoint: String,
    introspection_endpoint_auth_methods_supported: Vec<String>,
    introspection_endpoint_auth_signing_alg_values_supported: Vec<CoreJwsSigningAlgorithm>,
    code_challenge_methods_supported: Vec<String>,
    authorization_response_iss_parameter_supported: bool,
}

impl AdditionalProviderMetadata for Beyond {}

/// Members that speak of ID tokens and userinfo, and have no place in a document about OAuth alone.
const OPENID_ONLY: [&str; 12] = [
    "userinfo_endpoint",
    "end_session_endpoint",
    "subject_types_supported",
    "id_token_signing_alg_values_supported",
    "userinfo_signing_alg_values_supported",
    "acr_values_supported",
    "claim_types_supported",
    "claims_supported",
    "claims_parameter_supported",
    "display_values_supported",
    "request_parameter_supported",
    "request_uri_parameter_supported",
];

/// The document at `/.well-known/openid-configuration`. `algorithms` are those that a signing key exists for.
///
/// # Errors
/// When the issuer is not a URL; settings do not let that happen.
pub fn openid_configuration(issuer: &str, algorithms: &[Algorithm]) -> Result<Value, Fault> {
    let at = |path: &str| format!("{issuer}{path}");
    let unfit = |error| Fault::new("writing the metadata", error);
    let json = |error| Fault::new("writing the metadata", error);
    let signing: Vec<_> = algorithms.iter().map(|a| jws(*a)).collect();
    let document = Document::new(
        IssuerUrl::new(issuer.to_owned()).map_err(unfit)?,
        AuthUrl::new(at("/oauth2/authorize")).map_err(unfit)?,
        JsonWebKeySetUrl::new(at("/.well-known/jwks.json")).map_err(unfit)?,
        vec![ResponseTypes::new(vec![CoreResponseType::Code])],
        vec![CoreSubjectIdentifierType::Public],
        signing.clone(),
        beyond(issuer),
    )
    .set_token_endpoint(Some(TokenUrl::new(at("/oauth2/token")).map_err(unfit)?))
    .set_userinfo_endpoint(Some(UserInfoUrl::new(at("/oauth2/userinfo")).map_err(unfit)?))
    .set_scopes_supported(Some(scopes()))
    .set_response_modes_supported(Some(vec![CoreResponseMode::Query, CoreResponseMode::FormPost]))
    .set_grant_types_supported(Some(GrantType::ALL.map(grant).to_vec()))
    .set_token_endpoint_auth_methods_supported(Some(AuthMethod::ALL.map(auth_method).to_vec()))
    .set_token_endpoint_auth_signing_alg_values_supported(Some(assertion_algorithms()))
    .set_acr_values_supported(Some(
        [ACR_PASSWORD, ACR_MFA].map(|acr| AuthenticationContextClass::new(acr.to_owned())).to_vec(),
    ))
    .set_userinfo_signing_alg_values_supported(Some(signing))
    .set_claim_types_supported(Some(vec![CoreClaimType::Normal]))
    .set_claims_supported(Some(claims()))
    .set_ui_locales_supported(Some(["en", "de"].map(|tag| LanguageTag::new(tag.to_owned())).to_vec()))
    .set_claims_parameter_supported(Some(true))
    // R54: said plainly, and refused with their own error codes. `request_uri` is taken for supported when it is not named.
    .set_request_parameter_supported(Some(false))
    .set_request_uri_parameter_supported(Some(false));
    serde_json::to_value(document).map_err(json)
}

/// The document at `/.well-known/oauth-authorization-server` (RFC 8414 §3): the same, less what is OpenID Connect's alone.
///
/// # Errors
/// As [`openid_configuration`].
pub fn oauth_authorization_server(issuer: &str, algorithms: &[Algorithm]) -> Result<Value, Fault> {
    let mut document = openid_configuration(issuer, algorithms)?;
    if let Some(members) = document.as_object_mut() {
        members.retain(|name, _| !OPENID_ONLY.contains(&name.as_str()));
    }
    Ok(document)
}

fn beyond(issuer: &str) -> Beyond {
    // Introspection is for callers that can prove who they are (S-N1); a public client may revoke its own tokens.
    let with_secret = AuthMethod::ALL.into_iter().filter(|m| *m != AuthMethod::None);
    Beyond {
        end_session_endpoint: format!("{issuer}/oauth2/logout"),
        revocation_endpoint: format!("{issuer}/oauth2/revoke"),
        revocation_endpoint_auth_methods_supported: AuthMethod::ALL.map(|m| m.name().to_owned()).to_vec(),
        introspection_endpoint: format!("{issuer}/oauth2/introspect"),
        introspection_endpoint_auth_methods_supported: with_secret.map(|m| m.name().to_owned()).collect(),
        introspection_endpoint_auth_signing_alg_values_supported: assertion_algorithms(),
        revocation_endpoint_auth_signing_alg_values_supported: assertion_algorithms(),
        code_challenge_methods_supported: vec!["S256".to_owned()],
        authorization_response_iss_parameter_supported: true,
    }
}

/// What clients may sign their assertions with: key pairs of any of our kinds, and a shared secret. It must be said where these
/// methods are offered (RFC 8414 §2), and none is never among them.
fn assertion_algorithms() -> Vec<CoreJwsSigningAlgorithm> {
    Algorithm::ALL.map(jws).into_iter().chain([CoreJwsSigningAlgorithm::HmacSha256]).collect()
}

/// The scopes that mean something to us; a client may be registered for others, which are its resource servers' affair.
fn scopes() -> Vec<openidconnect::Scope> {
    let words = ["openid"].into_iter().chain(user_info::CLAIM_SCOPES).chain(["offline_access"]);
    words.map(|w| openidconnect::Scope::new(w.to_owned())).collect()
}

fn claims() -> Vec<CoreClaimName> {
    let of_the_token = ["sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "azp", "sid"];
    of_the_token
        .into_iter()
        .chain(user_info::names())
        .map(|name| CoreClaimName::new(name.to_owned()))
        .collect()
}

const fn jws(algorithm: Algorithm) -> CoreJwsSigningAlgorithm {
    match algorithm {
        Algorithm::Rs256 => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
        Algorithm::Es256 => CoreJwsSigningAlgorithm::EcdsaP256Sha256,
        Algorithm::EdDsa => CoreJwsSigningAlgorithm::EdDsa,
    }
}

fn grant(grant: GrantType) -> CoreGrantType {
    match grant {
        GrantType::AuthorizationCode => CoreGrantType::AuthorizationCode,
        GrantType::RefreshToken => CoreGrantType::RefreshToken,
        GrantType::ClientCredentials => CoreGrantType::ClientCredentials,
        GrantType::JwtBearer => CoreGrantType::JwtBearer,
        GrantType::TokenExchange => CoreGrantType::Extension(grant.name().to_owned()),
    }
}

const fn auth_method(method: AuthMethod) -> CoreClientAuthMethod {
    match method {
        AuthMethod::None => CoreClientAuthMethod::None,
        AuthMethod::ClientSecretBasic => CoreClientAuthMethod::ClientSecretBasic,
        AuthMethod::ClientSecretPost => CoreClientAuthMethod::ClientSecretPost,
        AuthMethod::ClientSecretJwt => CoreClientAuthMethod::ClientSecretJwt,
        AuthMethod::PrivateKeyJwt => CoreClientAuthMethod::PrivateKeyJwt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openidconnect::core::CoreProviderMetadata;
    use serde_json::json;

    const ISSUER: &str = "https://id.example.com/base";

    #[test]
    fn the_openid_document_says_what_we_do_r20_to_r33_s_m1_to_s_m4_c20() {
        let document = openid_configuration(ISSUER, &Algorithm::ALL).unwrap();
        for (name, expected) in [
            ("issuer", json!(ISSUER)),
            ("authorization_endpoint", json!("https://id.example.com/base/oauth2/authorize")),
            ("token_endpoint", json!("https://id.example.com/base/oauth2/token")),
            ("userinfo_endpoint", json!("https://id.example.com/base/oauth2/userinfo")),
            ("end_session_endpoint", json!("https://id.example.com/base/oauth2/logout")),
            ("jwks_uri", json!("https://id.example.com/base/.well-known/jwks.json")),
            ("response_types_supported", json!(["code"])),
            ("response_modes_supported", json!(["query", "form_post"])),
            (
                "grant_types_supported",
                json!([
                    "authorization_code",
                    "refresh_token",
                    "client_credentials",
                    "urn:ietf:params:oauth:grant-type:jwt-bearer",
                    "urn:ietf:params:oauth:grant-type:token-exchange"
                ]),
            ),
            ("token_endpoint_auth_signing_alg_values_supported", json!(["RS256", "ES256", "EdDSA", "HS256"])),
            (
                "revocation_endpoint_auth_signing_alg_values_supported",
                json!(["RS256", "ES256", "EdDSA", "HS256"]),
            ),
            (
                "introspection_endpoint_auth_signing_alg_values_supported",
                json!(["RS256", "ES256", "EdDSA", "HS256"]),
            ),
            ("subject_types_supported", json!(["public"])),
            ("id_token_signing_alg_values_supported", json!(["RS256", "ES256", "EdDSA"])),
            ("scopes_supported", json!(["openid", "profile", "email", "address", "phone", "offline_access"])),
            (
                "token_endpoint_auth_methods_supported",
                json!([
                    "client_secret_basic",
                    "client_secret_post",
                    "client_secret_jwt",
                    "private_key_jwt",
                    "none"
                ]),
            ),
            (
                "introspection_endpoint_auth_methods_supported",
                json!(["client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt"]),
            ),
            ("code_challenge_methods_supported", json!(["S256"])),
            ("authorization_response_iss_parameter_supported", json!(true)),
            ("claims_parameter_supported", json!(true)),
            ("request_parameter_supported", json!(false)),
            ("request_uri_parameter_supported", json!(false)),
            ("ui_locales_supported", json!(["en", "de"])),
            ("acr_values_supported", json!([ACR_PASSWORD, ACR_MFA])),
        ] {
            assert_eq!(document[name], expected, "{name}");
        }
        assert!(document["claims_supported"].as_array().unwrap().contains(&json!("email_verified")));
        assert!(
            document["revocation_endpoint"].is_string() && document["introspection_endpoint"].is_string()
        );
        assert_eq!(document.as_object().unwrap().len(), 30, "a new member needs a line above: {document:#}");
    }

    #[test]
    fn clients_read_both_documents_and_the_issuer_is_untouched_c18_c19() {
        for issuer in ["http://localhost:8080", ISSUER] {
            let document = openid_configuration(issuer, &[Algorithm::Rs256]).unwrap();
            let read: CoreProviderMetadata = serde_json::from_value(document.clone()).unwrap();
            assert_eq!(read.issuer().as_str(), issuer);
            let oauth = oauth_authorization_server(issuer, &[Algorithm::Rs256]).unwrap();
            assert_eq!(oauth["issuer"], issuer);
            for name in OPENID_ONLY {
                assert!(oauth.get(name).is_none(), "{name}");
            }
            for (name, value) in oauth.as_object().unwrap() {
                assert_eq!(document.get(name), Some(value), "{name}");
            }
            for name in [
                "introspection_endpoint",
                "revocation_endpoint",
                "jwks_uri",
                "code_challenge_methods_supported",
            ] {
                assert!(oauth.get(name).is_some(), "{name}");
            }
        }
    }
}
