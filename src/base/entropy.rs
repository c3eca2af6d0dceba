//! Chance: the system's generator, or a seeded one that gives the same page twice in a test.

use std::cell::RefCell;
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

    /// Whether the operating system gives random bytes at all. Asked before anything else: whatever is made without them can be guessed, and
    /// the first who needs some would end the process with a riddle (F23).
    pub fn is_there() -> bool {
        match Self::system() {
            Self::System(generator) => generator.fill(&mut [0; 32]).is_ok(),
            Self::Seeded(_) => false,
        }
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

    /// `N` random bytes for a name that everybody may see, such as a request's id: drawn from the system many at a time, so that
    /// not every request costs a system call. Never for a secret: what waits here lies in memory before it is used.
    pub fn bytes_for_a_name<const N: usize>(&self) -> [u8; N] {
        if matches!(self, Self::Seeded(_)) {
            return self.bytes();
        }
        STOCK.with_borrow_mut(|stock| {
            if stock.left < N {
                stock.bytes.resize(STOCKED.max(N), 0);
                self.fill(&mut stock.bytes);
                stock.left = stock.bytes.len();
            }
            let mut bytes = [0; N];
            let end = stock.left;
            stock.left -= N;
            if let Some(drawn) = stock.bytes.get_mut(stock.left..end) {
                bytes.copy_from_slice(drawn);
                // Each is given out once.
                drawn.fill(0);
            }
            bytes
        })
    }
}

/// How many bytes for names are drawn at a time.
const STOCKED: usize = 3_072;

/// Bytes of the system's generator that no name has got yet.
struct Stock {
    bytes: Vec<u8>,
    /// How many of them, from the front, are still to be given out.
    left: usize,
}

thread_local! {
    static STOCK: RefCell<Stock> = const { RefCell::new(Stock { bytes: Vec::new(), left: 0 }) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_names_are_alike_and_a_seed_repeats_them() {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..3 * STOCKED / 12 {
            assert!(seen.insert(Entropy::system().bytes_for_a_name::<12>()));
        }
        let of_many = Entropy::system().bytes_for_a_name::<{ 2 * STOCKED }>();
        assert!(of_many.iter().any(|byte| *byte != 0));
        let (one, other) = (Entropy::seeded(7), Entropy::seeded(7));
        assert_eq!(one.bytes_for_a_name::<12>(), other.bytes_for_a_name::<12>());
        assert_ne!(one.bytes_for_a_name::<12>(), one.bytes_for_a_name::<12>());
    }
}
