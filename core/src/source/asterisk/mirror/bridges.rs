//! Bridges: two legs in one are linked, also if halves of Local channels stand between them.
//!
//! While the PBX takes such halves out of the way, the legs change bridges and stay linked.

use std::collections::{BTreeMap, BTreeSet};

use super::channels::{Channel, Role};
use super::read::said;
use super::resync::Aspect;
use super::snapshot::Snapshot;
use super::{Facts, Ids, Mirror, Open, Say, key};
use crate::ground::time::Wall;
use crate::wire::ami::Message;

/// The bridges that have a channel, and what leads from one to another.
#[derive(Debug, Default)]
pub(super) struct Bridges {
    bridges: BTreeMap<Box<str>, Bridge>,
    /// The two halves of each Local channel, by its name.
    halves: BTreeMap<Box<str>, [Option<Box<str>>; 2]>,
    /// Legs that are changing bridges, by the half that will go.
    moving: BTreeMap<Box<str>, Ids>,
}

#[derive(Debug, Default)]
struct Bridge {
    /// It links its members; a conference, a queue's and a parking lot's waiting room do not.
    links: bool,
    members: Ids,
}

/// Legs that are linked, if no other is with them.
const COUPLE: usize = 2;

/// Legs that may be linked with others once the halves of a Local channel between them are gone.
const PARTY: usize = 16;

/// Whether members of such a bridge talk with each other as parties of a call (`BridgeType`).
pub(super) fn links(kind: &[u8]) -> bool {
    [&b"basic"[..], b"stasis"].contains(&kind)
}

/// A Local channel's name, and which of its halves this is.
fn half(name: &str) -> Option<(&str, usize)> {
    let (name, half) = name.rsplit_once(';')?;
    match half {
        "1" => Some((name, 0)),
        "2" => Some((name, 1)),
        _ => None,
    }
}

impl Bridges {
    /// Notes a channel that is half of a Local one.
    pub(super) fn pair(&mut self, channel: &Channel) {
        if let Some((name, half)) = half(&channel.name) {
            self.halves.entry(name.into()).or_default()[half] = Some(channel.id.clone());
        }
    }

    /// Forgets it.
    pub(super) fn unpair(&mut self, channel: &Channel) {
        if let Some((name, half)) = half(&channel.name)
            && let Some(halves) = self.halves.get_mut(name)
        {
            halves[half] = None;
            if *halves == [None, None] {
                self.halves.remove(name);
            }
        }
    }

    /// The other half of a Local channel.
    fn other(&self, channel: &Channel) -> Option<&str> {
        let (name, half) = half(&channel.name)?;
        self.halves.get(name)?[1 - half].as_deref()
    }

    fn is_moving(&self, leg: &str) -> bool {
        self.moving.values().any(|legs| legs.contains(leg))
    }
}

impl Mirror {
    pub(super) fn bridge_entered(&mut self, message: &Message<'_>, say: &mut Say<'_>) {
        let (Some(snapshot), Some(bridge)) = (Snapshot::of(message, ""), said(message, "BridgeUniqueid"))
        else {
            return;
        };
        let Some(id) = self.see(message, &snapshot) else { return };
        self.touch(Aspect::Bridge, &id);
        let links = links(message.get("BridgeType").unwrap_or_default());
        self.bridge(&id, Some((&bridge, links)), say);
    }

    pub(super) fn bridge_left(&mut self, message: &Message<'_>, say: &mut Say<'_>) {
        let Some(id) = self.subject(message) else { return };
        let Some(bridge) = said(message, "BridgeUniqueid") else { return };
        self.touch(Aspect::Bridge, &id);
        // That it entered this one may have been missed, and no answer puts that right any more.
        let is_there = |channel: &Channel| channel.bridge.as_ref() == Some(&bridge) || self.resync.is_some();
        if self.channels.get(&id).is_some_and(is_there) {
            self.bridge(&id, None, say);
        }
    }

    pub(super) fn bridge_destroyed(&mut self, message: &Message<'_>, say: &mut Say<'_>) {
        let bridge = said(message, "BridgeUniqueid").unwrap_or_default();
        while let Some(id) =
            self.bridges.bridges.get(&bridge).and_then(|bridge| bridge.members.first().cloned())
        {
            self.touch(Aspect::Bridge, &id);
            self.bridge(&id, None, say);
        }
    }

