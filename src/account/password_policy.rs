//! What may be a password (NIST SP 800-63B-4 §3.1.1.2): length, and nothing that is guessed soon. No rules of composition.

use std::cmp::Reverse;

use zxcvbn::zxcvbn;

use super::password::{MAX_BYTES, normalized};
use crate::base::secret::Secret;

/// How much of a password is estimated, in characters: the estimate grows with the square of it.
const ESTIMATED: usize = 64;

/// From this length on a password stands alone, without a second factor (NIST SP 800-63B-4 §3.1.1.2).
const SINGLE_FACTOR: usize = 15;

/// Whether `password` may be chosen (S-L1): `min_length` characters after NFKC, at most 1,024 bytes, any characters,
/// not easy to guess. `context` is what an attacker tries first: user name, e-mail address, the product's names.
///
/// The error is one sentence for the person, saying what is needed.
pub fn check_policy(password: &Secret<String>, context: &[&str], min_length: usize) -> Result<(), String> {
    let Some(text) = normalized(password) else {
        return Err(format!("at most {MAX_BYTES} bytes are allowed"));
    };
    if text.reveal().chars().count() < min_length {
        return Err(format!("at least {min_length} characters are needed"));
    }
    let words = words_of(context);
    if is_guessable(text.reveal(), &words, min_length) {
        return Err("this one is easy to guess; several words that do not belong together are better, \
                    and no name of yours, no common password, no pattern"
            .to_owned());
    }
    Ok(())
}

/// Whether a list of what people choose reaches `password` soon, or it is mostly made of context.
fn is_guessable(password: &str, words: &[String], min_length: usize) -> bool {
    // What is left without the context must be half a password of its own.
    let mut rest = Secret::new(password.to_lowercase());
    for word in words {
        rest = Secret::new(rest.reveal().replace(word.as_str(), " "));
    }
    if rest.reveal().chars().filter(|c| !c.is_whitespace()).count() < min_length / 2 {
        return true;
    }
    // zxcvbn holds the block list: 30,000 leaked passwords, words and names, and the patterns of keyboards and dates.
    let start = Secret::new(password.chars().take(ESTIMATED).collect::<String>());
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // Beside a second factor 10^8 guesses are enough, which is what eight characters without any pattern are worth; alone, 10^10.
    let wanted: u64 = if min_length < SINGLE_FACTOR { 100_000_000 } else { 10_000_000_000 };
    zxcvbn(start.reveal(), &words).guesses() < wanted
}

/// The context whole and in words, longest first, lower case: of ada.lovelace@example.org also lovelace, example, ada
/// and org.
fn words_of(context: &[&str]) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for text in context {
        let text: String = text.chars().take(ESTIMATED).collect::<String>().to_lowercase();
        words.extend(text.split(|c: char| !c.is_alphanumeric()).map(str::to_owned));
        words.push(text);
    }
    words.retain(|word| word.chars().count() >= 3);
    words.sort_by_key(|word| Reverse(word.len()));
    words.dedup();
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn a_password_of_a_megabyte_is_refused_before_it_is_looked_at() {
        assert!(check_policy(&secret(&"x".repeat(1 << 20)), &[], 15).is_err());
    }

    #[test]
    fn long_and_unguessable_is_all_that_is_asked_for() {
        let context = ["ada.lovelace", "ada.lovelace@analytical.example", "CloudNexus Identity"];
        for good in [
            "otter plank vivid drum",
            "seventeen lonely kettles",
            "Ünïcödé wörds äre fïne töö",
            "猫は夜の屋根で静かに月を見ている",
            "x7#kQ!zP0vB2mN9",
            "identity of seventeen kettles",
            "bench-user-password-1",
        ] {
            assert_eq!(check_policy(&secret(good), &context, 15), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("x7#kQ!zP0vB2mN", "15 characters"),
            ("", "15 characters"),
            ("aaaaaaaaaaaaaaaaaaaa", "easy to guess"),
            ("passwordpassword", "easy to guess"),
            ("123456789012345678", "easy to guess"),
            ("qwertyuiopasdfghjkl", "easy to guess"),
            ("qwertyuiopasdfghjklzxcvbnm", "easy to guess"),
            ("thisismypassword", "easy to guess"),
            ("adalovelace1815", "easy to guess"),
            ("CloudNexusIdentity2026!", "easy to guess"),
            ("cloudnexus-ada.lovelace-2026", "easy to guess"),
            ("CloudNexusIdentity", "easy to guess"),
            ("ada.lovelace@analytical.example", "easy to guess"),
        ] {
            let message = check_policy(&secret(bad), &context, 15).expect_err(bad);
            assert!(message.contains(why), "{bad}: {message}");
        }
        assert_eq!(
            check_policy(&secret("x7#kQ!zP0vB2mN"), &context, 8),
            Ok(()),
            "eight beside a second factor"
        );
    }

    /// Of lists of leaked passwords, those of eight characters and more, as they are and as people bend them.
    #[test]
    fn what_everybody_chooses_is_refused_beside_a_second_factor_too_s_l1() {
        for common in [
            "password",
            "12345678",
            "123456789",
            "1234567890",
            "baseball",
            "football",
            "jennifer",
            "superman",
            "trustno1",
            "iloveyou",
            "sunshine",
            "princess",
            "starwars",
            "whatever",
            "computer",
            "michelle",
            "corvette",
            "midnight",
            "qwertyuiop",
            "1q2w3e4r",
            "1qaz2wsx",
            "asdfghjkl",
            "zaq12wsx",
            "87654321",
            "11111111",
            "abcd1234",
            "password1",
            "passw0rd",
            "P@ssw0rd",
            "Password1!",
            "letmein1",
            "welcome1",
            "Welcome123",
            "dragon123",
            "monkey123",
            "Summer2026",
            "charlie1",
            "liverpool",
            "chelsea1",
            "blink182",
            "mustang1",
            "drowssap",
            "q1w2e3r4t5",
            "changeme",
            "administrator",
        ] {
            assert!(check_policy(&secret(common), &[], 8).is_err(), "{common}");
        }
        // No rule of composition: one kind of character is enough.
        for good in ["kvtrnwqz", "otterplankdrum", "猫は夜の屋根で静かに"] {
            assert_eq!(check_policy(&secret(good), &[], 8), Ok(()), "{good}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_text_panics(password in "\\PC{0,120}|[\\s\\S]{0,120}", context in "\\PC{0,40}") {
            let _ = check_policy(&secret(&password), &[&context, &password], 8);
        }
    }
}
