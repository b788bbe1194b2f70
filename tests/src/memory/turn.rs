//! A turn of the loop, as the server binaries do it: all that came in, then what fell due, then actions until there
//! are none. What must hold between the engine and any adapter is asserted here.

use std::net::SocketAddr;

use offhook_core::{Action, Completion, ConnId, Mono};

use super::checks::Asked;
use super::socket::Socket;
use super::{Peer, Shard, World};

/// Actions of one drain, beyond which an engine is said to be in a loop.
const ACTIONS_MAX: usize = 5_000_000;

/// Turns in a row that find something to do without anything new from outside, beyond which an engine is said to be
/// in a loop.
const TURNS_MAX: usize = 10_000;

/// Connections up to which counters are compared after each turn.
const COMPARED_MAX: usize = 64;

impl World {
    /// Turns of all engines until none has anything to do.
    ///
    /// # Panics
    /// If an invariant of the doorway is broken.
    pub fn turn(&mut self) {
        for turn in 0.. {
            assert!(turn < TURNS_MAX, "an engine finds something to do at every turn: {:?}", self.now);
            let mut moved = false;
            // All engines take their input before any appends: requests to several of them are under way at once.
            for shard in 0..self.shards.len() {
                moved |= self.deliver(shard, false) | self.read_sockets(shard);
            }
            for shard in 0..self.shards.len() {
                moved |= self.finish_turn(shard);
                self.take_answers_of(shard);
            }
            if !moved {
                break;
            }
        }
        self.check();
    }

    fn finish_turn(&mut self, shard: usize) -> bool {
        let engine = &mut self.shards[shard].engine;
        engine.handle_timeout(self.now);
        let now = self.now.mono;
        assert!(
            engine.poll_timeout().is_none_or(|at| at > now),
            "after handle_timeout no deadline is in the past: {:?} at {now:?}",
            engine.poll_timeout()
        );
        let moved = self.carry_out(shard);
        moved | self.shards[shard].engine.poll_timeout().is_some_and(|at| at <= now)
    }

    /// Hands records and news of durability to an engine.
    fn deliver(&mut self, shard: usize, all: bool) -> bool {
        let World { shards, log, now, .. } = self;
        let engine = &mut shards[shard].engine;
        let mut moved = false;
        loop {
            let next = if all { log.demand_for(shard) } else { log.next_for(shard) };
            let Some((seq, record)) = next else { break };
            engine.receive_record(*now, seq, &record);
            moved = true;
        }
        if let Some(seq) = log.news_for(shard) {
            engine.complete(*now, Completion::Durable(seq));
            moved = true;
        }
        moved
    }

    fn read_sockets(&mut self, shard: usize) -> bool {
        let mut moved = false;
        for at in 0..self.sockets.len() {
            if self.sockets[at].shard == shard && !self.sockets[at].closed {
                moved |= self.read_socket(shard, at);
            }
        }
        moved
    }

    fn read_socket(&mut self, shard: usize, at: usize) -> bool {
        let id = self.sockets[at].id;
        let now = self.now;
        let mut moved = false;
        if self.sockets[at].dialing {
            return false;
        }
        if self.sockets[at].broken {
            if !std::mem::replace(&mut self.sockets[at].broken_told, true) {
                self.shards[shard].engine.receive_error(now, id);
                moved = true;
            }
            return moved;
        }
        if self.sockets[at].is_writable() {
            self.sockets[at].full = false;
            self.shards[shard].engine.writable(now, id);
            moved = true;
        }
        while self.shards[shard].engine.wants_read(id) {
            let Some(bytes) = self.sockets[at].read() else {
                let socket = &mut self.sockets[at];
                if socket.eof && !std::mem::replace(&mut socket.eof_told, true) {
                    self.shards[shard].engine.receive_eof(now, id);
                    moved = true;
                }
                break;
            };
            // Whoever sent these bytes may have seen what another engine acknowledged before.
            self.deliver(shard, true);
            self.shards[shard].engine.receive(now, id, &bytes);
            moved = true;
        }
        moved
    }

