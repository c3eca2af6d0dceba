//! Passkeys on pages: what a page asks the browser for, and a person's own.

use askama::Template;

use super::{Problems, Seated, When};
use crate::flow::passkeys::Ask;

/// What a page asks the browser for; `passkey.js` does it.
#[derive(Clone)]
pub struct PasskeyAsk {
    /// The options, as JSON.
    pub options: String,
    /// The challenge, sealed: a hidden input.
    pub challenge: String,
}

impl From<Ask> for PasskeyAsk {
    fn from(Ask { options, challenge }: Ask) -> Self {
        Self { options, challenge }
    }
}

/// A passkey in the list.
#[derive(Clone)]
pub struct PasskeyLine {
    /// Its id, in base64url.
    pub id: String,
    /// What its person calls it.
    pub name: String,
    /// When it was added.
    pub added: When,
    /// When it was used last.
    pub used: Option<When>,
}

/// A person's passkeys: input `name`, button `passkey-add`; for each a form to rename and one to remove it.
#[derive(Clone, Template)]
#[template(path = "account/passkeys.html")]
pub struct Passkeys {
    /// Common to all pages of somebody who is signed in.
    pub seat: Seated,
    /// Those that there are, the oldest first.
    pub passkeys: Vec<PasskeyLine>,
    /// A new one; none where there cannot be any, or no more.
    pub ask: Option<PasskeyAsk>,
    /// Whether there can be passkeys at this server's address.
    pub possible: bool,
    /// Kept from the last try to add one.
    pub name: String,
    /// What went wrong at the last try.
    pub problems: Problems,
}
