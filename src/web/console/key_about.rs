//! `/console/keys/{id}`: everything about one key; its name, networks and limits; on and off.

use actix_web::web::{Path, Payload};
use actix_web::{HttpRequest, HttpResponse};

use super::key_made::{Wrong, limits, networks, problem_at, typed};
use super::keys::{HERE, class_words, notice, refused, row};
use crate::api_key::key::ApiKey;
use crate::api_key::plan::Class;
use crate::app::Counted;
use crate::base::id::UserId;
use crate::flow::key_list;
use crate::flow::keys::{self, Change, KeyError};
use crate::flow::people;
use crate::flow::usage::{self, Span};
use crate::web::pages::{Key, KeyEdit, Moment, Plot, Problems, TypedKey};
use crate::web::seat::{Seat, posted_fresh, seat};
use crate::web::{Node, extract, refuse, reply};

/// GET: everything.
pub(in crate::web) async fn show(app: Node, req: HttpRequest, id: Path<String>) -> HttpResponse {
    let seat = match seat(&app, &req).await {
        Ok(seat) => seat,
        Err(instead) => return instead,
    };
    match page(&app, &req, &seat, &id).await {
        Ok(page) => reply::page(&req, &page),
        Err(error) => refused(req, error).await,
    }
}

async fn page(app: &Node, req: &HttpRequest, seat: &Seat, id: &str) -> Result<Key, KeyError> {
    let (by, now) = (seat.by(app, req), app.now());
    let key = keys::seen(app, &by, id).await?;
    let lines = key_list::lines(app, &[key.id], now).await?;
    let line = lines.first().ok_or_else(|| KeyError::Unknown(id.to_owned()))?;
    let of = Counted::Key(key.id);
    let day = usage::of(app, &by, Some(&of), Span::Day, now).await?;
    let month = usage::of(app, &by, Some(&of), Span::Month, now).await?;
    let mut frame = seat.page(app, req, HERE);
    let done = extract::query(req).ok().and_then(|query| query.get("done").and_then(notice));
    frame.notice = done.map(Into::into);
    let at = |time: Option<crate::base::time::Timestamp>| time.map(Moment);
    let before = key.previous(now);
    let own = Class::ALL.into_iter().filter_map(|class| Some((class_words(class), key.limits.of(class)?)));
    Ok(Key {
        seat: frame,
        key: row(line, now),
        description: key.description.clone(),
        owner: owner(app, &key).await,
        created: Moment(key.created_at),
        not_before: at(key.not_before.filter(|at| now < *at)),
        expires: at(key.expires_at),
        disabled: at(key.disabled_at),
        revoked: at(key.revoked_at),
        reason: key.revoked_reason.clone(),
        leaked: at(key.leaked_at),
        allow: key.allow.iter().map(ToString::to_string).collect(),
        deny: key.deny.iter().map(ToString::to_string).collect(),
        limits: own.collect(),
        last_resource: key.last_use.as_ref().and_then(|last| last.resource.clone()),
        before_until: at(before.and_then(|secret| secret.expires_at)),
        before_used: at(before.and_then(|secret| secret.last_used_at)),
        plots: vec![
            Plot::by_class("day", "Requests in the last 24 hours", &day),
            Plot::by_class("month", "Requests in the last 30 days", &month),
        ],
    })
}

/// Who made it, as people know them; who is gone is known by the id.
async fn owner(app: &Node, key: &ApiKey) -> String {
    if key.created_by.parse::<UserId>().is_ok()
        && let Ok(user) = people::find(app, &key.created_by).await
    {
        return user.shown_name().to_owned();
    }
    key.created_by.clone()
}

/// GET: the form of what can be changed.
pub(in crate::web) async fn show_edit(app: Node, req: HttpRequest, id: Path<String>) -> HttpResponse {
    let seat = match seat(&app, &req).await {
        Ok(seat) => seat,
        Err(instead) => return instead,
    };
    match keys::seen(&app, &seat.by(&app, &req), &id).await {
        Ok(key) if key.revoked_at.is_some() => reply::see_other(&format!("{HERE}/{}", key.id)),
        Ok(key) => {
            let typed = as_typed(&key);
            render_edit(&app, &req, &seat, &key, typed, Problems::default())
        }
        Err(error) => refused(req, error).await,
    }
}

/// POST: changes it.
pub(in crate::web) async fn edit(
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
    let typed = typed(&form);
    let mut wrong = Wrong { frame: &frame, problems: Vec::new() };
    let (allow, deny) = networks(&mut wrong, &typed);
    let limits = limits(&mut wrong, &typed);
    if !wrong.problems.is_empty() {
        let problems = Problems(wrong.problems);
        return refuse::fields(render_edit(&app, &req, &seat, &key, typed, problems));
    }
    let change = Change {
        name: Some(typed.name.clone()),
        description: Some(typed.description.clone()),
        allow: Some(allow),
        deny: Some(deny),
        limits: Some(limits),
    };
    match keys::change(&app, &by, &id, change).await {
        Ok(_) => reply::see_other(&format!("{HERE}/{}?done=changed", key.id)),
        Err(KeyError::Field { field, problem }) => {
            let problems = Problems(vec![problem_at(&frame, field, &problem)]);
            refuse::fields(render_edit(&app, &req, &seat, &key, typed, problems))
        }
        Err(error) => refused(req, error).await,
    }
}

fn render_edit(
    app: &Node,
    req: &HttpRequest,
    seat: &Seat,
    key: &ApiKey,
    typed: TypedKey,
    problems: Problems,
) -> HttpResponse {
    let page = KeyEdit {
        seat: seat.page(app, req, HERE),
        id: key.id.to_string(),
        name: key.name.clone(),
        typed,
        problems,
    };
    reply::page(req, &page)
}

/// A key as the form has it.
fn as_typed(key: &ApiKey) -> TypedKey {
    let lines = |nets: &[ipnet::IpNet]| nets.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    TypedKey {
        name: key.name.clone(),
        description: key.description.clone().unwrap_or_default(),
        allow_ips: lines(&key.allow),
        deny_ips: lines(&key.deny),
        limits: Class::ALL.map(|class| key.limits.of(class).map_or_else(String::new, |own| own.to_string())),
        ..TypedKey::default()
    }
}

/// GET: whoever proved anew who they are comes back by it; the button stands on the page of the key.
pub(in crate::web) async fn show_state(app: Node, req: HttpRequest, id: Path<String>) -> HttpResponse {
    match seat(&app, &req).await {
        Ok(seat) => match keys::seen(&app, &seat.by(&app, &req), &id).await {
            Ok(key) => reply::see_other(&format!("{HERE}/{}", key.id)),
            Err(error) => refused(req, error).await,
        },
        Err(instead) => instead,
    }
}

/// POST: disables it, or enables it again.
pub(in crate::web) async fn set_state(
    app: Node,
    req: HttpRequest,
    id: Path<String>,
    payload: Payload,
) -> HttpResponse {
    let (seat, form) = match posted_fresh(&app, &req, payload).await {
        Ok(both) => both,
        Err(instead) => return instead,
    };
    let disabled = form.get("disabled") != Some("no");
    match keys::set_disabled(&app, &seat.by(&app, &req), &id, disabled).await {
        Ok(key) => {
            let done = if disabled { "disabled" } else { "enabled" };
            reply::see_other(&format!("{HERE}/{}?done={done}", key.id))
        }
        Err(error) => refused(req, error).await,
    }
}
