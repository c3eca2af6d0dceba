//! One connection to one node, kept open: requests go out one after the other, and it is always known whether one may have arrived.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than any answer takes; a node that is killed answers at once, with the end of the connection.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came of a request.
pub enum Heard {
    /// Nobody listened: the node has not seen it.
    NotSent,
    /// It went out, and no whole answer came back.
    Lost,
    Answer(Answer),
}

pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (n, value) = line.split_once(':')?;
            n.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// A member of a JSON body, as text.
    pub fn member(&self, name: &str) -> Option<String> {
        let json: serde_json::Value = serde_json::from_str(&self.body).ok()?;
        json[name].as_str().map(str::to_owned)
    }
}

#[derive(Default)]
pub struct Line {
    stream: Option<TcpStream>,
    /// Which life of the node it was opened to.
    life: u32,
}

impl Line {
    /// Sends a whole request. `life` counts the starts of the node: a connection to a process that is gone is not tried again.
    pub fn ask(&mut self, port: u16, life: u32, request: &[u8]) -> Heard {
        if self.life != life {
            self.stream = None;
        }
        let stream = match self.stream.take() {
            Some(stream) => stream,
            None => match TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), PATIENCE) {
                Ok(stream) => stream,
                Err(_) => return Heard::NotSent,
            },
        };
        self.life = life;
        match exchange(&stream, request) {
            Some(answer) => {
                if answer.header("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close")) {
                    self.stream = Some(stream);
                }
                Heard::Answer(answer)
            }
            None => Heard::Lost,
        }
    }
}

fn exchange(mut stream: &TcpStream, request: &[u8]) -> Option<Answer> {
    stream.set_nodelay(true).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(request).ok()?;
    let (mut bytes, mut buffer) = (Vec::new(), [0; 8 * 1024]);
    loop {
        let n = stream.read(&mut buffer).ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&buffer[..n]);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut answer = Answer { status: head.split(' ').nth(1)?.parse().ok()?, head, body: String::new() };
        let length: usize = answer.header("content-length").unwrap_or("0").parse().ok()?;
        assert!(
            answer.header("transfer-encoding").is_none(),
            "our answers say how long they are: {}",
            answer.head
        );
        while bytes.len() < end + 4 + length {
            let n = stream.read(&mut buffer).ok().filter(|n| *n > 0)?;
            bytes.extend_from_slice(&buffer[..n]);
        }
        answer.body = String::from_utf8_lossy(&bytes[end + 4..]).into_owned();
        return Some(answer);
    }
}
