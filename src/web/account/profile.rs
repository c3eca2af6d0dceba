//! `/account`: who is signed in, the name that they show, their language.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use super::{done, problems};
use crate::base::fault::Fault;
use crate::flow::own_account;
use crate::oauth::error::OAuthError;
use crate::web::pages::{Lang, Problems, Profile};
use crate::web::seat::{Seat, posted, seat};
use crate::web::{Node, cookies, refuse, reply};

/// GET: what we know of them.
pub(in crate::web) async fn show(app: Node, req: HttpRequest) -> HttpResponse {
    let seat = match seat(&app, &req).await {
        Ok(seat) => seat,
        Err(instead) => return instead,
    };
    page(&app, &req, &seat, None, Problems::default()).await
}

/// POST: name and language.
pub(in crate::web) async fn save(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let (seat, form) = match posted(&app, &req, payload).await {
        Ok(posted) => posted,
        Err(instead) => return instead,
    };
    let name = form.get("name").unwrap_or_default().to_owned();
    let lang: Option<Lang> = form.get("locale").and_then(|tag| tag.parse().ok());
    let saved =
        own_account::set_profile(&app, &seat.by(&app, &req), seat.user(), &name, lang.map(Lang::tag)).await;
    if let Err(refused) = saved {
        return match problems(refused, "name") {
            Ok(problems) => refuse::fields(page(&app, &req, &seat, Some((name, lang)), problems).await),
            Err(error) => refuse::page(&req, &error),
        };
    }
    let mut answer = reply::see_other("/account?done=saved");
    if let Some(lang) = lang
        && let Err(error) = answer.add_cookie(&cookies::with_lang(&app, lang))
    {
        return refuse::page(&req, &OAuthError::Server(Fault::new("setting a cookie", error.to_string())));
    }
    answer
}

async fn page(
    app: &Node,
    req: &HttpRequest,
    seat: &Seat,
    typed: Option<(String, Option<Lang>)>,
    problems: Problems,
) -> HttpResponse {
    let waiting = match own_account::email_in_waiting(app, seat.user()).await {
        Ok(waiting) => waiting.filter(|_| app.mail.is_on()),
        Err(error) => return refuse::page(req, &error),
    };
    let mut frame = seat.page(app, req, "/account");
    frame.notice = done(req);
    let user = seat.user();
    let chosen = user.locale.as_deref().and_then(|tag| tag.parse().ok()).unwrap_or(frame.frame.lang);
    let (name, locale) = typed.unwrap_or_else(|| (user.name.clone().unwrap_or_default(), None));
    let page = Profile {
        locale: locale.unwrap_or(chosen),
        seat: frame,
        username: user.username.clone(),
        name,
        email: user.email.clone(),
        email_verified: user.email_verified,
        waiting,
        mail: app.mail.is_on(),
        problems,
    };
    reply::page(req, &page)
}
