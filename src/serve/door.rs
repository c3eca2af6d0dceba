//! The door of the public listener: how many connections one address may hold (F14). One beyond that is reset before a byte of it is read, so
//! that nobody takes the room of all by opening connections; those that the address has already go on.
//!
//! It is asked once when a connection comes and once when it goes, never for a request.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_service::{Service as _, ServiceFactory, apply_fn_factory};
use futures_util::future::{Either, FutureExt as _, ready};
use ipnet::IpNet;
use tokio::net::TcpStream;

use crate::base::address::holder;

/// Where the settings name no number, one address may hold this part of all connections,
const PART: usize = 10;
/// but not fewer than this: an office may be behind one address, and a browser opens six.
const LEAST: usize = 100;
/// How often refusals are logged, at most.
const PAUSE: Duration = Duration::from_secs(60);

/// Who is in, by address.
pub(super) struct Door {
    most: usize,
    trusted: Vec<IpNet>,
    inside: Mutex<HashMap<IpAddr, usize>>,
    refused: Mutex<Refused>,
}

/// What was refused since the log told it.
#[derive(Default)]
struct Refused {
    count: u64,
    told: Option<Instant>,
}

/// A connection that was let in; it is counted until this is dropped.
struct Inside {
    door: Arc<Door>,
    holder: IpAddr,
}

impl Door {
    /// The door before `connections`, of which one address may hold `stated`, and as much as it likes when it is one of `trusted`.
    pub(super) fn new(connections: usize, stated: usize, trusted: &[IpNet]) -> Arc<Self> {
        Arc::new(Self {
            most: most(connections, stated),
            trusted: trusted.to_vec(),
            inside: Mutex::default(),
            refused: Mutex::default(),
        })
    }

    /// Lets a connection in, or does not. One whose peer is gone already is not let in.
    fn enter(self: &Arc<Self>, stream: &TcpStream) -> Option<Inside> {
        let peer = stream.peer_addr().ok()?.ip().to_canonical();
        let holder = holder(peer);
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let count = inside.entry(holder).or_default();
        if *count >= self.most && !self.may_hold_more(peer, stream) {
            drop(inside);
            self.refuse(holder, stream);
            return None;
        }
        *count += 1;
        Some(Inside { door: Arc::clone(self), holder })
    }

    /// A proxy brings the connections of many. So does this machine itself: whoever comes from the address that they come to is on it.
    fn may_hold_more(&self, peer: IpAddr, stream: &TcpStream) -> bool {
        self.trusted.iter().any(|net| net.contains(&peer))
            || stream.local_addr().is_ok_and(|own| own.ip().to_canonical() == peer)
    }

    fn refuse(&self, holder: IpAddr, stream: &TcpStream) {
        metrics::counter!("cnx_connections_refused_total").increment(1);
        // Reset rather than closed: nothing of it stays in our kernel either.
        if let Err(error) = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)) {
            tracing::debug!(%error, "a refused connection is closed the slow way");
        }
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.count += 1;
        let now = Instant::now();
        if refused.told.is_some_and(|told| now.duration_since(told) < PAUSE) {
            return;
        }
        let count = std::mem::take(&mut refused.count);
        refused.told = Some(now);
        drop(refused);
        tracing::warn!(
            address = %holder, most = self.most, refused = count,
            "an address holds all the connections that it may, further ones are refused; if it is a proxy, name it in \
             trusted_proxies, if many people are behind it, raise limits.connections_per_address"
        );
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let mut inside = self.door.inside.lock().unwrap_or_else(PoisonError::into_inner);
        match inside.get_mut(&self.holder) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(inside.remove(&self.holder)),
        }
    }
}

fn most(connections: usize, stated: usize) -> usize {
    if stated > 0 { stated } else { (connections / PART).max(LEAST) }
}

/// Puts the door before what serves connections, TLS included.
pub(super) fn guarded<F>(
    door: Arc<Door>,
    serving: F,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = F::Error, InitError = F::InitError>
where
    F: ServiceFactory<TcpStream, Config = (), Response = ()>,
{
    apply_fn_factory(serving, move |stream: TcpStream, serving: &F::Service| match door.enter(&stream) {
        Some(inside) => Either::Left(serving.call(stream).map(move |ended| {
            drop(inside);
            ended
        })),
        None => Either::Right(ready(Ok(()))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_tenth_where_nothing_is_said_f14() {
        for (connections, stated, expected) in
            [(10_000, 0, 1000), (768, 0, 100), (16, 0, 100), (10_000, 7, 7), (100, 5000, 5000)]
        {
            assert_eq!(most(connections, stated), expected, "{connections} {stated}");
        }
    }

    /// Both ends of a connection from one address of this machine to another.
    async fn connection(from: &str, to: &str) -> (tokio::net::TcpStream, TcpStream) {
        let listener = tokio::net::TcpListener::bind((to, 0)).await.unwrap();
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
        let (client, server) =
            tokio::join!(socket.connect(listener.local_addr().unwrap()), listener.accept());
        (client.unwrap(), server.unwrap().0)
    }

    #[tokio::test]
    async fn whoever_left_is_not_counted_and_costs_no_memory_f14() {
        let door = Door::new(1000, 1, &["127.0.0.4/32".parse().unwrap()]);
        let (_one, first) = connection("127.0.0.2", "127.0.0.1").await;
        let (_two, second) = connection("127.0.0.2", "127.0.0.1").await;
        let (_three, other) = connection("127.0.0.3", "127.0.0.1").await;
        let inside = door.enter(&first);
        assert!(inside.is_some() && door.enter(&second).is_none());
        let of_another = door.enter(&other);
        assert!(of_another.is_some());
        drop(inside);
        assert!(door.enter(&second).is_some(), "there is room again");
        drop(of_another);
        assert!(door.inside.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn proxies_and_this_machine_hold_as_many_as_they_like_f14() {
        let door = Door::new(1000, 1, &["127.0.0.4/32".parse().unwrap()]);
        for (from, expected) in [("127.0.0.4", 5), ("127.0.0.1", 5), ("127.0.0.2", 1)] {
            let mut held = Vec::new();
            for _ in 0..5 {
                let (client, server) = connection(from, "127.0.0.1").await;
                held.extend(door.enter(&server).map(|inside| (inside, client, server)));
            }
            assert_eq!(held.len(), expected, "{from}");
        }
    }
}
