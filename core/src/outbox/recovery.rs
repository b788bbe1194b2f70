//! Starting again from the log, and carrying over what its older parts hold before they go.
//!
//! What is carried is applied at a start before all records that are left; these then happen again. So a destination is
//! carried as it was where the log will begin ([`Past`]), and a letter as it is: outcomes that are left end it again.

use std::collections::VecDeque;
use std::sync::Arc;

use super::change::{By, Carried, Change, PART, Version, When};
use super::dead::DeadLetter;
use super::lane::Lane;
use super::letters::Stage;
use super::receiver::Letter;
use super::{Destination, Failing, LETTER_BYTES, Outbox, append, entry, id, is_owner, shared};
use crate::ground::id::Seq;
use crate::ground::time::Wall;
use crate::hub::Hub;
use crate::hub::action::Level;
use crate::log::record::{Actor, Body};

/// Versions that are kept, of those that listen and of the others. Fixed, because without retention nobody asks for any of
/// them.
const VERSIONS_MAX: usize = 10_000;

/// What destinations were, from one record to another. Those of subscriptions come and go, and take no place of those that
/// listen.
#[derive(Debug, Default)]
pub(super) struct Past {
    listening: VecDeque<(Seq, Seq, Version)>,
    others: VecDeque<(Seq, Seq, Version)>,
}

impl Past {
    /// A destination is another from here on, or gone.
    pub(super) fn push(&mut self, name: &str, destination: &Destination, until: Seq) {
        let versions = if destination.listens() { &mut self.listening } else { &mut self.others };
        if versions.len() == VERSIONS_MAX {
            versions.pop_front();
        }
        versions.push_back(destination.version(name, until));
    }

    /// Those in force after record `through`, as far as they are over.
    fn at(&self, through: Seq) -> impl Iterator<Item = &Version> {
        let all = self.listening.iter().chain(&self.others);
        all.filter(move |(from, until, _)| *from <= through && through < *until).map(|(.., v)| v)
    }

    fn forget(&mut self, through: Seq) {
        for versions in [&mut self.listening, &mut self.others] {
            versions.retain(|(_, until, _)| *until > through);
        }
    }
}

impl Outbox {
    /// The log was read to its end: from here on this engine sends what it owns. Shard 0 writes down what the config
    /// file has changed.
    pub fn started(&mut self, hub: &mut Hub) {
        let names: Vec<Arc<str>> = self.destinations.keys().cloned().collect();
        for name in names {
            let Some(destination) = self.destinations.get_mut(&name) else { continue };
            if is_owner(hub, &name) {
                destination.build_lane(hub, &name);
            }
            self.touch(hub, &name);
        }
        self.compare_with_file(hub);
        self.judge_room(hub);
        self.bound_dead(hub);
    }

    /// The config has changed: receivers are made anew.
    pub fn reloaded(&mut self, hub: &mut Hub) {
        let names: Vec<Arc<str>> = self.destinations.keys().cloned().collect();
        for name in names {
            let Some(destination) = self.destinations.get_mut(&name) else { continue };
            let trusted = destination.by == By::File;
            match (self.meaning.receiver)(&destination.kind, &name, &destination.spec, &hub.config, trusted) {
                Ok(receiver) => destination.receiver = Ok(receiver),
                // What the file brought and changed is about to be put anew.
                Err(wrong) => {
                    let text = format!("outbox: {name} stays as it was: {} {}", wrong.key, wrong.detail);
                    hub.note(Level::Warn, text);
                }
            }
            self.listen(&name);
            self.touch(hub, &name);
        }
        self.compare_with_file(hub);
        self.judge_room(hub);
        self.bound_dead(hub);
    }

    /// Appends what the config file brings that the log does not know, and what it no longer brings.
    fn compare_with_file(&mut self, hub: &mut Hub) {
        if hub.place.shard.0 != 0 {
            return;
        }
        let brought = hub.config.destinations.clone();
        let gone = self.destinations.iter().filter(|(name, destination)| {
            destination.by == By::File && !brought.iter().any(|b| *b.name == ***name)
        });
        let gone: Vec<Box<str>> = gone.map(|(name, _)| (**name).into()).collect();
        for name in gone {
            append(hub, &Change::Removed { name, by: By::File });
        }
        for b in brought {
            let known = self.destinations.get(b.name.as_str());
            if known.is_some_and(|known| known.by == By::Api) {
                let text =
                    format!("outbox: {} of the config file takes the place of one from a request", b.name);
                hub.note(Level::Warn, text);
            }
            // The host has refused a file with a specification that means nothing.
            let spec = (self.meaning.settled)(b.kind, &b.name, &b.spec, &hub.config).unwrap_or(b.spec);
            let same =
                |known: &Destination| known.by == By::File && *known.kind == *b.kind && *known.spec == *spec;
            if !known.is_some_and(same) {
                let (name, spec) = (b.name.into_boxed_str(), spec.into_boxed_str());
                let (by, when) = (By::File, When::Always);
                append(hub, &Change::Put { name, kind: b.kind.into(), spec, by, when });
            }
        }
    }

