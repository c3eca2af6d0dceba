//! A connection that is kept, as its worker sees it: what happened on it last, what it is due (to sleep, to end, or nothing; `kept.rs` says
//! what sleeping is), and what its peer has not taken yet.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use super::public::KEEP_ALIVE;
use super::stream::Stream;
use crate::web::Turns;

/// How long it is silent at the least before it sleeps.
pub(super) const PAUSE: Duration = Duration::from_millis(50);
/// What the head of a later request may take beyond the setting: that of a first one is the library's to count, which answers 408.
const GRACE: Duration = Duration::from_secs(2);

/// What the peer or we did last on a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// It was opened. Nothing came yet.
    Opened,
    /// The peer sent something.
    Came,
    /// We have something to say, which is not sent yet.
    Says,
    /// All that we had to say was taken.
    Said,
    /// The peer takes no more for now.
    Blocked,
}

/// Why the library's part of a connection is told that nothing comes any more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// The connection is to sleep.
    Sleep,
    /// It does: that was the last that the library heard of it.
    Slept,
    /// The connection is to end.
    End,
    /// The peer takes and says nothing any more: what is still to be done for it is for nobody.
    Gone,
}

/// A connection, as its worker sees it.
pub(super) struct Seat {
    /// Where it stands among the others.
    pub(super) place: Cell<usize>,
    pub(super) turns: Rc<Turns>,
    last: Cell<Last>,
    /// The last bytes that came are the end of a head,
    ends_head: Cell<bool>,
    /// and so many turns had begun before them.
    begun_before: Cell<u32>,
    /// Something happened since the worker looked.
    pub(super) stirred: Cell<bool>,
    /// When it looked first after that.
    pub(super) since: Cell<Instant>,
    pub(super) told: Cell<Option<Told>>,
    pub(super) asleep: Cell<bool>,
    /// The task that serves it.
    pub(super) task: RefCell<Waker>,
    pub(super) stream: RefCell<Stream>,
    /// What the library has said and the peer has not taken.
    unsent: RefCell<Vec<u8>>,
    /// The byte that woke it.
    first: Cell<Option<u8>>,
}

impl Seat {
    /// That of a connection which was opened since the worker looked, at `looked`.
    pub(super) fn new(place: usize, looked: Instant, stream: Stream) -> Self {
        Self {
            place: Cell::new(place),
            turns: Rc::default(),
            last: Cell::new(Last::Opened),
            ends_head: Cell::new(false),
            begun_before: Cell::new(0),
            stirred: Cell::new(true),
            since: Cell::new(looked),
            told: Cell::new(None),
            asleep: Cell::new(true),
            task: RefCell::new(Waker::noop().clone()),
            stream: RefCell::new(stream),
            unsent: RefCell::default(),
            first: Cell::new(None),
        }
    }

    /// Whether it is certain that nothing of a request is with the library: the last request had no body, so it ended with its head; it is
    /// answered, and the answer was taken; the last bytes that came end a head, so that they are not the beginning of a further one; and
    /// one turn began since, so that the head is not one that the library has not looked at, behind a queue of others (16 and more).
    fn is_between(&self) -> bool {
        let since = self.turns.begun().wrapping_sub(self.begun_before.get());
        self.last.get() == Last::Said && self.ends_head.get() && since == 1 && self.turns.are_over()
    }

    /// What becomes of it after it was silent for so long, where many others are awake or not.
    pub(super) fn due(&self, silent: Duration, many: bool, head: Duration) -> Option<Told> {
        if self.told.get().is_some() || self.turns.is_answering() {
            return None;
        }
        match self.last.get() {
            Last::Opened => (silent >= head).then_some(Told::End),
            // The system counts the time of what the peer does not take.
            Last::Says | Last::Blocked => None,
            Last::Came => (self.turns.begun() > 0 && silent >= head + GRACE).then_some(Told::End),
            // The beginning of a head came along with the request that was answered.
            Last::Said if self.turns.are_over() && !self.ends_head.get() => {
                (silent >= head + GRACE).then_some(Told::End)
            }
            Last::Said if silent >= KEEP_ALIVE => Some(Told::End),
            Last::Said => {
                (many && !self.asleep.get() && silent >= PAUSE && self.is_between()).then_some(Told::Sleep)
            }
        }
    }

    pub(super) fn tell(&self, told: Told) {
        if self.told.get() != Some(Told::Gone) {
            self.told.set(Some(told));
        }
        self.task.borrow().wake_by_ref();
    }

