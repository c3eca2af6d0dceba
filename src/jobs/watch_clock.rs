//! Looks whether the machine's clock was turned, which nobody else would say: tokens and sessions live by it (F10).

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;

const EVERY: Duration = Duration::from_secs(5);
/// What NTP corrects by turning the clock slowly is less than this, in seconds.
const TURNED: i64 = 10;

/// Runs for as long as the node.
pub async fn run(app: Arc<App>) {
    let mut before = app.clock_ahead();
    loop {
        tokio::time::sleep(EVERY).await;
        let ahead = app.clock_ahead();
        let by = ahead - before;
        if by.abs() < TURNED {
            continue;
        }
        before = ahead;
        metrics::counter!("cnx_clock_turned_total").increment(1);
        if by < 0 {
            let seconds = -by;
            tracing::warn!(
                seconds,
                "the clock was turned back: tokens from its future are refused until then; look at NTP"
            );
        } else {
            tracing::warn!(
                seconds = by,
                "the clock was turned forward: what is over by it ends now; look at NTP"
            );
        }
    }
}
