//! Floor 0: the words that everything else is said in. Time, chance, secrets, sealed values, ids, proofs and faults.
//!
//! Nothing here knows a protocol, a database or a web server.

pub mod address;
pub mod algorithm;
pub mod digest;
pub mod encoding;
pub mod entropy;
pub mod fault;
pub mod id;
pub mod json;
pub mod proof;
pub mod quick;
pub mod seal;
pub mod secret;
pub mod time;
