//! Conversations with the engine in memory: no socket, no thread, no sleep. Engines read one [`log`], [`socket`]s
//! move bytes with as much room as a test gives them, and both clocks stand still until they are moved. [`read`]
//! takes apart what came out, [`mod@write`] puts requests together, and [`ws`] is a websocket's client.
//!
//! [`World`] is an adapter: it does what the server binaries' loops do, in the same order, and after each turn it
//! asserts what must hold between an engine and any adapter.

pub mod calls;
pub mod checks;
pub mod datagrams;
pub mod log;
pub mod others;
pub mod read;
pub mod socket;
mod turn;
pub mod write;
pub mod ws;

use std::collections::VecDeque;
use std::net::SocketAddr;

use offhook_core::ground::config::{Listener, Place};
use offhook_core::ground::rng::Rng;
use offhook_core::ground::stats::Stats;
use offhook_core::hub::access::audit::Audit;
use offhook_core::hub::action::Note;
use offhook_core::log::record::{Body, Header, Origin, Record};
use offhook_core::{Completion, Config, ConnId, Engine, Epoch, ListenerId, Mono, Now, Seq, ShardId, Wall};

use log::Log;
use read::Reply;
use socket::Socket;

/// The epoch of every world's log.
pub const EPOCH: Epoch = Epoch(0xa1);

/// The moment at which every world begins.
pub const BEGINNING: &str = "2015-11-03T14:37:11Z";

/// `Date` at that moment.
pub const DATE: &str = "Tue, 03 Nov 2015 14:37:11 GMT";

/// One client's end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer(usize);

/// Engines, their log, their clients, and time.
#[derive(Debug)]
pub struct World {
    now: Now,
    shards: Vec<Shard>,
    log: Log,
    sockets: Vec<Socket>,
    notes: Vec<Note>,
    audit: Vec<Audit>,
    checks: VecDeque<checks::Asked>,
    others: others::Others,
    /// Starts after the first.
    starts: u64,
    /// Masks of websocket frames.
    masks: Rng,
    /// Sent, and not taken by the test.
    datagrams: Vec<datagrams::Datagram>,
    udp_full: bool,
}

#[derive(Debug)]
struct Shard {
    engine: Engine,
    /// The connections that the engine knows, by slot.
    live: Vec<Option<(ConnId, Peer)>>,
}

impl Shard {
    fn new(config: &Config, shard: u16, shards: u16, epoch: Epoch, keeps_log: bool) -> Shard {
        let place = Place { shard: ShardId(shard), shards, epoch, keeps_log };
        // Each start draws another seed; what was random before it does not come again.
        let seed = 7 + u64::from(shard) + 100 * (epoch.0 - EPOCH.0);
        Shard { engine: Engine::new(config.clone(), place, seed), live: Vec::new() }
    }
}

impl World {
    /// One engine with a default configuration.
    #[must_use]
    pub fn new() -> World {
        World::with(Config::default(), 1)
    }

    /// `shards` engines with the same configuration over one log.
    ///
    /// # Panics
    /// If the beginning of all worlds is no date.
    #[must_use]
    pub fn with(config: Config, shards: u16) -> World {
        World::start(config, shards, false)
    }

    /// The same, with a log that is kept: it can be read again, and a restart finds it.
    ///
    /// # Panics
    /// If the beginning of all worlds is no date.
    #[must_use]
    pub fn keeping(config: Config, shards: u16) -> World {
        let mut world = World::start(config, shards, true);
        world.begin_epoch(EPOCH);
        world
    }

