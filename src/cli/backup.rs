//! `cnx backup` and `cnx restore`: a checked copy of the embedded database, and the way back.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{Context, Refused, by, logs, print, runtime};
use crate::flow::backup::{self, BackupError};

#[derive(Args)]
pub(super) struct Backup {
    /// The new file; servers may run meanwhile. Keep the master key apart: it is not in it
    file: PathBuf,
}

#[derive(Args)]
pub(super) struct Restore {
    /// A file that `cnx backup` made
    file: PathBuf,
    /// Keep the database that is there under another name and put the copy in its place
    #[arg(long)]
    replace: bool,
    /// Sign everybody out and end every refresh token: those that were spent after the copy was made would be good again
    #[arg(long)]
    end_sign_ins: bool,
}

impl From<BackupError> for Refused {
    fn from(error: BackupError) -> Self {
        Self::because(error)
    }
}

pub(super) fn back_up(context: &Context, arguments: &Backup) -> Result<(), Refused> {
    let loaded = context.load()?;
    let copied = backup::write(&loaded.settings, &arguments.file)?;
    context.show(&json!(copied), || {
        print::pairs(&[
            ("file", copied.file.display().to_string()),
            ("bytes", copied.bytes.to_string()),
            ("needs", format!("{} (not in it: keep a copy elsewhere)", copied.master_key_file.display())),
        ])
    })
}

pub(super) fn restore(context: &Context, arguments: &Restore) -> Result<(), Refused> {
    let loaded = context.load()?;
    let _logs = logs::start(&loaded, logs::For::Tool);
    let ways = (arguments.replace, arguments.end_sign_ins);
    let done = runtime()?.block_on(backup::restore(&loaded.settings, &by(), &arguments.file, ways))?;
    context.show(&json!(done), || {
        let sign_ins = if arguments.end_sign_ins {
            format!("{} sessions and {} refresh tokens ended", done.sessions_ended, done.families_revoked)
        } else {
            "kept; what was spent or revoked after the copy was made is good again".to_owned()
        };
        let mut pairs = vec![("database", done.database.display().to_string()), ("sign-ins", sign_ins)];
        pairs.extend(done.replaced.as_ref().map(|path| ("the one before", path.display().to_string())));
        print::pairs(&pairs)
    })
}
