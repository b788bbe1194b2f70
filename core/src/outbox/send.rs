//! What a destination's owner does: puts letters into requests, hears what came of them, and says so in records, one a turn
//! for each destination.

use std::sync::Arc;

use super::change::{self, Failed};
use super::lane::Lane;
use super::letters::{Entry, Letters, Stage};
use super::receiver::{Judgement, Letter, Policy};
use super::{Breaker, Destination, Outbox, id};
use crate::ground::deadline::Due;
use crate::ground::id::Seq;
use crate::ground::rng::Rng;
use crate::ground::time::{Mono, Now, Wall};
use crate::hub::Hub;
use crate::hub::action::Level;
use crate::hub::call::{Answer, Call, CallFault, CallId, Caller};
use crate::log::record::{Actor, Body};

/// The deadline's key for the end of a turn; a destination's own is its number, which is above 1.
const END_OF_TURN: u32 = 0;
/// That for dead letters that become too old.
const DEAD_LETTERS: u32 = 1;
/// Destinations' keys are their numbers and this.
const FIRST: u32 = 1;

/// One request under way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) destination: Arc<str>,
    call: CallId,
    letters: Vec<Seq>,
}

/// What a request's end means for its letters.
enum Verdict {
    Done,
    Retry { reason: String, after_ms: Option<u64>, throttles: bool },
    Dead { reason: String },
    Disable { reason: String },
}

impl Outbox {
    /// The destination has something to do at the end of this turn.
    pub(super) fn touch(&mut self, hub: &mut Hub, name: &str) {
        if let Some((name, _)) = self.destinations.get_key_value(name).filter(|(_, d)| d.lane.is_some()) {
            self.busy.insert(Arc::clone(name));
            self.end_turn_later(hub);
        }
    }

    /// A deadline that is due at once comes after all inputs of this turn, and before its actions.
    pub(super) fn end_turn_later(&mut self, hub: &mut Hub) {
        if !self.busy.is_empty() && !self.ending && !hub.recovering {
            self.ending = true;
            hub.deadlines.arm(hub.now.mono, Due::Dialect(self.place, END_OF_TURN));
        }
    }

    pub(super) fn wake_for_dead(&mut self, hub: &mut Hub, in_ms: u64) {
        let at = hub.now.mono.plus_ms(in_ms.saturating_add(1));
        if at < self.dead_armed {
            self.dead_armed = at;
            hub.deadlines.arm(at, Due::Dialect(self.place, DEAD_LETTERS));
        }
    }

    /// A deadline of its own has come.
    pub fn handle_timeout(&mut self, hub: &mut Hub, key: u32, at: Mono) {
        match key {
            END_OF_TURN => {
                self.ending = false;
                for name in std::mem::take(&mut self.busy) {
                    self.pump(hub, &name);
                }
            }
            DEAD_LETTERS => {
                if self.dead_armed == at {
                    self.dead_armed = Mono::NEVER;
                    self.bound_dead(hub);
                }
            }
            _ => {
                let Some(name) = self.numbers.get(&(key - FIRST)).cloned() else { return };
                let lane = self.destinations.get_mut(&name).and_then(|d| d.lane.as_mut());
                if let Some(lane) = lane.filter(|lane| lane.armed == at) {
                    lane.armed = Mono::NEVER;
                    self.pump(hub, &name);
                }
            }
        }
    }

