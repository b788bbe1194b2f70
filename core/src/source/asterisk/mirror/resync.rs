//! Resync: the PBX is asked for all that it contains, and what was missed is told with `reason = "resync"`.
//!
//! Events go on while answers come. What an event told of a thing since the questions began wins over the answer, which
//! may be older.

use std::collections::{BTreeMap, BTreeSet};

use super::agents::Agent;
use super::bridges::links;
use super::channels::{Channel, Role};
use super::contacts::Contact;
use super::read::{clock, number, said};
use super::snapshot::Snapshot;
use super::states::State;
use super::{Facts, Ids, Mirror, Say, Told, within};
use crate::ground::time::{Now, Wall};
use crate::wire::ami::Message;

/// An action whose answer says what the PBX contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The action's name.
    pub action: &'static str,
    /// Its further keys and their values.
    pub fields: Vec<(&'static str, String)>,
    /// The event that ends its list; none if the response is all.
    pub end: Option<&'static str>,
}

/// The questions in their order: hints say which extension a device is, bridges of what kind those are that channels name.
const QUESTIONS: [(&str, &str); 8] = [
    ("ExtensionStateList", "ExtensionStateListComplete"),
    ("PJSIPShowContacts", "ContactListComplete"),
    ("DeviceStateList", "DeviceStateListComplete"),
    ("BridgeList", "BridgeListComplete"),
    ("CoreShowChannels", "CoreShowChannelsComplete"),
    ("QueueStatus", "QueueStatusComplete"),
    ("Agents", "AgentsComplete"),
    ("VoicemailUsersList", "VoicemailUserEntryComplete"),
];

/// What lists consist of, besides events that are told at other times as well.
const ENTRIES: [&str; 7] = [
    "Agents",
    "BridgeListItem",
    "ContactList",
    "CoreShowChannel",
    "QueueEntry",
    "QueueMember",
    "VoicemailUserEntry",
];

/// What of a thing an event may have told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Aspect {
    /// That a channel is there, or not any more; its name and its call.
    Life,
    /// How far a channel has come; the state of a device, an extension, a mailbox.
    State,
    /// The bridge that a channel is in.
    Bridge,
    /// The conference that a channel is in.
    Conference,
    Caller,
    Agent,
    Contact,
}

/// A resync that is under way.
#[derive(Debug, Default)]
pub(super) struct Resync {
    /// Some answer came.
    answered: bool,
    touched: BTreeSet<(Aspect, Box<str>)>,
    /// Events told more than could be noted, so that no answer is known to be newer.
    blurred: bool,
    /// The actions whose answers are longer than what is held.
    beyond: BTreeSet<&'static str>,
    /// Whether a bridge links its members.
    bridges: BTreeMap<Box<str>, bool>,
    channels: BTreeMap<Box<str>, Listed>,
    callers: Vec<(Box<str>, Box<str>)>,
    agents: Vec<Agent>,
    contacts: Vec<Contact>,
    states: BTreeMap<&'static str, Vec<State>>,
    /// Events of channels that are not known, as they came: an answer may make them known.
    aside: Vec<Box<[u8]>>,
    aside_bytes: usize,
    /// Such events that found no room.
    missed: u64,
}

/// What a resync could not take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// Actions whose answers were longer than what is held: nothing follows from them.
    pub answers: Vec<&'static str>,
    /// So much happened meanwhile that nothing follows from any answer; another time it may.
    pub all: bool,
    /// Events that were to wait for an answer, and found no room.
    pub events: u64,
}

/// What is noted of each thing that events touch, more or less.
const ASPECTS: usize = 8;

/// What an event that is set aside takes besides its bytes.
const ASIDE_BYTES: usize = 32;

/// A channel of an answer.
#[derive(Debug)]
struct Listed {
    channel: Channel,
    state: Box<[u8]>,
    bridge: Option<Box<str>>,
    conference: Option<Box<str>>,
    seconds: u64,
}

impl Resync {
    /// Notes that an event told this aspect of a thing.
    pub(super) fn touch(&mut self, aspect: Aspect, id: &str, most: usize) {
        if self.touched.len() < most.saturating_mul(ASPECTS) {
            self.touched.insert((aspect, id.into()));
        } else {
            self.blurred |= !self.touches(aspect, id);
        }
    }

