//! A receiver of what the outbox sends, and whoever has made its destination: a webhook, or one of ISR's notifications.
//! Each event that stands behind the making must come, in the order of its lane, or be a dead letter.
//!
//! What is absent here: the hooks of WCS (`backend`).

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use serde_json::json;

use super::super::books::{Books, Key, RECORDINGS};
use super::super::client::{Client, Io};
use super::super::net::{End, LinkId};
use super::destination::{Destination, Making};
use super::served::{Fate, Request, Served, Site};

/// What an ISR destination wants, in the vendor's words.
const ISR_EVENTS: [&str; 4] =
    ["RECORDING_STARTED_EVENT", "RECORDING_PAUSED_EVENT", "RECORDING_RESUMED_EVENT", "RECORDING_ENDED_EVENT"];

/// A destination of the config file, and where its receiver is.
#[derive(Clone, Debug)]
pub struct Filed {
    /// Its name.
    pub name: String,
    /// Its specification as the file brings it.
    pub spec: String,
}

/// What a receiver makes of what comes.
pub trait Takes: std::fmt::Debug {
    /// What it is, in reports.
    fn name(&self) -> &'static str;

    /// A request to this destination, and what becomes of it; `life` is the server's, if it may still ask.
    fn take(&mut self, io: &mut Io<'_>, of: &str, request: &Request, life: Option<u64>, fate: Fate);

    /// What must hold at the end.
    fn judge(&self, _books: &Books) {}
}

/// A receiver.
#[derive(Debug)]
pub struct Receiver<T> {
    takes: T,
    served: Served,
    destination: Destination,
    left: bool,
}

/// It takes events.
#[derive(Debug)]
pub struct Events {
    name: &'static str,
    /// The events of a request.
    read: fn(&Request) -> Vec<Key>,
    /// Nothing dies of its age.
    is_patient: bool,
}

impl<T: Takes> Receiver<T> {
    /// One at this site.
    pub(super) fn new(takes: T, site: Site, destination: Destination) -> Receiver<T> {
        Receiver { takes, served: Served::new(site), destination, left: false }
    }
}

impl Receiver<Events> {
    /// A webhook.
    #[must_use]
    pub fn webhook(site: Site, batch: u64, is_patient: bool) -> Receiver<Events> {
        let name = format!("hook{}", site.number);
        let mut spec = json!({"name": name, "url": site.url("/hook"), "tls": site.tls()});
        if batch > 1 {
            spec["batch"] = batch.into();
        }
        let making = Making::Post("/v1/webhooks", specification(spec));
        let takes = Events { name: "a webhook", read: of_webhook, is_patient };
        Receiver::new(takes, site, Destination::new(name, making, &[]))
    }

    /// A receiver of notifications of recordings, whose destination comes over the API; or with the config file, which
    /// gets it from here.
    #[must_use]
    pub fn isr(site: Site, in_file: bool, is_patient: bool) -> (Receiver<Events>, Option<Filed>) {
        let name = format!("isr{}", site.number);
        let parameters = "event=%EVENTTYPE%&id=%EVENTID%&ucid=%UCID%";
        let spec = json!({"name": name, "url": site.url("/notify"), "tls": site.tls(), "global": true,
            "events": ISR_EVENTS, "parameters": parameters});
        let spec = specification(spec);
        let filed = in_file.then(|| Filed { name: name.clone(), spec: spec.clone() });
        let making = if in_file { Making::File } else { Making::Post("/v1/isr/destinations", spec) };
        let takes = Events { name: "a receiver of ISR", read: of_isr, is_patient };
        (Receiver::new(takes, site, Destination::new(name, making, &RECORDINGS)), filed)
    }
}

impl Takes for Events {
    fn name(&self) -> &'static str {
        self.name
    }

    fn take(&mut self, io: &mut Io<'_>, of: &str, request: &Request, life: Option<u64>, fate: Fate) {
        let keys = (self.read)(request);
        io.books.called(of, &keys, life);
        for key in keys.into_iter().filter(|_| fate.takes()) {
            io.books.arrived(of, key, self.is_patient);
        }
    }
}

/// A specification without what is not said.
fn specification(mut spec: serde_json::Value) -> String {
    if let Some(members) = spec.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    spec.to_string()
}

fn of_webhook(request: &Request) -> Vec<Key> {
    let keys = request.body.split("\"key\":\"").skip(1);
    keys.map(|rest| rest.split('"').next().and_then(Key::of).expect("an event of somebody")).collect()
}

fn of_isr(request: &Request) -> Vec<Key> {
    let value = |name: &str| {
        let (_, rest) = request.target.split_once(name).unwrap_or_else(|| panic!("{}", request.target));
        rest.split('&').next().unwrap_or_default()
    };
    let key = Key::of(value("&id=")).expect("an event of somebody");
    assert_eq!(value("&ucid="), key.about(), "its own values");
    assert_eq!(value("?event="), ISR_EVENTS[key.phase()], "its own type");
    vec![key]
}

impl<T: Takes> Client for Receiver<T> {
    fn name(&self) -> &'static str {
        self.takes.name()
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
            self.destination.go_on(io);
        }
    }

    fn connected(&mut self, io: &mut Io<'_>, link: LinkId) {
        if self.destination.is(link) {
            self.destination.connected(io);
        } else {
            self.served.connected(link);
        }
    }

    fn received(&mut self, io: &mut Io<'_>, link: LinkId, bytes: &[u8]) {
        if self.destination.is(link) {
            return self.destination.received(io, bytes);
        }
        let Some(request) = self.served.received(link, bytes) else { return };
        let fate = self.served.fate(io);
        let life = io.is_current(link).then_some(io.life);
        self.takes.take(io, &self.destination.name, &request, life, fate);
        self.served.answer(io, link, fate, "");
    }

    fn ended(&mut self, io: &mut Io<'_>, link: LinkId, _how: End) {
        if self.destination.is(link) {
            self.destination.ended(io);
        } else {
            self.served.ended(link);
        }
    }

    fn waits_for(&self, books: &Books) -> Option<String> {
        self.destination.waits_for(books)
    }

    fn judge(&self, books: &Books) {
        self.takes.judge(books);
    }

    fn leave(&mut self, io: &mut Io<'_>) {
        self.left = true;
        self.destination.leave(io);
        self.served.leave(io);
    }
}
