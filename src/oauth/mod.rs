//! Floor 1: the RFCs as pure rules. Values and `now` go in, a decision comes out; no clock, no database, no web server.

pub mod access_token;
pub mod assertion;
#[cfg(test)]
mod assertion_tests;
pub mod authorize;
mod authorize_decision;
#[cfg(test)]
mod authorize_decision_tests;
mod authorize_parameters;
pub mod claims_request;
pub mod client;
pub mod client_auth;
mod client_keys;
pub mod client_registration;
mod client_rules;
pub mod code;
pub mod destination;
pub mod error;
pub mod exchange;
pub mod id_token;
pub mod introspection;
pub mod metadata;
pub mod params;
pub mod pkce;
pub mod redirect_uri;
pub mod refresh;
pub mod resource;
#[cfg(test)]
mod samples;
pub mod scope;
pub mod service_account;
pub mod token_request;
pub mod trust;
pub mod upstream;
pub mod user_info;
mod web_address;
