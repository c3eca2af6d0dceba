//! What the server writes to its log while a test runs.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

/// The log of this process. Tests of one process share it: look for what is yours.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Starts to listen, at the level `debug`; listens on when it does already.
    pub fn capture() -> Self {
        static ONE: OnceLock<Log> = OnceLock::new();
        ONE.get_or_init(|| {
            let log = Self::default();
            let plain =
                tracing_subscriber::fmt().with_env_filter("info,cnx=debug,access=debug").with_ansi(false);
            tracing::subscriber::set_global_default(plain.with_writer(log.clone()).finish())
                .expect("nobody else listens");
            log
        })
        .clone()
    }

    pub fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(record);
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
