//! The world: time, what is going to happen, and everybody in it. One thing happens at a time, in an order that the seed
//! decides.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;

use offhook_core::ground::rng::Rng;
use offhook_core::ground::stats::Stats;
use offhook_core::{Completion, Mono, Now, Seq, Wall};

use super::books::Books;
use super::client::{Act, Client, Io};
use super::disk::Disk;
use super::faults::{Counts, Fault};
use super::net::{End, LinkId, Net};
use super::sabotage::Sabotage;
use super::sealed::{Sealed, Site};
use super::server::{Mail, Server};
use super::swarm::{Faults, Swarm};
use super::trace::Trace;

/// The moment at which every world begins: 2026-01-01T00:00:00Z.
const BEGINNING: Wall = Wall(1_767_225_600_000);

/// How long the world may go on after the faults until nobody waits for anything.
const CALM_MS: u64 = 40 * 60_000;

/// The listener that speaks TLS.
const SEALED: u16 = 1;

/// Things that happen in one seed at most; more is a loop.
const STEPS_MAX: u64 = 20_000_000;

/// Something that is going to happen.
#[derive(Debug)]
pub(super) enum Wake {
    Start,
    Shard { life: u64, shard: usize },
    Mail { life: u64, shard: usize, done: Option<Box<Completion>> },
    Disk { life: u64 },
    LogLook { life: u64 },
    LogRetry { life: u64 },
    Read { life: u64, shard: usize, ticket: u64, from: Seq, bytes: u64 },
    Link(LinkId),
    Accept { link: LinkId, client: usize, listener: u16, sealed: bool },
    Dialed { link: LinkId, fails: bool },
    Client(usize),
    ToServer { from: SocketAddr, bytes: Vec<u8> },
    ToClient { client: usize, bytes: Vec<u8> },
    Fault(Fault),
    Calm,
}

#[derive(Debug)]
struct Due {
    at: u64,
    /// Of things at the same time any may come first.
    tie: u64,
    what: Wake,
}

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        (self.at, self.tie) == (other.at, other.tie)
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Due) -> std::cmp::Ordering {
        (self.at, self.tie).cmp(&(other.at, other.tie))
    }
}

/// Everything that one seed drives.
pub struct World {
    pub(super) now: Now,
    due: BinaryHeap<Reverse<Due>>,
    steps: u64,
    pub(super) rng: Rng,
    pub(super) swarm: Swarm,
    pub(super) disk: Disk,
    pub(super) disk_full: bool,
    pub(super) disk_fails: bool,
    /// A bit that is wrong: segment, byte, bit.
    pub(super) flipped: Option<(u64, usize, u32)>,
    pub(super) life: u64,
    pub(super) server: Option<Server>,
    pub(super) net: Net,
    pub(super) site: Site,
    clients: Vec<Option<Box<dyn Client>>>,
    pub(super) books: Books,
    pub(super) trace: Trace,
    pub(super) counts: Counts,
    pub(super) calm: bool,
    /// Everybody has left, and the server does not start again.
    pub(super) leaving: bool,
    pub(super) sabotage: Option<Sabotage>,
}

impl World {
    /// A world with these clients, in which nothing has happened.
    #[must_use]
    pub fn new(mut swarm: Swarm, rng: Rng, sabotage: Option<Sabotage>, keeps_lines: bool) -> World {
        let site = Site::new();
        site.set_clock(BEGINNING);
        swarm.config.listeners.push(site.listener());
        swarm.config.tls = Some(site.base());
        World {
            now: Now { mono: Mono(1_000), wall: BEGINNING },
            due: BinaryHeap::new(),
            steps: 0,
            rng,
            swarm,
            disk: Disk::default(),
            disk_full: false,
            disk_fails: false,
            flipped: None,
            life: 0,
            server: None,
            net: Net::default(),
            site,
            clients: Vec::new(),
            books: Books::default(),
            trace: Trace::new(keeps_lines),
            counts: Counts::default(),
            calm: false,
            leaving: false,
            sabotage,
        }
    }

