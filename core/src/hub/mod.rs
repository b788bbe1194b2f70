//! The hub: connections on one side, channels on the other, and what a dialect may do with both. A dialect gets the
//! hub lent for each of its methods; what it leaves there (records, replies, streams, ends of connections) the engine
//! turns into actions.

pub mod access;
pub mod action;
pub mod addresses;
pub mod call;
pub mod calls;
pub mod conn;
pub mod flow;
pub mod socket;
pub mod transport;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use access::{Access, Pace};
use addresses::Addresses;
use conn::{Conn, Conns, Ending, Machine, Stream};

use crate::event::channel::Channel;
use crate::event::output::Tail;
use crate::event::repeats::Repeats;
use crate::event::vocabulary::Vocabulary;
use crate::event::{Data, Event, Fact};
use crate::ground::config::{Config, Place};
use crate::ground::deadline::{Deadlines, Due};
use crate::ground::id::{ConnId, Epoch, Seq};
use crate::ground::rng::Rng;
use crate::ground::stats::Stats;
use crate::ground::time::{Mono, Now};
use crate::hub::action::{Action, Level, Note};
use crate::log::epochs::Epochs;
use crate::log::record::{Actor, Body, Header, Origin, Record, VERSION};
use crate::wire::http::reply::{Asked, Fields, Reply, write_stream_head};

/// The last chunk of an endless answer (RFC 9112 section 7.1).
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// What all dialects share.
#[derive(Debug)]
pub struct Hub {
    /// What the engine was told at start, or at the last reload.
    pub config: Config,
    /// Which engine this is.
    pub place: Place,
    /// This turn's time.
    pub now: Now,
    /// The words of all dialects.
    pub vocabulary: Vocabulary,
    /// The names of the dialects, in the order of their list.
    pub names: Vec<&'static str>,
    /// One channel per dialect that has feeds, in the order of the list of dialects.
    pub channels: Vec<Channel>,
    /// The connections.
    pub conns: Conns,
    /// What falls due.
    pub deadlines: Deadlines,
    /// The engine's randomness.
    pub rng: Rng,
    /// Counters.
    pub stats: Stats,
    /// The last record that was applied.
    pub applied: Seq,
    /// Events that may come again.
    pub repeats: Repeats,
    /// Reads of the log that are under way: their dialect and its key.
    reads: BTreeMap<u64, (u8, u32)>,
    ticket: u64,
    /// More waits in the outbox than `[outbox] pending_bytes`: publishers are refused.
    pub outbox_full: bool,
    /// A stop was asked.
    pub stopping: bool,
    /// Records come from the disk: state is made of them, and nobody acts.
    pub recovering: bool,
    /// The log has no room.
    pub full: bool,
    /// Which start of the server gave which numbers.
    pub epochs: Epochs,
    /// The dialect whose method runs, by its place in the list: a reply that waits is its own.
    pub(crate) speaker: u8,
    /// Changes that are appended carry state over the end of this record.
    pub(crate) carrying: Option<Seq>,
    /// Keys the hashes that peers could otherwise aim at.
    pub hash_seed: u64,
    date: (u64, String),
    /// This second, and the lines that the log got in it.
    noted: Pace,
    access: Access,
    batch: Vec<Record>,
    actions: VecDeque<Action>,
    flushes: VecDeque<ConnId>,
    round: usize,
    /// Replies that wait until a record is durable, in log order.
    undurable: VecDeque<Undurable>,
    durable: Seq,
    /// Connections that have to be closed, with their dialects' knowledge.
    doomed: Vec<ConnId>,
    /// Connections whose waiting input may go on.
    resumed: Vec<ConnId>,
    /// Calls to servers of others.
    pub calls: calls::Calls,
    /// What single addresses take.
    pub addresses: Addresses,
}

/// A reply that waits until a record is durable.
#[derive(Debug)]
struct Undurable {
    at: Seq,
    conn: ConnId,
    request: u32,
    /// The dialect that speaks.
    speaker: u8,
    reply: Reply,
}

/// Members of an object, in their order.
type Facts = Vec<(Box<str>, Fact)>;

/// The head of an endless answer.
#[derive(Clone, Debug)]
pub struct StreamHead {
    /// `Content-Type`.
    pub content_type: &'static str,
    /// Further header fields.
    pub fields: Fields,
}

