//! Removes events of the audit log whose time is over, and tells the log how far the chain is: who keeps that line elsewhere can show later
//! that nothing before it was changed, even by somebody who has the master key.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::app::App;
use crate::store::audit::{self, Entry, PRUNED, Pruned};

const EVERY: Duration = Duration::from_secs(3_600);
/// A pause between batches, so that nobody waits for them.
const PAUSE: Duration = Duration::from_millis(50);
/// Events in one batch.
const BATCH: i64 = 500;

/// Runs for as long as the node.
pub async fn run(app: Arc<App>) {
    loop {
        tell(&app).await;
        tokio::time::sleep(EVERY).await;
        prune(&app).await;
    }
}

/// How far the chain is.
async fn tell(app: &App) {
    let vault = app.vault.clone();
    match app.store.read(move |conn| audit::head(conn, &vault)).await {
        Ok(Some(head)) => tracing::info!(%head, "the newest event of the audit log"),
        Ok(None) => tracing::error!("the audit log was changed; run `cnx audit verify`"),
        Err(error) => tracing::warn!(%error, "the audit log could not be read"),
    }
}

/// Removes what is older than the settings say; that it was removed is an event.
pub async fn prune(app: &App) {
    let keep = app.settings.audit.retention_seconds;
    if keep == 0 {
        return;
    }
    let before = app.steady_now().minus(keep);
    let mut removed = 0;
    loop {
        let vault = app.vault.clone();
        match app.store.write(move |conn| audit::prune(conn, &vault, before, BATCH)).await {
            Ok(Pruned::Rows(0)) => break,
            Ok(Pruned::Rows(rows)) => removed += rows,
            Ok(Pruned::Changed) => {
                tracing::error!(
                    "the audit log was changed; nothing is removed from it; run `cnx audit verify`"
                );
                metrics::counter!("cnx_audit_broken_total").increment(1);
                break;
            }
            Err(error) => {
                tracing::warn!(%error, "old events of the audit log stay until the next turn");
                break;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    if removed == 0 {
        return;
    }
    let details = json!({ "events": removed, "before": before.to_rfc3339() }).to_string();
    let (entry, vault) = (Entry::by_system(PRUNED, Some(details), app.now()), app.vault.clone());
    if let Err(error) =
        app.store.write(move |conn| audit::append(conn, &vault, std::slice::from_ref(&entry))).await
    {
        tracing::warn!(%error, "that old events were removed was not written down");
    }
}
