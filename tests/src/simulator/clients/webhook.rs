//! A webhook: whoever makes it over the API, and the receiver that it names, which fails in many ways. Each event that
//! stands behind the making must come, in the order of its subject, or be a dead letter.

use std::net::SocketAddr;

use super::super::books::{Books, Key};
use super::super::client::{Client, Io};
use super::super::net::{End, LinkId};
use super::connection::Connection;
use super::receiver::Receiver;
use crate::memory::read::take_reply;
use crate::memory::write::{get, request};

/// From one look at the dead letters to the next.
const LOOK_MS: u64 = 3_000;

/// A webhook and its receiver.
#[derive(Debug)]
pub struct Webhook {
    name: String,
    number: u8,
    batch: u64,
    /// Nothing dies of its age.
    is_patient: bool,
    api: Connection,
    made: bool,
    /// That was said with 201. 409 says that it is there, and it may be gone after a crash if its making was not durable.
    acknowledged: bool,
    /// A request of the API is under way.
    asked: bool,
    look_at: u64,
    /// The page of the list of dead letters that is looked at next, but for the first.
    page: Option<String>,
    receiver: Receiver,
    left: bool,
}

impl Webhook {
    /// The webhook of this number.
    #[must_use]
    pub fn new(number: u8, fails_percent: u64, batch: u64, is_patient: bool) -> Webhook {
        Webhook {
            name: format!("hook{number}"),
            number,
            batch,
            is_patient,
            api: Connection::default(),
            made: false,
            acknowledged: false,
            asked: false,
            look_at: 0,
            page: None,
            receiver: Receiver::new(fails_percent),
            left: false,
        }
    }

    fn go_on(&mut self, io: &mut Io<'_>) {
        self.receiver.go_on(io);
        if self.left {
            return;
        }
        self.api.tend(io);
        if !self.api.up || self.asked {
            return;
        }
        if !self.made {
            // The receiver's name has to be looked up by half of them.
            let host = if self.number.is_multiple_of(2) {
                format!("192.0.2.{}", self.number)
            } else {
                format!("host{}.example", self.number)
            };
            let batch = if self.batch > 1 { format!(",\"batch\":{}", self.batch) } else { String::new() };
            let body = format!(r#"{{"name":"{}","url":"http://{host}:8081/hook"{batch}}}"#, self.name);
            self.asked = true;
            self.api.ask(io, request("POST", "/v1/webhooks", "Content-Type: application/json\r\n", body));
        } else if io.calm && io.now >= self.look_at {
            self.asked = true;
            let after = self.page.as_ref().map(|page| format!("&after={page}")).unwrap_or_default();
            self.api.ask(io, get(&format!("/v1/dead-letters?limit=100&destination={}{after}", self.name)));
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
            self.dead_letters(io, text);
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
        io.books.webhook(&self.name);
        self.go_on(io);
    }

    fn dead_letters(&mut self, io: &mut Io<'_>, text: &str) {
        let ids = text.split("\"id\":\"").skip(1).filter_map(|rest| Key::of(rest.split('"').next()?));
        ids.for_each(|key| io.books.died(&self.name, key));
    }

    fn requested(&mut self, io: &mut Io<'_>, link: LinkId, body: &str) {
        if self.receiver.answer(io, link) {
            for event in body.split("\"key\":\"").skip(1) {
                let key = event.split('"').next().and_then(Key::of).expect("an event of somebody");
                io.books.arrived(&self.name, key, self.is_patient);
            }
        }
    }
}

impl Client for Webhook {
    fn name(&self) -> &'static str {
        "a webhook"
    }

    fn address(&self) -> Option<SocketAddr> {
        Some(SocketAddr::from(([192, 0, 2, self.number], 8_081)))
    }

    fn wake(&mut self, io: &mut Io<'_>) {
        self.go_on(io);
    }

    fn connected(&mut self, io: &mut Io<'_>, link: LinkId) {
        if self.api.is(link) {
            self.api.connected();
            self.asked = false;
            if !self.acknowledged {
                self.made = false;
                io.books.unmade(&self.name);
            }
            self.go_on(io);
        } else {
            self.receiver.connected(link);
        }
    }

    fn received(&mut self, io: &mut Io<'_>, link: LinkId, bytes: &[u8]) {
        if self.api.is(link) {
            self.api.received.extend_from_slice(bytes);
            while let Some(reply) = take_reply(&mut self.api.received, false) {
                self.answered(io, reply.status, reply.text());
            }
            return;
        }
        if let Some(request) = self.receiver.received(link, bytes) {
            self.requested(io, link, &request.body);
        }
    }

    fn ended(&mut self, io: &mut Io<'_>, link: LinkId, _how: End) {
        if self.api.is(link) {
            self.api.ended(io);
            self.asked = false;
        } else {
            self.receiver.ended(link);
        }
    }

    fn waits_for(&self, books: &Books) -> Option<String> {
        if !self.made {
            return Some("its making".to_owned());
        }
        let missing: Vec<String> = books.undelivered(&self.name).take(20).map(Key::id).collect();
        (!missing.is_empty()).then(|| format!("{} at {}", missing.join(" "), self.name))
    }

    fn leave(&mut self, io: &mut Io<'_>) {
        self.left = true;
        self.api.leave(io);
        self.receiver.leave(io);
    }
}
