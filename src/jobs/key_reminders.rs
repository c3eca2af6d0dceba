//! Keys of service accounts that end soon and have no successor: a metric that an alarm can stand on, and a line in the log.

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
use crate::flow::service_accounts::due_keys;

const EVERY: Duration = Duration::from_secs(60);
/// A line in the log every so many turns: once a day.
const SPOKEN_EVERY: u32 = 24 * 60;

/// Runs for as long as the node.
pub async fn run(app: Arc<App>) {
    let mut turn = 0;
    loop {
        let now = app.now();
        let due = due_keys(&app, now);
        #[expect(clippy::cast_precision_loss, reason = "nobody has that many keys")]
        metrics::gauge!("cnx_service_account_keys_due").set(due.len() as f64);
        if turn % SPOKEN_EVERY == 0 {
            for (account, key) in &due {
                let ends = key.expires_at.map(crate::base::time::Timestamp::to_rfc3339);
                tracing::warn!(%account, kid = key.kid, ends, "a service account's key ends and has no successor");
            }
        }
        turn = (turn + 1) % SPOKEN_EVERY;
        tokio::time::sleep(EVERY).await;
    }
}