    /// What came of a request.
    pub fn answered(&mut self, hub: &mut Hub, key: u64, result: Result<Answer, CallFault>) {
        let Some(flight) = self.flights.remove(&key) else { return };
        let Some(destination) = self.destinations.get_mut(&flight.destination) else { return };
        let (Some(lane), Ok(receiver)) = (&mut destination.lane, &destination.receiver) else { return };
        lane.under_way = lane.under_way.saturating_sub(1);
        if let Err(CallFault::NoRoom) = &result {
            // Not the receiver's fault, and not an attempt.
            lane.throttled = lane.throttled.max(hub.now.mono.plus_ms(hub.config.limits.outbox_no_room_ms));
            for seq in flight.letters.iter().rev() {
                lane.put_back(&mut destination.letters, *seq);
            }
            return self.touch(hub, &flight.destination);
        }
        let verdict = match &result {
            Err(fault) => Verdict::Retry { reason: fault.to_string(), after_ms: None, throttles: false },
            Ok(answer) => match receiver.judge(answer) {
                Judgement::Done => Verdict::Done,
                Judgement::Retry { reason, after_ms } => {
                    Verdict::Retry { reason, after_ms, throttles: matches!(answer.status, 429 | 503) }
                }
                Judgement::Dead { reason } => Verdict::Dead { reason },
                Judgement::Disable { reason } => Verdict::Disable { reason },
            },
        };
        let opened =
            destination.judge(hub.now, &mut hub.rng, hub.config.limits.outbox_breaker_ms, &flight, verdict);
        if let Some(reason) = opened {
            let text =
                format!("outbox: {} failed ten times in a row and rests: {reason}", flight.destination);
            hub.note(Level::Warn, text);
        }
        self.busy.insert(flight.destination);
        self.end_turn_later(hub);
    }

    /// Nothing of a destination is under way any more.
    pub(super) fn cancel(&mut self, hub: &mut Hub, name: &str) {
        let mut calls = Vec::new();
        self.flights.retain(|_, flight| {
            let stays = *flight.destination != *name;
            if !stays {
                calls.push(flight.call);
            }
            stays
        });
        calls.sort();
        calls.into_iter().for_each(|call| hub.cancel(call));
    }

    /// Gives up what is too old or too much, sends what can go, and says what came of the rest.
    fn pump(&mut self, hub: &mut Hub, name: &Arc<str>) {
        let Outbox { destinations, flights, next_flight, place, .. } = self;
        let Some(destination) = destinations.get_mut(name) else { return };
        let Destination { lane: Some(lane), receiver, letters, failing, number, last_reason, .. } =
            destination
        else {
            return;
        };
        let now = hub.now;
        if let Ok(receiver) = receiver {
            let policy = receiver.policy();
            let step = hub.config.limits.outbox_step_letters as usize;
            let old = give_up_old(lane, letters, failing, policy, last_reason, now.wall, step);
            give_up_excess(lane, letters, failing, policy);
            lane.wake(letters, now.mono);
            let mut wake = if old { now.mono.plus_ms(1) } else { Mono::NEVER };
            while !hub.stopping && lane.has_ready() {
                if let Some(until) = lane.closed_until(policy, now.mono) {
                    wake = wake.min(until);
                    break;
                }
                if !lane.has_room(policy) {
                    break;
                }
                let batch = take_batch(lane, letters, failing, policy, now.wall);
                if batch.is_empty() {
                    continue;
                }
                let call = {
                    let letter = |seq: &Seq| {
                        let entry = letters.get(*seq)?;
                        let attempts = failing.get(seq).map_or(0, |f| f.attempts);
                        let id = id::delivery(name, *seq, &entry.event);
                        Some(Letter { id, seq: *seq, event: &entry.event, attempts })
                    };
                    let carried: Vec<Letter<'_>> = batch.iter().filter_map(letter).collect();
                    *next_flight += 1;
                    Call {
                        target: Arc::clone(receiver.target()),
                        request: receiver.request(&carried, now.wall, &hub.vocabulary),
                        connect_ms: policy.connect_ms,
                        first_byte_ms: policy.first_byte_ms,
                        total_ms: policy.total_ms,
                        content_max: hub.config.limits.outbox_answer_bytes,
                        caller: Caller { dialect: *place, key: *next_flight },
                    }
                };
                lane.departed(policy);
                let call = hub.call(call);
                flights.insert(*next_flight, Flight { destination: Arc::clone(name), call, letters: batch });
            }
            wake = wake.min(lane.next_waiting().unwrap_or(Mono::NEVER));
            let oldest = letters.iter().find(|e| !matches!(e.stage, Stage::UnderWay | Stage::Settled));
            if let Some(oldest) = oldest {
                wake =
                    wake.min(now.mono.plus_ms(last_moment(oldest, policy).since(now.wall).saturating_add(1)));
            }
            if wake < lane.armed {
                lane.armed = wake;
                hub.deadlines.arm(wake, Due::Dialect(*place, *number + FIRST));
            }
        }
        if !lane.outcomes.is_empty() {
            let body = Body::Change(change::PART, lane.outcomes.encode());
            let outcomes = &mut lane.outcomes;
            outcomes.done.clear();
            outcomes.failed.clear();
            outcomes.dead.clear();
            outcomes.disabled = None;
            hub.append(Actor::Server(change::PART), None, true, true, body);
        }
    }
}

