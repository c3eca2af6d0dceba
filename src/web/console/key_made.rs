//! `/console/keys/new`: a key is minted, and shown this once.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use ipnet::IpNet;

use super::keys::{HERE, refused};
use crate::api_key::allowlist;
use crate::api_key::format::Environment;
use crate::api_key::key::ApiKey;
use crate::api_key::permission::Permissions;
use crate::api_key::plan::Overrides;
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::flow::keys::{self, KeyError, NewKey};
use crate::flow::once;
use crate::oauth::params::Params;
use crate::web::pages::{FieldProblem, Frame, KeyMade, KeyNew, LIMITS, Moment, Problems, TypedKey};
use crate::web::seat::{Seat, posted_fresh, seat};
use crate::web::{Node, refuse, reply};

/// GET: the form.
pub(in crate::web) async fn show(app: Node, req: HttpRequest) -> HttpResponse {
    let seat = match seat(&app, &req).await {
        Ok(seat) => seat,
        Err(instead) => return instead,
    };
    let typed = TypedKey { expires: "90".to_owned(), ..TypedKey::default() };
    render(&app, &req, &seat, typed, Problems::default())
}

/// POST: the key.
pub(in crate::web) async fn mint(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let (seat, form) = match posted_fresh(&app, &req, payload).await {
        Ok(both) => both,
        Err(instead) => return instead,
    };
    let now = app.now();
    let typed = typed(&form);
    let frame = reply::frame(&app, &req);
    let sheet = once::open(&app, form.get("sheet").unwrap_or_default(), seat.user().id, now);
    let (new, sheet) = match (read(&frame, &typed, now), sheet) {
        (Ok(new), Some(sheet)) => (new, sheet),
        (Err(problems), _) => return refuse::fields(render(&app, &req, &seat, typed, problems)),
        (_, None) => {
            let problems = stale(&frame, "name");
            return refuse::fields(render(&app, &req, &seat, typed, problems));
        }
    };
    match keys::mint_once(&app, &seat.by(&app, &req), new, Some(sheet)).await {
        Ok((key, secret)) => shown_once(&app, &req, &seat, &key, &secret, false),
        Err(KeyError::Again) => reply::see_other("/console/keys?done=once"),
        Err(KeyError::Field { field, problem }) => {
            let problems = Problems(vec![problem_at(&frame, field, &problem)]);
            refuse::fields(render(&app, &req, &seat, typed, problems))
        }
        Err(error) => refused(req, error).await,
    }
}

fn render(app: &Node, req: &HttpRequest, seat: &Seat, typed: TypedKey, problems: Problems) -> HttpResponse {
    let sheet = once::sheet(app, seat.user().id, app.now());
    reply::page(req, &KeyNew { seat: seat.page(app, req, HERE), typed, sheet, problems })
}

/// The one page that holds a key.
pub(super) fn shown_once(
    app: &Node,
    req: &HttpRequest,
    seat: &Seat,
    key: &ApiKey,
    secret: &Secret<String>,
    rotated: bool,
) -> HttpResponse {
    let now = app.now();
    let page = KeyMade {
        seat: seat.page(app, req, HERE),
        id: key.id.to_string(),
        name: key.name.clone(),
        key: secret.reveal().clone(),
        rotated,
        before_until: key.previous(now).and_then(|before| before.expires_at).map(Moment),
        not_before: key.not_before.filter(|at| now < *at).map(Moment),
    };
    reply::page(req, &page)
}

/// What a form of a key holds.
pub(super) fn typed(form: &Params) -> TypedKey {
    let text = |name: &str| form.get(name).unwrap_or_default().to_owned();
    TypedKey {
        name: text("name").trim().to_owned(),
        environment: text("environment").trim().to_owned(),
        scopes: text("scopes"),
        description: text("description").trim().to_owned(),
        expires: text("expires"),
        expires_at: text("expires_at"),
        not_before: text("not_before"),
        allow_ips: text("allow_ips"),
        deny_ips: text("deny_ips"),
        limits: LIMITS.map(|(name, _)| text(name).trim().to_owned()),
    }
}

/// A problem, in the language of the page.
pub(super) fn problem_at(frame: &Frame, field: &'static str, problem: &str) -> FieldProblem {
    FieldProblem { field, problem: frame.t(problem).into_owned().into() }
}

