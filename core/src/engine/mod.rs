//! The doorway: one engine per shard, `&mut self`, no locks. Inputs never fail, block or call back; what they lead to
//! is asked for with [`Engine::poll_action`], [`Engine::outbound`] and [`Engine::poll_timeout`].
//!
//! A turn of the adapter's loop: feed all that is ready, call [`Engine::handle_timeout`], then take actions until there
//! are none. So one write carries what many inputs queued.

mod calling;
mod flows;
mod flushing;
mod operations;
mod records;
mod serving;
mod sockets;
#[cfg(test)]
mod tests;
mod transport;

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::dialect::{self, Dialect};
use crate::event::channel::Channel;
use crate::event::output::Output;
use crate::ground::config::{Config, Place, Protocol};
use crate::ground::deadline::Due;
use crate::ground::id::{ConnId, ListenerId, Seq};
use crate::ground::stats::Stats;
use crate::ground::time::{Mono, Now};
use crate::hub::Hub;
use crate::hub::action::{Action, Completion, Level};
use crate::hub::call::{Answer, CallFault};
use crate::hub::conn::{Conn, Ending, Machine, Stream};
use crate::hub::socket::CloseCode;
use crate::hub::transport::Transport;
use crate::log::record::Record;
use crate::source::Sources;
use crate::source::demo::Demo;
use crate::wire::http::server::Server;

pub use crate::event::output::Outbound;

/// The machine.
#[derive(Debug)]
pub struct Engine {
    hub: Hub,
    dialects: Vec<Box<dyn Dialect>>,
    demo: Option<Demo>,
    operations: operations::Operations,
    /// Connections whose sockets are full while new frames came.
    stalled: Vec<ConnId>,
    /// Bytes that the last [`Engine::outbound`] lent.
    lent: usize,
    /// What TLS opens; empty between two receives, kept for its room.
    plain: Vec<u8>,
    /// What came of calls of the engine's own user.
    answers: VecDeque<(u64, Result<Answer, CallFault>)>,
    /// The dialect that speaks SIP, by its place.
    sip: Option<u8>,
    /// After a stop: flows have been ended.
    flows_ended: bool,
    /// After a stop: `shutdown_ms` is over.
    overdue: bool,
    /// All that the log held is applied, and acted on.
    started: bool,
    /// Before that: how far the log wants live state to be said again.
    retires: Option<Seq>,
}

impl Engine {
    /// An engine that has seen nothing yet. The same `seed` and inputs give the same outputs.
    ///
    /// What a log holds from an earlier start comes first ([`Engine::carry`], [`Engine::recover`]); after it, or at once if
    /// there is none, [`Completion::Recovered`].
    #[must_use]
    pub fn new(config: Config, place: Place, seed: u64) -> Engine {
        let mut hub = Hub::new(config, place, seed);
        let mut dialects = dialect::all(&mut hub);
        dialects.push(Box::new(Sources::new(dialects.len() as u8)));
        hub.names = dialects.iter().map(|dialect| dialect.name()).collect();
        let sip = flows::sip(&hub);
        let demo = (hub.config.demo && place.shard.0 == 0).then(|| Demo::new(hub.rng.next_u64()));
        if demo.is_some() {
            hub.deadlines.arm(Mono(0), Due::Source(0));
        }
        Engine {
            hub,
            dialects,
            demo,
            operations: operations::Operations::default(),
            stalled: Vec::new(),
            lent: 0,
            plain: Vec::new(),
            answers: VecDeque::new(),
            sip,
            flows_ended: false,
            overdue: false,
            started: false,
            retires: None,
        }
    }

