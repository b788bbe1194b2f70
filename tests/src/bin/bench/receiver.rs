//! The receiver of webhooks: it answers each request with 200 and nothing else, and counts.
//!
//! Until [`Receiver::receive`] is called, the kernel takes connections and requests, and nobody answers:
//! that is how a backlog is built.

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use crate::Result;
use crate::http::message_length;
use crate::rate::{Rate, Watch};
use crate::socket::{Poll, write_all};
use crate::stamp::first_sequence;

/// What answers a request.
pub(crate) const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// Without a request for this long, what is missing counts as lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which requests are expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// Stamped with the numbers from 0 on, in any order, none of them twice.
    Distinct,
    /// Stamped, whatever the number: a floor sends the same bytes again and again.
    Same,
}

/// What was received.
#[derive(Debug)]
pub(crate) struct Received {
    /// Requests, from the first to the last.
    pub(crate) rate: Rate,
    /// The first request, head and body.
    pub(crate) first: Vec<u8>,
}

/// A server on a port of its own.
pub(crate) struct Receiver {
    poll: Poll,
    listener: TcpListener,
    /// Every connection, at the index of its descriptor.
    connections: Vec<Option<Connection>>,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// A request that has not come as a whole.
    unfinished: Vec<u8>,
}

impl Receiver {
    /// Begins to listen.
    pub(crate) fn bind() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let poll = Poll::new()?;
        poll.add(&listener, listener.as_raw_fd() as u64)?;
        Ok(Self { poll, listener, connections: Vec::new() })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Answers until `count` requests have come. `processes` are those of the client.
    pub(crate) fn receive(&mut self, count: u32, expect: Expect, processes: &[u32]) -> Result<Received> {
        let mut tally = Tally::new(count, expect);
        let mut watch = Watch::start(processes)?;
        let mut buffer = vec![0; 64 * 1024];
        let mut progress_at = Instant::now();
        while tally.received < count {
            let before = tally.received;
            for index in 0..self.poll.wait(Some(Duration::from_millis(100)))? {
                let token = self.poll.ready(index).token;
                if token == self.listener.as_raw_fd() as u64 {
                    self.accept()?;
                } else {
                    self.answer(token as usize, &mut buffer, &mut tally)?;
                }
            }
            if before == 0 {
                // The clock runs from the turn of the first request on.
                watch.restart();
            }
            if tally.received > before {
                progress_at = Instant::now();
            } else if progress_at.elapsed() > PATIENCE {
                return Err(format!("{} of {count} deliveries never came", count - tally.received).into());
            }
        }
        Ok(Received { rate: watch.stop(u64::from(count))?, first: tally.first })
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
            self.connections[fd] = Some(Connection { stream, unfinished: Vec::new() });
        }
    }

    fn answer(&mut self, fd: usize, buffer: &mut [u8], tally: &mut Tally) -> Result<()> {
        let Some(connection) = &mut self.connections[fd] else { return Ok(()) };
        let bytes = match connection.stream.read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            // A client may close what it does not need.
            Ok(0) | Err(_) => {
                self.connections[fd] = None;
                return Ok(());
            }
            Ok(read) => &buffer[..read],
        };
        for _ in 0..connection.take(bytes, tally)? {
            write_all(&connection.stream, ANSWER)?;
        }
        Ok(())
    }
}

impl Connection {
    /// Counts the whole requests in what was read.
    fn take(&mut self, bytes: &[u8], tally: &mut Tally) -> Result<u32> {
        let mut gathered = std::mem::take(&mut self.unfinished);
        let mut rest = bytes;
        if !gathered.is_empty() {
            gathered.extend_from_slice(bytes);
            rest = &gathered;
        }
        let mut requests = 0;
        while let Some(length) = message_length(rest)? {
            tally.count(&rest[..length])?;
            rest = &rest[length..];
            requests += 1;
        }
        self.unfinished = rest.to_vec();
        Ok(requests)
    }
}

/// Which requests have come.
#[derive(Debug)]
struct Tally {
    expect: Expect,
    received: u32,
    seen: Vec<bool>,
    first: Vec<u8>,
}

impl Tally {
    fn new(count: u32, expect: Expect) -> Self {
        Self { expect, received: 0, seen: vec![false; count as usize], first: Vec::new() }
    }

    fn count(&mut self, request: &[u8]) -> Result<()> {
        let Some(sequence) = first_sequence(request) else {
            let request = String::from_utf8_lossy(&request[..request.len().min(500)]);
            return Err(format!("a request without a stamp came: {request}").into());
        };
        if self.expect == Expect::Distinct {
            match self.seen.get_mut(sequence as usize) {
                Some(seen) if !*seen => *seen = true,
                Some(_) => return Err(format!("event {sequence} was delivered twice").into()),
                None => return Err(format!("event {sequence} was delivered and never published").into()),
            }
        }
        if self.received == 0 {
            self.first = request.to_vec();
        }
        self.received += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::stamp::write_stamp;

    fn request(sequence: u32) -> Vec<u8> {
        let mut request = b"POST /hook HTTP/1.1\r\nHost: h\r\ncontent-length: 29\r\n\r\n\"".to_vec();
        request.extend_from_slice(&write_stamp(0, sequence));
        request.push(b'"');
        request
    }

    /// A receiver's findings when clients send `pieces` over one connection, which reads all answers.
    fn receive(pieces: Vec<Vec<u8>>, count: u32, expect: Expect) -> Result<Received> {
        let mut receiver = Receiver::bind()?;
        let address = receiver.address()?;
        let client = std::thread::spawn(move || {
            let mut stream = TcpStream::connect(address).expect("connected");
            stream.set_nodelay(true).expect("no delay");
            for piece in pieces {
                stream.write_all(&piece).expect("written");
            }
            let mut answers = Vec::new();
            let _ = stream.read_to_end(&mut answers);
            answers
        });
        let received = receiver.receive(count, expect, &[]);
        drop(receiver);
        let answers = client.join().expect("a client");
        if received.is_ok() {
            assert_eq!(answers, ANSWER.repeat(count as usize));
        }
        received
    }

    #[test]
    fn every_request_is_counted_and_answered_in_whatever_pieces_it_comes() {
        let bytes: Vec<u8> = [2, 0, 1].into_iter().flat_map(request).collect();
        for size in [1, 7, 64, bytes.len()] {
            let pieces = bytes.chunks(size).map(<[u8]>::to_vec).collect();
            let received = receive(pieces, 3, Expect::Distinct).expect("all came");
            assert_eq!((received.rate.done, received.first), (3, request(2)));
        }
    }

    #[test]
    fn what_was_not_expected_is_an_error() {
        let mut tally = Tally::new(2, Expect::Distinct);
        tally.count(&request(1)).expect("expected");
        assert_eq!(tally.count(&request(1)).expect_err("twice").to_string(), "event 1 was delivered twice");
        assert!(tally.count(&request(2)).is_err());
        assert!(tally.count(b"GET / HTTP/1.1\r\n\r\n").is_err());
        assert_eq!(tally.received, 1);
        let mut tally = Tally::new(2, Expect::Same);
        tally.count(&request(7)).expect("any");
        tally.count(&request(7)).expect("any");
        assert_eq!(tally.received, 2);
    }
}
