//! From columns to values and back: the small conversions that every aggregate needs. An impossible row is a fault, never a default.

use diesel::result::Error as DieselError;

use super::error::StoreError;
use crate::base::id::ClientId;
use crate::base::secret::Fingerprint;
use crate::base::time::Timestamp;
use crate::oauth::scope::Scope;

/// What a select gives: rows, or the error as Diesel has it.
pub(super) type Rows<T> = Result<Vec<T>, DieselError>;

/// A value that the column must hold.
pub(super) fn must<T>(value: Option<T>, problem: &'static str) -> Result<T, StoreError> {
    value.ok_or_else(|| StoreError::row(problem))
}

/// A value that the column may hold.
pub(super) fn may<F, T>(
    column: Option<F>,
    read: impl FnOnce(F) -> Option<T>,
    problem: &'static str,
) -> Result<Option<T>, StoreError> {
    column.map(|c| must(read(c), problem)).transpose()
}

/// A fingerprint of 32 bytes.
pub(super) fn fingerprint(bytes: &[u8]) -> Result<Fingerprint, StoreError> {
    must(Fingerprint::from_slice(bytes), "a fingerprint has not 32 bytes")
}

/// A client's id.
pub(super) fn client_id(text: String) -> Result<ClientId, StoreError> {
    must(ClientId::try_from(text).ok(), "a client_id has forbidden characters")
}

/// A set of scope words.
pub(super) fn scope(text: &str) -> Result<Scope, StoreError> {
    must(Scope::parse(text).ok(), "a scope has forbidden characters")
}

/// A time that may be absent.
pub(super) fn time(seconds: Option<i64>) -> Option<Timestamp> {
    seconds.map(Timestamp::from_secs)
}

/// Words separated by spaces.
pub(super) fn words(text: &str) -> Vec<String> {
    text.split(' ').filter(|w| !w.is_empty()).map(str::to_owned).collect()
}