    fn start(mut config: Config, shards: u16, keeps_log: bool) -> World {
        if config.listeners.is_empty() {
            config.listeners.push(Listener::default());
        }
        let engine = |shard| Shard::new(&config, shard, shards, EPOCH, keeps_log);
        let wall = Wall::from_rfc3339(BEGINNING).expect("the beginning is a date");
        let now = Now { mono: Mono(1_000), wall };
        let mut shards: Vec<Shard> = (0..shards).map(engine).collect();
        for shard in &mut shards {
            shard.engine.complete(now, Completion::Recovered);
        }
        let log = Log::new(shards.len());
        World {
            now,
            shards,
            log,
            sockets: Vec::new(),
            notes: Vec::new(),
            audit: Vec::new(),
            checks: VecDeque::new(),
            others: others::Others::default(),
            starts: 0,
            masks: Rng::new(7),
            datagrams: Vec::new(),
            udp_full: false,
        }
    }

    /// The server is killed and started anew, with another configuration perhaps: connections are gone, and the
    /// engines know what was durable.
    ///
    /// # Panics
    /// If an invariant of the doorway is broken.
    pub fn restart(&mut self, mut config: Config) {
        if config.listeners.is_empty() {
            config.listeners.push(Listener::default());
        }
        self.starts += 1;
        let epoch = Epoch(EPOCH.0 + self.starts);
        let shards = u16::try_from(self.shards.len()).expect("few shards");
        for socket in &mut self.sockets {
            socket.closed = true;
        }
        self.checks.clear();
        self.shards = (0..shards).map(|shard| Shard::new(&config, shard, shards, epoch, true)).collect();
        let (records, before) = (self.log.crash(), self.log.before());
        for Shard { engine, .. } in &mut self.shards {
            if before > Seq(0) {
                engine.recover(self.now, before, &Record::of_epoch(EPOCH, before).into());
            }
            // What was carried over the end of what is gone comes first.
            for (_, record) in &records {
                if matches!(record.body, Body::Carried { through, .. } if through == before) {
                    engine.carry(self.now, record);
                }
            }
            for (seq, record) in &records {
                engine.recover(self.now, *seq, record);
            }
            engine.complete(self.now, Completion::Recovered);
        }
        self.begin_epoch(epoch);
    }

    fn begin_epoch(&mut self, epoch: Epoch) {
        let ended = self.log.last();
        self.log.append(0, vec![log::server_record(self.now.wall, Body::Epoch { epoch, ended })]);
        self.turn();
    }

    /// A record of a part of the server itself, as the first engine would append it.
    pub fn append(&mut self, body: Body) {
        self.log.append(0, vec![log::server_record(self.now.wall, body)]);
        self.turn();
    }

    /// Lets go of all records up to this one, after the engines have said anew what must stay.
    pub fn retire(&mut self, through: Seq) {
        let record = Record {
            header: Header {
                kept: false,
                ..log::server_record(self.now.wall, Body::Retire { through }).header
            },
            origin: Origin::default(),
            body: Body::Retire { through },
        };
        self.log.append(0, vec![record]);
        self.turn();
        self.log.drop_before(through.next());
    }

    /// Lets go of the log's records before this one, and of what they say.
    pub fn drop_records_before(&mut self, seq: Seq) {
        self.log.drop_before(seq);
    }

    /// A connection from this machine to the first engine.
    pub fn connect(&mut self) -> Peer {
        self.connect_to(0)
    }

    /// A connection from this machine to an engine.
    pub fn connect_to(&mut self, shard: usize) -> Peer {
        self.connect_from(shard, "127.0.0.1:40000")
    }

    /// A connection from an address to an engine.
    ///
    /// # Panics
    /// If `from` is no address, or the engine takes no connection at all.
    pub fn connect_from(&mut self, shard: usize, from: &str) -> Peer {
        self.try_connect(shard, from).expect("the engine takes the connection")
    }

    /// A connection from an address to an engine; `None` if the engine has no room even for a refusal.
    ///
    /// # Panics
    /// If `from` is no address.
    pub fn try_connect(&mut self, shard: usize, from: &str) -> Option<Peer> {
        self.try_connect_via(shard, 0, from)
    }

