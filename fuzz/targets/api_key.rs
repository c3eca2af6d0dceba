//! API keys: what is one is told by a second reader, digit by digit and with the checksum computed bit by bit; a search in a text finds every
//! one and nothing else.

use cnx::api_key::format::{LONGEST, find, read};

pub(super) const WORDS: &[&str] = &[
    "cnx_",
    "prod_",
    "ci_",
    "_",
    "at_",
    "rt_",
    "0123456789",
    "7Hd2f9QzAk",
    "zzzzzzzz",
    "cnx_cnx_",
    "%3D",
    "\\n",
    "é",
    " ",
    "abcdefghijklmnopqrstuvwxyzABCDEF",
];

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

pub(super) fn run(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let mut taken = looks_at(&text);
    // The same with a checksum that is right: nothing else would ever come behind it.
    taken |= looks_at(&format!("{text}{}", check(text.as_bytes())));
    for (at, _) in text.match_indices('_').take(4) {
        let said: String = text.chars().take(text[..at].chars().count() + 43).collect();
        taken |= looks_at(&format!("{said}{}", check(said.as_bytes())));
    }
    taken
}

fn looks_at(text: &str) -> bool {
    let written = read(text);
    assert_eq!(written.is_some(), is_key(text), "{text:?}");
    if let Some(written) = written {
        assert!(text.starts_with(&format!("cnx_{}_{}", written.environment, written.id)), "{text:?}");
        assert!(text.len() <= LONGEST);
    }
    let found: Vec<(usize, &str)> = find(text).collect();
    let mut there = Vec::new();
    for (at, _) in text.match_indices('c') {
        for length in 55..=61 {
            if let Some(part) = text.get(at..at + length).filter(|part| is_key(part)) {
                there.push((at, part));
            }
        }
    }
    assert_eq!(found, there, "{text:?}");
    written.is_some()
}

fn is_key(text: &str) -> bool {
    let parts: Vec<&str> = text.split('_').collect();
    let [first, word, body] = parts[..] else { return false };
    first == "cnx"
        && (2..=8).contains(&word.len())
        && word.chars().all(|c| c.is_ascii_lowercase())
        && !["at", "rt", "ac", "cs", "dcr"].contains(&word)
        && body.len() == 48
        && body.bytes().all(|b| DIGITS.contains(&b))
        && check(&text.as_bytes()[..text.len() - 6]).as_bytes() == &text.as_bytes()[text.len() - 6..]
}

/// CRC-32/ISO-HDLC one bit at a time, in six digits.
fn check(said: &[u8]) -> String {
    let mut register = u32::MAX;
    for byte in said {
        register ^= u32::from(*byte);
        for _ in 0..8 {
            register = if register & 1 == 1 { (register >> 1) ^ 0xedb8_8320 } else { register >> 1 };
        }
    }
    let mut rest = !register;
    let mut digits = String::new();
    for _ in 0..6 {
        digits.insert(0, char::from(DIGITS[rest as usize % 62]));
        rest /= 62;
    }
    digits
}
