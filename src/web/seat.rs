//! Who sits in front of a page: the one way by which a handler learns who is signed in, and the check of its row in the route table.

use actix_web::cookie::Cookie;
use actix_web::web::Payload;
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse};

use super::pages::{Confirm, Seated, SignInProblem};
use super::sign_in::person;
use super::{Node, address, cookies, csrf, extract, refuse, reply};
use crate::account::role::Role;
use crate::account::user::User;
use crate::base::secret::Secret;
use crate::flow::audit::By;
use crate::flow::caller::Browser;
use crate::flow::passkeys::Posted;
use crate::flow::second_factor;
use crate::flow::session::{self, Live};
use crate::flow::sign_in::begin::SignedIn;
use crate::flow::sign_in::confirm;
use crate::flow::sign_in::password::Refused;
use crate::oauth::error::OAuthError;
use crate::oauth::params::Params;

/// For how long a proof of who somebody is lets them do what is dangerous, in seconds (S-L12).
pub(super) const FRESH: i64 = 300;

/// Somebody who is signed in and may have the address that they asked for.
pub(super) struct Seat {
    /// Their session.
    pub live: Live,
    /// Their browser.
    pub browser: Browser,
}

impl Seat {
    /// The person.
    pub(super) fn user(&self) -> &User {
        &self.live.user
    }

    /// What they may do.
    pub(super) fn role(&self) -> Role {
        self.live.user.role
    }

    /// Them, as the audit log names them.
    pub(super) fn by(&self, app: &Node, req: &HttpRequest) -> By {
        By::person(self.user(), &extract::caller(app, req))
    }

    /// What a page of theirs carries; `here` is its place in the menu.
    pub(super) fn page(&self, app: &Node, req: &HttpRequest, here: &'static str) -> Seated {
        let mut frame = reply::frame(app, req);
        // What they chose for their account counts where they chose nothing for this browser.
        if cookies::lang(app, req).is_none()
            && let Some(lang) = self.user().locale.as_deref().and_then(|tag| tag.parse().ok())
        {
            frame.lang = lang;
        }
        Seated {
            frame,
            person: person(self.user()),
            role: self.role(),
            here,
            csrf_token: csrf::token(app, &self.browser, true),
            notice: None,
        }
    }

    /// The same seat under the session's new cookie, for the forms of a page that goes out with it.
    pub(super) fn under(mut self, cookie: &str) -> Self {
        self.browser.session = Some(cookie.to_owned());
        self
    }

    /// Whether they proved lately who they are.
    pub(super) fn is_fresh(&self, app: &Node) -> bool {
        app.now().is_within(FRESH, self.live.session.auth_time)
    }
}

/// Who asks for a page; the answer instead where they may not have it.
pub(super) async fn seat(app: &Node, req: &HttpRequest) -> Result<Seat, HttpResponse> {
    let browser = cookies::read(app, req);
    let live = session::find(app, &browser, app.now()).await.map_err(|error| refuse::page(req, &error))?;
    let Some(live) = live else {
        return Err(reply::see_other(&sign_in_for(req)));
    };
    // Until there is a second factor where one is asked for, nothing but the pages that set it up.
    if second_factor::is_missing(app, &live) && !is_where_factors_are_set_up(req.path()) {
        return Err(reply::see_other(SET_UP_FACTOR));
    }
    // A page that is not in the table is nobody's.
    let least = req.match_pattern().as_deref().and_then(address).and_then(|row| row.seat);
    match least {
        Some(least) if live.user.role >= least => Ok(Seat { live, browser }),
        _ => Err(refuse::not_yours(req)),
    }
}

/// Who is signed in, whatever page they came to; none as well where it cannot be found out now.
pub(super) async fn current(app: &Node, req: &HttpRequest) -> Option<Seat> {
    let browser = cookies::read(app, req);
    let live = session::find(app, &browser, app.now()).await.ok().flatten()?;
    Some(Seat { live, browser })
}

