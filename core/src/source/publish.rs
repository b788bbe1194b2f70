//! From what a source says to events, to records of what is open, and to lines of the log.

use serde_json::value::RawValue;

use super::asterisk::Said;
use super::asterisk::session::Fault;
use super::asterisk::told::{Key, Open, Told};
use super::kept::Change;
use super::{Link, NAME, Sources};
use crate::event::{Event, Fact};
use crate::ground::time::Wall;
use crate::hub::Hub;
use crate::hub::action::Level;
use crate::log::record::{Actor, Body};

impl Sources {
    /// Publishes what a source has to say.
    pub(super) fn publish_said(&mut self, hub: &mut Hub, slot: u32) {
        let Some(link) = self.links.get_mut(slot) else { return };
        while let Some(said) = link.asterisk.poll_said() {
            match said {
                Said::Up { version } => link.up(hub, &version),
                Said::Heard(_) => {}
                Said::Told(told) => link.tell(hub, told),
                Said::Gap { reason, dropped } => {
                    let many = dropped.map_or_else(|| "some".to_owned(), |dropped| dropped.to_string());
                    link.note(hub, Level::Warn, &format!("{many} of its messages are missing ({reason})"));
                    let dropped =
                        dropped.map(|dropped| ("dropped", Fact::Number(dropped.to_string().into())));
                    let facts = [("reason", fact(reason))].into_iter().chain(dropped).collect();
                    link.publish(hub, "source.gap", facts);
                }
                Said::Resynced { unanswered } => {
                    link.note(hub, Level::Debug, "its state was asked for");
                    // What is missing for good is said once.
                    if !unanswered.is_empty() && unanswered != link.unanswered {
                        let list = unanswered.join(", ");
                        let text = format!(
                            "no answer to {list}: not allowed to be asked, not loaded, longer than `source_things`, or lost"
                        );
                        link.note(hub, Level::Warn, &text);
                    }
                    link.unanswered = unanswered;
                }
                Said::Unbooted => {
                    let text = "it does not say whether it is started up: its user lacks \"system\" in read";
                    link.note(hub, Level::Warn, text);
                }
            }
        }
    }

    /// Tells that a source is not there, unless that was told.
    pub(super) fn publish_down(&mut self, hub: &mut Hub, slot: u32, reason: &'static str, detail: &str) {
        let Some(link) = self.links.get_mut(slot) else { return };
        if link.down.replace(reason) != Some(reason) {
            let facts = vec![("reason", fact(reason)), ("detail", fact(detail))];
            link.publish(hub, "source.down", facts);
        }
    }
}

impl Link {
    /// A line for the server's own log.
    pub(super) fn note(&self, hub: &mut Hub, level: Level, text: &str) {
        hub.note(level, format!("source {}: {text}", self.config.name));
    }

    /// The line of a connection that failed.
    pub(super) fn note_fault(&self, hub: &mut Hub, fault: &Fault, wait_ms: u64) {
        let (address, seconds) = (self.config.address(), wait_ms.div_ceil(1_000));
        let text = format!("{address}: {fault}; tried again in {seconds} s");
        self.note(hub, Level::Warn, &text);
    }

    fn up(&mut self, hub: &mut Hub, version: &str) {
        self.down = None;
        self.note(hub, Level::Info, &format!("connected with Asterisk {version}"));
        self.publish(hub, "source.up", vec![("version", fact(version))]);
    }

    fn tell(&mut self, hub: &mut Hub, told: Told) {
        let Told { event_type, subject, facts, scope, wall, open } = told;
        *self.stats.events.entry(event_type).or_default() += 1;
        self.stats.lag_ms = hub.now.wall.since(wall);
        let event = self.event(hub, event_type, subject, wall, facts, scope);
        self.append_event(hub, event);
        match open {
            Open::No => {}
            Open::Opens(key) => {
                if hub.place.keeps_log
                    && let Some(kept) = self.kept(&key)
                {
                    append_change(hub, &self.config.name, &key, Some(kept));
                }
                self.open.insert(key);
            }
            Open::Closes(key) => {
                if self.open.remove(&key) && hub.place.keeps_log {
                    append_change(hub, &self.config.name, &key, None);
                }
            }
        }
    }

    /// What the log is to know of something open.
    pub(super) fn kept(&self, key: &Key) -> Option<Box<RawValue>> {
        let kept = self.asterisk.keep(key)?;
        RawValue::from_string(String::from_utf8(kept.into()).ok()?).ok()
    }

    /// Publishes something of the source itself.
    pub(super) fn publish(&mut self, hub: &mut Hub, event_type: &str, facts: Vec<(&'static str, Fact)>) {
        let subject = format!("source/{}", self.config.name);
        let wall = hub.now.wall;
        let event = self.event(hub, event_type, subject, wall, facts, Vec::new());
        self.append_event(hub, event);
    }

    fn append_event(&mut self, hub: &mut Hub, event: Event) {
        self.on_its_way.appended += 1;
        hub.append(Actor::Server(NAME), None, true, true, Body::Event(event.into()));
    }

    fn event(
        &self,
        hub: &mut Hub,
        event_type: &str,
        subject: String,
        wall: Wall,
        facts: Vec<(&'static str, Fact)>,
        scope: Vec<(&'static str, Box<str>)>,
    ) -> Event {
        let extensions = scope.into_iter().map(|(name, value)| (name.into(), Fact::Text(value))).collect();
        let facts = facts.into_iter().map(|(name, fact)| (name.into(), fact)).collect();
        let draft = hub.draft(event_type, Some(subject.into()), extensions, facts);
        Event { source: (&*self.config.name).into(), time: wall.to_rfc3339().into(), wall, ..draft }
    }
}

/// Says what is open, or no more.
pub(super) fn append_change(hub: &mut Hub, source: &str, key: &Key, kept: Option<Box<RawValue>>) {
    let change = Change { source: source.into(), key: key.as_str().into(), kept };
    hub.append(Actor::Server(NAME), None, true, true, Body::Change(NAME, change.encode()));
}

fn fact(text: &str) -> Fact {
    Fact::Text(text.into())
}