    /// Reads what the peer says, the byte that woke it first.
    pub(super) fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if let Some(first) = self.first.take() {
            buf.put_slice(&[first]);
        }
        let read = Pin::new(&mut *self.stream.borrow_mut()).poll_read(cx, buf);
        match buf.filled().get(before..) {
            Some(came @ [_, ..]) => {
                self.came(came);
                Poll::Ready(Ok(()))
            }
            _ => read,
        }
    }

    /// The peer's silence is broken. Counted from the first bytes on: whoever sends a head letter by letter is not waited for.
    fn came(&self, bytes: &[u8]) {
        if self.last.replace(Last::Came) != Last::Came {
            self.stirred.set(true);
        }
        self.ends_head.set(bytes.ends_with(b"\r\n\r\n"));
        self.begun_before.set(self.turns.begun());
    }

    /// Whether the peer takes nothing for now. Until it does we take nothing either: the library, when it holds enough of what came and
    /// can do nothing with it, would turn round and round.
    pub(super) fn is_blocked(&self) -> bool {
        self.last.get() == Last::Blocked
    }

    /// Something happened, from which on its silence counts.
    fn stir(&self, last: Last) {
        self.last.set(last);
        self.stirred.set(true);
    }

    /// There is something to say, which is to be sent.
    pub(super) fn says(&self) {
        self.last.set(Last::Says);
        // Whoever still had something to say was not between two requests after all.
        if self.told.get() == Some(Told::Sleep) {
            self.told.set(Some(Told::End));
        }
    }

    /// Says something of which the library knows no more. What the peer does not take waits, in order, and its task sees to it.
    pub(super) fn send(&self, said: &[u8]) {
        let task = self.task.borrow();
        let cx = &mut Context::from_waker(&task);
        let mut rest = said;
        if !self.is_blocked() && !rest.is_empty() {
            match Pin::new(&mut *self.stream.borrow_mut()).poll_write(cx, rest) {
                Poll::Ready(Ok(taken)) => rest = rest.get(taken..).unwrap_or_default(),
                Poll::Ready(Err(_)) => return self.tell(Told::Gone),
                Poll::Pending => {}
            }
        }
        self.unsent.borrow_mut().extend_from_slice(rest);
        if self.poll_rest(cx).is_pending() {
            self.stir(Last::Blocked);
        } else if self.last.get() == Last::Says {
            // Else something came since, which counts.
            self.stir(Last::Said);
        }
    }

    /// Goes on with what the peer did not take; ready when nothing of it waits.
    pub(super) fn poll_unsent(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_blocked() {
            ready!(self.poll_rest(cx));
            self.stir(Last::Said);
            // What came meanwhile was not read, and nobody is told of it again.
            cx.waker().wake_by_ref();
        }
        Poll::Ready(())
    }

    fn poll_rest(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut stream = self.stream.borrow_mut();
        let mut unsent = self.unsent.borrow_mut();
        while !unsent.is_empty() {
            match ready!(Pin::new(&mut *stream).poll_write(cx, &unsent)) {
                Ok(taken @ 1..) => drop(unsent.drain(..taken)),
                _ => return self.is_gone(&mut unsent),
            }
            if unsent.is_empty() {
                *unsent = Vec::new();
            }
        }
        match ready!(Pin::new(&mut *stream).poll_flush(cx)) {
            Ok(()) => Poll::Ready(()),
            Err(_) => self.is_gone(&mut unsent),
        }
    }

    /// Nobody is there to take the rest.
    fn is_gone(&self, unsent: &mut Vec<u8>) -> Poll<()> {
        unsent.clear();
        self.tell(Told::Gone);
        Poll::Ready(())
    }

    /// Ready when a sleeping connection has something to say, or, with `false`, when it is over. What TLS says among itself wakes nobody.
    pub(super) fn poll_woken(&self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.told.get().is_some() {
            return Poll::Ready(false);
        }
        let mut byte = [0; 1];
        let mut buf = ReadBuf::new(&mut byte);
        let read = ready!(Pin::new(&mut *self.stream.borrow_mut()).poll_read(cx, &mut buf));
        self.first.set(buf.filled().first().copied());
        Poll::Ready(read.is_ok() && !buf.filled().is_empty())
    }

    /// Says good-bye, where nobody did yet.
    pub(super) fn poll_goodbye(&self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_shutdown(cx).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::super::room::Room;
    use super::super::room::tests::guest;
    use super::*;

    #[tokio::test]
    async fn a_connection_is_due_by_its_silence_and_by_whose_turn_it_is() {
        let head = Duration::from_secs(5);
        let (guest, _peer) = guest(&Room::new(head)).await;
        let due = |last, seconds, many| {
            guest.seat.last.set(last);
            guest.seat.due(Duration::from_secs(seconds), many, head)
        };
        assert!(due(Last::Opened, 4, true).is_none());
        assert!(due(Last::Opened, 5, false) == Some(Told::End));
        // A first head is the library's to count, what is blocked the system's, and what is to be sent goes out in a moment.
        for last in [Last::Came, Last::Blocked, Last::Says] {
            assert!(due(last, 1000, true).is_none());
        }
        assert!(due(Last::Said, 74, true).is_none());
        assert!(due(Last::Said, 75, false) == Some(Told::End));
        guest.seat.tell(Told::End);
        assert!(due(Last::Said, 75, false).is_none(), "it was told");
    }

    #[tokio::test]
    async fn what_comes_before_an_answer_is_sent_counts_as_the_last() {
        let (guest, _peer) = guest(&Room::new(Duration::from_secs(5))).await;
        guest.seat.says();
        guest.seat.came(b"GET /");
        guest.seat.send(b"an answer");
        assert!(guest.seat.last.get() == Last::Came, "the time of its head is limited");
        guest.seat.says();
        guest.seat.send(b"an answer");
        assert!(guest.seat.last.get() == Last::Said);
    }
}