    /// Appends what this engine owns of all that records up to `through` made: destinations as they were there, because
    /// the events after it are matched anew at a start, and letters as they are.
    pub fn restate(&mut self, hub: &mut Hub, through: Seq) {
        let current = self.destinations.iter().filter(|(_, destination)| destination.said_at <= through);
        let current = current.map(|(name, destination)| destination.version(name, Seq(u64::MAX)).2);
        let past = self.past.at(through).cloned();
        let owned = past.chain(current).filter(|version| is_owner(hub, &version.name));
        for version in owned.collect::<Vec<_>>() {
            append(hub, &Change::Carried(version));
        }
        self.past.forget(through);
        let now = hub.now.wall;
        for (name, destination) in &self.destinations {
            if !is_owner(hub, name) {
                continue;
            }
            // The number of a letter that was left here by name is its sender's own, and says nothing of its record's
            // place. What is carried and still in the log as well is one letter.
            let all = !destination.listens();
            for entry in destination.letters.iter().take_while(|entry| all || entry.seq <= through) {
                let failing = destination.failing.get(&entry.seq);
                let carried = Carried {
                    name: (**name).into(),
                    kind: (*destination.kind).into(),
                    seq: entry.seq,
                    since: entry.since,
                    redriven: entry.redriven,
                    attempts: failing.map_or(0, |f| f.attempts),
                    due: failing.map_or(Wall(0), |f| Wall(now.0 + f.wait_ms(now))),
                    died: None,
                    reason: failing.map_or_else(Box::default, |f| (*f.reason).into()),
                    summary: Box::default(),
                    event: Arc::clone(&entry.event),
                };
                append_carried(hub, &carried);
            }
        }
        for letter in self.dead.after(None) {
            let listens = self.destinations.get(&letter.destination).is_some_and(Destination::listens);
            if (letter.seq <= through || !listens) && is_owner(hub, &letter.destination) {
                let carried = Carried {
                    name: (*letter.destination).into(),
                    kind: (*letter.kind).into(),
                    seq: letter.seq,
                    since: letter.since,
                    redriven: false,
                    attempts: letter.attempts,
                    due: Wall(0),
                    died: Some(letter.died),
                    reason: (*letter.reason).into(),
                    summary: letter.summary.clone(),
                    event: Arc::clone(&letter.event),
                };
                append_carried(hub, &carried);
            }
        }
    }

    /// At a start: a destination as it was where the log begins.
    pub(super) fn carried_destination(&mut self, hub: &mut Hub, version: Version) {
        let Version { name, kind, spec, by, disabled } = version;
        self.put(hub, &name, &kind, spec, by, When::Always);
        if let Some(destination) = self.destinations.get_mut(&*name) {
            destination.disabled = disabled;
        }
    }

    /// At a start: a letter whose event the log no longer holds.
    pub fn carried_letter(&mut self, hub: &mut Hub, said: Wall, letter: Carried) {
        let (died, name) = (letter.died, letter.name.clone());
        self.take_letter(hub, said, letter, died);
        if !hub.recovering {
            // Another part of the server has given up on an event, and leaves it to the outbox's patience.
            self.touch(hub, &name);
            self.bound_dead(hub);
        }
    }

    fn take_letter(&mut self, hub: &Hub, said: Wall, letter: Carried, died: Option<Wall>) {
        match self.destinations.get_mut(&*letter.name) {
            Some(destination) if died.is_none() => {
                if letter.attempts > 0 {
                    let reason = shared(&mut destination.last_reason, &letter.reason);
                    let failing = Failing::new(letter.attempts, letter.due, said, reason);
                    destination.failing.insert(letter.seq, failing);
                }
                if destination.enqueue(entry(letter.seq, letter.since, &letter.event, letter.redriven)) {
                    self.bytes += letter.event.bytes() + LETTER_BYTES;
                }
            }
            // At a start, one without a destination was dead and was sent again to a later one of the same name: the record
            // that did so is still to come. Later, it was left to a destination that is gone, and dies of that.
            Some(_) | None => {
                let otherwise = if hub.recovering { Wall::default() } else { said };
                self.insert_dead(hub, letter, died.unwrap_or(otherwise));
            }
        }
    }

    fn insert_dead(&mut self, hub: &Hub, letter: Carried, died: Wall) {
        let id = id::delivery(&letter.name, letter.seq, &letter.event);
        let known = self.destinations.get(&*letter.name).and_then(|known| known.receiver().ok());
        let summary = match known {
            Some(receiver) if letter.summary.is_empty() => {
                let view = Letter { id, seq: letter.seq, event: &letter.event, attempts: letter.attempts };
                receiver.summary(view, &hub.vocabulary).into_boxed_str()
            }
            Some(_) | None => letter.summary,
        };
        self.dead.insert(DeadLetter {
            id,
            destination: letter.name.into(),
            kind: letter.kind.into(),
            seq: letter.seq,
            since: letter.since,
            died,
            attempts: letter.attempts,
            reason: letter.reason.into(),
            summary,
            event: letter.event,
        });
    }
}

fn append_carried(hub: &mut Hub, letter: &Carried) {
    hub.append(Actor::Server(PART), None, true, true, Body::Change(PART, letter.encode()));
}

impl Destination {
    /// Puts all letters into their lines, in the order of their numbers.
    fn build_lane(&mut self, hub: &Hub, name: &str) {
        let mut lane = Lane::new(name, hub.hash_seed);
        let all: Vec<Seq> = self.letters.iter().map(|entry| entry.seq).collect();
        for seq in all {
            if let Some(entry) = self.letters.get_mut(seq) {
                entry.stage = Stage::Idle;
            }
            let due = self.failing.get(&seq).map(|f| hub.now.mono.plus_ms(f.wait_ms(hub.now.wall)));
            lane.link(&mut self.letters, seq, due.filter(|due| *due > hub.now.mono));
        }
        self.lane = Some(lane);
    }
}
