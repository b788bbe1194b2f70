//! The agent: on shard 0 it makes SIP subscriptions of the entries of those that clients made over HTTP, and says what
//! notifiers tell of them. It is told of each change that it has to act on, and asked what there is to say until there
//! is nothing more; each thing that it says is applied before it is asked again.

use std::collections::VecDeque;

use uuid::Uuid;

use super::change::Child;
use super::state::{Difference, Resource, Subscription, Subscriptions};
use crate::ground::time::Mono;
use crate::hub::Hub;

/// Something to say of a subscription.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// Its resources have changed: a new version, and a callback.
    Told {
        /// Resources that changed, whole.
        resources: Vec<Resource>,
        /// Resources of lists that are gone.
        dropped: Vec<Child>,
    },
    /// Its resources have changed in what is no news for its client, such as by a first NOTIFY without a body: neither a
    /// new version nor a callback.
    Quiet {
        /// Resources that changed, whole.
        resources: Vec<Resource>,
        /// Resources of lists that are gone.
        dropped: Vec<Child>,
    },
    /// What a restart needs of a dialog; `None`: it is gone.
    Dialog {
        /// The entry that it is of.
        uri: Box<str>,
        /// Its number among the dialogs of that entry.
        dialog: u32,
        /// JSON.
        saved: Option<Box<str>>,
    },
    /// It ended, and its dialogs are over as well.
    Over,
}

/// What shard 0 does for subscriptions. Absent so far: SIP.
#[derive(Debug, Default)]
pub struct Agent {
    over: VecDeque<Uuid>,
}

impl Agent {
    /// A subscription was made.
    pub fn begin(&mut self, _hub: &mut Hub, _subscription: &Subscription) {}

    /// The server was started, and the log holds this subscription; one that has ended may have dialogs still.
    pub fn resume(&mut self, hub: &mut Hub, subscription: &Subscription) {
        if subscription.ended.is_some() {
            self.end(hub, subscription);
        }
    }

    /// A PUT has changed a subscription: resources that had ended for good are tried again.
    pub fn change(&mut self, _hub: &mut Hub, _subscription: &Subscription, _difference: &Difference) {}

    /// A subscription ends: so do its dialogs, at the latest after 32 s. Then [`Said::Over`].
    pub fn end(&mut self, _hub: &mut Hub, subscription: &Subscription) {
        self.over.push_back(subscription.id);
    }

    /// The next thing to say.
    pub fn poll(&mut self, _hub: &mut Hub, _all: &Subscriptions) -> Option<(Uuid, Said)> {
        self.over.pop_front().map(|id| (id, Said::Over))
    }

    /// Its deadline has come: [`super::AGENT`] is the key.
    pub fn handle_timeout(&mut self, _hub: &mut Hub, _at: Mono) {}

    /// The server stops.
    pub fn stop(&mut self, _hub: &mut Hub) {}
}