/// Who posted a form of a page of theirs, and what it holds.
pub(super) async fn posted(
    app: &Node,
    req: &HttpRequest,
    payload: Payload,
) -> Result<(Seat, Params), HttpResponse> {
    let seat = seat(app, req).await?;
    let form = csrf::form(app, req, payload, &seat.browser, true).await;
    Ok((seat, form.map_err(|error| refuse::form(req, error))?))
}

/// Who asks for a page that ends in something dangerous: who did not prove lately who they are does so before they type anything.
pub(super) async fn seat_fresh(app: &Node, req: &HttpRequest) -> Result<Seat, HttpResponse> {
    let seat = seat(app, req).await?;
    if seat.is_fresh(app) { Ok(seat) } else { Err(reply::see_other(&sign_in_for(req))) }
}

/// The same for what is dangerous: who did not prove lately who they are does so first, on a page that keeps what they posted; with the
/// proof it comes here again, and the act goes on.
pub(super) async fn posted_fresh(
    app: &Node,
    req: &HttpRequest,
    payload: Payload,
) -> Result<(Seat, Params), HttpResponse> {
    let (seat, form) = posted(app, req, payload).await?;
    if seat.is_fresh(app) {
        return Ok((seat, form));
    }
    let caller = extract::caller(app, req);
    let (proved, wrong) = if let Some(answer) = form.get(CONFIRM_PASSKEY) {
        let posted = Posted { challenge: form.get(CONFIRM_CHALLENGE).unwrap_or_default(), answer };
        let proved = confirm::by_passkey(app, &seat.live, posted, &seat.browser, &caller).await;
        (proved, SignInProblem::WrongPasskey)
    } else if let Some(password) = form.get(CONFIRM) {
        let proof = (Secret::new(password.to_owned()), form.get(CONFIRM_CODE).unwrap_or_default());
        let proved = confirm::by_password(app, &seat.live, proof, &seat.browser, &caller).await;
        (proved, SignInProblem::Wrong)
    } else {
        return Err(confirm(app, req, &seat, &form, None).await);
    };
    let problem = match proved {
        Ok(proved) => return renewed(app, req, seat, proved).await.map(|seat| (seat, form)),
        Err(Refused::Wrong | Refused::Request(_)) => wrong,
        Err(Refused::Wait(retry_after)) => SignInProblem::Throttled { retry_after },
        Err(Refused::Error(OAuthError::Busy)) => SignInProblem::Busy { retry_after: 5 },
        Err(Refused::Error(error)) => return Err(refuse::page(req, &error)),
    };
    Err(refuse::sign_in(problem, confirm(app, req, &seat, &form, Some(problem)).await))
}

/// The inputs of the proof.
const CONFIRM: &str = "confirm_password";
const CONFIRM_CODE: &str = "confirm_code";
const CONFIRM_PASSKEY: &str = "confirm_passkey";
const CONFIRM_CHALLENGE: &str = "confirm_challenge";
/// All of them, and the token: what the page does not keep.
const NOT_KEPT: [&str; 5] = ["csrf_token", CONFIRM, CONFIRM_CODE, CONFIRM_PASSKEY, CONFIRM_CHALLENGE];
/// Where a second factor is set up, with a word why.
pub(super) const SET_UP_FACTOR: &str = "/account/security?done=factor-needed";

/// Whether a page is among those on which somebody gets a second factor.
fn is_where_factors_are_set_up(path: &str) -> bool {
    path.starts_with("/account/security") || path.starts_with("/account/passkeys")
}

/// The page that asks for the proof.
async fn confirm(
    app: &Node,
    req: &HttpRequest,
    seat: &Seat,
    form: &Params,
    problem: Option<SignInProblem>,
) -> HttpResponse {
    let kept = form.pairs().filter(|(name, _)| !NOT_KEPT.contains(name));
    let proofs = match confirm::proofs(app, &seat.live, &seat.browser).await {
        Ok(proofs) => proofs,
        Err(error) => return refuse::page(req, &error),
    };
    let page = Confirm {
        seat: seat.page(app, req, ""),
        action: req.path().to_owned(),
        fields: kept.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        password: proofs.password,
        code: proofs.code,
        passkey: proofs.passkey.map(Into::into),
        elsewhere: proofs.elsewhere.then(|| sign_in_for(req)),
        problem,
    };
    reply::page(req, &page)
}

