//! A publisher: one batch at a time, again with the same ids until it is acknowledged.

use super::super::books::{Books, Key, RECORDINGS_FROM, STREAMS_FROM};
use super::super::client::{Client, Io};
use super::super::net::{End, LinkId};
use super::connection::Connection;
use crate::memory::read::{Reply, take_reply};
use crate::memory::write::request;

/// Events of one publisher.
const MUCH: u64 = 3_000;

/// Events of one batch at most.
const BATCH_MAX: u64 = 8;

/// A publisher.
#[derive(Debug)]
pub struct Publisher {
    number: u64,
    connection: Connection,
    next: u64,
    /// What is not acknowledged, and whether it was sent on this connection.
    batch: Vec<(Key, String)>,
    sent: bool,
    /// The time between an acknowledgement and the next batch, at most.
    think_ms: u64,
    /// Bytes of text in an event, at most.
    text_bytes: u64,
    not_before: u64,
    finished: bool,
}

impl Publisher {
    /// The publisher of this number.
    #[must_use]
    pub fn new(number: u64, think_ms: u64, text_bytes: u64) -> Publisher {
        Publisher {
            number,
            connection: Connection::default(),
            next: 1,
            batch: Vec::new(),
            sent: false,
            think_ms,
            text_bytes,
            not_before: 0,
            finished: false,
        }
    }

    fn go_on(&mut self, io: &mut Io<'_>) {
        if self.finished {
            return;
        }
        if self.batch.is_empty() && io.calm {
            self.finished = true;
            return self.connection.leave(io);
        }
        self.connection.tend(io);
        if !self.connection.up || self.sent || io.now < self.not_before {
            return;
        }
        if self.batch.is_empty() {
            self.fill(io);
        }
        let events: Vec<&str> = self.batch.iter().map(|(_, event)| event.as_str()).collect();
        let (media, body) = match io.rng.below(3) {
            0 => ("application/x-ndjson", events.join("\n")),
            1 if events.len() == 1 => ("application/json", events.concat()),
            _ => ("application/json", format!("[{}]", events.join(","))),
        };
        self.sent = true;
        self.connection.ask(io, request("POST", "/v1/events", &format!("Content-Type: {media}\r\n"), body));
    }

    fn fill(&mut self, io: &mut Io<'_>) {
        for _ in 0..=io.rng.below(BATCH_MAX) {
            let key = Key { publisher: self.number, number: self.next };
            self.next += 1;
            let text = "x".repeat(io.rng.below(self.text_bytes + 1) as usize);
            let (scope, data) = self.more(io, key);
            let event = format!(
                r#"{{"id":"{}","type":"{}","subject":"{}"{scope},"data":{{"key":"{}"{data},"text":"{text}"}}}}"#,
                key.id(),
                key.event_type(),
                key.subject(),
                key.id()
            );
            self.batch.push((key, event));
        }
    }

    /// What events of streams and recordings have beside that.
    fn more(&self, io: &mut Io<'_>, key: Key) -> (String, String) {
        match self.number {
            RECORDINGS_FROM.. => (String::new(), format!(r#","ucid":"{}""#, key.about())),
            STREAMS_FROM.. => {
                let sessions = io.books.hooks.sessions();
                let at = io.rng.below(sessions.len() as u64 + 2) as usize;
                let session = match sessions.get(at) {
                    Some(session) => format!(r#","sessionid":"{session}""#),
                    None if at == sessions.len() => r#","sessionid":"elsewhere""#.to_owned(),
                    None => String::new(),
                };
                let scope = format!(r#","appkey":"defaultApp"{session}"#);
                (scope, format!(r#","media_session_id":"{}","status":"PUBLISHING""#, key.id()))
            }
            _ => Default::default(),
        }
    }

    fn answered(&mut self, io: &mut Io<'_>, reply: &Reply) {
        self.connection.answered();
        self.sent = false;
        match reply.status {
            202 => {
                let seqs: Vec<u64> = reply.text().split("\"seq\":").skip(1).map(number).collect();
                assert_eq!(seqs.len(), self.batch.len(), "each event is accepted: {}", reply.text());
                for ((key, _), seq) in self.batch.drain(..).zip(seqs) {
                    io.books.acknowledge(key, offhook_core::Seq(seq));
                }
                // Whoever has said much slows down, for a seed to have an end.
                let think_ms = if self.next > MUCH { self.think_ms.max(1_000) } else { self.think_ms };
                self.not_before = io.now + io.rng.below(think_ms + 1);
            }
            503 => {
                io.books.seen.busy += 1;
                self.not_before = io.now + 1_000;
            }
            _ => panic!("a publisher is told {} {}", reply.head, reply.text()),
        }
        io.wake_in(self.not_before.saturating_sub(io.now));
    }
}

/// The number at the start of a text.
fn number(text: &str) -> u64 {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..digits].parse().expect("a number")
}

impl Client for Publisher {
    fn name(&self) -> &'static str {
        "a publisher"
    }

    fn wake(&mut self, io: &mut Io<'_>) {
        self.go_on(io);
    }

    fn connected(&mut self, io: &mut Io<'_>, _link: LinkId) {
        self.connection.connected();
        self.sent = false;
        self.go_on(io);
    }

    fn received(&mut self, io: &mut Io<'_>, _link: LinkId, bytes: &[u8]) {
        self.connection.received.extend_from_slice(bytes);
        while let Some(reply) = take_reply(&mut self.connection.received, false) {
            self.answered(io, &reply);
        }
        self.go_on(io);
    }

    fn ended(&mut self, io: &mut Io<'_>, link: LinkId, _how: End) {
        if self.connection.is(link) {
            self.connection.ended(io);
            self.sent = false;
        }
    }

    fn waits_for(&self, _books: &Books) -> Option<String> {
        (!self.finished).then(|| format!("{} acknowledgements", self.batch.len()))
    }
}
