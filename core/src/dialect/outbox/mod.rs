//! The outbox for its operators: destinations, deliveries and dead letters as JSON under `/v1` (`read`, `render`,
//! `routes`), and the outbox itself in the engine's list, where it hears of events, changes, answers and time.
//!
//! It has no stream and no channel of its own; a listener that serves `native` serves it.

mod read;
mod render;
mod routes;

use std::sync::Arc;

use super::{Asker, Dialect, Verdict, problem, sep};
use crate::event::Event;
use crate::ground::id::{ConnId, Seq};
use crate::ground::stats::{DestinationStats, Stats};
use crate::ground::time::Mono;
use crate::hub::Hub;
use crate::hub::action::Level;
use crate::hub::call::{Answer, CallFault};
use crate::log::record::Record;
use crate::outbox::change::{Change, PART, Said};
use crate::outbox::{Applied, Breaker, Counted, Meaning, Outbox};
use crate::wire::Fault;
use crate::wire::http::head::Head;
use crate::wire::http::reply::Reply;

pub(super) use routes::claims;

/// The outbox and the requests of its operators that wait.
#[derive(Debug)]
pub struct Deliveries {
    outbox: Outbox,
    /// Requests to redrive, and how many dead letters each has left for another.
    redriving: Vec<(ConnId, u32, usize)>,
}

impl Deliveries {
    /// An outbox without destinations; `place` is that in the list of dialects.
    pub fn new(hub: &mut Hub, place: u8) -> Deliveries {
        let meaning = Meaning { settled: super::settled, receiver: super::receiver };
        Deliveries { outbox: Outbox::new(place, meaning, hub.hash_seed), redriving: Vec::new() }
    }

    /// Takes a change in, and answers who waits for it.
    fn apply(&mut self, hub: &mut Hub, record: &Record, change: Change) {
        let waiting = record.origin.request.filter(|_| hub.is_own(record));
        let name = match &change {
            Change::Put { name, .. } | Change::Enabled { name } => Some(name.clone()),
            Change::Removed { .. }
            | Change::Redriven { .. }
            | Change::Forgotten { .. }
            | Change::Carried(_) => None,
        };
        let redrives = matches!(change, Change::Redriven { .. });
        let applied = self.outbox.apply(hub, record.header.wall, change);
        let Some((conn, request)) = waiting else { return };
        let at = self.redriving.iter().position(|(c, r, _)| (*c, *r) == (conn, request));
        let more = at.map_or(0, |at| self.redriving.swap_remove(at).2);
        let named = name.as_deref().and_then(|name| self.outbox.destinations().get_key_value(name));
        let reply = match (applied, named) {
            (Applied::Created, Some((name, destination))) => {
                let path = routes::path_of(&destination.kind, name);
                render::destination(201, name, destination).with("Location", path)
            }
            (Applied::Replaced | Applied::Enabled, Some((name, destination))) => {
                render::destination(200, name, destination)
            }
            (Applied::Conflict(reason), _) => problem::problem(409, reason),
            (Applied::Letters(count, left), _) if redrives => render::redriven(count, left, more),
            (Applied::Letters(0, _) | Applied::Missing, _) => {
                problem::problem(404, "there is no such thing any more")
            }
            (Applied::Removed | Applied::Letters(..) | Applied::Nothing, _) => Reply::empty(204),
            (Applied::Created | Applied::Replaced | Applied::Enabled, None) => Reply::empty(204),
        };
        hub.reply_when_durable(conn, request, reply);
    }

    fn take_in(&mut self, hub: &mut Hub, record: &Record, change: &[u8]) {
        match Said::decode(change) {
            Some(Said::Change(change)) => self.apply(hub, record, change),
            Some(Said::Outcomes(outcomes)) => {
                let disabled = outcomes.disabled.as_ref().map(|_| outcomes.name.clone());
                self.outbox.outcomes(hub, record.header.wall, outcomes);
                if let Some(name) = disabled.filter(|_| hub.is_own(record)) {
                    sep::receiver::disabled(hub, &name);
                }
            }
            Some(Said::Carried(letter)) => self.outbox.carried_letter(hub, record.header.wall, *letter),
            None => hub.note(Level::Warn, "outbox: a record of a later version was skipped"),
        }
    }
}

