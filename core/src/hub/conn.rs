//! Connections: one small entry each. What only a request needs is boxed and goes when the connection becomes a
//! stream, so that an idle stream is this entry, a place in its feed and a deadline.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::event::output::{Lending, Output};
use crate::ground::id::{ConnId, ListenerId};
use crate::ground::slots::Slots;
use crate::ground::time::Mono;
use crate::hub::access::Who;
use crate::hub::calls::outgoing::Outgoing;
use crate::hub::flow::Flow;
use crate::hub::socket::Socket;
use crate::hub::transport::Transport;
use crate::wire::http::server::Server;
use crate::wire::tls::layer::Layer;

/// One connection.
#[derive(Debug)]
pub struct Conn {
    /// What it still has to send.
    pub output: Output,
    /// What it speaks.
    pub machine: Machine,
    /// What a stream has more if its peer speaks as well: it is a websocket.
    pub socket: Option<Box<Socket>>,
    /// What lies between its socket and `machine`, if anything does.
    pub transport: Option<Box<Transport>>,
    /// The peer's address; behind a proxy, that of whom it speaks for.
    pub peer: IpAddr,
    /// The peer's port.
    pub port: u16,
    /// The listener that accepted it; [`Conn::OURS`] if nobody did.
    pub via: ListenerId,
    /// Who makes the request that is being served, if a credential was asked for.
    pub who: Option<Arc<Who>>,
    /// Whether and how it ends.
    pub ending: Ending,
    /// It is on the flush list.
    pub listed: bool,
    /// Its socket took less than was lent; nothing is lent until it is writable.
    pub blocked: bool,
    /// There was no room for it: its first request is answered 503.
    pub surplus: bool,
    /// Until when what waits must have moved on.
    pub patience: Mono,
    /// The deadline that is armed.
    pub armed: Mono,
}

/// What a connection speaks.
#[derive(Debug)]
pub enum Machine {
    /// Requests and replies.
    Http(Box<Server>),
    /// An endless answer.
    Stream(Stream),
    /// A connection of our own to somebody else's server.
    Client(Box<Outgoing>),
    /// Bytes that a dialect frames itself.
    Flow(Box<Flow>),
    /// Nothing more is said; input is swallowed until the peer ends as well.
    Lingering,
}

/// An endless answer that reads a feed.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Its dialect, by its place in the list.
    pub dialect: u8,
    /// The dialect's own key.
    pub tag: u32,
    /// How frames leave.
    pub lending: Lending,
    /// When the next keepalive is due.
    pub keepalive_at: Mono,
}

/// Whether and how a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It does not.
    No,
    /// After what is queued.
    AfterFlush,
    /// The peer has ended its side: after what is queued, without waiting for more.
    Half,
}

impl Conn {
    /// The listener of connections that we make.
    pub const OURS: ListenerId = ListenerId(u16::MAX);

    /// One that we make; nothing is lent before its socket is connected.
    #[must_use]
    pub fn dialed(machine: Machine, address: SocketAddr) -> Conn {
        Conn {
            output: Output::default(),
            machine,
            socket: None,
            transport: None,
            peer: address.ip(),
            port: address.port(),
            via: Conn::OURS,
            who: None,
            ending: Ending::No,
            listed: false,
            blocked: true,
            surplus: false,
            patience: Mono::NEVER,
            armed: Mono::NEVER,
        }
    }

