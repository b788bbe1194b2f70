//! What a PBX contains, as its messages tell it, and the canonical events that follow from each.
//!
//! A channel that some party has is a leg; legs that share a `Linkedid` are one call. Halves of Local channels and what
//! the PBX makes for its own use are followed, so that those who talk through them are found, but never told.
//! What is absent here: the connection, its login, and when to ask; [`Mirror::questions`] says what.

mod agents;
mod bridges;
mod calls;
mod channels;
mod conferences;
mod contacts;
mod held;
mod hints;
mod kept;
mod queues;
mod read;
mod recordings;
mod resync;
mod snapshot;
mod states;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use held::Held;
pub use resync::{Missed, Question};

use super::scope::{Place, Rules};
use super::told::{Facts, Key, Open, Told};
use crate::ground::limits::Limits;
use crate::ground::time::{Now, Wall};
use crate::wire::ami::Message;

/// The events that a mirror looks at, in the order of their names.
const WANTED: &[&str] = &[
    "AgentCalled",
    "AgentComplete",
    "AgentConnect",
    "AgentLogin",
    "AgentLogoff",
    "AgentRingNoAnswer",
    "AttendedTransfer",
    "BlindTransfer",
    "BridgeDestroy",
    "BridgeEnter",
    "BridgeLeave",
    "ConfbridgeEnd",
    "ConfbridgeJoin",
    "ConfbridgeLeave",
    "ConfbridgeTalking",
    "ContactStatus",
    "DTMFEnd",
    "DeviceStateChange",
    "DialBegin",
    "DialEnd",
    "DialState",
    "ExtensionStatus",
    "Hangup",
    "Hold",
    "LocalOptimizationBegin",
    "LocalOptimizationEnd",
    "MessageWaiting",
    "MixMonitorMute",
    "MixMonitorStart",
    "MixMonitorStop",
    "Newchannel",
    "Newstate",
    "PresenceStatus",
    "QueueCallerAbandon",
    "QueueCallerJoin",
    "QueueCallerLeave",
    "QueueMemberAdded",
    "QueueMemberPause",
    "QueueMemberRemoved",
    "QueueMemberStatus",
    "Rename",
    "Unhold",
    "VarSet",
];

/// What a PBX contains.
#[derive(Debug)]
pub struct Mirror {
    rules: Rules,
    /// Things of each kind at most.
    most: usize,
    /// Bytes of events at most that a resync sets aside.
    aside_bytes: usize,
    forgotten: u64,
    channels: Held<channels::Channel>,
    /// Calls by their `Linkedid`; each has a channel at least.
    calls: BTreeMap<Box<str>, channels::Call>,
    bridges: bridges::Bridges,
    /// Members of conferences, by conference and channel.
    members: Held<conferences::Member>,
    /// Recordings by their id.
    recordings: Held<recordings::Recording>,
    /// Callers that wait in queues, by queue and channel.
    callers: Held<queues::Caller>,
    /// Agents: members of queues, and those who are logged in by themselves.
    agents: Held<agents::Agent>,
    /// Contacts by address of record and URI.
    contacts: Held<contacts::Contact>,
    /// The last state that was told of devices, extensions, presence and mailboxes, by kind and name.
    states: BTreeMap<&'static str, Held<Facts>>,
    hints: hints::Hints,
    /// Links that were restored; their legs may come later.
    links: Vec<kept::Link>,
    resync: Option<resync::Resync>,
}

/// What is told while a message is applied.
struct Say<'a> {
    out: &'a mut Vec<Told>,
    wall: Wall,
    /// Why all of this is told, if no event of the PBX is the reason.
    reason: Option<&'static str>,
}

impl Say<'_> {
    fn tell(
        &mut self,
        event_type: &'static str,
        subject: String,
        facts: Facts,
        scope: Vec<(&'static str, Box<str>)>,
        open: Open,
    ) {
        let facts = facts.text("reason", self.reason).into_vec();
        self.out.push(Told { event_type, subject, facts, scope, wall: self.wall, open });
    }
}

impl Mirror {
    /// A mirror of a PBX of which nothing is known.
    #[must_use]
    pub fn new(rules: Rules, limits: &Limits) -> Mirror {
        Mirror {
            rules,
            most: limits.source_things as usize,
            aside_bytes: limits.source_aside_bytes as usize,
            forgotten: 0,
            channels: Held::default(),
            calls: BTreeMap::new(),
            bridges: bridges::Bridges::default(),
            members: Held::default(),
            recordings: Held::default(),
            callers: Held::default(),
            agents: Held::default(),
            contacts: Held::default(),
            states: BTreeMap::new(),
            hints: hints::Hints::default(),
            links: Vec::new(),
            resync: None,
        }
    }

    /// Whether [`Mirror::apply`] looks at events of that name at all.
    #[must_use]
    pub fn wants(event: &[u8]) -> bool {
        WANTED.binary_search_by(|name| name.as_bytes().cmp(event)).is_ok()
    }

