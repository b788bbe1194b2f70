//! A client of XMS: makes an eventhandler and keeps a stream of it open. On one stream it must see each event that it
//! wants once, in the order of the log, but for what an older stream did not send; an eventhandler that was acknowledged is
//! there after every start.

use std::collections::BTreeSet;

use offhook_core::Seq;

use super::super::books::{Books, CALLS, Key};
use super::super::client::{Client, Io};
use super::super::net::{End, LinkId};
use super::connection::Connection;
use crate::memory::read::{chunks, take_head, take_reply, xms_events};
use crate::memory::write::{get, request};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// No eventhandler is acknowledged.
    Making,
    /// A stream is asked for.
    Opening,
    Open,
}

/// A client of XMS.
#[derive(Debug)]
pub struct Xms {
    connection: Connection,
    types: Vec<&'static str>,
    state: State,
    /// Makings that were tried, acknowledged or not.
    handler: Option<String>,
    after: Option<Seq>,
    floor: Option<Seq>,
    /// The log's end when the stream opened. What an old stream did not send, which was seen to be dead after that, comes
    /// late.
    opened: Seq,
    late: BTreeSet<Seq>,
}

impl Xms {
    /// A client that wants events of these types, or all.
    #[must_use]
    pub fn new(types: Vec<&'static str>) -> Xms {
        Xms {
            connection: Connection::default(),
            types,
            state: State::Making,
            handler: None,
            after: None,
            floor: None,
            opened: Seq(0),
            late: BTreeSet::new(),
        }
    }

    /// The types that reach it: XMS has words for events of calls alone.
    fn wanted(&self) -> &[&'static str] {
        if self.types.is_empty() { &CALLS } else { &self.types }
    }

    fn ask(&mut self, io: &mut Io<'_>) {
        let Some(handler) = &self.handler else {
            self.state = State::Making;
            let word =
                |name: &&str| format!("<eventsubscribe type=\"{}\"/>", name.trim_start_matches("call."));
            let wanted: String = self.types.iter().map(word).collect();
            let wanted = if wanted.is_empty() { "<eventsubscribe/>".to_owned() } else { wanted };
            let body =
                format!("<web_service version=\"1.0\"><eventhandler>{wanted}</eventhandler></web_service>");
            let fields = "Content-Type: application/xml\r\n";
            return self
                .connection
                .ask(io, request("POST", "/default/eventhandlers?appid=app", fields, body));
        };
        self.state = State::Opening;
        self.connection.ask(io, get(&format!("/default/eventhandlers/{handler}?appid=app")));
    }

    fn event(&mut self, io: &mut Io<'_>, xml: &str, is_current: bool) {
        if xml.contains("type=\"keepalive\"") {
            return;
        }
        let key = Key::within(xml).unwrap_or_else(|| panic!("an event of somebody: {xml}"));
        io.books.seen.xms += 1;
        if !is_current {
            return;
        }
        let seq = io.books.place(key).unwrap_or_else(|| panic!("{} is in the log", key.id()));
        assert!(
            self.wanted().contains(&key.event_type()),
            "{} is none of {:?}",
            key.event_type(),
            self.types
        );
        if self.after.is_some_and(|after| seq <= after.min(self.opened)) {
            assert!(self.late.insert(seq), "record {seq} comes twice");
            return;
        }
        if let Some(after) = self.after {
            assert!(seq > after, "record {seq} comes behind record {after}");
            let missing = io.books.between(after, Some(seq), self.wanted()).next();
            assert!(missing.is_none(), "between records {after} and {seq} it missed {missing:?}");
        }
        self.after = Some(seq);
        self.floor = self.floor.max(Some(seq));
    }
}

impl Client for Xms {
    fn name(&self) -> &'static str {
        "a client of XMS"
    }

    fn wake(&mut self, io: &mut Io<'_>) {
        self.connection.tend(io);
    }

    fn connected(&mut self, io: &mut Io<'_>, _link: LinkId) {
        self.connection.connected();
        self.ask(io);
    }

    fn received(&mut self, io: &mut Io<'_>, link: LinkId, bytes: &[u8]) {
        self.connection.received.extend_from_slice(bytes);
        if self.state == State::Making {
            let Some(reply) = take_reply(&mut self.connection.received, false) else { return };
            self.connection.answered();
            if reply.status == 503 {
                io.books.seen.busy += 1;
                return self.connection.close(io);
            }
            assert_eq!(reply.status, 201, "{}", reply.text());
            let (_, rest) =
                reply.text().split_once("identifier=\"").expect("the reply names the eventhandler");
            self.handler = rest.split('"').next().map(str::to_owned);
            return self.ask(io);
        }
        if self.state == State::Opening {
            if self.connection.received.starts_with(b"HTTP/1.1 503") {
                io.books.seen.busy += 1;
                return self.connection.close(io);
            }
            let Some(head) = take_head(&mut self.connection.received) else { return };
            assert_eq!(head.status, 200, "an eventhandler that was acknowledged is there: {}", head.head);
            self.connection.answered();
            self.state = State::Open;
            (self.after, self.floor) = (None, Some(io.books.last()));
            (self.opened, self.late) = (io.books.last(), BTreeSet::new());
        }
        let is_current = io.is_current(link);
        let taken = chunks(&self.connection.received);
        self.connection.received = taken.rest;
        for chunk in &taken.chunks {
            for xml in xms_events(chunk) {
                self.event(io, &xml, is_current);
            }
        }
        if taken.ended {
            self.connection.close(io);
            self.state = State::Opening;
        }
    }

    fn ended(&mut self, io: &mut Io<'_>, link: LinkId, _how: End) {
        if self.connection.is(link) {
            self.connection.ended(io);
            self.state = State::Opening;
        }
    }

    fn waits_for(&self, books: &Books) -> Option<String> {
        if self.state != State::Open {
            return Some("its stream".to_owned());
        }
        let missing = books.between(self.floor?, None, self.wanted()).next();
        missing.map(|(seq, key)| format!("{}, which is record {seq}", key.id()))
    }

    fn leave(&mut self, io: &mut Io<'_>) {
        self.connection.leave(io);
    }
}
