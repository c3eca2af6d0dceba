//! A browser in words, for people who look at their sign-ins. A `User-Agent` says what it likes: nothing is decided by it.

use std::fmt;

/// What a browser calls itself, as far as we know the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrowserName {
    /// Its name: `Firefox`.
    pub name: Option<&'static str>,
    /// What it runs on: `Windows`.
    pub system: Option<&'static str>,
}

/// What to look for and what it means; the first that fits counts, since later ones stand in the text of others.
const NAMES: [(&str, &str); 12] = [
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Vivaldi", "Vivaldi"),
    ("FxiOS", "Firefox"),
    ("Firefox", "Firefox"),
    ("CriOS", "Chrome"),
    ("HeadlessChrome", "Chrome"),
    ("Chromium", "Chromium"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
    ("curl/", "curl"),
];
const SYSTEMS: [(&str, &str); 7] = [
    ("Android", "Android"),
    ("iPhone", "iOS"),
    ("iPad", "iPadOS"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
];

impl BrowserName {
    /// Of a `User-Agent` (RFC 9110 §10.1.5).
    pub fn of(user_agent: &str) -> Self {
        let find = |list: &[(&str, &'static str)]| {
            list.iter().find(|(mark, _)| user_agent.contains(mark)).map(|(_, name)| *name)
        };
        Self { name: find(&NAMES), system: find(&SYSTEMS) }
    }
}

impl fmt::Display for BrowserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name, self.system) {
            (Some(name), Some(system)) => write!(f, "{name}, {system}"),
            (Some(name), None) | (None, Some(name)) => f.write_str(name),
            (None, None) => f.write_str("?"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::BrowserName;

    #[test]
    fn a_browser_is_known_by_the_most_telling_word() {
        for (agent, shown) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Firefox, Linux"),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0",
                "Edge, Windows",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
                "Safari, iOS",
            ),
            ("curl/8.5.0", "curl"),
            ("<script>", "?"),
            ("", "?"),
        ] {
            assert_eq!(BrowserName::of(agent).to_string(), shown);
        }
    }
}
