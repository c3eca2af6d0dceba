//! CloudNexus Identity: a standalone OAuth 2 and OpenID Connect server.
//!
//! The house, floor by floor; a module imports only from lower floors, and `tests/it/layout.rs` holds that:
//!
//! ```text
//!  6 main lib cli
//!  5 web          jobs             siblings never import each other
//!  4 flow
//!  3 app config
//!  2 store
//!  1 oauth  account  jose          siblings never import each other
//!  0 base
//! ```
//!
//! The library is the binary's: its interface may change with every release.

pub mod account;
pub mod api_key;
pub mod app;
pub mod base;
pub mod cli;
pub mod config;
pub mod flow;
pub mod jobs;
pub mod jose;
pub mod oauth;
pub mod store;
pub mod web;

mod serve;

pub use serve::{Running, ServeError, look, serve};
