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
    /// A peer that named a credential, by its address and the user's or token's name.
    Named(std::net::IpAddr, Arc<str>),
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
    /// An event came again that was accepted before, under this number. Passing.
    Repeat {
        /// The number.
        first: Seq,
        /// The event's id.
        id: Box<str>,
    },
    /// A dialect's own state changed: the dialect's name and a change in its own encoding.
    Change(&'static str, Box<[u8]>),
    /// State that was made by records up to `through`, which the log is about to forget, as a change of the dialect of
    /// this name. It is applied when the server starts, before the records that are left, and nowhere else.
    Carried {
        /// The last record that is forgotten.
        through: Seq,
        /// The dialect's name.
        part: &'static str,
        /// A change in its own encoding.
        change: Box<[u8]>,
    },
    /// The server has started: what follows is of this epoch. The one before ended with record `ended`.
    Epoch {
        /// The epoch.
        epoch: Epoch,
        /// The last record before it.
        ended: Seq,
    },
    /// The log wants to forget the records up to this one: every engine says again what it owns and what stands in them
    /// alone, then answers. Passing.
    Retire {
        /// The last of them.
        through: Seq,
    },
    /// An engine's answer. Passing.
    Retired {
        /// As it was asked.
        through: Seq,
        /// The engine.
        shard: ShardId,
    },
}

impl Origin {
    /// Nobody waits, and no shard is the appender: so are records that come from the disk, and the log's own.
    pub const NOBODY: Origin = Origin { shard: ShardId(u16::MAX), request: None, last: false };
}

impl Record {
    /// The record that opens an epoch.
    #[must_use]
    pub fn of_epoch(epoch: Epoch, ended: Seq) -> Record {
        let header =
            Header { version: VERSION, wall: Wall(0), actor: Actor::Server("log"), trace: None, kept: true };
        Record { header, origin: Origin::NOBODY, body: Body::Epoch { epoch, ended } }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::Address(address) => address.fmt(f),
            Actor::Named(address, name) => write!(f, "{name} of {address}"),
            Actor::Server(part) => f.write_str(part),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actors_are_told_in_words() {
        let peer = [192, 0, 2, 1].into();
        for (actor, text) in [
            (Actor::Address(peer), "192.0.2.1"),
            (Actor::Named(peer, "ann".into()), "ann of 192.0.2.1"),
            (Actor::Server("expiry"), "expiry"),
        ] {
            assert_eq!(actor.to_string(), text);
        }
    }
}