    /// Somebody more.
    pub fn add(&mut self, client: impl Client + 'static) {
        self.clients.push(Some(Box::new(client)));
    }

    /// The whole of it: faults, then calm, then a stop.
    pub fn run(&mut self) {
        self.start();
        for client in 0..self.clients.len() {
            let at = self.now.mono.0 + self.rng.below(500);
            self.wake_at(at, Wake::Client(client));
        }
        self.plan_faults();
        let end = self.now.mono.0 + self.swarm.faults_ms;
        self.wake_at(end, Wake::Calm);
        while !self.calm {
            self.step();
        }
        self.settle();
        self.leave();
    }

    /// After the faults everybody gets what he waits for.
    fn settle(&mut self) {
        let end = self.now.mono.0 + CALM_MS;
        while let Some(reason) = self.waits_for() {
            assert!(self.now.mono.0 < end, "the faults are over for {} s, and {reason}", CALM_MS / 1_000);
            let next = self.now.mono.0 + 200;
            while self.next_due().is_some_and(|due| due <= next) {
                self.step();
            }
            self.set_time(next);
        }
        for client in self.clients.iter().flatten() {
            client.judge(&self.books);
        }
    }

    /// What somebody still waits for.
    fn waits_for(&mut self) -> Option<String> {
        if self.server.is_none() {
            return Some("the server is down".to_owned());
        }
        for client in self.clients.iter().flatten() {
            if let Some(reason) = client.waits_for(&self.books) {
                return Some(format!("{} waits for {reason}", client.name()));
            }
        }
        let pending = self.server.as_ref().map_or(0, |server| {
            server.shards.iter().map(|shard| shard.engine.stats().pending_bytes).max().unwrap_or(0)
        });
        (pending > 0).then(|| format!("{pending} bytes wait in the outbox"))
    }

    /// Everybody leaves, the server is stopped, and nothing is left.
    fn leave(&mut self) {
        // The end of a session is news for servers of others, so they leave last.
        for is_served in [false, true] {
            for client in 0..self.clients.len() {
                if self.address_of(client).is_some() == is_served {
                    self.tell(client, |client, io| client.leave(io));
                }
            }
            self.pass(120_000);
        }
        self.leaving = true;
        for (at, shard) in self.server.iter().flat_map(|server| server.shards.iter().enumerate()) {
            let stats = shard.engine.stats();
            assert_eq!(stats.connections_open, 0, "everybody has left, and shard {at} holds connections");
            assert_eq!(stats.call_connections_open, 0, "nobody is called, and shard {at} holds connections");
            nothing_is_left(at, &stats);
        }
        self.stop();
        let end = self.now.mono.0 + CALM_MS;
        while self.server.is_some() && self.now.mono.0 < end {
            self.pass(1_000);
        }
        assert!(self.server.is_none(), "a stop ends; the log is idle: {}", self.log_is_idle());
        self.pass(1_000);
        assert!(self.net.is_empty(), "{} connections are left behind", self.net.len());
    }

    /// Lets time pass.
    fn pass(&mut self, ms: u64) {
        let end = self.now.mono.0 + ms;
        while self.next_due().is_some_and(|due| due <= end) {
            self.step();
        }
        self.set_time(end);
    }

    pub(super) fn wake_at(&mut self, at: u64, what: Wake) {
        let tie = self.rng.next_u64();
        self.due.push(Reverse(Due { at: at.max(self.now.mono.0), tie, what }));
    }

    fn next_due(&self) -> Option<u64> {
        self.due.peek().map(|Reverse(due)| due.at)
    }

    fn set_time(&mut self, at: u64) {
        let passed = at.saturating_sub(self.now.mono.0);
        self.now = Now { mono: Mono(self.now.mono.0 + passed), wall: Wall(self.now.wall.0 + passed) };
        self.books.latest = self.books.latest.max(self.now.wall);
        self.site.set_clock(self.now.wall);
    }