    /// An event of the PBX; what follows from it is added to `out`.
    pub fn apply(&mut self, message: &Message<'_>, now: Now, out: &mut Vec<Told>) {
        let Some(event) = message.event() else { return };
        if self.set_aside(event, message) {
            return;
        }
        let say = &mut Say { out, wall: read::when(message, now), reason: None };
        match event {
            b"Newchannel" => self.new_channel(message, say),
            b"Newstate" => self.new_state(message, say),
            b"Rename" => self.renamed(message),
            b"VarSet" => self.variable_set(message),
            b"DialBegin" => self.dial_begins(message, say),
            b"DialState" => self.dial_goes_on(message, say),
            b"DialEnd" => self.dial_ends(message, say),
            b"Hangup" => self.hung_up(message, say),
            b"DTMFEnd" => self.digit(message, say),
            b"Hold" => self.held(message, true, say),
            b"Unhold" => self.held(message, false, say),
            b"BlindTransfer" => self.blind_transfer(message, say),
            b"AttendedTransfer" => self.attended_transfer(message, say),
            b"BridgeEnter" => self.bridge_entered(message, say),
            b"BridgeLeave" => self.bridge_left(message, say),
            b"BridgeDestroy" => self.bridge_destroyed(message, say),
            b"LocalOptimizationBegin" => self.optimization_begins(message),
            b"LocalOptimizationEnd" => self.optimization_ends(message, say),
            b"ConfbridgeJoin" => self.conference_joined(message, say),
            b"ConfbridgeLeave" => self.conference_left(message, say),
            b"ConfbridgeEnd" => self.conference_ended(message, say),
            b"ConfbridgeTalking" => self.conference_talking(message, say),
            b"MixMonitorStart" => self.recording_started(message, say),
            b"MixMonitorStop" => self.recording_stopped(message, say),
            b"MixMonitorMute" => self.recording_muted(message, say),
            b"QueueCallerJoin" => self.queue_joined(message, say),
            b"QueueCallerLeave" => self.queue_left(message, say),
            b"QueueCallerAbandon" => self.queue_abandoned(message, say),
            b"AgentCalled" => self.agent_called("agent.called", message, say),
            b"AgentConnect" => self.agent_called("agent.connected", message, say),
            b"AgentComplete" => self.agent_called("agent.completed", message, say),
            b"AgentRingNoAnswer" => self.agent_called("agent.no_answer", message, say),
            b"QueueMemberAdded" => self.member_added(message, say),
            b"QueueMemberRemoved" => self.member_removed(message, say),
            b"QueueMemberPause" | b"QueueMemberStatus" => self.member_changed(message, say),
            b"AgentLogin" => self.agent_logged_in(message, say),
            b"AgentLogoff" => self.agent_logged_off(message, say),
            b"DeviceStateChange" => self.device_changed(message, say),
            b"ExtensionStatus" => self.extension_changed(message, say),
            b"PresenceStatus" => self.presence_changed(message, say),
            b"MessageWaiting" => self.mailbox_changed(message, say),
            b"ContactStatus" => self.contact_changed(message, say),
            _ => {}
        }
        self.forget(say);
    }

    /// The PBX is gone. Nothing is told yet: the next resync decides what ended.
    pub fn lost(&mut self) {
        self.resync = None;
    }

    /// Things that are held, of all kinds.
    #[must_use]
    pub fn len(&self) -> usize {
        let calls = self.channels.len() + self.members.len() + self.recordings.len() + self.callers.len();
        let states: usize = self.states.values().map(Held::len).sum();
        calls + self.agents.len() + self.contacts.len() + states + self.hints.len()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Things that left because there were too many of their kind.
    #[must_use]
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Lets the oldest things leave where there are too many of a kind. Those that were open end, so that none stays
    /// open for ever.
    fn forget(&mut self, say: &mut Say<'_>) {
        let say = &mut Say { out: say.out, wall: say.wall, reason: Some("forgotten") };
        while let Some(id) = self.channels.beyond(self.most) {
            self.end_channel(&id, Facts::default(), say);
            self.forgotten += 1;
        }
        while let Some(id) = self.members.beyond(self.most) {
            self.end_member(&id, say);
            self.forgotten += 1;
        }
        while let Some(id) = self.recordings.beyond(self.most) {
            self.end_recording(&id, say);
            self.forgotten += 1;
        }
        while let Some(id) = self.callers.beyond(self.most) {
            self.end_caller(&id, Facts::default(), say);
            self.forgotten += 1;
        }
        while let Some(id) = self.agents.beyond(self.most) {
            self.end_agent(&id, Facts::default(), say);
            self.forgotten += 1;
        }
        while let Some(id) = self.contacts.beyond(self.most) {
            self.end_contact(&id, say);
            self.forgotten += 1;
        }
        for states in self.states.values_mut() {
            while let Some(id) = states.beyond(self.most) {
                states.take(&id);
                self.forgotten += 1;
            }
        }
    }

    /// The scope of what belongs to no call.
    fn scope_of(&self, place: &Place<'_>) -> Vec<(&'static str, Box<str>)> {
        self.rules.attributes(self.rules.first(place))
    }

    /// Notes that an event told this aspect of a thing, so that an older answer does not count.
    fn touch(&mut self, aspect: resync::Aspect, id: &str) {
        if let Some(resync) = &mut self.resync {
            resync.touch(aspect, id, self.most);
        }
    }
}

/// The id of what is one of several in a group.
fn within(group: &str, id: &str) -> Box<str> {
    format!("{group}/{id}").into()
}

/// Ids, each once.
type Ids = BTreeSet<Box<str>>;

/// The key of an open thing.
fn key(kind: &str, id: &str) -> Key {
    Key::new(kind, id)
}
