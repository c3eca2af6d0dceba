//! Connections that are kept between requests: how long, and at what price.
//!
//! The HTTP library keeps two buffers and its state for each connection for as long as it is open, about 12 KiB, and a timer that is set
//! anew with each request. Here one look around every second does what those timers did, and the library is given a connection with its
//! first byte. Where many are awake, those that are silent *sleep* again: the library's part of such a connection ends as if the peer had
//! closed it, the connection itself does not, and the library begins anew with the next byte. A connection sleeps only where it is certain
//! that nothing of a request is with the library ([`super::seats`]).
//!
//! With TLS of our own it is the same from the handshake on, for HTTP/1.1. HTTP/2 has many requests at a time and ways of its own to keep
//! and limit a connection, which are the library's; at a stop it tells nobody, and is cut when the time for that is over.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_http::Protocol;
use actix_service::{Service, ServiceFactory};
use futures_util::future::LocalBoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::either::Either;

use super::outbox::{Outbox, SHORT, deliveries};
use super::public::GOODBYE;
use super::room::{Guest, Room, rounds};
use super::seats::{Seat, Told};
use super::stream::{Stream, speaks_http2, tcp};
use crate::web::Turns;

/// What a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(3);
/// How many requests the library takes in advance.
const QUEUE: u32 = 16;

/// A connection as the HTTP library is given it.
pub(super) type Arrived<T> = (T, Protocol, Option<SocketAddr>);

/// Serves a connection from its first byte to its end, by as many of the library's dispatchers as it wakes up times.
async fn keep<S>(http: Rc<S>, outbox: Rc<Outbox>, guest: Guest) -> Result<(), S::Error>
where
    S: Service<Arrived<Line>, Response = ()>,
{
    let seat = &guest.seat;
    let peer = tcp(&seat.stream.borrow()).peer_addr().ok();
    poll_fn(|cx| {
        seat.task.borrow_mut().clone_from(cx.waker());
        Poll::Ready(())
    })
    .await;
    let ended = loop {
        if !poll_fn(|cx| seat.poll_woken(cx)).await {
            break Ok(());
        }
        guest.wake();
        let line = Line { seat: Rc::clone(seat), outbox: Rc::clone(&outbox) };
        // In a box of its own, so that a connection that sleeps does not hold the room for it.
        let mut served = Box::pin(http.call((line, Protocol::Http1, peer)));
        let ended = poll_fn(|cx| poll_served(seat, served.as_mut(), cx)).await;
        if ended.is_err() || seat.told.get() != Some(Told::Slept) {
            break ended;
        }
        guest.sleep();
    };
    // The library takes for sent what is not yet, does not wait for it where it ends by an error, and knows nothing of an end in sleep.
    outbox.send();
    poll_fn(|cx| seat.poll_unsent(cx)).await;
    let _ = timeout(GOODBYE, poll_fn(|cx| seat.poll_goodbye(cx))).await;
    ended
}