    /// The next thing happens.
    fn step(&mut self) {
        self.steps += 1;
        assert!(self.steps < STEPS_MAX, "it never ends");
        let Some(Reverse(Due { at, what, .. })) = self.due.pop() else {
            panic!("nothing is going to happen")
        };
        self.set_time(at);
        let life = self.life;
        let runs = self.server.is_some();
        match what {
            Wake::Start if !runs => self.start(),
            Wake::Shard { life: of, shard } if of == life && runs => self.turn(shard),
            Wake::Mail { life: of, shard, done } if of == life && runs => {
                if let Some(done) = done {
                    self.mail(shard, Mail::Completion(*done));
                }
            }
            Wake::Disk { life: of } if of == life && runs => self.disk_done(),
            Wake::LogRetry { life: of } if of == life && runs => self.drive_log(),
            Wake::LogLook { life: of } if of == life && runs => {
                self.retire();
                self.wake_at(at + 5_000, Wake::LogLook { life });
            }
            Wake::Read { life: of, shard, ticket, from, bytes } if of == life && runs => {
                self.read_log(shard, ticket, from, bytes);
            }
            Wake::Link(link) => self.deliver(link),
            Wake::Accept { link, client, listener, sealed } => self.accept(link, client, listener, sealed),
            Wake::Dialed { link, fails } if runs => self.dialed(link, fails),
            Wake::Client(client) => self.tell(client, |client, io| client.wake(io)),
            Wake::ToServer { from, bytes } if runs => self.datagram_arrived(from, &bytes),
            Wake::ToClient { client, bytes } => self.tell(client, |client, io| client.datagram(io, &bytes)),
            Wake::Fault(fault) => self.fault(fault),
            Wake::Calm => self.calm_down(),
            // Of another life.
            Wake::Start
            | Wake::Shard { .. }
            | Wake::Mail { .. }
            | Wake::Disk { .. }
            | Wake::LogRetry { .. }
            | Wake::LogLook { .. }
            | Wake::Read { .. }
            | Wake::Dialed { .. }
            | Wake::ToServer { .. } => {}
        }
    }

    fn calm_down(&mut self) {
        self.calm = true;
        self.disk_full = false;
        self.disk_fails = false;
        self.swarm.faults = Faults::default();
        let now = self.now.mono.0;
        self.trace.line(|| format!("{now} the faults are over"));
        if self.server.is_none() {
            self.wake_at(now, Wake::Start);
        }
        let stalled: Vec<LinkId> = self
            .net
            .iter()
            .map(|(link, there)| {
                there.stalled_until = 0;
                link
            })
            .collect();
        for link in stalled {
            self.wake_at(now, Wake::Link(link));
        }
        for client in 0..self.clients.len() {
            self.wake_at(now, Wake::Client(client));
        }
    }

