//! The server: engines, each with a loop like those of the binaries, in one life after the other. What must hold between
//! an engine and any adapter is asserted after each turn.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use offhook_core::ground::config::Place;
use offhook_core::log::record::Record;
use offhook_core::{Action, Completion, ConnId, Engine, Epoch, ListenerId, Seq, ShardId};

use super::log::Log;
use super::net::{End, LinkId};
use super::sabotage::Sabotage;
use super::sealed::Sealed;
use super::world::{Wake, World};
use crate::memory::checks;

/// Reads of one connection in a turn.
const READS_MAX: usize = 16;

/// The largest read.
const READ_BYTES: usize = 65_536;

/// Actions of one turn, beyond which an engine is said to be in a loop.
const ACTIONS_MAX: usize = 1_000_000;

/// Records in the order of the log.
pub(super) type Batch = Arc<[Arc<Record>]>;

/// What waits for a shard.
#[derive(Debug)]
pub(super) enum Mail {
    Records(Seq, Batch),
    Completion(Completion),
}

/// One engine and its loop.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) engine: Engine,
    /// The connections that the engine knows, by slot.
    pub(super) live: Vec<Option<(ConnId, LinkId)>>,
    pub(super) mail: VecDeque<Mail>,
    /// What waits in the buffer of the UDP socket.
    pub(super) datagrams: VecDeque<(SocketAddr, Box<[u8]>)>,
    /// Connections on which something can be read, or written again.
    pub(super) ready: BTreeSet<LinkId>,
    /// Connections that the engine did not want to read to their end.
    unread: BTreeSet<LinkId>,
    /// When it is going to run.
    woken: u64,
    /// It does not get the processor before.
    pub(super) paused_until: u64,
}

/// One life of the process.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) life: u64,
    pub(super) shards: Vec<Shard>,
    pub(super) log: Log,
    /// It was asked to stop, and takes no more connections.
    pub(super) stopping: bool,
}

impl Shard {
    fn new(world: &mut World, shard: u16, epoch: Epoch) -> Shard {
        let place = Place { shard: ShardId(shard), shards: world.swarm.shards, epoch, keeps_log: true };
        let engine = Engine::new(world.swarm.config.clone(), place, world.rng.next_u64());
        Shard {
            engine,
            live: Vec::new(),
            mail: VecDeque::new(),
            datagrams: VecDeque::new(),
            ready: BTreeSet::new(),
            unread: BTreeSet::new(),
            woken: u64::MAX,
            paused_until: 0,
        }
    }

    pub(super) fn insert(&mut self, id: ConnId, link: LinkId) {
        let place = id.slot as usize;
        if self.live.len() <= place {
            self.live.resize(place + 1, None);
        }
        assert!(self.live[place].is_none(), "a slot is given again only after its connection is closed");
        self.live[place] = Some((id, link));
    }

    /// The connection of an id that must be open.
    fn alive(&self, id: ConnId, action: &str) -> LinkId {
        match self.live.get(id.slot as usize) {
            Some(Some((live, link))) if *live == id => *link,
            other => panic!("{action} for connection {id}, which is not open; its slot holds {other:?}"),
        }
    }
}

impl World {
    /// The process starts over what the disk holds.
    pub(super) fn start(&mut self) {
        self.life += 1;
        self.trace.note(&[1, self.now.mono.0, self.life], &[]);
        let Some((recovered, epoch)) = self.recover() else { return };
        let mut shards: Vec<Shard> =
            (0..self.swarm.shards).map(|shard| Shard::new(self, shard, epoch)).collect();
        self.feed(&mut shards, &recovered);
        let log = Log::new(&self.swarm, epoch, recovered);
        self.server = Some(Server { life: self.life, shards, log, stopping: false });
        let mut opening = Record::of_epoch(epoch, self.books.last());
        opening.header.wall = self.now.wall;
        self.append(None, vec![opening]);
    }

