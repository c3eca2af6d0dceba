//! Whose turn it is on a connection: a request's, from when it came until its answer is made, or the peer's. Whoever keeps connections
//! (`serve/kept.rs`) learns here what bytes alone do not tell: whether nothing of a request is still to come.

use std::cell::Cell;
use std::rc::Rc;

use actix_http::{ConnectionType, Request};
use actix_web::body::{BodySize, BoxBody, MessageBody as _};
use actix_web::dev::{Payload, Response};

/// What is known of the requests of one connection.
#[derive(Debug, Default)]
pub struct Turns {
    begun: Cell<u32>,
    answering: Cell<bool>,
    over: Cell<bool>,
}

impl Turns {
    /// How many there were; it goes round.
    pub fn begun(&self) -> u32 {
        self.begun.get()
    }

    /// Whether one is with its handler.
    pub fn is_answering(&self) -> bool {
        self.answering.get()
    }

    /// Whether the last one had no body and wanted the connection kept, and its answer is no stream: once that is written, and nothing
    /// came after it, the connection is between two requests.
    pub fn are_over(&self) -> bool {
        self.over.get()
    }
}

/// The turn of one request. It ends when this is dropped.
pub(super) struct Turn {
    of: Rc<Turns>,
    is_plain: bool,
}

impl Turn {
    /// Nothing for a request on a connection that nobody watches.
    pub(super) fn begin(req: &mut Request) -> Option<Self> {
        let is_plain = matches!(req.payload(), Payload::None)
            && req.head().connection_type() == ConnectionType::KeepAlive;
        let of = Rc::clone(req.conn_data::<Rc<Turns>>()?);
        of.begun.set(of.begun.get().wrapping_add(1));
        of.answering.set(true);
        of.over.set(false);
        Some(Self { of, is_plain })
    }

    /// `answer` is what it gets.
    pub(super) fn answered(&self, answer: &Response<BoxBody>) {
        let is_stream = matches!(answer.body().size(), BodySize::Stream);
        self.of.over.set(self.is_plain && !is_stream);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.of.answering.set(false);
    }
}