/// Lets the library work on a connection, while the peer takes what is said: the library would turn round and round behind what is not
/// taken, once it holds enough of what came.
fn poll_served<F: Future>(seat: &Seat, served: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<F::Output> {
    ready!(seat.poll_unsent(cx));
    let begun = seat.turns.begun();
    let ended = served.poll(cx);
    // With so many in its queue it leaves what came behind them for later, and does not come back to it by itself when it was through with
    // all of them at once.
    if ended.is_pending() && seat.turns.begun().wrapping_sub(begun) >= QUEUE {
        cx.waker().wake_by_ref();
    }
    ended
}

/// A connection as the HTTP library sees it: told of what happens on it, and able to end before it does.
pub(super) struct Line {
    seat: Rc<Seat>,
    outbox: Rc<Outbox>,
}

impl Line {
    /// What the front may know of this connection.
    pub(super) fn turns(&self) -> Rc<Turns> {
        Rc::clone(&self.seat.turns)
    }
}

impl AsyncRead for Line {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let seat = &self.seat;
        match seat.told.get() {
            Some(Told::Gone) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Some(_) => Poll::Ready(Ok(())),
            None if seat.is_blocked() => Poll::Pending,
            None => seat.poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Self { seat, outbox } = self.get_mut();
        ready!(seat.poll_unsent(cx));
        if seat.told.get() == Some(Told::Gone) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if buf.len() <= SHORT {
            outbox.put(seat, buf);
            return Poll::Ready(Ok(buf.len()));
        }
        outbox.send();
        ready!(seat.poll_unsent(cx));
        seat.says();
        seat.send(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { seat, outbox } = self.get_mut();
        if seat.told.get() == Some(Told::Sleep) {
            seat.told.set(Some(Told::Slept));
            return Poll::Ready(Ok(()));
        }
        outbox.send();
        ready!(seat.poll_unsent(cx));
        Pin::new(&mut *seat.stream.borrow_mut()).poll_shutdown(cx)
    }
}

/// Keeps the connections of what speaks HTTP on them.
pub(super) struct Keeping<F, G, W> {
    /// What speaks HTTP/1.1. It has no timer for connections that are kept.
    pub(super) http: F,
    /// TLS of our own, and what speaks HTTP/2 over it.
    pub(super) secure: Option<(TlsAcceptor, G)>,
    /// What the head of a request may take.
    pub(super) head: Duration,
    /// Done when those that are kept are to end.
    pub(super) stopped: W,
}

impl<F, G, W, Stopped> ServiceFactory<TcpStream> for Keeping<F, G, W>
where
    F: ServiceFactory<Arrived<Line>, Config = (), Response = ()>,
    F::Service: 'static,
    F::Future: 'static,
    G: ServiceFactory<
            Arrived<Stream>,
            Config = (),
            Response = (),
            Error = F::Error,
            InitError = F::InitError,
        >,
    G::Service: 'static,
    G::Future: 'static,
    W: Fn() -> Stopped,
    Stopped: Future<Output = ()> + 'static,
{
    type Response = ();
    type Error = F::Error;
    type Config = ();
    type Service = Keeper<F::Service, G::Service>;
    type InitError = F::InitError;
    type Future = LocalBoxFuture<'static, Result<Self::Service, F::InitError>>;

    fn new_service(&self, config: ()) -> Self::Future {
        let (http, room, outbox) = (self.http.new_service(config), Room::new(self.head), Outbox::new());
        let secure = self.secure.as_ref().map(|(tls, http2)| (tls.clone(), http2.new_service(config)));
        let stopped = (self.stopped)();
        Box::pin(async move {
            let http = Rc::new(http.await?);
            let secure = match secure {
                Some((tls, http2)) => Some((tls, Rc::new(http2.await?))),
                None => None,
            };
            tokio::task::spawn_local(rounds(Rc::clone(&room), stopped));
            tokio::task::spawn_local(deliveries(Rc::clone(&outbox)));
            Ok(Keeper { http, secure, room, outbox })
        })
    }
}

/// [`Keeping`] in one worker.
pub(super) struct Keeper<S, G> {
    http: Rc<S>,
    secure: Option<(TlsAcceptor, Rc<G>)>,
    room: Rc<Room>,
    outbox: Rc<Outbox>,
}

impl<S, G> Service<TcpStream> for Keeper<S, G>
where
    S: Service<Arrived<Line>, Response = ()> + 'static,
    G: Service<Arrived<Stream>, Response = (), Error = S::Error> + 'static,
{
    type Response = ();
    type Error = S::Error;
    type Future = LocalBoxFuture<'static, Result<(), S::Error>>;

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        if let Some((_, http2)) = &self.secure {
            ready!(http2.poll_ready(cx))?;
        }
        self.http.poll_ready(cx)
    }

    fn call(&self, stream: TcpStream) -> Self::Future {
        // An answer in several parts does not wait until the peer has confirmed the first.
        let _ = stream.set_nodelay(true);
        let (http, outbox, room) = (Rc::clone(&self.http), Rc::clone(&self.outbox), Rc::clone(&self.room));
        let kept = move |stream| keep(http, outbox, Guest::enter(room, stream));
        let Some((tls, http2)) = &self.secure else { return Box::pin(kept(Either::Left(stream))) };
        let (handshake, http2) = (timeout(HANDSHAKE, tls.accept(stream)), Rc::clone(http2));
        Box::pin(async move {
            // Whoever speaks no TLS, or not in time, is not told why.
            let Ok(Ok(tls)) = handshake.await else { return Ok(()) };
            let speaks_http2 = speaks_http2(&tls);
            let stream = Either::Right(Box::new(tls));
            if speaks_http2 {
                let peer = tcp(&stream).peer_addr().ok();
                return http2.call((stream, Protocol::Http2, peer)).await;
            }
            kept(stream).await
        })
    }
}
