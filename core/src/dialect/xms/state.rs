//! Eventhandlers: what all engines know of them, kept alike by applying the same changes in the order of the log.
//!
//! An eventhandler holds its feed from the moment it is made. While no stream is open, where it stands in the feed is
//! all that waiting events cost.

use std::collections::BTreeMap;
use std::ops::Range;

use foldhash::quality::FixedState;
use serde::Serialize;
use uuid::Uuid;

use super::change::Progress;
use super::read::Subscription;
use super::render::HandlerView;
use crate::event::arena::Position;
use crate::event::channel::{Channel, FeedId};
use crate::event::filter::{Clause, Pattern, View};
use crate::event::index::Map;
use crate::ground::config::{Config, Only};
use crate::ground::id::{ConnId, Seq};
use crate::ground::slots::Slots;
use crate::ground::stats::XmsAppStats;
use crate::ground::time::{Mono, Wall};
use crate::hub::Hub;

/// One eventhandler.
#[derive(Debug)]
pub struct Handler {
    pub(super) id: Uuid,
    pub(super) app: Box<str>,
    pub(super) subscriptions: Vec<Subscription>,
    /// What it may ever deliver: what whoever made it may see.
    pub(super) only: Only,
    /// The record that made it: its place among all that were ever made.
    pub(super) born: Seq,
    pub(super) feed: FeedId,
    /// What its feed had carried when it joined.
    feed_frames: u64,
    /// Events that matched in earlier feeds.
    pub(super) matched_before: u64,
    /// Of the matched events, from the first on, how many are sent or dropped.
    pub(super) accounted: u64,
    /// How many had matched when the latest stream opened, and where that was.
    pub(super) matched_at_open: u64,
    pub(super) opened_at: Position,
    /// Without a stream: where it stands in its feed.
    pub(super) position: Position,
    /// Without a stream: what waits of earlier feeds.
    pub(super) backlog: Vec<Range<Position>>,
    /// Streams that are open, in all engines.
    pub(super) open: u32,
    /// Streams that are open in this engine.
    pub(super) streams: Vec<u32>,
    /// Since when no stream is open.
    pub(super) idle_since: Wall,
    /// It was deleted; streams that are still open are ending.
    pub(super) gone: bool,
    pub(super) sent: u64,
    pub(super) replayed: u64,
    pub(super) dropped: u64,
    /// What the log knows of a stream that is open.
    pub(super) progress: Option<Progress>,
}

/// What the making of an eventhandler says of it.
#[derive(Clone, Debug)]
pub struct Made {
    /// Its id.
    pub id: Uuid,
    /// Its application.
    pub app: Box<str>,
    /// Its subscriptions.
    pub subscriptions: Vec<Subscription>,
    /// What it may ever deliver.
    pub only: Only,
}

/// A stream of this engine.
#[derive(Debug)]
pub struct OpenStream {
    /// Its eventhandler's place.
    pub handler: u32,
    /// Its connection.
    pub conn: ConnId,
    /// How many matching events, from the first on, need not be sent by it.
    pub base: u64,
    /// How many it replays before live ones follow.
    pub replay: u64,
    /// How many frames it had sent when the log was last told.
    pub told: u64,
}

/// What an eventhandler without a stream would replay.
#[derive(Debug)]
pub struct Replay {
    /// Runs of earlier feeds.
    pub backlog: Vec<Range<Position>>,
    /// Where its feed goes on.
    pub from: Position,
    /// All the frames of both.
    pub frames: u64,
}

/// All eventhandlers.
#[derive(Debug)]
pub struct State {
    handlers: Slots<Handler>,
    by_id: Map<Uuid, u32>,
    /// Eventhandlers that were deleted while streams were open.
    gone: BTreeMap<Uuid, u32>,
    pub(super) streams: Slots<OpenStream>,
    /// When a deadline looks whether the eventhandler at a place was idle for too long: one for each place, whoever
    /// comes and goes there.
    pub(super) expiry: Vec<Mono>,
    apps: BTreeMap<Box<str>, App>,
}

#[derive(Debug, Default)]
struct App {
    listed: BTreeMap<u64, u32>,
    /// Of all that are listed.
    subscriptions: u64,
    /// What eventhandlers counted that are gone.
    past: XmsAppStats,
}

/// An eventhandler with its counters, for operators.
#[derive(Debug, Serialize)]
pub struct Summary {
    id: Uuid,
    appid: Box<str>,
    subscriptions: Vec<Subscription>,
    streams: u32,
    matched: u64,
    sent: u64,
    replayed: u64,
    dropped: u64,
    pending: u64,
}

