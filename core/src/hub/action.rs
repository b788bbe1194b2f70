//! What the engine asks of its adapter, and what the adapter tells it of the world.

use std::sync::Arc;

use crate::ground::config::Config;
use crate::ground::id::{ConnId, Seq};
use crate::log::record::Record;

/// Something that the adapter does for the engine. Actions are small; they come in the order in which they should be done.
#[derive(Debug)]
pub enum Action {
    /// Give each record the next sequence number, all of them in one run, and hand them to every engine that reads
    /// the log, this one included ([`crate::Engine::receive_record`]), in that order. Later: [`Completion::Durable`].
    Append(Vec<Record>),
    /// Bytes wait: take them from [`crate::Engine::outbound`].
    Flush(ConnId),
    /// End the sending direction (a FIN), and go on reading.
    Finish(ConnId),
    /// Close the socket. The id is dead; the slot may come back at the next accept.
    Close(ConnId),
    /// Read kept records of the log, from one on. Later: [`Completion::Read`].
    Read {
        /// Comes back with the completion.
        ticket: u64,
        /// The first one that is wanted.
        from: Seq,
        /// About how many bytes; at least one record, if there is one.
        bytes: u64,
    },
    /// Write the metrics of all engines as one OpenMetrics document. Later: [`Completion::Report`].
    Report(u64),
    /// Say this in the server's own log.
    Note(Note),
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
        /// The oldest record that the log still has.
        start: Seq,
        /// Kept records, in order; none: there is none from there on.
        records: Vec<(Seq, Arc<Record>)>,
    },
    /// The document that [`Action::Report`] asked for.
    Report(u64, Vec<u8>),
    /// A new configuration. Listeners stay as they are.
    Reloaded(Box<Config>),
    /// Stop: end the streams cleanly and close what is idle. [`crate::Engine::is_drained`] says when all is closed.
    Stop,
}
