//! API keys whose secret is due to be replaced: an event 14, 7 and 1 days before and on the day, for whoever looks after them, and a metric
//! that an alarm can stand on. Quarterly unless the settings say otherwise (S-K9).

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
use crate::flow::reminders;

const EVERY: Duration = Duration::from_secs(60);

/// Runs for as long as the node.
pub async fn run(app: Arc<App>) {
    loop {
        remind(&app).await;
        tokio::time::sleep(EVERY).await;
    }
}

/// Reminds of what is due; every node may do so, and one does.
pub async fn remind(app: &App) {
    let now = app.now();
    let due = reminders::due(app, now);
    #[expect(clippy::cast_precision_loss, reason = "nobody has that many keys")]
    metrics::gauge!("cnx_api_keys_due").set(due.len() as f64);
    for key in due {
        if let Err(error) = reminders::remind(app, &key, now).await {
            tracing::warn!(code = error.code(), key = %key.id, "a key's rotation could not be reminded of");
            return;
        }
    }
}
