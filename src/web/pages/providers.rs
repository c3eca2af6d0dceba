//! Other providers on pages: their buttons, the page on the way to one, and a person's own accounts there.

use askama::Template;

use super::{Frame, When};
use crate::oauth::upstream::Provider;

/// A provider as a button.
#[derive(Clone)]
pub struct ProviderButton {
    /// Its id, in the form's address.
    pub id: String,
    /// Its name.
    pub name: String,
}

impl From<Provider> for ProviderButton {
    fn from(Provider { id, name, .. }: Provider) -> Self {
        Self { id, name }
    }
}

/// The page on the way to a provider: it goes there by itself; link `away-go`.
///
/// Browsers hold whatever a form leads to, over any number of redirects, to `form-action`, and nobody knows all the hosts that a provider
/// sends people over: so it is no redirect.
#[derive(Clone, Template)]
#[template(path = "away.html")]
pub struct Away {
    /// Common to all pages.
    pub frame: Frame,
    /// The provider's name.
    pub name: String,
    /// The address there, checked to be https when its metadata was read.
    pub url: String,
}

/// An account elsewhere that opens a person's: hidden `issuer` and `subject`.
#[derive(Clone)]
pub struct IdentityLine {
    /// Input `issuer`.
    pub issuer: String,
    /// Input `subject`.
    pub subject: String,
    /// The provider's name.
    pub name: String,
    /// The address that it gave.
    pub email: Option<String>,
    /// Whether one signs in by it now.
    pub works: bool,
    /// When it was added.
    pub added: When,
    /// When it was used last.
    pub used: Option<When>,
}
