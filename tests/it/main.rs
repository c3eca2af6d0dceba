//! The tests, in one binary: each file is one feature, and most talk to a whole server over HTTP.
#![cfg(test)]
#![expect(clippy::panic, reason = "a test that cannot go on panics")]
#![expect(unreachable_pub, reason = "what one file of tests shares with the others has no other audience")]

mod world;

mod assertion_replays;
mod assertions;
mod authorize;
mod bookkeeping;
mod canaries;
mod client_assertions;
mod client_credentials;
mod client_secrets;
mod code_grant;
mod code_grant_bindings;
mod command_line;
mod command_line_machines;
mod cors;
mod dev;
mod exchange;
mod faults_load;
mod faults_migration;
mod faults_postgres;
mod faults_sqlite;
mod framing;
mod hosts;
mod id_tokens;
mod input;
mod introspection;
mod journey;
mod jwks;
mod kill9;
mod layout;
mod lifetimes;
mod links;
mod logs;
mod master_key;
mod metadata;
mod nodes;
mod offline;
mod outbound;
mod passwords;
mod process;
mod races;
mod refresh_grant;
mod refresh_grant_ends;
mod requirements;
mod revocation;
mod rust_clients;
mod service_account_keys;
mod service_accounts;
mod settings;
mod sign_out;
mod signing_keys;
mod slow;
mod third_party;
mod third_party_machines;
mod throttling;
mod tls;
mod token_endpoint;
mod token_requests;
mod trust;
mod user_info;
mod warnings;
mod wire;