    /// How many of its kind are there already.
    fn gathered(&self, answer: &Answer) -> usize {
        match answer {
            Answer::Refused => 0,
            Answer::Channel(_) => self.channels.len(),
            Answer::Bridge(..) => self.bridges.len(),
            Answer::Caller(..) => self.callers.len(),
            Answer::Agent(_) => self.agents.len(),
            Answer::Contact(_) => self.contacts.len(),
            Answer::State(state) => self.states.get(state.event_type).map_or(0, Vec::len),
        }
    }

    fn touches(&self, aspect: Aspect, id: &str) -> bool {
        self.touched.contains(&(aspect, id.into()))
    }
}

impl Mirror {
    /// What to ask, in order; nothing once answers came.
    #[must_use]
    pub fn questions(&self) -> Vec<Question> {
        if self.resync.as_ref().is_some_and(|resync| resync.answered) {
            return Vec::new();
        }
        let question = |(action, end)| Question { action, fields: Vec::new(), end: Some(end) };
        QUESTIONS.into_iter().map(question).collect()
    }

    /// Whether events of that name are part of an answer.
    #[must_use]
    pub fn lists(event: &[u8]) -> bool {
        let ends = QUESTIONS.into_iter().map(|(_, end)| end);
        ENTRIES.into_iter().chain(ends).any(|name| event.eq_ignore_ascii_case(name.as_bytes()))
    }

    /// The questions are asked from here on.
    pub fn begin_resync(&mut self) {
        self.resync = Some(Resync::default());
        self.link_restored();
    }

    /// A message of an answer; `false` if it says that the question is refused.
    pub fn answer(&mut self, question: &Question, message: &Message<'_>) -> bool {
        if self.resync.is_none() {
            return true;
        }
        let said_of = self.read_answer(question, message);
        let Some(resync) = &mut self.resync else { return true };
        resync.answered = true;
        if said_of.as_ref().is_some_and(|answer| resync.gathered(answer) >= self.most) {
            resync.beyond.insert(question.action);
            return true;
        }
        match said_of {
            Some(Answer::Refused) => return false,
            Some(Answer::Channel(listed)) => {
                resync.channels.insert(listed.channel.id.clone(), *listed);
            }
            Some(Answer::Bridge(id, links)) => {
                resync.bridges.insert(id, links);
            }
            Some(Answer::Caller(queue, channel)) => resync.callers.push((queue, channel)),
            Some(Answer::Agent(agent)) => resync.agents.push(agent),
            Some(Answer::Contact(contact)) => resync.contacts.push(contact),
            Some(Answer::State(state)) => resync.states.entry(state.event_type).or_default().push(state),
            None => {}
        }
        true
    }

    fn read_answer(&mut self, question: &Question, message: &Message<'_>) -> Option<Answer> {
        if let Some(response) = message.response() {
            // No contacts, no agents: an answer, if a short one.
            let nothing = message.get("Message").is_some_and(|text| text.starts_with(b"No "));
            return (response == b"Error" && !nothing).then_some(Answer::Refused);
        }
        let event = message.event()?;
        match (question.action, event) {
            ("ExtensionStateList", b"ExtensionStatus") => {
                self.hinted(message);
                self.extension_state(message).map(Answer::State)
            }
            ("DeviceStateList", b"DeviceStateChange") => self.device(message).map(Answer::State),
            ("VoicemailUsersList", b"VoicemailUserEntry") => {
                let mailbox = format!("{}@{}", said(message, "VoiceMailbox")?, said(message, "VMContext")?);
                let counts = [number(message, "NewMessageCount"), number(message, "OldMessageCount")];
                Some(Answer::State(self.mailbox(&mailbox, counts[0].map(|new| new > 0), counts)))
            }
            ("PJSIPShowContacts", b"ContactList") => Contact::of_list(message).map(Answer::Contact),
            ("BridgeList", b"BridgeListItem") => {
                let kind = message.get("BridgeType").unwrap_or_default();
                Some(Answer::Bridge(said(message, "BridgeUniqueid")?, links(kind)))
            }
            ("CoreShowChannels", b"CoreShowChannel") => {
                Listed::of(message).map(Box::new).map(Answer::Channel)
            }
            ("QueueStatus", b"QueueMember") => Agent::member(message).map(Answer::Agent),
            ("QueueStatus", b"QueueEntry") => {
                Some(Answer::Caller(said(message, "Queue")?, said(message, "Uniqueid")?))
            }
            ("Agents", b"Agents") if message.get("Status") != Some(b"AGENT_LOGGEDOFF") => {
                Agent::of_pool(message).map(Answer::Agent)
            }
            _ => None,
        }
    }

