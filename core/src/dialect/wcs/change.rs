//! What the log says of WCS. Which events become hooks is decided by records alone, so that a replay under another
//! config decides the same.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Event types that become hooks, and their names: the vocabulary's words that an application lists.
pub type Words = BTreeMap<Box<str>, Box<str>>;

/// A change, as a record holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// The first part of `nodeId` was drawn.
    Node {
        /// 32 characters.
        id: Box<str>,
    },
    /// The config file has an application, or has changed it.
    App {
        /// Its key.
        key: Box<str>,
        /// What becomes a hook.
        words: Words,
    },
    /// The config file has it no longer.
    Removed {
        /// Its key.
        key: Box<str>,
    },
    /// A hook without a final outcome, said again so that the segment that holds its event can go.
    Waiting {
        /// The number of its event.
        seq: u64,
        /// Its application.
        app: Box<str>,
        /// Its name.
        hook: Box<str>,
        /// The event as CloudEvents JSON.
        event: Box<str>,
    },
    /// A session began, said again so that the segment that holds its event can go.
    Begun {
        /// Its name.
        session: Box<str>,
        /// Its application.
        app: Box<str>,
        /// What ConnectionStatusEvent says of it, but for the status, as JSON.
        data: Box<str>,
    },
    /// A session is open. Passing, as are the three below: sessions end with the process.
    Opened {
        /// Its name.
        session: Box<str>,
        /// Its application.
        app: Box<str>,
        /// The engine that has its socket.
        shard: u16,
    },
    /// Its socket is gone; its events are that engine's affair while hooks are left.
    Gone {
        /// Its name.
        session: Box<str>,
    },
    /// None is left, unless an event of it stands behind `through`.
    Closed {
        /// Its name.
        session: Box<str>,
        /// Its last event that is known.
        through: u64,
    },
    /// A backend sends something to a session's client.
    Push {
        /// Its name.
        session: Box<str>,
        /// The members of the object that the client gets, as JSON.
        data: Box<str>,
    },
    /// Hooks have their final outcomes: they are never called again by themselves.
    Ended {
        /// All that ended in one turn.
        hooks: Vec<Ended>,
    },
}

/// A hook's final outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The number of its event.
    pub seq: u64,
    /// Why it failed, and what it said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead: Option<Dead>,
}

/// A hook that finally failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dead {
    /// Its application.
    pub app: Box<str>,
    /// Its name.
    pub hook: Box<str>,
    /// Its reason.
    pub reason: Box<str>,
    /// The body that was or would have been sent.
    pub body: Box<str>,
}

impl Change {
    /// The change as a record holds it.
    #[must_use]
    pub fn encode(&self) -> Box<[u8]> {
        serde_json::to_vec(self).expect("plain data with text for keys is always JSON").into_boxed_slice()
    }
}
