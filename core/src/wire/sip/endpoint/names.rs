//! Host names and their addresses: each name is asked for once for all who wait for it, and remembered for a while.
//!
//! What is absent here: the times to live of DNS records, which resolvers of the system do not tell.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::deadlines::Due;
use super::request::RequestId;
use super::{Endpoint, Output};
use crate::ground::time::Mono;

/// Names by their tickets; a ticket is not given twice.
#[derive(Debug, Default)]
pub(super) struct Names {
    by_host: BTreeMap<Box<str>, u64>,
    names: BTreeMap<u64, Name>,
    next: u64,
}

#[derive(Debug)]
struct Name {
    host: Box<str>,
    /// None as long as it is being resolved.
    addresses: Vec<IpAddr>,
    /// Requests that wait for it.
    waiting: Vec<RequestId>,
    /// Until then it is waited for, or remembered.
    until: Mono,
    armed: Mono,
}

/// What is known of a name.
pub(super) enum Known {
    /// Its addresses.
    Addresses(Vec<IpAddr>),
    /// The request goes on when they are there.
    Later,
    /// Too many names are being resolved.
    Never,
}

impl Names {
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// An address did not answer: the others come before it from here on.
    pub(super) fn put_last(&mut self, host: &str, address: IpAddr) {
        let Some(name) = self.by_host.get(host).and_then(|ticket| self.names.get_mut(ticket)) else { return };
        if name.addresses.first() == Some(&address) {
            name.addresses.rotate_left(1);
        }
    }

    /// Makes room for a name; false if all are being resolved.
    fn make_room(&mut self, max: u64) -> bool {
        if (self.names.len() as u64) < max {
            return true;
        }
        let resolved = self.names.iter().find(|(_, name)| !name.addresses.is_empty());
        let oldest = resolved.map(|(ticket, _)| *ticket);
        oldest.and_then(|ticket| self.remove(ticket)).is_some()
    }

    fn remove(&mut self, ticket: u64) -> Option<Name> {
        let name = self.names.remove(&ticket)?;
        self.by_host.remove(&name.host);
        Some(name)
    }
}

impl Endpoint {
    /// The addresses of a name, now or later.
    pub(super) fn look_up(&mut self, now: Mono, host: &str, request: RequestId) -> Known {
        let known = self.names.by_host.get(host).and_then(|ticket| self.names.names.get_mut(ticket));
        if let Some(name) = known.filter(|name| name.until > now) {
            if !name.addresses.is_empty() {
                return Known::Addresses(name.addresses.clone());
            }
            name.waiting.push(request);
            return Known::Later;
        }
        if let Some(late) = self.names.by_host.get(host).copied() {
            self.end_name(now, late);
        }
        if !self.names.make_room(self.settings.limits.sip_names) {
            return Known::Never;
        }
        let ticket = self.names.next;
        self.names.next += 1;
        let until = now.plus_ms(self.settings.limits.sip_resolve_ms);
        let name = Name {
            host: host.into(),
            addresses: Vec::new(),
            waiting: vec![request],
            until,
            armed: Mono::NEVER,
        };
        let name = self.names.names.entry(ticket).or_insert(name);
        self.deadlines.arm(until, &mut name.armed, Due::Name(ticket));
        self.names.by_host.insert(host.into(), ticket);
        self.outputs.push_back(Output::Resolve { ticket, host: host.into() });
        Known::Later
    }

    /// A name is resolved, or has no address.
    pub(super) fn named(&mut self, now: Mono, ticket: u64, addresses: &[IpAddr]) {
        let known = self.names.names.get_mut(&ticket);
        let Some(name) = known.filter(|name| name.addresses.is_empty()) else { return };
        let waiting = std::mem::take(&mut name.waiting);
        if addresses.is_empty() {
            self.names.remove(ticket);
        } else {
            name.addresses = addresses.into();
            name.until = now.plus_ms(self.settings.limits.sip_name_ms);
            self.deadlines.arm(name.until, &mut name.armed, Due::Name(ticket));
        }
        for request in waiting {
            self.located(now, request, addresses);
        }
    }

    pub(super) fn name_due(&mut self, now: Mono, at: Mono, ticket: u64) {
        let known = self.names.names.get_mut(&ticket);
        let Some(name) = known.filter(|name| name.armed == at) else { return };
        name.armed = Mono::NEVER;
        if name.until > now {
            self.deadlines.arm(name.until, &mut name.armed, Due::Name(ticket));
        } else {
            self.end_name(now, ticket);
        }
    }

    /// A name was remembered long enough, or waited for too long.
    fn end_name(&mut self, now: Mono, ticket: u64) {
        let Some(name) = self.names.remove(ticket) else { return };
        for request in name.waiting {
            self.located(now, request, &[]);
        }
    }
}
