//! Recordings (MixMonitor) of a leg. The PBX says when one starts and when it is stopped; one that nobody stops ends with
//! its leg.

use serde::{Deserialize, Serialize};

use super::read::{said, yes};
use super::{Facts, Mirror, Open, Say, key};
use crate::ground::time::Wall;
use crate::wire::ami::Message;

/// A recording that is under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Recording {
    pub(super) channel: Box<str>,
    since: Wall,
    file: Option<Box<str>>,
    /// What the PBX calls it, in versions that say so.
    name: Option<Box<str>>,
    paused: bool,
}

impl Mirror {
    pub(super) fn recording_started(&mut self, message: &Message<'_>, say: &mut Say<'_>) {
        let Some(leg) = self.told_leg(message) else { return };
        let id = self.free_recording(&leg.id);
        let recording = Recording {
            channel: leg.id.clone(),
            since: say.wall,
            file: said(message, "File").or_else(|| leg.file.clone()),
            name: said(message, "MixMonitorID"),
            paused: false,
        };
        self.recordings.put(&id, recording);
        self.tell_recording("recording.started", &id, Facts::default(), say);
    }

    /// An id for one more recording of a leg: that of the leg, with a number if it has others.
    fn free_recording(&self, channel: &str) -> Box<str> {
        let others = (2..).map(|nth: u64| format!("{channel}-{nth}").into_boxed_str());
        let mut ids = std::iter::once(Box::from(channel)).chain(others);
        ids.find(|id| !self.recordings.has(id)).unwrap_or_else(|| channel.into())
    }

    /// The recording that a message means: the one that it names, else the oldest of its leg.
    fn recording_of(&self, message: &Message<'_>) -> Option<Box<str>> {
        let channel = said(message, "Uniqueid")?;
        let name = said(message, "MixMonitorID");
        let of_leg: Vec<Box<str>> = self.recordings_of(&channel);
        let named = of_leg
            .iter()
            .find(|id| name.is_some() && self.recordings.get(id).is_some_and(|there| there.name == name));
        named.or(of_leg.first()).cloned()
    }

    fn recordings_of(&self, channel: &str) -> Vec<Box<str>> {
        let mut ids = self.recordings.under(&format!("{channel}-"));
        ids.insert(0, channel.into());
        ids.retain(|id| self.recordings.get(id).is_some_and(|recording| *recording.channel == *channel));
        ids
    }

    pub(super) fn recording_stopped(&mut self, message: &Message<'_>, say: &mut Say<'_>) {
        self.subject(message);
        if let Some(id) = self.recording_of(message) {
            self.end_recording(&id, say);
        }
    }

    /// A recording of which both directions are muted is paused.
    pub(super) fn recording_muted(&mut self, message: &Message<'_>, say: &mut Say<'_>) {
        self.subject(message);
        let muted = yes(message, "State");
        let Some(id) = self.recording_of(message) else { return };
        let Some(recording) = self.recordings.get_mut(&id) else { return };
        if message.get("Direction") != Some(b"both") || recording.paused == muted {
            return;
        }
        recording.paused = muted;
        let event_type = if muted { "recording.paused" } else { "recording.resumed" };
        self.tell_recording(event_type, &id, Facts::default(), say);
    }

    pub(super) fn end_recording(&mut self, id: &str, say: &mut Say<'_>) {
        if let Some(recording) = self.recordings.get(id) {
            let duration = say.wall.since(recording.since) / 1000;
            self.tell_recording("recording.ended", id, Facts::default().number("duration", duration), say);
            self.recordings.take(id);
        }
    }

    pub(super) fn end_recordings_of(&mut self, channel: &str, say: &mut Say<'_>) {
        for id in self.recordings_of(channel) {
            self.end_recording(&id, say);
        }
    }

    /// Tells something of a recording, with the names that notifications of ISR know (its reference, section 2.5).
    fn tell_recording(&self, event_type: &'static str, id: &str, more: Facts, say: &mut Say<'_>) {
        let Some(recording) = self.recordings.get(id) else { return };
        let leg = self.channels.get(&recording.channel);
        let facts = leg.map(|leg| self.leg(leg)).unwrap_or_default();
        let facts = facts
            .text("recording_id", id)
            .text("file_name", recording.file.as_deref())
            .text("start_time", &*recording.since.to_rfc3339());
        let facts = match leg {
            Some(leg) => facts
                .text("ucid", &*leg.linked)
                .text("ani", leg.caller.number.as_deref())
                .text("dnis", leg.called.number.as_deref()),
            None => facts,
        };
        let open = match event_type {
            "recording.ended" => Open::Closes(key("recording", id)),
            _ => Open::Opens(key("recording", id)),
        };
        let scope = leg.map(|leg| self.scope(leg)).unwrap_or_default();
        say.tell(event_type, format!("recording/{id}"), facts.and(more), scope, open);
    }
}
