//! Writes down when keys were last used: in batches, once a minute at most for a key, and only forward; secrets that were used move to the
//! present pepper on the way. And once a minute how many requests keys and apps made. No request waits for it.

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
use crate::store::{key_uses, usage};

const EVERY: Duration = Duration::from_secs(10);
/// Every how many of these turns counts are written down.
const COUNTS_EVERY: u32 = 6;
/// Keys in one write.
const BATCH: usize = 500;

/// Runs for as long as the node.
pub async fn run(app: Arc<App>) {
    loop {
        for _ in 0..COUNTS_EVERY {
            tokio::time::sleep(EVERY).await;
            flush_uses(&app).await;
        }
        flush_counts(&app).await;
    }
}

/// Writes down what waits.
pub async fn flush(app: &App) {
    flush_uses(app).await;
    flush_counts(app).await;
}

/// Adds what was counted; what cannot be written waits for the next turn.
async fn flush_counts(app: &App) {
    for batch in app.take_counts().chunks(BATCH) {
        let batch = batch.to_vec();
        let written = batch.clone();
        if let Err(error) = app.store.write(move |conn| usage::add(conn, &written)).await {
            tracing::warn!(%error, "counts of requests were not written down yet");
            app.put_counts_back(batch);
        }
    }
}

async fn flush_uses(app: &App) {
    let mut uses = app.take_uses();
    // In one order on every node, so that two that write at the same moment do not wait for each other.
    uses.sort_unstable_by_key(|used| (used.key, *used.secret.as_bytes()));
    for batch in uses.chunks(BATCH) {
        let batch = batch.to_vec();
        if let Err(error) = app.store.write(move |conn| key_uses::note_uses(conn, &batch)).await {
            // Who used a key when is worth a line, and not a request.
            tracing::warn!(%error, "last uses of keys were not written down");
        }
    }
}
