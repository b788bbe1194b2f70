//! What notifiers say, as changes of resources: which instance it is of, whether anything changed, and which events the
//! rest of the server gets (`sip.reg`, `sip.dialog`, …).

use super::super::change::Child;
use super::super::package::{self, Body, Item};
use super::super::rlmi::{self, Lists, Notified};
use super::super::state::{Dialog, Instance, InstanceState, Resource, Subscription, Subscriptions};
use super::{Agent, Entry, Said, text};
use crate::hub::Hub;
use crate::hub::action::Level;
use crate::log::record;
use crate::log::record::Actor;
use crate::wire::sip::subscriber::{Content, Event, Reason};

/// The word that an instance shows whose dialog was lost.
const LOST: &str = "timeout";

impl Agent {
    /// Takes in what has happened to an entry.
    pub(super) fn hear(&mut self, hub: &mut Hub, all: &Subscriptions, key: u32, event: Event) {
        let Some(entry) = self.entries.get(key) else { return };
        let id = entry.subscription;
        match event {
            Event::Save { dialog, saved } => {
                let (uri, saved) = ((*entry.uri).into(), saved.as_ref().map(text));
                self.saying.push_back((id, Said::Dialog { uri, dialog, saved }));
            }
            Event::Over => self.forget(key),
            Event::Notified { .. } | Event::Ended { .. } if entry.left => {}
            Event::Notified { dialog, pending, content, first, eventlist } => {
                let Some(subscription) = all.get(id) else { return };
                let state = if pending { InstanceState::Pending } else { InstanceState::Active };
                let told = Told { dialog, state, content, first };
                if eventlist {
                    self.hear_list(hub, subscription, key, told);
                } else {
                    self.hear_one(hub, subscription, key, told);
                }
            }
            Event::Ended { dialog, reason, status, content, for_good: _ } => {
                let Some(subscription) = all.get(id) else { return };
                self.hear_end(hub, subscription, key, dialog, content, (reason, status));
            }
        }
    }

    /// A NOTIFY of a single resource: that of the entry itself.
    fn hear_one(&mut self, hub: &mut Hub, subscription: &Subscription, key: u32, told: Told) {
        let Some(Own { mut resource, at, is_new, mut changed }) = self.own(hub, subscription, key, &told)
        else {
            return;
        };
        if let Some(content) = told.content {
            let held = resource.instances[at].body.take();
            let was_shown = held.is_some();
            let former = self.entries.get_mut(key).and_then(|entry| entry.former.take());
            let held = held.or(former.map(|former| *former));
            let (body, news) = self.take(hub, key, told.dialog, held, content, told.first);
            changed |= news || (!was_shown && body.is_some());
            resource.instances[at].body = body;
        }
        self.say(hub, subscription, (changed, is_new), vec![resource], Vec::new());
    }

    /// A NOTIFY of a list server: the entry itself shows how its dialog is, its resources follow it.
    fn hear_list(&mut self, hub: &mut Hub, subscription: &Subscription, key: u32, told: Told) {
        let Some(content) = &told.content else { return self.hear_one(hub, subscription, key, told) };
        let Some(entry) = self.entries.get_mut(key) else { return };
        let resources_max = hub.config.limits.sip_list_resources as usize;
        let lists = entry.lists.get_or_insert_with(|| Box::new(Lists::new(resources_max)));
        let of: Box<str> = (*entry.uri).into();
        let children = subscription.resources.iter().filter(|child| child.of.as_ref() == Some(&of));
        let held: Vec<rlmi::Resource> = children.map(listed).collect();
        let notified = Notified {
            content_type: &content.content_type,
            bytes: &content.bytes,
            first: told.first,
            now: hub.now.mono,
        };
        let taken = match lists.take(entry.package, &held, notified) {
            Ok(taken) => taken,
            // It is carried as it came.
            Err(_) => return self.hear_one(hub, subscription, key, told),
        };
        for _ in 0..taken.unreadable {
            self.note_unreadable(hub, &of);
        }
        if taken.left_out > 0 {
            let text = format!(
                "sep: the list {of} is too long: {} resources or bodies were left out",
                taken.left_out
            );
            hub.note(Level::Info, text);
        }
        if taken.refresh
            && let Some(subscriber) = &mut self.subscriber
        {
            subscriber.refresh(hub.now, key, told.dialog);
        }
        publish(hub, &of, taken.items);
        let Some(own) = self.own(hub, subscription, key, &told) else { return };
        let changed = own.changed || !taken.changed.is_empty() || !taken.dropped.is_empty();
        let since = own.resource.since;
        let mut resources = if own.changed || own.is_new { vec![own.resource] } else { Vec::new() };
        resources
            .extend(taken.changed.into_iter().map(|resource| shown(resource, (&of, since), told.dialog)));
        let dropped = taken.dropped.into_iter().map(|uri| Child { of: of.clone(), uri }).collect();
        self.say(hub, subscription, (changed, own.is_new), resources, dropped);
    }

