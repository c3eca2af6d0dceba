//! A moment as pages show it: to the minute, in UTC, and exactly for machines that read it.

use crate::base::time::Timestamp;

/// A moment.
#[derive(Clone, Copy, Debug)]
pub struct Moment(pub Timestamp);

impl Moment {
    /// RFC 3339, for the attribute `datetime`.
    pub fn iso(&self) -> String {
        self.0.to_rfc3339()
    }

    /// For people: `2026-11-26 07:40 UTC`.
    pub fn shown(&self) -> String {
        let text = self.iso();
        match (text.get(..10), text.get(11..16)) {
            (Some(day), Some(time)) => format!("{day} {time} UTC"),
            _ => text,
        }
    }
}
