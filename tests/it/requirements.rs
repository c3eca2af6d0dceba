//! `docs/requirements.md` says number → test. Here it is held to the tests: a test that is named there exists, and a number
//! that a test carries in its name stands there with it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every function of a file, under the name that the page gives it: `code_grant::a_code_…`, `src/oauth/pkce.rs::the_…`.
fn functions(folder: &Path, all: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions(&path, all);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let below = path.strip_prefix(root()).unwrap().to_str().unwrap();
            let place = match below.strip_prefix("tests/it/") {
                Some(test) => test.trim_end_matches(".rs").replace('/', "::"),
                None => below.to_owned(),
            };
            for line in fs::read_to_string(&path).unwrap().lines() {
                if let Some((_, rest)) = line.split_once("fn ") {
                    let name: String =
                        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                    all.insert(format!("{place}::{name}"));
                }
            }
        }
    }
}

/// The rows of the page: number, tests.
fn rows() -> Vec<(String, Vec<String>)> {
    let page = fs::read_to_string(root().join("docs/requirements.md")).unwrap();
    page.lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "))
        .filter(|(number, _)| *number != "number" && !number.starts_with('-'))
        .map(|(number, cell)| {
            let named = cell.split('`').skip(1).step_by(2).filter(|t| t.contains("::") && !t.contains('…'));
            (number.to_owned(), named.map(str::to_owned).collect())
        })
        .collect()
}

/// The numbers in a test's name, as the page writes them: `…_s_a14_r19_pitfall_2` ⇒ S-A14, R19, pitfall 2.
fn numbers(name: &str) -> Vec<String> {
    let words: Vec<&str> = name.split('_').collect();
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let mut found = Vec::new();
    for (i, word) in words.iter().enumerate() {
        let before = i.checked_sub(1).map(|j| words[j]);
        let tail = word.trim_start_matches(|c: char| c.is_ascii_lowercase());
        let head = &word[..word.len() - tail.len()];
        if before == Some("s") && !head.is_empty() && digits(tail) {
            found.push(format!("S-{}{tail}", head.to_uppercase()));
        } else if before == Some("pitfall") && digits(word) {
            found.push(format!("pitfall {word}"));
        } else if matches!(head, "r" | "c" | "f" | "d") && digits(tail) {
            found.push(format!("{}{tail}", head.to_uppercase()));
        }
    }
    found
}

#[test]
fn every_test_that_the_page_names_exists() {
    let mut all = BTreeSet::new();
    functions(&root().join("tests/it"), &mut all);
    functions(&root().join("src"), &mut all);
    let rows = rows();
    assert!(rows.len() > 200, "the page has {} rows", rows.len());
    let missing: Vec<_> = rows.iter().flat_map(|(_, tests)| tests).filter(|t| !all.contains(*t)).collect();
    assert!(missing.is_empty(), "named in docs/requirements.md, and not there: {missing:#?}");
}

#[test]
fn every_number_that_a_test_carries_stands_on_the_page() {
    let mut all = BTreeSet::new();
    functions(&root().join("tests/it"), &mut all);
    let rows = rows();
    let mut missing = Vec::new();
    for test in &all {
        for number in numbers(test.rsplit("::").next().unwrap()) {
            if let Some((_, tests)) = rows.iter().find(|(n, _)| *n == number)
                && !tests.contains(test)
            {
                missing.push(format!("{number}: {test}"));
            }
        }
    }
    assert!(missing.is_empty(), "not in docs/requirements.md: {missing:#?}");
}

#[test]
fn numbers_are_read_out_of_names() {
    assert_eq!(numbers("a_b_s_a14_r19_pitfall_2_c7"), ["S-A14", "R19", "pitfall 2", "C7"]);
    assert!(numbers("the_s_of_rfc_9068_and_utf8").is_empty());
}
