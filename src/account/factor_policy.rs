//! Whether an organization's people need a second factor.

use std::str::FromStr;

/// What is asked of people beside their password.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FactorPolicy {
    /// Nobody is asked for a second factor, and nobody sets one up.
    Off,
    /// Who set one up is asked for it.
    #[default]
    Optional,
    /// Everybody sets one up.
    Required,
}

impl FactorPolicy {
    /// Every policy.
    pub const ALL: [Self; 3] = [Self::Off, Self::Optional, Self::Required];

    /// The word in rows. Never change one: rows carry it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Optional => "optional",
            Self::Required => "required",
        }
    }
}

impl FromStr for FactorPolicy {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|policy| policy.word() == word)
            .ok_or("off, optional or required is allowed")
    }
}
