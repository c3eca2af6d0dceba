//! Floor 1: signatures. The only room that knows JOSE (RFC 7515, RFC 7517), and the only one that signs with OpenSSL.
//!
//! `rotation` says *when* a key is published, signs, retires and is forgotten; `keyring` holds the keys of one
//! moment; `issue` and `verify` use them. What the claims mean is none of this room's business.

pub mod issue;
pub mod key_set;
pub mod keyring;
mod public_key;
mod rotation;
pub mod signing_key;
mod spki;
pub mod verify;

#[cfg(test)]
mod tests;
