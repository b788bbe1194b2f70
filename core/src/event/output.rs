//! What one connection still has to send: a short queue of parts, then a feed. A part is a run of the arena or
//! private bytes; both end on frame boundaries, so that whatever is put between frames never cuts one in two.

use std::io::IoSlice;
use std::ops::Range;

use super::arena::{Arena, Position};
use super::channel::{Channel, FeedId};
use crate::ground::limits::{COMPACT_BYTES, SLICES_MAX};

/// What waits on one connection, in the order of sending.
#[derive(Debug, Default)]
pub struct Output {
    parts: Vec<Part>,
    /// Bytes of the first part that are sent.
    sent: u64,
    /// Frames of the arena that were sent whole.
    sent_frames: u64,
    tail: Option<Tail>,
}

#[derive(Debug)]
enum Part {
    /// Bytes of this connection alone.
    Bytes(Vec<u8>),
    /// Bytes that never change.
    Static(&'static [u8]),
    /// Frames of the arena.
    Run(Range<Position>),
    /// One frame of the arena without its chunk framing, for HTTP/1.0.
    Bare(Vec<u8>, Range<Position>),
}

impl Part {
    fn len(&self) -> u64 {
        match self {
            Part::Bytes(bytes) | Part::Bare(bytes, _) => bytes.len() as u64,
            Part::Static(bytes) => bytes.len() as u64,
            Part::Run(run) => run.end - run.start,
        }
    }
}

/// The feed that follows the parts.
#[derive(Debug)]
pub struct Tail {
    /// The channel, by its place in the list of dialects.
    pub channel: u8,
    /// The feed.
    pub feed: FeedId,
    /// The first byte of the arena that is not sent or put among the parts.
    pub cursor: Position,
    /// Old frames that are looked through before the feed follows.
    pub catch_up: Option<Box<Range<Position>>>,
}

/// How frames leave on this connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lending {
    /// At most one frame a write.
    pub one_frame: bool,
    /// Without the chunk framing that frames bring along (HTTP/1.0).
    pub bare: bool,
}

/// Slices for one `writev`; they end on a frame boundary.
#[derive(Debug)]
pub struct Outbound<'a> {
    slices: [IoSlice<'a>; SLICES_MAX],
    count: usize,
    len: usize,
}

impl<'a> Outbound<'a> {
    /// One slice.
    #[must_use]
    pub fn of(bytes: &'a [u8]) -> Outbound<'a> {
        let mut out = Outbound { slices: [IoSlice::new(&[]); SLICES_MAX], count: 0, len: 0 };
        out.add(bytes);
        out
    }

    /// The slices, in order; none is empty.
    #[must_use]
    pub fn slices(&self) -> &[IoSlice<'a>] {
        &self.slices[..self.count]
    }

    /// All their bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is lent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn add(&mut self, bytes: &'a [u8]) {
        if !bytes.is_empty() {
            self.len += bytes.len();
            self.slices[self.count] = IoSlice::new(bytes);
            self.count += 1;
        }
    }

    fn has_room(&self) -> bool {
        self.count + 2 <= SLICES_MAX
    }
}

