//! The words that pages choose among: why a sign-in failed, what a scope means, how long access lasts, why a request ends.
//!
//! They are tables, not rules. The texts are stable: tests, help pages and people's memory rely on them, so change one only
//! with a reason.

use std::borrow::Cow;
use std::fmt::Display;

use super::Lang;
use crate::flow::sign_in::upstream::Failure;

/// Why the sign-in page is shown again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInProblem {
    /// An input was left empty.
    Missing,
    /// User name or password do not match: the page never says which (S-L4).
    Wrong,
    /// The code of the second step is not right, or was used.
    WrongCode,
    /// A passkey that is not known, or an answer that does not fit: the page never says which (S-L4).
    WrongPasskey,
    /// What another provider said is of no use here (S-L15).
    Provider(Failure),
    /// Too many failures; seconds to wait.
    Throttled {
        /// Seconds until the next try.
        retry_after: i64,
    },
    /// The password workers have no room now; seconds to wait.
    Busy {
        /// Seconds until the next try.
        retry_after: i64,
    },
}

impl SignInProblem {
    /// The sentence that the page shows.
    pub fn text(self) -> Cow<'static, str> {
        match self {
            Self::Missing => "Enter your user name and your password.".into(),
            Self::Wrong => "The user name or the password is not right. Check both and try again.".into(),
            Self::WrongCode => {
                "This code is not right, or it was used before. Wait for the next one and try again.".into()
            }
            Self::WrongPasskey => {
                "This passkey cannot be used here, or it took too long. Try again, or another way.".into()
            }
            Self::Provider(Failure::Wait(retry_after)) => Self::Throttled { retry_after }.text(),
            Self::Provider(Failure::Away) => {
                "That provider does not answer as it should. Try again later, or sign in another way.".into()
            }
            Self::Provider(Failure::Wrong) => {
                "That sign-in took too long, or its answer was not for this browser. Please try again.".into()
            }
            Self::Provider(Failure::Denied) => {
                "You were not signed in there. Try again, or sign in another way.".into()
            }
            Self::Provider(Failure::Unknown) => {
                "Nobody here has that account. Sign in another way first, and add it under Second factor in your account.".into()
            }
            Self::Provider(Failure::Taken) => {
                "That account belongs to somebody else here. Use another one, or sign in another way.".into()
            }
            Self::Throttled { retry_after } => {
                format!("Too many attempts. Wait {} and try again.", time_in_words(retry_after)).into()
            }
            Self::Busy { retry_after } => {
                format!("Many people are signing in right now. Try again in {}.", time_in_words(retry_after))
                    .into()
            }
        }
    }
}

/// A scope word as people read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeInWords {
    /// A short phrase.
    pub title: Cow<'static, str>,
    /// What it lets the app do, one sentence.
    pub explanation: &'static str,
}

impl ScopeInWords {
    /// The phrase for `word`. A word that is not of OpenID Connect belongs to somebody's API: it is shown as it is.
    pub fn of(word: &str) -> Self {
        let (title, explanation) = match word {
            "openid" => ("Know that it is you", "An identifier for your account, and when you signed in."),
            "profile" => ("See your profile", "Your name, your user name and other details of your profile."),
            "email" => ("See your e-mail address", "The address, and whether it has been verified."),
            "phone" => ("See your phone number", "The number, and whether it has been verified."),
            "address" => ("See your postal address", "The address in your profile."),
            "offline_access" => ("Stay connected", "Use this access also while you are away."),
            other => {
                let explanation =
                    "A permission of a service that trusts this sign-in. Ask the app what it is for.";
                return Self { title: other.to_owned().into(), explanation };
            }
        };
        Self { title: title.into(), explanation }
    }

    /// The short phrase in a language; a word of somebody's API stays as it is.
    pub fn title_in(&self, lang: Lang) -> Cow<'_, str> {
        if matches!(self.title, Cow::Borrowed(_)) {
            lang.say(&self.title)
        } else {
            Cow::Borrowed(&self.title)
        }
    }

    /// The phrases of a whole scope: who the person is, from the least to the most telling; then what the app's own services
    /// allow; and last for how long, because it holds for everything above it.
    pub fn list<'a>(words: impl Iterator<Item = &'a str>) -> Vec<Self> {
        const PERSON: [&str; 5] = ["openid", "profile", "email", "phone", "address"];
        let place = |word: &str| match PERSON.iter().position(|known| *known == word) {
            Some(place) => place,
            None if word == "offline_access" => PERSON.len() + 1,
            None => PERSON.len(),
        };
        let mut words: Vec<&str> = words.collect();
        words.sort_by_key(|word| (place(word), *word));
        words.into_iter().map(Self::of).collect()
    }
}

