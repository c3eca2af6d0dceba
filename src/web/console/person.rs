//! `/console/people/{id}`: one person, and what administrators do about their account.

use actix_web::web::{self, Payload};
use actix_web::{HttpRequest, HttpResponse};

use super::page::{absent, answer, below, desk, see, with};
use super::people::{HERE, roles, state};
use crate::account::role::Role;
use crate::account::user::User;
use crate::flow::people::{self, Invited, PersonError};
use crate::store::users;
use crate::web::pages::desk::{Act, Field, Kind, Piece, Section, Tone, at, code, say, text};
use crate::web::seat::{Seat, posted_fresh, seat};
use crate::web::{Node, refuse};

/// GET.
pub(in crate::web) async fn show(app: Node, req: HttpRequest, id: web::Path<String>) -> HttpResponse {
    let seat = match seat(&app, &req).await {
        Ok(seat) => seat,
        Err(instead) => return instead,
    };
    match of_id(&app, &id).await {
        Ok(user) => shown(&app, &req, &seat, user, None, None).await,
        Err(PersonError::Error(error)) => refuse::page(&req, &error),
        Err(_) => nobody(&app, &req, &seat),
    }
}

/// POST: `act` says what.
pub(in crate::web) async fn change(
    app: Node,
    req: HttpRequest,
    id: web::Path<String>,
    payload: Payload,
) -> HttpResponse {
    let (seat, form) = match posted_fresh(&app, &req, payload).await {
        Ok(both) => both,
        Err(instead) => return instead,
    };
    let user = match of_id(&app, &id).await {
        Ok(user) => user,
        Err(PersonError::Error(error)) => return refuse::page(&req, &error),
        Err(_) => return nobody(&app, &req, &seat),
    };
    let by = seat.by(&app, &req);
    let path = below(HERE, &user.id.to_string());
    let done = match form.get("act").unwrap_or_default() {
        "role" => match form.get("role").unwrap_or_default().parse::<Role>() {
            Ok(role) => people::set_role(&app, &by, user.id, role).await.map(|()| "role"),
            Err(problem) => Err(PersonError::Field { field: "role", problem: problem.to_owned() }),
        },
        "disable" => people::set_disabled(&app, &by, user.id, true).await.map(|()| "person-disabled"),
        "enable" => people::set_disabled(&app, &by, user.id, false).await.map(|()| "person-enabled"),
        "sign-out" => people::end_sessions(&app, &by, user.id).await.map(|()| "signed-out"),
        "factors" => people::reset_factors(&app, &by, user.id).await.map(|()| "factors"),
        "link" => match people::password_link(&app, &by, user.id).await {
            Ok(token) => {
                let link = with(&format!("{}/set-password", app.issuer()), &[("token", token.reveal())]);
                return shown(&app, &req, &seat, user, Some(link), None).await;
            }
            Err(error) => Err(error),
        },
        "invite" => match people::resend_invite(&app, &by, &user).await {
            Ok(again) => return invited(&app, &req, &seat, again).await,
            Err(error) => Err(error),
        },
        _ => return see(&path, "stale"),
    };
    match done {
        Ok(done) => see(&path, done),
        Err(PersonError::Error(error)) => refuse::page(&req, &error),
        Err(error) => shown(&app, &req, &seat, user, None, Some(error)).await,
    }
}

async fn of_id(app: &Node, id: &str) -> Result<User, PersonError> {
    // By nothing but the id: names may look like one.
    let id = id.parse().map_err(|_| PersonError::Unknown)?;
    app.store.read(move |conn| users::find(conn, id)).await?.ok_or(PersonError::Unknown)
}

fn nobody(app: &Node, req: &HttpRequest, seat: &Seat) -> HttpResponse {
    let mut page = desk(app, req, seat, HERE, ("Person", ""));
    page.above = Some((HERE, "People"));
    absent(req, page, "Nobody has this id.")
}

/// The person who was invited: by mail, or with a link that is to be handed over, shown this once.
pub(super) async fn invited(
    app: &Node,
    req: &HttpRequest,
    seat: &Seat,
    Invited { user, link }: Invited,
) -> HttpResponse {
    match link {
        Some(link) => shown(app, req, seat, user, Some(link), None).await,
        None => see(&below(HERE, &user.id.to_string()), "invited"),
    }
}

