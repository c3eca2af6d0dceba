//! `/console/people`: everybody with an account, and inviting somebody.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use super::page::{self, ASKED, ROWS, answer, below, desk, with};
use crate::account::role::Role;
use crate::account::user::User;
use crate::flow::people::{self, NewPerson, PersonError};
use crate::oauth::params::Params;
use crate::store::users::{self, Facts};
use crate::web::pages::desk::{Act, Field, Kind, Piece, Section, Table, Tone, Words, at, say, tag, text};
use crate::web::seat::{Seat, posted_fresh, seat};
use crate::web::{Node, refuse};

/// Where they are listed.
pub(super) const HERE: &str = "/console/people";
const INVITE: &str = "/console/people/invite";

/// GET: everybody, in the order of their user names.
pub(in crate::web) async fn show(app: Node, req: HttpRequest) -> HttpResponse {
    let seat = match seat(&app, &req).await {
        Ok(seat) => seat,
        Err(instead) => return instead,
    };
    let after = page::query(&req).get("after").map(str::to_owned);
    let from = after.clone();
    let found = app
        .store
        .read(move |conn| {
            let all = users::list(conn, from.as_deref(), ASKED)?;
            let ids: Vec<_> = all.iter().map(|user| user.id).collect();
            let facts = users::facts(conn, &ids)?;
            Ok((all, facts))
        })
        .await;
    let (all, facts) = match found {
        Ok(found) => found,
        Err(error) => return refuse::page(&req, &error.into()),
    };
    let next = all.get(ROWS - 1).filter(|_| all.len() > ROWS);
    let rows = all.iter().take(ROWS).map(|user| row(user, facts.get(&user.id).copied().unwrap_or_default()));
    let table = Table {
        caption: "People",
        heads: vec!["Name", "User name", "E-mail", "Role", "State", "Second factor", "Last sign-in"],
        rows: rows.collect(),
        empty: "There is nobody here.",
        next: next.map(|last| with(HERE, &[("after", &last.username)])),
        first: after.map(|_| HERE.to_owned()),
    };
    let mut page =
        desk(&app, &req, &seat, HERE, ("People", "Everybody with an account, and what they may do."));
    page.ways = vec![(INVITE.to_owned(), "Invite somebody")];
    page.sections = vec![Section { table: Some(table), ..Section::default() }];
    answer(&req, &page)
}

fn row(user: &User, facts: Facts) -> Vec<Vec<Piece>> {
    vec![
        vec![Piece::Link(below(HERE, &user.id.to_string()), user.shown_name().to_owned())],
        vec![text(user.username.as_str())],
        vec![user.email.as_deref().map_or_else(|| say("none"), text)],
        vec![say(user.role.word())],
        vec![state(user)],
        vec![say(if facts.second_factor { "yes" } else { "no" })],
        vec![at(facts.last_sign_in, "not lately")],
    ]
}

/// Whether they may sign in.
pub(super) fn state(user: &User) -> Piece {
    match (user.is_active(), &user.password) {
        (false, _) => tag("disabled", Tone::Danger),
        (true, None) => tag("invited", Tone::Doubt),
        (true, Some(_)) => tag("active", Tone::Good),
    }
}

/// The roles that somebody gives, as a choice.
pub(super) fn roles(by: Role) -> Vec<(String, Words)> {
    let about = |role| match role {
        Role::Member => "member: their own keys and their own account",
        Role::Admin => "admin: runs everything but owners",
        Role::Owner => "owner: everything",
    };
    let given = Role::ALL.into_iter().filter(|role| by.may_give(Role::Member, *role));
    given.map(|role| (role.word().to_owned(), Words::Borrowed(about(role)))).collect()
}

/// GET `/console/people/invite`.
pub(in crate::web) async fn ask(app: Node, req: HttpRequest) -> HttpResponse {
    match seat(&app, &req).await {
        Ok(seat) => form_page(&app, &req, &seat, &Params::default(), None),
        Err(instead) => instead,
    }
}

/// POST `/console/people/invite`.
pub(in crate::web) async fn invite(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let (seat, form) = match posted_fresh(&app, &req, payload).await {
        Ok(both) => both,
        Err(instead) => return instead,
    };
    let by = seat.by(&app, &req);
    let role = match form.get("role").unwrap_or_default().parse::<Role>() {
        Ok(role) => role,
        Err(problem) => return form_page(&app, &req, &seat, &form, Some(("role", problem.to_owned()))),
    };
    let person = NewPerson {
        email: Some(form.get("email").unwrap_or_default().to_owned()),
        username: form.get("username").map(str::to_owned),
        name: form.get("name").map(str::to_owned),
        email_verified: false,
        role,
        claims: serde_json::Map::new(),
        password: None,
    };
    let invited = match people::invite(&app, &by, person).await {
        Ok(invited) => invited,
        Err(PersonError::Error(error)) => return refuse::page(&req, &error),
        Err(PersonError::Field { field, problem }) => {
            return form_page(&app, &req, &seat, &form, Some((field, problem)));
        }
        Err(other) => return form_page(&app, &req, &seat, &form, Some(("role", other.to_string()))),
    };
    super::person::invited(&app, &req, &seat, invited).await
}

fn form_page(
    app: &Node,
    req: &HttpRequest,
    seat: &Seat,
    typed: &Params,
    problem: Option<(&str, String)>,
) -> HttpResponse {
    let kept = |name: &str| typed.get(name).unwrap_or_default().to_owned();
    let role = typed.get("role").unwrap_or(Role::Member.word()).to_owned();
    let mut act = Act::new(INVITE, "person-invite", "invite", "Invite").tone(Tone::Good).fields(vec![
        Field::new("email", "E-mail", Kind::Email, kept("email")),
        Field::new("name", "Full name", Kind::Line("off"), kept("name")).optional(),
        Field::new("username", "User name", Kind::Line("off"), kept("username"))
            .optional()
            .hint("The part of the address before the @ when it is left out."),
        Field::new("role", "Role", Kind::Choice(roles(seat.role())), role),
    ]);
    if let Some((field, problem)) = problem {
        act.refuse(field, problem);
    }
    let lead = if app.mail.is_on() {
        "They get a mail with a link that works once, for an hour, and set their password by it."
    } else {
        "They set their password by a link that works once, for an hour."
    };
    let mut page = desk(app, req, seat, HERE, ("Invite somebody", lead));
    page.above = Some((HERE, "People"));
    page.sections = vec![Section { acts: vec![act], ..Section::default() }];
    answer(req, &page)
}
