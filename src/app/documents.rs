//! The server's own metadata as it is sent: written once, for it changes with the settings alone.

use std::sync::OnceLock;

use bytes::Bytes;

use super::App;
use crate::base::algorithm::Algorithm;
use crate::base::fault::Fault;
use crate::oauth::metadata;

/// The documents of one node.
#[derive(Debug, Default)]
pub struct Documents {
    openid: OnceLock<Bytes>,
    oauth: OnceLock<Bytes>,
    kept_for: OnceLock<Bytes>,
}

impl App {
    /// How long they and the public keys may be kept: a `Cache-Control`.
    pub fn kept_for(&self) -> Bytes {
        let seconds = self.settings.signing.jwks_max_age_seconds;
        self.documents.kept_for.get_or_init(|| format!("public, max-age={seconds}").into()).clone()
    }

    /// OIDC Discovery §4, as JSON.
    pub fn openid_configuration(&self) -> Result<Bytes, Fault> {
        self.document(&self.documents.openid, metadata::openid_configuration)
    }

    /// RFC 8414 §3, as JSON.
    pub fn oauth_authorization_server(&self) -> Result<Bytes, Fault> {
        self.document(&self.documents.oauth, metadata::oauth_authorization_server)
    }

    fn document(
        &self,
        kept: &OnceLock<Bytes>,
        build: fn(&str, &[Algorithm]) -> Result<serde_json::Value, Fault>,
    ) -> Result<Bytes, Fault> {
        if let Some(text) = kept.get() {
            return Ok(text.clone());
        }
        let text = build(self.issuer(), &Algorithm::ALL)?.to_string();
        Ok(kept.get_or_init(|| text.into()).clone())
    }
}
