//! A websocket of iSymphony with a filter of its own. While it is open it must see each event that it wants once, in the
//! order of the log, or be told how many were dropped.

use offhook_core::Seq;

use super::super::books::{Books, Key, is_own};
use super::super::client::{Client, Io};
use super::super::net::{End, LinkId};
use super::connection::Connection;
use crate::memory::ws::{Frame, masked, take_frame, upgrade};

/// `manager` and `example-password`.
const MANAGER: &str = "Authorization: Basic bWFuYWdlcjpleGFtcGxlLXBhc3N3b3Jk\r\n";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Upgrading,
    Filtering,
    Open,
}

/// A websocket.
#[derive(Debug)]
pub struct Isymphony {
    connection: Connection,
    types: Vec<&'static str>,
    state: State,
    after: Option<Seq>,
    floor: Seq,
}

impl Isymphony {
    /// A websocket that wants events of these types, or all.
    #[must_use]
    pub fn new(types: Vec<&'static str>) -> Isymphony {
        Isymphony {
            connection: Connection::default(),
            types,
            state: State::Upgrading,
            after: None,
            floor: Seq(0),
        }
    }

    fn frame(&mut self, io: &mut Io<'_>, first: u8, payload: &[u8]) {
        let mask = io.rng.next_u64().to_be_bytes();
        self.connection.send(io, masked(first, [mask[0], mask[1], mask[2], mask[3]], payload));
    }

    fn take(&mut self, io: &mut Io<'_>, frame: Frame, is_current: bool) {
        match frame {
            Frame::Text(text) => self.text(io, &text, is_current),
            Frame::Ping(payload) => self.frame(io, 0x8A, &payload),
            Frame::Close(..) => {
                self.connection.close(io);
                self.state = State::Upgrading;
            }
            Frame::Binary(_) | Frame::Pong(_) => panic!("no client of iSymphony expects {frame:?}"),
        }
    }

    fn text(&mut self, io: &mut Io<'_>, text: &str, is_current: bool) {
        if text.contains("\"type\":\"success\"") {
            assert_eq!(self.state, State::Filtering, "one filter message, one answer");
            self.state = State::Open;
            self.connection.answered();
            (self.after, self.floor) = (None, io.books.last());
            return;
        }
        assert!(!text.contains("\"type\":\"error\""), "{text}");
        if text.contains("\"type\":\"eventsDropped\"") {
            // Whatever stands in the log by now may be among them.
            (self.after, self.floor) = (None, io.books.last());
            return;
        }
        if is_own(text) {
            return;
        }
        let key = Key::within(text).unwrap_or_else(|| panic!("an event of somebody: {text}"));
        io.books.seen.isymphony += 1;
        if self.state != State::Open {
            return;
        }
        if !is_current {
            return;
        }
        let seq = io.books.place(key).unwrap_or_else(|| panic!("{} is in the log", key.id()));
        let wanted = self.types.is_empty() || self.types.contains(&key.event_type());
        assert!(wanted, "{} is none of {:?}", key.event_type(), self.types);
        if let Some(after) = self.after {
            assert!(seq > after, "record {seq} comes behind record {after}");
            let missing = io.books.between(after, Some(seq), &self.types).next();
            assert!(missing.is_none(), "between records {after} and {seq} it missed {missing:?}");
        }
        self.after = Some(seq);
        self.floor = self.floor.max(seq);
    }
}

/// The vendor's word for a type.
fn word(event_type: &str) -> &'static str {
    match event_type {
        "call.ringing" => "callRinging",
        "call.answered" => "callAnswered",
        _ => "hangup",
    }
}

impl Client for Isymphony {
    fn name(&self) -> &'static str {
        "a websocket of iSymphony"
    }

    fn wake(&mut self, io: &mut Io<'_>) {
        self.connection.tend(io);
    }

    fn connected(&mut self, io: &mut Io<'_>, _link: LinkId) {
        self.connection.connected();
        self.state = State::Upgrading;
        self.connection.ask(io, upgrade("/communication_manager/ws/event", MANAGER));
    }

    fn received(&mut self, io: &mut Io<'_>, link: LinkId, bytes: &[u8]) {
        self.connection.received.extend_from_slice(bytes);
        if self.state == State::Upgrading {
            if !self.connection.upgraded(io) {
                return;
            }
            self.connection.answered();
            self.state = State::Filtering;
            let filter = |name: &&str| format!(r#"{{"property":"type","value":"{}"}}"#, word(name));
            let filters: Vec<String> = self.types.iter().map(filter).collect();
            let text =
                format!(r#"{{"type":"filter","correlationId":"1","filters":[{}]}}"#, filters.join(","));
            self.frame(io, 0x81, text.as_bytes());
        }
        while self.connection.is(link)
            && let Some(frame) = take_frame(&mut self.connection.received)
        {
            let is_current = io.is_current(link);
            self.take(io, frame, is_current);
        }
    }

    fn ended(&mut self, io: &mut Io<'_>, link: LinkId, _how: End) {
        if self.connection.is(link) {
            self.connection.ended(io);
            self.state = State::Upgrading;
        }
    }

    fn waits_for(&self, books: &Books) -> Option<String> {
        if self.state != State::Open {
            return Some("its websocket".to_owned());
        }
        let missing = books.between(self.floor, None, &self.types).next();
        missing.map(|(seq, key)| format!("{}, which is record {seq}", key.id()))
    }

    fn leave(&mut self, io: &mut Io<'_>) {
        self.connection.leave(io);
    }
}
