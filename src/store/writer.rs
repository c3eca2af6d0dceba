//! SQLite's writer: one thread owns the only writing connection, and whatever waits rides the same commit.
//!
//! No timer: a batch is what arrived while the last commit ran, so a lone write waits for nothing. A job that fails or panics is rolled
//! back alone: the batch runs again with savepoints. Nobody is answered before the commit of all has returned; one that fails fails everybody.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use diesel::Connection;
use diesel::connection::{AnsiTransactionManager, TransactionManager};
use tokio::sync::oneshot;

use super::StoreOptions;
use super::conn::{Conn, open_writer};
use super::error::StoreError;
use crate::base::fault::Fault;

type Manager = <Conn as Connection>::TransactionManager;

/// A write that waits: what to run, and whom to tell after the commit.
trait Job: Send {
    /// Runs within the batch's transaction, again if need be; whether what it did is to be kept.
    fn run(&mut self, conn: &mut Conn) -> bool;
    /// Whether it found the disk full or the file damaged.
    fn met_trouble(&self) -> bool;
    /// Tells the caller, now that the batch was committed or not.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Task<T, F> {
    act: F,
    answer: Option<Result<T, StoreError>>,
    caller: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Task<T, F>
where
    T: Send,
    F: FnMut(&mut Conn) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, conn: &mut Conn) -> bool {
        let act = &mut self.act;
        // The closure is not used again after a panic, and the savepoint undoes what it did to the connection.
        let answer = catch_unwind(AssertUnwindSafe(|| act(conn)))
            .unwrap_or_else(|panic| Err(Fault::new("running a write", panic_text(panic.as_ref())).into()));
        self.answer.insert(answer).is_ok()
    }

    fn met_trouble(&self) -> bool {
        matches!(self.answer, Some(Err(StoreError::Unavailable(_))))
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let answer = match (self.answer, committed) {
            // A job that failed by itself did not need the commit.
            (Some(Err(own)), _) => Err(own),
            (_, Err(error)) => Err(error),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(Fault::new("running a write", "it was never run").into()),
        };
        // A caller that went away is no trouble of ours.
        drop(self.caller.send(answer));
    }
}

/// The handle of the writing thread.
pub(super) struct Writer {
    queue: RwLock<Option<SyncSender<Box<dyn Job>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    well: Arc<AtomicBool>,
}

impl Writer {
    /// Starts the thread on an open connection.
    pub(super) fn start(conn: Conn, path: PathBuf, options: &StoreOptions) -> Self {
        let (sender, receiver) = sync_channel(options.queue.max(1));
        let well = Arc::new(AtomicBool::new(true));
        let mut desk = Desk {
            conn: Some(conn),
            path,
            options: options.clone(),
            queue: receiver,
            well: Arc::clone(&well),
        };
        let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || desk.work());
        if let Err(error) = &thread {
            // Without the thread the channel is closed, and every write says so.
            tracing::error!(%error, "the writing thread did not start");
        }
        Self { queue: RwLock::new(Some(sender)), thread: Mutex::new(thread.ok()), well }
    }

    /// Hands a write in and waits for its commit.
    pub(super) async fn run<T, F>(&self, act: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Conn) -> Result<T, StoreError> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        self.submit(Box::new(Task { act, answer: None, caller }))?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    fn submit(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        let queue = self.queue.read().unwrap_or_else(PoisonError::into_inner);
        let Some(queue) = queue.as_ref() else { return Err(stopped()) };
        queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => stopped(),
        })
    }

    /// Whether the last commit went well.
    pub(super) fn is_well(&self) -> bool {
        self.well.load(Ordering::Relaxed)
    }

    /// Commits what waits and ends the thread.
    pub(super) fn stop(&self) {
        drop(self.queue.write().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the writing thread panicked");
        }
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the writer has stopped".to_owned())
}

/// What the thread works with.
struct Desk {
    conn: Option<Conn>,
    path: PathBuf,
    options: StoreOptions,
    queue: Receiver<Box<dyn Job>>,
    well: Arc<AtomicBool>,
}

impl Desk {
    fn work(&mut self) {
        while let Ok(first) = self.queue.recv() {
            let mut jobs = vec![first];
            let committed = self.batch(&mut jobs);
            self.note_health(&committed, jobs.iter().any(|job| job.met_trouble()));
            for job in jobs {
                job.answer(committed.as_ref().map(|&()| ()).map_err(StoreError::again));
            }
        }
    }

    /// Keeps for readiness whether writing works, and says so in the log when it changes.
    fn note_health(&self, committed: &Result<(), StoreError>, trouble: bool) {
        let well = !trouble && !matches!(committed, Err(StoreError::Unavailable(_)));
        if well == self.well.swap(well, Ordering::Relaxed) {
            return;
        }
        match committed {
            _ if well => tracing::info!("writing works again"),
            Err(error) => tracing::error!(%error, "writing fails"),
            Ok(()) => tracing::error!("writing fails"),
        }
    }

