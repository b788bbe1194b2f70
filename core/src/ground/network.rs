//! Address ranges in CIDR form (RFC 4632), as access lists in the config name them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An address and the number of its leading bits that count: `127.0.0.0/8`, `::1/128`, `192.0.2.7`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// This machine: 127.0.0.0/8 and ::1.
pub const LOOPBACK: [Network; 2] = [
    Network { address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), prefix: 8 },
    Network { address: IpAddr::V6(Ipv6Addr::LOCALHOST), prefix: 128 },
];

impl Network {
    /// Whether `peer` lies inside; a v4-mapped v6 address counts as its v4 address.
    #[must_use]
    pub fn contains(&self, peer: IpAddr) -> bool {
        match (self.address, peer.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(peer)) => {
                let ignored = 32 - u32::from(self.prefix);
                net.to_bits().checked_shr(ignored) == peer.to_bits().checked_shr(ignored)
            }
            (IpAddr::V6(net), IpAddr::V6(peer)) => {
                let ignored = 128 - u32::from(self.prefix);
                net.to_bits().checked_shr(ignored) == peer.to_bits().checked_shr(ignored)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// Whether `peer` lies in one of these.
#[must_use]
pub fn is_in(peer: IpAddr, networks: &[Network]) -> bool {
    networks.iter().any(|network| network.contains(peer))
}

/// Whether `peer` is this machine: 127.0.0.0/8 or ::1, also v4-mapped.
#[must_use]
pub fn is_loopback(peer: IpAddr) -> bool {
    peer.to_canonical().is_loopback()
}

/// The address under which a peer is counted: of IPv6 the network of 64 bits, because that is what one customer has.
#[must_use]
pub fn counted(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Network, String> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| format!("`{text}` is no address or network"))?;
        if matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
            return Err(format!("`{text}`: write a v4-mapped address as the v4 address"));
        }
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits,
            Some(p) => p
                .parse()
                .ok()
                .filter(|p| *p <= bits)
                .ok_or_else(|| format!("`{text}`: the prefix length is a number from 0 to {bits}"))?,
        };
        Ok(Network { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contains() {
        for (network, peer, inside) in [
            ("127.0.0.0/8", "127.9.9.9", true),
            ("127.0.0.0/8", "128.0.0.1", false),
            ("127.0.0.0/8", "::ffff:127.0.0.1", true),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "::1", false),
            ("::1/128", "::1", true),
            ("::/0", "2001:db8::1", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.6", false),
        ] {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(peer.parse().unwrap()), inside, "{network} {peer}");
        }
        assert_eq!(LOOPBACK.map(|network| network.to_string()), ["127.0.0.0/8", "::1/128"]);
    }

    #[test]
    fn bad_networks_are_refused() {
        for text in
            ["::ffff:10.0.0.0/104", "", "127.0.0.1/33", "::1/129", "localhost", "10.0.0.0/-1", "10.0.0.0/"]
        {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
