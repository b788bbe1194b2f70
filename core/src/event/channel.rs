//! A channel is all that one dialect has of the hub: its arena, the index over its views, and its feeds.

use std::ops::Range;
use std::sync::Arc;

use foldhash::quality::FixedState;

use super::arena::{Arena, Bounds, Position};
use super::event::Event;
use super::feed::Feed;
use super::filter::{Properties, View};
use super::index::{Index, Map};
use crate::ground::id::Seq;
use crate::ground::slots::Slots;
use crate::ground::time::Wall;

/// A feed of a channel.
pub type FeedId = u32;

/// One dialect's arena, index and feeds.
#[derive(Debug)]
pub struct Channel {
    arena: Arena,
    index: Index,
    feeds: Slots<Feed>,
    views: Slots<Arc<View>>,
    by_view: Map<Arc<View>, FeedId>,
    runs_max: usize,
    /// The feeds that want the event at hand, each once.
    hits: Vec<FeedId>,
    /// Feeds with frames that their readers were not told of.
    dirty: Vec<FeedId>,
}

impl Channel {
    /// An empty channel.
    #[must_use]
    pub fn new(bounds: Bounds, runs_max: usize, seed: u64) -> Channel {
        Channel {
            arena: Arena::new(bounds),
            index: Index::new(seed),
            feeds: Slots::default(),
            views: Slots::default(),
            by_view: Map::with_hasher(FixedState::with_seed(seed)),
            runs_max,
            hits: Vec::new(),
            dirty: Vec::new(),
        }
    }

    /// The rendered frames.
    #[must_use]
    pub fn arena(&self) -> &Arena {
        &self.arena
    }

    /// A feed.
    #[must_use]
    pub fn feed(&self, feed: FeedId) -> &Feed {
        &self.feeds[feed]
    }

    /// What a feed lets through.
    #[must_use]
    pub fn view(&self, feed: FeedId) -> &View {
        &self.views[feed]
    }

    /// How many feeds there are.
    #[must_use]
    pub fn feeds(&self) -> usize {
        self.feeds.len()
    }

    /// The feed of a view, made if it is the first of its kind. Whoever asks keeps it until [`Channel::release`].
    pub fn keep(&mut self, view: &View) -> FeedId {
        if let Some(feed) = self.by_view.get(view) {
            self.feeds[*feed].keepers += 1;
            return *feed;
        }
        let mut feed = Feed::default();
        feed.keepers = 1;
        let feed = self.feeds.insert(feed);
        let view = Arc::new(view.clone());
        let twin = self.views.insert(Arc::clone(&view));
        assert_eq!(feed, twin, "feeds and their views come and go together");
        self.index.insert(feed, &view);
        self.by_view.insert(view, feed);
        feed
    }

    /// Keeps a feed that somebody keeps already once more.
    pub fn keep_also(&mut self, feed: FeedId) {
        self.feeds[feed].keepers += 1;
    }

    /// The counterpart of [`Channel::keep`]: a feed that nobody keeps is gone.
    pub fn release(&mut self, feed: FeedId) {
        let entry = &mut self.feeds[feed];
        entry.keepers -= 1;
        if entry.keepers == 0 {
            assert!(entry.readers.is_empty(), "a reader keeps its feed");
            self.feeds.remove(feed);
            self.index.remove(feed);
            if let Some(view) = self.views.remove(feed) {
                self.by_view.remove(&view);
            }
        }
    }

    /// A connection reads the feed from now on: it is told of new frames.
    pub fn join(&mut self, feed: FeedId, reader: u32) {
        let entry = &mut self.feeds[feed];
        entry.keepers += 1;
        entry.readers.push(reader);
    }

    /// The counterpart of [`Channel::join`].
    pub fn leave(&mut self, feed: FeedId, reader: u32) {
        let entry = &mut self.feeds[feed];
        if let Some(at) = entry.readers.iter().position(|r| *r == reader) {
            entry.readers.swap_remove(at);
            self.release(feed);
        }
    }

    /// Frames up to this number were never here: the log begins behind it.
    pub fn begin_after(&mut self, seq: Seq) {
        self.arena.begin_after(seq);
    }

    /// Finds the feeds that want an event; whether there are any.
    pub fn find(&mut self, event: &dyn Properties) -> bool {
        self.hits.clear();
        let hits = &mut self.hits;
        self.index.find(event, |feed| hits.push(feed));
        hits.sort_unstable();
        hits.dedup();
        !hits.is_empty()
    }

    /// Puts the rendered event into the arena and into the feeds that [`Channel::find`] found.
    pub fn publish(
        &mut self,
        frame: &[u8],
        seq: Seq,
        wall: Wall,
        event: Option<Arc<Event>>,
    ) -> Range<Position> {
        let run = self.arena.push(frame, seq, wall, event);
        for feed in &self.hits {
            let entry = &mut self.feeds[*feed];
            entry.push(run.clone(), &self.arena, self.runs_max);
            if !entry.dirty && !entry.readers.is_empty() {
                entry.dirty = true;
                self.dirty.push(*feed);
            }
        }
        run
    }

    /// New bounds, as of the next frame.
    pub fn set_bounds(&mut self, bounds: Bounds, runs_max: usize) {
        self.arena.set_bounds(bounds);
        self.runs_max = runs_max;
    }

    /// Lets go of frames that have reached their age.
    pub fn expire(&mut self, wall: Wall) {
        self.arena.expire(wall);
    }

    /// Calls `tell` with every reader of a feed that has new frames, starting at another one each round.
    pub fn take_dirty(&mut self, round: usize, mut tell: impl FnMut(u32)) {
        for feed in self.dirty.drain(..) {
            let Some(entry) = self.feeds.get_mut(feed) else { continue };
            entry.dirty = false;
            let (late, early) = entry.readers.split_at(round % entry.readers.len().max(1));
            for reader in early.iter().chain(late) {
                tell(*reader);
            }
        }
    }

    /// Whether some feed has new frames that its readers were not told of.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }
}
