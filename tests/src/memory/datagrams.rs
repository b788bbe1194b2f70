//! Datagrams, and connections of listeners that do not speak HTTP: what a test sends to the first engine, which has the
//! UDP sockets, and what that engine has sent.

use std::net::SocketAddr;

use super::{Peer, World};

/// A datagram that an engine has sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Datagram {
    /// The number of the socket that it left by.
    pub via: u16,
    /// Where it went.
    pub to: SocketAddr,
    /// What is in it.
    pub bytes: Vec<u8>,
}

impl World {
    /// A datagram comes to a UDP socket, and everything that follows from it happens.
    ///
    /// # Panics
    /// If `from` is no address.
    pub fn datagram(&mut self, from: &str, via: u16, bytes: impl AsRef<[u8]>) {
        let from: SocketAddr = from.parse().expect("an address with a port");
        self.shards[0].engine.receive_datagram(self.now, via, from, bytes.as_ref());
        self.turn();
    }

    /// Takes the datagrams that were sent, the oldest first.
    pub fn take_datagrams(&mut self) -> Vec<Datagram> {
        std::mem::take(&mut self.datagrams)
    }

    /// From here on no UDP socket takes a datagram, or all do.
    pub fn fill_udp(&mut self, full: bool) {
        self.udp_full = full;
    }

    /// A connection from an address to one of the listeners of the first engine; `None` if the engine closes it at once.
    ///
    /// # Panics
    /// If `from` is no address.
    pub fn connect_via(&mut self, listener: u16, from: &str) -> Option<Peer> {
        self.try_connect_via(0, listener, from)
    }

    pub(super) fn send_datagram(&mut self, shard: usize, via: u16, to: SocketAddr, bytes: Vec<u8>) {
        assert_eq!(shard, 0, "only the first engine has UDP sockets");
        if self.udp_full {
            self.shards[shard].engine.datagram_dropped();
        } else {
            self.datagrams.push(Datagram { via, to, bytes });
        }
    }
}