impl Dialect for Deliveries {
    fn name(&self) -> &'static str {
        PART
    }

    fn served_with(&self) -> &'static str {
        "native"
    }

    fn claims(&self, _hub: &Hub, path: &str) -> bool {
        claims(path)
    }

    fn judge(&mut self, hub: &mut Hub, asker: Asker, head: &Head<'_>) -> Verdict {
        self.judge_request(hub, asker, head)
    }

    fn serve(&mut self, hub: &mut Hub, asker: Asker, head: &Head<'_>, content: &[u8]) {
        if let Some(reply) = self.serve_request(hub, asker, head, content) {
            hub.reply(asker.conn, asker.request, super::access::with_cors(hub, head, reply));
        }
    }

    fn refusal(&self, _path: &str, fault: Fault) -> Reply {
        problem::problem(fault.status, fault.reason)
    }

    fn publish(&mut self, hub: &mut Hub, seq: Seq, record: &Record, event: &Arc<Event>) {
        self.outbox.publish(hub, seq, record.header.wall, event);
    }

    fn change(&mut self, hub: &mut Hub, record: &Record, change: &[u8]) {
        self.take_in(hub, record, change);
    }

    fn started(&mut self, hub: &mut Hub) {
        self.outbox.started(hub);
        // A crash may have come between a callback's 410 and what it means.
        let own = self.outbox.destinations().iter().filter(|(_, d)| d.watched(hub.now.mono).is_some());
        let disabled = own.filter(|(_, d)| d.disabled.is_some()).map(|(name, _)| Arc::clone(name));
        for name in disabled.collect::<Vec<_>>() {
            sep::receiver::disabled(hub, &name);
        }
    }

    fn restate(&mut self, hub: &mut Hub, through: Seq) {
        self.outbox.restate(hub, through);
    }

    fn answered(&mut self, hub: &mut Hub, key: u64, result: Result<Answer, CallFault>) {
        self.outbox.answered(hub, key, result);
    }

    fn handle_timeout(&mut self, hub: &mut Hub, key: u32, at: Mono) {
        self.outbox.handle_timeout(hub, key, at);
    }

    fn reloaded(&mut self, hub: &mut Hub) {
        self.outbox.reloaded(hub);
    }

    /// What is under way may end; nothing more is sent.
    fn stop(&mut self, _hub: &mut Hub) {}

    fn stats(&self, hub: &Hub, stats: &mut Stats) {
        if hub.place.shard.0 == 0 {
            stats.dead_letters = self.outbox.dead().len() as u64;
            stats.dead_letters_forgotten = self.outbox.forgotten;
            stats.pending_bytes = self.outbox.pending_bytes();
        }
        // Those of subscriptions share a label: there may be many, and their names are ids. What is gone stays counted.
        let Counted { delivered, failed, dead } = self.outbox.removed(sep::NAME);
        if delivered + failed + dead > 0 {
            let gone = DestinationStats { delivered, failed, dead, ..DestinationStats::default() };
            stats.destinations.insert(sep::NAME.to_owned(), gone);
        }
        for (name, destination) in self.outbox.destinations() {
            let Some((counted, breaker, throttled)) = destination.watched(hub.now.mono) else { continue };
            let breaker = match breaker {
                Breaker::Closed => 0,
                Breaker::HalfOpen => 1,
                Breaker::Open(_) => 2,
            };
            let own = DestinationStats {
                delivered: counted.delivered,
                failed: counted.failed,
                dead: counted.dead,
                pending: destination.pending() as u64,
                breaker,
                throttled: u64::from(throttled),
            };
            let label = if *destination.kind == *sep::NAME { sep::NAME } else { name };
            stats.destinations.entry(label.to_owned()).or_default().merge(own);
        }
    }
}
