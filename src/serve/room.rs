//! The connections of one worker, and the looks that it takes at them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use metrics::Gauge;

use super::seats::{PAUSE, Seat, Told};
use super::stream::Stream;

/// How often a worker looks at its connections; where there are many, in between too, but not before `PAUSE` is over.
const ROUND: Duration = Duration::from_secs(1);
/// How often it looks once it is told to stop.
const STOPPING: Duration = Duration::from_millis(20);
/// From how many on that are awake the silent ones are put to sleep, for each worker: fewer cost less than the waking would.
const MANY: usize = 256;

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
            if !seat.turns.is_answering() && !seat.is_blocked() {
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
    pub(super) fn enter(room: Rc<Room>, stream: Stream) -> Self {
        let place = room.seats.borrow().len();
        let seat = Rc::new(Seat::new(place, room.looked.get(), stream));
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
    use tokio::net::{TcpListener, TcpStream};
    use tokio_util::either::Either;

    use super::*;

    /// A connection's place in `room`, and its peer.
    pub(in crate::serve) async fn guest(room: &Rc<Room>) -> (Guest, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        stream.writable().await.unwrap();
        (Guest::enter(Rc::clone(room), Either::Left(stream)), peer)
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
