//! Reads Rust source well enough to know what a file names: tokens without comments, then every path, resolved.
//!
//! Not a parser of Rust: it knows strings, characters, lifetimes, comments, `use` trees, inline modules and `#[cfg(test)]`, and
//! nothing else, which is all that the rules of the house need. Standard library only, so that it cannot rot with a dependency.

use std::collections::BTreeSet;

/// One token and the line that it starts on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) kind: Kind,
    pub(super) line: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    Mark,
    Text,
}

/// A path as written, resolved against the module that it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) line: usize,
    /// `true` when it leads into this crate; the segments then start below the crate's root.
    pub(super) ours: bool,
    pub(super) segments: Vec<String>,
    /// Inside `#[cfg(test)]`.
    pub(super) in_test: bool,
}

/// Cuts source into words, marks (`::` is one mark) and string texts. Comments, characters and numbers' suffixes vanish.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let (mut i, mut line, mut found) = (0, 1, Vec::new());
    while i < chars.len() {
        let c = at(i);
        let start = line;
        if c == '\n' {
            line += 1;
            i += 1;
        } else if c == '/' && at(i + 1) == '/' {
            while i < chars.len() && at(i) != '\n' {
                i += 1;
            }
        } else if c == '/' && at(i + 1) == '*' {
            let mut depth = 0;
            while i < chars.len() {
                match (at(i), at(i + 1)) {
                    ('/', '*') => (depth, i) = (depth + 1, i + 2),
                    ('*', '/') => (depth, i) = (depth - 1, i + 2),
                    ('\n', _) => (line, i) = (line + 1, i + 1),
                    _ => i += 1,
                }
                if depth == 0 {
                    break;
                }
            }
        } else if let Some((after_open, hashes, raw)) = string_start(&chars, i) {
            let (text, end) = string_body(&chars, after_open, hashes, raw);
            line += text.matches('\n').count();
            found.push(Token { text, kind: Kind::Text, line: start });
            i = end;
        } else if c == '\'' {
            i = after_quote(&chars, i);
        } else if c == '_' || c.is_alphanumeric() {
            let from = if c == 'r' && at(i + 1) == '#' { i + 2 } else { i };
            i = from;
            while at(i) == '_' || at(i).is_alphanumeric() {
                i += 1;
            }
            let text: String = chars.get(from..i).unwrap_or_default().iter().collect();
            found.push(Token { text, kind: Kind::Word, line: start });
        } else if c == ':' && at(i + 1) == ':' {
            found.push(Token { text: "::".to_owned(), kind: Kind::Mark, line: start });
            i += 2;
        } else {
            if !c.is_whitespace() {
                found.push(Token { text: c.to_string(), kind: Kind::Mark, line: start });
            }
            i += 1;
        }
    }
    found
}

/// `"`, `r"`, `r#"`, `b"`, `c"`, `br#"`: where the text starts, how many hashes end it, and whether backslashes mean nothing.
fn string_start(chars: &[char], from: usize) -> Option<(usize, usize, bool)> {
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut i = from;
    if matches!(at(i), 'b' | 'c') && matches!(at(i + 1), '"' | 'r') {
        i += 1;
    }
    let raw = at(i) == 'r';
    if raw {
        i += 1;
    }
    let mut hashes = 0;
    while raw && at(i) == '#' {
        (hashes, i) = (hashes + 1, i + 1);
    }
    (at(i) == '"').then_some((i + 1, hashes, raw))
}

fn string_body(chars: &[char], from: usize, hashes: usize, raw: bool) -> (String, usize) {
    let mut i = from;
    while let Some(&c) = chars.get(i) {
        if c == '\\' && !raw {
            i += 2;
            continue;
        }
        if c == '"' && chars.iter().skip(i + 1).take(hashes).filter(|c| **c == '#').count() == hashes {
            break;
        }
        i += 1;
    }
    let end = i.min(chars.len());
    (chars[from..end].iter().collect(), end + 1 + hashes)
}

/// Past a character literal, or past the quote of a lifetime (whose name is then an ordinary word).
fn after_quote(chars: &[char], from: usize) -> usize {
    match (chars.get(from + 1), chars.get(from + 2)) {
        (Some('\\'), _) => {
            let mut i = from + 3;
            while i < chars.len() && chars[i] != '\'' {
                i += 1;
            }
            i + 1
        }
        (Some(_), Some('\'')) => from + 3,
        _ => from + 1,
    }
}

/// Every path that `source` names: `use` trees taken apart, inline paths, and paths inside strings of attributes.
/// `module` is where the file hangs (`["oauth", "client"]`), `crates` are the names that start a foreign path.
/// `test_file` says that the whole file is test code.
pub(super) fn paths(
    source: &str,
    module: &[String],
    crates: &BTreeSet<String>,
    test_file: bool,
) -> Vec<Named> {
    let tokens = tokens(source);
    let mut walk =
        Walk { module: module.to_vec(), open: Vec::new(), depth: 0, found: Vec::new(), crates, test_file };
    let mut i = 0;
    while i < tokens.len() {
        i = walk.step(&tokens, i);
    }
    walk.found
}

/// The modules that `source` declares as `#[cfg(test)] mod name;`: files of their own that are test code.
pub(super) fn test_modules(source: &str) -> Vec<String> {
    let tokens = tokens(source);
    let declared = tokens.windows(3).enumerate().filter(|(at, three)| {
        let texts: Vec<&str> = three.iter().map(|t| t.text.as_str()).collect();
        texts.first() == Some(&"mod")
            && texts.get(2) == Some(&";")
            && tokens_end_with_cfg_test(&tokens[..*at])
    });
    declared.filter_map(|(_, three)| three.get(1)).map(|token| token.text.clone()).collect()
}

