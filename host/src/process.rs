//! What the shards of this process share: the log's order, the counters' last copies, and whether a stop was asked.
//! Nothing here belongs to one shard; what does is in [`crate::port::Port`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use offhook_core::{Completion, Config};

use crate::audit::AuditLog;
use crate::checker::Checker;
use crate::log::reader::Reader;
use crate::mailbox::{Mail, Mailbox};
use crate::report::{Collection, Snapshots};
use crate::resolve::Resolver;
use crate::sequencer::Sequencer;

/// Shared by all shards, the thread of the signals, and the main thread.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) log: Sequencer,
    /// Reads records back; nobody does if nothing is kept.
    pub(crate) reader: OnceLock<Reader>,
    pub(crate) snapshots: Snapshots,
    pub(crate) resolver: Resolver,
    pub(crate) checker: Checker,
    pub(crate) audit: AuditLog,
    stopping: AtomicBool,
}

impl Process {
    pub(crate) fn new(shards: usize, runtime: &'static str) -> Process {
        Process {
            log: Sequencer::new(shards),
            reader: OnceLock::new(),
            snapshots: Snapshots::new(shards, runtime),
            resolver: Resolver::default(),
            checker: Checker::default(),
            audit: AuditLog::default(),
            stopping: AtomicBool::new(false),
        }
    }

    pub(crate) fn mailbox(&self, shard: usize) -> &Mailbox {
        &self.log.mailboxes()[shard]
    }

    pub(crate) fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Asks every shard to drain. `false` if that was asked before.
    pub(crate) fn stop(&self) -> bool {
        let first = !self.stopping.swap(true, Ordering::AcqRel);
        if first {
            self.tell_all(|| Completion::Stop);
        }
        first
    }

    /// Gives every shard the new configuration.
    pub(crate) fn reloaded(&self, config: &Config) {
        self.tell_all(|| Completion::Reloaded(Box::new(config.clone())));
    }

    /// One shard has put its copy of the counters, or has ended. The last one writes the document.
    pub(crate) fn answered(&self, collection: &Collection) {
        if collection.answered() {
            let report = Completion::Report(collection.ticket, self.snapshots.document());
            // An asker that has ended has no connection left that would want the document.
            drop(self.mailbox(collection.asker).post(Mail::Completion(report)));
        }
    }

    /// Asks all shards but the asker for a fresh copy of their counters.
    pub(crate) fn collect(&self, collection: &Arc<Collection>) {
        for (shard, mailbox) in self.log.mailboxes().iter().enumerate() {
            if shard != collection.asker && mailbox.post(Mail::Collect(Arc::clone(collection))).is_err() {
                self.answered(collection);
            }
        }
    }

    /// Tells every shard something.
    pub(crate) fn tell_all(&self, completion: impl Fn() -> Completion) {
        for mailbox in self.log.mailboxes() {
            // A shard that has ended needs to be told nothing.
            drop(mailbox.post(Mail::Completion(completion())));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use offhook_core::ground::stats::Stats;

    use super::*;

    fn take(process: &Process, shard: usize) -> VecDeque<Mail> {
        let mut mail = VecDeque::new();
        process.mailbox(shard).take(&mut mail);
        mail
    }

    /// What a shard does with its mail, with counters that a test chooses.
    fn answer(process: &Process, shard: usize, events_accepted: u64) {
        for mail in take(process, shard) {
            if let Mail::Collect(collection) = mail {
                process.snapshots.put(shard, Stats { events_accepted, ..Stats::default() });
                process.answered(&collection);
            }
        }
    }

    fn report(process: &Process, shard: usize) -> Option<(u64, String)> {
        take(process, shard).into_iter().find_map(|mail| match mail {
            Mail::Completion(Completion::Report(ticket, document)) => {
                Some((ticket, String::from_utf8(document).unwrap()))
            }
            Mail::Completion(_) | Mail::Records(..) | Mail::Collect(_) => None,
        })
    }

    #[test]
    fn the_report_comes_when_all_have_answered_and_goes_to_the_asker() {
        let process = Process::new(3, "mio");
        let collection = Arc::new(Collection::new(1, 7, 3));
        process.collect(&collection);
        answer(&process, 0, 100);
        process.snapshots.put(1, Stats { events_accepted: 20, ..Stats::default() });
        process.answered(&collection);
        assert_eq!(report(&process, 1), None);
        answer(&process, 2, 3);
        let (ticket, document) = report(&process, 1).unwrap();
        assert_eq!(ticket, 7);
        assert!(document.contains("\noffhook_events_accepted_total 123\n"), "{document}");
        assert!(!process.mailbox(0).has_mail() && !process.mailbox(2).has_mail());
    }

    #[test]
    fn a_shard_that_has_ended_counts_as_its_last_copy() {
        let process = Process::new(2, "mio");
        process.snapshots.put(1, Stats { events_accepted: 5, ..Stats::default() });
        process.mailbox(1).close();
        let collection = Arc::new(Collection::new(0, 1, 2));
        process.collect(&collection);
        process.answered(&collection);
        assert!(report(&process, 0).unwrap().1.contains("\noffhook_events_accepted_total 5\n"));
    }

    #[test]
    fn a_stop_is_said_once() {
        let process = Process::new(2, "mio");
        assert!(!process.stopping());
        assert!(process.stop() && !process.stop() && process.stopping());
        for shard in 0..2 {
            let mail = take(&process, shard);
            assert!(
                matches!(mail.iter().next(), Some(Mail::Completion(Completion::Stop))) && mail.len() == 1
            );
        }
    }
}
