//! Calls of hooks: one after the other in a session, tried again, and the conclusions drawn. Which engine does that, and
//! for which events, is decided where these are published.

use std::sync::Arc;

use super::change::{Dead, Ended};
use super::hook::{Backend, Fields, body, fields};
use super::judge::{Called, Failure, Outcome, is_sent_again, judge};
use super::messages::CONNECTION;
use super::operating::{is_listed, proceed};
use super::queue::Hook;
use super::receiver::Spec;
use super::table::{self, Kind};
use super::{Calling, DIRECT, NAME, SETTLE, Wcs, publish_own};
use crate::event::{Event, Fact};
use crate::ground::config::{HookPolicy, RestPolicy};
use crate::ground::deadline::Due;
use crate::ground::id::Seq;
use crate::ground::time::Wall;
use crate::hub::Hub;
use crate::hub::action::Level;
use crate::hub::call::{Answer, Call, CallFault, CallId, Caller};
use crate::log::record::{Actor, Body};
use crate::outbox::change as outbox;

/// One attempt, and three more at once (the original's "3 retries").
const ATTEMPTS_MAX: u32 = 4;

impl Wcs {
    /// A hook comes last in its session. `said`: where the log holds its event.
    pub(super) fn enqueue(
        &mut self,
        hub: &mut Hub,
        seq: u64,
        key: &str,
        hook: &str,
        event: &Arc<Event>,
        said: Seq,
    ) {
        self.queue.push(seq, key, hook, event, said);
        let limits = &hub.config.limits;
        let (of_lane, of_app) = (limits.wcs_waiting_per_session, limits.wcs_waiting_per_app);
        self.go_on(hub, key);
        let waits = !self.calls.contains_key(&seq);
        if waits && !hub.recovering && self.queue.is_surplus(seq, of_lane, of_app) {
            self.fail(hub, seq, Failure::Waiting);
        }
    }

    /// Calls what may be called of all applications.
    pub(super) fn pump_all(&mut self, hub: &mut Hub) {
        for key in self.queue.keys() {
            self.go_on(hub, &key);
        }
    }

    /// Calls what may be called of an application.
    pub(super) fn pump(&mut self, hub: &mut Hub, key: &str) {
        if hub.stopping {
            return;
        }
        if self.queue.app(key).is_some_and(|app| app.gone) {
            return self.fail_all(hub, key);
        }
        // Between a reload of the config and its record an engine may know less than the log: then hooks wait.
        if !self.backends.contains_key(key) || self.node_id(hub).is_none() {
            return;
        }
        while let Some(seq) = self.queue.next(key, hub.config.limits.wcs_calls_per_app) {
            let Some(hook) = self.queue.hook(seq) else { return };
            if self.is_passed_over(hub, seq, hook) {
                self.pass_over(hub, seq);
            } else {
                let timeout_ms = hub.config.wcs.app(key).map_or(0, |app| app.timeout_ms);
                let call = CallId::default();
                self.calls.insert(seq, Calling { call, started: hub.now.mono, timeout_ms, attempts: 0 });
                self.attempt(hub, seq);
            }
        }
    }

    /// `nodeId`, as soon as it is known.
    pub(super) fn node_id(&self, hub: &Hub) -> Option<String> {
        let drawn = || self.node.as_ref().map(|(id, _)| format!("{id}@{}", hub.config.wcs.node_address));
        hub.config.wcs.node_id.clone().or_else(drawn)
    }

    fn body(&self, hub: &Hub, hook: &Hook, fields: &Fields) -> Vec<u8> {
        let node_id = self.node_id(hub).unwrap_or_default();
        body(&node_id, &hook.app, session_of(hook), fields, &self.hook_policy(hub, hook).rest_exclude)
    }

    fn hook_policy(&self, hub: &Hub, hook: &Hook) -> HookPolicy {
        self.policy(hub, &hook.app, session_of(hook), &hook.name)
    }

    /// Whether a hook counts as passed without a call.
    fn is_passed_over(&self, hub: &Hub, seq: u64, hook: &Hook) -> bool {
        let unlisted = is_direct(seq) && !is_listed(hub, &hook.app, &hook.name);
        unlisted || self.hook_policy(hub, hook).policy == RestPolicy::Disable
    }

    /// What a hook says while its session is there: the log, and so a dead letter, does not hold its secrets.
    fn with_secrets(&self, hook: &Hook, mut fields: Fields) -> Fields {
        if *hook.name == *CONNECTION
            && let Some(session) = self.addressee(&hook.event).and_then(|tag| self.sessions.get(tag))
        {
            fields.extend(session.secrets.iter().cloned());
        }
        fields
    }

