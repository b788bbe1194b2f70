//! What follows from what real versions of Asterisk sent, and from what none would send.
//!
//! The captures are what 16.28 and 22.10 sent for the same doings, without the keys and events that nothing here reads,
//! and with shorter ids.

mod calls;
mod hostile;
mod kept;
mod model;
mod others;
mod resync;

use super::*;
use crate::ground::config::ScopeRule;
use crate::ground::time::Mono;

/// What each version sent, a section for each doing.
const CAPTURES: [(&str, &str); 2] =
    [("16.28", include_str!("asterisk-16.txt")), ("22.10", include_str!("asterisk-22.txt"))];

/// What each version answered, a section for each time that it was asked.
const ANSWERS: [(&str, &str); 2] =
    [("16.28", include_str!("answers-16.txt")), ("22.10", include_str!("answers-22.txt"))];

/// A mirror and what it told so far.
struct Play {
    mirror: Mirror,
    out: Vec<Told>,
    now: Now,
}

impl Play {
    fn new(rules: &[ScopeRule]) -> Play {
        let now = Now { mono: Mono(0), wall: Wall(1_795_443_800_000) };
        let limits = Limits { source_things: 1000, ..Limits::default() };
        Play { mirror: Mirror::new(Rules::new(rules), &limits), out: Vec::new(), now }
    }

    /// Applies events that a blank line parts.
    fn events(&mut self, capture: &str) {
        for block in blocks(capture) {
            let message = Message::of(block.as_bytes());
            assert!(message.event().is_some_and(Mirror::wants), "{block}");
            self.mirror.apply(&message, self.now, &mut self.out);
        }
    }

    /// Asks, and gives the answers of a section; a question without any is refused.
    fn resync(&mut self, answers: &str) -> Vec<String> {
        self.begin(answers);
        self.finish(&[])
    }

    fn begin(&mut self, answers: &str) {
        self.mirror.begin_resync();
        for question in self.mirror.questions() {
            let mark = format!("--- {}\n", question.action);
            let answer = answers
                .split_once(&mark)
                .map_or("", |(_, rest)| rest.split("--- ").next().unwrap_or_default());
            for block in blocks(answer) {
                assert!(self.mirror.answer(&question, &Message::of(block.as_bytes())), "{block}");
            }
        }
    }

    /// Finishes without an answer to these actions.
    fn finish(&mut self, unanswered: &[&str]) -> Vec<String> {
        let mut questions = Mirror::new(Rules::default(), &Limits::default()).questions();
        questions.retain(|question| unanswered.contains(&question.action));
        self.mirror.finish_resync(&questions, self.now, &mut self.out);
        self.told()
    }

    /// What was told since the last time.
    fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.out).iter().map(brief).collect()
    }
}

/// Each version tells this of the doing of that name. What of different legs follows upon each other differs from run to
/// run: of each subject, the lines are in order.
fn check(doing: &str, expected: &[&str]) {
    for (version, capture) in CAPTURES {
        let mut play = Play::new(&[]);
        play.events(section(capture, doing));
        assert_eq!(by_subject(play.told()), by_subject(expected.iter().copied()), "{doing}, {version}");
    }
}

fn by_subject<T: Into<String>>(lines: impl IntoIterator<Item = T>) -> Vec<String> {
    let mut lines: Vec<String> = lines.into_iter().map(Into::into).collect();
    lines.sort_by(|a, b| a.split(' ').nth(1).cmp(&b.split(' ').nth(1)));
    lines
}

/// The section of that name.
fn section<'a>(text: &'a str, name: &str) -> &'a str {
    let mark = format!("=== {name}\n");
    let (_, rest) = text.split_once(&mark).unwrap_or_else(|| panic!("no section {name}"));
    rest.split("\n=== ").next().unwrap_or_default()
}

fn blocks(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n\n").map(str::trim).filter(|block| !block.is_empty())
}

/// What was told, in a line: type and subject; of a leg who calls whom, and the extension that has it; whatever else is said.
fn brief(told: &Told) -> String {
    let fact =
        |name: &str| told.facts.iter().find(|(there, _)| *there == name).and_then(|(_, fact)| fact.as_text());
    let subject = told.subject.strip_prefix("call/").unwrap_or(&told.subject);
    let mut line = format!("{} {subject}", told.event_type);
    if told.facts.iter().any(|(name, _)| ["direction", "transfer"].contains(name)) {
        let who = ["caller_number", "called_number"].map(|name| fact(name).unwrap_or("-"));
        line += &format!(" {}>{}", who[0], who[1]);
    }
    for (name, fact) in &told.facts {
        let party = name.ends_with("_1") || name.ends_with("_2");
        if (!party || name.starts_with("caller_number")) && !UNSAID.contains(name) {
            line += &format!(" {name}={}", fact.as_text().unwrap_or("null"));
        }
    }
    told.scope.iter().fold(line, |line, (name, value)| format!("{line} @{name}={value}"))
}

/// What a line leaves out: what differs from run to run, and what other tests look at.
#[rustfmt::skip]
const UNSAID: &[&str] = &[
    "call_id", "linked_id", "direction", "caller_number", "caller_name", "called_number", "called_name", "username",
    "channel", "duration", "talk_duration", "hold_time", "talk_time", "start_time", "ucid", "ani", "dnis", "queue_id",
    "conference_id", "dial_string",
];

/// Each key opens and closes in turn; a call, once.
struct Books {
    open: BTreeSet<String>,
    ended: BTreeSet<String>,
}

impl Books {
    const fn new() -> Books {
        Books { open: BTreeSet::new(), ended: BTreeSet::new() }
    }

    fn enter(&mut self, told: &Told) {
        const STARTS: [&str; 6] = [
            "call.incoming",
            "call.link_start",
            "conference.join",
            "queue.join",
            "agent.login",
            "recording.started",
        ];
        match &told.open {
            Open::No => {}
            Open::Opens(key) => {
                let new = self.open.insert(key.as_str().to_owned());
                assert!(new || !STARTS.contains(&told.event_type), "started twice: {}", brief(told));
                assert!(!self.ended.contains(key.as_str()), "after its end: {}", brief(told));
            }
            Open::Closes(key) => {
                assert!(self.open.remove(key.as_str()), "ended twice: {}", brief(told));
                if key.as_str().starts_with("call/") {
                    self.ended.insert(key.as_str().to_owned());
                }
            }
        }
    }
}
