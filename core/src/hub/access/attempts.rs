//! Attempts to come in that failed, by address: beyond `failed_logins_per_address` nobody there may try for the rest of
//! the minute. One table per engine.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use crate::ground::limits::Limits;
use crate::ground::network::counted;
use crate::ground::time::Mono;

/// How long failures count, from the first one on.
const WINDOW_MS: u64 = 60_000;

/// Addresses from which wrong credentials came.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    failed: BTreeMap<IpAddr, Window>,
    /// The same addresses, in the order in which their minutes began.
    order: VecDeque<IpAddr>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    began: Mono,
    count: u64,
}

impl Attempts {
    /// For how many milliseconds an address may not try, if so.
    pub(super) fn barred_ms(&self, peer: IpAddr, now: Mono, limits: &Limits) -> Option<u64> {
        let most = limits.failed_logins_per_address;
        let window = self.failed.get(&counted(peer)).filter(|window| most > 0 && window.count >= most)?;
        Some(window.began.plus_ms(WINDOW_MS).since(now)).filter(|left_ms| *left_ms > 0)
    }

    /// Counts a failure.
    pub(super) fn fail(&mut self, peer: IpAddr, now: Mono, limits: &Limits) {
        self.expire(now);
        let address = counted(peer);
        if let Some(window) = self.failed.get_mut(&address) {
            window.count += 1;
            return;
        }
        if self.order.len() as u64 >= limits.failed_login_addresses {
            self.forget_oldest();
        }
        self.failed.insert(address, Window { began: now, count: 1 });
        self.order.push_back(address);
    }

    fn expire(&mut self, now: Mono) {
        let over = |address: &IpAddr| {
            self.failed.get(address).is_none_or(|window| now.since(window.began) >= WINDOW_MS)
        };
        let gone = self.order.iter().take_while(|address| over(address)).count();
        for _ in 0..gone {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(address) = self.order.pop_front() {
            self.failed.remove(&address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_minute_counts_from_the_first_failure() {
        let limits = Limits { failed_logins_per_address: 2, ..Limits::default() };
        let mut attempts = Attempts::default();
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        attempts.fail(one, Mono(1_000), &limits);
        assert_eq!(attempts.barred_ms(one, Mono(1_000), &limits), None);
        attempts.fail(one, Mono(31_000), &limits);
        assert_eq!(attempts.barred_ms(one, Mono(31_000), &limits), Some(30_000));
        assert_eq!(attempts.barred_ms(other, Mono(31_000), &limits), None);
        assert_eq!(attempts.barred_ms(one, Mono(60_999), &limits), Some(1));
        assert_eq!(attempts.barred_ms(one, Mono(61_000), &limits), None);
        attempts.fail(one, Mono(61_000), &limits);
        assert_eq!(attempts.barred_ms(one, Mono(61_000), &limits), None, "a new minute has begun");
        let none = Limits { failed_logins_per_address: 0, ..limits };
        (0..9).for_each(|_| attempts.fail(one, Mono(61_000), &none));
        assert_eq!(attempts.barred_ms(one, Mono(61_000), &none), None, "0 is no bound");
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let limits = Limits { failed_logins_per_address: 1, ..Limits::default() };
        let mut attempts = Attempts::default();
        attempts.fail(address("2001:db8:1:2::1"), Mono(0), &limits);
        attempts.fail(address("::ffff:192.0.2.1"), Mono(0), &limits);
        for (peer, barred) in [
            ("2001:db8:1:2:ffff::", true),
            ("2001:db8:1:3::1", false),
            ("192.0.2.1", true),
            ("192.0.2.3", false),
        ] {
            assert_eq!(attempts.barred_ms(address(peer), Mono(1), &limits).is_some(), barred, "{peer}");
        }
    }

    #[test]
    fn the_table_is_bounded() {
        let limits = Limits { failed_logins_per_address: 1, failed_login_addresses: 3, ..Limits::default() };
        let mut attempts = Attempts::default();
        for last in 0..9 {
            attempts.fail(IpAddr::from([192, 0, 2, last]), Mono(u64::from(last)), &limits);
            assert!(attempts.failed.len() <= 3 && attempts.order.len() == attempts.failed.len());
        }
        let barred = |last| attempts.barred_ms(IpAddr::from([192, 0, 2, last]), Mono(9), &limits).is_some();
        assert_eq!((5..9).map(barred).collect::<Vec<_>>(), [false, true, true, true]);
        attempts.fail(address("192.0.2.9"), Mono(60_008), &limits);
        assert_eq!(attempts.failed.len(), 1, "what is over goes");
    }
}
