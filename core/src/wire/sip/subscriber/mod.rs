//! RFC 6665 subscriptions over one endpoint: each is asked for, kept alive, made anew when it ends, and given up when
//! nobody wants it any more. The verbs of the endpoint are passed through; what they bring is dealt with before they
//! return.
//!
//! What is absent here: sockets, transactions and pace (the endpoint's), and what bodies mean (`dialect/sep/package`).
//!
//! ```text
//!   wanted ─► SUBSCRIBE ─► NOTIFY: a dialog ─► refreshes ─► an end ─► waiting ─┐     usage.rs: one subscription after the other
//!                  ▲                                                           │     subscription.rs: one Call-ID, its dialogs
//!                  └───────────────────────────────────────────────────────────┘     ends.rs: what follows which end
//! ```

mod answers;
mod ends;
mod notifies;
mod said;
mod subscription;
#[cfg(test)]
mod tests;
mod usage;
mod user_agent;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use foldhash::quality::FixedState;

pub use ends::Reason;
pub use said::{Content, Event, Saved, Wanted};
pub use user_agent::Settings;

use super::endpoint::{Counted, Endpoint, FlowId, Happened, Output, ServerId};
use super::message::Message;
use crate::ground::time::{Mono, Now, Wall};
use notifies::Refusal;
use usage::Usage;
use user_agent::{Map, UserAgent, usage_of_request};

/// All subscriptions.
#[derive(Debug)]
pub struct Subscriber {
    usages: Map<u32, Box<Usage>>,
    /// Deadlines with the usages that they belong to. One that a usage is not armed for is stale.
    deadlines: BinaryHeap<Reverse<(Mono, u32)>>,
    agent: UserAgent,
}

impl Subscriber {
    /// A subscriber without any subscription.
    #[must_use]
    pub fn new(endpoint: Endpoint, settings: Settings, seed: u64) -> Subscriber {
        Subscriber {
            usages: Map::with_hasher(FixedState::with_seed(seed)),
            deadlines: BinaryHeap::new(),
            agent: UserAgent::new(endpoint, settings, seed),
        }
    }

    /// Subscribes, and goes on until [`Subscriber::unsubscribe`]; nothing is asked for beyond `until`. The key must not
    /// be in use.
    pub fn subscribe(&mut self, now: Now, key: u32, wanted: Wanted, until: Wall) {
        self.restore(now, key, wanted, until, Vec::new());
    }

    /// Goes on with dialogs of an earlier start: each is refreshed at once, at the pace of the endpoint. With an `until`
    /// that has passed nothing is asked for, and what there is waits for [`Subscriber::unsubscribe`].
    pub fn restore(&mut self, now: Now, key: u32, wanted: Wanted, until: Wall, dialogs: Vec<Saved>) {
        let before = self.usages.insert(key, Box::new(Usage::new(key, wanted, until)));
        assert!(before.is_none(), "a key names one subscription until it is over");
        self.act(now, key, |usage, agent| usage.begin(agent, now, dialogs));
        self.drain(now);
    }

    /// Wants a subscription until another moment.
    pub fn extend(&mut self, now: Now, key: u32, until: Wall) {
        self.act(now, key, |usage, agent| usage.extend(agent, now, until));
        self.drain(now);
    }

    /// Asks for these types of bodies, from the next request on.
    pub fn ask_for(&mut self, now: Now, key: u32, accept: Arc<[Box<str>]>) {
        self.act(now, key, |usage, _| usage.accept(accept));
    }

    /// Tries again what had ended for good; anything else goes on as it does.
    pub fn retry(&mut self, now: Now, key: u32) {
        self.act(now, key, |usage, agent| usage.retry(agent, now));
        self.drain(now);
    }

    /// Asks for the whole state again, at most once in 30 s for each dialog: sooner, it waits.
    pub fn refresh(&mut self, now: Now, key: u32, dialog: u32) {
        self.act(now, key, |usage, agent| usage.refresh(agent, now, dialog));
        self.drain(now);
    }

    /// Ends a subscription: [`Event::Over`] says that it is gone, at most 32 s later.
    pub fn unsubscribe(&mut self, now: Now, key: u32) {
        self.act(now, key, |usage, agent| usage.unsubscribe(agent, now));
        self.drain(now);
    }

    /// What a restart needs of the dialogs of a subscription, as they stand: what [`Event::Save`] told of them last, or more
    /// recent.
    pub fn saved(&self, now: Now, key: u32) -> impl Iterator<Item = Saved> {
        self.usages.get(&key).into_iter().flat_map(move |usage| usage.saved(now))
    }

    /// The next thing that happened to a subscription.
    pub fn poll_event(&mut self) -> Option<(u32, Event)> {
        self.agent.events.pop_front()
    }

    /// See [`Endpoint::set_pace`].
    pub fn set_pace(&mut self, now: Now, per_s: u32) {
        self.agent.endpoint.set_pace(now.mono, per_s);
        self.drain(now);
    }

    /// See [`Endpoint::receive_datagram`].
    pub fn receive_datagram(&mut self, now: Now, via: u16, from: SocketAddr, bytes: &[u8]) {
        self.agent.endpoint.receive_datagram(now.mono, via, from, bytes);
        self.drain(now);
    }

