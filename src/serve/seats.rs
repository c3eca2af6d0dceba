//! The connections of a worker that are kept, and what each is due: to sleep, to end, or nothing (`kept.rs` says what sleeping is).

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use metrics::Gauge;
use tokio::io::{AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;

use super::public::KEEP_ALIVE;
use crate::web::Turns;

/// How often a worker looks at its connections,
const ROUND: Duration = Duration::from_secs(1);
/// and in between, at most, when there are many.
const PAUSE: Duration = Duration::from_millis(50);
/// How often it looks once it is told to stop.
const STOPPING: Duration = Duration::from_millis(20);
/// From how many on that are awake the silent ones are put to sleep, for each worker: fewer cost less than the waking would.
const MANY: usize = 256;
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
}

/// A connection, as its worker sees it.
pub(super) struct Seat {
    /// Where it stands among the others.
    place: Cell<usize>,
    pub(super) turns: Rc<Turns>,
    last: Cell<Last>,
    /// The last bytes that came are the end of a head,
    ends_head: Cell<bool>,
    /// and so many turns had begun before them.
    begun_before: Cell<u32>,
    /// Something happened since the worker looked.
    stirred: Cell<bool>,
    /// When it looked first after that.
    since: Cell<Instant>,
    pub(super) told: Cell<Option<Told>>,
    asleep: Cell<bool>,
    /// The task that serves it.
    pub(super) task: RefCell<Waker>,
    pub(super) stream: RefCell<TcpStream>,
    /// What the library has said and the peer has not taken.
    unsent: RefCell<Vec<u8>>,
}

impl Seat {
    /// Whether it is certain that nothing of a request is with the library: the last request had no body, so it ended with its head; it is
    /// answered, and the answer was taken; the last bytes that came end a head, so that they are not the beginning of a further one; and
    /// one turn began since, so that the head is not one that the library has not looked at, behind a queue of others (16 and more).
    fn is_between(&self) -> bool {
        let since = self.turns.begun().wrapping_sub(self.begun_before.get());
        self.last.get() == Last::Said && self.ends_head.get() && since == 1 && self.turns.are_over()
    }

    /// What becomes of it after it was silent for so long, where many others are awake or not.
    fn due(&self, silent: Duration, many: bool, head: Duration) -> Option<Told> {
        if self.told.get().is_some() || self.turns.is_answering() {
            return None;
        }
        match self.last.get() {
            Last::Opened => (silent >= head).then_some(Told::End),
            // The system counts the time of what the peer does not take.
            Last::Says | Last::Blocked => None,
            Last::Came => (self.turns.begun() > 0 && silent >= head + GRACE).then_some(Told::End),
            Last::Said if silent >= KEEP_ALIVE => Some(Told::End),
            Last::Said => {
                (many && !self.asleep.get() && silent >= PAUSE && self.is_between()).then_some(Told::Sleep)
            }
        }
    }

    fn tell(&self, told: Told) {
        self.told.set(Some(told));
        self.task.borrow().wake_by_ref();
    }

    /// The peer's silence is broken. Counted from the first bytes on: whoever sends a head letter by letter is not waited for.
    pub(super) fn came(&self, bytes: &[u8]) {
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

    /// There is something to say, which is to be sent.
    pub(super) fn says(&self) {
        self.last.set(Last::Says);
        self.is_no_pause();
    }

    /// We said something, and all of it was taken or not.
    pub(super) fn said(&self, all: bool) {
        let was_blocked = self.is_blocked();
        self.last.set(if all { Last::Said } else { Last::Blocked });
        self.stirred.set(true);
        if was_blocked && all {
            // What came meanwhile was not read, and nobody is told of it again.
            self.task.borrow().wake_by_ref();
        }
        self.is_no_pause();
    }

    /// Whoever still had something to say was not between two requests after all.
    fn is_no_pause(&self) {
        if self.told.get() == Some(Told::Sleep) {
            self.told.set(Some(Told::End));
        }
    }

    /// Says something of which the library knows no more. What the peer does not take waits.
    pub(super) fn send(&self, said: &[u8]) {
        let mut unsent = self.unsent.borrow_mut();
        if !unsent.is_empty() {
            unsent.extend_from_slice(said);
            return;
        }
        let taken = match self.stream.borrow().try_write(said) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return self.tell(Told::End),
            taken => taken.unwrap_or(0),
        };
        let rest = said.get(taken..).unwrap_or_default();
        if !rest.is_empty() {
            unsent.extend_from_slice(rest);
            self.said(false);
            // The task waits for the peer from now on.
            self.task.borrow().wake_by_ref();
        } else if self.last.get() == Last::Says {
            // Else something came since, which counts.
            self.said(true);
        }
    }

    /// Goes on with what the peer did not take; ready when nothing of it waits.
    pub(super) fn poll_unsent(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut unsent = self.unsent.borrow_mut();
        while !unsent.is_empty() {
            let mut stream = self.stream.borrow_mut();
            if let Ok(taken @ 1..) = ready!(Pin::new(&mut *stream).poll_write(cx, &unsent)) {
                drop(unsent.drain(..taken));
            } else {
                unsent.clear();
                self.tell(Told::End);
            }
            if unsent.is_empty() {
                *unsent = Vec::new();
                self.said(true);
            }
        }
        Poll::Ready(())
    }

    /// Ready when a sleeping connection has something to read, or, with `false`, when it is over.
    pub(super) fn poll_woken(&self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.told.get() == Some(Told::End) {
            return Poll::Ready(false);
        }
        let mut byte = [0; 1];
        let seen = ready!(self.stream.borrow().poll_peek(cx, &mut ReadBuf::new(&mut byte)));
        Poll::Ready(seen.is_ok_and(|bytes| bytes > 0))
    }
}

