//! TLS of listeners, as an engine gets it: made ready outside, where files, cryptography and tickets are.

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

/// Keys stay out of logs.
impl fmt::Debug for ListenerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerTls").finish_non_exhaustive()
    }
}
