//! Endpoints in virtual time, over a network that loses, doubles, delays and splits by a seed.

mod lossy;
mod requests;
mod responses;
mod transports;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{IpAddr, SocketAddr};

use super::{Endpoint, FlowId, Happened, Held, Output, ServerId, Settings, Unanswered};
use crate::ground::rng::Rng;
use crate::ground::time::Mono;
use crate::wire::sip::message::Message;

/// How datagrams travel; streams only take their time.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    loss_percent: u64,
    doubled_percent: u64,
    delay_max_ms: u64,
}

/// One endpoint at an address, and what its user saw.
struct End {
    endpoint: Endpoint,
    address: SocketAddr,
    seen: Vec<(u64, Happened)>,
    /// A NOTIFY is answered with a 200 after at most so long; none is not answered.
    answers_within_ms: Option<u64>,
    /// Connections to it are refused.
    refuses: bool,
}

/// What is on its way.
#[derive(Debug)]
enum Event {
    Datagram { to: usize, from: SocketAddr, bytes: Vec<u8> },
    Dial { from: usize, flow: FlowId, to: SocketAddr, secure: bool },
    Bytes { to: usize, flow: FlowId, bytes: Vec<u8> },
    Closed { to: usize, flow: FlowId },
    Resolve { to: usize, ticket: u64, host: Box<str> },
    Answer { of: usize, id: ServerId, request: Message },
}

/// All ends, and what is between them.
struct World {
    now: u64,
    ends: Vec<End>,
    link: Link,
    rng: Rng,
    events: BTreeMap<u64, Event>,
    order: BinaryHeap<Reverse<(u64, u64)>>,
    next: u64,
    /// Both sides of each connection.
    wires: BTreeMap<(usize, FlowId), (usize, FlowId)>,
    names: BTreeMap<Box<str>, Vec<IpAddr>>,
    /// Every datagram that was sent: when, by whom, where to, and its first line.
    sent: Vec<(u64, usize, SocketAddr, String)>,
    /// Connections that were opened.
    dials: usize,
}

/// The address of the end at place `n`.
fn address(n: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, u8::try_from(n).unwrap() + 1], 5060))
}

fn settings(n: usize) -> Settings {
    let bound = vec![address(n)];
    Settings { udp: bound.clone(), tcp: bound, requests_per_second: 0, ..Settings::default() }
}

impl World {
    fn new(seed: u64, link: Link, settings: impl IntoIterator<Item = Settings>) -> World {
        let end = |(n, settings): (usize, Settings)| End {
            endpoint: Endpoint::new(settings, seed ^ n as u64),
            address: address(n),
            seen: Vec::new(),
            answers_within_ms: Some(0),
            refuses: false,
        };
        World {
            now: 1_000_000,
            ends: settings.into_iter().enumerate().map(end).collect(),
            link,
            rng: Rng::new(seed),
            events: BTreeMap::new(),
            order: BinaryHeap::new(),
            next: 0,
            wires: BTreeMap::new(),
            names: BTreeMap::new(),
            sent: Vec::new(),
            dials: 0,
        }
    }

    /// Two ends that lose nothing and wait for nothing.
    fn pair() -> World {
        World::new(1, Link::default(), [settings(0), settings(1)])
    }

    fn mono(&self) -> Mono {
        Mono(self.now)
    }

    fn request(&mut self, of: usize, key: u64, request: Message) {
        let now = self.mono();
        self.ends[of].endpoint.request(now, key, request, None);
        self.drain(of);
    }

    fn later(&mut self, in_ms: u64, event: Event) {
        self.order.push(Reverse((self.now + in_ms, self.next)));
        self.events.insert(self.next, event);
        self.next += 1;
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.rng.below(100) < percent
    }

    /// Runs until nothing happens any more, or until `until`.
    fn run(&mut self, until: u64) {
        loop {
            let timeouts = self.ends.iter().filter_map(|end| end.endpoint.poll_timeout()).map(|at| at.0);
            let events = self.order.peek().map(|Reverse((at, _))| *at);
            let Some(next) = timeouts.chain(events).min().filter(|next| *next <= until) else {
                // A deadline may be too late for this run.
                self.now = self.now.max(if until == u64::MAX { self.now } else { until });
                return;
            };
            self.now = self.now.max(next);
            while let Some(event) = self.arriving() {
                self.deliver(event);
            }
            let now = self.mono();
            for of in 0..self.ends.len() {
                self.ends[of].endpoint.handle_timeout(now);
                let armed = self.ends[of].endpoint.poll_timeout();
                assert!(armed.is_none_or(|at| at > now), "what was due is done");
                self.drain(of);
            }
        }
    }

    fn run_for(&mut self, ms: u64) {
        self.run(self.now + ms);
    }

    fn run_out(&mut self) {
        self.run(u64::MAX);
    }

    fn arriving(&mut self) -> Option<Event> {
        let Reverse((at, id)) = *self.order.peek()?;
        if at > self.now {
            return None;
        }
        self.order.pop();
        self.events.remove(&id)
    }

