//! The front: what an API asks with every request that it gets (`POST /v1/keys/verify`, `/gateway/…`), and what programs ask of an
//! authorization server (metadata, keys, tokens, introspection, userinfo), is answered here, before the router and the extractors of the
//! framework, which cost as much as the decision itself (docs/performance.md). Everything else, and every request to these addresses that is
//! not of the plain kind, goes on to the routes of the table, whose handlers do the same by the same functions.

use std::cell::Cell;
use std::future::{Ready, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;
use std::time::Instant;

use actix_http::Request;
use actix_web::body::BoxBody;
use actix_web::dev::{Payload, Response, Service, ServiceFactory, ServiceResponse};
use actix_web::http::{Method, header};
use actix_web::{Error, HttpResponse};
use futures_util::FutureExt as _;
use futures_util::future::{Either, LocalBoxFuture, MapOk, TryFutureExt as _};
use futures_util::stream::empty;

use super::api::verify;
use super::arrived::Early;
use super::gateway::{self, Dialect};
use super::headers::{self, RequestId};
use super::oauth::discovery::{self, Document};
use super::oauth::{introspect, token, user_info};
use super::turns::Turn;
use super::{Class, cors, unread};
use crate::app::App;

/// A busy address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Busy {
    /// `POST /v1/keys/verify`
    Verify,
    /// `/gateway/…`
    Gateway(Dialect, &'static str),
    /// `POST /oauth2/token`
    Token,
    /// `POST /oauth2/introspect`
    Introspect,
    /// `GET /oauth2/userinfo`
    UserInfo,
    /// `GET /.well-known/…`
    Document(Document),
}

impl Busy {
    /// The address that a request of the plain kind is for.
    fn of(req: &mut Request) -> Option<Self> {
        let without_body = matches!(req.payload(), Payload::None);
        let head = req.head();
        // A body whose length is told: nothing here has to follow one that goes on for ever.
        let posted = || head.method == Method::POST && head.headers().contains_key(header::CONTENT_LENGTH);
        let asked = || head.method == Method::GET && without_body;
        let path = head.uri.path();
        match path {
            "/v1/keys/verify" => return posted().then_some(Self::Verify),
            "/oauth2/token" => return posted().then_some(Self::Token),
            "/oauth2/introspect" => return posted().then_some(Self::Introspect),
            "/oauth2/userinfo" => return asked().then_some(Self::UserInfo),
            _ => {}
        }
        if let Some(document) = Document::at(path) {
            return asked().then_some(Self::Document(document));
        }
        let rest = path.strip_prefix("/gateway/")?;
        if !without_body || !is_asked_by(&head.method) {
            return None;
        }
        match rest {
            "caddy" => Some(Self::Gateway(Dialect::Forward, "/gateway/caddy")),
            "traefik" => Some(Self::Gateway(Dialect::Forward, "/gateway/traefik")),
            "nginx" => Some(Self::Gateway(Dialect::Nginx, "/gateway/nginx")),
            _ => {
                let below = rest.strip_prefix("envoy")?;
                let is_envoy = below.is_empty() || below.starts_with('/');
                is_envoy.then_some(Self::Gateway(Dialect::Envoy, "/gateway/envoy/*"))
            }
        }
    }

    const fn route(self) -> &'static str {
        match self {
            Self::Verify => "/v1/keys/verify",
            Self::Gateway(_, route) => route,
            Self::Token => "/oauth2/token",
            Self::Introspect => "/oauth2/introspect",
            Self::UserInfo => "/oauth2/userinfo",
            Self::Document(document) => document.path(),
        }
    }

    const fn class(self) -> Class {
        match self {
            Self::Verify => Class::Api,
            Self::Gateway(..) | Self::Introspect => Class::Json,
            Self::Token | Self::UserInfo => Class::Shared,
            Self::Document(_) => Class::Open,
        }
    }
}

/// The methods that the table has for gateways.
fn is_asked_by(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::PATCH | Method::DELETE
    )
}

/// Puts the front before what makes the routes.
pub struct Front<F> {
    /// What makes the routes.
    pub routes: F,
    /// What handlers are given.
    pub app: Arc<App>,
}

impl<F> ServiceFactory<Request> for Front<F>
where
    F: ServiceFactory<Request, Response = ServiceResponse<BoxBody>, Error = Error>,
    F::Service: 'static,
    F::Future: 'static,
{
    type Response = Response<BoxBody>;
    type Error = Error;
    type Config = F::Config;
    type Service = Behind<F::Service>;
    type InitError = F::InitError;
    type Future = LocalBoxFuture<'static, Result<Self::Service, F::InitError>>;

    fn new_service(&self, config: F::Config) -> Self::Future {
        let routes = self.routes.new_service(config);
        let app = Arc::clone(&self.app);
        Box::pin(async move { Ok(Behind { routes: routes.await?, app }) })
    }
}

