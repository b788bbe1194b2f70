//! Lists of a peer that is a resource-list server (RFC 4662): what their NOTIFYs change in the resources that came in
//! an entry's list. Lists in lists are flattened.
//!
//! What is absent here: subscriptions, and the resources themselves, which whoever asks holds.

mod read;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use super::package::{self, Body, Ended, Item, Package, Taken};
use super::state::InstanceState;
use crate::ground::limits::SIP_DOCUMENT_BYTES;
use crate::ground::time::Mono;
pub use read::{List, Told, ToldInstance, read};

/// A resource of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resource {
    /// Its URI.
    pub uri: Box<str>,
    /// What people call it, in several languages perhaps.
    pub names: Vec<Box<str>>,
    /// Its instances; none: nothing is known yet.
    pub instances: Vec<Instance>,
}

/// The state of a resource as one of its notifiers tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Instance {
    /// The name that the list server gave it.
    pub id: Box<str>,
    /// Whether it is alive.
    pub state: InstanceState,
    /// Why it is terminated, in a word of RFC 6665.
    pub reason: Option<Box<str>>,
    /// What it shows; for `reg` and `dialog` the merged, full document.
    pub body: Option<Body>,
}

/// What is known of the lists of one SIP dialog beside their resources: each has its own, made anew with it. It is lost
/// with the process, without harm: the first NOTIFY after a SUBSCRIBE is taken whatever it says.
#[derive(Clone, Debug)]
pub struct Lists {
    resources_max: usize,
    /// By their names; the empty one is the list that was subscribed to.
    known: BTreeMap<Box<str>, Known>,
    /// By resource and instance; those of which there is something to remember.
    ended: BTreeMap<(Box<str>, Box<str>), Ended>,
}

/// A list.
#[derive(Clone, Debug)]
struct Known {
    /// The name of the list around it.
    of: Box<str>,
    version: u64,
    /// What it brought, if it is a list in a list.
    resources: BTreeSet<Box<str>>,
}

/// A NOTIFY's body.
#[derive(Clone, Copy, Debug)]
pub struct Notified<'a> {
    /// Its `Content-Type`.
    pub content_type: &'a str,
    /// The body.
    pub bytes: &'a [u8],
    /// It is the first since a SUBSCRIBE of our own.
    pub first: bool,
    /// When it came.
    pub now: Mono,
}

/// What came of a NOTIFY.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TakenList {
    /// Resources that are new or differ, as they are from here on.
    pub changed: Vec<Resource>,
    /// The URIs of those that are gone.
    pub dropped: Vec<Box<str>>,
    /// There is a report of `vq-rtcpxr` among what changed: it counts as a change, even if it says what the one before
    /// said; its resource is among those that changed.
    pub is_new_report: bool,
    /// States were missed: all of it should be asked for.
    pub refresh: bool,
    /// What changed in the bodies.
    pub items: Vec<Item>,
    /// Bodies that are not what their package promises, or that are named and not there.
    pub unreadable: u32,
    /// Resources and bodies beyond the bounds.
    pub left_out: u32,
}

/// Bytes of all bodies of one entry's lists. Fixed, as [`SIP_DOCUMENT_BYTES`] is. Beyond, a body is left out.
const BODIES_BYTES: usize = 8 * SIP_DOCUMENT_BYTES;

impl Lists {
    /// Nothing is known yet; at most so many resources are taken.
    #[must_use]
    pub fn new(resources_max: usize) -> Lists {
        Lists { resources_max, known: BTreeMap::new(), ended: BTreeMap::new() }
    }

    /// What a NOTIFY changes. `held`: the resources that came in this entry's lists so far.
    ///
    /// # Errors
    /// It is no list, for this reason; nothing has changed.
    pub fn take(
        &mut self,
        package: Package,
        held: &[Resource],
        notified: Notified<'_>,
    ) -> Result<TakenList, &'static str> {
        let lists = read(notified.content_type, notified.bytes)?;
        let mut places: BTreeMap<Box<str>, usize> = BTreeMap::new();
        for uri in held.iter().map(|r| &r.uri).chain(lists.iter().flat_map(|l| &l.resources).map(|r| &r.uri))
        {
            let next = places.len();
            places.entry(uri.clone()).or_insert(next);
        }
        let mut merge = Merge {
            places,
            lists: self,
            package,
            notified,
            resources: held.iter().map(|r| (r.uri.clone(), r.clone())).collect(),
            bytes: held.iter().flat_map(|r| &r.instances).map(Instance::bytes).sum(),
            reported: BTreeSet::new(),
            taken: TakenList::default(),
        };
        for list in lists {
            // What stands in a list that is not taken is not taken either.
            let is_root = list.name.is_empty();
            if !merge.take(list) && is_root {
                break;
            }
        }
        Ok(merge.finish(held))
    }
}

