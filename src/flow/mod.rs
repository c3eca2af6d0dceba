//! Floor 4: one file, one thing done for someone. A flow reads the clock once, reads at most once, writes at most once,
//! and leaves the decision to the rules of floor 1. It knows neither HTTP nor SQL.

pub mod assertion;
mod attempts;
pub mod audit;
pub mod audit_log;
pub mod authorize;
pub mod backup;
pub mod caller;
pub mod check;
pub mod clients;
pub mod connected_apps;
pub mod explain;
pub mod identities;
pub mod identity_providers;
pub mod introspect;
pub mod key_list;
pub mod key_practices;
pub mod key_view;
pub mod keys;
pub mod leaks;
pub mod mail;
pub mod once;
pub mod organizations;
mod overlap;
pub mod own_account;
pub mod own_activity;
pub mod own_sessions;
mod pace;
pub mod passkeys;
pub mod people;
pub mod recovery;
pub mod reminders;
pub mod revoke;
pub mod second_factor;
pub mod service_accounts;
pub mod session;
pub mod sign_in;
pub mod sign_out;
pub mod signing_keys;
pub mod token;
pub mod trust;
pub mod usage;
pub mod user_info;

use crate::oauth::error::OAuthError;
use crate::store::StoreError;

impl From<StoreError> for OAuthError {
    /// A database that does not answer is "try again", never "no" and never "yes" (P5).
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::Busy,
            StoreError::Unavailable(why) => {
                tracing::warn!(%why, "the database does not answer");
                Self::Busy
            }
            StoreError::Fault(fault) => Self::Server(fault),
            StoreError::Duplicate(field) => {
                Self::Server(crate::base::fault::Fault::new("writing a row", format!("{field} is taken")))
            }
        }
    }
}
