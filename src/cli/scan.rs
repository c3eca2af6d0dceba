//! `cnx scan`: finds API keys in a folder by their prefix and their check, offline. It needs no settings and no server; what it finds it
//! shows masked, and whether a key still works is `cnx key verify`'s to say.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::{Context, Refused, print};
use crate::api_key::format;
use crate::base::secret::Secret;

/// Files that are larger are not looked at, and counted.
const LARGEST: u64 = 32 * 1024 * 1024;

#[derive(Args)]
pub(super) struct Arguments {
    /// A folder or a file; version control's own folder is left out
    #[arg(value_name = "PATH")]
    path: PathBuf,
}

/// A key that was found.
struct Found {
    path: PathBuf,
    line: usize,
    key_id: String,
    masked: String,
}

/// What a scan saw.
#[derive(Default)]
struct Scan {
    found: Vec<Found>,
    files: usize,
    left_out: usize,
}

pub(super) fn run(context: &Context, arguments: &Arguments) -> Result<(), Refused> {
    let mut scan = Scan::default();
    if !arguments.path.exists() {
        return Err(Refused::Because(format!(
            "{}: there is no such file or folder",
            arguments.path.display()
        )));
    }
    // What is named is looked at, also through a link.
    let root = if arguments.path.is_symlink() {
        arguments.path.canonicalize().unwrap_or_else(|_| arguments.path.clone())
    } else {
        arguments.path.clone()
    };
    scan.look(&root);
    if scan.files == 0 && scan.left_out > 0 {
        return Err(Refused::Because(format!(
            "{}: nothing in it could be read, so nothing is known of it",
            arguments.path.display()
        )));
    }
    let found: Vec<Value> = scan
        .found
        .iter()
        .map(|f| json!({"path": f.path, "line": f.line, "key_id": f.key_id, "masked": f.masked}))
        .collect();
    let document = json!({ "found": found, "files": scan.files, "left_out": scan.left_out });
    context.show(&document, || {
        let rows: Vec<[String; 2]> = scan
            .found
            .iter()
            .map(|f| [format!("{}:{}", f.path.display(), f.line), f.masked.clone()])
            .collect();
        let table =
            if rows.is_empty() { String::new() } else { print::table(["where", "key"], &rows) + "\n" };
        format!("{table}{} keys in {} files, {} left out", rows.len(), scan.files, scan.left_out)
    })?;
    // As a gate: found keys stop a commit or a release.
    if scan.found.is_empty() { Ok(()) } else { Err(Refused::Told) }
}

impl Scan {
    fn look(&mut self, path: &Path) {
        let Ok(meta) = path.symlink_metadata() else {
            self.left_out += 1;
            return;
        };
        if meta.is_dir() {
            if path.file_name().is_some_and(|name| name == ".git") {
                return;
            }
            let Ok(entries) = path.read_dir() else {
                self.left_out += 1;
                return;
            };
            let mut below: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|e| e.path())).collect();
            below.sort();
            for path in below {
                self.look(&path);
            }
        } else if meta.is_file() && meta.len() <= LARGEST {
            self.read(path);
        } else {
            // A link leads to what is looked at in its own place, or lies elsewhere.
            self.left_out += 1;
        }
    }

    fn read(&mut self, path: &Path) {
        let Ok(bytes) = std::fs::read(path) else {
            self.left_out += 1;
            return;
        };
        self.files += 1;
        let text = String::from_utf8_lossy(&bytes);
        for (at, key) in format::find(&text) {
            let Some(written) = format::read(key) else { continue };
            let line = text.get(..at).map_or(0, |before| before.matches('\n').count()) + 1;
            let tail = format::tail(&Secret::new(key.to_owned()));
            self.found.push(Found {
                path: path.to_owned(),
                line,
                key_id: written.id.to_string(),
                masked: format::masked(&written.environment, written.id, &tail),
            });
        }
    }
}
