//! The REST hooks of Flashphoner's Web Call Server 5: a backend gets `POST {application url}/{hook}` for each event of
//! its application ([`hook`]), one at a time per session ([`queue`]), and what it answers decides what follows
//! ([`judge`]). Its other face is a websocket: each is a session ([`session`]) of messages ([`envelope`], [`messages`]),
//! which begins when the backend lets it, and whose client gets the same events.
//!
//! What is absent: media and calls, so that a client's operations fail but for `sendData`. The websockets read no feed:
//! what a client gets is rendered for its session alone.
//!
//! A session lives on the engine that has its socket. The others hear of it by records that are not kept, so that all
//! agree, at each event's place in the log, on the one engine that tells the client and calls the hook: that of the
//! session, else the one that the hash of the appKey names.

mod act;
pub mod change;
pub mod config;
pub mod envelope;
pub mod hook;
pub mod judge;
mod leftover;
pub mod messages;
mod opening;
mod operating;
pub mod queue;
pub mod receiver;
mod routes;
pub mod session;
pub mod table;
mod telling;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::{Asker, Dialect, Verdict, native, problem};
use crate::event::output::Output;
use crate::event::vocabulary::{Tongue, Vocabulary};
use crate::event::{Data, Event, Fact};
use crate::ground::config::{Config, Keepalive, RestPolicy, WcsApp};
use crate::ground::id::{ConnId, Seq, ShardId};
use crate::ground::stats::{NotSent, Stats, WcsHookStats};
use crate::ground::time::Mono;
use crate::hub::Hub;
use crate::hub::action::Level;
use crate::hub::call::CallId;
use crate::hub::call::{Answer, CallFault};
use crate::hub::conn::Stream;
use crate::hub::socket::CloseCode;
use crate::log::record::{Actor, Body, Record};
use crate::wire::Fault;
use crate::wire::http::head::Head;
use crate::wire::http::reply::Reply;
use crate::wire::ws::Message;
use crate::wire::ws::frame;

use change::{Change, Ended, Words};
use hook::{Backend, Fields};
use leftover::Leftover;
use opening::CONNECTION_TYPE;
use queue::Queue;
use session::{Place, Sessions};

const NAME: &str = "wcs";

/// The type of the event that is what a client sent with `sendData`: `operation_id` and `payload`.
pub const DATA_SENT: &str = "data.sent";

/// The bit that tells the numbers of hooks without an event in the log from those of events.
const DIRECT: u64 = 1 << 63;

/// The deadline that writes down the outcomes of a turn.
const SETTLE: u32 = 1;

/// From here on deadlines are those of sessions, by their tags: `connection` must have come.
const FIRST_TAG: u32 = 2;

const NODE_CHARS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const NODE_LEN: usize = 32;

/// The state of the WCS dialect.
#[derive(Debug)]
pub struct Wcs {
    /// Its place in the list of dialects.
    place: u8,
    backends: BTreeMap<String, Backend>,
    queue: Queue,
    /// The first part of `nodeId`, and where the log last said it.
    node: Option<(Box<str>, Seq)>,
    /// Calls under way, by the numbers of their events.
    calls: BTreeMap<u64, Calling>,
    /// Outcomes of this turn that are not written down yet.
    outcomes: Vec<Ended>,
    counters: BTreeMap<(Box<str>, Box<str>), WcsHookStats>,
    /// Hooks whose first 404 was told.
    not_found: BTreeSet<(Box<str>, Box<str>)>,
    /// Applications that the outbox was told of since the start.
    introduced: BTreeSet<Box<str>>,
    /// This engine's sessions.
    sessions: Sessions,
    /// The sessions of all engines, by name.
    places: BTreeMap<Box<str>, Place>,
    /// Sessions that the log left open.
    leftovers: BTreeMap<Box<str>, Leftover>,
    /// Hooks so far that are of no event.
    asked: u64,
    /// All that the log held is applied.
    started: bool,
}

/// One hook under way.
#[derive(Debug)]
struct Calling {
    call: CallId,
    started: Mono,
    /// What the whole call has, as its first attempt saw it.
    timeout_ms: u64,
    attempts: u32,
}

impl Wcs {
    /// The dialect at this place in the list.
    pub fn new(hub: &mut Hub, place: u8) -> Wcs {
        let mut wcs = Wcs {
            place,
            backends: BTreeMap::new(),
            queue: Queue::default(),
            node: None,
            calls: BTreeMap::new(),
            outcomes: Vec::new(),
            counters: BTreeMap::new(),
            not_found: BTreeSet::new(),
            introduced: BTreeSet::new(),
            sessions: Sessions::default(),
            places: BTreeMap::new(),
            leftovers: BTreeMap::new(),
            asked: 0,
            started: false,
        };
        wcs.compile(hub);
        wcs
    }

