//! What is open, as it is kept over a restart. What is absent here: where it is kept.

use serde::{Deserialize, Serialize};

use super::Mirror;
use super::agents::Agent;
use super::channels::Channel;
use super::conferences::Member;
use super::contacts::Contact;
use super::queues::Caller;
use super::recordings::Recording;
use crate::ground::time::Wall;
use crate::source::asterisk::told::Key;

/// Two legs that are linked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Link {
    one: Box<str>,
    other: Box<str>,
    since: Wall,
}

/// One open thing.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kept {
    Call(Box<Channel>),
    Link(Link),
    Conference(Member),
    Recording(Box<str>, Recording),
    Caller(Caller),
    Agent(Agent),
    Contact(Contact),
}

impl Mirror {
    /// What is to be kept of an open thing, as compact JSON; none if it is not open.
    #[must_use]
    pub fn keep(&self, key: &Key) -> Option<Box<[u8]>> {
        let (kind, id) = key.parts();
        let kept = match kind {
            "call" => Kept::Call(Box::new(self.channels.get(id)?.clone())),
            "link" => {
                let (one, other) = id.split_once('+')?;
                let (with, since) = self.channels.get(one)?.link.as_ref()?;
                (**with == *other)
                    .then(|| Kept::Link(Link { one: one.into(), other: other.into(), since: *since }))?
            }
            "conference" => Kept::Conference(self.members.get(id)?.clone()),
            "recording" => Kept::Recording(id.into(), self.recordings.get(id)?.clone()),
            "caller" => Kept::Caller(self.callers.get(id)?.clone()),
            "agent" => Kept::Agent(self.agents.get(id)?.clone()),
            "contact" => Kept::Contact(self.contacts.get(id)?.clone()),
            _ => return None,
        };
        serde_json::to_vec(&kept).ok().map(Into::into)
    }

    /// Takes back what was kept, as told; a resync then decides whether it still is. What cannot be read is left out.
    pub fn restore(&mut self, kept: &[u8]) {
        match serde_json::from_slice(kept) {
            Ok(Kept::Call(channel)) if !self.channels.has(&channel.id) => self.hold(*channel),
            Ok(Kept::Link(link)) => self.links.push(link),
            Ok(Kept::Conference(member)) => {
                self.members.put(&super::within(&member.channel, &member.conference), member);
            }
            Ok(Kept::Recording(id, recording)) => self.recordings.put(&id, recording),
            Ok(Kept::Caller(caller)) => {
                self.callers.put(&super::within(&caller.channel, &caller.queue), caller);
            }
            Ok(Kept::Agent(agent)) => self.agents.put(&agent.id(), agent),
            Ok(Kept::Contact(contact)) => self.contacts.put(&contact.id(), contact),
            Ok(Kept::Call(_)) | Err(_) => {}
        }
    }

    /// Links the legs of restored links: all that was kept is there.
    pub(super) fn link_restored(&mut self) {
        for link in std::mem::take(&mut self.links) {
            if self.channels.has(&link.one) && self.channels.has(&link.other) {
                self.set_link(&link.one, &link.other, link.since);
            }
        }
    }
}
