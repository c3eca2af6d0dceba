//! Clients, as the command line registers and changes them.

use serde_json::{Value, json};

use super::audit::{Act, By, Name, Record};
use crate::app::App;
use crate::base::id::{ClientId, UserId};
use crate::base::seal::{MacPurpose, Purpose};
use crate::base::secret::{Fingerprint, Secret};
use crate::base::time::Timestamp;
use crate::jose::key_set::KeySet;
use crate::oauth::client::{AuthMethod, Client, ClientMetadata, ClientSecret};
use crate::oauth::client_registration::{self, FieldError};
use crate::oauth::error::OAuthError;
use crate::store::{Conn, StoreError, clients, families};

/// The prefix of client secrets that we make. Never change it: secret scanners know it.
pub const SECRET_PREFIX: &str = "cnx_cs_";

/// Why a client was not registered or changed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A member says no.
    #[error("{0}")]
    Field(#[from] FieldError),
    /// The id is taken.
    #[error("client_id: {0} is taken")]
    Taken(ClientId),
    /// The id has the form of a person's: a token's `sub` could be either (S-T13).
    #[error("client_id: {0} has the form of a person's id (UUID version 7); any other text is allowed")]
    LooksLikeAPerson(ClientId),
    /// No client of that id.
    #[error("no client has the id {0}")]
    Unknown(String),
    /// Neither a public client nor one with a key pair has a secret.
    #[error("{0} has no secret: it is a public client, or authenticates by private_key_jwt")]
    NoSecret(ClientId),
    /// The secret of before the last rotation still works, as it was promised.
    #[error(
        "the secret of before the last rotation works until {0}; rotate again after that, or now with --overlap 0, which stops both"
    )]
    StillWorks(String),
    /// We cannot decide now, or something went wrong.
    #[error("{}", .0.description())]
    Error(OAuthError),
}

impl From<StoreError> for ClientError {
    fn from(error: StoreError) -> Self {
        Self::Error(error.into())
    }
}

/// The stored form of a client's secret. Bound to the client, so that one secret of two clients is two fingerprints.
pub fn secret_fingerprint(app: &App, client: &ClientId, secret: &Secret<String>) -> Fingerprint {
    let parts = [client.as_str().as_bytes(), secret.reveal().as_bytes()];
    Fingerprint::from_bytes(app.vault.mac(MacPurpose::ClientSecret, &parts))
}

/// What is kept of a secret: its keyed hash; and under seal, for a client whose MACs we must be able to make (OIDC Core §9,
/// `client_secret_jwt`), the secret itself.
fn stored_secret(app: &App, client: &Client, secret: &Secret<String>, now: Timestamp) -> ClientSecret {
    let is_key = client.metadata.token_endpoint_auth_method == AuthMethod::ClientSecretJwt;
    let seal = || app.vault.seal_bytes(Purpose::ClientSecret, secret.reveal().as_bytes(), &app.entropy);
    ClientSecret {
        fingerprint: secret_fingerprint(app, &client.id, secret),
        created_at: now,
        expires_at: None,
        sealed: is_key.then(seal),
    }
}

/// Registers a client; an id and a secret may be brought. The secret is returned, once; `None` for a client that has none.
pub async fn add(
    app: &App,
    by: &By,
    metadata: ClientMetadata,
    id: Option<ClientId>,
    secret: Option<Secret<String>>,
) -> Result<(Client, Option<Secret<String>>), ClientError> {
    check(&metadata)?;
    let now = app.now();
    let id = id.unwrap_or_else(|| new_id(app));
    if id.as_str().parse::<UserId>().is_ok_and(UserId::is_version_7) {
        return Err(ClientError::LooksLikeAPerson(id));
    }
    if app.service_account(id.as_str()).is_some() {
        return Err(ClientError::Taken(id));
    }
    let mut client = Client { id, metadata, secrets: Vec::new(), created_at: now, disabled_at: None };
    let method = client.metadata.token_endpoint_auth_method;
    let secret = if method.has_secret() {
        let secret = secret.unwrap_or_else(|| Secret::generate(SECRET_PREFIX, &app.entropy));
        client_registration::check_strength(method, &secret)?;
        client.secrets.push(stored_secret(app, &client, &secret, now));
        Some(secret)
    } else if secret.is_some() {
        return Err(ClientError::NoSecret(client.id));
    } else {
        None
    };
    let row = client.clone();
    let about = json!({ "name": row.metadata.client_name, "token_endpoint_auth_method": method.name() });
    let record = Record::new(app, &Act::Did(Name::ClientAdded, client.id.as_str().into(), about), by, now);
    let written = record.with(app, move |conn| clients::insert(conn, &row)).await;
    match written {
        Ok(()) => {}
        Err(StoreError::Duplicate(_)) => return Err(ClientError::Taken(client.id)),
        Err(error) => return Err(error.into()),
    }
    app.catch_up().await?;
    Ok((client, secret))
}

