//! The pace of new requests towards each address: in any second no more than were allowed, those that keep or end a
//! subscription before those that begin one, each kind in its order.
//!
//! What is absent here: copies over UDP, which are no new requests, and anything for an address that rests: its lane
//! vanishes once its pace is made up for.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use super::Endpoint;
use super::deadlines::Due;
use super::request::RequestId;
use crate::ground::time::Mono;

/// How late a turn may be used, so that a timer that comes late costs no turns, and how many may go at once.
const SLACK_US: u64 = 50_000;
const SECOND_US: u64 = 1_000_000;

/// All lanes.
#[derive(Debug)]
pub(super) struct Pace {
    /// From one turn to the next; 0 is no pace.
    between_us: u64,
    lanes: BTreeMap<SocketAddr, Lane>,
}

/// Requests towards one address.
#[derive(Debug)]
struct Lane {
    /// When the next turn is, if none is used before it is due (the generic cell rate algorithm's theoretical arrival).
    turn_us: u64,
    urgent: VecDeque<RequestId>,
    others: VecDeque<RequestId>,
    armed: Mono,
}

impl Pace {
    /// With at most so many requests within any second.
    pub(super) fn new(per_s: u32) -> Pace {
        Pace { between_us: between_us(per_s), lanes: BTreeMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.lanes.len()
    }

    /// A request that may go once [`Pace::next`] says so.
    fn enter(&mut self, to: SocketAddr, request: RequestId, urgent: bool) {
        let lane = self.lanes.entry(to).or_insert_with(|| Lane {
            turn_us: 0,
            urgent: VecDeque::new(),
            others: VecDeque::new(),
            armed: Mono::NEVER,
        });
        if urgent { &mut lane.urgent } else { &mut lane.others }.push_back(request);
    }

    /// The request whose turn it is. One that is gone by now has used no turn if `is_there` says so.
    fn next(&mut self, now: Mono, to: SocketAddr, is_there: impl Fn(RequestId) -> bool) -> Option<RequestId> {
        let lane = self.lanes.get_mut(&to)?;
        let now_us = now.0.saturating_mul(1_000);
        if lane.turn_us > now_us.saturating_add(SLACK_US) {
            return None;
        }
        let request = loop {
            let request = lane.urgent.pop_front().or_else(|| lane.others.pop_front())?;
            if is_there(request) {
                break request;
            }
        };
        lane.turn_us = lane.turn_us.max(now_us).saturating_add(self.between_us);
        Some(request)
    }
}

/// From one turn to the next: a second and the slack have room for just as many turns.
fn between_us(per_s: u32) -> u64 {
    (SECOND_US + SLACK_US).checked_div(u64::from(per_s)).map_or(0, |us| us + 1)
}

impl Endpoint {
    /// Allows so many new requests within any second from here on.
    pub fn set_pace(&mut self, now: Mono, per_s: u32) {
        self.pace.between_us = between_us(per_s);
        let next_us = now.0.saturating_mul(1_000).saturating_add(self.pace.between_us);
        let lanes: Vec<SocketAddr> = self.pace.lanes.keys().copied().collect();
        for to in lanes {
            if let Some(lane) = self.pace.lanes.get_mut(&to) {
                lane.turn_us = lane.turn_us.min(next_us);
            }
            self.let_go(now, to);
        }
    }

    /// Puts a request into its lane; it may go at once.
    pub(super) fn queue(&mut self, now: Mono, to: SocketAddr, request: RequestId, urgent: bool) {
        if self.pace.between_us == 0 {
            self.attempt(now, request);
            return;
        }
        self.pace.enter(to, request, urgent);
        self.let_go(now, to);
    }

    pub(super) fn lane_due(&mut self, now: Mono, at: Mono, to: SocketAddr) {
        if let Some(lane) = self.pace.lanes.get_mut(&to).filter(|lane| lane.armed == at) {
            lane.armed = Mono::NEVER;
            self.let_go(now, to);
        }
    }

    /// Sends whatever has its turn.
    fn let_go(&mut self, now: Mono, to: SocketAddr) {
        while let Some(request) = self.pace.next(now, to, |request| self.requests.is_queued(request)) {
            self.attempt(now, request);
        }
        let Some(lane) = self.pace.lanes.get_mut(&to) else { return };
        let is_empty = lane.urgent.is_empty() && lane.others.is_empty();
        // An empty lane waits until its pace is made up for.
        let due_us = if is_empty { lane.turn_us } else { lane.turn_us.saturating_sub(SLACK_US) };
        let due = Mono(due_us.div_ceil(1_000));
        if is_empty && due <= now {
            self.pace.lanes.remove(&to);
        } else {
            self.deadlines.arm(due, &mut lane.armed, Due::Lane(to));
        }
    }
}
