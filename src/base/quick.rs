//! Maps that a check of a key looks into: it does so in about ten of them, and the standard library's hash, which withstands whoever chooses the keys,
//! cost a fortieth of the whole check. Only for keys that we made ourselves: ids, keyed hashes, words of ours.

use std::collections::HashMap;

pub use foldhash::quality::RandomState;

/// A map whose keys nobody else chooses.
pub type QuickMap<K, V> = HashMap<K, V, RandomState>;
