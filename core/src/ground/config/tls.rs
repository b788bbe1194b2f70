//! TLS of listeners, as an engine gets it: made ready outside, where files, cryptography and tickets are. And what TLS of
//! our own connections shall be, as the config says it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

use crate::ground::time::Wall;

/// An engine's wall clock, as rustls reads it to judge validity.
#[derive(Clone, Debug, Default)]
pub struct WallClock(Arc<AtomicU64>);

impl WallClock {
    /// Sets the time.
    pub fn set(&self, wall: Wall) {
        self.0.store(wall.0, Ordering::Relaxed);
    }
}

impl TimeProvider for WallClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis(self.0.load(Ordering::Relaxed))))
    }
}

/// What all connections of a listener share: certificates, who may come, sessions that can be taken up again. All
/// shards have the same one, and give it the time.
#[derive(Clone)]
pub struct ListenerTls {
    /// For rustls.
    pub config: Arc<ServerConfig>,
    /// The clock that it reads.
    pub clock: WallClock,
    /// TLS 1.3 is the least.
    pub only_tls13: bool,
    /// Only clients with a certificate come in.
    pub certified_clients: bool,
}

impl ListenerTls {
    /// The same for a protocol that has no name in ALPN (RFC 7301): SIP, whose peers ask for none.
    #[must_use]
    pub fn without_alpn(self) -> ListenerTls {
        let mut config = ServerConfig::clone(&self.config);
        config.alpn_protocols.clear();
        ListenerTls { config: Arc::new(config), ..self }
    }
}

/// Keys stay out of logs.
impl fmt::Debug for ListenerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerTls").finish_non_exhaustive()
    }
}

/// How a server of others is verified, and what it is shown: the `tls` table of a destination. Files are read by the
/// host: here is what was in them.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Tls {
    /// Certificates (PEM) that are trusted, beside the system's roots or instead of them.
    pub ca: Option<Box<str>>,
    /// The certificates of `ca` alone are trusted.
    pub only_ca: bool,
    /// SHA-256 of the one certificate (DER) that the peer may present; names and roots are then not looked at.
    pub pin_sha256: Option<[u8; 32]>,
    /// Our own certificate and those above it (PEM).
    pub client_cert: Option<Box<str>>,
    /// Its key (PEM).
    pub client_key: Option<Box<str>>,
    /// TLS 1.3 is the least, not 1.2.
    pub only_tls13: bool,
    /// Nothing is verified.
    pub insecure: bool,
}

/// Keys stay out of logs.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("ca", &self.ca.is_some())
            .field("only_ca", &self.only_ca)
            .field("pin_sha256", &self.pin_sha256.is_some())
            .field("client_cert", &self.client_cert.is_some())
            .field("only_tls13", &self.only_tls13)
            .field("insecure", &self.insecure)
            .finish()
    }
}
