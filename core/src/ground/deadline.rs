//! One index of deadlines per engine. `peek` is O(1); entries that were put off are found stale when they come up.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::id::ConnId;
use super::time::Mono;

/// What falls due.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Due {
    /// A connection's earliest deadline; its machine knows why.
    Conn(ConnId),
    /// A connection that goes on in the next turn of the loop.
    Flush(ConnId),
    /// A dialect's own deadline: its place in the list of dialects, and a key of its choice.
    Dialect(u8, u32),
    /// A name that is being resolved.
    Resolve(u32, u32),
    /// The next event of a source.
    Source(u8),
    /// After a stop: whatever is still open is closed.
    Stop,
}

/// Deadlines in order of time.
#[derive(Debug, Default)]
pub struct Deadlines {
    heap: BinaryHeap<Reverse<(Mono, Due)>>,
}

impl Deadlines {
    /// Wakes `due` at `at`. An earlier entry stays; whoever is woken too early arms again.
    pub fn arm(&mut self, at: Mono, due: Due) {
        if at != Mono::NEVER {
            self.heap.push(Reverse((at, due)));
        }
    }

    /// The earliest deadline.
    #[must_use]
    pub fn peek(&self) -> Option<Mono> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes one that is due at `now`.
    pub fn pop(&mut self, now: Mono) -> Option<(Mono, Due)> {
        if self.peek()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }
}
