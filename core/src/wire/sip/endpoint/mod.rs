//! One user agent's transactions, transports and addresses: requests of ours go out at a peer's pace, over UDP, TCP or
//! TLS, to the addresses of a name in turn, and each ends with exactly one outcome; requests that come are given to the
//! user once, and those that nobody asked for are answered here.
//!
//! What is absent here: sockets, TLS itself and name resolution (the adapter's), SRV and NAPTR records (RFC 3263: a name
//! has addresses alone), INVITE, dialogs and subscriptions, and the limit of a connection's unsent bytes: whoever writes
//! closes the flow of a peer that takes none.

mod deadlines;
mod flows;
mod hop;
mod names;
mod pace;
mod request;
mod respond;
mod settings;
mod strangers;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

pub use settings::Settings;

use super::message::Message;
use crate::ground::rng::Rng;
use crate::ground::time::Mono;
use deadlines::{Deadlines, Due};
use flows::Flows;
use names::Names;
use pace::Pace;
use request::Requests;
use respond::Servers;
use strangers::Strangers;

/// A connection. A number is not given twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FlowId(pub u32);

/// A request that awaits its answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ServerId(u64);

/// What the adapter has to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Send this from the UDP socket at place `via` in [`Settings::udp`].
    Datagram {
        /// The socket's place.
        via: u16,
        /// Where it goes.
        to: SocketAddr,
        /// All of it.
        bytes: Vec<u8>,
    },
    /// Open a connection; `connected` or `closed` says what came of it.
    Dial {
        /// What it is called.
        flow: FlowId,
        /// Where it goes.
        to: SocketAddr,
        /// With TLS, and the name that the peer's certificate must have.
        tls: Option<Box<str>>,
    },
    /// Write this, behind what was written before.
    Write {
        /// Where.
        flow: FlowId,
        /// What.
        bytes: Vec<u8>,
    },
    /// Close it once all is written. It is gone already here: `closed` need not follow.
    Close {
        /// Which.
        flow: FlowId,
    },
    /// Resolve a name; `resolved` says what came of it.
    Resolve {
        /// What the answer is told with.
        ticket: u64,
        /// The name.
        host: Box<str>,
    },
}

/// What the user of the endpoint gets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Happened {
    /// The request had its turn and is on its way: Timer N begins (RFC 6665 section 4.1.2.4). Comes at most once, and
    /// never when there was nowhere to send it.
    Sent {
        /// Which.
        key: u64,
    },
    /// The final answer, of whatever status. Nothing follows for this key.
    Answered {
        /// Which.
        key: u64,
        /// The answer.
        response: Message,
    },
    /// There was no answer. Nothing follows for this key.
    Unanswered {
        /// Which.
        key: u64,
        /// Why.
        why: Unanswered,
    },
    /// A NOTIFY, once; its copies are dealt with.
    Asked {
        /// What it is answered with.
        id: ServerId,
        /// The request.
        request: Message,
    },
}

/// Why a request has no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unanswered {
    /// Nothing came within 64·T1: as a 408.
    TimerF,
    /// It could not be sent, or its connection is gone: as a 503 (RFC 3261 section 8.1.3.1).
    Transport,
    /// There is no address to send it to, or no transport that goes there: as a 503.
    NoAddress,
}

/// What was counted since the start.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counted {
    /// Copies of our requests.
    pub copies_sent: u64,
    /// Copies of requests that came.
    pub copies_received: u64,
    /// Datagrams and beginnings of a stream that are no SIP, broken beyond an answer, or never came to their end.
    pub unreadable: u64,
    /// Answers that belong to no request.
    pub stray_responses: u64,
    /// Requests without a subscription behind them that were answered.
    pub strangers_answered: u64,
    /// Such requests that were dropped because there were too many of them.
    pub strangers_dropped: u64,
    /// Requests dropped because too many others are remembered, unanswered.
    pub requests_dropped: u64,
    /// Connections that were closed because there are too many, of one address or of all.
    pub flows_refused: u64,
}

/// What is held at the moment. An endpoint that nobody uses holds nothing.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Held {
    /// Requests of ours that wait for their turn or their answer, or swallow copies of it.
    pub requests: usize,
    /// Addresses whose pace is kept.
    pub lanes: usize,
    /// Requests of peers whose copies are recognised.
    pub requests_remembered: usize,
    /// Connections.
    pub flows: usize,
    /// Host names.
    pub names: usize,
}