    /// A client is told something, and does what it does.
    pub(super) fn tell(&mut self, client: usize, what: impl FnOnce(&mut dyn Client, &mut Io<'_>)) {
        let Some(mut there) = self.clients.get_mut(client).and_then(Option::take) else { return };
        let World { now, calm, rng, books, net, life, .. } = self;
        let mut io = Io {
            now: now.mono.0,
            wall: now.wall,
            calm: *calm,
            rng,
            books,
            net,
            life: *life,
            acts: Vec::new(),
        };
        what(there.as_mut(), &mut io);
        let acts = io.acts;
        self.clients[client] = Some(there);
        for act in acts {
            self.act(client, act);
        }
    }

    fn act(&mut self, client: usize, act: Act) {
        let due = self.arrival();
        let now = self.now.mono.0;
        match act {
            Act::Dial(link, listener) => {
                let sealed = listener == 0 && self.rng.below(100) < self.swarm.sealed_percent;
                let listener = if sealed { SEALED } else { listener };
                self.wake_at(due, Wake::Accept { link, client, listener, sealed });
            }
            Act::Send(link, mut bytes) => {
                let repeats = self.sabotages(Sabotage::RepeatARead);
                if bytes.starts_with(b"HTTP/1.1 500") && self.sabotages(Sabotage::TurnARefusal) {
                    bytes[9] = b'2';
                }
                if let Some(there) = self.net.get(link).filter(|there| there.up.is_open()) {
                    self.trace.note(&[6, now, link.0], &bytes);
                    let bytes = match &mut there.sealed {
                        Some(sealed) => sealed.seal(&bytes),
                        None => bytes,
                    };
                    self.push_up(link, &bytes, due);
                    if repeats {
                        self.push_up(link, &bytes, due);
                    }
                }
            }
            Act::Finish(link) => {
                self.say_goodbye(link, due);
                if let Some(there) = self.net.get(link) {
                    let due = there.up.finish(due, End::Fin);
                    self.wake_at(due, Wake::Link(link));
                }
            }
            Act::Close(link) => {
                let resets = self.rng.below(2) == 0;
                if !resets {
                    self.say_goodbye(link, due);
                }
                let Some(there) = self.net.get(link) else { return self.net.abandon(link) };
                {
                    // Nobody is told of what comes.
                    there.client = usize::MAX;
                    there.down.reset(now);
                    there.down.told = true;
                    let due = there.up.finish(due, if resets { End::Reset } else { End::Fin });
                    self.wake_at(due, Wake::Link(link));
                }
            }
            Act::Wake(at) => self.wake_at(at, Wake::Client(client)),
            Act::Datagram(bytes) => self.datagram_leaves(client, bytes),
        }
    }

    /// A client's bytes leave, sealed if they have to be.
    pub(super) fn push_up(&mut self, link: LinkId, bytes: &[u8], due: u64) {
        let now = self.now.mono.0;
        let Some(there) = self.net.get(link).filter(|there| there.up.is_open() && !bytes.is_empty()) else {
            return;
        };
        let due = there.up.push(bytes, due);
        self.trace.note(&[10, now, link.0, due, bytes.len() as u64], &[]);
        self.wake_at(due, Wake::Link(link));
    }

    /// TLS of a client says that nothing more comes (RFC 8446 section 6.1).
    fn say_goodbye(&mut self, link: LinkId, due: u64) {
        if let Some(sealed) = self.net.get(link).and_then(|there| there.sealed.as_mut()) {
            let bytes = sealed.finish();
            self.push_up(link, &bytes, due);
        }
    }

    /// Takes TLS off what came to a client, and sends what TLS has to say.
    fn open_sealed(&mut self, link: LinkId, mut bytes: Vec<u8>) -> Vec<u8> {
        let now = self.now.mono.0;
        let (harms, arrival) = (self.sabotages(Sabotage::HarmASealedByte), self.arrival());
        let Some(sealed) = self.net.get(link).and_then(|there| there.sealed.as_mut()) else { return bytes };
        if harms {
            bytes[0] ^= 1;
        }
        let (plain, answer) = sealed.receive(&bytes);
        self.trace.note(&[11, now, link.0, bytes.len() as u64], &[]);
        self.push_up(link, &answer, arrival);
        plain
    }

    /// Something may have arrived on a connection, at either end.
    fn deliver(&mut self, link: LinkId) {
        let now = self.now.mono.0;
        let life = self.life;
        let Some(there) = self.net.get(link) else { return };
        if there.stalled_until > now {
            let until = there.stalled_until;
            return self.wake_at(until, Wake::Link(link));
        }
        let shard = there.shard;
        if !there.closed && there.life == life && (there.up.arrived(now) > 0 || there.up.ended(now).is_some())
        {
            self.ready(shard, link);
        }
        self.deliver_down(link);
        let Some(there) = self.net.get(link) else { return };
        if there.closed && there.down.told {
            self.net.remove(link);
        }
    }

    fn deliver_down(&mut self, link: LinkId) {
        let now = self.now.mono.0;
        let Some(there) = self.net.get(link) else { return };
        let (client, shard) = (there.client, there.shard);
        let arrived = there.down.arrived(now);
        if arrived > 0 {
            let count = self.piece(arrived);
            let window = self.swarm.weather.window;
            let Some(there) = self.net.get(link) else { return };
            let bytes = there.down.take(count);
            if there.full && there.down.held() < window && !there.closed {
                there.writable = true;
                self.ready(shard, link);
            }
            let bytes = self.open_sealed(link, bytes);
            self.trace.note(&[7, now, link.0], &bytes);
            self.trace
                .line(|| format!("{now} {link:?} client {client} reads {}", super::server::shown(&bytes)));
            if !bytes.is_empty() {
                self.tell(client, |client, io| client.received(io, link, &bytes));
            }
            if count < arrived {
                return self.wake_at(now, Wake::Link(link));
            }
        }
        let Some(there) = self.net.get(link) else { return };
        if let Some(end) = there.down.ended(now) {
            there.down.told = true;
            let is_silent = there.sealed.as_ref().is_some_and(|sealed| sealed.is_open() && !sealed.ended);
            assert!(!(there.finished && is_silent && end == End::Fin), "TLS says its end before it ends");
            if end == End::Reset {
                there.up.finish(now, End::Reset);
            } else {
                there.up.finish(now, End::Fin);
            }
            if !there.closed {
                self.ready(shard, link);
            }
            self.trace.line(|| format!("{now} {link:?} client {client} sees {end:?}"));
            self.tell(client, |client, io| client.ended(io, link, end));
        }
    }

    /// A shard has something to do on a connection.
    pub(super) fn ready(&mut self, shard: usize, link: LinkId) {
        if let Some(server) = &mut self.server {
            server.shards[shard].ready.insert(link);
            self.wake_shard_soon(shard);
        }
    }

    /// The client that is reached at an address.
    pub(super) fn client_at(&self, address: SocketAddr) -> Option<usize> {
        self.clients.iter().position(|client| client.as_ref().is_some_and(|c| c.address() == Some(address)))
    }

    /// TLS of a server of others, if it speaks that.
    pub(super) fn tls_of(&self, client: usize) -> Option<Sealed> {
        Some(Sealed::server(self.clients.get(client)?.as_ref()?.tls()?))
    }

    /// Where a client is reached.
    pub(super) fn address_of(&self, client: usize) -> Option<SocketAddr> {
        self.clients.get(client)?.as_ref()?.address()
    }

    /// The faults that are in force.
    pub(super) fn faults(&self) -> Faults {
        self.swarm.faults
    }

    /// Whether this bug is switched on, and bites: once in a while.
    pub(super) fn sabotages(&mut self, bug: Sabotage) -> bool {
        self.is_sabotaged(bug) && self.rng.below(8) == 0
    }

    /// Whether this bug is switched on.
    pub(super) fn is_sabotaged(&self, bug: Sabotage) -> bool {
        self.sabotage == Some(bug)
    }

    /// What has happened.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// How often what happened.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let seen = self.books.seen;
        let ms = self.now.mono.0;
        Counts {
            virtual_ms: ms,
            steps: self.steps,
            acknowledged: self.books.acknowledged(),
            seen,
            ..self.counts
        }
    }
}

/// What belongs to clients is gone with them: what is left for good would be left of each client that ever comes.
fn nothing_is_left(shard: usize, stats: &Stats) {
    for (dialect, counted) in &stats.dialects {
        assert_eq!(counted.streams_open, 0, "shard {shard} holds streams of {dialect}");
    }
    for (name, counted) in &stats.destinations {
        assert_eq!(counted.pending, 0, "shard {shard} holds deliveries for {name}");
    }
    assert_eq!(stats.pending_bytes, 0, "shard {shard} counts bytes of deliveries");
    assert_eq!(stats.sep_subscriptions, 0, "shard {shard} holds subscriptions");
}