    fn attempt(&mut self, hub: &mut Hub, seq: u64) {
        let Some(hook) = self.queue.hook(seq) else { return };
        let Some(backend) = self.backends.get(&*hook.app) else { return };
        let fields = self.with_secrets(hook, fields_of(seq, hook));
        let body = self.body(hub, hook, &fields);
        let (target, request) = (Arc::clone(backend.target()), backend.request(&hook.name, &body));
        let Some(calling) = self.calls.get_mut(&seq) else { return };
        calling.attempts += 1;
        let left_ms = calling.timeout_ms.saturating_sub(hub.now.mono.since(calling.started));
        calling.call = hub.call(Call {
            target,
            request,
            connect_ms: hub.config.limits.wcs_connect_ms,
            first_byte_ms: 0,
            total_ms: left_ms,
            content_max: hub.config.limits.wcs_answer_bytes,
            caller: Caller { dialect: self.place, key: seq },
        });
    }

    /// What came of an attempt.
    pub(super) fn hook_answered(&mut self, hub: &mut Hub, seq: u64, result: Result<Answer, CallFault>) {
        let Some(calling) = self.calls.get(&seq) else { return };
        let Some(hook) = self.queue.hook(seq) else { return };
        let (key, timeout_ms) = (hook.app.clone(), calling.timeout_ms);
        let took_ms = hub.now.mono.since(calling.started);
        let in_time = timeout_ms == 0 || took_ms < timeout_ms;
        let result = match result {
            Err(fault) if is_sent_again(&fault, hub.config.wcs.retry_sent) => {
                let may = in_time && !hub.stopping && calling.attempts < ATTEMPTS_MAX;
                if may && self.backends.contains_key(&*key) {
                    self.counters.entry((key, hook.name.clone())).or_default().retries += 1;
                    return self.attempt(hub, seq);
                }
                Err(if in_time { Failure::of(&fault, timeout_ms) } else { Failure::Timeout(timeout_ms) })
            }
            Err(fault) => Err(Failure::of(&fault, timeout_ms)),
            Ok(answer) => Ok(answer),
        };
        self.calls.remove(&seq);
        let counted = self.counters.entry((key.clone(), hook.name.clone())).or_default();
        counted.took(took_ms);
        self.conclude(hub, seq, result.as_ref());
        self.pump(hub, &key);
    }

    /// A hook fails without a call.
    fn fail(&mut self, hub: &mut Hub, seq: u64, failure: Failure) {
        self.conclude(hub, seq, Err(&failure));
    }

    /// The application was removed: what waits for it can no longer arrive.
    fn fail_all(&mut self, hub: &mut Hub, key: &str) {
        let of_app: Vec<u64> =
            self.queue.hooks().filter(|(_, hook)| *hook.app == *key).map(|(seq, _)| seq).collect();
        for seq in of_app {
            if let Some(calling) = self.calls.remove(&seq) {
                hub.cancel(calling.call);
            }
            self.fail(hub, seq, Failure::Removed);
        }
    }

    fn conclude(&mut self, hub: &mut Hub, seq: u64, answer: Result<&Answer, &Failure>) {
        let Some(hook) = self.queue.hook(seq).cloned() else { return };
        let mut warnings = Vec::new();
        let called = Called { hook: &hook.name, kind: kind(hub, seq, &hook.name) };
        let (ours, policy) = (fields_of(seq, &hook), self.hook_policy(hub, &hook));
        let outcome = judge(called, &policy, &ours, answer, &hub.config.limits, &mut warnings);
        for warning in warnings {
            hub.note(Level::Debug, format!("wcs: {}: {warning}", hook.app));
        }
        let counted = self.counters.entry((hook.app.clone(), hook.name.clone())).or_default();
        match outcome.failure() {
            None => counted.done += 1,
            Some(failure) => {
                counted.failed += 1;
                self.warn(hub, seq, &hook, failure);
            }
        }
        self.follow(hub, seq, &hook, outcome);
    }

    /// A hook counts as passed.
    fn pass_over(&mut self, hub: &mut Hub, seq: u64) {
        let Some(hook) = self.queue.hook(seq).cloned() else { return };
        let ours = fields_of(seq, &hook);
        self.follow(hub, seq, &hook, proceed(ours));
    }

    /// What follows from a hook, which has its final outcome.
    fn follow(&mut self, hub: &mut Hub, seq: u64, hook: &Hook, outcome: Outcome) {
        if is_direct(seq) {
            self.queue.end(seq);
            return self.direct_ended(hub, &hook.name, &hook.event, outcome);
        }
        let kind = kind(hub, seq, &hook.name);
        let failure = outcome.failure().cloned();
        match outcome {
            Outcome::Tell(failure) => self.tell_failure(hub, hook, &failure),
            Outcome::Terminate(failure) => terminate(hub, hook, &failure),
            Outcome::Proceed { fields, .. } if kind == Kind::Incoming => self.arrive(hub, hook, &fields),
            Outcome::Stop(failure, _) => self.turn_away(hub, hook, &failure),
            Outcome::Proceed { .. } | Outcome::Decline(_) => {}
        }
        let dead = failure.map(|failure| {
            let body = self.body(hub, hook, &fields(&hook.event));
            let dead = give_up(hook, &failure, &body);
            // What arrived late is nothing to anybody.
            if kind == Kind::Event {
                self.leave(hub, seq, hook, &dead);
            }
            dead
        });
        self.end(hub, seq, dead);
        if let Some(tag) = self.addressee(&hook.event) {
            self.part(hub, tag);
        }
    }

