//! What calls to servers of others need to know.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;

/// What TLS stands on: handed in from outside, since both are the machine's.
#[derive(Clone, Debug)]
pub struct TlsBase {
    /// Cryptography, and the entropy that it draws.
    pub provider: Arc<CryptoProvider>,
    /// The certificates that are trusted unless a destination says otherwise.
    pub roots: Arc<RootCertStore>,
}

/// A proxy that CONNECT is asked of (RFC 9110 section 9.3.6): `host:port`, `user:password@host:port`.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// A name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// User and password, as Basic wants them (RFC 7617): `user:password`.
    pub credentials: Option<String>,
}

impl fmt::Debug for Proxy {
    /// The password stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

impl FromStr for Proxy {
    type Err = String;

    fn from_str(text: &str) -> Result<Proxy, String> {
        let (credentials, authority) = match text.rsplit_once('@') {
            Some((credentials, authority)) => (Some(credentials), authority),
            None => (None, text),
        };
        let allowed = || "allowed: \"host:port\" or \"user:password@host:port\"".to_owned();
        let (host, port) = authority.rsplit_once(':').ok_or_else(allowed)?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(v6) => v6.parse::<std::net::Ipv6Addr>().map_err(|_| allowed())?.to_string(),
            None => host.to_owned(),
        };
        let is_host = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(allowed)?;
        if host.is_empty() || !host.bytes().all(is_host) || credentials.is_some_and(|c| !c.contains(':')) {
            return Err(allowed());
        }
        Ok(Proxy { host, port, credentials: credentials.map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_read() {
        for (text, expected) in [
            ("proxy.example:3128", Some(("proxy.example", 3128, None))),
            ("me:se:cr@et@10.0.0.1:80", Some(("10.0.0.1", 80, Some("me:se:cr@et")))),
            ("[::1]:8080", Some(("::1", 8080, None))),
            ("proxy.example", None),
            ("proxy.example:0", None),
            ("http://proxy.example:80", None),
            (":80", None),
            ("me@proxy.example:80", None),
        ] {
            let read = text.parse::<Proxy>().ok();
            let read = read.as_ref().map(|p| (p.host.as_str(), p.port, p.credentials.as_deref()));
            assert_eq!(read, expected, "{text}");
        }
        assert!(!format!("{:?}", "me:secret@a:1".parse::<Proxy>().unwrap()).contains("secret"));
    }
}
