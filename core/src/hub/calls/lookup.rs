//! Names that are being resolved: each once for all calls that want it and once for all dialects, however many have given
//! up meanwhile. Calls and dialects have places of their own, so that names which hang on one side keep nobody on the
//! other waiting.

use std::collections::{BTreeMap, VecDeque};

use super::{Hub, On};
use crate::hub::action::{Action, Share};
use crate::hub::flow::Found;

/// The lookups under way, and what came of those that dialects have asked for.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    under_way: BTreeMap<u64, Lookup>,
    /// Their tickets.
    of_calls: BTreeMap<Box<str>, u64>,
    of_dialects: BTreeMap<Box<str>, u64>,
    ticket: u64,
    found: VecDeque<(u8, u64, Found)>,
}

/// One lookup.
#[derive(Debug)]
struct Lookup {
    host: Box<str>,
    share: Share,
    /// The calls that wait for it.
    calls: Vec<u32>,
    /// The dialects that do, each with a key of its own.
    dialects: Vec<(u8, u64)>,
}

impl Lookups {
    fn tickets(&mut self, share: Share) -> &mut BTreeMap<Box<str>, u64> {
        match share {
            Share::Calls => &mut self.of_calls,
            Share::Dialects => &mut self.of_dialects,
        }
    }

    /// A call no longer waits.
    pub(super) fn leave(&mut self, ticket: u64, slot: u32) {
        if let Some(lookup) = self.under_way.get_mut(&ticket) {
            lookup.calls.retain(|waits| *waits != slot);
        }
    }
}

impl Hub {
    /// Finds the addresses of a host for a dialect: a name, or an address, which stands for itself. They come to
    /// [`crate::dialect::Dialect::looked_up`] with `key`.
    pub fn lookup(&mut self, dialect: u8, key: u64, host: &str) {
        if let Ok(address) = host.parse() {
            return self.calls.lookups.found.push_back((dialect, key, Ok(vec![address])));
        }
        match self.look_up(Share::Dialects, host) {
            Some((_, lookup)) => lookup.dialects.push((dialect, key)),
            None => {
                let why = "too many names are being resolved".into();
                self.calls.lookups.found.push_back((dialect, key, Err(why)));
            }
        }
    }

    /// A call waits for the addresses of a host; the lookup's ticket, or `None` if too many are under way.
    pub(super) fn look_up_for_call(&mut self, slot: u32, host: &str) -> Option<u64> {
        let (ticket, lookup) = self.look_up(Share::Calls, host)?;
        lookup.calls.push(slot);
        Some(ticket)
    }

    /// The lookup of a name, begun unless it is under way.
    fn look_up(&mut self, share: Share, host: &str) -> Option<(u64, &mut Lookup)> {
        let limits = &self.config.limits;
        let places = match share {
            Share::Calls => limits.calls,
            Share::Dialects => limits.sip_lookups,
        };
        let lookups = &mut self.calls.lookups;
        let known = lookups.tickets(share);
        let ticket = match known.get(host) {
            Some(ticket) => *ticket,
            None if known.len() as u64 >= places => return None,
            None => {
                lookups.ticket += 1;
                let ticket = lookups.ticket;
                let lookup = Lookup { host: host.into(), share, calls: Vec::new(), dialects: Vec::new() };
                lookups.under_way.insert(ticket, lookup);
                lookups.tickets(share).insert(host.into(), ticket);
                self.act(Action::Resolve(ticket, host.into(), share));
                ticket
            }
        };
        self.calls.lookups.under_way.get_mut(&ticket).map(|lookup| (ticket, lookup))
    }

    /// The addresses of a name, or why there are none.
    pub(crate) fn resolved(&mut self, ticket: u64, result: Found) {
        let Some(lookup) = self.calls.lookups.under_way.remove(&ticket) else { return };
        self.calls.lookups.tickets(lookup.share).remove(&lookup.host);
        for slot in lookup.calls {
            if let On::Name(_, wants, _) = self.calls.pending[slot].on {
                self.found(slot, wants, result.clone());
            }
        }
        let dialects = lookup.dialects.into_iter();
        self.calls.lookups.found.extend(dialects.map(|(dialect, key)| (dialect, key, result.clone())));
    }

    /// What came of the next lookup of a dialect.
    pub(crate) fn take_looked_up(&mut self) -> Option<(u8, u64, Found)> {
        self.calls.lookups.found.pop_front()
    }
}
