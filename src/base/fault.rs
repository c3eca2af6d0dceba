//! A fault: something of ours that went wrong while doing something. Logged once, at the edge, never told to a caller.

use std::error::Error;
use std::fmt;

/// What we were doing, and what happened.
#[derive(Debug)]
pub struct Fault {
    /// What was being done, as a phrase: "sealing a code".
    pub doing: &'static str,
    source: Box<dyn Error + Send + Sync>,
}

impl Fault {
    /// A fault with its cause: an error, or a sentence.
    pub fn new(doing: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { doing, source: source.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.source)
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_ref())
    }
}
