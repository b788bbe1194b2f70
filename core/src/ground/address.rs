//! Addresses that a URL from an API may not reach: the special-purpose ranges of IANA's registries (RFC 6890) and
//! what else is no public unicast address. A v4 address inside of a v6 address is looked at as well.
//!
//! What is absent here: names. They are resolved elsewhere; what is checked is the address that is connected to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::network::{Network, is_in};

/// First address, leading bits that count, name.
type Range4 = (Ipv4Addr, u32, &'static str);
type Range6 = (Ipv6Addr, u32, &'static str);

/// IANA IPv4 Special-Purpose Address Registry, multicast (RFC 5771) and what is reserved (RFC 1112 section 4).
const RANGES4: &[Range4] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8, "this-network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "shared"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "protocol-assignment"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation"),
    (Ipv4Addr::new(192, 31, 196, 0), 24, "AS112"),
    (Ipv4Addr::new(192, 52, 193, 0), 24, "AMT"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "6to4-relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(192, 175, 48, 0), 24, "AS112"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmarking"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::BROADCAST, 32, "broadcast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

/// IANA IPv6 Special-Purpose Address Registry; the narrower range stands first. The well-known prefix of NAT64 is not
/// in it: only the v4 address inside of it counts.
const RANGES6: &[Range6] = &[
    (Ipv6Addr::UNSPECIFIED, 128, "unspecified"),
    (Ipv6Addr::LOCALHOST, 128, "loopback"),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, "NAT64"),
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 64, "discard-only"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, "Teredo"),
    (Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0), 48, "benchmarking"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "documentation"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "protocol-assignment"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "6to4"),
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48, "AS112"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "documentation"),
    (Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0), 16, "segment-routing"),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, "unique-local"),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "link-local"),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, "site-local"),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "multicast"),
];

/// The well-known prefix of NAT64 (RFC 6052), and its leading bits.
const NAT64: (Ipv6Addr, u32) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);
/// Global unicast (RFC 4291 section 2.4): whatever else IANA has not given out is reserved.
const GLOBAL: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// The name of the range that keeps a URL from an API from reaching `address`; `None` if nothing does. `allow` opens
/// ranges, for the address itself and for a v4 address inside of it.
#[must_use]
pub fn blocked(address: IpAddr, allow: &[Network]) -> Option<&'static str> {
    let address = address.to_canonical();
    if is_in(address, allow) {
        return None;
    }
    match address {
        IpAddr::V4(v4) => RANGES4.iter().find(|range| in4(v4, range.0, range.1)).map(|range| range.2),
        IpAddr::V6(v6) => blocked6(v6, allow),
    }
}

fn blocked6(v6: Ipv6Addr, allow: &[Network]) -> Option<&'static str> {
    let bits = v6.to_bits();
    if in6(v6, NAT64.0, NAT64.1) {
        return blocked(Ipv4Addr::from_bits(bits as u32).into(), allow);
    }
    // A tunnel is closed itself; what it leads to may have the more telling name.
    let embedded = match v6.segments() {
        [0, 0, 0, 0, 0, 0, a, _] if a != 0 => Some(bits as u32),
        [0x2002, ..] => Some((bits >> 80) as u32),
        // RFC 4380 section 4: the client's address stands there inverted.
        [0x2001, 0, ..] => Some(!(bits as u32)),
        _ => None,
    };
    let inside = embedded.and_then(|v4| blocked(Ipv4Addr::from_bits(v4).into(), allow));
    let special = RANGES6.iter().find(|range| in6(v6, range.0, range.1)).map(|range| range.2);
    let reserved = (!in6(v6, GLOBAL.0, GLOBAL.1)).then_some("reserved");
    inside.or(special).or(reserved)
}

fn in4(address: Ipv4Addr, first: Ipv4Addr, bits: u32) -> bool {
    (address.to_bits() ^ first.to_bits()) >> (32 - bits) == 0
}

