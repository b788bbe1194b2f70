//! The backend of an application of WCS: it gets the hooks, refuses some, and lets some hang. The events of a session come
//! one after the other, and each comes, or is a dead letter.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use serde_json::Value;

use super::super::books::{Books, Key, STREAM};
use super::super::client::{Client, Io};
use super::super::net::{End, LinkId};
use super::destination::{Destination, Making};
use super::served::{Fate, Request, Served, Site};

/// The path of the application.
pub const PATH: &str = "/apps";

/// The hooks that it lists.
pub const HOOKS: [&str; 5] =
    ["connect", "ConnectionStatusEvent", "StreamStatusEvent", "publishStream", "OnDataEvent"];

/// The application, as the outbox knows it.
const NAME: &str = "wcs.defaultApp";

/// The beginning of the record that says that there is the application.
const MARK: &str = "{\"App\":{\"key\":\"defaultApp\"";

/// A backend.
#[derive(Debug)]
pub struct Backend {
    served: Served,
    letters: Destination,
    /// What fails is tried again for longer than the world lasts.
    redelivers: bool,
    left: bool,
}

impl Backend {
    /// The backend of this application, whose failed hooks are sent again.
    #[must_use]
    pub fn new(site: Site, redelivers: bool) -> Backend {
        let letters = Destination::new(NAME.to_owned(), Making::File, &[STREAM]);
        Backend { served: Served::new(site), letters, redelivers, left: false }
    }

    /// What the books must know beforehand.
    pub fn announce(books: &mut Books) {
        books.filed(NAME, MARK, &[STREAM]);
    }

    fn requested(&mut self, io: &mut Io<'_>, link: LinkId, request: &Request) {
        let hook = request.target.strip_prefix(PATH).and_then(|rest| rest.strip_prefix('/'));
        let hook = hook.unwrap_or_else(|| panic!("a hook of the application: {}", request.target));
        let body: Value = serde_json::from_str(&request.body).expect("a hook is JSON");
        let fate = self.served.fate(io);
        let life = io.is_current(link).then_some(io.life);
        let about = about(hook, &body);
        match hook {
            // The end of an operation, as the server itself publishes it.
            "StreamStatusEvent" if body["key"].is_null() => assert_eq!(body["status"], "FAILED", "{body}"),
            "StreamStatusEvent" => {
                let key = Key::of(about).expect("an event of somebody");
                // What is sent again comes behind what was called meanwhile.
                io.books.called(NAME, &[key], life.filter(|_| !self.redelivers));
                if fate.takes() {
                    io.books.arrived(NAME, key, false);
                }
            }
            "ConnectionStatusEvent" if body["status"] == "DISCONNECTED" && fate.takes() => {
                io.books.hooks.ended(about);
            }
            "ConnectionStatusEvent" => {}
            _ => life.into_iter().for_each(|life| io.books.hooks.asked(life, hook, about)),
        }
        match fate {
            Fate::Refuse(status) => io.books.hooks.says(hook, about, status),
            Fate::Take | Fate::TakeLate => io.books.hooks.says(hook, about, 200),
            Fate::Die => {}
        }
        self.served.answer(io, link, fate, "");
    }
}

/// What a hook is about: a session, an event, an operation.
fn about<'b>(hook: &str, body: &'b Value) -> &'b str {
    let name = match hook {
        "connect" | "ConnectionStatusEvent" => "token",
        "StreamStatusEvent" if !body["key"].is_null() => "key",
        "StreamStatusEvent" | "publishStream" => "mediaSessionId",
        "OnDataEvent" => "operationId",
        other => panic!("{other} is not listed"),
    };
    body[name].as_str().unwrap_or_else(|| panic!("{hook} says what it is about: {body}"))
}

impl Client for Backend {
    fn name(&self) -> &'static str {
        "a backend of WCS"
    }

    fn address(&self) -> Option<SocketAddr> {
        Some(self.served.site.address())
    }

    fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.served.site.sealed.as_ref().map(|(_, config)| Arc::clone(config))
    }

    fn wake(&mut self, io: &mut Io<'_>) {
        self.served.wake(io);
        if !self.left {
            self.letters.go_on(io);
        }
    }

    fn connected(&mut self, io: &mut Io<'_>, link: LinkId) {
        if self.letters.is(link) {
            self.letters.connected(io);
        } else {
            self.served.connected(link);
        }
    }

    fn received(&mut self, io: &mut Io<'_>, link: LinkId, bytes: &[u8]) {
        if self.letters.is(link) {
            self.letters.received(io, bytes);
        } else if let Some(request) = self.served.received(link, bytes) {
            self.requested(io, link, &request);
        }
    }

    fn ended(&mut self, io: &mut Io<'_>, link: LinkId, _how: End) {
        if self.letters.is(link) {
            self.letters.ended(io);
        } else {
            self.served.ended(link);
        }
    }

    fn waits_for(&self, books: &Books) -> Option<String> {
        self.letters.waits_for(books)
    }

    fn judge(&self, books: &Books) {
        assert!(!self.redelivers || !books.has_dead(NAME), "what is sent again for ever is dead");
    }

    fn leave(&mut self, io: &mut Io<'_>) {
        self.left = true;
        self.letters.leave(io);
        self.served.leave(io);
    }
}