    /// A connection was accepted. `None`: there is no room even for a refusal, close it. A few places beyond the limit
    /// are kept to answer 503.
    pub fn accept(&mut self, now: Now, via: ListenerId, peer: SocketAddr) -> Option<ConnId> {
        self.hub.set_now(now);
        let limits = &self.hub.config.limits;
        let open = self.hub.conns.len() as u64 - self.hub.calls.open();
        let surplus = open >= limits.connections || self.hub.stopping;
        if surplus {
            self.hub.stats.connections_refused += 1;
        }
        if open >= limits.connections + limits.refusal_places {
            return None;
        }
        let listener = self.hub.config.listeners.get(usize::from(via.0));
        let transport =
            listener.map_or(Ok(None), |listener| Transport::accepted(listener, peer.ip())).ok()?;
        let tls = transport.as_ref().is_some_and(|transport| transport.tls.is_some());
        let is_sip = listener.is_some_and(|listener| listener.protocol == Protocol::Sip);
        if (tls || is_sip) && surplus {
            // A handshake is more than a refusal is worth, and SIP has none before it is asked.
            return None;
        }
        let machine = if is_sip {
            self.accepted_flow(tls)?
        } else {
            Machine::Http(Box::new(Server::new(now.mono, limits)))
        };
        let patience = if tls { now.mono.plus_ms(limits.tls_handshake_ms) } else { Mono::NEVER };
        let id = self.hub.conns.insert(Conn {
            output: Output::default(),
            machine,
            socket: None,
            transport,
            peer: peer.ip(),
            port: peer.port(),
            via,
            who: None,
            ending: Ending::No,
            listed: false,
            blocked: false,
            surplus,
            patience,
            armed: Mono::NEVER,
        });
        if !self.enter_address(id) {
            if let Some(conn) = self.hub.conns.remove(id) {
                self.leave_address(&conn);
            }
            return None;
        }
        self.hub.stats.connections_accepted += 1;
        self.hub.arm(id);
        if is_sip && !tls {
            self.open_flow(id);
            self.settle();
        }
        Some(id)
    }

    /// Bytes that a connection received. All are taken; while [`Engine::wants_read`] is false at most one read buffer
    /// is kept.
    pub fn receive(&mut self, now: Now, id: ConnId, bytes: &[u8]) {
        self.hub.set_now(now);
        self.hub.stats.bytes_received += bytes.len() as u64;
        if self.hub.conns.get(id).is_some_and(|conn| conn.transport.is_some()) {
            self.receive_through(id, bytes);
        } else {
            self.receive_plain(id, bytes);
        }
        self.settle();
    }

    /// Bytes for a connection's machine.
    fn receive_plain(&mut self, id: ConnId, bytes: &[u8]) {
        match self.hub.conns.get(id).map(|conn| &conn.machine) {
            Some(Machine::Client(_)) => self.hub.receive_outgoing(id, bytes),
            Some(Machine::Stream(_)) => self.hear(id, bytes),
            Some(Machine::Flow(_)) => self.receive_flow(id, bytes),
            Some(Machine::Http(_) | Machine::Lingering) | None => self.serve(id, bytes),
        }
    }

    /// The peer has ended its sending direction.
    pub fn receive_eof(&mut self, now: Now, id: ConnId) {
        self.hub.set_now(now);
        self.end_of_input(id);
        self.settle();
    }

    fn end_of_input(&mut self, id: ConnId) {
        let Hub { conns, channels, .. } = &mut self.hub;
        let Some(conn) = conns.get_mut(id) else { return };
        if let Machine::Client(_) = &conn.machine {
            return self.hub.end_outgoing(id, true);
        }
        let waits = match &mut conn.machine {
            Machine::Http(server) if server.owes() || !conn.output.is_empty(channels) => {
                // A client that half-closes after its requests still wants the answers.
                if server.input.is_empty() {
                    server.close();
                }
                true
            }
            Machine::Flow(_) => !conn.output.is_empty(channels),
            Machine::Http(_) | Machine::Stream(_) | Machine::Client(_) | Machine::Lingering => false,
        };
        if waits {
            conn.ending = Ending::Half;
        } else {
            self.leave(id);
        }
    }

    /// The socket failed: nothing can be sent or received any more.
    pub fn receive_error(&mut self, now: Now, id: ConnId) {
        self.hub.set_now(now);
        if matches!(self.hub.conns.get(id).map(|c| &c.machine), Some(Machine::Client(_))) {
            self.hub.end_outgoing(id, false);
        } else {
            self.hub.doom(id);
        }
        self.settle();
    }

