//! How an API key is written: `cnx_<env>_<id:10><secret:32><check:6>`, all base62 but the two words in front.
//!
//! The id is public: it finds the record, and stands in lists and logs. The check is CRC-32/ISO-HDLC over everything before it; it
//! finds typos and makes scanners exact, and secures nothing.

use std::fmt;
use std::str::FromStr;

use crate::base::entropy::Entropy;
use crate::base::secret::Secret;

/// What every key begins with. Never change it: outstanding keys and secret scanners carry it.
pub const PREFIX: &str = "cnx_";

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const ID: usize = 10;
const SECRET: usize = 32;
const CHECK: usize = 6;
/// The digits behind the environment.
const BODY: usize = ID + SECRET + CHECK;
/// The longest key, in bytes.
pub const LONGEST: usize = PREFIX.len() + WORD + 1 + BODY;

/// Words that begin other secrets of ours, and so are no environments.
const RESERVED: [&str; 5] = ["at", "rt", "ac", "cs", "dcr"];

/// The public id of a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicId([u8; ID]);

impl PublicId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for PublicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for PublicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PublicId {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes: [u8; ID] =
            text.as_bytes().try_into().map_err(|_| "a key's id has 10 letters and digits")?;
        if bytes.iter().all(u8::is_ascii_alphanumeric) {
            Ok(Self(bytes))
        } else {
            Err("a key's id has 10 letters and digits")
        }
    }
}

/// The longest environment, in letters.
const WORD: usize = 8;

/// The environment of a key: `prod`, `ci`, `dev`, … It lies in its place, because every check of a key reads one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Environment {
    /// Small letters, and zeros behind them.
    letters: [u8; WORD],
    length: u8,
}

