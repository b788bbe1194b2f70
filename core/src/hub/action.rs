//! What the engine asks of its adapter, and what the adapter tells it of the world.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::ground::config::Config;
use crate::ground::id::{ConnId, Seq};
use crate::hub::access::audit::Audit;
use crate::log::record::Record;

/// Who asks for the addresses of a name. Each has a line of its own, so that names which hang keep nobody in the other one
/// waiting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Share {
    /// Calls.
    Calls,
    /// Dialects, for protocols of their own.
    Dialects,
}

/// Something that the adapter does for the engine. Actions are small; they come in the order in which they should be done.
#[derive(Debug)]
pub enum Action {
    /// Give each record the next sequence number, all of them in one run, and hand them to every engine that reads
    /// the log, this one included ([`crate::Engine::receive_record`]), in that order. Later: [`Completion::Durable`].
    Append(Vec<Record>),
    /// Read kept records back: the first one wanted, and how many bytes of them at most (one comes in any case). Later:
    /// [`Completion::Read`].
    Read {
        /// Comes back in the completion.
        ticket: u64,
        /// The first record that is wanted.
        from: Seq,
        /// Bytes, beyond which no further record is read.
        bytes: u64,
    },
    /// Make a connection to this address, under an id that the engine gave. Later: [`Completion::Dialed`]; a
    /// [`Action::Close`] may come first.
    Dial(ConnId, SocketAddr),
    /// Send a datagram from one of the UDP sockets; if the socket does not take it, it is lost
    /// ([`crate::Engine::datagram_dropped`]).
    Send {
        /// The socket, by its place among those of `[sip] listen` that are UDP.
        via: u16,
        /// The peer. To a socket of IPv6 alone, IPv4 goes as a mapped address.
        to: SocketAddr,
        /// The datagram.
        bytes: Box<[u8]>,
    },
    /// Find the addresses of a host name, in the line of those who ask. Later: [`Completion::Resolved`].
    Resolve(u64, Box<str>, Share),
    /// Bytes wait: take them from [`crate::Engine::outbound`].
    Flush(ConnId),
    /// End the sending direction (a FIN), and go on reading.
    Finish(ConnId),
    /// Close the socket. The id is dead; the slot may come back at the next accept.
    Close(ConnId),
    /// Write the metrics of all engines as one OpenMetrics document. Later: [`Completion::Report`].
    Report(u64),
    /// Find out off the loop whether a password gives this hash, a PHC string of argon2id. Later: [`Completion::Checked`].
    Check {
        /// Comes back in the completion.
        ticket: u64,
        /// The hash.
        hash: Box<str>,
        /// The password.
        password: Password,
    },
    /// Say this in the server's own log.
    Note(Note),
    /// Write this into the audit log.
    Audit(Box<Audit>),
}

/// A password on its way to its check. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Box<[u8]>);

impl Password {
    /// A password of these bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Password {
        Password(bytes.into())
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// A line for the server's own log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// How much it matters.
    pub level: Level,
    /// The line.
    pub text: String,
}

/// How much a [`Note`] matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// Somebody should look at it.
    Warn,
    /// Worth a line.
    Info,
    /// For those who search a fault.
    Debug,
}

/// What came of an action, or what the host decided.
#[derive(Debug)]
pub enum Completion {
    /// All records up to this one survive a crash (or need not, when nothing is kept).
    Durable(Seq),
    /// What [`Action::Read`] asked for.
    Read {
        /// The ticket of the action.
        ticket: u64,
        /// The oldest record that the log may still have.
        start: Seq,
        /// Records, in order; the first may have a higher number, because passing ones are not kept. None: the log has
        /// none from there on that are durable.
        records: Vec<(Seq, Arc<Record>)>,
    },
    /// What came of [`Action::Dial`]; the text says why not.
    Dialed(ConnId, Result<(), Box<str>>),
    /// What came of [`Action::Resolve`]: all addresses in the order of the resolver, or why there is none.
    Resolved(u64, Result<Vec<IpAddr>, Box<str>>),
    /// What came of [`Action::Check`].
    Checked(u64, bool),
    /// The log has no room for more, or has room again. While it is full, whatever would change something is refused.
    Full(bool),
    /// All that the log holds was given to this engine; from here on it acts.
    Recovered,
    /// The document that [`Action::Report`] asked for.
    Report(u64, Vec<u8>),
    /// A new configuration. Listeners stay as they are, and `[sip]` does.
    Reloaded(Box<Config>),
    /// Stop: end the streams cleanly and close what is idle. [`crate::Engine::is_drained`] says when all is closed.
    Stop,
}
