//! The name of every act, as rows, answers and filters have it. Never change one: rows carry it, and people's filters do.

use crate::store::audit::{BEGAN, BROKEN, PRUNED};

macro_rules! names {
    ($($name:ident $word:literal $about:literal)+) => {
        /// What happened, in a word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Name {
            $(#[doc = $about] $name,)+
        }

        impl Name {
            /// Every one.
            const ALL: &[Self] = &[$(Self::$name),+];

            /// The word.
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }
        }
    };
}

names! {
    KeyMinted "key.minted" "An API key was minted."
    KeyRotated "key.rotated" "It got a new secret."
    KeyRevoked "key.revoked" "It was revoked."
    KeyDisabled "key.disabled" "It was disabled."
    KeyEnabled "key.enabled" "It was enabled again."
    KeyChanged "key.changed" "Its name, description, networks or limits were changed."
    KeyLeaked "key.leaked" "It was found in public."
    KeyRotationDue "key.rotation_due" "Its secret is to be replaced soon."
    CheckRefused "check.refused" "A key or a token was not good for what was asked."
    ClientAdded "client.added" "A client was registered."
    ClientSecretRotated "client.secret_rotated" "It got a new secret."
    ClientChanged "client.changed" "What is registered of it was changed."
    ClientDisabled "client.disabled" "It was disabled."
    ClientEnabled "client.enabled" "It was enabled again."
    ClientDeleted "client.deleted" "It was deleted."
    ClientRefused "client.refused" "A client did not authenticate."
    ClientReusedChallenge "client.reused_challenge" "A client sent a PKCE challenge or nonce again."
    ClientTokenIssued "client_token.issued" "A client got a token for itself."
    UserAdded "user.added" "A person was added."
    UserDisabled "user.disabled" "Their account was disabled."
    UserEnabled "user.enabled" "It was enabled again."
    UserPasswordSet "user.password_set" "Their password was set by an administrator."
    UserRoleChanged "user.role_changed" "They were given another role."
    UserSessionsEnded "user.sessions_ended" "They were signed out everywhere."
    UserFactorsReset "user.factors_reset" "Their second factors were taken away."
    UserTotpAdded "user.totp_added" "They set up an authenticator app."
    UserTotpRemoved "user.totp_removed" "They took their authenticator app away."
    UserRecoveryCodesMade "user.recovery_codes_made" "They made new recovery codes."
    PasskeyAdded "passkey.added" "A person added a passkey to their account."
    PasskeyRenamed "passkey.renamed" "They gave it another name."
    PasskeyRemoved "passkey.removed" "They took it away."
    IdentityAdded "identity.added" "An account at another provider signs in to theirs from now on."
    IdentityRemoved "identity.removed" "It does so no more."
    ProviderAdded "identity_provider.added" "People may sign in through another provider."
    ProviderDisabled "identity_provider.disabled" "Nobody signs in through it for now."
    ProviderEnabled "identity_provider.enabled" "People may again."
    ProviderRemoved "identity_provider.removed" "It was taken away."
    UserLinkMade "user.link_made" "A link was made by which they set a password."
    UserSignedIn "user.signed_in" "They signed in."
    UserSignInRefused "user.sign_in_refused" "A sign-in was refused."
    UserSignedOut "user.signed_out" "They signed out."
    UserProfileChanged "user.profile_changed" "They changed their name or language."
    UserPasswordChanged "user.password_changed" "They changed their password."
    SessionEnded "session.ended" "A sign-in was ended from elsewhere: by its person, or by an administrator."
    SessionOthersEnded "session.others_ended" "Every session of a person but this one was ended."
    LinkUsed "link.used" "They used a one-time link."
    ConsentGiven "consent.given" "A person allowed a client."
    ConsentWithdrawn "consent.withdrawn" "A person took back what they had allowed a client."
    ConsentDenied "consent.denied" "A person said no to a client."
    TokensIssued "tokens.issued" "Tokens were issued for a person."
    TokenRevoked "token.revoked" "A client revoked a token."
    TokenExchanged "token.exchanged" "A client got a token in exchange for another."
    GrantRefused "grant.refused" "A code or a refresh token was refused."
    GrantReplayRevoked "grant.replay_revoked" "A spent one came back, and what came from it was revoked."
    AssertionRefused "assertion.refused" "An assertion or an outside token was not taken."
    MachineTokenIssued "machine_token.issued" "A service account got a token."
    AccountAdded "service_account.added" "A service account was made."
    AccountDisabled "service_account.disabled" "It was disabled."
    AccountEnabled "service_account.enabled" "It was enabled again."
    AccountKeyAdded "service_account.key_added" "It was given a key."
    AccountKeyRevoked "service_account.key_revoked" "A key of it was revoked."
    AccountKeyPublished "service_account.key_published" "It published its next key itself."
    TrustAdded "trust.added" "A trust rule was added."
    TrustRemoved "trust.removed" "A trust rule was removed."
    SigningKeyMade "signing_key.made" "A signing key was made."
    SigningKeyRotated "signing_key.rotated" "One was put in force before its turn."
    SigningKeyRevoked "signing_key.revoked" "One was revoked."
    DatabaseRestored "database.restored" "A backup was put in the place of the database."
    OrganizationChanged "organization.changed" "An organization was given another tier, burst, look or policy."
}

/// The acts that a filter means: one by its name, or `key.*` for all of a kind. The error says what is allowed.
pub fn named(pattern: &str) -> Result<Vec<String>, String> {
    let all = Name::ALL.iter().map(|name| name.word()).chain([BEGAN, BROKEN, PRUNED]);
    let is_meant = |word: &&str| match pattern.strip_suffix(".*") {
        Some(kind) => word.strip_prefix(kind).is_some_and(|rest| rest.starts_with('.')),
        None => *word == pattern,
    };
    let meant: Vec<String> = all.filter(is_meant).map(str::to_owned).collect();
    if meant.is_empty() {
        let shown: String = pattern.chars().take(64).collect();
        return Err(format!(
            "{}: the name of an act is allowed, such as key.minted, or all of a kind, such as key.*",
            shown.escape_debug()
        ));
    }
    Ok(meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_names_one_act_or_a_kind_and_nothing_else() {
        assert_eq!(named("key.minted").unwrap(), ["key.minted"]);
        assert_eq!(named("trust.*").unwrap(), ["trust.added", "trust.removed"]);
        assert!(named("audit.*").unwrap().contains(&BROKEN.to_owned()));
        for wrong in ["", "*", ".*", "key", "key.", "key.min*", "nobody.*", "KEY.minted"] {
            assert!(named(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_name_is_one_of_a_kind() {
        let mut words: Vec<&str> = Name::ALL.iter().map(|name| name.word()).collect();
        assert!(words.iter().all(|word| word.split('.').count() == 2));
        words.sort_unstable();
        let count = words.len();
        words.dedup();
        assert_eq!(words.len(), count);
    }
}
