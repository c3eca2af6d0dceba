//! SQLite's readers: a small stack of connections that see the last commit while the writer writes. A read runs on the caller.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::conn::{CACHE_OF_A_READER, Conn, open_reader};
use super::error::StoreError;

/// How many idle connections are kept; more are opened when more threads read at once, and closed again.
const KEPT: usize = 16;
/// KiB of pages that a read of whole tables keeps: it comes to each of them once.
const CACHE_OF_A_SCAN: u32 = 256;

pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Conn>>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::new(Vec::with_capacity(KEPT)) }
    }

    /// Runs a read. The connection comes back only after a sound read: a panic or trouble with the file closes it.
    pub(super) fn run<T>(
        &self,
        mut act: impl FnMut(&mut Conn) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = self.idle().pop();
        let mut conn = match idle {
            Some(conn) => conn,
            None => self.open(CACHE_OF_A_READER)?,
        };
        let answer = act(&mut conn);
        if !matches!(answer, Err(StoreError::Unavailable(_) | StoreError::Fault(_))) {
            let mut idle = self.idle();
            if idle.len() < KEPT {
                idle.push(conn);
            }
        }
        answer
    }

    /// Runs a read of whole tables, by a connection of its own.
    pub(super) fn run_through<T>(
        &self,
        mut act: impl FnMut(&mut Conn) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        act(&mut self.open(CACHE_OF_A_SCAN)?)
    }

    fn open(&self, cache_kib: u32) -> Result<Conn, StoreError> {
        open_reader(&self.path, cache_kib).map_err(|e| StoreError::Unavailable(e.to_string()))
    }

    /// Closes the idle connections, so that the writer's, closed last, can fold the log into the file.
    pub(super) fn close(&self) {
        self.idle().clear();
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Conn>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