/// How long an app keeps what it is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLife {
    /// Until the person signs out.
    Session,
    /// `offline_access`: so many seconds at most, signed in or not (OIDC Core §11).
    Offline {
        /// Seconds.
        seconds: i64,
    },
}

impl AccessLife {
    /// The sentence that the page shows.
    pub fn text(self) -> Cow<'static, str> {
        match self {
            Self::Session => "Until you sign out.".into(),
            Self::Offline { seconds } => {
                format!("For up to {}, also after you sign out.", time_in_words(seconds)).into()
            }
        }
    }
}

/// How long a new password has to be.
pub fn at_least(characters: impl Display) -> String {
    format!("At least {characters} characters.")
}

/// Why a request ends at a page of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedReason {
    /// `client_id` is missing.
    NoClient,
    /// `client_id` is malformed, unknown or disabled.
    UnknownClient,
    /// `redirect_uri` is missing.
    NoRedirectUri,
    /// `redirect_uri` is not registered.
    BadRedirectUri,
    /// Another request that cannot be answered by a redirect.
    BadRequest,
    /// The pending request waited too long, or was answered before.
    ExpiredRequest,
    /// The CSRF token does not belong to this browser (S-L8: nor does the request).
    ForgedForm,
    /// A one-time link that was used, is too old or never was.
    LinkSpent,
    /// The same, of the link that makes the first administrator: nobody may be there yet who could be asked.
    SetUpSpent,
    /// Where to go after the sign-out cannot be trusted (S-O2).
    BadSignOut,
    /// The `id_token_hint` of a sign-out is not one of ours, or not the app's.
    BadSignOutHint,
    /// Signed in, but this is not theirs to do.
    NotAllowed,
    /// 404.
    NotFound,
    /// 405.
    WrongMethod,
    /// 413.
    TooLarge,
    /// 429; seconds to wait.
    TooOften {
        /// Seconds.
        retry_after: i64,
    },
    /// 503.
    Unavailable,
    /// 500.
    Fault,
}

impl RefusedReason {
    /// Heading, what happened, what to do. Stable: tests and help pages quote them.
    const fn row(self) -> (&'static str, &'static str, &'static str) {
        const BACK: &str = "Go back to the app and start again.";
        const TELL_APP: &str = "If you came from an app, tell the people who run it, with the details below.";
        match self {
            Self::NoClient => (
                "This app did not say who it is",
                "Its request names no app: client_id is missing.",
                TELL_APP,
            ),
            Self::UnknownClient => (
                "This app is not known here",
                "The app that sent you is not registered with this server.",
                TELL_APP,
            ),
            Self::NoRedirectUri => (
                "This app did not say where to send you",
                "Its request has no address for the answer: redirect_uri is missing.",
                TELL_APP,
            ),
            Self::BadRedirectUri => (
                "This app cannot be trusted with an answer",
                "It asked us to send you to an address that is not registered for it, so we stopped here.",
                TELL_APP,
            ),
            Self::BadRequest => {
                ("This request is not valid", "The app sent a request that we cannot read.", TELL_APP)
            }
            Self::ExpiredRequest => {
                ("This sign-in has expired", "It waited for too long, or it has already been finished.", BACK)
            }
            Self::ForgedForm => (
                "This form did not come from your browser",
                "Cookies may be switched off, or the page was opened in another browser or long ago.",
                "Go back, reload the page and try again.",
            ),
            Self::LinkSpent => (
                "This link no longer works",
                "It has been used, or it is too old.",
                "Ask your administrator for a new one.",
            ),
            Self::SetUpSpent => (
                "This link no longer works",
                "It has been used, or it is too old.",
                "While there is no administrator, restarting the server prints a new one. After that, sign in, or ask an \
                 administrator.",
            ),
            Self::BadSignOut => (
                "We cannot send you back to the app",
                "After signing out, it wanted you at an address that is not registered for it.",
                TELL_APP,
            ),
            Self::BadSignOutHint => (
                "We cannot tell who asks to sign you out",
                "The proof that the app sent along is not one of ours, or not the app's own, so nothing was done.",
                TELL_APP,
            ),
            Self::NotAllowed => (
                "You may not do this",
                "Your account does not have the permission.",
                "Ask your administrator.",
            ),
            Self::NotFound => {
                ("There is nothing here", "The address is not one of ours.", "Check it for a typing error.")
            }
            Self::WrongMethod => {
                ("This address works differently", "It does not answer this kind of request.", TELL_APP)
            }
            Self::TooLarge => ("This request is too large", "It is longer than we read.", TELL_APP),
            Self::TooOften { .. } => {
                ("Too many attempts", "To keep accounts safe, we slow down repeated tries.", "")
            }
            Self::Unavailable => (
                "We cannot answer right now",
                "Nothing is lost. The server is busy, or a part of it is away.",
                "Wait a moment and try again.",
            ),
            Self::Fault => (
                "Something went wrong on our side",
                "It has been written down, and it is not your fault.",
                "Try again. If it happens again, tell your administrator, with the details below.",
            ),
        }
    }