/// What a reply says of an eventhandler, with its texts.
#[derive(Debug)]
pub struct OwnedView<'a> {
    id: String,
    prefix: &'a str,
    handler: &'a Handler,
}

impl OwnedView<'_> {
    /// The view.
    #[must_use]
    pub fn borrow(&self) -> HandlerView<'_> {
        HandlerView {
            id: &self.id,
            appid: &self.handler.app,
            prefix: self.prefix,
            subscriptions: &self.handler.subscriptions,
        }
    }
}

/// What an application's eventhandler with these subscriptions and this scope lets through.
#[must_use]
pub fn view(config: &Config, app: &str, subscriptions: &[Subscription], only: &Only) -> View {
    let deliver = config.xms.app(app).and_then(|app| app.deliver_types.as_ref());
    let exact = |text: &str| Pattern::Exact(text.into());
    let clause = |s: &Subscription| {
        let mut clause = Clause::default();
        match deliver {
            None if *s.event_type == *"any" => {}
            Some(words) if *s.event_type == *"any" => {
                words.iter().for_each(|word| clause.or("type", exact(word)));
                if words.is_empty() {
                    return None;
                }
            }
            Some(words) if !words.iter().any(|word| **word == *s.event_type) => return None,
            Some(_) | None => clause.or("type", exact(&s.event_type)),
        }
        for (name, value) in [("resource_type", &s.resource_type), ("resource_id", &s.resource_id)] {
            if **value != *"any" {
                clause.or(name, exact(value));
            }
        }
        clause.or("appid", exact(app));
        clause.or_absent("appid");
        Some(clause)
    };
    View::new(subscriptions.iter().filter_map(clause).collect()).within(only)
}

impl Handler {
    /// How many events matched it, from its beginning on.
    #[must_use]
    pub fn matched(&self, channel: &Channel) -> u64 {
        if self.gone {
            return self.matched_before;
        }
        self.matched_before + channel.feed(self.feed).frames() - self.feed_frames
    }

    /// From here on `matched` events are said to have matched so far.
    pub(super) fn count_from(&mut self, channel: &Channel, matched: u64) {
        self.matched_before = matched;
        self.feed_frames = channel.feed(self.feed).frames();
    }

    /// What would be replayed at `wall`: the newest events within the bounds of count and age, as far as they are kept.
    #[must_use]
    pub fn replay(&self, channel: &Channel, config: &Config, wall: Wall) -> Replay {
        let arena = channel.arena();
        let feed = channel.feed(self.feed);
        let max = config.xms.replay_events;
        let young = arena.position_of_age(wall, config.xms.replay_ms).max(arena.start());
        let from = self.position.max(feed.floor(arena)).max(young).max(if max == 0 {
            arena.end()
        } else {
            feed.position_of_newest(max, arena)
        });
        let live = feed.frames_from(from, arena);
        let room = max - live.min(max);
        let (mut backlog, mut old) = (Vec::new(), 0);
        for run in self.backlog.iter().rev() {
            let run = run.start.max(young)..run.end;
            let here = arena.frames_in(run.clone());
            if here == 0 || old == room {
                break;
            }
            let skipped = usize::try_from(here.saturating_sub(room - old)).unwrap_or(usize::MAX);
            let start = arena.frames_from(run.start).nth(skipped).map_or(run.end, |(f, _)| f.start);
            old += here.min(room - old);
            backlog.push(start..run.end);
        }
        backlog.reverse();
        Replay { backlog, from, frames: live + old }
    }

    /// Leaves the feed for that of other subscriptions; what waits of the old one becomes backlog.
    pub fn resubscribe(&mut self, channel: &mut Channel, config: &Config, subscriptions: Vec<Subscription>) {
        self.matched_before = self.matched(channel);
        if self.open == 0 {
            let runs = channel.feed(self.feed).runs_from(self.position, channel.arena());
            self.backlog.extend(runs);
            // A run holds a frame at least, so older ones would never be replayed.
            let excess = self.backlog.len().saturating_sub(config.xms.replay_events as usize);
            self.backlog.drain(..excess);
        }
        self.position = channel.arena().end();
        self.subscriptions = subscriptions;
        let old = self.feed;
        self.feed = channel.keep(&view(config, &self.app, &self.subscriptions, &self.only));
        self.feed_frames = channel.feed(self.feed).frames();
        channel.release(old);
    }
}

impl State {
    pub(super) fn new(hash_seed: u64) -> State {
        State {
            handlers: Slots::default(),
            by_id: Map::with_hasher(FixedState::with_seed(hash_seed)),
            gone: BTreeMap::new(),
            streams: Slots::default(),
            expiry: Vec::new(),
            apps: BTreeMap::new(),
        }
    }

