//! `[wcs]`: the REST hooks and the websocket of Flashphoner's Web Call Server.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Tls, User};

/// `[wcs]`.
#[derive(Clone, Debug)]
pub struct Wcs {
    /// `nodeId` in every hook; `None`: 32 characters that the first start draws and the log keeps, `@`, and the address.
    pub node_id: Option<String>,
    /// The server's address in a `nodeId` that was drawn.
    pub node_address: String,
    /// No hook is called (the original's `disable_rest_requests`).
    pub disable: bool,
    /// A request that had been sent whole is sent again if the connection ends before an answer.
    pub retry_sent: bool,
    /// What a client gets when a hook with `restOnError` FAIL has failed.
    pub error_event: ErrorEvent,
    /// Hooks beside the vendor's, with their type, 1 to 4.
    pub extra_hooks: BTreeMap<String, u8>,
    /// Paths beside `/` that take the websocket.
    pub paths: Vec<String>,
    /// Who may send to sessions over HTTP; without any, whoever may publish events.
    pub push_users: Arc<[User]>,
    /// How sessions are kept alive.
    pub keepalive: Keepalive,
    /// From one ping to the next.
    pub keepalive_interval_ms: u64,
    /// Pings without a sign of life after which a session is closed.
    pub keepalive_count: u64,
    /// The applications.
    pub apps: Vec<WcsApp>,
}

impl Default for Wcs {
    fn default() -> Wcs {
        Wcs {
            node_id: None,
            node_address: "127.0.0.1".to_owned(),
            disable: false,
            retry_sent: true,
            error_event: ErrorEvent::Both,
            extra_hooks: BTreeMap::new(),
            paths: Vec::new(),
            push_users: Arc::default(),
            keepalive: Keepalive::HighLevel,
            keepalive_interval_ms: 5_000,
            keepalive_count: 10,
            apps: Vec::new(),
        }
    }
}

impl Wcs {
    /// The application of this key.
    #[must_use]
    pub fn app(&self, key: &str) -> Option<&WcsApp> {
        self.apps.iter().find(|app| app.key == key)
    }
}

/// `[wcs.apps.NAME]`: one application and its backend.
#[derive(Clone)]
pub struct WcsApp {
    /// The `appKey`.
    pub key: String,
    /// The backend's URL; a hook's name is put behind it.
    pub url: String,
    /// The hooks that it lists, under their wire names; `all` is written out.
    pub hooks: Vec<String>,
    /// How long a call may take with all its retries; 0 is without end.
    pub timeout_ms: u64,
    /// How long failed hooks of type 3 are tried again by the outbox; 0: not at all.
    pub redeliver_ms: u64,
    /// User and password of HTTP's Basic scheme.
    pub basic: Option<(String, String)>,
    /// The key of the signature.
    pub hash_secret: Option<String>,
    /// How an `https` backend is verified.
    pub tls: Tls,
    /// `StreamKeepAliveEvent` is called, if it is listed.
    pub stream_keepalive: bool,
    /// Origins of pages that may have sessions; none is any.
    pub allowed_origins: Vec<String>,
    /// What a session's `restClientConfig` is until its `connect` hook says otherwise, by hook.
    pub policies: BTreeMap<String, HookPolicy>,
}

impl Default for WcsApp {
    fn default() -> WcsApp {
        WcsApp {
            key: "defaultApp".to_owned(),
            url: String::new(),
            hooks: Vec::new(),
            timeout_ms: 15_000,
            redeliver_ms: 0,
            basic: None,
            hash_secret: None,
            tls: Tls::default(),
            stream_keepalive: false,
            allowed_origins: Vec::new(),
            policies: BTreeMap::new(),
        }
    }
}

impl WcsApp {
    /// Whether a page of this origin may have sessions.
    #[must_use]
    pub fn admits(&self, origin: &str) -> bool {
        self.allowed_origins.is_empty() || self.allowed_origins.iter().any(|allowed| allowed == origin)
    }
}

/// Secrets stay out of logs and failed tests.
impl std::fmt::Debug for WcsApp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WcsApp")
            .field("key", &self.key)
            .field("url", &self.url)
            .field("hooks", &self.hooks)
            .field("timeout_ms", &self.timeout_ms)
            .field("redeliver_ms", &self.redeliver_ms)
            .field("policies", &self.policies)
            .finish_non_exhaustive()
    }
}

/// One hook's entry in `restClientConfig`. Names mean top-level fields, as they stand on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookPolicy {
    /// Fields that the backend does not get.
    pub rest_exclude: Vec<String>,
    /// Fields that the client does not get.
    pub client_exclude: Vec<String>,
    /// What a failure leads to.
    pub on_error: OnError,
    /// What an answer is for.
    pub policy: RestPolicy,
    /// Fields of the answer that replace ours, with OVERWRITE.
    pub overwrite: Vec<String>,
}

/// `restOnError`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// A failure is logged and counted.
    #[default]
    Log,
    /// The operation stops, or the client is told.
    Fail,
}

/// `restPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RestPolicy {
    /// The hook is called; what it answers changes nothing.
    #[default]
    Notify,
    /// Fields of its answer replace ours.
    Overwrite,
    /// The hook is not called.
    Disable,
}

/// `error_event`: which messages tell a client of a failed hook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorEvent {
    /// `fail`, then `ErrorEvent`.
    #[default]
    Both,
    /// `fail`, which the Web SDK handles.
    Fail,
    /// `ErrorEvent`, which the vendor's pages name.
    ErrorEvent,
}

/// `keepalive`: how the server and a client hear that the other is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keepalive {
    /// `ping` and `pong` as messages.
    #[default]
    HighLevel,
    /// Ping and Pong as control frames of the websocket.
    Internal,
    /// Nothing is sent, and nothing is missed.
    None,
}
