//! The log's order. Without a data folder that is all there is of the log: records live as long as an engine holds them.
//! With one, each batch also goes to the log's thread ([`crate::log`]), in the same order.
//!
//! The sequencer is a lock held for a batch. Under it the batch gets its numbers and is put into the mailbox of every
//! other shard, so all shards read one order without a gap. The shard that appends does not mail to itself: what its
//! mailbox held came before its batch, and no other batch can come between.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock};

use offhook_core::Seq;
use offhook_core::log::record::Record;

use crate::log::queue::Queue;
use crate::mailbox::{Batch, Mail, Mailbox, lock};

/// The sequencer, and the mailboxes of the shards that read the log.
#[derive(Debug)]
pub(crate) struct Sequencer {
    next: Mutex<Seq>,
    /// Where batches go to be written; nowhere if nothing is kept.
    disk: OnceLock<Arc<Queue>>,
    mailboxes: Box<[Mailbox]>,
}

impl Sequencer {
    /// A log without records, read by `shards` engines.
    pub(crate) fn new(shards: usize) -> Sequencer {
        Sequencer {
            next: Mutex::new(Seq(1)),
            disk: OnceLock::new(),
            mailboxes: (0..shards).map(|_| Mailbox::default()).collect(),
        }
    }

    /// Goes on after the records that a folder holds, and writes there. It is said once, before the first append.
    pub(crate) fn keep(&self, last: Seq, queue: Arc<Queue>) {
        let mut next = lock(&self.next);
        assert!(*next == Seq(1) && self.disk.set(queue).is_ok(), "records are kept from the first one on");
        *next = last.next();
    }

    /// Whether records are written.
    pub(crate) fn keeps(&self) -> bool {
        self.disk.get().is_some()
    }

    pub(crate) fn mailboxes(&self) -> &[Mailbox] {
        &self.mailboxes
    }

    /// Numbers `records` and hands them to every shard but `by`. That one applies `before` first, which is filled
    /// with what its mailbox held, then the batch that is returned with its first number.
    pub(crate) fn append(
        &self,
        by: usize,
        records: Vec<Record>,
        before: &mut VecDeque<Mail>,
    ) -> (Seq, Batch) {
        self.append_by(Some(by), records, before)
    }

    /// As [`Sequencer::append`], for records that are no shard's: they come to all of them by mail.
    pub(crate) fn append_for_all(&self, records: Vec<Record>) {
        self.append_by(None, records, &mut VecDeque::new());
        self.let_go();
    }

    /// Lets the log's thread have all batches so far.
    pub(crate) fn let_go(&self) {
        if let Some(disk) = self.disk.get() {
            disk.let_go();
        }
    }

    fn append_by(
        &self,
        by: Option<usize>,
        records: Vec<Record>,
        before: &mut VecDeque<Mail>,
    ) -> (Seq, Batch) {
        let batch: Batch = records.into_iter().map(Arc::new).collect();
        let mut asleep: u64 = 0;
        let mut next = lock(&self.next);
        let first = *next;
        *next = Seq(first.0 + batch.len() as u64);
        for (shard, mailbox) in self.mailboxes.iter().enumerate() {
            if Some(shard) == by {
                mailbox.take(before);
            } else if matches!(mailbox.put(Mail::Records(first, Arc::clone(&batch))), Ok(true)) {
                asleep |= 1 << shard;
            }
        }
        if let Some(disk) = self.disk.get().filter(|_| !batch.is_empty()) {
            disk.put(first, Arc::clone(&batch));
        }
        drop(next);
        // Outside of the lock, because a wake is a system call.
        while asleep != 0 {
            self.mailboxes[asleep.trailing_zeros() as usize].wake();
            asleep &= asleep - 1;
        }
        (first, batch)
    }
}

#[cfg(test)]
mod tests {
    use offhook_core::Wall;
    use offhook_core::log::record::{Actor, Body, Header, Origin, VERSION};
    use proptest::prelude::*;

    use super::*;

    /// What one shard has read: each record's number and its content.
    type Read = Vec<(u64, Box<[u8]>)>;

    fn record(shard: usize, number: usize) -> Record {
        let header =
            Header { version: VERSION, wall: Wall(0), actor: Actor::Server("test"), trace: None, kept: true };
        let body = Body::Change("test", format!("{shard}.{number}").into_bytes().into());
        Record { header, origin: Origin::default(), body }
    }

    fn read_batch(read: &mut Read, first: Seq, batch: &Batch) {
        for (record, seq) in batch.iter().zip(first.0..) {
            let Body::Change(_, content) = &record.body else { unreachable!("the tests append changes") };
            read.push((seq, content.clone()));
        }
    }

    fn read_mail(read: &mut Read, mail: &mut VecDeque<Mail>) {
        for mail in mail.drain(..) {
            match mail {
                Mail::Records(first, batch) => read_batch(read, first, &batch),
                Mail::Completion(_) | Mail::Collect(_) => unreachable!("the tests send records"),
            }
        }
    }

    /// One shard appends batches of these sizes, and between them reads what has come, as a loop does.
    fn play(log: &Sequencer, shard: usize, batches: &[usize]) -> Read {
        let (mut read, mut mail, mut number) = (Read::new(), VecDeque::new(), 0);
        for size in batches {
            let records = (number..number + size).map(|number| record(shard, number)).collect();
            number += size;
            let (first, batch) = log.append(shard, records, &mut mail);
            read_mail(&mut read, &mut mail);
            read_batch(&mut read, first, &batch);
            if size % 2 == 0 {
                log.mailboxes()[shard].take(&mut mail);
                read_mail(&mut read, &mut mail);
            }
        }
        read
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn every_shard_reads_the_same_records_without_a_gap(
            plans in prop::collection::vec(prop::collection::vec(0_usize..6, 0..40), 1..5)
        ) {
            let log = Sequencer::new(plans.len());
            let mut reads: Vec<Read> = std::thread::scope(|scope| {
                let log = &log;
                let play = |(shard, batches)| scope.spawn(move || play(log, shard, batches));
                let threads: Vec<_> = plans.iter().map(Vec::as_slice).enumerate().map(play).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            for (shard, read) in reads.iter_mut().enumerate() {
                let mut mail = VecDeque::new();
                log.mailboxes()[shard].take(&mut mail);
                read_mail(read, &mut mail);
            }
            let total: usize = plans.iter().flatten().sum();
            let numbers: Vec<u64> = reads[0].iter().map(|(seq, _)| *seq).collect();
            prop_assert_eq!(numbers, (1..=total as u64).collect::<Vec<_>>());
            for read in &reads {
                prop_assert_eq!(read, &reads[0]);
            }
            for (shard, batches) in plans.iter().enumerate() {
                let own = format!("{shard}.");
                let own = reads[0].iter().filter(|(_, content)| content.starts_with(own.as_bytes()));
                let written = (0..batches.iter().sum()).map(|number| format!("{shard}.{number}").into_bytes());
                prop_assert!(own.map(|(_, content)| content.to_vec()).eq(written), "a shard's own order is kept");
            }
        }
    }

    #[test]
    fn a_shard_that_has_ended_keeps_nobody() {
        let log = Sequencer::new(2);
        log.mailboxes()[1].close();
        let (first, batch) = log.append(0, vec![record(0, 0), record(0, 1)], &mut VecDeque::new());
        assert_eq!((first, batch.len()), (Seq(1), 2));
        assert!(!log.mailboxes()[1].has_mail());
        assert_eq!(log.append(0, vec![record(0, 2)], &mut VecDeque::new()).0, Seq(3));
    }
}
