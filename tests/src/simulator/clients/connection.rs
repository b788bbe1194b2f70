//! One connection of a client that always wants to have one: it is dialed again after a pause, and given up when nothing
//! comes for too long.

use super::super::client::Io;
use super::super::net::LinkId;
use crate::memory::read::take_reply;

/// After so long without an answer a client tries again.
const PATIENCE_MS: u64 = 30_000;

/// The connection, and what has come on it.
#[derive(Debug, Default)]
pub(super) struct Connection {
    link: Option<LinkId>,
    /// It is made.
    pub(super) up: bool,
    /// What came and was not taken.
    pub(super) received: Vec<u8>,
    /// Something is awaited since then.
    awaited: Option<u64>,
    /// It is not dialed before.
    pause_until: u64,
    /// The client has left.
    left: bool,
}

impl Connection {
    /// Dials if there is none and the pause is over, and closes one that has been silent for too long. Whoever holds a
    /// connection calls this whenever it wakes, and wakes again.
    pub(super) fn tend(&mut self, io: &mut Io<'_>) {
        if self.awaited.is_some_and(|since| io.now >= since + PATIENCE_MS) {
            self.close(io);
        }
        if self.link.is_none() && io.now >= self.pause_until && !self.left {
            *self = Connection { link: Some(io.dial(0)), awaited: Some(io.now), ..Connection::default() };
        }
    }

    /// Whether this is it.
    pub(super) fn is(&self, link: LinkId) -> bool {
        self.link == Some(link)
    }

    /// It is made.
    pub(super) fn connected(&mut self) {
        (self.up, self.awaited) = (true, None);
    }

    /// It is gone; a new one is tried after a pause.
    pub(super) fn ended(&mut self, io: &mut Io<'_>) {
        let pause = io.rng.below(if io.calm { 300 } else { 3_000 });
        *self = Connection { pause_until: io.now + pause, left: self.left, ..Connection::default() };
        io.wake_in(pause);
    }

    /// Sends a request or the like, after which an answer is awaited.
    pub(super) fn ask(&mut self, io: &mut Io<'_>, bytes: impl Into<Vec<u8>>) {
        if let Some(link) = self.link {
            io.send(link, bytes);
            self.awaited = Some(io.now);
            io.wake_in(PATIENCE_MS);
        }
    }

    /// Sends what wants no answer.
    pub(super) fn send(&mut self, io: &mut Io<'_>, bytes: impl Into<Vec<u8>>) {
        if let Some(link) = self.link {
            io.send(link, bytes);
        }
    }

    /// Whether the answer to an upgrade has come and agrees. One of 503 is for another time.
    pub(super) fn upgraded(&mut self, io: &mut Io<'_>) -> bool {
        let Some(reply) = take_reply(&mut self.received, false) else { return false };
        if reply.status == 503 {
            io.books.seen.busy += 1;
            self.close(io);
            return false;
        }
        assert_eq!(reply.status, 101, "{} {}", reply.head, reply.text());
        true
    }

    /// The answer has come.
    pub(super) fn answered(&mut self) {
        self.awaited = None;
    }

    /// Closes it for good.
    pub(super) fn leave(&mut self, io: &mut Io<'_>) {
        self.left = true;
        self.close(io);
    }

    /// Closes it.
    pub(super) fn close(&mut self, io: &mut Io<'_>) {
        if let Some(link) = self.link {
            io.close(link);
            self.ended(io);
        }
    }
}
