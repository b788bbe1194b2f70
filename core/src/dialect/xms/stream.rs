//! Changes applied, streams opened and closed. What this engine's own request asked for is answered here, because only
//! the order of the log decides what came first.

use std::ops::Range;

use uuid::Uuid;

use super::change::{Change, Room};
use super::read::{Edit, apply};
use super::render;
use super::state::{Made, OpenStream, seq_of};
use super::{NAME, Xms};
use crate::event::arena::Position;
use crate::event::output::{Lending, Output, Tail};
use crate::ground::deadline::Due;
use crate::ground::id::{ConnId, Seq};
use crate::ground::stats::NotSent;
use crate::ground::time::Mono;
use crate::hub::action::Level;
use crate::hub::conn::Stream;
use crate::hub::{Hub, StreamHead};
use crate::log::record::{Actor, Body, Record};
use crate::wire::http::reply::Reply;

/// How many events were dropped while no stream was open; clients break on unknown events, so a header says it.
const MISSED: &str = "Offhook-Missed";

/// A request of this engine that waits for the change being applied.
type Waiting = Option<(ConnId, u32)>;

impl Xms {
    pub(super) fn apply(&mut self, hub: &mut Hub, record: &Record, change: &[u8]) {
        let waiting: Waiting = record.origin.request.filter(|_| hub.is_own(record));
        let change = match serde_json::from_slice(change) {
            Ok(change) => change,
            Err(e) => {
                return hub.note(Level::Warn, format!("xms: a change of a later version was skipped: {e}"));
            }
        };
        match change {
            Change::Created { id, app, edits, room, only } => {
                let made = Made { id, app, subscriptions: apply(Vec::new(), &edits), only };
                self.created(hub, record, waiting, made, room);
            }
            Change::Put { id, edits, room } => self.put(hub, waiting, id, &edits, room),
            Change::Deleted { id } => match self.state.place(id) {
                None => not_found(hub, waiting),
                Some(place) => {
                    self.delete(hub, place);
                    answer(hub, waiting, Reply::empty(204));
                }
            },
            Change::Expired { id, idle_ms } => self.expired(hub, record, id, idle_ms),
            Change::Progress(all) => self.progress(&all),
            Change::Opened { id } => self.opened(hub, record, waiting, id),
            Change::Closed { id, read, sent, replayed, backlog, position } => {
                if let Some(place) = self.state.place_of_any(id) {
                    self.closed_at(hub, record, place, (read, sent, replayed), &backlog, position);
                }
            }
        }
    }

    fn created(&mut self, hub: &mut Hub, record: &Record, waiting: Waiting, made: Made, room: Room) {
        let at = waiting.and_then(|(conn, request)| {
            self.creating.iter().position(|(c, r, _)| (*c, *r) == (conn, request))
        });
        let location = at.map(|at| self.creating.remove(at).2).unwrap_or_default();
        if let Some(reply) = self.excess(room, &made.app, None, made.subscriptions.len()) {
            // Others were made since this request was judged.
            return answer(hub, waiting, reply);
        }
        let channel = &mut hub.channels[usize::from(self.channel)];
        let id = made.id;
        let place = self.state.insert(channel, &hub.config, made, (hub.applied, record.header.wall));
        self.arm_expiry(hub, place, hub.config.xms.idle_ms);
        let Some((conn, request)) = waiting else { return };
        if let Some(view) = self.state.view(&hub.config, id) {
            let reply =
                Reply::new(201, render::XML, render::handler(view.borrow())).with("Location", location);
            hub.reply_when_durable(conn, request, reply);
        }
    }

    fn put(&mut self, hub: &mut Hub, waiting: Waiting, id: Uuid, edits: &[Edit], room: Room) {
        let Some(place) = self.state.place(id) else { return not_found(hub, waiting) };
        let Some(handler) = self.state.handler(id) else { return };
        let before = handler.subscriptions.len();
        let subscriptions = apply(handler.subscriptions.clone(), edits);
        if let Some(reply) = self.excess(room, &handler.app, Some(before), subscriptions.len()) {
            return answer(hub, waiting, reply);
        }
        if subscriptions != handler.subscriptions {
            let streams = handler.streams.clone();
            let conns: Vec<ConnId> = streams.iter().map(|s| self.state.streams[*s].conn).collect();
            // What a stream has still to send of the old subscriptions goes before the new ones.
            conns.iter().for_each(|conn| hub.unfollow(*conn));
            let channel = &mut hub.channels[usize::from(self.channel)];
            let after = subscriptions.len();
            let Some(handler) = self.state.at(place) else { return };
            handler.resubscribe(channel, &hub.config, subscriptions);
            let (feed, cursor) = (handler.feed, handler.position);
            self.state.recount(id, before, after);
            for conn in conns {
                hub.follow(conn, Tail { channel: self.channel, feed, cursor, catch_up: None });
            }
        }
        if let Some(view) = self.state.view(&hub.config, id) {
            let reply = Reply::new(200, render::XML, render::handler(view.borrow()));
            answer(hub, waiting, reply);
        }
    }

