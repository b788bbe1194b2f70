//! What was acknowledged, what the stream saw, what arrived where; and the comparison.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use super::DESTINATIONS;
use crate::conformance::peer::value_after;
use crate::conformance::server::PATIENCE;

/// One event: its subject's number, and its own among that subject's, counted from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Mark {
    pub(super) subject: u32,
    pub(super) number: u32,
}

impl Mark {
    /// The event's id.
    pub(super) fn id(self) -> String {
        format!("{}-{}", self.subject, self.number)
    }

    pub(super) fn parse(id: &str) -> Mark {
        let parts = id.split_once('-').and_then(|(s, n)| Some((s.parse().ok()?, n.parse().ok()?)));
        let (subject, number) = parts.unwrap_or_else(|| panic!("{id:?} is no id of ours"));
        Mark { subject, number }
    }

    /// Every other subject is a recording: those go to ISR destinations too.
    pub(super) fn is_recording(self) -> bool {
        self.subject % 2 == 1
    }
}

/// Shared by all who write in them.
#[derive(Clone, Debug)]
pub(super) struct Books(Arc<(Mutex<Pages>, Condvar)>);

#[derive(Debug, Default)]
struct Pages {
    /// With the number that the server gave.
    acknowledged: BTreeMap<Mark, u64>,
    /// With the last id that the stream gave.
    seen: BTreeMap<Mark, String>,
    /// Numbers up to which the stream was told that something is missing.
    gap_to: u64,
    arrived: BTreeMap<&'static str, Arrived>,
    /// By subscription and version: what a callback shows of each resource.
    called_back: BTreeMap<(String, u64), Vec<u32>>,
    /// A callback that is out of order, or shows what another of its version did not.
    disorder: Option<String>,
}

#[derive(Debug, Default)]
struct Arrived {
    all: BTreeSet<Mark>,
    /// By subject, the highest first arrival.
    last: BTreeMap<u32, u32>,
    repeats: u64,
    disorder: Option<String>,
}

impl Books {
    pub(super) fn new() -> Books {
        let arrived = DESTINATIONS.into_iter().map(|name| (name, Arrived::default())).collect();
        Books(Arc::new((Mutex::new(Pages { arrived, ..Pages::default() }), Condvar::new())))
    }

    pub(super) fn acknowledge(&self, marks: impl Iterator<Item = (Mark, u64)>) {
        self.pages().acknowledged.extend(marks);
    }

    pub(super) fn acknowledged(&self) -> usize {
        self.pages().acknowledged.len()
    }

    /// The id of the first acknowledged event. What was seen under another number was lost and sent again.
    pub(super) fn first_id(&self) -> String {
        let pages = self.pages();
        let ids = pages.seen.iter().filter_map(|(mark, id)| {
            let seq = *pages.acknowledged.get(mark)?;
            (number_of(id) == seq).then_some((seq, id))
        });
        ids.min().expect("something was acknowledged and seen").1.clone()
    }

    /// The stream saw an event, under this id.
    pub(super) fn see(&self, mark: Mark, id: &str) {
        let mut pages = self.pages();
        pages.seen.insert(mark, id.to_owned());
        self.0.1.notify_all();
    }

    /// The stream was told that something up to this number is missing.
    pub(super) fn gap(&self, to: u64) {
        let mut pages = self.pages();
        pages.gap_to = pages.gap_to.max(to);
    }

    /// An event arrived at a destination, whatever the destination answers.
    pub(super) fn arrive(&self, destination: &str, mark: Mark) {
        let mut pages = self.pages();
        let arrived = pages.arrived.get_mut(destination).expect("a destination of ours");
        if !arrived.all.insert(mark) {
            arrived.repeats += 1;
            return;
        }
        let last = arrived.last.entry(mark.subject).or_default();
        if mark.number < *last {
            let text = format!("{destination}: {mark:?} arrived after number {last}");
            arrived.disorder.get_or_insert(text);
        }
        *last = (*last).max(mark.number);
        self.0.1.notify_all();
    }

