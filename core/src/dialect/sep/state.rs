//! Subscriptions: what all engines know of them, kept alike by applying the same changes in the order of the log.
//!
//! Shard 0 is ahead of the log in one thing: it applies what notifiers told when it appends it ([`Subscription::tell`]), so
//! that the next NOTIFY meets the state that the one before left.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::change::{Made, Put, Told};
use super::package::Body;
use crate::ground::id::Seq;
use crate::ground::time::Wall;

/// One subscription.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subscription {
    /// Its id.
    pub id: Uuid,
    /// The user or token that made it; `None`: nobody had to be named.
    pub owner: Option<Box<str>>,
    /// Scheme, host and port of its URL.
    pub base: Box<str>,
    /// The event package.
    pub event: Arc<str>,
    /// Body types for the `Accept` of SUBSCRIBE.
    pub accept: Arc<[Box<str>]>,
    /// Callbacks have the multipart form.
    pub multipart: bool,
    /// What documents its callbacks carry.
    pub form: Form,
    /// Where callbacks go.
    pub notify: Option<Box<str>>,
    /// When it ends.
    pub expires: Wall,
    /// How many changes its resources have seen that its client was told of (RFC 4662 section 5.2).
    pub version: u64,
    /// Starts of the server since the version rose.
    #[serde(default)]
    pub starts: u64,
    /// How much was told of it, that which is no news included.
    pub step: u64,
    /// One of each entry, in the order of the request, each followed by those that came in its list.
    pub resources: Vec<Resource>,
    /// It has ended, or is ending.
    pub ended: Option<Ended>,
    /// A callback is owed, since this time: no letter tells of the state yet.
    #[serde(default)]
    pub owed_since: Option<Wall>,
    /// What a restart needs of its SIP dialogs, as the log has it. Once shard 0 goes on with them, it alone knows them.
    pub dialogs: Vec<Dialog>,
    /// The record that made it: its place among all that were ever made.
    pub born: u64,
    /// It is carried: what records up to this one say is in it already.
    #[serde(default)]
    pub as_of: u64,
}

/// An entry of the request's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its SIP URI.
    pub uri: Box<str>,
    /// Its `display-name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
}

/// One resource and what is known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// Its URI.
    pub uri: Box<str>,
    /// It came in the list of this entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Box<str>>,
    /// The record that listed its entry: one that was taken off and is listed again is another one.
    #[serde(default)]
    pub since: u64,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
    /// One for each SIP dialog; none: nothing is known yet.
    #[serde(default)]
    pub instances: Vec<Instance>,
}

/// The state of a resource as one SIP dialog tells it (RFC 4662 section 5.5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// A random token.
    pub id: Box<str>,
    /// The dialog's number among those of the entry.
    pub dialog: u32,
    /// Whether the subscription is alive there.
    pub state: InstanceState,
    /// Why it is terminated, in a word of RFC 6665.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Box<str>>,
    /// The SIP status that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What the notifier told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
}

/// Whether an instance is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// It is.
    Active,
    /// Nobody has allowed it yet.
    Pending,
    /// It has ended.
    Terminated,
}

/// What documents callbacks carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// `<subscription>`, or the multipart form.
    #[default]
    Xml,
    /// That of `/v1/subscriptions`.
    Json,
}

/// How a subscription ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Its client deleted it.
    Deleted,
    /// Its time is over.
    Expired,
    /// Its callback said 410.
    Gone,
}

/// The end of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// How it ended.
    pub how: How,
    /// When.
    pub at: Wall,
    /// Its dialogs have ended as well, and the last document is made.
    pub over: bool,
}

/// What a restart needs of a SIP dialog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialog {
    /// The entry that it is of.
    pub uri: Box<str>,
    /// Its number among the dialogs of that entry.
    pub dialog: u32,
    /// JSON of the subscriber's own.
    pub saved: Box<str>,
}

/// What a PUT did to the entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Entries that are new.
    pub added: Vec<Box<str>>,
    /// Entries that are gone.
    pub dropped: Vec<Box<str>>,
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            InstanceState::Active => "active",
            InstanceState::Pending => "pending",
            InstanceState::Terminated => "terminated",
        })
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            How::Deleted => "deleted",
            How::Expired => "expired",
            How::Gone => "gone",
        })
    }
}

impl Resource {
    fn of_entry(entry: Entry, since: Seq) -> Resource {
        Resource { uri: entry.uri, of: None, since: since.0, name: entry.name, instances: Vec::new() }
    }

    /// The entry that brought it: itself, or the one in whose list it came.
    #[must_use]
    pub fn entry(&self) -> &str {
        self.of.as_deref().unwrap_or(&self.uri)
    }
}