    /// See [`Endpoint::accept`].
    pub fn accept(&mut self, now: Now, from: SocketAddr, secure: bool) -> FlowId {
        let flow = self.agent.endpoint.accept(now.mono, from, secure);
        self.drain(now);
        flow
    }

    /// See [`Endpoint::connected`].
    pub fn connected(&mut self, now: Now, flow: FlowId) {
        self.agent.endpoint.connected(now.mono, flow);
        self.drain(now);
    }

    /// See [`Endpoint::closed`].
    pub fn closed(&mut self, now: Now, flow: FlowId) {
        self.agent.endpoint.closed(now.mono, flow);
        self.drain(now);
    }

    /// See [`Endpoint::receive`].
    pub fn receive(&mut self, now: Now, flow: FlowId, bytes: &[u8]) {
        self.agent.endpoint.receive(now.mono, flow, bytes);
        self.drain(now);
    }

    /// See [`Endpoint::resolved`].
    pub fn resolved(&mut self, now: Now, ticket: u64, addresses: Result<Vec<IpAddr>, Box<str>>) {
        self.agent.endpoint.resolved(now.mono, ticket, addresses);
        self.drain(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.agent.endpoint.handle_timeout(now.mono);
        self.drain(now);
        self.agent.forget(now.mono);
        while let Some(&Reverse((at, key))) = self.deadlines.peek().filter(|Reverse((at, _))| *at <= now.mono)
        {
            self.deadlines.pop();
            if let Some(usage) = self.usages.get_mut(&key).filter(|usage| usage.armed == at) {
                usage.armed = Mono::NEVER;
                self.act(now, key, |usage, agent| usage.handle_timeout(agent, now));
            }
        }
        self.drain(now);
    }

    /// When [`Subscriber::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Mono> {
        let own = self.deadlines.peek().map(|Reverse((at, _))| *at);
        [own, self.agent.endpoint.poll_timeout(), self.agent.poll_timeout()].into_iter().flatten().min()
    }

    /// See [`Endpoint::poll_output`].
    pub fn poll_output(&mut self) -> Option<Output> {
        self.agent.endpoint.poll_output()
    }

    /// See [`Endpoint::counted`].
    #[must_use]
    pub fn counted(&self) -> Counted {
        self.agent.endpoint.counted()
    }

    /// How many subscriptions there are, those that are being given up included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.usages.len()
    }

    /// Whether there is no subscription.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.usages.is_empty()
    }

    /// Deals with what the endpoint has for us.
    fn drain(&mut self, now: Now) {
        while let Some(happened) = self.agent.endpoint.poll_happened() {
            match happened {
                Happened::Sent { key } => {
                    self.act(now, usage_of_request(key), |usage, _| usage.sent(now, key));
                }
                Happened::Answered { key, response } => {
                    let answered =
                        |usage: &mut Usage, agent: &mut _| usage.answered(agent, now, key, &response);
                    self.act(now, usage_of_request(key), answered);
                }
                Happened::Unanswered { key, why } => {
                    self.act(now, usage_of_request(key), |usage, agent| {
                        usage.unanswered(agent, now, key, why)
                    });
                }
                Happened::Asked { id, request } => self.asked(now, id, request),
            }
        }
    }

    /// Answers a NOTIFY (RFC 6665 section 4.1.3).
    fn asked(&mut self, now: Now, id: ServerId, mut request: Message) {
        let mut outcome = Err(Refusal::NO_SUBSCRIPTION);
        if let Some(key) = self.agent.usage_of(request.call_id()) {
            self.act(now, key, |usage, agent| outcome = usage.notified(agent, now, &mut request));
        }
        let response = match outcome {
            Ok(()) => Message::response(&request, 200, "OK"),
            Err(refusal) => refusal.response(&request),
        };
        self.agent.endpoint.answer(now.mono, id, response);
    }

    /// Lets a usage act, if there is one, and arms its next deadline.
    fn act(&mut self, now: Now, key: u32, act: impl FnOnce(&mut Usage, &mut UserAgent)) {
        let Some(usage) = self.usages.get_mut(&key) else { return };
        let queued = usage.queued();
        act(usage, &mut self.agent);
        let is_over = usage.is_over(&mut self.agent, now);
        self.agent.count_queued(queued, usage.queued().filter(|_| !is_over));
        if is_over {
            self.usages.remove(&key);
            self.drop_stale();
            return;
        }
        let due = usage.due();
        if due < usage.armed {
            usage.armed = due;
            self.deadlines.push(Reverse((due, key)));
            self.drop_stale();
        }
    }

    /// Keeps the deadlines from growing beyond what they are for: a NOTIFY may bring one forward again and again.
    fn drop_stale(&mut self) {
        if self.usages.is_empty() || self.deadlines.len() > 2 * self.usages.len() + 64 {
            let usages = &self.usages;
            self.deadlines
                .retain(|Reverse((at, key))| usages.get(key).is_some_and(|usage| usage.armed == *at));
        }
    }
}
