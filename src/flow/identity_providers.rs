//! Other OpenID providers through which people may sign in, as the command line adds and removes them.

use serde_json::{Value, json};

use super::audit::{Act, By, Name, Record};
use super::sign_in::upstream::{self, redirect_uri};
use crate::app::App;
use crate::base::seal::Purpose;
use crate::base::secret::Secret;
use crate::oauth::error::OAuthError;
use crate::oauth::scope::Scope;
use crate::oauth::trust::is_issuer;
use crate::oauth::upstream::Provider;
use crate::store::{Conn, StoreError, identity_providers};

/// The longest id and the longest name, in characters.
const LONGEST: usize = 32;
const LONGEST_NAME: usize = 60;

/// Why a provider was not added or changed.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// No provider has this id.
    #[error("no provider has the id {0}; `cnx identity-provider list` shows them")]
    Unknown(String),
    /// A field says no.
    #[error("{field}: {problem}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is allowed.
        problem: String,
    },
    /// We cannot decide now, or something went wrong.
    #[error("{}", .0.description())]
    Error(OAuthError),
}

impl From<StoreError> for ProviderError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Duplicate(field) => {
                Self::Field { field, problem: "a provider has it already".to_owned() }
            }
            other => Self::Error(other.into()),
        }
    }
}

/// A provider to be added.
#[derive(Debug)]
pub struct New {
    /// Its id, in addresses.
    pub id: String,
    /// What people read.
    pub name: String,
    /// Its issuer.
    pub issuer: String,
    /// Who we are there.
    pub client_id: String,
    /// Our secret there, if any.
    pub secret: Option<Secret<String>>,
    /// What we ask for.
    pub scope: String,
    /// Whether an address that it says is somebody's makes the account with that address theirs.
    pub trusted_for_addresses: bool,
}

fn refuse<T>(field: &'static str, problem: impl Into<String>) -> Result<T, ProviderError> {
    Err(ProviderError::Field { field, problem: problem.into() })
}

/// Adds a provider that answers as one.
pub async fn add(app: &App, by: &By, new: New) -> Result<Provider, ProviderError> {
    let is_id = |text: &str| {
        (1..=LONGEST).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if !is_id(&new.id) {
        return refuse("id", format!("1 to {LONGEST} of a-z, 0-9 and - are allowed; it stands in addresses"));
    }
    let name = new.name.trim();
    if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
        return refuse("name", format!("1 to {LONGEST_NAME} characters are allowed, on one line"));
    }
    if !is_issuer(&new.issuer) {
        return refuse(
            "issuer",
            format!("{}: an https URL without query and fragment is allowed", new.issuer),
        );
    }
    if new.issuer == app.issuer() {
        return refuse("issuer", "this is our own; another provider is allowed");
    }
    let is_visible = |text: &str| text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    if new.client_id.is_empty() || new.client_id.len() > 255 || !is_visible(&new.client_id) {
        return refuse("client-id", "1 to 255 visible ASCII characters are allowed, as the provider gave it");
    }
    let scope = Scope::parse(&new.scope).or_else(|problem| refuse("scope", problem))?;
    if !scope.contains("openid") {
        return refuse("scope", "openid must be among them: without it there is no ID token");
    }
    if new.trusted_for_addresses && !scope.contains("email") {
        return refuse("scope", "email must be among them where the provider is trusted for addresses");
    }
    // Whoever sets it up hears now what is wrong, and not the first person who wants to sign in.
    upstream::endpoints(app, &new.issuer).await.or_else(|problem| refuse("issuer", problem))?;
    let now = app.now();
    let provider = Provider {
        id: new.id,
        name: name.to_owned(),
        issuer: new.issuer,
        client_id: new.client_id,
        scope,
        trusted_for_addresses: new.trusted_for_addresses,
        disabled_at: None,
        created_at: now,
    };
    let seal = |secret: Secret<String>| {
        app.vault.seal_bytes(Purpose::ProviderSecret, secret.reveal().as_bytes(), &app.entropy)
    };
    let (row, sealed) = (provider.clone(), new.secret.map(seal));
    let about = json!({ "issuer": provider.issuer, "trusted_for_addresses": provider.trusted_for_addresses });
    let act = Act::Did(Name::ProviderAdded, provider.id.as_str().into(), about);
    let record = Record::new(app, &act, by, now);
    record.with(app, move |conn| identity_providers::insert(conn, &row, sealed.as_deref())).await?;
    app.catch_up().await?;
    Ok(provider)
}

/// Lets nobody sign in through a provider, or lets people again. Sessions that began through it stay.
pub async fn set_disabled(app: &App, by: &By, id: &str, disabled: bool) -> Result<Provider, ProviderError> {
    let now = app.now();
    let deed = if disabled { Name::ProviderDisabled } else { Name::ProviderEnabled };
    let (wanted, record) =
        (id.to_owned(), Record::new(app, &Act::Did(deed, id.into(), Value::Null), by, now));
    let write = move |conn: &mut Conn| {
        let Some((mut provider, _)) = identity_providers::find(conn, &wanted)? else { return Ok(None) };
        provider.disabled_at = disabled.then(|| provider.disabled_at.unwrap_or(now));
        identity_providers::update(conn, &provider, now)?;
        Ok(Some(provider))
    };
    let changed = record.when(Option::is_some, app, write).await?;
    app.catch_up().await?;
    changed.ok_or_else(|| ProviderError::Unknown(id.to_owned()))
}

/// Takes a provider away. Who people are there is kept: it counts again when the same issuer is added again.
pub async fn remove(app: &App, by: &By, id: &str) -> Result<(), ProviderError> {
    let act = Act::Did(Name::ProviderRemoved, id.into(), Value::Null);
    let now = app.now();
    let (wanted, record) = (id.to_owned(), Record::new(app, &act, by, now));
    let removed = record.if_done(app, move |conn| identity_providers::remove(conn, &wanted, now)).await?;
    app.catch_up().await?;
    if removed { Ok(()) } else { Err(ProviderError::Unknown(id.to_owned())) }
}

/// A provider as programs read it.
pub fn described(app: &App, provider: &Provider) -> Value {
    json!({
        "id": provider.id,
        "name": provider.name,
        "issuer": provider.issuer,
        "client_id": provider.client_id,
        "scope": provider.scope,
        "trusted_for_addresses": provider.trusted_for_addresses,
        "redirect_uri": redirect_uri(app, &provider.id),
        "disabled_at": provider.disabled_at.map(crate::base::time::Timestamp::to_rfc3339),
        "created_at": provider.created_at.to_rfc3339(),
    })
}
