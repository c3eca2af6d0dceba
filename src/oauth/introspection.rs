//! Introspection (RFC 7662): the answer about a live token, and who may have it. About everything else the answer is one
//! member, so that it tells nothing (S-N2).

use serde::Serialize;
use serde_json::{Value, json};

use super::access_token::{AccessClaims, Actor, one_or_many};
use super::client::Client;
use super::refresh::{Family, RefreshPolicy};
use super::scope::Scope;
use crate::base::id::ClientId;

/// The answer about a live token (RFC 7662 §2.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LiveToken {
    active: bool,
    /// What the token allows.
    #[serde(skip_serializing_if = "Scope::is_empty")]
    pub scope: Scope,
    /// The client that it was given to.
    pub client_id: ClientId,
    /// The person's user name, where a person is behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// `Bearer` for an access token; a refresh token has no type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_type: Option<&'static str>,
    /// Seconds since 1970.
    pub exp: i64,
    /// Seconds since 1970.
    pub iat: i64,
    /// The person or the client itself; always there (C24).
    pub sub: String,
    /// Whom it is for; nobody but us for a refresh token.
    #[serde(with = "one_or_many")]
    pub aud: Vec<String>,
    /// Us.
    pub iss: String,
    /// The access token's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// When the person proved who they are, in seconds since 1970 (RFC 9470 §6.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    /// The class of that authentication.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// Who acts for `sub` (RFC 8693 §4.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub act: Option<Actor>,
}

impl LiveToken {
    /// About an access token that was found to be live.
    pub fn access_token(claims: &AccessClaims, username: Option<&str>) -> Self {
        Self {
            active: true,
            scope: claims.scope.clone(),
            client_id: claims.client_id.clone(),
            username: username.map(str::to_owned),
            token_type: Some("Bearer"),
            exp: claims.exp,
            iat: claims.iat,
            sub: claims.sub.clone(),
            aud: claims.aud.clone(),
            iss: claims.iss.clone(),
            jti: Some(claims.jti.clone()),
            auth_time: claims.auth_time,
            acr: claims.acr.clone(),
            act: claims.act.clone(),
        }
    }

    /// About the live refresh token of a family.
    pub fn refresh_token(
        family: &Family,
        client: &Client,
        issuer: &str,
        policy: &RefreshPolicy,
        username: Option<&str>,
    ) -> Self {
        Self {
            active: true,
            scope: family.scope.clone(),
            client_id: family.client.clone(),
            username: username.map(str::to_owned),
            token_type: None,
            exp: family.ends_at(client, policy).as_secs(),
            iat: family.rotated_at.as_secs(),
            sub: family.user.to_string(),
            aud: vec![issuer.to_owned()],
            iss: issuer.to_owned(),
            jti: None,
            auth_time: Some(family.auth_time.as_secs()),
            acr: Some(family.acr.clone()),
            act: None,
        }
    }
}

/// The answer about everything else: unknown, dead, or not the caller's to know.
pub fn inactive() -> Value {
    json!({"active": false})
}

/// Whether `caller` may know of a token that was given to `client` for `audience`: its own tokens, or those that name it
/// (requirements D5). Only a registered `audience` counts: that it is the issuer when absent names nobody.
pub fn may_see(caller: &Client, client: &ClientId, audience: &[String]) -> bool {
    caller.id == *client
        || audience.iter().any(|aud| aud == caller.id.as_str() || caller.metadata.audience.contains(aud))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::samples::client;

    #[test]
    fn the_answer_is_whole_or_one_member_s_n2_c24() {
        let claims: AccessClaims =
            serde_json::from_value(json!({"iss": "https://id.example", "sub": "app", "aud": "api",
            "exp": 9, "iat": 1, "jti": "j", "client_id": "app", "scope": "read"}))
            .unwrap();
        assert_eq!(
            serde_json::to_value(LiveToken::access_token(&claims, None)).unwrap(),
            json!({"active": true, "scope": "read", "client_id": "app", "token_type": "Bearer", "exp": 9, "iat": 1,
                "sub": "app", "aud": "api", "iss": "https://id.example", "jti": "j"})
        );
        assert_eq!(inactive().to_string(), r#"{"active":false}"#);
    }

    #[test]
    fn only_its_own_client_and_the_named_resource_server_see_a_token_d5() {
        let mut api = client("api");
        api.metadata.audience = vec!["https://api.example".to_owned()];
        let app = "app".parse().unwrap();
        let aud = |text: &str| vec![text.to_owned()];
        assert!(may_see(&client("app"), &app, &aud("https://api.example")));
        assert!(may_see(&api, &app, &aud("https://api.example")));
        assert!(may_see(&api, &app, &aud("api")));
        assert!(!may_see(&api, &app, &aud("https://id.example")));
        assert!(
            !may_see(&client("other"), &app, &aud("https://id.example")),
            "no registered audience names nobody"
        );
    }
}
