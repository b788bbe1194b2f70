//! Queues: callers that wait, and whom a queue calls for them.

use serde::{Deserialize, Serialize};

use super::agents::agent;
use super::channels::{Channel, Role};
use super::read::{number, said, text};
use super::resync::Aspect;
use super::snapshot::Snapshot;
use super::{Facts, Mirror, Open, Say, key, within};
use crate::source::asterisk::scope::Place;
use crate::wire::ami::Message;

/// A leg that waits in a queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Caller {
    pub(super) queue: Box<str>,
    pub(super) channel: Box<str>,
}

impl Mirror {
    pub(super) fn queue_joined(&mut self, message: &Message<'_>, say: &mut Say<'_>) {
        let (Some(id), Some(queue)) = (self.subject(message), said(message, "Queue")) else { return };
        self.touch(Aspect::Caller, &within(&id, &queue));
        self.begin_caller(&queue, &id, figures(message), say);
    }

    /// A leg waits in a queue; one that waits there already is not told again.
    pub(super) fn begin_caller(&mut self, queue: &str, channel: &str, more: Facts, say: &mut Say<'_>) {
        let id = within(channel, queue);
        let Some(leg) = self.channels.get(channel).filter(|leg| leg.told && !self.callers.has(&id)) else {
            return;
        };
        let facts = self.leg(leg).and(of(queue)).and(more);
        let scope = self.scope(leg);
        self.callers.put(&id, Caller { queue: queue.into(), channel: channel.into() });
        say.tell("queue.join", subject(queue), facts, scope, Open::Opens(key("caller", &id)));
    }

    pub(super) fn queue_left(&mut self, message: &Message<'_>, say: &mut Say<'_>) {
        let (Some(id), Some(queue)) = (self.subject(message), said(message, "Queue")) else { return };
        let id = within(&id, &queue);
        self.touch(Aspect::Caller, &id);
        self.end_caller(&id, figures(message), say);
    }

    /// The caller gave up, or the queue did; that he left is told next.
    pub(super) fn queue_abandoned(&mut self, message: &Message<'_>, say: &mut Say<'_>) {
        let (Some(leg), Some(queue)) = (self.shown(message, say), said(message, "Queue")) else { return };
        let facts = self.leg(&leg).and(of(&queue)).and(figures(message));
        let scope = self.scope(&leg);
        say.tell("queue.abandon", subject(&queue), facts, scope, Open::No);
    }

    pub(super) fn end_caller(&mut self, id: &str, more: Facts, say: &mut Say<'_>) {
        let Some(caller) = self.callers.take(id) else { return };
        let leg = self.channels.get(&caller.channel);
        let facts = leg.map(|leg| self.leg(leg)).unwrap_or_default().and(of(&caller.queue)).and(more);
        let scope = leg.map(|leg| self.scope(leg)).unwrap_or_default();
        say.tell("queue.leave", subject(&caller.queue), facts, scope, Open::Closes(key("caller", id)));
    }

    pub(super) fn end_callers_of(&mut self, channel: &str, say: &mut Say<'_>) {
        for id in self.callers.under(&format!("{channel}/")) {
            self.end_caller(&id, Facts::default(), say);
        }
    }

    /// The caller's leg. What a queue has done comes at times behind its end: then it is as the message shows it.
    fn shown(&mut self, message: &Message<'_>, say: &Say<'_>) -> Option<Channel> {
        let shown = || Some(Channel::of_role(&Snapshot::of(message, "")?, Role::Inbound, say.wall));
        self.told_leg(message).or_else(shown)
    }

    /// What a queue does with one of its members for a caller; the caller's leg tells who calls, the member who is called.
    /// What comes behind the leg's end may show no leg at all.
    pub(super) fn agent_called(
        &mut self,
        event_type: &'static str,
        message: &Message<'_>,
        say: &mut Say<'_>,
    ) {
        let Some(queue) = said(message, "Queue") else { return };
        let leg = self.shown(message, say);
        let interface = said(message, "Interface").unwrap_or_default();
        let called = Snapshot::of(message, "Dest").and_then(|called| text(called.id));
        let name = said(message, "MemberName");
        let phone = match called.as_deref().and_then(|called| self.channels.get(called)) {
            Some(leg) => self.leg(leg).only(&["extension", "username"]),
            None => self.phone(&interface),
        };
        let caller = leg.as_ref().map(|leg| self.leg(leg)).unwrap_or_default();
        let facts = caller
            .without(&["extension", "username", "channel", "direction"])
            .and(of(&queue))
            .and(agent(&interface, name.as_deref()))
            .and(phone)
            .text("agent_call_id", called.as_deref())
            .and(figures(message))
            .number("ring_time_ms", number(message, "RingTime"))
            .number("talk_time", number(message, "TalkTime"))
            .text("reason", said(message, "Reason").as_deref());
        let scope = match &leg {
            Some(leg) => self.scope(leg),
            None => self.scope_of(&Place { device: Some(&interface), ..Place::default() }),
        };
        say.tell(event_type, format!("agent/{interface}"), facts, scope, Open::No);
    }
}

/// A queue is known by its name.
pub(super) fn of(queue: &str) -> Facts {
    Facts::default().text("queue_id", queue).text("queue", queue)
}

fn subject(queue: &str) -> String {
    format!("queue/{queue}")
}

/// Where a caller stands, and since when he waits.
fn figures(message: &Message<'_>) -> Facts {
    Facts::default()
        .number("position", number(message, "Position"))
        .number("count", number(message, "Count"))
        .number("hold_time", number(message, "HoldTime"))
}
