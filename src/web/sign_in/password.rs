//! `/sign-in`: user name and password.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use super::{asking_app, person, second_step};
use crate::account::user::User;
use crate::account::username::{self, Login};
use crate::base::secret::Secret;
use crate::flow::authorize;
use crate::flow::caller::Browser;
use crate::flow::passkeys;
use crate::flow::session;
use crate::flow::sign_in::begin::SignedIn;
use crate::flow::sign_in::password::{self, Proved, Refused};
use crate::flow::sign_in::upstream;
use crate::oauth::authorize::Authorize;
use crate::oauth::error::OAuthError;
use crate::web::pages::{Form, SignIn, SignInProblem};
use crate::web::{Node, cookies, csrf, extract, refuse, reply, seat};

/// What the page is shown with.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) sealed: String,
    /// The page of ours that was asked for.
    pub(super) next: Option<String>,
    /// What was typed at the last try.
    pub(super) username: Option<String>,
    /// The person asked for another account than the one that is signed in.
    pub(super) other: bool,
    pub(super) notice: Option<&'static str>,
    pub(super) problem: Option<SignInProblem>,
}

/// GET: the page, with the app that asks when a request waits.
pub(in crate::web) async fn show(app: Node, req: HttpRequest) -> HttpResponse {
    let query = match extract::query(&req) {
        Ok(query) => query,
        Err(error) => return refuse::page(&req, &error),
    };
    let notice = match query.get("notice") {
        Some("password-set") => Some("Your password is set. Sign in with it."),
        Some("again") => Some("That took too long. Please sign in again."),
        _ => None,
    };
    let sealed = query.get("request").unwrap_or_default().to_owned();
    let browser = cookies::read(&app, &req);
    let other = query.get("account") == Some("other");
    let next = query.get("next").and_then(seat::next).map(str::to_owned);
    render(&app, &req, browser, Shown { sealed, next, username: None, other, notice, problem: None }).await
}

/// POST: the form.
pub(in crate::web) async fn submit(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let browser = cookies::read(&app, &req);
    let form = match csrf::form(&app, &req, payload, &browser, false).await {
        Ok(form) => form,
        Err(error) => return refuse::form(&req, error),
    };
    let sealed = form.get("request").unwrap_or_default().to_owned();
    let next = form.get("next").and_then(seat::next).map(str::to_owned);
    let again = |username: String, problem| Shown {
        sealed: sealed.clone(),
        next: next.clone(),
        username: Some(username),
        other: false,
        notice: None,
        problem: Some(problem),
    };
    let (Some(username), Some(secret)) = (form.get("username"), form.get("password")) else {
        let username = form.get("username").unwrap_or_default().to_owned();
        let problem = SignInProblem::Missing;
        return refuse::sign_in(problem, render(&app, &req, browser, again(username, problem)).await);
    };
    let wanted = password::Form {
        username: username.to_owned(),
        password: Secret::new(secret.to_owned()),
        request: Some(sealed.clone()).filter(|s| !s.is_empty()),
    };
    let problem = match password::sign_in(&app, wanted, &browser, &extract::caller(&app, &req)).await {
        Ok(Proved::SignedIn(signed_in)) => return welcome(&app, &req, signed_in, next.as_deref()),
        Ok(Proved::FirstStep(half)) => {
            return second_step::page(&app, &req, &browser, half, next.unwrap_or_default(), None).await;
        }
        Err(Refused::Wrong) => SignInProblem::Wrong,
        Err(Refused::Wait(retry_after)) => SignInProblem::Throttled { retry_after },
        Err(Refused::Request(refusal)) => return refuse::refusal(&app, &req, refusal),
        Err(Refused::Error(OAuthError::Busy)) => SignInProblem::Busy { retry_after: 5 },
        Err(Refused::Error(error)) => return refuse::page(&req, &error),
    };
    let username = username.to_owned();
    refuse::sign_in(problem, render(&app, &req, browser, again(username, problem)).await)
}

/// Signed in: on to the app, by 303, so that the password is not posted any further (S-A29).
pub(super) fn welcome(
    app: &Node,
    req: &HttpRequest,
    signed_in: SignedIn,
    next: Option<&str>,
) -> HttpResponse {
    let location = match &signed_in.request {
        Some(sealed) => format!("/oauth2/authorize?pending={sealed}"),
        None => next.unwrap_or_else(|| seat::landing(signed_in.is_admin)).to_owned(),
    };
    let mut answer = reply::see_other(&location);
    let session = cookies::session(app, signed_in.cookie.reveal().clone());
    let device = cookies::device(app, signed_in.device);
    for cookie in [session, device] {
        if let Err(error) = answer.add_cookie(&cookie) {
            let fault = crate::base::fault::Fault::new("setting a cookie", error.to_string());
            return refuse::page(req, &OAuthError::Server(fault));
        }
    }
    answer
}

/// The page.
pub(super) async fn render(app: &Node, req: &HttpRequest, browser: Browser, shown: Shown) -> HttpResponse {
    let (browser, fresh) = cookies::marked(app, browser);
    let now = app.now();
    let request: Option<Authorize> = if shown.sealed.is_empty() {
        None
    } else {
        match authorize::open(app, &shown.sealed, &browser, now) {
            Ok(resumed) => Some(resumed.request),
            Err(refusal) => return refuse::refusal(app, req, refusal),
        }
    };
    let live = session::find(app, &browser, now).await.ok().flatten();
    let hinted = request.as_ref().and_then(|r| r.login_hint.clone()).filter(|hint| hint.len() <= 254);
    // Who types another name, or whom the app expects to be another, is not asked to be who is signed in.
    let typed = shown.username.as_deref().filter(|name| !name.is_empty());
    let named = typed.or(hinted.as_deref());
    let again = live
        .filter(|_| (request.is_some() || shown.next.is_some()) && !shown.other)
        .filter(|live| named.is_none_or(|name| is_of(name, &live.user)))
        .map(|live| person(&live.user));
    let username = named.map(str::to_owned).or_else(|| again.as_ref().map(|person| person.login.clone()));
    let passkey = match passkeys::ask_anybody(app, &browser) {
        Ok(ask) => ask.map(Into::into),
        Err(error) => return refuse::page(req, &error),
    };
    let page = SignIn {
        frame: reply::frame_in(app, req, request.as_ref().map_or(&[], |r| r.ui_locales.as_slice())),
        form: Form {
            action: "/sign-in",
            csrf_token: csrf::token(app, &browser, false),
            request: shown.sealed,
        },
        app: request.as_ref().map(|r| asking_app(&r.client, authorize::is_unassured(r))),
        username: username.unwrap_or_default(),
        again,
        next: shown.next.unwrap_or_default(),
        mail: app.mail.is_on(),
        passkey,
        providers: upstream::offered(app).into_iter().map(Into::into).collect(),
        notice: shown.notice,
        problem: shown.problem,
    };
    let target = request.as_ref().map(|r| r.destination.redirect_uri());
    cookies::with_mark(app, reply::page_leading_to(req, &page, target), fresh)
}

/// Whether `text`, typed into the form, is a name of this person.
fn is_of(text: &str, user: &User) -> bool {
    match username::login(text) {
        Some(Login::Username(name)) => name == user.username,
        Some(Login::Email(address)) => user.email.as_deref() == Some(address.as_str()),
        None => false,
    }
}
