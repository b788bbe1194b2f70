//! Requests of ours, from the user to their outcome: the next hop is located, the request waits for its turn, and is
//! tried at one address after the other until there is an answer.
//!
//! What is absent here: what an answer means, except that a 503 leads to the next address (RFC 3263 section 4.3).

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use super::super::message::Message;
use super::super::transaction::client::{Client, Timeout};
use super::deadlines::Due;
use super::hop::{Hop, Transport};
use super::names::Known;
use super::{Endpoint, FlowId, Happened, Output, Unanswered};
use crate::ground::time::Mono;

/// The beginning of every branch (RFC 3261 section 8.1.1.7).
pub(super) const COOKIE: &str = "z9hG4bK";

/// A request; a number is not given twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct RequestId(u64);

/// All requests under way.
#[derive(Debug)]
pub(super) struct Requests {
    all: BTreeMap<RequestId, Request>,
    /// Those whose outcome is awaited.
    by_key: BTreeMap<u64, RequestId>,
    next: u64,
    /// What all branches of this endpoint have in common.
    mark: u32,
}

#[derive(Debug)]
struct Request {
    key: u64,
    method: Box<str>,
    hop: Hop,
    /// The request without `Via`; nothing once the answer is there.
    bytes: Box<[u8]>,
    /// The addresses that are left, the present one first.
    addresses: VecDeque<IpAddr>,
    /// It was too long for a datagram, and goes in one all the same.
    is_tcp_refused: bool,
    /// It keeps or ends something, or answers a challenge: it goes before those that begin something.
    is_urgent: bool,
    /// `Sent` was said.
    is_sent: bool,
    stage: Stage,
    armed: Mono,
}

#[derive(Debug)]
enum Stage {
    /// Its hop's name is being resolved.
    Locating,
    /// It waits for its turn.
    Queued,
    /// It is on its way; afterwards copies of its answer are swallowed.
    Sent { client: Client, nonce: u64, way: Way },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Socket(u16),
    Flow(FlowId),
}

impl Requests {
    pub(super) fn new(seed: u64) -> Requests {
        Requests { all: BTreeMap::new(), by_key: BTreeMap::new(), next: 0, mark: (seed >> 32) as u32 }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether it still waits for its turn.
    pub(super) fn is_queued(&self, id: RequestId) -> bool {
        self.all.get(&id).is_some_and(|request| matches!(request.stage, Stage::Queued))
    }

    fn branch(&self, id: RequestId, nonce: u64) -> String {
        format!("{COOKIE}{:08x}{:x}.{nonce:016x}", self.mark, id.0)
    }

    /// What a branch of ours says: which request, and which attempt.
    pub(super) fn read_branch(&self, branch: &str) -> Option<(RequestId, u64)> {
        let (head, nonce) = branch.split_once('.')?;
        let id = head.strip_prefix(COOKIE)?.strip_prefix(&*format!("{:08x}", self.mark))?;
        let number = |hex: &str| u64::from_str_radix(hex, 16).ok();
        Some((RequestId(number(id)?), number(nonce)?))
    }
}

impl Request {
    fn address(&self) -> Option<SocketAddr> {
        self.addresses.front().map(|address| SocketAddr::new(*address, self.hop.port))
    }

    /// The request with its `Via`, which stands first.
    fn with_via(&self, via: &str) -> Vec<u8> {
        let line = memchr::memchr(b'\n', &self.bytes).map_or(0, |at| at + 1);
        [&self.bytes[..line], via.as_bytes(), &self.bytes[line..]].concat()
    }

    fn flow(&self) -> Option<FlowId> {
        match self.stage {
            Stage::Sent { way: Way::Flow(flow), .. } => Some(flow),
            Stage::Sent { way: Way::Socket(_), .. } | Stage::Locating | Stage::Queued => None,
        }
    }
}

impl Endpoint {
    /// Takes a request of the user.
    pub(super) fn send(&mut self, now: Mono, key: u64, mut request: Message, route: Option<&str>) {
        self.forget(key);
        let Some(hop) = Hop::of(&request, route, self.settings.proxy.as_ref()) else {
            return self.happened.push_back(Happened::Unanswered { key, why: Unanswered::NoAddress });
        };
        let answers_challenge = ["Authorization", "Proxy-Authorization"];
        let is_urgent = request.to_tag().is_some()
            || answers_challenge.iter().any(|name| request.fields.get(name).is_some());
        // What keeps or ends a subscription has its place whatever waits to begin.
        if !is_urgent && self.requests.all.len() as u64 >= self.settings.limits.sip_requests {
            return self.happened.push_back(Happened::Unanswered { key, why: Unanswered::Transport });
        }
        if request.fields.get("Max-Forwards").is_none() {
            request.fields.insert_first("Max-Forwards", "70");
        }
        let mut bytes = Vec::new();
        request.write(&mut bytes);
        let id = RequestId(self.requests.next);
        self.requests.next += 1;
        self.requests.by_key.insert(key, id);
        let (host, address) = (hop.host.clone(), hop.address());
        let request = Request {
            key,
            method: request.method().unwrap_or_default().into(),
            is_urgent,
            hop,
            bytes: bytes.into(),
            addresses: VecDeque::new(),
            is_tcp_refused: false,
            is_sent: false,
            stage: Stage::Locating,
            armed: Mono::NEVER,
        };
        self.requests.all.insert(id, request);
        let known = match address {
            Some(address) => Known::Addresses(vec![address]),
            None => self.look_up(now, &host, id),
        };
        match known {
            Known::Addresses(addresses) => self.located(now, id, &addresses),
            Known::Later => {}
            Known::Never => self.fail(id, Unanswered::NoAddress),
        }
    }

