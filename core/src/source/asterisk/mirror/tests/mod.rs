//! What follows from what real versions of Asterisk sent, and from what none would send.

#![allow(dead_code, reason = "the tables follow")]

use super::*;
use crate::ground::time::Mono;

/// A mirror and what it told so far.
struct Play {
    mirror: Mirror,
    out: Vec<Told>,
    now: Now,
}

impl Play {
    fn new(rules: Rules) -> Play {
        let now = Now { mono: Mono(0), wall: Wall(1_795_443_800_000) };
        Play { mirror: Mirror::new(rules, 1000), out: Vec::new(), now }
    }

    /// Applies events that a blank line parts.
    fn events(&mut self, capture: &str) {
        for block in blocks(capture) {
            let message = Message::of(block.as_bytes());
            if message.event().is_some_and(Mirror::wants) {
                self.mirror.apply(&message, self.now, &mut self.out);
            }
        }
    }
}

fn blocks(capture: &str) -> impl Iterator<Item = &str> {
    capture.split("\n\n").map(str::trim_start).filter(|block| !block.is_empty())
}

/// What was told, a line each: type, subject, facts.
fn line(told: &Told) -> String {
    let facts = told.facts.iter().map(|(name, fact)| format!(" {name}={}", fact.as_text().unwrap_or("null")));
    let scope = told.scope.iter().map(|(name, value)| format!(" @{name}={value}"));
    format!("{} {}{}{}", told.event_type, told.subject, facts.collect::<String>(), scope.collect::<String>())
}
