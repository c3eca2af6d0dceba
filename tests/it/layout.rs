//! The house holds: floors, siblings, crates, ambient time and chance, file sizes, folders, templates.
//!
//! Walks the tree with the standard library only. `layout/source.rs` reads Rust, `layout/rules.rs` is the law; here they
//! meet the files, and planted offences show that each rule bites.

mod rules;
mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const LINES: usize = 400;

/// How deep folders go below `src/`: the rooms that have rooms of their own, as drawn.
const INNER_ROOMS: &[&str] = &["web", "flow"];

#[test]
fn imports_go_down_and_siblings_never_meet() {
    let crates = crates(&read(&root().join("Cargo.toml")));
    let sources: Vec<(String, String)> =
        files(&root().join("src"), &["rs"]).iter().map(|path| (below(path, "src"), read(path))).collect();
    let mut tests = BTreeSet::new();
    for (file, source) in &sources {
        for name in source::test_modules(source) {
            tests.insert([module(file), vec![name]].concat());
        }
    }
    let mut wrong = Vec::new();
    for (file, source) in &sources {
        let found = offences(file, source, &crates, tests.contains(&module(file)));
        wrong.extend(found.iter().map(|offence| format!("src/{offence}")));
    }
    report(&wrong);
}

#[test]
fn every_room_has_a_floor() {
    let mut wrong = Vec::new();
    for path in files(&root().join("src"), &["rs"]) {
        let file = below(&path, "src");
        if rules::floor(&room(&file)).is_none() {
            wrong.push(format!("src/{file}:1: no floor is drawn for this room (tests/it/layout/rules.rs, docs/architecture.md)"));
        }
    }
    report(&wrong);
}

#[test]
fn no_file_is_over_400_lines_outside_schema() {
    let mut wrong = Vec::new();
    for folder in ["src", "tests", "benches", "examples", "fuzz/targets"] {
        for path in files(&root().join(folder), &["rs", "mjs", "py"]) {
            let lines = read(&path).lines().count();
            if lines > LINES && !path.ends_with("store/schema.rs") {
                wrong.push(format!(
                    "{}:{lines}: {lines} lines; {LINES} is the most: one act per file",
                    below(&path, "")
                ));
            }
        }
    }
    report(&wrong);
}

#[test]
fn no_folder_is_deeper_than_drawn() {
    let mut wrong = Vec::new();
    for path in files(&root().join("src"), &["rs"]) {
        let file = below(&path, "src");
        // A room may keep its tests in a folder of their own.
        let folders = file.split('/').rev().skip(1).filter(|folder| *folder != "tests").count();
        let allowed = 1 + usize::from(INNER_ROOMS.contains(&room(&file).as_str()));
        if folders > allowed {
            wrong.push(format!("src/{file}:1: {folders} folders deep; {allowed} are drawn here"));
        }
    }
    report(&wrong);
}

#[test]
fn templates_never_switch_escaping_off_and_hold_no_inline_script_or_style() {
    let mut wrong = Vec::new();
    for path in files(&root().join("templates"), &["html", "txt", "xml", "svg"]) {
        for (number, line) in read(&path).lines().enumerate() {
            if let Some(rule) = template_offence(line) {
                wrong.push(format!("{}:{}: {rule}", below(&path, ""), number + 1));
            }
        }
    }
    report(&wrong);
}

