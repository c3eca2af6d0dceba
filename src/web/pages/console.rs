//! What every page of somebody who is signed in carries: who they are, what they may open, where they are.

use std::borrow::Cow;

use askama::Template;

use super::{Frame, PasskeyAsk, Person, SignInProblem};
use crate::account::role::Role;

/// The frame of the console and of the account pages.
#[derive(Clone)]
pub struct Seated {
    /// Common to all pages.
    pub frame: Frame,
    /// Who is signed in.
    pub person: Person,
    /// What they may do.
    pub role: Role,
    /// The address of the page that this one belongs to in the menu: `/console/keys`.
    pub here: &'static str,
    /// Input `csrf_token` of every form.
    pub csrf_token: String,
    /// A friendly word from us about what was just done.
    pub notice: Option<Cow<'static, str>>,
}

/// An entry of the menu.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Its address.
    pub path: &'static str,
    /// Its name, in English.
    pub name: &'static str,
    /// Who finds it there.
    pub least: Role,
}

const fn place(path: &'static str, name: &'static str, least: Role) -> Place {
    Place { path, name, least }
}

/// The console.
const CONSOLE: &[Place] = &[
    place("/console/keys", "API Keys & Authentication", Role::Member),
    place("/console/usage", "Usage", Role::Member),
    place("/console/apps", "Apps", Role::Admin),
    place("/console/service-accounts", "Service accounts", Role::Admin),
    place("/console/people", "People", Role::Admin),
    place("/console/sessions", "Sign-ins", Role::Admin),
    place("/console/signing-keys", "Signing keys", Role::Admin),
    place("/console/audit", "Audit", Role::Admin),
    place("/console/explain", "Explain", Role::Admin),
    place("/console/organization", "Organization", Role::Admin),
];

/// The person's own account.
const ACCOUNT: &[Place] = &[
    place("/account", "Profile", Role::Member),
    place("/account/password", "Password", Role::Member),
    place("/account/security", "Second factor", Role::Member),
    place("/account/passkeys", "Passkeys", Role::Member),
    place("/account/sessions", "Where you are signed in", Role::Member),
    place("/account/apps", "Connected apps", Role::Member),
    place("/account/activity", "Recent activity", Role::Member),
];

impl Seated {
    /// Our words in the page's language.
    pub fn t<'a>(&self, english: &'a str) -> Cow<'a, str> {
        self.frame.t(english)
    }

    /// What this person finds in the console, and of their own account: each menu with its name.
    pub fn menus(&self) -> Vec<(&'static str, Vec<Place>)> {
        let all = [("Console", CONSOLE), ("Your account", ACCOUNT)];
        all.into_iter()
            .map(|(name, places)| {
                (name, places.iter().filter(|place| self.role >= place.least).copied().collect::<Vec<_>>())
            })
            .filter(|(_, places)| !places.is_empty())
            .collect()
    }

    /// Whether they administrate the server.
    pub fn is_admin(&self) -> bool {
        self.role.is_admin()
    }
}

/// "Confirm that it is you", before something dangerous: input `confirm_password`, button `confirm-submit`, or a passkey, button
/// `confirm-passkey`; and what was posted in hidden inputs, so that nothing that was typed is lost.
#[derive(Clone, Template)]
#[template(path = "confirm.html")]
pub struct Confirm {
    /// Common to all pages of somebody who is signed in.
    pub seat: Seated,
    /// To the address that was posted to.
    pub action: String,
    /// What was posted: name and value.
    pub fields: Vec<(String, String)>,
    /// Whether a password will do.
    pub password: bool,
    /// Whether a code is asked for too: input `confirm_code`.
    pub code: bool,
    /// A passkey, which will do as well.
    pub passkey: Option<PasskeyAsk>,
    /// Where they sign in again through another provider, where they have an account of theirs there.
    pub elsewhere: Option<String>,
    /// What went wrong at the last try.
    pub problem: Option<SignInProblem>,
}
