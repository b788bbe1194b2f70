//! What falls due in an endpoint, by time. Who puts off a deadline is woken at the old one and arms again; who is gone is
//! not found.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;

use super::FlowId;
use super::request::RequestId;
use crate::ground::time::Mono;

/// Whose deadline it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Due {
    /// A request of ours.
    Request(RequestId),
    /// Requests that wait for their turn towards this address.
    Lane(SocketAddr),
    /// A connection.
    Flow(FlowId),
    /// A name.
    Name(u64),
    /// The oldest of the requests that came.
    Servers,
}

/// Deadlines in order of time.
#[derive(Debug, Default)]
pub(super) struct Deadlines(BinaryHeap<Reverse<(Mono, Due)>>);

impl Deadlines {
    /// Wakes `due` at `at`, unless it is `armed` for an earlier time.
    pub(super) fn arm(&mut self, at: Mono, armed: &mut Mono, due: Due) {
        if at < *armed {
            *armed = at;
            self.0.push(Reverse((at, due)));
        }
    }

    pub(super) fn peek(&self) -> Option<Mono> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    pub(super) fn pop(&mut self, now: Mono) -> Option<(Mono, Due)> {
        if self.peek()? > now {
            return None;
        }
        self.0.pop().map(|Reverse(entry)| entry)
    }
}
