//! What the tests of the store stand on: a SQLite folder, and a PostgreSQL database of their own when `TEST_POSTGRES_URL` names a server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use diesel::connection::SimpleConnection as _;

use super::conn::{Conn, open_postgres_for_migrations};
use super::{Store, StoreError, StoreOptions};
use crate::base::entropy::Entropy;
use crate::base::id::{FamilyId, SessionId, UserId};
use crate::base::secret::Fingerprint;
use crate::base::time::{Clock, Timestamp};
use crate::oauth::claims_request::ClaimsRequest;
use crate::oauth::refresh::Family;
use crate::oauth::scope::Scope;

/// A moment that tests take for now.
pub(super) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// An open store, and what is thrown away after it.
pub(super) struct World {
    pub(super) store: Arc<Store>,
    pub(super) options: StoreOptions,
    pub(super) folder: Option<tempfile::TempDir>,
    database: Option<(String, String)>,
}

impl World {
    /// A fresh SQLite file.
    pub(super) fn sqlite() -> Self {
        Self::sqlite_with(|_| {})
    }

    /// A fresh SQLite file with other options.
    pub(super) fn sqlite_with(change: impl FnOnce(&mut StoreOptions)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = StoreOptions::new(format!("sqlite:{}", folder.path().join("cnx.db").display()));
        change(&mut options);
        let store = Arc::new(Store::open(&options).unwrap());
        Self { store, options, folder: Some(folder), database: None }
    }

    /// A fresh PostgreSQL database, when there is a server for tests.
    pub(super) fn postgres() -> Option<Self> {
        let (options, database) = postgres_database()?;
        let store = Arc::new(Store::open(&options).unwrap());
        Some(Self { store, options, folder: None, database: Some(database) })
    }

    /// One of each that is there.
    pub(super) fn each() -> Vec<Self> {
        std::iter::once(Self::sqlite()).chain(Self::postgres()).collect()
    }

    /// The file.
    pub(super) fn path(&self) -> std::path::PathBuf {
        self.folder.as_ref().unwrap().path().join("cnx.db")
    }

    /// Runs a write to its end, from a test that is not asynchronous.
    pub(super) fn write<T: Send + 'static>(
        &self,
        act: impl FnMut(&mut Conn) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        block_on(self.store.write(act))
    }

    /// Runs a read to its end, from a test that is not asynchronous.
    pub(super) fn read<T: Send + 'static>(
        &self,
        act: impl FnMut(&mut Conn) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        block_on(self.store.read(act))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some((server, name)) = &self.database {
            let mut conn = open_postgres_for_migrations(server).unwrap();
            let Conn::Postgres(c) = &mut conn else { return };
            c.batch_execute(&format!("DROP DATABASE \"{name}\" WITH (FORCE)")).unwrap();
        }
    }
}

/// The address of a new, empty PostgreSQL database, and (server, name) to drop it by.
#[expect(clippy::disallowed_methods, reason = "a test asks where its server is; no setting of ours")]
pub(super) fn postgres_database() -> Option<(StoreOptions, (String, String))> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let server = std::env::var("TEST_POSTGRES_URL").ok()?;
    let name = format!("cnx_store_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let mut conn = open_postgres_for_migrations(&server).unwrap();
    let Conn::Postgres(c) = &mut conn else { return None };
    c.batch_execute(&format!("CREATE DATABASE \"{name}\"")).unwrap();
    let mut url = url::Url::parse(&server).unwrap();
    url.set_path(&name);
    Some((StoreOptions::new(url.as_str()), (server, name)))
}

/// Runs a future to its end on a runtime of its own, so that tests can use real threads.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Runs `act` on `count` threads that start at the same moment; what each gave.
pub(super) fn race<T: Send>(count: usize, act: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let barrier = std::sync::Barrier::new(count);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|n| {
                let (barrier, act) = (&barrier, &act);
                scope.spawn(move || {
                    barrier.wait();
                    act(n)
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    })
}

/// A fingerprint like no other.
pub(super) fn fingerprint(n: u8) -> Fingerprint {
    Fingerprint::from_bytes([n; 32])
}

/// A new id.
pub(super) fn user_id(n: u64) -> UserId {
    UserId::new(&Clock::manual(NOW), &Entropy::seeded(n))
}

/// A new id.
pub(super) fn session_id(n: u64) -> SessionId {
    SessionId::new(&Clock::manual(NOW), &Entropy::seeded(n))
}

/// A live family of user 1 at session 1 for `app`.
pub(super) fn family(n: u64) -> Family {
    Family {
        id: FamilyId::new(&Clock::manual(NOW), &Entropy::seeded(n)),
        client: "app".parse().unwrap(),
        user: user_id(1),
        session: Some(session_id(1)),
        scope: Scope::of(&["openid", "email"]),
        claims: ClaimsRequest::default(),
        nonce: Some("n-0S6".to_owned()),
        auth_time: NOW,
        acr: "1".to_owned(),
        amr: vec!["pwd".to_owned()],
        salt: vec![7; 16],
        generation: 0,
        rotated_at: NOW,
        created_at: NOW,
        expires_at: NOW.plus(3600),
        refreshable: true,
        offline: false,
        revoked_at: None,
        resources: vec!["https://api.example".to_owned()],
    }
}
