//! What is wanted under one key: one subscription after the other, as each end and the rules for what follows it have it.
//!
//! What is absent here: dialogs (`subscription`).

use std::sync::Arc;

use super::ends::{End, Next, backoff_s};
use super::notifies::Refusal;
use super::said::{Event, Saved, Wanted};
use super::subscription::{ROUNDING_MS, Subscription, Terms, resource};
use super::user_agent::{TIMER_N_MS, UserAgent};
use crate::ground::time::{Mono, Now, Wall};
use crate::wire::sip::endpoint::Unanswered;
use crate::wire::sip::message::Message;

/// Between two subscriptions that follow others at once, so that a peer that ends each of them is not asked in a loop.
const GUARD_MS: u64 = 5_000;

/// What is wanted under one key.
#[derive(Debug)]
pub(super) struct Usage {
    terms: Terms,
    stage: Stage,
    /// Before this no subscription follows another one at once.
    guard: Mono,
    /// It is being given up, at the latest then.
    over: Option<Mono>,
    /// The earliest deadline that is in the subscriber's list.
    pub(super) armed: Mono,
}

#[derive(Debug)]
enum Stage {
    /// Until the next subscription is asked for; for ever, once it is not wanted any longer.
    Waiting(Mono),
    /// Nothing follows by itself.
    Ended,
    Subscribed(Box<Subscription>),
}

impl Usage {
    /// Nothing is asked for yet.
    pub(super) fn new(key: u32, wanted: Wanted, until: Wall) -> Usage {
        let wanted = Wanted { uri: resource(wanted.uri), ..wanted };
        Usage {
            terms: Terms { key, wanted, until, expires_min_s: 0, eventlist: false, failures: 0 },
            stage: Stage::Waiting(Mono::NEVER),
            guard: Mono(0),
            over: None,
            armed: Mono::NEVER,
        }
    }

    /// Goes on with these dialogs, or asks for a subscription if there are none. Those of a peer that may not be asked any
    /// more are left to run out.
    pub(super) fn begin(&mut self, agent: &mut UserAgent, now: Now, dialogs: Vec<Saved>) {
        let may_ask = agent.may_ask(&self.terms.wanted.uri);
        let (dialogs, given_up) = if may_ask { (dialogs, Vec::new()) } else { (Vec::new(), dialogs) };
        for Saved { dialog, .. } in given_up {
            agent.tell(self.terms.key, End::FORBIDDEN.event(dialog, None, true));
            agent.tell(self.terms.key, Event::Save { dialog, saved: None });
        }
        match Subscription::restore(&mut self.terms, agent, now, dialogs) {
            Some(subscription) => self.stage = Stage::Subscribed(Box::new(subscription)),
            None => self.subscribe(agent, now, 0),
        }
    }

    /// Asks for a new subscription, if it is wanted for longer than so many milliseconds.
    fn subscribe(&mut self, agent: &mut UserAgent, now: Now, least_ms: u64) {
        self.stage = Stage::Waiting(Mono::NEVER);
        if self.terms.until.since(now.wall) <= least_ms {
            return;
        }
        if !agent.may_ask(&self.terms.wanted.uri) {
            self.stage = Stage::Ended;
            agent.tell(self.terms.key, End::FORBIDDEN.event(0, None, true));
            return;
        }
        if agent.has_room_for(self.terms.wanted.client) {
            self.stage = Stage::Subscribed(Box::new(Subscription::begin(&self.terms, agent, now)));
        } else {
            // As if the endpoint had none for anybody.
            let end = End::of_initial(503, None);
            agent.tell(self.terms.key, end.event(0, None, false));
            self.follow(agent, now, end);
        }
    }

    /// Whether its first request waits for its turn, and if so for whom.
    pub(super) fn queued(&self) -> Option<u32> {
        let Stage::Subscribed(subscription) = &self.stage else { return None };
        subscription.is_queued().then_some(self.terms.wanted.client)
    }

    /// Lets the subscription act; what it says of its end decides what follows.
    fn act(
        &mut self,
        agent: &mut UserAgent,
        now: Now,
        act: impl FnOnce(&mut Subscription, &mut Terms, &mut UserAgent) -> Option<End>,
    ) {
        let Stage::Subscribed(subscription) = &mut self.stage else { return };
        let Some(end) = act(subscription, &mut self.terms, agent) else { return };
        agent.bury(now.mono, subscription.call_id);
        self.follow(agent, now, end);
    }

    /// Does what follows an end.
    fn follow(&mut self, agent: &mut UserAgent, now: Now, end: End) {
        let wait_ms = match end.next {
            Next::Never => {
                self.stage = Stage::Ended;
                return;
            }
            Next::AtOnce => 0,
            Next::After(s) => u64::from(s) * 1_000,
            Next::Backoff => {
                self.terms.failures = self.terms.failures.saturating_add(1);
                u64::from(backoff_s(self.terms.failures)) * 1_000
            }
        };
        let at = now.mono.plus_ms(wait_ms).max(self.guard);
        self.guard = at.plus_ms(GUARD_MS);
        self.stage = Stage::Waiting(at);
        if at <= now.mono {
            self.subscribe(agent, now, ROUNDING_MS);
        }
    }

