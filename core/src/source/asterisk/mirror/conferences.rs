//! Conferences (ConfBridge) and who is in them.

use serde::{Deserialize, Serialize};

use super::read::{said, yes};
use super::resync::Aspect;
use super::{Facts, Mirror, Open, Say, key, within};
use crate::wire::ami::Message;

/// A leg in a conference.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Member {
    pub(super) conference: Box<str>,
    pub(super) channel: Box<str>,
}

impl Mirror {
    pub(super) fn conference_joined(&mut self, message: &Message<'_>, say: &mut Say<'_>) {
        let (Some(id), Some(conference)) = (self.subject(message), said(message, "Conference")) else {
            return;
        };
        self.touch(Aspect::Conference, &id);
        let more = Facts::default().flag("admin", yes(message, "Admin")).flag("muted", yes(message, "Muted"));
        self.begin_member(&conference, &id, more, say);
    }

    /// A leg is in a conference; one that is in there already is not told again.
    pub(super) fn begin_member(&mut self, conference: &str, channel: &str, more: Facts, say: &mut Say<'_>) {
        let id = within(channel, conference);
        let Some(leg) = self.channels.get(channel).filter(|leg| leg.told && !self.members.has(&id)) else {
            return;
        };
        let facts = self.leg(leg).and(of(conference)).and(more);
        let scope = self.scope(leg);
        self.members.put(&id, Member { conference: conference.into(), channel: channel.into() });
        say.tell("conference.join", subject(conference), facts, scope, Open::Opens(key("conference", &id)));
    }

    pub(super) fn conference_left(&mut self, message: &Message<'_>, say: &mut Say<'_>) {
        let (Some(id), Some(conference)) = (self.subject(message), said(message, "Conference")) else {
            return;
        };
        self.touch(Aspect::Conference, &id);
        self.end_member(&within(&id, &conference), say);
    }

    pub(super) fn conference_ended(&mut self, message: &Message<'_>, say: &mut Say<'_>) {
        let Some(conference) = said(message, "Conference") else { return };
        for id in self.members.which(|member| member.conference == conference) {
            if let Some(channel) = self.members.get(&id).map(|member| member.channel.clone()) {
                self.touch(Aspect::Conference, &channel);
            }
            self.end_member(&id, say);
        }
    }

    /// Who talks; only that it begins is told.
    pub(super) fn conference_talking(&mut self, message: &Message<'_>, say: &mut Say<'_>) {
        let (Some(leg), Some(conference)) = (self.told_leg(message), said(message, "Conference")) else {
            return;
        };
        if yes(message, "TalkingStatus") {
            let facts = self.leg(&leg).and(of(&conference));
            let scope = self.scope(&leg);
            say.tell("conference.active_talker", subject(&conference), facts, scope, Open::No);
        }
    }

    pub(super) fn end_member(&mut self, id: &str, say: &mut Say<'_>) {
        let Some(member) = self.members.take(id) else { return };
        let leg = self.channels.get(&member.channel);
        let facts = leg.map(|leg| self.leg(leg)).unwrap_or_default().and(of(&member.conference));
        let scope = leg.map(|leg| self.scope(leg)).unwrap_or_default();
        let closes = Open::Closes(key("conference", id));
        say.tell("conference.leave", subject(&member.conference), facts, scope, closes);
    }

    pub(super) fn end_members_of(&mut self, channel: &str, say: &mut Say<'_>) {
        for id in self.members.under(&format!("{channel}/")) {
            self.end_member(&id, say);
        }
    }
}

/// A conference is known by its name alone: the PBX makes it anew each time that somebody comes.
fn of(conference: &str) -> Facts {
    Facts::default().text("conference_id", conference).text("conference_name", conference)
}

fn subject(conference: &str) -> String {
    format!("conference/{conference}")
}