    /// What came of an action, or what the host decided.
    pub fn complete(&mut self, now: Now, done: Completion) {
        self.hub.set_now(now);
        match done {
            Completion::Durable(seq) => {
                self.hub.set_durable(seq);
                for dialect in &mut self.dialects {
                    dialect.durable(&mut self.hub, seq);
                }
            }
            Completion::Dialed(id, result) => match self.hub.conns.get(id).map(|conn| &conn.machine) {
                Some(Machine::Flow(_)) => self.flow_dialed(id, result),
                Some(_) | None => self.hub.dialed(id, result),
            },
            Completion::Resolved(ticket, result) => self.hub.resolved(ticket, result),
            Completion::Checked(ticket, right) => {
                self.hub.checked(ticket, right);
                // What was wrong is counted before the next check begins.
                self.settle();
                self.hub.start_checks();
            }
            Completion::Full(full) => self.set_full(full),
            Completion::Recovered => {
                for dialect in &mut self.dialects {
                    dialect.started(&mut self.hub);
                }
                self.started = true;
                if let Some(through) = self.retires.take() {
                    self.retire(through);
                }
            }
            Completion::Report(ticket, body) => self.operations.report(&mut self.hub, ticket, body),
            Completion::Read { ticket, start, records } => {
                if let Some((dialect, key)) = self.hub.take_read(ticket) {
                    self.dialects[usize::from(dialect)].read(&mut self.hub, key, start, records);
                }
            }
            Completion::Reloaded(config) => {
                self.hub.vocabulary = crate::event::vocabulary::Vocabulary::new(&config.vocabulary);
                let mut listeners = std::mem::take(&mut self.hub.config.listeners);
                for (listener, new) in listeners.iter_mut().zip(&config.listeners) {
                    listener.reload(new.clone());
                }
                let old = &mut self.hub.config;
                let (demo, sip) = (old.demo, std::mem::take(&mut old.sip));
                self.hub.config = Config { listeners, demo, sip, ..*config };
                self.hub.reset_outgoing();
                for dialect in &mut self.dialects {
                    dialect.reloaded(&mut self.hub);
                }
            }
            Completion::Stop => self.stop(),
        }
        self.settle();
    }

