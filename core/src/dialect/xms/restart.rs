//! What a restart must know: how far open streams had come, and, when old records leave the log, each eventhandler as it
//! stands. A stream that was open at a crash goes on where the log was last told, so its client may get again what it
//! had got since; nothing is lost.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::change::{Change, Progress};
use super::read::Subscription;
use super::state::{Handler, Made, seq_of};
use super::{NAME, Xms};
use crate::event::arena::Position;
use crate::event::channel::Channel;
use crate::ground::config::Only;
use crate::ground::deadline::Due;
use crate::ground::id::Seq;
use crate::ground::time::Wall;
use crate::hub::Hub;
use crate::hub::action::Level;
use crate::log::record::{Actor, Body, Record};

/// The key of the deadline; places of eventhandlers never come near it.
pub(super) const PROGRESS: u32 = u32::MAX;

impl Xms {
    /// While streams are open, the log hears of them.
    pub(super) fn watch_progress(&mut self, hub: &mut Hub) {
        if hub.place.keeps_log && !self.progress_armed {
            self.progress_armed = true;
            let at = hub.now.mono.plus_ms(hub.config.limits.xms_progress_ms);
            hub.deadlines.arm(at, Due::Dialect(self.channel, PROGRESS));
        }
    }

    pub(super) fn progress_due(&mut self, hub: &mut Hub) {
        self.progress_armed = false;
        let channel = &hub.channels[usize::from(self.channel)];
        let mut all = Vec::new();
        let tags: Vec<u32> = self.state.streams.iter().map(|(tag, _)| tag).collect();
        for tag in tags {
            let stream = &mut self.state.streams[tag];
            let Some(conn) = hub.conns.get(stream.conn) else { continue };
            let frames = conn.output.sent_frames();
            if frames == stream.told {
                continue;
            }
            let (runs, cursor) = conn.output.unsent(channel.arena());
            // What waits of earlier subscriptions is said when the stream closes.
            let (true, Some(cursor)) = (runs.is_empty(), cursor) else { continue };
            stream.told = frames;
            let (read, replayed) = (stream.base + frames, frames.min(stream.replay));
            let position = seq_of(channel, cursor, hub.applied);
            let Some(handler) = self.state.at(self.state.streams[tag].handler) else { continue };
            all.push(Progress { id: handler.id, read, sent: frames - replayed, replayed, position });
        }
        if !all.is_empty() {
            append(hub, &Change::Progress(all));
        }
        if !self.state.all_streams().is_empty() {
            self.watch_progress(hub);
        }
    }

    pub(super) fn progress(&mut self, all: &[Progress]) {
        for progress in all {
            if let Some(place) = self.state.place(progress.id)
                && let Some(handler) = self.state.at(place)
            {
                handler.progress = Some(*progress);
            }
        }
    }

    /// The server has started anew: streams that the log knows as open are not.
    pub(super) fn end_streams(&mut self, hub: &mut Hub, record: &Record) {
        let arena = hub.channels[usize::from(self.channel)].arena();
        for place in self.state.places() {
            let Some(handler) = self.state.at(place) else { continue };
            handler.open = 0;
            // Nobody could open a stream while the server was down.
            handler.idle_since = handler.idle_since.max(record.header.wall);
            if let Some(progress) = handler.progress.take() {
                handler.accounted = progress.read;
                handler.sent += progress.sent;
                handler.replayed += progress.replayed;
                handler.position = arena.position_of(Seq(progress.position));
                handler.backlog = Vec::new();
            }
            self.state.bury(place);
        }
    }

