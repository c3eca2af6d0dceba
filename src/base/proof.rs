//! Proofs as types: a value whose type says what was checked, so that the check cannot be forgotten.

/// Claims whose signature was checked. Made in `jose/verify.rs` only (`tests/it/layout.rs` holds that).
#[derive(Debug)]
pub struct Verified<C>(C);

impl<C> Verified<C> {
    /// Vouches for claims. To be called where a signature was just checked, and nowhere else.
    pub(crate) fn vouch(claims: C) -> Self {
        Self(claims)
    }

    /// The claims.
    pub fn claims(&self) -> &C {
        &self.0
    }

    /// The claims, by value.
    pub fn into_claims(self) -> C {
        self.0
    }
}