/// A form that lay open for too long.
pub(super) fn stale(frame: &Frame, field: &'static str) -> Problems {
    Problems(vec![problem_at(
        frame,
        field,
        "The form lay open for too long. Look it over and send it again.",
    )])
}

/// Everything that was typed, or everything that is wrong with it.
fn read(frame: &Frame, typed: &TypedKey, now: Timestamp) -> Result<NewKey, Problems> {
    let mut wrong = Wrong { frame, problems: Vec::new() };
    let environment = wrong.unless_ok("environment", typed.environment.parse::<Environment>());
    let words = typed.scopes.split_whitespace().flat_map(|word| word.split(','));
    let scopes = wrong.unless_ok("scopes", Permissions::parse(words));
    let lifetime = wrong.unless_ok("expires_at", lifetime(typed, now));
    let not_before = wrong.unless_ok("not_before", moment(&typed.not_before));
    let (allow, deny) = networks(&mut wrong, typed);
    let limits = limits(&mut wrong, typed);
    match (environment, scopes, lifetime, not_before) {
        (Some(environment), Some(scopes), Some(lifetime), Some(not_before)) if wrong.problems.is_empty() => {
            Ok(NewKey {
                name: typed.name.clone(),
                environment,
                scopes,
                description: Some(typed.description.clone()).filter(|text| !text.is_empty()),
                lifetime,
                not_before,
                allow,
                deny,
                limits,
                leak_policy: None,
            })
        }
        _ => Err(Problems(wrong.problems)),
    }
}

/// What is wrong so far.
pub(super) struct Wrong<'a> {
    pub(super) frame: &'a Frame,
    pub(super) problems: Vec<FieldProblem>,
}

impl Wrong<'_> {
    fn unless_ok<T, E: AsRef<str>>(&mut self, field: &'static str, read: Result<T, E>) -> Option<T> {
        read.map_err(|problem| self.problems.push(problem_at(self.frame, field, problem.as_ref()))).ok()
    }
}

/// Networks of both lists: one a line, or with commas or spaces between them.
pub(super) fn networks(wrong: &mut Wrong<'_>, typed: &TypedKey) -> (Vec<IpNet>, Vec<IpNet>) {
    let mut list = |field: &'static str, text: &str| {
        let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
        let nets = words.map(allowlist::network).collect::<Result<Vec<_>, _>>();
        wrong.unless_ok(field, nets).unwrap_or_default()
    };
    (list("allow_ips", &typed.allow_ips), list("deny_ips", &typed.deny_ips))
}

/// Limits of its own; none where nothing was typed.
pub(super) fn limits(wrong: &mut Wrong<'_>, typed: &TypedKey) -> Overrides {
    let mut numbers = typed.limits.iter().map(|text| match text.as_str() {
        "" => Ok(None),
        text => text.parse::<u32>().map(Some).map_err(|_| "a whole number is needed, or nothing"),
    });
    let mut next = || numbers.next().unwrap_or(Ok(None));
    let read = (next(), next(), next(), next());
    let (Ok(read), Ok(write), Ok(delete), Ok(streams)) = read else {
        wrong.problems.push(problem_at(wrong.frame, "limits", "a whole number is needed, or nothing"));
        return Overrides::default();
    };
    Overrides { read, write, delete, streams }
}

/// How long it works, in seconds; for good when `None`.
fn lifetime(typed: &TypedKey, now: Timestamp) -> Result<Option<i64>, &'static str> {
    match typed.expires.as_str() {
        "never" => Ok(None),
        "at" => match moment(&typed.expires_at)? {
            Some(at) => Ok(Some(at.since(now))),
            None => Err("a time is needed for this choice, such as 2026-12-01 00:00"),
        },
        days => match days.parse::<i64>() {
            Ok(days @ 1..=3650) => Ok(Some(days * 86_400)),
            _ => Err("one of the choices is needed"),
        },
    }
}

/// A time in UTC, as browsers write it (`2026-12-01T00:00`), or RFC 3339.
fn moment(text: &str) -> Result<Option<Timestamp>, &'static str> {
    let text = text.trim().replace(' ', "T");
    let whole = match text.len() {
        0 => return Ok(None),
        16 => format!("{text}:00Z"),
        19 => format!("{text}Z"),
        _ => text,
    };
    Timestamp::from_rfc3339(&whole).map(Some).ok_or("a time in UTC is needed, such as 2026-12-01 00:00")
}