impl Subscription {
    /// A new one, of which nothing is known yet.
    #[must_use]
    pub fn new(made: Made, born: Seq) -> Subscription {
        let Made { id, owner, base, event, accept, multipart, form, notify, expires, entries, .. } = made;
        let resources = entries.into_iter().map(|entry| Resource::of_entry(entry, born)).collect();
        Subscription {
            id,
            owner,
            base,
            event: event.into(),
            accept: accept.into(),
            multipart,
            form,
            notify,
            expires,
            version: 0,
            starts: 0,
            step: 0,
            resources,
            ended: None,
            owed_since: None,
            dialogs: Vec::new(),
            born: born.0,
            as_of: 0,
        }
    }

    /// The URIs of the request's list.
    pub fn entries(&self) -> impl Iterator<Item = &Resource> {
        self.resources.iter().filter(|resource| resource.of.is_none())
    }

    /// Whether anybody is called when it changes.
    #[must_use]
    pub fn is_called(&self) -> bool {
        self.notify.is_some() && self.ended.is_none_or(|ended| ended.how != How::Gone)
    }

    /// How many entries it has.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.entries().count() as u64
    }

    /// The resource of an entry itself.
    #[must_use]
    pub fn resource(&self, uri: &str) -> Option<&Resource> {
        self.entries().find(|resource| *resource.uri == *uri)
    }

    /// Replaces what a PUT brings, which this record holds. Entries that stay keep what is known of them.
    pub fn put(&mut self, put: Put, seq: Seq) -> Difference {
        let Put { expires, notify, accept, entries } = put;
        self.expires = expires.unwrap_or(self.expires);
        self.notify = notify.or(self.notify.take());
        if let Some((accept, multipart)) = accept {
            (self.accept, self.multipart) = (accept.into(), multipart);
        }
        let mut difference = Difference::default();
        let Some(entries) = entries else { return difference };
        let mut before = std::mem::take(&mut self.resources);
        for entry in entries {
            let at = before.iter().position(|known| known.of.is_none() && known.uri == entry.uri);
            let Some(at) = at else {
                difference.added.push(entry.uri.clone());
                self.resources.push(Resource::of_entry(entry, seq));
                continue;
            };
            let end = before[at + 1..].iter().position(|known| known.of.is_none());
            let end = end.map_or(before.len(), |end| at + 1 + end);
            let first = self.resources.len();
            self.resources.extend(before.drain(at..end));
            self.resources[first].name = entry.name;
        }
        difference.dropped = before.into_iter().filter(|known| known.of.is_none()).map(|r| r.uri).collect();
        // What is saved of their dialogs stays until these have ended: a restart ends them as well.
        difference
    }

    /// Takes in what notifiers told. False: it is here already.
    pub fn tell(&mut self, told: Told) -> bool {
        let Told { step, version, resources, dropped, last, owed_since } = told;
        if step <= self.step {
            return false;
        }
        if version > self.version {
            self.starts = 0;
        }
        (self.step, self.version, self.owed_since) = (step, version, owed_since);
        for resource in resources {
            let mut same = self.resources.iter_mut().filter(|r| r.since == resource.since);
            if let Some(known) = same.find(|r| r.uri == resource.uri && r.of == resource.of) {
                let name = resource.name.or(known.name.take());
                *known = Resource { name, ..resource };
            } else if let Some(of) = &resource.of
                && let Some(at) =
                    self.resources.iter().rposition(|r| r.entry() == &**of && r.since == resource.since)
            {
                self.resources.insert(at + 1, resource);
            }
        }
        let is_dropped = |r: &Resource| {
            r.of.as_ref().is_some_and(|of| dropped.iter().any(|d| d.of == *of && d.uri == r.uri))
        };
        self.resources.retain(|resource| !is_dropped(resource));
        if last && let Some(ended) = &mut self.ended {
            ended.over = true;
        }
        true
    }

    /// What is saved of a dialog, for a restart: the oldest first.
    pub fn save(&mut self, uri: Box<str>, dialog: u32, saved: Option<Box<str>>) {
        let at = self.dialogs.iter().position(|known| known.uri == uri && known.dialog == dialog);
        match (at, saved) {
            (Some(at), Some(saved)) => self.dialogs[at].saved = saved,
            (Some(at), None) => drop(self.dialogs.remove(at)),
            (None, Some(saved)) if self.resource(&uri).is_some() => {
                self.dialogs.push(Dialog { uri, dialog, saved });
            }
            (None, _) => {}
        }
    }
}

