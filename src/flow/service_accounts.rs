//! Service accounts, as the command line makes and changes them, and as they change their own keys.

use serde_json::{Value, json};

use super::assertion::{NotTaken, Use, account_of, of_account, token_endpoint};
use super::attempts::Attempts;
use super::audit::{self, Act, By, Name, Record};
use super::caller::Caller;
use super::overlap;
use crate::app::App;
use crate::base::algorithm::Algorithm;
use crate::base::id::{ClientId, OrganizationId};
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::jose::key_set::ForeignKey;
use crate::jose::signing_key::SigningKey;
use crate::oauth::assertion::Unverified;
use crate::oauth::client_registration::FieldError;
use crate::oauth::error::{OAuthError, Why};
use crate::oauth::service_account::{self, AccountKey, AccountPolicy, MOST_KEYS, ServiceAccount};
use crate::store::{Conn, StoreError, organizations, service_accounts};

/// How long the key that publishes its successor goes on working unless it says otherwise, in seconds.
pub const OVERLAP: i64 = 3_600;

/// Why an account was not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// A member says no.
    #[error("{0}")]
    Field(#[from] FieldError),
    /// The name is taken.
    #[error("name: {0} is taken")]
    Taken(String),
    /// No account of that id or name.
    #[error("no service account is called {0}; `cnx service-account list` shows them")]
    Unknown(String),
    /// No key of that name.
    #[error("{account} has no key {kid}; `cnx service-account key list` shows them")]
    UnknownKey {
        /// The account.
        account: ClientId,
        /// What was asked for.
        kid: String,
    },
    /// The account has, or had, that very key.
    #[error("kid: the account has, or had, the key {0}; make another one")]
    KnownKey(String),
    /// As many keys work as may.
    #[error("{MOST_KEYS} keys of the account work already; revoke one first")]
    TooManyKeys,
    /// The caller did not prove to be the account.
    #[error("the assertion was not taken")]
    Refused(Why),
    /// We cannot decide now, or something went wrong.
    #[error("{}", .0.description())]
    Error(OAuthError),
}

impl From<StoreError> for AccountError {
    fn from(error: StoreError) -> Self {
        Self::Error(error.into())
    }
}

/// Makes an account without keys.
pub async fn add(
    app: &App,
    by: &By,
    name: &str,
    policy: AccountPolicy,
) -> Result<ServiceAccount, AccountError> {
    service_account::check(name, &policy)?;
    let now = app.now();
    let host = url_host(app.issuer());
    let id = service_account::new_id(name, &host, &app.entropy);
    let organization = OrganizationId::new(&app.clock, &app.entropy);
    let account = ServiceAccount {
        id,
        organization,
        name: name.to_owned(),
        policy,
        keys: Vec::new(),
        rules: Vec::new(),
        created_at: now,
        disabled_at: None,
    };
    let row = account.clone();
    let about = json!({ "name": name, "scope": account.policy.scope });
    let record = Record::new(app, &Act::Did(Name::AccountAdded, account.id.as_str().into(), about), by, now);
    let written = record
        .with(app, move |conn| {
            let organization = organizations::first(conn, row.organization, now)?;
            let row = ServiceAccount { organization, ..row.clone() };
            service_accounts::insert(conn, &row)?;
            Ok(row)
        })
        .await;
    let account = match written {
        Ok(account) => account,
        Err(StoreError::Duplicate(_)) => return Err(AccountError::Taken(account.name)),
        Err(error) => return Err(error.into()),
    };
    app.catch_up().await?;
    Ok(account)
}

/// The account of that id or name, from the database.
pub async fn find(app: &App, text: &str) -> Result<ServiceAccount, AccountError> {
    let all = app.store.read(service_accounts::all).await?;
    all.into_iter()
        .find(|account| account.id.as_str() == text || account.name == text)
        .ok_or_else(|| AccountError::Unknown(text.to_owned()))
}

/// Disables an account, or enables it again. Its tokens die with it.
pub async fn set_disabled(
    app: &App,
    by: &By,
    text: &str,
    disabled: bool,
) -> Result<ServiceAccount, AccountError> {
    let now = app.now();
    let account = find(app, text).await?;
    let id = account.id.clone();
    let deed = if disabled { Name::AccountDisabled } else { Name::AccountEnabled };
    let record = Record::new(app, &Act::Did(deed, id.as_str().into(), Value::Null), by, now);
    record
        .with(app, move |conn| service_accounts::set_disabled(conn, &id, disabled.then_some(now), now))
        .await?;
    app.catch_up().await?;
    find(app, account.id.as_str()).await
}