    fn compile(&mut self, hub: &mut Hub) {
        self.backends.clear();
        let mut notes = Vec::new();
        for app in &hub.config.wcs.apps {
            match Backend::new(app) {
                Ok(backend) => drop(self.backends.insert(app.key.clone(), backend)),
                Err(wrong) => {
                    notes.push(format!("wcs: application {}: url: {wrong}; no hook is called", app.key))
                }
            }
        }
        notes.into_iter().for_each(|note| hub.note(Level::Warn, note));
    }

    /// One engine appends what the config file says of applications and the log does not.
    fn compare(&mut self, hub: &mut Hub) {
        if hub.place.shard.0 != 0 {
            return;
        }
        let Hub { config, rng, .. } = &mut *hub;
        let mut changes = Vec::new();
        if self.node.is_none() && config.wcs.node_id.is_none() && !config.wcs.apps.is_empty() {
            let mut draw = |_| char::from(NODE_CHARS[rng.below(NODE_CHARS.len() as u64) as usize]);
            changes.push(Change::Node { id: (0..NODE_LEN).map(&mut draw).collect::<String>().into() });
        }
        let mut notes = Vec::new();
        for app in &config.wcs.apps {
            let words = words(config, app);
            if self.queue.app(&app.key).is_none_or(|known| known.gone || known.words != words) {
                changes.push(Change::App { key: app.key.as_str().into(), words });
            }
            notes.push(introduction(config, app));
        }
        for key in self.queue.keys() {
            if config.wcs.app(&key).is_none() && self.queue.app(&key).is_some_and(|app| !app.gone) {
                changes.push(Change::Removed { key });
            }
        }
        for change in changes {
            append(hub, &change);
        }
        notes.into_iter().for_each(|note| hub.note(Level::Info, note));
    }

    /// Whether an event with this appkey and sessionid is this engine's affair.
    fn is_mine(&self, hub: &Hub, key: &str, session: &str) -> bool {
        match self.places.get(session).filter(|place| *place.app == *key) {
            Some(place) => place.shard == hub.place.shard,
            None => self.owns(hub, key),
        }
    }

    /// Whether an open session's socket is, or was, this engine's.
    fn is_here(&self, hub: &Hub, session: &str) -> bool {
        self.places.get(session).is_some_and(|place| place.shard == hub.place.shard)
    }

    /// Whether this engine calls the hooks of an application where no session decides. The hash is the same in all engines.
    fn owns(&self, hub: &Hub, key: &str) -> bool {
        let hash = FixedState::default().hash_one(key);
        hash % u64::from(hub.place.shards.max(1)) == u64::from(hub.place.shard.0)
    }

    /// Says again what is live and was last said at or before `through`, so that the log's old segments can go.
    fn say_again(&mut self, hub: &mut Hub, through: Seq) {
        let mut changes = Vec::new();
        if hub.place.shard.0 == 0 {
            let node = self.node.iter().filter(|(_, said)| *said <= through);
            changes.extend(node.map(|(id, _)| Change::Node { id: id.clone() }));
            for key in self.queue.keys() {
                let app = self.queue.app(&key).filter(|app| !app.gone && app.said <= through);
                changes.extend(app.map(|app| Change::App { key: key.clone(), words: app.words.clone() }));
            }
        }
        for (seq, hook) in self.queue.hooks().filter(|(_, hook)| hook.said <= through) {
            let mut event = Vec::new();
            native::render::json(&hook.event, &mut event);
            let event = String::from_utf8(event).expect("JSON is UTF-8").into_boxed_str();
            changes.push(Change::Waiting { seq, app: hook.app.clone(), hook: hook.name.clone(), event });
        }
        for change in changes {
            append(hub, &change);
        }
        self.say_open_sessions(hub, through);
    }

