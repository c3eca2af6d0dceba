//! When a signing key is published, signs, retires, and is forgotten: pure times over rows (OIDC Core §10.1.1, S-M6).
//!
//! Of each algorithm, generations follow one another. A key signs from its `sign_from` until a later generation's, and
//! stays in the key set until everything it signed has expired. Nothing here loads a key or writes a row: [`plan`]
//! says what to do, several nodes may plan the same, and the unique (algorithm, generation) of the table lets one win.

use std::fmt;

use serde_json::Value;

use crate::base::algorithm::Algorithm;
use crate::base::secret::Secret;
use crate::base::time::{CLOCKS_APART, Timestamp};

/// A signing key as its row holds it, with the private half opened.
#[derive(Clone, Debug)]
pub struct StoredKey {
    /// The key's id, never used for another key.
    pub kid: String,
    /// The one algorithm that it is for.
    pub alg: Algorithm,
    /// 1, 2, 3 … within the algorithm; the order of keys, so that a clock that jumps cannot change it (F10).
    pub generation: i64,
    /// PKCS#8 DER; absent once wiped.
    pub private_der: Option<Secret<Vec<u8>>>,
    /// The public half (RFC 7517).
    pub public_jwk: Value,
    /// When it was made, and so published.
    pub created_at: Timestamp,
    /// The moment from which it may sign.
    pub sign_from: Timestamp,
    /// Set when an administrator revoked it: it verifies nothing any more.
    pub revoked_at: Option<Timestamp>,
}

/// The times of a key's life; all in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPolicy {
    /// How long a key signs.
    pub rotate_every: i64,
    /// How long a key is published before it signs: the cache time of the key set and a margin.
    pub propagation: i64,
    /// The life of the longest-lived token that is signed.
    pub longest_token_life: i64,
    /// How long the public half stays after it left the key set, for `id_token_hint`.
    pub hint_memory: i64,
}

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyState {
    /// It signs. First in order, for clients that take the first key of the set.
    Signing,
    /// In the key set, not signing yet.
    Published,
    /// In the key set, not signing any more.
    Retired,
    /// Out of the key set, kept for `id_token_hint`.
    Remembered,
    /// Out of everything.
    Revoked,
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signing => "signing",
            Self::Published => "published",
            Self::Retired => "retired",
            Self::Remembered => "remembered",
            Self::Revoked => "revoked",
        })
    }
}

/// One thing to do with the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make a key and insert it; whoever finds the generation taken drops what it made.
    Make {
        /// The algorithm of the key.
        alg: Algorithm,
        /// Its generation.
        generation: i64,
        /// When it starts to sign.
        sign_from: Timestamp,
    },
    /// Remove the private half: nothing will be signed with it again.
    WipePrivate {
        /// The key.
        kid: String,
    },
    /// Delete the row.
    Forget {
        /// The key.
        kid: String,
    },
}

/// What is to be done now. The same rows and moment give the same steps, and after they are done, none.
///
/// An algorithm without a key that can sign (first start, added algorithm, revoked key) gets one that signs at once;
/// any later generation is made `propagation` before it signs.
pub fn plan(keys: &[StoredKey], algorithms: &[Algorithm], policy: &KeyPolicy, now: Timestamp) -> Vec<Step> {
    let mut algorithms = algorithms.to_vec();
    algorithms.sort_unstable();
    algorithms.dedup();
    let mut steps: Vec<Step> = algorithms.into_iter().filter_map(|alg| due(keys, alg, policy, now)).collect();
    for key in keys {
        let ended = key.revoked_at.is_some() || signs_until(keys, key).is_some_and(|end| end <= now);
        if forget_at(keys, key, policy).is_some_and(|at| at <= now) {
            steps.push(Step::Forget { kid: key.kid.clone() });
        } else if ended && key.private_der.is_some() {
            steps.push(Step::WipePrivate { kid: key.kid.clone() });
        }
    }
    steps
}

