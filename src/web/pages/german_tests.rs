//! Whether German is complete: every word of ours has its row, every row is a word of ours, and no page keeps English.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use scraper::{CaseSensitivity, Html};

use super::Lang;
use super::lang::GERMAN_FILES;
use super::samples::{MARKS, marked};

/// Text of ours that is the same in both languages.
const SAME: [&str; 7] = ["·", "•", "+", "Python", "Node", "curl", "instances:read instances:write"];

/// Every file below a folder that ends so.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.to_str().unwrap().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found
}

/// The German rows of all files.
fn rows() -> BTreeMap<String, String> {
    GERMAN_FILES.into_iter().flat_map(|text| serde_json::from_str::<BTreeMap<_, _>>(text).unwrap()).collect()
}

/// The text up to the quote that ends a literal, as the compiler reads it, and what comes behind.
fn literal(text: &str) -> (String, &str) {
    let (mut read, mut chars) = (String::new(), text.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (read, &text[at + 1..]),
            '\\' => match chars.next() {
                // A line that goes on: what it is indented by is not part of it.
                Some((_, '\n')) => {
                    let rest = chars.as_str().trim_start();
                    let skipped = text.len() - rest.len();
                    let (more, behind) = literal(&text[skipped..]);
                    return (read + &more, behind);
                }
                Some((_, 'n')) => read.push('\n'),
                Some((_, other)) => read.push(other),
                None => break,
            },
            other => read.push(other),
        }
    }
    (read, "")
}

/// Every `…t("literal")` of a text.
fn said(text: &str) -> Vec<String> {
    let mut rest = text;
    let mut found = Vec::new();
    while let Some(at) = rest.find(".t(\"") {
        let (read, behind) = literal(&rest[at + 4..]);
        found.push(read);
        rest = behind;
    }
    found
}

/// Every string literal of a Rust file, roughly: quotes in comments and of characters are passed over.
fn literals(text: &str) -> Vec<String> {
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n").replace("'\"'", "' '");
    let mut rest = code.as_str();
    let mut found = Vec::new();
    while let Some(at) = rest.find('"') {
        let (read, behind) = literal(&rest[at + 1..]);
        found.push(read);
        rest = behind;
    }
    found
}

/// Text with `{}` in place of numbers and of what a format puts in.
fn pattern(text: &str) -> String {
    let mut shape = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c == '{' || c.is_ascii_digit()) {
        shape.push_str(&rest[..at]);
        shape.push_str("{}");
        let from = &rest[at..];
        rest = match from.strip_prefix('{') {
            Some(inner) => inner.split_once('}').map_or("", |(_, behind)| behind),
            None => from.trim_start_matches(|c: char| c.is_ascii_digit()),
        };
    }
    shape + rest
}

/// A pattern whose times in words are themselves put in, as one value or as number and unit.
fn without_times(pattern: &str, put_in: &str) -> String {
    ["seconds", "second", "minutes", "hours", "days"]
        .iter()
        .fold(pattern.to_owned(), |text, unit| text.replace(&format!("{{}} {unit}"), put_in))
}

#[test]
fn every_word_of_a_template_has_a_german_row() {
    let rows = rows();
    let known: BTreeSet<String> = rows.keys().map(|english| pattern(english)).collect();
    let mut missing = Vec::new();
    for path in files("templates", ".html") {
        let text = fs::read_to_string(&path).unwrap();
        let words = said(&text).into_iter().filter(|word| !known.contains(&pattern(word)));
        missing.extend(words.map(|word| format!("{}: {word}", path.file_name().unwrap().display())));
    }
    assert!(missing.is_empty(), "no German for:\n{}", missing.join("\n"));
}

#[test]
fn every_german_row_is_used_and_takes_the_same_numbers() {
    let mut used = BTreeSet::new();
    for path in files("templates", ".html") {
        used.extend(said(&fs::read_to_string(path).unwrap()).iter().map(|word| pattern(word)));
    }
    for path in files("src", ".rs") {
        used.extend(literals(&fs::read_to_string(path).unwrap()).iter().map(|word| pattern(word)));
    }
    for (english, german) in rows() {
        let shape = pattern(&english);
        let times = ["{}", "{} {}"].map(|put_in| without_times(&shape, put_in));
        assert!(
            used.contains(&shape) || times.iter().any(|shape| used.contains(shape)),
            "nobody says: {english}"
        );
        let numbers = |text: &str| text.matches("{}").count();
        assert_eq!(numbers(&english), numbers(&german), "{english}");
        let has_space = |text: &str| (text.starts_with(' '), text.ends_with(' '));
        assert!(!german.trim().is_empty() && has_space(&english) == has_space(&german), "{english}");
    }
}

/// What of the text of a page is ours: values are cut out; what stands in code or is a time is nobody's language.
fn words_of_ours(html: &str) -> Vec<String> {
    let page = Html::parse_document(html);
    let texts = page.tree.nodes().filter_map(|node| {
        let text = node.value().as_text()?;
        let foreign = node.ancestors().any(|above| {
            above.value().as_element().is_some_and(|element| {
                ["code", "pre", "time", "script", "style", "kbd"].contains(&element.name())
                    || element.attr("lang").is_some_and(|_| element.name() != "html")
                    // A value in pieces.
                    || element.has_class("who-login", CaseSensitivity::CaseSensitive)
            })
        });
        (!foreign).then(|| text.to_string())
    });
    let attributes = page.tree.nodes().filter_map(|node| node.value().as_element()).flat_map(|element| {
        ["aria-label", "placeholder", "title", "alt", "data-hide"]
            .into_iter()
            .filter_map(|name| element.attr(name).map(str::to_owned))
    });
    texts.chain(attributes).collect::<Vec<_>>()
}

#[test]
fn a_german_page_keeps_no_english() {
    let rows = rows();
    let same: BTreeSet<String> = rows
        .iter()
        .filter(|(english, german)| english == german)
        .map(|(english, _)| pattern(english))
        .collect();
    let mut kept = BTreeSet::new();
    for ((name, english), (_, german)) in marked(Lang::En).into_iter().zip(marked(Lang::De)) {
        let (english, german) = (words_of_ours(&english), words_of_ours(&german));
        assert_eq!(english.len(), german.len(), "{name}: the languages have the same parts");
        for (text, other) in english.iter().zip(&german) {
            let is_word = text.chars().filter(|c| c.is_alphabetic()).count() > 1;
            let ours = text.trim();
            if text == other
                && is_word
                && !text.contains(MARKS.0)
                && !SAME.contains(&ours)
                && !same.contains(&pattern(ours))
            {
                kept.insert(format!("{name}: {ours}"));
            }
        }
    }
    assert!(kept.is_empty(), "English on German pages:\n{}", kept.into_iter().collect::<Vec<_>>().join("\n"));
}
