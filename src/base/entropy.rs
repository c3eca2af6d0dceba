//! Chance: the system's generator, or a seeded one that gives the same page twice in a test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ring::rand::{SecureRandom as _, SystemRandom};

/// Where random bytes come from.
#[derive(Clone, Debug)]
pub enum Entropy {
    /// The operating system's generator.
    System(SystemRandom),
    /// Test only: HMAC-SHA-256 of a running number under a seed, so that a run can be repeated.
    Seeded(Arc<Seeded>),
}

/// The state of a seeded generator.
#[derive(Debug)]
pub struct Seeded {
    seed: u64,
    counter: AtomicU64,
}

impl Entropy {
    /// The operating system's generator.
    #[expect(clippy::disallowed_methods, reason = "the one place that opens the system's generator")]
    pub fn system() -> Self {
        Self::System(SystemRandom::new())
    }

    /// A generator that repeats itself for the same seed. Never for a server that people use.
    pub fn seeded(seed: u64) -> Self {
        Self::Seeded(Arc::new(Seeded { seed, counter: AtomicU64::new(0) }))
    }

    /// Fills `bytes`.
    ///
    /// # Panics
    /// When the operating system has no randomness: going on with predictable secrets would be worse. The request
    /// ends with 500, and at start the server does not start (F23).
    pub fn fill(&self, bytes: &mut [u8]) {
        match self {
            Self::System(generator) => {
                assert!(generator.fill(bytes).is_ok(), "the operating system gives no random bytes");
            }
            Self::Seeded(state) => {
                let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &state.seed.to_be_bytes());
                for chunk in bytes.chunks_mut(32) {
                    let n = state.counter.fetch_add(1, Ordering::SeqCst);
                    let block = ring::hmac::sign(&key, &n.to_be_bytes());
                    for (to, from) in chunk.iter_mut().zip(block.as_ref()) {
                        *to = *from;
                    }
                }
            }
        }
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }
}