/// Makes a key pair for an account. The private half is returned, once, and kept nowhere.
pub async fn make_key(
    app: &App,
    by: &By,
    account: &ServiceAccount,
    alg: Algorithm,
    lifetime: Option<i64>,
) -> Result<(AccountKey, Secret<String>), AccountError> {
    // 2,048 bits are what google-auth's own files have; a client signs seldom, and everybody reads these.
    let made = SigningKey::generate(alg, 2_048, &app.entropy)
        .map_err(|e| AccountError::Error(OAuthError::Server(e)))?;
    let pem = made.private_pem(alg);
    let key = new_key(app, made.kid.clone(), alg, made.public_jwk.clone(), lifetime);
    insert_key(app, by, account, &key).await?;
    Ok((key, pem))
}

/// Registers a public key, PEM or JWK, of which we never had the private half.
pub async fn register_key(
    app: &App,
    by: &By,
    account: &ServiceAccount,
    text: &str,
    lifetime: Option<i64>,
) -> Result<AccountKey, AccountError> {
    let key = read_key(app, text, lifetime)?;
    insert_key(app, by, account, &key).await?;
    Ok(key)
}

fn read_key(app: &App, text: &str, lifetime: Option<i64>) -> Result<AccountKey, AccountError> {
    let foreign = ForeignKey::registered(text)
        .map_err(|e| FieldError { field: "public_key", problem: e.to_string() })?;
    Ok(new_key(app, foreign.kid(), foreign.algorithm(), foreign.to_jwk(), lifetime))
}

/// A key ends at its greatest age, or earlier where somebody says so (the policy of the settings).
fn new_key(app: &App, kid: String, alg: Algorithm, jwk: Value, lifetime: Option<i64>) -> AccountKey {
    let now = app.now();
    let greatest = Some(app.settings.service_accounts.key_seconds).filter(|seconds| *seconds > 0);
    let lifetime = match (lifetime, greatest) {
        (Some(wanted), Some(greatest)) => Some(wanted.min(greatest)),
        (wanted, greatest) => wanted.or(greatest),
    };
    AccountKey {
        kid,
        alg,
        jwk,
        created_at: now,
        expires_at: lifetime.map(|seconds| now.plus(seconds)),
        revoked_at: None,
        last_used_at: None,
    }
}

async fn insert_key(
    app: &App,
    by: &By,
    account: &ServiceAccount,
    key: &AccountKey,
) -> Result<(), AccountError> {
    let (id, row, now) = (account.id.clone(), key.clone(), app.now());
    let about =
        json!({ "kid": key.kid, "alg": key.alg, "expires_at": key.expires_at.map(Timestamp::to_rfc3339) });
    let record =
        Record::new(app, &Act::Did(Name::AccountKeyAdded, account.id.as_str().into(), about), by, now);
    let written = record.if_done(app, move |conn| insert_one_more(conn, &id, &row, now)).await;
    after_insert(app, key, written).await
}

/// Whether there was room for one more.
fn insert_one_more(
    conn: &mut Conn,
    id: &ClientId,
    key: &AccountKey,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let Some(account) = service_accounts::hold(conn, id, now)? else { return Ok(false) };
    if account.keys.iter().filter(|key| key.is_live(now)).count() >= MOST_KEYS {
        return Ok(false);
    }
    service_accounts::insert_key(conn, id, key)?;
    Ok(true)
}

async fn after_insert(
    app: &App,
    key: &AccountKey,
    written: Result<bool, StoreError>,
) -> Result<(), AccountError> {
    match written {
        Ok(true) => {}
        Ok(false) => return Err(AccountError::TooManyKeys),
        Err(StoreError::Duplicate(_)) => return Err(AccountError::KnownKey(key.kid.clone())),
        Err(error) => return Err(error.into()),
    }
    app.catch_up().await?;
    Ok(())
}

/// Revokes a key: nothing that it signs is taken any more, and the tokens that it got are dead.
pub async fn revoke_key(app: &App, by: &By, account: &ServiceAccount, kid: &str) -> Result<(), AccountError> {
    if !account.keys.iter().any(|key| key.kid == kid) {
        return Err(AccountError::UnknownKey { account: account.id.clone(), kid: kid.to_owned() });
    }
    let (id, kid, now) = (account.id.clone(), kid.to_owned(), app.now());
    let act = Act::Did(Name::AccountKeyRevoked, id.as_str().into(), json!({ "kid": kid }));
    let record = Record::new(app, &act, by, now);
    record.with(app, move |conn| service_accounts::revoke_key(conn, &id, &kid, now)).await?;
    app.catch_up().await?;
    Ok(())
}