    /// Commits `jobs` and whatever else arrives meanwhile in one transaction. After `Err` nothing of it was committed, and unless the
    /// lock was not to be had the connection is a new one next time: what a failed commit left of the old one is not worth finding out.
    fn batch(&mut self, jobs: &mut Vec<Box<dyn Job>>) -> Result<(), StoreError> {
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => self.reopen()?,
        };
        let committed = self.commit(&mut conn, jobs);
        if matches!(depth(&mut conn), Ok(0)) && matches!(committed, Ok(()) | Err(StoreError::Busy)) {
            self.conn = Some(conn);
        }
        committed
    }

    fn commit(&self, conn: &mut Conn, jobs: &mut Vec<Box<dyn Job>>) -> Result<(), StoreError> {
        self.begin(conn, jobs)?;
        if !self.run_together(conn, jobs).map_err(broken_off)? {
            // One of them failed. All are undone, and run again with a savepoint each: failures are rare, savepoints cost every job.
            while depth(conn)? > 0 {
                Manager::rollback_transaction(conn).map_err(|error| broken_off(error.into()))?;
            }
            if jobs.len() == 1 {
                return Ok(());
            }
            self.begin(conn, jobs)?;
            for job in jobs.iter_mut() {
                run_apart(conn, job.as_mut()).map_err(broken_off)?;
            }
        }
        Manager::commit_transaction(conn).map_err(|error| broken_off(error.into()))?;
        metrics::histogram!("cnx_store_batch_jobs").record(u32::try_from(jobs.len()).unwrap_or(u32::MAX));
        Ok(())
    }

    /// Takes the write lock at once, so that no job finds it taken halfway (F4). Waits `busy_seconds` for other processes; then these jobs,
    /// and those that came meanwhile, have waited long enough.
    fn begin(&self, conn: &mut Conn, jobs: &mut Vec<Box<dyn Job>>) -> Result<(), StoreError> {
        let Conn::Sqlite(inner) = conn else {
            return Err(Fault::new("beginning a batch", "PostgreSQL has no writing thread").into());
        };
        let begun = AnsiTransactionManager::begin_transaction_sql(inner, "BEGIN IMMEDIATE");
        begun.map_err(StoreError::from).inspect_err(|error| {
            if matches!(error, StoreError::Busy) {
                jobs.extend(self.queue.try_iter());
            }
        })
    }

    /// Runs `jobs`, and others that arrive, one after the other; false as soon as one fails.
    fn run_together(&self, conn: &mut Conn, jobs: &mut Vec<Box<dyn Job>>) -> Result<bool, StoreError> {
        let mut next = 0;
        while let Some(job) = jobs.get_mut(next) {
            if !job.run(conn) {
                return Ok(false);
            }
            require_depth(conn, 1)?;
            next += 1;
            if next == jobs.len()
                && next < self.options.max_batch
                && let Ok(job) = self.queue.try_recv()
            {
                jobs.push(job);
            }
        }
        Ok(true)
    }

    fn reopen(&self) -> Result<Conn, StoreError> {
        if !self.path.exists() {
            return Err(StoreError::Unavailable(format!("{} is gone", self.path.display())));
        }
        open_writer(&self.path, &self.options).map_err(|e| StoreError::Unavailable(e.to_string()))
    }
}

/// Runs one job in a savepoint. `Err` only when the savepoint itself fails: then SQLite has rolled back the whole batch by itself, as it
/// may do when the disk is full.
fn run_apart(conn: &mut Conn, job: &mut dyn Job) -> Result<(), StoreError> {
    Manager::begin_transaction(conn)?;
    let keep = job.run(conn);
    // A panic may have left savepoints of the job's own open.
    while depth(conn)? > 2 {
        Manager::rollback_transaction(conn)?;
    }
    if keep {
        Manager::commit_transaction(conn)?;
    } else {
        Manager::rollback_transaction(conn)?;
    }
    require_depth(conn, 1)
}

/// A job must leave the batch's transaction as it found it.
fn require_depth(conn: &mut Conn, wanted: u32) -> Result<(), StoreError> {
    if depth(conn)? == wanted {
        Ok(())
    } else {
        Err(Fault::new("running a write", "a job ended the batch's transaction").into())
    }
}

/// Whatever ended a batch, its jobs may be tried again.
fn broken_off(error: StoreError) -> StoreError {
    match error {
        StoreError::Busy | StoreError::Unavailable(_) => error,
        StoreError::Fault(_) | StoreError::Duplicate(_) => {
            StoreError::Unavailable(format!("the commit failed: {error}"))
        }
    }
}

fn depth(conn: &mut Conn) -> Result<u32, StoreError> {
    let depth = Manager::transaction_manager_status_mut(conn).transaction_depth()?;
    Ok(depth.map_or(0, std::num::NonZeroU32::get))
}

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("it panicked: {}", text.unwrap_or("without a word"))
}
