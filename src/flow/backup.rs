//! Backups of an embedded database: a checked copy beside running servers, and a restore that replaces nothing before it has opened the copy.
//!
//! The master key is not in a copy: sealed secrets in it open only with the key that is kept apart.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::json;

use super::audit::{Act, By, Name, Record};
use crate::app::{App, Role, StartError, master_key_fits};
use crate::base::entropy::Entropy;
use crate::base::time::Clock;
use crate::config::{DatabaseUrl, Settings};
use crate::store::error::{OpenError, StoreError};
use crate::store::lock::ServeLock;
use crate::store::{Conn, backup, families, sessions};

/// Why there is no copy, or why nothing was restored. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The database is PostgreSQL's.
    #[error(
        "{0} is PostgreSQL's: `pg_dump --format=custom` copies it and `pg_restore` restores it, while nodes run"
    )]
    Postgres(String),
    /// A file is in the way.
    #[error("{path}: {problem}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is the matter, and what helps.
        problem: String,
    },
    /// A database cannot be read, copied or put in its place.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// A database does not open with these settings.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A write failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A copy that was made.
#[derive(Debug, Serialize)]
pub struct Copied {
    /// Where it is.
    pub file: PathBuf,
    /// Its size, in bytes.
    pub bytes: u64,
    /// The master key that it needs, which is not in it.
    pub master_key_file: PathBuf,
}

/// A database that was restored.
#[derive(Debug, Serialize)]
pub struct Restored {
    /// Where it is.
    pub database: PathBuf,
    /// Where the one before is kept, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced: Option<PathBuf>,
    /// How many sessions were ended.
    pub sessions_ended: usize,
    /// How many refresh-token families were revoked.
    pub families_revoked: usize,
}

fn own_file(settings: &Settings) -> Result<&Path, BackupError> {
    settings.database_url.sqlite_path().ok_or_else(|| BackupError::Postgres(settings.database_url.masked()))
}

fn in_the_way(path: &Path, problem: &str) -> BackupError {
    BackupError::File { path: path.to_owned(), problem: problem.to_owned() }
}

/// The settings with another database.
fn with_database(settings: &Settings, path: &Path) -> Result<Settings, BackupError> {
    let database_url = DatabaseUrl::parse(&format!("sqlite:{}", path.display()))
        .map_err(|problem| in_the_way(path, &problem))?;
    Ok(Settings { database_url, ..settings.clone() })
}

/// Copies the database to a new file, while servers run, and checks the copy: every page and reference, that it is ours, and that the master
/// key fits it. The file has its name only when all of that holds.
pub fn write(settings: &Settings, to: &Path) -> Result<Copied, BackupError> {
    let from = own_file(settings)?;
    if !from.exists() {
        return Err(in_the_way(from, "there is no database yet"));
    }
    if to.exists() {
        return Err(in_the_way(to, "it is there already, and a backup overwrites nothing; name a new file"));
    }
    let part = backup::beside(to, ".part");
    backup::copy(from, &part)?;
    let checked = check(settings, &part);
    let named = checked.and_then(|()| {
        // Not `rename`, which would overwrite a file that somebody made meanwhile.
        std::fs::hard_link(&part, to).map_err(|error| in_the_way(to, &error.to_string()))
    });
    drop(std::fs::remove_file(&part));
    named?;
    let bytes = std::fs::metadata(to).map_err(|error| in_the_way(to, &error.to_string()))?.len();
    Ok(Copied { file: to.to_owned(), bytes, master_key_file: settings.master_key_file.clone() })
}

fn check(settings: &Settings, copy: &Path) -> Result<(), BackupError> {
    backup::check(copy)?;
    Ok(master_key_fits(&with_database(settings, copy)?)?)
}

/// Puts a copy in the place of the database, once it was checked, opened with this master key and brought up to date beside it. No server may
/// run on it. With `replace` a database that is there is kept under another name; with `end_sign_ins` nobody stays signed in and no refresh
/// token stays good, among them those that were spent after the copy was made.
pub async fn restore(
    settings: &Settings,
    by: &By,
    from: &Path,
    (replace, end_sign_ins): (bool, bool),
) -> Result<Restored, BackupError> {
    let place = own_file(settings)?;
    if let Some(folder) = place.parent() {
        std::fs::create_dir_all(folder).map_err(|error| in_the_way(folder, &error.to_string()))?;
    }
    backup::check(from)?;
    let is_there = place.exists();
    if is_there && !replace {
        let problem = "there is a database already; --replace keeps it under another name";
        return Err(in_the_way(place, problem));
    }
    let _nobody_else = ServeLock::take(place)?;
    let staged = backup::beside(place, ".restoring");
    // What an earlier try left.
    for end in ["", "-wal", "-shm"] {
        drop(std::fs::remove_file(backup::beside(&staged, end)));
    }
    let done = stage(settings, by, (from, &staged), end_sign_ins).await;
    let placed = done.and_then(|(sessions_ended, families_revoked)| {
        let aside = backup::beside(place, &format!(".before-{}", Clock::System.now().as_secs()));
        backup::replace(place, &staged, &aside)?;
        let replaced = is_there.then_some(aside);
        Ok(Restored { database: place.to_owned(), replaced, sessions_ended, families_revoked })
    });
    if placed.is_err() {
        for end in ["", "-wal", "-shm"] {
            drop(std::fs::remove_file(backup::beside(&staged, end)));
        }
    }
    placed
}

/// Opens a copy of the copy as a server would, and writes into it that it was restored.
async fn stage(
    settings: &Settings,
    by: &By,
    (from, staged): (&Path, &Path),
    end_sign_ins: bool,
) -> Result<(usize, usize), BackupError> {
    backup::copy(from, staged)?;
    if !settings.master_key_file.exists() {
        let problem = "it is missing; put back the key that the backup's server had";
        return Err(in_the_way(&settings.master_key_file, problem));
    }
    let app =
        App::open(with_database(settings, staged)?, Clock::System, Entropy::system(), Role::Tool).await?;
    let now = app.now();
    if let Err(fault) = app.keyring(now) {
        return Err(StartError::Keys(fault.to_string()).into());
    }
    let details = json!({ "sign_ins": if end_sign_ins { "ended" } else { "kept" } });
    let act = Act::Did(Name::DatabaseRestored, "database".to_owned().into(), details);
    let record = Record::new(&app, &act, by, now);
    let ended = record
        .with(&app, move |conn: &mut Conn| {
            if !end_sign_ins {
                return Ok((0, 0));
            }
            Ok((sessions::end_everybodys(conn, now)?, families::revoke_everybodys(conn, now)?))
        })
        .await;
    app.store.close();
    Ok(ended?)
}
