//! The arithmetic of a rate limit: in any 60 seconds at most so many, exactly. Seconds are counted one by one and the last sixty, with
//! the one that is under way, are added up; what is older than that by up to a second still counts, so that no window ever holds more.
//!
//! A bucket that refills would let twice the limit through around the end of a quiet minute; this never does.

use crate::base::time::Timestamp;

/// Seconds that count: the sixty before this one, and this one.
const SLOTS: usize = 61;
/// The same, to count seconds with.
const SPAN: i64 = 61;

/// What was used in the last minute.
#[derive(Clone, Debug)]
pub struct Window {
    /// Uses by second; the second `s` lies at `s % 61`.
    slots: [u32; SLOTS],
    /// The latest second that was looked at.
    latest: i64,
    /// The sum of the slots.
    used: u32,
}

/// What a look at a limit says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether the use was counted.
    pub allowed: bool,
    /// What is left now.
    pub remaining: u32,
    /// Seconds until there is more; 0 when nothing was used.
    pub more_in: i64,
}

impl Window {
    /// Nothing used.
    pub fn new(now: Timestamp) -> Self {
        Self { slots: [0; SLOTS], latest: now.as_secs(), used: 0 }
    }

    /// Uses `cost` of `most`, if that much is left; all of it or nothing.
    pub fn spend(&mut self, most: u32, cost: u32, now: Timestamp) -> Standing {
        self.move_on(now);
        let allowed = self.used.saturating_add(cost) <= most;
        if allowed {
            self.used += cost;
            if let Some(slot) = self.slots.get_mut(Self::slot(self.latest)) {
                *slot += cost;
            }
        }
        Standing { allowed, remaining: most.saturating_sub(self.used), more_in: self.more_in() }
    }

    /// Whether nothing of the last minute is left, so that it may be forgotten.
    pub fn is_idle(&self, now: Timestamp) -> bool {
        self.used == 0 || now.as_secs() - self.latest > SPAN
    }

    /// Forgets what is too old. A clock that goes back changes nothing: a limit is not washed away by a step of the clock.
    fn move_on(&mut self, now: Timestamp) {
        let now = now.as_secs();
        let passed = now.saturating_sub(self.latest);
        if passed <= 0 {
            return;
        }
        if passed >= SPAN {
            self.slots = [0; SLOTS];
            self.used = 0;
        } else {
            for second in self.latest + 1..=now {
                if let Some(slot) = self.slots.get_mut(Self::slot(second)) {
                    self.used -= *slot;
                    *slot = 0;
                }
            }
        }
        self.latest = now;
    }

    /// Seconds until the oldest use leaves the window.
    fn more_in(&self) -> i64 {
        if self.used == 0 {
            return 0;
        }
        // The slot behind the latest is the oldest; from there around to the latest, without a division for each.
        let (newer, older) = self.slots.split_at_checked(Self::slot(self.latest) + 1).unwrap_or_default();
        let passed = older.iter().chain(newer).position(|used| *used > 0);
        passed.and_then(|passed| i64::try_from(passed).ok()).map_or(0, |passed| passed + 1)
    }

    fn slot(second: i64) -> usize {
        usize::try_from(second.rem_euclid(SPAN)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_secs(second)
    }

    #[test]
    fn the_limit_is_had_once_in_a_minute_and_again_after_it_s_k6() {
        let mut window = Window::new(at(1_000));
        for n in 1..=30 {
            assert_eq!(
                window.spend(30, 1, at(1_000)),
                Standing { allowed: true, remaining: 30 - n, more_in: 61 }
            );
        }
        assert_eq!(window.spend(30, 1, at(1_000)), Standing { allowed: false, remaining: 0, more_in: 61 });
        assert!(!window.spend(30, 1, at(1_060)).allowed);
        assert!(window.spend(30, 1, at(1_061)).allowed);
        assert!(!window.spend(30, 30, at(1_061)).allowed, "all or nothing");
        assert!(window.spend(30, 29, at(1_061)).allowed);
        // A clock that goes back washes nothing away.
        assert!(!window.spend(30, 1, at(900)).allowed);
        assert!(window.is_idle(at(1_200)) && !window.is_idle(at(1_062)));
    }

    proptest! {
        #[test]
        fn in_no_sixty_seconds_is_there_more_than_the_limit_s_k6(steps in prop::collection::vec((0_i64..20, 1_u32..4), 1..300), most in 1_u32..40) {
            let mut window = Window::new(at(0));
            let (mut now, mut taken) = (0, Vec::new());
            for (step, cost) in steps {
                now += step;
                if window.spend(most, cost, at(now)).allowed {
                    taken.push((now, cost));
                }
                let last: u32 = taken.iter().filter(|(when, _)| now - when <= 60).map(|(_, cost)| cost).sum();
                prop_assert!(last <= most);
            }
            prop_assert!(window.spend(most, most, at(now + 61)).allowed, "after a quiet minute everything is there again");
        }

        /// Whatever the order in which uses come, with clocks of several threads that read late ones before early ones: the minute is counted
        /// by the latest second that anybody has seen, and no minute of that time holds more than its limit.
        #[test]
        fn in_any_order_of_arrival_no_minute_holds_more_than_the_limit_s_k6(
            moments in prop::collection::vec((-90_i64..400, 1_u32..5), 1..400), most in 1_u32..40,
        ) {
            let mut window = Window::new(at(0));
            let (mut latest, mut taken) = (0, Vec::new());
            for (moment, cost) in moments {
                // Mostly on in time, with leaps back and forth around where it is.
                let moment = if moment < 300 { latest + moment.rem_euclid(25) - 12 } else { latest + moment - 340 };
                latest = latest.max(moment);
                let standing = window.spend(most, cost, at(moment));
                if standing.allowed {
                    taken.push((latest, cost));
                }
                prop_assert!(standing.remaining <= most);
            }
            // Every minute that begins with a use, not only those that end with one.
            for (begin, _) in &taken {
                let held: u32 = taken.iter().filter(|(when, _)| (*begin..=begin + 60).contains(when)).map(|(_, cost)| cost).sum();
                prop_assert!(held <= most, "{held} of {most} within the minute from {begin}");
            }
        }
    }
}
