//! `/console/service-accounts`: machines' identities, and making one.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use super::page::{self, ROWS, answer, below, desk, is_checked, lines, see, with};
use crate::flow::service_accounts::{self, AccountError};
use crate::oauth::assertion::LONGEST;
use crate::oauth::client::AccessTokenFormat;
use crate::oauth::params::Params;
use crate::oauth::scope::Scope;
use crate::oauth::service_account::{AccountPolicy, ServiceAccount};
use crate::web::pages::desk::{Act, Field, Kind, Piece, Section, Table, Tone, code, say, tag, text};
use crate::web::seat::{Seat, posted_fresh, seat};
use crate::web::{Node, refuse};

/// Where they are listed.
pub(super) const HERE: &str = "/console/service-accounts";
const ADD: &str = "/console/service-accounts/add";

/// GET: every account, by its name.
pub(in crate::web) async fn show(app: Node, req: HttpRequest) -> HttpResponse {
    let seat = match seat(&app, &req).await {
        Ok(seat) => seat,
        Err(instead) => return instead,
    };
    let query = page::query(&req);
    let after = query.get("after");
    let mut all = app.service_accounts();
    all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    all.retain(|account| after.is_none_or(|after| account.name.as_str() > after));
    let next = all.get(ROWS - 1).filter(|_| all.len() > ROWS);
    let now = app.now();
    let row = |account: &ServiceAccount| {
        let live = account.keys.iter().filter(|key| key.is_live(now)).count();
        vec![
            vec![Piece::Link(below(HERE, account.id.as_str()), account.name.clone())],
            vec![code(&account.id)],
            vec![text(account.policy.scope.to_string())],
            vec![text(live.to_string())],
            vec![text(account.rules.len().to_string())],
            vec![state(account)],
        ]
    };
    let table = Table {
        caption: "Service accounts",
        heads: vec!["Name", "Id", "Scopes", "Keys that work", "Trust rules", "State"],
        rows: all.iter().take(ROWS).map(|account| row(account)).collect(),
        empty: "There is no service account yet.",
        next: next.map(|last| with(HERE, &[("after", &last.name)])),
        first: after.map(|_| HERE.to_owned()),
    };
    let lead = "Identities of programs. They sign in with a key of their own, or with the identity that their platform gives them; \
                no secret is shared.";
    let mut page = desk(&app, &req, &seat, HERE, ("Service accounts", lead));
    page.ways = vec![(ADD.to_owned(), "Add a service account")];
    page.sections = vec![Section { table: Some(table), ..Section::default() }];
    answer(&req, &page)
}

/// Whether it may get tokens.
pub(super) fn state(account: &ServiceAccount) -> Piece {
    if account.is_active() { tag("active", Tone::Good) } else { tag("disabled", Tone::Danger) }
}

/// GET `/console/service-accounts/add`.
pub(in crate::web) async fn ask(app: Node, req: HttpRequest) -> HttpResponse {
    match seat(&app, &req).await {
        Ok(seat) => form_page(&app, &req, &seat, &Params::default(), None),
        Err(instead) => instead,
    }
}

/// POST `/console/service-accounts/add`.
pub(in crate::web) async fn add(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let (seat, form) = match posted_fresh(&app, &req, payload).await {
        Ok(both) => both,
        Err(instead) => return instead,
    };
    let scope = match Scope::parse(form.get("scope").unwrap_or_default()) {
        Ok(scope) => scope,
        Err(problem) => return form_page(&app, &req, &seat, &form, Some(("scope", problem.to_owned()))),
    };
    let opaque = is_checked(&form, "opaque");
    let policy = AccountPolicy {
        scope,
        audience: lines(form.get("audience")),
        google_auth: is_checked(&form, "google_auth"),
        assertion_seconds: LONGEST,
        token_seconds: None,
        access_token_format: if opaque { AccessTokenFormat::Opaque } else { AccessTokenFormat::Jwt },
        jwks_uri: form.get("jwks_uri").map(|uri| uri.trim().to_owned()),
    };
    let name = form.get("name").unwrap_or_default();
    match service_accounts::add(&app, &seat.by(&app, &req), name, policy).await {
        Ok(account) => see(&below(HERE, account.id.as_str()), "added"),
        Err(AccountError::Error(error)) => refuse::page(&req, &error),
        Err(AccountError::Field(error)) => {
            form_page(&app, &req, &seat, &form, Some((error.field, error.problem)))
        }
        Err(AccountError::Taken(_)) => {
            form_page(&app, &req, &seat, &form, Some(("name", "it is taken".to_owned())))
        }
        Err(other) => form_page(&app, &req, &seat, &form, Some(("name", other.to_string()))),
    }
}

fn form_page(
    app: &Node,
    req: &HttpRequest,
    seat: &Seat,
    typed: &Params,
    problem: Option<(&str, String)>,
) -> HttpResponse {
    let kept = |name: &str| typed.get(name).unwrap_or_default().to_owned();
    let mut act =
        Act::new(ADD, "account-add", "add", "Add the service account").tone(Tone::Good).fields(vec![
            Field::new("name", "Name", Kind::Line("off"), kept("name"))
                .hint("What people call it: up to 64 bytes."),
            Field::new("scope", "Scopes", Kind::Line("off"), kept("scope"))
                .optional()
                .hint("The most that it may ask for, separated by spaces."),
            Field::new("audience", "What its access tokens are for", Kind::Lines, kept("audience"))
                .optional()
                .hint("One audience on each line; this server when it is left out."),
            Field::new("jwks_uri", "Where its public keys are", Kind::Line("off"), kept("jwks_uri"))
                .optional()
                .hint("An https address, beside the keys that are registered here."),
            Field::new(
                "google_auth",
                "It uses stock google-auth libraries",
                Kind::Check,
                kept("google_auth"),
            ),
            Field::new(
                "opaque",
                "Its access tokens are opaque: only this server can read them",
                Kind::Check,
                kept("opaque"),
            ),
        ]);
    if let Some((field, problem)) = problem {
        act.refuse(field, problem);
    }
    let lead = "Its keys and trust rules are added on the next page.";
    let mut page = desk(app, req, seat, HERE, ("Add a service account", lead));
    page.above = Some((HERE, "Service accounts"));
    page.sections = vec![Section {
        about: vec![vec![say("An account without keys and rules cannot sign in.")]],
        acts: vec![act],
        ..Section::default()
    }];
    answer(req, &page)
}