    /// An eventhandler that is not gone.
    #[must_use]
    pub fn handler(&self, id: Uuid) -> Option<&Handler> {
        self.handlers.get(*self.by_id.get(&id)?)
    }

    pub(super) fn place(&self, id: Uuid) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    /// How many events matched the eventhandler at a place.
    pub(super) fn matched(&self, hub: &Hub, channel: u8, place: u32) -> u64 {
        self.handlers.get(place).map_or(0, |h| h.matched(&hub.channels[usize::from(channel)]))
    }

    /// The places of all eventhandlers.
    pub(super) fn places(&self) -> Vec<u32> {
        self.handlers.iter().map(|(place, _)| place).collect()
    }

    /// The place of an eventhandler that is there, or whose streams are still ending.
    pub(super) fn place_of_any(&self, id: Uuid) -> Option<u32> {
        self.place(id).or_else(|| self.gone.get(&id).copied())
    }

    pub(super) fn at(&mut self, place: u32) -> Option<&mut Handler> {
        self.handlers.get_mut(place)
    }

    pub(super) fn insert(
        &mut self,
        channel: &mut Channel,
        config: &Config,
        Made { id, app, subscriptions, only }: Made,
        (born, wall): (Seq, Wall),
    ) -> u32 {
        let feed = channel.keep(&view(config, &app, &subscriptions, &only));
        let count = subscriptions.len() as u64;
        let handler = Handler {
            id,
            app: app.clone(),
            subscriptions,
            only,
            born,
            feed,
            feed_frames: channel.feed(feed).frames(),
            matched_before: 0,
            accounted: 0,
            matched_at_open: 0,
            opened_at: 0,
            position: channel.arena().end(),
            backlog: Vec::new(),
            open: 0,
            streams: Vec::new(),
            idle_since: wall,
            gone: false,
            sent: 0,
            replayed: 0,
            dropped: 0,
            progress: None,
        };
        let place = self.handlers.insert(handler);
        if place as usize == self.expiry.len() {
            self.expiry.push(Mono::NEVER);
        }
        self.by_id.insert(id, place);
        let app = self.apps.entry(app).or_default();
        app.listed.insert(born.0, place);
        app.subscriptions += count;
        place
    }

    /// Deletes an eventhandler: from here on its id is unknown. Returns the connections of its streams, which end.
    pub(super) fn delete(&mut self, channel: &mut Channel, place: u32) -> Vec<ConnId> {
        let Some(handler) = self.handlers.get_mut(place) else { return Vec::new() };
        handler.matched_before = handler.matched(channel);
        handler.gone = true;
        channel.release(handler.feed);
        let conns = handler.streams.iter().map(|s| self.streams[*s].conn).collect();
        let (id, order, app) = (handler.id, handler.born.0, handler.app.clone());
        let subscriptions = handler.subscriptions.len() as u64;
        self.by_id.remove(&id);
        self.gone.insert(id, place);
        if let Some(app) = self.apps.get_mut(&app) {
            app.listed.remove(&order);
            app.subscriptions -= subscriptions;
        }
        self.bury(place);
        conns
    }

    /// Forgets an eventhandler that is gone and whose last stream has closed; its counters stay.
    pub(super) fn bury(&mut self, place: u32) {
        if !self.handlers.get(place).is_some_and(|h| h.gone && h.open == 0 && h.streams.is_empty()) {
            return;
        }
        let Some(handler) = self.handlers.remove(place) else { return };
        self.gone.remove(&handler.id);
        let unread = handler.matched_before.saturating_sub(handler.accounted);
        let past = &mut self.apps.entry(handler.app).or_default().past;
        past.matched += handler.matched_before;
        past.sent += handler.sent;
        past.replayed += handler.replayed;
        past.dropped += handler.dropped + unread;
    }

    /// How many eventhandlers an application has, and how many subscriptions they have together.
    #[must_use]
    pub fn count(&self, app: &str) -> (u64, u64) {
        self.apps.get(app).map_or((0, 0), |app| (app.listed.len() as u64, app.subscriptions))
    }

    /// An eventhandler has other subscriptions.
    pub(super) fn recount(&mut self, id: Uuid, before: usize, after: usize) {
        let Some(handler) = self.by_id.get(&id).and_then(|place| self.handlers.get(*place)) else { return };
        if let Some(app) = self.apps.get_mut(&handler.app) {
            app.subscriptions = app.subscriptions - before as u64 + after as u64;
        }
    }

