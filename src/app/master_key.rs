//! The master key's file: 32 random bytes as base64url, mode 0600. Made for an empty database, never over old data.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::StartError;
use crate::base::encoding::{base64url, from_base64url};
use crate::base::entropy::Entropy;
use crate::base::secret::Secret;

/// A key that was made and is not written yet.
pub(super) struct Made {
    path: PathBuf,
    key: Secret<[u8; 32]>,
}

/// Reads the key, or makes one when there is no file and the database is empty.
pub(super) fn load_or_make(
    path: &Path,
    fresh: bool,
    entropy: &Entropy,
) -> Result<(Secret<[u8; 32]>, Option<Made>), StartError> {
    match read(path)? {
        Some(key) => Ok((key, None)),
        None if fresh => {
            let key = Secret::new(entropy.bytes::<32>());
            Ok((key.clone(), Some(Made { path: path.to_owned(), key })))
        }
        None => Err(refused(
            path,
            "the file is missing, and the database was made with it; put it back (nothing is made anew over old data)"
                .to_owned(),
        )),
    }
}

/// Reads the key; none when there is no file.
pub(super) fn read(path: &Path) -> Result<Option<Secret<[u8; 32]>>, StartError> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text).map(Some).ok_or_else(|| {
            refused(
                path,
                "this is not a master key; 43 characters of base64url (32 bytes) are expected".to_owned(),
            )
        }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(refused(path, format!("cannot be read: {e}"))),
    }
}

fn refused(path: &Path, problem: String) -> StartError {
    StartError::MasterKey { path: path.to_owned(), problem }
}

fn parse(text: &str) -> Option<Secret<[u8; 32]>> {
    <[u8; 32]>::try_from(from_base64url(text.trim())?).ok().map(Secret::new)
}

impl Made {
    /// Writes the file with mode 0600, whole or not at all, and never over another: a crash in between (F19) must not leave
    /// half a key, which would refuse every later start.
    pub(super) fn write(self) -> Result<(), StartError> {
        let refused = |e: std::io::Error| StartError::MasterKey {
            path: self.path.clone(),
            problem: format!("cannot be written: {e}"),
        };
        let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(refused)?;
        // Temporary files of this kind are made with mode 0600, and go when they are dropped.
        let mut file = NamedTempFile::new_in(folder).map_err(refused)?;
        file.write_all(format!("{}\n", base64url(self.key.reveal())).as_bytes()).map_err(refused)?;
        file.as_file().sync_all().map_err(refused)?;
        file.persist_noclobber(&self.path).map_err(|e| refused(e.error))?;
        // The name, too, must be on the disk before anything is sealed under the key.
        #[cfg(unix)]
        std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(refused)?;
        Ok(())
    }
}
