//! Sockets and readiness, without unsafe code.

use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::Result;

/// Opens a blocking connection from `source`, so that many connections do not exhaust the ports of one
/// address. Closing it resets it, so that thousands of sockets do not linger after a run.
pub(crate) fn connect_from(source: Ipv4Addr, address: SocketAddr) -> Result<TcpStream> {
    let socket =
        rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    if address.ip().is_loopback() {
        rustix::net::bind(&socket, &SocketAddrV4::new(source, 0))?;
    }
    rustix::net::connect(&socket, &address)?;
    Ok(TcpStream::from(socket))
}

/// Writes all of `bytes` to a non-blocking stream, waiting only after a refusal.
pub(crate) fn write_all(mut stream: &TcpStream, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                rustix::event::poll(&mut [PollFd::new(stream, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// An epoll instance and the events of its last wait.
pub(crate) struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

/// What a source is ready for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    /// The number it was registered with.
    pub(crate) token: u64,
    /// The peer sends no more, or the connection is broken.
    pub(crate) hung_up: bool,
}

impl Poll {
    /// An instance that reports at most a few hundred events a wait.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)?, events: Vec::with_capacity(256) })
    }

    /// Reports `source` whenever there is something to read.
    pub(crate) fn add(&self, source: impl AsFd, token: u64) -> Result<()> {
        Ok(epoll::add(&self.epoll, source, EventData::new_u64(token), EventFlags::IN)?)
    }

    /// Reports `source` once for each arrival: whoever stops reading early is not told again.
    pub(crate) fn add_edge_triggered(&self, source: impl AsFd, token: u64) -> Result<()> {
        let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.epoll, source, EventData::new_u64(token), flags)?)
    }

    /// Waits until something is ready or `timeout` has passed; `None` waits without end.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> Result<usize> {
        self.events.clear();
        let timeout = timeout.map(Timespec::try_from).transpose()?;
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(ready) => Ok(ready),
            Err(Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// What the last wait reported at `index`.
    pub(crate) fn ready(&self, index: usize) -> Ready {
        let Event { flags, data, .. } = self.events[index];
        let hung_up = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        Ready { token: data.u64(), hung_up }
    }
}