    /// What a reply says of one eventhandler.
    #[must_use]
    pub fn view<'a>(&'a self, config: &'a Config, id: Uuid) -> Option<OwnedView<'a>> {
        let handler = self.handler(id)?;
        Some(OwnedView { id: handler.id.to_string(), prefix: &config.xms.prefix, handler })
    }

    /// An application's eventhandlers within a scope, in the order of their making.
    #[must_use]
    pub fn views<'a>(&'a self, config: &'a Config, app: &str, only: &Only) -> Vec<OwnedView<'a>> {
        let places = self.apps.get(app).into_iter().flat_map(|app| app.listed.values());
        places
            .filter_map(|place| self.handlers.get(*place))
            .filter(|handler| only.covers(&handler.only))
            .map(|handler| OwnedView { id: handler.id.to_string(), prefix: &config.xms.prefix, handler })
            .collect()
    }

    /// What the streams of this engine sent so far for an eventhandler: live, and replayed.
    fn under_way(&self, hub: &Hub, handler: &Handler) -> (u64, u64) {
        let progress = |stream: &u32| {
            let stream = &self.streams[*stream];
            let frames = hub.conns.get(stream.conn).map_or(0, |c| c.output.sent_frames());
            let replayed = frames.min(stream.replay);
            (frames - replayed, replayed)
        };
        handler.streams.iter().map(progress).fold((0, 0), |sum, more| (sum.0 + more.0, sum.1 + more.1))
    }

    /// Eventhandlers made after number `after`, in that order, with their numbers.
    #[must_use]
    pub fn summaries(
        &self,
        hub: &Hub,
        channel: u8,
        after: u64,
        appid: Option<&str>,
        limit: usize,
    ) -> Vec<(u64, Summary)> {
        let channel = &hub.channels[usize::from(channel)];
        let apps = self.apps.iter().filter(|(name, _)| appid.is_none_or(|appid| appid == &***name));
        let mut places: Vec<(u64, u32)> = apps
            .flat_map(|(_, app)| app.listed.range(after + 1..).take(limit))
            .map(|(order, place)| (*order, *place))
            .collect();
        places.sort_unstable();
        places.truncate(limit);
        let summary = |(order, place): (u64, u32)| {
            let handler = self.handlers.get(place)?;
            let (sent, replayed) = self.under_way(hub, handler);
            let matched = handler.matched(channel);
            let (sent, replayed) = (handler.sent + sent, handler.replayed + replayed);
            let waiting = match handler.open {
                0 => handler.replay(channel, &hub.config, hub.now.wall).frames,
                _ => matched.saturating_sub(sent + replayed + handler.dropped),
            };
            Some((
                order,
                Summary {
                    id: handler.id,
                    appid: handler.app.clone(),
                    subscriptions: handler.subscriptions.clone(),
                    streams: handler.open,
                    matched,
                    sent,
                    replayed,
                    dropped: matched.saturating_sub(sent + replayed + waiting).max(handler.dropped),
                    pending: waiting,
                },
            ))
        };
        places.into_iter().filter_map(summary).collect()
    }

    /// The connections of all streams of this engine.
    #[must_use]
    pub fn all_streams(&self) -> Vec<ConnId> {
        self.streams.iter().map(|(_, stream)| stream.conn).collect()
    }

    /// Adds the counters of each application. What all engines know alike is reported by shard 0 alone.
    pub fn stats(&self, hub: &Hub, channel: u8, apps: &mut BTreeMap<String, XmsAppStats>) {
        let channel = &hub.channels[usize::from(channel)];
        let first = hub.place.shard.0 == 0;
        for (_, handler) in self.handlers.iter() {
            let (sent, replayed) = self.under_way(hub, handler);
            let stats = apps.entry(handler.app.to_string()).or_default();
            stats.sent += sent;
            stats.replayed += replayed;
            if first {
                stats.handlers += u64::from(!handler.gone);
                stats.matched += handler.matched(channel);
                stats.sent += handler.sent;
                stats.replayed += handler.replayed;
                stats.dropped += handler.dropped;
            }
        }
        for (name, app) in self.apps.iter().filter(|_| first) {
            let stats = apps.entry(name.to_string()).or_default();
            stats.matched += app.past.matched;
            stats.sent += app.past.sent;
            stats.replayed += app.past.replayed;
            stats.dropped += app.past.dropped;
        }
    }
}

/// The number of the first event at or after a position; the next one to come at the end.
#[must_use]
pub fn seq_of(channel: &Channel, position: Position, applied: Seq) -> u64 {
    channel.arena().seq_at(position).unwrap_or(applied.next()).0
}
