//! Logs: one record for each event on standard error, for people or as JSON.
//!
//! Two things hold whatever is logged: a value cannot forge or hide a line (S-H13), and a reader that stopped reading
//! cannot stop a request: lines wait in a bounded queue, and what does not fit is counted (F22). Secrets are kept out where
//! they are: `Secret` has no form that could be logged.

use std::io::{self, BufWriter, Write};

use tracing::Subscriber;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::inert::inert;
use crate::config::{Loaded, Log, LogFormat};

/// Lines that may wait for the reader.
const QUEUE: usize = 16_384;
/// The most that is written at once, in bytes.
const WRITTEN: usize = 32 * 1024;

/// Whose logs they are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// A server: everything that the settings ask for.
    Server,
    /// A command: warnings, unless the settings ask for a level themselves.
    Tool,
}

/// Running logs; what waits is written when this goes.
pub(super) struct Logs {
    _guard: WorkerGuard,
    dropped: ErrorCounter,
}

impl Logs {
    /// Lines that found the queue full, since the start.
    pub(super) fn dropped_lines(&self) -> usize {
        self.dropped.dropped_lines()
    }
}

/// Starts logging as the settings say. In a process that logs already, that one stays.
pub(super) fn start(loaded: &Loaded, whose: For) -> Logs {
    let mut log = loaded.settings.log.clone();
    let untouched = loaded.sources.iter().any(|s| s.key == "log.level" && s.from == "default");
    if whose == For::Tool && untouched {
        "warn".clone_into(&mut log.level);
    }
    let (queue, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(QUEUE)
        .lossy(true)
        .thread_name("logs")
        // What waits together is written together: the thread flushes whenever its queue is empty.
        .finish(BufWriter::with_capacity(WRITTEN, io::stderr()));
    let dropped = queue.error_counter();
    // Records of libraries that use the older `log` crate are taken in too.
    drop(subscriber(&log, Lines(queue)).try_init());
    Logs { _guard: guard, dropped }
}

/// The one form of our records, on any writer.
fn subscriber<W>(log: &Log, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // config.rs has read the level; what the library makes of it cannot fail worse than saying less.
    let filter = EnvFilter::builder().parse_lossy(&log.level);
    let plain = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(writer);
    match log.format {
        LogFormat::Human => Box::new(plain.finish()),
        LogFormat::Json => Box::new(plain.json().flatten_event(true).with_current_span(false).finish()),
    }
}

/// Takes whole records (the formatter writes each with one call), makes each one inert line, and hands it on.
#[derive(Clone)]
struct Lines<W>(W);

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(record);
        let mut line = inert(text.trim_end_matches('\n'), false).into_owned();
        line.push('\n');
        self.0.write_all(line.as_bytes())?;
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<'a> MakeWriter<'a> for Lines<NonBlocking> {
    type Writer = Self;

    fn make_writer(&'a self) -> Self::Writer {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Lines<Memory> {
        type Writer = Self;
        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    fn logged(format: LogFormat, event: impl FnOnce()) -> String {
        let memory = Memory::default();
        let log = Log { format, level: "info".to_owned() };
        tracing::subscriber::with_default(subscriber(&log, Lines(memory.clone())), event);
        String::from_utf8(memory.0.lock().unwrap().clone()).unwrap()
    }

    /// S-H13: one record per event, whatever a value holds.
    #[test]
    fn no_value_can_forge_or_hide_a_line() {
        let hostile = "bob\r\n2026-01-01T00:00:00Z  INFO forged\u{1b}[2K\u{202e}\u{2028}";
        for format in [LogFormat::Human, LogFormat::Json] {
            let text = logged(format, || {
                let span = tracing::info_span!("request", agent = hostile);
                let _entered = span.enter();
                tracing::warn!(user = hostile, client = %hostile, seen = ?hostile, "refused {hostile}");
            });
            assert_eq!(text.matches('\n').count(), 1, "{text:?}");
            assert!(text.ends_with('\n'));
            assert!(!text.contains(['\r', '\u{1b}', '\u{202e}', '\u{2028}']), "{text:?}");
            if format == LogFormat::Json {
                let record: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert_eq!(record["user"], hostile, "and a reader of JSON gets the value as it was");
            }
        }
    }

    #[test]
    fn the_level_is_kept() {
        let text = logged(LogFormat::Human, || {
            tracing::debug!("quiet");
            tracing::info!("heard");
        });
        assert!(text.contains("heard") && !text.contains("quiet"), "{text}");
    }

    /// F22: a reader that stopped reading stops nobody, and what is lost is counted.
    #[test]
    fn a_blocked_reader_costs_lines_and_not_time() {
        struct Stuck(std::sync::mpsc::Receiver<()>);
        impl Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let _ = self.0.recv();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (release, stuck) = std::sync::mpsc::channel();
        let (queue, guard) =
            NonBlockingBuilder::default().buffered_lines_limit(8).lossy(true).finish(Stuck(stuck));
        let dropped = queue.error_counter();
        let mut lines = Lines(queue);
        for _ in 0..100 {
            lines.write_all(b"line\n").unwrap();
        }
        assert!(dropped.dropped_lines() >= 90, "{}", dropped.dropped_lines());
        drop(release);
        drop(guard);
    }
}
