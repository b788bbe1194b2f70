//! A reader of Server-Sent Events, which resumes with the last id it has seen. It must see each event that it wants once,
//! in the order of the log, or be told of a gap.

use offhook_core::{Epoch, Seq};

use super::super::books::{Books, Key, Place, is_own, is_wanted};
use super::super::client::{Client, Io};
use super::super::net::{End, LinkId};
use super::connection::Connection;
use crate::memory::read::{ServerSent, chunks, server_sent, take_head, take_reply};
use crate::memory::write::request;

/// A reader.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    types: Vec<&'static str>,
    /// The head has come.
    open: bool,
    content: Vec<u8>,
    /// The last event that it has seen.
    last: Option<Place>,
    /// All that it wants behind this place must come; unknown at first, and after a gap whose end is not told.
    after: Option<Seq>,
    /// All that it wants behind this place must come sooner or later.
    floor: Seq,
    /// The log has forgotten what it has seen last: it must be told.
    must_gap: bool,
}

impl Reader {
    /// A reader of events of these types, or of all.
    #[must_use]
    pub fn new(types: Vec<&'static str>) -> Reader {
        Reader {
            connection: Connection::default(),
            types,
            open: false,
            content: Vec::new(),
            last: None,
            after: None,
            floor: Seq(0),
            must_gap: false,
        }
    }

    fn opened(&mut self, io: &mut Io<'_>) {
        self.connection.answered();
        self.open = true;
        match self.last {
            None => self.floor = io.books.last(),
            Some(last) => {
                // What a gap left out on the last stream may come by now.
                self.after = Some(last.seq);
                self.must_gap = io.books.stands_at(last).is_none();
            }
        }
    }

    fn event(&mut self, io: &mut Io<'_>, event: &ServerSent, is_current: bool) {
        let Some(data) = &event.data else { return };
        if event.event.as_deref() == Some("gap") {
            return self.gap(io, data);
        }
        if is_own(data) {
            return;
        }
        let place = place(event.id.as_deref().expect("an event has an id"));
        let key = Key::within(data).unwrap_or_else(|| panic!("an event of somebody: {data}"));
        let books = &mut *io.books;
        books.seen.sse += 1;
        assert_eq!(books.at(place), Some(key), "the log has that event at {place:?}");
        assert!(is_wanted(key, &self.types), "{} is none of {:?}", key.event_type(), self.types);
        assert!(!self.must_gap, "what it has seen last is gone, and it was not told of a gap");
        if let Some(after) = self.after {
            assert!(place.seq > after, "record {} comes behind record {after}", place.seq);
            // What a dead server sent beyond the log's end may stand elsewhere by now.
            let missing = books.between(after, Some(place.seq), &self.types).next().filter(|_| is_current);
            assert!(missing.is_none(), "between records {after} and {} it missed {missing:?}", place.seq);
        }
        (self.last, self.after) = (Some(place), Some(place.seq));
        self.floor = self.floor.max(place.seq);
    }

    fn gap(&mut self, io: &mut Io<'_>, data: &str) {
        io.books.seen.gaps += 1;
        self.must_gap = false;
        let to =
            data.split_once("\"to\":\"").map(|(_, rest)| place(rest.split('"').next().unwrap_or_default()));
        let is_told = data.contains("no longer retained");
        self.after = to.filter(|_| is_told).map(|to| to.seq);
        self.floor = self.after.unwrap_or_else(|| io.books.last());
    }
}

/// The place that an id names.
fn place(id: &str) -> Place {
    let (epoch, seq) = id.split_once('-').unwrap_or_else(|| panic!("an id: {id}"));
    Place {
        epoch: Epoch(u64::from_str_radix(epoch, 16).expect("hex")),
        seq: Seq(seq.parse().expect("a number")),
    }
}

impl Client for Reader {
    fn name(&self) -> &'static str {
        "a reader of Server-Sent Events"
    }

    fn wake(&mut self, io: &mut Io<'_>) {
        self.connection.tend(io);
    }

    fn connected(&mut self, io: &mut Io<'_>, _link: LinkId) {
        self.connection.connected();
        (self.open, self.content) = (false, Vec::new());
        let query: Vec<String> = self.types.iter().map(|name| format!("type={name}")).collect();
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        let last = self.last.map(|last| format!("Last-Event-ID: {:x}-{}\r\n", last.epoch.0, last.seq.0));
        let fields = last.unwrap_or_default();
        self.connection.ask(io, request("GET", &format!("/v1/events{query}"), &fields, ""));
    }

    fn received(&mut self, io: &mut Io<'_>, link: LinkId, bytes: &[u8]) {
        self.connection.received.extend_from_slice(bytes);
        if !self.open {
            let received = &mut self.connection.received;
            if received.starts_with(b"HTTP/1.1 503") {
                if take_reply(received, false).is_some() {
                    io.books.seen.busy += 1;
                    self.connection.close(io);
                }
                return;
            }
            let Some(head) = take_head(received) else { return };
            assert_eq!(head.status, 200, "{}", head.head);
            self.opened(io);
        }
        let taken = chunks(&self.connection.received);
        self.content.extend(taken.content());
        let is_over = taken.ended;
        self.connection.received = taken.rest;
        let whole = self.content.windows(2).rposition(|two| two == b"\n\n").map_or(0, |at| at + 2);
        let rest = self.content.split_off(whole);
        let is_current = io.is_current(link);
        for event in server_sent(&std::mem::replace(&mut self.content, rest)) {
            self.event(io, &event, is_current);
        }
        if is_over {
            self.open = false;
            self.connection.close(io);
        }
    }

    fn ended(&mut self, io: &mut Io<'_>, link: LinkId, _how: End) {
        if self.connection.is(link) {
            self.connection.ended(io);
            self.open = false;
        }
    }

    fn waits_for(&self, books: &Books) -> Option<String> {
        if !self.open {
            return Some("its stream".to_owned());
        }
        let missing = books.between(self.floor, None, &self.types).next();
        missing.map(|(seq, key)| format!("{}, which is record {seq}", key.id()))
    }

    fn leave(&mut self, io: &mut Io<'_>) {
        self.connection.leave(io);
    }
}
