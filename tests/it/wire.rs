//! A bare connection: bytes out, bytes in, for requests that no well-behaved client would send.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A connection to a server on this machine.
pub struct Wire(pub TcpStream);

/// What came back until the server closed, or patience ended.
#[derive(Clone, Debug)]
pub struct Heard {
    pub text: String,
    pub closed: bool,
}

impl Wire {
    /// Connects to the port of `base`, which is `http://HOST:PORT`.
    pub fn open(base: &str) -> Self {
        let port = url::Url::parse(base).unwrap().port().unwrap();
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    /// The same, as a client at another address of this machine.
    pub fn open_from(address: [u8; 4], base: &str) -> Self {
        let port = url::Url::parse(base).unwrap().port().unwrap();
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((address, 0)).into()).unwrap();
        socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into()).unwrap();
        Self(socket.into())
    }

    /// The same, as a client that takes a few kilobytes at a time and no more.
    pub fn narrow(base: &str) -> Self {
        let port = url::Url::parse(base).unwrap().port().unwrap();
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into()).unwrap();
        Self(socket.into())
    }

    /// Sends; a server that has closed already is no failure of the test.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).is_ok()
    }

    /// Reads until the server closes or `patience` is over.
    pub fn rest(&mut self, patience: Duration) -> Heard {
        self.until(patience, |_| false)
    }

    /// Reads one answer with its body (by `Content-Length`; ours have one), or as far as it comes.
    pub fn answer(&mut self, patience: Duration) -> Heard {
        self.until(patience, is_whole)
    }

    fn until(&mut self, patience: Duration, enough: impl Fn(&[u8]) -> bool) -> Heard {
        let began = Instant::now();
        let mut bytes = Vec::new();
        let mut closed = false;
        let mut buffer = [0; 16 * 1024];
        while began.elapsed() < patience && !enough(&bytes) {
            self.0.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            match self.0.read(&mut buffer) {
                Ok(0) => {
                    closed = true;
                    break;
                }
                Ok(n) => bytes.extend_from_slice(&buffer[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => {
                    closed = true;
                    break;
                }
            }
        }
        Heard { text: String::from_utf8_lossy(&bytes).into_owned(), closed }
    }
}

fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(str::to_owned))
        .and_then(|v| v.trim().parse::<usize>().ok());
    length.is_none_or(|length| body.len() >= length)
}

impl Heard {
    /// The status of the first answer; 0 when there is none.
    pub fn status(&self) -> u16 {
        self.text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0)
    }

    /// How many answers came.
    pub fn answers(&self) -> usize {
        self.text.matches("HTTP/1.1 ").count() + self.text.matches("HTTP/1.0 ").count()
    }

    pub fn header(&self, name: &str) -> Option<String> {
        let (head, _) = self.text.split_once("\r\n\r\n")?;
        head.lines().find_map(|line| {
            let (n, value) = line.split_once(':')?;
            n.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }

    /// The number that `/metrics` gives under `name`, its labels included.
    pub fn metric(&self, name: &str) -> Option<usize> {
        let number = self.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        number.map(|number| number.parse().unwrap())
    }

    pub fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }
}

/// Sends `bytes` on a new connection and reads until the server closes or `patience` is over.
pub fn exchange(base: &str, bytes: &[u8], patience: Duration) -> Heard {
    let mut wire = Wire::open(base);
    wire.send(bytes);
    wire.rest(patience)
}

/// The same, when nobody may be listening.
pub fn try_get(base: &str, path: &str) -> Option<Heard> {
    let port = url::Url::parse(base).unwrap().port().unwrap();
    let mut wire = Wire(TcpStream::connect(("127.0.0.1", port)).ok()?);
    wire.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes());
    Some(wire.rest(Duration::from_secs(10)))
}

/// GET on a connection that is closed afterwards; the path goes out as it stands.
pub fn get(base: &str, path: &str) -> Heard {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    exchange(base, request.as_bytes(), Duration::from_secs(10))
}
