//! From a call to a connection that is ready for its request.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use data_encoding::BASE64;

use super::super::conn::{Conn, Machine};
use super::outgoing::{Outgoing, Stage};
use super::{Hub, On};
use crate::ground::address::blocked;
use crate::ground::deadline::Due;
use crate::ground::id::ConnId;
use crate::hub::action::Action;
use crate::hub::call::{CallFault, CallId, Target, Tls};
use crate::hub::flow::Found;
use crate::wire::http::client::Ask;
use crate::wire::tls::Compiled;
use crate::wire::tls::layer::Layer;

/// Whose addresses are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wants {
    /// The URL's host.
    Target,
    /// The proxy's.
    Proxy,
}

impl Hub {
    /// The config has changed: connections that were made by the old one carry no further call, and those that are
    /// being made by it are made anew. What was asked on one comes to its end.
    pub(crate) fn reset_outgoing(&mut self) {
        self.calls.epoch = self.calls.epoch.wrapping_add(1);
        let pools: Vec<u32> = self.calls.pools.iter().map(|(pool, _)| pool).collect();
        for pool in pools {
            self.calls.pools[pool].tls = None;
            for id in self.calls.pools[pool].idle.clone() {
                self.drop_outgoing(id);
            }
        }
        let slots: Vec<u32> = self.calls.pending.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            self.connect_anew(slot);
        }
    }

    /// Begins again to make a connection for a call, if it has none that is ready.
    fn connect_anew(&mut self, slot: u32) {
        match self.calls.pending[slot].on {
            On::Nothing => return,
            On::Name(ticket, ..) => self.calls.lookups.leave(ticket, slot),
            On::Conn(id) => match self.conns.get(id).map(|conn| &conn.machine) {
                Some(Machine::Client(outgoing)) if outgoing.stage != Stage::Asked => self.drop_outgoing(id),
                Some(_) | None => return,
            },
        }
        let pending = &mut self.calls.pending[slot];
        pending.through.clear();
        pending.fault = None;
        self.connect(slot);
    }

    /// Begins to make a connection for a call.
    pub(super) fn connect(&mut self, slot: u32) {
        let trusted = self.target(slot).trusted;
        // A proxy resolves the names of the config file by itself; others are checked here first.
        let wants =
            if self.config.outbox.egress_proxy.is_some() && trusted { Wants::Proxy } else { Wants::Target };
        self.resolve(slot, wants);
    }

    fn target(&self, slot: u32) -> &Arc<Target> {
        &self.calls.pools[self.calls.pending[slot].pool].target
    }

    fn host(&self, slot: u32, wants: Wants) -> &str {
        match (wants, &self.config.outbox.egress_proxy) {
            (Wants::Proxy, Some(proxy)) => &proxy.host,
            (Wants::Proxy | Wants::Target, _) => &self.target(slot).host,
        }
    }

    pub(super) fn resolve(&mut self, slot: u32, wants: Wants) {
        let host: Box<str> = self.host(slot, wants).into();
        if let Ok(address) = host.parse::<IpAddr>() {
            return self.found(slot, wants, Ok(vec![address]));
        }
        let Some(ticket) = self.look_up_for_call(slot, &host) else {
            return self.finish_call(slot, Err(CallFault::NoRoom));
        };
        let generation = self.calls.generations[slot as usize];
        let pending = &mut self.calls.pending[slot];
        let by = self.now.mono.plus_ms(pending.connect_ms).min(pending.due);
        pending.on = On::Name(ticket, wants, by);
        self.deadlines.arm(by, Due::Resolve(slot, generation));
    }

    /// A call has waited too long for a name. The lookup goes on: its answer is good for the next who asks.
    pub(crate) fn resolve_due(&mut self, slot: u32, generation: u32) {
        let Some(slot) = self.calls.find(CallId { slot, generation }) else { return };
        let On::Name(ticket, _, by) = self.calls.pending[slot].on else { return };
        if by <= self.now.mono {
            self.calls.lookups.leave(ticket, slot);
            self.finish_call(slot, Err(CallFault::Resolve("no name server answered in time".into())));
        }
    }

    /// The addresses of a name that a call waits for.
    pub(super) fn found(&mut self, slot: u32, wants: Wants, result: Found) {
        let addresses = match result {
            Ok(addresses) if !addresses.is_empty() => {
                // A v4 address is checked, named and dialed as one, however it is written.
                addresses.iter().map(IpAddr::to_canonical).collect::<Vec<_>>()
            }
            Ok(_) => {
                let why = format!("`{}` has no address", self.host(slot, wants));
                return self.finish_call(slot, Err(CallFault::Resolve(why.into())));
            }
            Err(why) => {
                let why = format!("`{}`: {why}", self.host(slot, wants));
                return self.finish_call(slot, Err(CallFault::Resolve(why.into())));
            }
        };
        let target = Arc::clone(self.target(slot));
        if wants == Wants::Target && !target.trusted {
            let allow = &self.config.outbox.allow_private;
            // One forbidden address is enough: a name that has both kinds is an attempt to get through.
            let bad = addresses.iter().find_map(|a| blocked(*a, allow).map(|range| (*a, range)));
            if let Some((address, range)) = bad {
                return self.finish_call(slot, Err(CallFault::Blocked { address, range }));
            }
        }
        let addresses_max = self.config.limits.call_addresses as usize;
        let port = match (wants, &self.config.outbox.egress_proxy) {
            (Wants::Proxy, Some(proxy)) => proxy.port,
            (Wants::Target, Some(_)) => {
                self.calls.pending[slot].through = interleaved(addresses, target.port, addresses_max);
                return self.resolve(slot, Wants::Proxy);
            }
            (Wants::Proxy | Wants::Target, None) => target.port,
        };
        self.calls.pending[slot].addresses = interleaved(addresses, port, addresses_max);
        self.dial(slot);
    }

    /// Dials the next address.
    fn dial(&mut self, slot: u32) {
        let pending = &mut self.calls.pending[slot];
        let Some(address) = pending.addresses.pop_front() else {
            let fault = pending.fault.take().unwrap_or(CallFault::Connect("there is no address".into()));
            return self.finish_call(slot, Err(fault));
        };
        let pool = pending.pool;
        let due = self.now.mono.plus_ms(pending.connect_ms).min(pending.due);
        let outgoing = Outgoing::new(pool, slot, address, self.calls.epoch, due);
        let id = self.conns.insert(Conn::dialed(Machine::Client(Box::new(outgoing)), address));
        self.calls.pending[slot].on = On::Conn(id);
        self.calls.open += 1;
        self.stats.call_connections_dialed += 1;
        self.calls.pools[pool].users += 1;
        self.arm(id);
        self.act(Action::Dial(id, address));
    }

    /// An attempt at one address has failed: the next one, if there is one.
    pub(super) fn next_address(&mut self, slot: u32, id: ConnId, fault: CallFault) {
        self.drop_outgoing(id);
        if let Some(pending) = self.calls.pending.get_mut(slot) {
            pending.fault = Some(fault);
            self.dial(slot);
        }
    }

    /// A socket is connected, or not.
    pub(crate) fn dialed(&mut self, id: ConnId, result: Result<(), Box<str>>) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Machine::Client(outgoing) = &mut conn.machine else { return };
        let (Stage::Dialing, Some(slot)) = (outgoing.stage, outgoing.call) else { return };
        if let Err(why) = result {
            let address = outgoing.address;
            return self.next_address(slot, id, CallFault::Connect(format!("{address}: {why}").into()));
        }
        conn.blocked = false;
        if self.config.outbox.egress_proxy.is_none() {
            return self.established(id);
        }
        outgoing.stage = Stage::Proxying;
        outgoing.client.ask(Ask { head_only: false, connect: true, content_max: 0 });
        let request = self.connect_request(slot);
        if let Some(conn) = self.conns.get_mut(id) {
            conn.output.push_bytes(request);
        }
        self.flush(id);
    }

    /// RFC 9110 section 9.3.6.
    fn connect_request(&self, slot: u32) -> Vec<u8> {
        let target = self.target(slot);
        let authority = match self.calls.pending[slot].through.front() {
            Some(address) => address.to_string(),
            None if target.host.contains(':') => format!("[{}]:{}", target.host, target.port),
            None => format!("{}:{}", target.host, target.port),
        };
        let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
        let credentials = self.config.outbox.egress_proxy.as_ref().and_then(|p| p.credentials.as_deref());
        if let Some(credentials) = credentials {
            request.push_str("Proxy-Authorization: Basic ");
            BASE64.encode_append(credentials.as_bytes(), &mut request);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        request.into_bytes()
    }

    /// Bytes reach the target: TLS first, if it is wanted, then the request.
    pub(super) fn established(&mut self, id: ConnId) {
        let Some(Machine::Client(outgoing)) = self.conns.get(id).map(|c| &c.machine) else { return };
        let (pool, Some(slot)) = (outgoing.pool, outgoing.call) else { return };
        let target = Arc::clone(&self.calls.pools[pool].target);
        if target.tls.is_none() {
            return self.ask(slot, id);
        }
        self.calls.set_clock(self.now.wall);
        let layer = self
            .compiled(pool)
            .and_then(|compiled| Layer::client(&compiled, &target.host).map_err(String::into_boxed_str));
        match layer {
            Err(why) => self.fail_outgoing(id, CallFault::Tls(why)),
            Ok(layer) => {
                if let Some(Machine::Client(outgoing)) = self.conns.get_mut(id).map(|c| &mut c.machine) {
                    outgoing.stage = Stage::Handshaking;
                    outgoing.tls = Some(Box::new(layer));
                }
                self.flush(id);
            }
        }
    }

    /// TLS as a target wants it; made once.
    fn compiled(&mut self, pool: u32) -> Result<Compiled, Box<str>> {
        let entry = &self.calls.pools[pool];
        if let Some(compiled) = &entry.tls {
            return compiled.clone();
        }
        let compiled = self.compile(entry.target.tls.as_deref().unwrap_or(&Tls::default()));
        self.calls.pools[pool].tls = Some(compiled.clone());
        compiled
    }

    /// Makes TLS ready for connections of our own.
    pub(in crate::hub) fn compile(&self, tls: &Tls) -> Result<Compiled, Box<str>> {
        let base = self.config.tls.as_ref().ok_or("this server was started without cryptography")?;
        Ok(tls.compile(base, &self.calls.clock)?)
    }
}

/// The addresses in the order of trying: the two families by turns (RFC 8305 section 4), as the resolver ordered them.
fn interleaved(addresses: Vec<IpAddr>, port: u16, addresses_max: usize) -> VecDeque<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
    let (mut first, mut second): (VecDeque<IpAddr>, VecDeque<IpAddr>) =
        addresses.into_iter().partition(|a| a.is_ipv6() == first_is_v6);
    let mut all = VecDeque::new();
    while !first.is_empty() || !second.is_empty() {
        all.extend(first.pop_front());
        all.extend(second.pop_front());
    }
    all.truncate(addresses_max);
    all.into_iter().map(|address| SocketAddr::new(address, port)).collect()
}