    /// The page's heading.
    pub const fn heading(self) -> &'static str {
        self.row().0
    }

    /// What happened.
    pub const fn text(self) -> &'static str {
        self.row().1
    }

    /// What the person can do.
    pub fn advice(self) -> Cow<'static, str> {
        match self {
            Self::TooOften { retry_after } => {
                format!("Wait {} and try again.", time_in_words(retry_after)).into()
            }
            other => other.row().2.into(),
        }
    }
}

/// The first letter or digit, in upper case; a mark of ours where a name has none.
pub(super) fn first_letter(name: &str) -> String {
    name.chars().find(|c| c.is_alphanumeric()).map_or_else(|| "•".to_owned(), |c| c.to_uppercase().collect())
}

/// A text cut behind each `@` and before each dot, where a reader expects an address to go on in the next line.
pub(super) fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.char_indices().skip(1).find_map(|(at, c)| {
        let behind = rest.get(..at).is_some_and(|before| before.ends_with('@'));
        (behind || c == '.').then_some(at)
    }) {
        let (piece, next) = rest.split_at(at);
        pieces.push(piece);
        rest = next;
    }
    pieces.push(rest);
    pieces
}

/// Seconds as people say them, rounded up so that a wait is never too short: `45 seconds`, `2 minutes`, `90 days`.
fn time_in_words(seconds: i64) -> String {
    let seconds = seconds.max(1);
    let (size, unit) = match seconds {
        ..120 => (1, "second"),
        120..7_200 => (60, "minute"),
        7_200..172_800 => (3_600, "hour"),
        _ => (86_400, "day"),
    };
    let count = seconds / size + i64::from(seconds % size != 0);
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_never_told_too_short() {
        for (seconds, words) in [
            (-5, "1 second"),
            (1, "1 second"),
            (119, "119 seconds"),
            (120, "2 minutes"),
            (121, "3 minutes"),
            (7_200, "2 hours"),
            (172_800, "2 days"),
            (90 * 86_400, "90 days"),
            (i64::MAX, "106751991167301 days"),
        ] {
            assert_eq!(time_in_words(seconds), words);
        }
    }

    #[test]
    fn a_name_is_stood_for_by_its_first_letter() {
        for (name, letter) in [("notes", "N"), ("  \u{202e}évian", "É"), ("<7>", "7"), ("", "•"), ("🙂", "•")]
        {
            assert_eq!(first_letter(name), letter);
        }
    }

    #[test]
    fn an_address_is_cut_where_a_reader_expects_it() {
        for (text, cut) in [
            ("carol@example.com", &["carol@", "example", ".com"][..]),
            ("ada.lovelace@mail.example.org", &["ada", ".lovelace@", "mail", ".example", ".org"]),
            ("ada", &["ada"]),
            ("", &[""]),
            (".@.é@", &[".@", ".é@"]),
        ] {
            assert_eq!(pieces(text), cut);
            assert_eq!(pieces(text).concat(), text);
        }
    }

    #[test]
    fn scopes_begin_with_the_person_and_end_with_the_time() {
        let words = ["address", "email", "offline_access", "openid", "orders:read", "a", "phone", "profile"];
        let order = ["openid", "profile", "email", "phone", "address", "a", "orders:read", "offline_access"];
        assert_eq!(ScopeInWords::list(words.into_iter()), order.map(ScopeInWords::of));
        assert_eq!(ScopeInWords::list(["b", "a"].into_iter()), ["a", "b"].map(ScopeInWords::of));
    }

    #[test]
    fn a_scope_of_an_api_is_shown_as_it_is() {
        assert_eq!(ScopeInWords::of("orders:read").title, "orders:read");
        assert_ne!(ScopeInWords::of("email").title, "email");
    }
}
