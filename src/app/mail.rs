//! The way out for mail: an SMTP server, a folder for development, or none. What waits to leave lies in the database; here one letter is
//! handed over.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::base::id::MailId;
use crate::base::time::Timestamp;
use crate::config::Settings;

/// How long an SMTP server may take for one letter.
const PATIENCE: Duration = Duration::from_secs(45);

/// What one person is told. Its text may hold a one-time link: no `Debug`, and sealed wherever it lies.
#[derive(Clone, Serialize, Deserialize)]
pub struct Letter {
    /// Their address.
    pub to: String,
    /// One line.
    pub subject: String,
    /// Plain text, lines ended by LF.
    pub text: String,
    /// When it was written, in seconds.
    pub written_at: i64,
    /// From when on it says nothing any more, in seconds: its link is dead, or its news old.
    pub useless_at: i64,
}

/// How mail leaves this node.
pub enum Mailer {
    /// Not at all.
    Off,
    /// Each letter becomes a file.
    Folder {
        /// Where.
        folder: PathBuf,
        /// Whom it is from.
        from: Mailbox,
    },
    /// To an SMTP server.
    Smtp {
        /// The server.
        server: Box<AsyncSmtpTransport<Tokio1Executor>>,
        /// Whom it is from.
        from: Mailbox,
    },
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "Off",
            Self::Folder { .. } => "Folder",
            Self::Smtp { .. } => "Smtp",
        })
    }
}

/// Mail of this node.
#[derive(Debug)]
pub struct Mail {
    mailer: Mailer,
    /// What stands behind the `@` of a `Message-ID`.
    host: String,
    due: Notify,
}

impl Mail {
    /// As the settings say.
    ///
    /// # Errors
    /// The setting that cannot be used, and why.
    pub(super) fn open(settings: &Settings) -> Result<Self, String> {
        let stated = &settings.mail;
        let from = || -> Result<Mailbox, String> {
            stated.from.parse().map_err(|_| {
                format!(
                    "mail.from: \"{}\" is not an address; id@example.com or Example Identity <id@example.com> is allowed",
                    stated.from
                )
            })
        };
        let mailer = match (&stated.smtp_url, &stated.folder) {
            (Some(url), _) => {
                let mut server = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.reveal())
                    .map_err(|error| format!("mail.smtp_url: {error}"))?
                    .timeout(Some(PATIENCE));
                if let Some(path) = &settings.outbound.extra_ca
                    && let Some(tls) = trusting(path, url.reveal())?
                {
                    server = server.tls(tls);
                }
                let server = server.build();
                Mailer::Smtp { server: Box::new(server), from: from()? }
            }
            (None, Some(folder)) => Mailer::Folder { folder: folder.clone(), from: from()? },
            (None, None) => Mailer::Off,
        };
        Ok(Self { mailer, host: settings.public_url.host().to_owned(), due: Notify::new() })
    }

    /// Whether mail leaves here at all. Without it pages say what to do instead.
    pub const fn is_on(&self) -> bool {
        !matches!(self.mailer, Mailer::Off)
    }

    /// The folder, where mail is written and not sent.
    pub fn folder(&self) -> Option<&Path> {
        match &self.mailer {
            Mailer::Folder { folder, .. } => Some(folder),
            Mailer::Off | Mailer::Smtp { .. } => None,
        }
    }

    /// Tells the job that something was put into the outbox. Call it after the commit.
    pub fn wake(&self) {
        self.due.notify_one();
    }

    /// Waits until [`Mail::wake`].
    pub async fn woken(&self) {
        self.due.notified().await;
    }

    /// Hands a letter over.
    ///
    /// # Errors
    /// Why it was not taken, without a word of what it says.
    pub async fn send(&self, id: MailId, letter: &Letter) -> Result<(), String> {
        match &self.mailer {
            Mailer::Off => Err("mail is off".to_owned()),
            Mailer::Folder { folder, from } => {
                let (folder, text) = (folder.clone(), as_file(id, from, letter));
                let written = tokio::task::spawn_blocking(move || write(&folder, id, &text)).await;
                written.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
            }
            Mailer::Smtp { server, from } => {
                let message = message(id, &self.host, from, letter)?;
                let sent = tokio::time::timeout(PATIENCE, server.send(message)).await;
                sent.map_err(|_| "the server did not take it in time".to_owned())?
                    .map(|_| ())
                    .map_err(|error| error.to_string())
            }
        }
    }
}

/// Whether the mail server of the settings takes us in, as for a letter: its TLS, our name and password. Fine where mail leaves otherwise.
///
/// # Errors
/// What it said, or what could not be done.
pub async fn greet(settings: &Settings) -> Result<(), String> {
    let Mailer::Smtp { server, .. } = Mail::open(settings)?.mailer else { return Ok(()) };
    match tokio::time::timeout(PATIENCE, server.test_connection()).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err("it does not answer".to_owned()),
        Ok(Err(error)) => Err(one_line(&error.to_string())),
        Err(_) => Err("it does not answer in time".to_owned()),
    }
}

