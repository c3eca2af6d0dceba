//! One canonical form of a user name and of an e-mail address, for creation, lookup and throttling alike (S-L5).
//!
//! User names are PRECIS `UsernameCaseMapped` (RFC 8265 §3.3) after NFKC, without invisible characters and without
//! scripts mixed to look like another name. Two names of one form are one person; what has no form is nobody's name.

use precis_profiles::UsernameCaseMapped;
use precis_profiles::precis_core::profile::Profile as _;
use unicode_normalization::UnicodeNormalization as _;

/// The longest user name, in characters.
pub const MAX_CHARACTERS: usize = 64;

/// The longest e-mail address, in bytes (RFC 5321 §4.5.3.1.3: a path of 256 with its angle brackets).
pub const MAX_EMAIL_BYTES: usize = 254;

/// What a person typed to say who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// A canonical user name.
    Username(String),
    /// A canonical e-mail address.
    Email(String),
}

/// The canonical form of a user name; the error says what is needed.
pub fn canonical(text: &str) -> Result<String, &'static str> {
    const LENGTH: &str = "1 to 64 characters are needed";
    const ALPHABET: &str = "letters, digits and signs other than @ are allowed, without spaces";
    // Four bytes hold any character; what is longer cannot come down to the limit, and is not worth the work.
    if text.is_empty() || text.len() > MAX_CHARACTERS * 4 {
        return Err(LENGTH);
    }
    let name = enforced(text).ok_or(ALPHABET)?;
    if name.chars().count() > MAX_CHARACTERS {
        return Err(LENGTH);
    }
    // '@' tells an address from a name. PRECIS lets joiners pass in some scripts; nobody sees them.
    if name.contains(['@', '\0', '\u{200c}', '\u{200d}']) {
        return Err(ALPHABET);
    }
    if is_mixed(&name) {
        return Err("letters of one script only are allowed");
    }
    // A form that has another form is none (RFC 8264 §7): two rows could then mean one person.
    if enforced(&name).as_deref() != Some(name.as_str()) {
        return Err(ALPHABET);
    }
    Ok(name)
}

/// The canonical form of an e-mail address, lower case on both sides; the error says what is needed.
pub fn canonical_email(text: &str) -> Result<String, &'static str> {
    const FORM: &str = "an address like name@example.org is needed";
    const LENGTH: &str = "at most 254 bytes are allowed, 64 of them before the @";
    if text.len() > MAX_EMAIL_BYTES {
        return Err(LENGTH);
    }
    let folded: String = text.nfkc().collect::<String>().to_lowercase().nfkc().collect();
    if folded.len() > MAX_EMAIL_BYTES {
        return Err(LENGTH);
    }
    let (local, domain) = folded.split_once('@').ok_or(FORM)?;
    if local.len() > 64 {
        return Err(LENGTH);
    }
    // RFC 5322 §3.2.3 atext and dots, and letters beyond ASCII (RFC 6531 §3.3); no quoting: nobody has such an
    // address, and each of those characters means something in a header.
    let is_local = |c: char| c.is_alphanumeric() || ".!#$%&'*+-/=?^_`{|}~".contains(c);
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    if local.is_empty() || !local.chars().all(is_local) || !domain.split('.').all(is_label) {
        return Err(FORM);
    }
    Ok(folded)
}

/// Reads the field of a sign-in form; `None` for what can be nobody. Spaces around are a keyboard's, not a name's.
pub fn login(text: &str) -> Option<Login> {
    let text = text.trim();
    if text.contains('@') {
        canonical_email(text).ok().map(Login::Email)
    } else {
        canonical(text).ok().map(Login::Username)
    }
}

fn enforced(text: &str) -> Option<String> {
    let folded: String = text.nfkc().collect();
    let cased = UsernameCaseMapped::new().enforce(folded).ok()?;
    Some(cased.nfkc().collect())
}

/// Whether letters of scripts that borrow each other's shapes stand in one name, as a Cyrillic а among Latin letters.
/// Latin goes with the scripts of China, Japan and Korea, as names there do (UTS #39 §5.2, "highly restrictive").
fn is_mixed(name: &str) -> bool {
    let mut first = None;
    name.chars().filter(|c| c.is_alphanumeric()).filter_map(script_of).any(|script| {
        let expected = *first.get_or_insert(script);
        expected != script
    })
}