    /// Takes a channel out of its bridge, before it ends.
    pub(super) fn leave_bridge(&mut self, id: &str, say: &mut Say<'_>) {
        let moved = self.bridges.moving.remove(id).unwrap_or_default();
        // Whoever ends does not move on.
        self.bridges.moving.values_mut().for_each(|legs| {
            legs.remove(id);
        });
        self.bridge(id, None, say);
        self.relink(&moved, say);
    }

    pub(super) fn optimization_begins(&mut self, message: &Message<'_>) {
        let halves = ["LocalOneUniqueid", "LocalTwoUniqueid"].map(|key| said(message, key));
        let Some(id) = halves[0].clone().filter(|id| self.channels.has(id)) else { return };
        let bridges = halves.iter().flatten().filter_map(|id| self.channels.get(id)?.bridge.as_ref());
        let legs: Ids = bridges.flat_map(|bridge| self.reach(bridge, PARTY)).collect();
        self.bridges.moving.insert(id, legs);
    }

    /// These legs are changing bridges, all at once; none of them does any more if there are none.
    pub(super) fn moving(&mut self, legs: Ids) {
        self.bridges.moving.remove("");
        if !legs.is_empty() {
            self.bridges.moving.insert("".into(), legs);
        }
    }

    pub(super) fn optimization_ends(&mut self, message: &Message<'_>, say: &mut Say<'_>) {
        let id = said(message, "LocalOneUniqueid").unwrap_or_default();
        let legs = self.bridges.moving.remove(&id).unwrap_or_default();
        self.relink(&legs, say);
    }

    /// Puts a channel into a bridge or takes it out of its own, and tells who is linked and who is not any more.
    pub(super) fn bridge(&mut self, id: &str, to: Option<(&str, bool)>, say: &mut Say<'_>) {
        let Some(channel) = self.channels.get(id) else { return };
        let from = channel.bridge.clone();
        let mut affected: Ids = channel.link.iter().map(|(other, _)| other.clone()).collect();
        affected.insert(id.into());
        // What parts or comes together: both bridges, and the one behind the channel if it is half of a Local one.
        let behind = self.bridges.other(channel).and_then(|other| self.channels.get(other)?.bridge.clone());
        let to_bridge = to.map(|(bridge, _)| bridge.into());
        let bridges: Vec<Box<str>> = from.iter().cloned().chain(to_bridge.clone()).chain(behind).collect();
        affected.extend(bridges.iter().flat_map(|bridge| self.reach(bridge, COUPLE)));
        if let Some(channel) = self.channels.get_mut(id) {
            channel.bridge = to_bridge;
        }
        if let Some(bridge) = &from
            && let Some(there) = self.bridges.bridges.get_mut(bridge)
        {
            there.members.remove(id);
            if there.members.is_empty() {
                self.bridges.bridges.remove(bridge);
            }
        }
        if let Some((bridge, links)) = to {
            let there = self.bridges.bridges.entry(bridge.into()).or_default();
            there.links |= links;
            there.members.insert(id.into());
        }
        affected.extend(bridges.iter().flat_map(|bridge| self.reach(bridge, COUPLE)));
        self.relink(&affected, say);
    }

    /// The legs that are together with those of a bridge, where all bridges on the way link; none if there are more than
    /// `most`, so that nobody goes through a conference whenever somebody comes.
    fn reach(&self, bridge: &str, most: usize) -> Ids {
        let (mut legs, mut seen) = (Ids::new(), BTreeSet::new());
        let mut next = vec![bridge];
        while let Some(bridge) = next.pop() {
            let Some(there) = self.bridges.bridges.get(bridge).filter(|_| seen.insert(bridge)) else {
                continue;
            };
            for id in &there.members {
                let Some(channel) = self.channels.get(id) else { continue };
                if channel.is_leg() {
                    legs.insert(id.clone());
                } else if let Some(other) = self.bridges.other(channel) {
                    next.extend(self.channels.get(other).and_then(|other| other.bridge.as_deref()));
                }
                if !there.links || legs.len() > most {
                    return Ids::new();
                }
            }
        }
        legs
    }