impl Hub {
    /// An empty hub.
    #[must_use]
    pub fn new(config: Config, place: Place, seed: u64) -> Hub {
        let mut rng = Rng::new(seed);
        let hash_seed = rng.next_u64();
        Hub {
            vocabulary: Vocabulary::new(&config.vocabulary),
            config,
            place,
            now: Now::default(),
            names: Vec::new(),
            channels: Vec::new(),
            conns: Conns::default(),
            deadlines: Deadlines::default(),
            rng,
            stats: Stats::default(),
            applied: Seq(0),
            repeats: Repeats::new(hash_seed),
            reads: BTreeMap::new(),
            ticket: 0,
            outbox_full: false,
            stopping: false,
            recovering: false,
            full: false,
            epochs: Epochs::new(place.epoch),
            speaker: 0,
            carrying: None,
            hash_seed,
            date: (u64::MAX, String::new()),
            noted: Pace::default(),
            access: Access::new(hash_seed),
            batch: Vec::new(),
            actions: VecDeque::new(),
            flushes: VecDeque::new(),
            round: 0,
            undurable: VecDeque::new(),
            durable: Seq(0),
            doomed: Vec::new(),
            resumed: Vec::new(),
            calls: calls::Calls::new(hash_seed),
            addresses: Addresses::default(),
        }
    }

    /// Sets this turn's time.
    pub fn set_now(&mut self, now: Now) {
        self.now = now;
        let second = now.wall.0 / 1_000;
        if second != self.date.0 {
            self.date = (second, now.wall.to_http_date());
        }
    }

    /// `Date`, as of this turn.
    #[must_use]
    pub fn date(&self) -> &str {
        &self.date.1
    }

    /// Whether this engine appended the record, so that what all engines see alike is counted once.
    #[must_use]
    pub fn is_own(&self, record: &Record) -> bool {
        !self.recovering && record.origin.shard == self.place.shard
    }

    /// A line for the server's own log. What peers can cause without end is bounded, and what was left out is told.
    pub fn note(&mut self, level: Level, text: impl Into<String>) {
        let second = self.now.mono.0 / 1_000;
        let (room, left_out) = self.noted.admit(second, self.config.limits.notes_per_s);
        if left_out > 0 {
            let text = format!("{left_out} lines were left out of this log");
            self.actions.push_back(Action::Note(Note { level: Level::Warn, text }));
        }
        if room {
            // Peers' words are in it: they write no lines of their own, and no long ones.
            let chars_max = self.config.limits.note_chars as usize;
            let text =
                text.into().chars().take(chars_max).map(|c| if c.is_control() { ' ' } else { c }).collect();
            self.actions.push_back(Action::Note(Note { level, text }));
        }
    }

    /// Asks the adapter for something.
    pub fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    /// Asks for records of the log, from `from` on; they come to [`crate::dialect::Dialect::read`] with `key`.
    pub fn read_log(&mut self, dialect: u8, key: u32, from: Seq) {
        self.ticket += 1;
        self.reads.insert(self.ticket, (dialect, key));
        let bytes = self.config.limits.log_read_bytes;
        self.act(Action::Read { ticket: self.ticket, from, bytes });
    }

    /// Who asked for these records of the log.
    pub(crate) fn take_read(&mut self, ticket: u64) -> Option<(u8, u32)> {
        self.reads.remove(&ticket)
    }

    /// An event of the server's own, not yet published.
    pub fn draft(
        &mut self,
        event_type: &str,
        subject: Option<Box<str>>,
        scope: Facts,
        facts: Facts,
    ) -> Event {
        Event {
            id_given: false,
            id: self.rng.uuid_v7(self.now.wall).to_string().into_boxed_str(),
            source: self.config.native.source.as_str().into(),
            event_type: event_type.into(),
            subject,
            time: self.now.wall.to_rfc3339().into_boxed_str(),
            wall: self.now.wall,
            content_type: None,
            schema: None,
            extensions: scope,
            data: Data::Facts(facts),
        }
    }

    /// Sends a record on its way into the log.
    pub fn append(
        &mut self,
        actor: Actor,
        request: Option<(ConnId, u32)>,
        last: bool,
        kept: bool,
        body: Body,
    ) {
        self.append_traced(actor, request, last, kept, None, body);
    }

