//! Other OpenID providers by which people may sign in. There are few, and they are read where they are needed.

use diesel::prelude::*;

use super::changes::{self, ChangeKind};
use super::conn::Conn;
use super::error::{StoreError, duplicate};
use super::row::must;
use super::schema::identity_providers;
use crate::base::time::Timestamp;
use crate::oauth::upstream::Provider;

fn read(text: &str) -> Result<Provider, StoreError> {
    must(serde_json::from_str(text).ok(), "identity_providers.provider is no provider")
}

fn write(provider: &Provider) -> Result<String, StoreError> {
    must(serde_json::to_string(provider).ok(), "a provider cannot be written")
}

/// A provider, with our secret there, sealed.
pub type WithSecret = (Provider, Option<Vec<u8>>);

/// All of them, the oldest first.
pub fn all(conn: &mut Conn) -> Result<Vec<Provider>, StoreError> {
    let rows = identity_providers::table
        .order((identity_providers::created_at, identity_providers::id))
        .select(identity_providers::provider)
        .load::<String>(conn)?;
    rows.iter().map(|text| read(text)).collect()
}

/// One, with our secret there, sealed.
pub fn find(conn: &mut Conn, id: &str) -> Result<Option<WithSecret>, StoreError> {
    let found = identity_providers::table
        .find(id)
        .select((identity_providers::provider, identity_providers::client_secret))
        .get_result::<(String, Option<Vec<u8>>)>(conn)
        .optional()?;
    found.map(|(text, secret)| Ok((read(&text)?, secret))).transpose()
}

/// Adds one with our secret there, sealed. `Duplicate("id")` or `Duplicate("issuer")` where there is one.
pub fn insert(conn: &mut Conn, new: &Provider, secret: Option<&[u8]>) -> Result<(), StoreError> {
    diesel::insert_into(identity_providers::table)
        .values((
            identity_providers::id.eq(&new.id),
            identity_providers::issuer.eq(&new.issuer),
            identity_providers::provider.eq(write(new)?),
            identity_providers::client_secret.eq(secret),
            identity_providers::created_at.eq(new.created_at.as_secs()),
        ))
        .execute(conn)
        .map_err(|e| duplicate(e, &["issuer", "id"]))?;
    tell(conn, new.created_at)
}

/// Nodes hear of it as of a change of the organization: they show providers to everybody.
fn tell(conn: &mut Conn, now: Timestamp) -> Result<(), StoreError> {
    changes::record(conn, ChangeKind::Organization, "identity providers", now)
}

/// Changes one; whether it was there.
pub fn update(conn: &mut Conn, changed: &Provider, now: Timestamp) -> Result<bool, StoreError> {
    let row = identity_providers::table.find(&changed.id);
    let rows = diesel::update(row).set(identity_providers::provider.eq(write(changed)?)).execute(conn)?;
    tell(conn, now)?;
    Ok(rows == 1)
}

/// Takes one away; whether it was there. Who people are there stays, for it may come back.
pub fn remove(conn: &mut Conn, id: &str, now: Timestamp) -> Result<bool, StoreError> {
    let rows = diesel::delete(identity_providers::table.find(id)).execute(conn)?;
    tell(conn, now)?;
    Ok(rows == 1)
}
