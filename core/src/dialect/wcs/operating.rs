//! What clients ask for: their messages, the operations that these name, and the hooks that come before them, one at a
//! time per session and in order. There is no engine of media or calls here, so an operation that nobody serves ends as
//! failed; `sendData` is complete.

use std::sync::Arc;

use super::envelope::{self, Said};
use super::hook::Fields;
use super::judge::{Failure, Outcome, accepted, failed};
use super::messages::{self, Asked, text_of};
use super::session::Stage;
use super::table::{CONNECT, ON_DATA};
use super::{DATA_SENT, DIRECT, NAME, Wcs, publish_own, scope};
use crate::event::{Event, Fact};
use crate::ground::id::Seq;
use crate::hub::Hub;
use crate::hub::socket::CloseCode;
use crate::log::record::{Actor, Body};
use crate::wire::ws::Message;

/// Why an operation fails that nobody serves.
const NOT_SUPPORTED: &str = "operation not supported";

/// Operations that are complete when their hook has ended, and tell the client nothing.
const SILENT: [&str; 1] = ["pushLogs"];

impl Wcs {
    /// A frame of a client.
    pub(super) fn hear(&mut self, hub: &mut Hub, tag: u32, message: &Message) {
        let Message::Text(text) = message else { return };
        let Some(session) = self.sessions.get(tag).filter(|session| !session.closing) else { return };
        let stage = session.stage;
        match envelope::read(text, &hub.config.limits) {
            Ok(said) => self.understand(hub, tag, stage, said),
            Err(wrong) => self.say(hub, tag, envelope::fail(&wrong)),
        }
    }

    fn understand(&mut self, hub: &mut Hub, tag: u32, stage: Stage, said: Said) {
        let Said { name, fields } = said;
        let fail = |info: &str| envelope::fail(info);
        match (messages::asked(&name), stage) {
            (Asked::Nothing, _) => {}
            (Asked::Ping, _) => self.say(hub, tag, envelope::PONG.to_vec()),
            (Asked::Connection, Stage::Silent) => self.connect(hub, tag, fields),
            (_, Stage::Silent) => {
                self.say(hub, tag, fail("the first message must be `connection`"));
                self.shut(hub, tag, CloseCode::POLICY_VIOLATION, "no connection");
            }
            (Asked::Connection, _) => self.say(hub, tag, fail("the session has begun already")),
            (Asked::Unknown, _) => self.say(hub, tag, fail(&format!("unknown message {name}"))),
            (Asked::Operation(_) | Asked::StreamEvent, Stage::Connecting | Stage::Accepted) => {
                self.say(hub, tag, fail(&format!("{name}: the session is not established yet")));
            }
            (Asked::StreamEvent, Stage::Open | Stage::Ended) => {
                self.say(hub, tag, fail(&format!("{name}: {NOT_SUPPORTED}")));
            }
            (Asked::Operation(ON_DATA), _) if text_of(&fields, "operationId").is_none() => {
                self.say(hub, tag, fail(&format!("{name} needs an `operationId`")));
            }
            (Asked::Operation(hook), Stage::Open | Stage::Ended) => self.operate(hub, tag, hook, fields),
        }
    }

    /// A client asks for an operation.
    fn operate(&mut self, hub: &mut Hub, tag: u32, hook: &str, mut fields: Fields) {
        if matches!(hook, "publishStream" | "playStream") && text_of(&fields, "status").is_none() {
            fields.push(("status".into(), Fact::Text("PENDING".into())));
        }
        let Some(session) = self.sessions.get(tag) else { return };
        let (app, id, first) = (session.app.clone(), session.id.clone(), session.operations == 0);
        if first && !is_listed(hub, &app, hook) {
            // What waits for the backend are events alone: nothing that it would have to come after.
            return self.operated(hub, tag, hook, proceed(fields));
        }
        let event = hub.draft("", None, scope(&app, &id), fields);
        let bytes = event.bytes();
        let Some(session) = self.sessions.get_mut(tag) else { return };
        if session.operation_bytes + bytes > hub.config.limits.wcs_operation_bytes {
            let failure = Failure::Waiting;
            let told = failed(hook, event.facts(), &failure.info(hook));
            return self.operated(hub, tag, hook, Outcome::Stop(failure, told));
        }
        session.operations += 1;
        session.operation_bytes += bytes;
        self.ask(hub, &app, hook, Arc::new(event));
    }

