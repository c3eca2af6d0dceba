//! `/console/organization`: what it looks like, what it pays for, what it asks of its people.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use super::page::{answer, desk, see};
use crate::account::factor_policy::FactorPolicy;
use crate::account::look::LARGEST_LOGO;
use crate::account::role::Role;
use crate::flow::organizations::{self, OrganizationError};
use crate::oauth::params::Params;
use crate::store::organizations as store;
use crate::web::pages::desk::{Act, Desk, Field, Kind, Piece, Section, Tone, Words, code, say, text};
use crate::web::seat::{Seat, posted_file, posted_fresh, seat};
use crate::web::{Node, refuse, reply};

const HERE: &str = "/console/organization";
const LOGO: &str = "/console/organization/logo";

/// GET.
pub(in crate::web) async fn show(app: Node, req: HttpRequest) -> HttpResponse {
    match seat(&app, &req).await {
        Ok(seat) => shown(&app, &req, &seat, None, None).await,
        Err(instead) => instead,
    }
}

/// GET of the address that takes the logo: where a person comes back to who had to prove who they are first.
pub(in crate::web) async fn back(app: Node, req: HttpRequest) -> HttpResponse {
    match seat(&app, &req).await {
        Ok(_) => reply::see_other(HERE),
        Err(instead) => instead,
    }
}

/// POST: `act` says what.
pub(in crate::web) async fn change(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let (seat, form) = match posted_fresh(&app, &req, payload).await {
        Ok(both) => both,
        Err(instead) => return instead,
    };
    let by = seat.by(&app, &req);
    let done = match form.get("act").unwrap_or_default() {
        "look" => {
            let colour = form.get("colour").map(str::trim).filter(|text| !text.is_empty());
            organizations::set_look(&app, &by, form.get("title").unwrap_or_default(), colour)
                .await
                .map(|()| "look")
        }
        "no-logo" => organizations::set_logo(&app, &by, None).await.map(|()| "no-logo"),
        "policy" => match form.get("second_factor").unwrap_or_default().parse::<FactorPolicy>() {
            Ok(policy) => organizations::set_second_factor(&app, &by, policy).await.map(|()| "policy"),
            Err(problem) => {
                Err(OrganizationError::Field { field: "second_factor", problem: problem.to_owned() })
            }
        },
        _ => return see(HERE, "stale"),
    };
    finish(&app, &req, &seat, Some(&form), done).await
}

/// POST of the logo.
pub(in crate::web) async fn logo(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    // Twice as much as is allowed is read, so that what is a little too large is told at its input.
    let (seat, file) = match posted_file(&app, &req, payload, ("logo", 2 * LARGEST_LOGO)).await {
        Ok(both) => both,
        Err(instead) => return instead,
    };
    let done = organizations::set_logo(&app, &seat.by(&app, &req), Some(file)).await.map(|()| "logo");
    finish(&app, &req, &seat, None, done).await
}

async fn finish(
    app: &Node,
    req: &HttpRequest,
    seat: &Seat,
    form: Option<&Params>,
    done: Result<&str, OrganizationError>,
) -> HttpResponse {
    match done {
        Ok(done) => see(HERE, done),
        Err(OrganizationError::Error(error)) => refuse::page(req, &error),
        Err(other) => shown(app, req, seat, form, Some(other)).await,
    }
}

