//! The pages of a person's own account, those behind links that they are sent, and the mails of a server in development.

use std::borrow::Cow;

use askama::Template;

use super::{Form, Frame, Lang, Problems, ScopeInWords, Seated};
use crate::base::time::Timestamp;

/// A moment as pages show it.
#[derive(Clone, Debug)]
pub struct When {
    /// For machines (RFC 3339).
    pub machine: String,
    /// For people: `2026-11-26 07:40 UTC`.
    pub text: String,
}

impl When {
    /// This moment.
    pub fn at(moment: Timestamp) -> Self {
        let machine = moment.to_rfc3339();
        let text = match (machine.get(..10), machine.get(11..16)) {
            (Some(day), Some(time)) => format!("{day} {time} UTC"),
            _ => machine.clone(),
        };
        Self { machine, text }
    }
}

/// A person's own page: inputs `name`, `locale`; button `profile-save`.
#[derive(Clone, Template)]
#[template(path = "account/profile.html")]
pub struct Profile {
    /// Common to all pages of somebody who is signed in.
    pub seat: Seated,
    /// The user name.
    pub username: String,
    /// The name to show, as it is or as it was typed.
    pub name: String,
    /// The language that is chosen.
    pub locale: Lang,
    /// The address, where there is one.
    pub email: Option<String>,
    /// Whether the address was verified.
    pub email_verified: bool,
    /// An address that waits to be confirmed.
    pub waiting: Option<String>,
    /// Whether this server sends mail.
    pub mail: bool,
    /// What went wrong at the last try.
    pub problems: Problems,
}

impl Profile {
    /// The languages: tag, own name, whether it is the chosen one.
    fn languages(&self) -> Vec<(&'static str, &'static str, bool)> {
        Lang::ALL.into_iter().map(|lang| (lang.tag(), lang.name(), lang == self.locale)).collect()
    }
}

/// Another address: input `email`; button `email-save`.
#[derive(Clone, Template)]
#[template(path = "account/email.html")]
pub struct ChangeEmail {
    /// Common to all pages of somebody who is signed in.
    pub seat: Seated,
    /// The present address, where there is one.
    pub present: Option<String>,
    /// Kept from the last try; the present address where it waits to be confirmed.
    pub email: String,
    /// Whether this server sends mail.
    pub mail: bool,
    /// What went wrong at the last try.
    pub problems: Problems,
}

/// Another password: inputs `current_password` where there is one, `password`; button `password-save`.
#[derive(Clone, Template)]
#[template(path = "account/password.html")]
pub struct ChangePassword {
    /// Common to all pages of somebody who is signed in.
    pub seat: Seated,
    /// Whose it is; password managers read it.
    pub username: String,
    /// Whether they have one yet.
    pub has_password: bool,
    /// Characters that it needs at least.
    pub min_length: usize,
    /// What went wrong at the last try.
    pub problems: Problems,
}

impl ChangePassword {
    /// What is needed.
    fn hint(&self) -> String {
        format!(
            "At least {} characters. A few words that only you would put together are easy to keep in mind and hard to guess.",
            self.min_length
        )
    }
}

/// A sign-in in the list.
#[derive(Clone, Debug)]
pub struct SessionLine {
    /// Input `session`.
    pub id: String,
    /// The browser in words; `None` where we do not know it.
    pub browser: Option<String>,
    /// From where it began.
    pub address: Option<String>,
    /// When it began.
    pub began: When,
    /// When it was last used.
    pub seen: When,
    /// Whether it is the one that looks at the page.
    pub is_this: bool,
}

/// Where a person is signed in: a form for each other session with a hidden `session`, and one for all of them.
#[derive(Clone, Template)]
#[template(path = "account/sessions.html")]
pub struct Sessions {
    /// Common to all pages of somebody who is signed in.
    pub seat: Seated,
    /// The sessions, newest first.
    pub sessions: Vec<SessionLine>,
    /// Whether there are others than this one.
    pub others: bool,
    /// Where the next page begins.
    pub next: Option<String>,
}

/// An app in the list.
#[derive(Clone, Debug)]
pub struct AppLine {
    /// Input `client`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it may, in words.
    pub scopes: Vec<ScopeInWords>,
    /// Since when.
    pub since: When,
    /// When it last got a token.
    pub used: Option<When>,
}

/// Apps that may act for a person: a form for each with a hidden `client`.
#[derive(Clone, Template)]
#[template(path = "account/apps.html")]
pub struct Apps {
    /// Common to all pages of somebody who is signed in.
    pub seat: Seated,
    /// The apps, by name.
    pub apps: Vec<AppLine>,
}

/// An event in the list.
#[derive(Clone, Debug)]
pub struct EventLine {
    /// When.
    pub at: When,
    /// What, in words of ours; its name where we have none.
    pub what: Cow<'static, str>,
    /// To what else, where it was not the account itself.
    pub subject: Option<String>,
    /// Who, in words of ours.
    pub who: &'static str,
    /// From where.
    pub address: Option<String>,
}

/// What happened to a person's account lately.
#[derive(Clone, Template)]
#[template(path = "account/activity.html")]
pub struct Activity {
    /// Common to all pages of somebody who is signed in.
    pub seat: Seated,
    /// The events, newest first.
    pub events: Vec<EventLine>,
    /// Where the next page begins.
    pub next: Option<i64>,
}

/// Asking for a link: input `username`; button `forgot-submit`.
#[derive(Clone, Template)]
#[template(path = "forgot_password.html")]
pub struct ForgotPassword {
    /// Common to all pages.
    pub frame: Frame,
    /// To `/forgot-password`.
    pub form: Form,
    /// Kept from the last try.
    pub username: String,
    /// Whether this server sends mail; else it is said whom to ask.
    pub mail: bool,
    /// It was asked for.
    pub sent: bool,
    /// What went wrong: nothing was typed, or too often.
    pub problem: Option<String>,
}

/// Confirming an address: hidden `link`; button `verify-email-submit`.
#[derive(Clone, Template)]
#[template(path = "verify_email.html")]
pub struct VerifyEmail {
    /// Common to all pages.
    pub frame: Frame,
    /// To `/verify-email`.
    pub form: Form,
    /// Input `link`: the one-time link's own token.
    pub link: String,
    /// The address.
    pub email: String,
    /// It was confirmed.
    pub done: bool,
    /// What went wrong: somebody else has the address by now.
    pub problem: Option<&'static str>,
}

/// A line of a mail: text, or a link of ours alone.
#[derive(Clone, Debug)]
pub enum MailLine {
    /// Text.
    Text(String),
    /// A link that leads here.
    Link(String),
}

/// A mail of the folder.
#[derive(Clone)]
pub struct MailShown {
    /// To whom.
    pub to: String,
    /// Its subject.
    pub subject: String,
    /// When, as it says itself.
    pub date: String,
    /// What it says.
    pub lines: Vec<MailLine>,
}

/// The mails that a server in development wrote instead of sending them.
#[derive(Clone, Template)]
#[template(path = "dev_mail.html")]
pub struct DevMail {
    /// Common to all pages.
    pub frame: Frame,
    /// The newest first.
    pub mails: Vec<MailShown>,
}
