//! What a node keeps in memory, and how it stays fresh: clients, service accounts and signing keys, read at start, then row by row as the
//! change feed names them.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use super::App;
use crate::api_key::format::PublicId;
use crate::api_key::key::ApiKey;
use crate::api_key::plan::Plan;
use crate::base::fault::Fault;
use crate::base::id::{ClientId, OrganizationId};
use crate::base::quick::QuickMap;
use crate::base::seal::Purpose;
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::jose::keyring::{Keyring, StoredKey};
use crate::oauth::client::Client;
use crate::oauth::redirect_uri;
use crate::oauth::service_account::ServiceAccount;
use crate::oauth::upstream::Provider;
use crate::store::changes::{self, Change, ChangeKind};
use crate::store::organizations::Presence;
use crate::store::{
    Conn, StoreError, api_keys, clients, identity_providers, organizations, service_accounts, signing_keys,
};

/// The registered clients, and the web origins that their pages come from.
#[derive(Debug, Default)]
struct Clients {
    by_id: HashMap<ClientId, Arc<Client>>,
    origins: HashSet<String>,
    any_loopback: bool,
}

impl Clients {
    fn of(by_id: HashMap<ClientId, Arc<Client>>) -> Self {
        let live = || by_id.values().filter(|c| c.disabled_at.is_none());
        let origins = live()
            .flat_map(|c| c.metadata.redirect_uris.iter())
            .filter_map(|uri| redirect_uri::origin(uri))
            .collect();
        let any_loopback = live().any(|c| c.metadata.any_loopback_redirect);
        Self { by_id, origins, any_loopback }
    }
}

/// The service accounts, and who trusts which outside issuer.
#[derive(Debug, Default)]
struct Accounts {
    by_id: HashMap<ClientId, Arc<ServiceAccount>>,
    by_issuer: HashMap<String, Vec<Arc<ServiceAccount>>>,
}

impl Accounts {
    fn of(by_id: HashMap<ClientId, Arc<ServiceAccount>>) -> Self {
        let mut by_issuer: HashMap<String, Vec<Arc<ServiceAccount>>> = HashMap::new();
        for account in by_id.values() {
            let issuers: HashSet<&String> = account.rules.iter().map(|rule| &rule.issuer).collect();
            for issuer in issuers {
                by_issuer.entry(issuer.clone()).or_default().push(Arc::clone(account));
            }
        }
        Self { by_id, by_issuer }
    }
}

/// A key ring, and what it was built of. A ring of other rows than the present ones is no longer looked at, so that one
/// that was slow to build can never bring a revoked key back.
#[derive(Debug)]
struct Built {
    of: Arc<Vec<StoredKey>>,
    at: Timestamp,
    keyring: Arc<Keyring>,
}

impl Built {
    fn is_good(&self, keys: &Arc<Vec<StoredKey>>, now: Timestamp) -> bool {
        Arc::ptr_eq(&self.of, keys)
            && now >= self.at
            && self.keyring.next_change().is_none_or(|change| now < change)
    }
}

/// The snapshots of one node.
#[derive(Debug, Default)]
pub struct Snapshots {
    clients: ArcSwap<Clients>,
    accounts: ArcSwap<Accounts>,
    /// By id, and changed in place: there may be very many.
    api_keys: RwLock<QuickMap<PublicId, Arc<ApiKey>>>,
    plans: ArcSwap<QuickMap<OrganizationId, Plan>>,
    presence: ArcSwap<Presence>,
    providers: ArcSwap<Vec<Provider>>,
    stored_keys: ArcSwap<Vec<StoredKey>>,
    keyring: ArcSwap<Option<Built>>,
    /// The last change that was applied.
    cursor: AtomicI64,
    /// One applier at a time, so that an older state never overwrites a newer one.
    applying: Mutex<()>,
}

impl App {
    /// The client of that id, disabled ones included.
    pub fn client(&self, id: &ClientId) -> Option<Arc<Client>> {
        self.snapshots.clients.load().by_id.get(id).cloned()
    }

