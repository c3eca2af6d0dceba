//! The front: what an API asks with every request that it gets (`POST /v1/keys/verify`, `/gateway/…`) is answered here, before the router
//! and the extractors of the framework, which cost as much as the decision itself (docs/performance.md). Everything else, and every request
//! to these addresses that is not of the plain kind, goes on to the routes of the table, whose handlers do the same by the same functions.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use actix_http::Request;
use actix_web::Error;
use actix_web::body::BoxBody;
use actix_web::dev::{Payload, Response, Service, ServiceFactory, ServiceResponse};
use actix_web::http::{Method, header};
use futures_util::FutureExt as _;
use futures_util::future::{Either, LocalBoxFuture, MapOk, TryFutureExt as _};

use super::api::verify;
use super::arrived::Early;
use super::gateway::{self, Dialect};
use super::headers::{self, RequestId};
use super::{Class, unread};
use crate::app::App;

/// A busy address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Busy {
    /// `POST /v1/keys/verify`
    Verify,
    /// `/gateway/…`
    Gateway(Dialect, &'static str),
}

impl Busy {
    /// The address that a request of the plain kind is for.
    fn of(req: &mut Request) -> Option<Self> {
        let without_body = matches!(req.payload(), Payload::None);
        let head = req.head();
        let path = head.uri.path();
        if path == "/v1/keys/verify" {
            // A body whose length is told: nothing here has to follow one that goes on for ever.
            let told = head.headers().contains_key(header::CONTENT_LENGTH);
            return (head.method == Method::POST && told).then_some(Self::Verify);
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
        }
    }

    const fn class(self) -> Class {
        match self {
            Self::Verify => Class::Api,
            Self::Gateway(..) => Class::Json,
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
type Told = fn(ServiceResponse<BoxBody>) -> Response<BoxBody>;

impl<S> Service<Request> for Behind<S>
where
    S: Service<Request, Response = ServiceResponse<BoxBody>, Error = Error>,
{
    type Response = Response<BoxBody>;
    type Error = Error;
    type Future = Either<LocalBoxFuture<'static, Answered>, MapOk<S::Future, Told>>;

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.routes.poll_ready(cx)
    }

    fn call(&self, mut req: Request) -> Self::Future {
        match Busy::of(&mut req) {
            Some(busy) => Either::Left(Box::pin(answer(Arc::clone(&self.app), busy, req))),
            None => Either::Right(self.routes.call(req).map_ok(Response::from as Told)),
        }
    }
}

/// Answers a request to a busy address, with all that the edge gives an answer.
async fn answer(app: Arc<App>, busy: Busy, req: Request) -> Answered {
    let began = Instant::now();
    let id = RequestId::new(&app);
    let (head, payload) = req.into_parts();
    let method = headers::method_label(&head.method);
    let body = unread::held(payload);
    let early = Early { head, id, limit: Cell::new(None) };
    let decided = async {
        match (busy, &body) {
            (Busy::Verify, Some(body)) => verify::decide(&app, &early, body.clone()).await,
            (Busy::Verify, None) => verify::decide(&app, &early, futures_util::stream::empty()).await,
            (Busy::Gateway(dialect, _), _) => gateway::decide(&app, &early, dialect).await,
        }
    };
    let outcome = AssertUnwindSafe(decided).catch_unwind().await;
    let answered = match outcome {
        Ok(mut answer) => {
            headers::dress(&app, &mut answer, busy.class(), &early.id);
            let answer = match body {
                Some(body) if !body.was_read() => answer.map_body(|_, own| body.until_the_end_of(own)),
                _ => answer,
            };
            Ok(Response::from(answer))
        }
        Err(_) => Err(headers::panicked(&app, &early.id, busy.route())),
    };
    let status = answered.as_ref().map_or(500, |answer| answer.status().as_u16());
    headers::account(method, busy.route(), status, began, &early.id);
    answered
}
