//! A person, as rows hold them and tokens describe them.

use serde_json::{Map, Value};

use super::password::PasswordHash;
use super::role::Role;
use crate::base::id::UserId;
use crate::base::time::Timestamp;

/// A person with an account.
#[derive(Clone, Debug)]
pub struct User {
    /// Random, never an address, never used again: the `sub` of tokens (S-I3).
    pub id: UserId,
    /// The canonical user name (see [`super::username`]); unique.
    pub username: String,
    /// The e-mail address in canonical form; unique where present.
    pub email: Option<String>,
    /// Whether the address was shown to be theirs.
    pub email_verified: bool,
    /// The name to show.
    pub name: Option<String>,
    /// Further standard claims (OIDC Core §5.1): `given_name`, `address`, `phone_number`, … as JSON members.
    pub claims: Map<String, Value>,
    /// What they may do here.
    pub role: Role,
    /// The language of their pages and mails, where they chose one.
    pub locale: Option<String>,
    /// Absent until a password was set.
    pub password: Option<PasswordHash>,
    /// When the account was made.
    pub created_at: Timestamp,
    /// When anything that a token tells of them changed (`updated_at`, OIDC Core §5.1).
    pub updated_at: Timestamp,
    /// Set when an administrator disabled the account.
    pub disabled_at: Option<Timestamp>,
}

impl User {
    /// Whether they may sign in and their tokens work.
    pub fn is_active(&self) -> bool {
        self.disabled_at.is_none()
    }

    /// Whether they administrate this server.
    pub fn is_admin(&self) -> bool {
        self.role.is_admin()
    }

    /// What a page calls them: name, else user name.
    pub fn shown_name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.username)
    }
}
