//! What a runtime gets for one thread: an engine, and everything around it that is no socket of a peer.

use std::io;

use offhook_core::Engine;
use offhook_core::ground::limits::Limits;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::clock::Clock;
use crate::listen::Acceptor;
use crate::port::Port;
use crate::udp::Udp;

/// One engine with its clock, its listening sockets and its port to the other shards.
#[derive(Debug)]
pub struct Shard {
    /// The machine between bytes and bytes.
    pub engine: Engine,
    /// Time for the engine.
    pub clock: Clock,
    /// The listening sockets, which all shards share; those of SIP are shard 0's alone.
    pub acceptors: Vec<Acceptor>,
    /// The UDP sockets, in the order of their numbers; shard 0 alone has any.
    pub udp: Vec<Udp>,
    /// Records, metrics, log lines, and the host's wishes.
    pub port: Port,
    /// The limits at start, for the loop's own budgets.
    pub limits: Limits,
}

/// 64 bits of the operating system's entropy, from which an engine draws all its randomness.
pub(crate) fn seed() -> io::Result<u64> {
    let mut bytes = [0; 8];
    let mut filled = 0;
    while filled < bytes.len() {
        filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty())?;
    }
    Ok(u64::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_differ() {
        assert_ne!(seed().unwrap(), seed().unwrap());
    }
}
