//! Whose address a request came from, when proxies stand in between. Pure: what came in, and whom the settings trust.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// The address of the client: the peer's, or behind trusted proxies the rightmost hop of `X-Forwarded-For` that is not one of them (S-H8);
/// `lines` are that header's, in the order in which they came. A header from anybody else is not looked at. `None` when that hop cannot
/// be read: the proxy's own address in its place would open networks that only the proxy is in.
pub fn client(peer: IpAddr, lines: &[&[u8]], trusted: &[IpNet]) -> Option<IpAddr> {
    let mut client = peer.to_canonical();
    if !is_trusted(client, trusted) {
        return Some(client);
    }
    // As bytes: one odd byte from the client must not hide the hops that proxies wrote behind it.
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(|b| *b == b',')) {
        client = address(hop.trim_ascii())?;
        if !is_trusted(client, trusted) {
            break;
        }
    }
    Some(client)
}

/// Whether an address is a trusted proxy's.
pub(super) fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|net| net.contains(&address))
}

/// An address, with or without a port, as proxies write it.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?;
    let address = text.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|both| both.ip()));
    address.ok().map(|address| address.to_canonical())
}
