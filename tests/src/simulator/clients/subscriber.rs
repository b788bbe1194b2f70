//! A client of the SIP Event Package API and whoever takes its callbacks. What was acknowledged is there until it expires;
//! versions never go back. After the faults its document says what the notifier holds, and once it is deleted the
//! notifier holds nothing for it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use offhook_core::Wall;

use super::super::books::Books;
use super::super::client::{Client, Io};
use super::super::net::{End, LinkId};
use super::connection::Connection;
use super::document::{Document, Face};
use super::served::{Fate, Request, Served, Site};
use crate::memory::read::{Reply, take_reply};
use crate::memory::write::{get, request};

/// From one look at a document to the next, after the faults.
const LOOK_MS: u64 = 2_000;

/// What is left of a subscription when it is renewed.
const RENEW_MS: u64 = 60_000;

/// Over a good link the dialogs of what was deleted end within 64·T1, and whatever a shard takes to see it.
const END_MS: u64 = 60_000;

/// What it asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Asked {
    List,
    Make,
    Show,
    Change,
    Delete,
    /// What it does not know, because an answer was lost.
    DeleteOrphan(String),
    /// What it has deleted: it must not be there.
    ShowGone,
}

/// A subscription that was acknowledged.
#[derive(Debug)]
struct Known {
    id: String,
    /// What it is of; unknown, while a change has no answer.
    uris: Option<Vec<String>>,
    expires: Option<Wall>,
    /// The life of the server and the version that was seen there.
    seen: (u64, u64),
    /// A deletion was sent.
    is_ending: bool,
}

/// What came of callbacks of a subscription.
#[derive(Debug, Default)]
struct Called {
    /// The youngest that it took.
    version: u64,
    /// The version of each delivery.
    deliveries: BTreeMap<String, u64>,
    /// The life of the server and the version that came there last.
    seen: (u64, u64),
    ended: Option<String>,
    /// One was answered with 410.
    refused: bool,
}

/// Where it is after the faults.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Living,
    /// It has deleted its subscription then.
    Ending(u64),
    Done,
}

/// A client.
#[derive(Debug)]
pub struct Subscriber {
    face: Face,
    event: &'static str,
    /// How long it wants to be subscribed.
    lasts_s: u64,
    /// No callback dies of its age.
    is_patient: bool,
    api: Connection,
    asked: Option<Asked>,
    next_at: u64,
    known: Option<Known>,
    /// An answer was lost: there may be one that it does not know.
    is_unsure: bool,
    orphans: Vec<String>,
    /// Those that it has deleted for good: with 404 and 410 it may have read what a crash takes back.
    gone: Vec<String>,
    /// The one that it has deleted last.
    last: String,
    called: BTreeMap<String, Called>,
    stage: Stage,
    /// Why its document is not yet what it should be.
    reason: String,
    served: Served,
    left: bool,
}

impl Subscriber {
    /// One whose callbacks come to this site.
    #[must_use]
    pub fn new(site: Site, face: Face, event: &'static str, lasts_s: u64, is_patient: bool) -> Subscriber {
        Subscriber {
            face,
            event,
            lasts_s,
            is_patient,
            api: Connection::default(),
            asked: None,
            next_at: 0,
            known: None,
            is_unsure: false,
            orphans: Vec::new(),
            gone: Vec::new(),
            last: String::new(),
            called: BTreeMap::new(),
            stage: Stage::Living,
            reason: String::new(),
            served: Served::new(site),
            left: false,
        }
    }

    fn callback(&self) -> String {
        self.served.site.url("/sep")
    }

    /// The resources that it may subscribe to.
    fn resources(&self) -> Vec<String> {
        let number = self.served.site.number;
        let host = if number.is_multiple_of(2) { "192.0.2.70" } else { "host70.example" };
        (0..3).map(|n| format!("sip:s{number}r{n}@{host}")).collect()
    }

    /// Some of them, in any order.
    fn choose(&self, io: &mut Io<'_>) -> Vec<String> {
        let mut of = self.resources();
        let count = 1 + io.rng.below(of.len() as u64) as usize;
        (0..count).map(|_| of.remove(io.rng.below(of.len() as u64) as usize)).collect()
    }

