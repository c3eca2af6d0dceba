//! The server's own metadata as it is sent: written once, for it changes with the settings alone.

use std::sync::OnceLock;

use super::App;
use crate::base::algorithm::Algorithm;
use crate::base::fault::Fault;
use crate::oauth::metadata;

/// The documents of one node.
#[derive(Debug, Default)]
pub struct Documents {
    openid: OnceLock<String>,
    oauth: OnceLock<String>,
}

impl App {
    /// OIDC Discovery §4, as JSON.
    pub fn openid_configuration(&self) -> Result<&str, Fault> {
        self.document(&self.documents.openid, metadata::openid_configuration)
    }

    /// RFC 8414 §3, as JSON.
    pub fn oauth_authorization_server(&self) -> Result<&str, Fault> {
        self.document(&self.documents.oauth, metadata::oauth_authorization_server)
    }

    fn document<'a>(
        &self,
        kept: &'a OnceLock<String>,
        build: fn(&str, &[Algorithm]) -> Result<serde_json::Value, Fault>,
    ) -> Result<&'a str, Fault> {
        if let Some(text) = kept.get() {
            return Ok(text);
        }
        let text = build(self.issuer(), &Algorithm::ALL)?.to_string();
        Ok(kept.get_or_init(|| text))
    }
}
