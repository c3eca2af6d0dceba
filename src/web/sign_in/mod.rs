//! The pages that people meet on the way in. Shared here: what a page says of a person and of the app that asks.

pub(super) mod consent;
pub(super) mod link;
pub(super) mod passkey;
pub(super) mod password;
pub(super) mod second_step;
pub(super) mod select_account;
pub(super) mod upstream;

use actix_web::{HttpRequest, HttpResponse};

use super::pages::{AskingApp, Person};
use super::{Node, refuse, reply};
use crate::account::user::User;
use crate::flow::authorize;
use crate::flow::caller::Browser;
use crate::oauth::client::Client;
use crate::oauth::redirect_uri;

/// A person as pages show them.
pub(super) fn person(user: &User) -> Person {
    Person {
        name: user.shown_name().to_owned(),
        login: user.email.clone().unwrap_or_else(|| user.username.clone()),
    }
}

/// The app that asks. An administrator registered every client, so the page can say so; not of one whose answers go to
/// whatever runs on the person's device, as that may be another app (S-A33).
fn asking_app(client: &Client, unassured: bool) -> AskingApp {
    AskingApp {
        name: client.metadata.client_name.clone(),
        publisher_verified: !unassured,
        site: client.metadata.client_uri.as_deref().filter(|_| !unassured).map(redirect_uri::shown_host),
        policy_url: client.metadata.policy_uri.clone(),
        terms_url: client.metadata.tos_uri.clone(),
    }
}

/// The person wants to go on as somebody else. The request comes from a form: only one that opens leads anywhere (S-A35).
fn sign_in_as_another(app: &Node, req: &HttpRequest, sealed: &str, browser: &Browser) -> HttpResponse {
    match authorize::open(app, sealed, browser, app.now()) {
        Ok(_) => reply::see_other(&format!("/sign-in?request={sealed}&account=other")),
        Err(refusal) => refuse::refusal(app, req, refusal),
    }
}
