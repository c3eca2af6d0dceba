//! `/console/apps/{id}`: one app, and what administrators do about it.

use actix_web::web::{self, Payload};
use actix_web::{HttpRequest, HttpResponse};

use super::app_form::{client_fields, field_of, kind_in_words, method_in_words, read};
use super::apps::{HERE, state};
use super::page::{absent, answer, below, desk, listed, see, with};
use crate::base::encoding::base64url;
use crate::base::time::Timestamp;
use crate::flow::clients::{self, ClientError};
use crate::oauth::client::{AccessTokenFormat, Client, RefreshRotation};
use crate::oauth::params::Params;
use crate::web::pages::desk::{Act, Desk, Field, Kind, Piece, Section, Tone, Words, code, say, text};
use crate::web::seat::{Seat, posted_fresh, seat};
use crate::web::{Node, refuse};

/// GET.
pub(in crate::web) async fn show(app: Node, req: HttpRequest, id: web::Path<String>) -> HttpResponse {
    let seat = match seat(&app, &req).await {
        Ok(seat) => seat,
        Err(instead) => return instead,
    };
    match clients::find(&app, &id).await {
        Ok(client) => answer(&req, &page_of(&app, &req, &seat, &client, None)),
        Err(ClientError::Error(error)) => refuse::page(&req, &error),
        Err(_) => none(&app, &req, &seat),
    }
}

fn none(app: &Node, req: &HttpRequest, seat: &Seat) -> HttpResponse {
    let mut page = desk(app, req, seat, HERE, ("App", ""));
    page.above = Some((HERE, "Apps"));
    absent(req, page, "No app has this id.")
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
    let client = match clients::find(&app, &id).await {
        Ok(client) => client,
        Err(ClientError::Error(error)) => return refuse::page(&req, &error),
        Err(_) => return none(&app, &req, &seat),
    };
    let (by, path, id) = (seat.by(&app, &req), below(HERE, client.id.as_str()), client.id.as_str());
    let done = match form.get("act").unwrap_or_default() {
        "change" => return edit(&app, &req, &seat, &client, &form).await,
        "rotate" if form.get("seen") != Some(seen(&client).as_str()) => return see(&path, "stale"),
        "rotate" => {
            let overlap = form.get("overlap").and_then(|text| text.parse().ok()).unwrap_or(0);
            match clients::rotate_secret(&app, &by, id, overlap).await {
                Ok(secret) => match clients::find(&app, id).await {
                    Ok(client) => {
                        return with_secret(&app, &req, &seat, &client, Some(secret.reveal().clone()));
                    }
                    Err(error) => Err(error),
                },
                Err(error) => Err(error),
            }
        }
        "disable" => clients::set_disabled(&app, &by, id, true).await.map(|()| (path.as_str(), "disabled")),
        "enable" => clients::set_disabled(&app, &by, id, false).await.map(|()| (path.as_str(), "enabled")),
        "delete" => clients::delete(&app, &by, id).await.map(|()| (HERE, "deleted")),
        _ => return see(&path, "stale"),
    };
    match done {
        Ok((path, done)) => see(path, done),
        Err(ClientError::Error(error)) => refuse::page(&req, &error),
        Err(ClientError::StillWorks(until)) => {
            let mut page = page_of(&app, &req, &seat, &client, None);
            let problem = format!(
                "the secret of before the last rotation works until {until}: wait, or stop both at once"
            );
            refuse_at(&mut page, "overlap", problem);
            answer(&req, &page)
        }
        Err(other) => {
            let mut page = page_of(&app, &req, &seat, &client, None);
            page.refused = Some(other.to_string());
            answer(&req, &page)
        }
    }
}

async fn edit(app: &Node, req: &HttpRequest, seat: &Seat, client: &Client, form: &Params) -> HttpResponse {
    let problem = match read(form, Some(&client.metadata)) {
        Ok(metadata) => match clients::change(app, &seat.by(app, req), &client.id, metadata).await {
            Ok(()) => return see(&below(HERE, client.id.as_str()), "changed"),
            Err(ClientError::Error(error)) => return refuse::page(req, &error),
            Err(ClientError::Field(error)) => (field_of(error.field), error.problem),
            Err(other) => ("client_name", other.to_string()),
        },
        Err(problem) => problem,
    };
    let mut page = page_of(app, req, seat, client, Some(form));
    refuse_at(&mut page, problem.0, problem.1);
    answer(req, &page)
}

fn refuse_at(page: &mut Desk, field: &str, problem: String) {
    let acts = page.sections.iter_mut().flat_map(|section| &mut section.acts);
    match acts.into_iter().find(|act| act.fields.iter().any(|known| known.name == field)) {
        Some(act) => act.refuse(field, problem),
        None => page.refused = Some(problem),
    }
}

/// What tells that somebody rotated the secret since a page was made.
fn seen(client: &Client) -> String {
    // The present one is the one without an end; rows of one second come in any order.
    let present = client.secrets.iter().find(|secret| secret.expires_at.is_none());
    present.map(|secret| base64url(secret.fingerprint.as_bytes())).unwrap_or_default()
}