impl Environment {
    /// The word.
    pub fn as_str(&self) -> &str {
        let word = self.letters.get(..usize::from(self.length)).unwrap_or_default();
        str::from_utf8(word).unwrap_or_default()
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Environment {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !(2..=WORD).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_lowercase()) {
            return Err("2 to 8 small letters are needed, such as prod, ci, dev or test");
        }
        if RESERVED.contains(&text) {
            return Err("at, rt, ac, cs and dcr begin other secrets; another word is needed");
        }
        let mut word = Self { letters: [0; WORD], length: 0 };
        for (slot, letter) in word.letters.iter_mut().zip(text.bytes()) {
            *slot = letter;
            word.length += 1;
        }
        Ok(word)
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A key that is well written; whether there is such a one is another question.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// Its environment.
    pub environment: Environment,
    /// Its public id.
    pub id: PublicId,
}

/// Reads a key; `None` for everything that is not exactly one, so that garbage costs no look-up.
pub fn read(key: &str) -> Option<Written> {
    if key.len() > LONGEST {
        return None;
    }
    let (environment, body) = key.strip_prefix(PREFIX)?.split_once('_')?;
    let environment: Environment = environment.parse().ok()?;
    // Without a way out in between, many bytes are looked at at once.
    let is_alphanumeric = body.bytes().fold(true, |all, b| all & b.is_ascii_alphanumeric());
    if body.len() != BODY || !is_alphanumeric {
        return None;
    }
    let (said, check_digits) = key.split_at_checked(key.len() - CHECK)?;
    if check_digits.as_bytes() != check(said) {
        return None;
    }
    Some(Written { environment, id: body.get(..ID)?.parse().ok()? })
}

/// Every key in a text, with where it begins; whatever stands before and behind it (`\n` of JSON, `%3D` of a query). Only what the check
/// proves is one, so that a scan of a tree has no false alarms.
pub fn find(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.match_indices(PREFIX).filter_map(move |(at, _)| {
        let rest = text.get(at..)?;
        let environment = rest.get(PREFIX.len()..)?.split_once('_')?.0;
        let key = rest.get(..PREFIX.len() + environment.len() + 1 + BODY)?;
        read(key).map(|_| (at, key))
    })
}

/// A new public id.
pub fn new_id(entropy: &Entropy) -> PublicId {
    PublicId(digits(entropy))
}

/// A key of that environment and id with a new secret.
pub fn mint(environment: &Environment, id: PublicId, entropy: &Entropy) -> Secret<String> {
    let secret: [u8; SECRET] = digits(entropy);
    let secret = Secret::new(String::from_utf8_lossy(&secret).into_owned());
    let said = format!("{PREFIX}{environment}_{id}{}", secret.reveal());
    let check = check(&said);
    Secret::new(said + str::from_utf8(&check).unwrap_or_default())
}

/// What a person may see again: the environment and the id, dots, the last characters.
pub fn masked(environment: &Environment, id: PublicId, tail: &str) -> String {
    format!("{PREFIX}{environment}_{id}••••{tail}")
}

/// The last characters of a key, of its check: what [`masked`] shows.
pub fn tail(key: &Secret<String>) -> String {
    let text = key.reveal();
    text.get(text.len().saturating_sub(4)..).unwrap_or_default().to_owned()
}

/// CRC-32/ISO-HDLC of `said` in six base62 digits, big-endian.
fn check(said: &str) -> [u8; CHECK] {
    let mut rest = crc32fast::hash(said.as_bytes());
    let mut text = [b'0'; CHECK];
    for digit in text.iter_mut().rev() {
        *digit = DIGITS.get((rest % 62) as usize).copied().unwrap_or(b'0');
        rest /= 62;
    }
    text
}

/// Digits of which each is as likely as any other: bytes above the largest multiple of 62 are thrown away.
fn digits<const N: usize>(entropy: &Entropy) -> [u8; N] {
    let mut found = [b'0'; N];
    let mut slots = found.iter_mut();
    let mut next = slots.next();
    while next.is_some() {
        for byte in entropy.bytes::<64>().into_iter().filter(|byte| *byte < 248) {
            let Some(slot) = next else { break };
            *slot = DIGITS.get(usize::from(byte % 62)).copied().unwrap_or(b'0');
            next = slots.next();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PROD: &str = "cnx_prod_7Hd2f9QzAk0123456789ABCDEFGHIJKLMNOPQRSTUV3Rye8p";
    const CI: &str = "cnx_ci_7Hd2f9QzAk0123456789ABCDEFGHIJKLMNOPQRSTUV2mLAGR";

    #[test]
    fn the_contracts_vectors_are_keys_s_k1() {
        for (key, environment) in [(PROD, "prod"), (CI, "ci")] {
            let read = read(key).unwrap();
            assert_eq!((read.environment.as_str(), read.id.as_str()), (environment, "7Hd2f9QzAk"));
        }
        let key = Secret::new(PROD.to_owned());
        let shown = masked(&"prod".parse().unwrap(), "7Hd2f9QzAk".parse().unwrap(), &tail(&key));
        assert_eq!(shown, "cnx_prod_7Hd2f9QzAk••••ye8p");
    }

    #[test]
    fn what_is_minted_is_read_and_no_two_are_alike_s_k1() {
        let (entropy, environment) = (Entropy::seeded(1), "test".parse().unwrap());
        let mut seen = std::collections::HashSet::new();
        for _ in 0..2_000 {
            let id = new_id(&entropy);
            let key = mint(&environment, id, &entropy);
            assert_eq!(read(key.reveal()).unwrap().id, id);
            assert!(seen.insert(key.reveal().clone()) && key.reveal().len() == 57);
        }
    }

    #[test]
    fn any_one_character_changed_is_no_key_s_k1_s_k2() {
        for key in [PROD, CI] {
            for at in 0..key.len() {
                for other in (0x20..0x7f_u8).filter(|b| *b != key.as_bytes()[at]) {
                    let mut changed = key.as_bytes().to_vec();
                    changed[at] = other;
                    assert!(read(str::from_utf8(&changed).unwrap()).is_none(), "{at} {other}");
                }
            }
            for end in 0..key.len() {
                assert!(read(&key[..end]).is_none() && read(&key[end..][1..]).is_none());
            }
            assert!(read(&format!("{key}0")).is_none() && read(&format!(" {key}")).is_none());
        }
        for (word, fine) in [
            ("at", false),
            ("dcr", false),
            ("p", false),
            ("Prod", false),
            ("ninechars", false),
            ("prod1", false),
            ("prod", true),
        ] {
            assert_eq!(word.parse::<Environment>().is_ok(), fine, "{word}");
        }
    }

    #[test]
    fn keys_are_found_whatever_stands_around_them_and_nothing_else_is() {
        let text = format!("a={PROD}; x{CI} \"{CI}\"\n{PROD}x cnx_prod_ cnx_\u{e4} {}", &PROD[..50]);
        let found: Vec<_> = find(&text).map(|(at, key)| (at, key.to_owned())).collect();
        assert_eq!(found.iter().map(|(_, key)| key.as_str()).collect::<Vec<_>>(), [PROD, CI, CI, PROD]);
        assert!(found.iter().all(|(at, key)| &text[*at..*at + key.len()] == key));
    }

    proptest! {
        #[test]
        fn no_text_brings_it_down(text in "\\PC*", tail in "[0-9A-Za-z_]{40,60}") {
            prop_assert!(read(&text).is_none_or(|_| text.starts_with(PREFIX)));
            let key = ["cnx_prod_", &tail].concat();
            prop_assert!(read(&key).is_none_or(|read| read.environment.as_str() == "prod"));
        }
    }
}
