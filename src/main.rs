//! `cnx`: arguments in, exit code out. Everything else is in the library.

use std::process::ExitCode;

/// Requests live on many small pieces of memory (docs/performance.md).
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cnx::cli::run(std::env::args_os())
}
