//! Pages about one's own account. Shared here: the words that follow an act, and what is wrong with a field.

pub(super) mod activity;
pub(super) mod apps;
pub(super) mod email;
pub(super) mod identities;
pub(super) mod passkeys;
pub(super) mod password;
pub(super) mod profile;
pub(super) mod security;
pub(super) mod sessions;

use std::borrow::Cow;

use actix_web::HttpRequest;

use super::extract;
use super::pages::{FieldProblem, Problems};
use crate::flow::own_account::Refused;
use crate::oauth::error::OAuthError;

/// What was done, by the word in `?done=…`.
const DONE: [(&str, &str); 13] = [
    ("saved", "It is saved."),
    ("link-sent", "We sent a link to that address. It works for an hour."),
    ("password", "Your password is changed. You are signed in here and nowhere else."),
    ("session-ended", "That session is signed out."),
    ("others-ended", "You are signed in here and nowhere else."),
    ("totp-removed", "The authenticator app is taken away, and the recovery codes with it."),
    (
        "factor-needed",
        "Your organization asks for a second factor. Set one up; then go back to the app that you came from and start again.",
    ),
    ("passkey-added", "The passkey is added. You are signed in here and nowhere else."),
    ("passkey-renamed", "The passkey has its new name."),
    ("passkey-removed", "The passkey is removed. You are signed in here and nowhere else."),
    ("identity-added", "You can sign in with that account from now on."),
    (
        "identity-removed",
        "That account does not sign you in any more. You are signed in here and nowhere else.",
    ),
    ("app-revoked", "That app has no access any more."),
];

/// The friendly word that a page begins with after an act.
fn done(req: &HttpRequest) -> Option<Cow<'static, str>> {
    let query = extract::query(req).ok()?;
    let word = query.get("done")?;
    DONE.iter().find(|(known, _)| *known == word).map(|(_, text)| Cow::Borrowed(*text))
}

/// What is wrong, as a page shows it; `Err` where it is nothing that another try mends.
fn problems(refused: Refused, waits: &'static str) -> Result<Problems, OAuthError> {
    let (field, problem) = match refused {
        Refused::Error(error) => return Err(error),
        Refused::Field(field, problem) => (field, problem),
        Refused::Wait(seconds) => {
            let (number, unit) =
                if seconds < 120 { (seconds, "seconds") } else { (seconds / 60 + 1, "minutes") };
            (waits, format!("too many tries; wait {number} {unit} and try again"))
        }
    };
    Ok(Problems(vec![FieldProblem { field, problem: problem.into() }]))
}