    /// The entry's own resource, with the instance of the dialog that a NOTIFY came in.
    fn own(&mut self, hub: &mut Hub, subscription: &Subscription, key: u32, told: &Told) -> Option<Own> {
        let entry = self.entries.get_mut(key)?;
        let mut resource = subscription.resource(&entry.uri)?.clone();
        let known = place(&resource, told.dialog);
        let at = match known {
            Some(at) => at,
            None => {
                // The document that its dialog before showed: what comes is compared with that, and events tell the
                // difference.
                let mut ended =
                    resource.instances.iter_mut().filter(|i| i.state == InstanceState::Terminated);
                entry.former = ended.find_map(|i| i.body.take()).map(Box::new).or(entry.former.take());
                renew(hub, &mut resource, told.dialog, told.state)
            }
        };
        let instance = &mut resource.instances[at];
        let changed = instance.state != told.state;
        instance.state = told.state;
        Some(Own { resource, at, is_new: known.is_none(), changed })
    }

    /// Says that resources have changed, or that a dialog is there of which nothing else is known.
    fn say(
        &mut self,
        hub: &mut Hub,
        subscription: &Subscription,
        (changed, is_new): (bool, bool),
        mut resources: Vec<Resource>,
        dropped: Vec<Child>,
    ) {
        let id = subscription.id;
        leave_out(hub, subscription, &mut resources);
        if changed {
            self.saying.push_back((id, Said::Told { resources, dropped }));
        } else if is_new {
            self.saying.push_back((id, Said::Quiet { resources, dropped }));
        }
    }

    /// A dialog, or an attempt that made none, has ended.
    fn hear_end(
        &mut self,
        hub: &mut Hub,
        subscription: &Subscription,
        key: u32,
        dialog: u32,
        content: Option<Content>,
        (reason, status): (Reason, Option<u16>),
    ) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let uri = entry.uri.clone();
        let Some(mut resource) = subscription.resource(&uri).cloned() else { return };
        let terminated = |instance: &Instance| {
            instance.state == InstanceState::Terminated
                && instance.reason.as_deref() == Some(reason.word())
                && instance.status == status
        };
        let at = match place(&resource, dialog) {
            Some(at) => at,
            // The same failure once more is no news.
            None if content.is_none() && resource.instances.iter().any(terminated) => return,
            None => renew(hub, &mut resource, dialog, InstanceState::Terminated),
        };
        let held = resource.instances[at].body.take().or(entry.former.take().map(|former| *former));
        let body = match content {
            Some(content) => self.take(hub, key, dialog, held, content, false).0,
            None => held,
        };
        if let Some(entry) = self.entries.get_mut(key) {
            // Versions begin anew with the next dialog.
            entry.ended.retain(|(known, _)| *known != dialog);
            entry.lists = None;
        }
        let instance = &mut resource.instances[at];
        (instance.state, instance.reason) = (InstanceState::Terminated, Some(reason.word().into()));
        (instance.status, instance.body) = (status, body);
        // What came in its list is known no better.
        let children =
            subscription.resources.iter().filter(|child| child.of.as_deref() == Some(&*uri)).cloned();
        let mut resources = vec![resource];
        for mut child in children {
            for instance in child.instances.iter_mut().filter(|i| i.state != InstanceState::Terminated) {
                (instance.state, instance.reason) = (InstanceState::Terminated, Some(reason.word().into()));
            }
            resources.push(child);
        }
        self.saying.push_back((subscription.id, Said::Told { resources, dropped: Vec::new() }));
    }

    /// What an instance shows once a body is taken in, and whether that is news. Events of what changed go on their way.
    fn take(
        &mut self,
        hub: &mut Hub,
        key: u32,
        dialog: u32,
        held: Option<Body>,
        content: Content,
        first: bool,
    ) -> (Option<Body>, bool) {
        let Some(entry) = self.entries.get_mut(key) else { return (held, false) };
        let package = entry.package;
        let incoming = Body { content_type: content.content_type, bytes: content.bytes };
        let ended = entry.ended_of(dialog);
        let taken = package::take(package, held.as_ref(), incoming, first, hub.now.mono, ended);
        if taken.refresh
            && let Some(subscriber) = &mut self.subscriber
        {
            subscriber.refresh(hub.now, key, dialog);
        }
        if taken.unreadable {
            let uri = entry.uri.clone();
            self.note_unreadable(hub, &uri);
        }
        if let Some(entry) = self.entries.get(key) {
            publish(hub, &entry.uri, taken.items);
        }
        let news = taken.body.is_some();
        (taken.body.or(held), news)
    }

    /// After a start: instances whose dialogs nothing is saved of.
    pub(super) fn say_lost(&mut self, subscription: &Subscription, saved: &[Dialog]) {
        let is_lost = |resource: &Resource, instance: &Instance| {
            let is_saved = |d: &Dialog| *d.uri == *resource.entry() && d.dialog == instance.dialog;
            instance.state != InstanceState::Terminated && !saved.iter().any(is_saved)
        };
        let mut resources = Vec::new();
        for resource in &subscription.resources {
            if resource.instances.iter().any(|instance| is_lost(resource, instance)) {
                let mut lost = resource.clone();
                for instance in lost.instances.iter_mut().filter(|instance| is_lost(resource, instance)) {
                    (instance.state, instance.reason) = (InstanceState::Terminated, Some(LOST.into()));
                }
                resources.push(lost);
            }
        }
        if !resources.is_empty() {
            self.saying.push_back((subscription.id, Said::Told { resources, dropped: Vec::new() }));
        }
    }
}

