//! Answers leave together. What the connections of a worker have to say is collected while the worker goes from one to the next, and sent
//! when it has been with all that were ready, or as soon as enough of it waits. Somebody who asks from this machine, as a gateway does, is
//! then woken once for several answers, which costs us up to a quarter of one (docs/performance.md); nobody waits for more than a few others.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::seats::Seat;

/// How many answers wait for each other at the most.
const MOST: usize = 16;
/// What is longer, in bytes, is not copied to wait here.
pub(super) const SHORT: usize = 8 * 1024;

/// What the connections of one worker have to say.
pub(super) struct Outbox {
    /// One behind the other.
    bytes: RefCell<Vec<u8>>,
    /// Whose they are, and where each ends.
    answers: RefCell<Vec<(Rc<Seat>, usize)>>,
    /// The task that sends what waits at the end of a turn.
    task: RefCell<Waker>,
}

impl Outbox {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            bytes: RefCell::default(),
            answers: RefCell::default(),
            task: RefCell::new(Waker::noop().clone()),
        })
    }

    /// Takes what is to be sent on a connection, in the order of all that is.
    pub(super) fn put(&self, seat: &Rc<Seat>, said: &[u8]) {
        seat.says();
        let end = {
            let mut bytes = self.bytes.borrow_mut();
            bytes.extend_from_slice(said);
            bytes.len()
        };
        self.answers.borrow_mut().push((Rc::clone(seat), end));
        let waiting = self.answers.borrow().len();
        if waiting == MOST {
            self.send();
        } else if waiting == 1 {
            // It comes behind all tasks that are ready now: their answers are here before it is.
            self.task.borrow().wake_by_ref();
        }
    }

    /// Sends all that waits.
    pub(super) fn send(&self) {
        let mut bytes = self.bytes.borrow_mut();
        let mut begin = 0;
        for (seat, end) in self.answers.borrow_mut().drain(..) {
            seat.send(bytes.get(begin..end).unwrap_or_default());
            begin = end;
        }
        bytes.clear();
    }
}

/// Sends at the end of each turn in which something was said, until the worker ends.
pub(super) async fn deliveries(outbox: Rc<Outbox>) {
    poll_fn(|cx| {
        outbox.task.borrow_mut().clone_from(cx.waker());
        outbox.send();
        Poll::<()>::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncReadExt as _;
    use tokio::task::LocalSet;

    use super::super::room::Room;
    use super::super::room::tests::guest;
    use super::*;

    #[test]
    fn answers_leave_at_the_end_of_a_turn_or_when_enough_wait() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let (room, outbox) = (Room::new(Duration::from_secs(5)), Outbox::new());
            tokio::task::spawn_local(deliveries(Rc::clone(&outbox)));
            tokio::task::yield_now().await;
            let (mine, mut peer) = guest(&room).await;
            let (other, mut other_peer) = guest(&room).await;
            let mut text = [0; 64];

            outbox.put(&mine.seat, b"first, ");
            outbox.put(&other.seat, b"another's");
            outbox.put(&mine.seat, b"second");
            assert!(peer.try_read(&mut text).is_err(), "nobody had a turn yet");
            peer.read_exact(&mut text[..13]).await.unwrap();
            assert_eq!(&text[..13], b"first, second");
            other_peer.read_exact(&mut text[..9]).await.unwrap();
            assert_eq!(&text[..9], b"another's");

            for _ in 0..MOST {
                outbox.put(&mine.seat, b".");
            }
            assert!(outbox.answers.borrow().is_empty() && outbox.bytes.borrow().is_empty());
            peer.read_exact(&mut text[..MOST]).await.unwrap();
        });
    }

    #[tokio::test]
    async fn what_a_peer_does_not_take_waits_and_keeps_its_order() {
        let (room, outbox) = (Room::new(Duration::from_secs(5)), Outbox::new());
        let (guest, mut peer) = guest(&room).await;
        let mut said = Vec::new();
        while !guest.seat.is_blocked() {
            let answer = vec![u8::try_from(said.len() % 251).unwrap(); SHORT];
            outbox.put(&guest.seat, &answer);
            said.extend(answer);
        }
        // Those of the same turn that come behind the one that was not taken are kept too.
        let mut taken = vec![0; said.len()];
        let rest = poll_fn(|cx| guest.seat.poll_unsent(cx));
        let ((), read) = tokio::join!(rest, peer.read_exact(&mut taken));
        assert_eq!(read.unwrap(), said.len());
        assert!(taken == said, "in the order in which it was said");
        assert!(!guest.seat.is_blocked());
    }
}