    fn try_connect_via(&mut self, shard: usize, listener: u16, from: &str) -> Option<Peer> {
        let from: SocketAddr = from.parse().expect("an address with a port");
        let peer = Peer(self.sockets.len());
        let Shard { engine, live } = &mut self.shards[shard];
        let id = engine.accept(self.now, ListenerId(listener), from)?;
        let place = id.slot as usize;
        if live.len() <= place {
            live.resize(place + 1, None);
        }
        assert!(live[place].is_none(), "a slot is given again only after its connection is closed");
        live[place] = Some((id, peer));
        self.sockets.push(Socket::new(shard, id));
        self.turn();
        Some(peer)
    }

    /// The peer sends bytes, and everything that follows from them happens.
    pub fn send(&mut self, peer: Peer, bytes: impl AsRef<[u8]>) {
        self.queue(peer, bytes);
        self.turn();
    }

    /// The peer sends bytes that the engine gets in the next turn, together with whatever else is queued.
    pub fn queue(&mut self, peer: Peer, bytes: impl AsRef<[u8]>) {
        self.sockets[peer.0].queue(bytes.as_ref());
    }

    /// The peer ends its sending direction, after what it has sent.
    pub fn end(&mut self, peer: Peer) {
        self.sockets[peer.0].eof = true;
        self.turn();
    }

    /// The connection breaks.
    pub fn break_off(&mut self, peer: Peer) {
        self.sockets[peer.0].broken = true;
        self.turn();
    }

    /// From here on the kernel takes `bytes` more for this peer, then none.
    pub fn limit_room(&mut self, peer: Peer, bytes: usize) {
        self.sockets[peer.0].room = Some(bytes);
    }

    /// The peer reads: there is room for `bytes` more.
    pub fn give_room(&mut self, peer: Peer, bytes: usize) {
        let socket = &mut self.sockets[peer.0];
        socket.room = socket.room.map(|room| room + bytes);
        self.turn();
    }

    /// The peer reads all there is from here on.
    pub fn lift_limit(&mut self, peer: Peer) {
        self.sockets[peer.0].room = None;
        self.turn();
    }

    /// What the peer has received and a test has not taken yet.
    #[must_use]
    pub fn received(&self, peer: Peer) -> &[u8] {
        &self.sockets[peer.0].received
    }

    /// Takes all that the peer has received.
    pub fn take(&mut self, peer: Peer) -> Vec<u8> {
        std::mem::take(&mut self.sockets[peer.0].received)
    }

    /// Takes the next whole reply that the peer has received.
    pub fn next_reply(&mut self, peer: Peer) -> Option<Reply> {
        read::take_reply(&mut self.sockets[peer.0].received, false)
    }

    /// Sends one request and takes its reply.
    ///
    /// # Panics
    /// If there is no reply.
    pub fn ask(&mut self, peer: Peer, request: impl AsRef<[u8]>) -> Reply {
        let is_head = request.as_ref().starts_with(b"HEAD ");
        self.send(peer, request);
        read::take_reply(&mut self.sockets[peer.0].received, is_head).expect("a whole reply")
    }

    /// Sends one request on a connection of its own to the first engine, and takes its reply.
    pub fn ask_alone(&mut self, request: impl AsRef<[u8]>) -> Reply {
        let peer = self.connect();
        let reply = self.ask(peer, request);
        self.break_off(peer);
        reply
    }

    /// Sends a request for a stream and takes the head of the answer.
    ///
    /// # Panics
    /// If there is no head.
    pub fn open(&mut self, peer: Peer, request: impl AsRef<[u8]>) -> Reply {
        self.send(peer, request);
        read::take_head(&mut self.sockets[peer.0].received).expect("the head of a stream")
    }

    /// Takes the whole chunks that the peer has received, and requires that nothing else is there.
    pub fn chunks(&mut self, peer: Peer) -> read::Chunks {
        let taken = self.take(peer);
        read::chunks(&taken)
    }