fn in6(address: Ipv6Addr, first: Ipv6Addr, bits: u32) -> bool {
    (address.to_bits() ^ first.to_bits()) >> (128 - bits) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(address: &str, allow: &[&str], expected: Option<&str>) {
        let allow: Vec<Network> = allow.iter().map(|network| network.parse().unwrap()).collect();
        assert_eq!(blocked(address.parse().unwrap(), &allow), expected, "{address} {allow:?}");
    }

    /// The ends of each range, and its neighbours.
    #[test]
    fn item10_special_purpose_ranges_are_blocked() {
        for (address, range) in [
            ("0.0.0.0", Some("this-network")),
            ("1.0.0.0", None),
            ("9.255.255.255", None),
            ("10.0.0.0", Some("private")),
            ("10.255.255.255", Some("private")),
            ("11.0.0.0", None),
            ("100.63.255.255", None),
            ("100.64.0.0", Some("shared")),
            ("100.127.255.255", Some("shared")),
            ("100.128.0.0", None),
            ("127.0.0.1", Some("loopback")),
            ("127.255.255.255", Some("loopback")),
            ("169.254.169.254", Some("link-local")),
            ("172.15.255.255", None),
            ("172.16.0.0", Some("private")),
            ("172.31.255.255", Some("private")),
            ("172.32.0.0", None),
            ("192.0.0.8", Some("protocol-assignment")),
            ("192.0.1.0", None),
            ("192.0.2.1", Some("documentation")),
            ("192.88.99.1", Some("6to4-relay")),
            ("192.168.1.1", Some("private")),
            ("192.169.0.0", None),
            ("198.17.255.255", None),
            ("198.18.0.0", Some("benchmarking")),
            ("198.19.255.255", Some("benchmarking")),
            ("198.20.0.0", None),
            ("198.51.100.9", Some("documentation")),
            ("203.0.113.9", Some("documentation")),
            ("223.255.255.255", None),
            ("224.0.0.1", Some("multicast")),
            ("239.255.255.255", Some("multicast")),
            ("240.0.0.1", Some("reserved")),
            ("255.255.255.255", Some("broadcast")),
            ("8.8.8.8", None),
            ("::", Some("unspecified")),
            ("::1", Some("loopback")),
            ("64:ff9b:1::8.8.8.8", Some("NAT64")),
            ("100::1", Some("discard-only")),
            ("2001::f7f7:f7f7", Some("Teredo")),
            ("2001:2::1", Some("benchmarking")),
            ("2001:20::1", Some("protocol-assignment")),
            ("2001:200::1", None),
            ("2001:db8::1", Some("documentation")),
            ("2001:db9::1", None),
            ("2002:808:808::1", Some("6to4")),
            ("2620:4f:8000::1", Some("AS112")),
            ("2a00:1450::1", None),
            ("3fff::1", Some("documentation")),
            ("3fff:1000::1", None),
            ("4000::1", Some("reserved")),
            ("5f00::1", Some("segment-routing")),
            ("fc00::1", Some("unique-local")),
            ("fdff::1", Some("unique-local")),
            ("fe80::1", Some("link-local")),
            ("fec0::1", Some("site-local")),
            ("ff02::1", Some("multicast")),
        ] {
            check(address, &[], range);
        }
    }

    /// V4-mapped, v4-compatible, NAT64, 6to4 and Teredo addresses carry a v4 address.
    #[test]
    fn item10_embedded_addresses_are_checked() {
        check("::ffff:127.0.0.1", &[], Some("loopback"));
        check("::ffff:8.8.8.8", &[], None);
        check("::127.0.0.1", &[], Some("loopback"));
        check("::8.8.8.8", &[], Some("reserved"));
        check("64:ff9b::10.0.0.1", &[], Some("private"));
        check("64:ff9b::8.8.8.8", &[], None);
        check("2002:7f00:1::1", &[], Some("loopback"));
        check("2001:0:808:808::f5ff:fffe", &[], Some("private")); // Inverted 10.0.0.1.
        check("64:ff9b::10.0.0.1", &["10.0.0.0/8"], None);
    }

    /// `[outbox] allow_private` opens ranges.
    #[test]
    fn item10_ranges_can_be_opened() {
        check("10.0.0.1", &["10.0.0.0/24"], None);
        check("10.0.1.1", &["10.0.0.0/24"], Some("private"));
        check("::ffff:127.0.0.1", &["127.0.0.1"], None);
        check("fd00::1", &["fd00::/8"], None);
        check("127.0.0.1", &["10.0.0.0/8", "::/0"], Some("loopback"));
    }
}
