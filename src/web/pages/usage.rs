//! Usage: how often keys and apps asked for something, and what became of it.

use std::borrow::Cow;

use askama::Template;

use super::Seated;
use super::plot::{Part, Plot};
use crate::flow::usage::Usage;

/// Kinds of requests, as rows have them, with their words.
const CLASSES: [(&str, &str); 9] = [
    ("read", "Reads"),
    ("write", "Writes"),
    ("delete", "Deletes"),
    ("streams", "Streams"),
    ("authorize", "Authorizations"),
    ("token", "Token requests"),
    ("userinfo", "User info"),
    ("introspect", "Introspections"),
    ("revoke", "Revocations"),
];

/// What becomes of requests, as rows have it, with its words and the words of the part of the plot that it belongs to.
const OUTCOMES: [(&str, &str, &str); 11] = [
    ("allowed", "allowed", "Allowed"),
    ("rate_limited", "over the limit", "Over the limit"),
    ("insufficient_scope", "refused: a scope is missing", "Refused"),
    ("ip_not_allowed", "refused: not from that address", "Refused"),
    ("revoked", "refused: revoked", "Refused"),
    ("disabled", "refused: disabled", "Refused"),
    ("expired", "refused: expired", "Refused"),
    ("not_yet_valid", "refused: not yet valid", "Refused"),
    ("not_found", "refused: not the secret", "Refused"),
    ("refused", "refused", "Refused"),
    ("failed", "failed on our side", "Failed"),
];

/// The words of a kind of requests, in English.
pub fn class_words(class: &str) -> &'static str {
    CLASSES.iter().find(|(word, _)| *word == class).map_or("Others", |(_, words)| words)
}

/// The words of an outcome, in English.
pub fn outcome_words(outcome: &str) -> &'static str {
    OUTCOMES.iter().find(|(word, ..)| *word == outcome).map_or("other", |(_, words, _)| words)
}

fn outcome_part(outcome: &str) -> &'static str {
    OUTCOMES.iter().find(|(word, ..)| *word == outcome).map_or("Refused", |(.., part)| part)
}

impl Plot {
    /// Usage by kind of request.
    pub fn by_class(id: &'static str, title: &'static str, usage: &Usage) -> Self {
        let words = CLASSES.iter().map(|(_, words)| *words);
        Self::of(id, title, usage, words, |class, _| class_words(class))
    }

    /// Usage by what became of it.
    pub fn by_outcome(id: &'static str, title: &'static str, usage: &Usage) -> Self {
        let words = ["Allowed", "Over the limit", "Refused", "Failed"].into_iter();
        Self::of(id, title, usage, words, |_, outcome| outcome_part(outcome))
    }

    fn of(
        id: &'static str,
        title: &'static str,
        usage: &Usage,
        words: impl Iterator<Item = &'static str>,
        part_of: fn(&str, &str) -> &'static str,
    ) -> Self {
        let part = |name: &'static str| {
            let mut values = vec![0_i64; usage.begins.len()];
            for series in usage.series.iter().filter(|series| part_of(&series.class, &series.outcome) == name)
            {
                for (sum, more) in values.iter_mut().zip(&series.parts) {
                    *sum = sum.saturating_add(*more);
                }
            }
            Part { name, values }
        };
        let parts = words.map(part).filter(|part| part.sum() > 0).collect();
        Self { id, title, parts, begins: usage.begins.clone() }
    }
}

/// What may be chosen on the page of usage: value, words that are ours or a name, and whether it is a name.
#[derive(Clone, Debug)]
pub struct UsageChoice {
    /// As the address has it; empty for what is shown without one.
    pub value: String,
    /// Words of ours, or the name of a key or an app.
    pub name: Cow<'static, str>,
    /// Whether it is the one that is shown.
    pub is_shown: bool,
}

/// `/console/usage`.
#[derive(Clone, Template)]
#[template(path = "console/usage.html")]
pub struct UsagePage {
    /// Common to all pages of somebody who is signed in.
    pub seat: Seated,
    /// What may be chosen: everything together, then keys, then apps.
    pub wholes: Vec<UsageChoice>,
    /// Keys.
    pub keys: Vec<UsageChoice>,
    /// Apps.
    pub apps: Vec<UsageChoice>,
    /// Spans: value, words, whether it is the one.
    pub spans: Vec<(&'static str, &'static str, bool)>,
    /// By class and by outcome.
    pub plots: Vec<Plot>,
    /// Sums: class, outcome, requests.
    pub sums: Vec<(&'static str, &'static str, i64)>,
    /// The address of the page of the key that is shown.
    pub key: Option<String>,
}
