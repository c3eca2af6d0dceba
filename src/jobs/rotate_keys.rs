//! Our signing keys rotate by themselves: once a minute, what is due is done.

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
use crate::flow::signing_keys;

const EVERY: Duration = Duration::from_secs(60);

/// Runs for as long as the node.
pub async fn run(app: Arc<App>) {
    loop {
        tokio::time::sleep(EVERY).await;
        if let Err(error) = signing_keys::keep_current(&app).await {
            metrics::counter!("cnx_key_rotation_failures_total").increment(1);
            tracing::error!(
                code = error.code(),
                ?error,
                "signing keys could not be looked after; the loaded ones stay"
            );
        }
    }
}