    fn carry_out(&mut self, shard: usize) -> bool {
        for count in 0.. {
            assert!(count < ACTIONS_MAX, "the actions of an engine never end");
            let Some(action) = self.shards[shard].engine.poll_action() else { return count > 0 };
            match action {
                Action::Append(records) => {
                    assert!(!records.is_empty(), "an append holds records");
                    self.log.append(shard, records);
                    self.deliver(shard, true);
                }
                Action::Flush(id) => self.flush(shard, id),
                Action::Finish(id) => {
                    let at = self.alive(shard, id, "Finish");
                    let finished = std::mem::replace(&mut self.sockets[at].finished, true);
                    assert!(!finished, "a sending direction ends once");
                }
                Action::Close(id) => {
                    let at = self.alive(shard, id, "Close");
                    self.sockets[at].closed = true;
                    self.shards[shard].live[id.slot as usize] = None;
                }
                Action::Read { ticket, from, bytes } => {
                    // A record counts as a thousand bytes.
                    let (start, records) = self.log.read(from, (bytes / 1_000).max(1) as usize);
                    let done = Completion::Read { ticket, start, records };
                    self.shards[shard].engine.complete(self.now, done);
                }
                Action::Resolve(ticket, host, _) => {
                    if let Some(found) = self.others.resolve(shard, ticket, &host) {
                        self.shards[shard].engine.complete(self.now, Completion::Resolved(ticket, found));
                    }
                }
                Action::Dial(id, address) => self.dial(shard, id, address),
                Action::Send { via, to, bytes } => self.send_datagram(shard, via, to, bytes.into_vec()),
                Action::Report(ticket) => {
                    let done = Completion::Report(ticket, b"# EOF\n".to_vec());
                    self.shards[shard].engine.complete(self.now, done);
                }
                Action::Note(note) => self.notes.push(note),
                Action::Audit(line) => self.audit.push(*line),
                Action::Check { ticket, hash, password } => {
                    self.checks.push_back(Asked { shard, ticket, hash, password })
                }
            }
        }
        true
    }

    fn dial(&mut self, shard: usize, id: ConnId, address: SocketAddr) {
        let live = &mut self.shards[shard].live;
        let place = id.slot as usize;
        if live.len() <= place {
            live.resize(place + 1, None);
        }
        assert!(live[place].is_none(), "a slot is given again only after its connection is closed");
        let peer = Peer(self.sockets.len());
        live[place] = Some((id, peer));
        let mut socket = Socket::new(shard, id);
        socket.room = self.others.room;
        socket.dialing = true;
        self.sockets.push(socket);
        let result = self.others.dial(peer, address);
        if let Some(result) = result {
            self.sockets[peer.0].dialing = result.is_err();
            self.shards[shard].engine.complete(self.now, Completion::Dialed(id, result));
        }
    }

    /// The socket of a connection that must be open.
    fn alive(&self, shard: usize, id: ConnId, action: &str) -> usize {
        match self.shards[shard].live.get(id.slot as usize) {
            Some(Some((live, peer))) if *live == id => peer.0,
            other => panic!("{action} for connection {id}, which is not open; its slot holds {other:?}"),
        }
    }

    fn flush(&mut self, shard: usize, id: ConnId) {
        let at = self.alive(shard, id, "Flush");
        let World { shards, sockets, now, .. } = self;
        let engine = &mut shards[shard].engine;
        let socket = &mut sockets[at];
        loop {
            let Some(outbound) = engine.outbound(id) else { return };
            let lent = outbound.len();
            assert!(
                lent > 0 && !outbound.slices().iter().any(|slice| slice.is_empty()),
                "no empty slice is lent"
            );
            assert!(!socket.finished, "nothing is lent after the end of the sending direction");
            let taken = socket.write(outbound.slices());
            let more = engine.advance(*now, id, taken);
            assert!(!(more && taken < lent), "a full socket is not asked for more");
            if !more {
                return;
            }
        }
    }

    /// What holds between turns.
    fn check(&mut self) {
        let now: Mono = self.now.mono;
        for shard in 0..self.shards.len() {
            let Shard { engine, live } = &mut self.shards[shard];
            for (id, peer) in live.iter().flatten() {
                let lent = engine.outbound(*id).map(|outbound| outbound.len());
                let full = self.sockets[peer.0].full;
                assert!(
                    lent.is_none(),
                    "output waits on {id} and it is not on the flush list: {lent:?}, full: {full}"
                );
            }
            let action = engine.poll_action();
            assert!(action.is_none(), "looking at what waits changes nothing: {action:?}");
            assert!(engine.poll_timeout().is_none_or(|at| at > now), "a deadline is left in the past");
            let open = live.iter().flatten().count();
            if self.sockets.len() <= COMPARED_MAX {
                let stats = engine.stats();
                assert_eq!(
                    stats.connections_open + stats.call_connections_open,
                    open as u64,
                    "connections are counted right"
                );
            }
        }
    }
}
