//! The way to Redis: a connection that comes by itself and comes back by itself. A Redis that is away or slow is left alone for a
//! second at a time, so that nobody waits for it in vain, and the log says when it goes and when it comes back.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::RedisResult;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};

use super::error::{OpenError, one_line};
use crate::base::secret::Secret;

/// How long Redis may take before this server goes on by itself.
const PATIENCE: Duration = Duration::from_millis(250);
/// How long Redis is left alone after it failed.
const REST: Duration = Duration::from_secs(1);

/// Whether the Redis at `url` lets us in and answers; else why not, in one line.
///
/// # Errors
/// What it said, or that it said nothing within `patience`.
pub async fn greet(url: &Secret<String>, patience: Duration) -> Result<(), String> {
    let client = redis::Client::open(url.reveal().as_str()).map_err(|e| one_line(&e.to_string()))?;
    let greeted = async {
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd("PING").query_async::<String>(&mut connection).await
    };
    match tokio::time::timeout(patience, greeted).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(one_line(&error.to_string())),
        Err(_) => Err("it does not answer in time".to_owned()),
    }
}

/// A connection to Redis.
pub(super) struct RedisLink {
    connection: ConnectionManager,
    /// For the log, what a server does by itself while Redis is away, and what servers do together otherwise.
    alone: &'static str,
    together: &'static str,
    born: Instant,
    /// Milliseconds since `born` until which Redis is not asked.
    away_until: AtomicU64,
    /// Whether the log said last that it is away: what lasts for an hour is said once.
    is_away: AtomicBool,
}

impl RedisLink {
    /// A link to `url`, which connects later: a Redis that is away stops no start. Call it within the runtime that will live as long.
    /// The log says that a server `counts`, or that servers `count`: two words for it.
    pub(super) fn open(
        url: &Secret<String>,
        (alone, together): (&'static str, &'static str),
    ) -> Result<Self, OpenError> {
        let wrong = |e: redis::RedisError| OpenError::RedisAddress(e.to_string());
        let client = redis::Client::open(url.reveal().as_str()).map_err(wrong)?;
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_max_delay(REST)
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        Ok(Self {
            connection: ConnectionManager::new_lazy_with_config(client, config).map_err(wrong)?,
            alone,
            together,
            born: Instant::now(),
            away_until: AtomicU64::new(0),
            is_away: AtomicBool::new(false),
        })
    }

    /// A handle of the connection, to put a question to.
    pub(super) fn connection(&self) -> ConnectionManager {
        self.connection.clone()
    }

    /// The answer to a question; `None` while Redis is away.
    pub(super) async fn ask<T>(&self, question: impl Future<Output = RedisResult<T>>) -> Option<T> {
        let is_resting = self.born.elapsed() < Duration::from_millis(self.away_until.load(Ordering::Relaxed));
        if is_resting { None } else { self.hear(question).await }
    }

    /// Asks whether it is there, also while it is left alone.
    pub(super) async fn look(&self) {
        let mut connection = self.connection();
        self.hear(redis::cmd("PING").query_async::<String>(&mut connection)).await;
    }

    async fn hear<T>(&self, question: impl Future<Output = RedisResult<T>>) -> Option<T> {
        match tokio::time::timeout(PATIENCE, question).await {
            Ok(Ok(answer)) => {
                if self.is_away.swap(false, Ordering::Relaxed) {
                    tracing::info!("Redis is back; the servers {} together again", self.together);
                }
                return Some(answer);
            }
            Ok(Err(error)) => self.away(&error.to_string()),
            Err(_) => self.away("it did not answer in time"),
        }
        None
    }

    fn away(&self, error: &str) {
        if !self.is_away.swap(true, Ordering::Relaxed) {
            tracing::warn!(error, "Redis is away; this server {} by itself", self.alone);
        }
        let until = u64::try_from((self.born.elapsed() + REST).as_millis()).unwrap_or(u64::MAX);
        self.away_until.store(until, Ordering::Relaxed);
    }
}
