//! What a person may do in their organization (contract, words).

use std::str::FromStr;

/// A role. The later ones may do what the earlier ones may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Sees and makes their own keys, and looks after their own account.
    #[default]
    Member,
    /// Runs everything but owners.
    Admin,
    /// Everything; the last one stays.
    Owner,
}

impl Role {
    /// Every role, from the least.
    pub const ALL: [Self; 3] = [Self::Member, Self::Admin, Self::Owner];

    /// The word in rows and on the command line. Never change one: rows carry it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// Whether somebody of this role administrates the server.
    pub fn is_admin(self) -> bool {
        self >= Self::Admin
    }
}

impl FromStr for Role {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|role| role.word() == word).ok_or("owner, admin or member is allowed")
    }
}
