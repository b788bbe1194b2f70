//! The agent: on shard 0 it makes SIP subscriptions of the entries of those that clients made over HTTP, and says what
//! notifiers tell of them. It is told of each change that it has to act on, and asked what there is to say until there
//! is nothing more; each thing that it says is applied before it is asked again.
//!
//! What is absent here: SIP itself ([`Subscriber`]), what bodies mean ([`super::package`]), documents, records. What a
//! notifier said becomes resources in `told`; bytes find their way in `transport`.

mod told;
mod transport;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use uuid::Uuid;

use super::change::Child;
use super::package::{self, Package};
use super::rlmi::Lists;
use super::state::{Dialog, Difference, Resource, Subscription, Subscriptions};
use crate::ground::slots::Slots;
use crate::ground::time::{Mono, Wall};
use crate::hub::Hub;
use crate::hub::action::Level;
use crate::wire::sip::subscriber::{Saved, Subscriber, Wanted};
use crate::wire::sip::uri::Uri;
use transport::Transport;

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
    /// Its resources have changed in what belongs to version 0 or needs no callback: a first NOTIFY without a body.
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

/// What shard 0 does for subscriptions.
#[derive(Debug)]
pub struct Agent {
    /// The dialect's place in the list.
    place: u8,
    /// None without `[sip] listen`: nothing is subscribed to then.
    subscriber: Option<Subscriber>,
    transport: Transport,
    entries: Slots<Entry>,
    /// The entries of each subscription.
    of: BTreeMap<Uuid, Vec<u32>>,
    /// Numbers of those who have made subscriptions.
    clients: BTreeMap<Option<Box<str>>, u32>,
    /// Subscriptions that have ended, and whose dialogs end.
    ending: BTreeSet<Uuid>,
    saying: VecDeque<(Uuid, Said)>,
    /// The server stops, and no dialog is to be left behind until then.
    leaving: Option<Mono>,
    /// Bodies that are not what their package promises.
    pub unreadable: u64,
}

/// One entry: a SIP subscription under this key.
#[derive(Debug)]
struct Entry {
    subscription: Uuid,
    uri: Arc<str>,
    package: Package,
    /// Nobody wants it any more.
    left: bool,
    /// What its package remembers of each dialog that the document does not show.
    ended: Vec<(u32, package::Ended)>,
    /// What it showed before its dialog ended: what comes next is compared with that.
    former: Option<Box<package::Body>>,
    /// What is known of the lists of a peer that is a list server.
    lists: Option<Box<Lists>>,
}

impl Agent {
    /// An agent with nothing to do.
    pub fn new(hub: &mut Hub, place: u8) -> Agent {
        Agent {
            place,
            subscriber: is_here(hub).then(|| transport::subscriber(hub)),
            transport: Transport::new(hub),
            entries: Slots::default(),
            of: BTreeMap::new(),
            clients: BTreeMap::new(),
            ending: BTreeSet::new(),
            saying: VecDeque::new(),
            leaving: None,
            unreadable: 0,
        }
    }

    /// A subscription was made.
    pub fn begin(&mut self, hub: &mut Hub, subscription: &Subscription) {
        for resource in subscription.entries() {
            self.subscribe(hub, subscription, &resource.uri);
        }
    }

    /// The server was started, and the log holds this subscription; one that has ended may have dialogs still. What the log
    /// says of them is taken out of it: from here on [`Agent::dialogs`] knows them.
    pub fn resume(&mut self, hub: &mut Hub, subscription: &mut Subscription) {
        let Some(subscriber) = &mut self.subscriber else {
            if subscription.ended.is_some() {
                self.saying.push_back((subscription.id, Said::Over));
            }
            return;
        };
        let client = client(&mut self.clients, subscription);
        let dialogs = std::mem::take(&mut subscription.dialogs);
        // Entries that a PUT took off, and whose dialogs had not ended when the server did. Another PUT may have brought
        // one back: the youngest of its calls goes on.
        let (mut kept, mut left) = (BTreeMap::new(), Vec::new());
        for (uri, saved) in calls(&dialogs) {
            if subscription.resource(&uri).is_none() {
                left.push((uri, saved));
            } else if let Some(older) = kept.insert(uri.clone(), saved) {
                left.push((uri, older));
            }
        }
        for (uri, saved) in left {
            let (key, wanted) = insert(&mut self.entries, &mut self.of, client, subscription, &uri);
            if let Some(entry) = self.entries.get_mut(key) {
                entry.left = true;
            }
            subscriber.restore(hub.now, key, wanted, Wall(0), saved);
            subscriber.unsubscribe(hub.now, key);
        }
        // What has ended asks for nothing any more.
        let until = subscription.ended.map_or(subscription.expires, |_| Wall(0));
        for resource in subscription.entries() {
            let (key, wanted) = insert(&mut self.entries, &mut self.of, client, subscription, &resource.uri);
            note_target(hub, &resource.uri);
            let saved = kept.remove(&resource.uri).unwrap_or_default();
            subscriber.restore(hub.now, key, wanted, until, saved);
        }
        if subscription.ended.is_some() {
            self.end(hub, subscription);
        } else {
            self.say_lost(subscription, &dialogs);
        }
    }