    /// A hook that comes before what it is about takes its place behind the others of its session.
    pub(super) fn ask(&mut self, hub: &mut Hub, app: &str, hook: &str, event: Arc<Event>) {
        self.asked += 1;
        // The log has no number for it, and nothing is said of it there.
        let seq = DIRECT | self.asked;
        self.enqueue(hub, seq, app, hook, &event, Seq(u64::MAX));
    }

    /// The hook of an operation has ended, or that of `connection`.
    pub(super) fn direct_ended(&mut self, hub: &mut Hub, hook: &str, event: &Event, outcome: Outcome) {
        let Some(tag) = self.addressee(event) else { return };
        if hook == CONNECT {
            return self.connect_judged(hub, tag, outcome);
        }
        if let Some(session) = self.sessions.get_mut(tag) {
            session.operations -= 1;
            session.operation_bytes -= event.bytes();
        }
        self.operated(hub, tag, hook, outcome);
        self.part(hub, tag);
    }

    /// What follows from an operation's hook.
    fn operated(&mut self, hub: &mut Hub, tag: u32, hook: &str, outcome: Outcome) {
        match outcome {
            Outcome::Proceed { fields, .. } if hook == ON_DATA => self.data_sent(hub, tag, &fields),
            Outcome::Proceed { .. } if SILENT.contains(&hook) => {}
            Outcome::Proceed { fields, .. } => {
                let told = failed(hook, &fields, NOT_SUPPORTED);
                self.tell_operation(hub, tag, told, NOT_SUPPORTED);
            }
            Outcome::Stop(failure, told) => self.tell_operation(hub, tag, told, &failure.info(hook)),
            Outcome::Decline(failure) | Outcome::Tell(failure) | Outcome::Terminate(failure) => {
                self.tell_operation(hub, tag, None, &failure.info(hook));
            }
        }
    }

    /// The backend took what a client sent: it is an event for everybody else.
    fn data_sent(&mut self, hub: &mut Hub, tag: u32, fields: &Fields) {
        let Some(session) = self.sessions.get(tag) else { return };
        if hub.full || hub.outbox_full {
            let info = "the server has no room for more";
            return self.tell_operation(hub, tag, failed(ON_DATA, fields, info), info);
        }
        let named = |wire: &str, name: &str| {
            let found = fields.iter().find(|(n, _)| &**n == wire);
            found.map(|(_, fact)| (name.into(), fact.clone()))
        };
        let facts = [named("operationId", "operation_id"), named("payload", "payload")];
        let actor = session.conn.map_or(Actor::Server(NAME), |conn| hub.actor(conn));
        let scope = scope(&session.app, &session.id);
        let event = hub.draft(DATA_SENT, None, scope, facts.into_iter().flatten().collect());
        hub.append(actor, None, true, true, Body::Event(event.into()));
        self.tell_operation(hub, tag, accepted(ON_DATA, fields), "");
    }

    /// Tells what came of an operation in its own event. If the backend wants to hear of such events, it is published like
    /// any other; else it is an answer to the client alone.
    fn tell_operation(&mut self, hub: &mut Hub, tag: u32, told: Option<(&'static str, Fields)>, info: &str) {
        let Some((event, fields)) = told else { return self.say(hub, tag, envelope::fail(info)) };
        let Some(session) = self.sessions.get(tag) else { return };
        let app = self.queue.app(&session.app);
        let listed = app.and_then(|app| app.words.iter().find(|(_, hook)| &***hook == event));
        if let Some((event_type, _)) = listed {
            let event_type = event_type.clone();
            publish_own(hub, &event_type, None, scope(&session.app, &session.id), fields);
        } else {
            self.tell(hub, tag, event, &fields);
        }
    }
}

/// Whether an application's backend is asked before an operation.
pub(super) fn is_listed(hub: &Hub, app: &str, hook: &str) -> bool {
    let lists = |app: &crate::ground::config::WcsApp| app.hooks.iter().any(|listed| listed == hook);
    !hub.config.wcs.disable && hub.config.wcs.app(app).is_some_and(lists)
}

/// What a hook counts as that is not called.
pub(super) fn proceed(fields: Fields) -> Outcome {
    Outcome::Proceed { fields, policies: None, failure: None }
}
