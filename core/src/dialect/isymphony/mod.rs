//! The websocket Event API of the iSymphony panel server (3.2 and later): a client comes in with user and password
//! (`routes`), gets every event as one JSON object in one text frame ([`render`]), and narrows them with filter messages
//! ([`read`], `stream`).
//!
//! What is absent: the Live API under `/communication_manager/rest`, a replay and a snapshot, which the protocol has none
//! of.

pub mod broken;
pub mod change;
pub mod read;
pub mod render;
mod routes;
mod stream;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::{Asker, Dialect, Verdict, problem};
use crate::event::Event;
use crate::event::arena::Bounds;
use crate::event::channel::Channel;
use crate::event::filter::Properties as _;
use crate::event::output::Output;
use crate::event::projection;
use crate::event::vocabulary::Vocabulary;
use crate::ground::config::Config;
use crate::ground::id::{ConnId, Seq};
use crate::ground::slots::Slots;
use crate::hub::Hub;
use crate::hub::action::Level;
use crate::hub::addresses::PerAddress;
use crate::hub::conn::Stream;
use crate::hub::socket::{Backlog, CloseCode};
use crate::log::record::{Actor, Body, Record};
use crate::wire::Fault;
use crate::wire::http::head::Head;
use crate::wire::http::reply::Reply;
use crate::wire::ws::{Message, frame};

use change::Change;

const NAME: &str = "isymphony";

/// The state of the iSymphony dialect.
#[derive(Debug)]
pub struct Isymphony {
    channel: u8,
    /// `coreServerId`, and where the log last said it.
    core_server: Option<(Box<str>, Seq)>,
    /// The addresses of open websockets, by the tags of their streams.
    sockets: Slots<IpAddr>,
    by_address: PerAddress,
    /// Event types of the vocabulary, and others that came.
    types: BTreeSet<Box<str>>,
    frame: Vec<u8>,
}

impl Isymphony {
    /// Opens its channel, which must become number `channel`.
    pub fn new(hub: &mut Hub, channel: u8) -> Isymphony {
        assert_eq!(hub.channels.len(), usize::from(channel), "channels stand in the order of the dialects");
        let (bounds, runs_max) = bounds(&hub.config);
        hub.channels.push(Channel::new(bounds, runs_max, hub.hash_seed));
        Isymphony {
            channel,
            core_server: None,
            sockets: Slots::default(),
            by_address: PerAddress::default(),
            types: Vocabulary::isymphony_words(&hub.config.vocabulary),
            frame: Vec::new(),
        }
    }

    fn core_server_id(&self) -> &str {
        self.core_server.as_ref().map_or("", |(id, _)| id)
    }

    /// One engine draws `coreServerId` when there is somebody to tell it to.
    fn introduce(&self, hub: &mut Hub) {
        if hub.place.shard.0 != 0 {
            return;
        }
        if !hub.config.is_isymphony_open() {
            if hub.config.listeners.iter().any(|listener| listener.serves(NAME)) {
                let text = format!("isymphony: {} answers 503: {}", routes::EVENTS, routes::CLOSED);
                hub.note(Level::Info, text);
            }
        } else if self.core_server.is_none() {
            let id = hub.rng.uuid_v4();
            append(hub, Change::CoreServer { id });
        }
    }
}

fn bounds(config: &Config) -> (Bounds, usize) {
    let limits = &config.limits;
    let bounds = Bounds { bytes: limits.isymphony_arena_bytes, frames: u64::MAX, age_ms: u64::MAX };
    (bounds, limits.isymphony_backlog_events.max(1) as usize)
}

fn append(hub: &mut Hub, change: Change) {
    hub.append(Actor::Server(NAME), None, true, true, Body::Change(NAME, change.encode()));
}

