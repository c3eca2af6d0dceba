//! `/console/apps`: the registered apps (OAuth clients), and registering one.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use super::app_form::{self, client_fields};
use super::page::{self, ROWS, answer, below, desk, with};
use crate::flow::clients::{self, ClientError};
use crate::oauth::client::Client;
use crate::oauth::params::Params;
use crate::web::pages::desk::{Act, Piece, Section, Table, Tone, code, say, tag};
use crate::web::seat::{Seat, posted_fresh, seat};
use crate::web::{Node, refuse, reply};

/// Where they are listed.
pub(super) const HERE: &str = "/console/apps";
const ADD: &str = "/console/apps/add";

/// GET: every app, by its id.
pub(in crate::web) async fn show(app: Node, req: HttpRequest) -> HttpResponse {
    let seat = match seat(&app, &req).await {
        Ok(seat) => seat,
        Err(instead) => return instead,
    };
    let after = page::query(&req).get("after").map(str::to_owned);
    let all = app.clients_after(after.as_deref().unwrap_or_default(), ROWS + 1);
    let next = all.get(ROWS - 1).filter(|_| all.len() > ROWS);
    let table = Table {
        caption: "Apps",
        heads: vec!["Name", "Client ID", "Kind", "Signs in by", "State", "Added"],
        rows: all.iter().take(ROWS).map(|client| row(client)).collect(),
        empty: "There is no app yet.",
        next: next.map(|last| with(HERE, &[("after", last.id.as_str())])),
        first: after.map(|_| HERE.to_owned()),
    };
    let lead = "What people sign in to with this server: OAuth clients.";
    let mut page = desk(&app, &req, &seat, HERE, ("Apps", lead));
    page.ways = vec![(ADD.to_owned(), "Add an app")];
    page.sections = vec![Section { table: Some(table), ..Section::default() }];
    answer(&req, &page)
}

fn row(client: &Client) -> Vec<Vec<Piece>> {
    let metadata = &client.metadata;
    vec![
        vec![Piece::Link(below(HERE, client.id.as_str()), metadata.client_name.clone())],
        vec![code(&client.id)],
        vec![say(app_form::kind_in_words(metadata))],
        vec![say(app_form::method_in_words(metadata.token_endpoint_auth_method))],
        vec![state(client)],
        vec![Piece::At(client.created_at)],
    ]
}

/// Whether it may be used.
pub(super) fn state(client: &Client) -> Piece {
    match client.disabled_at {
        None => tag("active", Tone::Good),
        Some(_) => tag("disabled", Tone::Danger),
    }
}

/// GET `/console/apps/add`.
pub(in crate::web) async fn ask(app: Node, req: HttpRequest) -> HttpResponse {
    match seat(&app, &req).await {
        Ok(seat) => form_page(&app, &req, &seat, None, None),
        Err(instead) => instead,
    }
}

/// POST `/console/apps/add`.
pub(in crate::web) async fn add(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let (seat, form) = match posted_fresh(&app, &req, payload).await {
        Ok(both) => both,
        Err(instead) => return instead,
    };
    let metadata = match app_form::read(&form, None) {
        Ok(metadata) => metadata,
        Err((field, problem)) => return form_page(&app, &req, &seat, Some(&form), Some((field, problem))),
    };
    // The page brought the id along: a form that is sent twice registers one app.
    let id = form.get("client_id").and_then(|id| id.parse().ok());
    match clients::add(&app, &seat.by(&app, &req), metadata, id, None).await {
        Ok((client, secret)) => {
            let secret = secret.map(|secret| secret.reveal().clone());
            super::app_page::with_secret(&app, &req, &seat, &client, secret)
        }
        Err(ClientError::Error(error)) => refuse::page(&req, &error),
        Err(ClientError::Taken(id)) => reply::see_other(&below(HERE, id.as_str())),
        Err(ClientError::Field(error)) => {
            let field = app_form::field_of(error.field);
            form_page(&app, &req, &seat, Some(&form), Some((field, error.problem)))
        }
        Err(other) => form_page(&app, &req, &seat, Some(&form), Some(("client_name", other.to_string()))),
    }
}

fn form_page(
    app: &Node,
    req: &HttpRequest,
    seat: &Seat,
    typed: Option<&Params>,
    problem: Option<(&str, String)>,
) -> HttpResponse {
    let id = typed.and_then(|form| form.get("client_id")).map(str::to_owned);
    let id = id.unwrap_or_else(|| clients::new_id(app).to_string());
    let mut act = Act::new(ADD, "app-add", "add", "Add the app")
        .tone(Tone::Good)
        .hidden("client_id", id)
        .fields(client_fields(typed, None));
    if let Some((field, problem)) = problem {
        act.refuse(field, problem);
    }
    let lead = "Where it may send people back to, and what it may ask for. Its secret is shown once, on the next page.";
    let mut page = desk(app, req, seat, HERE, ("Add an app", lead));
    page.above = Some((HERE, "Apps"));
    page.sections = vec![Section { acts: vec![act], ..Section::default() }];
    answer(req, &page)
}
