//! What a key may do: `resource:action` with `*` for either, or `*` alone for everything.

use std::fmt;
use std::sync::Arc;

/// What a key may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// The words, sorted, with spaces between them: gateways are told so at every request, and all keys are in memory.
    text: Arc<str>,
}

/// More words than any key needs.
const MOST: usize = 100;

/// What our own `/v1` is about. Whoever holds a scope of these runs the server, so they are for administrators to give.
pub const OURS: [&str; 8] =
    ["keys", "audit", "users", "clients", "service-accounts", "organizations", "sessions", "signing-keys"];

impl Permissions {
    /// Reads words; each is `resource:action` of small letters, digits, `.`, `_`, `-`, with `*` for a whole side, or `*` alone.
    pub fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut read: Vec<&str> = Vec::new();
        for word in words.flat_map(|text| text.split(' ')).filter(|word| !word.is_empty()) {
            if !is_word(word) {
                return Err(format!(
                    "{}: resource:action is needed, such as instances:read, instances:* or *:read",
                    word.escape_debug()
                ));
            }
            if !read.contains(&word) {
                read.push(word);
            }
        }
        if read.is_empty() || read.len() > MOST {
            return Err(format!("1 to {MOST} scopes are needed, such as instances:read"));
        }
        read.sort_unstable();
        Ok(Self { text: read.join(" ").into() })
    }

    /// The words, sorted.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.text.split_ascii_whitespace()
    }

    /// The words, sorted, with spaces between them.
    pub fn text(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    /// Whether `wanted` is allowed. What is wanted may be a pattern itself: then all of it must be.
    pub fn covers(&self, wanted: &str) -> bool {
        self.words().any(|held| covers(held, wanted))
    }

    /// The first of `wanted` that is not allowed.
    pub fn missing<'a>(&self, wanted: impl Iterator<Item = &'a str>) -> Option<&'a str> {
        wanted.into_iter().find(|word| !self.covers(word))
    }

    /// The first word that is about more than the APIs of others: any resource at all (`*`, `*:read`), or one of ours ([`OURS`]).
    pub fn beyond_apis(&self) -> Option<&str> {
        let is_beyond = |word: &&str| match word.split_once(':') {
            Some((resource, _)) => resource == "*" || OURS.contains(&resource),
            None => true,
        };
        self.words().find(is_beyond)
    }

    /// Whether a word stands for more than one action or resource.
    pub fn has_wildcard(&self) -> bool {
        self.words().any(|word| word.contains('*'))
    }

    /// Whether everything is allowed that `other` allows: nobody gives away more than they have.
    pub fn contains(&self, other: &Self) -> bool {
        other.words().all(|word| self.covers(word))
    }
}

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn covers(held: &str, wanted: &str) -> bool {
    if held == "*" || held == wanted {
        return true;
    }
    let (Some((resource, action)), Some((wanted_resource, wanted_action))) =
        (held.split_once(':'), wanted.split_once(':'))
    else {
        return false;
    };
    let side = |held: &str, wanted: &str| held == "*" || held == wanted;
    side(resource, wanted_resource) && side(action, wanted_action)
}

/// Whether a word may be asked for or given.
pub fn is_word(word: &str) -> bool {
    let side = |side: &str| {
        side == "*"
            || (!side.is_empty()
                && side.len() <= 64
                && side.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b)))
    };
    word == "*" || word.split_once(':').is_some_and(|(resource, action)| side(resource) && side(action))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &str) -> Permissions {
        Permissions::parse(std::iter::once(words)).unwrap()
    }

    #[test]
    fn a_star_stands_for_a_whole_side_and_nothing_else() {
        for (held, wanted, fine) in [
            ("instances:read", "instances:read", true),
            ("instances:read", "instances:write", false),
            ("instances:*", "instances:write", true),
            ("*:read", "volumes:read", true),
            ("*:read", "volumes:write", false),
            ("*", "anything:at-all", true),
            ("*:*", "anything:at-all", true),
            ("instances:read", "instances:*", false),
            ("instances:*", "instances:*", true),
            ("instances:*", "*:*", false),
            ("*:*", "*", false),
            ("inst:read", "instances:read", false),
            ("instances:read volumes:write", "volumes:write", true),
        ] {
            assert_eq!(of(held).covers(wanted), fine, "{held} {wanted}");
        }
        assert!(of("instances:*").contains(&of("instances:read instances:write")));
        assert!(!of("instances:read").contains(&of("instances:*")));
        assert_eq!(of("a:b").missing(["a:b", "c:d"].into_iter()), Some("c:d"));
    }

    #[test]
    fn what_is_about_everything_or_about_this_server_is_told() {
        for (words, beyond) in [
            ("instances:read", None),
            ("instances:* volumes:write", None),
            ("*", Some("*")),
            ("*:*", Some("*:*")),
            ("instances:read *:read", Some("*:read")),
            ("keys:read", Some("keys:read")),
            ("instances:read service-accounts:*", Some("service-accounts:*")),
            ("audit.events:read", None),
        ] {
            assert_eq!(of(words).beyond_apis(), beyond, "{words}");
        }
        assert!(of("a:*").has_wildcard() && of("a:b *").has_wildcard() && !of("a:b").has_wildcard());
    }

    #[test]
    fn words_are_plain() {
        for bad in [
            "",
            "instances",
            "instances:",
            ":read",
            "a:b:c",
            "Instances:read",
            "inst*:read",
            "a: b",
            "a:\"",
            "\u{e4}:b",
        ] {
            assert!(Permissions::parse(std::iter::once(bad)).is_err(), "{bad}");
        }
        assert_eq!(of("b:c a:b b:c").to_string(), "a:b b:c");
    }

    use proptest::prelude::*;

    /// Words over so few names that they meet.
    fn words() -> impl Strategy<Value = Permissions> {
        prop::collection::vec("[ab*]:[rw*]|\\*", 1..5).prop_map(|words| of(&words.join(" ")))
    }

    proptest! {
        /// Who gives what they contain gives nothing that they may not do themselves, however often it is handed on.
        #[test]
        fn what_is_handed_on_never_widens(most in words(), less in words(), least in words()) {
            for wanted in ["a:r", "a:w", "b:r", "b:w", "c:r", "a:x", "c:x"] {
                if most.contains(&less) {
                    prop_assert!(most.covers(wanted) || !less.covers(wanted), "{most} {less} {wanted}");
                }
                if most.contains(&less) && less.contains(&least) {
                    prop_assert!(most.covers(wanted) || !least.covers(wanted), "{most} {less} {least} {wanted}");
                }
            }
            prop_assert!(most.contains(&most));
        }
    }
}
