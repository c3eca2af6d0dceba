//! `/account/sessions`: where a person is signed in, and signing out there.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use super::done;
use crate::account::browser::BrowserName;
use crate::base::id::SessionId;
use crate::flow::own_sessions;
use crate::store::sessions::SessionRow;
use crate::web::pages::{SessionLine, Sessions, When};
use crate::web::seat::{posted, seat};
use crate::web::{Node, extract, refuse, reply};

/// GET: the list, a page at a time.
pub(in crate::web) async fn show(app: Node, req: HttpRequest) -> HttpResponse {
    let seat = match seat(&app, &req).await {
        Ok(seat) => seat,
        Err(instead) => return instead,
    };
    let query = match extract::query(&req) {
        Ok(query) => query,
        Err(error) => return refuse::page(&req, &error),
    };
    let after = query.get("after").and_then(|text| text.parse::<SessionId>().ok());
    let own = seat.live.session.id;
    let (rows, next) = match own_sessions::page(&app, seat.user().id, after).await {
        Ok(found) => found,
        Err(error) => return refuse::page(&req, &error),
    };
    let mut frame = seat.page(&app, &req, "/account/sessions");
    frame.notice = done(&req);
    let page = Sessions {
        seat: frame,
        others: after.is_some() || next.is_some() || rows.iter().any(|row| row.id != own),
        sessions: rows.iter().map(|row| line(row, own)).collect(),
        next: next.map(|id| id.to_string()),
    };
    reply::page(&req, &page)
}

/// POST: one of them ends.
pub(in crate::web) async fn end(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let (seat, form) = match posted(&app, &req, payload).await {
        Ok(posted) => posted,
        Err(instead) => return instead,
    };
    let wanted = form.get("session").and_then(|text| text.parse::<SessionId>().ok());
    if let Some(session) = wanted
        && let Err(error) = own_sessions::end(&app, &seat.by(&app, &req), seat.user().id, session).await
    {
        return refuse::page(&req, &error);
    }
    // One that ended meanwhile is ended: the same answer.
    reply::see_other("/account/sessions?done=session-ended")
}

/// POST: all of them but this one end.
pub(in crate::web) async fn end_others(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let (seat, _) = match posted(&app, &req, payload).await {
        Ok(posted) => posted,
        Err(instead) => return instead,
    };
    let own = seat.live.session.id;
    match own_sessions::end_others(&app, &seat.by(&app, &req), seat.user().id, own).await {
        Ok(()) => reply::see_other("/account/sessions?done=others-ended"),
        Err(error) => refuse::page(&req, &error),
    }
}

fn line(row: &SessionRow, own: SessionId) -> SessionLine {
    let browser = row.user_agent.as_deref().map(BrowserName::of);
    SessionLine {
        id: row.id.to_string(),
        browser: browser
            .filter(|found| found.name.is_some() || found.system.is_some())
            .map(|b| b.to_string()),
        address: row.address.clone(),
        began: When::at(row.created_at),
        seen: When::at(row.last_seen_at),
        is_this: row.id == own,
    }
}