    /// Takes the sizes of the writes since the last time.
    pub fn take_writes(&mut self, peer: Peer) -> Vec<usize> {
        std::mem::take(&mut self.sockets[peer.0].writes)
    }

    /// Whether the engine has closed the connection.
    #[must_use]
    pub fn is_closed(&self, peer: Peer) -> bool {
        self.sockets[peer.0].closed
    }

    /// Whether the engine has ended its sending direction, or closed the connection.
    #[must_use]
    pub fn is_ended(&self, peer: Peer) -> bool {
        self.sockets[peer.0].finished || self.sockets[peer.0].closed
    }

    /// Whether the engine has ended its sending direction without closing the connection.
    #[must_use]
    pub fn is_finished(&self, peer: Peer) -> bool {
        self.sockets[peer.0].finished
    }

    /// How many bytes the peer has sent and the engine does not want yet.
    #[must_use]
    pub fn held_back(&self, peer: Peer) -> usize {
        self.sockets[peer.0].queued()
    }

    /// The clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        self.now
    }

    /// Lets time pass; every engine is woken exactly at its deadlines.
    pub fn pass(&mut self, ms: u64) {
        let end = self.now.mono.plus_ms(ms);
        while let Some(due) = self.next_deadline().filter(|due| *due <= end) {
            self.jump(due.since(self.now.mono));
        }
        self.jump(end.since(self.now.mono));
    }

    /// Lets time pass at once, as for a loop that was held up; engines are woken at the end.
    pub fn jump(&mut self, ms: u64) {
        self.now = Now { mono: self.now.mono.plus_ms(ms), wall: Wall(self.now.wall.0 + ms) };
        self.turn();
    }

    /// Sets the wall clock alone.
    pub fn set_wall(&mut self, wall: Wall) {
        self.now.wall = wall;
        self.turn();
    }

    /// The earliest deadline of all engines.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        self.shards.iter().filter_map(|shard| shard.engine.poll_timeout()).min()
    }

    /// Keeps records from reaching an engine until it needs them for a request of its own, or they are released.
    pub fn hold_records(&mut self, shard: usize) {
        self.log.hold(shard, true);
    }

    /// The counterpart of [`World::hold_records`].
    pub fn release_records(&mut self, shard: usize) {
        self.log.hold(shard, false);
        self.turn();
    }

    /// From here on nothing becomes durable until it is released.
    pub fn hold_durability(&mut self) {
        self.log.hold_durability(true);
    }

    /// Everything that was appended becomes durable.
    pub fn release_durability(&mut self) {
        self.log.hold_durability(false);
        self.turn();
    }

    /// Everything up to a record becomes durable, and no more.
    pub fn make_durable(&mut self, seq: Seq) {
        self.log.make_durable(seq);
        self.turn();
    }

    /// How many records the log holds.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.log.last().0
    }

    /// The kept records that are durable, in their order.
    #[must_use]
    pub fn kept_records(&self) -> Vec<log::Numbered> {
        self.log.read(Seq(1), usize::MAX).1
    }

    /// Tells all engines something.
    pub fn tell(&mut self, done: impl Fn() -> Completion) {
        for shard in &mut self.shards {
            shard.engine.complete(self.now, done());
        }
        self.turn();
    }

    /// Whether all engines are drained after a stop.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.shards.iter().all(|shard| shard.engine.is_drained())
    }

    /// The counters of all engines together.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut sum = Stats::default();
        self.shards.iter().for_each(|shard| sum.merge(&shard.engine.stats()));
        sum
    }

    /// The counters of one engine.
    #[must_use]
    pub fn stats_of(&self, shard: usize) -> Stats {
        self.shards[shard].engine.stats()
    }

    /// Takes the lines for the server's own log.
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// Takes the lines of the audit log.
    pub fn take_audit(&mut self) -> Vec<Audit> {
        std::mem::take(&mut self.audit)
    }
}

impl Default for World {
    fn default() -> World {
        World::new()
    }
}