/// The file that a machine keeps: google-auth's members (C16), and ours.
pub fn key_file(app: &App, account: &ServiceAccount, key: &AccountKey, pem: &Secret<String>) -> Value {
    json!({
        "type": "service_account",
        "project_id": account.organization,
        "private_key_id": key.kid,
        "private_key": pem.reveal(),
        "client_email": account.id,
        "client_id": account.id,
        "token_uri": token_endpoint(app),
        "issuer": app.issuer(),
        "alg": key.alg,
        "expires_at": key.expires_at.map(Timestamp::to_rfc3339),
    })
}

/// The address at which an account publishes its next key: the `aud` of the assertion that it does so with.
pub fn keys_address(app: &App, id: &str) -> String {
    format!("{}/v1/service-accounts/{id}/keys", app.issuer())
}

/// A key that was published, and the one that vouched for it.
#[derive(Debug)]
pub struct Published {
    /// The new key.
    pub key: AccountKey,
    /// The name of the key that signed the assertion.
    pub previous: String,
    /// When that one stops working.
    pub previous_ends: Timestamp,
}

/// An account publishes its own next key, on the word of a current one, which then works for `overlap` more seconds.
pub async fn publish_key(
    app: &App,
    id: &str,
    assertion: &str,
    (public_key, overlap): (&str, Option<i64>),
    caller: &Caller,
) -> Result<Published, AccountError> {
    let now = app.now();
    let unverified = Unverified::peek(assertion).ok_or(AccountError::Refused(Why::Malformed))?;
    let attempts = Attempts::of(app, &unverified.iss, caller, now);
    attempts.refuse_too_many().await.map_err(AccountError::Error)?;
    let refused = |why: Why| {
        let (issuer, kid) = (unverified.iss.as_str(), unverified.kid.as_deref());
        audit::record(app, &Act::AssertionRefused { issuer, kid, why }, caller);
        AccountError::Refused(why)
    };
    let not_taken = |error: NotTaken| match error {
        NotTaken::Because(why) => refused(why),
        NotTaken::Error(error) => AccountError::Error(error),
    };
    let account = account_of(app, &unverified).await.map_err(AccountError::Error)?;
    let proof = match &account {
        Some(account) if account.id.as_str() == id => {
            let address = keys_address(app, id);
            of_account(app, account, &unverified, Use::At(&address), now).await.map_err(not_taken)
        }
        _ => Err(refused(Why::Unknown)),
    };
    if let Err(AccountError::Refused(_)) = &proof {
        attempts.count_failure().await;
    }
    let (proof, account) = (proof?, account.ok_or(AccountError::Refused(Why::Unknown))?);
    let overlap = overlap.unwrap_or(OVERLAP);
    overlap::check(overlap).map_err(|problem| FieldError { field: "overlap_seconds", problem })?;
    let key = read_key(app, public_key, None)?;
    let previous = proof.kid.clone();
    // Taken only now: who sent a key that cannot be read may send it again with the same assertion.
    proof.take(app, &account, now).await.map_err(not_taken)?;
    let (id, row, by, ends) = (account.id.clone(), key.clone(), previous.clone(), now.plus(overlap));
    let act = Act::KeyPublished { account: &account.id, kid: &key.kid, by: &previous };
    let record = Record::new(app, &act, &By::anybody(caller), now);
    let written = record
        .if_done(app, move |conn| {
            if !insert_one_more(conn, &id, &row, now)? {
                return Ok(false);
            }
            service_accounts::end_key(conn, &id, &by, ends, now)?;
            Ok(true)
        })
        .await;
    after_insert(app, &key, written).await?;
    let ended = account.keys.iter().find(|k| k.kid == previous).and_then(|k| k.expires_at);
    Ok(Published { key, previous, previous_ends: ended.map_or(ends, |at| at.min(ends)) })
}

/// How many live keys end within the warning time and have no successor, by account.
pub fn due_keys(app: &App, now: Timestamp) -> Vec<(ClientId, AccountKey)> {
    let warning = app.settings.service_accounts.key_warning_seconds;
    let mut due = Vec::new();
    for account in app.service_accounts() {
        if !account.is_active() {
            continue;
        }
        let live = || account.keys.iter().filter(|key| key.is_live(now));
        let ends_soon = |key: &&AccountKey| key.expires_at.is_some_and(|at| at.since(now) <= warning);
        // A key that its successor stands beside ends as it should.
        let has_other = live().any(|key| !ends_soon(&key));
        due.extend(
            live().filter(ends_soon).filter(|_| !has_other).map(|key| (account.id.clone(), key.clone())),
        );
    }
    due
}

fn url_host(issuer: &str) -> String {
    let after = issuer.split_once("://").map_or(issuer, |(_, after)| after);
    let host = after.split(['/', ':']).next().unwrap_or_default();
    if host.starts_with('[') || host.is_empty() { "localhost".to_owned() } else { host.to_owned() }
}