    /// Its epoch is durable: the server begins to act.
    pub(super) fn begin(&mut self) {
        for shard in 0..usize::from(self.swarm.shards) {
            self.mail(shard, Mail::Completion(Completion::Recovered));
        }
        self.wake_at(self.now.mono.0 + 5_000, Wake::LogLook { life: self.life });
    }

    /// Something for a shard, which runs because of it.
    pub(super) fn mail(&mut self, shard: usize, mail: Mail) {
        let Some(server) = &mut self.server else { return };
        server.shards[shard].mail.push_back(mail);
        self.wake_shard_soon(shard);
    }

    /// A shard has something to do, and gets to it within its time.
    pub(super) fn wake_shard_soon(&mut self, shard: usize) {
        let delay = self.rng.below(self.swarm.shard_ms + 1);
        self.wake_shard(shard, self.now.mono.0 + delay);
    }

    fn wake_shard(&mut self, shard: usize, at: u64) {
        let Some(server) = &mut self.server else { return };
        let life = server.life;
        let loop_ = &mut server.shards[shard];
        let at = at.max(loop_.paused_until);
        if at < loop_.woken {
            loop_.woken = at;
            self.wake_at(at, Wake::Shard { life, shard });
        }
    }

    /// One turn of a shard's loop.
    pub(super) fn turn(&mut self, shard: usize) {
        let now = self.now.mono.0;
        let Some(server) = &mut self.server else { return };
        let loop_ = &mut server.shards[shard];
        if now < loop_.paused_until {
            let until = loop_.paused_until;
            loop_.woken = u64::MAX;
            return self.wake_shard(shard, until);
        }
        if loop_.woken > now {
            return;
        }
        loop_.woken = u64::MAX;
        if !server.log.is_open() {
            return;
        }
        self.take_mail(shard);
        self.take_datagrams(shard);
        let ready: Vec<LinkId> = match &mut self.server {
            Some(server) => std::mem::take(&mut server.shards[shard].ready).into_iter().collect(),
            None => return,
        };
        let first = self.rng.below(ready.len() as u64) as usize;
        for link in ready[first..].iter().chain(&ready[..first]) {
            self.serve(shard, *link);
        }
        if !self.is_sabotaged(Sabotage::SleepThroughDeadlines) {
            let now = self.now;
            let engine = self.engine(shard);
            engine.handle_timeout(now);
            let due = engine.poll_timeout();
            assert!(due.is_none_or(|due| due > now.mono), "a deadline is left in the past: {due:?}");
        }
        self.carry_out(shard);
        self.check(shard);
        self.after_turn(shard);
    }

    fn after_turn(&mut self, shard: usize) {
        let now = self.now.mono.0;
        let Some(server) = &mut self.server else { return };
        let Shard { engine, unread, ready, mail, .. } = &mut server.shards[shard];
        let net = &mut self.net;
        unread.retain(|link| {
            let Some(there) = net.get(*link).filter(|there| !there.closed) else { return false };
            let wanted = engine.wants_read(there.id);
            if wanted {
                ready.insert(*link);
            }
            !wanted
        });
        let busy = !ready.is_empty() || !mail.is_empty();
        let due = engine.poll_timeout().map_or(u64::MAX, |due| due.0.max(now));
        if busy {
            self.wake_shard_soon(shard);
        } else if due != u64::MAX && !self.is_sabotaged(Sabotage::SleepThroughDeadlines) {
            // A loop that sleeps may sleep a little longer.
            let late = self.rng.below(self.swarm.shard_ms + 1);
            self.wake_shard(shard, due + late);
        }
        self.try_to_end();
    }

    /// An engine of a server that runs.
    pub(super) fn engine(&mut self, shard: usize) -> &mut Engine {
        &mut self.server.as_mut().expect("the server runs").shards[shard].engine
    }

