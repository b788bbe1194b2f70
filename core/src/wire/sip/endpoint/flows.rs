//! Connections: those that we dial towards a peer's address and use again, and those that peers open. What is to be sent
//! before a connection is open waits in it.
//!
//! What is absent here: requests of ours on a connection that the peer opened (RFC 5923), and keepalives of our own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::super::Bounds;
use super::super::stream::{Framed, Framing};
use super::deadlines::Due;
use super::request::RequestId;
use super::respond::Source;
use super::{Endpoint, FlowId, Output};
use crate::ground::limits::Limits;
use crate::ground::network::{counted, is_loopback};
use crate::ground::time::Mono;

/// An address, and with TLS the name of the certificate.
type Peer = (SocketAddr, Option<Box<str>>);

/// All connections.
#[derive(Debug, Default)]
pub(super) struct Flows {
    flows: BTreeMap<FlowId, Flow>,
    /// Those that we dialed, by where they go.
    towards: BTreeMap<Peer, FlowId>,
    /// How many each address has opened.
    opened: BTreeMap<IpAddr, u64>,
    next: u32,
}

#[derive(Debug)]
struct Flow {
    to: SocketAddr,
    /// Where it goes, if we dialed it.
    peer: Option<Peer>,
    secure: bool,
    /// Not open yet: what is to be sent then.
    waiting: Option<Vec<u8>>,
    framing: Framing,
    /// Requests of ours whose answers are awaited.
    requests: BTreeSet<RequestId>,
    /// When it is closed, unless it is used.
    due: Mono,
    /// When the message that has begun must be whole.
    whole_by: Mono,
    armed: Mono,
}

impl Flows {
    fn insert(&mut self, flow: Flow) -> FlowId {
        let id = FlowId(self.next);
        self.next = self.next.wrapping_add(1);
        match flow.peer.clone() {
            Some(peer) => drop(self.towards.insert(peer, id)),
            None => *self.opened.entry(counted(flow.to.ip())).or_default() += 1,
        }
        self.flows.insert(id, flow);
        id
    }

    fn remove(&mut self, id: FlowId) -> Option<Flow> {
        let flow = self.flows.remove(&id)?;
        match &flow.peer {
            Some(peer) => drop(self.towards.remove(peer)),
            None => {
                let address = counted(flow.to.ip());
                if let Some(opened) = self.opened.get_mut(&address) {
                    *opened -= 1;
                    if *opened == 0 {
                        self.opened.remove(&address);
                    }
                }
            }
        }
        Some(flow)
    }

    /// Whether an address may open one more. This machine is not counted.
    fn admits(&self, from: IpAddr, limits: &Limits) -> bool {
        let all = (self.flows.len() - self.towards.len()) as u64;
        let opened = self.opened.get(&counted(from)).copied().unwrap_or_default();
        all < limits.sip_flows && (is_loopback(from) || opened < limits.sip_flows_per_address)
    }

    pub(super) fn len(&self) -> usize {
        self.flows.len()
    }

    /// Whether there is such a connection.
    pub(super) fn contains(&self, id: FlowId) -> bool {
        self.flows.contains_key(&id)
    }

    /// A request of ours is over.
    pub(super) fn leave(&mut self, id: FlowId, request: RequestId) {
        if let Some(flow) = self.flows.get_mut(&id) {
            flow.requests.remove(&request);
        }
    }

    /// A request of ours awaits its answer.
    pub(super) fn enter(&mut self, id: FlowId, request: RequestId) {
        if let Some(flow) = self.flows.get_mut(&id) {
            flow.requests.insert(request);
        }
    }
}

impl Endpoint {
    /// The connection towards a peer, dialed if there is none; none if there are too many.
    pub(super) fn flow_towards(
        &mut self,
        now: Mono,
        to: SocketAddr,
        tls: Option<Box<str>>,
    ) -> Option<FlowId> {
        let peer = (to, tls);
        if let Some(flow) = self.flows.towards.get(&peer) {
            return Some(*flow);
        }
        if self.flows.towards.len() as u64 >= self.settings.limits.sip_flows {
            return None;
        }
        let tls = peer.1.clone();
        let due = now.plus_ms(self.settings.limits.sip_dial_ms);
        let flow = self.enter_flow(to, Some(peer), tls.is_some(), Some(Vec::new()), due);
        self.outputs.push_back(Output::Dial { flow, to, tls });
        Some(flow)
    }

