//! Who people are at other providers: whose account that opens, and a person's own list of them (S-L15).

use serde_json::json;

use super::audit::{Act, By, Name, Record};
use super::caller::Caller;
use super::mail::{self, SecurityChange};
use super::own_account::Refused;
use super::session::{self, Live};
use crate::account::user::User;
use crate::account::username::canonical_email;
use crate::app::App;
use crate::base::id::UserId;
use crate::base::time::Timestamp;
use crate::oauth::error::OAuthError;
use crate::oauth::upstream::{Identity, Known, Outcome, Provider, decide};
use crate::store::identities::{self as kept, IdentityRow};
use crate::store::{Conn, StoreError, passkeys, users};

/// Whom an identity made it out to be.
#[derive(Debug)]
pub enum Arrived {
    /// This person, who may sign in.
    Known(Box<User>),
    /// Another account has it.
    Taken,
    /// Nobody here, or nobody who may sign in: the two are told apart to nobody (S-L4).
    Unknown,
}

/// Finds whose account an identity opens. Where it is to be somebody's from now on, it becomes theirs and they are told; `adding` is who is
/// signed in and asked for it.
pub(super) async fn arrive(
    app: &App,
    provider: &Provider,
    identity: Identity,
    adding: Option<&User>,
    caller: &Caller,
    now: Timestamp,
) -> Result<Arrived, OAuthError> {
    let asked = identity.clone();
    let by = adding.map(|user| user.id);
    let (owner, by_address) = app
        .store
        .read(move |conn| {
            let owner = kept::find(conn, &asked.issuer, &asked.subject)?.map(|row| row.user);
            // A provider may write it in its own way.
            let address = asked.email.as_deref().and_then(|email| canonical_email(email).ok());
            let by_address = match address {
                Some(address) => users::find_by_verified_email(conn, &address)?,
                None => None,
            };
            Ok((owner, by_address.filter(User::is_active).map(|user| user.id)))
        })
        .await?;
    let outcome = decide(Known { owner, by_address, adding: by }, provider.trusted_for_addresses);
    let (id, is_new) = match outcome {
        Outcome::Taken => return Ok(Arrived::Taken),
        Outcome::Unknown => return Ok(Arrived::Unknown),
        Outcome::SignIn(id) => (id, false),
        Outcome::Add(id) => (id, true),
    };
    let found = app.store.read(move |conn| users::find(conn, id)).await?.filter(User::is_active);
    let Some(user) = found else { return Ok(Arrived::Unknown) };
    let done = if is_new {
        add(app, provider, identity, &user, caller, now).await?
    } else {
        let Identity { issuer, subject, .. } = identity;
        app.store.write(move |conn| kept::used(conn, (&issuer, &subject), id, now)).await?
    };
    // Somebody was quicker: what was read does not hold any more.
    Ok(if done { Arrived::Known(Box::new(user)) } else { Arrived::Taken })
}

/// It is theirs, if it is nobody's yet; and they are told.
async fn add(
    app: &App,
    provider: &Provider,
    identity: Identity,
    user: &User,
    caller: &Caller,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let row = IdentityRow {
        issuer: identity.issuer,
        subject: identity.subject,
        user: user.id,
        email: identity.email,
        created_at: now,
        last_used_at: Some(now),
    };
    let told = mail::tell_security_change(app, user, SecurityChange::IdentityAdded, caller, now);
    let act = Act::Did(Name::IdentityAdded, provider.id.as_str().into(), json!({ "issuer": row.issuer }));
    let record = Record::new(app, &act, &By::person(user, caller), now);
    let done = record
        .if_done(app, move |conn| {
            if !kept::insert(conn, &row)? {
                return Ok(false);
            }
            told.put(conn)?;
            Ok(true)
        })
        .await?;
    app.mail.wake();
    Ok(done)
}

/// An account elsewhere that opens a person's.
#[derive(Clone, Debug)]
pub struct Own {
    /// The row.
    pub row: IdentityRow,
    /// The name of the provider; its issuer where it was taken away.
    pub name: String,
    /// Whether one signs in by it now.
    pub works: bool,
}

/// A person's own, the oldest first; and the providers by which they have none yet.
pub async fn list(app: &App, user: UserId) -> Result<(Vec<Own>, Vec<Provider>), OAuthError> {
    let rows = app.store.read(move |conn| kept::of_user(conn, user)).await?;
    let mut providers = app.identity_providers().to_vec();
    let own: Vec<Own> = rows
        .into_iter()
        .map(|row| {
            let provider = providers.iter().find(|provider| provider.issuer == row.issuer);
            let name = provider.map_or_else(|| row.issuer.clone(), |provider| provider.name.clone());
            Own { name, works: provider.is_some_and(Provider::is_active), row }
        })
        .collect();
    providers.retain(|p| p.is_active() && own.iter().all(|own| own.row.issuer != p.issuer));
    Ok((own, providers))
}

/// Takes one of a person's away, and ends their other sessions: whoever holds that account may have begun them. Never their only way in.
pub async fn remove(
    app: &App,
    by: &By,
    live: &Live,
    (issuer, subject): (&str, &str),
    caller: &Caller,
) -> Result<(), Refused> {
    let (user, now) = (live.user.id, app.now());
    let has_password = live.user.password.is_some();
    let (session, key) = (live.session.id, (issuer.to_owned(), subject.to_owned()));
    let told = mail::tell_security_change(app, &live.user, SecurityChange::IdentityRemoved, caller, now);
    let write = move |conn: &mut Conn| {
        let others =
            kept::of_user(conn, user)?.iter().any(|row| (&row.issuer, &row.subject) != (&key.0, &key.1));
        if !has_password && !others && passkeys::of_user(conn, user)?.is_empty() {
            return Ok(Err(Some("it is your only way to sign in; add a passkey or choose a password first")));
        }
        if !kept::remove(conn, user, &key.0, &key.1)? {
            return Ok(Err(None));
        }
        session::end_others(conn, user, session, now)?;
        told.put(conn)?;
        Ok(Ok(()))
    };
    let act = Act::Did(Name::IdentityRemoved, issuer.to_owned().into(), json!({ "issuer": issuer }));
    let done = Record::new(app, &act, by, now).if_allowed(app, write).await?;
    app.mail.wake();
    match done {
        Err(Some(problem)) => Err(Refused::Field("identity", problem.to_owned())),
        // One that is gone is gone.
        Ok(()) | Err(None) => Ok(()),
    }
}
