//! The eventhandler dialect of PowerMedia XMS: a client makes an eventhandler over REST and XML (`routes`,
//! [`read`]), then holds one GET open and gets a chunked stream of XML events ([`render`], `stream`). Eventhandlers
//! are state that all engines share through the log ([`state`]).

pub mod change;
pub mod read;
pub mod render;
mod restart;
mod routes;
pub mod state;
mod stream;

use std::sync::Arc;

use super::{Asker, Dialect, Verdict};
use crate::event::arena::Bounds;
use crate::event::channel::Channel;
use crate::event::filter::Properties;
use crate::event::output::Output;
use crate::event::projection::{canonical, is_flat};
use crate::event::vocabulary::{Tongue, Vocabulary, XMS_WORDS};
use crate::event::{Data, Event};
use crate::ground::config::Config;
use crate::ground::id::{ConnId, Seq};
use crate::ground::stats::{NotSent, Stats};
use crate::ground::time::Mono;
use crate::hub::Hub;
use crate::hub::action::Level;
use crate::hub::conn::{Conn, Stream};
use crate::log::record::Record;
use crate::wire::Fault;
use crate::wire::http::head::Head;
use crate::wire::http::reply::Reply;

use state::State;

const NAME: &str = "xms";

/// The state of the XMS dialect.
#[derive(Debug)]
pub struct Xms {
    channel: u8,
    state: State,
    /// Requests that wait for their record, with what `Location` is built from.
    creating: Vec<(ConnId, u32, String)>,
    /// The log will be told how far streams have come.
    progress_armed: bool,
    frame: Vec<u8>,
}

impl Xms {
    /// Opens its channel, which must become number `channel`.
    pub fn new(hub: &mut Hub, channel: u8) -> Xms {
        assert_eq!(hub.channels.len(), usize::from(channel), "channels stand in the order of the dialects");
        let (bounds, runs_max) = bounds(&hub.config);
        hub.channels.push(Channel::new(bounds, runs_max, hub.hash_seed));
        Xms {
            channel,
            state: State::new(hub.hash_seed),
            creating: Vec::new(),
            progress_armed: false,
            frame: Vec::new(),
        }
    }
}

fn bounds(config: &Config) -> (Bounds, usize) {
    // A frame has bytes, so their bound is one for the number of frames too.
    let bounds =
        Bounds { bytes: config.limits.xms_arena_bytes, frames: u64::MAX, age_ms: config.xms.replay_ms };
    (bounds, config.xms.replay_events.max(1) as usize)
}

/// An event in XMS words.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    /// The event type.
    pub word: &'a str,
    /// `resource_type`.
    pub resource_type: &'a str,
    /// `resource_id`.
    pub resource_id: &'a str,
    /// The application that alone may see it.
    pub appid: Option<&'a str>,
    /// The event itself, for scopes.
    pub event: &'a Event,
}

impl Properties for Words<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        match name {
            "type" => Some(self.word),
            "resource_type" => Some(self.resource_type),
            "resource_id" => Some(self.resource_id),
            "appid" => self.appid,
            _ => canonical(self.event, name).flatten(),
        }
    }

    fn each(&self, visit: &mut dyn FnMut(&str, &str)) {
        visit("type", self.word);
        visit("resource_type", self.resource_type);
        visit("resource_id", self.resource_id);
        if let Some(appid) = self.appid {
            visit("appid", appid);
        }
    }
}

/// An event in XMS words, or why there are none for it.
fn project<'a>(vocabulary: &'a Vocabulary, config: &Config, event: &'a Event) -> Result<Words<'a>, NotSent> {
    let word = vocabulary.word(&event.event_type, Tongue::Xms).ok_or(NotSent::NoWord)?;
    if !is_word(config, word) {
        return Err(NotSent::NoWord);
    }
    let (resource_type, resource_id) = event.resource().ok_or(NotSent::NoSubject)?;
    let flat = match &event.data {
        Data::None => true,
        Data::Facts(facts) => is_flat(facts),
        Data::Json(_) | Data::Base64(_) => false,
    };
    if !flat {
        return Err(NotSent::Nested);
    }
    Ok(Words { word, resource_type, resource_id, appid: event.extension("appid"), event })
}

/// Whether a word may stand on a stream.
fn is_word(config: &Config, word: &str) -> bool {
    XMS_WORDS.contains(&word) || config.xms.extra_types.iter().any(|extra| extra == word)
}

