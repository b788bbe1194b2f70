//! A reader of Server-Sent Events that resumes with its last id after each kill.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use super::books::{Books, Mark, number_of};
use super::stage::Stage;
use super::wire::Wire;
use crate::conformance::peer::{request, value_after};

/// An id of no start of the server: everything that it holds follows, after a gap.
const NOTHING_YET: &str = "0-0";

#[derive(Debug)]
pub(super) struct Reader<'a> {
    books: &'a Books,
    last_id: String,
    /// What has come of the next event.
    text: String,
    /// By subject, the last number since the last gap: within such a stretch nothing comes twice, and nothing late.
    last: BTreeMap<u32, u32>,
    events: u64,
    resumed: u64,
    gaps: BTreeMap<String, u64>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(books: &'a Books) -> Reader<'a> {
        Reader {
            books,
            last_id: NOTHING_YET.to_owned(),
            text: String::new(),
            last: BTreeMap::new(),
            events: 0,
            resumed: 0,
            gaps: BTreeMap::new(),
        }
    }

    /// One that goes on after the first event of all.
    pub(super) fn from_the_first(books: &'a Books) -> Reader<'a> {
        Reader { last_id: books.first_id(), ..Reader::new(books) }
    }

    /// Reads from server after server, until it is over.
    pub(super) fn run(mut self, stage: &Stage) -> String {
        while let Some(address) = stage.address() {
            // The end of a connection is a kill's doing.
            let _: Option<()> = self.read(address);
            self.resumed += 1;
        }
        self.to_string()
    }

    /// Reads until all acknowledged events after the last id have come.
    pub(super) fn read_all(mut self, address: SocketAddr) {
        let mut wanted = self.books.acknowledged_after(&self.last_id);
        let mut wire = self.open(address).expect("the server is there");
        while !wanted.is_empty() {
            let Some(mark) = self.next(&mut wire) else { panic!("the stream ended before {wanted:?}") };
            wanted.remove(&mark);
        }
        assert!(self.gaps.is_empty(), "all of it is in the log: {self}");
    }

    fn read(&mut self, address: SocketAddr) -> Option<()> {
        let mut wire = self.open(address)?;
        loop {
            let mark = self.next(&mut wire)?;
            self.books.see(mark, &self.last_id);
        }
    }

    fn open(&mut self, address: SocketAddr) -> Option<Wire> {
        let mut wire = Wire::connect(address)?;
        // An event that the last connection's end cut comes again.
        self.text.clear();
        let fields = format!("Last-Event-ID: {}\r\n", self.last_id);
        wire.send(request("GET /v1/events?source=crash", &fields, ""))?;
        let (line, _) = wire.head()?;
        assert_eq!(line, "HTTP/1.1 200 OK");
        Some(wire)
    }

    /// The next event. Chunks and events need not end together.
    fn next(&mut self, wire: &mut Wire) -> Option<Mark> {
        loop {
            while !self.text.contains("\n\n") {
                self.text.push_str(&wire.chunk()?);
            }
            let rest = self.text.split_off(self.text.find("\n\n").unwrap_or_default() + 2);
            let event = std::mem::replace(&mut self.text, rest);
            if event.starts_with("event: gap\n") {
                self.gap(&event);
            } else if let Some(data) = event.strip_prefix("id: ") {
                return Some(self.event(data));
            }
        }
    }

    fn gap(&mut self, event: &str) {
        self.books.gap(number_of(value_after(event, "\"to\":\"")));
        let reason = event.rsplit("\"reason\":").next().unwrap_or_default().trim_end();
        *self.gaps.entry(reason.to_owned()).or_default() += 1;
        // What follows is all that the server holds, seen or not.
        self.last.clear();
    }

    fn event(&mut self, event: &str) -> Mark {
        let (id, data) = event.split_once('\n').expect("data follows the id");
        let mark = Mark::parse(value_after(data, "\"id\":\""));
        let last = self.last.insert(mark.subject, mark.number).unwrap_or_default();
        assert!(mark.number > last, "{mark:?} comes after number {last}, without a gap; its id is {id}");
        self.last_id = id.to_owned();
        self.events += 1;
        mark
    }
}

impl fmt::Display for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} events, {} connections, gaps: {:?}", self.events, self.resumed, self.gaps)
    }
}