impl Entry {
    /// What its package remembers of a dialog.
    fn ended_of(&mut self, dialog: u32) -> &mut package::Ended {
        let at = self.ended.iter().position(|(known, _)| *known == dialog).unwrap_or_else(|| {
            self.ended.reserve_exact(1);
            self.ended.push((dialog, package::Ended::default()));
            self.ended.len() - 1
        });
        &mut self.ended[at].1
    }
}

/// What a NOTIFY says.
struct Told {
    dialog: u32,
    state: InstanceState,
    content: Option<Content>,
    first: bool,
}

/// The entry's own resource as a NOTIFY leaves it.
struct Own {
    resource: Resource,
    /// The dialog's instance.
    at: usize,
    /// It was not there before.
    is_new: bool,
    /// Its state was another.
    changed: bool,
}

/// Leaves bodies out that would make the subscription's document too long.
fn leave_out(hub: &mut Hub, subscription: &Subscription, told: &mut [Resource]) {
    let bytes = |resource: &Resource| -> u64 {
        resource.instances.iter().filter_map(|i| i.body.as_ref()).map(|body| body.bytes.len() as u64).sum()
    };
    let stays = |known: &&Resource| !told.iter().any(|r| r.uri == known.uri && r.of == known.of);
    let mut sum: u64 = subscription.resources.iter().filter(stays).map(bytes).sum();
    let most = hub.config.limits.sep_document_bytes;
    for resource in told {
        for instance in &mut resource.instances {
            let more = instance.body.as_ref().map_or(0, |body| body.bytes.len() as u64);
            if sum + more > most {
                instance.body = None;
                let text = format!(
                    "sep: a body of {more} bytes from {} is left out: the document is full",
                    resource.uri
                );
                hub.note(Level::Info, text);
            } else {
                sum += more;
            }
        }
    }
}

/// A resource of a list, as the list's machine knows it.
fn listed(resource: &Resource) -> rlmi::Resource {
    let instance = |instance: &Instance| rlmi::Instance {
        id: instance.id.clone(),
        state: instance.state,
        reason: instance.reason.clone(),
        body: instance.body.clone(),
    };
    rlmi::Resource {
        uri: resource.uri.clone(),
        names: resource.name.iter().cloned().collect(),
        instances: resource.instances.iter().map(instance).collect(),
    }
}

/// A resource of the list of an entry, which was listed by this record, as documents show it.
fn shown(resource: rlmi::Resource, (of, since): (&str, u64), dialog: u32) -> Resource {
    let instance = |instance: rlmi::Instance| Instance {
        id: instance.id,
        dialog,
        state: instance.state,
        reason: instance.reason,
        status: None,
        body: instance.body,
    };
    Resource {
        uri: resource.uri,
        of: Some(of.into()),
        since,
        name: resource.names.into_iter().next(),
        instances: resource.instances.into_iter().map(instance).collect(),
    }
}

/// The living instance of a dialog.
fn place(resource: &Resource, dialog: u32) -> Option<usize> {
    resource.instances.iter().position(|i| i.dialog == dialog && i.state != InstanceState::Terminated)
}

/// A new instance; those that were terminated are dropped for it (reference: shown until there is a new one).
fn renew(hub: &mut Hub, resource: &mut Resource, dialog: u32, state: InstanceState) -> usize {
    resource.instances.retain(|instance| instance.state != InstanceState::Terminated);
    let id = format!("{:08x}", hub.rng.next_u64() >> 32).into();
    resource.instances.push(Instance { id, dialog, state, reason: None, status: None, body: None });
    resource.instances.len() - 1
}

/// Events of what changed.
fn publish(hub: &mut Hub, uri: &str, items: Vec<Item>) {
    let most = hub.config.limits.sep_items as usize;
    if items.len() > most {
        let text = format!(
            "sep: {} of {} changes of {uri} are no events: one NOTIFY makes {most}",
            items.len() - most,
            items.len()
        );
        hub.note(Level::Info, text);
    }
    for item in items.into_iter().take(most) {
        let event = hub.draft(item.event_type, item.subject, Vec::new(), item.facts);
        hub.append(Actor::Server(super::super::NAME), None, true, true, record::Body::Event(event.into()));
    }
}