    /// Whether we have made it.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.via == Conn::OURS
    }

    /// The peer's address and port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.peer, self.port)
    }

    /// The earliest deadline.
    #[must_use]
    pub fn deadline(&self) -> Mono {
        if self.is_handshaking() {
            return self.patience;
        }
        let machine = match &self.machine {
            Machine::Http(server) => server.poll_timeout(),
            Machine::Stream(stream) => stream.keepalive_at,
            Machine::Client(outgoing) => outgoing.due,
            Machine::Flow(_) | Machine::Lingering => Mono::NEVER,
        };
        let silence = self.socket.as_ref().map_or(Mono::NEVER, |socket| socket.silent_at());
        machine.min(silence).min(self.patience)
    }

    /// Its TLS.
    #[must_use]
    pub fn tls(&self) -> Option<&Layer> {
        self.transport.as_ref()?.tls.as_deref()
    }

    /// Its TLS.
    pub fn tls_mut(&mut self) -> Option<&mut Layer> {
        self.transport.as_mut()?.tls.as_deref_mut()
    }

    /// Whether TLS is being agreed on.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.tls().is_some_and(|tls| tls.is_handshaking() && !tls.is_closing())
    }

    /// The stream, if it is one.
    #[must_use]
    pub fn stream(&self) -> Option<&Stream> {
        match &self.machine {
            Machine::Stream(stream) => Some(stream),
            Machine::Http(_) | Machine::Client(_) | Machine::Flow(_) | Machine::Lingering => None,
        }
    }

    /// The channel that its runs belong to.
    #[must_use]
    pub fn channel(&self) -> u8 {
        match &self.machine {
            Machine::Stream(stream) => stream.dialect,
            Machine::Http(_) | Machine::Client(_) | Machine::Flow(_) | Machine::Lingering => 0,
        }
    }

    /// How its frames leave.
    #[must_use]
    pub fn lending(&self) -> Lending {
        match &self.machine {
            Machine::Stream(stream) => stream.lending,
            Machine::Http(_) | Machine::Client(_) | Machine::Flow(_) | Machine::Lingering => {
                Lending::default()
            }
        }
    }
}

/// The connections of an engine, by slot; a generation tells the uses of a slot apart.
#[derive(Debug, Default)]
pub struct Conns {
    slots: Slots<Conn>,
    generations: Vec<u32>,
}

impl Conns {
    /// Adds a connection.
    pub fn insert(&mut self, conn: Conn) -> ConnId {
        let slot = self.slots.insert(conn);
        let place = slot as usize;
        if place == self.generations.len() {
            self.generations.push(0);
        }
        ConnId { slot, generation: self.generations[place] }
    }

    /// Takes a connection out; its id is dead.
    pub fn remove(&mut self, id: ConnId) -> Option<Conn> {
        self.get(id)?;
        let generation = &mut self.generations[id.slot as usize];
        *generation = generation.wrapping_add(1);
        self.slots.remove(id.slot)
    }

    /// The connection, if its id is alive.
    #[must_use]
    pub fn get(&self, id: ConnId) -> Option<&Conn> {
        (*self.generations.get(id.slot as usize)? == id.generation).then(|| self.slots.get(id.slot)).flatten()
    }

    /// The connection, if its id is alive.
    pub fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        if *self.generations.get(id.slot as usize)? != id.generation {
            return None;
        }
        self.slots.get_mut(id.slot)
    }

    /// The connection at a slot.
    pub fn at_mut(&mut self, slot: u32) -> Option<(ConnId, &mut Conn)> {
        let generation = *self.generations.get(slot as usize)?;
        self.slots.get_mut(slot).map(|conn| (ConnId { slot, generation }, conn))
    }

    /// How many connections are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The ids of all connections, in order of their slots.
    #[must_use]
    pub fn ids(&self) -> Vec<ConnId> {
        self.iter().map(|(id, _)| id).collect()
    }

    /// The ids of a dialect's streams, in order of their slots.
    #[must_use]
    pub fn streams_of(&self, dialect: u8) -> Vec<ConnId> {
        let own = |conn: &Conn| conn.stream().is_some_and(|stream| stream.dialect == dialect);
        self.iter().filter(|(_, conn)| own(conn)).map(|(id, _)| id).collect()
    }

    fn iter(&self) -> impl Iterator<Item = (ConnId, &Conn)> {
        let generation = |slot: u32| self.generations[slot as usize];
        self.slots.iter().map(move |(slot, conn)| (ConnId { slot, generation: generation(slot) }, conn))
    }
}
