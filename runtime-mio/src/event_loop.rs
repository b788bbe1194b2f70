//! One shard's loop over epoll. No protocol, no timers beside the engine's one deadline, no scan over connections.
//!
//! A turn: wait, read the clocks, feed what is ready, let deadlines pass, carry out all actions, wait again.
//! Sockets are registered once, for both directions and edge-triggered. So each edge must be used up or remembered:
//! `unread` holds the sockets whose reading stopped early (the engine wants no bytes, or the turn's budget ended),
//! `unsent` those whose writing did; a socket that is full needs no list, for its edge is still to come.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Duration;

use mio::event::Event;
use mio::net::TcpStream;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use offhook_core::{Action, Completion, ConnId, Engine, Mono, Now};
use offhook_host::{ACCEPT_PAUSE, Acceptor, Clock, GATHERING_FLUSHES, Port, Shard, Udp};

use crate::sockets::Sockets;

/// Events that one wait takes over from the kernel; the rest comes with the next one.
const EVENTS: usize = 1024;
/// The longest wait: epoll counts in an `int` of milliseconds, and waking for nothing once an hour costs nothing.
const WAIT_MS_MAX: u64 = 3_600_000;

/// The token of mail; connections have their slot, listeners and UDP sockets what lies between.
const MAIL: Token = Token(usize::MAX);
const LISTENERS: usize = usize::MAX / 2;
const UDP: usize = LISTENERS + usize::MAX / 4;

/// Runs a shard until it is drained after a stop.
pub(crate) fn run(shard: Shard) -> io::Result<()> {
    EventLoop::new(shard)?.run()
}

struct EventLoop {
    engine: Engine,
    clock: Clock,
    port: Port,
    turn_accepts: u64,
    turn_reads: u64,
    turn_datagrams: u64,
    turn_write_bytes: usize,
    poll: Poll,
    listeners: Vec<Listener>,
    udp: Vec<UdpSocket>,
    sockets: Sockets,
    buffer: Box<[u8]>,
    /// To be read as soon as the engine wants it.
    unread: Vec<ConnId>,
    /// Taken off `unread`: to be read in the turn that comes.
    readable: Vec<ConnId>,
    /// To be written in the turn that comes.
    unsent: Vec<ConnId>,
}

struct Listener {
    acceptor: Acceptor,
    /// Connections may be waiting.
    ready: bool,
    /// It could not accept, and tries again then.
    again: Mono,
}

struct UdpSocket {
    udp: Udp,
    /// Datagrams may be waiting.
    ready: bool,
}