    fn ask(&mut self, io: &mut Io<'_>, asked: Asked) {
        let body = match &asked {
            Asked::Make => {
                let (uris, callback) = (self.choose(io), self.callback());
                self.face.wish(Some(self.event), Some(&uris), Some(&callback), io.wall, self.lasts_s)
            }
            Asked::Change => {
                // Most are renewals.
                let uris = self.known.as_mut().and_then(|known| known.uris.take());
                let uris = match uris {
                    Some(uris) if io.calm || io.rng.below(3) > 0 => uris,
                    _ => self.choose(io),
                };
                self.face.wish(None, Some(&uris), None, io.wall, self.lasts_s)
            }
            Asked::List | Asked::Show | Asked::Delete | Asked::DeleteOrphan(_) | Asked::ShowGone => {
                String::new()
            }
        };
        if let (Asked::Change | Asked::Delete, Some(known)) = (&asked, &mut self.known) {
            known.expires = None;
            known.is_ending |= asked == Asked::Delete;
        }
        let id = match &asked {
            Asked::DeleteOrphan(id) => id.as_str(),
            Asked::ShowGone => self.gone.last().map(String::as_str).unwrap_or_default(),
            Asked::List | Asked::Make | Asked::Show | Asked::Change | Asked::Delete => {
                self.known.as_ref().map(|known| known.id.as_str()).unwrap_or_default()
            }
        };
        let (path, fields) = (self.face.path(), self.face.content_type());
        let request = match &asked {
            Asked::List => get("/v1/subscriptions?limit=1000"),
            Asked::Make => request("POST", path, fields, body),
            Asked::Show | Asked::ShowGone => get(&format!("{path}/{id}")),
            Asked::Change => request("PUT", &format!("{path}/{id}"), fields, body),
            Asked::Delete | Asked::DeleteOrphan(_) => request("DELETE", &format!("{path}/{id}"), "", ""),
        };
        self.asked = Some(asked);
        self.api.ask(io, request);
    }

    fn go_on(&mut self, io: &mut Io<'_>) {
        self.served.wake(io);
        if self.left {
            return;
        }
        self.api.tend(io);
        if !self.api.up || self.asked.is_some() || io.now < self.next_at {
            return;
        }
        if let Some(asked) = self.next(io) {
            self.ask(io, asked);
        }
    }

    /// What it asks for next.
    fn next(&mut self, io: &mut Io<'_>) -> Option<Asked> {
        if self.is_unsure {
            return Some(Asked::List);
        }
        if let Some(orphan) = self.orphans.pop() {
            return Some(Asked::DeleteOrphan(orphan));
        }
        match self.stage {
            Stage::Living => {}
            Stage::Ending(_) => return Some(Asked::List),
            Stage::Done => return None,
        }
        let Some(known) = &self.known else { return Some(Asked::Make) };
        let is_old =
            known.expires.is_none_or(|expires| expires.since(io.wall) < RENEW_MS.min(self.lasts_s * 500));
        Some(if known.is_ending {
            Asked::Delete
        } else if is_old {
            Asked::Change
        } else if io.calm {
            // What was on its way when a connection was cut may have made another one since.
            if io.rng.below(2) == 0 { Asked::Show } else { Asked::List }
        } else {
            match io.rng.below(12) {
                0..6 => Asked::Show,
                6..10 => Asked::Change,
                10 if !self.gone.is_empty() => Asked::ShowGone,
                10 => Asked::List,
                _ => Asked::Delete,
            }
        })
    }

    /// The connection is gone, and with it perhaps an answer.
    fn interrupted(&mut self) {
        match self.asked.take() {
            Some(Asked::Make) => self.is_unsure = true,
            Some(Asked::DeleteOrphan(id)) => self.orphans.push(id),
            _ => {}
        }
    }

