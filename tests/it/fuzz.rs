//! What strangers send, made up: each target of `fuzz/targets` on its kept inputs, on every one that was once a finding, and then for a
//! few seconds on inputs that proptest makes of them. `CNX_FUZZ_SECONDS` says how many; `fuzz/run` does the same led by coverage.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{TestError, TestRunner};

use crate::world::environment;

#[path = "../../fuzz/targets/mod.rs"]
mod targets;

use targets::{TARGETS, Target};

/// How long each target is tried, unless `CNX_FUZZ_SECONDS` says otherwise: all of them take half a minute of a small machine.
const SECONDS: u64 = 5;

/// How many inputs one round makes. At least one round is played, however slow the machine is.
const ROUND: u32 = 200;

/// The longest input that is made.
const LONGEST: usize = 2_048;

macro_rules! each_has_its_test {
    ($($name:ident)+) => {
        const TRIED: &[&str] = &[$(stringify!($name)),+];
        $(#[test] fn $name() { try_out(stringify!($name)); })+
    };
}

each_has_its_test! {
    params scope redirect_uri authorize client_assertion jwt_header json api_key cidr forwarded cookie seal settings
}

#[test]
fn every_target_is_tried() {
    let named: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(named, TRIED, "a target without a test, or the other way round");
}

#[expect(
    clippy::print_stderr,
    reason = "the input that breaks a target, and how many were tried, are for people to read"
)]
fn try_out(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let (corpus, findings) = (kept("corpus", name), kept("findings", name));
    let (mut taken, mut refused) = (0, 0);
    for (path, data) in corpus.iter().chain(&findings) {
        eprintln!("{}", path.display());
        if (target.run)(data) { taken += 1 } else { refused += 1 }
    }
    // A target that takes nothing, or everything, would look at half of what it is for.
    assert!(taken > 0 && refused > 0, "{name}: of the kept inputs {taken} are taken and {refused} refused");

    let seconds = environment("CNX_FUZZ_SECONDS").map_or(SECONDS, |text| text.parse().unwrap());
    let seeds: Vec<Vec<u8>> = corpus.into_iter().chain(findings).map(|(_, data)| data).collect();
    let (made, until) = (made_up(target, seeds), Instant::now() + Duration::from_secs(seconds));
    let config = ProptestConfig { cases: ROUND, failure_persistence: None, ..ProptestConfig::default() };
    let (tried, taken) = (Cell::new(0_u32), Cell::new(0_u64));
    let mut rounds = 0_u64;
    while rounds == 0 || Instant::now() < until {
        tried.set(0);
        // A new one each time: one that has had its cases runs no more, and says that all is well.
        let outcome = TestRunner::new(config.clone()).run(&made, |data| {
            taken.set(taken.get() + u64::from((target.run)(&data)));
            // Only now: what was made and not handed over is not counted.
            tried.set(tried.get() + 1);
            Ok(())
        });
        match outcome {
            Ok(()) => {}
            Err(TestError::Fail(why, data)) => {
                panic!("{name}: {why}\nthe input, for fuzz/findings/{name}: {}", data.escape_ascii())
            }
            Err(TestError::Abort(why)) => panic!("{name}: {why}"),
        }
        rounds += 1;
        assert_eq!(tried.get(), ROUND, "{name}: round {rounds} did not try all that it is made of");
    }
    let (made, taken) = (rounds * u64::from(ROUND), taken.get());
    eprintln!("{name}: {made} inputs in {seconds} s, {taken} of them taken");
    assert!(taken > 0, "{name}: nothing that was made up is taken");
}

/// The inputs in a folder of a target, in the order of their names.
fn kept(folder: &str, name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(folder).join(name);
    let Ok(entries) = fs::read_dir(&folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

/// One change to an input.
#[derive(Clone, Debug)]
enum Edit {
    /// Takes bytes out.
    Cut(Index, usize),
    /// Puts bytes in.
    Put(Index, Vec<u8>),
    /// Writes over what is there.
    Over(Index, Vec<u8>),
    /// Turns one bit.
    Turn(Index, u8),
    /// Says a part once more.
    Repeat(Index, usize, Index),
    /// Goes on as another input does.
    Splice(Index, Vec<u8>, Index),
}

impl Edit {
    fn apply(&self, data: &mut Vec<u8>) {
        let place = |at: &Index, data: &[u8]| at.index(data.len() + 1);
        match self {
            Self::Cut(at, count) => {
                let from = place(at, data);
                data.drain(from..(from + count).min(data.len()));
            }
            Self::Put(at, bytes) => {
                let at = place(at, data);
                data.splice(at..at, bytes.iter().copied());
            }
            Self::Over(at, bytes) => {
                let at = place(at, data);
                data.splice(at..(at + bytes.len()).min(data.len()), bytes.iter().copied());
            }
            Self::Turn(at, bit) => {
                let at = place(at, data);
                if let Some(byte) = data.get_mut(at) {
                    *byte ^= 1 << bit;
                }
            }
            Self::Repeat(from, count, to) => {
                let from = place(from, data);
                let part = data[from..(from + count).min(data.len())].to_vec();
                let to = place(to, data);
                data.splice(to..to, part);
            }
            Self::Splice(at, other, from) => {
                data.truncate(place(at, data));
                data.extend_from_slice(&other[place(from, other)..]);
            }
        }
    }
}

/// Inputs of three kinds: bytes, pieces put together, and most often kept ones with a few changes.
fn made_up(target: &Target, seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> + use<> {
    let words: Vec<Vec<u8>> = target.words.iter().map(|word| word.as_bytes().to_vec()).collect();
    let word = proptest::sample::select(words);
    let seed = proptest::sample::select(seeds);
    let bytes = prop_oneof![
        3 => word.clone(),
        1 => prop::collection::vec(any::<u8>(), 1..4),
        1 => "\\PC{1,3}".prop_map(String::into_bytes),
        1 => "[0-9A-Za-z]{1,8}".prop_map(String::into_bytes),
    ]
    .boxed();
    let edit = prop_oneof![
        2 => (any::<Index>(), 1_usize..12).prop_map(|(at, count)| Edit::Cut(at, count)),
        4 => (any::<Index>(), bytes.clone()).prop_map(|(at, bytes)| Edit::Put(at, bytes)),
        2 => (any::<Index>(), bytes.clone()).prop_map(|(at, bytes)| Edit::Over(at, bytes)),
        2 => (any::<Index>(), 0_u8..8).prop_map(|(at, bit)| Edit::Turn(at, bit)),
        1 => (any::<Index>(), 1_usize..64, any::<Index>()).prop_map(|(a, n, b)| Edit::Repeat(a, n, b)),
        1 => (any::<Index>(), seed.clone(), any::<Index>()).prop_map(|(a, other, b)| Edit::Splice(a, other, b)),
    ];
    let changed = (seed, prop::collection::vec(edit, 0..5)).prop_map(|(mut data, edits)| {
        for edit in edits {
            edit.apply(&mut data);
        }
        data
    });
    let pieced = prop::collection::vec(bytes, 0..16).prop_map(|pieces| pieces.concat());
    let any_bytes = prop::collection::vec(any::<u8>(), 0..128);
    prop_oneof![1 => any_bytes, 3 => pieced, 8 => changed].prop_map(|mut data| {
        data.truncate(LONGEST);
        data
    })
}
