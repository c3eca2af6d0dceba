//! Before anything is done to a SQLite file: is it one, is it sound, is it ours? (F5) What fails here was not changed.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::conn::{Conn, on_both, open_probe};
use super::error::{OpenError, StoreError};

/// How a SQLite file begins (SQLite file format §1.3).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Up to this size every page is looked at before the start, in some milliseconds; of a larger file beside the work, so that a start is
/// quick (F1).
const LOOK_AT_ALL: u64 = 4 << 20;
/// A larger file than this is not looked through by itself: it would take minutes, and `cnx backup` does it with every copy.
const LOOK_LATER: u64 = 4 << 30;

/// How much is looked at before anything is done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Whether it is a database of ours.
    AtHead,
    /// And every page of a small one.
    AtPages,
}

/// Refuses a file that is no SQLite database, that is damaged, or that another program made. A missing or empty file is fine.
pub(super) fn check(path: &Path, look: Look) -> Result<(), OpenError> {
    let damaged =
        |problem: &str| OpenError::Damaged { path: path.display().to_string(), problem: problem.to_owned() };
    let unreachable = |e: std::io::Error| OpenError::Unreachable(format!("{}: {e}", path.display()));
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(unreachable(e)),
    };
    let size = file.metadata().map_err(unreachable)?.len();
    if size == 0 {
        return Ok(());
    }
    let mut head = [0; MAGIC.len()];
    match file.read_exact(&mut head) {
        Ok(()) if head == *MAGIC => {}
        Ok(()) => return Err(damaged("it is no SQLite database")),
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Err(damaged("it is cut short")),
        Err(e) => return Err(unreachable(e)),
    }
    let mut conn = open_probe(path)?;
    let at_all = look == Look::AtPages && size <= LOOK_AT_ALL;
    let sound = if at_all { quick_check(&mut conn) } else { Ok("ok".to_owned()) };
    match sound {
        Ok(answer) if answer == "ok" => {}
        Ok(answer) => return Err(damaged(&answer)),
        Err(StoreError::Busy) => return Err(OpenError::Unreachable(format!("{} is locked", path.display()))),
        Err(error) => return Err(damaged(&error.to_string())),
    }
    match is_foreign(&mut conn) {
        Ok(false) => Ok(()),
        Ok(true) => Err(OpenError::Foreign(path.display().to_string())),
        Err(error) => Err(damaged(&error.to_string())),
    }
}

/// Says of what could not be done to a file that the file is damaged, where that is what it was.
pub(super) fn named(path: &Path, error: OpenError) -> OpenError {
    match error {
        OpenError::Unreachable(problem) if problem.contains("malformed") => {
            OpenError::Damaged { path: path.display().to_string(), problem }
        }
        other => other,
    }
}

/// Looks at every page of a file that was too large for it at the start; what is wrong, if anything. Takes a second for some hundred MB.
pub(super) fn look_through(path: &Path) -> Option<StoreError> {
    let size = path.metadata().ok()?.len();
    if size <= LOOK_AT_ALL || size > LOOK_LATER {
        return None;
    }
    let damaged =
        |problem: String| StoreError::Unavailable(format!("the database file is damaged: {problem}"));
    let mut conn = open_probe(path).ok()?;
    match quick_check(&mut conn) {
        Ok(answer) => (answer != "ok").then(|| damaged(answer)),
        Err(error) => error.is_damage().then_some(error),
    }
}

/// Makes the file, readable by its owner only: SQLite gives the log beside it the same rights.
pub(super) fn create_private(path: &Path) -> Result<(), OpenError> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(e) => Err(OpenError::Unreachable(format!("{}: {e}", path.display()))),
    }
}

fn quick_check(conn: &mut Conn) -> Result<String, StoreError> {
    #[derive(QueryableByName)]
    struct Answer {
        #[diesel(sql_type = Text)]
        quick_check: String,
    }
    let Conn::Sqlite(c) = conn else { return Ok("ok".to_owned()) };
    Ok(diesel::sql_query("PRAGMA quick_check(1)").get_result::<Answer>(c)?.quick_check)
}

fn is_foreign(conn: &mut Conn) -> Result<bool, StoreError> {
    let ours = "(SELECT count(*) FROM sqlite_master WHERE name = '__diesel_schema_migrations')";
    let all = "(SELECT count(*) FROM sqlite_master WHERE type = 'table')";
    let mut count = |text| on_both!(conn, c => diesel::select(sql::<BigInt>(text)).get_result::<i64>(c));
    Ok(count(ours)? == 0 && count(all)? > 0)
}
