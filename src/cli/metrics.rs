//! Where metrics are gathered. Nothing is, unless `metrics_listen` names a listener that shows them.

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use super::Refused;
use crate::config::Settings;

/// Upper ends of durations, in seconds: from an answer out of memory to a password hash that waited.
const SECONDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
/// Upper ends of how many writes shared a commit.
const JOBS: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// Starts gathering; what the handle renders is what `/metrics` shows.
pub(super) fn gather(settings: &Settings) -> Result<Option<PrometheusHandle>, Refused> {
    let install = || -> Result<PrometheusHandle, BuildError> {
        PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
            .set_buckets_for_metric(Matcher::Suffix("_jobs".to_owned()), &JOBS)?
            .install_recorder()
    };
    settings
        .metrics_listen
        .map(|_| install().map_err(|e| Refused::Because(format!("metrics cannot be gathered: {e}"))))
        .transpose()
}
