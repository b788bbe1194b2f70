//! Channels: each that a party has is a leg of a call, with a life from its start to its hangup.

use serde::{Deserialize, Serialize};

use super::read::{device, endpoint, said, text};
use super::resync::Aspect;
use super::snapshot::Snapshot;
use super::{Facts, Mirror, Open, Say, key};
use crate::ground::time::Wall;
use crate::source::asterisk::scope::Place;
use crate::wire::ami::Message;

/// Technologies of channels that no party has: halves of Local channels, and what the PBX makes for its own use.
const INNER: &[&str] = &[
    "Announcer",
    "AsyncGoto",
    "Bridge",
    "CBAnn",
    "CBRec",
    "Local",
    "Message",
    "MulticastRTP",
    "Recorder",
    "Snoop",
    "Surrogate",
];

/// Which way a channel was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Role {
    /// Not yet seen.
    Unknown,
    /// By its party, who calls.
    Inbound,
    /// By the PBX, which calls its party.
    Outbound,
    /// No party has it.
    Inner,
}

/// How far a channel has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(super) enum Stage {
    Down,
    Ringing,
    Up,
}

/// Whether `call.dial` was told of a leg.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Dial {
    No,
    Begun,
    Ended,
}

/// Who takes part.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Party {
    pub(super) number: Option<Box<str>>,
    pub(super) name: Option<Box<str>>,
}

impl Party {
    fn of(number: &[u8], name: &[u8]) -> Party {
        Party { number: text(number), name: text(name) }
    }

    /// Takes what was not known yet.
    fn fill(&mut self, party: Party) {
        if self.number.is_none() {
            *self = party;
        }
    }
}

/// One channel.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Channel {
    pub(super) id: Box<str>,
    pub(super) linked: Box<str>,
    pub(super) name: Box<str>,
    pub(super) role: Role,
    pub(super) stage: Stage,
    /// Its start was told.
    pub(super) told: bool,
    pub(super) dial: Dial,
    pub(super) caller: Party,
    pub(super) called: Party,
    /// The number that was called from outside.
    pub(super) did: Option<Box<str>>,
    /// The context that it started in.
    pub(super) context: Option<Box<str>>,
    /// Variables that scope rules ask for.
    pub(super) variables: Vec<(Box<str>, Box<str>)>,
    pub(super) since: Wall,
    pub(super) answered: Option<Wall>,
    pub(super) on_hold: bool,
    /// Where MixMonitor said it would record to.
    pub(super) file: Option<Box<str>>,
    /// The bridge that it is in.
    #[serde(skip)]
    pub(super) bridge: Option<Box<str>>,
    /// The leg that it was told to be linked with, and since when.
    #[serde(skip)]
    pub(super) link: Option<(Box<str>, Wall)>,
}

/// What is common to the legs of a call.
#[derive(Debug, Default)]
pub(super) struct Call {
    channels: usize,
    did: Option<Box<str>>,
    rule: Option<usize>,
}

impl Channel {
    /// A channel that has just been made.
    pub(super) fn new(snapshot: &Snapshot<'_>, since: Wall) -> Channel {
        let role = if snapshot.state == b"4" { Role::Inbound } else { Role::Unknown };
        Channel::of_role(snapshot, role, since)
    }

    /// A channel of which it is known which way it was made.
    pub(super) fn of_role(snapshot: &Snapshot<'_>, role: Role, since: Wall) -> Channel {
        let name = text(snapshot.name).unwrap_or_default();
        let id = text(snapshot.id).unwrap_or_default();
        let mut channel = Channel {
            linked: text(snapshot.linked).unwrap_or_else(|| id.clone()),
            id,
            role: if INNER.contains(&technology(&name)) { Role::Inner } else { role },
            name,
            stage: Stage::Down,
            told: false,
            dial: Dial::No,
            caller: Party::default(),
            called: Party::default(),
            did: None,
            context: text(snapshot.context),
            variables: Vec::new(),
            since,
            answered: None,
            on_hold: false,
            file: None,
            bridge: None,
            link: None,
        };
        channel.see(snapshot);
        channel
    }

    /// Takes what a later message says of it.
    fn see(&mut self, snapshot: &Snapshot<'_>) {
        let own = Party::of(snapshot.caller_number, snapshot.caller_name);
        if self.role == Role::Inbound {
            // The dialplan may look up its caller's name.
            if own.number.is_some() && (own.number != self.caller.number || own.name.is_some()) {
                self.caller = own;
            }
            self.called.fill(Party { number: dialled(snapshot), name: None });
        } else {
            self.called.fill(own);
            self.caller.fill(Party::of(snapshot.connected_number, snapshot.connected_name));
        }
    }

