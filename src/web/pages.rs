//! The pages: one struct for each template, and the words that pages choose among.
//!
//! A page holds what it shows and decides nothing; handlers fill it and call [`askama::Template::render`].
//! Every value is escaped because templates end in `.html` (S-A27); and a page is given nothing that it does not show.
//! Fixed words live in `words` or in the templates, so that people and tests meet the same text each time.

use std::borrow::Cow;

use askama::Template;

pub use self::account::{
    Activity, AppLine, Apps, ChangeEmail, ChangePassword, DevMail, EventLine, ForgotPassword, MailLine,
    MailShown, Profile, SessionLine, Sessions, VerifyEmail, When,
};
pub use self::console::{Confirm, Seated};
pub use self::factors::{AddTotp, RecoveryCodes, SecondFactor, Security};
pub use self::keys::{
    Amiss, EXPIRES, Example, Key, KeyEdit, KeyMade, KeyNew, KeyRevoke, KeyRotate, KeyRow, Keys, LIMITS,
    LimitRow, OVERLAPS, TypedKey,
};
pub use self::lang::Lang;
pub use self::moment::Moment;
pub use self::passkeys::{PasskeyAsk, PasskeyLine, Passkeys};
pub use self::plot::{Plot, Spark};
pub use self::providers::{Away, IdentityLine, ProviderButton};
pub use self::usage::{UsageChoice, UsagePage, class_words, outcome_words};
pub use self::words::{AccessLife, RefusedReason, ScopeInWords, SignInProblem, at_least};
use self::words::{first_letter, pieces};

mod account;
mod console;
pub mod desk;
mod factors;
mod keys;
mod lang;
mod moment;
mod passkeys;
mod plot;
mod providers;
mod usage;
mod words;

/// What every page carries.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The language.
    pub lang: Lang,
    /// The name of this installation: `CloudNexus Identity`.
    pub product: String,
    /// The address of the organization's logo, where it has one.
    pub logo: Option<String>,
    /// The address of the style that gives pages the organization's colour, where it has one.
    pub style: Option<String>,
    /// The host of the issuer, which the foot of the page names, so that people can compare it with the address bar.
    pub host: String,
}

impl Frame {
    /// Our words in the page's language: `english` stands in `templates/words/`, which a test holds complete.
    pub fn t<'a>(&self, english: &'a str) -> Cow<'a, str> {
        self.lang.say(english)
    }
}

/// Where a form goes, and the hidden inputs that every form of ours carries.
///
/// Neither this nor any page has `Debug`: tokens, one-time links and codes stand in pages and must not reach a log.
#[derive(Clone)]
pub struct Form {
    /// A path of ours: `/sign-in`. Never from a request, hence static.
    pub action: &'static str,
    /// Input `csrf_token` (S-H rules on cross-site requests).
    pub csrf_token: String,
    /// Input `request`: the sealed request that waits for this answer; may be empty.
    pub request: String,
}

/// The app that asks (an OAuth client in the words of the specification).
#[derive(Clone, Debug)]
pub struct AskingApp {
    /// `client_name`.
    pub name: String,
    /// Whether it is surely the app that an administrator registered (S-A31).
    pub publisher_verified: bool,
    /// The host of `client_uri`: whose app it is, where the registration says so and it is surely that app.
    pub site: Option<String>,
    /// `policy_uri`, checked to be https at registration (R64).
    pub policy_url: Option<String>,
    /// `tos_uri`, checked to be https at registration (R64).
    pub terms_url: Option<String>,
}

impl AskingApp {
    /// The letter that stands for the app: its logo would be third-party content (S-H11).
    pub fn letter(&self) -> String {
        first_letter(&self.name)
    }
}

/// The person whom the session belongs to.
#[derive(Clone, Debug)]
pub struct Person {
    /// The full name, or the user name where there is none.
    pub name: String,
    /// What they sign in with: e-mail or user name.
    pub login: String,
}

impl Person {
    /// The login in pieces that a narrow page may put on lines of their own: `carol@`, `example`, `.com`.
    pub fn login_pieces(&self) -> Vec<&str> {
        pieces(&self.login)
    }

    /// The letter that stands for the person.
    pub fn letter(&self) -> String {
        first_letter(&self.name)
    }
}

/// What is wrong with one input of a form.
#[derive(Clone, Debug)]
pub struct FieldProblem {
    /// The input's name.
    pub field: &'static str,
    /// What is allowed, as a sentence.
    pub problem: Cow<'static, str>,
}

/// Everything that is wrong with a form, in the order of its inputs; empty at the first visit.
#[derive(Clone, Debug, Default)]
pub struct Problems(pub Vec<FieldProblem>);

impl Problems {
    /// What is wrong with the input `field`, if anything.
    pub fn of(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|problem| problem.field == field).map(|problem| problem.problem.as_ref())
    }

    /// Whether `field` is the first that is wrong: the cursor waits there.
    pub fn is_first(&self, field: &str) -> bool {
        self.0.first().is_some_and(|problem| problem.field == field)
    }
}

