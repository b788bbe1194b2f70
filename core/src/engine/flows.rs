//! Datagrams and flows at the doorway. Which dialect frames them is said here, in one place: SIP is spoken by the dialect
//! that makes events of it.

#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use super::Engine;
use crate::ground::id::ConnId;
use crate::ground::time::{Mono, Now};
use crate::hub::Hub;
use crate::hub::action::Level;
use crate::hub::conn::{Conn, Ending, Machine};
use crate::hub::flow::{Flow, FlowFault, Stage};

/// The dialect that speaks SIP.
const SIP: &str = "sep";

/// The place of the dialect that speaks SIP.
pub(super) fn sip(hub: &Hub) -> Option<u8> {
    hub.names.iter().position(|name| *name == SIP).and_then(|place| u8::try_from(place).ok())
}

impl Engine {
    /// A datagram came to the UDP socket with this number: its place among those of `[sip] listen` that are UDP.
    pub fn receive_datagram(&mut self, now: Now, via: u16, from: SocketAddr, bytes: &[u8]) {
        self.hub.set_now(now);
        self.hub.stats.datagrams_received += 1;
        if let Some(dialect) = self.sip.and_then(|place| self.dialects.get_mut(usize::from(place))) {
            dialect.datagram(&mut self.hub, via, from, bytes);
        }
        self.settle();
    }

    /// A socket did not take the datagram of a [`crate::Action::Send`]. Datagrams may be lost: it is counted, and no more.
    pub fn datagram_dropped(&mut self) {
        self.hub.stats.datagrams_dropped += 1;
    }

    /// What a new connection of a listener that speaks SIP is.
    pub(super) fn accepted_flow(&self, sealed: bool) -> Option<Machine> {
        let stage = if sealed { Stage::Handshaking } else { Stage::Open };
        self.sip.map(|dialect| Machine::Flow(Box::new(Flow::new(dialect, 0, stage))))
    }

    /// A connection that a dialect has made is there, or cannot be had.
    pub(super) fn flow_dialed(&mut self, id: ConnId, result: Result<(), Box<str>>) {
        let Some(conn) = self.hub.conns.get_mut(id) else { return };
        let sealed = conn.tls().is_some();
        let Machine::Flow(flow) = &mut conn.machine else { return };
        if flow.stage != Stage::Dialing {
            return;
        }
        if let Err(why) = result {
            let text = format!("no connection to {}: {why}", conn.address());
            self.hub.note(Level::Debug, text);
            self.hub.note_flow_fault(id, FlowFault::Connect(why));
            return self.hub.doom(id);
        }
        conn.blocked = false;
        if !sealed {
            return self.open_flow(id);
        }
        flow.stage = Stage::Handshaking;
        self.hub.flush(id);
    }

    /// Bytes can go both ways: the dialect hears of it.
    pub(super) fn open_flow(&mut self, id: ConnId) {
        let Some(conn) = self.hub.conns.get_mut(id) else { return };
        let (secure, accepted) = (conn.tls().is_some(), (!conn.is_ours()).then(|| conn.address()));
        let Machine::Flow(flow) = &mut conn.machine else { return };
        flow.stage = Stage::Open;
        let (dialect, key) = (flow.dialect, flow.key);
        conn.patience = Mono::NEVER;
        if let Some(dialect) = self.dialects.get_mut(usize::from(dialect)) {
            dialect.flow_opened(&mut self.hub, id, accepted, secure, key);
        }
        self.hub.flush(id);
    }

    /// Bytes of a flow, unless it is ending.
    pub(super) fn receive_flow(&mut self, id: ConnId, bytes: &[u8]) {
        let Some(conn) = self.hub.conns.get(id).filter(|conn| conn.ending == Ending::No) else { return };
        let Machine::Flow(flow) = &conn.machine else { return };
        if let Some(dialect) = self.dialects.get_mut(usize::from(flow.dialect)) {
            dialect.flow_received(&mut self.hub, id, bytes);
        }
    }

    /// A flow is over. One that a peer began is told of only if its dialect knew of it.
    pub(super) fn flow_over(&mut self, id: ConnId, flow: Flow, ours: bool) {
        if let Some(dialect) = self.dialects.get_mut(usize::from(flow.dialect))
            && (ours || flow.stage == Stage::Open)
        {
            dialect.flow_closed(&mut self.hub, id, flow.key, flow.why);
        }
    }

    /// A flow took too long to be made, or its peer takes nothing.
    pub(super) fn flow_overdue(&mut self, id: ConnId) {
        let Some(Machine::Flow(flow)) = self.hub.conns.get(id).map(|conn| &conn.machine) else { return };
        let why = match flow.stage {
            Stage::Dialing => FlowFault::Connect("no connection in time".into()),
            Stage::Handshaking => FlowFault::Tls("the handshake took too long".into()),
            Stage::Open => FlowFault::Stalled,
        };
        self.hub.note_flow_fault(id, why);
        self.hub.doom(id);
    }

    /// After a stop: flows stay until all dialects are done with them.
    pub(super) fn end_flows(&mut self) {
        if !self.hub.stopping || self.flows_ended || !self.dialects.iter().all(|d| d.is_drained()) {
            return;
        }
        self.flows_ended = true;
        let is_flow = |conn: &Conn| matches!(conn.machine, Machine::Flow(_));
        for id in self.hub.conns.ids() {
            if self.hub.conns.get(id).is_some_and(is_flow) {
                self.hub.close_flow(id);
            }
        }
    }
}
