//! Calls: requests that we make of others' servers. Whoever makes one says where it goes and what it says; it hears
//! once what came of it ([`crate::dialect::Dialect::answered`]).

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

pub use crate::wire::tls::Tls;

/// Where calls go: what two of them must have in common to share a connection.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Target {
    /// The host of the URL: a name or an address, without brackets.
    pub host: Box<str>,
    /// The port.
    pub port: u16,
    /// `https`: how the peer is verified; `None` is `http`.
    pub tls: Option<Arc<Tls>>,
    /// The URL stands in the config file. Others, which arrive over an API, may reach public addresses alone, and those
    /// that `[outbox] allow_private` opens.
    pub trusted: bool,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Call {
    /// Where it goes.
    pub target: Arc<Target>,
    /// Head and body, whole.
    pub request: Vec<u8>,
    /// How long a connection may take, TLS included.
    pub connect_ms: u64,
    /// How long the first byte of the answer may take, from the request on; 0 is as long as all of it.
    pub first_byte_ms: u64,
    /// How long all of it may take; 0 is without end.
    pub total_ms: u64,
    /// Content of an answer that is kept; what is beyond it is not read, and the status counts.
    pub content_max: u64,
    /// Who hears of it.
    pub caller: Caller,
}

/// The dialect of a [`Caller`] that is none: the engine's own user, who calls with [`crate::Engine::call`].
pub const EMBEDDER: u8 = u8::MAX;

/// One call's name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct CallId {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

/// Who hears what came of a call: a dialect, by its place in the list, and a key of its choice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Caller {
    /// The dialect's place in the list.
    pub dialect: u8,
    /// Its own key.
    pub key: u64,
}

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The status; interim ones (1xx) are passed over.
    pub status: u16,
    /// `Retry-After` in milliseconds from now, if the answer had one that can be read.
    pub retry_after_ms: Option<u64>,
    /// `Content-Type`.
    pub content_type: Option<Box<str>>,
    /// The content, as far as it is kept.
    pub content: Vec<u8>,
    /// There was more than is kept.
    pub cut: bool,
}

/// Why there is no answer: the world's fault, or the peer's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CallFault {
    /// The name has no address, or no name server answered.
    Resolve(Box<str>),
    /// No address took the connection.
    Connect(Box<str>),
    /// The connection, TLS included, was not made in time.
    ConnectTimeout,
    /// The TLS handshake failed; the text says what the peer offered.
    Tls(Box<str>),
    /// No whole answer in time.
    Timeout,
    /// The connection ended before the first byte of an answer; `sent`: the whole request had been written.
    Closed {
        /// The whole request had been written.
        sent: bool,
        /// The connection had carried an earlier request.
        reused: bool,
    },
    /// The connection ended in the middle of an answer.
    Cut,
    /// What came is no HTTP answer.
    BadAnswer(&'static str),
    /// The address lies in a range that URLs from an API may not reach.
    Blocked {
        /// The address.
        address: IpAddr,
        /// The range's name.
        range: &'static str,
    },
    /// The proxy answered CONNECT with this status.
    Proxy(u16),
    /// There is no room for another connection.
    NoRoom,
}

impl fmt::Display for CallFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallFault::Resolve(why) => write!(f, "the name cannot be resolved: {why}"),
            CallFault::Connect(why) => write!(f, "no connection: {why}"),
            CallFault::ConnectTimeout => f.write_str("no connection in time"),
            CallFault::Tls(why) => write!(f, "TLS: {why}"),
            CallFault::Timeout => f.write_str("no answer in time"),
            CallFault::Closed { .. } => f.write_str("the connection was closed before an answer"),
            CallFault::Cut => f.write_str("the connection was closed in the middle of the answer"),
            CallFault::BadAnswer(why) => write!(f, "no HTTP answer: {why}"),
            CallFault::Blocked { address, range } => {
                write!(f, "{address} is a {range} address; [outbox] allow_private = [\"{address}\"] opens it")
            }
            CallFault::Proxy(status) => write!(f, "the proxy answered {status}"),
            CallFault::NoRoom => f.write_str("no room for another connection"),
        }
    }
}