async fn shown(
    app: &Node,
    req: &HttpRequest,
    seat: &Seat,
    typed: Option<&Params>,
    problem: Option<OrganizationError>,
) -> HttpResponse {
    let plan = match app.store.read(store::first_plan).await {
        Ok(plan) => plan,
        Err(error) => return refuse::page(req, &error.into()),
    };
    let presence = app.presence();
    let mut page = desk(
        app,
        req,
        seat,
        HERE,
        ("Organization", "What it looks like, what it pays for, and what it asks of its people."),
    );
    let mut look = Section::headed("Look");
    look.facts = vec![
        ("Name", vec![presence.title.as_deref().map_or_else(|| say("that of the product"), text)]),
        (
            "Colour",
            presence.colour.map_or_else(
                || vec![say("that of the product")],
                |colour| vec![code(&colour), Piece::Swatch("accent")],
            ),
        ),
        ("Logo", vec![say(if presence.logo.is_some() { "its own" } else { "that of the product" })]),
    ];
    if let Some(colour) = presence.colour {
        let [light, dark] = colour.in_use();
        look.facts.push(("On light and on dark pages", vec![code(&light), code(&dark)]));
    }
    let mut plan_section = Section::headed("Tier");
    plan_section.facts = vec![
        ("Tier", vec![say(plan.tier.name())]),
        ("Burst", vec![text(plan.burst(app.settings.api_keys.enterprise_burst).to_string())]),
    ];
    plan_section.about =
        vec![vec![say("It is changed by whoever runs this server:"), code(&"cnx organization set-tier")]];
    let mut factors = Section::headed("Second factor");
    factors.facts = vec![("People need one", vec![say(policy_in_words(presence.second_factor))])];
    if seat.role() == Role::Owner {
        look.acts = look_acts(&presence, typed);
        factors.acts = vec![policy_act(presence.second_factor)];
    } else {
        look.about.push(vec![say("Only an owner changes it.")]);
        factors.about.push(vec![say("Only an owner changes it.")]);
    }
    page.sections = vec![look, factors, plan_section];
    if let Some(problem) = problem {
        tell(&mut page, problem);
    }
    answer(req, &page)
}

fn tell(page: &mut Desk, problem: OrganizationError) {
    match problem {
        OrganizationError::Field { field, problem } => {
            let acts = page.sections.iter_mut().flat_map(|section| &mut section.acts);
            match acts.into_iter().find(|act| act.fields.iter().any(|known| known.name == field)) {
                Some(act) => act.refuse(field, problem),
                None => page.refused = Some(problem),
            }
        }
        other => page.refused = Some(other.to_string()),
    }
}

fn look_acts(presence: &store::Presence, typed: Option<&Params>) -> Vec<Act> {
    let kept = |name: &str, known: Option<String>| match typed.filter(|form| form.get("act") == Some("look"))
    {
        Some(form) => form.get(name).unwrap_or_default().to_owned(),
        None => known.unwrap_or_default(),
    };
    let mut logo =
        Act::new(LOGO, "organization-logo", "logo", "Save the logo").fold("Change the logo").fields(vec![
            Field::new("logo", "Logo", Kind::File("image/png,image/webp"), "")
                .hint("PNG or WebP, up to 64 kB; best as a square."),
        ]);
    logo.with_file = true;
    let mut acts = vec![
        Act::new(HERE, "organization-look", "look", "Save")
            .tone(Tone::Good)
            .fold("Change name and colour")
            .fields(vec![
                Field::new("title", "Name", Kind::Line("off"), kept("title", presence.title.clone()))
                    .optional()
                    .hint("Every page has it, the sign-in page too. Up to 60 characters."),
                Field::new(
                    "colour",
                    "Colour",
                    Kind::Line("off"),
                    kept("colour", presence.colour.map(|c| c.to_string())),
                )
                .optional()
                .hint("As #rrggbb. Pages use the nearest shade that can be read on them."),
            ]),
        logo,
    ];
    if presence.logo.is_some() {
        acts.push(
            Act::new(HERE, "organization-no-logo", "no-logo", "Take the logo away")
                .fold("Take the logo away"),
        );
    }
    acts
}

fn policy_in_words(policy: FactorPolicy) -> &'static str {
    match policy {
        FactorPolicy::Off => "no: nobody sets one up",
        FactorPolicy::Optional => "who set one up is asked for it",
        FactorPolicy::Required => "yes, everybody",
    }
}

fn policy_act(policy: FactorPolicy) -> Act {
    let choices = FactorPolicy::ALL.map(|one| (one.word().to_owned(), Words::Borrowed(policy_in_words(one))));
    Act::new(HERE, "organization-policy", "policy", "Save").fold("Change the policy").fields(vec![
        Field::new("second_factor", "People need one", Kind::Choice(choices.to_vec()), policy.word()),
    ])
}
