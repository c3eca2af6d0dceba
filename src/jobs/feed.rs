//! Applies what other nodes and the command line changed, so that it is in force here within a second (P3).

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;

/// Two polls fit into the promised second.
const EVERY: Duration = Duration::from_millis(400);

/// Runs for as long as the node.
pub async fn run(app: Arc<App>) {
    let mut failing = false;
    loop {
        tokio::time::sleep(EVERY).await;
        match app.catch_up().await {
            Ok(()) if failing => {
                failing = false;
                tracing::info!("the change feed is read again");
            }
            Ok(()) => {}
            Err(error) => {
                metrics::counter!("cnx_feed_failures_total").increment(1);
                // One line when it begins, not two a second for as long as the database is away.
                if !failing {
                    tracing::warn!(%error, "the change feed cannot be read");
                }
                failing = true;
            }
        }
    }
}
