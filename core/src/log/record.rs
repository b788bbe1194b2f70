//! A record: what one engine tells all engines, in one order.

use std::fmt;
use std::sync::Arc;

use crate::event::Event;
use crate::ground::id::{ConnId, Epoch, Seq, ShardId};
use crate::ground::time::Wall;

/// The version of the record's form; readers skip header fields that they do not know.
pub const VERSION: u8 = 1;

/// One entry of the log.
#[derive(Clone, Debug)]
pub struct Record {
    /// What is known of every record.
    pub header: Header,
    /// Who waits for it; known only while it travels, never stored.
    pub origin: Origin,
    /// What it says.
    pub body: Body,
}

/// What is known of every record.
#[derive(Clone, Debug)]
pub struct Header {
    /// The form's version.
    pub version: u8,
    /// When it was made.
    pub wall: Wall,
    /// Who caused it.
    pub actor: Actor,
    /// The W3C `traceparent` that came along with its cause.
    pub trace: Option<Arc<str>>,
    /// Whether it is written. A passing record is ordered and shared, but need not survive a crash.
    pub kept: bool,
}

/// Who caused a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A peer that named no credential, by its address.
    Address(std::net::IpAddr),
    /// A part of this server, such as `demo` or `expiry`.
    Server(&'static str),
}

/// The request that waits for a record, and its share in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The shard that appended it.
    pub shard: ShardId,
    /// The connection and its request's number; `None` if nobody waits.
    pub request: Option<(ConnId, u32)>,
    /// This is the last record of its request: the reply follows it.
    pub last: bool,
}

/// What a record says.
#[derive(Clone, Debug)]
pub enum Body {
    /// An event was accepted.
    Event(Arc<Event>),
    /// An event came again that was accepted before, under this number.
    Repeat {
        /// The number.
        first: Seq,
        /// The event's id.
        id: Box<str>,
    },
    /// The server has started.
    Epoch {
        /// This start.
        epoch: Epoch,
        /// The last number of the start before.
        ended: Seq,
    },
    /// Records up to this one are to leave the log: every engine says anew what it answers for.
    Retire {
        /// The last one that is to go.
        through: Seq,
    },
    /// An engine has said all that; when every engine has, and it is durable, the records may go.
    Retired {
        /// See [`Body::Retire`].
        through: Seq,
        /// The engine.
        shard: ShardId,
    },
    /// A dialect's own state changed: the dialect's name and a change in its own encoding.
    Change(&'static str, Box<[u8]>),
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::Address(address) => address.fmt(f),
            Actor::Server(part) => f.write_str(part),
        }
    }
}