impl Destination {
    /// Notes what a request's end means for each of its letters. The reason, if this opens the breaker.
    fn judge(
        &mut self,
        now: Now,
        rng: &mut Rng,
        breaker_ms: u64,
        flight: &Flight,
        verdict: Verdict,
    ) -> Option<String> {
        let (Some(lane), Ok(receiver)) = (&mut self.lane, &self.receiver) else { return None };
        let (letters, policy) = (&mut self.letters, receiver.policy());
        let attempts_of = |seq: Seq| self.failing.get(&seq).map_or(0, |f| f.attempts).saturating_add(1);
        match verdict {
            Verdict::Done => {
                lane.succeeded();
                for seq in &flight.letters {
                    lane.settle(letters, *seq);
                    lane.outcomes.done.push(*seq);
                }
                None
            }
            Verdict::Dead { reason } => {
                lane.succeeded();
                for seq in &flight.letters {
                    give_up(lane, letters, *seq, attempts_of(*seq), &reason);
                }
                None
            }
            Verdict::Disable { reason } => {
                lane.succeeded();
                for seq in &flight.letters {
                    give_up(lane, letters, *seq, attempts_of(*seq), &reason);
                }
                // Nothing goes until the record is applied, which ends all that waits.
                lane.throttled = Mono::NEVER;
                lane.outcomes.disabled = Some(reason.into());
                None
            }
            Verdict::Retry { reason, after_ms, throttles } => {
                let mut before: Option<Seq> = None;
                for seq in &flight.letters {
                    let attempts = attempts_of(*seq);
                    let Some(entry) = letters.get_mut(*seq) else { continue };
                    let delay_ms = match after_ms {
                        Some(ms) => ms.min(policy.cap_ms),
                        None => delay_ms(policy, attempts, rng),
                    };
                    let due = Wall(now.wall.0.saturating_add(delay_ms));
                    let last = last_moment(entry, policy);
                    let follows = before.is_some_and(|b| letters.get(b).is_some_and(|b| b.behind == *seq));
                    if throttles {
                        lane.throttled = lane.throttled.max(now.mono.plus_ms(delay_ms));
                    }
                    if due > last {
                        lane.block(letters, *seq, follows);
                        give_up(lane, letters, *seq, attempts, &reason);
                        continue;
                    }
                    lane.fail(letters, *seq, now.mono.plus_ms(delay_ms), follows);
                    let reason = reason.as_str().into();
                    lane.outcomes.failed.push(Failed { seq: *seq, attempts, due, reason });
                    before = Some(*seq);
                }
                let spread = breaker_ms / 5;
                let rest_ms = breaker_ms - spread / 2 + rng.below(spread.max(1));
                let opened = !throttles && lane.stumbled(now.mono.plus_ms(rest_ms));
                opened.then_some(reason)
            }
        }
    }
}

/// A letter is dead, as soon as a record says so.
fn give_up(lane: &mut Lane, letters: &mut Letters, seq: Seq, attempts: u32, reason: &str) {
    lane.settle(letters, seq);
    lane.outcomes.dead.push(Failed { seq, attempts, due: Wall(0), reason: reason.into() });
}

type Failings = std::collections::BTreeMap<Seq, super::Failing>;

/// Takes letters for one request: the next that can go, and as far as there is room those behind it and others.
fn take_batch(
    lane: &mut Lane,
    letters: &mut Letters,
    failing: &Failings,
    policy: &Policy,
    wall: Wall,
) -> Vec<Seq> {
    // One letter finds out whether a receiver works again.
    let most = if lane.breaker == Breaker::HalfOpen { 1 } else { policy.batch_max.max(1) as usize };
    let mut batch = Vec::with_capacity(most.min(16));
    while batch.len() < most {
        let Some(first) = lane.next(letters) else { break };
        let mut next = first;
        while batch.len() < most
            && let Some(entry) = letters.get_mut(next)
        {
            if last_moment(entry, policy) < wall {
                let (attempts, reason) = late(failing.get(&next), entry, policy, "");
                lane.block(letters, next, next != first);
                give_up(lane, letters, next, attempts, &reason);
                break;
            }
            entry.stage = Stage::UnderWay;
            batch.push(next);
            next = entry.behind;
        }
    }
    batch
}