impl Dialect for Isymphony {
    fn name(&self) -> &'static str {
        NAME
    }

    fn claims(&self, _hub: &Hub, path: &str) -> bool {
        routes::claims(path)
    }

    fn judge(&mut self, hub: &mut Hub, asker: Asker, head: &Head<'_>) -> Verdict {
        self.judge_request(hub, asker, head)
    }

    fn serve(&mut self, hub: &mut Hub, asker: Asker, head: &Head<'_>, _content: &[u8]) {
        self.open(hub, asker, head);
    }

    fn refusal(&self, _path: &str, fault: Fault) -> Reply {
        problem::problem(fault.status, fault.reason)
    }

    fn publish(&mut self, hub: &mut Hub, seq: Seq, record: &Record, event: &Arc<Event>) {
        let Hub { channels, vocabulary, config, .. } = &mut *hub;
        // Those that came in before a reload closed the door stay.
        if !config.is_isymphony_open() && self.sockets.is_empty() {
            return;
        }
        let channel = &mut channels[usize::from(self.channel)];
        match projection::Isymphony::new(event, vocabulary, self.core_server_id()) {
            Ok(projected) => {
                if channel.find(&projected) {
                    self.frame.clear();
                    frame::text(&mut self.frame, |out| render::event(&projected, out));
                    channel.publish(&self.frame, seq, record.header.wall, None);
                }
                let word = projected.get("type").unwrap_or_default();
                if !self.types.contains(word) && (self.types.len() as u64) < config.limits.isymphony_types {
                    self.types.insert(word.into());
                }
            }
            Err(reason) => {
                if hub.is_own(record) {
                    hub.stats.not_sent(NAME, reason, 1);
                }
            }
        }
    }

    fn change(&mut self, hub: &mut Hub, _record: &Record, change: &[u8]) {
        match serde_json::from_slice(change) {
            Ok(Change::CoreServer { id }) => self.core_server = Some((id.to_string().into(), hub.applied)),
            Err(e) => {
                hub.note(Level::Warn, format!("isymphony: a change of a later version was skipped: {e}"))
            }
        }
    }

    fn keepalive(&self, hub: &Hub, _stream: &Stream) -> (&'static [u8], u64) {
        (frame::PING, hub.config.isymphony.ping_ms)
    }

    fn message(&mut self, hub: &mut Hub, id: ConnId, _stream: &Stream, message: Message) {
        self.take_message(hub, id, message);
    }

    fn backlog(&self, hub: &Hub) -> Option<Backlog> {
        let limits = &hub.config.limits;
        Some(Backlog { events: limits.isymphony_backlog_events, bytes: limits.isymphony_backlog_bytes })
    }

    fn missed(&self, hub: &Hub, _stream: &Stream, events: u64) -> Option<Vec<u8>> {
        let id = self.core_server_id();
        let notice = || stream::text(|out| render::dropped(id, events, hub.now.wall, out));
        hub.config.isymphony.dropped_notice.then(notice)
    }

    fn stall_ms(&self, hub: &Hub) -> u64 {
        hub.config.limits.isymphony_stall_ms
    }

    fn closed(&mut self, _hub: &mut Hub, _output: &Output, stream: &Stream) {
        self.leave(stream.tag);
    }

    fn started(&mut self, hub: &mut Hub) {
        self.introduce(hub);
    }

    fn reloaded(&mut self, hub: &mut Hub) {
        let (bounds, runs_max) = bounds(&hub.config);
        hub.channels[usize::from(self.channel)].set_bounds(bounds, runs_max);
        self.types.append(&mut Vocabulary::isymphony_words(&hub.config.vocabulary));
        self.introduce(hub);
    }

    fn restate(&mut self, hub: &mut Hub, through: Seq) {
        let said = self.core_server.as_ref().filter(|(_, said)| *said <= through);
        if hub.place.shard.0 == 0
            && let Some(id) = said.and_then(|(id, _)| id.parse().ok())
        {
            append(hub, Change::CoreServer { id });
        }
    }

    fn stop(&mut self, hub: &mut Hub) {
        for id in hub.conns.streams_of(self.channel) {
            hub.close_socket(id, CloseCode::GOING_AWAY, "the server stops");
        }
    }
}