    /// Leaves a hook that finally failed to the outbox: as a dead letter, or, with `redeliver`, to be sent again.
    fn leave(&mut self, hub: &mut Hub, seq: u64, hook: &Hook, dead: &Dead) {
        let Some(app) = hub.config.wcs.app(&hook.app) else { return };
        let (redeliver_ms, first_ms) = (app.redeliver_ms, hub.config.outbox.retry.first_ms);
        let name: Box<str> = format!("wcs.{}", hook.app).into();
        if self.introduced.insert(hook.app.clone()) {
            let node_id = self.node_id(hub).unwrap_or_default().into();
            let spec = serde_json::to_string(&Spec { app: hook.app.clone(), node_id });
            let put = outbox::Change::Put {
                name: name.clone(),
                kind: NAME.into(),
                spec: spec.expect("two texts are always JSON").into(),
                by: outbox::By::Api,
                when: outbox::When::Always,
            };
            hub.append(Actor::Server(NAME), None, true, true, Body::Change(outbox::PART, put.encode()));
        }
        let wall = hub.now.wall;
        let letter = outbox::Carried {
            attempts: 1,
            due: Wall(wall.0 + first_ms),
            died: (redeliver_ms == 0).then_some(wall),
            reason: dead.reason.clone(),
            ..outbox::Carried::new(name, NAME, Seq(seq), wall, Arc::clone(&hook.event))
        };
        hub.append(Actor::Server(NAME), None, true, true, Body::Change(outbox::PART, letter.encode()));
    }

    fn warn(&mut self, hub: &mut Hub, seq: u64, hook: &Hook, failure: &Failure) {
        let (app, name) = (&hook.app, &hook.name);
        let cause = if is_direct(seq) {
            format!("session {}", session_of(hook))
        } else {
            format!("event {}", hook.event.id)
        };
        hub.note(Level::Warn, format!("wcs: {app}: {}; {cause}", failure.info(name)));
        let address = self.backends.get(&**app).map(|backend: &Backend| backend.address(name));
        if *failure == Failure::Status(404)
            && let Some(address) = address
            && self.not_found.insert((app.clone(), name.clone()))
        {
            let text = format!(
                "wcs: application {app} lists the hook {name}, and its backend has no {address}; take it from \
                 [wcs.apps.{app}] methods, or add it to the backend"
            );
            hub.note(Level::Warn, text);
        }
    }

    /// The final outcome: the hook leaves the queue now, and the log hears of it at the end of the turn.
    fn end(&mut self, hub: &mut Hub, seq: u64, dead: Option<Dead>) {
        self.queue.end(seq);
        if self.outcomes.is_empty() {
            hub.deadlines.arm(hub.now.mono, Due::Dialect(self.place, SETTLE));
        }
        self.outcomes.push(Ended { seq, dead });
    }
}

/// What the log says of a hook that finally failed, beside its dead letter.
fn give_up(hook: &Hook, failure: &Failure, body: &[u8]) -> Dead {
    Dead {
        app: hook.app.clone(),
        hook: hook.name.clone(),
        reason: failure.info(&hook.name).into_boxed_str(),
        body: String::from_utf8_lossy(body).into(),
    }
}

/// Whether a hook is of no event in the log: it comes before what a client asked for.
fn is_direct(seq: u64) -> bool {
    seq & DIRECT != 0
}

fn session_of(hook: &Hook) -> &str {
    hook.event.extension("sessionid").unwrap_or_default()
}

/// A hook's fields under their names on the wire. A client's own are on the wire already.
fn fields_of(seq: u64, hook: &Hook) -> Fields {
    if is_direct(seq) { hook.event.facts().to_vec() } else { fields(&hook.event) }
}

/// A hook's type. Whatever else a vocabulary says, what comes as an event has happened, or has arrived.
fn kind(hub: &Hub, seq: u64, hook: &str) -> Kind {
    match table::kind(hook, &hub.config.wcs.extra_hooks) {
        Some(kind) if is_direct(seq) => kind,
        Some(Kind::Incoming) => Kind::Incoming,
        Some(Kind::Connect | Kind::Direct | Kind::Event) | None => Kind::Event,
    }
}

/// The stream ends: its own status event, with what the keepalive said of it.
fn terminate(hub: &mut Hub, hook: &Hook, failure: &Failure) {
    let kept = hook.event.facts().iter().filter(|(name, _)| !["status", "info"].contains(&&**name));
    let mut facts: Fields = kept.cloned().collect();
    facts.push(("status".into(), Fact::Text("FAILED".into())));
    facts.push(("info".into(), Fact::Text(failure.info(&hook.name).into())));
    let of = &hook.event;
    publish_own(hub, "stream.status", of.subject.clone(), of.extensions.clone(), facts);
}