    /// A connection that a peer opened.
    pub(super) fn accepted(&mut self, now: Mono, from: SocketAddr, secure: bool) -> FlowId {
        let is_admitted = self.flows.admits(from.ip(), &self.settings.limits);
        let due = now.plus_ms(self.settings.limits.sip_flow_idle_ms);
        let flow = self.enter_flow(from, None, secure, None, due);
        if !is_admitted {
            self.counted.flows_refused += 1;
            self.close_flow(now, flow);
        }
        flow
    }

    fn enter_flow(
        &mut self,
        to: SocketAddr,
        peer: Option<Peer>,
        secure: bool,
        waiting: Option<Vec<u8>>,
        due: Mono,
    ) -> FlowId {
        let framing = Framing::new(Bounds::from(&self.settings.limits));
        let requests = BTreeSet::new();
        let (whole_by, armed) = (Mono::NEVER, Mono::NEVER);
        let flow = Flow { to, peer, secure, waiting, framing, requests, due, whole_by, armed };
        let id = self.flows.insert(flow);
        self.arm_flow(id);
        id
    }

    fn arm_flow(&mut self, id: FlowId) {
        if let Some(flow) = self.flows.flows.get_mut(&id) {
            self.deadlines.arm(flow.due.min(flow.whole_by), &mut flow.armed, Due::Flow(id));
        }
    }

    /// A connection of ours is open.
    pub(super) fn dialed(&mut self, now: Mono, id: FlowId) {
        let Some(flow) = self.flows.flows.get_mut(&id) else { return };
        let Some(bytes) = flow.waiting.take() else { return };
        flow.due = now.plus_ms(self.settings.limits.sip_flow_idle_ms);
        if !bytes.is_empty() {
            self.outputs.push_back(Output::Write { flow: id, bytes });
        }
    }

    /// Writes, or keeps what is to be written once the connection is open; false if there is none, or no room in it.
    pub(super) fn write(&mut self, now: Mono, id: FlowId, bytes: Vec<u8>) -> bool {
        let Some(flow) = self.flows.flows.get_mut(&id) else { return false };
        match &mut flow.waiting {
            Some(waiting) => {
                if (waiting.len() + bytes.len()) as u64 > self.settings.limits.sip_flow_bytes {
                    return false;
                }
                waiting.extend_from_slice(&bytes);
            }
            None => {
                flow.due = now.plus_ms(self.settings.limits.sip_flow_idle_ms);
                self.outputs.push_back(Output::Write { flow: id, bytes });
            }
        }
        true
    }

    /// Bytes that came.
    pub(super) fn stream(&mut self, now: Mono, id: FlowId, mut bytes: &[u8]) {
        loop {
            let Some(flow) = self.flows.flows.get_mut(&id) else { return };
            let source = Source::Flow { id, from: flow.to, secure: flow.secure };
            match flow.framing.next(&mut bytes) {
                Framed::Message(message) => {
                    flow.due = now.plus_ms(self.settings.limits.sip_flow_idle_ms);
                    flow.whole_by = Mono::NEVER;
                    self.incoming(now, source, message);
                }
                Framed::More => {
                    if flow.whole_by == Mono::NEVER && flow.framing.is_begun() {
                        flow.whole_by = now.plus_ms(self.settings.limits.sip_message_ms);
                        self.arm_flow(id);
                    }
                    return;
                }
                Framed::Unreadable(unreadable) => {
                    self.unreadable(now, source, unreadable);
                    self.close_flow(now, id);
                    return;
                }
            }
        }
    }

    fn close_flow(&mut self, now: Mono, id: FlowId) {
        self.outputs.push_back(Output::Close { flow: id });
        self.lost(now, id);
    }

    /// A connection is gone, and with it the answers that were awaited on it.
    pub(super) fn lost(&mut self, now: Mono, id: FlowId) {
        let Some(flow) = self.flows.remove(id) else { return };
        let was_open = flow.waiting.is_none();
        for request in flow.requests {
            self.disconnected(now, request, was_open);
        }
    }

    pub(super) fn flow_due(&mut self, now: Mono, at: Mono, id: FlowId) {
        let Some(flow) = self.flows.flows.get_mut(&id).filter(|flow| flow.armed == at) else { return };
        flow.armed = Mono::NEVER;
        if flow.due <= now && flow.waiting.is_none() && !flow.requests.is_empty() {
            flow.due = now.plus_ms(self.settings.limits.sip_flow_idle_ms);
        }
        if flow.whole_by <= now {
            self.counted.unreadable += 1;
            self.close_flow(now, id);
        } else if flow.due <= now {
            self.close_flow(now, id);
        } else {
            self.arm_flow(id);
        }
    }
}