/// The client of an id, from the database.
pub async fn find(app: &App, id: &str) -> Result<Client, ClientError> {
    let unknown = || ClientError::Unknown(id.to_owned());
    let wanted: ClientId = id.parse().map_err(|_| unknown())?;
    app.store.read(move |conn| clients::find(conn, &wanted)).await?.ok_or_else(unknown)
}

/// Makes a new secret; the one before works for `overlap` more seconds. There are never more than two: while an older one still
/// works as it was promised, only a rotation without overlap is taken, which ends both.
pub async fn rotate_secret(
    app: &App,
    by: &By,
    id: &str,
    overlap: i64,
) -> Result<Secret<String>, ClientError> {
    let now = app.now();
    let client = find(app, id).await?;
    if !client.metadata.token_endpoint_auth_method.has_secret() {
        return Err(ClientError::NoSecret(client.id));
    }
    let secret = Secret::generate(SECRET_PREFIX, &app.entropy);
    let (id, new) = (client.id.clone(), stored_secret(app, &client, &secret, now));
    let act = Act::Did(Name::ClientSecretRotated, id.as_str().into(), json!({ "overlap_seconds": overlap }));
    let record = Record::new(app, &act, by, now);
    let told = record.clone();
    let promised = app
        .store
        .write(move |conn| {
            // As it stands within this write: another rotation may have been first.
            let Some(client) = clients::hold(conn, &id, now)? else { return Ok(None) };
            let until = client.secrets.iter().filter_map(|s| s.expires_at).filter(|at| now < *at).max();
            if overlap > 0 && until.is_some() {
                return Ok(until);
            }
            // The current one is the one without an end; one that is over stays over.
            let before = client.secrets.iter().find(|s| overlap > 0 && s.expires_at.is_none());
            let before =
                before.map(|before| ClientSecret { expires_at: Some(now.plus(overlap)), ..before.clone() });
            let secrets: Vec<ClientSecret> = std::iter::once(new.clone()).chain(before).collect();
            clients::set_secrets(conn, &id, &secrets, now)?;
            record.write(conn)?;
            Ok(None)
        })
        .await?;
    if let Some(until) = promised {
        return Err(ClientError::StillWorks(until.to_rfc3339()));
    }
    told.log();
    app.catch_up().await?;
    Ok(secret)
}

/// An id that nobody has, for a client that is registered later.
pub fn new_id(app: &App) -> ClientId {
    ClientId::generate(&app.entropy)
}

/// Replaces what is registered of a client. How it authenticates stays: its secret, or that it has none, goes with that.
pub async fn change(app: &App, by: &By, id: &ClientId, metadata: ClientMetadata) -> Result<(), ClientError> {
    check(&metadata)?;
    let now = app.now();
    let about = json!({ "name": metadata.client_name, "redirect_uris": metadata.redirect_uris });
    let record = Record::new(app, &Act::Did(Name::ClientChanged, id.as_str().into(), about), by, now);
    let wanted = id.clone();
    let write = move |conn: &mut Conn| {
        let Some(before) = clients::hold(conn, &wanted, now)? else {
            return Ok(Err(ClientError::Unknown(wanted.to_string())));
        };
        if before.metadata.token_endpoint_auth_method != metadata.token_endpoint_auth_method {
            return Ok(Err(ClientError::Field(FieldError {
                field: "token_endpoint_auth_method",
                problem: "it cannot be changed; register another client".to_owned(),
            })));
        }
        clients::update(conn, &wanted, &metadata, now)?;
        Ok(Ok(()))
    };
    record.if_allowed(app, write).await??;
    app.catch_up().await?;
    Ok(())
}

/// Disables a client, or enables it again; while it is disabled, nobody signs in to it and its tokens are refused.
pub async fn set_disabled(app: &App, by: &By, id: &str, disabled: bool) -> Result<(), ClientError> {
    let now = app.now();
    let client = find(app, id).await?;
    let deed = if disabled { Name::ClientDisabled } else { Name::ClientEnabled };
    let record = Record::new(app, &Act::Did(deed, client.id.as_str().into(), Value::Null), by, now);
    record
        .with(app, move |conn| clients::set_disabled(conn, &client.id, disabled.then_some(now), now))
        .await?;
    app.catch_up().await?;
    Ok(())
}

/// The rules of a registration, its keys included.
fn check(metadata: &ClientMetadata) -> Result<(), ClientError> {
    client_registration::check(metadata)?;
    if let Some(jwks) = &metadata.jwks {
        KeySet::registered(jwks).map_err(|e| FieldError { field: "jwks", problem: e.to_string() })?;
    }
    Ok(())
}

/// Deletes a client; everything that it was given ends.
pub async fn delete(app: &App, by: &By, id: &str) -> Result<(), ClientError> {
    let now = app.now();
    let client = find(app, id).await?;
    let record =
        Record::new(app, &Act::Did(Name::ClientDeleted, client.id.as_str().into(), Value::Null), by, now);
    record
        .with(app, move |conn| {
            families::revoke_of_client(conn, &client.id, now)?;
            clients::delete(conn, &client.id, now)
        })
        .await?;
    app.catch_up().await?;
    Ok(())
}