struct Walk<'a> {
    module: Vec<String>,
    /// Inline modules around the present token: the depth of braces that ends each, and whether it is test code.
    open: Vec<(usize, bool)>,
    depth: usize,
    found: Vec<Named>,
    crates: &'a BTreeSet<String>,
    test_file: bool,
}

impl Walk<'_> {
    fn step(&mut self, tokens: &[Token], i: usize) -> usize {
        let text = |i: usize| tokens.get(i).map_or("", |t| t.text.as_str());
        let token = &tokens[i];
        match (token.kind, token.text.as_str()) {
            (Kind::Text, written) if written.starts_with("crate::") => {
                let segments = written.split("::").map(str::to_owned).collect();
                self.name(segments, token.line);
            }
            (Kind::Mark, "{") => self.depth += 1,
            (Kind::Mark, "}") => {
                self.depth = self.depth.saturating_sub(1);
                if self.open.last().is_some_and(|(depth, _)| *depth == self.depth) {
                    self.open.pop();
                    self.module.pop();
                }
            }
            (Kind::Word, "mod") if text(i + 2) == "{" => {
                let is_test = tokens_end_with_cfg_test(&tokens[..i]);
                self.open.push((self.depth, is_test));
                self.module.push(text(i + 1).to_owned());
                return i + 2;
            }
            (Kind::Word, "use") if text(i + 1) != "<" && text(i.wrapping_sub(1)) != "." => {
                let mut leaves = Vec::new();
                let end = use_tree(tokens, i + 1, &[], &mut leaves);
                for (segments, line) in leaves {
                    self.name(segments, line);
                }
                return end;
            }
            (Kind::Word, _) if starts_path(tokens, i) => {
                let (mut segments, mut end) = (vec![token.text.clone()], i + 1);
                while text(end) == "::" && tokens.get(end + 1).is_some_and(|t| t.kind == Kind::Word) {
                    segments.push(text(end + 1).to_owned());
                    end += 2;
                }
                self.name(segments, token.line);
                return end;
            }
            _ => {}
        }
        i + 1
    }

    fn name(&mut self, written: Vec<String>, line: usize) {
        let in_test = self.test_file || self.open.iter().any(|(_, is_test)| *is_test);
        let mut rest = written.into_iter().peekable();
        let Some(first) = rest.next() else { return };
        let mut segments = match first.as_str() {
            "crate" | "cnx" => Vec::new(),
            "self" => self.module.clone(),
            "super" => {
                let mut base = self.module.clone();
                base.pop();
                while rest.next_if(|s| s == "super").is_some() {
                    base.pop();
                }
                base
            }
            "std" | "core" | "alloc" => vec![first.clone()],
            other if self.crates.contains(other) => vec![first.clone()],
            // A bare path: something that a `use` line of this file brought in, or a module beside it.
            _ => vec![String::new(), first.clone()],
        };
        let ours = matches!(first.as_str(), "crate" | "cnx" | "self" | "super");
        segments.extend(rest);
        self.found.push(Named { line, ours, segments, in_test });
    }
}

/// A word that is the first of a path: followed by `::`, and nothing before it that it would belong to.
fn starts_path(tokens: &[Token], i: usize) -> bool {
    if tokens.get(i + 1).is_none_or(|t| t.text != "::") {
        return false;
    }
    let Some(before) = i.checked_sub(1).and_then(|b| tokens.get(b)) else { return true };
    match before.text.as_str() {
        "." => false,
        // `::serde::Serialize` starts one, `A::b` and `<T>::b` do not.
        "::" => {
            i.checked_sub(2).and_then(|b| tokens.get(b)).is_none_or(|t| t.kind != Kind::Word && t.text != ">")
        }
        _ => true,
    }
}

/// Takes a `use` tree apart from `i` on; gives every leaf and the place after the tree.
fn use_tree(
    tokens: &[Token],
    mut i: usize,
    prefix: &[String],
    leaves: &mut Vec<(Vec<String>, usize)>,
) -> usize {
    let mut segments = prefix.to_vec();
    let mut line = tokens.get(i).map_or(0, |t| t.line);
    while let Some(token) = tokens.get(i) {
        match (token.kind, token.text.as_str()) {
            (Kind::Mark, "::") => i += 1,
            (Kind::Mark, "{") => {
                i += 1;
                while tokens.get(i).is_some_and(|t| t.text != "}") {
                    i = use_tree(tokens, i, &segments, leaves);
                    if tokens.get(i).is_some_and(|t| t.text == ",") {
                        i += 1;
                    }
                }
                return i + 1;
            }
            (Kind::Word, "as") => i += 2,
            (Kind::Word, "self") if !segments.is_empty() => i += 1,
            (Kind::Word, word) => {
                segments.push(word.to_owned());
                line = token.line;
                i += 1;
            }
            (Kind::Mark, "*") => {
                segments.push("*".to_owned());
                line = token.line;
                i += 1;
            }
            _ => break,
        }
    }
    leaves.push((segments, line));
    i
}

/// Whether the attributes that end here (`#[cfg(test)]`, maybe others after it, maybe `pub(crate)`) make test code of what follows.
fn tokens_end_with_cfg_test(before: &[Token]) -> bool {
    let words: Vec<&str> = before.iter().rev().take(60).map(|t| t.text.as_str()).collect();
    let item = words.iter().position(|w| matches!(*w, ";" | "}" | "{")).unwrap_or(words.len());
    words[..item].windows(3).any(|w| w == ["test", "(", "cfg"])
}
