//! Text from outside, made harmless for a terminal and a log: what could forge a line, hide one, or turn the reading
//! direction is written as `\uXXXX` (S-H13). JSON stays JSON: such characters stand only inside its strings, and this is
//! how JSON writes them too.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text with every dangerous character escaped; line feeds too, unless `keep_lines`.
pub(super) fn inert(text: &str, keep_lines: bool) -> Cow<'_, str> {
    // Most lines: looked through without decoding them.
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Cow::Borrowed(text);
    }
    let bad = |c: char| is_dangerous(c) && !(keep_lines && c == '\n');
    if !text.contains(bad) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if bad(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}"); // writing to a String cannot fail
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Control characters (C0, DEL, C1), line and paragraph separators, invisible and bidirectional formatting, tags.
fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_forge_or_hide_a_line_is_escaped() {
        assert_eq!(inert("Zoë 漢字 👩‍💻", false), "Zoë 漢字 👩‍💻");
        assert_eq!(inert("a\r\nb\u{1b}[2K\u{9b}\u{202e}", false), "a\\u000d\\u000ab\\u001b[2K\\u009b\\u202e");
        assert_eq!(inert("a\nb\r", true), "a\nb\\u000d");
        assert_eq!(inert("\u{e0041}", false), "\\udb40\\udc41");
    }

    #[test]
    fn json_stays_json_and_reads_back() {
        let text = serde_json::json!({ "name": "a\u{202e}\u{9b}\u{e0041}b" }).to_string();
        let read: serde_json::Value = serde_json::from_str(&inert(&text, true)).unwrap();
        assert_eq!(read["name"], "a\u{202e}\u{9b}\u{e0041}b");
    }
}