    fn apply(&mut self, hub: &mut Hub, record: &Record, change: Change) {
        let said = hub.applied;
        match change {
            Change::Opened { session, app, shard } => {
                let shard = ShardId(shard);
                let known = self.places.contains_key(&session);
                if !known {
                    self.places.insert(session, Place { app, shard, last: said, gone: false });
                } else if shard == hub.place.shard && !self.is_here(hub, &session) {
                    self.opened_elsewhere(hub, &session);
                }
            }
            Change::Begun { session, app, data } => self.begun(hub, &session, &app, &data),
            Change::Gone { session } => {
                if let Some(place) = self.places.get_mut(&session) {
                    place.gone = true;
                }
            }
            Change::Closed { session, through } => self.closed_through(hub, &session, through),
            Change::Push { session, data } => self.pushed(hub, record, &session, &data),
            Change::Node { id } => {
                self.node = Some((id, said));
                self.pump_all(hub);
            }
            Change::App { key, words } => {
                self.queue.put_app(&key, words, said);
                self.go_on(hub, &key);
            }
            Change::Removed { key } => {
                self.queue.remove_app(&key);
                self.go_on(hub, &key);
            }
            // While the server runs its owner has the hook already, or has just ended it.
            Change::Waiting { seq, .. } if !hub.recovering => self.queue.touch(seq, said),
            Change::Waiting { seq, app, hook, event } => {
                if self.owns(hub, &app) {
                    match native::read::stored(&event) {
                        Ok(event) => self.queue.push(seq, &app, &hook, &Arc::new(event), said),
                        Err(wrong) => hub.note(Level::Warn, format!("wcs: hook {seq} in the log: {wrong}")),
                    }
                    self.go_on(hub, &app);
                }
            }
            Change::Ended { hooks } => {
                for ended in hooks {
                    self.queue.end(ended.seq);
                }
            }
        }
    }

    /// Calls what may be called of an application: at once, or when all that the log held is applied.
    fn go_on(&mut self, hub: &mut Hub, key: &str) {
        if self.started {
            self.pump(hub, key);
        }
    }

    /// Writes down the outcomes of this turn, in one record.
    fn settle(&mut self, hub: &mut Hub) {
        if !self.outcomes.is_empty() {
            let hooks = std::mem::take(&mut self.outcomes);
            append(hub, &Change::Ended { hooks });
        }
    }
}

fn append(hub: &mut Hub, change: &Change) {
    hub.append(Actor::Server(NAME), None, true, true, Body::Change(NAME, change.encode()));
}

/// Sends a change to all engines that need not survive a crash, with who asked for it and waits.
fn append_passing(hub: &mut Hub, asked: Option<(ConnId, u32)>, change: &Change) {
    let actor = asked.map_or(Actor::Server(NAME), |(conn, _)| hub.actor(conn));
    hub.append(actor, asked, true, false, Body::Change(NAME, change.encode()));
}

/// Publishes an event of our own.
fn publish_own(hub: &mut Hub, event_type: &str, subject: Option<Box<str>>, scope: Fields, facts: Fields) {
    let event = hub.draft(event_type, subject, scope, facts);
    hub.append(Actor::Server(NAME), None, true, true, Body::Event(event.into()));
}

/// The extension attributes of an application, and of a session unless its name is empty.
fn scope(app: &str, session: &str) -> Fields {
    let text = |text: &str| Fact::Text(text.into());
    let session = (!session.is_empty()).then(|| ("sessionid".into(), text(session)));
    [("appkey".into(), text(app))].into_iter().chain(session).collect()
}

/// The event types that become hooks of an application.
fn words(config: &Config, app: &WcsApp) -> Words {
    let is_called = |hook: &str| {
        let policy = app.policies.get(hook).map(|policy| policy.policy).unwrap_or_default();
        app.hooks.iter().any(|listed| listed == hook)
            && policy != RestPolicy::Disable
            && (hook != table::STREAM_KEEP_ALIVE || app.stream_keepalive)
    };
    if config.wcs.disable {
        return Words::new();
    }
    let all = Vocabulary::wcs_words(&config.vocabulary);
    let called = all.into_iter().filter(|(_, hook)| is_called(hook));
    called.map(|(event_type, hook)| (event_type.into(), hook.into())).collect()
}

/// The line that says which hooks an application has: a new one calls none, which puzzles people.
fn introduction(config: &Config, app: &WcsApp) -> String {
    let hooks = match app.hooks.len() {
        _ if config.wcs.disable => "none, because [wcs] disable is set".to_owned(),
        0 => "none".to_owned(),
        _ => app.hooks.join(", "),
    };
    format!("wcs: application {} at {}: hooks: {hooks}", app.key, app.url)
}