    fn answered(&mut self, io: &mut Io<'_>, link: LinkId, reply: &Reply) {
        self.api.answered();
        let Some(asked) = self.asked.take() else { panic!("an answer to nothing: {}", reply.text()) };
        self.next_at = io.now + if io.calm { LOOK_MS } else { io.rng.below(6_000) };
        io.wake_in(self.next_at - io.now);
        let (status, text) = (reply.status, reply.text());
        if status == 503 {
            io.books.seen.busy += 1;
            if let Asked::DeleteOrphan(id) = asked {
                self.orphans.push(id);
            }
            return self.api.close(io);
        }
        // In XML the end is a time, and the clock may have jumped beyond it.
        if status == 400 && text.contains("expires") && self.face == Face::Xml {
            return;
        }
        match asked {
            Asked::List => self.listed(io, status, text),
            Asked::Make => {
                assert_eq!(status, 201, "{text}");
                let document = Document::read(self.face, text);
                assert_eq!(document.version, 0, "nothing was told yet: {text}");
                let location = reply.field("location").expect("what was made has an address");
                let id = location.rsplit('/').next().unwrap_or_default().to_owned();
                let known = Known { id, uris: None, expires: None, seen: (io.life(), 0), is_ending: false };
                self.known = Some(known);
                self.shown(io, link, document);
            }
            Asked::Show | Asked::Change if matches!(status, 404 | 410) => self.missing(io, text),
            Asked::Show | Asked::Change => {
                assert_eq!(status, 200, "{text}");
                self.shown(io, link, Document::read(self.face, text));
            }
            Asked::Delete => {
                assert!(matches!(status, 204 | 404 | 410), "{status} {text}");
                let known = self.known.take().expect("it deletes what it knows");
                if status == 204 {
                    self.gone.push(known.id.clone());
                }
                self.last = known.id;
                if io.calm {
                    self.stage = Stage::Ending(io.now);
                }
            }
            Asked::DeleteOrphan(id) => {
                assert!(matches!(status, 204 | 404 | 410), "{status} {text}");
                if status == 204 {
                    self.gone.push(id);
                }
            }
            Asked::ShowGone => assert!(matches!(status, 404 | 410), "it was deleted: {status} {text}"),
        }
    }

    /// A document of its subscription.
    fn shown(&mut self, io: &mut Io<'_>, link: LinkId, document: Document) {
        io.books.seen.states += 1;
        let is_current = io.is_current(link);
        let Some(known) = &mut self.known else { return };
        let uris: Vec<String> = document.resources.iter().map(|resource| resource.uri.clone()).collect();
        if let Some(expected) = &known.uris {
            assert_eq!(*expected, uris, "it was acknowledged to be of these");
        }
        (known.uris, known.expires) = (Some(uris), Some(document.expires));
        if is_current {
            let (life, version) = known.seen;
            assert!(
                life != io.life() || version <= document.version,
                "version {version} was seen: {document:?}"
            );
            known.seen = (io.life(), document.version);
        }
        self.reason = self.wrong(io.books, &document).unwrap_or_default();
        if io.calm && self.reason.is_empty() && self.stage == Stage::Living {
            self.known.iter_mut().for_each(|known| known.is_ending = true);
        }
    }

    /// What is not yet as it should be.
    fn wrong(&self, books: &Books, document: &Document) -> Option<String> {
        for resource in &document.resources {
            let held = books.resources.get(&resource.uri).cloned().unwrap_or_default();
            // One that has ended is shown until there is a new one, and a branch of a fork that lives on is none.
            let mut living = resource.instances.iter().filter(|(state, _)| state != "terminated");
            let (Some((state, text)), None) = (living.next(), living.next()) else {
                return Some(format!("one living instance of {}", resource.uri));
            };
            if state != "active" || held.mark.is_empty() || !text.contains(&held.mark) {
                return Some(format!("{} of {}, which is {state}: {text}", held.mark, resource.uri));
            }
        }
        for uri in self.resources() {
            let wanted = usize::from(document.resources.iter().any(|resource| resource.uri == uri));
            let held = books.resources.get(&uri).map_or(0, |held| held.dialogs);
            if held != wanted {
                return Some(format!("{wanted} dialogs of {uri}: there are {held}"));
            }
        }
        let told = self.called.get(&document.id).map_or(0, |called| called.version);
        let is_told = !self.is_patient || told == document.version;
        (!is_told).then(|| format!("the callback of version {}: the last was {told}", document.version))
    }

    /// Its subscription is not there.
    fn missing(&mut self, io: &Io<'_>, text: &str) {
        let Some(known) = self.known.take() else { return };
        let refused = self.called.get(&known.id).is_some_and(|called| called.refused);
        let has_expired = known.expires.is_none_or(|expires| expires <= io.books.latest);
        assert!(refused || known.is_ending || has_expired, "{known:?} was acknowledged, and is gone: {text}");
    }

