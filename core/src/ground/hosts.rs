//! Hosts as lists in the config name them: a name, all names below a domain, an address, a network.
//!
//! What is absent here: name resolution. A host is judged as it is written, and a name is in no network.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::network::Network;

/// One element of such a list: `pbx.example.com`, `*.example.com`, `192.0.2.7`, `2001:db8::/32`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Hosts {
    /// This name.
    Name(Box<str>),
    /// Every name below this domain; not the domain itself.
    Below(Box<str>),
    /// Addresses.
    Network(Network),
}

impl Hosts {
    /// Whether a host is one of these: a name, or an address, of IPv6 with its brackets or without.
    #[must_use]
    pub fn includes(&self, host: &str) -> bool {
        let name = host.trim_end_matches('.');
        match self {
            Hosts::Name(known) => known.eq_ignore_ascii_case(name),
            Hosts::Below(domain) => {
                let at = name.len().checked_sub(domain.len() + 1);
                let parts = at.filter(|at| *at > 0).and_then(|at| name.split_at_checked(at));
                parts
                    .and_then(|(_, end)| end.strip_prefix('.'))
                    .is_some_and(|end| end.eq_ignore_ascii_case(domain))
            }
            Hosts::Network(network) => {
                let bare = host.trim_start_matches('[').trim_end_matches(']');
                bare.parse::<IpAddr>().is_ok_and(|address| network.contains(address))
            }
        }
    }
}

/// Whether a host is in one of these.
#[must_use]
pub fn is_in(host: &str, hosts: &[Hosts]) -> bool {
    hosts.iter().any(|hosts| hosts.includes(host))
}

impl FromStr for Hosts {
    type Err = String;

    fn from_str(text: &str) -> Result<Hosts, String> {
        let is_label = |label: &str| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        // A name whose last part is a number would be an address of a kind that nobody wrote down.
        let is_name = |name: &str| {
            let last = name.rsplit('.').next().unwrap_or_default();
            name.len() <= 253 && name.split('.').all(is_label) && !last.bytes().all(|b| b.is_ascii_digit())
        };
        if text.contains(['/', ':']) || text.parse::<IpAddr>().is_ok() {
            let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
            return bare.unwrap_or(text).parse().map(Hosts::Network);
        }
        match text.strip_prefix("*.") {
            Some(domain) if is_name(domain) => Ok(Hosts::Below(domain.into())),
            None if is_name(text) => Ok(Hosts::Name(text.into())),
            Some(_) | None => Err(format!("`{text}` is no name, domain, address or network")),
        }
    }
}

impl fmt::Display for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hosts::Name(name) => f.write_str(name),
            Hosts::Below(domain) => write!(f, "*.{domain}"),
            Hosts::Network(network) => network.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn includes() {
        for (hosts, host, expected) in [
            ("pbx.example.com", "PBX.Example.com", true),
            ("pbx.example.com", "pbx.example.com.", true),
            ("pbx.example.com", "a.pbx.example.com", false),
            ("pbx.example.com", "example.com", false),
            ("*.example.com", "pbx.EXAMPLE.com", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false),
            ("*.example.com", "badexample.com", false),
            ("*.example.com", "x\u{e9}example.com", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("192.0.2.0/24", "192.0.2.8", true),
            ("192.0.2.0/24", "pbx.example.com", false),
            ("0.0.0.0/0", "3232235777", false),
            ("2001:db8::/32", "2001:db8::1", true),
            ("2001:db8::/32", "[2001:db8::1]", true),
            ("[2001:db8::1]", "[2001:db8:0::1]", true),
            ("localhost", "localhost", true),
        ] {
            let hosts: Hosts = hosts.parse().unwrap();
            assert_eq!(hosts.includes(host), expected, "{hosts} {host}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            "*",
            "*.",
            "*.*",
            "a..b",
            "a b",
            "192.0.2",
            "192.0.2.0/33",
            "pbx:5060",
            "a.*.b",
            "[::1",
            "\u{e9}.fr",
        ] {
            assert!(text.parse::<Hosts>().is_err(), "{text}");
        }
    }
}