    /// Some apps, by name: their ids and names.
    pub fn client_names(&self, most: usize) -> Vec<(ClientId, String)> {
        let clients = self.snapshots.clients.load();
        let name = |client: &Arc<Client>| (client.id.clone(), client.metadata.client_name.clone());
        let mut all: Vec<(ClientId, String)> = clients.by_id.values().map(name).collect();
        all.sort_unstable_by(|(_, a), (_, b)| a.cmp(b));
        all.truncate(most);
        all
    }

    /// At most `most` clients in the order of their ids, those after `after`, disabled ones included.
    pub fn clients_after(&self, after: &str, most: usize) -> Vec<Arc<Client>> {
        let clients = self.snapshots.clients.load();
        let mut all: Vec<&Arc<Client>> = clients.by_id.values().filter(|c| c.id.as_str() > after).collect();
        all.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        all.into_iter().take(most).cloned().collect()
    }

    /// The service account of that id, disabled ones included.
    pub fn service_account(&self, id: &str) -> Option<Arc<ServiceAccount>> {
        let id: ClientId = id.parse().ok()?;
        self.snapshots.accounts.load().by_id.get(&id).cloned()
    }

    /// Every service account, disabled ones included.
    pub fn service_accounts(&self) -> Vec<Arc<ServiceAccount>> {
        self.snapshots.accounts.load().by_id.values().cloned().collect()
    }

    /// The service accounts with a trust rule for this outside issuer.
    pub fn accounts_that_trust(&self, issuer: &str) -> Vec<Arc<ServiceAccount>> {
        self.snapshots.accounts.load().by_issuer.get(issuer).cloned().unwrap_or_default()
    }

