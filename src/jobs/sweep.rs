//! Deletes what expired, in small batches with pauses between them, so that nobody waits for a sweep (F26).

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
use crate::store::sweep;

const EVERY: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// Runs for as long as the node.
pub async fn run(app: Arc<App>) {
    loop {
        tokio::time::sleep(EVERY).await;
        loop {
            // Not by a clock that was turned forward: it may be turned back, and then what was spent would be good again.
            let now = app.steady_now();
            match app.store.write(move |conn| sweep::batch(conn, now)).await {
                Ok(0) => break,
                Ok(rows) => {
                    metrics::counter!("cnx_swept_rows_total").increment(rows as u64);
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "sweeping stops until the next turn");
                    break;
                }
            }
        }
    }
}
