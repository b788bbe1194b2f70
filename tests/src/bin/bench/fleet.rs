//! The subscribers: thousands of open streams or websockets in one epoll instance.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use memchr::memmem;
use offhook_tests::memory::ws::masked;
use rustls::ClientConfig;

use crate::Result;
use crate::line::Line;
use crate::socket::{Poll, Ready, connect_from};
use crate::stamp::Tracker;
use crate::websocket::{TEXT, first_text};

/// Connections that are opened before the first of them is waited for: fewer than any backlog.
const HANDSHAKES_MAX: usize = 100;

/// Source addresses `127.0.0.2`, `127.0.0.3` …, so that no address runs out of ports.
const SOURCES: usize = 8;

/// One read takes this much at most: a large backlog arrives in few reads.
const READ_BUFFER_BYTES: usize = 256 * 1024;

/// The token of the other source, beside the subscribers.
const GUEST: u64 = u64::MAX;

/// Open streams.
pub(crate) struct Fleet {
    poll: Poll,
    subscribers: Vec<Subscriber>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Subscriber {
    stream: Line,
    tracker: Tracker,
}

impl Fleet {
    /// Opens `count` streams with the same request and waits until each is answered with 200, or with 101 if
    /// the request asks for a websocket.
    pub(crate) fn open(address: SocketAddr, request: &[u8], count: usize) -> Result<Self> {
        Self::open_lines(address, request, count, None)
    }

    /// The same behind TLS.
    pub(crate) fn open_sealed(
        address: SocketAddr,
        request: &[u8],
        count: usize,
        tls: &Arc<ClientConfig>,
    ) -> Result<Self> {
        Self::open_lines(address, request, count, Some(tls))
    }

    fn open_lines(
        address: SocketAddr,
        request: &[u8],
        count: usize,
        tls: Option<&Arc<ClientConfig>>,
    ) -> Result<Self> {
        let poll = Poll::new()?;
        let mut subscribers = Vec::with_capacity(count);
        while subscribers.len() < count {
            let first = subscribers.len();
            for index in first..count.min(first + HANDSHAKES_MAX) {
                let source = Ipv4Addr::new(127, 0, 0, 2 + (index % SOURCES) as u8);
                let mut stream = Line::new(connect_from(source, address)?, tls)?;
                stream.write_all(request)?;
                subscribers.push(Subscriber { stream, tracker: Tracker::default() });
            }
            for (index, subscriber) in subscribers.iter_mut().enumerate().skip(first) {
                read_head(&mut subscriber.stream)?;
                subscriber.stream.socket().set_nonblocking(true)?;
                poll.add_edge_triggered(&subscriber.stream, index as u64)?;
            }
        }
        Ok(Self { poll, subscribers, buffer: vec![0; READ_BUFFER_BYTES] })
    }

    /// How many streams there are.
    pub(crate) fn len(&self) -> usize {
        self.subscribers.len()
    }

    /// Says to each websocket what `message` gives for its number, and waits until `is_fine` finds the answer so.
    /// Nothing may be published before, because what comes with an answer is passed over.
    pub(crate) fn say(
        &mut self,
        message: impl Fn(usize) -> String,
        is_fine: fn(&[u8]) -> bool,
    ) -> Result<()> {
        for (index, subscriber) in self.subscribers.iter_mut().enumerate() {
            let stream = &mut subscriber.stream;
            stream.socket().set_nonblocking(false)?;
            stream.write_all(&masked(TEXT, [0; 4], message(index).as_bytes()))?;
            let answer = read_until(stream, |bytes| Ok(first_text(bytes)?.map(<[u8]>::to_vec)))?;
            if !is_fine(&answer) {
                return Err(format!("a message was refused: {}", String::from_utf8_lossy(&answer)).into());
            }
            stream.socket().set_nonblocking(true)?;
        }
        Ok(())
    }

    /// Watches one more source, which [`turn`](Self::turn) hands back.
    pub(crate) fn add_guest(&self, source: impl AsFd) -> Result<()> {
        self.poll.add(source, GUEST)
    }

    /// Waits at most `timeout`, reads all that has arrived and calls `each` with the due time of every
    /// delivery. When the guest is readable, `guest` gets a buffer to read into.
    pub(crate) fn turn(
        &mut self,
        timeout: Duration,
        mut guest: impl FnMut(&mut [u8]) -> Result<()>,
        mut each: impl FnMut(u64),
    ) -> Result<u64> {
        let mut deliveries = 0;
        for index in 0..self.poll.wait(Some(timeout))? {
            let ready = self.poll.ready(index);
            if ready.token == GUEST {
                guest(&mut self.buffer)?;
            } else {
                let subscriber = &mut self.subscribers[ready.token as usize];
                deliveries += subscriber.receive(&mut self.buffer, ready, &mut each)?;
            }
        }
        Ok(deliveries)
    }

    /// Reads what has arrived, and finds out whether a stream was closed. Nothing may have been delivered.
    pub(crate) fn drain(&mut self) -> Result<()> {
        for (index, subscriber) in self.subscribers.iter_mut().enumerate() {
            let ready = Ready { token: index as u64, hung_up: true };
            if subscriber.receive(&mut self.buffer, ready, |_| {})? > 0 {
                return Err("a stream got an event that is not for it".into());
            }
        }
        Ok(())
    }
}

impl Subscriber {
    /// Reads until the socket is empty. A short read says so without a second call, unless the end of
    /// the stream is behind it.
    fn receive(&mut self, buffer: &mut [u8], ready: Ready, mut each: impl FnMut(u64)) -> Result<u64> {
        let mut deliveries = 0;
        loop {
            let kept = self.tracker.restore(buffer);
            let read = match self.stream.read(&mut buffer[kept..]) {
                Ok(0) => return Err("the server closed a stream".into()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(deliveries),
                Err(error) => return Err(format!("a stream broke: {error}").into()),
            };
            deliveries += u64::from(self.tracker.scan(&buffer[..kept + read], &mut each)?);
            if kept + read < buffer.len() && !ready.hung_up && self.stream.empties_by_short_reads() {
                return Ok(deliveries);
            }
        }
    }
}

/// Reads to the end of the head. What follows it in the same read cannot hold an event, because nothing
/// is published yet.
fn read_head(stream: &mut Line) -> Result<()> {
    stream.socket().set_read_timeout(Some(Duration::from_secs(10)))?;
    let head = read_until(stream, |bytes| Ok(memmem::find(bytes, b"\r\n\r\n").map(|_| bytes.to_vec())))?;
    if !head.starts_with(b"HTTP/1.1 200 ") && !head.starts_with(b"HTTP/1.1 101 ") {
        return Err(format!("a stream was refused: {}", String::from_utf8_lossy(&head)).into());
    }
    Ok(())
}

/// Reads until `whole` finds what it looks for.
fn read_until(stream: &mut Line, whole: impl Fn(&[u8]) -> Result<Option<Vec<u8>>>) -> Result<Vec<u8>> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Err("the server closed a stream instead of answering".into()),
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
            Err(error) => return Err(format!("a stream was not answered: {error}").into()),
        }
        if let Some(found) = whole(&bytes)? {
            return Ok(found);
        }
    }
}
