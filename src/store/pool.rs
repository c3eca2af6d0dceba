//! PostgreSQL's pool: a bounded number of statements at once, a bounded number of callers that wait, and two seconds for everything.
//!
//! Connections are not asked whether they live at each check-out; one that breaks under a statement is thrown away and the closure runs
//! again on another, unless the commit was already sent. While no connection can be made, callers are refused at once for a moment.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use diesel::Connection;
use diesel::connection::TransactionManager;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::StoreOptions;
use super::conn::{Conn, open_postgres};
use super::error::{OpenError, StoreError, one_line};
use super::writer::panic_text;
use crate::base::fault::Fault;

type Manager = <Conn as Connection>::TransactionManager;

/// How long a caller waits for everything together (F7: 503 in two seconds).
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a transaction that lost against another one is run again.
const RETRIES: u32 = 3;
/// How long callers are refused at once after no connection could be made.
const REST: Duration = Duration::from_millis(500);

/// A connection, and whether it is to be thrown away.
struct Wire {
    conn: Conn,
    doomed: bool,
}

/// Opens connections for the pool.
struct Opener {
    url: String,
}

impl r2d2::ManageConnection for Opener {
    type Connection = Wire;
    type Error = OpenError;

    fn connect(&self) -> Result<Wire, OpenError> {
        Ok(Wire { conn: open_postgres(&self.url)?, doomed: false })
    }

    fn is_valid(&self, wire: &mut Wire) -> Result<(), OpenError> {
        if self.has_broken(wire) {
            return Err(OpenError::Unreachable("the connection is broken".to_owned()));
        }
        Ok(())
    }

    /// An open transaction counts as broken: a panic left it, and the server rolls it back when the connection closes.
    fn has_broken(&self, wire: &mut Wire) -> bool {
        wire.doomed || Manager::is_broken_transaction_manager(&mut wire.conn)
    }
}

/// Says in the log that no connection can be made.
#[derive(Debug)]
struct Report;

impl r2d2::HandleError<OpenError> for Report {
    fn handle_error(&self, error: OpenError) {
        tracing::warn!(%error, "no connection to PostgreSQL");
    }
}

/// How an attempt ended.
enum End<T> {
    /// Decided, one way or the other.
    Answer(Result<T, StoreError>),
    /// It lost against another transaction; nothing was committed.
    Lost,
    /// The connection broke before the commit was sent.
    Broken(StoreError),
}

pub(super) struct Pool {
    shared: Arc<Shared>,
    seats: Arc<Semaphore>,
    waiting: AtomicUsize,
    queue: usize,
}

struct Shared {
    pool: r2d2::Pool<Opener>,
    born: Instant,
    /// Milliseconds since `born` until which nobody waits for a connection.
    down_until: AtomicU64,
}

impl Pool {
    pub(super) fn new(url: String, options: &StoreOptions) -> Self {
        let size = options.pool_size.max(1);
        let pool = r2d2::Pool::builder()
            .max_size(size)
            .test_on_check_out(false)
            .connection_timeout(PATIENCE)
            .error_handler(Box::new(Report))
            .build_unchecked(Opener { url });
        Self {
            shared: Arc::new(Shared { pool, born: Instant::now(), down_until: AtomicU64::new(0) }),
            seats: Arc::new(Semaphore::new(size as usize)),
            waiting: AtomicUsize::new(0),
            queue: options.queue.max(1),
        }
    }

    /// Runs a read, each statement by itself.
    pub(super) async fn read<T, F>(&self, act: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Conn) -> Result<T, StoreError> + Send + 'static,
    {
        self.run(act, plain).await
    }

    /// Runs a write as one transaction.
    pub(super) async fn write<T, F>(&self, act: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Conn) -> Result<T, StoreError> + Send + 'static,
    {
        self.run(act, transaction).await
    }

    async fn run<T, F>(
        &self,
        act: F,
        attempt: fn(&mut Conn, &mut F, Instant) -> End<T>,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Conn) -> Result<T, StoreError> + Send + 'static,
    {
        let deadline = Instant::now() + PATIENCE;
        self.shared.refuse_while_down()?;
        let seat = self.seat().await?;
        let shared = Arc::clone(&self.shared);
        let work = tokio::task::spawn_blocking(move || {
            let _seat = seat;
            shared.attempts(act, attempt, deadline)
        });
        // A server that hangs keeps its seat and its thread, never its caller; there are no more threads than seats.
        match tokio::time::timeout(deadline.saturating_duration_since(Instant::now()), work).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Err(Fault::new("running a statement", error).into()),
            Err(_) => Err(StoreError::Unavailable("PostgreSQL did not answer in time".to_owned())),
        }
    }

    /// Waits for one of the seats, of which there are as many as connections.
    async fn seat(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        if let Ok(seat) = Arc::clone(&self.seats).try_acquire_owned() {
            return Ok(seat);
        }
        let _place = Place::take(&self.waiting, self.queue)?;
        match tokio::time::timeout(PATIENCE, Arc::clone(&self.seats).acquire_owned()).await {
            Ok(Ok(seat)) => Ok(seat),
            Ok(Err(_)) | Err(_) => Err(StoreError::Busy),
        }
    }
}