    /// Sends a record on its way into the log, with the trace context that came with its cause.
    pub fn append_traced(
        &mut self,
        actor: Actor,
        request: Option<(ConnId, u32)>,
        last: bool,
        kept: bool,
        trace: Option<Arc<str>>,
        body: Body,
    ) {
        let body = match (body, self.carrying) {
            (Body::Change(part, change), Some(through)) => Body::Carried { through, part, change },
            (body, _) => body,
        };
        self.batch.push(Record {
            header: Header { version: VERSION, wall: self.now.wall, actor, trace, kept },
            origin: Origin { shard: self.place.shard, request, last },
            body,
        });
    }

    /// Answers a request once the record being applied is durable.
    pub fn reply_when_durable(&mut self, conn: ConnId, request: u32, reply: Reply) {
        if self.durable >= self.applied {
            self.reply(conn, request, reply);
        } else {
            let (at, speaker) = (self.applied, self.speaker);
            self.undurable.push_back(Undurable { at, conn, request, speaker, reply });
        }
    }

    /// The server has started once more.
    pub(crate) fn begin_epoch(&mut self, epoch: Epoch, ended: Seq) {
        self.epochs.begin(epoch, ended);
        self.place.epoch = epoch;
    }

    /// The log begins behind this record.
    pub(crate) fn begin_after(&mut self, seq: Seq) {
        self.channels.iter_mut().for_each(|channel| channel.begin_after(seq));
    }

    /// All records up to `seq` are durable: the replies that waited for them leave.
    pub fn set_durable(&mut self, seq: Seq) {
        self.durable = self.durable.max(seq);
        while self.undurable.front().is_some_and(|waits| waits.at <= self.durable) {
            let Some(waits) = self.undurable.pop_front() else { return };
            self.reply(waits.conn, waits.request, waits.reply);
        }
    }

    /// Takes the requests whose replies wait for what will not be durable soon, with the dialects that speak there.
    pub(crate) fn take_undurable(&mut self) -> Vec<(ConnId, u32, u8)> {
        self.undurable.drain(..).map(|waits| (waits.conn, waits.request, waits.speaker)).collect()
    }

