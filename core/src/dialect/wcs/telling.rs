//! What clients are told: events of their sessions, what failed hooks lead to, and what a backend pushes. A client that
//! does not read is closed at a bound.

use std::sync::Arc;

use super::envelope;
use super::hook::{Fields, fields};
use super::judge::{Failure, for_client};
use super::messages::{self, CONNECTION, text_of};
use super::queue::Hook;
use super::table::{self, CONNECT, Kind};
use super::{NAME, Wcs, publish_own, scope};
use crate::event::{Event, Fact};
use crate::ground::config::{ErrorEvent, HookPolicy};
use crate::ground::id::Seq;
use crate::ground::stats::NotSent;
use crate::hub::Hub;
use crate::hub::action::Level;
use crate::hub::socket::CloseCode;
use crate::log::record::{Actor, Record};

/// What routes an event to what it is about goes along into `ErrorEvent`.
const ROUTING: [&str; 3] = ["mediaSessionId", "callId", "operationId"];

impl Wcs {
    /// An event with its word for clients, and its hook if the application lists that: the client gets it first, unless it
    /// is something that arrives, which the backend may turn away.
    pub(super) fn tell_then_call(
        &mut self,
        hub: &mut Hub,
        seq: Seq,
        record: &Record,
        event: &Arc<Event>,
        word: Option<&str>,
        hook: Option<&str>,
    ) {
        let key = event.extension("appkey").unwrap_or_default();
        let session = event.extension("sessionid").unwrap_or_default();
        let asks_first =
            hook.is_some_and(|hook| table::kind(hook, &hub.config.wcs.extra_hooks) == Some(Kind::Incoming));
        if let Some(word) = word.filter(|_| !asks_first && !session.is_empty() && !hub.recovering) {
            let own = record.header.actor == Actor::Server(NAME) && word == CONNECTION;
            self.tell_event(hub, word, event, own);
        }
        if let Some(hook) = hook {
            self.enqueue(hub, seq.0, key, hook, event, seq);
        }
        if let Some(tag) = self.addressee(event) {
            self.part(hub, tag);
        }
    }

    /// Sends a frame to a client, unless too much waits for it already.
    pub(super) fn say(&mut self, hub: &mut Hub, tag: u32, frame: Vec<u8>) {
        let Some(session) = self.sessions.get_mut(tag).filter(|session| !session.closing) else { return };
        let Some(id) = session.conn else { return };
        let Some(conn) = hub.conns.get(id) else { return };
        let waiting = conn.output.private_bytes();
        if conn.blocked && !session.may_wait(waiting, &hub.config.limits) {
            let text = format!("wcs: session {} was closed: its client is too slow", session.id);
            hub.note(Level::Info, text);
            hub.stats.not_sent(NAME, NotSent::SlowReader, 1);
            return self.shut(hub, tag, CloseCode::TRY_AGAIN_LATER, "too slow");
        }
        session.sends(waiting, frame.len());
        hub.say(id, frame);
    }

    /// Tells a client of what has these fields, under the name of the hook that would tell it to a backend.
    pub(super) fn tell(&mut self, hub: &mut Hub, tag: u32, hook: &str, fields: &Fields) {
        let Some(session) = self.sessions.get(tag) else { return };
        let mut policy = self.policy(hub, &session.app, &session.id, hook);
        if hook == CONNECTION {
            // The vendor's sample keeps sip credentials from the client so.
            policy.client_exclude.extend(self.policy(hub, &session.app, &session.id, CONNECT).client_exclude);
        }
        let status = text_of(fields, "status").unwrap_or_default();
        if let Some(frame) = messages::frame(hook, status, &for_client(fields, &policy)) {
            self.say(hub, tag, frame);
        }
    }

