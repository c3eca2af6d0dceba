//! From where a key may be used: networks that are allowed and networks that are not.

use std::net::IpAddr;

use ipnet::IpNet;

/// More networks than any key needs.
pub const MOST: usize = 100;

/// Whether an address may use a key: in no denied network, and in an allowed one where any is named. An IPv4 address that comes
/// as a mapped IPv6 one is the IPv4 address. Without an address, only where no network is named: it fails closed.
pub fn permits(allow: &[IpNet], deny: &[IpNet], address: Option<IpAddr>) -> bool {
    let Some(address) = address.map(|address| address.to_canonical()) else {
        return allow.is_empty() && deny.is_empty();
    };
    let within = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&address));
    !within(deny) && (allow.is_empty() || within(allow))
}

/// Reads an address or a network; a mapped IPv4 one is the IPv4 one, and bits behind the mask are no mistake.
///
/// By the standard library's reader of addresses, and a length in its only spelling: `ipnet` takes `010.0.0.0/8` for 10.0.0.0/8, which others
/// read as 8.0.0.0/8 (RFC 6943 §3.1.1), so whoever wrote it might mean a network that is not the one that is opened.
pub fn network(text: &str) -> Result<IpNet, String> {
    let net = plain_network(text).ok_or_else(|| {
        format!(
            "{}: an address or a network is needed, such as 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32",
            text.escape_debug()
        )
    })?;
    let canonical = match net {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => match v6.addr().to_ipv4_mapped() {
            Some(v4) => IpNet::new(v4.into(), v6.prefix_len() - 96).unwrap_or(net),
            None => net,
        },
        other => other,
    };
    Ok(canonical.trunc())
}

fn plain_network(text: &str) -> Option<IpNet> {
    let Some((address, length)) = text.split_once('/') else {
        return text.parse().ok().map(|address: IpAddr| address.into());
    };
    let length = length.parse::<u8>().ok().filter(|number| number.to_string() == length)?;
    IpNet::new(address.parse().ok()?, length).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(list: &[&str]) -> Vec<IpNet> {
        list.iter().map(|text| network(text).unwrap()).collect()
    }

    #[test]
    fn networks_are_named_or_everywhere_is_allowed_s_k5() {
        for (allow, deny, address, fine) in [
            (&[][..], &[][..], Some("203.0.113.7"), true),
            (&["203.0.113.0/24"], &[], Some("203.0.113.7"), true),
            (&["203.0.113.0/24"], &[], Some("::ffff:203.0.113.7"), true),
            (&["::ffff:203.0.113.0/120"], &[], Some("203.0.113.7"), true),
            (&["203.0.113.0/24"], &[], Some("203.0.114.7"), false),
            (&["203.0.113.0/24"], &["203.0.113.7"], Some("203.0.113.7"), false),
            (&[], &["2001:db8::/32"], Some("2001:db8::1"), false),
            (&[], &["2001:db8::/32"], Some("2001:db9::1"), true),
            (&["203.0.113.0/24"], &[], None, false),
            (&[], &["203.0.113.0/24"], None, false),
            (&[], &[], None, true),
            (&["203.0.113.99/24"], &[], Some("203.0.113.1"), true),
        ] {
            let address = address.map(|text| text.parse().unwrap());
            assert_eq!(permits(&nets(allow), &nets(deny), address), fine, "{allow:?} {deny:?} {address:?}");
        }
        for bad in [
            "",
            "203.0.113",
            "203.0.113.0/33",
            "2001:db8::/129",
            "host.example",
            "0x7f.1",
            "010.0.0.0/8",
            "10.0.0.0/08",
            "10.0.0.0/+8",
            "10.0.0.0/",
            "10.0.0.0/8/8",
        ] {
            assert!(network(bad).is_err(), "{bad}");
        }
    }
}