    /// A PUT has changed a subscription: resources that had ended for good are tried again.
    pub fn change(&mut self, hub: &mut Hub, subscription: &Subscription, difference: &Difference) {
        let keys = self.of.get(&subscription.id).cloned().unwrap_or_default();
        for key in keys {
            let Some(entry) = self.entries.get_mut(key).filter(|entry| !entry.left) else { continue };
            let Some(subscriber) = &mut self.subscriber else { continue };
            if difference.dropped.iter().any(|dropped| **dropped == *entry.uri) {
                entry.left = true;
                subscriber.unsubscribe(hub.now, key);
            } else {
                subscriber.ask_for(hub.now, key, Arc::clone(&subscription.accept));
                subscriber.extend(hub.now, key, subscription.expires);
                subscriber.retry(hub.now, key);
            }
        }
        for uri in &difference.added {
            self.subscribe(hub, subscription, uri);
        }
    }

    /// A subscription ends: so do its dialogs, at the latest after 32 s. Then [`Said::Over`].
    pub fn end(&mut self, hub: &mut Hub, subscription: &Subscription) {
        let id = subscription.id;
        self.ending.insert(id);
        self.leave(hub, id);
        self.conclude(id);
    }

    /// What a restart needs of the dialogs of a subscription.
    pub fn dialogs(&self, hub: &Hub, subscription: &Subscription) -> Vec<Dialog> {
        let Some(subscriber) = &self.subscriber else { return subscription.dialogs.clone() };
        let keys = self.of.get(&subscription.id).into_iter().flatten();
        let entries = keys.filter_map(|key| Some((*key, self.entries.get(*key)?)));
        let dialogs = entries.flat_map(|(key, entry)| {
            subscriber.saved(hub.now, key).map(|saved| Dialog {
                uri: (*entry.uri).into(),
                dialog: saved.dialog,
                saved: text(&saved),
            })
        });
        dialogs.collect()
    }

    /// The next thing to say.
    pub fn poll(&mut self, hub: &mut Hub, all: &Subscriptions) -> Option<(Uuid, Said)> {
        loop {
            if let Some(said) = self.saying.pop_front() {
                return Some(said);
            }
            match self.subscriber.as_mut().and_then(Subscriber::poll_event) {
                Some((key, event)) => self.hear(hub, all, key, event),
                None => {
                    self.carry_out(hub);
                    return None;
                }
            }
        }
    }

    /// The server stops. What the log keeps goes on after the next start; else no subscription stays with a notifier.
    pub fn stop(&mut self, hub: &mut Hub) {
        if hub.place.keeps_log || self.of.is_empty() || self.subscriber.is_none() {
            return;
        }
        let until = hub.now.mono.plus_ms(hub.config.limits.sip_leave_ms);
        self.leaving = Some(until);
        hub.deadlines.arm(until, crate::ground::deadline::Due::Dialect(self.place, super::AGENT));
        let all: Vec<Uuid> = self.of.keys().copied().collect();
        for id in all {
            self.leave(hub, id);
        }
        // The time that is left sets the pace, if the usual one would leave some behind.
        let usual = hub.config.sip.requests_per_second;
        let left_ms = (hub.config.limits.sip_leave_ms / 2).max(1);
        let needed = (self.entries.len() as u64 * 1_000).div_ceil(left_ms);
        let needed = u32::try_from(needed).unwrap_or(u32::MAX);
        if let Some(subscriber) = self.subscriber.as_mut().filter(|_| usual != 0 && needed > usual) {
            subscriber.set_pace(hub.now, needed);
        }
    }

