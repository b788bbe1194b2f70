//! The REST hooks of Flashphoner's Web Call Server 5: a backend gets `POST {application url}/{hook}` for each event of
//! its application ([`hook`]), one at a time per session ([`queue`]), and what it answers decides what follows
//! ([`judge`]).
//!
//! What is absent: the websocket, and with it sessions, the hooks that come before an operation, and a
//! `restClientConfig` from a backend. Until it is there the client's side is the native API: what a client would be told
//! is published as an event of the type [`ERROR_TYPE`].

mod act;
pub mod change;
pub mod config;
pub mod hook;
pub mod judge;
pub mod queue;
pub mod receiver;
pub mod table;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::{Asker, Dialect, Verdict, native, problem};
use crate::event::vocabulary::{Tongue, Vocabulary};
use crate::event::{Data, Event};
use crate::ground::config::{Config, RestPolicy, WcsApp};
use crate::ground::id::Seq;
use crate::ground::stats::{NotSent, Stats, WcsHookStats};
use crate::ground::time::Mono;
use crate::hub::Hub;
use crate::hub::action::Level;
use crate::hub::call::CallId;
use crate::hub::call::{Answer, CallFault};
use crate::hub::conn::{Conn, Stream};
use crate::log::record::{Actor, Body, Record};
use crate::wire::Fault;
use crate::wire::http::head::Head;
use crate::wire::http::reply::Reply;

use change::{Change, Ended, Words};
use hook::Backend;
use queue::Queue;

const NAME: &str = "wcs";

/// The type of the event that stands for a message to a WCS client: `data.message` is the message's name (`fail`,
/// `ErrorEvent`), and the other members are those of the one object in its `data`, in snake_case.
pub const ERROR_TYPE: &str = "wcs.error";

/// The deadline that writes down the outcomes of a turn.
const SETTLE: u32 = 1;

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

    /// Whether this engine calls the hooks of an application. The hash is the same in all engines.
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
    }

    fn apply(&mut self, hub: &mut Hub, change: Change) {
        let said = hub.applied;
        match change {
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

    /// No path is its own while there is no websocket.
    fn claims(&self, _hub: &Hub, _path: &str) -> bool {
        false
    }

    fn judge(&mut self, _hub: &mut Hub, _asker: Asker, _head: &Head<'_>) -> Verdict {
        Verdict::Refuse(problem::problem(404, "no such address"))
    }

    fn serve(&mut self, hub: &mut Hub, asker: Asker, _head: &Head<'_>, _content: &[u8]) {
        hub.reply(asker.conn, asker.request, problem::problem(404, "no such address"));
    }

    fn refusal(&self, fault: Fault) -> Reply {
        problem::problem(fault.status, fault.reason)
    }

    fn publish(&mut self, hub: &mut Hub, seq: Seq, record: &Record, event: &Arc<Event>) {
        let Some(key) = event.extension("appkey") else { return };
        let has_word = hub.vocabulary.word(&event.event_type, Tongue::Wcs).is_some();
        let app = self.queue.app(key).filter(|app| !app.gone);
        let hook = app.and_then(|app| app.words.get(&event.event_type)).cloned();
        let not_sent = match (&hook, &event.data) {
            _ if app.is_none() => has_word.then_some(NotSent::Scope),
            (None, _) => (!has_word && &*event.event_type != ERROR_TYPE).then_some(NotSent::NoWord),
            (Some(_), Data::None | Data::Facts(_)) => None,
            (Some(_), Data::Json(_) | Data::Base64(_)) => Some(NotSent::Nested),
        };
        if let Some(reason) = not_sent {
            if hub.is_own(record) {
                hub.stats.not_sent(NAME, reason, 1);
            }
        } else if let Some(hook) = hook.filter(|_| self.owns(hub, key)) {
            self.enqueue(hub, seq, key, &hook, event);
        }
    }

    fn change(&mut self, hub: &mut Hub, _record: &Record, change: &[u8]) {
        match serde_json::from_slice::<Change>(change) {
            Ok(change) => self.apply(hub, change),
            Err(wrong) => {
                hub.note(Level::Warn, format!("wcs: a record that this version does not know: {wrong}"))
            }
        }
    }

    fn keepalive(&self, _hub: &Hub, _stream: &Stream) -> (&'static [u8], u64) {
        (b"", u64::MAX)
    }

    fn lags(&self, _hub: &Hub, _conn: &Conn) -> bool {
        false
    }

    fn stall_ms(&self, hub: &Hub) -> u64 {
        hub.config.limits.stream_stall_ms
    }

    fn answered(&mut self, hub: &mut Hub, key: u64, result: Result<Answer, CallFault>) {
        self.hook_answered(hub, key, result);
    }

    fn handle_timeout(&mut self, hub: &mut Hub, key: u32, _at: Mono) {
        debug_assert_eq!(key, SETTLE);
        self.settle(hub);
    }

    fn started(&mut self, hub: &mut Hub) {
        self.started = true;
        self.compare(hub);
        self.pump_all(hub);
    }

    fn restate(&mut self, hub: &mut Hub, through: Seq) {
        self.say_again(hub, through);
    }

    fn reloaded(&mut self, hub: &mut Hub) {
        self.compile(hub);
        self.compare(hub);
        self.pump_all(hub);
    }

    /// Hooks that wait are called after the next start; those under way have the time that a stop gives.
    fn stop(&mut self, _hub: &mut Hub) {}

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