/// Sign-in: inputs `username`, `password`; button `sign-in-submit`. Or a passkey: button `sign-in-passkey`, a form of its own.
#[derive(Clone, Template)]
#[template(path = "sign_in.html")]
pub struct SignIn {
    /// Common to all pages.
    pub frame: Frame,
    /// To `/sign-in`.
    pub form: Form,
    /// Who asks; `None` for a sign-in to our own pages.
    pub app: Option<AskingApp>,
    /// Kept from the last try, or from `login_hint`, or of who is signed in.
    pub username: String,
    /// Who is signed in, where the app wants a fresh sign-in of theirs (`prompt=login`, `max_age`).
    pub again: Option<Person>,
    /// Input `next`: the page of ours that was asked for; may be empty.
    pub next: String,
    /// Whether this server sends mail, so that a forgotten password can be replaced by a link.
    pub mail: bool,
    /// A passkey, where there can be any.
    pub passkey: Option<PasskeyAsk>,
    /// Other providers: a form for each, button `sign-in-with-ID`.
    pub providers: Vec<ProviderButton>,
    /// A friendly word from us, such as "Your password is set."
    pub notice: Option<&'static str>,
    /// What went wrong at the last try.
    pub problem: Option<SignInProblem>,
}

impl SignIn {
    /// Whether the inputs themselves are wrong, which is what `aria-invalid` tells; a wait is nobody's typing error.
    fn input_is_wrong(&self) -> bool {
        matches!(self.problem, Some(SignInProblem::Missing | SignInProblem::Wrong))
    }
}

/// Choice of the account: two forms with a hidden `account` of `current` or `other`; buttons `account-current`,
/// `account-other`.
#[derive(Clone, Template)]
#[template(path = "select_account.html")]
pub struct SelectAccount {
    /// Common to all pages.
    pub frame: Frame,
    /// Where both answers go.
    pub form: Form,
    /// Who asks.
    pub app: Option<AskingApp>,
    /// Who is signed in.
    pub person: Person,
}

/// Consent: three forms with a hidden `decision` of `allow`, `deny` or `switch`; buttons `consent-allow`,
/// `consent-deny`, `consent-switch`.
#[derive(Clone, Template)]
#[template(path = "consent.html")]
pub struct Consent {
    /// Common to all pages.
    pub frame: Frame,
    /// To `/consent`.
    pub form: Form,
    /// Who asks.
    pub app: AskingApp,
    /// The host of the redirect URI, or its scheme where it has no host (`com.example.app`).
    pub redirect_host: String,
    /// The redirect URI leads to an app on the person's own device, so that its host says nothing (S-A33).
    pub on_this_device: bool,
    /// What is asked for.
    pub scopes: Vec<ScopeInWords>,
    /// For how long.
    pub lasts: AccessLife,
    /// Who is signed in.
    pub person: Person,
}

impl Consent {
    /// What a scope is called in the page's language.
    fn title<'a>(&self, scope: &'a ScopeInWords) -> Cow<'a, str> {
        scope.title_in(self.frame.lang)
    }
}

/// A request that ends here. Never a redirect (RFC 6749 §4.1.2.1).
#[derive(Clone, Template)]
#[template(path = "refused.html")]
pub struct Refused {
    /// Common to all pages.
    pub frame: Frame,
    /// Which words.
    pub reason: RefusedReason,
    /// The error code for developers: `invalid_request`, `not_found`.
    pub code: &'static str,
    /// What exactly is wrong, for developers; it names the parameter and what is allowed.
    pub detail: Option<String>,
    /// `X-Request-Id` of this answer.
    pub request_id: String,
    /// The person may have wanted to sign out: the way to do it here is shown.
    pub sign_out: bool,
}

/// The answer of `response_mode=form_post` (OAuth 2.0 Form Post Response Mode §2).
#[derive(Clone, Template)]
#[template(path = "form_post.html")]
pub struct FormPost {
    /// Common to all pages.
    pub frame: Frame,
    /// The checked redirect URI.
    pub action: String,
    /// The parameters of the answer: name and value.
    pub fields: Vec<(&'static str, String)>,
    /// Who gets it; may be empty where the name is not at hand.
    pub app_name: String,
}

/// Confirmation of a sign-out; button `sign-out-confirm`.
#[derive(Clone, Template)]
#[template(path = "sign_out.html")]
pub struct SignOut {
    /// Common to all pages.
    pub frame: Frame,
    /// To `/sign-out`.
    pub form: Form,
    /// Who is signed in.
    pub person: Person,
    /// The app that asks for it, where it is known.
    pub app_name: Option<String>,
}

/// After a sign-out.
#[derive(Clone, Template)]
#[template(path = "signed_out.html")]
pub struct SignedOut {
    /// Common to all pages.
    pub frame: Frame,
}

/// The first administrator; inputs `email`, `username`, `name`, `password`, hidden `link`; button `set-up-submit`.
#[derive(Clone, Template)]
#[template(path = "set_up.html")]
pub struct SetUp {
    /// Common to all pages.
    pub frame: Frame,
    /// To `/set-up`.
    pub form: Form,
    /// Input `link`: the one-time link's own token.
    pub link: String,
    /// Kept from the last try.
    pub email: String,
    /// Kept from the last try.
    pub username: String,
    /// Kept from the last try.
    pub name: String,
    /// Characters that a password needs at least.
    pub min_length: usize,
    /// What went wrong at the last try.
    pub problems: Problems,
}

/// A new password through a one-time link; input `password`, hidden `link`; button `set-password-submit`.
#[derive(Clone, Template)]
#[template(path = "set_password.html")]
pub struct SetPassword {
    /// Common to all pages.
    pub frame: Frame,
    /// To `/set-password`.
    pub form: Form,
    /// Input `link`: the one-time link's own token.
    pub link: String,
    /// Whose password it is; password managers read it.
    pub username: String,
    /// Characters that a password needs at least.
    pub min_length: usize,
    /// What went wrong at the last try.
    pub problems: Problems,
}

#[cfg(test)]
mod desk_samples;
#[cfg(test)]
mod german_tests;
#[cfg(test)]
mod key_samples;
#[cfg(test)]
mod passkey_samples;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod samples_account;
#[cfg(test)]
mod tests;
