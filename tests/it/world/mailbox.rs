//! Where the mail of a world goes: a folder, or a small SMTP server of the test's own.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cnx::app::{Written, newest};
use cnx::base::secret::Secret;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

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
        // What comes later has a later id: within one second their order would be chance.
        self.advance(1);
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

/// An SMTP server that takes everything, unless it is told to refuse those who show who they are.
#[derive(Clone, Debug, Default)]
pub struct Smtp {
    received: Arc<Mutex<Vec<Received>>>,
    proofs: Arc<Mutex<Vec<String>>>,
    refuses: Arc<AtomicBool>,
}

impl Smtp {
    /// Listens on this port until the test ends.
    pub fn listen(port: u16) -> Self {
        Self::serve(port, Self::talk)
    }

    /// The same behind TLS from the first byte on, with this certificate and key.
    pub fn listen_with_tls(port: u16, cert: &Path, key: &Path) -> Self {
        let chain = CertificateDer::pem_file_iter(cert).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let config = Arc::new(config);
        Self::serve(port, move |smtp, stream| {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            smtp.talk(rustls::StreamOwned::new(connection, stream));
        })
    }

    fn serve(port: u16, talk: impl Fn(&Self, TcpStream) + Clone + Send + 'static) -> Self {
        let smtp = Self::default();
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let taken = smtp.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (taken, talk) = (taken.clone(), talk.clone());
                std::thread::spawn(move || talk(&taken, stream));
            }
        });
        smtp
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// What was said with `AUTH`.
    pub fn proofs(&self) -> Vec<String> {
        self.proofs.lock().unwrap().clone()
    }

    /// From now on no password is the right one.
    pub fn refuse(&self) {
        self.refuses.store(true, Ordering::SeqCst);
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

    fn talk(&self, stream: impl Read + Write) {
        let mut stream = BufReader::new(stream);
        let say = |stream: &mut BufReader<_>, text: &str| {
            let out: &mut dyn Write = stream.get_mut();
            let _ = out.write_all(format!("{text}\r\n").as_bytes()).and_then(|()| out.flush());
        };
        say(&mut stream, "220 test");
        let (mut to, mut data, mut in_data) = (Vec::new(), String::new(), false);
        let mut line = String::new();
        while matches!({ line.clear(); stream.read_line(&mut line) }, Ok(read) if read > 0) {
            let text = line.trim_end_matches(['\r', '\n']).to_owned();
            if in_data {
                if text == "." {
                    in_data = false;
                    let (to, data) = (std::mem::take(&mut to), std::mem::take(&mut data));
                    self.received.lock().unwrap().push(Received { to, data });
                    say(&mut stream, "250 taken");
                } else {
                    data.push_str(text.strip_prefix('.').unwrap_or(&text));
                    data.push('\n');
                }
                continue;
            }
            let word = text.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            let answer = match word.as_str() {
                "EHLO" => "250-test\r\n250 AUTH PLAIN LOGIN",
                "AUTH" => {
                    self.proofs.lock().unwrap().push(text.clone());
                    if self.refuses.load(Ordering::SeqCst) {
                        "535 5.7.8 not taken in"
                    } else {
                        "235 taken in"
                    }
                }
                "RCPT" => {
                    to.push(text.split(['<', '>']).nth(1).unwrap_or_default().to_owned());
                    "250 ok"
                }
                "DATA" => {
                    in_data = true;
                    "354 go on"
                }
                "QUIT" => "221 bye",
                _ => "250 ok",
            };
            say(&mut stream, answer);
            if word == "QUIT" {
                return;
            }
        }
    }
}