    /// Tells a client of an event of its session. `own`: it is the session's own beginning or end.
    fn tell_event(&mut self, hub: &mut Hub, hook: &str, event: &Event, own: bool) {
        let tag = self.addressee(event);
        let session = tag.and_then(|tag| self.sessions.get(tag)).filter(|s| self.is_here(hub, &s.id));
        if session.is_none_or(|session| session.conn.is_none()) && !own {
            hub.stats.not_sent(NAME, NotSent::NoSession, 1);
        }
        let Some((tag, session)) = tag.zip(session) else { return };
        let mut fields = fields(event);
        let status = text_of(&fields, "status").unwrap_or_default().to_owned();
        if hook == CONNECTION && status == "ESTABLISHED" {
            let text = |text: &str| Fact::Text(text.into());
            let first = [("appKey".into(), text(&session.app)), ("sessionId".into(), text(&session.id))];
            fields = first.into_iter().chain(fields).chain(session.secrets.iter().cloned()).collect();
        }
        if own {
            self.own_status(hub, tag, &status);
        }
        self.tell(hub, tag, hook, &fields);
        if hook == CONNECTION && status == "FAILED" {
            self.shut(hub, tag, CloseCode::POLICY_VIOLATION, "failed");
        }
    }

    /// A hook with `restOnError` FAIL has failed: `fail` with the info alone, because with more the Web SDK would tear the
    /// stream down, and `ErrorEvent`, which the vendor's pages name.
    pub(super) fn tell_failure(&mut self, hub: &mut Hub, hook: &Hook, failure: &Failure) {
        let Some(tag) = self.addressee(&hook.event) else { return };
        let (which, info) = (hub.config.wcs.error_event, failure.info(&hook.name));
        if which != ErrorEvent::ErrorEvent {
            self.say(hub, tag, envelope::fail(&info));
        }
        if which != ErrorEvent::Fail {
            let mut told: Fields = vec![
                ("info".into(), Fact::Text(info.into())),
                ("apiMethod".into(), Fact::Text(hook.name.clone())),
            ];
            told.extend(fields(&hook.event).into_iter().filter(|(name, _)| ROUTING.contains(&&**name)));
            self.say(hub, tag, envelope::message("ErrorEvent", &told));
        }
    }

    /// The backend lets something through that arrives for a client.
    pub(super) fn arrive(&mut self, hub: &mut Hub, hook: &Hook, fields: &Fields) {
        if let Some(tag) = self.addressee(&hook.event) {
            self.tell(hub, tag, &hook.name, fields);
        }
    }

    /// The backend does not: the client hears why, and so does whoever published it, in an event without a session.
    pub(super) fn turn_away(&mut self, hub: &mut Hub, hook: &Hook, failure: &Failure) {
        let info = failure.info(&hook.name);
        if let Some(tag) = self.addressee(&hook.event) {
            self.say(hub, tag, envelope::fail(&info));
        }
        let answer = match &*hook.name {
            "OnCallEvent" => "call.status",
            "OnTransferEvent" => "transfer.status",
            _ => return,
        };
        let call = hook.event.facts().iter().filter(|(name, _)| matches!(&**name, "call_id" | "callId"));
        let mut facts: Fields = call.cloned().collect();
        facts.push(("status".into(), Fact::Text("FAILED".into())));
        facts.push(("info".into(), Fact::Text(info.into())));
        publish_own(hub, answer, hook.event.subject.clone(), scope(&hook.app, ""), facts);
    }

    /// The session that an event is of: both its name and its application must be those.
    pub(super) fn addressee(&self, event: &Event) -> Option<u32> {
        let tag = self.sessions.tag(event.extension("sessionid")?)?;
        let key = event.extension("appkey")?;
        self.sessions.get(tag).is_some_and(|session| *session.app == *key).then_some(tag)
    }

    /// The policy of a hook: the session's, else the application's.
    pub(super) fn policy(&self, hub: &Hub, app: &str, session: &str, hook: &str) -> HookPolicy {
        let of_session = self.sessions.named(session).filter(|session| *session.app == *app);
        let of_session = of_session.and_then(|session| session.policies.get(hook));
        let of_app = || hub.config.wcs.app(app).and_then(|app| app.policies.get(hook));
        of_session.or_else(of_app).cloned().unwrap_or_default()
    }
}
