//! Streams that resume from before what is kept in memory: they read the log, a bounded piece at a time, and get what
//! their filters let through as private bytes. Where the log meets the arena they join their feed, without loss and
//! without repetition, because both are ordered by the records' numbers.
//!
//! A reader asks for the next piece when its socket has taken the one before, so a slow one holds one piece. At most
//! `log_readers` have a piece under way; the others wait in their order.

use std::collections::VecDeque;
use std::sync::Arc;

use super::render;
use super::stream::{gap, join};
use crate::event::channel::FeedId;
use crate::event::projection;
use crate::ground::id::{ConnId, Seq};
use crate::ground::slots::Slots;
use crate::hub::Hub;
use crate::hub::conn::{Machine, Stream};
use crate::log::record::{Body, Record};
use crate::wire::http::body::chunk;

/// Streams that read the log.
#[derive(Debug, Default)]
pub(super) struct Histories {
    readers: Slots<Reader>,
    /// Pieces that were asked for and have not come.
    under_way: u64,
    /// Readers that want a piece, in their order.
    waiting: VecDeque<u32>,
}

/// Where a reader stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// It waits for its turn to ask.
    Waiting,
    /// Its piece is under way.
    Asked,
    /// Its socket takes a piece.
    Sending,
    /// It has closed while its piece was under way.
    Closed,
}

/// One of them.
#[derive(Debug)]
struct Reader {
    state: State,
    conn: ConnId,
    /// Kept by this reader until it joins it.
    feed: FeedId,
    /// The first record that it has not got.
    next: Seq,
}

impl Histories {
    /// A stream wants what the log has from `next` on. It keeps `feed`, which was kept for it.
    pub(super) fn begin(&mut self, hub: &mut Hub, channel: u8, conn: ConnId, feed: FeedId, next: Seq) {
        let key = self.readers.insert(Reader { state: State::Waiting, conn, feed, next });
        if let Some(conn) = hub.conn(conn)
            && let Machine::Stream(stream) = &mut conn.machine
        {
            stream.tag = key + 1;
        }
        self.waiting.push_back(key);
        self.ask(hub, channel);
    }

    /// Asks for as many pieces as may be under way.
    fn ask(&mut self, hub: &mut Hub, channel: u8) {
        while self.under_way < hub.config.limits.log_readers {
            let Some(key) = self.waiting.pop_front() else { return };
            let Some(reader) = self.readers.get_mut(key) else { continue };
            reader.state = State::Asked;
            self.under_way += 1;
            hub.read_log(channel, key, reader.next);
        }
    }

    /// The socket has taken the piece before.
    pub(super) fn drained(&mut self, hub: &mut Hub, channel: u8, stream: &Stream) {
        if let Some(key) = stream.tag.checked_sub(1)
            && let Some(reader) = self.readers.get_mut(key)
            && reader.state == State::Sending
        {
            reader.state = State::Waiting;
            self.waiting.push_back(key);
            self.ask(hub, channel);
        }
    }

    /// A piece of the log has come.
    pub(super) fn read(
        &mut self,
        hub: &mut Hub,
        channel: u8,
        key: u32,
        start: Seq,
        records: &[(Seq, Arc<Record>)],
    ) {
        self.under_way -= 1;
        let Some(reader) = self.readers.get_mut(key) else { return };
        if reader.state == State::Closed {
            self.forget(hub, channel, key);
            return self.ask(hub, channel);
        }
        let bare = hub.conns.get(reader.conn).is_some_and(|conn| conn.lending().bare);
        let out = reader.render(hub, channel, bare, start, records);
        let (conn, feed, next, wrote) = (reader.conn, reader.feed, reader.next, !out.is_empty());
        if wrote && let Some(conn) = hub.conn(conn) {
            conn.output.push_bytes(out);
        }
        if next > hub.channels[usize::from(channel)].arena().gone() {
            self.readers.remove(key);
            if let Some(conn) = hub.conn(conn)
                && let Machine::Stream(stream) = &mut conn.machine
            {
                stream.tag = 0;
            }
            let from = hub.channels[usize::from(channel)].arena().position_of(next);
            join(hub, channel, conn, feed, from);
        } else if wrote {
            reader.state = State::Sending;
            hub.flush(conn);
        } else {
            reader.state = State::Waiting;
            self.waiting.push_back(key);
        }
        self.ask(hub, channel);
    }

    /// A stream has closed.
    pub(super) fn closed(&mut self, hub: &mut Hub, channel: u8, stream: &Stream) {
        let Some(key) = stream.tag.checked_sub(1) else { return };
        let Some(reader) = self.readers.get_mut(key) else { return };
        if reader.state == State::Asked {
            reader.state = State::Closed;
        } else {
            self.waiting.retain(|waiting| *waiting != key);
            self.forget(hub, channel, key);
        }
    }

    fn forget(&mut self, hub: &mut Hub, channel: u8, key: u32) {
        if let Some(reader) = self.readers.remove(key) {
            hub.channels[usize::from(channel)].release(reader.feed);
        }
    }
}

impl Reader {
    /// What this reader gets of a piece, and of what the log no longer has before it.
    fn render(
        &mut self,
        hub: &Hub,
        channel: u8,
        bare: bool,
        start: Seq,
        records: &[(Seq, Arc<Record>)],
    ) -> Vec<u8> {
        let epoch = |seq: Seq| hub.epochs.of(seq);
        let home = &hub.channels[usize::from(channel)];
        let (mut out, mut text) = (Vec::new(), Vec::new());
        let write = |text: &[u8], out: &mut Vec<u8>| {
            if bare { out.extend_from_slice(text) } else { chunk(text, out) }
        };
        // Where the log has nothing more, what it should have had up to the arena is gone as well.
        let first = if records.is_empty() { start.max(home.arena().gone().next()) } else { start };
        if first > self.next {
            let last = Seq(first.0 - 1);
            let (from, to) =
                (format!("{}-{}", epoch(self.next), self.next), format!("{}-{last}", epoch(last)));
            write(&gap(&from, &to, "no longer retained"), &mut out);
            self.next = first;
        }
        let from = self.next;
        for (seq, record) in records.iter().filter(|(seq, _)| *seq >= from) {
            self.next = seq.next();
            let Body::Event(event) = &record.body else { continue };
            // Two that were sent at the same moment may both stand in the log; the first was published.
            let repeated = hub.repeats.known(event).is_some_and(|first| first < *seq);
            if !repeated && home.view(self.feed).admits(&projection::Native(event)) {
                text.clear();
                render::text(event, epoch(*seq), *seq, &mut text);
                write(&text, &mut out);
            }
        }
        out
    }
}