impl EventLoop {
    fn new(shard: Shard) -> io::Result<EventLoop> {
        let Shard { engine, clock, acceptors, udp, mut port, limits } = shard;
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), MAIL)?;
        port.on_mail(move || {
            if let Err(error) = waker.wake() {
                tracing::warn!(%error, "cannot wake the event loop");
            }
        });
        let mut listeners = Vec::with_capacity(acceptors.len());
        for (at, acceptor) in acceptors.into_iter().enumerate() {
            let token = Token(LISTENERS + at);
            poll.registry().register(&mut SourceFd(&acceptor.as_raw_fd()), token, Interest::READABLE)?;
            listeners.push(Listener { acceptor, ready: true, again: Mono::NEVER });
        }
        for (at, udp) in udp.iter().enumerate() {
            poll.registry().register(&mut SourceFd(&udp.as_raw_fd()), Token(UDP + at), Interest::READABLE)?;
        }
        Ok(EventLoop {
            engine,
            clock,
            port,
            turn_accepts: limits.turn_accepts.max(1),
            turn_reads: limits.turn_reads.max(1),
            turn_datagrams: limits.turn_datagrams.max(1),
            turn_write_bytes: usize::try_from(limits.turn_write_bytes).unwrap_or(usize::MAX),
            poll,
            listeners,
            udp: udp.into_iter().map(|udp| UdpSocket { udp, ready: true }).collect(),
            sockets: Sockets::default(),
            buffer: vec![0; limits.read_bytes as usize].into_boxed_slice(),
            unread: Vec::new(),
            readable: Vec::new(),
            unsent: Vec::new(),
        })
    }

    fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let wait = self.wait();
            match self.poll.poll(&mut events, wait) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                Ok(()) | Err(_) => {}
            }
            let now = self.clock.now();
            self.port.gather(now, !events.is_empty());
            self.take_mail(now);
            self.read_on(now);
            for event in &events {
                self.serve(now, event);
            }
            self.receive_datagrams(now);
            self.accept(now);
            self.engine.handle_timeout(now);
            self.carry_out(now);
            self.find_readable();
            if self.port.stopping() {
                self.stop_listening()?;
                if self.engine.is_drained() {
                    return Ok(());
                }
            }
        }
    }

    /// How long the kernel may keep us: not at all while work is known, else until the engine's deadline.
    fn wait(&self) -> Option<Duration> {
        let busy = !self.readable.is_empty()
            || !self.unsent.is_empty()
            || self.listeners.iter().any(|listener| listener.ready)
            || self.udp.iter().any(|udp| udp.ready)
            || self.port.has_mail()
            || self.port.is_gathering();
        if busy {
            return Some(Duration::ZERO);
        }
        let again = self.listeners.iter().map(|listener| listener.again).min().unwrap_or(Mono::NEVER);
        let deadline = self.engine.poll_timeout().unwrap_or(Mono::NEVER).min(again);
        if deadline == Mono::NEVER {
            return None;
        }
        // Our clock cuts to whole milliseconds, so this difference is rounded up already.
        Some(Duration::from_millis(deadline.since(self.clock.now().mono).min(WAIT_MS_MAX)))
    }

    fn take_mail(&mut self, now: Now) {
        if self.port.has_mail() {
            self.port.take_mail(now, &mut self.engine);
        }
    }

    fn serve(&mut self, now: Now, event: &Event) {
        match event.token() {
            MAIL => {}
            Token(at) if at >= UDP => {
                if let Some(udp) = self.udp.get_mut(at - UDP) {
                    udp.ready = true;
                }
            }
            Token(at) if at >= LISTENERS => {
                if let Some(listener) = self.listeners.get_mut(at - LISTENERS) {
                    listener.ready = true;
                }
            }
            Token(slot) => self.serve_socket(now, slot, event),
        }
    }

    fn serve_socket(&mut self, now: Now, slot: usize, event: &Event) {
        let Some((id, socket)) = self.sockets.at(slot) else { return };
        if socket.dialing {
            return self.dialed(now, id);
        }
        if socket.full && (event.is_writable() || event.is_write_closed()) {
            socket.full = false;
            self.engine.writable(now, id);
        }
        if socket.ended {
            if event.is_error() {
                self.engine.receive_error(now, id);
            }
        } else if event.is_readable() || event.is_read_closed() || event.is_error() {
            socket.closing |= event.is_read_closed() || event.is_error();
            self.read(now, id);
        }
    }

    /// Reads until the socket is empty, the engine has enough or the budget ends; in the latter two cases the edge
    /// is remembered.
    fn read(&mut self, now: Now, id: ConnId) {
        let Some(socket) = self.sockets.get(id) else { return };
        for _ in 0..self.turn_reads {
            if !self.engine.wants_read(id) {
                break;
            }
            match socket.stream.read(&mut self.buffer) {
                Ok(0) => {
                    socket.ended = true;
                    return self.engine.receive_eof(now, id);
                }
                Ok(n) => {
                    // Whoever sent these bytes may have seen what another shard acknowledged before.
                    if self.port.has_mail() {
                        self.port.take_mail(now, &mut self.engine);
                    }
                    self.engine.receive(now, id, &self.buffer[..n]);
                    if n < self.buffer.len() && !socket.closing {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.engine.receive_error(now, id),
            }
        }
        if !socket.unread {
            socket.unread = true;
            self.unread.push(id);
        }
    }

    /// Goes on where reading stopped early.
    fn read_on(&mut self, now: Now) {
        for at in 0..self.readable.len() {
            self.read(now, self.readable[at]);
        }
        self.readable.clear();
    }

    /// After the actions: who of those that stopped may be read again? Their number is that of the sockets under
    /// backpressure, not that of the connections.
    fn find_readable(&mut self) {
        let EventLoop { engine, sockets, unread, readable, .. } = self;
        unread.retain(|id| {
            let Some(socket) = sockets.get(*id) else { return false };
            let wanted = engine.wants_read(*id);
            if wanted {
                socket.unread = false;
                readable.push(*id);
            }
            !wanted
        });
    }

    /// Reads until the sockets are empty or the budget ends; in the latter case the edge is remembered.
    fn receive_datagrams(&mut self, now: Now) {
        for UdpSocket { udp, ready } in &mut self.udp {
            for _ in 0..self.turn_datagrams {
                if !*ready {
                    break;
                }
                let via = udp.via;
                match udp.receive() {
                    Some((from, bytes)) => self.engine.receive_datagram(now, via, from, bytes),
                    None => *ready = false,
                }
            }
        }
    }

    fn accept(&mut self, now: Now) {
        for listener in &mut self.listeners {
            listener.ready |= listener.again <= now.mono;
            for _ in 0..self.turn_accepts {
                if !listener.ready {
                    break;
                }
                let (stream, peer) = match listener.acceptor.accept() {
                    Ok(Some(accepted)) => accepted,
                    Ok(None) => {
                        listener.ready = false;
                        listener.again = Mono::NEVER;
                        break;
                    }
                    Err(_) => {
                        listener.ready = false;
                        listener.again = now.mono.plus_ms(ACCEPT_PAUSE.as_millis() as u64);
                        break;
                    }
                };
                listener.again = Mono::NEVER;
                let Some(id) = self.engine.accept(now, listener.acceptor.id, peer) else { continue };
                let mut stream = TcpStream::from_std(stream);
                let both = Interest::READABLE | Interest::WRITABLE;
                match self.poll.registry().register(&mut stream, Token(id.slot as usize), both) {
                    Ok(()) => self.sockets.insert(id, stream, false),
                    Err(error) => {
                        tracing::warn!(%error, "cannot watch a connection");
                        self.engine.receive_error(now, id);
                    }
                }
            }
        }
    }

    /// Drops the listening sockets. Epoll would keep them, since other shards hold duplicates.
    fn stop_listening(&mut self) -> io::Result<()> {
        for listener in self.listeners.drain(..) {
            self.poll.registry().deregister(&mut SourceFd(&listener.acceptor.as_raw_fd()))?;
        }
        Ok(())
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
        let mut budget = self.turn_write_bytes;
        loop {
            let Some(outbound) = self.engine.outbound(id) else { return };
            let lent = outbound.len();
            let written = match outbound.slices() {
                [] => return,
                [slice] => socket.stream.write(slice),
                slices => socket.stream.write_vectored(slices),
            };
            let n = match written {
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return self.engine.receive_error(now, id),
            };
            let more = self.engine.advance(now, id, n);
            if n < lent {
                socket.full = true;
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

    /// Begins to connect; the first event of the socket says what came of it.
    fn dial(&mut self, now: Now, id: ConnId, address: SocketAddr) {
        let both = Interest::READABLE | Interest::WRITABLE;
        let begun = TcpStream::connect(address).and_then(|mut stream| {
            self.poll.registry().register(&mut stream, Token(id.slot as usize), both)?;
            stream.set_nodelay(true)?;
            Ok(stream)
        });
        match begun {
            Ok(stream) => self.sockets.insert(id, stream, true),
            Err(error) => {
                self.engine.complete(now, Completion::Dialed(id, Err(error.to_string().into())));
            }
        }
    }

    /// Whether a socket is connected. An event may come before that is decided.
    fn dialed(&mut self, now: Now, id: ConnId) {
        let Some(socket) = self.sockets.get(id) else { return };
        let error = match socket.stream.take_error() {
            Ok(Some(error)) | Err(error) => Some(error),
            Ok(None) => match socket.stream.peer_addr() {
                Ok(_) => None,
                Err(error) if error.kind() == ErrorKind::NotConnected => return,
                Err(error) => Some(error),
            },
        };
        socket.dialing = false;
        let result = error.map_or(Ok(()), |error| Err(error.to_string().into()));
        self.engine.complete(now, Completion::Dialed(id, result));
        // Its event may have told of bytes as well.
        self.read(now, id);
    }

    /// A full socket loses it, as any router may.
    fn send(&mut self, via: u16, to: SocketAddr, bytes: &[u8]) {
        let socket = self.udp.get(usize::from(via));
        if !socket.is_some_and(|socket| socket.udp.send(to, bytes)) {
            self.engine.datagram_dropped();
        }
    }

    fn finish(&mut self, id: ConnId) {
        if let Some(socket) = self.sockets.get(id) {
            // It fails only when the peer is gone already, and then reading says so.
            let _ = socket.stream.shutdown(Shutdown::Write);
        }
    }
}
