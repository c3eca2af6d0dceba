//! Where an authorization answer goes: a value that exists only after the client and its redirect URI were checked.

use serde::{Deserialize, Serialize};

/// How the answer travels (OAuth 2.0 Multiple Response Types §2.1, OAuth 2.0 Form Post Response Mode).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResponseMode {
    /// In the query of a redirect.
    #[serde(rename = "query")]
    Query,
    /// In a form that posts itself.
    #[serde(rename = "form_post")]
    FormPost,
}

/// A checked redirect URI with what every answer to it carries. Made in `oauth/authorize.rs` only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    redirect_uri: String,
    state: Option<String>,
    mode: ResponseMode,
    issuer: String,
}

/// An answer on its way to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Redirect the browser here, with 303 (RFC 9700 §4.12).
    Redirect(String),
    /// Show a page whose form posts these fields there.
    FormPost {
        /// The redirect URI.
        action: String,
        /// Names and values.
        fields: Vec<(&'static str, String)>,
    },
}

impl Destination {
    /// For `oauth/authorize.rs`, after the client and the redirect URI matched, and for nobody else.
    pub(super) fn new(
        redirect_uri: String,
        state: Option<String>,
        mode: ResponseMode,
        issuer: String,
    ) -> Self {
        Self { redirect_uri, state, mode, issuer }
    }

    /// The redirect URI as the client sent it.
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// The answer: `params`, then `state` as it came (RFC 6749 §4.1.2) and `iss` (RFC 9207 §2).
    pub fn answer(&self, params: Vec<(&'static str, String)>) -> Delivery {
        let mut fields = params;
        if let Some(state) = &self.state {
            fields.push(("state", state.clone()));
        }
        fields.push(("iss", self.issuer.clone()));
        match self.mode {
            ResponseMode::FormPost => Delivery::FormPost { action: self.redirect_uri.clone(), fields },
            ResponseMode::Query => {
                // The registered URI is kept byte for byte (R6): a query is appended, nothing is parsed and written anew.
                let mut query = url::form_urlencoded::Serializer::new(String::new());
                for (name, value) in &fields {
                    query.append_pair(name, value);
                }
                let joint = match self.redirect_uri.find('?') {
                    None => "?",
                    Some(at) if at + 1 == self.redirect_uri.len() || self.redirect_uri.ends_with('&') => "",
                    Some(_) => "&",
                };
                Delivery::Redirect(format!("{}{joint}{}", self.redirect_uri, query.finish()))
            }
        }
    }
}