    /// A request is on its way.
    pub(super) fn sent(&mut self, now: Now, request: u64) {
        if let Stage::Subscribed(subscription) = &mut self.stage {
            subscription.sent(now.mono, request);
        }
    }

    /// The answer to a request.
    pub(super) fn answered(&mut self, agent: &mut UserAgent, now: Now, request: u64, response: &Message) {
        self.act(agent, now, |subscription, terms, agent| {
            subscription.answered(terms, agent, now, request, response)
        });
    }

    /// There was no answer.
    pub(super) fn unanswered(&mut self, agent: &mut UserAgent, now: Now, request: u64, why: Unanswered) {
        self.act(agent, now, |subscription, terms, agent| {
            subscription.unanswered(terms, agent, now, request, why)
        });
    }

    /// A NOTIFY with our Call-ID.
    pub(super) fn notified(
        &mut self,
        agent: &mut UserAgent,
        now: Now,
        request: &mut Message,
    ) -> Result<(), Refusal> {
        let mut outcome = Err(Refusal::NO_SUBSCRIPTION);
        self.act(agent, now, |subscription, terms, agent| {
            let notified = subscription.notified(terms, agent, now, request);
            let end = notified.as_ref().ok().copied().flatten();
            outcome = notified.map(|_| ());
            end
        });
        outcome
    }

    /// It is wanted until another moment.
    pub(super) fn extend(&mut self, agent: &mut UserAgent, now: Now, until: Wall) {
        self.terms.until = until;
        match &mut self.stage {
            Stage::Subscribed(subscription) => subscription.extend(now.mono),
            Stage::Waiting(Mono::NEVER) => self.subscribe(agent, now, 0),
            Stage::Waiting(_) | Stage::Ended => {}
        }
    }

    /// From the next request on it asks for these types of bodies.
    pub(super) fn accept(&mut self, accept: Arc<[Box<str>]>) {
        self.terms.wanted.accept = accept;
    }

    /// Tries again what had ended for good.
    pub(super) fn retry(&mut self, agent: &mut UserAgent, now: Now) {
        if matches!(self.stage, Stage::Ended) {
            self.subscribe(agent, now, 0);
        }
    }

    /// What a restart needs of its dialogs.
    pub(super) fn saved(&self, now: Now) -> impl Iterator<Item = Saved> {
        let dialogs = match &self.stage {
            Stage::Subscribed(subscription) => &*subscription.dialogs,
            Stage::Waiting(_) | Stage::Ended => &[],
        };
        dialogs.iter().map(move |dialog| dialog.saved(&self.terms, now))
    }

    /// Asks for the whole state of a dialog.
    pub(super) fn refresh(&mut self, agent: &mut UserAgent, now: Now, dialog: u32) {
        if let Stage::Subscribed(subscription) = &mut self.stage {
            subscription.fill_gap(&self.terms, agent, now, dialog);
        }
    }

    /// It is not wanted any more.
    pub(super) fn unsubscribe(&mut self, agent: &mut UserAgent, now: Now) {
        if self.over.is_some() {
            return;
        }
        self.over = Some(now.mono.plus_ms(TIMER_N_MS));
        match &mut self.stage {
            Stage::Subscribed(subscription) => subscription.leave(&self.terms, agent, now),
            Stage::Waiting(_) | Stage::Ended => self.stage = Stage::Ended,
        }
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, agent: &mut UserAgent, now: Now) {
        match &mut self.stage {
            Stage::Waiting(at) if *at <= now.mono => self.subscribe(agent, now, ROUNDING_MS),
            Stage::Subscribed(_) => {
                self.act(agent, now, |subscription, terms, agent| {
                    subscription.handle_timeout(terms, agent, now)
                });
            }
            Stage::Waiting(_) | Stage::Ended => {}
        }
    }

    /// When it has something to do.
    pub(super) fn due(&self) -> Mono {
        let stage = match &self.stage {
            Stage::Waiting(at) => *at,
            Stage::Ended => Mono::NEVER,
            Stage::Subscribed(subscription) => subscription.due(),
        };
        stage.min(self.over.unwrap_or(Mono::NEVER))
    }

    /// Whether it has been given up altogether; if so that is told, and nothing of it stays.
    pub(super) fn is_over(&mut self, agent: &mut UserAgent, now: Now) -> bool {
        let Some(over) = self.over else { return false };
        if let Stage::Subscribed(subscription) = &mut self.stage {
            if !subscription.is_gone() && over > now.mono {
                return false;
            }
            subscription.drop_all(&self.terms, agent);
            agent.bury(now.mono, subscription.call_id);
        }
        agent.tell(self.terms.key, Event::Over);
        true
    }
}
