//! Floor 1: API keys as pure rules: how a key is written, what it may, from where, how often, and in which part of its life it is.
//! No clock, no database, no web server.

pub mod allowlist;
pub mod format;
pub mod key;
pub mod leak;
pub mod permission;
pub mod plan;
pub mod route_path;
pub mod route_table;
#[cfg(test)]
mod route_table_tests;
pub mod window;
