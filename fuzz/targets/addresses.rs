//! Addresses: networks that a key may be used from, and the hops that proxies write. Both against arithmetic on plain numbers.

use std::net::IpAddr;

use cnx::api_key::allowlist::{network, permits};
use cnx::web::hops;
use ipnet::IpNet;

pub(super) const WORDS: &[&str] = &[
    "203.0.113.7",
    "203.0.113.0/24",
    "10.0.0.0/8",
    "10.1.2.3",
    "::ffff:203.0.113.7",
    "::ffff:203.0.113.0/120",
    "::ffff:0:0/96",
    "2001:db8::1",
    "2001:db8::/32",
    "0.0.0.0/0",
    "::/0",
    "/0",
    "/96",
    "/95",
    "/33",
    "/129",
    "\n",
    " ",
    ",",
    ":8080",
    "[2001:db8::1]:443",
    "unknown",
    "0x7f.1",
    "::",
];

/// Allowed networks, denied ones, and an address: a line each, networks divided by spaces.
pub(super) fn run_networks(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let mut lines = text.split('\n');
    let mut nets = || -> Option<Vec<(IpNet, Net)>> {
        let words = lines.next().unwrap_or_default().split(' ').filter(|word| !word.is_empty());
        words.map(read).collect()
    };
    let (Some(allow), Some(deny)) = (nets(), nets()) else { return false };
    let address: Option<IpAddr> = lines.next().and_then(|line| line.parse().ok());

    let ours = |nets: &[(IpNet, Net)]| nets.iter().map(|(net, _)| *net).collect::<Vec<_>>();
    let permitted = permits(&ours(&allow), &ours(&deny), address);
    let within = |nets: &[(IpNet, Net)]| address.is_some_and(|a| nets.iter().any(|(_, net)| net.holds(a)));
    let expected = match address {
        None => allow.is_empty() && deny.is_empty(),
        Some(_) => !within(&deny) && (allow.is_empty() || within(&allow)),
    };
    assert_eq!(permitted, expected, "{text:?}");
    if permitted && !allow.is_empty() {
        // One network less denies more, one denied network more never permits more.
        assert!(!permits(&ours(&allow), &ours(&allow), address), "denied wins");
    }
    permitted && address.is_some()
}

/// A network as a number: IPv4 lies in `::ffff:0:0/96` as it does on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Net {
    is_v4: bool,
    number: u128,
    bits: u32,
}

impl Net {
    fn of(address: IpAddr, bits: u32) -> Self {
        match address {
            IpAddr::V4(v4) => Self { is_v4: true, number: u128::from(u32::from(v4)) << 96, bits },
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) if bits >= 96 => Self::of(v4.into(), bits - 96),
                _ => Self { is_v4: false, number: u128::from(v6), bits },
            },
        }
    }

    fn holds(self, address: IpAddr) -> bool {
        let whole = Self::of(address, if address.is_ipv4() { 32 } else { 128 });
        let shift = 128 - self.bits;
        self.is_v4 == whole.is_v4 && (shift == 128 || self.number >> shift == whole.number >> shift)
    }
}

/// Reads one network both ways.
fn read(word: &str) -> Option<(IpNet, Net)> {
    let (address, bits) = word.split_once('/').map_or((word, None), |(address, bits)| (address, Some(bits)));
    let plain = address.parse::<IpAddr>().ok().and_then(|address| {
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => Some(most),
            // The one spelling of a number: no sign, no zero in front.
            Some(text) => text.parse::<u32>().ok().filter(|bits| bits.to_string() == text && *bits <= most),
        };
        Some(Net::of(address, bits?))
    });
    let net = network(word);
    assert_eq!(net.is_ok(), plain.is_some(), "{word:?}: {net:?}");
    let (net, plain) = (net.ok()?, plain?);
    assert_eq!(network(&net.to_string()).as_ref(), Ok(&net), "written and read again");
    assert_eq!(net, net.trunc(), "nothing stands behind the mask");
    assert!(plain.holds(net.addr()) && net.contains(&net.network()), "{word:?} is {net}");
    assert_eq!((u32::from(net.prefix_len()), net.addr().is_ipv4()), (plain.bits, plain.is_v4), "{word:?}");
    Some((net, plain))
}

/// Trusted networks divided by spaces, the peer, and the lines of `X-Forwarded-For`: a line each.
pub(super) fn run_hops(data: &[u8]) -> bool {
    let (first, rest) = super::first_line(data);
    let (second, rest) = super::first_line(rest);
    let (Ok(first), Ok(second)) = (std::str::from_utf8(first), std::str::from_utf8(second)) else {
        return false;
    };
    let trusted: Option<Vec<IpNet>> =
        first.split(' ').filter(|word| !word.is_empty()).map(|word| network(word).ok()).collect();
    let (Some(trusted), Ok(peer)) = (trusted, second.parse::<IpAddr>()) else { return false };
    let lines: Vec<&[u8]> = if rest.is_empty() { Vec::new() } else { rest.split(|b| *b == b'\n').collect() };
    let found = hops::client(peer, &lines, &trusted);

    // All hops in the order in which the request went, the peer as the last; they are believed from the end, as long as a proxy says so.
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
    let joined = lines.join(&b',');
    let mut route: Vec<Option<IpAddr>> =
        if lines.is_empty() { Vec::new() } else { joined.split(|b| *b == b',').map(hop).collect() };
    route.push(Some(peer.to_canonical()));
    let begin = route.iter().rposition(|hop| hop.is_none_or(|address| !is_trusted(address))).unwrap_or(0);
    assert_eq!(found, route[begin], "{route:?}");

    // What a client writes in front of what its proxy writes changes nothing.
    if let Some(address) = found.filter(|address| !is_trusted(*address)) {
        let forged: Vec<&[u8]> =
            [&b"127.0.0.1"[..], b"\xff,10.0.0.1"].into_iter().chain(lines.iter().copied()).collect();
        assert_eq!(hops::client(peer, &forged, &trusted), Some(address), "a forged hop was believed");
    }
    found.is_some_and(|address| address != peer.to_canonical())
}

/// A hop: an address, with or without brackets and a port.
fn hop(bytes: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(bytes).ok()?.trim_matches(|c: char| c.is_ascii_whitespace());
    let address: IpAddr = match text.strip_prefix('[').and_then(|rest| rest.rsplit_once("]:")) {
        Some((v6, port)) => {
            is_port(port)?;
            // A scope is written behind a percent sign in a socket address; it is no part of the address.
            IpAddr::V6(
                v6.split_once('%')
                    .map_or(v6, |(v6, scope)| if scope.parse::<u32>().is_ok() { v6 } else { "" })
                    .parse()
                    .ok()?,
            )
        }
        None => match text.split_once(':') {
            Some((v4, port)) if v4.contains('.') && !port.contains(':') => {
                is_port(port)?;
                IpAddr::V4(v4.parse().ok()?)
            }
            _ => text.parse().ok()?,
        },
    };
    Some(address.to_canonical())
}

fn is_port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}
