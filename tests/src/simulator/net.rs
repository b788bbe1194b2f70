//! The network between clients and server: connections that delay, split, join, stall and break, and datagrams that are
//! lost, come twice or late. What one side has closed reaches the other behind what it had sent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use offhook_core::ConnId;

use super::sealed::Sealed;

/// A connection, for as long as the world lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// How a direction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The sender has sent all.
    Fin,
    /// The connection is reset.
    Reset,
}

/// One direction.
#[derive(Debug, Default)]
pub struct Pipe {
    bytes: VecDeque<u8>,
    /// When how many of them arrive.
    arrivals: VecDeque<(u64, usize)>,
    arrived: usize,
    end: Option<(u64, End)>,
    /// The receiver was told of the end.
    pub told: bool,
}

impl Pipe {
    /// Bytes leave, and arrive at `due` or when those before them have.
    pub fn push(&mut self, bytes: &[u8], due: u64) -> u64 {
        let due = self.arrivals.back().map_or(due, |(last, _)| due.max(*last));
        self.bytes.extend(bytes);
        self.arrivals.push_back((due, bytes.len()));
        due
    }

    /// Nothing more leaves.
    pub fn finish(&mut self, due: u64, end: End) -> u64 {
        let due = self.arrivals.back().map_or(due, |(last, _)| due.max(*last));
        if self.end.is_none() {
            self.end = Some((due, end));
        }
        due
    }

    /// What is under way is gone.
    pub fn reset(&mut self, now: u64) {
        (self.bytes, self.arrivals, self.arrived) = (VecDeque::new(), VecDeque::new(), 0);
        self.end = Some((now, End::Reset));
    }

    /// Whether the sender may still send.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.end.is_none()
    }

    /// Bytes that can be taken now.
    pub fn arrived(&mut self, now: u64) -> usize {
        while let Some((_, count)) = self.arrivals.pop_front_if(|(due, _)| *due <= now) {
            self.arrived += count;
        }
        self.arrived
    }

    /// The end, if it can be seen now and has not been told.
    #[must_use]
    pub fn ended(&self, now: u64) -> Option<End> {
        let (due, end) = self.end?;
        (due <= now && self.bytes.is_empty() && !self.told).then_some(end)
    }

    /// Takes arrived bytes.
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        self.arrived -= count;
        self.bytes.drain(..count).collect()
    }

    /// How many bytes are under way or wait.
    #[must_use]
    pub fn held(&self) -> usize {
        self.bytes.len()
    }
}

/// A connection.
#[derive(Debug)]
pub struct Link {
    /// The client at its one end.
    pub client: usize,
    /// The engine at its other end, in which life of the server, and its name there.
    pub shard: usize,
    /// See `shard`.
    pub life: u64,
    /// See `shard`.
    pub id: ConnId,
    /// From the client to the server.
    pub up: Pipe,
    /// From the server to the client.
    pub down: Pipe,
    /// The server has dialed it, and waits for what comes of that.
    pub dialing: bool,
    /// The server's last write was cut short.
    pub full: bool,
    /// There is room again, and the server was not told.
    pub writable: bool,
    /// The server has ended its direction, or closed the connection.
    pub finished: bool,
    /// See `finished`.
    pub closed: bool,
    /// The client takes and gives nothing before.
    pub stalled_until: u64,
    /// TLS of the client's end.
    pub(super) sealed: Option<Sealed>,
}

/// All connections.
#[derive(Debug, Default)]
pub struct Net {
    links: BTreeMap<LinkId, Link>,
    next: u64,
    /// Connections that their client has given up before they were made.
    abandoned: BTreeSet<LinkId>,
}

impl Net {
    /// The name of a connection to come.
    pub fn name(&mut self) -> LinkId {
        self.next += 1;
        LinkId(self.next)
    }

    /// A connection that is tried.
    pub fn insert(&mut self, at: LinkId, client: usize, shard: usize, life: u64, id: ConnId, dialing: bool) {
        let link = Link {
            client,
            shard,
            life,
            id,
            up: Pipe::default(),
            down: Pipe::default(),
            dialing,
            full: false,
            writable: false,
            finished: false,
            closed: false,
            stalled_until: 0,
            sealed: None,
        };
        self.links.insert(at, link);
    }

    /// A client gives up a connection that is not made.
    pub fn abandon(&mut self, at: LinkId) {
        self.abandoned.insert(at);
    }

    /// Whether its client has given it up; asked once.
    pub fn is_abandoned(&mut self, at: LinkId) -> bool {
        self.abandoned.remove(&at)
    }

    /// A connection that one side still knows.
    pub fn get(&mut self, at: LinkId) -> Option<&mut Link> {
        self.links.get_mut(&at)
    }

    /// Neither side knows it.
    pub fn remove(&mut self, at: LinkId) {
        self.links.remove(&at);
    }

    /// All of them.
    pub fn iter(&mut self) -> impl Iterator<Item = (LinkId, &mut Link)> {
        self.links.iter_mut().map(|(at, link)| (*at, link))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }
}
