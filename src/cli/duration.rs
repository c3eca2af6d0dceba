//! Durations as people type them: `24h`, `30m`, `90s`, `7d`, or `0`.

/// Reads a duration in seconds; the error says what is allowed.
pub(super) fn seconds(text: &str) -> Result<i64, String> {
    let wrong = || "a whole number with s, m, h or d is allowed, such as 24h, or 0; at most 366d".to_owned();
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
        Some(number) => (number, text.chars().last()),
        None if text == "0" => return Ok(0),
        None => return Err(wrong()),
    };
    let factor = match unit {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        _ => 86_400,
    };
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let number: i64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(factor).filter(|seconds| *seconds <= 366 * 86_400).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_or_refused() {
        for (text, expected) in
            [("24h", 86_400), ("0", 0), ("0s", 0), ("90s", 90), ("30m", 1800), ("7d", 604_800)]
        {
            assert_eq!(seconds(text), Ok(expected));
        }
        for bad in [
            "",
            "h",
            "24",
            "-1h",
            "+1h",
            "1.5h",
            "1w",
            "24 h",
            "367d",
            "99999999999999999999d",
            "9223372036854775807d",
        ] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
