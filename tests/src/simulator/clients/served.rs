//! A server of others, as far as HTTP goes: what comes on its connections, and the answers that it gives, among them bad,
//! late and missing ones.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;

use super::super::client::Io;
use super::super::net::LinkId;

/// What it does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It takes it, and says so.
    Take,
    /// It takes it, and dies before it says so.
    Die,
    /// It takes it, and says so late.
    TakeLate,
    /// It refuses it with this answer, or one that is none.
    Refuse(u16),
}

impl Fate {
    /// Whether the request counts as arrived.
    pub(super) fn takes(self) -> bool {
        !matches!(self, Fate::Refuse(_))
    }
}

/// Whatever is no answer.
const GARBAGE: u16 = 0;

/// Answers that say no.
const REFUSALS: [u16; 4] = [500, 503, 301, GARBAGE];

/// A request.
#[derive(Debug)]
pub struct Request {
    /// Its first line and its fields.
    head: String,
    /// Its target.
    pub(super) target: String,
    /// Its content.
    pub(super) body: String,
}

impl Request {
    /// A field that each request of the kind has.
    pub(super) fn field(&self, name: &str) -> &str {
        let of = |line| str::strip_prefix(line, name)?.strip_prefix(": ");
        self.head.lines().find_map(of).unwrap_or_else(|| panic!("{name} is missing: {}", self.head))
    }
}

/// Where it is, and what it serves with.
#[derive(Clone, Debug)]
pub struct Site {
    /// The last part of its address.
    pub number: u8,
    /// The host in its URL, a name or an address.
    pub host: String,
    /// Its certificate in PEM, and TLS, if it speaks that.
    pub sealed: Option<(String, Arc<ServerConfig>)>,
    /// Of a hundred requests, so many are not answered as they should be.
    pub fails_percent: u64,
}

impl Site {
    /// The host of a number: the address, or a name that has to be looked up.
    #[must_use]
    pub fn host(number: u8) -> String {
        if number.is_multiple_of(2) { format!("192.0.2.{number}") } else { format!("host{number}.example") }
    }

    /// Where it is reached.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, self.number], 8_081))
    }

    /// The URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.sealed.is_some() { "https" } else { "http" };
        format!("{scheme}://{}:8081{path}", self.host)
    }

    /// What a destination's specification says of its TLS.
    #[must_use]
    pub fn tls(&self) -> serde_json::Value {
        self.sealed.as_ref().map(|(ca, _)| serde_json::json!({"ca": ca, "only_ca": true})).unwrap_or_default()
    }
}

/// The connections to it.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) site: Site,
    incoming: BTreeMap<LinkId, Vec<u8>>,
    /// Answers that are late: when, where, what.
    late: Vec<(u64, LinkId, Vec<u8>)>,
}

impl Served {
    pub(super) fn new(site: Site) -> Served {
        Served { site, incoming: BTreeMap::new(), late: Vec::new() }
    }

    /// Late answers go out.
    pub(super) fn wake(&mut self, io: &mut Io<'_>) {
        let now = io.now;
        for (_, link, answer) in self.late.extract_if(.., |(at, _, _)| *at <= now) {
            if self.incoming.contains_key(&link) {
                io.send(link, answer);
            }
        }
    }

    /// Somebody connects.
    pub(super) fn connected(&mut self, link: LinkId) {
        self.incoming.insert(link, Vec::new());
    }

    /// A connection has ended.
    pub(super) fn ended(&mut self, link: LinkId) {
        self.incoming.remove(&link);
    }

    /// Bytes came; gives the request, once it is whole.
    pub(super) fn received(&mut self, link: LinkId, bytes: &[u8]) -> Option<Request> {
        let received = self.incoming.get_mut(&link)?;
        received.extend_from_slice(bytes);
        take_request(received)
    }

    /// What is to become of the next request.
    pub(super) fn fate(&self, io: &mut Io<'_>) -> Fate {
        // What it says it did not get may have been read all the same.
        if io.calm || io.rng.below(100) >= self.site.fails_percent {
            return Fate::Take;
        }
        match io.rng.below(6) {
            4 => Fate::Die,
            5 => Fate::TakeLate,
            refusal => Fate::Refuse(REFUSALS[refusal as usize]),
        }
    }

    /// Does it.
    pub(super) fn answer(&mut self, io: &mut Io<'_>, link: LinkId, fate: Fate, content: &str) {
        let status = |status: u16, fields: &str| {
            let length = content.len();
            format!("HTTP/1.1 {status} X\r\n{fields}Content-Length: {length}\r\n\r\n{content}")
        };
        match fate {
            Fate::Take => io.send(link, status(200, "")),
            Fate::Refuse(GARBAGE) => io.send(link, "garbage\r\n\r\n"),
            Fate::Refuse(503) => io.send(link, status(503, "Retry-After: 1\r\n")),
            Fate::Refuse(refusal) => io.send(link, status(refusal, "")),
            Fate::Die => {
                self.incoming.remove(&link);
                io.close(link);
            }
            Fate::TakeLate => {
                let pause = io.rng.below(40_000);
                self.late.push((io.now + pause, link, status(200, "").into_bytes()));
                io.wake_in(pause);
            }
        }
    }

    /// It closes all of its connections.
    pub(super) fn leave(&mut self, io: &mut Io<'_>) {
        for link in std::mem::take(&mut self.incoming).into_keys() {
            io.close(link);
        }
    }
}

/// Takes a whole request with its content.
fn take_request(received: &mut Vec<u8>) -> Option<Request> {
    let text = std::str::from_utf8(received).ok()?;
    let (head, _) = text.split_once("\r\n\r\n")?;
    let length = match head.split_once("Content-Length: ") {
        Some((_, length)) => length.split("\r\n").next()?.parse().expect("a length"),
        None => 0,
    };
    let end = head.len() + 4 + length;
    let body = text.get(head.len() + 4..end)?.to_owned();
    let target = head.split(' ').nth(1).expect("a request line has a target").to_owned();
    let head = head.to_owned();
    received.drain(..end);
    Some(Request { head, target, body })
}