/// The app with its secret, shown this once.
pub(super) fn with_secret(
    app: &Node,
    req: &HttpRequest,
    seat: &Seat,
    client: &Client,
    secret: Option<String>,
) -> HttpResponse {
    let mut page = page_of(app, req, seat, client, None);
    let mut made = Section::headed("What the app needs");
    made.facts = vec![
        ("Client ID", vec![Piece::Secret("client-id", client.id.to_string())]),
        ("Issuer", vec![code(&app.issuer())]),
    ];
    match secret {
        Some(secret) => {
            made.about = vec![vec![say(
                "The secret is shown this once: keep it now. Here is only a keyed hash of it.",
            )]];
            made.facts.insert(1, ("Client secret", vec![Piece::Secret("client-secret", secret)]));
        }
        None => made.about = vec![vec![say("It has no secret.")]],
    }
    page.sections.insert(0, made);
    answer(req, &page)
}

fn page_of(app: &Node, req: &HttpRequest, seat: &Seat, client: &Client, typed: Option<&Params>) -> Desk {
    let mut page = desk(app, req, seat, HERE, ("App", ""));
    page.above = Some((HERE, "Apps"));
    page.thing = Some(client.metadata.client_name.clone());
    page.sections.push(Section { facts: facts(client, app.now()), ..Section::default() });
    page.sections.push(Section { acts: acts(client, typed), ..Section::headed("Change") });
    page
}

fn facts(client: &Client, now: Timestamp) -> Vec<(&'static str, Vec<Piece>)> {
    let m = &client.metadata;
    let yes = |yes: bool| vec![say(if yes { "yes" } else { "no" })];
    let optional = |value: &Option<String>| vec![value.as_deref().map_or_else(|| say("none"), text)];
    let grants: Vec<String> = m.grant_types.iter().map(|grant| grant.name().to_owned()).collect();
    let secrets: Vec<Piece> = client
        .secrets
        .iter()
        .filter(|secret| secret.expires_at.is_none_or(|at| now < at))
        .flat_map(|secret| match secret.expires_at {
            None => vec![say("made"), Piece::At(secret.created_at)],
            Some(until) => vec![say("the one before works until"), Piece::At(until)],
        })
        .collect();
    let subject = format!("client:{}", client.id);
    vec![
        ("State", vec![state(client)]),
        ("Client ID", vec![code(&client.id)]),
        ("Kind", vec![say(kind_in_words(m))]),
        ("Signs in by", vec![say(method_in_words(m.token_endpoint_auth_method))]),
        ("Secret", if secrets.is_empty() { vec![say("none")] } else { secrets }),
        ("Redirect URIs", listed(&m.redirect_uris, "none")),
        ("Where sign-out may lead", listed(&m.post_logout_redirect_uris, "none")),
        ("Scopes", vec![text(m.scope.to_string())]),
        ("Grants", listed(&grants, "none")),
        ("What its access tokens are for", listed(&m.audience, "this server")),
        ("Where its public keys are", optional(&m.jwks_uri)),
        ("PKCE", vec![say(if client.requires_pkce() { "needed" } else { "taken where it is sent" })]),
        ("People are asked", yes(!m.skip_consent)),
        (
            "Access tokens",
            vec![say(if m.access_token_format == AccessTokenFormat::Jwt { "JWT" } else { "opaque" })],
        ),
        ("Refresh tokens rotate", yes(m.refresh_rotation == RefreshRotation::Always)),
        ("Home page", optional(&m.client_uri)),
        ("Privacy policy", optional(&m.policy_uri)),
        ("Terms of service", optional(&m.tos_uri)),
        ("Added", vec![Piece::At(client.created_at)]),
        (
            "More",
            vec![
                Piece::Go(with("/console/audit", &[("actor", &subject)]), "What it did".into()),
                Piece::Go(with("/console/audit", &[("subject", &subject)]), "What was done to it".into()),
            ],
        ),
    ]
}

fn acts(client: &Client, typed: Option<&Params>) -> Vec<Act> {
    let path = below(HERE, client.id.as_str());
    let act = |name: &str, button| Act::new(path.clone(), format!("app-{name}"), name, button);
    let mut acts = vec![
        act("change", "Save")
            .tone(Tone::Good)
            .fold("Change what is registered")
            .fields(client_fields(typed, Some(&client.metadata))),
    ];
    if client.metadata.token_endpoint_auth_method.has_secret() {
        let overlaps = [
            ("86400", "for one more day"),
            ("3600", "for one more hour"),
            ("604800", "for one more week"),
            ("0", "no longer: it stops at once"),
        ];
        let overlaps = overlaps.map(|(value, words)| (value.to_owned(), Words::Borrowed(words))).to_vec();
        acts.push(
            act("rotate", "Make a new secret")
                .hidden("seen", seen(client))
                .fold("Make a new secret")
                .about(vec![say("The new secret is shown once.")])
                .fields(vec![Field::new("overlap", "The one before works", Kind::Choice(overlaps), "86400")]),
        );
    }
    if client.disabled_at.is_none() {
        acts.push(act("disable", "Disable").tone(Tone::Danger).fold("Disable the app").about(vec![say(
            "Nobody signs in to it any more, and its tokens are refused, until it is enabled again. Nothing is deleted.",
        )]));
    } else {
        acts.push(
            act("enable", "Enable").fold("Enable the app").about(vec![say("It works again as before.")]),
        );
    }
    acts.push(act("delete", "Delete").tone(Tone::Danger).fold("Delete the app").about(vec![say(
        "Its sign-ins, its tokens, its secret and what people allowed it end at once. It cannot be brought back.",
    )]));
    acts
}