/// The machine.
#[derive(Debug)]
pub struct Endpoint {
    settings: Settings,
    rng: Rng,
    deadlines: Deadlines,
    outputs: VecDeque<Output>,
    happened: VecDeque<Happened>,
    requests: Requests,
    names: Names,
    pace: Pace,
    flows: Flows,
    servers: Servers,
    strangers: Strangers,
    counted: Counted,
}

impl Endpoint {
    /// An endpoint without anything under way.
    #[must_use]
    pub fn new(settings: Settings, seed: u64) -> Endpoint {
        let mut rng = Rng::new(seed);
        Endpoint {
            requests: Requests::new(rng.next_u64()),
            names: Names::default(),
            pace: Pace::new(settings.requests_per_second),
            flows: Flows::default(),
            servers: Servers::new(rng.next_u64()),
            strangers: Strangers::default(),
            deadlines: Deadlines::default(),
            outputs: VecDeque::new(),
            happened: VecDeque::new(),
            counted: Counted::default(),
            settings,
            rng,
        }
    }

    /// A datagram that came to the socket at place `via`.
    pub fn receive_datagram(&mut self, now: Mono, via: u16, from: SocketAddr, bytes: &[u8]) {
        self.datagram(now, via, from, bytes);
    }

    /// A connection that a peer opened.
    pub fn accept(&mut self, now: Mono, from: SocketAddr, secure: bool) -> FlowId {
        self.accepted(now, from, secure)
    }

    /// A connection of ours is open; with TLS, its handshake is done.
    pub fn connected(&mut self, now: Mono, flow: FlowId) {
        self.dialed(now, flow);
    }

    /// A connection is gone, or could not be opened.
    pub fn closed(&mut self, now: Mono, flow: FlowId) {
        self.lost(now, flow);
    }

    /// Bytes of a connection.
    pub fn receive(&mut self, now: Mono, flow: FlowId, bytes: &[u8]) {
        self.stream(now, flow, bytes);
    }

    /// What came of resolving a name.
    pub fn resolved(&mut self, now: Mono, ticket: u64, addresses: Result<Vec<IpAddr>, Box<str>>) {
        self.named(now, ticket, &addresses.unwrap_or_default());
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Mono) {
        while let Some((at, due)) = self.deadlines.pop(now) {
            match due {
                Due::Request(request) => self.request_due(now, at, request),
                Due::Lane(to) => self.lane_due(now, at, to),
                Due::Flow(flow) => self.flow_due(now, at, flow),
                Due::Name(ticket) => self.name_due(now, at, ticket),
                Due::Servers => self.servers_due(now, at),
            }
        }
    }

    /// When [`Endpoint::handle_timeout`] has something to do, or had, for something that is done by then.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Mono> {
        self.deadlines.peek()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The next thing that happened.
    pub fn poll_happened(&mut self) -> Option<Happened> {
        self.happened.pop_front()
    }

    /// Sends a request; `Via` and `Max-Forwards` are added here. It goes to `route`, the first hop of its dialog, else to
    /// the proxy, else to where its URI says; over 1,300 bytes by TCP, and by UDP after all if TCP is refused (RFC 3261
    /// section 18.1.1). `key` names it until its outcome; one that is named so already is abandoned.
    pub fn request(&mut self, now: Mono, key: u64, request: Message, route: Option<&str>) {
        self.send(now, key, request, route);
    }

    /// Nobody wants to know any more what becomes of this request.
    pub fn abandon(&mut self, key: u64) {
        self.forget(key);
    }

    /// Answers a request that was `Asked`. The first answer counts.
    pub fn answer(&mut self, now: Mono, id: ServerId, response: Message) {
        self.respond(now, id, &response);
    }

    /// Our address as a URI, for `Contact`: the way that needs the least of a peer (UDP, else TCP, else TLS), or TLS alone
    /// for `secure`, where there is a socket for it.
    #[must_use]
    pub fn contact(&self, user: &str, secure: bool) -> Box<str> {
        self.settings.contact(user, secure)
    }

    /// What was counted.
    #[must_use]
    pub fn counted(&self) -> Counted {
        self.counted
    }

    /// What is held.
    #[must_use]
    pub fn held(&self) -> Held {
        Held {
            requests: self.requests.len(),
            lanes: self.pace.len(),
            requests_remembered: self.servers.len(),
            flows: self.flows.len(),
            names: self.names.len(),
        }
    }
}

#[cfg(test)]
mod tests;