/// The session's new cookie, on its way to the answer.
pub(super) struct Renewed(pub(super) Cookie<'static>);

/// The seat under the session's new cookie, which the edge puts on the answer, whatever the handler makes of it.
async fn renewed(app: &Node, req: &HttpRequest, seat: Seat, proved: SignedIn) -> Result<Seat, HttpResponse> {
    let cookie = proved.cookie.reveal().clone();
    req.extensions_mut().insert(Renewed(cookies::session(app, cookie.clone())));
    let browser = Browser { session: Some(cookie), ..seat.browser };
    match session::find(app, &browser, app.now()).await {
        Ok(Some(live)) => Ok(Seat { live, browser }),
        Ok(None) => Err(reply::see_other("/sign-in")),
        Err(error) => Err(refuse::page(req, &error)),
    }
}

/// Who posted a form with a file in it, and what the file's input holds; for what is dangerous.
pub(super) async fn posted_file(
    app: &Node,
    req: &HttpRequest,
    payload: Payload,
    wanted: (&str, usize),
) -> Result<(Seat, Vec<u8>), HttpResponse> {
    let seat = seat(app, req).await?;
    let file = csrf::file(app, req, payload, &seat.browser, wanted).await;
    let file = file.map_err(|error| refuse::form(req, error))?;
    if seat.is_fresh(app) { Ok((seat, file)) } else { Err(reply::see_other(&sign_in_for(req))) }
}

/// The sign-in page that leads back to what was asked for; from a form that was posted, to the nearest page above it that can be shown.
fn sign_in_for(req: &HttpRequest) -> String {
    let whole = req.uri().path_and_query().map_or("/account", |path| path.as_str());
    let pattern = req.match_pattern().unwrap_or_default();
    let (mut asked, mut pattern) = (whole, pattern.as_str());
    while !address(pattern).is_some_and(|row| row.methods.contains(&"GET")) {
        asked = asked.split_once('?').map_or(asked, |(path, _)| path);
        let up = |path: &'_ str| path.rfind('/').filter(|at| *at > 0);
        match (up(asked), up(pattern)) {
            (Some(one), Some(other)) => {
                asked = asked.get(..one).unwrap_or_default();
                pattern = pattern.get(..other).unwrap_or_default();
            }
            _ => return "/sign-in".to_owned(),
        }
    }
    let next: String = url::form_urlencoded::byte_serialize(asked.as_bytes()).collect();
    format!("/sign-in?next={next}")
}

/// A page of ours to go on to, as `next` names it: never another site, whatever stands there (S-A35).
pub(super) fn next(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("/console").or_else(|| text.strip_prefix("/account"))?;
    let is_below = rest.is_empty() || rest.starts_with(['/', '?']);
    let is_plain = text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') && !text.contains("//");
    (is_below && is_plain && text.len() <= 1024).then_some(text)
}

/// Where people begin.
pub(super) const fn landing(is_admin: bool) -> &'static str {
    if is_admin { "/console/keys" } else { "/account" }
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn what_comes_next_is_a_page_of_ours() {
        for good in ["/console/keys", "/account", "/console", "/console/keys?after=abc", "/account/apps"] {
            assert_eq!(next(good), Some(good));
        }
        for bad in [
            "",
            "/",
            "//evil.example",
            "/sign-in",
            "/consoles",
            "/account.evil.example",
            "/console//evil.example",
            "/console/\\evil",
            "https://evil.example/console",
            "/console/\r\nSet-Cookie: a",
            "/console /",
            "console",
            "/oauth2/authorize",
            "/account\u{202e}",
        ] {
            assert_eq!(next(bad), None, "{bad}");
        }
        assert_eq!(next(&format!("/console/{}", "a".repeat(1024))), None);
    }
}