    /// After a stop: whether nothing is to be said to notifiers any more.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.leaving.is_none() || self.entries.is_empty()
    }

    fn subscribe(&mut self, hub: &mut Hub, subscription: &Subscription, uri: &str) {
        let Some(subscriber) = &mut self.subscriber else { return };
        let client = client(&mut self.clients, subscription);
        let (key, wanted) = insert(&mut self.entries, &mut self.of, client, subscription, uri);
        note_target(hub, uri);
        subscriber.subscribe(hub.now, key, wanted, subscription.expires);
    }

    /// Ends what there is of a subscription.
    fn leave(&mut self, hub: &Hub, id: Uuid) {
        let keys = self.of.get(&id).cloned().unwrap_or_default();
        for key in keys {
            if let (Some(entry), Some(subscriber)) = (self.entries.get_mut(key), &mut self.subscriber)
                && !entry.left
            {
                entry.left = true;
                subscriber.unsubscribe(hub.now, key);
            }
        }
    }

    /// An entry is gone altogether.
    fn forget(&mut self, key: u32) {
        let Some(entry) = self.entries.remove(key) else { return };
        let id = entry.subscription;
        if let Some(keys) = self.of.get_mut(&id) {
            keys.retain(|known| *known != key);
            if keys.is_empty() {
                self.of.remove(&id);
            }
        }
        self.conclude(id);
    }

    /// Whether the last dialog of a subscription that ended is over.
    fn conclude(&mut self, id: Uuid) {
        if !self.of.contains_key(&id) && self.ending.remove(&id) {
            self.saying.push_back((id, Said::Over));
        }
    }

    fn note_unreadable(&mut self, hub: &mut Hub, entry: &str) {
        self.unreadable += 1;
        hub.note(Level::Info, format!("sep: {entry} sent a body that is not what its package promises"));
    }
}

/// Whether SIP is spoken, and this engine is the one that speaks it.
fn is_here(hub: &Hub) -> bool {
    hub.place.shard.0 == 0 && hub.config.sip.is_on()
}

/// Says why an entry is not asked for, if its host is none of those that may be asked.
fn note_target(hub: &mut Hub, uri: &str) {
    let targets = &hub.config.sip.targets;
    if !targets.is_empty() && uri.parse::<Uri>().is_ok_and(|uri| !uri.is_within(targets)) {
        hub.note(
            Level::Info,
            format!("sep: {uri} is not subscribed to: [sip] targets does not list its host"),
        );
    }
}

/// A new entry, and what its notifier is asked for.
fn insert(
    entries: &mut Slots<Entry>,
    of: &mut BTreeMap<Uuid, Vec<u32>>,
    client: u32,
    subscription: &Subscription,
    uri: &str,
) -> (u32, Wanted) {
    let (uri, package): (Arc<str>, _) = (uri.into(), Package::of(&subscription.event));
    let key = entries.insert(Entry {
        subscription: subscription.id,
        uri: Arc::clone(&uri),
        package,
        left: false,
        ended: Vec::new(),
        former: None,
        lists: None,
    });
    let keys = of.entry(subscription.id).or_default();
    // Most subscriptions have one entry for ever.
    keys.reserve_exact(1);
    keys.push(key);
    let wanted = Wanted {
        uri,
        event: Arc::clone(&subscription.event),
        accept: Arc::clone(&subscription.accept),
        expires_s: package.default_expires_s(),
        client,
        takes_forks: package.takes_forks(),
    };
    (key, wanted)
}

/// The number of the one who made a subscription.
fn client(clients: &mut BTreeMap<Option<Box<str>>, u32>, subscription: &Subscription) -> u32 {
    let next = u32::try_from(clients.len()).unwrap_or(u32::MAX);
    *clients.entry(subscription.owner.clone()).or_insert(next)
}

/// The calls that the log has dialogs of, each with its entry and all of its dialogs; the oldest first.
fn calls(dialogs: &[Dialog]) -> Vec<(Box<str>, Vec<Saved>)> {
    let mut calls: Vec<(Box<str>, Vec<Saved>)> = Vec::new();
    for Dialog { uri, saved, .. } in dialogs {
        let Ok(saved) = serde_json::from_str::<Saved>(saved) else { continue };
        let is_same = |(of, call): &(Box<str>, Vec<Saved>)| of == uri && call[0].call_id == saved.call_id;
        match calls.iter_mut().find(|call| is_same(call)) {
            Some((_, call)) => call.push(saved),
            None => calls.push((uri.clone(), vec![saved])),
        }
    }
    calls
}

/// A dialog as the log has it.
fn text(saved: &Saved) -> Box<str> {
    serde_json::to_string(saved).expect("plain data without maps is always JSON").into_boxed_str()
}
