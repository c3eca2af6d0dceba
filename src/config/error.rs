//! What is wrong with a setting, as one line.

use std::fmt;

/// Why the settings cannot be used: one line that names the key, the place, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(String);

impl ConfigError {
    /// From the place of a value (`cnx.toml:3`, `CNX_LISTEN`), its key, and what is wrong.
    pub(super) fn at(place: &str, key: &str, problem: &str) -> Self {
        Self::line(&format!("{key} ({place}): {problem}"))
    }

    /// From a whole sentence. Characters that could forge or hide a line are written as escapes.
    pub(super) fn line(text: &str) -> Self {
        Self(text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// `; did you mean "x"?` when one of `known` is near enough to `written` to be a slip; else nothing.
pub(super) fn did_you_mean<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> String {
    let allowed = (written.chars().count() / 4).clamp(1, 4);
    known
        .map(|name| (distance(written, name), name))
        .filter(|(far, _)| *far <= allowed)
        .min()
        .map_or_else(String::new, |(_, name)| format!("; did you mean {name}?"))
}

/// How many characters must be put in, left out or changed to make one text of the other (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut next = vec![i + 1];
        for ((&b, &above_left), &above) in right.iter().zip(&row).zip(row.iter().skip(1)) {
            let beside = next.last().copied().unwrap_or(0);
            next.push((above_left + usize::from(a != b)).min(above + 1).min(beside + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_slips() {
        assert_eq!(distance("listen", "listen"), 0);
        assert_eq!(distance("listn", "listen"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn a_slip_gets_a_suggestion_and_nonsense_gets_none() {
        let known = ["listen", "public_url"];
        assert_eq!(did_you_mean("publc_url", known.into_iter()), "; did you mean public_url?");
        assert_eq!(did_you_mean("frobnicate", known.into_iter()), "");
    }
}