    /// A callback came, with the state of all resources. One that came before may come again, but none from before it.
    pub(super) fn call_back(&self, document: &str) {
        let numbers = |before: &str| -> Vec<u64> {
            let digits =
                document.split(before).skip(1).map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
            digits.map(|digits| digits.and_then(|digits| digits.parse().ok()).expect("a number")).collect()
        };
        let version = numbers("\"version\":")[0];
        let shown: Vec<u32> = numbers("Voice-Message: ").into_iter().map(|number| number as u32).collect();
        let id = value_after(document, "\"id\":\"").to_owned();
        let mut pages = self.pages();
        let later = (id.clone(), version + 1)..=(id.clone(), u64::MAX);
        let is_late = pages.called_back.range(later).next().is_some();
        let known = pages.called_back.insert((id, version), shown.clone());
        if known.map_or(is_late, |known| known != shown) {
            pages
                .disorder
                .get_or_insert(format!("version {version} came late, or once more with other words"));
        }
        self.0.1.notify_all();
    }

    /// Waits until the callbacks of a subscription show this of so many resources; of how many they do when nothing comes
    /// any more.
    pub(super) fn wait_until_called_back(&self, number: u32, resources: usize) -> usize {
        let show = |pages: &Pages| {
            let of = |shown: &Vec<u32>| shown.iter().filter(|shown| **shown == number).count();
            pages.called_back.values().map(of).max().unwrap_or_default()
        };
        let (pages, _) = self
            .0
            .1
            .wait_timeout_while(self.pages(), PATIENCE, |pages| show(pages) < resources)
            .expect("no holder panics");
        assert!(pages.disorder.is_none(), "{:?}", pages.disorder);
        show(&pages)
    }

    /// Waits until every acknowledged event was seen, and has arrived wherever it was to go; how many are missing when
    /// nothing comes any more.
    pub(super) fn wait_until_all_arrived(&self) -> usize {
        let mut pages = self.pages();
        let mut missing = pages.missing();
        while !missing.is_empty() {
            let (guard, timeout) = self.0.1.wait_timeout(pages, PATIENCE).expect("no holder panics");
            pages = guard;
            let still = pages.missing();
            if timeout.timed_out() && still == missing {
                eprintln!("lost, after {PATIENCE:?} without news: {still:?}");
                break;
            }
            missing = still;
        }
        for arrived in pages.arrived.values() {
            assert!(arrived.disorder.is_none(), "{:?}", arrived.disorder);
        }
        missing.iter().map(|(_, count, _)| count).sum()
    }

    /// Hooks that came again.
    pub(super) fn repeats(&self) -> u64 {
        self.pages().arrived.values().map(|arrived| arrived.repeats).sum()
    }

    /// Acknowledged events after the one with this id that are not among these.
    pub(super) fn acknowledged_after(&self, id: &str) -> BTreeSet<Mark> {
        let first: u64 = number_of(id);
        let pages = self.pages();
        pages.acknowledged.iter().filter(|(_, seq)| **seq > first).map(|(mark, _)| *mark).collect()
    }

    pub(super) fn summary(&self) -> String {
        let pages = self.pages();
        let mut text = format!("{} events acknowledged, {} seen", pages.acknowledged.len(), pages.seen.len());
        for (name, arrived) in &pages.arrived {
            text.push_str(&format!(", {} at {name} ({} again)", arrived.all.len(), arrived.repeats));
        }
        text
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.0.lock().expect("no holder panics")
    }
}

impl Pages {
    /// How many acknowledged events each is missing, and one of them.
    fn missing(&self) -> Vec<(&'static str, usize, Mark)> {
        let mut missing = Vec::new();
        let mut note = |name, marks: Vec<Mark>| {
            if let Some(first) = marks.first() {
                missing.push((name, marks.len(), *first));
            }
        };
        let acknowledged = self.acknowledged.iter();
        let unseen = acknowledged.filter(|(mark, seq)| !self.seen.contains_key(mark) && **seq > self.gap_to);
        note("the stream", unseen.map(|(mark, _)| *mark).collect());
        for (name, arrived) in &self.arrived {
            let wanted = self.acknowledged.keys().filter(|mark| *name != "isr" || mark.is_recording());
            note(name, wanted.filter(|mark| !arrived.all.contains(mark)).copied().collect());
        }
        missing
    }
}

/// The record's number in an id of a stream.
pub(super) fn number_of(id: &str) -> u64 {
    let number = id.rsplit_once('-').and_then(|(_, number)| number.parse().ok());
    number.unwrap_or_else(|| panic!("{id:?} is no id of a stream"))
}
