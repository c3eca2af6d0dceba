//! A request as far as its head tells, whichever way it came in: with all that a handler is given, or through the front
//! ([`super::front`]), which hands the busy addresses nothing else.

use std::cell::Cell;

use actix_http::Message;
use actix_web::dev::RequestHead;
use actix_web::{HttpMessage as _, HttpRequest};

use super::headers::RequestId;
use crate::flow::check::Limit;

/// What is read of a request's head, and what is noted for its answer.
pub(super) trait Arrived {
    /// The head.
    fn head(&self) -> &RequestHead;
    /// The request's id, as its answer carries it.
    fn id(&self) -> String;
    /// Notes the limit that the request was counted against.
    fn note(&self, limit: Limit);
    /// The limit that was noted.
    fn noted(&self) -> Option<Limit>;

    /// The query, without its question mark; empty where there is none.
    fn query_string(&self) -> &str {
        self.head().uri.query().unwrap_or_default()
    }
}

impl Arrived for HttpRequest {
    fn head(&self) -> &RequestHead {
        Self::head(self)
    }

    fn id(&self) -> String {
        self.extensions().get::<RequestId>().map_or_else(String::new, |id| id.as_str().to_owned())
    }

    fn note(&self, limit: Limit) {
        self.extensions_mut().insert(limit);
    }

    fn noted(&self) -> Option<Limit> {
        self.extensions().get::<Limit>().copied()
    }
}

/// A request at the front.
pub(super) struct Early {
    /// Its head.
    pub(super) head: Message<RequestHead>,
    /// Its id.
    pub(super) id: RequestId,
    /// What was noted.
    pub(super) limit: Cell<Option<Limit>>,
}

impl Arrived for Early {
    fn head(&self) -> &RequestHead {
        &self.head
    }

    fn id(&self) -> String {
        self.id.as_str().to_owned()
    }

    fn note(&self, limit: Limit) {
        self.limit.set(Some(limit));
    }

    fn noted(&self) -> Option<Limit> {
        self.limit.get()
    }
}
