//! Secrets in one direction: `Secret` → `Fingerprint` (what a row holds) and `Secret` → `Masked` (what a person may see again).

use std::fmt;
use std::hash::{Hash, Hasher};

use zeroize::{Zeroize, Zeroizing};

use super::encoding::base62;
use super::entropy::Entropy;

/// Must not be printed, compared or stored. Read it with [`Secret::reveal`], which is easy to grep for.
#[derive(Clone)]
pub struct Secret<T: Zeroize>(Zeroizing<T>);

impl<T: Zeroize> Secret<T> {
    /// Wraps a value that must not leak.
    pub fn new(value: T) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The value itself: for hashing, for signing, for the one answer that hands it out.
    pub fn reveal(&self) -> &T {
        &self.0
    }
}

impl Secret<String> {
    /// A new bearer secret: `prefix` and base62 of 32 random bytes (256 bits, ASVS 11.2.4).
    pub fn generate(prefix: &str, entropy: &Entropy) -> Self {
        Self::new(format!("{prefix}{}", base62(&entropy.bytes::<32>())))
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// HMAC-SHA-256 under the server's pepper: the only form of a bearer secret that reaches a row, a log or a cache key.
///
/// Comparing two keyed hashes with `==` is safe: an attacker who measures it learns about a value that cannot be steered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

impl Hash for Fingerprint {
    /// Eight bytes of a keyed hash spread as well as all of them.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (head, _) = self.0.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
        state.write_u64(u64::from_ne_bytes(*head));
    }
}

impl Fingerprint {
    /// From the 32 bytes of a row or of a MAC.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// From a slice; `None` unless it has 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        <[u8; 32]>::try_from(bytes).ok().map(Self)
    }

    /// The bytes, for a row.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (head, _) = self.0.split_at(4);
        f.write_str("Fingerprint(")?;
        head.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("…)")
    }
}

/// What a person may see of a secret again: its public prefix, dots, and its last four characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masked(String);

impl Masked {
    /// Masks `secret`, keeping `public` leading characters (the prefix and the id, never secret part) and the last four.
    pub fn of(secret: &Secret<String>, public: usize) -> Self {
        let text = secret.reveal();
        let head: String = text.chars().take(public).collect();
        let length = text.chars().count();
        let tail: String = text.chars().skip(length.saturating_sub(4).max(public)).collect();
        Self(format!("{head}••••{tail}"))
    }
}

impl fmt::Display for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