    /// Gives an engine what waits for it, in its order.
    pub(super) fn take_mail(&mut self, shard: usize) {
        let now = self.now;
        let Some(server) = &mut self.server else { return };
        let Shard { engine, mail, .. } = &mut server.shards[shard];
        while let Some(mail) = mail.pop_front() {
            match mail {
                Mail::Records(first, batch) => {
                    for (record, seq) in batch.iter().zip(first.0..) {
                        engine.receive_record(now, Seq(seq), record);
                    }
                }
                Mail::Completion(done) => engine.complete(now, done),
            }
        }
    }

    fn take_datagrams(&mut self, shard: usize) {
        let now = self.now;
        let Shard { engine, datagrams, .. } = self.shard(shard);
        for (from, bytes) in datagrams.drain(..) {
            engine.receive_datagram(now, 0, from, &bytes);
        }
    }

    fn serve(&mut self, shard: usize, link: LinkId) {
        let now = self.now;
        let life = self.life;
        let Some(there) = self.net.get(link) else { return };
        if there.closed || there.dialing || there.life != life {
            return;
        }
        let id = there.id;
        if std::mem::take(&mut there.writable) {
            there.full = false;
            self.engine(shard).writable(now, id);
        }
        for _ in 0..READS_MAX {
            if !self.engine(shard).wants_read(id) {
                break;
            }
            let Some(there) = self.net.get(link) else { return };
            let arrived = there.up.arrived(now.mono.0).min(READ_BYTES);
            if arrived == 0 {
                if let Some(end) = there.up.ended(now.mono.0) {
                    there.up.told = true;
                    if self.sabotages(Sabotage::LoseAnEnd) {
                        return;
                    }
                    match end {
                        End::Fin => self.engine(shard).receive_eof(now, id),
                        End::Reset => self.engine(shard).receive_error(now, id),
                    }
                }
                return;
            }
            let count = self.piece(arrived);
            let Some(there) = self.net.get(link) else { return };
            let bytes = there.up.take(count);
            let is_sealed = there.sealed.is_some();
            // Whoever sent these bytes may have seen what another engine acknowledged before.
            self.take_mail(shard);
            let hides = is_sealed && !self.sabotages(Sabotage::NoteSealedBytes);
            let noted = if hides { &[] } else { &bytes[..] };
            self.trace.note(&[2, now.mono.0, link.0, bytes.len() as u64], noted);
            self.trace.line(|| format!("{} {link:?} shard {shard} reads {}", now.mono.0, shown(&bytes)));
            self.engine(shard).receive(now, id, &bytes);
        }
        let Some(server) = &mut self.server else { return };
        server.shards[shard].unread.insert(link);
    }

    /// How much of what is there goes in one piece.
    pub(super) fn piece(&mut self, there: usize) -> usize {
        if !self.swarm.weather.splits || self.rng.below(3) > 0 {
            return there;
        }
        1 + self.rng.below(there as u64) as usize
    }