/// TLS that trusts our own authorities as well, where the address asks for TLS at all.
fn trusting(path: &Path, address: &str) -> Result<Option<Tls>, String> {
    let wrong = |error: &dyn fmt::Display| format!("outbound.extra_ca {}: {error}", path.display());
    let address = url::Url::parse(address).map_err(|error| format!("mail.smtp_url: {error}"))?;
    let wrapped = address.scheme() == "smtps";
    if !wrapped && address.query().is_none() {
        return Ok(None);
    }
    let pem = std::fs::read(path).map_err(|error| wrong(&error))?;
    let certificates = Certificate::from_pem(&pem).map_err(|error| wrong(&error))?;
    let host = address.host_str().unwrap_or_default().to_owned();
    let parameters = TlsParameters::builder(host)
        .add_root_certificate(certificates)
        .build_rustls()
        .map_err(|error| wrong(&error))?;
    Ok(Some(if wrapped { Tls::Wrapper(parameters) } else { Tls::Required(parameters) }))
}

/// Text that stays within its header line.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The letter as RFC 5322 has it. Names stand in no header, and addresses are read, so that nobody adds a header of their own.
fn message(id: MailId, host: &str, from: &Mailbox, letter: &Letter) -> Result<Message, String> {
    let to: Address = letter.to.parse().map_err(|_| "the address cannot be written to".to_owned())?;
    let written = Duration::from_secs(u64::try_from(letter.written_at).unwrap_or(0));
    let header = |name: &'static str, value: &str| {
        HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
    };
    Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .subject(one_line(&letter.subject))
        .date(UNIX_EPOCH + written)
        .message_id(Some(format!("<{id}@{host}>")))
        // RFC 3834: no machine answers it.
        .raw_header(header("Auto-Submitted", "auto-generated"))
        .header(ContentType::TEXT_PLAIN)
        .body(letter.text.clone())
        .map_err(|error| error.to_string())
}

/// The letter as it lies in the folder: to be read by people.
fn as_file(id: MailId, from: &Mailbox, letter: &Letter) -> String {
    let date = Timestamp::from_secs(letter.written_at).to_rfc3339();
    format!(
        "From: {from}\nTo: {}\nSubject: {}\nDate: {date}\nMessage-ID: {id}\nContent-Type: text/plain; charset=utf-8\n\n{}",
        one_line(&letter.to),
        one_line(&letter.subject),
        letter.text
    )
}

/// Under its id, which begins with the time; whole or not at all.
fn write(folder: &Path, id: MailId, text: &str) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let part = folder.join(format!("{id}.part"));
    std::fs::write(&part, text)?;
    std::fs::rename(part, folder.join(format!("{id}.txt")))
}

/// A letter of the folder, for the page that shows them in development.
#[derive(Clone, Debug)]
pub struct Written {
    /// To whom.
    pub to: String,
    /// Its subject.
    pub subject: String,
    /// When, as RFC 3339.
    pub date: String,
    /// What it says.
    pub text: String,
}

/// The newest letters of a folder, the newest first.
///
/// # Errors
/// What the system said.
pub fn newest(folder: &Path, limit: usize) -> std::io::Result<Vec<Written>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "txt"))
        .collect();
    paths.sort_unstable_by(|a, b| b.cmp(a));
    paths.truncate(limit);
    paths.iter().map(|path| std::fs::read_to_string(path).map(|text| read(&text))).collect()
}

fn read(file: &str) -> Written {
    let (head, text) = file.split_once("\n\n").unwrap_or((file, ""));
    let header = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim().to_owned()
    };
    Written { to: header("To:"), subject: header("Subject:"), date: header("Date:"), text: text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::entropy::Entropy;
    use crate::base::time::Clock;

    fn letter(to: &str, subject: &str) -> Letter {
        Letter {
            to: to.to_owned(),
            subject: subject.to_owned(),
            text: "Hello\n.\nBcc: eve@example.com\n".to_owned(),
            written_at: 1_800_000_000,
            useless_at: 1_800_003_600,
        }
    }

    #[test]
    fn nobody_adds_a_header_or_a_recipient() {
        let id = MailId::new(&Clock::System, &Entropy::seeded(1));
        let from: Mailbox = "Identity <id@example.com>".parse().unwrap();
        for to in [
            "ada@example.com\r\nBcc: eve@example.com",
            "ada@example.com, eve@example.com",
            "Ada <ada@example.com>",
            "",
            "ada",
        ] {
            assert!(message(id, "id.example.com", &from, &letter(to, "x")).is_err(), "{to:?}");
        }
        let written = message(
            id,
            "id.example.com",
            &from,
            &letter("ada@example.com", "a\r\nBcc: eve@example.com\r\n\r\nb"),
        )
        .unwrap();
        let text = String::from_utf8(written.formatted()).unwrap();
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
        assert_eq!(written.envelope().to().len(), 1);
        assert!(
            head.contains("Auto-Submitted: auto-generated")
                && head.contains(&format!("Message-ID: <{id}@id.example.com>")),
            "{head}"
        );
        let file = as_file(id, &from, &letter("ada@example.com", "a\nTo: eve@example.com\n\nb"));
        let read = read(&file);
        assert_eq!(
            (read.to.as_str(), read.subject.as_str()),
            ("ada@example.com", "a To: eve@example.com  b")
        );
        assert!(read.text.starts_with("Hello\n"));
    }
}
