//! `/account/activity`: what happened to a person's account lately, from the audit log.

use std::borrow::Cow;

use actix_web::{HttpRequest, HttpResponse};

use crate::account::user::User;
use crate::flow::own_activity;
use crate::store::audit::Event;
use crate::web::pages::{Activity, EventLine, When};
use crate::web::seat::seat;
use crate::web::{Node, extract, refuse, reply};

/// Acts in words, as the person whose account it is reads them.
const ACTS: &[(&str, &str)] = &[
    ("user.signed_in", "Signed in"),
    ("passkey.added", "A passkey was added"),
    ("passkey.renamed", "A passkey was renamed"),
    ("passkey.removed", "A passkey was removed"),
    ("identity.added", "An account elsewhere was added"),
    ("identity.removed", "An account elsewhere was removed"),
    ("user.signed_out", "Signed out"),
    ("user.added", "The account was made"),
    ("user.disabled", "The account was disabled"),
    ("user.enabled", "The account was enabled again"),
    ("user.role_set", "The role was changed"),
    ("user.password_set", "The password was set"),
    ("user.password_changed", "The password was changed"),
    ("user.profile_changed", "Name or language were changed"),
    ("user.link_made", "A link for a new password was made"),
    ("link.used", "A one-time link was used"),
    ("session.ended", "A session was signed out"),
    ("session.others_ended", "All other sessions were signed out"),
    ("consent.given", "An app was allowed access"),
    ("consent.denied", "An app was refused access"),
    ("consent.withdrawn", "An app's access was taken back"),
    ("key.minted", "An API key was made"),
    ("key.rotated", "An API key got a new secret"),
    ("key.revoked", "An API key was revoked"),
    ("key.disabled", "An API key was disabled"),
    ("key.enabled", "An API key was enabled again"),
];

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
    let before = query.get("before").and_then(|text| text.parse::<i64>().ok()).filter(|seq| *seq >= 0);
    let (events, next) = match own_activity::page(&app, seat.user().id, before).await {
        Ok(found) => found,
        Err(error) => return refuse::page(&req, &error),
    };
    let page = Activity {
        seat: seat.page(&app, &req, "/account/activity"),
        events: events.into_iter().map(|event| line(&app, seat.user(), event)).collect(),
        next,
    };
    reply::page(&req, &page)
}

fn line(app: &Node, user: &User, event: Event) -> EventLine {
    let entry = event.entry;
    let own = format!("user:{}", user.id);
    let what = ACTS.iter().find(|(name, _)| *name == entry.act).map(|(_, words)| Cow::Borrowed(*words));
    let who = match entry.actor.split_once(':') {
        _ if entry.actor == own => "You",
        None if entry.actor == "anybody" => "Somebody who was not signed in",
        None => "The server",
        Some(("user" | "command_line", _)) => "An administrator",
        Some(_) => "An app",
    };
    // An app by its name, while it is there.
    let is_told = |subject: &String| *subject != own && !subject.starts_with("passkey:");
    let subject = entry.subject.filter(is_told).map(|subject| {
        let client = subject.strip_prefix("client:").and_then(|id| id.parse().ok());
        let named = client.and_then(|id| app.client(&id)).map(|found| found.metadata.client_name.clone());
        named.unwrap_or(subject)
    });
    EventLine {
        at: When::at(entry.at),
        what: what.unwrap_or(Cow::Owned(entry.act)),
        subject,
        who,
        address: entry.address,
    }
}
