//! The engine and its sockets. Nothing here waits: tasks ask to be woken and return, and no method spawns one.
//!
//! Writing goes past the reactor, as a plain loop of non-blocking writes; only a socket that was full is watched.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::task::{Context, Poll, Waker};

use offhook_core::{Action, Completion, ConnId, Engine, Mono, Now};
use offhook_host::{Acceptor, Clock, GATHERING_FLUSHES, Port, Shard, Udp};
use rustix::io::Errno;
use smol::Async;
use socket2::{Domain, Protocol, Socket, Type};

use crate::sockets::Sockets;

/// One shard: the engine, its sockets, and who goes on in the turn that comes.
pub(crate) struct Adapter {
    engine: Engine,
    pub(crate) clock: Clock,
    pub(crate) port: Port,
    turn_accepts: u64,
    turn_reads: u64,
    turn_datagrams: u64,
    turn_write_bytes: usize,
    pub(crate) sockets: Sockets,
    pub(crate) udp: Vec<Udp>,
    buffer: Box<[u8]>,
    /// The turn's time, once somebody has asked for it.
    now: Option<Now>,
    /// Accepted, and not watched so far.
    pub(crate) accepted: Vec<ConnId>,
    /// Full, and not watched so far.
    pub(crate) full: Vec<ConnId>,
    /// Readers that stopped early (the engine wants no bytes, or the turn's budget ended), and how to wake them.
    unread: Vec<(ConnId, Waker)>,
    /// To be written in the turn that comes.
    unsent: Vec<ConnId>,
}

/// What follows a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// Work is known: another turn.
    Turn,
    /// Wait for a task, or for this moment.
    Wait(Option<Mono>),
    /// Stopped and drained.
    End,
}

impl Adapter {
    /// An adapter for `shard`, and the listeners that it does not hold itself.
    pub(crate) fn new(shard: Shard) -> (Adapter, Vec<Acceptor>) {
        let Shard { engine, clock, acceptors, udp, port, limits } = shard;
        let adapter = Adapter {
            engine,
            clock,
            port,
            turn_accepts: limits.turn_accepts.max(1),
            turn_reads: limits.turn_reads.max(1),
            turn_datagrams: limits.turn_datagrams.max(1),
            turn_write_bytes: usize::try_from(limits.turn_write_bytes).unwrap_or(usize::MAX),
            sockets: Sockets::default(),
            udp,
            buffer: vec![0; limits.read_bytes as usize].into_boxed_slice(),
            now: None,
            accepted: Vec::new(),
            full: Vec::new(),
            unread: Vec::new(),
            unsent: Vec::new(),
        };
        (adapter, acceptors)
    }

    /// Takes the connections that wait, up to a bound.
    pub(crate) fn accept(&mut self, acceptor: &mut Acceptor) -> io::Result<()> {
        let now = self.now();
        for _ in 0..self.turn_accepts {
            let Some((stream, peer)) = acceptor.accept()? else { break };
            let Some(id) = self.engine.accept(now, acceptor.id, peer) else { continue };
            match Async::new_nonblocking(stream) {
                Ok(stream) => {
                    self.sockets.insert(id, stream, false);
                    self.accepted.push(id);
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot watch a connection");
                    self.engine.receive_error(now, id);
                }
            }
        }
        Ok(())
    }

    /// Takes the datagrams that wait at a UDP socket, up to a bound.
    pub(crate) fn receive_datagrams(&mut self, at: usize) {
        let now = self.now();
        let Some(udp) = self.udp.get_mut(at) else { return };
        let via = udp.via;
        for _ in 0..self.turn_datagrams {
            let Some((from, bytes)) = udp.receive() else { return };
            self.engine.receive_datagram(now, via, from, bytes);
        }
    }

    /// Feeds the engine with what the socket of `id` has; ready when there is nothing more to be read for ever.
    pub(crate) fn poll_read(&mut self, id: ConnId, cx: &mut Context<'_>) -> Poll<()> {
        let now = self.now();
        let Some(socket) = self.sockets.get(id) else { return Poll::Ready(()) };
        let mut readable = std::mem::take(&mut socket.readable);
        let mut reads = 0;
        loop {
            if !readable {
                match socket.stream.poll_readable(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => break self.engine.receive_error(now, id),
                }
            }
            if reads == self.turn_reads || !self.engine.wants_read(id) {
                socket.readable = true;
                self.unread.push((id, cx.waker().clone()));
                return Poll::Pending;
            }
            reads += 1;
            match socket.stream.get_ref().read(&mut self.buffer) {
                Ok(0) => break self.engine.receive_eof(now, id),
                Ok(n) => {
                    // Whoever sent these bytes may have seen what another shard acknowledged before.
                    if self.port.has_mail() {
                        self.port.take_mail(now, &mut self.engine);
                    }
                    self.engine.receive(now, id, &self.buffer[..n]);
                    readable = n == self.buffer.len();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => readable = true,
                Err(_) => break self.engine.receive_error(now, id),
            }
        }
        Poll::Ready(())
    }

    /// Tells the engine when the socket of `id`, which was full, takes bytes again.
    pub(crate) fn poll_write(&mut self, id: ConnId, cx: &mut Context<'_>) -> Poll<()> {
        let now = self.now();
        let Some(socket) = self.sockets.get(id) else { return Poll::Ready(()) };
        match socket.stream.poll_writable(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) if socket.dialing => self.dialed(now, id),
            Poll::Ready(Ok(())) => self.engine.writable(now, id),
            Poll::Ready(Err(_)) => self.engine.receive_error(now, id),
        }
        Poll::Ready(())
    }