impl Dialect for Xms {
    fn name(&self) -> &'static str {
        NAME
    }

    fn claims(&self, hub: &Hub, path: &str) -> bool {
        routes::claims(&hub.config.xms.prefix, path)
    }

    fn judge(&mut self, hub: &mut Hub, asker: Asker, head: &Head<'_>) -> Verdict {
        self.judge_request(hub, asker, head)
    }

    fn serve(&mut self, hub: &mut Hub, asker: Asker, head: &Head<'_>, content: &[u8]) {
        self.serve_request(hub, asker, head, content);
    }

    fn refusal(&self, _path: &str, fault: Fault) -> Reply {
        render::error(fault.status, fault.reason)
    }

    fn publish(&mut self, hub: &mut Hub, seq: Seq, record: &Record, event: &Arc<Event>) {
        let Hub { channels, vocabulary, config, .. } = &mut *hub;
        let channel = &mut channels[usize::from(self.channel)];
        let not_sent = match project(vocabulary, config, event) {
            Err(reason) => Some(reason),
            Ok(words) => self.publish_words(channel, config, &words, (seq, record), event),
        };
        if let Some(reason) = not_sent
            && hub.is_own(record)
        {
            hub.stats.not_sent(NAME, reason, 1);
            if reason == NotSent::TooLarge {
                let text =
                    format!("xms: event {} is larger than an XMS event may be; it was left out", event.id);
                hub.note(Level::Warn, text);
            }
        }
    }

    fn change(&mut self, hub: &mut Hub, record: &Record, change: &[u8]) {
        self.apply(hub, record, change);
    }

    fn keepalive(&self, hub: &Hub, stream: &Stream) -> (&'static [u8], u64) {
        (render::keepalive(stream.lending.bare), hub.config.xms.keepalive_ms)
    }

    /// A stream may lag by what would be replayed, and no further.
    fn lags(&self, hub: &Hub, conn: &Conn) -> bool {
        let Some(stream) = conn.stream().and_then(|s| self.state.streams.get(s.tag)) else { return false };
        let read = stream.base + conn.output.sent_frames();
        let matched = self.state.matched(hub, self.channel, stream.handler);
        matched.saturating_sub(read) > hub.config.xms.replay_events
    }

    fn stall_ms(&self, hub: &Hub) -> u64 {
        hub.config.xms.replay_ms
    }

    fn behind_ms(&self, hub: &Hub, output: &Output) -> Option<u64> {
        let channel = &hub.channels[usize::from(self.channel)];
        let (runs, cursor) = output.unsent(channel.arena());
        let next = runs.first().map(|run| run.start).or_else(|| {
            let tail = output.tail()?;
            channel.feed(tail.feed).runs_from(cursor?, channel.arena()).next().map(|run| run.start)
        });
        let waiting_since = next.and_then(|at| channel.arena().wall_at(at));
        Some(waiting_since.map_or(0, |since| hub.now.wall.since(since)))
    }

    fn closed(&mut self, hub: &mut Hub, output: &Output, stream: &Stream) {
        self.stream_closed(hub, output, stream);
    }

    fn handle_timeout(&mut self, hub: &mut Hub, key: u32, at: Mono) {
        match key {
            restart::PROGRESS => self.progress_due(hub),
            place => self.handler_due(hub, place, at),
        }
    }

    fn restarted(&mut self, hub: &mut Hub, record: &Record) {
        self.end_streams(hub, record);
    }

    fn started(&mut self, hub: &mut Hub) {
        self.rearm_expiry(hub);
    }

    fn restate(&mut self, hub: &mut Hub, through: Seq) {
        self.restate_handlers(hub, through);
    }

    fn carried(&mut self, hub: &mut Hub, _record: &Record, change: &[u8], first: bool) {
        self.take_up(hub, change, first);
    }

    fn reloaded(&mut self, hub: &mut Hub) {
        let (bounds, runs_max) = bounds(&hub.config);
        hub.channels[usize::from(self.channel)].set_bounds(bounds, runs_max);
        self.rearm_expiry(hub);
    }

    fn stop(&mut self, hub: &mut Hub) {
        let patience_ms = hub.config.limits.stream_drain_ms;
        for conn in self.state.all_streams() {
            hub.end_stream(conn, patience_ms);
        }
    }

    fn stats(&self, hub: &Hub, stats: &mut Stats) {
        self.state.stats(hub, self.channel, &mut stats.xms_apps);
        for app in &hub.config.xms.apps {
            stats.xms_apps.entry(app.name.clone()).or_default();
        }
    }
}

impl Xms {
    fn publish_words(
        &mut self,
        channel: &mut Channel,
        config: &Config,
        words: &Words<'_>,
        (seq, record): (Seq, &Record),
        event: &Event,
    ) -> Option<NotSent> {
        channel.expire(record.header.wall);
        if !channel.find(words) {
            return None;
        }
        self.frame.clear();
        if !render::frame(words, event, config.limits.xms_event_bytes, &mut self.frame) {
            return Some(NotSent::TooLarge);
        }
        channel.publish(&self.frame, seq, record.header.wall, None);
        None
    }
}
