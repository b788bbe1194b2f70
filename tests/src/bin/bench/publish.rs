//! The publisher: one connection that pipelines.

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
    answers: bool,
    sequence: u32,
    unanswered: u32,
    out: Vec<u8>,
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
            answers: dialect.answers(),
            sequence: 0,
            unanswered: 0,
            out: Vec::new(),
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

    /// How many of them are not answered yet.
    pub(crate) fn unanswered(&self) -> u32 {
        self.unanswered
    }

    /// Queues one event.
    pub(crate) fn publish(&mut self, due_ns: u64) {
        self.template.append(due_ns, self.sequence, &mut self.out);
        self.sequence += 1;
        self.unanswered += u32::from(self.answers);
    }

    /// Writes what is queued, as far as the socket takes it.
    pub(crate) fn flush(&mut self) -> Result<()> {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(written) => drop(self.out.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(format!("publishing failed: {error}").into()),
            }
        }
        Ok(())
    }

    /// Reads replies; each must accept an event.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> Result<()> {
        let read = match self.stream.read(buffer) {
            Ok(0) => return Err("the server closed the publisher's connection".into()),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(format!("the publisher's connection failed: {error}").into()),
        };
        self.replies.push(&buffer[..read]);
        while let Some(reply) = self.replies.next()? {
            if reply.status != 202 {
                let body = String::from_utf8_lossy(&reply.body);
                return Err(format!("an event was not accepted: {}, {body}", reply.status).into());
            }
            self.unanswered = self.unanswered.checked_sub(1).ok_or("a reply without a request")?;
        }
        Ok(())
    }
}