    /// Looks after what has fallen due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.hub.set_now(now);
        // What came of a deadline may be another one that is due.
        while self.hub.deadlines.peek().is_some_and(|at| at <= now.mono) {
            self.fall_due(now);
            self.settle();
        }
    }

    fn fall_due(&mut self, now: Now) {
        while let Some((at, due)) = self.hub.deadlines.pop(now.mono) {
            match due {
                Due::Conn(id) => self.conn_due(id, at),
                Due::Dialect(dialect, key) => {
                    if let Some(dialect) = self.dialects.get_mut(usize::from(dialect)) {
                        dialect.handle_timeout(&mut self.hub, key, at);
                    }
                }
                Due::Resolve(slot, generation) => self.hub.resolve_due(slot, generation),
                Due::Flush(id) => self.hub.flush(id),
                Due::Source(_) => {
                    if let Some(demo) = self.demo.as_mut().filter(|_| !self.hub.stopping) {
                        let next = demo.handle_timeout(&mut self.hub);
                        self.hub.deadlines.arm(next, due);
                    }
                }
                Due::Stop => {
                    self.overdue = true;
                    for id in self.hub.conns.ids() {
                        self.hub.doom(id);
                    }
                }
            }
        }
    }

    /// The records that wait to be appended, before anything else is done: what the config file brings must stand in the
    /// log before the first event can come.
    pub fn poll_append(&mut self) -> Option<Vec<Record>> {
        self.hub.next_append()
    }

    /// The next thing to do for the adapter. Sockets come last, so that one write carries what all else led to.
    pub fn poll_action(&mut self) -> Option<Action> {
        loop {
            if let Some(action) = self.hub.next_action() {
                return Some(action);
            }
            self.hub.tell_readers(&mut self.stalled);
            if !self.stalled.is_empty() {
                self.cut_laggards();
                continue;
            }
            return self.hub.next_flush().map(Action::Flush);
        }
    }

    /// The earliest moment at which [`Engine::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Mono> {
        self.hub.deadlines.peek()
    }

    /// Whether the adapter should read from this connection; if not, the kernel's buffers fill, and the peer waits.
    #[must_use]
    pub fn wants_read(&self, id: ConnId) -> bool {
        let limits = &self.hub.config.limits;
        self.hub.conns.get(id).is_some_and(|conn| match &conn.machine {
            _ if conn.ending == Ending::Half => false,
            Machine::Http(server) => {
                (server.input.len() as u64) < limits.read_buffer_bytes.max(limits.head_bytes + 1)
                    && (server.waiting() as u64) < limits.pipelined_requests
                    && conn.output.private_bytes() < limits.reply_bytes
            }
            Machine::Stream(_) => conn.socket.is_none() || conn.output.private_bytes() < limits.reply_bytes,
            Machine::Flow(flow) => !flow.paused,
            Machine::Client(_) | Machine::Lingering => true,
        })
    }

    /// After [`Completion::Stop`]: whether all connections are closed, and nothing more is to be sent to anybody.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        let silent = self.overdue || self.dialects.iter().all(|dialect| dialect.is_drained());
        self.hub.stopping && self.hub.conns.is_empty() && silent
    }

    /// What this engine counted so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = self.hub.stats.clone();
        stats.connections_open = self.hub.conns.len() as u64 - self.hub.calls.open();
        stats.call_connections_open = self.hub.calls.open();
        for dialect in &self.dialects {
            dialect.stats(&self.hub, &mut stats);
        }
        stats
    }

    /// Closes and resumes what the last input left behind.
    fn settle(&mut self) {
        loop {
            if let Some(id) = self.hub.take_doomed() {
                self.close(id);
            } else if let Some(id) = self.hub.take_resumed() {
                let waits =
                    |c: &Conn| matches!(&c.machine, Machine::Http(server) if !server.input.is_empty());
                if self.hub.conns.get(id).is_some_and(waits) {
                    self.serve(id, &[]);
                }
                self.hub.arm(id);
            } else if let Some((caller, result)) = self.hub.take_outcome() {
                self.tell_caller(caller, result);
            } else if let Some((place, key, found)) = self.hub.take_looked_up() {
                if let Some(dialect) = self.dialects.get_mut(usize::from(place)) {
                    dialect.looked_up(&mut self.hub, key, found);
                }
            } else {
                break;
            }
        }
        self.end_flows();
    }

    fn close(&mut self, id: ConnId) {
        let Some(conn) = self.hub.conns.remove(id) else { return };
        // First of all: who hears of the end may have its slot for a connection of his own.
        self.hub.act(Action::Close(id));
        self.leave_address(&conn);
        if let Machine::Client(outgoing) = &conn.machine {
            self.hub.closed_outgoing(id, outgoing);
        } else if conn.is_ours() {
            let is_counted = matches!(&conn.machine, Machine::Flow(flow) if flow.is_counted);
            self.hub.calls.leave_flow(is_counted);
        }
        let ours = conn.is_ours();
        if let Machine::Flow(flow) = conn.machine {
            self.flow_over(id, *flow, ours);
        } else if let Machine::Stream(stream) = &conn.machine {
            self.stream_ended(&conn.output, stream);
            if let Some(tail) = conn.output.tail() {
                self.hub.channels[usize::from(tail.channel)].leave(tail.feed, id.slot);
            }
        }
        self.hub.leave_checks(id);
    }

    fn stream_ended(&mut self, output: &Output, stream: &Stream) {
        let dialect = &mut self.dialects[usize::from(stream.dialect)];
        self.hub.stats.dialect(dialect.name()).streams_open -= 1;
        dialect.closed(&mut self.hub, output, stream);
    }

    /// Ends a stream whose reader is too slow, in the middle: it can come back and resume. A websocket's reader is told,
    /// should it read on in time.
    fn cut(&mut self, id: ConnId) {
        let Hub { conns, channels, stats, .. } = &mut self.hub;
        if let Some(conn) = conns.get(id)
            && let Machine::Stream(stream) = &conn.machine
        {
            let name = self.dialects[usize::from(stream.dialect)].name();
            stats.dialect(name).streams_cut += 1;
            let text = format!("{name}: stream {id} of {} was cut: its reader is too slow", conn.peer);
            let is_told = conn.socket.is_some() && !conn.output.is_overrun(channels, conn.channel());
            self.hub.note(Level::Info, text);
            if is_told {
                return self.hub.close_socket(id, CloseCode::TRY_AGAIN_LATER, "too slow");
            }
        }
        self.hub.doom(id);
    }

    fn cut_laggards(&mut self) {
        let stalled = std::mem::take(&mut self.stalled);
        for id in stalled {
            let Some(conn) = self.hub.conns.get(id) else { continue };
            let channel = conn.channel();
            if self.skips(conn) {
                self.skip_ahead(id);
            } else if conn.output.is_overrun(&self.hub.channels, channel)
                || self.dialects[usize::from(channel)].lags(&self.hub, conn)
            {
                self.cut(id);
            }
        }
        self.settle();
    }

    /// Nothing is queued on a connection that ends: finishes it, unless a reply is still to come.
    fn finish_sent(&mut self, id: ConnId) {
        let Hub { conns, channels, .. } = &self.hub;
        let owes = |conn: &Conn| {
            !conn.output.is_empty(channels) || matches!(&conn.machine, Machine::Http(server) if server.owes())
        };
        if conns.get(id).is_some_and(|conn| !owes(conn)) {
            self.finish(id);
            self.settle();
        }
    }

    /// All that was queued is sent: ends the sending direction, and swallows input until the peer ends as well.
    pub(super) fn finish(&mut self, id: ConnId) {
        let Some(conn) = self.hub.conns.get(id) else { return };
        if conn.ending == Ending::Half || matches!(conn.machine, Machine::Lingering) {
            return self.leave(id);
        }
        self.linger(id);
        self.end_sending(id);
    }

    /// Nothing more is asked or answered here.
    fn linger(&mut self, id: ConnId) {
        let by = self.hub.now.mono.plus_ms(self.hub.config.limits.linger_ms);
        let Some(conn) = self.hub.conns.get_mut(id) else { return };
        let machine = std::mem::replace(&mut conn.machine, Machine::Lingering);
        let output = std::mem::take(&mut conn.output);
        conn.socket = None;
        conn.patience = by;
        let ours = conn.is_ours();
        if let Machine::Flow(flow) = machine {
            self.flow_over(id, *flow, ours);
        } else if let Machine::Stream(stream) = machine {
            self.stream_ended(&output, &stream);
            if let Some(tail) = output.tail() {
                self.hub.channels[usize::from(tail.channel)].leave(tail.feed, id.slot);
            }
        }
        self.hub.arm(id);
    }

    fn conn_due(&mut self, id: ConnId, at: Mono) {
        let now = self.hub.now.mono;
        let Some(conn) = self.hub.conns.get_mut(id) else { return };
        if conn.armed != at {
            return;
        }
        conn.armed = Mono::NEVER;
        if conn.patience <= now {
            self.note_slow_handshake(id);
            let Some(conn) = self.hub.conns.get(id) else { return };
            match &conn.machine {
                Machine::Stream(_) if conn.ending == Ending::No && !conn.is_closing() => self.cut(id),
                Machine::Client(_) if !self.hub.stopping => self.hub.stalled_outgoing(id),
                Machine::Flow(_) => self.flow_overdue(id),
                Machine::Stream(_) | Machine::Http(_) | Machine::Client(_) | Machine::Lingering => {
                    self.hub.doom(id);
                }
            }
            return;
        }
        match &mut conn.machine {
            Machine::Http(_) => self.http_due(id),
            Machine::Stream(_) if conn.socket.as_ref().is_some_and(|s| s.silent_at() <= now) => {
                self.hub.close_socket(id, CloseCode::INTERNAL_ERROR, "no sign of life");
            }
            Machine::Stream(stream) if stream.keepalive_at <= now => {
                let dialect = usize::from(stream.dialect);
                let stream = stream.clone();
                self.keep_alive(id, dialect, &stream);
            }
            Machine::Client(outgoing) if outgoing.due <= now => self.hub.outgoing_due(id),
            Machine::Stream(_) | Machine::Client(_) | Machine::Flow(_) | Machine::Lingering => {}
        }
        self.hub.arm(id);
    }

    /// Keepalives stay in step with the stream's opening; a full socket gets none.
    fn keep_alive(&mut self, id: ConnId, dialect: usize, stream: &Stream) {
        let (bytes, interval) = self.dialects[dialect].keepalive(&self.hub, stream);
        let late = self.hub.now.mono.since(stream.keepalive_at);
        let next = stream.keepalive_at.plus_ms((late / interval.max(1) + 1) * interval.max(1));
        let Hub { conns, channels, .. } = &mut self.hub;
        let Some(conn) = conns.get_mut(id) else { return };
        if let Machine::Stream(stream) = &mut conn.machine {
            stream.keepalive_at = next;
        }
        if !conn.blocked {
            conn.output.interject(bytes, channels.get(dialect).map(Channel::arena));
        }
        self.hub.flush(id);
    }

    fn stop(&mut self) {
        if self.hub.stopping {
            return;
        }
        self.hub.stopping = true;
        let by = self.hub.now.mono.plus_ms(self.hub.config.limits.shutdown_ms);
        self.hub.deadlines.arm(by, Due::Stop);
        for dialect in &mut self.dialects {
            dialect.stop(&mut self.hub);
        }
        for id in self.hub.conns.ids() {
            let Hub { conns, channels, .. } = &mut self.hub;
            let Some(conn) = conns.get_mut(id) else { continue };
            if let Machine::Client(_) = &conn.machine {
                self.hub.stop_outgoing(id);
            } else if let Machine::Http(server) = &mut conn.machine {
                server.close();
                if server.waiting() > 0 || !conn.output.is_empty(channels) {
                    conn.ending = Ending::AfterFlush;
                } else {
                    self.leave(id);
                }
            }
        }
    }
}
