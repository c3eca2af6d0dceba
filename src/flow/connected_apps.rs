//! What a person allowed apps to do, as they see it, and taking it back.

use std::collections::BTreeMap;

use super::audit::{Act, By, Record};
use crate::app::App;
use crate::base::id::{ClientId, UserId};
use crate::base::time::Timestamp;
use crate::oauth::error::OAuthError;
use crate::oauth::scope::Scope;
use crate::store::{consents, families};

/// An app that may act for a person.
#[derive(Clone, Debug)]
pub struct ConnectedApp {
    /// Its client.
    pub client: ClientId,
    /// Its name; its id where it is no more.
    pub name: String,
    /// What it may.
    pub scope: Option<Scope>,
    /// Since when.
    pub since: Timestamp,
    /// When it last got a token, where it holds access now.
    pub last_used: Option<Timestamp>,
}

/// Every app that the person allowed something, or that holds access of theirs; by name.
pub async fn list(app: &App, user: UserId) -> Result<Vec<ConnectedApp>, OAuthError> {
    let now = app.now();
    let (allowed, live) = app
        .store
        .read(move |conn| Ok((consents::of_user(conn, user)?, families::by_client(conn, user, now)?)))
        .await?;
    let mut all: BTreeMap<ClientId, ConnectedApp> = BTreeMap::new();
    let new = |client: &ClientId, scope, since| ConnectedApp {
        client: client.clone(),
        name: app
            .client(client)
            .map_or_else(|| client.to_string(), |found| found.metadata.client_name.clone()),
        scope,
        since,
        last_used: None,
    };
    for (client, scope, since) in allowed {
        all.insert(client.clone(), new(&client, Some(scope), since));
    }
    for (client, began, used) in live {
        let entry = all.entry(client.clone()).or_insert_with(|| new(&client, None, began));
        entry.since = entry.since.min(began);
        entry.last_used = Some(used);
    }
    let mut apps: Vec<ConnectedApp> = all.into_values().collect();
    apps.sort_by(|a, b| (a.name.to_lowercase(), &a.client).cmp(&(b.name.to_lowercase(), &b.client)));
    Ok(apps)
}

/// Takes back what a person allowed a client: the consent, and every token that came of it; whether there was anything.
pub async fn revoke(app: &App, by: &By, user: UserId, client: ClientId) -> Result<bool, OAuthError> {
    let now = app.now();
    let record = Record::new(app, &Act::ConsentWithdrawn(user, &client), by, now);
    let done = record
        .if_done(app, move |conn| {
            let allowed = consents::withdraw(conn, user, &client)?;
            let revoked = families::revoke_of_consent(conn, user, &client, now)?;
            Ok(allowed || revoked > 0)
        })
        .await?;
    Ok(done)
}
