//! The machine's clock beside the time that really passed: whether it was turned, and a moment that a clock which was turned forward cannot
//! reach (F10).

use std::time::Instant;

use crate::base::time::{Clock, Timestamp};

/// A moment of the clock, and the same moment of a watch that nobody can turn.
#[derive(Debug)]
pub(super) struct Steady {
    at: Timestamp,
    begun: Instant,
}

impl Steady {
    pub(super) fn begin(clock: &Clock) -> Self {
        Self { at: clock.now(), begun: Instant::now() }
    }

    /// By how many seconds the clock is ahead of the time that passed; 0 for a clock that a test moves, which is meant to be.
    pub(super) fn ahead(&self, clock: &Clock) -> i64 {
        match clock {
            Clock::Manual(_) => 0,
            Clock::System => {
                let passed = i64::try_from(self.begun.elapsed().as_secs()).unwrap_or(i64::MAX);
                clock.now().since(self.at.plus(passed))
            }
        }
    }

    /// Now, or earlier where the clock was turned forward.
    pub(super) fn now(&self, clock: &Clock) -> Timestamp {
        clock.now().minus(self.ahead(clock).max(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_turned_forward_is_not_followed_and_one_that_was_turned_back_is() {
        let clock = Clock::System;
        let turned = |by| Steady { at: clock.now().minus(by), begun: Instant::now() };
        let now = clock.now();
        for (by, followed) in [(0, 0), (86_400, -86_400), (-3_600, 0)] {
            let steady = turned(by);
            assert!((steady.ahead(&clock) - by).abs() <= 1, "{by}");
            assert!((steady.now(&clock).since(now) - followed).abs() <= 1, "{by}");
        }
        let manual = Clock::manual(now);
        let steady = Steady::begin(&manual);
        manual.advance(86_400);
        assert_eq!((steady.ahead(&manual), steady.now(&manual)), (0, now.plus(86_400)));
    }
}