    /// Says again those eventhandlers that this engine answers for; they go to shards by their ids, as their expiry does.
    /// Those that were made later have a record of their own making still.
    pub(super) fn restate_handlers(&mut self, hub: &mut Hub, through: Seq) {
        let (shards, shard) = (u128::from(hub.place.shards), u128::from(hub.place.shard.0));
        for place in self.state.places() {
            let channel = &hub.channels[usize::from(self.channel)];
            let Some(handler) = self.state.at(place) else { continue };
            if !handler.gone && handler.born <= through && handler.id.as_u128() % shards == shard {
                let change = serde_json::to_vec(&carried(handler, channel, hub.applied));
                let change = change.expect("plain data without maps is always JSON");
                hub.append(Actor::Server("log"), None, true, true, Body::Change(NAME, change.into()));
            }
        }
    }

    /// Takes up an eventhandler that was carried: first before all records that are left, so that it gets their events,
    /// then in its own place, where it goes on as it stood there.
    pub(super) fn take_up(&mut self, hub: &mut Hub, change: &[u8], first: bool) {
        let said: Carried = match serde_json::from_slice(change) {
            Ok(said) => said,
            Err(e) => {
                let text = format!("xms: an eventhandler of a later version was skipped: {e}");
                return hub.note(Level::Warn, text);
            }
        };
        let channel = &mut hub.channels[usize::from(self.channel)];
        if self.state.place_of_any(said.id).is_none() {
            let (id, app, only) = (said.id, said.app.clone(), said.only.clone());
            let made = Made { id, app, subscriptions: said.subscriptions.clone(), only };
            self.state.insert(channel, &hub.config, made, (Seq(said.born), Wall(said.idle_since)));
        }
        let Some(handler) = self.state.place(said.id).and_then(|place| self.state.at(place)) else { return };
        let [matched, accounted, sent, replayed, dropped] = said.counters;
        handler.count_from(channel, matched);
        handler.open = said.open;
        handler.matched_at_open = matched;
        (handler.accounted, handler.sent, handler.replayed, handler.dropped) =
            (accounted, sent, replayed, dropped);
        if !first {
            let arena = channel.arena();
            let run = |(first, last): &(u64, u64)| {
                arena.position_of(Seq(*first))..arena.position_of(Seq(*last + 1))
            };
            handler.position = arena.position_of(Seq(said.position));
            handler.backlog = said.backlog.iter().map(run).filter(|run| !run.is_empty()).collect();
            handler.progress = said.progress;
        }
    }
}

/// A whole eventhandler, as it stands.
#[derive(Debug, Serialize, Deserialize)]
struct Carried {
    id: Uuid,
    app: Box<str>,
    subscriptions: Vec<Subscription>,
    #[serde(default, skip_serializing_if = "Only::is_everything")]
    only: Only,
    /// The record that made it.
    born: u64,
    /// Streams that are open.
    open: u32,
    /// Milliseconds of the wall clock.
    idle_since: u64,
    /// Matched, accounted for, sent, replayed, dropped.
    counters: [u64; 5],
    /// Events of earlier subscriptions that wait, as runs from number to number.
    backlog: Vec<(u64, u64)>,
    /// The number of the first event of its feed that waits.
    position: u64,
    /// How far a stream has come that is open.
    progress: Option<Progress>,
}

fn append(hub: &mut Hub, change: &Change) {
    hub.append(Actor::Server("stream"), None, true, true, Body::Change(NAME, change.encode()));
}

fn carried(handler: &Handler, channel: &Channel, applied: Seq) -> Carried {
    let numbers = |run: &Range<Position>| {
        let last = channel.arena().frames_from(run.start).take_while(|(_, r)| r.start < run.end).last();
        last.map(|(frame, _)| (seq_of(channel, run.start, applied), frame.seq.0))
    };
    Carried {
        id: handler.id,
        app: handler.app.clone(),
        subscriptions: handler.subscriptions.clone(),
        only: handler.only.clone(),
        born: handler.born.0,
        open: handler.open,
        idle_since: handler.idle_since.0,
        counters: [
            handler.matched(channel),
            handler.accounted,
            handler.sent,
            handler.replayed,
            handler.dropped,
        ],
        backlog: handler.backlog.iter().filter_map(numbers).collect(),
        position: seq_of(channel, handler.position, applied),
        progress: handler.progress,
    }
}
