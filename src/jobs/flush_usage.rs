//! Writes down when keys were last used: in batches, once a minute at most for a key, and only forward; secrets that were used move to the
//! present pepper on the way. No request waits for it.

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
use crate::store::api_keys;

const EVERY: Duration = Duration::from_secs(10);
/// Keys in one write.
const BATCH: usize = 500;

/// Runs for as long as the node.
pub async fn run(app: Arc<App>) {
    loop {
        tokio::time::sleep(EVERY).await;
        flush(&app).await;
    }
}

/// Writes down what waits.
pub async fn flush(app: &App) {
    let mut uses = app.take_uses();
    // In one order on every node, so that two that write at the same moment do not wait for each other.
    uses.sort_unstable_by_key(|used| (used.key, *used.secret.as_bytes()));
    for batch in uses.chunks(BATCH) {
        let batch = batch.to_vec();
        if let Err(error) = app.store.write(move |conn| api_keys::note_uses(conn, &batch)).await {
            // Who used a key when is worth a line, and not a request.
            tracing::warn!(%error, "last uses of keys were not written down");
        }
    }
}
