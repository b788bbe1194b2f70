//! The floor: a server that accepts, answers with a fixed head, and writes the same prepared bytes to
//! every subscriber. No HTTP is parsed and nothing is kept, so what it costs is what the kernel costs.
//!
//! A connection that begins with `GET` is a subscriber; one that begins with `PUB` and a newline
//! publishes one event a line. Subscribers get chunks or, if they ask for an upgrade, websocket frames.

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use memchr::memmem;
use offhook_core::wire::ws::frame;
use offhook_tests::memory::ws::ACCEPT;

use crate::Result;
use crate::socket::{Poll, write_all};

/// How events are wrapped for subscribers.
#[derive(Clone, Copy, Debug)]
enum Framing {
    Chunked,
    Websocket,
}

impl Framing {
    /// What a subscriber's request asks for.
    fn of(request: &[u8]) -> Self {
        if memmem::find(request, b"\r\nUpgrade: ").is_some() { Self::Websocket } else { Self::Chunked }
    }

    /// What answers a subscriber's request.
    fn head(self) -> String {
        match self {
            Self::Chunked => {
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
                    .to_owned()
            }
            Self::Websocket => format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {}\r\n\r\n",
                ACCEPT
            ),
        }
    }

    /// Appends `event` as subscribers get it.
    fn append(self, event: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Chunked => {
                out.extend_from_slice(format!("{:x}\r\n", event.len() + 1).as_bytes());
                out.extend_from_slice(event);
                out.extend_from_slice(b"\n\r\n");
            }
            Self::Websocket => frame::text(out, |out| out.extend_from_slice(event)),
        }
    }
}

/// Serves until the process is ended. With `coalesce`, all the events of one read leave in one write
/// per subscriber; without it, each event is a write of its own.
pub(crate) fn serve(listen: SocketAddr, coalesce: bool) -> Result<()> {
    crate::machine::raise_file_limit();
    let mut floor = Floor::bind(listen, coalesce)?;
    eprintln!("listening on http://{}", floor.address()?);
    floor.run()
}

/// The floor's whole state.
pub(crate) struct Floor {
    poll: Poll,
    listener: TcpListener,
    /// That of the subscriber who came last: all of one floor want the same.
    framing: Framing,
    coalesce: bool,
    /// Every connection, at the index of its descriptor.
    connections: Vec<Option<TcpStream>>,
    /// Descriptors of the subscribers, in the order of their arrival.
    subscribers: Vec<usize>,
    publisher: Option<usize>,
    /// An event whose newline has not come yet.
    unfinished: Vec<u8>,
    out: Vec<u8>,
}

impl Floor {
    /// Begins to listen.
    pub(crate) fn bind(listen: SocketAddr, coalesce: bool) -> Result<Self> {
        let listener = TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let poll = Poll::new()?;
        poll.add(&listener, listener.as_raw_fd() as u64)?;
        Ok(Self {
            poll,
            listener,
            framing: Framing::Chunked,
            coalesce,
            connections: Vec::new(),
            subscribers: Vec::new(),
            publisher: None,
            unfinished: Vec::new(),
            out: Vec::new(),
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Serves without end.
    pub(crate) fn run(&mut self) -> Result<()> {
        let listener = self.listener.as_raw_fd() as u64;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            for index in 0..self.poll.wait(None)? {
                let token = self.poll.ready(index).token;
                if token == listener {
                    self.accept()?;
                } else {
                    self.read(token as usize, &mut buffer)?;
                }
            }
        }
    }

    fn accept(&mut self) -> Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let fd = stream.as_raw_fd() as usize;
            self.poll.add(&stream, fd as u64)?;
            if self.connections.len() <= fd {
                self.connections.resize_with(fd + 1, || None);
            }
            self.connections[fd] = Some(stream);
        }
    }

    fn read(&mut self, fd: usize, buffer: &mut [u8]) -> Result<()> {
        let Some(mut stream) = self.connections[fd].as_ref() else { return Ok(()) };
        let bytes = match stream.read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Ok(0) | Err(_) => {
                self.forget(fd);
                return Ok(());
            }
            Ok(read) => &buffer[..read],
        };
        if self.publisher == Some(fd) {
            self.publish(bytes);
        } else if let Some(events) = bytes.strip_prefix(b"PUB\n") {
            self.publisher = Some(fd);
            self.publish(events);
        } else if bytes.starts_with(b"GET ") {
            self.framing = Framing::of(bytes);
            write_all(stream, self.framing.head().as_bytes())?;
            self.subscribers.push(fd);
        }
        Ok(())
    }

    fn forget(&mut self, fd: usize) {
        self.connections[fd] = None;
        self.subscribers.retain(|subscriber| *subscriber != fd);
        if self.publisher == Some(fd) {
            self.publisher = None;
            self.unfinished.clear();
        }
    }

    fn publish(&mut self, mut bytes: &[u8]) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            self.unfinished.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            self.framing.append(&self.unfinished, &mut self.out);
            self.unfinished.clear();
            if !self.coalesce {
                self.fan_out();
            }
        }
        self.unfinished.extend_from_slice(bytes);
        self.fan_out();
    }

    /// Writes what is pending to every subscriber. A broken one is found out by the next read.
    fn fan_out(&mut self) {
        if self.out.is_empty() {
            return;
        }
        for stream in self.subscribers.iter().filter_map(|fd| self.connections[*fd].as_ref()) {
            let _ = write_all(stream, &self.out);
        }
        self.out.clear();
    }
}
