//! Copies of a SQLite database: made while servers write, checked page by page, and put in the place of another one.
//!
//! PostgreSQL has its own programs for this, which know more than we do.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::conn::{Conn, open_for_copy, open_probe};
use super::error::{OpenError, one_line};
use super::integrity;

/// What stands beside a SQLite file while it is open.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

fn io(path: &Path, error: &std::io::Error) -> OpenError {
    OpenError::Unreachable(format!("{}: {error}", path.display()))
}

/// A path with something behind its name.
pub fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Copies the database at `from`, as it is at one moment, to a new file that only its owner may read. Servers go on writing meanwhile; the
/// copy is one file, whole and without gaps. It is on the disk when this returns.
pub fn copy(from: &Path, to: &Path) -> Result<(), OpenError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(to).map_err(|error| io(to, &error))?;
    let copied = vacuum(from, to).and_then(|()| sync(to));
    if copied.is_err() {
        // What is half a copy must not be taken for one.
        drop(std::fs::remove_file(to));
    }
    copied
}

fn vacuum(from: &Path, to: &Path) -> Result<(), OpenError> {
    let text = to
        .to_str()
        .ok_or_else(|| OpenError::Unreachable(format!("{}: the path is not UTF-8", to.display())))?;
    let mut conn = open_for_copy(from)?;
    // A name in an SQL text: a quote is written twice (SQLite, "Literal Values").
    Ok(conn.batch_execute(&format!("VACUUM INTO '{}'", text.replace('\'', "''")))?)
}

/// Brings a file and its name to the disk.
fn sync(path: &Path) -> Result<(), OpenError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| io(path, &error))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| io(folder, &error))
}

/// Looks at every page and every reference of a file that nobody writes to; a start looks at less of a large one.
pub fn check(path: &Path) -> Result<(), OpenError> {
    #[derive(QueryableByName)]
    struct Answer {
        #[diesel(sql_type = Text)]
        integrity_check: String,
    }
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    let damaged = |problem: String| OpenError::Damaged { path: path.display().to_string(), problem };
    if !path.is_file() {
        return Err(OpenError::Unreachable(format!("{}: there is no such file", path.display())));
    }
    integrity::check(path, integrity::Look::AtHead)?;
    let Conn::Sqlite(mut conn) = open_probe(path)? else { return Ok(()) };
    let answer = diesel::sql_query("PRAGMA integrity_check(1)").get_result::<Answer>(&mut conn);
    let sound = answer.map_err(|error| damaged(one_line(&error.to_string())))?.integrity_check;
    if sound != "ok" {
        return Err(damaged(one_line(&sound)));
    }
    let torn = diesel::sql_query("SELECT count(*) AS count FROM pragma_foreign_key_check")
        .get_result::<Count>(&mut conn)
        .map_err(|error| damaged(one_line(&error.to_string())))?;
    if torn.count != 0 {
        return Err(damaged(format!("{} rows refer to rows that are not there", torn.count)));
    }
    Ok(())
}

/// Puts `new` in the place of the database at `path`. One that is there is kept under `aside`, with what stands beside it. Nobody may have
/// either of them open.
pub fn replace(path: &Path, new: &Path, aside: &Path) -> Result<(), OpenError> {
    for end in BESIDE {
        if std::fs::metadata(beside(new, end)).is_ok_and(|found| found.len() > 0) {
            return Err(OpenError::Unreachable(format!("{} is still in use", new.display())));
        }
    }
    for end in [""].into_iter().chain(BESIDE) {
        match std::fs::rename(beside(path, end), beside(aside, end)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(io(&beside(path, end), &error)),
        }
    }
    std::fs::rename(new, path).map_err(|error| io(path, &error))?;
    sync(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_copy_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a.db"), folder.path().join("it's a copy"));
        std::fs::write(&from, b"SQLite format 3\0 and then nothing of the kind").unwrap();
        assert!(copy(&from, &to).is_err());
        assert!(!to.exists());
        assert!(check(&from).is_err());
        assert!(check(&to).is_err());
    }

    #[test]
    fn a_copy_overwrites_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a.db"), folder.path().join("b.db"));
        std::fs::write(&to, b"precious").unwrap();
        assert!(copy(&from, &to).is_err());
        assert_eq!(std::fs::read(&to).unwrap(), b"precious");
    }
}
