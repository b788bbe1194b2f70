//! Which callbacks are still to leave. Each change makes one; several that come within 50 ms and concern different
//! resources share one (reference 2.6), and what the outbox has no room for is owed.
//!
//! What is absent here: what letters say (`receiver`). The log says of each subscription whether a callback is owed
//! ([`Told::owed_since`]), so that a restart owes it still.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::change::{Change, Told};
use super::state::Resource;
use super::{GATHERED, OWED, Sep, append, own, receiver};
use crate::ground::deadline::Due;
use crate::ground::time::Mono;
use crate::hub::Hub;

/// A resource: the entry in whose list it came, and its URI.
type Name = (Option<Box<str>>, Box<str>);

/// What is to be done about callbacks, on shard 0.
#[derive(Debug)]
pub(super) struct Calls {
    /// Subscriptions for whose callbacks there was no room.
    owed: BTreeSet<Uuid>,
    /// A deadline is armed that tries them again.
    is_waiting: bool,
    recent: BTreeMap<Uuid, Recent>,
    /// When callbacks stop being recent, in that order.
    ends: BTreeSet<(Mono, Uuid)>,
    /// The deadline that is armed for the first of these.
    pub(super) armed: Mono,
}

/// A callback that left a moment ago.
#[derive(Debug)]
struct Recent {
    until: Mono,
    /// What it told of.
    told: BTreeSet<Name>,
    /// What has changed since, and is told at the end.
    gathered: BTreeSet<Name>,
}

/// When the callback of a change leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum When {
    /// At once, with all that was gathered.
    AtOnce,
    /// First that of the gathered changes, because it has one of the same resource; then its own.
    Apart,
    /// With others, when the last one is no longer recent.
    Together,
}

fn names(told: &Told) -> impl Iterator<Item = Name> {
    let dropped = told.dropped.iter().map(|child| (Some(child.of.clone()), child.uri.clone()));
    let changed = told.resources.iter().map(|Resource { uri, of, .. }| (of.clone(), uri.clone()));
    changed.chain(dropped)
}

impl Calls {
    pub(super) fn new() -> Calls {
        Calls {
            owed: BTreeSet::new(),
            is_waiting: false,
            recent: BTreeMap::new(),
            ends: BTreeSet::new(),
            armed: Mono::NEVER,
        }
    }

    /// When the callback of this change leaves.
    pub(super) fn when(&self, now: Mono, id: Uuid, told: &Told) -> When {
        let Some(recent) = self.recent.get(&id).filter(|recent| recent.until > now && !told.last) else {
            return When::AtOnce;
        };
        if names(told).any(|name| recent.gathered.contains(&name)) {
            When::Apart
        } else if names(told).any(|name| recent.told.contains(&name)) {
            When::AtOnce
        } else {
            When::Together
        }
    }

    /// A change joins those that share the next callback.
    pub(super) fn gather(&mut self, id: Uuid, told: &Told) {
        if let Some(recent) = self.recent.get_mut(&id) {
            recent.gathered.extend(names(told));
        }
    }

    /// A callback has left, which told of this beside what was gathered; for so long it is recent.
    pub(super) fn left(&mut self, now: Mono, id: Uuid, told: Option<&Told>, for_ms: u64) {
        let mut all = self.forget(id).map(|recent| recent.gathered).unwrap_or_default();
        all.extend(told.into_iter().flat_map(names));
        let until = now.plus_ms(for_ms);
        self.recent.insert(id, Recent { until, told: all, gathered: BTreeSet::new() });
        self.ends.insert((until, id));
    }

    /// Nothing is to leave for a subscription any more.
    fn forget(&mut self, id: Uuid) -> Option<Recent> {
        self.owed.remove(&id);
        let recent = self.recent.remove(&id)?;
        self.ends.remove(&(recent.until, id));
        Some(recent)
    }

    /// A subscription is gone.
    pub(super) fn remove(&mut self, id: Uuid) {
        self.forget(id);
    }

    /// A subscription whose last callback is no longer recent, and that has gathered changes since.
    pub(super) fn next_gathered(&mut self, now: Mono) -> Option<Uuid> {
        while let Some(&(_, id)) = self.ends.first().filter(|(until, _)| *until <= now) {
            self.ends.pop_first();
            if self.recent.get(&id).is_some_and(|recent| !recent.gathered.is_empty()) {
                return Some(id);
            }
            self.recent.remove(&id);
        }
        None
    }

    /// When the next callback stops being recent.
    pub(super) fn poll_timeout(&self) -> Option<Mono> {
        self.ends.first().map(|(until, _)| *until)
    }
}

impl Sep {
    /// Leaves the callback that is owed with the outbox, as soon as that has room.
    pub(super) fn call(&mut self, hub: &mut Hub, id: Uuid) {
        let subscription = self.subscriptions.get_mut(id);
        let owed = subscription.and_then(|subscription| subscription.owed_since.map(|at| (subscription, at)));
        let Some((subscription, since)) = owed else { return self.calls.remove(id) };
        if hub.outbox_full {
            return self.owe(hub, id);
        }
        // A crash may leave the letter and lose its state: what then leaves again is the same delivery.
        if let Some(letter) = receiver::letter(subscription, since, hub.now.wall, &hub.config) {
            append(hub, letter);
        }
        let (step, version) = (subscription.step + 1, subscription.version);
        let state = Told { step, version, ..Told::default() };
        append(hub, own(&Change::State { id, state: Box::new(state.clone()) }));
        subscription.tell(state);
        self.called(hub, id, None);
    }

    /// A callback has left, which told of this beside what was gathered. What comes close behind may share the next one;
    /// where there is one resource, nothing can.
    pub(super) fn called(&mut self, hub: &mut Hub, id: Uuid, told: Option<&Told>) {
        let several = self.subscriptions.get(id).is_some_and(|s| s.resources.len() > 1);
        if !several || hub.config.limits.sep_gather_ms == 0 {
            return self.calls.remove(id);
        }
        self.calls.left(hub.now.mono, id, told, hub.config.limits.sep_gather_ms);
        self.arm_calls(hub);
    }

    fn arm_calls(&mut self, hub: &mut Hub) {
        if let Some(at) = self.calls.poll_timeout().filter(|at| *at < self.calls.armed) {
            self.calls.armed = at;
            hub.deadlines.arm(at, Due::Dialect(self.place, GATHERED));
        }
    }

    /// There is no room for a callback; it is tried again.
    pub(super) fn owe(&mut self, hub: &mut Hub, id: Uuid) {
        self.calls.remove(id);
        self.calls.owed.insert(id);
        if !std::mem::replace(&mut self.calls.is_waiting, true) {
            let at = hub.now.mono.plus_ms(hub.config.limits.sep_callback_pause_ms);
            hub.deadlines.arm(at, Due::Dialect(self.place, OWED));
        }
    }

    /// Callbacks that were owed, if there is room again.
    pub(super) fn call_again(&mut self, hub: &mut Hub) {
        self.calls.is_waiting = false;
        for id in std::mem::take(&mut self.calls.owed) {
            self.call(hub, id);
        }
    }

    /// What was gathered is told.
    pub(super) fn call_gathered(&mut self, hub: &mut Hub) {
        self.calls.armed = Mono::NEVER;
        while let Some(id) = self.calls.next_gathered(hub.now.mono) {
            self.call(hub, id);
        }
        self.arm_calls(hub);
    }
}
