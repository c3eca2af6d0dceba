//! Pages about one's own account.

pub(super) mod profile;
