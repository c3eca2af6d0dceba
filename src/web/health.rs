//! For those who run us: alive, ready, and the metrics on their own listener.

use actix_web::HttpResponse;
use actix_web::web::{self, ServiceConfig};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;

use super::Node;
use crate::base::algorithm::Algorithm;

/// Alive: the process answers. Nothing else is asked, so that a balancer does not kill a node whose database is away.
pub(super) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

/// Ready: not about to stop, the database answers, a signing key is current.
pub(super) async fn readyz(app: Node) -> HttpResponse {
    let now = app.now();
    let database = app.store.ping().await;
    let keys = app.keyring(now).is_ok_and(|ring| Algorithm::ALL.iter().all(|alg| ring.signing(*alg).is_ok()));
    let word = |ok: bool| if ok { "ok" } else { "failed" };
    let body = json!({
        "status": if app.is_draining() { "stopping" } else { word(database.is_ok() && keys) },
        "database": word(database.is_ok()),
        "signing_keys": word(keys),
    });
    if app.is_draining() || database.is_err() || !keys {
        return HttpResponse::ServiceUnavailable().json(body);
    }
    HttpResponse::Ok().json(body)
}

/// `/metrics`, for a listener that the public does not reach.
pub fn metrics_routes(handle: PrometheusHandle) -> impl Fn(&mut ServiceConfig) + Clone {
    move |config: &mut ServiceConfig| {
        let handle = handle.clone();
        config.route(
            "/metrics",
            web::get().to(move || {
                let text = handle.render();
                async move {
                    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text)
                }
            }),
        );
    }
}
