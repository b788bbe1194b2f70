//! Requests that nobody here asked for: how many of them are answered in a second, of one address and in all. Beyond that
//! they are dropped, so that nobody can make this server answer for them to the victim of a forged address.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::ground::limits::Limits;
use crate::ground::network::counted;
use crate::ground::time::Mono;

/// The answers of this second.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    second: u64,
    all: u64,
    by_address: BTreeMap<IpAddr, u64>,
}

impl Strangers {
    /// Whether one more is answered.
    pub(super) fn admits(&mut self, now: Mono, from: IpAddr, limits: &Limits) -> bool {
        let second = now.0 / 1_000;
        if second != self.second {
            self.second = second;
            self.all = 0;
            self.by_address.clear();
        }
        let of_address = self.by_address.get(&counted(from)).copied().unwrap_or_default();
        if self.all >= limits.sip_strangers_per_s || of_address >= limits.sip_strangers_per_address_per_s {
            return false;
        }
        self.all += 1;
        self.by_address.insert(counted(from), of_address + 1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s51_answers_are_bounded_by_address_and_in_all() {
        let limits =
            Limits { sip_strangers_per_address_per_s: 2, sip_strangers_per_s: 3, ..Limits::default() };
        let mut strangers = Strangers::default();
        for (ms, from, admitted) in [
            (1_000, "192.0.2.1", true),
            (1_100, "192.0.2.1", true),
            (1_200, "192.0.2.1", false),
            (1_300, "192.0.2.2", true),
            (1_999, "192.0.2.3", false), // Three in all.
            (2_000, "192.0.2.1", true),
            (2_000, "2001:db8::1", true),
            (2_000, "2001:db8::2", true),
            (2_000, "2001:db8:0:1::", false),
            (3_000, "2001:db8::1", true),
            (3_000, "2001:db8::2", true),
            (3_000, "2001:db8::3", false),
        ] {
            assert_eq!(
                strangers.admits(Mono(ms), from.parse().unwrap(), &limits),
                admitted,
                "{from} at {ms}"
            );
        }
    }
}