    /// All subscriptions.
    fn listed(&mut self, io: &mut Io<'_>, status: u16, text: &str) {
        assert_eq!(status, 200, "{text}");
        let page: serde_json::Value = serde_json::from_str(text).expect("JSON");
        let callback = self.callback();
        let rows = page["subscriptions"].as_array().expect("a list").iter();
        let own: Vec<String> = rows
            .filter(|row| row["callback"] == callback.as_str())
            .map(|row| row["id"].as_str().expect("an id").to_owned())
            .collect();
        for id in &own {
            assert!(!self.gone.contains(id), "{id} was deleted, and is listed: {text}");
        }
        self.is_unsure = false;
        if let Some(known) = self.known.as_ref().filter(|known| !own.contains(&known.id)) {
            let id = known.id.clone();
            return self.missing(io, &format!("{id} is not listed"));
        }
        let is_known = |id: &String| self.known.as_ref().is_some_and(|known| known.id == *id);
        self.orphans = own.into_iter().filter(|id| !is_known(id)).collect();
        if let (Stage::Ending(_), false) = (self.stage, self.orphans.is_empty()) {
            self.stage = Stage::Ending(io.now);
        }
        if let Stage::Ending(since) = self.stage {
            let (dialogs, waited) = (self.dialogs(io.books), io.now - since);
            assert!(
                dialogs.is_none() || waited < END_MS,
                "deleted for {waited} ms, and it waits for {dialogs:?}"
            );
            let last = self.called.get(&self.last);
            let is_told =
                !self.is_patient || last.is_none_or(|called| called.refused || called.ended.is_some());
            let callback = (!is_told).then(|| "the last callback".to_owned());
            self.reason = dialogs.or(callback).unwrap_or_default();
            if self.reason.is_empty() && self.orphans.is_empty() {
                self.stage = Stage::Done;
            }
        }
    }

    /// What the notifier still holds of what it deleted.
    fn dialogs(&self, books: &Books) -> Option<String> {
        for uri in self.resources() {
            let held = books.resources.get(&uri).map_or(0, |held| held.dialogs);
            if held > 0 {
                return Some(format!("the end of {held} dialogs of {uri}"));
            }
        }
        None
    }

    /// A callback.
    fn called(&mut self, io: &mut Io<'_>, link: LinkId, request: &Request) {
        let document = Document::read(self.face, &request.body);
        let id = request.field("Content-Location").rsplit('/').next().unwrap_or_default().to_owned();
        let delivery = request.field("Offhook-Delivery-Id").to_owned();
        let is_current = io.is_current(link);
        io.books.seen.callbacks += 1;
        let called = self.called.entry(id).or_default();
        let version = document.version;
        if let Some(known) = called.deliveries.get(&delivery) {
            assert_eq!(*known, version, "a delivery is always the same");
        } else {
            let is_another = called.deliveries.values().any(|known| *known == version);
            assert!(!is_another, "one version, two deliveries: {document:?}");
            called.deliveries.insert(delivery, version);
            // What was on its way when its connection was cut may come late, and a crash takes back that one has died.
            if is_current {
                let (life, before) = std::mem::replace(&mut called.seen, (io.life(), version));
                let is_behind = life == io.life() && version < before;
                assert!(!is_behind, "a callback of version {before} came before: {document:?}");
            }
        }
        if !io.calm && io.rng.below(60) == 0 {
            called.refused = true;
            return self.served.answer(io, link, Fate::Refuse(410), "");
        }
        let fate = self.served.fate(io);
        self.served.answer(io, link, fate, "");
        if fate.takes() {
            called.version = called.version.max(version);
            called.ended = document.ended.or(called.ended.take());
        }
    }
}

impl Client for Subscriber {
    fn name(&self) -> &'static str {
        "a subscriber"
    }

    fn address(&self) -> Option<SocketAddr> {
        Some(self.served.site.address())
    }

    fn wake(&mut self, io: &mut Io<'_>) {
        self.go_on(io);
    }

    fn connected(&mut self, io: &mut Io<'_>, link: LinkId) {
        if self.api.is(link) {
            self.interrupted();
            self.api.connected();
            self.go_on(io);
        } else {
            self.served.connected(link);
        }
    }

    fn received(&mut self, io: &mut Io<'_>, link: LinkId, bytes: &[u8]) {
        if self.api.is(link) {
            self.api.received.extend_from_slice(bytes);
            while let Some(reply) = take_reply(&mut self.api.received, false) {
                self.answered(io, link, &reply);
            }
        } else if let Some(request) = self.served.received(link, bytes) {
            self.called(io, link, &request);
        }
    }

    fn ended(&mut self, io: &mut Io<'_>, link: LinkId, _how: End) {
        if self.api.is(link) {
            self.interrupted();
            self.api.ended(io);
        } else {
            self.served.ended(link);
        }
    }

    fn waits_for(&self, _books: &Books) -> Option<String> {
        (self.stage != Stage::Done).then(|| format!("{:?}: {}", self.stage, self.reason))
    }

    fn leave(&mut self, io: &mut Io<'_>) {
        self.left = true;
        self.api.leave(io);
        self.served.leave(io);
    }
}
