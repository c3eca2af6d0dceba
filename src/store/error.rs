//! What can go wrong at the doors: `StoreError` for a request, `OpenError` for a start.
//!
//! Diesel tells uniqueness, serialization failures and lost connections apart by kind; for the rest of SQLite and PostgreSQL
//! only the message is left, so unknown trouble counts as "cannot decide now" (503) and only mistakes in a statement as a fault of ours.

use diesel::result::{DatabaseErrorKind as Kind, Error as DieselError};

use crate::base::fault::Fault;

/// How the text of an outage begins that lost the connection before anything was committed.
const LOST: &str = "the connection was lost";

/// Why a read or a write gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Too many wait, or somebody else holds the lock: try again soon.
    #[error("the database is busy")]
    Busy,
    /// The database cannot be reached, is full, read-only or damaged; nothing was decided.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// Something of ours went wrong.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The named field must be unique and its value is taken. On PostgreSQL the transaction is over: return this from the closure.
    #[error("{0} is taken already")]
    Duplicate(&'static str),
}

impl StoreError {
    /// A row that cannot be: the column and what is wrong with it.
    pub(super) fn row(problem: &'static str) -> Self {
        Self::Fault(Fault::new("reading a row", problem))
    }

    /// Whether the connection broke under the statement, so that another connection may try the whole closure again.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self, Self::Unavailable(text) if text.starts_with(LOST))
    }

    /// Whether a SQLite file turned out to be damaged: nothing but a backup mends that (F5).
    pub(super) fn is_damage(&self) -> bool {
        let signs = ["malformed", "not a database"];
        matches!(self, Self::Unavailable(text) if signs.iter().any(|sign| text.contains(sign)))
    }

    /// The same error for another waiter.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::Busy => Self::Busy,
            Self::Unavailable(text) => Self::Unavailable(text.clone()),
            Self::Duplicate(field) => Self::Duplicate(field),
            Self::Fault(fault) => Self::Fault(Fault::new("committing", fault.to_string())),
        }
    }
}

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        match error {
            DieselError::DatabaseError(kind, info) => by_kind(kind, info.message()),
            DieselError::RollbackErrorOnCommit { commit_error, .. } => Self::from(*commit_error),
            DieselError::BrokenTransactionManager => {
                Self::Unavailable("the transaction was broken off".to_owned())
            }
            other => Self::Fault(Fault::new("running a statement", other)),
        }
    }
}

fn by_kind(kind: Kind, message: &str) -> StoreError {
    match kind {
        Kind::SerializationFailure => StoreError::Busy,
        Kind::ClosedConnection | Kind::UnableToSendCommand => {
            StoreError::Unavailable(format!("{LOST}: {}", one_line(message)))
        }
        Kind::ReadOnlyTransaction => StoreError::Unavailable(one_line(message)),
        Kind::Unknown => by_message(message),
        _ => StoreError::Fault(Fault::new("running a statement", format!("{kind:?}: {}", one_line(message)))),
    }
}

/// Sorts what has no kind of its own.
fn by_message(message: &str) -> StoreError {
    const BUSY: [&str; 4] =
        [" is locked", "deadlock detected", "due to lock timeout", "could not obtain lock"];
    const OURS: [&str; 5] = [
        "no such ",
        "syntax error",
        "does not exist",
        "has no column named",
        "cannot commit - no transaction",
    ];
    if BUSY.iter().any(|text| message.contains(text)) {
        StoreError::Busy
    } else if OURS.iter().any(|text| message.contains(text)) {
        StoreError::Fault(Fault::new("running a statement", one_line(message)))
    } else {
        StoreError::Unavailable(one_line(message))
    }
}

/// Names the field of a uniqueness violation: the first of `fields` that the database's message or constraint names, or the
/// first at all, for a primary key.
pub(super) fn duplicate(error: DieselError, fields: &[&'static str]) -> StoreError {
    if let DieselError::DatabaseError(Kind::UniqueViolation, info) = &error {
        let named = info.constraint_name().unwrap_or_else(|| info.message());
        let field = fields.iter().find(|field| named.contains(**field)).or(fields.first());
        if let Some(field) = field {
            return StoreError::Duplicate(field);
        }
    }
    error.into()
}

/// A message on one line, for one line of log or of standard error.
pub(super) fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Why a database was not opened. Each prints as one line that says what to do; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address is none that we know.
    #[error("database_url: {0}; sqlite:PATH or postgres://… is allowed")]
    Address(String),
    /// The address of the shared counters is none that we know.
    #[error("redis_url: {0}; redis://… is allowed")]
    RedisAddress(String),
    /// The database cannot be reached or its file cannot be opened.
    #[error("the database cannot be opened: {0}")]
    Unreachable(String),
    /// The file is damaged or is no SQLite database.
    #[error("the database {path} is damaged: {problem}; restore a backup, nothing was changed")]
    Damaged {
        /// The file.
        path: String,
        /// What SQLite says.
        problem: String,
    },
    /// The database belongs to something else.
    #[error("the database {0} holds tables of another program; name a new file or an empty database")]
    Foreign(String),
    /// The database was made by a later release.
    #[error(
        "the database is newer than this program: it has migration {0}; install the release that made it"
    )]
    Newer(String),
    /// A migration was changed after it was applied.
    #[error(
        "migration {0} is not the one that this database was made with; install the release that made it"
    )]
    Changed(String),
    /// Another server runs on the same file.
    #[error("another server runs on {0}; stop it first")]
    Locked(String),
    /// A migration failed; it was rolled back.
    #[error("migration {version} failed and was rolled back: {problem}")]
    Migration {
        /// Which.
        version: String,
        /// What the database says.
        problem: String,
    },
}

impl From<DieselError> for OpenError {
    fn from(error: DieselError) -> Self {
        Self::Unreachable(one_line(&StoreError::from(error).to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(message: &str) -> StoreError {
        StoreError::from(DieselError::DatabaseError(Kind::Unknown, Box::new(message.to_owned())))
    }

    #[test]
    fn trouble_is_sorted_into_busy_unavailable_and_our_own_faults() {
        assert!(matches!(unknown("database is locked"), StoreError::Busy));
        assert!(matches!(unknown("database table is locked: users"), StoreError::Busy));
        assert!(matches!(unknown("deadlock detected"), StoreError::Busy));
        assert!(matches!(unknown("database or disk is full"), StoreError::Unavailable(_)));
        assert!(matches!(unknown("disk I/O error"), StoreError::Unavailable(_)));
        assert!(matches!(unknown("database disk image is malformed"), StoreError::Unavailable(_)));
        assert!(matches!(unknown("file is not a database"), StoreError::Unavailable(_)));
        assert!(matches!(unknown("no such table: users"), StoreError::Fault(_)));
        assert!(matches!(unknown("relation \"users\" does not exist"), StoreError::Fault(_)));
    }
}
