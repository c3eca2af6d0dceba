//! The two settings that are more than text: the issuer and the address of the database.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use url::{Host, Url};
use zeroize::Zeroizing;

/// The issuer (RFC 8414 §2): scheme, host and port, in the one way of writing them that the URL standard gives.
#[derive(Clone, PartialEq, Eq)]
pub struct Issuer {
    text: String,
    host: String,
    https: bool,
    loopback: bool,
}

impl Issuer {
    /// Reads an issuer; the error says what is allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|_| format!("\"{text}\" is not a URL; {SHAPE}"))?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(format!("its scheme is \"{}\"; {SHAPE}", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!("a user name or password is not allowed in it; {SHAPE}"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!("\"?\" and \"#\" are not allowed in it; {SHAPE}"));
        }
        if url.path() != "/" {
            return Err(format!("a path (\"{}\") is not allowed in it; {SHAPE}", url.path()));
        }
        // Byte-identical everywhere (S-M1): clients compare the issuer as text, so it must be the canonical text.
        let origin = url.origin().ascii_serialization();
        let written = text.strip_suffix('/').unwrap_or(text);
        if written != origin {
            return Err(format!("write it as \"{origin}\""));
        }
        let loopback = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => return Err(format!("it has no host; {SHAPE}")),
        };
        let host = url.host_str().unwrap_or_default().to_owned();
        Ok(Self { text: origin, host, https: url.scheme() == "https", loopback })
    }

    /// The issuer as tokens and metadata carry it: without a trailing slash.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The web origin (RFC 6454); the same text, because the issuer has no path.
    pub fn origin(&self) -> &str {
        &self.text
    }

    /// The host, IPv6 in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether browsers reach it over TLS.
    pub const fn is_https(&self) -> bool {
        self.https
    }

    /// Whether the host is this machine: `localhost`, 127.0.0.0/8 or `[::1]`.
    pub const fn is_loopback(&self) -> bool {
        self.loopback
    }
}

const SHAPE: &str =
    "https://HOST or https://HOST:PORT is allowed, http only for localhost, 127.0.0.1 and [::1]";

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Issuer({})", self.text)
    }
}

/// Where the database is. It may hold a password, so that `Debug` shows it masked.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    text: Zeroizing<String>,
    /// Set for SQLite.
    path: Option<PathBuf>,
}

impl DatabaseUrl {
    /// Reads `sqlite:PATH` or `postgres://…`; the error says what is allowed and never repeats the value.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = plain_file(path).ok_or_else(|| {
                "sqlite:PATH needs the path of a file, such as sqlite:./data/cnx.db or sqlite:/var/lib/cnx/cnx.db".to_owned()
            })?;
            return Ok(Self { text: Zeroizing::new(text.to_owned()), path: Some(path) });
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            Url::parse(text).map_err(|e| format!("it is not a PostgreSQL URL: {e}; {DATABASE_SHAPE}"))?;
            return Ok(Self { text: Zeroizing::new(text.to_owned()), path: None });
        }
        Err(DATABASE_SHAPE.to_owned())
    }

    /// A SQLite file in a folder.
    pub fn in_folder(folder: &Path) -> Self {
        let path = folder.join("cnx.db");
        Self { text: Zeroizing::new(format!("sqlite:{}", path.display())), path: Some(path) }
    }

    /// The URL with everything in it, for opening the database.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The URL as a person may see it.
    pub fn masked(&self) -> String {
        if self.is_sqlite() { self.text.to_string() } else { masked_url(&self.text) }
    }

    /// Whether it is a SQLite file.
    pub const fn is_sqlite(&self) -> bool {
        self.path.is_some()
    }

    /// The SQLite file.
    pub fn sqlite_path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}

const DATABASE_SHAPE: &str = "sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/NAME is allowed";

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({})", self.masked())
    }
}

/// A path that names a file as the operating system reads it. `//host/…`, `?options` and `:memory:` are other
/// programs' ways of writing and would name a file that nobody meant.
fn plain_file(path: &str) -> Option<PathBuf> {
    let absolute_with_slashes = path.starts_with("///");
    let foreign =
        (path.starts_with("//") && !absolute_with_slashes) || path.contains('?') || path.starts_with(':');
    if path.is_empty() || foreign || path.ends_with('/') || path.contains('\0') {
        return None;
    }
    Some(PathBuf::from(if absolute_with_slashes { path.trim_start_matches("//") } else { path }))
}

/// A URL with its password, and every query value that may be one, replaced.
pub(super) fn masked_url(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else { return "•••".to_owned() };
    if url.password().is_some() && url.set_password(Some("***")).is_err() {
        return "•••".to_owned();
    }
    let secret = |name: &str| name.to_ascii_lowercase().contains("pass");
    if url.query_pairs().any(|(name, _)| secret(&name)) {
        let pairs: Vec<(String, String)> = url
            .query_pairs()
            .map(|(n, v)| (n.to_string(), if secret(&n) { "***".to_owned() } else { v.to_string() }))
            .collect();
        url.query_pairs_mut().clear().extend_pairs(pairs);
    }
    url.to_string()
}

/// Whether an address is this machine's own.
pub(super) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_an_origin_and_nothing_more() {
        for good in [
            "https://id.example.com",
            "https://id.example.com:8443",
            "http://localhost:8080",
            "http://[::1]:1",
        ] {
            assert_eq!(Issuer::parse(good).unwrap().as_str(), good);
        }
        assert_eq!(Issuer::parse("https://id.example.com/").unwrap().as_str(), "https://id.example.com");
        for bad in [
            "",
            "id.example.com",
            "ftp://x",
            "https://u@x",
            "https://u:p@x",
            "https://x/?",
            "https://x?a",
            "https://x/#",
            "https://x/a",
            "https://X",
            "https://x:443",
            "http://x:80",
            "https://x//",
            " https://x",
            "https://bücher.example",
            "data:x",
        ] {
            assert!(Issuer::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(
            Issuer::parse("https://ID.example.com:443").unwrap_err(),
            "write it as \"https://id.example.com\""
        );
    }

    #[test]
    fn loopback_is_recognised_by_host() {
        for (text, loopback) in [
            ("http://localhost:8080", true),
            ("http://127.0.0.1", true),
            ("http://127.1.2.3:4", true),
            ("http://[::1]:8080", true),
            ("http://localhost.example.com", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(Issuer::parse(text).unwrap().is_loopback(), loopback, "{text}");
        }
    }

    #[test]
    fn a_database_is_named_by_scheme_and_shown_masked() {
        let file = DatabaseUrl::parse("sqlite:./data/cnx.db").unwrap();
        assert_eq!(file.sqlite_path(), Some(Path::new("./data/cnx.db")));
        assert_eq!(DatabaseUrl::parse("sqlite:///a/b").unwrap().sqlite_path(), Some(Path::new("/a/b")));
        for bad in [
            "",
            "sqlite:",
            "sqlite::memory:",
            "sqlite://a/b",
            "sqlite:a?mode=ro",
            "mysql://x",
            "cnx.db",
            "host=x dbname=y",
        ] {
            assert!(DatabaseUrl::parse(bad).is_err(), "{bad}");
        }
        let server =
            DatabaseUrl::parse("postgres://cnx:hunter2@db:5432/cnx?sslpassword=hunter3&sslmode=require")
                .unwrap();
        assert!(!server.is_sqlite());
        assert!(server.as_str().contains("hunter2"));
        let shown = format!("{server:?}");
        assert!(!shown.contains("hunter"), "{shown}");
        assert!(shown.contains("cnx:***@db:5432/cnx") && shown.contains("sslmode=require"), "{shown}");
    }
}
