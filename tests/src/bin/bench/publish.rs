//! The publisher: one connection that pipelines.
//!
//! Each request holds as many events as its template; each answer must accept all of them.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::Result;
use crate::dialect::{Dialect, Template};
use crate::http::Replies;

/// One connection that publishes, and counts what is not answered yet.
#[derive(Debug)]
pub(crate) struct Publisher {
    stream: TcpStream,
    template: Template,
    dialect: Dialect,
    sequence: u32,
    unanswered: u32,
    out: Vec<u8>,
    /// How much of `out` is written.
    written: usize,
    replies: Replies,
}

impl Publisher {
    /// Connects and greets.
    pub(crate) fn connect(address: SocketAddr, dialect: Dialect, template: Template) -> Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.write_all(dialect.greeting())?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            template,
            dialect,
            sequence: 0,
            unanswered: 0,
            out: Vec::new(),
            written: 0,
            replies: Replies::default(),
        })
    }

    /// The connection, for a poll.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// How many events were published.
    pub(crate) fn published(&self) -> u32 {
        self.sequence
    }

    /// How many events each request holds.
    pub(crate) fn events_per_request(&self) -> u32 {
        self.template.events()
    }

    /// How many requests are not answered yet.
    pub(crate) fn unanswered(&self) -> u32 {
        self.unanswered
    }

    /// Whether a part of a request waits for room in the socket.
    pub(crate) fn is_stuck(&self) -> bool {
        !self.out.is_empty()
    }

    /// Queues one request.
    pub(crate) fn publish(&mut self, due_ns: u64) {
        self.template.append(due_ns, self.sequence, &mut self.out);
        self.sequence += self.template.events();
        self.unanswered += u32::from(self.dialect.answers());
    }

    /// Writes what is queued, as far as the socket takes it.
    pub(crate) fn flush(&mut self) -> Result<()> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(format!("publishing failed: {error}").into()),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }

    /// Reads replies; each must accept all events of a request.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> Result<()> {
        let read = match self.stream.read(buffer) {
            Ok(0) => return Err("the server closed the publisher's connection".into()),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(format!("the publisher's connection failed: {error}").into()),
        };
        self.replies.push(&buffer[..read]);
        while let Some(reply) = self.replies.next()? {
            self.dialect.accepted(&reply, self.template.events())?;
            self.unanswered = self.unanswered.checked_sub(1).ok_or("a reply without a request")?;
        }
        Ok(())
    }
}