    pub(super) fn device(&self) -> &str {
        device(&self.name)
    }

    /// The number of the party that has it.
    pub(super) fn own(&self) -> &Party {
        if self.role == Role::Inbound { &self.caller } else { &self.called }
    }

    /// Whether a party has it.
    pub(super) fn is_leg(&self) -> bool {
        self.role != Role::Inner
    }
}

impl Mirror {
    pub(super) fn new_channel(&mut self, message: &Message<'_>, say: &mut Say<'_>) {
        let Some(snapshot) = Snapshot::of(message, "") else { return };
        let channel = Channel::new(&snapshot, say.wall);
        let id = channel.id.clone();
        self.touch(Aspect::Life, &id);
        if self.channels.has(&id) {
            self.see(message, &snapshot);
            return;
        }
        self.take_in(channel);
        self.variables_of(message, &id);
        if snapshot.state == b"4" {
            self.start(&id, say);
        }
    }

    /// Takes a channel in of which nothing was known.
    pub(super) fn take_in(&mut self, mut channel: Channel) {
        channel.did = self.called_from_outside(&channel);
        self.hold(channel);
    }

    /// The number that was called, if no extension did that.
    fn called_from_outside(&self, channel: &Channel) -> Option<Box<str>> {
        let is_outside = channel.role == Role::Inbound && self.extension(channel).is_none();
        channel.called.number.clone().filter(|_| is_outside)
    }

    /// Holds a channel, as one of its call.
    pub(super) fn hold(&mut self, channel: Channel) {
        self.bridges.pair(&channel);
        self.join(&channel);
        let id = channel.id.clone();
        self.channels.put(&id, channel);
    }

    fn join(&mut self, channel: &Channel) {
        let rule = self.rules.first(&place(channel));
        let call = self.calls.entry(channel.linked.clone()).or_default();
        call.channels += 1;
        if call.did.is_none() {
            call.did.clone_from(&channel.did);
        }
        call.narrow(rule);
    }

    fn part(&mut self, linked: &str) {
        if let Some(call) = self.calls.get_mut(linked) {
            call.channels -= 1;
            if call.channels == 0 {
                self.calls.remove(linked);
            }
        }
    }

    /// Takes what a message says of a channel that is known; `None` if it is not.
    pub(super) fn see(&mut self, message: &Message<'_>, snapshot: &Snapshot<'_>) -> Option<Box<str>> {
        let id = text(snapshot.id)?;
        let channel = self.channels.get_mut(&id)?;
        channel.see(snapshot);
        if let Some(linked) = text(snapshot.linked).filter(|linked| *linked != channel.linked) {
            self.touch(Aspect::Life, &id);
            self.links_up(&id, linked);
        }
        self.variables_of(message, &id);
        Some(id)
    }

    /// A known channel belongs to this call.
    pub(super) fn links_up(&mut self, id: &str, linked: Box<str>) {
        let Some(channel) = self.channels.get_mut(id).filter(|channel| channel.linked != linked) else {
            return;
        };
        let before = std::mem::replace(&mut channel.linked, linked);
        let channel = channel.clone();
        self.join(&channel);
        self.part(&before);
    }

    /// The channel that a message is about, if it is known.
    pub(super) fn subject(&mut self, message: &Message<'_>) -> Option<Box<str>> {
        let snapshot = Snapshot::of(message, "")?;
        self.see(message, &snapshot)
    }

    /// The same for a leg whose start was told.
    pub(super) fn told_leg(&mut self, message: &Message<'_>) -> Option<Channel> {
        let id = self.subject(message)?;
        self.channels.get(&id).filter(|channel| channel.told).cloned()
    }

    /// Variables that manager.conf names in `channelvars` stand in each event of a channel.
    fn variables_of(&mut self, message: &Message<'_>, id: &str) {
        if !self.rules.ask() {
            return;
        }
        for pair in message.all("ChanVariable") {
            let pair = String::from_utf8_lossy(pair);
            if let Some((name, value)) = pair.split_once('=') {
                self.set_variable(id, name, value);
            }
        }
    }

    pub(super) fn set_variable(&mut self, id: &str, name: &str, value: &str) {
        // A variable that the parties' channels inherit has one or two underscores before its name.
        let name = name.trim_start_matches('_');
        if !self.rules.ask_for(name) {
            return;
        }
        let Some(channel) = self.channels.get_mut(id) else { return };
        match channel.variables.iter_mut().find(|(there, _)| **there == *name) {
            Some((_, there)) if **there == *value => return,
            Some((_, there)) => *there = value.into(),
            None => channel.variables.push((name.into(), value.into())),
        }
        let rule = self.rules.first(&place(channel));
        if let Some(call) = self.calls.get_mut(&channel.linked) {
            call.narrow(rule);
        }
    }

