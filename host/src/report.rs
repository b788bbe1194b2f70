//! How the counters of all shards come together in one document. No counter is shared while it counts: every engine
//! has its own, and copies them when asked.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use offhook_core::ground::stats::Stats;

use crate::mailbox::lock;
use crate::metrics;

/// The last copy of every shard's counters. A shard that has ended counts as its last copy.
#[derive(Debug)]
pub(crate) struct Snapshots {
    slots: Box<[Mutex<Stats>]>,
    runtime: &'static str,
}

impl Snapshots {
    pub(crate) fn new(shards: usize, runtime: &'static str) -> Snapshots {
        Snapshots { slots: (0..shards).map(|_| Mutex::default()).collect(), runtime }
    }

    /// A fresh copy of one shard's counters.
    pub(crate) fn put(&self, shard: usize, stats: Stats) {
        *lock(&self.slots[shard]) = stats;
    }

    /// The document of the latest copies.
    pub(crate) fn document(&self) -> Vec<u8> {
        let mut sum = Stats::default();
        for slot in &self.slots {
            sum.merge(&lock(slot));
        }
        metrics::document(sum, self.runtime, self.slots.len()).into_bytes()
    }
}

/// One request for the metrics, on its way through the shards.
#[derive(Debug)]
pub(crate) struct Collection {
    /// The shard that asked.
    pub(crate) asker: usize,
    /// Its engine's ticket.
    pub(crate) ticket: u64,
    missing: AtomicUsize,
}

impl Collection {
    pub(crate) fn new(asker: usize, ticket: u64, shards: usize) -> Collection {
        Collection { asker, ticket, missing: AtomicUsize::new(shards) }
    }

    /// One more shard has put its copy. `true` for the last one.
    pub(crate) fn answered(&self) -> bool {
        self.missing.fetch_sub(1, Ordering::AcqRel) == 1
    }
}