impl Instance {
    fn bytes(&self) -> usize {
        self.body.as_ref().map_or(0, |body| body.bytes.len())
    }
}

/// A NOTIFY that is being taken.
struct Merge<'a> {
    lists: &'a mut Lists,
    package: Package,
    notified: Notified<'a>,
    resources: BTreeMap<Box<str>, Resource>,
    /// In the order in which they were first told.
    places: BTreeMap<Box<str>, usize>,
    /// Of all their bodies.
    bytes: usize,
    /// The resources that have a new report.
    reported: BTreeSet<Box<str>>,
    taken: TakenList,
}

impl Merge<'_> {
    /// Takes a list, or leaves it: RFC 4662 section 5.6.
    fn take(&mut self, list: List) -> bool {
        let known = self.lists.known.get(&list.name).map(|known| known.version);
        let first = self.notified.first;
        let gap = match known {
            None => !list.full,
            Some(_) if first => false,
            Some(known) if list.version <= known => return false,
            Some(known) => !list.full && list.version - known > 1,
        };
        self.taken.refresh |= gap && !first;
        if list.full {
            self.drop_missing(&list);
        }
        let empty = || Known { of: list.of, version: 0, resources: BTreeSet::new() };
        self.lists.known.entry(list.name.clone()).or_insert_with(empty).version = list.version;
        for told in list.resources {
            if told.is_list {
                self.drop_resource(&told.uri);
                continue;
            }
            if self.lists.known.contains_key(&told.uri) {
                // A list in this one of which nothing is told but how it is.
                if told.instances.iter().any(|told| told.state != InstanceState::Terminated) {
                    continue;
                }
                self.drop_list(&told.uri);
            }
            if let Some(known) = self.lists.known.get_mut(&list.name).filter(|_| !list.name.is_empty()) {
                known.resources.insert(told.uri.clone());
            }
            self.tell(told, list.full);
        }
        true
    }

    /// Drops what a full list no longer has.
    fn drop_missing(&mut self, list: &List) {
        let told: BTreeSet<&str> = list.resources.iter().map(|told| &*told.uri).collect();
        let gone: Vec<Box<str>> = self
            .lists
            .known
            .iter()
            .filter(|(name, known)| !name.is_empty() && known.of == list.name && !told.contains(&***name))
            .map(|(name, _)| name.clone())
            .collect();
        gone.iter().for_each(|name| self.drop_list(name));
        let members: Vec<Box<str>> = match self.lists.known.get(&list.name) {
            Some(known) if !list.name.is_empty() => known.resources.iter().cloned().collect(),
            _ if !list.name.is_empty() => Vec::new(),
            _ => {
                let nested: BTreeSet<&str> =
                    self.lists.known.values().flat_map(|known| &known.resources).map(|uri| &**uri).collect();
                self.resources.keys().filter(|uri| !nested.contains(&***uri)).cloned().collect()
            }
        };
        for uri in members.into_iter().filter(|uri| !told.contains(&**uri)) {
            self.drop_resource(&uri);
            if let Some(known) = self.lists.known.get_mut(&list.name) {
                known.resources.remove(&uri);
            }
        }
    }

    /// Drops a list in a list, with all that it brought.
    fn drop_list(&mut self, name: &str) {
        let Some(known) = self.lists.known.remove(name) else { return };
        known.resources.iter().for_each(|uri| self.drop_resource(uri));
        let within: Vec<Box<str>> = self
            .lists
            .known
            .iter()
            .filter(|(inner, known)| !inner.is_empty() && *known.of == *name)
            .map(|(inner, _)| inner.clone())
            .collect();
        within.iter().for_each(|name| self.drop_list(name));
    }

    fn drop_resource(&mut self, uri: &str) {
        if let Some(resource) = self.resources.remove(uri) {
            self.bytes -= resource.instances.iter().map(Instance::bytes).sum::<usize>();
            for instance in resource.instances {
                self.lists.ended.remove(&(resource.uri.clone(), instance.id));
            }
        }
    }

    /// What a list tells of a resource.
    fn tell(&mut self, told: Told, full: bool) {
        if !self.resources.contains_key(&told.uri) && self.resources.len() >= self.lists.resources_max {
            self.taken.left_out += 1;
            return;
        }
        let empty = Resource { uri: told.uri.clone(), names: Vec::new(), instances: Vec::new() };
        let mut resource = self.resources.remove(&told.uri).unwrap_or(empty);
        if full || !told.names.is_empty() {
            resource.names = told.names;
        }
        let mut old = std::mem::take(&mut resource.instances);
        // A terminated instance is shown until there is a new one.
        let is_new = |told: &ToldInstance| {
            told.state != InstanceState::Terminated && !old.iter().any(|known| known.id == told.id)
        };
        if told.instances.iter().any(is_new) {
            self.forget(&told.uri, &mut old, |known| known.state == InstanceState::Terminated);
        }
        if full {
            let is_told = |known: &Instance| told.instances.iter().any(|told| told.id == known.id);
            self.forget(&told.uri, &mut old, |known| !is_told(known));
        }
        for instance in told.instances {
            let known = old.iter().position(|known| known.id == instance.id);
            let body = known.and_then(|place| old[place].body.take());
            let instance = self.instance(&told.uri, body, instance);
            match known {
                Some(place) => old[place] = instance,
                None => old.push(instance),
            }
        }
        resource.instances = old;
        self.resources.insert(told.uri, resource);
    }

    fn forget(&mut self, uri: &str, instances: &mut Vec<Instance>, is_gone: impl Fn(&Instance) -> bool) {
        instances.retain(|known| {
            let gone = is_gone(known);
            if gone {
                self.bytes -= known.bytes();
                self.lists.ended.remove(&(uri.into(), known.id.clone()));
            }
            !gone
        });
    }

    /// An instance as it is from here on; `held`: what it showed so far. One that has ended shows nothing (RFC 4662
    /// section 5.5), but what its last body changed is told.
    fn instance(&mut self, uri: &str, held: Option<Body>, told: ToldInstance) -> Instance {
        let ToldInstance { id, state, reason, body } = told;
        let before = held.as_ref().map_or(0, |body| body.bytes.len());
        let incoming = match body {
            Ok(body) => body,
            Err(_) => {
                self.taken.unreadable += 1;
                None
            }
        };
        let taken = incoming.map(|incoming| self.body(uri, &id, held.as_ref(), incoming)).unwrap_or_default();
        let mut body = taken.body.or(held);
        if state == InstanceState::Terminated {
            self.lists.ended.remove(&(uri.into(), id.clone()));
            body = None;
        }
        self.bytes -= before;
        if body.as_ref().is_some_and(|body| self.bytes + body.bytes.len() > BODIES_BYTES) {
            self.taken.left_out += 1;
            body = None;
        }
        self.bytes += body.as_ref().map_or(0, |body| body.bytes.len());
        Instance { id, state, reason, body }
    }

    fn body(&mut self, uri: &str, id: &str, held: Option<&Body>, incoming: Body) -> Taken {
        let Notified { first, now, .. } = self.notified;
        let key = (uri.into(), id.into());
        let mut ended = self.lists.ended.remove(&key).unwrap_or_default();
        let mut taken = package::take(self.package, held, incoming, first, now, &mut ended);
        if ended != Ended::default() {
            self.lists.ended.insert(key, ended);
        }
        self.taken.refresh |= taken.refresh;
        self.taken.unreadable += u32::from(taken.unreadable);
        self.taken.items.append(&mut taken.items);
        if taken.is_new_report {
            self.reported.insert(uri.into());
        }
        taken
    }

    /// Compares with what there was.
    fn finish(self, held: &[Resource]) -> TakenList {
        let mut taken = self.taken;
        taken.is_new_report = !self.reported.is_empty();
        let known: BTreeMap<&str, &Resource> = held.iter().map(|r| (&*r.uri, r)).collect();
        taken.dropped =
            known.keys().filter(|uri| !self.resources.contains_key(**uri)).map(|uri| (*uri).into()).collect();
        taken.changed = self
            .resources
            .into_values()
            .filter(|r| known.get(&*r.uri) != Some(&r) || self.reported.contains(&r.uri))
            .collect();
        taken.changed.sort_by_key(|r| self.places.get(&r.uri));
        taken
    }
}
