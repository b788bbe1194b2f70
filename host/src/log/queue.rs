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
    /// In order, the oldest first; the thread takes none of them before they are let go.
    gathering: Vec<(Seq, Batch)>,
    /// Let go.
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

impl Waiting {
    fn let_go(&mut self) {
        if self.batches.is_empty() {
            std::mem::swap(&mut self.batches, &mut self.gathering);
        } else {
            self.batches.append(&mut self.gathering);
        }
    }
}

impl Queue {
    /// Puts a batch in; batches come in the order of their numbers. The thread gets it with [`Queue::let_go`].
    pub(crate) fn put(&self, first: Seq, batch: Batch) {
        lock(&self.waiting).gathering.push((first, batch));
    }

    /// Lets go of all that has gathered, whoever put it in, and wakes the thread if it sleeps.
    pub(crate) fn let_go(&self) {
        let mut waiting = lock(&self.waiting);
        waiting.let_go();
        let asleep = !waiting.batches.is_empty() && std::mem::take(&mut waiting.asleep);
        drop(waiting);
        if asleep {
            self.more.notify_one();
        }
    }

    /// No more batches will come.
    pub(crate) fn close(&self) {
        let mut waiting = lock(&self.waiting);
        waiting.let_go();
        waiting.closed = true;
        drop(waiting);
        self.more.notify_one();
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
