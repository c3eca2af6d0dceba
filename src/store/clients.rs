//! Clients and their secrets. Every write leaves a change in the feed, since servers keep all clients in memory.

use std::collections::HashMap;

use diesel::prelude::*;

use super::changes::{self, ChangeKind};
use super::conn::Conn;
use super::error::{StoreError, duplicate};
use super::row::{Rows, client_id, fingerprint, must, time};
use super::schema::{client_secrets, clients, consents, families};
use crate::base::fault::Fault;
use crate::base::id::ClientId;
use crate::base::time::Timestamp;
use crate::oauth::client::{Client, ClientMetadata, ClientSecret};

type Row = (String, String, i64, Option<i64>);
type SecretRow = (String, Vec<u8>, i64, Option<i64>, Option<Vec<u8>>);

/// Every client, by id.
pub fn all(conn: &mut Conn) -> Result<Vec<Client>, StoreError> {
    let rows: Rows<Row> = clients::table
        .order(clients::client_id)
        .select((clients::client_id, clients::metadata, clients::created_at, clients::disabled_at))
        .load(conn);
    let secrets: Rows<SecretRow> = client_secrets::table
        .order(client_secrets::created_at.desc())
        .select((
            client_secrets::client_id,
            client_secrets::fingerprint,
            client_secrets::created_at,
            client_secrets::expires_at,
            client_secrets::sealed,
        ))
        .load(conn);
    let mut by_client: HashMap<String, Vec<SecretRow>> = HashMap::new();
    for row in secrets? {
        by_client.entry(row.0.clone()).or_default().push(row);
    }
    rows?
        .into_iter()
        .map(|row| {
            let secrets = by_client.remove(&row.0).unwrap_or_default();
            client(row, secrets)
        })
        .collect()
}

/// One client.
pub fn find(conn: &mut Conn, id: &ClientId) -> Result<Option<Client>, StoreError> {
    let row = clients::table
        .find(id.as_str())
        .select((clients::client_id, clients::metadata, clients::created_at, clients::disabled_at))
        .get_result::<Row>(conn)
        .optional()?;
    let Some(row) = row else { return Ok(None) };
    let secrets: Rows<SecretRow> = client_secrets::table
        .filter(client_secrets::client_id.eq(id.as_str()))
        .order(client_secrets::created_at.desc())
        .select((
            client_secrets::client_id,
            client_secrets::fingerprint,
            client_secrets::created_at,
            client_secrets::expires_at,
            client_secrets::sealed,
        ))
        .load(conn);
    client(row, secrets?).map(Some)
}

/// Registers a client with its secrets; `Duplicate("client_id")` when the id is taken.
pub fn insert(conn: &mut Conn, client: &Client) -> Result<(), StoreError> {
    diesel::insert_into(clients::table)
        .values((
            clients::client_id.eq(client.id.as_str()),
            clients::metadata.eq(text(&client.metadata)?),
            clients::created_at.eq(client.created_at.as_secs()),
            clients::updated_at.eq(client.created_at.as_secs()),
            clients::disabled_at.eq(client.disabled_at.map(Timestamp::as_secs)),
        ))
        .execute(conn)
        .map_err(|e| duplicate(e, &["client_id"]))?;
    insert_secrets(conn, &client.id, &client.secrets)?;
    changes::record(conn, ChangeKind::Client, client.id.as_str(), client.created_at)
}

/// Replaces what is registered; whether the client exists.
pub fn update(
    conn: &mut Conn,
    id: &ClientId,
    metadata: &ClientMetadata,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let rows = diesel::update(clients::table.find(id.as_str()))
        .set((clients::metadata.eq(text(metadata)?), clients::updated_at.eq(now.as_secs())))
        .execute(conn)?;
    changed(conn, id, rows, now)
}

