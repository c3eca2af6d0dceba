//! `/account/security`: the authenticator app and the recovery codes.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use super::{done, problems};
use crate::account::factor_policy::FactorPolicy;
use crate::account::totp;
use crate::base::fault::Fault;
use crate::base::secret::Secret;
use crate::flow::identities::{self, Own};
use crate::flow::second_factor;
use crate::oauth::error::OAuthError;
use crate::web::pages::{
    AddTotp, FieldProblem, IdentityLine, Problems, RecoveryCodes, Security, SignInProblem, When,
};
use crate::web::seat::{Seat, posted_fresh, seat};
use crate::web::{Node, cookies, extract, refuse, reply};

const HERE: &str = "/account/security";

/// GET: what there is.
pub(in crate::web) async fn show(app: Node, req: HttpRequest) -> HttpResponse {
    match seat(&app, &req).await {
        Ok(seat) => page(&app, &req, &seat, Problems::default()).await,
        Err(instead) => instead,
    }
}

/// GET: a new secret, as a picture and as text.
pub(in crate::web) async fn show_app(app: Node, req: HttpRequest) -> HttpResponse {
    match seat(&app, &req).await {
        Ok(seat) => {
            let (secret, sealed) = second_factor::draft(&app, seat.user().id);
            app_page(&app, &req, &seat, (&secret, sealed), Problems::default())
        }
        Err(instead) => instead,
    }
}

/// POST: the code that shows that the app has the secret; then the recovery codes, this once.
pub(in crate::web) async fn add_app(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let (seat, form) = match posted_fresh(&app, &req, payload).await {
        Ok(posted) => posted,
        Err(instead) => return instead,
    };
    let (sealed, code) = (form.get("draft").unwrap_or_default(), form.get("code").unwrap_or_default());
    let (by, caller) = (seat.by(&app, &req), extract::caller(&app, &req));
    match second_factor::add_totp(&app, &by, &seat.live, (sealed, code), &caller).await {
        Ok((cookie, codes)) => {
            let seat = seat.under(cookie.reveal());
            let mut answer = codes_page(&app, &req, &seat, &codes);
            let renewed = answer.add_cookie(&cookies::session(&app, cookie.reveal().clone()));
            match renewed {
                Ok(()) => answer,
                Err(error) => {
                    let fault = Fault::new("setting a cookie", error.to_string());
                    refuse::page(&req, &OAuthError::Server(fault))
                }
            }
        }
        Err(refused) => match problems(refused, "code") {
            Ok(problems) => {
                let again = second_factor::drafted(&app, sealed, seat.user().id).map_or_else(
                    || second_factor::draft(&app, seat.user().id),
                    |secret| (secret, sealed.to_owned()),
                );
                refuse::fields(app_page(&app, &req, &seat, (&again.0, again.1), problems))
            }
            Err(error) => refuse::page(&req, &error),
        },
    }
}

/// POST: no app any more.
pub(in crate::web) async fn remove_app(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let (seat, _) = match posted_fresh(&app, &req, payload).await {
        Ok(posted) => posted,
        Err(instead) => return instead,
    };
    let (by, caller) = (seat.by(&app, &req), extract::caller(&app, &req));
    match second_factor::remove_totp(&app, &by, &seat.live, &caller).await {
        Ok(()) => reply::see_other("/account/security?done=totp-removed"),
        Err(refused) => again(&app, &req, &seat, refused).await,
    }
}

/// POST: new recovery codes, shown this once.
pub(in crate::web) async fn make_codes(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let (seat, _) = match posted_fresh(&app, &req, payload).await {
        Ok(posted) => posted,
        Err(instead) => return instead,
    };
    let (by, caller) = (seat.by(&app, &req), extract::caller(&app, &req));
    match second_factor::make_codes(&app, &by, &seat.live, &caller).await {
        Ok(codes) => codes_page(&app, &req, &seat, &codes),
        Err(refused) => again(&app, &req, &seat, refused).await,
    }
}

async fn again(
    app: &Node,
    req: &HttpRequest,
    seat: &Seat,
    refused: crate::flow::own_account::Refused,
) -> HttpResponse {
    match problems(refused, "totp") {
        Ok(problems) => refuse::fields(page(app, req, seat, problems).await),
        Err(error) => refuse::page(req, &error),
    }
}

/// The page after a try to add an account elsewhere that came to nothing.
pub(in crate::web) async fn after(
    app: &Node,
    req: &HttpRequest,
    seat: &Seat,
    problem: SignInProblem,
) -> HttpResponse {
    let problem = FieldProblem { field: "identity", problem: problem.text() };
    page(app, req, seat, Problems(vec![problem])).await
}

/// The page.
pub(super) async fn page(app: &Node, req: &HttpRequest, seat: &Seat, problems: Problems) -> HttpResponse {
    let factors = match second_factor::of(app, seat.user().id).await {
        Ok(factors) => factors,
        Err(error) => return refuse::page(req, &error),
    };
    let (own, others) = match identities::list(app, seat.user().id).await {
        Ok(found) => found,
        Err(error) => return refuse::page(req, &error),
    };
    let policy = app.presence().second_factor;
    let mut frame = seat.page(app, req, HERE);
    frame.notice = done(req);
    let page = Security {
        seat: frame,
        totp_since: factors.totp_since.map(When::at),
        codes_left: factors.codes_left,
        off: policy == FactorPolicy::Off,
        required: policy == FactorPolicy::Required,
        identities: own.into_iter().map(line).collect(),
        providers: others.into_iter().map(Into::into).collect(),
        problems,
    };
    reply::page(req, &page)
}

fn line(Own { row, name, works }: Own) -> IdentityLine {
    IdentityLine {
        issuer: row.issuer,
        subject: row.subject,
        name,
        email: row.email,
        works,
        added: When::at(row.created_at),
        used: row.last_used_at.map(When::at),
    }
}

fn app_page(
    app: &Node,
    req: &HttpRequest,
    seat: &Seat,
    (secret, draft): (&Secret<Vec<u8>>, String),
    problems: Problems,
) -> HttpResponse {
    let frame = seat.page(app, req, HERE);
    let url = totp::url(secret.reveal(), &frame.frame.product, &seat.user().username);
    let page = AddTotp {
        picture: totp::picture(&url),
        secret: totp::written(secret.reveal()),
        seat: frame,
        draft,
        problems,
    };
    reply::page(req, &page)
}

fn codes_page(app: &Node, req: &HttpRequest, seat: &Seat, codes: &[Secret<String>]) -> HttpResponse {
    let codes = codes.iter().map(|code| code.reveal().clone()).collect();
    reply::page(req, &RecoveryCodes { seat: seat.page(app, req, HERE), codes })
}
