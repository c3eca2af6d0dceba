//! One server per SQLite file: a lock file beside it that the system gives back when the process ends, however it ends (F24).
//!
//! Command-line tools do not take it: they write beside a running server, one commit at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use super::error::OpenError;

/// Held as long as this server runs.
#[derive(Debug)]
pub struct ServeLock {
    _file: File,
}

impl ServeLock {
    /// Takes the lock of a database file, or says that another server runs on it.
    pub fn take(database: &Path) -> Result<Self, OpenError> {
        let mut path = database.as_os_str().to_owned();
        path.push(".lock");
        let unreachable =
            |e: std::io::Error| OpenError::Unreachable(format!("{}: {e}", Path::new(&path).display()));
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).map_err(unreachable)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked(database.display().to_string())),
            Err(TryLockError::Error(e)) => Err(unreachable(e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_server_on_one_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cnx.db");
        let first = ServeLock::take(&path).unwrap();
        assert!(matches!(ServeLock::take(&path), Err(OpenError::Locked(_))));
        drop(first);
        ServeLock::take(&path).unwrap();
    }
}