#[test]
fn planted_offences_are_found() {
    let crates = crates(
        "[dependencies]\nactix-web = \"4\"\ndiesel = \"2\"\njosekit = \"0\"\nserde = \"1\"\ntracing = \"0\"\nredis = \"1\"\n",
    );
    let cases: &[(&str, &str, &[usize])] = &[
        ("base/seal.rs", "use crate::oauth::scope::Scope;", &[1]),
        ("oauth/scope.rs", "use crate::{base::time::Timestamp, jose::{self, issue}};", &[1]),
        ("oauth/scope.rs", "use crate::{\n    base::id,\n    store::{users,\n clients as c},\n};", &[3, 4]),
        ("store/users.rs", "pub(crate) use crate::flow::token::code;", &[1]),
        ("store/users.rs", "fn f() {\n    let x = crate::web::reply::page();\n}", &[2]),
        ("flow/token/code.rs", "use super::super::super::web::reply;", &[1]),
        ("flow/token/code.rs", "mod tests {\n  use super::super::super::super::jobs;\n}", &[2]),
        ("web/pages.rs", "use crate::jobs::sweep;", &[1]),
        ("config.rs", "use crate::app::App;", &[1]),
        ("app.rs", "use crate::config::Settings;", &[]),
        ("flow/check.rs", "use crate::*;", &[1]),
        ("flow/check.rs", "fn f() { crate::serve(); }", &[1]),
        ("oauth/scope.rs", "use serde::Serialize;\nuse ::diesel::prelude::*;", &[2]),
        ("flow/check.rs", "fn f(r: &actix_web::HttpRequest) {}", &[1]),
        ("lib.rs", "use actix_web::App; use crate::{cli, web};", &[]),
        ("web/refuse.rs", "use josekit::jws;", &[1]),
        ("oauth/scope.rs", "fn f() { tracing::info!(\"x\"); std::fs::read(\"y\"); }", &[1, 1]),
        ("flow/check.rs", "fn f() { chrono::Utc::now();\nSystemTime::now() }", &[1, 2]),
        ("flow/check.rs", "use argon2::password_hash::rand_core::OsRng;", &[1]),
        ("flow/check.rs", "fn f() { Verified::vouch(1);\nbase::proof::Verified::vouch(2) }", &[1, 2]),
        ("jose/verify.rs", "fn f() { Verified::vouch(1) }", &[]),
        (
            "oauth/code.rs",
            "fn f() { Destination::new() }\n#[cfg(test)]\nmod tests { fn g() { Destination::new() } }",
            &[1],
        ),
        ("oauth/authorize_request.rs", "fn f() { Destination::new() }", &[]),
        ("store/mod.rs", "#[serde(with = \"crate::web::x\")] struct S;", &[1]),
        (
            "base/id.rs",
            "// use crate::web;\n/* use crate::web; /* nested */ */ const A: &str = r#\"use crate::web;\"#; fn f<'a>(c: char) -> bool { c == '\"' }",
            &[],
        ),
        ("base/id.rs", "const A: char = '\\'';\nuse crate::web;", &[2]),
        ("store/mod.rs", "use redis as r; use super::web::x;", &[1]),
    ];
    for (file, source, lines) in cases {
        let found = offences(file, source, &crates, false);
        let expected: Vec<String> = lines.iter().map(|line| format!("{file}:{line}:")).collect();
        assert!(
            found.len() == expected.len()
                && found.iter().zip(&expected).all(|(f, e)| f.starts_with(e.as_str())),
            "{file}: {source}\nexpected lines {lines:?}, found {found:#?}"
        );
    }
    for line in [
        "{{ x|safe }}",
        "{{ x | safe }}",
        "{{ x|e(\"none\") }}",
        "<p style=\"a\">",
        "<script>alert(1)</script>",
        "<b onclick=\"x()\">",
    ] {
        assert!(template_offence(line).is_some(), "{line}");
    }
    for line in [
        "{{ x|lower }}",
        "<script src=\"/a.js\" defer></script>",
        "<label for=\"one\">",
        "<link rel=\"stylesheet\" href=\"/a.css\">",
    ] {
        assert!(template_offence(line).is_none(), "{line}");
    }
}

/// Each broken rule of one file as `file:line: rule`.
fn offences(file: &str, source: &str, crates: &BTreeSet<String>, test_file: bool) -> Vec<String> {
    let room = room(file);
    let mut found = Vec::new();
    for named in source::paths(source, &module(file), crates, test_file) {
        for rule in rules::judge(file, &room, &named) {
            found.push(format!("{file}:{}: {rule}", named.line));
        }
    }
    // One line that brings in five names breaks a rule once.
    found.dedup();
    found
}

fn template_offence(line: &str) -> Option<&'static str> {
    let tight: String = line.chars().filter(|c| !c.is_whitespace()).collect();
    let spaced = format!(" {}", line.replace(['\t', '\n'], " ").to_ascii_lowercase());
    if tight.contains("|safe") || tight.contains("|e(\"none\"") || tight.contains("|escape(\"none\"") {
        return Some("escaping is never switched off in a template");
    }
    if spaced.contains("<style") || spaced.contains(" style=") {
        return Some("no inline style: the content security policy refuses it");
    }
    if spaced
        .match_indices("<script")
        .any(|(at, _)| !spaced[at..].split('>').next().unwrap_or_default().contains("src="))
    {
        return Some("no inline script: the content security policy refuses it");
    }
    let handler = spaced.match_indices(" on").any(|(at, _)| {
        let name: String = spaced[at + 1..].chars().take_while(char::is_ascii_alphabetic).collect();
        name.len() > 2 && spaced[at + 1 + name.len()..].starts_with("=\"")
    });
    handler.then_some("no inline event handler: the content security policy refuses it")
}

/// The room of a file below `src/`: its first folder, or its own name at the top.
fn room(file: &str) -> String {
    file.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned()
}

/// Where a file hangs in the tree of modules.
fn module(file: &str) -> Vec<String> {
    let mut parts: Vec<String> = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

/// The names under which the dependencies of `manifest` are written in source.
fn crates(manifest: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.trim() == "[dependencies]";
        } else if inside && let Some((name, _)) = line.split_once('=') {
            found.insert(name.trim().split('.').next().unwrap_or_default().replace('-', "_"));
        }
    }
    found
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files under `folder` with one of the endings, sorted; what packagers install is not ours.
fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if path.is_dir() && !matches!(name, "node_modules" | "target" | ".venv" | "__pycache__") {
            found.extend(files(&path, endings));
        } else if path.extension().and_then(|e| e.to_str()).is_some_and(|e| endings.contains(&e)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn below(path: &Path, folder: &str) -> String {
    let base = if folder.is_empty() { root() } else { root().join(folder) };
    path.strip_prefix(base).unwrap_or(path).to_string_lossy().replace('\\', "/")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("a file of the tree is text that can be read")
}

fn report(wrong: &[String]) {
    assert!(wrong.is_empty(), "the house does not hold:\n{}", wrong.join("\n"));
}
