//! Scopes, two in one input, a line each: the words are those between the spaces, and narrowing never widens.

use std::collections::BTreeSet;

use cnx::oauth::scope::Scope;

pub(super) const WORDS: &[&str] =
    &[" ", "\n", "openid", "offline_access", "read", "read:x", "\"", "\\", "!", "~", "\u{7f}", "é", "  "];

pub(super) fn run(data: &[u8]) -> bool {
    let (held, asked) = super::first_line(data);
    let (Some(held), Some(asked)) = (read(held), read(asked)) else { return false };
    let (held_words, asked_words) = (words(&held), words(&asked));
    assert_eq!(held.covers(&asked), asked_words.is_subset(&held_words));
    let common = held.common(&asked);
    assert!(held.covers(&common) && asked.covers(&common), "what is common is in both");
    assert_eq!(words(&common), held_words.intersection(&asked_words).cloned().collect());
    let union = held.union(&asked);
    assert!(union.covers(&held) && union.covers(&asked));
    assert_eq!(words(&union).len(), held_words.len() + asked_words.len() - words(&common).len());
    for word in &asked_words {
        let less = held.without(word);
        assert!(held.covers(&less) && !less.contains(word));
        assert_eq!(words(&less).len() + usize::from(held.contains(word)), held_words.len());
    }
    true
}

fn words(scope: &Scope) -> BTreeSet<String> {
    scope.words().map(str::to_owned).collect()
}

/// Reads a scope both ways.
fn read(text: &[u8]) -> Option<Scope> {
    let text = std::str::from_utf8(text).ok()?;
    // RFC 6749 §3.3: %x21 / %x23-5B / %x5D-7E, told as what is not in it.
    let legal = text.chars().all(|c| c.is_ascii() && !c.is_ascii_control() && c != '"' && c != '\\');
    let scope = Scope::parse(text);
    assert_eq!(scope.is_ok(), legal && text.len() <= Scope::MAX, "{text:?}");
    let scope = scope.ok()?;
    assert_eq!(words(&scope), text.split_ascii_whitespace().map(str::to_owned).collect(), "{text:?}");
    assert_eq!(scope.is_empty(), text.trim_matches(' ').is_empty());
    assert_eq!(Scope::parse(&scope.to_string()).as_ref(), Ok(&scope), "written and read again");
    Some(scope)
}
