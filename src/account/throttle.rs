//! How long to wait after failed sign-ins (S-L6): not at all at first, then twice as long with each failure. Pure.

/// The longest wait while somebody may just have forgotten a password, in seconds.
const LONGEST: i64 = 900;
/// So many failures in a row are no forgetting any more (NIST SP 800-63B §5.2.2).
const MOST: i32 = 100;
/// The wait after that, in seconds.
const A_DAY: i64 = 86_400;

/// Seconds to wait after `failures` in a row, when the first `free` of them cost nothing; 0 for no wait.
pub fn wait_after(failures: i32, free: u32) -> i64 {
    let free = i32::try_from(free).unwrap_or(i32::MAX);
    if failures >= MOST.max(free) {
        return A_DAY;
    }
    let over = failures.saturating_sub(free);
    if over < 0 {
        return 0;
    }
    // 2, 4, 8, … seconds, and no further than the longest.
    1_i64.checked_shl(u32::try_from(over).unwrap_or(0) + 1).unwrap_or(LONGEST).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::wait_after;

    #[test]
    fn waiting_begins_after_the_free_failures_and_doubles_s_l6() {
        let waits: Vec<i64> = (8..=14).map(|n| wait_after(n, 10)).collect();
        assert_eq!(waits, [0, 0, 2, 4, 8, 16, 32]);
        assert_eq!(wait_after(30, 10), 900);
        assert_eq!(wait_after(100, 10), 86_400);
        assert_eq!(wait_after(150, 200), 0, "a place may have more free failures than an account has in all");
        assert_eq!(wait_after(i32::MAX, 10), 86_400);
    }
}