    fn delete(&mut self, hub: &mut Hub, place: u32) {
        let channel = &mut hub.channels[usize::from(self.channel)];
        let patience_ms = hub.config.limits.stream_drain_ms;
        for conn in self.state.delete(channel, place) {
            hub.end_stream(conn, patience_ms);
        }
    }

    fn opened(&mut self, hub: &mut Hub, record: &Record, waiting: Waiting, id: Uuid) {
        let Some(place) = self.state.place(id) else { return not_found(hub, waiting) };
        let channel = &hub.channels[usize::from(self.channel)];
        let Some(handler) = self.state.at(place) else { return };
        let matched = handler.matched(channel);
        handler.open += 1;
        let (mut missed, mut base, mut replay) = (0, matched, 0);
        let (mut backlog, mut cursor) = (Vec::new(), channel.arena().end());
        if handler.open == 1 {
            let waits = handler.replay(channel, &hub.config, record.header.wall);
            missed = (matched - handler.accounted).saturating_sub(waits.frames);
            handler.accounted += missed;
            handler.dropped += missed;
            if !hub.recovering {
                // A stream that a crash ended may have sent none of it.
                handler.backlog = Vec::new();
            }
            base = handler.accounted;
            (replay, backlog, cursor) = (waits.frames, waits.backlog, waits.from);
        }
        handler.matched_at_open = matched;
        handler.opened_at = channel.arena().end();
        let (feed, app_name) = (handler.feed, handler.app.clone());
        let Some((conn, request)) = waiting else { return };
        if missed > 0 {
            hub.stats.not_sent(NAME, NotSent::SlowReader, missed);
            hub.note(
                Level::Info,
                format!("xms: eventhandler {id} missed {missed} events: no stream was open"),
            );
        }
        let asked = hub.asked(conn, request);
        let one_frame = hub.config.xms.app(&app_name).is_some_and(|app| app.one_write_per_event);
        let bare = asked.is_some_and(|asked| !asked.http11);
        let tag = self.state.streams.insert(OpenStream { handler: place, conn, base, replay, told: 0 });
        if let Some(handler) = self.state.at(place) {
            handler.streams.push(tag);
        }
        let stream = Stream {
            dialect: self.channel,
            tag,
            lending: Lending { one_frame, bare },
            keepalive_at: hub.now.mono.plus_ms(hub.config.xms.keepalive_ms),
        };
        let fields = if missed > 0 { vec![(MISSED, missed.to_string())] } else { Vec::new() };
        let head = StreamHead { content_type: render::STREAM, fields };
        let opened = hub.open_stream(conn, &head, stream.clone());
        let mut unopened = Output::default();
        self.watch_progress(hub);
        let output = match hub.conn(conn) {
            Some(open) if opened => &mut open.output,
            Some(_) | None => &mut unopened,
        };
        output.push_static(render::keepalive(bare));
        backlog.into_iter().for_each(|run| output.push_run(run));
        let tail = Tail { channel: self.channel, feed, cursor, catch_up: None };
        if opened {
            hub.follow(conn, tail);
            hub.arm(conn);
        } else {
            // The peer left while its stream was opening: all of it is still to be sent.
            unopened.follow(tail);
            self.stream_closed(hub, &unopened, &stream);
        }
    }

    /// A stream of this engine has ended: tells all engines what it did not send.
    pub(super) fn stream_closed(&mut self, hub: &mut Hub, output: &Output, stream: &Stream) {
        let Some(open) = self.state.streams.remove(stream.tag) else { return };
        let Some(handler) = self.state.at(open.handler) else { return };
        handler.streams.retain(|tag| *tag != stream.tag);
        let id = handler.id;
        let channel = &hub.channels[usize::from(self.channel)];
        let (runs, cursor) = output.unsent(channel.arena());
        let numbers = |run: &Range<Position>| {
            let last = channel.arena().frames_from(run.start).take_while(|(_, r)| r.start < run.end).last();
            last.map(|(frame, _)| (seq_of(channel, run.start, hub.applied), frame.seq.0))
        };
        let frames = output.sent_frames();
        let replayed = frames.min(open.replay);
        let change = Change::Closed {
            id,
            read: open.base + frames,
            sent: frames - replayed,
            replayed,
            backlog: runs.iter().filter_map(numbers).collect(),
            position: cursor.map_or(hub.applied.next().0, |at| seq_of(channel, at, hub.applied)),
        };
        hub.append(Actor::Server("stream"), None, true, true, Body::Change(NAME, change.encode()));
    }

