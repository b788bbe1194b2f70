//! What the engine does that owns an application: it calls hooks, tries again, and draws the conclusions.

use std::sync::Arc;

use super::change::{Dead, Ended};
use super::hook::{Backend, Fields, body, fields};
use super::judge::{Called, Failure, Outcome, is_sent_again, judge};
use super::queue::Hook;
use super::receiver::Spec;
use super::table::Kind;
use super::{Calling, ERROR_TYPE, NAME, SETTLE, Wcs};
use crate::event::{Data, Event, Fact};
use crate::ground::config::{ErrorEvent, HookPolicy, RestPolicy};
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

/// What of an event goes along into `ErrorEvent`, as canonical names.
const ROUTING: [&str; 3] = ["media_session_id", "call_id", "operation_id"];

impl Wcs {
    /// A hook comes last in its session.
    pub(super) fn enqueue(&mut self, hub: &mut Hub, seq: Seq, key: &str, hook: &str, event: &Arc<Event>) {
        self.queue.push(seq.0, key, hook, event, seq);
        let limits = &hub.config.limits;
        let (of_lane, of_app) = (limits.wcs_waiting_per_session, limits.wcs_waiting_per_app);
        self.go_on(hub, key);
        let waits = !self.calls.contains_key(&seq.0);
        if waits && !hub.recovering && self.queue.is_surplus(seq.0, of_lane, of_app) {
            self.fail(hub, seq.0, Failure::Waiting);
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
            if policy(hub, hook).policy == RestPolicy::Disable {
                self.end(hub, seq, None);
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
        let session_id = hook.event.extension("sessionid").unwrap_or_default();
        body(&node_id, &hook.app, session_id, fields, &policy(hub, hook).rest_exclude)
    }

    fn attempt(&mut self, hub: &mut Hub, seq: u64) {
        let Some(hook) = self.queue.hook(seq) else { return };
        let Some(backend) = self.backends.get(&*hook.app) else { return };
        let body = self.body(hub, hook, &fields(&hook.event));
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
        // Whatever its type, what comes as an event has happened: it is judged as type 3.
        let called = Called { hook: &hook.name, kind: Kind::Event };
        let ours = fields(&hook.event);
        let policy = policy(hub, &hook);
        let outcome = judge(called, &policy, &ours, answer, &hub.config.limits, &mut warnings);
        for warning in warnings {
            hub.note(Level::Debug, format!("wcs: {}: {warning}", hook.app));
        }
        let counted = self.counters.entry((hook.app.clone(), hook.name.clone())).or_default();
        let failure = match outcome {
            Outcome::Proceed { failure: None, .. } => {
                counted.done += 1;
                return self.end(hub, seq, None);
            }
            Outcome::Tell(failure) => {
                tell(hub, &hook, &failure);
                failure
            }
            Outcome::Terminate(failure) => {
                terminate(hub, &hook, &failure);
                failure
            }
            Outcome::Proceed { failure: Some(failure), .. }
            | Outcome::Decline(failure)
            | Outcome::Stop(failure, _) => failure,
        };
        counted.failed += 1;
        self.warn(hub, &hook, &failure);
        let body = self.body(hub, &hook, &ours);
        let dead = give_up(&hook, &failure, &body);
        self.leave(hub, seq, &hook, &dead);
        self.end(hub, seq, Some(dead));
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
            name,
            kind: NAME.into(),
            seq: Seq(seq),
            since: wall,
            redriven: false,
            attempts: 1,
            due: Wall(wall.0 + first_ms),
            died: (redeliver_ms == 0).then_some(wall),
            reason: dead.reason.clone(),
            summary: "".into(),
            event: Arc::clone(&hook.event),
        };
        hub.append(Actor::Server(NAME), None, true, true, Body::Change(outbox::PART, letter.encode()));
    }

    fn warn(&mut self, hub: &mut Hub, hook: &Hook, failure: &Failure) {
        let (app, name) = (&hook.app, &hook.name);
        hub.note(Level::Warn, format!("wcs: {app}: {}; event {}", failure.info(name), hook.event.id));
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

/// The policy of a hook: the application's, while there is no session that brings one.
fn policy(hub: &Hub, hook: &Hook) -> HookPolicy {
    let app = hub.config.wcs.app(&hook.app);
    app.and_then(|app| app.policies.get(&*hook.name)).cloned().unwrap_or_default()
}

fn text(value: impl Into<Box<str>>) -> Fact {
    Fact::Text(value.into())
}

/// What the client would get: `fail` with the info alone, because with more the Web SDK would tear the stream down, and
/// `ErrorEvent`, which the vendor's pages name.
fn tell(hub: &mut Hub, hook: &Hook, failure: &Failure) {
    if hook.event.extension("sessionid").is_none_or(str::is_empty) {
        return;
    }
    let info = || ("info".into(), text(failure.info(&hook.name)));
    let which = hub.config.wcs.error_event;
    if which != ErrorEvent::ErrorEvent {
        let facts = vec![("message".into(), text("fail")), info()];
        publish(hub, ERROR_TYPE, hook, facts);
    }
    if which != ErrorEvent::Fail {
        let mut facts = vec![("message".into(), text("ErrorEvent")), info()];
        facts.push(("api_method".into(), text(hook.name.clone())));
        for canonical in ROUTING {
            let camel = crate::event::projection::camel_case(canonical);
            let found = hook.event.facts().iter().find(|(name, _)| **name == *canonical || **name == *camel);
            facts.extend(found.map(|(_, fact)| (canonical.into(), fact.clone())));
        }
        publish(hub, ERROR_TYPE, hook, facts);
    }
}

/// The stream ends: its own status event, with what the keepalive said of it.
fn terminate(hub: &mut Hub, hook: &Hook, failure: &Failure) {
    let kept = hook.event.facts().iter().filter(|(name, _)| !["status", "info"].contains(&&**name));
    let mut facts: Fields = kept.cloned().collect();
    facts.push(("status".into(), text("FAILED")));
    facts.push(("info".into(), text(failure.info(&hook.name))));
    publish(hub, "stream.status", hook, facts);
}

/// Publishes an event of our own in the scope and with the subject of the one that the hook told.
fn publish(hub: &mut Hub, event_type: &str, hook: &Hook, facts: Fields) {
    let of = &hook.event;
    let event = Event {
        id_given: false,
        id: hub.rng.uuid_v7(hub.now.wall).to_string().into_boxed_str(),
        source: hub.config.native.source.as_str().into(),
        event_type: event_type.into(),
        subject: of.subject.clone(),
        time: hub.now.wall.to_rfc3339().into_boxed_str(),
        wall: hub.now.wall,
        content_type: None,
        schema: None,
        extensions: of.extensions.clone(),
        data: Data::Facts(facts),
    };
    hub.append(Actor::Server(NAME), None, true, true, Body::Event(event.into()));
}
