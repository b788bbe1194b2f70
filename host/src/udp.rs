//! UDP sockets: bound once, before any shard runs, and held by the shard that speaks on them. What a datagram means is the
//! core's affair; that one may be lost is UDP's.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use socket2::{Domain, Protocol, Socket, Type};

/// The largest datagram that there is (RFC 768): its length is told in 16 bits.
const DATAGRAM_BYTES: usize = 65_535;

/// One socket, and room for what it receives.
#[derive(Debug)]
pub struct Udp {
    /// Its place among the UDP sockets of the configuration.
    pub via: u16,
    socket: UdpSocket,
    /// It takes IPv6 addresses alone; IPv4 goes as a mapped one.
    is_v6: bool,
    buffer: Box<[u8]>,
}

impl Udp {
    /// Binds a socket, non-blocking, with kernel buffers of these sizes. `SO_REUSEADDR` is not set: on UDP a second socket
    /// could take the port as well, and get what is meant for the first.
    pub(crate) fn bind(
        via: u16,
        address: SocketAddr,
        receive_bytes: u64,
        send_bytes: u64,
    ) -> io::Result<Udp> {
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let kind = Type::DGRAM.nonblocking().cloexec();
        let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::UDP))?;
        socket.set_recv_buffer_size(size(receive_bytes))?;
        socket.set_send_buffer_size(size(send_bytes))?;
        socket.bind(&address.into())?;
        let buffer = vec![0; DATAGRAM_BYTES].into_boxed_slice();
        Ok(Udp { via, socket: socket.into(), is_v6: address.is_ipv6(), buffer })
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The next datagram and its sender; `None` when none waits. An IPv4 sender is named as one, whatever the socket.
    pub fn receive(&mut self) -> Option<(SocketAddr, &[u8])> {
        loop {
            match self.socket.recv_from(&mut self.buffer) {
                Ok((n, from)) => {
                    let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                    return Some((from, &self.buffer[..n]));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) => {
                    tracing::debug!(%error, "cannot read a UDP socket");
                    return None;
                }
            }
        }
    }

    /// Sends a datagram; false: the socket does not take it, and it is lost.
    pub fn send(&self, to: SocketAddr, bytes: &[u8]) -> bool {
        let to = match to.ip() {
            IpAddr::V4(v4) if self.is_v6 => SocketAddr::new(v4.to_ipv6_mapped().into(), to.port()),
            IpAddr::V4(_) | IpAddr::V6(_) => to,
        };
        loop {
            match self.socket.send_to(bytes, to) {
                Ok(_) => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    if error.kind() != ErrorKind::WouldBlock {
                        tracing::debug!(%error, %to, "cannot send a datagram");
                    }
                    return false;
                }
            }
        }
    }
}

impl AsFd for Udp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Udp {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(address: &str) -> Udp {
        Udp::bind(0, address.parse().unwrap(), 65_536, 65_536).unwrap()
    }

    #[test]
    fn datagrams_go_both_ways() {
        let (mut here, mut there) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
        assert!(here.receive().is_none());
        // On loopback a datagram is there when the call returns.
        for bytes in [&b"one"[..], b"", &[7; 60_000]] {
            assert!(there.send(here.address().unwrap(), bytes));
            assert_eq!(here.receive(), Some((there.address().unwrap(), bytes)));
        }
        assert!(here.receive().is_none() && there.receive().is_none());
        assert!(!here.send(there.address().unwrap(), &[0; DATAGRAM_BYTES]), "more than fits");
    }

    /// A machine without IPv6 has nothing to test.
    #[test]
    fn ipv4_is_named_as_such() {
        let Ok(mut both) = Udp::bind(0, "[::]:0".parse().unwrap(), 65_536, 65_536) else { return };
        let mut other = bind("127.0.0.1:0");
        let port = both.address().unwrap().port();
        assert!(other.send(SocketAddr::new("127.0.0.1".parse().unwrap(), port), b"in"));
        assert_eq!(both.receive(), Some((other.address().unwrap(), &b"in"[..])));
        assert!(both.send(other.address().unwrap(), b"out"));
        assert_eq!(other.receive().unwrap().1, b"out");
    }

    #[test]
    fn a_taken_port_fails() {
        let taken = bind("127.0.0.1:0");
        let error = Udp::bind(0, taken.address().unwrap(), 65_536, 65_536).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    }
}