    /// Drops a request whose outcome interests nobody.
    pub(super) fn forget(&mut self, key: u64) {
        if let Some(id) = self.requests.by_key.remove(&key) {
            self.remove_request(id);
        }
    }

    /// The addresses of the next hop; none if it has none.
    pub(super) fn located(&mut self, now: Mono, id: RequestId, addresses: &[IpAddr]) {
        let Some(request) = self.requests.all.get_mut(&id) else { return };
        if !matches!(request.stage, Stage::Locating) {
            return;
        }
        let max = usize::try_from(self.settings.limits.call_addresses).unwrap_or(usize::MAX);
        let needs_socket = request.hop.transport == Transport::Udp && !self.settings.udp.is_empty();
        let reaches = |address: &IpAddr| {
            !needs_socket || self.settings.socket(SocketAddr::new(*address, request.hop.port)).is_some()
        };
        for address in addresses.iter().filter(|address| reaches(address)).take(max) {
            if !request.addresses.contains(address) {
                request.addresses.push_back(*address);
            }
        }
        self.enqueue(now, id);
    }

    /// Waits for the turn towards the present address: each attempt has one, also one in another way.
    fn enqueue(&mut self, now: Mono, id: RequestId) {
        let Some(request) = self.requests.all.get_mut(&id) else { return };
        let Some(to) = request.address() else { return self.fail(id, Unanswered::NoAddress) };
        request.stage = Stage::Queued;
        let urgent = request.is_urgent;
        self.queue(now, to, id, urgent);
    }

    /// Sends a request whose turn it is, as a new transaction.
    pub(super) fn attempt(&mut self, now: Mono, id: RequestId) {
        let nonce = self.rng.next_u64();
        let Some(request) = self.requests.all.get(&id) else { return };
        let Some(to) = request.address() else { return };
        let socket = self.settings.socket(to);
        let mut transport = request.hop.transport;
        let mut bytes = request.with_via(&self.via(id, nonce, transport, to));
        let is_long = bytes.len() > self.settings.datagram_max && !request.is_tcp_refused;
        if transport == Transport::Udp && (is_long || socket.is_none()) {
            transport = Transport::Tcp;
            bytes = request.with_via(&self.via(id, nonce, transport, to));
        }
        let way = match (transport, socket) {
            (Transport::Udp, Some((via, to))) => {
                self.outputs.push_back(Output::Datagram { via, to, bytes });
                Some(Way::Socket(via))
            }
            (Transport::Udp | Transport::Tcp | Transport::Tls, _) => {
                let tls = (transport == Transport::Tls).then(|| request.hop.certified.clone());
                let flow = self.flow_towards(now, to, tls);
                flow.filter(|flow| self.write(now, *flow, bytes)).map(Way::Flow)
            }
        };
        let Some(way) = way else { return self.fail(id, Unanswered::Transport) };
        let Some(request) = self.requests.all.get_mut(&id) else { return };
        if !std::mem::replace(&mut request.is_sent, true) {
            self.happened.push_back(Happened::Sent { key: request.key });
        }
        let client = Client::new(now, matches!(way, Way::Flow(_)));
        self.deadlines.arm(client.poll_timeout(), &mut request.armed, Due::Request(id));
        request.stage = Stage::Sent { client, nonce, way };
        if let Way::Flow(flow) = way {
            self.flows.enter(flow, id);
        }
    }

    /// RFC 3261 section 18.1.1, and RFC 3581 over UDP.
    fn via(&self, id: RequestId, nonce: u64, transport: Transport, to: SocketAddr) -> String {
        let (name, sent_by) = (transport.name(), self.settings.sent_by(transport, to));
        let rport = if transport == Transport::Udp { ";rport" } else { "" };
        format!("Via: SIP/2.0/{name} {sent_by}{rport};branch={}\r\n", self.requests.branch(id, nonce))
    }

