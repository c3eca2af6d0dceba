//! Password hashing on few threads of its own: each Argon2id run takes its memory and a core, so a flood of sign-ins waits
//! here and the token endpoint does not (F15, S-L2).
//!
//! Always the same threads: the allocator keeps what a thread once had, and the runtime's pool has hundreds of them.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

use crate::account::password::{self, Argon2Cost, Memory, PasswordHash};
use crate::base::entropy::Entropy;
use crate::base::fault::Fault;
use crate::base::secret::Secret;
use crate::config::Passwords;
use crate::oauth::error::OAuthError;

/// The bounded place where passwords are hashed.
#[derive(Debug)]
pub struct Hashing {
    cost: Argon2Cost,
    /// One for each thread that started.
    slots: Arc<Semaphore>,
    jobs: Arc<Jobs>,
    waiting: AtomicUsize,
    queue: usize,
    dummy: PasswordHash,
}

type Job = Box<dyn FnOnce(&mut Memory) + Send>;

/// The longest that a sign-in waits for a slot before it is told to come back.
const PATIENCE: Duration = Duration::from_secs(10);

impl Hashing {
    /// Slots as the settings say, or one for each core.
    pub fn new(settings: &Passwords) -> Self {
        let cost = Argon2Cost {
            memory_kib: settings.argon2_memory_kib,
            passes: settings.argon2_passes,
            lanes: settings.argon2_lanes,
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let slots = if settings.parallel == 0 { cores } else { settings.parallel };
        let dummy = password::dummy(&cost);
        let jobs = Arc::<Jobs>::default();
        let started = (0..slots).filter(|_| start_thread(&jobs)).count();
        Self {
            cost,
            slots: Arc::new(Semaphore::new(started)),
            jobs,
            waiting: AtomicUsize::new(0),
            queue: settings.queue,
            dummy,
        }
    }

    /// Hashes a new password.
    pub async fn hash(&self, secret: Secret<String>, entropy: &Entropy) -> Result<PasswordHash, OAuthError> {
        let (cost, entropy) = (self.cost, entropy.clone());
        self.run(move |memory| password::hash(&secret, &cost, &entropy, memory))
            .await?
            .map_err(OAuthError::Server)
    }

    /// Compares, and says whether the stored hash is of an older cost. Without a stored hash it does the same work against
    /// a dummy and says no: an unknown person costs what a known one costs (S-L4).
    pub async fn verify(
        &self,
        secret: Secret<String>,
        stored: Option<PasswordHash>,
    ) -> Result<Match, OAuthError> {
        let (cost, dummy) = (self.cost, self.dummy.clone());
        self.run(move |memory| {
            let right = password::verify(&secret, stored.as_ref().unwrap_or(&dummy), memory);
            match stored {
                Some(stored) if right => Match::Right { rehash: password::needs_rehash(&stored, &cost) },
                _ => Match::Wrong,
            }
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, OAuthError> {
        let waiting = Waiting::enter(&self.waiting);
        if waiting.before >= self.queue {
            metrics::counter!("cnx_password_queue_full_total").increment(1);
            return Err(OAuthError::Busy);
        }
        let slot = tokio::time::timeout(PATIENCE, Arc::clone(&self.slots).acquire_owned()).await;
        let Ok(Ok(slot)) = slot else { return Err(OAuthError::Busy) };
        drop(waiting);
        let failed = |why: &'static str| OAuthError::Server(Fault::new("hashing a password", why));
        let (done, result) = oneshot::channel();
        // The slot goes with the work, not with the caller: who hangs up must not make room while the thread still works.
        let job: Job = Box::new(move |memory| {
            let result = work(memory);
            drop(slot);
            drop(done.send(result));
        });
        self.jobs.push(job);
        result.await.map_err(|_| failed("it panicked"))
    }
}

impl Drop for Hashing {
    fn drop(&mut self) {
        self.jobs.end();
    }
}

/// What waits for a thread.
#[derive(Default)]
struct Jobs {
    /// The first comes first; `None` is the end of a thread.
    queue: Mutex<VecDeque<Option<Job>>>,
    came: Condvar,
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Jobs")
    }
}

impl Jobs {
    fn push(&self, job: Job) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push_back(Some(job));
        self.came.notify_one();
    }

    /// Every thread ends when it has done what waits.
    fn end(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push_back(None);
        self.came.notify_all();
    }

    /// The next job, waiting for it as long as it takes, or at most for [`REST`] with `memory` in hand, which is given back then. `None` at
    /// the end.
    fn next(&self, memory: &mut Memory) -> Option<Job> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rested = false;
        loop {
            match queue.pop_front() {
                Some(Some(job)) => return Some(job),
                // It stays for the others.
                Some(None) => {
                    queue.push_front(None);
                    return None;
                }
                None if rested => {
                    *memory = Memory::default();
                    queue = self.came.wait(queue).unwrap_or_else(PoisonError::into_inner);
                }
                None => {
                    let waited = self.came.wait_timeout(queue, REST).unwrap_or_else(PoisonError::into_inner);
                    queue = waited.0;
                    rested = waited.1.timed_out();
                }
            }
        }
    }
}

/// How long a thread without work keeps its memory.
const REST: Duration = Duration::from_secs(2);

/// A thread that hashes until the end of `jobs`; whether it started.
fn start_thread(jobs: &Arc<Jobs>) -> bool {
    let jobs = Arc::clone(jobs);
    let work = move || {
        let mut memory = Memory::default();
        while let Some(job) = jobs.next(&mut memory) {
            // A job that panics has no result, which its caller notices; the thread goes on.
            drop(catch_unwind(AssertUnwindSafe(|| job(&mut memory))));
        }
    };
    let started = std::thread::Builder::new().name("hashing".to_owned()).spawn(work);
    if let Err(error) = &started {
        tracing::error!(%error, "a thread for password hashing did not start");
    }
    started.is_ok()
}

/// What a comparison found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// The password is right.
    Right {
        /// Whether the hash should be made anew with today's cost.
        rehash: bool,
    },
    /// It is wrong, or there is nothing to compare with.
    Wrong,
}

/// Counts one waiting request for as long as it lives, also when the caller goes away.
struct Waiting<'a> {
    count: &'a AtomicUsize,
    before: usize,
}

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        let before = count.fetch_add(1, Ordering::SeqCst);
        Self { count, before }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::SeqCst);
    }
}
