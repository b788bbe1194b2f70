//! What the log tells the engine: records, one after the other, and whether it has room.

use std::sync::Arc;

use super::Engine;
use crate::ground::id::Seq;
use crate::ground::time::Now;
use crate::log::record::{Actor, Body, Record};
use crate::wire::Fault;

/// What is said while the log has no room.
pub(super) const NO_ROOM: Fault = Fault { status: 503, reason: "the log has no room" };

/// The seconds after which a try may be worth it.
pub(super) const RETRY_S: &str = "5";

impl Engine {
    /// A record from the log, in its order.
    pub fn receive_record(&mut self, now: Now, seq: Seq, record: &Arc<Record>) {
        self.hub.set_now(now);
        assert!(seq > self.hub.applied, "records come in the order of the log, each once");
        self.hub.applied = seq;
        match &record.body {
            Body::Event(event) => {
                let first = self.hub.repeats.record(event, seq, self.hub.config.limits.dedup_events);
                if first == seq {
                    for dialect in &mut self.dialects {
                        dialect.publish(&mut self.hub, seq, record, event);
                    }
                }
                self.accepted(record, &event.id, first, first != seq);
            }
            Body::Repeat { first, id } => self.accepted(record, id, *first, true),
            Body::Change(name, change) => {
                if let Some(at) = self.dialects.iter().position(|d| d.name() == *name) {
                    self.hub.speaker = at as u8;
                    self.dialects[at].change(&mut self.hub, record, change);
                }
            }
            Body::Epoch { epoch, ended } => {
                self.hub.begin_epoch(*epoch, *ended);
                if *ended == seq {
                    // It stands for all that the log has forgotten: whoever asks for that must be told.
                    self.hub.begin_after(seq);
                }
                for dialect in &mut self.dialects {
                    dialect.restarted(&mut self.hub, record);
                }
            }
            Body::Carried { part, change, .. } => {
                if self.hub.recovering
                    && let Some(dialect) = self.dialects.iter_mut().find(|d| d.name() == *part)
                {
                    dialect.carried(&mut self.hub, record, change, false);
                }
            }
            Body::Retire { through } => self.retire(*through),
            Body::Retired { .. } => {}
        }
        if self.hub.full {
            // It was appended just before the engine heard that there is no room.
            self.refuse_undurable();
        }
        self.settle();
    }

    /// Says again what is live and stands at or before `through`. What a start leads to comes first: before that a dialect
    /// may not know what is live.
    pub(super) fn retire(&mut self, through: Seq) {
        if !self.started {
            self.retires = Some(through);
            return;
        }
        self.hub.carrying = Some(through);
        for dialect in &mut self.dialects {
            dialect.restate(&mut self.hub, through);
        }
        self.hub.carrying = None;
        let body = Body::Retired { through, shard: self.hub.place.shard };
        self.hub.append(Actor::Server("log"), None, true, false, body);
    }

    /// Tells the publisher, if it is one of this engine's.
    fn accepted(&mut self, record: &Record, id: &str, seq: Seq, repeated: bool) {
        if !self.hub.is_own(record) {
            return;
        }
        self.hub.stats.events_accepted += u64::from(!repeated);
        self.hub.stats.events_repeated += u64::from(repeated);
        for (dialect, at) in self.dialects.iter_mut().zip(0..) {
            self.hub.speaker = at;
            dialect.published(&mut self.hub, seq, record, id);
        }
    }

    /// A record that the log held when the server started, in its order, before anything else happens. State is made of
    /// it; nobody acts. [`crate::Completion::Recovered`] follows the last one.
    pub fn recover(&mut self, now: Now, seq: Seq, record: &Arc<Record>) {
        self.hub.recovering = true;
        self.receive_record(now, seq, record);
        self.hub.set_durable(seq);
        self.hub.recovering = false;
    }

    /// State that was carried over the beginning of what the log still holds, before all records but the one that says
    /// which epoch that beginning is of.
    pub fn carry(&mut self, now: Now, record: &Record) {
        self.hub.set_now(now);
        self.hub.recovering = true;
        if let Body::Carried { part, change, .. } = &record.body
            && let Some(dialect) = self.dialects.iter_mut().find(|d| d.name() == *part)
        {
            dialect.carried(&mut self.hub, record, change, true);
        }
        self.hub.recovering = false;
        self.settle();
    }

    /// While the log has no room, what waits for durability would wait for long: it is refused, and its sender may try
    /// again. A record that is written later all the same is recognised by its id.
    pub(super) fn set_full(&mut self, full: bool) {
        self.hub.full = full;
        if full {
            self.refuse_undurable();
        }
    }

    fn refuse_undurable(&mut self) {
        for (conn, request, speaker) in self.hub.take_undurable() {
            let reply = self.dialects[usize::from(speaker)].refusal("", NO_ROOM).with("Retry-After", RETRY_S);
            self.hub.reply(conn, request, reply);
        }
    }
}
