//! The engine with next to nothing around it: a log that keeps nothing, and peers that take all that is lent at once. What
//! is measured with it is the core's own.

use std::collections::{BTreeSet, VecDeque};
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;

use offhook_core::ground::config::Place;
use offhook_core::{Action, Completion, Config, ConnId, Engine, ListenerId, Mono, Now, Seq, Wall};

use crate::memory::ws::{masked, upgrade};

/// An engine with its log and a peer that takes everything at once.
pub struct Bare {
    engine: Engine,
    now: Now,
    seq: u64,
    /// Writes that were lent and taken.
    pub delivered: u64,
    /// Connections that the engine has dialed.
    dialed: BTreeSet<ConnId>,
    /// Those of them on which a request waits for its answer.
    asked: VecDeque<ConnId>,
    /// Datagrams that were sent.
    pub datagrams: Vec<Box<[u8]>>,
}

impl Default for Bare {
    fn default() -> Bare {
        Bare::new()
    }
}

impl Bare {
    /// An engine with the default config.
    #[must_use]
    pub fn new() -> Bare {
        Bare::with(Config::default())
    }

    /// An engine.
    #[must_use]
    pub fn with(config: Config) -> Bare {
        let now = Now { mono: Mono(0), wall: Wall(1_700_000_000_000) };
        let engine = Engine::new(config, Place::default(), 1);
        let (dialed, asked) = (BTreeSet::new(), VecDeque::new());
        let mut bare = Bare { engine, now, seq: 0, delivered: 0, dialed, asked, datagrams: Vec::new() };
        bare.engine.complete(now, Completion::Recovered);
        bare.carry_out(None);
        bare
    }

    /// A new connection.
    ///
    /// # Panics
    /// If the engine has no room.
    pub fn connect(&mut self) -> ConnId {
        let peer: SocketAddr = "127.0.0.1:40000".parse().expect("an address");
        self.engine.accept(self.now, ListenerId(0), peer).expect("room for a connection")
    }

    /// Feeds bytes and carries out all that follows; returns what `watched` got.
    pub fn feed(&mut self, id: ConnId, bytes: &[u8], watched: Option<ConnId>) -> Vec<u8> {
        self.engine.receive(self.now, id, bytes);
        self.engine.handle_timeout(self.now);
        self.carry_out(watched)
    }

    /// Answers the engine's own requests, so many of them in a turn, until it makes no more; how many those were.
    pub fn answer_all(&mut self, answer: &[u8], a_turn: usize) -> u64 {
        let mut answered = 0;
        while !self.asked.is_empty() {
            for id in self.asked.drain(..a_turn.min(self.asked.len())) {
                self.engine.receive(self.now, id, answer);
                answered += 1;
            }
            self.engine.handle_timeout(self.now);
            self.carry_out(None);
        }
        answered
    }

    /// A peer hangs up.
    pub fn hang_up(&mut self, id: ConnId) {
        self.engine.receive_error(self.now, id);
        self.carry_out(None);
    }

    /// A datagram comes to the first UDP socket.
    pub fn datagram(&mut self, from: SocketAddr, bytes: &[u8]) {
        self.engine.receive_datagram(self.now, 0, from, bytes);
        self.engine.handle_timeout(self.now);
        self.carry_out(None);
    }

    /// When the engine wants to be woken.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        self.engine.poll_timeout()
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> Mono {
        self.now.mono
    }

    /// Time passes until then, and what is due is done.
    pub fn wait_until(&mut self, at: Mono) {
        let ms = at.since(self.now.mono);
        self.now = Now { mono: at, wall: Wall(self.now.wall.0 + ms) };
        self.engine.handle_timeout(self.now);
        self.carry_out(None);
    }

    fn carry_out(&mut self, watched: Option<ConnId>) -> Vec<u8> {
        let mut got = Vec::new();
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Append(records) => {
                    for record in records {
                        self.seq += 1;
                        self.engine.receive_record(self.now, Seq(self.seq), &Arc::new(record));
                    }
                    self.engine.complete(self.now, Completion::Durable(Seq(self.seq)));
                }
                Action::Flush(id) => {
                    while let Some(outbound) = self.engine.outbound(id) {
                        let n = outbound.len();
                        for slice in outbound.slices() {
                            if watched == Some(id) {
                                got.extend_from_slice(slice);
                            }
                            black_box(slice.as_ptr());
                        }
                        self.delivered += 1;
                        if self.dialed.contains(&id) {
                            self.asked.push_back(id);
                        }
                        if !self.engine.advance(self.now, id, n) {
                            break;
                        }
                    }
                }
                // Every password is right.
                Action::Check { ticket, .. } => {
                    self.engine.complete(self.now, Completion::Checked(ticket, true));
                }
                Action::Dial(id, _) => {
                    self.dialed.insert(id);
                    self.engine.complete(self.now, Completion::Dialed(id, Ok(())));
                }
                Action::Send { bytes, .. } => self.datagrams.push(bytes),
                Action::Finish(_)
                | Action::Close(_)
                | Action::Read { .. }
                | Action::Resolve(..)
                | Action::Report(_)
                | Action::Audit(_)
                | Action::Note(_) => {}
            }
        }
        got
    }

    /// Makes an XMS eventhandler; returns its path.
    ///
    /// # Panics
    /// If the engine refuses.
    pub fn create(&mut self, id: ConnId, subscription: &str) -> String {
        let body =
            format!("<web_service version=\"1.0\"><eventhandler>{subscription}</eventhandler></web_service>");
        let request = format!(
            "POST /default/eventhandlers?appid=app HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let reply = String::from_utf8(self.feed(id, request.as_bytes(), Some(id))).expect("ASCII");
        let at = reply.find("href=\"").expect("a reply with an href") + 6;
        reply[at..].split('"').next().expect("the href").to_owned()
    }

    /// Opens a websocket of iSymphony, with filters that let any of these values of a property through.
    ///
    /// # Panics
    /// If the engine refuses, as it does without users.
    pub fn websocket(&mut self, property: &str, values: impl Iterator<Item = u32>) -> ConnId {
        let id = self.connect();
        let fields = "Authorization: Basic bWFuYWdlcjpleGFtcGxlLXBhc3N3b3Jk\r\n";
        let reply = self.feed(id, &upgrade("/communication_manager/ws/event", fields), Some(id));
        assert!(reply.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&reply));
        let filters: Vec<String> =
            values.map(|value| format!(r#"{{"property":"{property}","value":"{value}"}}"#)).collect();
        let message = format!(r#"{{"type":"filter","filters":[{}]}}"#, filters.join(","));
        let reply = self.feed(id, &masked(0x81, [0; 4], message.as_bytes()), Some(id));
        assert!(reply.ends_with(br#""type":"success"}"#), "{}", String::from_utf8_lossy(&reply));
        id
    }

    /// Opens streams.
    pub fn streams(&mut self, count: usize, target: &str) {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        for _ in 0..count {
            let id = self.connect();
            self.feed(id, request.as_bytes(), None);
        }
    }
}

/// A publish request of one event.
#[must_use]
pub fn publish(subject: &str) -> Vec<u8> {
    let body = format!(
        r#"{{"type":"call.dtmf","subject":"{subject}","data":{{"payload":"{}","digits":"5"}}}}"#,
        "x".repeat(240)
    );
    format!(
        "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
