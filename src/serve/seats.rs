//! The connections of a worker that are kept, and what each is due: to sleep, to end, or nothing (`kept.rs` says what sleeping is).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use metrics::Gauge;
use tokio::io::ReadBuf;
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
    /// The stream, on its way back from the library.
    pub(super) stream: Cell<Option<TcpStream>>,
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
            Last::Blocked => None,
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

    /// We said something, and all of it was taken or not.
    pub(super) fn said(&self, all: bool, cx: &Context<'_>) {
        let was_blocked = self.is_blocked();
        self.last.set(if all { Last::Said } else { Last::Blocked });
        self.stirred.set(true);
        if was_blocked && all {
            // What came meanwhile was not read, and nobody is told of it again.
            cx.waker().wake_by_ref();
        }
        // Whoever still had something to say was not between two requests after all.
        if self.told.get() == Some(Told::Sleep) {
            self.told.set(Some(Told::End));
        }
    }

    /// Ready when a sleeping connection has something to read, or, with `false`, when it is over.
    pub(super) fn poll_woken(&self, stream: &TcpStream, cx: &mut Context<'_>) -> Poll<bool> {
        if self.told.get() == Some(Told::End) {
            return Poll::Ready(false);
        }
        let mut byte = [0; 1];
        let seen = ready!(stream.poll_peek(cx, &mut ReadBuf::new(&mut byte)));
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
    pub(super) fn enter(room: Rc<Room>) -> Self {
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
            stream: Cell::new(None),
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
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_is_due_by_its_silence_and_by_whose_turn_it_is() {
        let room = Room::new(Duration::from_secs(5));
        let guest = Guest::enter(Rc::clone(&room));
        let due = |last, seconds, many| {
            guest.seat.last.set(last);
            guest.seat.due(Duration::from_secs(seconds), many, room.head)
        };
        assert!(due(Last::Opened, 4, true).is_none());
        assert!(due(Last::Opened, 5, false) == Some(Told::End));
        // A first head is the library's to count, and what is blocked the system's.
        for last in [Last::Came, Last::Blocked] {
            assert!(due(last, 1000, true).is_none());
        }
        assert!(due(Last::Said, 74, true).is_none());
        assert!(due(Last::Said, 75, false) == Some(Told::End));
        guest.seat.tell(Told::End);
        assert!(due(Last::Said, 75, false).is_none(), "it was told");
    }

    #[test]
    fn those_who_leave_make_no_gap() {
        let room = Room::new(Duration::from_secs(5));
        let mut guests: Vec<Guest> = (0..5).map(|_| Guest::enter(Rc::clone(&room))).collect();
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
