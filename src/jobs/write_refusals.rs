//! Writes what was refused to the audit log: once a minute, alike refusals in one row; and why each request of late was refused, by its
//! id, for who asks about it. No request waits for it.

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
use crate::store::{audit, refused_requests};

const EVERY: Duration = Duration::from_secs(60);
/// Rows in one write.
const BATCH: usize = 200;

/// Runs for as long as the node.
pub async fn run(app: Arc<App>) {
    loop {
        tokio::time::sleep(EVERY).await;
        flush(&app).await;
    }
}

/// Writes what waits; what cannot be written now waits on.
pub async fn flush(app: &App) {
    let requests = app.take_refused_requests();
    if !requests.is_empty() {
        let rows = requests.clone();
        let write = app.store.write(move |conn| refused_requests::insert(conn, &rows));
        if let Err(error) = write.await {
            tracing::warn!(%error, "why requests were refused was not written; it is tried again");
            for entry in requests {
                app.note_refused_request(entry);
            }
        }
    }
    loop {
        // A batch at a time: what is taken and not handed in is lost when the node stops at this moment.
        let batch = app.take_refusals(BATCH);
        if batch.is_empty() {
            return;
        }
        let entries: Vec<_> = batch.iter().map(|(entry, _)| entry.clone()).collect();
        let vault = app.vault.clone();
        if let Err(error) = app.store.write(move |conn| audit::append(conn, &vault, &entries)).await {
            tracing::warn!(%error, "refusals were not written to the audit log; they are tried again");
            for (entry, place) in batch {
                app.note_refusal(entry, place);
            }
            return;
        }
    }
}
