//! Connections that are kept between requests, without TLS of our own: how long, and at what price.
//!
//! The HTTP library keeps two buffers and its state for each connection for as long as it is open, about 12 KiB, and a timer that is set
//! anew with each request. Here one look around every second does what those timers did, and the library is given a connection with its
//! first byte. Where many are awake, those that are silent *sleep* again: the library's part of such a connection ends as if the peer had
//! closed it, the connection itself does not, and the library begins anew with the next byte. A connection sleeps only where it is certain
//! that nothing of a request is with the library ([`super::seats`]).

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

use super::seats::{Guest, Room, Seat, Told, rounds};
use crate::web::Turns;

/// A connection as the HTTP library is given it.
pub(super) type Arrived = (Line, Protocol, Option<SocketAddr>);

/// Serves a connection from its first byte to its end, by as many of the library's dispatchers as it wakes up times.
async fn keep<S>(http: Rc<S>, guest: Guest, mut stream: TcpStream) -> Result<(), S::Error>
where
    S: Service<Arrived, Response = ()>,
{
    let seat = &guest.seat;
    let peer = stream.peer_addr().ok();
    poll_fn(|cx| {
        seat.task.borrow_mut().clone_from(cx.waker());
        Poll::Ready(())
    })
    .await;
    while poll_fn(|cx| seat.poll_woken(&stream, cx)).await {
        guest.wake();
        let line = Line { stream: Some(stream), seat: Rc::clone(seat) };
        // In a box of its own, so that a connection that sleeps does not hold the room for it.
        Box::pin(http.call((line, Protocol::Http1, peer))).await?;
        let Some(back) = seat.stream.take() else { break };
        stream = back;
        guest.sleep();
    }
    Ok(())
}

/// A connection as the HTTP library sees it: told of what happens on it, and able to end before it does.
pub(super) struct Line {
    /// Nothing once it is given back, which is the last that the library hears of it.
    stream: Option<TcpStream>,
    seat: Rc<Seat>,
}

impl Line {
    /// What the front may know of this connection.
    pub(super) fn turns(&self) -> Rc<Turns> {
        Rc::clone(&self.seat.turns)
    }
}

impl AsyncRead for Line {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(stream) = this.stream.as_mut().filter(|_| this.seat.told.get().is_none()) else {
            return Poll::Ready(Ok(()));
        };
        if this.seat.is_blocked() {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(Pin::new(stream).poll_read(cx, buf))?;
        if let Some(came @ [_, ..]) = buf.filled().get(before..) {
            this.seat.came(came);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let Some(stream) = &mut this.stream else { return Poll::Ready(Ok(0)) };
        let taken = Pin::new(stream).poll_write(cx, buf);
        let is_all = matches!(taken, Poll::Ready(Ok(bytes)) if bytes == buf.len());
        this.seat.said(is_all, cx);
        taken
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Some(stream) => Pin::new(stream).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.seat.told.get() == Some(Told::Sleep) {
            this.seat.stream.set(this.stream.take());
        }
        match &mut this.stream {
            Some(stream) => Pin::new(stream).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

/// Keeps the connections of what speaks HTTP on them.
pub(super) struct Keeping<F, W> {
    /// What speaks HTTP. It has no timer for connections that are kept.
    pub(super) http: F,
    /// What the head of a request may take.
    pub(super) head: Duration,
    /// Done when those that are kept are to end.
    pub(super) stopped: W,
}

impl<F, W, Stopped> ServiceFactory<TcpStream> for Keeping<F, W>
where
    F: ServiceFactory<Arrived, Config = (), Response = ()>,
    F::Service: 'static,
    F::Future: 'static,
    W: Fn() -> Stopped,
    Stopped: Future<Output = ()> + 'static,
{
    type Response = ();
    type Error = F::Error;
    type Config = ();
    type Service = Keeper<F::Service>;
    type InitError = F::InitError;
    type Future = LocalBoxFuture<'static, Result<Self::Service, F::InitError>>;

    fn new_service(&self, config: ()) -> Self::Future {
        let (http, room, stopped) = (self.http.new_service(config), Room::new(self.head), (self.stopped)());
        Box::pin(async move {
            let http = Rc::new(http.await?);
            tokio::task::spawn_local(rounds(Rc::clone(&room), stopped));
            Ok(Keeper { http, room })
        })
    }
}

/// [`Keeping`] in one worker.
pub(super) struct Keeper<S> {
    http: Rc<S>,
    room: Rc<Room>,
}

impl<S> Service<TcpStream> for Keeper<S>
where
    S: Service<Arrived, Response = ()> + 'static,
{
    type Response = ();
    type Error = S::Error;
    type Future = LocalBoxFuture<'static, Result<(), S::Error>>;

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.http.poll_ready(cx)
    }

    fn call(&self, stream: TcpStream) -> Self::Future {
        Box::pin(keep(Rc::clone(&self.http), Guest::enter(Rc::clone(&self.room)), stream))
    }
}
