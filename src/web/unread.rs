//! Bodies that nobody read to their end: the connection closes instead of being read on for ever (S-H3, S-H4, F13).
//!
//! The HTTP library reads the rest of a chunked body to reuse the connection, however long the sender goes on. It closes
//! instead, after a moment, when the body's handle still lives at the end of the answer. So we keep it until then.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::HttpMessage as _;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use actix_web::web::Bytes;
use futures_util::Stream;

/// A request's body, held by whoever reads it and by the edge.
#[derive(Clone)]
pub(super) struct Held(Rc<Body>);

struct Body {
    payload: RefCell<Payload>,
    ended: Cell<bool>,
}

/// Puts a shared handle in the place of a request's body; nothing for a request without one.
pub(super) fn hold(req: &mut ServiceRequest) -> Option<Held> {
    let held = held(req.take_payload())?;
    req.set_payload(Payload::Stream { payload: Box::pin(held.clone()) });
    Some(held)
}

/// A handle of a request's body; nothing for a request without one.
pub(super) fn held(payload: Payload) -> Option<Held> {
    if matches!(payload, Payload::None) {
        return None;
    }
    Some(Held(Rc::new(Body { payload: RefCell::new(payload), ended: Cell::new(false) })))
}

impl Held {
    /// Whether the request's body was read to its end.
    pub(super) fn was_read(&self) -> bool {
        self.0.ended.get()
    }

    /// The answer's body, with the request's body in hand.
    pub(super) fn until_the_end_of(self, body: BoxBody) -> BoxBody {
        BoxBody::new(Answer { body, _held: self })
    }
}

impl Stream for Held {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut *self.0.payload.borrow_mut()).poll_next(cx);
        if matches!(next, Poll::Ready(None)) {
            self.0.ended.set(true);
        }
        next
    }
}

/// An answer that holds on to the request's body.
struct Answer {
    body: BoxBody,
    _held: Held,
}

impl MessageBody for Answer {
    type Error = Box<dyn Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_next(cx)
    }
}
