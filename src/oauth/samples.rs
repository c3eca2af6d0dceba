//! Clients that the tests of this folder speak of.

use super::client::{AuthMethod, Client, ClientMetadata, GrantType};
use super::scope::Scope;
use crate::base::time::Timestamp;

/// A confidential client with one redirect URI, `https://app.example/cb`, every grant and the default scope.
pub(super) fn client(id: &str) -> Client {
    let metadata = r#"{"client_name": "App", "redirect_uris": ["https://app.example/cb"]}"#;
    let mut metadata: ClientMetadata = serde_json::from_str(metadata).unwrap();
    metadata.grant_types = GrantType::ALL.to_vec();
    metadata.scope = metadata.scope.union(&Scope::of(&["read"]));
    Client {
        id: id.parse().unwrap(),
        metadata,
        secrets: Vec::new(),
        created_at: Timestamp::from_secs(0),
        disabled_at: None,
    }
}

/// The same without a secret.
pub(super) fn public_client(id: &str) -> Client {
    let mut client = client(id);
    client.metadata.token_endpoint_auth_method = AuthMethod::None;
    client
}
