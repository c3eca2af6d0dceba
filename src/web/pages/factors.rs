//! The pages of second factors by code: at the sign-in, and in one's own account.

use askama::Template;

use super::{Form, Frame, IdentityLine, PasskeyAsk, Problems, ProviderButton, Seated, SignInProblem, When};
use crate::account::totp::Picture;

/// The second step of a sign-in: input `code`, hidden `half` and `next`; button `second-factor-submit`. Or a passkey: button
/// `second-factor-passkey`, a form of its own.
#[derive(Clone, Template)]
#[template(path = "second_factor.html")]
pub struct SecondFactor {
    /// Common to all pages.
    pub frame: Frame,
    /// To `/sign-in/second-factor`.
    pub form: Form,
    /// The first step, sealed.
    pub half: String,
    /// The page of ours that was asked for; may be empty.
    pub next: String,
    /// Whether they have an app that shows codes.
    pub code: bool,
    /// A passkey, where they have one.
    pub passkey: Option<PasskeyAsk>,
    /// What went wrong at the last try.
    pub problem: Option<SignInProblem>,
}

/// What somebody has beside their password; link `totp-add`, buttons `totp-remove`, `recovery-codes-make`; and where else they
/// have accounts that open this one.
#[derive(Clone, Template)]
#[template(path = "account/security.html")]
pub struct Security {
    /// Common to all pages of somebody who is signed in.
    pub seat: Seated,
    /// Since when they have an authenticator app.
    pub totp_since: Option<When>,
    /// Recovery codes that are left.
    pub codes_left: i64,
    /// Whether their organization uses no second factors.
    pub off: bool,
    /// Whether it asks everybody for one.
    pub required: bool,
    /// Accounts elsewhere that open theirs.
    pub identities: Vec<IdentityLine>,
    /// Providers at which they may add one: button `identity-add-ID`.
    pub providers: Vec<ProviderButton>,
    /// What went wrong at the last try.
    pub problems: Problems,
}

/// A new secret for an authenticator app: input `code`, hidden `draft`; button `totp-confirm`.
#[derive(Clone, Template)]
#[template(path = "account/add_totp.html")]
pub struct AddTotp {
    /// Common to all pages of somebody who is signed in.
    pub seat: Seated,
    /// The secret, sealed.
    pub draft: String,
    /// What the app reads.
    pub picture: Option<Picture>,
    /// The secret, to be typed where there is no camera.
    pub secret: String,
    /// What went wrong at the last try.
    pub problems: Problems,
}

/// Recovery codes, shown this once.
#[derive(Clone, Template)]
#[template(path = "account/recovery_codes.html")]
pub struct RecoveryCodes {
    /// Common to all pages of somebody who is signed in.
    pub seat: Seated,
    /// The codes.
    pub codes: Vec<String>,
}
