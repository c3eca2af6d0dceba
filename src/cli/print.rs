//! What a command says: one JSON document or short aligned text on standard output, reasons on standard error.
//!
//! A reader that went away (`cnx user list | head -1`) is not an error.

use std::io::{self, ErrorKind, Write};

use serde::Serialize;

use super::inert::inert;
use super::{Context, Refused};

impl Context {
    /// Prints the document, or the text when nobody asked for JSON.
    pub(super) fn show(
        &self,
        document: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Refused> {
        let text = if self.json {
            serde_json::to_string_pretty(document).map_err(Refused::because)?
        } else {
            text()
        };
        let written = write_lines(&mut io::stdout().lock(), &text);
        written.map_err(|e| {
            Refused::Because(format!("standard output cannot be written (what was asked for is done): {e}"))
        })
    }
}

/// Says on standard error why a command was refused.
pub(super) fn reason(text: &str) {
    note(&format!("cnx: {text}"));
}

/// Says something on standard error that is not part of the answer. Where even that cannot be written, nothing can be said.
pub(super) fn note(text: &str) {
    drop(write_lines(&mut io::stderr().lock(), &inert(text, false)));
}

fn write_lines(to: &mut impl Write, text: &str) -> io::Result<()> {
    let text = inert(text.trim_end(), true);
    match writeln!(to, "{text}").and_then(|()| to.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Rows in columns as wide as their widest cell.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let head = head.map(str::to_owned);
    let lines = || std::iter::once(&head).chain(rows);
    let mut widths = [0; N];
    for row in lines() {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; N]| {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Names and values, the values under each other.
pub(super) fn pairs(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let line = |(name, value): &(&str, String)| format!("{name:<width$}  {value}").trim_end().to_owned();
    pairs.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A value that may be absent, in a cell.
pub(super) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |v| v.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_tail() {
        let rows = [["a".to_owned(), "1".to_owned()], ["long".to_owned(), String::new()]];
        assert_eq!(table(["name", "n"], &rows), "name  n\na     1\nlong");
        assert_eq!(pairs(&[("id", "x".to_owned()), ("secret", "y".to_owned())]), "id      x\nsecret  y");
    }

    #[test]
    fn a_reader_that_went_away_is_no_error() {
        struct Gone(ErrorKind);
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert!(write_lines(&mut Gone(ErrorKind::BrokenPipe), "x").is_ok());
        assert!(write_lines(&mut Gone(ErrorKind::StorageFull), "x").is_err());
    }
}