/// Disables a client, or enables it again; whether it exists.
pub fn set_disabled(
    conn: &mut Conn,
    id: &ClientId,
    disabled_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let rows = diesel::update(clients::table.find(id.as_str()))
        .set((
            clients::disabled_at.eq(disabled_at.map(Timestamp::as_secs)),
            clients::updated_at.eq(now.as_secs()),
        ))
        .execute(conn)?;
    changed(conn, id, rows, now)
}

/// Takes the client's row for the rest of the transaction, so that two changes of its secrets come one after the other, and gives the
/// client as it stands then.
pub fn hold(conn: &mut Conn, id: &ClientId, now: Timestamp) -> Result<Option<Client>, StoreError> {
    let rows = diesel::update(clients::table.find(id.as_str()))
        .set(clients::updated_at.eq(now.as_secs()))
        .execute(conn)?;
    if rows == 1 { find(conn, id) } else { Ok(None) }
}

/// Replaces the secrets; whether the client exists.
pub fn set_secrets(
    conn: &mut Conn,
    id: &ClientId,
    secrets: &[ClientSecret],
    now: Timestamp,
) -> Result<bool, StoreError> {
    let rows = diesel::update(clients::table.find(id.as_str()))
        .set(clients::updated_at.eq(now.as_secs()))
        .execute(conn)?;
    if rows == 1 {
        diesel::delete(client_secrets::table.filter(client_secrets::client_id.eq(id.as_str())))
            .execute(conn)?;
        insert_secrets(conn, id, secrets)?;
    }
    changed(conn, id, rows, now)
}

/// Deletes a client with its secrets, its consents and its families, so that none of its tokens works; whether it existed.
pub fn delete(conn: &mut Conn, id: &ClientId, now: Timestamp) -> Result<bool, StoreError> {
    let rows = diesel::delete(clients::table.find(id.as_str())).execute(conn)?;
    if rows == 1 {
        diesel::delete(consents::table.filter(consents::client_id.eq(id.as_str()))).execute(conn)?;
        diesel::delete(families::table.filter(families::client_id.eq(id.as_str()))).execute(conn)?;
    }
    changed(conn, id, rows, now)
}

fn changed(conn: &mut Conn, id: &ClientId, rows: usize, now: Timestamp) -> Result<bool, StoreError> {
    if rows == 1 {
        changes::record(conn, ChangeKind::Client, id.as_str(), now)?;
    }
    Ok(rows == 1)
}

fn insert_secrets(conn: &mut Conn, id: &ClientId, secrets: &[ClientSecret]) -> Result<(), StoreError> {
    for secret in secrets {
        diesel::insert_into(client_secrets::table)
            .values((
                client_secrets::fingerprint.eq(secret.fingerprint.as_bytes().as_slice()),
                client_secrets::client_id.eq(id.as_str()),
                client_secrets::created_at.eq(secret.created_at.as_secs()),
                client_secrets::expires_at.eq(secret.expires_at.map(Timestamp::as_secs)),
                client_secrets::sealed.eq(secret.sealed.as_deref()),
            ))
            .execute(conn)
            .map_err(|e| duplicate(e, &["client_secret"]))?;
    }
    Ok(())
}

fn text(metadata: &ClientMetadata) -> Result<String, StoreError> {
    serde_json::to_string(metadata).map_err(|e| Fault::new("writing a client's metadata", e).into())
}

fn client(
    (id, metadata, created_at, disabled_at): Row,
    secrets: Vec<SecretRow>,
) -> Result<Client, StoreError> {
    let metadata =
        must(serde_json::from_str(&metadata).ok(), "clients.metadata is not what a client registers")?;
    let secrets = secrets.into_iter().map(|(_, bytes, created_at, expires_at, sealed)| {
        Ok(ClientSecret {
            fingerprint: fingerprint(&bytes)?,
            created_at: Timestamp::from_secs(created_at),
            expires_at: time(expires_at),
            sealed,
        })
    });
    Ok(Client {
        id: client_id(id)?,
        metadata,
        secrets: secrets.collect::<Result<_, StoreError>>()?,
        created_at: Timestamp::from_secs(created_at),
        disabled_at: time(disabled_at),
    })
}