    fn deliver(&mut self, event: Event) {
        let now = self.mono();
        let of = match event {
            Event::Datagram { to, from, bytes } => {
                self.ends[to].endpoint.receive_datagram(now, 0, from, &bytes);
                to
            }
            Event::Dial { from, flow, to, secure } => {
                let server = self.ends.iter().position(|end| end.address == to && !end.refuses);
                match server {
                    None => self.ends[from].endpoint.closed(now, flow),
                    Some(server) => {
                        self.dials += 1;
                        let port = 40_000 + u16::try_from(flow.0).unwrap();
                        let source = SocketAddr::new(self.ends[from].address.ip(), port);
                        let accepted = self.ends[server].endpoint.accept(now, source, secure);
                        self.wires.insert((from, flow), (server, accepted));
                        self.wires.insert((server, accepted), (from, flow));
                        self.ends[from].endpoint.connected(now, flow);
                        self.drain(server);
                    }
                }
                from
            }
            Event::Bytes { to, flow, bytes } => {
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let len = 1 + usize::try_from(self.rng.below(rest.len() as u64)).unwrap();
                    self.ends[to].endpoint.receive(now, flow, &rest[..len]);
                    rest = &rest[len..];
                }
                to
            }
            Event::Closed { to, flow } => {
                self.ends[to].endpoint.closed(now, flow);
                to
            }
            Event::Resolve { to, ticket, host } => {
                let addresses = self.names.get(&host).cloned().ok_or_else(|| "no such name".into());
                self.ends[to].endpoint.resolved(now, ticket, addresses);
                to
            }
            Event::Answer { of, id, request } => {
                self.ends[of].endpoint.answer(now, id, Message::response(&request, 200, "OK"));
                of
            }
        };
        self.drain(of);
    }

    /// Takes what an end has put out.
    fn drain(&mut self, of: usize) {
        while let Some(output) = self.ends[of].endpoint.poll_output() {
            self.output(of, output);
        }
        while let Some(happened) = self.ends[of].endpoint.poll_happened() {
            if let Happened::Asked { id, request } = &happened
                && let Some(within) = self.ends[of].answers_within_ms
            {
                let in_ms = self.rng.below(within + 1);
                self.later(in_ms, Event::Answer { of, id: *id, request: request.clone() });
            }
            self.ends[of].seen.push((self.now, happened));
        }
    }

    fn output(&mut self, of: usize, output: Output) {
        match output {
            Output::Datagram { via, to, bytes } => {
                assert_eq!(via, 0, "there is one socket");
                let line = bytes.split(|b| *b == b'\r').next().unwrap_or_default();
                self.sent.push((self.now, of, to, String::from_utf8_lossy(line).into_owned()));
                let Some(end) = self.ends.iter().position(|end| end.address == to) else { return };
                let copies = 1 + usize::from(self.chance(self.link.doubled_percent));
                for _ in 0..copies {
                    if !self.chance(self.link.loss_percent) {
                        let in_ms = self.rng.below(self.link.delay_max_ms + 1);
                        let from = self.ends[of].address;
                        self.later(in_ms, Event::Datagram { to: end, from, bytes: bytes.clone() });
                    }
                }
            }
            Output::Dial { flow, to, tls } => {
                self.later(1, Event::Dial { from: of, flow, to, secure: tls.is_some() });
            }
            Output::Write { flow, bytes } => {
                if let Some((to, flow)) = self.wires.get(&(of, flow)).copied() {
                    self.later(1, Event::Bytes { to, flow, bytes });
                }
            }
            Output::Close { flow } => self.cut(of, flow),
            Output::Resolve { ticket, host } => self.later(1, Event::Resolve { to: of, ticket, host }),
        }
    }

    /// Closes a connection: the other side hears of it.
    fn cut(&mut self, of: usize, flow: FlowId) {
        if let Some((to, flow)) = self.wires.remove(&(of, flow)) {
            self.wires.remove(&(to, flow));
            self.later(1, Event::Closed { to, flow });
        }
    }

    /// What became of a request, and when.
    fn outcomes(&self, of: usize, wanted: u64) -> Vec<(u64, String)> {
        let outcome = |(at, happened): &(u64, Happened)| match happened {
            Happened::Answered { key, response } if *key == wanted => {
                Some((*at, response.status().unwrap().to_string()))
            }
            Happened::Unanswered { key, why } if *key == wanted => Some((*at, format!("{why:?}"))),
            Happened::Sent { .. }
            | Happened::Asked { .. }
            | Happened::Answered { .. }
            | Happened::Unanswered { .. } => None,
        };
        self.ends[of].seen.iter().filter_map(outcome).collect()
    }

    /// What became of a request.
    fn outcome(&self, of: usize, key: u64) -> String {
        match &self.outcomes(of, key)[..] {
            [(_, outcome)] => outcome.clone(),
            others => panic!("{key} has one outcome: {others:?}"),
        }
    }

    /// The Call-IDs of what an end was asked.
    fn asked(&self, of: usize) -> Vec<&str> {
        let asked = |(_, happened): &'_ (u64, Happened)| matches!(happened, Happened::Asked { .. });
        let seen = self.ends[of].seen.iter().filter(|seen| asked(seen));
        seen.filter_map(|(_, happened)| match happened {
            Happened::Asked { request, .. } => Some(request.call_id()),
            Happened::Sent { .. } | Happened::Answered { .. } | Happened::Unanswered { .. } => None,
        })
        .collect()
    }
}

/// A request in a dialog, whose Call-ID is `n`.
fn request(method: &str, uri: &str, n: u64) -> Message {
    let mut request = Message::request(method, uri);
    request.fields.push("From", "<sip:a@a.test>;tag=a");
    request.fields.push("To", "<sip:b@b.test>;tag=b");
    request.fields.push("Call-ID", n.to_string());
    request.fields.push("CSeq", format!("1 {method}"));
    request
}

/// A NOTIFY towards the end at place `to`.
fn notify(to: usize, n: u64) -> Message {
    request("NOTIFY", &format!("sip:b@{}", address(to)), n)
}

/// A request that begins something.
fn subscribe(to: usize, n: u64) -> Message {
    let mut request = request("SUBSCRIBE", &format!("sip:b@{}", address(to)), n);
    request.fields.set("To", "<sip:b@b.test>");
    request
}
