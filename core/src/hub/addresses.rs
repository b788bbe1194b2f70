//! What a single address takes: its open connections, and its handshakes of this second. This machine's own addresses are
//! not counted; of IPv6, whoever has one address has its /64.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;

use crate::ground::network::{self, is_loopback};
use crate::ground::time::Mono;

/// How many there are of each address that has any.
#[derive(Debug, Default)]
pub struct PerAddress(BTreeMap<IpAddr, u64>);

impl PerAddress {
    /// There is one more; how many there are now.
    pub fn enter(&mut self, address: IpAddr) -> u64 {
        let count = self.0.entry(address).or_default();
        *count += 1;
        *count
    }

    /// How many there are.
    #[must_use]
    pub fn of(&self, address: IpAddr) -> u64 {
        self.0.get(&address).copied().unwrap_or_default()
    }

    /// There is one less.
    pub fn leave(&mut self, address: IpAddr) {
        if let Entry::Occupied(mut count) = self.0.entry(address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// The counts of one engine.
#[derive(Debug, Default)]
pub struct Addresses {
    open: PerAddress,
    second: u64,
    handshakes: BTreeMap<IpAddr, u64>,
}

impl Addresses {
    /// A connection of this address is there; how many it has now.
    pub fn enter(&mut self, peer: IpAddr) -> u64 {
        counted(peer).map_or(0, |counted| self.open.enter(counted))
    }

    /// How many connections this address has.
    #[must_use]
    pub fn open(&self, peer: IpAddr) -> u64 {
        counted(peer).map_or(0, |counted| self.open.of(counted))
    }

    /// A connection of this address is gone.
    pub fn leave(&mut self, peer: IpAddr) {
        if let Some(counted) = counted(peer) {
            self.open.leave(counted);
        }
    }

    /// Counts a handshake, of which `per_s` are allowed; 0 is no bound. Of more than `addresses_max` addresses in a second
    /// the rest is not counted.
    pub fn admits_handshake(&mut self, now: Mono, peer: IpAddr, per_s: u64, addresses_max: u64) -> bool {
        let Some(counted) = counted(peer).filter(|_| per_s > 0) else { return true };
        let second = now.0 / 1_000;
        if second != self.second {
            self.second = second;
            self.handshakes.clear();
        }
        if self.handshakes.len() as u64 >= addresses_max && !self.handshakes.contains_key(&counted) {
            return true;
        }
        let made = self.handshakes.entry(counted).or_default();
        *made += 1;
        *made <= per_s
    }
}

/// The address that is counted for `peer`; none for loopback.
fn counted(peer: IpAddr) -> Option<IpAddr> {
    (!is_loopback(peer)).then(|| network::counted(peer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn connections_are_counted_by_address() {
        let mut addresses = Addresses::default();
        for (peer, count) in [
            ("192.0.2.1", 1),
            ("::ffff:192.0.2.1", 2),
            ("192.0.2.2", 1),
            ("2001:db8::1", 1),
            ("2001:db8::ffff:0:0:2", 2),
            ("2001:db8:0:1::1", 1),
            ("127.0.0.1", 0),
            ("::1", 0),
        ] {
            assert_eq!(addresses.enter(ip(peer)), count, "{peer}");
        }
        for peer in ["192.0.2.1", "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::"] {
            addresses.leave(ip(peer));
        }
        addresses.leave(ip("127.0.0.1"));
        assert!(addresses.open.0.is_empty(), "{addresses:?}");
    }

    #[test]
    fn handshakes_are_counted_by_the_second() {
        let mut addresses = Addresses::default();
        let mut admits = |ms, peer| addresses.admits_handshake(Mono(ms), ip(peer), 2, 2);
        for (ms, peer, admitted) in [
            (5_000, "192.0.2.1", true),
            (5_100, "192.0.2.1", true),
            (5_200, "192.0.2.1", false),
            (5_300, "192.0.2.2", true),
            (5_999, "192.0.2.1", false),
            (5_999, "192.0.2.3", true), // More than two addresses.
            (6_000, "192.0.2.1", true),
            (6_000, "127.0.0.1", true),
            (6_000, "127.0.0.1", true),
            (6_000, "127.0.0.1", true),
        ] {
            assert_eq!(admits(ms, peer), admitted, "{peer} at {ms}");
        }
        assert!((0..9).all(|_| addresses.admits_handshake(Mono(0), ip("192.0.2.1"), 0, 2)));
    }
}
