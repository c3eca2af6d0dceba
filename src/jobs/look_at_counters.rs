//! Looks whether Redis is there, at the start and now and then: a node works without it, so only the log tells an
//! administrator that every node counts by itself.

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;

const EVERY: Duration = Duration::from_secs(5);

/// Runs for as long as the node.
pub async fn run(app: Arc<App>) {
    loop {
        app.counters.look().await;
        tokio::time::sleep(EVERY).await;
    }
}