    /// While answers come, keeps an event of a channel that is not known for later; `false` if this is none.
    pub(super) fn set_aside(&mut self, event: &[u8], message: &Message<'_>) -> bool {
        let Some(resync) = self.resync.as_mut().filter(|_| Mirror::wants(event)) else { return false };
        let unknown = |key| said(message, key).is_some_and(|id| !self.channels.has(&id));
        let lives = ![&b"Newchannel"[..], b"Hangup"].contains(&event);
        let is_aside = lives && ["Uniqueid", "DestUniqueid", "TransfereeUniqueid"].into_iter().any(unknown);
        let bytes = resync.aside_bytes + message.block().len() + ASIDE_BYTES;
        if is_aside && bytes <= self.aside_bytes {
            resync.aside_bytes = bytes;
            resync.aside.push(message.block().into());
        } else if is_aside {
            resync.missed += 1;
        }
        is_aside
    }

    /// All answers are there, but those of `unanswered`, of which nothing follows. Tells what was missed, and returns what
    /// still is.
    pub fn finish_resync(&mut self, unanswered: &[Question], now: Now, out: &mut Vec<Told>) -> Missed {
        let Some(mut resync) = self.resync.take() else { return Missed::default() };
        if !resync.blurred {
            self.compare(&resync, unanswered, &mut Say { out, wall: now.wall, reason: Some("resync") });
        }
        for block in std::mem::take(&mut resync.aside) {
            self.apply(&Message::of(&block), now, out);
        }
        Missed { answers: resync.beyond.into_iter().collect(), all: resync.blurred, events: resync.missed }
    }

    /// Tells in what the answers differ from what was told.
    fn compare(&mut self, resync: &Resync, unanswered: &[Question], say: &mut Say<'_>) {
        let answered = |action: &str| {
            !unanswered.iter().any(|question| question.action == action) && !resync.beyond.contains(action)
        };
        if answered("CoreShowChannels") {
            self.channels_missed(resync, answered("BridgeList"), say);
        }
        if answered("QueueStatus") {
            self.callers_missed(resync, say);
            self.agents_missed(resync, |agent| agent.queue.is_some(), say);
        }
        if answered("Agents") {
            self.agents_missed(resync, |agent| agent.queue.is_none(), say);
        }
        if answered("PJSIPShowContacts") {
            self.contacts_missed(resync, say);
        }
        for state in resync.states.values().flatten() {
            if !resync.touches(Aspect::State, &state.subject) {
                self.set_state(state.clone(), say);
            }
        }
        if answered("ExtensionStateList") {
            let states = resync.states.get("extension.state").into_iter().flatten();
            let listed: BTreeSet<&str> = states.map(|state| &*state.subject).collect();
            self.hints.retain(|id| {
                let subject = format!("extension/{id}");
                listed.contains(&*subject) || resync.touches(Aspect::State, &subject)
            });
        }
        self.forget(say);
    }

    fn channels_missed(&mut self, resync: &Resync, with_bridges: bool, say: &mut Say<'_>) {
        for id in self.channels.which(|_| true) {
            if !resync.channels.contains_key(&id) && !resync.touches(Aspect::Life, &id) {
                self.end_channel(&id, Facts::default(), say);
            }
        }
        for (id, listed) in resync.channels.iter().filter(|(id, _)| !resync.touches(Aspect::Life, id)) {
            if let Some(channel) = self.channels.get_mut(id) {
                channel.name.clone_from(&listed.channel.name);
                self.links_up(id, listed.channel.linked.clone());
            } else {
                let mut channel = listed.channel.clone();
                channel.since = Wall(say.wall.0.saturating_sub(listed.seconds.saturating_mul(1000)));
                self.take_in(channel);
            }
        }
        // Whoever calls comes before those who are called.
        let mut listed: Vec<_> = resync.channels.iter().collect();
        listed.sort_by_key(|(_, listed)| listed.channel.role == Role::Outbound);
        for (id, listed) in listed {
            if !resync.touches(Aspect::State, id) {
                if listed.channel.role == Role::Inbound {
                    self.calls(id, listed.channel.called.number.clone());
                }
                self.start(id, say);
                self.advance(id, &listed.state, say);
            }
        }
        if with_bridges {
            self.bridges_missed(resync, say);
        }
        let in_conference = |id: &str, conference: &str| {
            let there = resync.channels.get(id).and_then(|listed| listed.conference.as_deref());
            there == Some(conference) || resync.touches(Aspect::Conference, id)
        };
        for id in self.members.which(|member| !in_conference(&member.channel, &member.conference)) {
            self.end_member(&id, say);
        }
        for (id, listed) in &resync.channels {
            if let Some(conference) = &listed.conference
                && !resync.touches(Aspect::Conference, id)
            {
                self.begin_member(conference, id, Facts::default(), say);
            }
        }
    }

