//! JSON from outside: what is read strictly is what the library reads, and what is refused beyond that is too deep or says a name twice.

use cnx::base::json::{MAX_DEPTH, strict};
use serde_json::Value;

pub(super) const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"a\":",
    "\"\\u0061\":",
    ",",
    "null",
    "true",
    "1e5",
    "-0",
    "\"",
    "\\ud800",
    "[[[[[[[[",
    "]]]]]]]]",
    " ",
];

pub(super) fn run(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let theirs = serde_json::from_str::<Value>(text);
    let Ok(ours) = strict(text) else {
        if let Ok(theirs) = theirs {
            // A name twice makes the library's value smaller than the text has names; colons outside of texts count those.
            let twice = colons(text) > names(&theirs);
            assert!(twice || depth(&theirs) > usize::from(MAX_DEPTH), "nothing is wrong with {text:?}");
        }
        return false;
    };
    assert_eq!(colons(text), names(&ours), "no name was lost");
    assert!(depth(&ours) <= usize::from(MAX_DEPTH));
    let again = strict(&ours.to_string()).expect("what was written is read");
    // The library reads the last digit of a real number as it likes.
    assert!(again == ours || has_reals(&ours), "{ours} is {again} when it is read again");
    assert_eq!(ours, theirs.expect("the library reads what we read"));
    true
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn has_reals(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(has_reals),
        Value::Object(members) => members.values().any(has_reals),
        other => other.is_f64(),
    }
}

fn names(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(names).sum(),
        Value::Object(members) => members.len() + members.values().map(names).sum::<usize>(),
        _ => 0,
    }
}

fn colons(text: &str) -> usize {
    let (mut count, mut quoted, mut escaped) = (0, false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ':' if !quoted => count += 1,
            _ => {}
        }
    }
    count
}
