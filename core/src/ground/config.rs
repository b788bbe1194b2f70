//! What the engine is told at start and at a reload: plain data. Files, environment and units are the host's affair.

mod access;
mod calls;
mod isymphony;
mod sep;
mod sip;
mod source;
mod tls;
mod wcs;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use access::{Auth, Only, Right, Rights, Token, User};
pub use calls::{Proxy, TlsBase};
pub use isymphony::Isymphony;
pub use sep::Sep;
pub use sip::{Sip, SipCredential, SipListener, SipTransport};
pub use source::{ATTRIBUTES, ScopeRule, Source};
pub use tls::{ListenerTls, Tls, WallClock};
pub use wcs::{ErrorEvent, HookPolicy, Keepalive, OnError, RestPolicy, Wcs, WcsApp};

use super::id::{Epoch, ShardId};
use super::limits::Limits;
use super::network::Network;

/// The names of the dialects, as `[[listener]] dialects` lists them.
pub const DIALECTS: &[&str] = &["xms", "native", "isymphony", "wcs", "sep"];

/// The whole configuration of an engine.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The limits in force.
    pub limits: Limits,
    /// Listeners; a [`super::id::ListenerId`] is an index into this list.
    pub listeners: Vec<Listener>,
    /// `[log]`.
    pub log: Log,
    /// `[auth]`.
    pub auth: Auth,
    /// `[native]`.
    pub native: Native,
    /// `[xms]`.
    pub xms: Xms,
    /// `[isymphony]`.
    pub isymphony: Isymphony,
    /// `[wcs]`.
    pub wcs: Wcs,
    /// `[sip]`.
    pub sip: Sip,
    /// `[sep]`.
    pub sep: Sep,
    /// `[[source]]`.
    pub sources: Vec<Source>,
    /// `[metrics] allow`: addresses beside loopback that may read `/healthz`, `/readyz` and `/metrics`.
    pub metrics_allow: Vec<Network>,
    /// `[[vocabulary]]`: rows that the config file adds, or that replace a built-in row of the same type.
    pub vocabulary: Vec<VocabularyRow>,
    /// `[isr.parameters]` and `[isr.preset.NAME]`.
    pub isr: Isr,
    /// Destinations that the config file brings in: `[[webhook]]`, `[[isr.destination]]`.
    pub destinations: Vec<Brought>,
    /// What TLS stands on, handed in from outside; without it there is none, and calls to `https` fail.
    pub tls: Option<TlsBase>,
    /// `[outbox]`.
    pub outbox: Outbox,
    /// Plays a small office's events (`--demo`).
    pub demo: bool,
}

/// Which engine this is, among how many, and in which start of the server.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// This engine.
    pub shard: ShardId,
    /// How many engines read the log.
    pub shards: u16,
    /// This start of the server.
    pub epoch: Epoch,
    /// Records are kept and can be read again.
    pub keeps_log: bool,
}

impl Default for Place {
    /// One engine alone.
    fn default() -> Place {
        Place { shard: ShardId(0), shards: 1, epoch: Epoch(1), keeps_log: false }
    }
}

/// What is spoken on a listener's connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Protocol {
    /// HTTP, and what begins as HTTP.
    #[default]
    Http,
    /// SIP: one of `[sip] listen`.
    Sip,
}

/// One `[[listener]]`, or a socket of `[sip] listen` that accepts connections.
#[derive(Clone, Debug, Default)]
pub struct Listener {
    /// What is spoken there.
    pub protocol: Protocol,
    /// The dialects that it serves, by name; `None` is all of them.
    pub dialects: Option<Vec<String>>,
    /// Addresses that it serves; `None` is all of them.
    pub allow: Option<Vec<Network>>,
    /// TLS on its connections.
    pub tls: Option<ListenerTls>,
    /// Addresses of proxies, which speak for others.
    pub proxies: Vec<Network>,
    /// These proxies begin a connection with a PROXY header (version 2); else their requests say whom they are for.
    pub proxy_protocol: bool,
}

impl Listener {
    /// Whether it has this dialect.
    #[must_use]
    pub fn serves(&self, dialect: &str) -> bool {
        self.dialects.as_ref().is_none_or(|names| names.iter().any(|name| name == dialect))
    }

    /// Takes over what can change while connections are open. Those keep what they began with.
    pub fn reload(&mut self, new: Listener) {
        if self.tls.is_some() == new.tls.is_some() {
            self.tls = new.tls;
        }
        self.allow = new.allow;
        self.proxies = new.proxies;
        self.proxy_protocol = new.proxy_protocol;
    }
}

/// `[log]`: how much history the log on disk keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Log {
    /// How old it may be.
    pub retain_ms: u64,
    /// How large it may be, all segments together.
    pub retain_bytes: u64,
}

impl Default for Log {
    fn default() -> Log {
        Log { retain_ms: 86_400_000, retain_bytes: 1 << 30 }
    }
}

/// `[native]`: our own API under `/v1`.
#[derive(Clone, Debug)]
pub struct Native {
    /// Browser origins that may read `/v1` (the Fetch standard's CORS protocol); none by default.
    pub allowed_origins: Vec<String>,
    /// `GET /v1/events` takes a token in the query as well (`access_token`), for browsers' `EventSource`.
    pub query_token: bool,
    /// The `source` of events that bring none.
    pub source: String,
}

impl Default for Native {
    fn default() -> Native {
        Native { allowed_origins: Vec::new(), query_token: false, source: "offhook".to_owned() }
    }
}