    /// All channels change their bridges at once: whoever is linked before and after stays linked.
    fn bridges_missed(&mut self, resync: &Resync, say: &mut Say<'_>) {
        let legs: Ids = self.channels.which(Channel::is_leg).into_iter().collect();
        self.moving(legs.clone());
        for (id, listed) in &resync.channels {
            if resync.touches(Aspect::Bridge, id) {
                continue;
            }
            match &listed.bridge {
                None => self.bridge(id, None, say),
                Some(bridge) => {
                    // One that was made after the bridges were listed will tell of itself.
                    if let Some(links) = resync.bridges.get(bridge) {
                        self.bridge(id, Some((bridge, *links)), say);
                    }
                }
            }
        }
        self.moving(Ids::new());
        self.relink(&legs, say);
    }

    fn callers_missed(&mut self, resync: &Resync, say: &mut Say<'_>) {
        let listed: Ids = resync.callers.iter().map(|(queue, channel)| within(channel, queue)).collect();
        for id in self.callers.which(|_| true) {
            if !listed.contains(&id) && !resync.touches(Aspect::Caller, &id) {
                self.end_caller(&id, Facts::default(), say);
            }
        }
        for (queue, channel) in &resync.callers {
            if !resync.touches(Aspect::Caller, &within(channel, queue)) {
                self.begin_caller(queue, channel, Facts::default(), say);
            }
        }
    }

    fn agents_missed(&mut self, resync: &Resync, kind: impl Fn(&Agent) -> bool, say: &mut Say<'_>) {
        let listed: Ids = resync.agents.iter().map(Agent::id).collect();
        for id in self.agents.which(&kind) {
            if !listed.contains(&id) && !resync.touches(Aspect::Agent, &id) {
                self.end_agent(&id, Facts::default(), say);
            }
        }
        for agent in resync.agents.iter().filter(|agent| kind(agent)) {
            if !resync.touches(Aspect::Agent, &agent.id()) {
                self.begin_agent(agent.clone(), say);
            }
        }
    }

    fn contacts_missed(&mut self, resync: &Resync, say: &mut Say<'_>) {
        let listed: Ids = resync.contacts.iter().map(Contact::id).collect();
        for id in self.contacts.which(|_| true) {
            if !listed.contains(&id) && !resync.touches(Aspect::Contact, &id) {
                self.end_contact(&id, say);
            }
        }
        for contact in &resync.contacts {
            if !resync.touches(Aspect::Contact, &contact.id()) {
                self.set_contact(contact.clone(), say);
            }
        }
    }
}

/// What one message of an answer says.
enum Answer {
    Refused,
    Channel(Box<Listed>),
    Bridge(Box<str>, bool),
    Caller(Box<str>, Box<str>),
    Agent(Agent),
    Contact(Contact),
    State(State),
}

impl Listed {
    fn of(message: &Message<'_>) -> Option<Listed> {
        let snapshot = Snapshot::of(message, "")?;
        let application = message.get("Application").unwrap_or_default();
        let data = said(message, "ApplicationData").unwrap_or_default();
        // Whoever was called by the PBX shows the application that called, marked so.
        let called = !matches!(snapshot.state, b"4" | b"6") || &*data == "(Outgoing Line)";
        let role = if called { Role::Outbound } else { Role::Inbound };
        let channel = Channel::of_role(&snapshot, role, Wall::default());
        let bridge = said(message, "BridgeId");
        let conference = data.split(',').next().filter(|name| !name.is_empty());
        let conference = conference.filter(|_| application == b"ConfBridge" && bridge.is_some());
        Some(Listed {
            conference: conference.map(Into::into),
            state: snapshot.state.into(),
            seconds: said(message, "Duration").and_then(|text| clock(&text)).unwrap_or(0),
            bridge,
            channel,
        })
    }
}
