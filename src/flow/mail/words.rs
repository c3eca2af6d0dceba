//! What our mails say, in each language that pages speak. Lines are short, and a link stands alone in its line.

use super::{LinkFor, SecurityChange};

/// The language of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    English,
    German,
}

impl Language {
    /// The one that the person chose, else English.
    pub(super) fn of(locale: Option<&str>) -> Self {
        match locale {
            Some("de") => Self::German,
            _ => Self::English,
        }
    }
}

/// What stands in a mail with a link.
pub(super) struct LinkFacts<'a> {
    pub(super) username: &'a str,
    pub(super) host: &'a str,
    pub(super) url: &'a str,
    pub(super) until: &'a str,
}

/// What stands in a mail that tells of something.
pub(super) struct Facts<'a> {
    pub(super) username: &'a str,
    pub(super) host: &'a str,
    pub(super) account: &'a str,
    pub(super) at: &'a str,
    pub(super) address: &'a str,
    pub(super) browser: &'a str,
}

/// The subject and the text of a mail with a link.
pub(super) fn link(language: Language, purpose: LinkFor, facts: &LinkFacts<'_>) -> (String, String) {
    let LinkFacts { username, host, url, until } = facts;
    match (language, purpose) {
        (Language::English, LinkFor::Invite) => (
            format!("Your account at {host}"),
            format!(
                "Hello,\n\nan account was made for you at {host}. Your user name is {username}.\n\n\
                 Open this link and choose a password:\n\n{url}\n\n\
                 It works once, until {until}. After that, whoever invited you can send a new one.\n\n\
                 If you do not know what this is about, you need not do anything.\n"
            ),
        ),
        (Language::English, LinkFor::Reset) => (
            format!("A new password for {host}"),
            format!(
                "Hello,\n\nsomebody asked for a new password for the account {username} at {host}.\n\n\
                 If that was you, open this link and choose one:\n\n{url}\n\n\
                 It works once, until {until}. Your password stays as it is until then.\n\n\
                 If it was not you, you need not do anything.\n"
            ),
        ),
        (Language::English, LinkFor::Verify) => (
            format!("Confirm your address for {host}"),
            format!(
                "Hello,\n\nthe account {username} at {host} wants to use this address.\n\n\
                 If that is you, open this link and confirm it:\n\n{url}\n\n\
                 It works once, until {until}.\n\n\
                 If it is not you, you need not do anything: the address is not used.\n"
            ),
        ),
        (Language::German, LinkFor::Invite) => (
            format!("Ihr Konto bei {host}"),
            format!(
                "Guten Tag,\n\nfür Sie wurde ein Konto bei {host} angelegt. Ihr Benutzername ist {username}.\n\n\
                 Öffnen Sie diesen Link und wählen Sie ein Passwort:\n\n{url}\n\n\
                 Er gilt einmal, bis {until}. Danach kann Ihnen, wer Sie eingeladen hat, einen neuen schicken.\n\n\
                 Wenn Sie nicht wissen, worum es geht, brauchen Sie nichts zu tun.\n"
            ),
        ),
        (Language::German, LinkFor::Reset) => (
            format!("Ein neues Passwort für {host}"),
            format!(
                "Guten Tag,\n\njemand hat ein neues Passwort für das Konto {username} bei {host} angefordert.\n\n\
                 Wenn Sie das waren, öffnen Sie diesen Link und wählen Sie eines:\n\n{url}\n\n\
                 Er gilt einmal, bis {until}. Bis dahin bleibt Ihr Passwort, wie es ist.\n\n\
                 Wenn Sie es nicht waren, brauchen Sie nichts zu tun.\n"
            ),
        ),
        (Language::German, LinkFor::Verify) => (
            format!("Bestätigen Sie Ihre Adresse für {host}"),
            format!(
                "Guten Tag,\n\ndas Konto {username} bei {host} möchte diese Adresse verwenden.\n\n\
                 Wenn Sie das sind, öffnen Sie diesen Link und bestätigen Sie sie:\n\n{url}\n\n\
                 Er gilt einmal, bis {until}.\n\n\
                 Wenn Sie es nicht sind, brauchen Sie nichts zu tun: die Adresse wird nicht verwendet.\n"
            ),
        ),
    }
}

/// The subject and the text of a mail that tells of something.
pub(super) fn security_change(
    language: Language,
    change: SecurityChange,
    facts: &Facts<'_>,
) -> (String, String) {
    let Facts { username, host, account, at, address, browser } = facts;
    match language {
        Language::English => {
            let what = in_english(change);
            let text = format!(
                "Hello,\n\n{what}\n\n  Account: {username} at {host}\n  When:    {at}\n  From:    {address}\n  Browser: {browser}\n\n\
                 If that was you, there is nothing to do.\n\n\
                 If it was not, look at your account and change your password:\n\n{account}\n"
            );
            (format!("{} ({host})", what.trim_end_matches('.')), text)
        }
        Language::German => {
            let what = in_german(change);
            let text = format!(
                "Guten Tag,\n\n{what}\n\n  Konto:   {username} bei {host}\n  Wann:    {at}\n  Woher:   {address}\n  Browser: {browser}\n\n\
                 Wenn Sie das waren, ist nichts zu tun.\n\n\
                 Wenn nicht, sehen Sie Ihr Konto an und ändern Sie Ihr Passwort:\n\n{account}\n"
            );
            (format!("{} ({host})", what.trim_end_matches('.')), text)
        }
    }
}

const fn in_english(change: SecurityChange) -> &'static str {
    match change {
        SecurityChange::PasswordChanged => "The password of your account was changed.",
        SecurityChange::EmailChanged => "Your account has another e-mail address now.",
        SecurityChange::PasskeyAdded => "A passkey was added to your account.",
        SecurityChange::PasskeyRemoved => "A passkey was removed from your account.",
        SecurityChange::TotpAdded => "An authenticator app was added to your account.",
        SecurityChange::TotpRemoved => "The authenticator app was removed from your account.",
        SecurityChange::RecoveryCodesMade => "New recovery codes were made for your account.",
        SecurityChange::NewDevice => "Somebody signed in to your account with a new browser.",
        SecurityChange::IdentityAdded => "An account elsewhere was added, with which one signs in to yours.",
        SecurityChange::IdentityRemoved => "An account elsewhere no longer signs in to yours.",
    }
}

const fn in_german(change: SecurityChange) -> &'static str {
    match change {
        SecurityChange::PasswordChanged => "Das Passwort Ihres Kontos wurde geändert.",
        SecurityChange::EmailChanged => "Ihr Konto hat jetzt eine andere E-Mail-Adresse.",
        SecurityChange::PasskeyAdded => "Ihrem Konto wurde ein Passkey hinzugefügt.",
        SecurityChange::PasskeyRemoved => "Von Ihrem Konto wurde ein Passkey entfernt.",
        SecurityChange::TotpAdded => "Ihrem Konto wurde eine Authenticator-App hinzugefügt.",
        SecurityChange::TotpRemoved => "Die Authenticator-App wurde von Ihrem Konto entfernt.",
        SecurityChange::RecoveryCodesMade => "Für Ihr Konto wurden neue Wiederherstellungscodes erzeugt.",
        SecurityChange::NewDevice => "Jemand hat sich mit einem neuen Browser an Ihrem Konto angemeldet.",
        SecurityChange::IdentityAdded => {
            "Ein Konto anderswo wurde hinzugefügt, mit dem man sich an Ihrem anmeldet."
        }
        SecurityChange::IdentityRemoved => "Mit einem Konto anderswo meldet man sich nicht mehr an Ihrem an.",
    }
}
