//! Requests that engines make of others, as the others see them: one at a time on a connection, each to be answered.

use super::{Peer, World};

/// A request that came to somebody else's server.
#[derive(Clone, Debug)]
pub struct Made {
    /// The engine that made it.
    pub shard: usize,
    /// The connection.
    pub peer: Peer,
    /// Where it goes.
    pub address: String,
    /// The request.
    pub request: Vec<u8>,
}

impl World {
    /// Takes the requests that came since the last time, in the order of their connections.
    pub fn take_calls(&mut self) -> Vec<Made> {
        let mut made = Vec::new();
        for (peer, address) in self.others.dialed_ever().to_vec() {
            let request = self.take(peer);
            if !request.is_empty() {
                made.push(Made { shard: self.sockets[peer.0].shard, peer, address, request });
            }
        }
        made
    }

    /// A request is answered with a status.
    pub fn answer(&mut self, made: &Made, status: u16) {
        self.send(made.peer, format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"));
    }
}