/// A place in the queue, given back when the caller goes, also when it goes away in between.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize, queue: usize) -> Result<Self, StoreError> {
        let place = Self(waiting);
        if waiting.fetch_add(1, Ordering::Relaxed) >= queue { Err(StoreError::Busy) } else { Ok(place) }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    fn attempts<T, F>(
        &self,
        mut act: F,
        attempt: fn(&mut Conn, &mut F, Instant) -> End<T>,
        deadline: Instant,
    ) -> Result<T, StoreError>
    where
        F: FnMut(&mut Conn) -> Result<T, StoreError>,
    {
        let (mut lost, mut broken) = (0, 0);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(StoreError::Busy);
            }
            let mut wire = self.pool.get_timeout(left).map_err(|error| self.down(&error))?;
            // Caught here, so that the connection is thrown away with its open transaction and the caller reads what was said.
            let end = catch_unwind(AssertUnwindSafe(|| attempt(&mut wire.conn, &mut act, deadline)));
            match end {
                Ok(End::Answer(answer)) => {
                    wire.doomed = matches!(answer, Err(StoreError::Unavailable(_)));
                    return answer;
                }
                Ok(End::Lost) if lost < RETRIES => lost += 1,
                Ok(End::Lost) => return Err(StoreError::Busy),
                // After a restart of the database every pooled connection is dead; the next is a new one.
                Ok(End::Broken(_)) if broken < self.pool.max_size() => {
                    wire.doomed = true;
                    broken += 1;
                }
                Ok(End::Broken(error)) => {
                    wire.doomed = true;
                    return Err(error);
                }
                Err(panic) => {
                    wire.doomed = true;
                    return Err(Fault::new("running a write", panic_text(panic.as_ref())).into());
                }
            }
        }
    }

    /// No connection could be made: for a moment nobody else waits for one.
    fn down(&self, error: &r2d2::Error) -> StoreError {
        let until = self.born.elapsed() + REST;
        self.down_until.store(u64::try_from(until.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        StoreError::Unavailable(one_line(&error.to_string()))
    }

    fn refuse_while_down(&self) -> Result<(), StoreError> {
        let until = Duration::from_millis(self.down_until.load(Ordering::Relaxed));
        if self.born.elapsed() < until && self.pool.state().idle_connections == 0 {
            return Err(StoreError::Unavailable("PostgreSQL cannot be reached".to_owned()));
        }
        Ok(())
    }
}

fn plain<T, F>(conn: &mut Conn, act: &mut F, _deadline: Instant) -> End<T>
where
    F: FnMut(&mut Conn) -> Result<T, StoreError>,
{
    ended(act(conn))
}

fn transaction<T, F>(conn: &mut Conn, act: &mut F, deadline: Instant) -> End<T>
where
    F: FnMut(&mut Conn) -> Result<T, StoreError>,
{
    if let Err(error) = Manager::begin_transaction(conn) {
        return ended(Err(error.into()));
    }
    match act(conn) {
        // The caller was told that nothing is decided and may have asked again, elsewhere and with success. What is done for nobody now would
        // undo that: a code that comes a second time ends what it began the first time.
        Ok(_) if Instant::now() >= deadline => {
            drop(Manager::rollback_transaction(conn));
            ended(Err(StoreError::Busy))
        }
        Ok(value) => match Manager::commit_transaction(conn).map_err(StoreError::from) {
            Ok(()) => End::Answer(Ok(value)),
            Err(StoreError::Busy) => End::Lost,
            // The commit may have reached the disk or not: nobody may be told either.
            Err(error) => End::Answer(Err(error)),
        },
        Err(error) => {
            // A rollback that fails leaves the connection broken, and the pool throws it away.
            drop(Manager::rollback_transaction(conn));
            ended(Err(error))
        }
    }
}

fn ended<T>(answer: Result<T, StoreError>) -> End<T> {
    match answer {
        Err(StoreError::Busy) => End::Lost,
        Err(error) if error.is_lost() => End::Broken(error),
        answer => End::Answer(answer),
    }
}