    /// Answers a request; replies leave in the order of their requests.
    pub fn reply(&mut self, id: ConnId, request: u32, reply: Reply) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Machine::Http(server) = &mut conn.machine else { return };
        let requests = &mut self.stats.requests;
        let date = &self.date.1;
        conn.output.write(|out| {
            server
                .answer(request, reply, date, out, |status| requests[usize::from(status / 100).min(5)] += 1);
        });
        server.wind(self.now.mono, &self.config.limits);
        if server.is_ended() {
            conn.ending = Ending::AfterFlush;
        }
        self.resumed.push(id);
        self.flush(id);
    }

    /// How a request that waits was made.
    #[must_use]
    pub fn asked(&self, id: ConnId, request: u32) -> Option<Asked> {
        match &self.conns.get(id)?.machine {
            Machine::Http(server) => server.asked(request),
            Machine::Stream(_) | Machine::Lingering | Machine::Client(_) | Machine::Flow(_) => None,
        }
    }

    /// Turns the connection of a request that waits into a stream: from here on it has a feed and keepalives, and
    /// takes no more requests. Returns false if the connection is gone.
    pub fn open_stream(&mut self, id: ConnId, head: &StreamHead, stream: Stream) -> bool {
        let chunked = !stream.lending.bare;
        self.turn_into(id, stream, 200, |date, out| {
            write_stream_head(head.content_type, &head.fields, chunked, date, out);
        })
    }

    /// Answers the request that waits on a connection with this head, and turns the connection into a stream.
    fn turn_into(
        &mut self,
        id: ConnId,
        stream: Stream,
        status: u16,
        write_head: impl FnOnce(&str, &mut Vec<u8>),
    ) -> bool {
        let Some(conn) = self.conns.get_mut(id) else { return false };
        if !matches!(conn.machine, Machine::Http(_)) {
            return false;
        }
        if conn.ending != Ending::No {
            // The peer has ended its side while its stream was opening; no answer will ever end the connection.
            if conn.output.is_empty(&self.channels) {
                self.doom(id);
            } else {
                conn.machine = Machine::Lingering;
            }
            return false;
        }
        conn.output.write(|out| write_head(&self.date.1, out));
        self.stats.requests[usize::from(status / 100)] += 1;
        let dialect = self.stats.dialect(self.names[usize::from(stream.dialect)]);
        dialect.streams_open += 1;
        dialect.streams_opened += 1;
        conn.machine = Machine::Stream(stream);
        self.flush(id);
        true
    }

    /// Lets a stream read a feed, unless it is ending.
    pub fn follow(&mut self, id: ConnId, tail: Tail) {
        if let Some(conn) = self.conns.get_mut(id).filter(|conn| conn.ending == Ending::No) {
            let channel = &mut self.channels[usize::from(tail.channel)];
            channel.join(tail.feed, id.slot);
            if let Some(socket) = &mut conn.socket {
                let ours = conn.output.sent_frames() + conn.output.frames_among_parts(channel.arena());
                socket.before = channel.feed(tail.feed).frames().wrapping_sub(ours);
            }
            conn.output.follow(tail);
        }
        self.flush(id);
    }

    /// Ends a stream's feed here; what it holds so far is still sent.
    pub fn unfollow(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(id) else { return };
        let overrun = conn.stream().filter(|s| conn.output.is_overrun(&self.channels, s.dialect));
        if let Some(stream) = overrun {
            // Events that it had still to send are gone: going on would leave a hole that nobody is told of.
            self.stats.dialect(self.names[usize::from(stream.dialect)]).streams_cut += 1;
            self.doom(id);
        }
        let Some(conn) = self.conns.get_mut(id) else { return };
        if let Some(tail) = conn.output.end_tail(&self.channels) {
            self.channels[usize::from(tail.channel)].leave(tail.feed, id.slot);
        }
    }

    /// Ends a stream cleanly: what is queued, the last chunk, and the end of the connection, within `patience_ms`.
    pub fn end_stream(&mut self, id: ConnId, patience_ms: u64) {
        self.unfollow(id);
        let deadline = self.now.mono.plus_ms(patience_ms);
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Machine::Stream(stream) = &mut conn.machine else { return };
        if conn.ending == Ending::No {
            if !stream.lending.bare {
                conn.output.push_static(LAST_CHUNK);
            }
            stream.keepalive_at = Mono::NEVER;
            conn.ending = Ending::AfterFlush;
            conn.patience = deadline;
        }
        self.arm(id);
        self.flush(id);
    }

    /// Puts a connection on the flush list, once, unless its socket is full.
    pub fn flush(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id)
            && !conn.listed
            && !conn.blocked
        {
            conn.listed = true;
            self.flushes.push_back(id);
        }
    }

    /// Marks a connection for closing at the end of this input.
    pub fn doom(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id) {
            // Nothing is due any more. A deadline that has passed would otherwise be armed again and found due again,
            // without end, because the connection is closed only after all that was due.
            conn.armed = Mono(0);
            self.doomed.push(id);
        }
    }

    pub(crate) fn take_doomed(&mut self) -> Option<ConnId> {
        self.doomed.pop()
    }

    pub(crate) fn take_resumed(&mut self) -> Option<ConnId> {
        self.resumed.pop()
    }

    /// The records that wait to be appended.
    pub(crate) fn next_append(&mut self) -> Option<Vec<Record>> {
        (!self.batch.is_empty()).then(|| std::mem::take(&mut self.batch))
    }

    /// The next action, in the order of doing: the log first, sockets last.
    pub(crate) fn next_action(&mut self) -> Option<Action> {
        self.next_append().map(Action::Append).or_else(|| self.actions.pop_front())
    }

    /// Tells the readers of feeds with new frames; those whose sockets are full go to `stalled`.
    pub(crate) fn tell_readers(&mut self, stalled: &mut Vec<ConnId>) {
        let Hub { channels, conns, flushes, round, .. } = self;
        for channel in channels.iter_mut().filter(|c| c.is_dirty()) {
            *round = round.wrapping_add(1);
            channel.take_dirty(*round, |slot| {
                let Some((id, conn)) = conns.at_mut(slot) else { return };
                if conn.blocked {
                    stalled.push(id);
                } else if !conn.listed {
                    conn.listed = true;
                    flushes.push_back(id);
                }
            });
        }
    }

    /// The next connection that has something to send.
    pub(crate) fn next_flush(&mut self) -> Option<ConnId> {
        while let Some(id) = self.flushes.pop_front() {
            if let Some(conn) = self.conns.get_mut(id) {
                conn.listed = false;
                if !conn.blocked {
                    return Some(id);
                }
            }
        }
        None
    }

    /// Arms the connection's earliest deadline. One that lies later than what is armed waits for that to come up.
    pub fn arm(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id) {
            let at = conn.deadline();
            if at < conn.armed {
                conn.armed = at;
                self.deadlines.arm(at, Due::Conn(id));
            }
        }
    }

    /// A connection, if it is still open.
    pub fn conn(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.conns.get_mut(id)
    }
}
