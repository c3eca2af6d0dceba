//! Floor 5: a timer fires. Each job is one file; all of them may run on every node at once.

pub mod deliver_mail;
pub mod feed;
pub mod flush_usage;
pub mod key_reminders;
pub mod look_at_counters;
pub mod prune_audit;
pub mod remind_of_rotation;
pub mod rotate_keys;
pub mod sweep;
pub mod watch_clock;
pub mod write_refusals;

use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::app::App;

/// The jobs of a node; they end when this is dropped.
#[derive(Debug)]
pub struct Jobs(Vec<JoinHandle<()>>);

impl Jobs {
    /// Starts every job.
    pub fn start(app: &Arc<App>) -> Self {
        Self(vec![
            tokio::spawn(feed::run(Arc::clone(app))),
            tokio::spawn(rotate_keys::run(Arc::clone(app))),
            tokio::spawn(sweep::run(Arc::clone(app))),
            tokio::spawn(flush_usage::run(Arc::clone(app))),
            tokio::spawn(key_reminders::run(Arc::clone(app))),
            tokio::spawn(look_at_counters::run(Arc::clone(app))),
            tokio::spawn(write_refusals::run(Arc::clone(app))),
            tokio::spawn(remind_of_rotation::run(Arc::clone(app))),
            tokio::spawn(prune_audit::run(Arc::clone(app))),
            tokio::spawn(watch_clock::run(Arc::clone(app))),
            tokio::spawn(deliver_mail::run(Arc::clone(app))),
        ])
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        for job in &self.0 {
            job.abort();
        }
    }
}