/// How many attempts a letter had that is too old, and what is said of it.
fn late(failing: Option<&super::Failing>, entry: &Entry, policy: &Policy, of_all: &str) -> (u32, String) {
    let (attempts, reason) = failing.map_or((0, of_all), |f| (f.attempts, &*f.reason));
    let by_age = last_by_age(entry, policy) <= last_by_patience(entry, policy);
    let rule = if by_age { "max_age" } else { "give_up_after" };
    let colon = if reason.is_empty() { "" } else { ": " };
    (attempts, format!("not delivered within {rule}{colon}{reason}"))
}

/// Gives up the oldest letters whose time is over, `step` at a time; true: there may be more.
fn give_up_old(
    lane: &mut Lane,
    letters: &mut Letters,
    failing: &Failings,
    policy: &Policy,
    last_reason: &str,
    wall: Wall,
    step: usize,
) -> bool {
    let held = |entry: &Entry| matches!(entry.stage, Stage::UnderWay | Stage::Settled);
    let old: Vec<(Seq, u32, String)> = letters
        .iter()
        .take_while(|entry| held(entry) || last_moment(entry, policy) < wall)
        .filter(|entry| !held(entry))
        .take(step)
        .map(|entry| {
            let (attempts, reason) = late(failing.get(&entry.seq), entry, policy, last_reason);
            (entry.seq, attempts, reason)
        })
        .collect();
    let more = old.len() == step;
    for (seq, attempts, reason) in old {
        give_up(lane, letters, seq, attempts, &reason);
    }
    more
}

/// Gives up the oldest letters beyond the destination's own bound.
fn give_up_excess(lane: &mut Lane, letters: &mut Letters, failing: &Failings, policy: &Policy) {
    let Some(most) = policy.pending_max else { return };
    let waiting = letters.len() - lane.settled;
    let excess = waiting.saturating_sub(usize::try_from(most).unwrap_or(usize::MAX));
    if excess == 0 {
        return;
    }
    let oldest = letters.iter().filter(|e| !matches!(e.stage, Stage::UnderWay | Stage::Settled)).take(excess);
    let oldest: Vec<Seq> = oldest.map(|entry| entry.seq).collect();
    let reason = format!("more than {most} were waiting, and this was the oldest");
    for seq in oldest {
        give_up(lane, letters, seq, failing.get(&seq).map_or(0, |f| f.attempts), &reason);
    }
}

/// After this a letter is not sent.
fn last_moment(entry: &Entry, policy: &Policy) -> Wall {
    last_by_patience(entry, policy).min(last_by_age(entry, policy))
}

fn last_by_patience(entry: &Entry, policy: &Policy) -> Wall {
    Wall(entry.since.0.saturating_add(policy.give_up_after_ms))
}

/// An event's age counts from its own time; whoever sends a dead letter again wants it to arrive now.
fn last_by_age(entry: &Entry, policy: &Policy) -> Wall {
    let Some(max_age_ms) = policy.max_age_ms else { return Wall(u64::MAX) };
    let born = if entry.redriven { entry.since } else { entry.event.wall };
    Wall(born.0.saturating_add(max_age_ms))
}

/// How long to wait after so many attempts.
pub(super) fn delay_ms(policy: &Policy, attempts: u32, rng: &mut Rng) -> u64 {
    let exponent = i32::try_from(attempts.saturating_sub(1)).unwrap_or(i32::MAX);
    let plain = (policy.first_ms as f64 * policy.factor.powi(exponent)).min(policy.cap_ms as f64);
    // A whole number of parts in a thousand keeps the result the same on every machine.
    let part = rng.below(2_001) as f64 / 1_000.0 - 1.0;
    (plain * (1.0 + policy.jitter * part)).max(1.0) as u64
}
