//! Requests that come. A NOTIFY is given to the user once, and its copies get copies of the answer. Whatever else there is
//! nobody here has asked for: it is answered without being remembered (RFC 3261 section 8.2.7), as long as there is not
//! too much of it.
//!
//! What is absent here: a 483 (`Max-Forwards` of 0 has arrived where it was sent to, RFC 3261 section 16.3), and merged
//! requests outside of a dialog (section 8.2.2.2), since nothing of them is remembered.

use std::collections::BTreeMap;
use std::hash::BuildHasher as _;
use std::net::{IpAddr, SocketAddr};

use foldhash::quality::FixedState;

use super::super::Bounds;
use super::super::message::{Message, Start, Unreadable, is_keepalive};
use super::super::transaction::server::Server;
use super::super::uri::{Uri, Via};
use super::deadlines::Due;
use super::request::COOKIE;
use super::{Endpoint, FlowId, Happened, Output, ServerId};
use crate::ground::time::Mono;

/// What is done here (RFC 3261 section 20.5).
const ALLOW: &str = "NOTIFY, OPTIONS";
/// Extensions that a peer may require (RFC 4662 section 4.2).
const EXTENSIONS: &[&str] = &["eventlist"];

/// Where a message came from, and where its answer goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Source {
    Datagram { via: u16, from: SocketAddr },
    Flow { id: FlowId, from: SocketAddr, secure: bool },
}

impl Source {
    fn from(self) -> SocketAddr {
        match self {
            Source::Datagram { from, .. } | Source::Flow { from, .. } => from,
        }
    }
}

/// Requests that were given to the user, in the order in which they came.
#[derive(Debug)]
pub(super) struct Servers {
    all: BTreeMap<ServerId, Asked>,
    /// By the hash of what a request and its copies have in common: peers choose that, and its length.
    by_key: BTreeMap<u64, ServerId>,
    next: u64,
    armed: Mono,
    tags: FixedState,
}

#[derive(Debug)]
struct Asked {
    key: u64,
    source: Source,
    /// On a connection: where to, should that be gone.
    via: Option<Box<Via>>,
    server: Server,
}

/// A refusal, with a field that belongs to it.
type Refusal = (u16, &'static str, Option<(&'static str, String)>);

