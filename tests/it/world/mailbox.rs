//! Where the mail of a world goes: a folder, or a small SMTP server of the test's own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cnx::app::{Written, newest};
use cnx::base::secret::Secret;

use super::World;

/// Text of a mail after its link's first line, as people see it.
pub fn link_in(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| line.starts_with("http") && line.contains("token="));
    line.unwrap_or_else(|| panic!("no link: {text}")).to_owned()
}

impl World {
    /// The same world with a folder for its mail.
    pub async fn with_mail_folder(mut self) -> Self {
        self.settings.mail.folder = Some(self.settings.data_dir.join("mail"));
        self.settings.mail.from = "Test <id@example.com>".to_owned();
        self.restart().await;
        self
    }

    /// The same world with an SMTP server for its mail.
    pub async fn with_smtp(mut self, port: u16) -> Self {
        self.settings.mail.smtp_url = Some(Secret::new(format!("smtp://127.0.0.1:{port}")));
        self.settings.mail.from = "Test <id@example.com>".to_owned();
        self.restart().await;
        self
    }

    fn mail_folder(&self) -> PathBuf {
        self.settings.mail.folder.clone().expect("a folder for mail")
    }

    /// The mails of the folder, the oldest first, once there are so many; and a moment later there are no more.
    pub async fn mails(&self, count: usize) -> Vec<Written> {
        let mut found = Vec::new();
        for _ in 0..100 {
            found = newest(&self.mail_folder(), 100).unwrap();
            if found.len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
        found = newest(&self.mail_folder(), 100).unwrap_or(found);
        assert_eq!(found.len(), count, "{:?}", found.iter().map(|mail| &mail.subject).collect::<Vec<_>>());
        found.reverse();
        found
    }

    /// The newest of so many mails.
    pub async fn last_mail(&self, count: usize) -> Written {
        self.mails(count).await.pop().unwrap()
    }
}

/// A mail as an SMTP server got it.
#[derive(Clone, Debug)]
pub struct Received {
    pub to: Vec<String>,
    pub data: String,
}

/// An SMTP server that takes everything.
#[derive(Clone, Debug, Default)]
pub struct Smtp(Arc<Mutex<Vec<Received>>>);

impl Smtp {
    /// Listens on this port until the test ends.
    pub fn listen(port: u16) -> Self {
        let smtp = Self::default();
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let taken = smtp.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let taken = taken.clone();
                std::thread::spawn(move || taken.talk(&stream));
            }
        });
        smtp
    }

    pub fn received(&self) -> Vec<Received> {
        self.0.lock().unwrap().clone()
    }

    /// Waits until there are so many.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        for _ in 0..200 {
            if self.received().len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.received()
    }

    fn talk(&self, stream: &TcpStream) {
        let say = |text: &str| {
            let mut out = stream;
            let _ = out.write_all(format!("{text}\r\n").as_bytes());
        };
        say("220 test");
        let (mut to, mut data, mut in_data) = (Vec::new(), String::new(), false);
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if in_data {
                if line == "." {
                    in_data = false;
                    let (to, data) = (std::mem::take(&mut to), std::mem::take(&mut data));
                    self.0.lock().unwrap().push(Received { to, data });
                    say("250 taken");
                } else {
                    data.push_str(line.strip_prefix('.').unwrap_or(&line));
                    data.push('\n');
                }
                continue;
            }
            let word = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            match word.as_str() {
                "EHLO" | "HELO" => say("250 test"),
                "RCPT" => {
                    to.push(line.split(['<', '>']).nth(1).unwrap_or_default().to_owned());
                    say("250 ok");
                }
                "DATA" => {
                    in_data = true;
                    say("354 go on");
                }
                "QUIT" => return say("221 bye"),
                _ => say("250 ok"),
            }
        }
    }
}