/// The routes, with the front before them.
pub struct Behind<S> {
    routes: S,
    app: Arc<App>,
}

type Answered = Result<Response<BoxBody>, Error>;
type Told = Box<dyn FnOnce(ServiceResponse<BoxBody>) -> Response<BoxBody>>;

impl<S> Service<Request> for Behind<S>
where
    S: Service<Request, Response = ServiceResponse<BoxBody>, Error = Error>,
{
    type Response = Response<BoxBody>;
    type Error = Error;
    type Future = Either<Either<Ready<Answered>, LocalBoxFuture<'static, Answered>>, MapOk<S::Future, Told>>;

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.routes.poll_ready(cx)
    }

    fn call(&self, mut req: Request) -> Self::Future {
        let turn = Turn::begin(&mut req);
        match Busy::of(&mut req) {
            // Nothing of it waits.
            Some(Busy::Document(document)) => {
                Either::Left(Either::Left(ready(show(&self.app, document, req, turn))))
            }
            Some(busy) => {
                let visit = Box::new(Visit::begin(&self.app, busy, req, turn));
                Either::Left(Either::Right(Box::pin(answer(Arc::clone(&self.app), visit))))
            }
            None => {
                let told = move |answer| {
                    let answer = Response::from(answer);
                    if let Some(turn) = turn {
                        turn.answered(&answer);
                    }
                    answer
                };
                Either::Right(self.routes.call(req).map_ok(Box::new(told) as Told))
            }
        }
    }
}

/// A request at the front, and what its answer is told with.
struct Visit {
    busy: Busy,
    began: Instant,
    early: Early,
    body: Option<unread::Held>,
    turn: Option<Turn>,
}

impl Visit {
    fn begin(app: &App, busy: Busy, req: Request, turn: Option<Turn>) -> Self {
        let (began, id) = (Instant::now(), RequestId::new(app));
        let (head, payload) = req.into_parts();
        let early = Early { head, id, limit: Cell::new(None) };
        Self { busy, began, early, body: unread::held(payload), turn }
    }

    /// All that the edge gives an answer; a panic's too.
    fn end(self, app: &App, outcome: thread::Result<HttpResponse>) -> Answered {
        let Self { busy, began, early, body, turn } = self;
        let class = busy.class();
        let answered = match outcome {
            Ok(mut answer) => {
                headers::dress(app, &mut answer, class, &early.id);
                let origin = early.head.headers().get(header::ORIGIN);
                cors::add(answer.headers_mut(), class, cors::allowed(app, class, origin));
                let answer = match body {
                    Some(body) if !body.was_read() => answer.map_body(|_, own| body.until_the_end_of(own)),
                    _ => answer,
                };
                Ok(Response::from(answer))
            }
            Err(_) => Err(headers::panicked(app, &early.id, busy.route())),
        };
        let status = answered.as_ref().map_or(500, |answer| answer.status().as_u16());
        if let (Some(turn), Ok(answer)) = (turn, &answered) {
            turn.answered(answer);
        }
        headers::account(headers::method_label(&early.head.method), busy.route(), status, began, &early.id);
        answered
    }
}

/// Answers a request for a document.
fn show(app: &App, document: Document, req: Request, turn: Option<Turn>) -> Answered {
    let visit = Visit::begin(app, Busy::Document(document), req, turn);
    let outcome = catch_unwind(AssertUnwindSafe(|| discovery::show(app, document, &visit.early)));
    visit.end(app, outcome)
}

/// Answers a request to another busy address. What waits for a check of a key must fit the allocator's fast path (about 1,000 bytes): what
/// the check does not need, and what its answer is told with, is in boxes of its own.
async fn answer(app: Arc<App>, visit: Box<Visit>) -> Answered {
    let early = &visit.early;
    let body = || visit.body.clone().map_or_else(|| Either::Right(empty()), Either::Left);
    let decided = async {
        match visit.busy {
            Busy::Verify => verify::decide(&app, early, body()).await,
            Busy::Gateway(dialect, _) => gateway::decide(&app, early, dialect).await,
            Busy::Token => Box::pin(token::answer(&app, early, body())).await,
            Busy::Introspect => Box::pin(introspect::answer(&app, early, body())).await,
            Busy::UserInfo => Box::pin(user_info::answer(&app, early, None)).await,
            Busy::Document(document) => discovery::show(&app, document, early),
        }
    };
    let outcome = AssertUnwindSafe(decided).catch_unwind().await;
    visit.end(&app, outcome)
}
