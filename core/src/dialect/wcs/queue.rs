//! Hooks that have no final outcome yet. One call at a time in a lane (a session), in the order of their events; lanes
//! go in parallel, up to a number of calls per application. No call is made here, and no time is known.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::change::Words;
use crate::event::Event;
use crate::ground::id::Seq;

/// All applications that the log knows.
#[derive(Debug, Default)]
pub struct Queue {
    apps: BTreeMap<Box<str>, App>,
    hooks: BTreeMap<u64, Hook>,
}

/// One application.
#[derive(Debug, Default)]
pub struct App {
    /// What becomes a hook.
    pub words: Words,
    /// The config file has it no longer; it stays until its last hook has ended.
    pub gone: bool,
    /// Where the log last said it.
    pub said: Seq,
    /// Calls under way.
    calls: u64,
    /// Hooks without an outcome, those under way included.
    unfinished: u64,
    lanes: BTreeMap<Arc<str>, Lane>,
    /// Lanes with a hook and no call, by when they came to be so.
    ready: BTreeMap<u64, Arc<str>>,
    next_ticket: u64,
}

#[derive(Debug)]
struct Lane {
    hooks: VecDeque<u64>,
    /// Its place in [`App::ready`]; `None`: its first hook is being called.
    ticket: Option<u64>,
}

/// One hook.
#[derive(Clone, Debug)]
pub struct Hook {
    /// Its application.
    pub app: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// Its event.
    pub event: Arc<Event>,
    /// Where the log last said it.
    pub said: Seq,
    lane: Arc<str>,
}

/// What waits one after the other: a session's hooks; without a session those of one subject; else all the rest.
#[must_use]
pub fn lane(event: &Event) -> String {
    match (event.extension("sessionid"), event.subject.as_deref()) {
        (Some(session), _) if !session.is_empty() => lane_of(session),
        (_, Some(subject)) => format!("subject/{subject}"),
        (_, None) => String::new(),
    }
}

fn lane_of(session: &str) -> String {
    format!("session/{session}")
}

impl Queue {
    /// Whether a session has hooks without an outcome.
    #[must_use]
    pub fn has_session(&self, key: &str, session: &str) -> bool {
        self.apps.get(key).is_some_and(|app| app.lanes.contains_key(&*lane_of(session)))
    }

    /// An application, as the log knows it.
    #[must_use]
    pub fn app(&self, key: &str) -> Option<&App> {
        self.apps.get(key)
    }

    /// The keys of all applications.
    #[must_use]
    pub fn keys(&self) -> Vec<Box<str>> {
        self.apps.keys().cloned().collect()
    }

    /// The log says that there is an application.
    pub fn put_app(&mut self, key: &str, words: Words, said: Seq) {
        let app = self.apps.entry(key.into()).or_default();
        *app = App { words, gone: false, said, ..std::mem::take(app) };
    }

    /// The log says that there is none any more.
    pub fn remove_app(&mut self, key: &str) {
        if let Some(app) = self.apps.get_mut(key) {
            app.gone = true;
            app.words.clear();
        }
        self.forget(key);
    }

    /// An application that is gone is forgotten with its last hook.
    fn forget(&mut self, key: &str) {
        if self.apps.get(key).is_some_and(|app| app.gone && app.unfinished == 0) {
            self.apps.remove(key);
        }
    }

    /// The log has said a hook again.
    pub fn touch(&mut self, seq: u64, said: Seq) {
        if let Some(hook) = self.hooks.get_mut(&seq) {
            hook.said = said;
        }
    }

    /// A hook comes last in its lane. A number that is there already stays where it is.
    pub fn push(&mut self, seq: u64, key: &str, name: &str, event: &Arc<Event>, said: Seq) {
        if self.hooks.contains_key(&seq) {
            return self.touch(seq, said);
        }
        let app = self.apps.entry(key.into()).or_default();
        let lane: Arc<str> = lane(event).into();
        app.unfinished += 1;
        match app.lanes.get_mut(&lane) {
            Some(lane) => lane.hooks.push_back(seq),
            None => {
                let ticket = Some(app.take_ticket(&lane));
                app.lanes.insert(Arc::clone(&lane), Lane { hooks: VecDeque::from([seq]), ticket });
            }
        }
        let hook = Hook { app: key.into(), name: name.into(), event: Arc::clone(event), said, lane };
        self.hooks.insert(seq, hook);
    }

    /// Whether the hook came to a session or an application that has too many waiting.
    #[must_use]
    pub fn is_surplus(&self, seq: u64, of_lane: u64, of_app: u64) -> bool {
        let Some(hook) = self.hooks.get(&seq) else { return false };
        let Some(app) = self.apps.get(&hook.app) else { return false };
        let in_lane = app
            .lanes
            .get(&hook.lane)
            .map_or(0, |lane| lane.hooks.len() as u64 - u64::from(lane.ticket.is_none()));
        in_lane > of_lane || app.unfinished - app.calls > of_app
    }

    /// The next hook to call, which from now on is being called; none if none may be.
    pub fn next(&mut self, key: &str, calls_max: u64) -> Option<u64> {
        let app = self.apps.get_mut(key).filter(|app| app.calls < calls_max)?;
        let (_, lane) = app.ready.pop_first()?;
        let lane = app.lanes.get_mut(&lane)?;
        lane.ticket = None;
        app.calls += 1;
        lane.hooks.front().copied()
    }

    /// A hook without an outcome.
    #[must_use]
    pub fn hook(&self, seq: u64) -> Option<&Hook> {
        self.hooks.get(&seq)
    }

