//! How many files this process may have open. Each connection is one, and so are the database's: who takes more connections than there is
//! room for can open nothing else any more (F14).

/// What stays free for the database, the log, mail and what is fetched.
const OTHERS: usize = 256;

/// Raises the limit as far as this process may. Services are started with a low one, for programs that still use `select`.
pub(super) fn raise() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::debug!(%error, "the limit of open files stays as it is");
        }
    }
}

/// How many connections there is room for, once the limit is raised; `None` where there is no limit.
pub(crate) fn room() -> Option<usize> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit};
        getrlimit(Resource::Nofile)
            .maximum
            .map(|most| beside_others(usize::try_from(most).unwrap_or(usize::MAX)))
    }
    #[cfg(not(unix))]
    None
}

/// Of a limit that leaves nothing for others, half is taken: something must be answered.
fn beside_others(files: usize) -> usize {
    files.saturating_sub(OTHERS).max(files / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_others() {
        for (files, room) in [(1_048_576, 1_048_320), (1024, 768), (512, 256), (100, 50)] {
            assert_eq!(beside_others(files), room, "{files}");
        }
    }
}