    /// Ends the turn after the tasks that were ready have fed the engine: mail, deadlines, all actions.
    pub(crate) fn step(&mut self, input: bool) -> Next {
        let now = self.now();
        self.port.gather(now, input);
        if self.port.has_mail() {
            self.port.take_mail(now, &mut self.engine);
        }
        self.engine.handle_timeout(now);
        self.carry_out(now);
        self.now = None;
        let woken = self.wake_readers();
        if self.port.stopping() && self.engine.is_drained() {
            Next::End
        } else if woken || !self.unsent.is_empty() || self.port.has_mail() || self.port.is_gathering() {
            Next::Turn
        } else {
            Next::Wait(self.engine.poll_timeout())
        }
    }

    /// The turn's time: both clocks are read when its first task needs them.
    fn now(&mut self) -> Now {
        *self.now.get_or_insert_with(|| self.clock.now())
    }

    /// Who of those that stopped may be read again? Their number is that of the sockets under backpressure, not that
    /// of the connections.
    fn wake_readers(&mut self) -> bool {
        let Adapter { engine, sockets, unread, .. } = self;
        let before = unread.len();
        unread.retain(|(id, waker)| {
            if sockets.get(*id).is_none() {
                return false;
            }
            let wanted = engine.wants_read(*id);
            if wanted {
                waker.wake_by_ref();
            }
            !wanted
        });
        unread.len() < before
    }

    fn carry_out(&mut self, now: Now) {
        let left_over = self.unsent.len();
        for at in 0..left_over {
            let id = self.unsent[at];
            if let Some(socket) = self.sockets.get(id) {
                socket.unsent = false;
                self.flush(now, id);
            }
        }
        self.unsent.drain(..left_over);
        let mut flushes = 0;
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Flush(id) => {
                    flushes += 1;
                    if flushes == GATHERING_FLUSHES {
                        self.port.let_go();
                    }
                    self.flush(now, id);
                }
                Action::Dial(id, address) => self.dial(now, id, address),
                Action::Send { via, to, bytes } => self.send(via, to, &bytes),
                Action::Finish(id) => self.finish(id),
                Action::Close(id) => self.sockets.close(id),
                Action::Append(_)
                | Action::Read { .. }
                | Action::Resolve(..)
                | Action::Report(_)
                | Action::Check { .. }
                | Action::Audit(_)
                | Action::Note(_) => {
                    self.port.carry_out(now, &mut self.engine, action);
                }
            }
        }
    }

    /// Writes what the engine lends, mostly all of it in one call.
    fn flush(&mut self, now: Now, id: ConnId) {
        let Some(socket) = self.sockets.get(id) else { return };
        if socket.unsent {
            return;
        }
        let mut stream = socket.stream.get_ref();
        let mut budget = self.turn_write_bytes;
        loop {
            let Some(outbound) = self.engine.outbound(id) else { return };
            let lent = outbound.len();
            let written = match outbound.slices() {
                [] => return,
                [slice] => stream.write(slice),
                slices => stream.write_vectored(slices),
            };
            let n = match written {
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return self.engine.receive_error(now, id),
            };
            let more = self.engine.advance(now, id, n);
            if n < lent {
                self.full.push(id);
                return;
            }
            if !more {
                return;
            }
            budget = budget.saturating_sub(n);
            if budget == 0 {
                socket.unsent = true;
                self.unsent.push(id);
                return;
            }
        }
    }

    /// Begins to connect; the socket becomes writable when that is decided.
    fn dial(&mut self, now: Now, id: ConnId, address: SocketAddr) {
        match connect(address).and_then(Async::new_nonblocking) {
            Ok(stream) => {
                self.sockets.insert(id, stream, true);
                self.full.push(id);
            }
            Err(error) => {
                self.engine.complete(now, Completion::Dialed(id, Err(error.to_string().into())));
            }
        }
    }

    fn dialed(&mut self, now: Now, id: ConnId) {
        let Some(socket) = self.sockets.get(id) else { return };
        socket.dialing = false;
        let result = match socket.stream.get_ref().take_error() {
            Ok(None) => Ok(()),
            Ok(Some(error)) | Err(error) => Err(error.to_string().into()),
        };
        if result.is_ok() {
            self.accepted.push(id);
        }
        self.engine.complete(now, Completion::Dialed(id, result));
    }

    /// A full socket loses it, as any router may.
    fn send(&mut self, via: u16, to: SocketAddr, bytes: &[u8]) {
        if !self.udp.get(usize::from(via)).is_some_and(|udp| udp.send(to, bytes)) {
            self.engine.datagram_dropped();
        }
    }

    fn finish(&mut self, id: ConnId) {
        if let Some(socket) = self.sockets.get(id) {
            // It fails only when the peer is gone already, and then reading says so.
            let _ = socket.stream.get_ref().shutdown(Shutdown::Write);
        }
    }
}

/// A socket that connects meanwhile.
fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => Err(error),
        Ok(()) | Err(_) => Ok(socket.into()),
    }
}
