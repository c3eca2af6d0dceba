//! What is written down for each act: one enum, so that nothing is written down twice in different words.
//!
//! Records go to the log under the target `audit`. They name ids, never secrets.

use std::fmt;

use super::caller::Caller;
use crate::base::id::{ClientId, FamilyId, UserId};
use crate::oauth::error::Why;

/// Something that happened and that somebody may have to answer for.
#[derive(Clone, Debug)]
pub enum Act<'a> {
    /// A person signed in.
    SignedIn(UserId),
    /// A sign-in was refused. The name that was typed is not written: people type passwords there.
    SignInRefused(&'static str),
    /// A person allowed a client.
    ConsentGiven(UserId, &'a ClientId),
    /// A person said no.
    ConsentDenied(UserId, &'a ClientId),
    /// Tokens were issued for a person.
    TokensIssued(UserId, &'a ClientId, FamilyId),
    /// A client got a token for itself.
    ClientTokenIssued(&'a ClientId),
    /// A client did not authenticate.
    ClientRefused(Option<&'a ClientId>),
    /// A code or a refresh token was refused.
    GrantRefused(&'a ClientId, Why),
    /// A spent code or refresh token came back, and everything that came from it was revoked.
    ReplayRevoked(&'a ClientId, FamilyId),
    /// A client revoked a token.
    Revoked(&'a ClientId),
    /// A person signed out.
    SignedOut(UserId),
    /// The first administrator was made, or a password set, by a one-time link.
    LinkUsed(&'static str, UserId),
    /// An assertion or an outside token was not taken; who is said to have made it, and with which key.
    AssertionRefused {
        /// The `iss`, unchecked.
        issuer: &'a str,
        /// The `kid`, unchecked.
        kid: Option<&'a str>,
        /// Which rule said no.
        why: Why,
    },
    /// A service account got a token by a key or by a trust rule.
    MachineTokenIssued {
        /// The account.
        account: &'a ClientId,
        /// The key's name, or the provider and id of the rule.
        through: &'a str,
    },
    /// A client got a token in exchange for another.
    TokenExchanged {
        /// The client.
        client: &'a ClientId,
        /// Whom both tokens are about.
        subject: &'a str,
    },
    /// A service account published its next key.
    KeyPublished {
        /// The account.
        account: &'a ClientId,
        /// The new key.
        kid: &'a str,
        /// The key that vouched for it.
        by: &'a str,
    },
    /// An API key was minted, rotated or revoked through `/v1`.
    ApiKeyChanged {
        /// Which of these.
        what: &'static str,
        /// The key's id.
        key: &'a str,
        /// Who did it.
        by: &'a str,
    },
    /// A constant PKCE challenge or nonce was seen again (S-A13).
    ReusedChallenge(&'a ClientId),
}

impl Act<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::SignedIn(_) => "user.signed_in",
            Self::SignInRefused(_) => "user.sign_in_refused",
            Self::ConsentGiven(..) => "consent.given",
            Self::ConsentDenied(..) => "consent.denied",
            Self::TokensIssued(..) => "tokens.issued",
            Self::ClientTokenIssued(_) => "client_token.issued",
            Self::ClientRefused(_) => "client.refused",
            Self::GrantRefused(..) => "grant.refused",
            Self::ReplayRevoked(..) => "grant.replay_revoked",
            Self::Revoked(_) => "token.revoked",
            Self::SignedOut(_) => "user.signed_out",
            Self::LinkUsed(..) => "link.used",
            Self::ReusedChallenge(_) => "client.reused_challenge",
            Self::AssertionRefused { .. } => "assertion.refused",
            Self::MachineTokenIssued { .. } => "machine_token.issued",
            Self::TokenExchanged { .. } => "token.exchanged",
            Self::ApiKeyChanged { what, .. } => what,
            Self::KeyPublished { .. } => "service_account.key_published",
        }
    }
}

/// Something that a record names, if it names it.
type Shown<'a> = Option<&'a dyn fmt::Display>;

/// Writes an act down.
pub fn record(act: &Act<'_>, caller: &Caller) {
    let shown = |v: Shown<'_>| v.map(ToString::to_string);
    let (key, subject) = match act {
        Act::AssertionRefused { kid, .. } => (*kid, None),
        Act::MachineTokenIssued { through, .. } => (Some(*through), None),
        Act::KeyPublished { kid, by, .. } => (Some(*kid), Some(*by)),
        Act::TokenExchanged { subject, .. } => (None, Some(*subject)),
        Act::ApiKeyChanged { key, by, .. } => (Some(*key), Some(*by)),
        _ => (None, None),
    };
    let (user, client, family, why): (Shown<'_>, Shown<'_>, Shown<'_>, Option<&str>) = match act {
        Act::SignedIn(user) | Act::SignedOut(user) => (Some(user), None, None, None),
        Act::SignInRefused(why) => (None, None, None, Some(why)),
        Act::ConsentGiven(user, client) | Act::ConsentDenied(user, client) => {
            (Some(user), Some(*client), None, None)
        }
        Act::TokensIssued(user, client, family) => (Some(user), Some(*client), Some(family), None),
        Act::ClientTokenIssued(client) | Act::Revoked(client) | Act::ReusedChallenge(client) => {
            (None, Some(*client), None, None)
        }
        Act::ClientRefused(client) => (None, client.as_ref().map(|c| *c as &dyn fmt::Display), None, None),
        Act::GrantRefused(client, why) => (None, Some(*client), None, Some(why.word())),
        Act::ReplayRevoked(client, family) => (None, Some(*client), Some(family), None),
        Act::AssertionRefused { issuer, why, .. } => (None, Some(issuer), None, Some(why.word())),
        Act::MachineTokenIssued { account, .. } | Act::KeyPublished { account, .. } => {
            (None, Some(*account), None, None)
        }
        Act::TokenExchanged { client, .. } => (None, Some(*client), None, None),
        Act::ApiKeyChanged { .. } => (None, None, None, None),
        Act::LinkUsed(purpose, user) => (Some(user), None, None, Some(purpose)),
    };
    tracing::info!(
        target: "audit",
        act = act.name(),
        user = shown(user),
        client = shown(client),
        family = shown(family),
        key,
        subject,
        why,
        address = %caller.address,
        request_id = %caller.request_id,
        "{}", act.name()
    );
}
