//! The languages of pages. English stands in the templates; every other language has its words in `templates/words/LANG/*.json`, one file
//! for each part of the house, English on the left. Text that has no row is shown in English.

use std::borrow::Cow;
use std::collections::HashMap;
use std::str::FromStr;
use std::sync::LazyLock;

/// A language that pages speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// German.
    De,
}

type Words = HashMap<String, String>;

/// The German words, by the English ones. A file that cannot be read would leave its pages in English; a test reads each.
static GERMAN: LazyLock<Words> = LazyLock::new(|| {
    GERMAN_FILES.into_iter().filter_map(|text| serde_json::from_str::<Words>(text).ok()).flatten().collect()
});

/// What the German words are read from.
pub(super) const GERMAN_FILES: [&str; 6] = [
    include_str!("../../../templates/words/de/frame.json"),
    include_str!("../../../templates/words/de/sign_in.json"),
    include_str!("../../../templates/words/de/account.json"),
    include_str!("../../../templates/words/de/factors.json"),
    include_str!("../../../templates/words/de/keys.json"),
    include_str!("../../../templates/words/de/console.json"),
];

impl Lang {
    /// Every language.
    pub const ALL: [Self; 2] = [Self::En, Self::De];

    /// Its tag (RFC 5646), as `lang` and the cookie have it.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::De => "de",
        }
    }

    /// Its own name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::En => "English",
            Self::De => "Deutsch",
        }
    }

    /// The first language of an `Accept-Language` (RFC 9110 §12.5.4) or `ui_locales` (OIDC Core §3.1.2.1) that we speak. Browsers send
    /// them in the order of preference; one that is refused (`q=0`) is passed over.
    pub fn asked_for(header: &str) -> Self {
        Self::spoken(header).unwrap_or_default()
    }

    /// The same; `None` where we speak none of them.
    pub fn spoken(header: &str) -> Option<Self> {
        let ranges = header.split([',', ' ']).map(str::trim).filter(|range| !range.is_empty());
        let wanted = ranges.filter_map(|range| {
            let (tag, weight) = range.split_once(';').unwrap_or((range, ""));
            let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
            let primary = tag.split('-').next().unwrap_or_default().to_ascii_lowercase();
            primary.parse().ok().filter(|_| !refused)
        });
        wanted.into_iter().next()
    }

    /// Our words in this language. Of text with numbers in it only the words around them are in the list: `{}` stands for each number.
    pub fn say(self, english: &str) -> Cow<'_, str> {
        let Self::De = self else { return Cow::Borrowed(english) };
        if let Some(found) = GERMAN.get(english) {
            return Cow::Owned(found.clone());
        }
        let (pattern, numbers) = without_numbers(english);
        match GERMAN.get(&pattern).filter(|_| !numbers.is_empty()) {
            None => Cow::Borrowed(english),
            Some(found) => {
                let mut numbers = numbers.into_iter();
                let mut pieces = found.split("{}");
                let mut text = pieces.next().unwrap_or_default().to_owned();
                for piece in pieces {
                    text.push_str(numbers.next().unwrap_or_default());
                    text.push_str(piece);
                }
                Cow::Owned(text)
            }
        }
    }
}

impl FromStr for Lang {
    type Err = ();

    fn from_str(tag: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|lang| lang.tag() == tag).ok_or(())
    }
}

/// A sentence with `{}` in place of each number, and the numbers.
fn without_numbers(text: &str) -> (String, Vec<&str>) {
    let (mut pattern, mut numbers, mut rest) = (String::with_capacity(text.len()), Vec::new(), text);
    while let Some(begins) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(begins);
        let ends = from.find(|c: char| !c.is_ascii_digit()).unwrap_or(from.len());
        let (number, after) = from.split_at(ends);
        pattern.push_str(before);
        pattern.push_str("{}");
        numbers.push(number);
        rest = after;
    }
    pattern.push_str(rest);
    (pattern, numbers)
}