impl Dialect for Wcs {
    fn name(&self) -> &'static str {
        NAME
    }

    fn claims(&self, hub: &Hub, path: &str) -> bool {
        routes::claims(&hub.config, path)
    }

    fn judge(&mut self, hub: &mut Hub, asker: Asker, head: &Head<'_>) -> Verdict {
        routes::judge(hub, asker, head)
    }

    fn serve(&mut self, hub: &mut Hub, asker: Asker, head: &Head<'_>, content: &[u8]) {
        self.serve_request(hub, asker, head, content);
    }

    fn message(&mut self, hub: &mut Hub, _id: ConnId, stream: &Stream, message: Message) {
        self.hear(hub, stream.tag, &message);
    }

    fn closed(&mut self, hub: &mut Hub, _output: &Output, stream: &Stream) {
        self.socket_closed(hub, stream.tag);
    }

    fn refusal(&self, _path: &str, fault: Fault) -> Reply {
        problem::problem(fault.status, fault.reason)
    }

    fn publish(&mut self, hub: &mut Hub, seq: Seq, record: &Record, event: &Arc<Event>) {
        let session = event.extension("sessionid").unwrap_or_default();
        if let Some(place) = self.places.get_mut(session) {
            place.last = seq;
        }
        if hub.recovering
            && &*event.event_type == CONNECTION_TYPE
            && record.header.actor == Actor::Server(NAME)
        {
            self.recover_status(event);
        }
        let Some(key) = event.extension("appkey") else { return };
        let word = hub.vocabulary.word(&event.event_type, Tongue::Wcs).map(str::to_owned);
        let app = self.queue.app(key).filter(|app| !app.gone);
        let hook = app.and_then(|app| app.words.get(&event.event_type)).cloned();
        let not_sent = match &event.data {
            _ if app.is_none() => word.is_some().then_some(NotSent::Scope),
            _ if word.is_none() && hook.is_none() => {
                (&*event.event_type != DATA_SENT).then_some(NotSent::NoWord)
            }
            Data::None | Data::Facts(_) => None,
            Data::Json(_) | Data::Base64(_) => {
                (hook.is_some() || !session.is_empty()).then_some(NotSent::Nested)
            }
        };
        if let Some(reason) = not_sent {
            if hub.is_own(record) {
                hub.stats.not_sent(NAME, reason, 1);
            }
        } else if self.is_mine(hub, key, session) {
            self.tell_then_call(hub, seq, record, event, word.as_deref(), hook.as_deref());
        }
    }

    fn change(&mut self, hub: &mut Hub, record: &Record, change: &[u8]) {
        match serde_json::from_slice::<Change>(change) {
            Ok(change) => self.apply(hub, record, change),
            Err(wrong) => {
                hub.note(Level::Warn, format!("wcs: a record that this version does not know: {wrong}"))
            }
        }
    }

    fn keepalive(&self, hub: &Hub, _stream: &Stream) -> (&'static [u8], u64) {
        let every_ms = hub.config.wcs.keepalive_interval_ms;
        match hub.config.wcs.keepalive {
            Keepalive::HighLevel => (envelope::PING, every_ms),
            Keepalive::Internal => (frame::PING, every_ms),
            Keepalive::None => (b"", u64::MAX),
        }
    }

    fn answered(&mut self, hub: &mut Hub, key: u64, result: Result<Answer, CallFault>) {
        self.hook_answered(hub, key, result);
    }

    fn handle_timeout(&mut self, hub: &mut Hub, key: u32, _at: Mono) {
        match key {
            SETTLE => self.settle(hub),
            _ => self.connection_due(hub, key - FIRST_TAG),
        }
    }

    fn started(&mut self, hub: &mut Hub) {
        self.started = true;
        self.compare(hub);
        self.end_leftovers(hub);
        self.pump_all(hub);
    }

    fn restate(&mut self, hub: &mut Hub, through: Seq) {
        self.say_again(hub, through);
    }

    fn reloaded(&mut self, hub: &mut Hub) {
        self.compile(hub);
        self.compare(hub);
        self.pump_all(hub);
        self.dismiss_the_removed(hub);
    }

    /// Hooks that wait are called after the next start; those under way have the time that a stop gives.
    fn stop(&mut self, hub: &mut Hub) {
        for tag in self.sessions.tags() {
            self.shut(hub, tag, CloseCode::GOING_AWAY, "the server stops");
        }
    }

    fn stats(&self, hub: &Hub, stats: &mut Stats) {
        for ((app, hook), counted) in &self.counters {
            stats.wcs_hooks.insert((app.to_string(), hook.to_string()), counted.clone());
        }
        for app in &hub.config.wcs.apps {
            let unfinished = self.queue.app(&app.key).map_or(0, queue::App::unfinished);
            stats.wcs_waiting.insert(app.key.clone(), unfinished);
        }
    }
}
