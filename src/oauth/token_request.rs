//! A token request, read into the grant that it uses (RFC 6749 §4.1.3, §4.4.2, §6, RFC 7523 §2.1, RFC 8693 §2.1).
//!
//! A value here is well-formed and no more: whether the code lives, the verifier fits or the client may use the grant is
//! decided in `code.rs`, `refresh.rs` and `flow/token.rs`. Parameters that nobody knows are ignored (C5).

use super::assertion::Unverified;
use super::client::GrantType;
use super::error::{OAuthError, Why};
use super::exchange::Exchange;
use super::params::Params;
use super::pkce::CodeVerifier;
use super::scope::Scope;
use crate::base::secret::Secret;

/// What a client brings to the token endpoint.
#[derive(Clone, Debug)]
pub enum Grant {
    /// RFC 6749 §4.1.3.
    Code {
        /// The authorization code.
        code: Secret<String>,
        /// As sent; it must be the one of the authorization request.
        redirect_uri: Option<String>,
        /// RFC 7636 §4.5.
        verifier: Option<CodeVerifier>,
    },
    /// RFC 6749 §6.
    Refresh {
        /// The refresh token.
        token: Secret<String>,
        /// A narrower scope; the whole one when absent.
        scope: Option<Scope>,
    },
    /// RFC 6749 §4.4.2.
    Client {
        /// The scope that is asked for; the client's own when absent.
        scope: Option<Scope>,
    },
    /// RFC 7523 §2.1.
    Assertion {
        /// The assertion, unchecked.
        assertion: Unverified,
        /// The scope that is asked for; that of the assertion, or all, when absent.
        scope: Option<Scope>,
        /// The service account, where the request names it.
        account: Option<String>,
    },
    /// RFC 8693 §2.1.
    Exchange(Box<Exchange>),
}

impl Grant {
    /// Reads the body (S-T2 to S-T4). A malformed verifier or a missing parameter is `invalid_request`, a malformed scope
    /// `invalid_scope`, another grant `unsupported_grant_type`.
    pub fn read(params: &Params) -> Result<Self, OAuthError> {
        params.refuse_repeated()?;
        let name =
            params.get("grant_type").ok_or(OAuthError::InvalidRequest("grant_type is missing".into()))?;
        match GrantType::named(name).ok_or(OAuthError::UnsupportedGrantType)? {
            GrantType::AuthorizationCode => Ok(Self::Code {
                code: secret(params, "code", "code is missing")?,
                redirect_uri: params.get("redirect_uri").map(str::to_owned),
                verifier: params.get("code_verifier").map(CodeVerifier::parse).transpose()?,
            }),
            GrantType::RefreshToken => Ok(Self::Refresh {
                token: secret(params, "refresh_token", "refresh_token is missing")?,
                scope: scope(params)?,
            }),
            GrantType::ClientCredentials => Ok(Self::Client { scope: scope(params)? }),
            GrantType::JwtBearer => {
                let text = params
                    .get("assertion")
                    .ok_or(OAuthError::InvalidRequest("assertion is missing".into()))?;
                Ok(Self::Assertion {
                    assertion: Unverified::peek(text).ok_or(OAuthError::InvalidGrant(Why::Malformed))?,
                    scope: scope(params)?,
                    account: params.get("client_id").map(str::to_owned),
                })
            }
            GrantType::TokenExchange => {
                Exchange::read(params, scope(params)?).map(Box::new).map(Self::Exchange)
            }
        }
    }

    /// The grant's type, to ask whether the client may use it.
    pub fn kind(&self) -> GrantType {
        match self {
            Self::Code { .. } => GrantType::AuthorizationCode,
            Self::Refresh { .. } => GrantType::RefreshToken,
            Self::Client { .. } => GrantType::ClientCredentials,
            Self::Assertion { .. } => GrantType::JwtBearer,
            Self::Exchange(_) => GrantType::TokenExchange,
        }
    }
}

fn secret(params: &Params, name: &str, missing: &'static str) -> Result<Secret<String>, OAuthError> {
    let value = params.get(name).ok_or(OAuthError::InvalidRequest(missing.into()))?;
    Ok(Secret::new(value.to_owned()))
}

/// Absent, empty and only spaces are the same: nothing was asked for.
fn scope(params: &Params) -> Result<Option<Scope>, OAuthError> {
    let scope = params.get("scope").map(Scope::parse).transpose();
    Ok(scope.map_err(|problem| OAuthError::InvalidScope(problem.into()))?.filter(|scope| !scope.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Grant, OAuthError> {
        Grant::read(&Params::parse(body.as_bytes()).unwrap())
    }

    #[test]
    fn each_grant_is_read_with_its_own_parameters() {
        let verifier = "a".repeat(43);
        let code = read(&format!(
            "grant_type=authorization_code&code=c&redirect_uri=https%3A%2F%2Fa%2F&code_verifier={verifier}&extra=1"
        ));
        let Grant::Code { code, redirect_uri, verifier: Some(_) } = code.unwrap() else { unreachable!() };
        assert_eq!((code.reveal().as_str(), redirect_uri.as_deref()), ("c", Some("https://a/")));
        let refresh =
            read("grant_type=refresh_token&refresh_token=r&scope=openid offline_access&allow_redirects=True");
        let Grant::Refresh { token, scope } = refresh.unwrap() else { unreachable!() };
        assert_eq!(token.reveal(), "r");
        assert_eq!(scope, Some(Scope::of(&["openid", "offline_access"])), "C5, C6");
        let client = read("grant_type=client_credentials&scope=+").unwrap();
        assert!(matches!(client, Grant::Client { scope: None }));
        assert_eq!(client.kind(), GrantType::ClientCredentials);
    }

    #[test]
    fn a_broken_request_is_refused_with_the_right_code() {
        for (body, code) in [
            ("", "invalid_request"), // S-T3
            ("grant_type=", "invalid_request"),
            ("grant_type=password&username=a&password=b", "unsupported_grant_type"), // S-T4
            ("grant_type=Authorization_Code&code=c", "unsupported_grant_type"),
            ("grant_type=refresh_token&grant_type=refresh_token&refresh_token=r", "invalid_request"), // S-T2
            ("grant_type=authorization_code", "invalid_request"),
            ("grant_type=authorization_code&code=", "invalid_request"),
            ("grant_type=authorization_code&code=a&code=b", "invalid_request"),
            ("grant_type=authorization_code&code=c&code_verifier=short", "invalid_request"), // S-C7
            ("grant_type=refresh_token&scope=openid", "invalid_request"),
            ("grant_type=refresh_token&refresh_token=r&scope=%22", "invalid_scope"),
            ("grant_type=client_credentials&scope=%C3%A4", "invalid_scope"),
        ] {
            assert_eq!(read(body).unwrap_err().code(), code, "{body}");
        }
        let empty = read("grant_type=authorization_code&code=c&code_verifier=&redirect_uri=").unwrap();
        assert!(matches!(empty, Grant::Code { redirect_uri: None, verifier: None, .. }), "empty is absent");
    }

    #[test]
    fn a_grant_does_not_print_its_secrets() {
        let grants =
            ["grant_type=authorization_code&code=hush", "grant_type=refresh_token&refresh_token=hush"];
        assert!(grants.iter().all(|body| !format!("{:?}", read(body).unwrap()).contains("hush")));
    }
}
