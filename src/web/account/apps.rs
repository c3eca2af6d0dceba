//! `/account/apps`: what a person allowed apps to do, and taking it back.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use super::done;
use crate::base::id::ClientId;
use crate::flow::connected_apps::{self, ConnectedApp};
use crate::web::pages::{AppLine, Apps, ScopeInWords, When};
use crate::web::seat::{posted, seat};
use crate::web::{Node, refuse, reply};

/// GET: the list.
pub(in crate::web) async fn show(app: Node, req: HttpRequest) -> HttpResponse {
    let seat = match seat(&app, &req).await {
        Ok(seat) => seat,
        Err(instead) => return instead,
    };
    let apps = match connected_apps::list(&app, seat.user().id).await {
        Ok(apps) => apps,
        Err(error) => return refuse::page(&req, &error),
    };
    let mut frame = seat.page(&app, &req, "/account/apps");
    frame.notice = done(&req);
    reply::page(&req, &Apps { seat: frame, apps: apps.into_iter().map(line).collect() })
}

/// POST: one of them has no access any more.
pub(in crate::web) async fn revoke(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let (seat, form) = match posted(&app, &req, payload).await {
        Ok(posted) => posted,
        Err(instead) => return instead,
    };
    let wanted = form.get("client").and_then(|text| text.parse::<ClientId>().ok());
    if let Some(client) = wanted
        && let Err(error) = connected_apps::revoke(&app, &seat.by(&app, &req), seat.user().id, client).await
    {
        return refuse::page(&req, &error);
    }
    reply::see_other("/account/apps?done=app-revoked")
}

fn line(app: ConnectedApp) -> AppLine {
    AppLine {
        id: app.client.to_string(),
        name: app.name,
        scopes: app.scope.map(|scope| ScopeInWords::list(scope.words())).unwrap_or_default(),
        since: When::at(app.since),
        used: app.last_used.map(When::at),
    }
}