    fn closed_at(
        &mut self,
        hub: &mut Hub,
        record: &Record,
        place: u32,
        (read, sent, replayed): (u64, u64, u64),
        backlog: &[(u64, u64)],
        position: u64,
    ) {
        let channel = &hub.channels[usize::from(self.channel)];
        let arena = channel.arena();
        let Some(handler) = self.state.at(place) else { return };
        handler.open = handler.open.saturating_sub(1);
        handler.progress = None;
        handler.sent += sent;
        handler.replayed += replayed;
        let position = arena.position_of(Seq(position));
        let mut backlog: Vec<Range<Position>> = backlog
            .iter()
            .map(|(first, last)| arena.position_of(Seq(*first))..arena.position_of(Seq(*last + 1)))
            .filter(|run| !run.is_empty())
            .collect();
        if handler.open > 0 {
            // Another stream has opened meanwhile, and gets what came after that. A client that came back before its old
            // stream was seen to be dead gets what that one did not send, late rather than never.
            let unsent = handler.matched_at_open.saturating_sub(read);
            if !handler.gone && unsent > 0 {
                let feed = channel.feed(handler.feed).runs_from(position, arena);
                backlog.extend(feed.map(|r| r.start..r.end.min(handler.opened_at)).filter(|r| !r.is_empty()));
            }
            let kept =
                if handler.open == 1 { backlog.iter().map(|r| arena.frames_in(r.clone())).sum() } else { 0 };
            let kept = unsent.min(kept);
            handler.dropped += unsent - kept;
            if let Some(tag) = handler.streams.first().copied().filter(|_| kept > 0) {
                let stream = &mut self.state.streams[tag];
                stream.base = stream.base.saturating_sub(kept);
                stream.replay += kept;
                if let Some(conn) = hub.conns.get_mut(stream.conn) {
                    conn.output.interject_runs(backlog, arena);
                }
                let conn = stream.conn;
                hub.flush(conn);
            }
            return;
        }
        handler.accounted = read;
        handler.position = position;
        handler.backlog = backlog;
        handler.idle_since = record.header.wall;
        if handler.gone {
            self.state.bury(place);
        } else {
            self.arm_expiry(hub, place, hub.config.xms.idle_ms);
        }
    }

    /// Looks after an idle eventhandler in `in_ms`; one deadline for a place is enough, it arms itself anew.
    pub(super) fn arm_expiry(&mut self, hub: &mut Hub, place: u32, in_ms: u64) {
        let at = hub.now.mono.plus_ms(in_ms);
        if hub.config.xms.idle_ms > 0 && at < self.state.expiry[place as usize] {
            self.state.expiry[place as usize] = at;
            hub.deadlines.arm(at, Due::Dialect(self.channel, place));
        }
    }

    /// The time that an eventhandler may be idle has changed.
    pub(super) fn rearm_expiry(&mut self, hub: &mut Hub) {
        for place in self.state.places() {
            if self.state.at(place).is_some_and(|h| h.open == 0) {
                self.arm_expiry(hub, place, 0);
            }
        }
    }

    /// An eventhandler may have been without a stream for too long. One engine says so, in the log.
    pub(super) fn handler_due(&mut self, hub: &mut Hub, place: u32, at: Mono) {
        let idle_ms = hub.config.xms.idle_ms;
        if self.state.expiry[place as usize] != at {
            return;
        }
        self.state.expiry[place as usize] = Mono::NEVER;
        let Some(handler) = self.state.at(place) else { return };
        if handler.open > 0 || handler.gone || idle_ms == 0 {
            return;
        }
        let idle = hub.now.wall.since(handler.idle_since);
        if idle < idle_ms {
            return self.arm_expiry(hub, place, idle_ms - idle);
        }
        if handler.id.as_u128() % u128::from(hub.place.shards) == u128::from(hub.place.shard.0) {
            let change = Change::Expired { id: handler.id, idle_ms };
            hub.append(Actor::Server("expiry"), None, true, true, Body::Change(NAME, change.encode()));
        }
    }

    /// Whether it still was idle for long enough when the log said so.
    fn expired(&mut self, hub: &mut Hub, record: &Record, id: Uuid, idle_ms: u64) {
        let Some(place) = self.state.place(id) else { return };
        let Some(handler) = self.state.at(place) else { return };
        if handler.open == 0 && record.header.wall.since(handler.idle_since) >= idle_ms {
            self.delete(hub, place);
            hub.note(Level::Debug, format!("xms: eventhandler {id} was idle for too long and is gone"));
        }
    }
}

fn answer(hub: &mut Hub, waiting: Waiting, reply: Reply) {
    if let Some((conn, request)) = waiting {
        hub.reply_when_durable(conn, request, reply);
    }
}

fn not_found(hub: &mut Hub, waiting: Waiting) {
    answer(hub, waiting, render::error(404, "no such eventhandler"));
}
