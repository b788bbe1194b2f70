//! An engine between memory and memory: every action is done at once, and the log is a counter. No socket, no clock;
//! time stands still until it is moved to the engine's next deadline.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use offhook_core::dialect::native::render;
use offhook_core::ground::config::{Listener, Place};
use offhook_core::log::record::Body;
use offhook_core::{Action, Completion, Config, ConnId, Engine, ListenerId, Mono, Now, Seq, Wall};

/// What a connection has sent so far.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) bytes: Vec<u8>,
    /// The sending direction was ended after them.
    pub(super) finished: bool,
    /// The connection was closed.
    pub(super) closed: bool,
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(&self.bytes);
        write!(f, "{text:?}, finished: {}, closed: {}", self.finished, self.closed)
    }
}

/// The engine and its surroundings.
pub(super) struct Memory {
    engine: Engine,
    now: Now,
    seq: Seq,
    sent: BTreeMap<ConnId, Sent>,
    /// The events that were appended, as JSON.
    pub(super) events: Vec<String>,
    /// Most bytes that a socket takes in one write.
    write_bytes_max: usize,
    shutdown_ms: u64,
}

impl Memory {
    pub(super) fn new(config: Config, write_bytes_max: usize) -> Memory {
        let config = Config { listeners: vec![Listener::default()], ..config };
        Memory {
            shutdown_ms: config.limits.shutdown_ms + config.limits.linger_ms,
            engine: Engine::new(config, Place::default(), 7),
            now: Now { mono: Mono(0), wall: Wall(1_767_225_600_000) },
            seq: Seq(0),
            sent: BTreeMap::new(),
            events: Vec::new(),
            write_bytes_max,
        }
    }

    /// A connection from this machine.
    pub(super) fn connect(&mut self) -> ConnId {
        let peer = SocketAddr::from((IpAddr::V4(Ipv4Addr::LOCALHOST), 4_000));
        let id = self.engine.accept(self.now, ListenerId(0), peer).expect("there is room");
        self.sent.insert(id, Sent::default());
        self.act();
        id
    }

    pub(super) fn receive(&mut self, id: ConnId, bytes: &[u8]) {
        self.engine.receive(self.now, id, bytes);
        self.act();
        let sent = &self.sent[&id];
        assert!(
            sent.closed || sent.finished || self.engine.wants_read(id),
            "all is answered, and still nothing more is read"
        );
    }

    pub(super) fn receive_eof(&mut self, id: ConnId) {
        self.engine.receive_eof(self.now, id);
        self.act();
    }

    pub(super) fn sent(&self, id: ConnId) -> &Sent {
        &self.sent[&id]
    }

    /// Lets time pass, from deadline to deadline.
    pub(super) fn pass(&mut self, ms: u64) {
        let end = self.now.mono.plus_ms(ms);
        while let Some(due) = self.engine.poll_timeout().filter(|due| *due <= end) {
            self.advance_to(due);
            self.engine.handle_timeout(self.now);
            self.act();
            let next = self.engine.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now.mono), "a deadline that was handled is still due");
        }
        self.advance_to(end);
    }

    fn advance_to(&mut self, moment: Mono) {
        let ms = moment.since(self.now.mono);
        self.now = Now { mono: self.now.mono.plus_ms(ms), wall: Wall(self.now.wall.0 + ms) };
    }

    /// Stops the engine; every connection ends within the time that a stop has.
    pub(super) fn stop(&mut self) {
        let started = self.now.mono;
        self.engine.complete(self.now, Completion::Stop);
        self.act();
        // A peer that ends after us spares the engine the linger.
        for id in self.sent.keys().copied().collect::<Vec<_>>() {
            if self.sent[&id].finished {
                self.receive_eof(id);
            }
        }
        let limit_ms = self.shutdown_ms;
        while !self.engine.is_drained() {
            assert!(self.now.mono.since(started) <= limit_ms, "a stop has its time");
            self.pass(100);
        }
    }

    fn act(&mut self) {
        let mut full = Vec::new();
        loop {
            while let Some(action) = self.engine.poll_action() {
                match action {
                    Action::Read { .. } | Action::Dial(..) | Action::Send { .. } | Action::Resolve(..) => {
                        unreachable!("no log is kept, and nobody is called")
                    }
                    Action::Append(records) => {
                        for record in records {
                            if let Body::Event(event) = &record.body {
                                let mut json = Vec::new();
                                render::json(event, &mut json);
                                self.events.push(String::from_utf8_lossy(&json).into_owned());
                            }
                            self.seq = self.seq.next();
                            self.engine.receive_record(self.now, self.seq, &Arc::new(record));
                        }
                        self.engine.complete(self.now, Completion::Durable(self.seq));
                    }
                    Action::Flush(id) => {
                        if self.write(id) {
                            full.push(id);
                        }
                    }
                    Action::Finish(id) => self.sent_mut(id).finished = true,
                    Action::Close(id) => {
                        let sent = self.sent_mut(id);
                        assert!(!sent.closed, "closed twice");
                        sent.closed = true;
                    }
                    Action::Report(ticket) => {
                        self.engine.complete(self.now, Completion::Report(ticket, b"# EOF\n".to_vec()));
                    }
                    Action::Check { .. } => unreachable!("the config has no users"),
                    Action::Audit(line) => assert!(!line.time.is_empty()),
                    Action::Note(note) => assert!(!note.text.is_empty()),
                }
            }
            if full.is_empty() {
                return;
            }
            for id in full.drain(..) {
                self.engine.writable(self.now, id);
            }
        }
    }

    /// Takes what is lent; true if the socket is full.
    fn write(&mut self, id: ConnId) -> bool {
        loop {
            let Some(outbound) = self.engine.outbound(id) else { return false };
            let lent = outbound.len();
            let bytes: Vec<u8> = outbound.slices().iter().flat_map(|slice| slice.iter().copied()).collect();
            assert!(lent > 0 && bytes.len() == lent, "what is lent is what was announced");
            let n = lent.min(self.write_bytes_max);
            let sent = self.sent_mut(id);
            assert!(!sent.closed && !sent.finished, "sent after the end");
            sent.bytes.extend_from_slice(&bytes[..n]);
            if !self.engine.advance(self.now, id, n) {
                return n < lent;
            }
        }
    }

    fn sent_mut(&mut self, id: ConnId) -> &mut Sent {
        self.sent.get_mut(&id).expect("the engine names connections that were accepted")
    }
}
