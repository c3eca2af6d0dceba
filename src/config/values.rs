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
            if !is_read_by_libpq_as_by_us(text) {
                return Err(format!("{DATABASE_SIGNS}; {DATABASE_SHAPE}"));
            }
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

const DATABASE_SIGNS: &str =
    "a sign in it must be percent-encoded: % is written %25, @ %40, # %23, / %2F, ? %3F, & %26, a space %20";

/// Whether PostgreSQL's own library takes an address, and takes the same part of it for the password. It repeats in its errors what it cannot
/// read, and a password that was not percent-encoded ends up there, or in the name of the host.
fn is_read_by_libpq_as_by_us(text: &str) -> bool {
    let is_encoded = |after: &str| {
        let digits = after.as_bytes().get(..2).unwrap_or_default();
        digits.len() == 2 && digits.iter().all(u8::is_ascii_hexdigit) && digits != b"00"
    };
    let (_, rest) = text.split_once("://").unwrap_or_default();
    let before_path = rest.split('/').next().unwrap_or_default();
    let (authority, query_with_at) = match before_path.split_once('?') {
        Some((authority, query)) => (authority, query.contains('@')),
        None => (before_path, false),
    };
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    !text.contains(|c: char| c.is_whitespace() || c == '#')
        && text.split('%').skip(1).all(is_encoded)
        && authority.matches('@').count() < 2
        && !query_with_at
        && (query.is_empty() || query.split('&').all(|pair| pair.contains('=')))
}

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
    // An @ that ends no user name: a password may have been taken for a port and a path.
    if url.username().is_empty() && url.password().is_none() && text.contains('@') {
        return "•••".to_owned();
    }
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

    #[test]
    fn a_password_that_is_not_percent_encoded_is_refused_and_not_repeated() {
        for good in [
            "postgres://db",
            "postgresql://cnx@db/cnx",
            "postgres://cnx:p%40%25:!$*()@db:5432/cnx",
            "postgres://cnx:p@[::1]:5432/cnx?sslmode=require&application_name=a%20b",
            "postgres://%2Fvar%2Frun%2Fpostgresql/cnx",
            "postgres:///cnx?host=/var/run/postgresql&user=cnx@server",
            "postgres://db/cnx?",
        ] {
            assert!(DatabaseUrl::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "postgres://cnx:a%hunter@db/cnx",
            "postgres://cnx:hunter%2@db/cnx",
            "postgres://cnx:hunter%00@db/cnx",
            "postgres://cnx:a@hunter@db/cnx",
            "postgres://cnx:a hunter@db/cnx",
            "postgres://cnx:1#hunter@db/cnx",
            "postgres://cnx:1?hunter=@db/cnx",
            "postgres://db/cnx?user=cnx&password=a%hunter",
            "postgres://db/cnx?user=cnx&password=a&hunter",
        ] {
            let refused = DatabaseUrl::parse(bad).unwrap_err();
            assert!(refused.starts_with("a sign in it must be percent-encoded: "), "{bad}: {refused}");
            assert!(!refused.contains("hunter"), "{refused}");
        }
        for odd in
            ["postgres://cnx:1/hunter@db/cnx", "redis://cnx:1/hunter@cache", "redis://cnx:1#hunter@cache"]
        {
            assert!(!masked_url(odd).contains("hunter"), "{}", masked_url(odd));
        }
        assert_eq!(masked_url("redis://cache:6379/0"), "redis://cache:6379/0");
    }
}
