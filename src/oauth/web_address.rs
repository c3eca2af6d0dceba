//! A URI as it is written: scheme, host and port of the plain spelling, in which what a person reads is what a browser opens.
//!
//! Not a URL parser: parsers repair (`https:\\a`, `127.1`, a tab in the middle), and what was repaired is not what whoever
//! registered it has read. `redirect_uri.rs` and `client_rules.rs` ask this before they trust an address.

use std::net::Ipv6Addr;

use url::Url;

/// The longest URI that is registered or matched, in bytes (S-G2).
pub(super) const MAX_BYTES: usize = 2048;

/// A web address as it is written, of the plain spelling only: the host that a reader sees is the host that a browser visits.
pub(super) struct WebAddress<'a> {
    /// https, not http.
    pub(super) secure: bool,
    /// As written; an IPv6 address in its brackets.
    pub(super) host: &'a str,
}

impl<'a> WebAddress<'a> {
    /// Reads an http or https address; a fragment may be there, user information may not.
    pub(super) fn read(uri: &'a str) -> Option<Self> {
        if !uri.bytes().all(|b| is_legal(b) || b == b'#') {
            return None;
        }
        let (secure, after) = match (uri.strip_prefix("https://"), uri.strip_prefix("http://")) {
            (Some(after), _) => (true, after),
            (_, Some(after)) => (false, after),
            _ => return None,
        };
        let authority = after.split(['/', '?', '#']).next()?;
        let (host, port) = match authority.strip_prefix('[') {
            Some(v6) => {
                let (address, port) = v6.split_once(']')?;
                address.parse::<Ipv6Addr>().ok()?;
                (authority.get(..address.len() + 2)?, port)
            }
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        if !port.is_empty() && !port_and_rest(port)?.1.is_empty() {
            return None;
        }
        // The parser folds `2130706433`, `127.1` and `0x7f.0.0.1` into 127.0.0.1: what it changes is not plain. It lets `;`
        // and `'` stand in a host, which would open a hole in a CSP header.
        let plain = host.starts_with('[')
            || host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
                && !host.split('.').any(str::is_empty);
        let same = Url::parse(uri).ok()?.host_str()? == host.to_ascii_lowercase();
        (plain && same).then_some(Self { secure, host })
    }
}

/// Whether a URI is an https address that a page may link to (S-G5). A fragment may be there.
pub(super) fn is_https_link(uri: &str) -> bool {
    uri.len() <= MAX_BYTES && WebAddress::read(uri).is_some_and(|web| web.secure)
}

/// Whether a URI is one that we may fetch something from: https, or plain http on this machine, without a fragment. The fetcher
/// has the last word: it asks the settings, and looks at the addresses behind the name.
pub(super) fn is_fetchable(uri: &str) -> bool {
    let loopback = |host: &str| ["localhost", "127.0.0.1", "[::1]"].contains(&host);
    uri.len() <= MAX_BYTES
        && !uri.contains('#')
        && WebAddress::read(uri).is_some_and(|web| web.secure || loopback(web.host))
}

/// `:8080/cb` as `8080` and `/cb`; a port is 1 to 65535 in its only spelling.
pub(super) fn port_and_rest(after_host: &str) -> Option<(u16, &str)> {
    let digits = after_host.strip_prefix(':')?;
    let (port, rest) = digits.split_at(digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len()));
    if port.starts_with('0') {
        return None;
    }
    Some((port.parse().ok()?, rest))
}

/// The scheme (RFC 3986 §3.1), as it is written.
pub(super) fn scheme(uri: &str) -> Option<&str> {
    let (scheme, _) = uri.split_once(':')?;
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
    (scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(legal)).then_some(scheme)
}

/// The characters of RFC 3986 §2, without `#`.
pub(super) fn is_legal(b: u8) -> bool {
    b.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&b)
}
