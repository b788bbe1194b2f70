//! What one shard's loop finds when it is woken: records of the log and the host's wishes, in their order. No engine
//! is touched here; [`crate::port::Port`] feeds it.
//!
//! A mailbox has no bound of its own: the loop empties it in every turn, so it holds what the other shards append
//! during one turn.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use offhook_core::log::record::Record;
use offhook_core::{Completion, Seq};

use crate::report::Collection;

/// One thing that waits for a shard.
#[derive(Debug)]
pub(crate) enum Mail {
    /// A batch of the log: the first record's number, and the records, which are numbered in one run.
    Records(Seq, Batch),
    /// For the engine.
    Completion(Completion),
    /// Somebody writes the metrics: put a fresh copy of the engine's counters into the shared slot.
    Collect(Arc<Collection>),
}

/// Records that were appended together; every shard reads the same ones.
pub(crate) type Batch = Arc<[Arc<Record>]>;

/// One shard's queue, its flag and its bell.
#[derive(Default)]
pub(crate) struct Mailbox {
    queue: Mutex<Queue>,
    /// Whether the queue holds anything; written under the queue's lock alone.
    has_mail: AtomicBool,
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

#[derive(Debug, Default)]
struct Queue {
    mail: VecDeque<Mail>,
    /// The shard has ended and will read nothing more.
    closed: bool,
}

impl Mailbox {
    /// Puts `mail` in. `Ok(true)` asks the caller to [`Mailbox::wake`] the shard: nothing was waiting, so nobody has.
    /// `Err` gives the mail back when the shard has ended.
    pub(crate) fn put(&self, mail: Mail) -> Result<bool, Mail> {
        let mut queue = self.lock();
        if queue.closed {
            return Err(mail);
        }
        queue.mail.push_back(mail);
        Ok(!self.has_mail.swap(true, Ordering::Release))
    }

    /// Puts `mail` in and wakes the shard.
    pub(crate) fn post(&self, mail: Mail) -> Result<(), Mail> {
        if self.put(mail)? {
            self.wake();
        }
        Ok(())
    }

    /// Rings the bell. Before [`Mailbox::on_mail`] has hung one there is nothing to ring; it then looks for itself.
    pub(crate) fn wake(&self) {
        if let Some(wake) = self.wake.get() {
            wake();
        }
    }

    /// Hangs the bell, and rings it at once if mail was there before.
    pub(crate) fn on_mail(&self, wake: Box<dyn Fn() + Send + Sync>) {
        assert!(self.wake.set(wake).is_ok(), "a shard has one loop, and a loop asks for its mail once");
        // The lock orders this look after a `put` that found no bell.
        let waiting = !self.lock().mail.is_empty();
        if waiting {
            self.wake();
        }
    }

    pub(crate) fn has_mail(&self) -> bool {
        self.has_mail.load(Ordering::Acquire)
    }

    /// Swaps all that waits against `empty`, so that the engine is fed without the lock and both queues keep their
    /// room.
    pub(crate) fn take(&self, empty: &mut VecDeque<Mail>) {
        debug_assert!(empty.is_empty(), "mail that was taken is applied before more is taken");
        if self.has_mail() {
            let mut queue = self.lock();
            std::mem::swap(&mut queue.mail, empty);
            self.has_mail.store(false, Ordering::Release);
        }
    }

    /// The shard has ended. Gives what it has not read; later mail is refused.
    pub(crate) fn close(&self) -> VecDeque<Mail> {
        let mut queue = self.lock();
        queue.closed = true;
        self.has_mail.store(false, Ordering::Release);
        std::mem::take(&mut queue.mail)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }
}

/// Locks, also after a shard panicked with the lock held: what is behind our locks is whole at every step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("has_mail", &self.has_mail()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn stop() -> Mail {
        Mail::Completion(Completion::Stop)
    }

    fn counting(mailbox: &Mailbox) -> Arc<AtomicUsize> {
        let rings = Arc::new(AtomicUsize::new(0));
        let bell = Arc::clone(&rings);
        mailbox.on_mail(Box::new(move || {
            bell.fetch_add(1, Ordering::SeqCst);
        }));
        rings
    }

    #[test]
    fn the_bell_rings_once_until_the_mail_is_taken() {
        let mailbox = Mailbox::default();
        let rings = counting(&mailbox);
        assert_eq!((rings.load(Ordering::SeqCst), mailbox.has_mail()), (0, false));
        for _ in 0..3 {
            mailbox.post(stop()).unwrap();
        }
        assert_eq!((rings.load(Ordering::SeqCst), mailbox.has_mail()), (1, true));
        let mut taken = VecDeque::new();
        mailbox.take(&mut taken);
        assert_eq!((taken.len(), mailbox.has_mail()), (3, false));
        mailbox.post(stop()).unwrap();
        assert_eq!(rings.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn mail_from_before_the_bell_rings_it() {
        let mailbox = Mailbox::default();
        mailbox.post(stop()).unwrap();
        assert_eq!(counting(&mailbox).load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_closed_mailbox_gives_mail_back() {
        let mailbox = Mailbox::default();
        mailbox.post(stop()).unwrap();
        assert_eq!(mailbox.close().len(), 1);
        assert!(matches!(mailbox.post(stop()), Err(Mail::Completion(Completion::Stop))));
        assert!(!mailbox.has_mail());
    }
}