    /// The hook has its outcome; `None` if it had it before.
    pub fn end(&mut self, seq: u64) -> Option<Hook> {
        let hook = self.hooks.remove(&seq)?;
        let app = self.apps.get_mut(&hook.app)?;
        app.unfinished -= 1;
        let lane = app.lanes.get_mut(&hook.lane)?;
        let place = lane.hooks.iter().position(|waiting| *waiting == seq)?;
        lane.hooks.remove(place);
        let was_called = place == 0 && lane.ticket.is_none();
        app.calls -= u64::from(was_called);
        if lane.hooks.is_empty() {
            let ticket = lane.ticket;
            app.lanes.remove(&hook.lane);
            ticket.map(|ticket| app.ready.remove(&ticket));
        } else if was_called {
            let ticket = app.take_ticket(&hook.lane);
            if let Some(lane) = app.lanes.get_mut(&hook.lane) {
                lane.ticket = Some(ticket);
            }
        }
        self.forget(&hook.app);
        Some(hook)
    }

    /// All hooks without an outcome, in the order of their events.
    pub fn hooks(&self) -> impl Iterator<Item = (u64, &Hook)> {
        self.hooks.iter().map(|(seq, hook)| (*seq, hook))
    }
}

impl App {
    fn take_ticket(&mut self, lane: &Arc<str>) -> u64 {
        self.next_ticket += 1;
        self.ready.insert(self.next_ticket, Arc::clone(lane));
        self.next_ticket
    }

    /// Hooks without an outcome.
    #[must_use]
    pub fn unfinished(&self) -> u64 {
        self.unfinished
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::dialect::wcs::tests::event;

    fn of(session: &str) -> Arc<Event> {
        Arc::new(event("stream.status", &[("appkey", "a"), ("sessionid", session)], "{}"))
    }

    #[test]
    fn lanes_are_sessions_then_subjects() {
        let mut one = event("stream.status", &[("sessionid", "s")], "{}");
        one.subject = Some("stream/1".into());
        assert_eq!(lane(&one), "session/s");
        one.extensions.clear();
        assert_eq!(lane(&one), "subject/stream/1");
        one.subject = None;
        assert_eq!(lane(&one), "");
    }

    proptest! {
        /// W27, W28: whatever ends when, a session's hooks are called one at a time in their order, never more of an
        /// application than allowed, and as many as are allowed.
        #[test]
        fn w27_w28_a_queue_keeps_order_and_bounds(
            steps in prop::collection::vec((0u8..3, 0u8..5, any::<prop::sample::Index>()), 1..200),
            calls_max in 1u64..4,
        ) {
            let mut queue = Queue::default();
            let mut lanes: BTreeMap<u8, VecDeque<u64>> = BTreeMap::new();
            let mut calling: BTreeSet<u64> = BTreeSet::new();
            for (seq, (step, session, index)) in (1u64..).zip(steps) {
                let under_way: Vec<u64> = calling.iter().copied().collect();
                match step {
                    0 => {
                        queue.push(seq, "a", "StreamStatusEvent", &of(&session.to_string()), Seq(seq));
                        lanes.entry(session).or_default().push_back(seq);
                    }
                    1 if !under_way.is_empty() => {
                        let ended = under_way[index.index(under_way.len())];
                        prop_assert!(queue.end(ended).is_some() && queue.end(ended).is_none());
                        calling.remove(&ended);
                        lanes.values_mut().for_each(|lane| lane.retain(|seq| *seq != ended));
                    }
                    _ => {
                        // One that waits ends without a call, as when it is surplus.
                        let waiting = lanes.values().flatten().find(|seq| !calling.contains(seq)).copied();
                        if let Some(ended) = waiting.filter(|_| session == 0) {
                            prop_assert!(queue.end(ended).is_some());
                            lanes.values_mut().for_each(|lane| lane.retain(|seq| *seq != ended));
                        }
                    }
                }
                while let Some(next) = queue.next("a", calls_max) {
                    let first = lanes.values().any(|lane| lane.front() == Some(&next));
                    prop_assert!(first && calling.insert(next), "{next} is the first of its session, called once");
                }
                prop_assert!(calling.len() as u64 <= calls_max);
                let idle = lanes.values().filter_map(|l| l.front()).filter(|seq| !calling.contains(seq)).count();
                prop_assert!(idle == 0 || calling.len() as u64 == calls_max, "nobody waits without need");
                let left: u64 = lanes.values().map(|lane| lane.len() as u64).sum();
                prop_assert_eq!(queue.app("a").map_or(0, App::unfinished), left);
            }
        }
    }

    #[test]
    fn an_app_that_is_gone_stays_until_its_last_hook() {
        let mut queue = Queue::default();
        queue.put_app("a", Words::new(), Seq(1));
        queue.push(2, "a", "x", &of("s"), Seq(2));
        queue.remove_app("a");
        assert!(queue.app("a").is_some_and(|app| app.gone));
        assert!(queue.end(2).is_some() && queue.app("a").is_none());
    }

    #[test]
    fn surplus_is_what_waits_beyond_the_bounds() {
        let mut queue = Queue::default();
        for seq in 1..=4 {
            queue.push(seq, "a", "x", &of("s"), Seq(seq));
            queue.next("a", 64);
        }
        // One is being called, three wait.
        assert!(queue.is_surplus(4, 2, 100) && !queue.is_surplus(4, 3, 100));
        assert!(queue.is_surplus(4, 100, 2) && !queue.is_surplus(4, 100, 3));
    }
}
