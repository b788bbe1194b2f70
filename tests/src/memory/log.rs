//! The log in memory: an order, and a queue of records to each engine. A test may hold a queue back, and durability.

use std::collections::VecDeque;
use std::sync::Arc;

use offhook_core::log::record::{Actor, Body, Header, Origin, Record, VERSION};
use offhook_core::{Seq, Wall};

/// A record on its way to an engine.
pub type Numbered = (Seq, Arc<Record>);

/// The one order, and who has read how far.
#[derive(Debug)]
pub struct Log {
    last: Seq,
    /// What a restart finds, and readers of old records: everything that is kept, from `start` on.
    kept: Vec<Numbered>,
    start: Seq,
    queues: Vec<Queue>,
    durability_held: bool,
    durable: Seq,
}

#[derive(Debug, Default)]
struct Queue {
    records: VecDeque<Numbered>,
    held: bool,
    /// The last record that this engine appended, and whether it knows that it is durable.
    appended: Seq,
    told: Seq,
}

impl Log {
    /// An empty log that `engines` read.
    #[must_use]
    pub fn new(engines: usize) -> Log {
        let queues = (0..engines).map(|_| Queue::default()).collect();
        Log { last: Seq(0), kept: Vec::new(), start: Seq(1), queues, durability_held: false, durable: Seq(0) }
    }

    /// Numbers records and puts them into the queue of every engine, that of `by` included.
    pub fn append(&mut self, by: usize, records: Vec<Record>) {
        for record in records {
            self.last = self.last.next();
            let record = Arc::new(record);
            if record.header.kept {
                self.kept.push((self.last, Arc::clone(&record)));
            }
            for queue in &mut self.queues {
                queue.records.push_back((self.last, Arc::clone(&record)));
            }
        }
        self.queues[by].appended = self.last;
        if !self.durability_held {
            self.durable = self.last;
        }
    }

    /// Kept and durable records from one on, at most so many, and the number of the oldest that is there.
    #[must_use]
    pub fn read(&self, from: Seq, most: usize) -> (Seq, Vec<Numbered>) {
        let durable = self.kept.partition_point(|(seq, _)| *seq <= self.durable);
        let first = self.kept.partition_point(|(seq, _)| *seq < from).min(durable);
        (self.start, self.kept[first..durable].iter().take(most).cloned().collect())
    }

    /// The last record that was let go.
    #[must_use]
    pub fn before(&self) -> Seq {
        Seq(self.start.0 - 1)
    }

    /// Lets go of records before this one, as retention does.
    pub fn drop_before(&mut self, seq: Seq) {
        self.start = seq;
        self.kept.retain(|(at, _)| *at >= seq);
    }

    /// The server is killed: what was not durable is gone, and so is all that was on its way. Gives what is left.
    pub fn crash(&mut self) -> Vec<Numbered> {
        let durable = self.durable;
        self.kept.retain(|(at, _)| *at <= durable);
        self.last = durable;
        self.queues.iter_mut().for_each(|queue| *queue = Queue::default());
        self.kept.clone()
    }

    /// The next record for an engine, unless its queue is held back.
    pub fn next_for(&mut self, engine: usize) -> Option<Numbered> {
        let queue = &mut self.queues[engine];
        if queue.held { None } else { queue.records.pop_front() }
    }

    /// The next record for an engine that must have read everything.
    pub fn demand_for(&mut self, engine: usize) -> Option<Numbered> {
        self.queues[engine].records.pop_front()
    }

    /// What an engine has to be told of durability.
    pub fn news_for(&mut self, engine: usize) -> Option<Seq> {
        let queue = &mut self.queues[engine];
        let known = self.durable.min(queue.appended);
        (known > queue.told).then(|| {
            queue.told = known;
            known
        })
    }

    /// Holds an engine's queue back, or lets it go.
    pub fn hold(&mut self, engine: usize, held: bool) {
        self.queues[engine].held = held;
    }

    /// Holds durability back, or makes everything durable.
    pub fn hold_durability(&mut self, held: bool) {
        self.durability_held = held;
        if !held {
            self.durable = self.last;
        }
    }

    /// Makes everything up to a record durable.
    pub fn make_durable(&mut self, seq: Seq) {
        self.durable = self.durable.max(seq.min(self.last));
    }

    /// The last record's number.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.last
    }
}

/// A record that the server itself makes.
#[must_use]
pub fn server_record(wall: Wall, body: Body) -> Record {
    let header = Header { version: VERSION, wall, actor: Actor::Server("start"), trace: None, kept: true };
    Record { header, origin: Origin::default(), body }
}