/// The next generation when an administrator asks for one: `at_once`, or after `propagation`.
pub fn successor(
    keys: &[StoredKey],
    alg: Algorithm,
    policy: &KeyPolicy,
    now: Timestamp,
    at_once: bool,
) -> Step {
    let sign_from = if at_once { now } else { now.plus(policy.propagation) };
    // Numbers of keys that are gone are not used again: the highest row is never forgotten.
    let highest = keys.iter().filter(|key| key.alg == alg).map(|key| key.generation).max();
    Step::Make { alg, generation: highest.unwrap_or(0).saturating_add(1), sign_from }
}

/// The key that is published and will take over from the one that signs: the next in line, if any waits.
///
/// A key that a later generation overtakes before its turn waits for nothing.
pub fn heir(keys: &[StoredKey], alg: Algorithm, now: Timestamp) -> Option<&StoredKey> {
    let signing = signer(keys, alg, now)?.generation;
    keys.iter()
        .filter(|key| is_usable(key, alg) && key.generation > signing && key.sign_from > now)
        .filter(|key| signs_until(keys, key).is_none_or(|end| end > key.sign_from))
        .min_by_key(|key| key.generation)
}

/// The key that signs at `now`.
///
/// Where none has started or the one that did was revoked, the first that waits for its turn is promoted: it is
/// published already, and a token signed early is better than none.
pub(super) fn signer(keys: &[StoredKey], alg: Algorithm, now: Timestamp) -> Option<&StoredKey> {
    let able = || {
        keys.iter()
            .filter(move |key| is_usable(key, alg) && signs_until(keys, key).is_none_or(|end| end > now))
    };
    able()
        .filter(|key| key.sign_from <= now)
        .max_by_key(|key| key.generation)
        .or_else(|| able().min_by_key(|key| key.generation))
}

/// Where `key` is in its life at `now`.
pub(super) fn state(keys: &[StoredKey], key: &StoredKey, policy: &KeyPolicy, now: Timestamp) -> KeyState {
    if key.revoked_at.is_some() {
        return KeyState::Revoked;
    }
    if signer(keys, key.alg, now).is_some_and(|signer| signer.kid == key.kid) {
        return KeyState::Signing;
    }
    let ended = signs_until(keys, key).is_some_and(|end| end <= now);
    match leaves_at(keys, key, policy) {
        Some(at) if at <= now => KeyState::Remembered,
        _ if ended || key.sign_from <= now => KeyState::Retired,
        _ => KeyState::Published,
    }
}

/// When `key` stops signing: at the `sign_from` of a later generation. A later one that was revoked before its turn
/// never took over; one that was revoked afterwards did, and the retired key does not come back for it.
pub(super) fn signs_until(keys: &[StoredKey], key: &StoredKey) -> Option<Timestamp> {
    keys.iter()
        .filter(|later| later.alg == key.alg && later.generation > key.generation)
        .filter(|later| later.revoked_at.is_none_or(|revoked| revoked > later.sign_from))
        .map(|later| later.sign_from)
        .min()
}

/// When `key` leaves the key set: once the last token that it can have signed has expired, for every clock.
pub(super) fn leaves_at(keys: &[StoredKey], key: &StoredKey, policy: &KeyPolicy) -> Option<Timestamp> {
    signs_until(keys, key).map(|end| end.plus(policy.longest_token_life).plus(CLOCKS_APART))
}

/// When the row may go. A revoked one stays as long as a retired one, for whoever looks at the list. The highest
/// generation of an algorithm stays for ever, so that its number is not given again.
fn forget_at(keys: &[StoredKey], key: &StoredKey, policy: &KeyPolicy) -> Option<Timestamp> {
    let leaves = match key.revoked_at {
        None => leaves_at(keys, key, policy),
        Some(revoked) => keys
            .iter()
            .any(|later| later.alg == key.alg && later.generation > key.generation)
            .then(|| revoked.plus(policy.longest_token_life).plus(CLOCKS_APART)),
    };
    leaves.map(|at| at.plus(policy.hint_memory))
}

fn is_usable(key: &StoredKey, alg: Algorithm) -> bool {
    key.alg == alg && key.revoked_at.is_none() && key.private_der.is_some()
}

