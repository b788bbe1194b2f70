//! What a restart must know: how far open streams had come, and, when old records leave the log, each eventhandler as it
//! stands. A stream that was open at a crash goes on where the log was last told, so its client may get again what it
//! had got since; nothing is lost.

use std::ops::Range;

use super::change::{Change, Progress, Restated};
use super::state::{Handler, seq_of};
use super::{NAME, Xms, project};
use crate::event::arena::Position;
use crate::event::channel::Channel;
use crate::event::filter::View;
use crate::ground::deadline::Due;
use crate::ground::id::Seq;
use crate::ground::time::Wall;
use crate::hub::Hub;
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
    pub(super) fn take_up(&mut self, hub: &mut Hub, record: &Record) {
        self.state.deleted.clear();
        for place in self.state.places() {
            let arena = hub.channels[usize::from(self.channel)].arena();
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
            self.arm_expiry(hub, place, hub.config.xms.idle_ms);
        }
    }

    /// Says those eventhandlers anew that this engine answers for.
    pub(super) fn restate_handlers(&mut self, hub: &mut Hub, through: Seq) {
        for place in self.state.places() {
            let channel = &hub.channels[usize::from(self.channel)];
            let Some(handler) = self.state.at(place) else { continue };
            let own = handler.id.as_u128() % u128::from(hub.place.shards) == u128::from(hub.place.shard.0);
            if own && !handler.gone && handler.stated <= through {
                let restated = restated(handler, channel, hub.applied);
                append(hub, &Change::Restated(Box::new(restated)));
            }
        }
    }

    /// An eventhandler is said anew. It is news only where the records that made it have left the log.
    pub(super) fn restated(&mut self, hub: &mut Hub, said: Restated) {
        if let Some(place) = self.state.place(said.id) {
            if let Some(handler) = self.state.at(place) {
                handler.stated = hub.applied;
            }
            return;
        }
        if !hub.recovering || self.state.deleted.contains(&said.id) {
            // It was deleted before it was said.
            return;
        }
        let made = (said.id, said.app.clone(), said.subscriptions);
        let channel = &mut hub.channels[usize::from(self.channel)];
        let place = self.state.insert(channel, &hub.config, made, (Seq(said.order), Wall(said.idle_since)));
        let channel = &hub.channels[usize::from(self.channel)];
        let Some(handler) = self.state.at(place) else { return };
        let [matched, accounted, sent, replayed, dropped] = said.counters;
        handler.stated = hub.applied;
        handler.matched_before = matched;
        (handler.accounted, handler.sent, handler.replayed, handler.dropped) =
            (accounted, sent, replayed, dropped);
        let arena = channel.arena();
        let run =
            |(first, last): &(u64, u64)| arena.position_of(Seq(*first))..arena.position_of(Seq(*last + 1));
        handler.backlog = said.backlog.iter().map(run).filter(|run| !run.is_empty()).collect();
        let view = channel.view(handler.feed);
        handler.backlog.extend(waiting(hub, channel, view, arena.position_of(Seq(said.position))));
        self.arm_expiry(hub, place, hub.config.xms.idle_ms);
    }
}

fn append(hub: &mut Hub, change: &Change) {
    hub.append(Actor::Server("stream"), None, true, true, Body::Change(NAME, change.encode()));
}

/// An eventhandler as it stands; of streams that are open, as far as the log was told.
fn restated(handler: &Handler, channel: &Channel, applied: Seq) -> Restated {
    let numbers = |run: &Range<Position>| {
        let last = channel.arena().frames_from(run.start).take_while(|(_, r)| r.start < run.end).last();
        last.map(|(frame, _)| (seq_of(channel, run.start, applied), frame.seq.0))
    };
    let (accounted, sent, replayed, position, backlog) = match &handler.progress {
        Some(p) => (p.read, handler.sent + p.sent, handler.replayed + p.replayed, p.position, Vec::new()),
        None => (
            handler.accounted,
            handler.sent,
            handler.replayed,
            seq_of(channel, handler.position, applied),
            handler.backlog.iter().filter_map(numbers).collect(),
        ),
    };
    Restated {
        id: handler.id,
        app: handler.app.clone(),
        subscriptions: handler.subscriptions.clone(),
        order: handler.order,
        counters: [handler.matched(channel), accounted, sent, replayed, handler.dropped],
        idle_since: handler.idle_since.0,
        backlog,
        position,
    }
}

/// The runs of kept frames from `from` on that a view lets through.
fn waiting(hub: &Hub, channel: &Channel, view: &View, from: Position) -> Vec<Range<Position>> {
    let admits = |event: &crate::event::Event| {
        project(&hub.vocabulary, &hub.config, event).is_ok_and(|words| view.admits(&words))
    };
    let mut runs: Vec<Range<Position>> = Vec::new();
    for (frame, run) in channel.arena().frames_from(from) {
        if frame.event.as_ref().is_some_and(|event| admits(event)) {
            match runs.last_mut() {
                Some(last) if last.end == run.start => last.end = run.end,
                _ => runs.push(run),
            }
        }
    }
    runs
}