/// `[xms]`: the eventhandler dialect of PowerMedia XMS.
#[derive(Clone, Debug)]
pub struct Xms {
    /// The path before `/eventhandlers`.
    pub prefix: String,
    /// Scheme, host and port for `Location`; `None` takes the request's `Host`.
    pub public_url: Option<String>,
    /// From one keepalive of a stream to the next, 1,000 to 600,000 ms.
    pub keepalive_ms: u64,
    /// How many matching events wait for an eventhandler without a stream, and how far a stream may lag.
    pub replay_events: u64,
    /// How old such events get.
    pub replay_ms: u64,
    /// An eventhandler without a stream is deleted after this time; 0 = never.
    pub idle_ms: u64,
    /// Event words beside the vendor's that may appear on a stream.
    pub extra_types: Vec<String>,
    /// The applications; a request's `appid` names one.
    pub apps: Vec<XmsApp>,
}

impl Default for Xms {
    fn default() -> Xms {
        Xms {
            prefix: "/default".to_owned(),
            public_url: None,
            keepalive_ms: 10_000,
            replay_events: 1_000,
            replay_ms: 300_000,
            idle_ms: 86_400_000,
            extra_types: Vec::new(),
            apps: vec![XmsApp { name: "app".to_owned(), ..XmsApp::default() }],
        }
    }
}

impl Xms {
    /// The application of this name.
    #[must_use]
    pub fn app(&self, name: &str) -> Option<&XmsApp> {
        self.apps.iter().find(|app| app.name == name)
    }
}

/// `[xms.app.NAME]`: one application.
#[derive(Clone, Debug, Default)]
pub struct XmsApp {
    /// The `appid`.
    pub name: String,
    /// Addresses that may use it; `None` is everyone who reaches the listener.
    pub allow: Option<Vec<Network>>,
    /// Users, one of whom must be named; none: nobody is asked.
    pub users: Arc<[User]>,
    /// The event words that are delivered to it; `None` is the whole vocabulary.
    pub deliver_types: Option<Vec<String>>,
    /// A burst leaves in one write per event, for clients that take what one read gives as one event.
    pub one_write_per_event: bool,
}

/// One `[[vocabulary]]` row: an event type and its words in the dialects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VocabularyRow {
    /// The canonical type, such as `call.ringing`.
    pub event_type: String,
    /// Its word on an XMS stream.
    pub xms: Option<String>,
    /// Its iSymphony type.
    pub isymphony: Option<String>,
    /// Its WCS hook.
    pub wcs: Option<String>,
    /// Its ISR event type.
    pub isr: Option<String>,
}

/// `[outbox]`: patience with all destinations, and what may wait.
#[derive(Clone, PartialEq, Debug)]
pub struct Outbox {
    /// Patience, where a destination says nothing else.
    pub retry: Retry,
    /// Bytes of all that waits. Beyond: publishers get 503.
    pub pending_bytes: u64,
    /// Which dead letters are kept.
    pub dead_letters: DeadLetters,
    /// Ranges beside public addresses that URLs from an API may reach.
    pub allow_private: Vec<Network>,
    /// The proxy that all calls go through.
    pub egress_proxy: Option<Proxy>,
}

/// `[outbox] retry`: when a delivery that failed is tried again.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Retry {
    /// The first delay; each further one is `factor` times the one before, at most `cap_ms`.
    pub first_ms: u64,
    /// See `first_ms`.
    pub factor: f64,
    /// See `first_ms`.
    pub cap_ms: u64,
    /// Each delay is that part longer or shorter.
    pub jitter: f64,
    /// From the event's acceptance on; then it is a dead letter.
    pub give_up_after_ms: u64,
}

/// `[outbox] dead_letters`: beyond either bound the oldest are forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeadLetters {
    /// How old they become.
    pub age_ms: u64,
    /// How many there are.
    pub count: u64,
}

impl Default for Outbox {
    fn default() -> Outbox {
        Outbox {
            retry: Retry::default(),
            pending_bytes: 1 << 30,
            dead_letters: DeadLetters { age_ms: 30 * 86_400_000, count: 100_000 },
            allow_private: Vec::new(),
            egress_proxy: None,
        }
    }
}

impl Default for Retry {
    fn default() -> Retry {
        let hour_ms = 3_600_000;
        Retry { first_ms: 1_000, factor: 2.0, cap_ms: hour_ms, jitter: 0.2, give_up_after_ms: 72 * hour_ms }
    }
}

/// `[isr]`: notifications of Oracle's Interactive Session Recorder.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Isr {
    /// Parameters beside those of the table: a name, and the member of `data` that fills it.
    pub parameters: BTreeMap<String, String>,
    /// Presets beside `face`: a name, and the keys that a destination with it has, as JSON.
    pub presets: BTreeMap<String, String>,
}

/// A destination that the config file brings in.
#[derive(Clone, PartialEq, Eq)]
pub struct Brought {
    /// `webhook` or `isr`.
    pub kind: &'static str,
    /// Its name, once in the file.
    pub name: String,
    /// Its specification: JSON, as an API would bring it, with the texts of the files that the config names.
    pub spec: String,
}

/// A preset may give credentials: its name alone is shown.
impl fmt::Debug for Isr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let presets: Vec<&String> = self.presets.keys().collect();
        write!(f, "Isr {{ parameters: {:?}, presets: {presets:?} }}", self.parameters)
    }
}

/// Secrets stand in a specification: nobody sees it in a log.
impl fmt::Debug for Brought {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}
