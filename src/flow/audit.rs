//! What is written down for each act: one enum, so that nothing is written down twice in different words.
//!
//! Everything goes to the log under the target `audit`. What changes something or ends a sign-in goes to the audit log in the database as
//! well, in the transaction that does it; what is refused goes there in batches, alike ones in one row, so that nobody fills the disk by
//! being refused. Tokens that are issued stay in the log alone: no table grows with traffic. Records name ids, never secrets.

mod by;
mod names;

use std::borrow::Cow;
use std::net::IpAddr;

use serde_json::{Value, json};

pub use self::by::By;
use self::by::{ANYBODY, actor_of};
pub use self::names::{Name, named};

use super::caller::{Caller, place};
use crate::app::App;
use crate::base::id::{ClientId, FamilyId, UserId};
use crate::base::seal::Vault;
use crate::base::time::Timestamp;
use crate::oauth::error::Why;
use crate::store::audit::{self, Entry, Outcome};
use crate::store::{Conn, StoreError};

/// Something that happened and that somebody may have to answer for.
#[derive(Clone, Debug)]
pub enum Act<'a> {
    /// Somebody changed something: what, of which id, and what else there is to say.
    Did(Name, Cow<'a, str>, Value),
    /// A person signed in.
    SignedIn(UserId),
    /// A sign-in was refused. The name that was typed is not written: people type passwords there.
    SignInRefused(&'static str),
    /// A person allowed a client.
    ConsentGiven(UserId, &'a ClientId),
    /// A person said no.
    ConsentDenied(UserId, &'a ClientId),
    /// A person took back what they had allowed.
    ConsentWithdrawn(UserId, &'a ClientId),
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
    /// A key or a token was not good for what was asked: the key where it was recognised, and the code of the answer.
    CheckRefused(Option<&'a str>, &'static str),
    /// A constant PKCE challenge or nonce was seen again (S-A13).
    ReusedChallenge(&'a ClientId),
}

/// Longer text of strangers is cut.
const LONGEST: usize = 200;

impl Act<'_> {
    /// The entry of an act; who an act names did it, else `by` says who.
    fn entry(&self, by: &By, now: Timestamp) -> Entry {
        let client = |id: &ClientId| Some(format!("client:{id}"));
        let user = |id: &UserId| Some(format!("user:{id}"));
        let family = |id: &FamilyId| Some(format!("family:{id}"));
        let account = |id: &ClientId| Some(format!("service_account:{id}"));
        let cut = |text: &str| text.chars().take(LONGEST).collect::<String>();
        let mut details = Value::Null;
        let mut reason: Option<&str> = None;
        let mut refused = false;
        let (act, actor, subject) = match self {
            Self::Did(name, id, more) => {
                details = more.clone();
                let kind = name.word().split_once('.').map_or("", |(kind, _)| kind);
                (*name, None, Some(format!("{kind}:{id}")))
            }
            Self::SignedIn(id) => (Name::UserSignedIn, user(id), None),
            Self::SignInRefused(why) => {
                (reason, refused) = (Some(*why), true);
                (Name::UserSignInRefused, None, None)
            }
            Self::ConsentGiven(id, of) => (Name::ConsentGiven, user(id), client(of)),
            Self::ConsentDenied(id, of) => (Name::ConsentDenied, user(id), client(of)),
            Self::ConsentWithdrawn(id, of) => (Name::ConsentWithdrawn, user(id), client(of)),
            Self::TokensIssued(id, of, all) => {
                details = json!({ "family": all });
                (Name::TokensIssued, client(of), user(id))
            }
            Self::ClientTokenIssued(of) => (Name::ClientTokenIssued, client(of), None),
            Self::ClientRefused(of) => {
                refused = true;
                (Name::ClientRefused, None, of.map(|id| cut(&format!("client:{id}"))))
            }
            Self::GrantRefused(of, why) => {
                (reason, refused) = (Some(why.word()), true);
                (Name::GrantRefused, client(of), None)
            }
            Self::ReplayRevoked(of, all) => (Name::GrantReplayRevoked, client(of), family(all)),
            Self::Revoked(of) => (Name::TokenRevoked, client(of), None),
            Self::SignedOut(id) => (Name::UserSignedOut, user(id), None),
            Self::LinkUsed(purpose, id) => {
                details = json!({ "purpose": purpose });
                (Name::LinkUsed, user(id), user(id))
            }
            Self::AssertionRefused { issuer, kid, why } => {
                (reason, refused) = (Some(why.word()), true);
                details = json!({ "kid": kid.map(cut) });
                (Name::AssertionRefused, None, Some(cut(&format!("issuer:{issuer}"))))
            }
            Self::MachineTokenIssued { account: of, through } => {
                details = json!({ "through": through });
                (Name::MachineTokenIssued, account(of), None)
            }
            Self::TokenExchanged { client: of, subject } => {
                (Name::TokenExchanged, client(of), Some(actor_of(subject)))
            }
            Self::KeyPublished { account: of, kid, by } => {
                details = json!({ "kid": kid, "vouched_by": by });
                (Name::AccountKeyPublished, account(of), account(of))
            }
            Self::CheckRefused(key, code) => {
                (reason, refused) = (Some(*code), true);
                (Name::CheckRefused, key.map(|id| format!("key:{id}")), None)
            }
            Self::ReusedChallenge(of) => (Name::ClientReusedChallenge, client(of), None),
        };
        let details = details.as_object().filter(|members| !members.is_empty()).map(|_| details.to_string());
        Entry {
            at: now,
            act: act.word().to_owned(),
            actor: actor.unwrap_or_else(|| by.actor.clone()),
            subject,
            outcome: if refused { Outcome::Refused } else { Outcome::Done },
            reason: reason.map(str::to_owned),
            address: by.address.map(|address| address.to_string()),
            request_id: by.request_id.clone(),
            details,
            times: 1,
        }
    }
}

/// Writes an act to the log that no transaction of ours belongs to; refusals go to the database with the next batch.
pub fn record(app: &App, act: &Act<'_>, caller: &Caller) {
    let entry = act.entry(&By::anybody(caller), app.now());
    log(&entry);
    if entry.outcome == Outcome::Refused {
        app.note_refused_request(entry.clone());
        app.note_refusal(entry, Some(caller.place()));
    }
}

/// Notes that a key or token was not good for what was asked. No line in the log for each: there may be thousands in a second.
pub(super) fn check_refused(
    app: &App,
    key: Option<&str>,
    code: &'static str,
    from: Option<IpAddr>,
    now: Timestamp,
) {
    let by = By::unseen(ANYBODY.to_owned(), from);
    app.note_refusal(Act::CheckRefused(key, code).entry(&by, now), from.map(place));
}

/// Notes by a request's id why its key or token was not good, with what was needed and what came.
pub(super) fn explain_check(
    app: &App,
    key: Option<&str>,
    (code, details): (&'static str, &Value),
    caller: &Caller,
    now: Timestamp,
) {
    let entry = Act::CheckRefused(key, code).entry(&By::anybody(caller), now);
    app.note_refused_request(Entry { details: Some(details.to_string()), ..entry });
}

/// What is to be written in the transaction of an act, and to the log after it.
#[derive(Clone, Debug)]
pub struct Record {
    vault: Vault,
    entry: Entry,
}

impl Record {
    /// The record of an act.
    pub fn new(app: &App, act: &Act<'_>, by: &By, now: Timestamp) -> Self {
        Self::within(&app.vault, act, by, now)
    }

    /// The record of an act that only the write itself finds out about.
    pub(super) fn within(vault: &Vault, act: &Act<'_>, by: &By, now: Timestamp) -> Self {
        Self { vault: vault.clone(), entry: act.entry(by, now) }
    }

    /// The same with a reason.
    #[must_use]
    pub fn because(mut self, reason: Option<String>) -> Self {
        self.entry.reason = reason;
        self
    }

    /// Does something in a transaction, writes it down in the same one, and tells the log once it is committed.
    pub(super) async fn with<T, F>(self, app: &App, act: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Conn) -> Result<T, StoreError> + Send + 'static,
    {
        self.when(|_| true, app, act).await
    }

    /// The same, for what may find nothing to do: `false` of it is written down nowhere.
    pub(super) async fn if_done<F>(self, app: &App, act: F) -> Result<bool, StoreError>
    where
        F: FnMut(&mut Conn) -> Result<bool, StoreError> + Send + 'static,
    {
        self.when(|done| *done, app, act).await
    }

    /// The same, for what may be refused by what it finds: an `Err` within is written down nowhere, and nothing else may be written then.
    pub(super) async fn if_allowed<T, E, F>(self, app: &App, act: F) -> Result<Result<T, E>, StoreError>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: FnMut(&mut Conn) -> Result<Result<T, E>, StoreError> + Send + 'static,
    {
        self.when(Result::is_ok, app, act).await
    }

    /// The same, for what may find nothing to do: written down where `is_done` says so.
    pub(super) async fn when<T, F>(
        self,
        is_done: fn(&T) -> bool,
        app: &App,
        mut act: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Conn) -> Result<T, StoreError> + Send + 'static,
    {
        let told = self.clone();
        let write = move |conn: &mut Conn| {
            let done = act(conn)?;
            if is_done(&done) {
                self.write(conn)?;
            }
            Ok(done)
        };
        let done = app.store.write(write).await?;
        if is_done(&done) {
            told.log();
        }
        Ok(done)
    }

    /// Writes it, last in the transaction.
    pub fn write(&self, conn: &mut Conn) -> Result<(), StoreError> {
        audit::append(conn, &self.vault, std::slice::from_ref(&self.entry))
    }

    /// Tells the log, after the commit.
    pub fn log(&self) {
        log(&self.entry);
    }
}

/// One line.
pub fn log(entry: &Entry) {
    tracing::info!(
        target: "audit",
        act = entry.act,
        actor = entry.actor,
        subject = entry.subject,
        outcome = entry.outcome.word(),
        reason = entry.reason,
        address = entry.address,
        request_id = entry.request_id,
        details = entry.details,
        times = entry.times,
        "{}", entry.act
    );
}