async fn shown(
    app: &Node,
    req: &HttpRequest,
    seat: &Seat,
    user: User,
    link: Option<String>,
    refused: Option<PersonError>,
) -> HttpResponse {
    let id = user.id;
    let facts = match app.store.read(move |conn| users::facts(conn, &[id])).await {
        Ok(facts) => facts.get(&id).copied().unwrap_or_default(),
        Err(error) => return refuse::page(req, &error.into()),
    };
    let mut page = desk(app, req, seat, HERE, ("Person", ""));
    page.above = Some((HERE, "People"));
    page.thing = Some(user.shown_name().to_owned());
    let subject = format!("user:{id}");
    if let Some(link) = link {
        let mut made = Section::headed("A link to set a password");
        made.about = vec![
            vec![say("Hand it to its owner only. It works once, for an hour, and is shown this once.")],
            vec![Piece::Secret("password-link", link)],
        ];
        page.sections.push(made);
    }
    let verified = if user.email_verified { "verified" } else { "not verified" };
    let email = match &user.email {
        Some(email) => vec![text(email.as_str()), say(verified)],
        None => vec![say("none")],
    };
    page.sections.push(Section {
        facts: vec![
            ("User name", vec![text(user.username.as_str())]),
            ("E-mail", email),
            ("Role", vec![say(user.role.word())]),
            ("State", vec![state(&user)]),
            ("Second factor", vec![say(if facts.second_factor { "yes" } else { "no" })]),
            ("Last sign-in", vec![at(facts.last_sign_in, "not lately")]),
            ("Added", vec![Piece::At(user.created_at)]),
            ("Disabled", vec![at(user.disabled_at, "no")]),
            ("Id", vec![code(&id)]),
            (
                "More",
                vec![
                    Piece::Go(with("/console/sessions", &[("user", &id.to_string())]), "Sign-ins".into()),
                    Piece::Go(with("/console/audit", &[("actor", &subject)]), "What they did".into()),
                    Piece::Go(
                        with("/console/audit", &[("subject", &subject)]),
                        "What was done to them".into(),
                    ),
                ],
            ),
        ],
        ..Section::default()
    });
    let may = seat.role().may_change(user.role);
    if may {
        page.sections.push(Section {
            acts: acts(&user, seat, (facts.second_factor, app.mail.is_on())),
            ..Section::headed("Change")
        });
    } else {
        let about = vec![vec![say("Only an owner changes the account of an owner.")]];
        page.sections.push(Section { about, ..Section::default() });
    }
    match refused {
        Some(PersonError::Field { field, problem }) => {
            let acts = page.sections.iter_mut().flat_map(|section| &mut section.acts);
            match acts.into_iter().find(|act| act.fields.iter().any(|known| known.name == field)) {
                Some(act) => act.refuse(field, problem),
                None => page.refused = Some(problem),
            }
        }
        Some(PersonError::LastOwner) => {
            page.refused = Some("Nobody else is an owner. Make another one first.".to_owned());
        }
        Some(other) => page.refused = Some(other.to_string()),
        None => {}
    }
    answer(req, &page)
}

fn acts(user: &User, seat: &Seat, (second_factor, mail): (bool, bool)) -> Vec<Act> {
    let path = below(HERE, &user.id.to_string());
    let act = |name: &str, button| Act::new(path.clone(), format!("person-{name}"), name, button);
    let is_self = user.id == seat.user().id;
    let role = Field::new("role", "Role", Kind::Choice(roles(seat.role())), user.role.word());
    let mut acts = vec![
        act("role", "Change the role")
            .fields(vec![role])
            .fold("Change the role")
            .about(vec![say("Their sign-ins end, so that the new role counts from the next one on.")]),
    ];
    if people::waits(user) && mail && user.email.is_some() {
        acts.push(
            act("invite", "Send it again")
                .fold("Send the invitation again")
                .about(vec![say("A new link goes to their address. The one of before stops working.")]),
        );
    }
    if user.is_active() {
        acts.push(act("link", "Make a link").fold("Send a link to set a password").about(vec![say(
            "A link that sets a new password, once, within an hour. Links of before stop working.",
        )]));
        acts.push(
            act("sign-out", "Sign out everywhere").tone(Tone::Danger).fold("Sign out everywhere").about(
                vec![say("Every sign-in ends, and every token that apps hold for them stops working.")],
            ),
        );
    }
    if second_factor {
        acts.push(
            act("factors", "Take second factors away")
                .tone(Tone::Danger)
                .fold("Take lost second factors away")
                .about(vec![say(
                    "Passkeys, the authenticator app and recovery codes go. Make sure that it is really they who ask.",
                )]),
        );
    }
    if user.is_active() && !is_self {
        acts.push(act("disable", "Disable").tone(Tone::Danger).fold("Disable the account").about(vec![say(
            "They cannot sign in any more; every sign-in and every token stops working at once. Nothing is deleted.",
        )]));
    }
    if !user.is_active() {
        acts.push(
            act("enable", "Enable").fold("Enable the account").about(vec![say("They may sign in again.")]),
        );
    }
    acts
}
