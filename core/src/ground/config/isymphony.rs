//! `[isymphony]`: the websocket of iSymphony's Event API.

use std::sync::Arc;

use super::{Config, Token, User};
use crate::ground::network::{LOOPBACK, Network};

/// `[isymphony]`.
#[derive(Clone, Debug)]
pub struct Isymphony {
    /// Who may come in; without any the path is closed to everyone.
    pub users: Arc<[User]>,
    /// From where.
    pub allow: Vec<Network>,
    /// Browser origins beside the listener's own.
    pub allowed_origins: Vec<String>,
    /// The form of filters that the vendor's page shows is taken, and its names of the log-in events.
    pub lenient: bool,
    /// A token of `[auth]` that may read, as `?access_token=`, stands for user and password.
    pub query_token: bool,
    /// A slow client is told how many events it missed.
    pub dropped_notice: bool,
    /// From one ping to the next.
    pub ping_ms: u64,
    /// A client that sends nothing for so long is gone.
    pub silence_ms: u64,
}

impl Default for Isymphony {
    fn default() -> Isymphony {
        Isymphony {
            users: Arc::default(),
            allow: LOOPBACK.to_vec(),
            allowed_origins: Vec::new(),
            lenient: true,
            query_token: false,
            dropped_notice: true,
            ping_ms: 30_000,
            silence_ms: 60_000,
        }
    }
}

impl Config {
    /// Whether somebody could open iSymphony's websocket.
    #[must_use]
    pub fn is_isymphony_open(&self) -> bool {
        let reads = |token: &Token| token.may.read;
        !self.isymphony.users.is_empty() || self.isymphony.query_token && self.auth.tokens.iter().any(reads)
    }
}