/// All subscriptions, those that ended not long ago included.
#[derive(Debug, Default)]
pub struct Subscriptions {
    by_id: BTreeMap<Uuid, Box<Subscription>>,
    /// By owner, in the order of their making.
    listed: BTreeMap<(Option<Box<str>>, u64), Uuid>,
    living: u64,
    entries: u64,
}

impl Subscriptions {
    /// The subscription of this id.
    #[must_use]
    pub fn get(&self, id: Uuid) -> Option<&Subscription> {
        self.by_id.get(&id).map(|subscription| &**subscription)
    }

    pub(super) fn get_mut(&mut self, id: Uuid) -> Option<&mut Subscription> {
        self.by_id.get_mut(&id).map(|subscription| &mut **subscription)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Subscription> {
        self.by_id.values().map(|subscription| &**subscription)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Subscription> {
        self.by_id.values_mut().map(|subscription| &mut **subscription)
    }

    /// How many have not ended.
    #[must_use]
    pub fn living(&self) -> u64 {
        self.living
    }

    /// How many entries these have.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// One owner's, in the order of their making, from the first behind `after` on.
    pub fn of<'s>(
        &'s self,
        owner: &Option<Box<str>>,
        after: u64,
    ) -> impl Iterator<Item = &'s Subscription> + use<'s> {
        let from = std::ops::Bound::Excluded((owner.clone(), after));
        let to = std::ops::Bound::Included((owner.clone(), u64::MAX));
        self.listed.range((from, to)).filter_map(|(_, id)| self.get(*id))
    }

    /// Adds one; one that is there is replaced.
    pub(super) fn insert(&mut self, subscription: Subscription) {
        self.remove(subscription.id);
        if subscription.ended.is_none() {
            self.living += 1;
            self.entries += subscription.count();
        }
        self.listed.insert((subscription.owner.clone(), subscription.born), subscription.id);
        self.by_id.insert(subscription.id, Box::new(subscription));
    }

    /// One that has not ended is changed.
    pub(super) fn put(&mut self, id: Uuid, put: Put, at: Seq) -> Difference {
        let Some(subscription) = self.by_id.get_mut(&id) else { return Difference::default() };
        let before = subscription.count();
        let difference = subscription.put(put, at);
        self.entries = self.entries - before + subscription.count();
        difference
    }

    /// One ends. False: there is none, or it has ended before.
    pub(super) fn end(&mut self, id: Uuid, how: How, at: Wall) -> bool {
        let Some(subscription) = self.by_id.get_mut(&id).filter(|s| s.ended.is_none()) else { return false };
        subscription.ended = Some(Ended { how, at, over: false });
        self.living -= 1;
        self.entries -= subscription.count();
        true
    }

    pub(super) fn remove(&mut self, id: Uuid) -> Option<Box<Subscription>> {
        let gone = self.by_id.remove(&id)?;
        if gone.ended.is_none() {
            self.living -= 1;
            self.entries -= gone.count();
        }
        self.listed.remove(&(gone.owner.clone(), gone.born));
        Some(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::sep::change::{Change, Child};

    fn made(uris: &[&str]) -> Made {
        Made {
            id: Uuid::from_u128(1),
            owner: None,
            base: "http://localhost".into(),
            event: "reg".into(),
            accept: vec!["application/reginfo+xml".into()],
            multipart: false,
            form: Form::Xml,
            notify: None,
            expires: Wall(1_000),
            entries: entries(uris),
            room: 10,
            entries_room: None,
        }
    }

    fn entries(uris: &[&str]) -> Vec<Entry> {
        uris.iter().map(|uri| Entry { uri: (*uri).into(), name: None }).collect()
    }

    fn step(step: u64, resources: Vec<Resource>) -> Told {
        Told { step, version: step, resources, ..Told::default() }
    }

    fn told(uri: &str, of: Option<&str>, bytes: &[u8]) -> Resource {
        let body = Body { content_type: "text/plain".into(), bytes: bytes.into() };
        let instance = Instance {
            id: "i1".into(),
            dialog: 1,
            state: InstanceState::Active,
            reason: None,
            status: None,
            body: Some(body),
        };
        Resource { uri: uri.into(), of: of.map(Into::into), since: 7, name: None, instances: vec![instance] }
    }

    fn shown(subscription: &Subscription) -> Vec<String> {
        let one = |r: &Resource| {
            let of = r.of.as_deref().map(|of| format!("<{of}")).unwrap_or_default();
            format!("{}{of}{}", r.uri, "*".repeat(r.instances.len()))
        };
        subscription.resources.iter().map(one).collect()
    }

    #[test]
    fn s35_a_new_list_changes_the_difference_only() {
        let mut all = Subscription::new(made(&["a", "b", "c"]), Seq(7));
        assert!(all.tell(step(1, vec![told("b", None, b"1"), told("x", Some("b"), b"2")])));
        assert_eq!(shown(&all), ["a", "b*", "x<b*", "c"]);
        let put = |uris: &[&str]| Put { entries: Some(entries(uris)), ..Put::default() };
        let difference = all.put(put(&["d", "b", "a"]), Seq(8));
        assert_eq!(shown(&all), ["d", "b*", "x<b*", "a"]);
        assert_eq!(difference, Difference { added: vec!["d".into()], dropped: vec!["c".into()] });
        let difference = all.put(Put { expires: Some(Wall(5)), ..Put::default() }, Seq(9));
        assert_eq!((difference, all.expires, all.version), (Difference::default(), Wall(5), 1));
        assert_eq!(all.put(put(&["a"]), Seq(10)).dropped, ["d".into(), "b".into()]);
        assert_eq!(shown(&all), ["a"]);
    }

    #[test]
    fn a_state_is_taken_once_and_in_order() {
        let mut all = Subscription::new(made(&["a", "b"]), Seq(7));
        assert!(all.tell(step(2, vec![told("a", None, b"2")])));
        assert!(!all.tell(step(2, vec![told("b", None, b"2")])));
        assert!(!all.tell(step(1, vec![told("b", None, b"1")])));
        assert_eq!(shown(&all), ["a*", "b"]);
        // One that is no longer listed, and one whose entry is not.
        assert!(all.tell(step(3, vec![told("z", None, b"3"), told("y", Some("z"), b"3")])));
        assert_eq!(shown(&all), ["a*", "b"]);
        assert!(all.tell(step(4, vec![told("y", Some("a"), b"4"), told("w", Some("a"), b"4")])));
        assert_eq!(shown(&all), ["a*", "y<a*", "w<a*", "b"]);
        let dropped = vec![Child { of: "a".into(), uri: "y".into() }];
        assert!(all.tell(Told { dropped, ..step(5, vec![]) }));
        assert_eq!(shown(&all), ["a*", "w<a*", "b"]);
    }

    #[test]
    fn changes_come_back_from_the_log() {
        let mut all = Subscription::new(made(&["sip:a@b"]), Seq(7));
        let resources = vec![told("sip:a@b", None, b"x\r\n"), told("sip:c@d", Some("sip:a@b"), b"\xff\0")];
        assert!(all.tell(step(1, resources.clone())));
        all.save("sip:a@b".into(), 1, Some("{}".into()));
        all.save("sip:gone@b".into(), 1, Some("{}".into()));
        assert_eq!(all.dialogs.len(), 1);
        let id = all.id;
        for change in [
            Change::Created(Box::new(made(&["sip:a@b"]))),
            Change::Put { id, put: Box::new(Put { expires: Some(Wall(9)), ..Put::default() }) },
            Change::State { id, state: Box::new(step(1, resources)) },
            Change::Dialog { id, uri: "sip:a@b".into(), dialog: 1, saved: None },
            Change::Ended { id, how: How::Expired },
            Change::Forgotten { id },
            Change::Carried(Box::new(all)),
        ] {
            assert_eq!(Change::decode(&change.encode()).unwrap(), change);
        }
    }

    #[test]
    fn owners_have_their_own_lists() {
        let mut all = Subscriptions::default();
        for (id, owner, born) in [(1, Some("a"), 5), (2, None, 6), (3, Some("a"), 7), (4, Some("b"), 8)] {
            let owner = owner.map(Box::from);
            all.insert(Subscription::new(Made { id: Uuid::from_u128(id), owner, ..made(&["u"]) }, Seq(born)));
        }
        let of = |all: &Subscriptions, owner: Option<&str>, after| {
            all.of(&owner.map(Box::from), after).map(|s| s.id.as_u128()).collect::<Vec<_>>()
        };
        assert_eq!(of(&all, Some("a"), 0), [1, 3]);
        assert_eq!(of(&all, Some("a"), 5), [3]);
        assert_eq!((of(&all, None, 0), of(&all, Some("c"), 0)), (vec![2], vec![]));
        let id = Uuid::from_u128(3);
        assert!(all.end(id, How::Gone, Wall(1)) && !all.end(id, How::Deleted, Wall(2)));
        assert_eq!((all.living(), of(&all, Some("a"), 0)), (3, vec![1, 3]));
        assert!(all.remove(id).is_some() && all.remove(id).is_none());
        assert_eq!((all.living(), of(&all, Some("a"), 0)), (3, vec![1]));
    }
}