impl Output {
    /// Appends private bytes after the parts. Not while a feed follows: see [`Output::interject`].
    pub fn write<R>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        assert!(self.tail.is_none(), "replies and a feed do not share a connection");
        let mut bytes = match self.parts.pop() {
            Some(Part::Bytes(bytes)) => bytes,
            other => {
                self.parts.extend(other);
                Vec::new()
            }
        };
        if self.parts.is_empty() && self.sent > COMPACT_BYTES {
            // A peer that always leaves something unread must not make the buffer grow by what it has read.
            bytes.drain(..self.sent as usize);
            self.sent = 0;
        }
        let result = write(&mut bytes);
        if !bytes.is_empty() {
            self.parts.push(Part::Bytes(bytes));
        }
        result
    }

    /// Frames of the arena that were sent whole, since the connection was accepted.
    #[must_use]
    pub fn sent_frames(&self) -> u64 {
        self.sent_frames
    }

    /// Puts bytes that never change after the parts; before the rest of the feed, but never inside a frame.
    pub fn interject(&mut self, bytes: &'static [u8], arena: Option<&Arena>) {
        self.finish_frame(arena);
        self.parts.push(Part::Static(bytes));
    }

    /// Puts private bytes after the parts; before the rest of the feed, but never inside a frame. What comes in small
    /// pieces shares buffers, so that a peer that asks for many of them cannot make a long list.
    pub fn interject_bytes(&mut self, bytes: Vec<u8>, arena: Option<&Arena>) {
        self.finish_frame(arena);
        match self.parts.last_mut() {
            Some(Part::Bytes(last)) if (last.len() + bytes.len()) as u64 <= COMPACT_BYTES => {
                last.extend_from_slice(&bytes);
            }
            _ => self.parts.push(Part::Bytes(bytes)),
        }
    }

    /// Puts a run of the arena after the parts.
    pub fn push_run(&mut self, run: Range<Position>) {
        match self.parts.last_mut() {
            _ if run.is_empty() => {}
            Some(Part::Run(last)) if last.end == run.start => last.end = run.end,
            _ => self.parts.push(Part::Run(run)),
        }
    }

    /// Puts runs of the arena before the rest of the feed, but never inside a frame.
    pub fn interject_runs(&mut self, runs: Vec<Range<Position>>, arena: &Arena) {
        self.finish_frame(Some(arena));
        runs.into_iter().for_each(|run| self.push_run(run));
    }

    /// Puts bytes that never change after the parts, whatever follows.
    pub fn push_static(&mut self, bytes: &'static [u8]) {
        self.parts.push(Part::Static(bytes));
    }

    /// Takes the private bytes that wait, if no byte of them was sent and nothing else waits.
    pub fn take_untouched(&mut self) -> Option<Vec<u8>> {
        match (&mut self.parts[..], self.sent) {
            ([Part::Bytes(bytes)], 0) => {
                let bytes = std::mem::take(bytes);
                self.parts = Vec::new();
                Some(bytes)
            }
            _ => None,
        }
    }

    /// Puts private bytes after the parts.
    pub fn push_bytes(&mut self, bytes: Vec<u8>) {
        self.parts.push(Part::Bytes(bytes));
    }

    /// Puts the next `n` bytes among the parts, where they are of the feed: they are on their way already, so nothing may
    /// come before them. `private`: as bytes of this connection alone; how many frames end in them.
    pub fn hold(&mut self, n: u64, channels: &[Channel], private: bool) -> u64 {
        let mut left = n.saturating_sub(self.private_bytes());
        let Some(Tail { channel, feed, mut cursor, .. }) = self.tail else { return 0 };
        let channel = &channels[usize::from(channel)];
        let mut frames = 0;
        for run in channel.feed(feed).runs_from(cursor, channel.arena()) {
            let run = run.start..run.end.min(run.start + left);
            if run.is_empty() {
                break;
            }
            left -= run.end - run.start;
            cursor = run.end;
            if private {
                frames += channel.arena().frames_passed(run.clone());
                self.parts.push(Part::Bytes(channel.arena().slices(run).concat()));
            } else {
                self.push_run(run);
            }
        }
        if let Some(tail) = &mut self.tail {
            tail.cursor = cursor;
        }
        frames
    }

    /// Puts the rest of a frame that is half sent among the parts.
    fn finish_frame(&mut self, arena: Option<&Arena>) {
        let (Some(tail), Some(arena)) = (&mut self.tail, arena) else { return };
        let cursor = tail.cursor;
        if cursor > arena.start() && cursor < arena.end() && arena.frame_start(cursor) != cursor {
            tail.cursor = arena.frame_end(cursor);
            let run = cursor..tail.cursor;
            self.push_run(run);
        }
    }

    /// Ends the feed here; of what it has, only the rest of a frame that is half sent is put among the parts.
    pub fn drop_tail(&mut self, arena: Option<&Arena>) -> Option<Tail> {
        self.finish_frame(arena);
        self.tail.take()
    }

    /// Makes the rest of a frame of the feed that is half sent private; whether there is one.
    pub fn keep_begun_frame(&mut self, arena: &Arena) -> bool {
        let Some(tail) = &mut self.tail else { return false };
        let cursor = tail.cursor;
        if cursor <= arena.start() || cursor >= arena.end() || arena.frame_start(cursor) == cursor {
            return false;
        }
        tail.cursor = arena.frame_end(cursor);
        let rest = arena.slices(cursor..tail.cursor).concat();
        self.parts.push(Part::Bytes(rest));
        true
    }

    /// Lets the feed go on at another place, at a frame boundary.
    pub fn seek(&mut self, cursor: Position) {
        if let Some(tail) = &mut self.tail {
            tail.cursor = cursor;
        }
    }

    /// Frames of the arena among the parts that were not sent whole.
    #[must_use]
    pub fn frames_among_parts(&self, arena: &Arena) -> u64 {
        let runs = self.parts.iter().enumerate().filter_map(|(at, part)| match part {
            Part::Run(run) if at == 0 => Some(run.start + self.sent..run.end),
            Part::Run(run) => Some(run.clone()),
            Part::Bytes(_) | Part::Static(_) | Part::Bare(..) => None,
        });
        runs.map(|run| arena.frames_passed(run)).sum()
    }

    /// Whether frames among the parts are gone from the arena.
    #[must_use]
    pub fn has_lost_parts(&self, arena: &Arena) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Run(run) if run.start < arena.start()))
    }

    /// The feed that follows the parts.
    #[must_use]
    pub fn tail(&self) -> Option<&Tail> {
        self.tail.as_ref()
    }

    /// Lets a feed follow the parts.
    pub fn follow(&mut self, tail: Tail) {
        assert!(self.tail.is_none(), "one feed at a time");
        self.tail = Some(tail);
    }

    /// Ends the feed here: what it has so far is put among the parts.
    pub fn end_tail(&mut self, channels: &[Channel]) -> Option<Tail> {
        let tail = self.tail.take()?;
        let channel = &channels[usize::from(tail.channel)];
        // Whoever still looks through old frames gets no newer ones: it comes back for all of them.
        if tail.catch_up.is_none() {
            for run in channel.feed(tail.feed).runs_from(tail.cursor, channel.arena()) {
                self.push_run(run);
            }
        }
        Some(tail)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self, channels: &[Channel]) -> bool {
        self.parts.is_empty()
            && self.tail.as_ref().is_none_or(|tail| {
                tail.catch_up.is_none()
                    && channels[usize::from(tail.channel)].feed(tail.feed).is_read(tail.cursor)
            })
    }

    /// Whether old frames must be looked through before anything can be lent.
    #[must_use]
    pub fn is_searching(&self) -> bool {
        self.parts.is_empty() && self.tail.as_ref().is_some_and(|tail| tail.catch_up.is_some())
    }

    /// Bytes of the parts; what the feed holds beside them costs this connection nothing.
    #[must_use]
    pub fn private_bytes(&self) -> u64 {
        self.parts.iter().map(Part::len).sum::<u64>() - self.sent
    }

    /// Whether bytes are gone from the arena that this connection has still to send.
    #[must_use]
    pub fn is_overrun(&self, channels: &[Channel], channel: u8) -> bool {
        // Without a channel there are no runs.
        let Some(arena) = channels.get(usize::from(channel)).map(Channel::arena) else { return false };
        self.has_lost_parts(arena)
            || self.tail.as_ref().is_some_and(|tail| {
                tail.cursor < channels[usize::from(tail.channel)].feed(tail.feed).floor(arena)
                    || tail.catch_up.as_ref().is_some_and(|run| run.start < arena.start())
            })
    }

    /// The frames among the parts that were not sent whole, and where the feed goes on, at a frame boundary.
    #[must_use]
    pub fn unsent(&self, arena: &Arena) -> (Vec<Range<Position>>, Option<Position>) {
        let mut runs: Vec<Range<Position>> = Vec::new();
        for (at, part) in self.parts.iter().enumerate() {
            let run = match part {
                Part::Run(run) if at == 0 => arena.frame_start(run.start + self.sent)..run.end,
                Part::Run(run) | Part::Bare(_, run) => arena.frame_start(run.start)..run.end,
                Part::Bytes(_) | Part::Static(_) => continue,
            };
            match runs.last_mut() {
                Some(last) if last.end == run.start => last.end = run.end,
                _ => runs.push(run),
            }
        }
        let cursor = self.tail.as_ref().map(|tail| {
            let cursor = tail.cursor;
            if cursor > arena.start() && cursor < arena.end() { arena.frame_start(cursor) } else { cursor }
        });
        (runs, cursor)
    }

    /// Prepares what [`Output::lend`] lends: frames without framing, and old frames that a view lets through.
    pub fn refill(
        &mut self,
        channels: &[Channel],
        channel: u8,
        lending: Lending,
        step: u64,
        admits: impl Fn(&Channel, FeedId, &super::arena::Frame) -> bool,
    ) {
        let Some(home) = channels.get(usize::from(channel)) else { return };
        if self.parts.is_empty()
            && let Some(tail) = &mut self.tail
            && let Some(range) = &mut tail.catch_up
        {
            let mut runs: Vec<Range<Position>> = Vec::new();
            let mut looked = 0;
            for (frame, run) in home.arena().frames_from(range.start) {
                if run.start >= range.end || looked >= step {
                    break;
                }
                looked += 1;
                range.start = run.end;
                if admits(home, tail.feed, frame) {
                    match runs.last_mut() {
                        Some(last) if last.end == run.start => last.end = run.end,
                        _ => runs.push(run),
                    }
                }
            }
            if looked < step || range.start >= range.end {
                tail.catch_up = None;
            }
            runs.into_iter().for_each(|run| self.push_run(run));
        }
        if lending.bare {
            self.strip_first(channels, home);
        }
    }

    /// Turns the next frame into a part without its chunk framing.
    fn strip_first(&mut self, channels: &[Channel], home: &Channel) {
        let next = match self.parts.first() {
            Some(Part::Run(run)) => Some((run.clone(), true)),
            Some(_) => None,
            // Old frames come first, also while a step through them has found none.
            None => self.tail.as_ref().filter(|tail| tail.catch_up.is_none()).and_then(|tail| {
                let channel = &channels[usize::from(tail.channel)];
                channel.feed(tail.feed).runs_from(tail.cursor, channel.arena()).next().map(|run| (run, false))
            }),
        };
        let Some((run, is_part)) = next else { return };
        let arena = home.arena();
        let frame = run.start..arena.frame_end(run.start);
        let bytes = without_chunk_framing(&arena.slices(frame.clone()).concat());
        if is_part {
            self.parts[0] = Part::Run(frame.end..run.end);
            if frame.end == run.end {
                self.parts.remove(0);
            }
        } else if let Some(tail) = &mut self.tail {
            tail.cursor = frame.end;
        }
        self.parts.insert(0, Part::Bare(bytes, frame));
    }

    /// Lends what waits, as far as [`SLICES_MAX`] slices hold it.
    #[must_use]
    pub fn lend<'a>(&'a self, channels: &'a [Channel], channel: u8, lending: Lending) -> Outbound<'a> {
        let mut out = Outbound { slices: [IoSlice::new(&[]); SLICES_MAX], count: 0, len: 0 };
        let arena = channels.get(usize::from(channel)).map(Channel::arena);
        let mut skip = self.sent;
        for part in &self.parts {
            if !out.has_room() || lending.one_frame && !out.is_empty() {
                return out;
            }
            match part {
                Part::Bytes(bytes) | Part::Bare(bytes, _) => out.add(&bytes[skip as usize..]),
                Part::Static(bytes) => out.add(&bytes[skip as usize..]),
                // It has its framing still; [`Output::refill`] strips one frame once it is first.
                Part::Run(_) if lending.bare => return out,
                Part::Run(run) => {
                    let Some(arena) = arena else { return out };
                    let start = run.start + skip;
                    let end = if lending.one_frame { arena.frame_end(start) } else { run.end };
                    arena.slices(start..end).into_iter().for_each(|slice| out.add(slice));
                }
            }
            skip = 0;
        }
        let Some(tail) = &self.tail else { return out };
        if tail.catch_up.is_some() || lending.bare || lending.one_frame && !out.is_empty() {
            return out;
        }
        let channel = &channels[usize::from(tail.channel)];
        for run in channel.feed(tail.feed).runs_from(tail.cursor, channel.arena()) {
            if !out.has_room() {
                break;
            }
            let end = if lending.one_frame { channel.arena().frame_end(run.start) } else { run.end };
            channel.arena().slices(run.start..end).into_iter().for_each(|slice| out.add(slice));
            if lending.one_frame {
                break;
            }
        }
        out
    }

    /// The socket took `n` bytes of what was lent.
    pub fn advance(&mut self, n: usize, channels: &[Channel], channel: u8) {
        let mut left = n as u64;
        while left > 0 && !self.parts.is_empty() {
            let part = &self.parts[0];
            let here = (part.len() - self.sent).min(left);
            let done = self.sent + here == part.len();
            match part {
                Part::Run(run) => {
                    let arena = channels[usize::from(channel)].arena();
                    self.sent_frames +=
                        arena.frames_passed(run.start + self.sent..run.start + self.sent + here);
                }
                Part::Bare(..) => self.sent_frames += u64::from(done),
                Part::Bytes(_) | Part::Static(_) => {}
            }
            self.sent += here;
            left -= here;
            if done {
                self.sent = 0;
                self.parts.remove(0);
            }
        }
        if self.parts.is_empty() {
            // An idle stream holds no queue.
            self.parts = Vec::new();
        }
        if left > 0 {
            let tail = self.tail.as_mut().expect("no more bytes are taken than were lent");
            let channel = &channels[usize::from(tail.channel)];
            let (cursor, frames) = channel.feed(tail.feed).advance(tail.cursor, left, channel.arena());
            tail.cursor = cursor;
            self.sent_frames += frames;
        }
    }
}