/// A number for the script of a letter or digit; `None` for ASCII digits, which go with all. Scripts that need a row
/// are those that have several blocks or share one; the others are told apart by their half-block of 128.
fn script_of(c: char) -> Option<u32> {
    const LATIN_AND_EAST_ASIAN: u32 = u32::MAX;
    const ROWS: [(u32, u32, u32); 27] = [
        (0x0041, 0x02AF, LATIN_AND_EAST_ASIAN),
        (0x02B0, 0x02FF, LATIN_AND_EAST_ASIAN),
        (0x1D00, 0x1D25, LATIN_AND_EAST_ASIAN),
        (0x1E00, 0x1EFF, LATIN_AND_EAST_ASIAN),
        (0x2C60, 0x2C7F, LATIN_AND_EAST_ASIAN),
        (0xA720, 0xA7FF, LATIN_AND_EAST_ASIAN),
        (0xAB30, 0xAB64, LATIN_AND_EAST_ASIAN),
        (0x1100, 0x11FF, LATIN_AND_EAST_ASIAN),
        (0x3005, 0x318F, LATIN_AND_EAST_ASIAN),
        (0x31A0, 0x31BF, LATIN_AND_EAST_ASIAN),
        (0x31F0, 0x31FF, LATIN_AND_EAST_ASIAN),
        (0x3400, 0x9FFF, LATIN_AND_EAST_ASIAN),
        (0xAC00, 0xD7FF, LATIN_AND_EAST_ASIAN),
        (0xF900, 0xFAFF, LATIN_AND_EAST_ASIAN),
        (0x2_0000, 0x3_FFFF, LATIN_AND_EAST_ASIAN),
        (0x0370, 0x03FF, 1),
        (0x1F00, 0x1FFF, 1),
        (0x0400, 0x052F, 2),
        (0x1C80, 0x1C8F, 2),
        (0xA640, 0xA69F, 2),
        (0x0530, 0x058F, 3),
        (0x0590, 0x05FF, 4),
        (0x0600, 0x06FF, 5),
        (0x0750, 0x077F, 5),
        (0x08A0, 0x08FF, 5),
        (0x1000, 0x109F, 6),
        (0x1200, 0x139F, 7),
    ];
    let code = u32::from(c);
    if c.is_ascii_digit() {
        return None;
    }
    let row = ROWS.iter().find(|(from, to, _)| (*from..=*to).contains(&code));
    Some(row.map_or(0x100 + (code >> 7), |(_, _, script)| *script))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_look_alike_to_a_keyboard_are_one_name() {
        for (text, form) in [
            ("ada", "ada"),
            ("Ada.Lovelace", "ada.lovelace"),
            ("ＡＤＡ", "ada"),
            ("caf\u{e9}", "caf\u{e9}"),
            ("cafe\u{301}", "caf\u{e9}"),
            ("ﬁnn", "finn"),
            ("ИВАН1", "иван1"),
            ("Ödön-2", "ödön-2"),
            ("田中taro", "田中taro"),
            ("김철수", "김철수"),
            ("a'b/c<d>", "a'b/c<d>"),
        ] {
            assert_eq!(canonical(text).as_deref(), Ok(form), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_seen_or_told_apart_is_no_name() {
        for text in [
            "",
            " ",
            "ada lovelace",
            " ada",
            "ada\0",
            "ada\n",
            "a\u{200b}da",
            "a\u{200d}da",
            "ada\u{feff}",
            "a\u{ad}da",
            "a\u{202e}da",
            "ada@example.org",
            "ada＠x",
            "\u{430}da",
            "adа",
            "αda",
            "☃",
            &"a".repeat(65),
            &"ﷺ".repeat(64),
        ] {
            let message = canonical(text).unwrap_err();
            assert!(message.contains("allowed") || message.contains("needed"), "{text:?}: {message}");
        }
        assert!(canonical(&"я".repeat(64)).is_ok());
    }

    #[test]
    fn an_address_is_lower_case_and_has_one_at() {
        for (text, form) in [
            ("Ada.Lovelace+x@Example.ORG", "ada.lovelace+x@example.org"),
            ("root@localhost", "root@localhost"),
            ("o'hara@b-c.example", "o'hara@b-c.example"),
            ("dörte@bücher.example", "dörte@bücher.example"),
        ] {
            assert_eq!(canonical_email(text).as_deref(), Ok(form), "{text}");
        }
        let long = format!("{}@example.org", "a".repeat(65));
        let longer = format!("a@{}.example", "b".repeat(250));
        for text in [
            "",
            "@",
            "a@",
            "@b",
            "ada",
            "a@b@c",
            "a b@c",
            "a@b c",
            "a\r\nBcc: x@c",
            "a@b\0",
            "a@b..c",
            "a@-b",
            "a@.b",
            "a@b.",
            "\"a\"@b",
            "<a@b>",
            "a,c@b",
            "a@[127.0.0.1]",
            "a@b_c",
            "a\u{200b}@b",
            "a＠b@c",
            &long,
            &longer,
        ] {
            let message = canonical_email(text).unwrap_err();
            assert!(message.contains("allowed") || message.contains("needed"), "{text:?}: {message}");
        }
    }

    #[test]
    fn a_sign_in_form_takes_either() {
        assert_eq!(login(" Ada "), Some(Login::Username("ada".into())));
        assert_eq!(login("Ada@Example.org"), Some(Login::Email("ada@example.org".into())));
        assert_eq!(login("a\0"), None);
        assert_eq!(login("@"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_canonical_form_is_its_own(text in "\\PC{1,12}|[\\s\\S]{1,12}|[a-zA-Zà-ÿΑ-ωА-я]{1,12}") {
            if let Ok(form) = canonical(&text) {
                prop_assert_eq!(canonical(&form), Ok(form.clone()));
            }
            let address = format!("{text}@example.org");
            if let Ok(form) = canonical_email(&address) {
                prop_assert_eq!(canonical_email(&form), Ok(form.clone()));
                prop_assert_eq!(login(&form), Some(Login::Email(form)));
            }
        }
    }
}