/// The connections of one worker.
pub(super) struct Room {
    head: Duration,
    seats: RefCell<Vec<Rc<Seat>>>,
    awake: Cell<usize>,
    looked: Cell<Instant>,
    count_awake: Gauge,
    count_asleep: Gauge,
}

impl Room {
    pub(super) fn new(head: Duration) -> Rc<Self> {
        Rc::new(Self {
            head,
            seats: RefCell::default(),
            awake: Cell::new(0),
            looked: Cell::new(Instant::now()),
            count_awake: metrics::gauge!("cnx_connections", "state" => "awake"),
            count_asleep: metrics::gauge!("cnx_connections", "state" => "asleep"),
        })
    }

    /// Lets every connection know what it is due.
    fn look(&self, now: Instant) {
        self.looked.set(now);
        let many = self.awake.get() > MANY;
        for seat in self.seats.borrow().iter() {
            if seat.stirred.take() {
                seat.since.set(now);
            } else if let Some(told) = seat.due(now.duration_since(seat.since.get()), many, self.head) {
                seat.tell(told);
            }
        }
    }

    /// Ends the connections that wait for a request. One that is answered ends by its answer, which says so.
    fn dismiss(&self) {
        for seat in self.seats.borrow().iter() {
            if !seat.turns.is_answering() && seat.last.get() != Last::Blocked {
                seat.tell(Told::End);
            }
        }
    }

    /// One more is awake: others may have to sleep for it.
    fn wake_one(&self) {
        self.awake.set(self.awake.get() + 1);
        self.count_awake.increment(1.0);
        if self.awake.get() > MANY {
            let now = Instant::now();
            if now.duration_since(self.looked.get()) >= PAUSE {
                self.look(now);
            }
        }
    }

    fn one_less_awake(&self) {
        self.awake.set(self.awake.get() - 1);
        self.count_awake.decrement(1.0);
    }
}

/// Looks around until the worker ends.
pub(super) async fn rounds(room: Rc<Room>, stopped: impl Future<Output = ()>) {
    let mut stopped = std::pin::pin!(stopped);
    loop {
        tokio::select! {
            () = &mut stopped => break,
            () = tokio::time::sleep(ROUND) => room.look(Instant::now()),
        }
    }
    loop {
        room.dismiss();
        tokio::time::sleep(STOPPING).await;
    }
}

/// A connection's place among the others, for as long as it is open.
pub(super) struct Guest {
    room: Rc<Room>,
    pub(super) seat: Rc<Seat>,
}

impl Guest {
    pub(super) fn enter(room: Rc<Room>, stream: TcpStream) -> Self {
        let seat = Rc::new(Seat {
            place: Cell::new(room.seats.borrow().len()),
            turns: Rc::default(),
            last: Cell::new(Last::Opened),
            ends_head: Cell::new(false),
            begun_before: Cell::new(0),
            stirred: Cell::new(true),
            since: Cell::new(room.looked.get()),
            told: Cell::new(None),
            asleep: Cell::new(true),
            task: RefCell::new(Waker::noop().clone()),
            stream: RefCell::new(stream),
            unsent: RefCell::default(),
        });
        room.seats.borrow_mut().push(Rc::clone(&seat));
        room.count_asleep.increment(1.0);
        Self { room, seat }
    }

    pub(super) fn sleep(&self) {
        self.seat.told.set(None);
        self.seat.asleep.set(true);
        self.room.one_less_awake();
        self.room.count_asleep.increment(1.0);
    }

    pub(super) fn wake(&self) {
        self.seat.asleep.set(false);
        // It is about to be read, which others do not see yet.
        self.seat.stirred.set(true);
        self.room.count_asleep.decrement(1.0);
        self.room.wake_one();
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if self.seat.asleep.get() {
            self.room.count_asleep.decrement(1.0);
        } else {
            self.room.one_less_awake();
        }
        let mut seats = self.room.seats.borrow_mut();
        let place = self.seat.place.get();
        seats.swap_remove(place);
        if let Some(moved) = seats.get(place) {
            moved.place.set(place);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A connection's place in `room`, and its peer.
    pub(in crate::serve) async fn guest(room: &Rc<Room>) -> (Guest, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        stream.writable().await.unwrap();
        (Guest::enter(Rc::clone(room), stream), peer)
    }

    #[tokio::test]
    async fn a_connection_is_due_by_its_silence_and_by_whose_turn_it_is() {
        let room = Room::new(Duration::from_secs(5));
        let (guest, _peer) = guest(&room).await;
        let due = |last, seconds, many| {
            guest.seat.last.set(last);
            guest.seat.due(Duration::from_secs(seconds), many, room.head)
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
        let room = Room::new(Duration::from_secs(5));
        let (guest, _peer) = guest(&room).await;
        guest.seat.says();
        guest.seat.came(b"GET /");
        guest.seat.send(b"an answer");
        assert!(guest.seat.last.get() == Last::Came, "the time of its head is limited");
        guest.seat.says();
        guest.seat.send(b"an answer");
        assert!(guest.seat.last.get() == Last::Said);
    }

    #[tokio::test]
    async fn those_who_leave_make_no_gap() {
        let room = Room::new(Duration::from_secs(5));
        let mut guests = Vec::new();
        for _ in 0..5 {
            guests.push(guest(&room).await.0);
        }
        guests.iter().for_each(Guest::wake);
        assert_eq!(room.awake.get(), 5);
        for leaves in [1, 3, 0, 0, 0] {
            drop(guests.remove(leaves));
            let seats = room.seats.borrow();
            assert_eq!((seats.len(), room.awake.get()), (guests.len(), guests.len()));
            assert!(seats.iter().enumerate().all(|(place, seat)| seat.place.get() == place));
        }
    }
}