    /// The API key of that id, ended ones included.
    pub fn api_key(&self, id: PublicId) -> Option<Arc<ApiKey>> {
        self.snapshots.api_keys.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// The API keys of a kind, in no order.
    pub fn api_keys_that(&self, is_meant: impl Fn(&ApiKey) -> bool) -> Vec<Arc<ApiKey>> {
        let keys = self.snapshots.api_keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.values().filter(|key| is_meant(key)).cloned().collect()
    }

    /// What an organization has.
    pub fn plan(&self, organization: OrganizationId) -> Plan {
        self.snapshots.plans.load().get(&organization).copied().unwrap_or_default()
    }

    /// What the first organization shows of itself, and asks of its people.
    pub fn presence(&self) -> Arc<Presence> {
        self.snapshots.presence.load_full()
    }

    /// Other providers through which people may sign in, disabled ones included. They change with organizations.
    pub fn identity_providers(&self) -> Arc<Vec<Provider>> {
        self.snapshots.providers.load_full()
    }

    /// Whether a registered client's pages come from `origin`: CORS (C12).
    pub fn is_registered_origin(&self, origin: &str) -> bool {
        let clients = self.snapshots.clients.load();
        clients.origins.contains(origin) || (clients.any_loopback && redirect_uri::is_loopback_origin(origin))
    }

    /// The signing keys as the database has them.
    pub fn stored_keys(&self) -> Arc<Vec<StoredKey>> {
        self.snapshots.stored_keys.load_full()
    }

    /// The key ring at `now`. It is built anew when a key comes of age, without the database.
    pub fn keyring(&self, now: Timestamp) -> Result<Arc<Keyring>, Fault> {
        let keys = self.stored_keys();
        if let Some(built) = self.snapshots.keyring.load().as_ref()
            && built.is_good(&keys, now)
        {
            return Ok(Arc::clone(&built.keyring));
        }
        let keyring = Arc::new(Keyring::build(&keys, &self.key_policy(), now)?);
        let built = Built { of: keys, at: now, keyring: Arc::clone(&keyring) };
        self.snapshots.keyring.store(Arc::new(Some(built)));
        Ok(keyring)
    }

    /// Reads everything anew: at start, and when the feed was swept past our cursor.
    pub(super) async fn load_snapshots(&self) -> Result<(), StoreError> {
        let _alone = self.snapshots.applying.lock().await;
        self.load_all().await
    }

    async fn load_all(&self) -> Result<(), StoreError> {
        // The cursor first: a change that comes in between is applied twice, which does no harm; never is one missed.
        let cursor = self.store.read(changes::latest).await?;
        let (clients, keys) = tokio::join!(
            self.store.read_through(|conn| Ok((clients::all(conn)?, service_accounts::all(conn)?))),
            self.store.read_through(|conn| {
                let mut keys = QuickMap::default();
                api_keys::each(conn, |key| drop(keys.insert(key.id, Arc::new(key))))?;
                Ok(keys)
            }),
        );
        let ((all, accounts), keys) = (clients?, keys?);
        self.load_organizations().await?;
        *self.snapshots.api_keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        let accounts = accounts.into_iter().map(|a| (a.id.clone(), Arc::new(a))).collect();
        self.snapshots.accounts.store(Arc::new(Accounts::of(accounts)));
        let by_id = all.into_iter().map(|c| (c.id.clone(), Arc::new(c))).collect();
        self.snapshots.clients.store(Arc::new(Clients::of(by_id)));
        self.load_keys().await?;
        self.snapshots.cursor.store(cursor, Ordering::SeqCst);
        Ok(())
    }

    async fn load_organizations(&self) -> Result<(), StoreError> {
        let read = |conn: &mut Conn| {
            let (plans, presence) = (organizations::plans(conn)?, organizations::presence(conn)?);
            Ok((plans, presence, identity_providers::all(conn)?))
        };
        let (plans, presence, providers) = self.store.read(read).await?;
        self.snapshots.plans.store(Arc::new(plans.into_iter().collect()));
        self.snapshots.presence.store(Arc::new(presence));
        self.snapshots.providers.store(Arc::new(providers));
        Ok(())
    }

    async fn load_keys(&self) -> Result<(), StoreError> {
        let rows = self.store.read(signing_keys::all).await?;
        let mut keys = Vec::with_capacity(rows.len());
        for row in rows {
            let private_der = match &row.private_sealed {
                None => None,
                Some(sealed) => Some(Secret::new(
                    self.vault.open_bytes(Purpose::PrivateKey, sealed).ok_or_else(|| {
                        StoreError::Fault(Fault::new(
                            "opening a sealed signing key",
                            "the master key does not fit",
                        ))
                    })?,
                )),
            };
            let public_jwk = serde_json::from_str(&row.public_jwk)
                .map_err(|e| StoreError::Fault(Fault::new("reading the public half of a signing key", e)))?;
            keys.push(StoredKey {
                kid: row.kid,
                alg: row.alg,
                generation: row.generation,
                private_der,
                public_jwk,
                created_at: row.created_at,
                sign_from: row.sign_from,
                revoked_at: row.revoked_at,
            });
        }
        self.snapshots.stored_keys.store(Arc::new(keys));
        Ok(())
    }

    /// Reads the API keys anew that changed.
    async fn catch_up_keys(&self, changes: &[Change]) -> Result<(), StoreError> {
        let of_keys = changes.iter().filter(|change| change.kind == ChangeKind::ApiKey);
        let ids: HashSet<PublicId> = of_keys.filter_map(|change| change.subject.parse().ok()).collect();
        for id in ids {
            let found = self.store.read(move |conn| api_keys::find(conn, id)).await?;
            let mut keys = self.snapshots.api_keys.write().unwrap_or_else(PoisonError::into_inner);
            match found {
                Some(key) => keys.insert(id, Arc::new(key)),
                None => keys.remove(&id),
            };
        }
        Ok(())
    }

    /// Applies what changed since the last call, on this node's own writes at once, on others' within a poll.
    ///
    /// # Errors
    /// When the database does not answer; the snapshots stay as they are, and the next call catches up.
    pub async fn catch_up(&self) -> Result<(), StoreError> {
        let _alone = self.snapshots.applying.lock().await;
        let cursor = self.snapshots.cursor.load(Ordering::SeqCst);
        let feed = self.store.read(move |conn| changes::since(conn, cursor)).await?;
        if feed.gap {
            return self.load_all().await;
        }
        let changes = feed.changes;
        if changes.is_empty() {
            return Ok(());
        }
        if changes.iter().any(|c| c.kind == ChangeKind::SigningKey) {
            self.load_keys().await?;
        }
        if changes.iter().any(|c| c.kind == ChangeKind::Organization) {
            self.load_organizations().await?;
        }
        let of_kind = |kind: ChangeKind| -> HashSet<ClientId> {
            changes.iter().filter(|c| c.kind == kind).filter_map(|c| c.subject.parse().ok()).collect()
        };
        let accounts = of_kind(ChangeKind::ServiceAccount);
        if !accounts.is_empty() {
            let mut by_id = self.snapshots.accounts.load().by_id.clone();
            for id in accounts {
                let wanted = id.clone();
                match self.store.read(move |conn| service_accounts::find(conn, &wanted)).await? {
                    Some(account) => by_id.insert(id, Arc::new(account)),
                    None => by_id.remove(&id),
                };
            }
            self.snapshots.accounts.store(Arc::new(Accounts::of(by_id)));
        }
        self.catch_up_keys(&changes).await?;
        let ids = of_kind(ChangeKind::Client);
        if !ids.is_empty() {
            let mut by_id = self.snapshots.clients.load().by_id.clone();
            for id in ids {
                let wanted = id.clone();
                match self.store.read(move |conn| clients::find(conn, &wanted)).await? {
                    Some(client) => by_id.insert(id, Arc::new(client)),
                    None => by_id.remove(&id),
                };
            }
            self.snapshots.clients.store(Arc::new(Clients::of(by_id)));
        }
        self.snapshots.cursor.store(feed.position, Ordering::SeqCst);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Role;
    use crate::base::algorithm::Algorithm;
    use crate::base::entropy::Entropy;
    use crate::base::time::Clock;
    use crate::jose::signing_key::SigningKey;
    use crate::store::signing_keys::SigningKeyRow;

    async fn add_key(app: &App, generation: i64) -> String {
        let new = SigningKey::generate(Algorithm::Es256, 2048, &app.entropy).unwrap();
        let row = SigningKeyRow {
            kid: new.kid.clone(),
            alg: Algorithm::Es256,
            generation,
            private_sealed: Some(app.vault.seal_bytes(
                Purpose::PrivateKey,
                new.private_der.reveal(),
                &app.entropy,
            )),
            public_jwk: new.public_jwk.to_string(),
            created_at: app.now(),
            sign_from: app.now(),
            revoked_at: None,
        };
        app.store.write(move |conn| signing_keys::insert(conn, &row)).await.unwrap();
        app.catch_up().await.unwrap();
        new.kid
    }

    #[tokio::test]
    async fn a_ring_that_was_slow_to_build_does_not_bring_a_revoked_key_back_p3() {
        let dir = tempfile::tempdir().unwrap();
        let place = ("CNX_DATA_DIR".to_owned(), dir.path().display().to_string());
        let settings = crate::config::load(None, [place].into_iter(), None).unwrap().settings;
        let clock = Clock::manual(Timestamp::from_secs(1_000));
        let app = App::open(settings, clock, Entropy::system(), Role::Tool).await.unwrap();
        let now = app.now();
        let kid = add_key(&app, 1).await;
        add_key(&app, 2).await;
        assert!(String::from_utf8_lossy(&app.keyring(now).unwrap().jwks().json).contains(&kid));
        // A request begins to build a ring of these rows; before it is done, the key is revoked.
        let slow = app.snapshots.keyring.load_full();
        let revoked = kid.clone();
        app.store.write(move |conn| signing_keys::revoke(conn, &revoked, now)).await.unwrap();
        app.catch_up().await.unwrap();
        app.snapshots.keyring.store(slow);
        assert!(!String::from_utf8_lossy(&app.keyring(now).unwrap().jwks().json).contains(&kid));
    }
}