impl Servers {
    pub(super) fn new(seed: u64) -> Servers {
        Servers {
            all: BTreeMap::new(),
            by_key: BTreeMap::new(),
            next: 0,
            armed: Mono::NEVER,
            tags: FixedState::with_seed(seed),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    fn remove(&mut self, id: ServerId) {
        if let Some(asked) = self.all.remove(&id) {
            self.by_key.remove(&asked.key);
        }
    }
}

impl Endpoint {
    /// A datagram that came.
    pub(super) fn datagram(&mut self, now: Mono, via: u16, from: SocketAddr, bytes: &[u8]) {
        if is_keepalive(bytes) {
            return;
        }
        let source = Source::Datagram { via, from };
        match Message::from_datagram_within(bytes, Bounds::from(&self.settings.limits)) {
            Ok(message) => self.incoming(now, source, message),
            Err(unreadable) => self.unreadable(now, source, unreadable),
        }
    }

    /// What is no message, or a broken request that can be answered.
    pub(super) fn unreadable(&mut self, now: Mono, source: Source, unreadable: Unreadable) {
        self.counted.unreadable += 1;
        if let Some(mut answer) = unreadable.answer
            && let Some(via) = arrived(&mut answer, source)
        {
            self.answer_stranger(now, source, &via, *answer);
        }
    }

    /// A message that came.
    pub(super) fn incoming(&mut self, now: Mono, source: Source, mut message: Message) {
        match &message.start {
            Start::Response { status, .. } => {
                let status = *status;
                self.receive_response(now, status, message);
            }
            Start::Request { method, .. } if **method == *"ACK" => {}
            Start::Request { .. } => match arrived(&mut message, source) {
                Some(via) => self.asked(now, source, via, message),
                None => self.counted.unreadable += 1,
            },
        }
    }

    fn asked(&mut self, now: Mono, source: Source, via: Via, request: Message) {
        let key = self.servers.tags.hash_one(key(&request, &via));
        if let Some(asked) = self.servers.by_key.get(&key).and_then(|id| self.servers.all.get(id)) {
            self.counted.copies_received += 1;
            if let Some(bytes) = asked.server.copy(&request) {
                self.transmit(now, source, Some(&via), bytes);
            }
            return;
        }
        if let Some((status, reason, field)) = self.refusal(&request) {
            let mut response = Message::response(&request, status, reason);
            if let Some((name, value)) = field {
                response.fields.push(name, value);
            }
            if status == 200 {
                response.fields.push("Accept", self.settings.accept.clone());
                response.fields.push("Supported", EXTENSIONS.join(", "));
            }
            return self.answer_stranger(now, source, &via, response);
        }
        if self.servers.all.len() as u64 >= self.settings.limits.sip_requests_remembered {
            self.counted.requests_dropped += 1;
            return;
        }
        let id = ServerId(self.servers.next);
        self.servers.next += 1;
        let server = Server::new(now);
        self.deadlines.arm(server.until(), &mut self.servers.armed, Due::Servers);
        self.servers.by_key.insert(key, id);
        let via = matches!(source, Source::Flow { .. }).then(|| Box::new(via));
        self.servers.all.insert(id, Asked { key, source, via, server });
        self.happened.push_back(Happened::Asked { id, request });
    }

    /// Why a request is not given to the user, in the order of RFC 3261 section 8.2; an OPTIONS is answered here.
    fn refusal(&self, request: &Message) -> Option<Refusal> {
        let method = request.method()?;
        let allow = Some(("Allow", ALLOW.to_owned()));
        if method == "CANCEL" {
            return Some((481, "There is no such transaction", None));
        }
        if !["NOTIFY", "OPTIONS"].contains(&method) {
            return Some((405, "Method Not Allowed", allow));
        }
        if request.uri().is_none_or(|uri| uri.parse::<Uri>().is_err()) {
            return Some((416, "Unsupported URI Scheme", None));
        }
        let has_come_back =
            |via: Via| via.branch().and_then(|branch| self.requests.read_branch(branch)).is_some();
        if request.vias().any(has_come_back) {
            return Some((482, "Loop Detected", None));
        }
        let required = request.fields.values("Require");
        let unknown = |tag: &&str| !EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(tag));
        let unknown: Vec<&str> = required.filter(unknown).collect();
        if !unknown.is_empty() {
            return Some((420, "Bad Extension", Some(("Unsupported", unknown.join(", ")))));
        }
        match method {
            "OPTIONS" => Some((200, "OK", allow)),
            // RFC 6665 section 4.4.1: our tag is in every NOTIFY that belongs to a subscription.
            _ => request.to_tag().is_none().then_some((481, "Subscription does not exist", None)),
        }
    }

    /// Answers what nobody here asked for, unless there is too much of it. The tag follows from the request, so that each
    /// copy gets the same one.
    fn answer_stranger(&mut self, now: Mono, source: Source, via: &Via, mut response: Message) {
        if !self.strangers.admits(now, source.from().ip(), &self.settings.limits) {
            self.counted.strangers_dropped += 1;
            return;
        }
        self.counted.strangers_answered += 1;
        if response.to_tag().is_none()
            && let Some(to) = response.fields.get("To")
        {
            let tag = self.servers.tags.hash_one((response.call_id(), response.from_tag(), via.branch()));
            let to = format!("{to};tag={tag:016x}");
            response.fields.set("To", to);
        }
        let mut bytes = Vec::new();
        response.write(&mut bytes);
        self.transmit(now, source, Some(via), bytes);
    }

    /// Answers a request that the user was given.
    pub(super) fn respond(&mut self, now: Mono, id: ServerId, response: &Message) {
        let Some(asked) = self.servers.all.get_mut(&id) else { return };
        let source = asked.source;
        // A NOTIFY for nothing is a stranger's too.
        if response.status() == Some(481) {
            if !self.strangers.admits(now, source.from().ip(), &self.settings.limits) {
                self.counted.strangers_dropped += 1;
                return self.servers.remove(id);
            }
            self.counted.strangers_answered += 1;
            // It is not remembered: a copy gets the same answer, at the same bounded rate (RFC 3261 section 8.2.7).
            let via = asked.via.clone();
            let mut bytes = Vec::new();
            response.write(&mut bytes);
            self.servers.remove(id);
            return self.transmit(now, source, via.as_deref(), bytes);
        }
        let mut bytes = Vec::new();
        response.write(&mut bytes);
        if asked.server.answer(now, response, &bytes) {
            let via = asked.via.clone();
            self.transmit(now, source, via.as_deref(), bytes);
        }
        // Timer J is 0 on a connection: no copies come there.
        if matches!(source, Source::Flow { .. }) {
            self.servers.remove(id);
        }
    }

    /// Sends an answer: to where the datagram came from (RFC 3581; peers that do not ask for it get it all the same), or on
    /// the request's connection, and if that is gone, on one to where `Via` says (RFC 3261 section 18.2.2).
    fn transmit(&mut self, now: Mono, source: Source, via: Option<&Via>, bytes: Vec<u8>) {
        match source {
            Source::Datagram { via, from } => {
                self.outputs.push_back(Output::Datagram { via, to: from, bytes });
            }
            Source::Flow { id, from, secure } => {
                let port = via.and_then(|via| via.port).unwrap_or(if secure { 5061 } else { 5060 });
                let back = SocketAddr::new(from.ip(), port);
                let tls = via.filter(|_| secure).map(|via| via.host.clone());
                let flow = if self.flows.contains(id) { Some(id) } else { self.flow_towards(now, back, tls) };
                if let Some(flow) = flow {
                    self.write(now, flow, bytes);
                }
            }
        }
    }

    pub(super) fn servers_due(&mut self, now: Mono, at: Mono) {
        if self.servers.armed != at {
            return;
        }
        self.servers.armed = Mono::NEVER;
        while let Some((id, asked)) = self.servers.all.first_key_value() {
            if asked.server.until() > now {
                self.deadlines.arm(asked.server.until(), &mut self.servers.armed, Due::Servers);
                return;
            }
            let id = *id;
            self.servers.remove(id);
        }
    }
}

/// Writes into the top `Via` where the message came from (RFC 3261 section 18.2.1, RFC 3581 section 4); none if there is
/// no `Via` that can be read.
fn arrived(message: &mut Message, source: Source) -> Option<Via> {
    let mut via = message.vias().next()?;
    let from = source.from();
    let asks_for_port = via.params.iter().any(|(name, _)| name.eq_ignore_ascii_case("rport"));
    if asks_for_port {
        via.set("rport", from.port().to_string());
    }
    let is_same = via.host.parse().is_ok_and(|host: IpAddr| host.to_canonical() == from.ip().to_canonical());
    if asks_for_port || !is_same {
        via.set("received", from.ip().to_canonical().to_string());
    }
    message.fields.set_first("Via", via.to_string());
    Some(via)
}

/// What a request and its copies have in common (RFC 3261 section 17.2.3). Peers without the cookie are matched by the
/// older rule.
fn key(request: &Message, via: &Via) -> String {
    let method = request.method().unwrap_or_default();
    let (host, port) = (via.host.to_ascii_lowercase(), via.port.unwrap_or_default());
    match via.branch().filter(|branch| branch.starts_with(COOKIE)) {
        Some(branch) => format!("{method} {branch} {host} {port}"),
        None => {
            let cseq = request.cseq().map_or(0, |(number, _)| number);
            let tags = [request.from_tag(), request.to_tag()].map(Option::unwrap_or_default);
            let (uri, call_id) = (request.uri().unwrap_or_default(), request.call_id());
            format!("{method} {uri} {} {} {call_id} {cseq} {via}", tags[0], tags[1])
        }
    }
}
