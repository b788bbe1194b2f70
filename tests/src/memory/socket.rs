//! The model of one TCP connection: what the peer has sent and the engine has not read, what the engine has written
//! and the test has not looked at, and how much more the kernel takes.

use std::collections::VecDeque;
use std::io::IoSlice;

use offhook_core::ConnId;

/// The largest read of an adapter.
pub const READ_BYTES: usize = 65_536;

/// One connection.
#[derive(Debug)]
pub struct Socket {
    /// The engine that serves it, and its name there.
    pub(super) shard: usize,
    pub(super) id: ConnId,
    /// Reads to come; each was one `send` of the peer, or a part of it.
    incoming: VecDeque<Vec<u8>>,
    /// The peer ends its sending direction after `incoming`; whether the engine was told.
    pub(super) eof: bool,
    pub(super) eof_told: bool,
    /// The connection breaks; whether the engine was told.
    pub(super) broken: bool,
    pub(super) broken_told: bool,
    /// What the engine has written.
    pub(super) received: Vec<u8>,
    /// The size of each write.
    pub(super) writes: Vec<usize>,
    /// What the kernel still takes; `None` is no bound.
    pub(super) room: Option<usize>,
    /// A write was cut short, and the engine waits until there is room.
    pub(super) full: bool,
    /// The engine has ended its sending direction.
    pub(super) finished: bool,
    /// The engine has closed the connection.
    pub(super) closed: bool,
    /// The engine has dialed it, and nothing has come of that so far.
    pub(super) dialing: bool,
}

impl Socket {
    pub(super) fn new(shard: usize, id: ConnId) -> Socket {
        Socket {
            shard,
            id,
            incoming: VecDeque::new(),
            eof: false,
            eof_told: false,
            broken: false,
            broken_told: false,
            received: Vec::new(),
            writes: Vec::new(),
            room: None,
            full: false,
            finished: false,
            closed: false,
            dialing: false,
        }
    }

    pub(super) fn queue(&mut self, bytes: &[u8]) {
        self.incoming.extend(bytes.chunks(READ_BYTES).map(<[u8]>::to_vec));
    }

    pub(super) fn queued(&self) -> usize {
        self.incoming.iter().map(Vec::len).sum()
    }

    /// The next read, if there is one.
    pub(super) fn read(&mut self) -> Option<Vec<u8>> {
        self.incoming.pop_front()
    }

    /// Whether the kernel has room after a write was cut short.
    pub(super) fn is_writable(&self) -> bool {
        self.full && self.room != Some(0)
    }

    /// One `writev`: takes what there is room for.
    pub(super) fn write(&mut self, slices: &[IoSlice<'_>]) -> usize {
        let lent: usize = slices.iter().map(|slice| slice.len()).sum();
        let taken = lent.min(self.room.unwrap_or(usize::MAX));
        let mut left = taken;
        for slice in slices {
            let here = left.min(slice.len());
            self.received.extend_from_slice(&slice[..here]);
            left -= here;
        }
        if let Some(room) = &mut self.room {
            *room -= taken;
        }
        if taken > 0 {
            self.writes.push(taken);
        }
        self.full = taken < lent;
        taken
    }
}
