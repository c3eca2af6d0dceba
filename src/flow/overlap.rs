//! How long what was replaced goes on working beside its successor: one bound for every kind of secret.

/// The longest overlap, in seconds.
const LONGEST: i64 = 30 * 86_400;

/// Refuses an overlap that is negative or too long; the text says what is allowed.
pub(super) fn check(seconds: i64) -> Result<(), String> {
    if (0..=LONGEST).contains(&seconds) {
        return Ok(());
    }
    Err(format!("a whole number of seconds from 0 to {LONGEST} is allowed"))
}