    fn carry_out(&mut self, shard: usize) {
        for count in 0.. {
            assert!(count < ACTIONS_MAX, "the actions of an engine never end");
            let Some(action) = self.engine(shard).poll_action() else { return };
            match action {
                Action::Append(records) => {
                    assert!(!records.is_empty(), "an append holds records");
                    self.append(Some(shard), records);
                }
                Action::Flush(id) => {
                    if !self.sabotages(Sabotage::ForgetAFlush) {
                        self.flush(shard, id);
                    }
                }
                Action::Finish(id) => {
                    let due = self.arrival();
                    let link = self.shard(shard).alive(id, "Finish");
                    let there = self.net.get(link).expect("a live connection is known");
                    assert!(!std::mem::replace(&mut there.finished, true), "a sending direction ends once");
                    let due = there.down.finish(due, End::Fin);
                    self.wake_at(due, Wake::Link(link));
                }
                Action::Close(id) => self.close(shard, id),
                Action::Read { ticket, from, bytes } => {
                    let at = self.now.mono.0 + self.rng.below(self.swarm.disk_ms + 1);
                    self.wake_at(at, Wake::Read { life: self.life, shard, ticket, from, bytes });
                }
                Action::Resolve(ticket, host, _) => {
                    let found = self.resolve(&host);
                    let at = self.arrival();
                    let done = Completion::Resolved(ticket, found);
                    self.wake_at(at, Wake::Mail { life: self.life, shard, done: Some(Box::new(done)) });
                }
                Action::Dial(id, address) => self.dial(shard, id, address),
                Action::Send { via, to, bytes } => self.send_datagram(via, to, &bytes),
                Action::Report(ticket) => {
                    let done = Completion::Report(ticket, b"# EOF\n".to_vec());
                    self.mail(shard, Mail::Completion(done));
                }
                Action::Note(note) => {
                    let now = self.now.mono.0;
                    self.trace.line(|| format!("{now} shard {shard} notes {}", note.text));
                }
                Action::Audit(_) => {}
                Action::Check { ticket, hash, password } => {
                    let text = std::str::from_utf8(password.bytes()).unwrap_or_default();
                    let done = Completion::Checked(ticket, *hash == checks::hash(text));
                    let at = self.now.mono.0 + self.rng.below(100);
                    self.wake_at(at, Wake::Mail { life: self.life, shard, done: Some(Box::new(done)) });
                }
            }
        }
    }

    fn shard(&mut self, shard: usize) -> &mut Shard {
        &mut self.server.as_mut().expect("the server runs").shards[shard]
    }

    /// When something that leaves now arrives.
    pub(super) fn arrival(&mut self) -> u64 {
        self.now.mono.0 + self.rng.below(self.swarm.weather.delay_ms + 1)
    }

    fn flush(&mut self, shard: usize, id: ConnId) {
        let link = self.shard(shard).alive(id, "Flush");
        let due = self.arrival();
        let (now, window) = (self.now, self.swarm.weather.window);
        loop {
            let there = self.net.get(link).expect("a live connection is known");
            let engine = &mut self.server.as_mut().expect("the server runs").shards[shard].engine;
            let Some(outbound) = engine.outbound(id) else { return };
            let lent = outbound.len();
            let slices = outbound.slices();
            assert!(lent > 0 && !slices.iter().any(|slice| slice.is_empty()), "no empty slice is lent");
            assert!(!there.finished, "nothing is lent after the end of the sending direction");
            let mut room = window.saturating_sub(there.down.held());
            if !there.down.is_open() {
                // The peer has reset the connection: the kernel takes it and drops it.
                room = lent;
            }
            let (mut taken, mut due) = (0, due);
            for slice in slices {
                let part = &slice[..slice.len().min(room - taken)];
                taken += part.len();
                if there.down.is_open() && !part.is_empty() {
                    due = there.down.push(part, due);
                }
            }
            there.full = taken < lent;
            self.trace.note(&[3, now.mono.0, link.0, taken as u64], &[]);
            let more = engine.advance(now, id, taken);
            assert!(!(more && taken < lent), "a full socket is not asked for more");
            self.wake_at(due, Wake::Link(link));
            if !more {
                return;
            }
        }
    }

    fn close(&mut self, shard: usize, id: ConnId) {
        let due = self.arrival();
        let loop_ = self.shard(shard);
        let link = loop_.alive(id, "Close");
        loop_.live[id.slot as usize] = None;
        let there = self.net.get(link).expect("a live connection is known");
        there.closed = true;
        there.dialing = false;
        let due = there.down.finish(due, End::Fin);
        self.wake_at(due, Wake::Link(link));
    }

    fn dial(&mut self, shard: usize, id: ConnId, address: SocketAddr) {
        let link = self.net.name();
        let listening = self.client_at(address);
        self.net.insert(link, listening.unwrap_or(usize::MAX), shard, self.life, id, true);
        self.shard(shard).insert(id, link);
        let fails = listening.is_none() || self.rng.below(100) < self.faults().dial_percent;
        let at = self.arrival();
        self.wake_at(at, Wake::Dialed { link, fails });
    }

