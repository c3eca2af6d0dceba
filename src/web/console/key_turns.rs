//! `/console/keys/{id}/rotate` and `/revoke`: a new secret, and the end.

use actix_web::web::{Path, Payload};
use actix_web::{HttpRequest, HttpResponse};

use super::key_made::{problem_at, shown_once, stale};
use super::keys::{HERE, refused};
use crate::api_key::key::ApiKey;
use crate::flow::keys::{self, KeyError};
use crate::flow::{key_list, once};
use crate::web::pages::{KeyRevoke, KeyRotate, Moment, Problems, Spark};
use crate::web::seat::{Seat, posted_fresh, seat};
use crate::web::{Node, refuse, reply};

/// What is chosen before anybody chose, in seconds: a day.
const USUAL: &str = "86400";

/// GET: what a rotation does, and the choice of the overlap.
pub(in crate::web) async fn show_rotate(app: Node, req: HttpRequest, id: Path<String>) -> HttpResponse {
    let (seat, key) = match seat_and_key(&app, &req, &id).await {
        Ok(both) => both,
        Err(instead) => return instead,
    };
    let usual = if key.previous(app.now()).is_some() { "0" } else { USUAL };
    render_rotate(&app, &req, &seat, &key, usual, Problems::default())
}

/// POST: the new secret, shown this once.
pub(in crate::web) async fn rotate(
    app: Node,
    req: HttpRequest,
    id: Path<String>,
    payload: Payload,
) -> HttpResponse {
    let (seat, form) = match posted_fresh(&app, &req, payload).await {
        Ok(both) => both,
        Err(instead) => return instead,
    };
    let by = seat.by(&app, &req);
    let key = match keys::seen(&app, &by, &id).await {
        Ok(key) => key,
        Err(error) => return refused(req, error).await,
    };
    let frame = reply::frame(&app, &req);
    let chosen = form.get("overlap_seconds").unwrap_or_default();
    let sheet = once::open(&app, form.get("sheet").unwrap_or_default(), seat.user().id, app.now());
    let Some(sheet) = sheet else {
        let problems = stale(&frame, "overlap_seconds");
        return refuse::fields(render_rotate(&app, &req, &seat, &key, chosen, problems));
    };
    // What is no number is none that is allowed.
    let overlap = chosen.parse().unwrap_or(-1);
    let problem = match keys::rotate_once(&app, &by, &id, overlap, Some(sheet)).await {
        Ok((key, secret)) => return shown_once(&app, &req, &seat, &key, &secret, true),
        Err(KeyError::Again) => return reply::see_other(&format!("{HERE}/{}?done=once", key.id)),
        Err(KeyError::Field { problem, .. }) => problem,
        Err(error @ (KeyError::StillWorks(_) | KeyError::Revoked(_) | KeyError::BeyondCaller)) => {
            error.to_string()
        }
        Err(error) => return refused(req, error).await,
    };
    let problems = Problems(vec![problem_at(&frame, "overlap_seconds", &problem)]);
    refuse::fields(render_rotate(&app, &req, &seat, &key, chosen, problems))
}

fn render_rotate(
    app: &Node,
    req: &HttpRequest,
    seat: &Seat,
    key: &ApiKey,
    overlap: &str,
    problems: Problems,
) -> HttpResponse {
    let now = app.now();
    let page = KeyRotate {
        seat: seat.page(app, req, HERE),
        id: key.id.to_string(),
        name: key.name.clone(),
        masked: key.masked(),
        before_until: key.previous(now).and_then(|before| before.expires_at).map(Moment),
        overlap: overlap.to_owned(),
        sheet: once::sheet(app, seat.user().id, now),
        problems,
    };
    reply::page(req, &page)
}

/// GET: what stops, and the reason.
pub(in crate::web) async fn show_revoke(app: Node, req: HttpRequest, id: Path<String>) -> HttpResponse {
    let (seat, key) = match seat_and_key(&app, &req, &id).await {
        Ok(both) => both,
        Err(instead) => return instead,
    };
    render_revoke(&app, req, &seat, &key, "", Problems::default()).await
}

/// POST: the end.
pub(in crate::web) async fn revoke(
    app: Node,
    req: HttpRequest,
    id: Path<String>,
    payload: Payload,
) -> HttpResponse {
    let (seat, form) = match posted_fresh(&app, &req, payload).await {
        Ok(both) => both,
        Err(instead) => return instead,
    };
    let by = seat.by(&app, &req);
    let key = match keys::seen(&app, &by, &id).await {
        Ok(key) => key,
        Err(error) => return refused(req, error).await,
    };
    let reason = form.get("reason").unwrap_or_default().trim().to_owned();
    let told = Some(reason.clone()).filter(|text| !text.is_empty());
    match keys::revoke(&app, &by, &id, told).await {
        Ok(_) => reply::see_other(&format!("{HERE}/{}?done=revoked", key.id)),
        Err(KeyError::Field { field, problem }) => {
            let frame = reply::frame(&app, &req);
            let problems = Problems(vec![problem_at(&frame, field, &problem)]);
            refuse::fields(render_revoke(&app, req, &seat, &key, &reason, problems).await)
        }
        Err(error) => refused(req, error).await,
    }
}

async fn render_revoke(
    app: &Node,
    req: HttpRequest,
    seat: &Seat,
    key: &ApiKey,
    reason: &str,
    problems: Problems,
) -> HttpResponse {
    let lines = match key_list::lines(app, &[key.id], app.now()).await {
        Ok(lines) => lines,
        Err(error) => return refused(req, error).await,
    };
    let hours = lines.first().map(|line| line.hours.to_vec()).unwrap_or_default();
    let page = KeyRevoke {
        seat: seat.page(app, &req, HERE),
        id: key.id.to_string(),
        name: key.name.clone(),
        masked: key.masked(),
        last_used: key.last_use.as_ref().map(|last| Moment(last.at)),
        requests: Spark { hours }.sum(),
        reason: reason.to_owned(),
        problems,
    };
    reply::page(&req, &page)
}

/// Who asks, and the key; one that was revoked has nothing to be done with it any more.
async fn seat_and_key(app: &Node, req: &HttpRequest, id: &str) -> Result<(Seat, ApiKey), HttpResponse> {
    let seat = seat(app, req).await?;
    match keys::seen(app, &seat.by(app, req), id).await {
        Ok(key) if key.revoked_at.is_some() => Err(reply::see_other(&format!("{HERE}/{}", key.id))),
        Ok(key) => Ok((seat, key)),
        Err(error) => Err(refused(req.clone(), error).await),
    }
}