    /// Who a leg talks with, if there is exactly one.
    fn partner(&self, id: &str) -> Option<Box<str>> {
        let legs = self.reach(self.channels.get(id)?.bridge.as_deref()?, COUPLE);
        legs.into_iter().find(|leg| **leg != *id)
    }

    /// Tells the links that are over, then those that begin.
    pub(super) fn relink(&mut self, legs: &Ids, say: &mut Say<'_>) {
        for id in legs {
            let Some((other, _)) = self.channels.get(id).and_then(|channel| channel.link.as_ref()) else {
                continue;
            };
            let other = other.clone();
            let moving = self.bridges.is_moving(id) || self.bridges.is_moving(&other);
            if !moving && self.partner(id).as_ref() != Some(&other) {
                self.unlink(id, &other, say);
            }
        }
        for id in legs {
            let free = |id: &str| {
                self.channels.get(id).is_some_and(|channel| channel.told && channel.link.is_none())
            };
            if free(id)
                && !self.bridges.is_moving(id)
                && let Some(other) = self.partner(id).filter(|other| free(other))
            {
                self.set_link(id, &other, say.wall);
                let (subject, facts, scope, key) = self.parties(id, &other);
                say.tell("call.link_start", subject, facts, scope, Open::Opens(key));
            }
        }
    }

    /// Notes that two legs are linked.
    pub(super) fn set_link(&mut self, one: &str, other: &str, since: Wall) {
        for (id, with) in [(one, other), (other, one)] {
            if let Some(channel) = self.channels.get_mut(id) {
                channel.link = Some((with.into(), since));
            }
        }
    }

    fn unlink(&mut self, one: &str, other: &str, say: &mut Say<'_>) {
        let since = self.channels.get(one).and_then(|channel| channel.link.as_ref()).map(|(_, since)| *since);
        let (subject, facts, scope, key) = self.parties(one, other);
        let facts = facts.number("duration", since.map(|since| say.wall.since(since) / 1000));
        for id in [one, other] {
            if let Some(channel) = self.channels.get_mut(id) {
                channel.link = None;
            }
        }
        say.tell("call.link_end", subject, facts, scope, Open::Closes(key));
    }

    /// What is told of two legs that are linked: the one that called is the first.
    #[allow(clippy::type_complexity, reason = "the arguments of `Say::tell`")]
    fn parties(
        &self,
        one: &str,
        other: &str,
    ) -> (String, Facts, Vec<(&'static str, Box<str>)>, super::super::told::Key) {
        let mut legs: Vec<&Channel> =
            [one, other].into_iter().filter_map(|id| self.channels.get(id)).collect();
        legs.sort_by_key(|leg| (leg.role != Role::Inbound, leg.since, &leg.id));
        let ids: Vec<&str> = legs.iter().map(|leg| &*leg.id).collect();
        let mut facts = Facts::default().text("linked_id", legs.first().map(|leg| &*leg.linked));
        for (leg, names) in legs.iter().zip(NAMES) {
            let extension = self.extension(leg);
            let username = extension.is_some().then(|| super::read::endpoint(leg.device()));
            let values = [
                Some(&*leg.id),
                leg.own().number.as_deref(),
                leg.own().name.as_deref(),
                self.did(leg),
                extension,
                username,
                Some(&*leg.name),
            ];
            facts = names.iter().zip(values).fold(facts, |facts, (name, value)| facts.text(name, value));
        }
        let scope = legs.first().map(|leg| self.scope(leg)).unwrap_or_default();
        (format!("call/{}", ids.first().unwrap_or(&one)), facts, scope, key("link", &ids.join("+")))
    }
}

/// The names of what is told of each of two parties; the numbers are their own.
const NAMES: [[&str; 7]; 2] = [
    ["call_id_1", "caller_number_1", "caller_name_1", "did_1", "extension_1", "username_1", "channel_1"],
    ["call_id_2", "caller_number_2", "caller_name_2", "did_2", "extension_2", "username_2", "channel_2"],
];