    pub(super) fn variable_set(&mut self, message: &Message<'_>) {
        let Some(name) = message.text("Variable") else { return };
        let id = message.get("Uniqueid").and_then(text).unwrap_or_default();
        let value = message.text("Value").unwrap_or_default();
        if name == "MIXMONITOR_FILENAME" {
            if let Some(channel) = self.channels.get_mut(&id) {
                channel.file = Some((*value).into());
            }
        } else {
            self.set_variable(&id, &name, &value);
        }
    }

    pub(super) fn renamed(&mut self, message: &Message<'_>) {
        let (Some(id), Some(name)) = (said(message, "Uniqueid"), said(message, "Newname")) else { return };
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.name = name;
            self.touch(Aspect::Life, &id);
        }
    }

    pub(super) fn new_state(&mut self, message: &Message<'_>, say: &mut Say<'_>) {
        let Some(snapshot) = Snapshot::of(message, "") else { return };
        let Some(id) = self.see(message, &snapshot) else { return };
        self.touch(Aspect::State, &id);
        if snapshot.state == b"4" {
            self.calls(&id, dialled(&snapshot));
        }
        self.advance(&id, snapshot.state, say);
    }

    /// A channel whose way was open turns out to be that of a party who calls this number. Some technologies make it before
    /// they say so.
    pub(super) fn calls(&mut self, id: &str, number: Option<Box<str>>) {
        let Some(channel) = self.channels.get_mut(id).filter(|channel| channel.role == Role::Unknown) else {
            return;
        };
        channel.role = Role::Inbound;
        channel.caller = std::mem::replace(&mut channel.called, Party { number, name: None });
        let Some(channel) = self.channels.get(id) else { return };
        let (did, linked) = (self.called_from_outside(channel), channel.linked.clone());
        if let Some(call) = self.calls.get_mut(&linked)
            && call.did.is_none()
        {
            call.did.clone_from(&did);
        }
        if let Some(channel) = self.channels.get_mut(id) {
            channel.did = did;
        }
    }

    /// Tells what follows from a channel's state (`enum ast_channel_state`), unless that was told.
    pub(super) fn advance(&mut self, id: &str, state: &[u8], say: &mut Say<'_>) {
        let Some(channel) = self.channels.get_mut(id) else { return };
        let stage = match state {
            b"4" if channel.role == Role::Inbound => return self.start(id, say),
            b"5" => Stage::Ringing,
            b"6" => Stage::Up,
            _ => return,
        };
        if stage <= channel.stage {
            return;
        }
        channel.stage = stage;
        if channel.role == Role::Unknown {
            channel.role = Role::Outbound;
        }
        if stage == Stage::Up {
            channel.answered = Some(say.wall);
        }
        // Whoever rings is called, even if Asterisk says so only then.
        self.start(id, say);
        let Some(channel) = self.channels.get(id) else { return };
        let event_type = match (channel.role, stage) {
            (Role::Inner, _) | (Role::Inbound, Stage::Ringing) => return,
            (Role::Inbound, _) => "call.connected",
            (_, Stage::Ringing) => "call.ringing",
            _ => "call.answered",
        };
        self.tell_open(id, event_type, Facts::default(), say);
    }

    /// Tells the start of a leg that is still to be told.
    pub(super) fn start(&mut self, id: &str, say: &mut Say<'_>) {
        let Some(channel) = self.channels.get_mut(id).filter(|channel| channel.is_leg() && !channel.told)
        else {
            return;
        };
        if channel.role == Role::Inbound {
            self.tell_open(id, "call.incoming", Facts::default(), say);
        } else {
            channel.role = Role::Outbound;
            channel.dial = Dial::Begun;
            self.tell_open(id, "call.dial", Facts::default().text("state", "begin"), say);
        }
    }

    /// Tells something of a leg that is open from here on.
    pub(super) fn tell_open(&mut self, id: &str, event_type: &'static str, more: Facts, say: &mut Say<'_>) {
        let Some(channel) = self.channels.get_mut(id) else { return };
        channel.told = true;
        let Some(channel) = self.channels.get(id) else { return };
        let open = Open::Opens(key("call", id));
        say.tell(event_type, subject(id), self.leg(channel).and(more), self.scope(channel), open);
    }

    /// Tells something of a leg that changes nothing of what is kept.
    pub(super) fn tell(&self, channel: &Channel, event_type: &'static str, more: Facts, say: &mut Say<'_>) {
        let facts = self.leg(channel).and(more);
        say.tell(event_type, subject(&channel.id), facts, self.scope(channel), Open::No);
    }

    pub(super) fn hung_up(&mut self, message: &Message<'_>, say: &mut Say<'_>) {
        let Some(snapshot) = Snapshot::of(message, "") else { return };
        if let Some(id) = text(snapshot.id) {
            self.touch(Aspect::Life, &id);
        }
        let Some(id) = self.see(message, &snapshot) else { return };
        let cause = super::read::number(message, "Cause");
        let why = said(message, "Cause-txt");
        self.end_channel(&id, Facts::default().number("cause", cause).text("reason", why.as_deref()), say);
    }

    /// Ends a channel, and before it whatever it takes part in.
    pub(super) fn end_channel(&mut self, id: &str, why: Facts, say: &mut Say<'_>) {
        self.end_members_of(id, say);
        self.end_recordings_of(id, say);
        self.end_callers_of(id, say);
        self.leave_bridge(id, say);
        let Some(channel) = self.channels.take(id) else { return };
        if channel.told {
            let talked = channel.answered.map(|answered| say.wall.since(answered) / 1000);
            let facts = self.leg(&channel).and(why);
            let facts = facts.number("duration", say.wall.since(channel.since) / 1000);
            let facts = facts.number("talk_duration", talked);
            let scope = self.scope(&channel);
            say.tell("call.hangup", subject(id), facts, scope, Open::Closes(key("call", id)));
        }
        self.bridges.unpair(&channel);
        self.part(&channel.linked);
    }

    /// What every event of a leg says.
    pub(super) fn leg(&self, channel: &Channel) -> Facts {
        let extension = self.extension(channel);
        let username = extension.is_some().then(|| endpoint(channel.device()));
        let direction = match channel.role {
            Role::Inbound => Some("inbound"),
            Role::Outbound => Some("outbound"),
            Role::Unknown | Role::Inner => None,
        };
        Facts::default()
            .text("call_id", &*channel.id)
            .text("linked_id", &*channel.linked)
            .text("direction", direction)
            .text("caller_number", channel.caller.number.as_deref())
            .text("caller_name", channel.caller.name.as_deref())
            .text("called_number", channel.called.number.as_deref())
            .text("called_name", channel.called.name.as_deref())
            .text("did", self.did(channel))
            .text("extension", extension)
            .text("username", username)
            .text("channel", &*channel.name)
    }

    pub(super) fn did<'a>(&'a self, channel: &'a Channel) -> Option<&'a str> {
        let call = self.calls.get(&channel.linked);
        channel.did.as_deref().or_else(|| call?.did.as_deref())
    }

    /// The extension whose phone a leg is: the one that a hint names, or an endpoint that is called as its number.
    pub(super) fn extension<'a>(&'a self, channel: &'a Channel) -> Option<&'a str> {
        self.extension_of(channel.device()).or_else(|| {
            let endpoint = endpoint(channel.device());
            let digits = endpoint.bytes().all(|b| b.is_ascii_digit());
            (digits && channel.own().number.as_deref() == Some(endpoint)).then_some(endpoint)
        })
    }

    /// The extension whose hint names a device.
    pub(super) fn extension_of(&self, device: &str) -> Option<&str> {
        self.hints.extension(device)
    }

    pub(super) fn scope(&self, channel: &Channel) -> Vec<(&'static str, Box<str>)> {
        match self.calls.get(&channel.linked) {
            Some(call) => self.rules.attributes(call.rule),
            None => self.scope_of(&place(channel)),
        }
    }
}

impl Call {
    /// Takes an earlier rule than the one so far.
    fn narrow(&mut self, rule: Option<usize>) {
        if let Some(rule) = rule {
            self.rule = Some(self.rule.map_or(rule, |there| there.min(rule)));
        }
    }
}

/// The number that a caller dialled; `s` stands for none.
fn dialled(snapshot: &Snapshot<'_>) -> Option<Box<str>> {
    text(snapshot.exten).filter(|exten| &**exten != "s")
}

fn technology(name: &str) -> &str {
    name.split_once('/').map_or(name, |(technology, _)| technology)
}

fn subject(id: &str) -> String {
    format!("call/{id}")
}

fn place(channel: &Channel) -> Place<'_> {
    Place {
        context: channel.context.as_deref(),
        device: Some(channel.device()),
        variables: &channel.variables,
    }
}
