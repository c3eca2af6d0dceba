//! `/set-up` and `/set-password`: pages behind one-time links.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use crate::base::secret::Secret;
use crate::flow::caller::Browser;
use crate::flow::people::PersonError;
use crate::flow::sign_in::link::{self, LinkError};
use crate::oauth::error::OAuthError;
use crate::oauth::params::Params;
use crate::store::links::LinkPurpose;
use crate::web::pages::{FieldProblem, Form, Problems, SetPassword, SetUp};
use crate::web::{Node, cookies, csrf, extract, refuse, reply};

/// GET `/set-up?token=…`.
pub(in crate::web) async fn show_set_up(app: Node, req: HttpRequest) -> HttpResponse {
    let token = match set_up_token(&app, &req).await {
        Ok(token) => token,
        Err(answer) => return answer,
    };
    set_up_page(&app, &req, cookies::read(&app, &req), &token, &Params::default(), Problems::default())
}

/// POST `/set-up`.
pub(in crate::web) async fn set_up(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let browser = cookies::read(&app, &req);
    let form = match csrf::form(&app, &req, payload, &browser, false).await {
        Ok(form) => form,
        Err(error) => return refuse::form(&req, error),
    };
    let text = |name: &str| form.get(name).map(str::to_owned);
    let token = text("link").unwrap_or_default();
    let wanted = link::SetUp {
        email: text("email").unwrap_or_default(),
        username: text("username"),
        name: text("name"),
        password: Secret::new(text("password").unwrap_or_default()),
    };
    match link::set_up(&app, &token, wanted, &extract::caller(&app, &req)).await {
        Ok(()) => reply::see_other("/sign-in?notice=password-set"),
        Err(LinkError::Stale) => refuse::stale_link(&req, LinkPurpose::SetUp),
        Err(LinkError::Error(error)) => refuse::page(&req, &error),
        Err(LinkError::Field(error)) => {
            refuse::fields(set_up_page(&app, &req, browser, &token, &form, problems(&error)))
        }
    }
}

/// GET `/set-password?token=…`.
pub(in crate::web) async fn show_set_password(app: Node, req: HttpRequest) -> HttpResponse {
    let token = match asked_token(&req) {
        Ok(token) => token,
        Err(error) => return refuse::page(&req, &error),
    };
    set_password_page(&app, &req, cookies::read(&app, &req), &token, Problems::default()).await
}

/// POST `/set-password`.
pub(in crate::web) async fn set_password(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let browser = cookies::read(&app, &req);
    let form = match csrf::form(&app, &req, payload, &browser, false).await {
        Ok(form) => form,
        Err(error) => return refuse::form(&req, error),
    };
    let token = form.get("link").unwrap_or_default().to_owned();
    let password = Secret::new(form.get("password").unwrap_or_default().to_owned());
    match link::set_password(&app, &token, password, &extract::caller(&app, &req)).await {
        Ok(()) => reply::see_other("/sign-in?notice=password-set"),
        Err(LinkError::Stale) => refuse::stale_link(&req, LinkPurpose::SetPassword),
        Err(LinkError::Error(error)) => refuse::page(&req, &error),
        Err(LinkError::Field(error)) => {
            refuse::fields(set_password_page(&app, &req, browser, &token, problems(&error)).await)
        }
    }
}

fn asked_token(req: &HttpRequest) -> Result<String, OAuthError> {
    Ok(extract::query(req)?.get("token").unwrap_or_default().to_owned())
}

async fn set_up_token(app: &Node, req: &HttpRequest) -> Result<String, HttpResponse> {
    let token = asked_token(req).map_err(|error| refuse::page(req, &error))?;
    match link::sets_up(app, &token).await {
        Ok(true) => Ok(token),
        Ok(false) => Err(refuse::stale_link(req, LinkPurpose::SetUp)),
        Err(error) => Err(refuse::page(req, &error)),
    }
}

fn problems(error: &PersonError) -> Problems {
    match error {
        PersonError::Field { field, problem } => {
            Problems(vec![FieldProblem { field, problem: problem.clone().into() }])
        }
        other => Problems(vec![FieldProblem { field: "password", problem: other.to_string().into() }]),
    }
}

fn set_up_page(
    app: &Node,
    req: &HttpRequest,
    browser: Browser,
    token: &str,
    typed: &Params,
    problems: Problems,
) -> HttpResponse {
    let (browser, fresh) = cookies::marked(app, browser);
    let kept = |name: &str| typed.get(name).unwrap_or_default().to_owned();
    let page = SetUp {
        frame: reply::frame(app, req),
        form: Form {
            action: "/set-up",
            csrf_token: csrf::token(app, &browser, false),
            request: String::new(),
        },
        link: token.to_owned(),
        email: kept("email"),
        username: kept("username"),
        name: kept("name"),
        min_length: app.settings.passwords.min_length,
        problems,
    };
    cookies::with_mark(app, reply::page(req, &page), fresh)
}

async fn set_password_page(
    app: &Node,
    req: &HttpRequest,
    browser: Browser,
    token: &str,
    problems: Problems,
) -> HttpResponse {
    let (username, min_length) = match link::whose(app, token).await {
        Ok(Some(found)) => found,
        Ok(None) => return refuse::stale_link(req, LinkPurpose::SetPassword),
        Err(error) => return refuse::page(req, &error),
    };
    let (browser, fresh) = cookies::marked(app, browser);
    let page = SetPassword {
        frame: reply::frame(app, req),
        form: Form {
            action: "/set-password",
            csrf_token: csrf::token(app, &browser, false),
            request: String::new(),
        },
        link: token.to_owned(),
        username,
        min_length,
        problems,
    };
    cookies::with_mark(app, reply::page(req, &page), fresh)
}
