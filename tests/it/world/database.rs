//! The throw-away PostgreSQL of `tests/run`: a database for each world.

use cnx::base::entropy::Entropy;
use diesel::Connection as _;
use diesel::connection::SimpleConnection as _;

/// An environment variable of `tests/run`.
#[expect(clippy::disallowed_methods, reason = "tests/run tells by environment what it started")]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.is_empty())
}

/// A database of the throw-away PostgreSQL, dropped at the end.
pub struct PostgresDatabase {
    pub url: String,
    name: String,
    maintenance: String,
}

impl PostgresDatabase {
    /// The same for a test without a runtime.
    pub fn make_now() -> Option<Self> {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(Self::make())
    }

    /// Runs a statement behind the server's back.
    pub fn execute(&self, sql: &str) {
        execute(&self.url, sql);
    }

    /// A connection of another program.
    pub fn connection(&self) -> diesel::PgConnection {
        connect(&self.url)
    }

    pub async fn make() -> Option<Self> {
        let maintenance = environment("TEST_POSTGRES_URL")?;
        let name =
            format!("t_{}", cnx::base::encoding::base62(&Entropy::system().bytes::<12>()).to_lowercase());
        let mut address = url::Url::parse(&maintenance).unwrap();
        address.set_path(&name);
        let (admin, database) = (maintenance.clone(), name.clone());
        tokio::task::spawn_blocking(move || execute(&admin, &format!("CREATE DATABASE {database}")))
            .await
            .unwrap();
        Some(Self { url: address.to_string(), name, maintenance })
    }
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        let (admin, sql) =
            (self.maintenance.clone(), format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        // On a thread of its own: a runtime may be around us.
        drop(std::thread::spawn(move || execute(&admin, &sql)).join());
    }
}

fn execute(url: &str, sql: &str) {
    connect(url).batch_execute(sql).unwrap();
}

#[expect(
    clippy::disallowed_methods,
    reason = "a PostgreSQL connection is what is wanted, nothing is guessed"
)]
pub fn connect(url: &str) -> diesel::PgConnection {
    // As the server does (store/conn.rs). A test is often the first in its process to connect, and libpq, which asks OpenSSL for the
    // password's proof, would have it torn down at exit under threads that are not through.
    openssl_sys::init();
    diesel::PgConnection::establish(url).unwrap()
}
