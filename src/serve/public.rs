//! The public listener: connections come through the door, with TLS where it is ours, to the routes.
//!
//! It is put together from the parts that the framework's own `HttpServer` is made of, which leaves no place before TLS for a door.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_http::{HttpService, KeepAlive, Request, Response};
use actix_service::{IntoServiceFactory as _, Service, ServiceFactory, map_config};
use actix_web::body::BoxBody;
use actix_web::dev::{AppConfig, Server};
use actix_web::middleware::from_fn;
use actix_web::web::ServiceConfig;
use actix_web::{App as Site, Error};

use super::door::{Door, guarded};
use super::kept::{Keeping, Line};
use super::open_files;
use super::stream::acceptor;
use crate::app::App;
use crate::web;

/// How long a kept connection may be silent.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long requests in flight may take after the stop signal, in seconds.
const SHUTDOWN_SECONDS: u64 = 8;
/// How long an end that we began may take the peer.
pub(super) const GOODBYE: Duration = Duration::from_secs(2);

/// The server behind `listener`, which listens at `address`; with TLS where `tls` is given.
pub(super) fn server(
    app: &Arc<App>,
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<rustls::ServerConfig>,
) -> io::Result<Server> {
    let limits = &app.settings.limits;
    let workers = match app.settings.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    };
    open_files::raise();
    let connections = open_files::room().map_or(limits.connections, |room| room.min(limits.connections));
    let each = connections.div_ceil(workers);
    let door = Door::new(connections, limits.connections_per_address, &app.settings.trusted_proxies);

    let builder = Server::build()
        .workers(workers)
        .max_concurrent_connections(each)
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    let stopped = move || {
        let stopping = stopping.clone();
        async move { stopping.notified().await }
    };
    let head = Duration::from_secs(u64::try_from(limits.head_seconds).unwrap_or(5));
    let (app, routes) = (Arc::clone(app), web::routes(app));
    let tls = tls.map(acceptor);
    let server = builder.listen("public", listener, move || {
        let http = HttpService::build()
            .keep_alive(KeepAlive::Os)
            .client_request_timeout(head)
            .client_disconnect_timeout(GOODBYE)
            .local_addr(address)
            .on_connect_ext(|line: &Line, data| drop(data.insert(line.turns())))
            .finish(front(&app, routes.clone()));
        let secure = tls.clone().map(|tls| {
            let http2 = HttpService::build()
                .client_request_timeout(head)
                .keep_alive(KEEP_ALIVE)
                .client_disconnect_timeout(GOODBYE)
                .local_addr(address)
                .finish(front(&app, routes.clone()));
            (tls, http2)
        });
        guarded(Arc::clone(&door), Keeping { http, secure, head, stopped: stopped.clone() })
    });
    Ok(server?.run())
}

/// What answers the requests of a connection.
fn front<R>(
    app: &Arc<App>,
    routes: R,
) -> impl ServiceFactory<
    Request,
    Config = (),
    Response = Response<BoxBody>,
    Error = Error,
    InitError = (),
    Service: Service<Request, Future: 'static> + 'static,
    Future: 'static,
> + use<R>
where
    R: FnOnce(&mut ServiceConfig),
{
    let site = Site::new().wrap(from_fn(web::edge)).configure(routes);
    let front = web::Front { routes: site.into_factory(), app: Arc::clone(app) };
    // What the framework would tell of the address that we are called at, the settings know better.
    map_config(front, |()| AppConfig::default())
}
