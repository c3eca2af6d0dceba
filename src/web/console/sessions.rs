//! `/console/sessions`: who is signed in, the newest first; of one person with `?user=`.

use std::collections::HashMap;

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use super::page::{self, ASKED, ROWS, answer, below, desk, see, with};
use crate::account::user::User;
use crate::base::id::{SessionId, UserId};
use crate::base::time::Timestamp;
use crate::flow::people::{self, PersonError};
use crate::store::sessions::{self, SessionRow};
use crate::store::users;
use crate::web::pages::desk::{Act, Piece, Section, Table, Tone, say, tag, text};
use crate::web::seat::{Seat, posted, seat};
use crate::web::{Node, refuse};

const HERE: &str = "/console/sessions";

/// GET.
pub(in crate::web) async fn show(app: Node, req: HttpRequest) -> HttpResponse {
    match seat(&app, &req).await {
        Ok(seat) => shown(&app, &req, &seat, None).await,
        Err(instead) => instead,
    }
}

/// POST: ends one.
pub(in crate::web) async fn end(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let (seat, form) = match posted(&app, &req, payload).await {
        Ok(both) => both,
        Err(instead) => return instead,
    };
    let Ok(id) = form.get("session").unwrap_or_default().parse::<SessionId>() else {
        return see(HERE, "gone");
    };
    match people::end_session(&app, &seat.by(&app, &req), id).await {
        Ok(()) => see(HERE, "ended"),
        Err(PersonError::Unknown) => see(HERE, "gone"),
        Err(PersonError::Error(error)) => refuse::page(&req, &error),
        Err(other) => shown(&app, &req, &seat, Some(other.to_string())).await,
    }
}

/// A place in the list: `SECONDS.ID`.
fn place(text: &str) -> Option<(Timestamp, SessionId)> {
    let (seconds, id) = text.split_once('.')?;
    Some((Timestamp::from_secs(seconds.parse().ok()?), id.parse().ok()?))
}

async fn shown(app: &Node, req: &HttpRequest, seat: &Seat, refused: Option<String>) -> HttpResponse {
    let query = page::query(req);
    let after = query.get("after").and_then(place);
    let of = query.get("user").and_then(|id| id.parse::<UserId>().ok());
    let (now, idle) = (app.now(), app.settings.sessions.idle_seconds);
    let found = app
        .store
        .read(move |conn| {
            let all = sessions::live(conn, of, (now, idle), after, ASKED)?;
            let ids: Vec<UserId> = all.iter().map(|session| session.user).chain(of).collect();
            Ok((all, users::of_ids(conn, &ids)?))
        })
        .await;
    let (all, people) = match found {
        Ok(found) => found,
        Err(error) => return refuse::page(req, &error.into()),
    };
    let people: HashMap<UserId, User> = people.into_iter().map(|user| (user.id, user)).collect();
    let next = all.get(ROWS - 1).filter(|_| all.len() > ROWS).map(|last| {
        let place = format!("{}.{}", last.created_at.as_secs(), last.id);
        match of {
            Some(user) => with(HERE, &[("user", &user.to_string()), ("after", &place)]),
            None => with(HERE, &[("after", &place)]),
        }
    });
    let table = Table {
        caption: "Sign-ins",
        heads: vec!["Person", "Signed in", "Last seen", "By", "Browser", "Address", ""],
        rows: all
            .iter()
            .take(ROWS)
            .enumerate()
            .map(|(n, session)| row(n, session, people.get(&session.user), seat))
            .collect(),
        empty: "Nobody is signed in.",
        next,
        first: after.map(|_| HERE.to_owned()),
    };
    let lead = "Every browser that is signed in now, the newest first. Who is ended here signs in again.";
    let mut page = desk(app, req, seat, HERE, ("Sign-ins", lead));
    page.refused = refused;
    if let Some(user) = of {
        page.thing = people.get(&user).map(|user| user.shown_name().to_owned());
        page.above = Some((HERE, "Sign-ins"));
    }
    page.sections = vec![Section { table: Some(table), ..Section::default() }];
    answer(req, &page)
}

fn row(n: usize, session: &SessionRow, person: Option<&User>, seat: &Seat) -> Vec<Vec<Piece>> {
    let who = match person {
        Some(user) => {
            Piece::Link(below(super::people::HERE, &user.id.to_string()), user.shown_name().to_owned())
        }
        None => say("somebody who is gone"),
    };
    let value = |value: &Option<String>| value.as_deref().map_or_else(|| say("unknown"), text);
    let act = Act::new(HERE, format!("session-end-{n}"), "end", "End")
        .tone(Tone::Danger)
        .hidden("session", session.id.to_string());
    let end = if session.id == seat.live.session.id {
        tag("this one", Tone::Good)
    } else if person.is_none_or(|user| seat.role().may_change(user.role)) {
        Piece::Form(Box::new(act))
    } else {
        say("an owner")
    };
    vec![
        vec![who],
        vec![Piece::At(session.created_at)],
        vec![Piece::At(session.last_seen_at)],
        vec![text(session.amr.join(" "))],
        vec![value(&session.user_agent)],
        vec![value(&session.address)],
        vec![end],
    ]
}
