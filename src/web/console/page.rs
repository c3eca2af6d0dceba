//! What the console's handlers share: the query of a page, what was done just now, and the answer.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};

use crate::oauth::params::Params;
use crate::web::pages::desk::{Act, Desk, Piece, Words, text};
use crate::web::seat::Seat;
use crate::web::{Node, extract, refuse, reply};

/// Rows on a page of a list.
pub(super) const ROWS: usize = 50;
/// One more, which tells whether there is more: what a list reads.
pub(super) const ASKED: i64 = 51;

/// The parameters of a page; a query that cannot be read is none.
pub(super) fn query(req: &HttpRequest) -> Params {
    extract::query(req).unwrap_or_default()
}

/// What was done just now, as the address after a redirect says.
const DONE: [(&str, &str); 24] = [
    ("added", "It was added."),
    ("changed", "The changes were saved."),
    ("role", "The role was changed. Their sign-ins of before have ended."),
    ("disabled", "It was disabled. What it was given stopped working."),
    ("enabled", "It was enabled again."),
    ("person-disabled", "The account was disabled. Every sign-in and every token of it stopped working."),
    ("person-enabled", "The account was enabled again."),
    ("invited", "The invitation is on its way to their address. Its link works once, for an hour."),
    ("signed-out", "They were signed out everywhere."),
    ("factors", "Their second factors were taken away. They sign in with their password alone now."),
    ("deleted", "It was deleted."),
    ("ended", "The sign-in was ended."),
    ("revoked", "It was revoked."),
    ("rotated", "The next keys are there."),
    ("key-added", "The public key was registered."),
    ("key-revoked", "The key was revoked. Tokens that it got stopped working."),
    ("rule-added", "The trust rule was added."),
    ("rule-removed", "The trust rule was removed. Tokens that came about by it stopped working."),
    ("look", "The look was saved. Every page has it within a second."),
    ("logo", "The logo was saved. Every page has it within a second."),
    ("no-logo", "The logo was taken away."),
    ("policy", "The policy was saved."),
    ("stale", "The page was older than what it showed, so nothing was done. This is how it stands now."),
    ("gone", "There is no such thing any more."),
];

/// The words for what was done.
pub(super) fn done(req: &HttpRequest) -> Option<Words> {
    let query = query(req);
    let word = query.get("done")?;
    DONE.iter().find(|(known, _)| *known == word).map(|(_, words)| Words::Borrowed(*words))
}

/// A page with its frame: who is there, and what was done just now.
pub(super) fn desk(
    app: &Node,
    req: &HttpRequest,
    seat: &Seat,
    here: &'static str,
    (title, lead): (&'static str, &'static str),
) -> Desk {
    let mut frame = seat.page(app, req, here);
    frame.notice = done(req);
    Desk::new(frame, title, lead)
}

/// The answer: the status says whether something was refused (400).
pub(super) fn answer(req: &HttpRequest, page: &Desk) -> HttpResponse {
    let acts = page.sections.iter().flat_map(|section| &section.acts);
    let refused = page.refused.is_some() || acts.into_iter().any(Act::is_refused);
    let answer = reply::page(req, page);
    if refused { refuse::fields(answer) } else { answer }
}

/// 404 for a thing that is not there.
pub(super) fn absent(req: &HttpRequest, mut page: Desk, why: &'static str) -> HttpResponse {
    page.refused = Some(why.to_owned());
    let mut answer = reply::page(req, &page);
    if answer.status() == StatusCode::OK {
        *answer.status_mut() = StatusCode::NOT_FOUND;
    }
    answer
}

/// An address with parameters.
pub(super) fn with(path: &str, pairs: &[(&str, &str)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// The address of a thing: its id as one segment.
pub(super) fn below(path: &str, id: &str) -> String {
    let mut url = path.to_owned();
    url.push('/');
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~@:".contains(&byte) {
            url.push(char::from(byte));
        } else {
            let hex = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0').to_ascii_uppercase();
            url.extend(['%', hex(byte >> 4), hex(byte & 15)]);
        }
    }
    url
}

/// 303 to a page that says what was done.
pub(super) fn see(path: &str, done: &str) -> HttpResponse {
    reply::see_other(&format!("{path}?done={done}"))
}

/// Lines that were typed, without those that are empty.
pub(super) fn lines(typed: Option<&str>) -> Vec<String> {
    typed
        .unwrap_or_default()
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Values, each alone; our words where there is none.
pub(super) fn listed(values: &[String], none: &'static str) -> Vec<Piece> {
    if values.is_empty() {
        return vec![crate::web::pages::desk::say(none)];
    }
    values.iter().map(|value| text(value.as_str())).collect()
}

/// Whether a word of a form is there.
pub(super) fn is_checked(form: &Params, name: &str) -> bool {
    form.get(name).is_some()
}