fn due(keys: &[StoredKey], alg: Algorithm, policy: &KeyPolicy, now: Timestamp) -> Option<Step> {
    let Some(current) = signer(keys, alg, now) else {
        return Some(successor(keys, alg, policy, now, true));
    };
    let has_heir = keys.iter().any(|key| is_usable(key, alg) && key.generation > current.generation);
    let ends = current.sign_from.plus(policy.rotate_every);
    if has_heir || now < ends.minus(policy.propagation) {
        return None;
    }
    match successor(keys, alg, policy, now, false) {
        // Made in good time, it waits for the end of its predecessor; made late, for its propagation.
        Step::Make { alg, generation, sign_from } => {
            Some(Step::Make { alg, generation, sign_from: sign_from.max(ends) })
        }
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: KeyPolicy =
        KeyPolicy { rotate_every: 10_000, propagation: 600, longest_token_life: 3_600, hint_memory: 50_000 };
    const ES: Algorithm = Algorithm::Es256;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    fn key(generation: i64, sign_from: i64) -> StoredKey {
        StoredKey {
            kid: format!("k{generation}"),
            alg: ES,
            generation,
            private_der: Some(Secret::new(vec![1])),
            public_jwk: Value::Null,
            created_at: at(sign_from - 600),
            sign_from: at(sign_from),
            revoked_at: None,
        }
    }

    fn wiped(generation: i64, sign_from: i64) -> StoredKey {
        StoredKey { private_der: None, ..key(generation, sign_from) }
    }

    fn revoked(generation: i64, sign_from: i64, at_second: i64) -> StoredKey {
        StoredKey { revoked_at: Some(at(at_second)), ..key(generation, sign_from) }
    }

    fn make(alg: Algorithm, generation: i64, sign_from: i64) -> Step {
        Step::Make { alg, generation, sign_from: at(sign_from) }
    }

    fn wipe(kid: &str) -> Step {
        Step::WipePrivate { kid: kid.into() }
    }

    fn forget(kid: &str) -> Step {
        Step::Forget { kid: kid.into() }
    }

    #[test]
    fn a_plan_follows_from_rows_and_moment() {
        let gone = |mut k: StoredKey| {
            k.private_der = None;
            k
        };
        for (name, keys, now, steps) in [
            ("first start", vec![], 100, vec![make(ES, 1, 100)]),
            ("young key", vec![key(1, 0)], 9_399, vec![]),
            ("rotation due", vec![key(1, 0)], 9_400, vec![make(ES, 2, 10_000)]),
            ("rotation overdue", vec![key(1, 0)], 20_000, vec![make(ES, 2, 20_600)]),
            ("successor planned", vec![key(1, 0), key(2, 10_000)], 9_999, vec![]),
            ("successor signs", vec![key(1, 0), key(2, 10_000)], 10_000, vec![wipe("k1")]),
            ("already wiped", vec![wiped(1, 0), key(2, 10_000)], 10_000, vec![]),
            ("remembered", vec![wiped(1, 0), key(2, 10_000)], 19_000, vec![]),
            (
                "forgotten after the memory of hints",
                vec![wiped(1, 0), wiped(2, 10_000), key(3, 60_000)],
                10_000 + 3_660 + 50_000,
                vec![forget("k1")],
            ),
            (
                "not forgotten a second too early",
                vec![wiped(1, 0), key(2, 59_000)],
                112_659,
                vec![make(ES, 3, 113_259)],
            ),
            ("revoked while signing", vec![revoked(1, 0, 50)], 50, vec![make(ES, 2, 50), wipe("k1")]),
            (
                "revoked while a successor waits: that one signs at once",
                vec![revoked(1, 0, 9_500), key(2, 10_000)],
                9_500,
                vec![wipe("k1")],
            ),
            (
                "successor revoked before its turn: the old one goes on, and is replaced",
                vec![key(1, 0), gone(revoked(2, 10_000, 9_500))],
                9_500,
                vec![make(ES, 3, 10_100)],
            ),
            (
                "successor revoked after it signed: the retired one does not come back",
                vec![key(1, 0), revoked(2, 10_000, 10_050)],
                10_050,
                vec![make(ES, 3, 10_050), wipe("k1"), wipe("k2")],
            ),
            (
                "the highest revoked row stays",
                vec![gone(revoked(1, 0, 5))],
                900_000,
                vec![make(ES, 2, 900_000)],
            ),
            (
                "a revoked row goes when its time has come",
                vec![gone(revoked(1, 0, 5)), key(2, 895_000)],
                896_000,
                vec![forget("k1")],
            ),
            ("clock set back behind the first key", vec![key(1, 5_000)], 100, vec![]),
            ("clock set back behind the wiped one's end", vec![wiped(1, 0), key(2, 10_000)], 8_000, vec![]),
        ] {
            assert_eq!(plan(&keys, &[ES], &POLICY, at(now)), steps, "{name}");
        }
    }

    #[test]
    fn a_first_start_makes_one_key_of_each_algorithm_and_an_added_one_follows() {
        let all = plan(&[], &Algorithm::ALL, &POLICY, at(7));
        assert_eq!(all, Algorithm::ALL.map(|alg| make(alg, 1, 7)));
        let added = plan(&[key(1, 0)], &[Algorithm::EdDsa, ES, ES], &POLICY, at(7));
        assert_eq!(added, [make(Algorithm::EdDsa, 1, 7)]);
    }

    #[test]
    fn nodes_with_clocks_apart_plan_the_same_generation_so_that_one_wins() {
        for apart in [0, 1, 59] {
            let [here, there] = [9_400, 9_400 + apart].map(|now| plan(&[key(1, 0)], &[ES], &POLICY, at(now)));
            assert!(matches!(here.as_slice(), [Step::Make { generation: 2, .. }]));
            assert!(matches!(there.as_slice(), [Step::Make { generation: 2, .. }]));
        }
    }

    #[test]
    fn an_administrator_gets_the_next_generation_at_once_or_after_propagation() {
        let keys = [key(1, 0), revoked(2, 50, 60)];
        assert_eq!(successor(&keys, ES, &POLICY, at(100), true), make(ES, 3, 100));
        assert_eq!(successor(&keys, ES, &POLICY, at(100), false), make(ES, 3, 700));
        assert_eq!(successor(&keys, Algorithm::EdDsa, &POLICY, at(1), true), make(Algorithm::EdDsa, 1, 1));
    }

    /// A year, hour by hour: at every moment one key signs, it was published for the propagation time (but for the
    /// first), and whatever it signed can be verified until it expires (S-M6, F16).
    #[test]
    fn at_no_moment_of_a_year_does_a_live_token_lose_its_key() {
        let policy = KeyPolicy { rotate_every: 90 * 86_400, hint_memory: 30 * 86_400, ..POLICY };
        let mut rows: Vec<StoredKey> = Vec::new();
        let mut tokens: Vec<(String, i64)> = Vec::new();
        for now in (0..365 * 86_400).step_by(3_600) {
            for step in plan(&rows, &[ES], &policy, at(now)) {
                match step {
                    Step::Make { generation, sign_from, .. } => {
                        rows.push(StoredKey { created_at: at(now), ..key(generation, sign_from.as_secs()) });
                    }
                    Step::WipePrivate { kid } => {
                        rows.iter_mut().filter(|k| k.kid == kid).for_each(|k| k.private_der = None);
                    }
                    Step::Forget { kid } => rows.retain(|k| k.kid != kid),
                }
            }
            assert_eq!(plan(&rows, &[ES], &policy, at(now)), [], "done is done");
            let current = signer(&rows, ES, at(now)).unwrap();
            assert!(current.generation == 1 || now - current.created_at.as_secs() >= policy.propagation);
            tokens.push((current.kid.clone(), now + policy.longest_token_life));
            tokens.retain(|(_, expires)| *expires > now);
            for (kid, _) in &tokens {
                let row = rows.iter().find(|k| &k.kid == kid).unwrap();
                let state = state(&rows, row, &policy, at(now));
                assert!(matches!(state, KeyState::Signing | KeyState::Retired), "{kid} is {state} at {now}");
            }
        }
        assert_eq!(rows.last().unwrap().generation, 5, "four rotations");
        assert!(rows.len() <= 3, "old ones are forgotten");
    }
}
