//! Scope: a set of words (RFC 6749 §3.3). Order does not matter; we print it sorted, so that equal sets read alike.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A set of scope words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scope(BTreeSet<String>);

impl Scope {
    /// The longest scope string that is read, in bytes.
    pub const MAX: usize = 4096;

    /// Reads words separated by spaces. Words are of `%x21 / %x23-5B / %x5D-7E` (RFC 6749 §3.3).
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > Self::MAX {
            return Err("scope is longer than 4096 bytes");
        }
        let legal = |b: u8| matches!(b, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
        if !text.bytes().all(|b| b == b' ' || legal(b)) {
            return Err("scope has a character that RFC 6749 section 3.3 does not allow");
        }
        Ok(Self(text.split(' ').filter(|w| !w.is_empty()).map(str::to_owned).collect()))
    }

    /// A scope of these words, which the caller knows to be legal.
    pub fn of(words: &[&str]) -> Self {
        Self(words.iter().map(|w| (*w).to_owned()).collect())
    }

    /// Whether the set holds `word`.
    pub fn contains(&self, word: &str) -> bool {
        self.0.contains(word)
    }

    /// Whether every word of `other` is in `self`.
    pub fn covers(&self, other: &Self) -> bool {
        other.0.is_subset(&self.0)
    }

    /// The words of both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).cloned().collect())
    }

    /// The words that are in both.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).cloned().collect())
    }

    /// `self` without `word`.
    #[must_use]
    pub fn without(&self, word: &str) -> Self {
        Self(self.0.iter().filter(|w| *w != word).cloned().collect())
    }

    /// Whether there is no word.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The words, sorted.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, word) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            f.write_str(word)?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Scope {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.to_string()
    }
}