/// A frame is one HTTP chunk: its size line and its last CR LF are cut off.
fn without_chunk_framing(frame: &[u8]) -> Vec<u8> {
    let start = frame.iter().position(|b| *b == b'\n').map_or(0, |at| at + 1);
    frame[start..frame.len().saturating_sub(2).max(start)].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_private_pieces_share_buffers() {
        let mut output = Output::default();
        for at in 0..100_000u32 {
            output.interject_bytes(at.to_be_bytes().to_vec(), None);
            // The peer reads a little now and then, and not at frame boundaries.
            if at % 1_000 == 999 {
                output.advance(7, &[], 0);
            }
        }
        assert_eq!(output.private_bytes(), 400_000 - 700);
        assert!(output.parts.len() as u64 <= 400_000 / COMPACT_BYTES + 1, "{} parts", output.parts.len());
        let mut came = Vec::new();
        while output.private_bytes() > 0 {
            let lent = output.lend(&[], 0, Lending::default());
            let len = lent.len();
            lent.slices().iter().for_each(|slice| came.extend_from_slice(slice));
            output.advance(len, &[], 0);
        }
        let sent: Vec<u8> = (0..100_000u32).flat_map(u32::to_be_bytes).collect();
        assert_eq!(came, sent[700..]);
    }
}
