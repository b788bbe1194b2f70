//! What the log says of eventhandlers.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::read::Edit;
use crate::ground::config::Only;
use crate::ground::limits::Limits;

/// What an application and an eventhandler may have, as the engine had it that appended the change: all engines judge
/// by that, whatever they have reloaded, and so does a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// Eventhandlers of an application.
    pub handlers: u64,
    /// Subscriptions of one eventhandler.
    pub subscriptions: u64,
    /// Subscriptions of all eventhandlers of an application.
    pub subscriptions_of_app: u64,
}

impl Room {
    /// The limits in force.
    #[must_use]
    pub fn of(limits: &Limits) -> Room {
        Room {
            handlers: limits.xms_handlers_per_app,
            subscriptions: limits.xms_subscriptions,
            subscriptions_of_app: limits.xms_subscriptions_per_app,
        }
    }
}

/// How far a stream has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Its eventhandler.
    pub id: Uuid,
    /// How many of the matching events, from the first on, are sent or dropped.
    pub read: u64,
    /// Events that the stream sent live.
    pub sent: u64,
    /// Events that it replayed.
    pub replayed: u64,
    /// The number of the first event that it did not send.
    pub position: u64,
}

/// A change of an eventhandler, as a record holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// It was made.
    Created {
        /// Its id.
        id: Uuid,
        /// Its application.
        app: Box<str>,
        /// Its subscriptions, as edits of an empty list.
        edits: Vec<Edit>,
        /// What there may be.
        room: Room,
        /// What whoever made it may see.
        #[serde(default, skip_serializing_if = "Only::is_everything")]
        only: Only,
    },
    /// Its subscriptions were edited.
    Put {
        /// Its id.
        id: Uuid,
        /// The edits, in order.
        edits: Vec<Edit>,
        /// What there may be.
        room: Room,
    },
    /// A client deleted it.
    Deleted {
        /// Its id.
        id: Uuid,
    },
    /// No stream was open for too long.
    Expired {
        /// Its id.
        id: Uuid,
        /// What "too long" was for the engine that said so: all engines judge by it, whatever they have reloaded.
        idle_ms: u64,
    },
    /// How far streams have come that are open; a restart goes on from there.
    Progress(Vec<Progress>),
    /// A stream opens.
    Opened {
        /// Its id.
        id: Uuid,
    },
    /// A stream has closed.
    Closed {
        /// Its id.
        id: Uuid,
        /// How many of its matching events, from its beginning on, are sent or dropped.
        read: u64,
        /// Events that the stream sent live.
        sent: u64,
        /// Events that it replayed.
        replayed: u64,
        /// Events of earlier subscriptions that it did not send, as runs from number to number.
        backlog: Vec<(u64, u64)>,
        /// The number of the first event of its feed that it did not send.
        position: u64,
    },
}

impl Change {
    /// The change as a record holds it.
    #[must_use]
    pub fn encode(&self) -> Box<[u8]> {
        serde_json::to_vec(self).expect("plain data without maps is always JSON").into_boxed_slice()
    }
}
