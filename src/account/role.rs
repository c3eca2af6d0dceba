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

    /// Whether somebody of this role changes accounts of the role `of`: owners everybody's, admins those of everybody but owners.
    pub fn may_change(self, of: Self) -> bool {
        self == Self::Owner || (self == Self::Admin && of < Self::Owner)
    }

    /// Whether somebody of this role gives the role `to` to an account of the role `of`: nobody gives more than they have.
    pub fn may_give(self, of: Self, to: Self) -> bool {
        self.may_change(of) && to <= self
    }
}

impl FromStr for Role {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|role| role.word() == word).ok_or("owner, admin or member is allowed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admins_change_members_and_admins_and_only_owners_change_owners() {
        let changes = |by: Role| Role::ALL.map(|of| by.may_change(of));
        assert_eq!(changes(Role::Member), [false, false, false]);
        assert_eq!(changes(Role::Admin), [true, true, false]);
        assert_eq!(changes(Role::Owner), [true, true, true]);
    }

    #[test]
    fn nobody_gives_more_than_they_have_to_themselves_or_to_others() {
        for by in Role::ALL {
            for of in Role::ALL {
                for to in Role::ALL {
                    let given = by.may_give(of, to);
                    assert!(!given || (by.is_admin() && to <= by && of <= by), "{by:?} makes {of:?} {to:?}");
                }
            }
        }
        assert!(
            Role::Admin.may_give(Role::Member, Role::Admin)
                && !Role::Admin.may_give(Role::Admin, Role::Owner)
        );
        assert!(Role::Owner.may_give(Role::Owner, Role::Member));
    }
}
