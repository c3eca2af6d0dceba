//! The other end of a WebSocket (RFC 6455), as small as the tests need it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::time::{Duration, Instant};

use crate::wire::{Heard, Wire};

pub struct Socket {
    wire: Wire,
    unread: Vec<u8>,
}

/// What comes over a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    Text(String),
    /// The number of the reason; 1005 when there is none (RFC 6455 §7.1.5).
    Close(u16),
    Other(u8),
}

impl Socket {
    /// Opens one with these headers beside the handshake's own; `Err` is an answer that is no `101`.
    pub fn open(base: &str, path: &str, headers: &str) -> Result<Self, Heard> {
        let mut wire = Wire::open(base);
        // The key and its answer are the example of RFC 6455 §1.3.
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        assert!(wire.send(request.as_bytes()));
        let heard = wire.answer(Duration::from_secs(10));
        if heard.status() != 101 {
            return Err(heard);
        }
        assert_eq!(heard.header("sec-websocket-accept").as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        Ok(Self { wire, unread: Vec::new() })
    }

    /// Says good-bye; what goes to the server is masked, here with nothing.
    pub fn say_close(&mut self) {
        self.wire.0.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8]).unwrap();
    }

    /// The next frame, or nothing within `patience` or until the connection ends.
    pub fn next(&mut self, patience: Duration) -> Option<Frame> {
        let began = Instant::now();
        let mut buffer = [0; 4096];
        loop {
            if let Some(frame) = self.take() {
                return Some(frame);
            }
            let left = patience.checked_sub(began.elapsed()).filter(|left| !left.is_zero())?;
            self.wire.0.set_read_timeout(Some(left)).unwrap();
            match self.wire.0.read(&mut buffer) {
                Ok(0) => return None,
                Ok(n) => self.unread.extend_from_slice(&buffer[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return None,
            }
        }
    }

    /// A whole frame out of what was read; a server's is not masked.
    fn take(&mut self) -> Option<Frame> {
        let (first, second) = (*self.unread.first()?, *self.unread.get(1)?);
        let (start, length) = match second {
            126 => (4, usize::from(u16::from_be_bytes([*self.unread.get(2)?, *self.unread.get(3)?]))),
            short => (2, usize::from(short)),
        };
        let body = self.unread.get(start..start + length)?.to_vec();
        self.unread.drain(..start + length);
        Some(match first & 0x0F {
            1 => Frame::Text(String::from_utf8(body).unwrap()),
            8 if body.len() >= 2 => Frame::Close(u16::from_be_bytes([body[0], body[1]])),
            8 => Frame::Close(1005),
            other => Frame::Other(other),
        })
    }
}
