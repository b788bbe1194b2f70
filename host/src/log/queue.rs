//! What the shards leave for the log's thread: batches in the order of their numbers. No file here.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

use offhook_core::Seq;

use crate::mailbox::{Batch, lock};

/// Shared by the sequencer and the log's thread.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    batches: Vec<(Seq, Batch)>,
    /// The thread has nothing to do and must be woken.
    asleep: bool,
    closed: bool,
}

/// What the thread found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Taken {
    /// Batches, or nothing for as long as it was asked to wait.
    Batches,
    /// No more will come.
    Closed,
}

impl Queue {
    /// Puts a batch in; batches come in the order of their numbers. `true`: the thread must be woken.
    pub(crate) fn put(&self, first: Seq, batch: Batch) -> bool {
        let mut waiting = lock(&self.waiting);
        waiting.batches.push((first, batch));
        std::mem::take(&mut waiting.asleep)
    }

    /// Wakes the thread.
    pub(crate) fn wake(&self) {
        self.more.notify_one();
    }

    /// No more batches will come.
    pub(crate) fn close(&self) {
        lock(&self.waiting).closed = true;
        self.wake();
    }

    /// Takes what is there, without waiting.
    pub(crate) fn take(&self, batches: &mut Vec<(Seq, Batch)>) {
        std::mem::swap(&mut lock(&self.waiting).batches, batches);
    }

    /// Takes what is there; if that is nothing, waits for it.
    pub(crate) fn wait(&self, at_most: Duration, batches: &mut Vec<(Seq, Batch)>) -> Taken {
        let mut waiting = lock(&self.waiting);
        if waiting.batches.is_empty() && !waiting.closed {
            waiting.asleep = true;
            waiting = self
                .more
                .wait_timeout_while(waiting, at_most, |waiting| waiting.batches.is_empty() && !waiting.closed)
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .0;
            waiting.asleep = false;
        }
        std::mem::swap(&mut waiting.batches, batches);
        if waiting.closed && batches.is_empty() { Taken::Closed } else { Taken::Batches }
    }
}
