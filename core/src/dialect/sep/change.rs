//! What the log says of subscriptions. All engines apply it alike; shard 0 alone speaks SIP, and so is the only one that
//! says what notifiers told, and when a subscription ends by itself.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::state::{Entry, Form, How, Resource, Subscription};
use crate::ground::time::Wall;

/// A change of a subscription, as a record holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// It was made.
    Created(Box<Made>),
    /// It was changed or refreshed; what is `None` stays.
    Put {
        /// Its id.
        id: Uuid,
        /// What is new.
        put: Box<Put>,
    },
    /// What notifiers told of some of its resources.
    State {
        /// Its id.
        id: Uuid,
        /// What they told.
        state: Box<Told>,
    },
    /// What a restart needs of a SIP dialog; `None`: the dialog is gone.
    Dialog {
        /// Its subscription.
        id: Uuid,
        /// The entry that it is of.
        uri: Box<str>,
        /// Its number among the dialogs of that entry.
        dialog: u32,
        /// JSON of the subscriber's own.
        saved: Option<Box<str>>,
    },
    /// It ends: from here on it is gone for whoever asks, and its dialogs are ended.
    Ended {
        /// Its id.
        id: Uuid,
        /// Why.
        how: How,
    },
    /// It ended long ago, and nothing is known of it any more.
    Forgotten {
        /// Its id.
        id: Uuid,
    },
    /// Carried over the end of the log's history: the subscription as it stood.
    Carried(Box<Subscription>),
}

/// What the making of a subscription says of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Its id.
    pub id: Uuid,
    /// The user or token that made it; `None`: nobody had to be named.
    pub owner: Option<Box<str>>,
    /// Scheme, host and port of its URL.
    pub base: Box<str>,
    /// The event package.
    pub event: Box<str>,
    /// Body types for the `Accept` of SUBSCRIBE.
    pub accept: Vec<Box<str>>,
    /// Callbacks have the multipart form.
    pub multipart: bool,
    /// What documents its callbacks carry.
    pub form: Form,
    /// Where callbacks go.
    pub notify: Option<Box<str>>,
    /// When it ends.
    pub expires: Wall,
    /// What it is of.
    pub entries: Vec<Entry>,
    /// How many subscriptions there may be, as the engine had it that appended this: all engines judge by that.
    pub room: u64,
    /// How many entries all of them may have, in the same way; `None`: the record is older than that bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries_room: Option<u64>,
}

/// What notifiers told of the resources of a subscription.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// Counts all that is told of the subscription. Shard 0 gives it, and an engine that has it already passes the record
    /// over.
    pub step: u64,
    /// The version of the document from here on.
    pub version: u64,
    /// Resources that changed, whole. One of an entry that is no longer listed is passed over.
    pub resources: Vec<Resource>,
    /// Resources of a list on the far side that are no longer on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<Child>,
    /// The subscription has ended, and this is the last that is told of it.
    #[serde(default)]
    pub last: bool,
    /// From here on a callback is owed, since this time: no letter tells of this state yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owed_since: Option<Wall>,
}

/// What a PUT replaces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Wall>,
    /// Where callbacks go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Box<str>>,
    /// Body types, and whether callbacks have the multipart form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept: Option<(Vec<Box<str>>, bool)>,
    /// What it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<Vec<Entry>>,
}

/// A resource that came in the list of an entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Child {
    /// The entry.
    pub of: Box<str>,
    /// The resource.
    pub uri: Box<str>,
}

impl Change {
    /// The change as a record holds it.
    #[must_use]
    pub fn encode(&self) -> Box<[u8]> {
        serde_json::to_vec(self).expect("plain data without maps is always JSON").into_boxed_slice()
    }

    /// Reads a record.
    ///
    /// # Errors
    /// A later version wrote it.
    pub fn decode(bytes: &[u8]) -> Result<Change, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}
