//! A destination of the outbox as its owner sees it: he makes it over the API, if the config file did not, and after the
//! faults he reads the list of its dead letters.

use super::super::books::{Books, Key};
use super::super::client::Io;
use super::super::net::LinkId;
use super::connection::Connection;
use crate::memory::read::take_reply;
use crate::memory::write::{get, request};

/// From one look at the dead letters to the next.
const LOOK_MS: u64 = 3_000;

/// Where it comes from.
#[derive(Debug)]
pub(super) enum Making {
    /// The config file brings it.
    File,
    /// It is posted here, with this content.
    Post(&'static str, String),
}

/// A destination.
#[derive(Debug)]
pub(super) struct Destination {
    pub(super) name: String,
    making: Making,
    /// The types of the events that it wants; all, if none is named.
    types: &'static [&'static str],
    api: Connection,
    made: bool,
    /// That was said with 201, or the file says it. 409 says that it is there, and it may be gone after a crash if its making
    /// was not durable.
    acknowledged: bool,
    /// A request is under way.
    asked: bool,
    look_at: u64,
    /// The page of the list of dead letters that is looked at next, but for the first.
    page: Option<String>,
}

impl Destination {
    pub(super) fn new(name: String, making: Making, types: &'static [&'static str]) -> Destination {
        let made = matches!(making, Making::File);
        let api = Connection::default();
        Destination {
            name,
            making,
            types,
            api,
            made,
            acknowledged: made,
            asked: false,
            look_at: 0,
            page: None,
        }
    }

    /// Does what is to be done next.
    pub(super) fn go_on(&mut self, io: &mut Io<'_>) {
        self.api.tend(io);
        if !self.api.up || self.asked {
            return;
        }
        match &self.making {
            Making::Post(path, body) if !self.made => {
                self.asked = true;
                self.api.ask(io, request("POST", path, "Content-Type: application/json\r\n", body));
            }
            Making::Post(..) | Making::File if io.calm && io.now >= self.look_at => {
                self.asked = true;
                let after = self.page.as_ref().map(|page| format!("&after={page}")).unwrap_or_default();
                let list = format!("/v1/dead-letters?limit=100&destination={}{after}", self.name);
                self.api.ask(io, get(&list));
            }
            Making::Post(..) | Making::File => {}
        }
    }

    /// Whether a connection is that to the API.
    pub(super) fn is(&self, link: LinkId) -> bool {
        self.api.is(link)
    }

    /// That connection is made.
    pub(super) fn connected(&mut self, io: &mut Io<'_>) {
        self.api.connected();
        self.asked = false;
        if !self.acknowledged {
            self.made = false;
            io.books.unmade(&self.name);
        }
        self.go_on(io);
    }

    /// That connection has ended.
    pub(super) fn ended(&mut self, io: &mut Io<'_>) {
        self.api.ended(io);
        self.asked = false;
    }

    /// Bytes came on it.
    pub(super) fn received(&mut self, io: &mut Io<'_>, bytes: &[u8]) {
        self.api.received.extend_from_slice(bytes);
        while let Some(reply) = take_reply(&mut self.api.received, false) {
            self.answered(io, reply.status, reply.text());
        }
    }

    fn answered(&mut self, io: &mut Io<'_>, status: u16, text: &str) {
        self.api.answered();
        self.asked = false;
        if status == 503 {
            io.books.seen.busy += 1;
            return self.api.close(io);
        }
        if self.made {
            assert_eq!(status, 200, "{text}");
            let ids = text.split("\"id\":\"").skip(1).filter_map(|rest| Key::of(rest.split('"').next()?));
            ids.for_each(|key| io.books.died(&self.name, key));
            self.page = text
                .rsplit_once("\"next\":\"")
                .and_then(|(_, next)| next.split('"').next().map(str::to_owned));
            let pause = if self.page.is_some() { 0 } else { LOOK_MS };
            self.look_at = io.now + pause;
            return io.wake_in(pause);
        }
        // 409: it was made, and the answer was lost.
        assert!(matches!(status, 201 | 409), "{status} {text}");
        (self.made, self.acknowledged) = (true, status == 201);
        io.books.made(&self.name, self.types);
        self.go_on(io);
    }

    /// What has not come yet, though it is not dead.
    pub(super) fn waits_for(&self, books: &Books) -> Option<String> {
        if !self.made {
            return Some("its making".to_owned());
        }
        let missing: Vec<String> = books.undelivered(&self.name).take(20).map(Key::id).collect();
        (!missing.is_empty()).then(|| format!("{} at {}", missing.join(" "), self.name))
    }

    /// Its owner leaves.
    pub(super) fn leave(&mut self, io: &mut Io<'_>) {
        self.api.leave(io);
    }
}