    /// A connection that the server tries is made, or refused.
    pub(super) fn dialed(&mut self, link: LinkId, fails: bool) {
        let life = self.life;
        let Some(there) = self.net.get(link) else { return };
        let (shard, id) = (there.shard, there.id);
        if there.closed || there.life != life {
            return;
        }
        there.dialing = fails;
        let client = there.client;
        let result = if fails { Err("connection refused".into()) } else { Ok(()) };
        if !fails {
            let sealed = self.tls_of(client);
            if let Some(there) = self.net.get(link) {
                there.sealed = sealed;
            }
            self.tell(client, |client, io| client.connected(io, link));
        }
        self.mail(shard, Mail::Completion(Completion::Dialed(id, result)));
    }

    /// A client's connection reaches the server.
    pub(super) fn accept(&mut self, link: LinkId, client: usize, listener: u16, sealed: bool) {
        let now = self.now;
        if self.net.is_abandoned(link) {
            return;
        }
        let open = self.server.as_ref().is_some_and(|server| !server.stopping && server.log.is_open());
        let shard = self.rng.below(self.swarm.shards.into()) as usize;
        // No two connections that are there come from one port.
        let from = SocketAddr::from(([127, 0, 0, 1], 1_024 + (link.0 % 60_000) as u16));
        let id = if open { self.engine(shard).accept(now, ListenerId(listener), from) } else { None };
        let Some(id) = id else {
            return self.tell(client, |client, io| client.ended(io, link, End::Reset));
        };
        self.net.insert(link, client, shard, self.life, id, false);
        self.shard(shard).insert(id, link);
        self.wake_shard_soon(shard);
        if sealed {
            let mut sealed = Sealed::client(&self.site);
            let hello = sealed.seal(&[]);
            if let Some(there) = self.net.get(link) {
                there.sealed = Some(sealed);
            }
            let due = self.arrival();
            self.push_up(link, &hello, due);
        }
        self.tell(client, |client, io| client.connected(io, link));
    }

    /// What holds between turns.
    fn check(&mut self, shard: usize) {
        let Some(server) = &mut self.server else { return };
        let Shard { engine, live, .. } = &mut server.shards[shard];
        for (id, _) in live.iter().flatten() {
            let lent = engine.outbound(*id).map(|outbound| outbound.len());
            assert!(lent.is_none(), "output waits on {id} and it is not on the flush list: {lent:?}");
        }
        let action = engine.poll_action();
        assert!(action.is_none(), "looking at what waits changes nothing: {action:?}");
        let stats = engine.stats();
        let open = live.iter().flatten().count() as u64;
        let counted = stats.connections_open + stats.call_connections_open;
        assert_eq!(counted, open, "connections are counted right");
    }

    /// The process is gone; `silent`: its kernel says nothing to the peers.
    pub(super) fn die(&mut self, silent: bool) {
        let Some(server) = self.server.take() else { return };
        let now = self.now.mono.0;
        self.trace.note(&[4, now, server.life, u64::from(silent)], &[]);
        self.trace.line(|| format!("{now} the server is gone"));
        let mut wakes = Vec::new();
        for (link, there) in self.net.iter().filter(|(_, there)| !there.closed) {
            there.closed = true;
            let due = if silent {
                there.down.reset(now + 3_000);
                now + 3_000
            } else if there.up.held() > 0 {
                there.down.reset(now);
                now
            } else {
                there.down.finish(now, End::Fin)
            };
            wakes.push((due, link));
        }
        for (due, link) in wakes {
            self.wake_at(due, Wake::Link(link));
        }
    }
}

/// Bytes for a trace: text as far as they are, and how many they are.
pub(super) fn shown(bytes: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(&bytes[..bytes.len().min(700)]).escape_debug().collect();
    format!("{} bytes: {text}", bytes.len())
}