    /// A response (RFC 3261 section 17.1.3): it belongs to the attempt that its branch and its `CSeq` name. One that went
    /// past others before us has gone astray (section 8.1.3.3).
    pub(super) fn receive_response(&mut self, now: Mono, status: u16, response: Message) {
        let mut vias = response.vias();
        let branch = vias.next().filter(|_| vias.next().is_none());
        let read = branch.and_then(|via| self.requests.read_branch(via.branch()?));
        drop(vias);
        let attempt = read.and_then(|(id, nonce)| {
            let request = self.requests.all.get_mut(&id)?;
            match &mut request.stage {
                Stage::Sent { client, nonce: sent, .. } if *sent == nonce => {
                    let fits = response.cseq().is_some_and(|(_, method)| *method == *request.method);
                    fits.then(|| (id, client.receive(now, status)))
                }
                Stage::Sent { .. } | Stage::Locating | Stage::Queued => None,
            }
        });
        match attempt {
            None => self.counted.stray_responses += 1,
            Some((_, false)) => {}
            Some((id, true)) => self.answered(now, id, status, response),
        }
    }

    fn answered(&mut self, now: Mono, id: RequestId, status: u16, response: Message) {
        let Some(request) = self.requests.all.get_mut(&id) else { return };
        if let Some(flow) = request.flow() {
            self.flows.leave(flow, id);
        }
        if status == 503 && request.addresses.len() > 1 {
            return self.next_address(now, id);
        }
        self.requests.by_key.remove(&request.key);
        self.happened.push_back(Happened::Answered { key: request.key, response });
        request.bytes = Box::default();
        match &request.stage {
            Stage::Sent { client, .. } if !client.is_over() => {
                self.deadlines.arm(client.poll_timeout(), &mut request.armed, Due::Request(id));
            }
            Stage::Sent { .. } | Stage::Locating | Stage::Queued => drop(self.requests.all.remove(&id)),
        }
    }

    /// The next address is tried, if there is one.
    fn next_address(&mut self, now: Mono, id: RequestId) {
        let Some(request) = self.requests.all.get_mut(&id) else { return };
        if let Some(address) = request.addresses.pop_front() {
            self.names.put_last(&request.hop.host, address);
        }
        if request.addresses.is_empty() {
            self.fail(id, Unanswered::Transport);
        } else {
            self.enqueue(now, id);
        }
    }

    /// The connection of a request is gone. If it was never open, nobody has seen the request: it goes another way.
    pub(super) fn disconnected(&mut self, now: Mono, id: RequestId, was_open: bool) {
        let Some(request) = self.requests.all.get_mut(&id) else { return };
        if was_open {
            return self.fail(id, Unanswered::Transport);
        }
        let has_socket = request.address().is_some_and(|to| self.settings.socket(to).is_some());
        if request.hop.transport == Transport::Udp && has_socket {
            // Only its length had made it go by TCP.
            request.is_tcp_refused = true;
            self.enqueue(now, id);
        } else {
            self.next_address(now, id);
        }
    }

    pub(super) fn request_due(&mut self, now: Mono, at: Mono, id: RequestId) {
        let Some(request) = self.requests.all.get_mut(&id).filter(|request| request.armed == at) else {
            return;
        };
        request.armed = Mono::NEVER;
        let Stage::Sent { client, nonce, way } = &mut request.stage else { return };
        let (nonce, way) = (*nonce, *way);
        let timeout = client.handle_timeout(now);
        self.deadlines.arm(client.poll_timeout(), &mut request.armed, Due::Request(id));
        match (timeout, way) {
            (Timeout::Copy, Way::Socket(via)) => {
                let Some(request) = self.requests.all.get(&id) else { return };
                let Some(to) = request.address() else { return };
                let bytes = request.with_via(&self.via(id, nonce, Transport::Udp, to));
                let to = self.settings.socket(to).map_or(to, |(_, to)| to);
                self.counted.copies_sent += 1;
                self.outputs.push_back(Output::Datagram { via, to, bytes });
            }
            (Timeout::Unanswered, _) => {
                if let Some(address) = request.addresses.front() {
                    self.names.put_last(&request.hop.host, *address);
                }
                self.fail(id, Unanswered::TimerF);
            }
            (Timeout::Over, _) => drop(self.requests.all.remove(&id)),
            (Timeout::Nothing | Timeout::Copy, _) => {}
        }
    }

    /// A request has no answer.
    fn fail(&mut self, id: RequestId, why: Unanswered) {
        let Some(request) = self.remove_request(id) else { return };
        self.requests.by_key.remove(&request.key);
        self.happened.push_back(Happened::Unanswered { key: request.key, why });
    }

    fn remove_request(&mut self, id: RequestId) -> Option<Request> {
        let request = self.requests.all.remove(&id)?;
        if let Some(flow) = request.flow() {
            self.flows.leave(flow, id);
        }
        Some(request)
    }
}
