//! What `check-source` prints.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;

use offhook_core::event::Fact;
use offhook_core::ground::config::Source;
use offhook_core::source::asterisk::told::Told;
use offhook_core::source::asterisk::{Asterisk, Said};

/// Lines on an output. Whoever does not read them does not keep us from going on.
pub(super) struct Report<'s, W> {
    source: &'s Source,
    out: W,
    /// The event of the PBX that is being mapped, and whether it told something.
    heard: Option<(Box<str>, bool)>,
    /// Events of the PBX that told nothing new.
    quiet: u64,
    told: u64,
    is_connected: bool,
    /// Questions that are known to be of no use.
    missing: Vec<&'static str>,
}

impl<'s, W: Write> Report<'s, W> {
    pub(super) fn new(source: &'s Source, out: W) -> Report<'s, W> {
        Report { source, out, heard: None, quiet: 0, told: 0, is_connected: false, missing: Vec::new() }
    }

    fn line(&mut self, text: &str) {
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let _ = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
    }

    pub(super) fn dials(&mut self) {
        let Source { name, user, tls, md5, .. } = self.source;
        let way = if tls.is_some() { "TLS" } else { "plain TCP" };
        let login = if *md5 { "answers a challenge (md5)" } else { "sends the password (plain)" };
        let text = format!("source {name}: {} over {way}, as {user}, which {login}", self.source.address());
        self.line(&text);
    }

    pub(super) fn connected(&mut self, version: &str) {
        self.is_connected = true;
        self.line(&format!("connected: Asterisk {version}"));
    }

    /// What it may see, as far as that is known.
    pub(super) fn rights(&mut self, allowed: Option<&BTreeMap<Box<str>, Box<str>>>) {
        let classes = self.source.events.as_deref().unwrap_or(offhook_core::source::asterisk::EVENTS);
        self.line(&format!(
            "events:    {classes} are asked for; \"read\" in manager.conf decides which come"
        ));
        let Some(allowed) = allowed else {
            return self.line("questions: it does not say which are allowed");
        };
        let (may, may_not): (Vec<&'static str>, Vec<&'static str>) =
            Asterisk::questions().into_iter().partition(|action| allowed.contains_key(*action));
        self.missing.clone_from(&may_not);
        self.line(&format!("questions: {}", may.join(", ")));
        if !may_not.is_empty() {
            let text = format!(
                "missing:   {}: not allowed by \"write\" in manager.conf (reporting,agent,system has them all), or the module \
                 is not loaded; what ends unseen of that kind stays open",
                may_not.join(", ")
            );
            self.line(&text);
        }
    }

    pub(super) fn said(&mut self, said: Said) {
        match said {
            Said::Up { .. } => {}
            Said::Heard(name) => {
                self.finish();
                self.heard = Some((name, false));
            }
            Said::Told(told) => self.mapped(&told),
            Said::Gap { reason, dropped } => {
                self.finish();
                let dropped = dropped.map_or_else(|| "some".to_owned(), |dropped| dropped.to_string());
                self.line(&format!("gap:       {dropped} messages could not be taken ({reason})"));
            }
            Said::Resynced { unanswered } => {
                self.finish();
                let told = std::mem::take(&mut self.told);
                self.line(&format!("state:     {told} events tell what is there already"));
                let lost: Vec<&str> =
                    unanswered.into_iter().filter(|action| !self.missing.contains(action)).collect();
                if !lost.is_empty() {
                    self.line(&format!("missing:   no answer to {}", lost.join(", ")));
                }
                self.line("the next events follow, as they are mapped:");
            }
            Said::Unbooted => {
                self.line(
                    "missing:   it does not say that it is started up: \"read\" in manager.conf lacks system",
                );
            }
        }
    }

    pub(super) fn ends(&mut self) {
        self.finish();
        let (told, quiet) = (self.told, self.quiet);
        if !self.is_connected {
            return;
        }
        self.line(&format!("end:       {told} events were told; {quiet} of the PBX's told nothing new"));
    }

    /// `Hangup -> call.hangup call/1795314143.0 reason="Normal Clearing"`
    fn mapped(&mut self, told: &Told) {
        self.told += 1;
        let cause = self.heard.as_mut().map_or("state", |(name, told)| {
            *told = true;
            name
        });
        let mut text = format!("{cause} -> {} {}", told.event_type, told.subject);
        for (name, fact) in &told.facts {
            let _ = write!(text, " {name}={}", shown(fact));
        }
        for (name, value) in &told.scope {
            let _ = write!(text, " {name}:{value}");
        }
        self.line(&text);
    }

    fn finish(&mut self) {
        self.quiet += u64::from(self.heard.take().is_some_and(|(_, told)| !told));
    }
}

fn shown(fact: &Fact) -> String {
    match fact {
        Fact::Text(text) if text.contains([' ', '"']) || text.is_empty() => format!("{text:?}"),
        Fact::Text(text) => text.to_string(),
        Fact::Number(text) | Fact::Nested(text) => text.to_string(),
        Fact::Bool(yes) => yes.to_string(),
        Fact::Null => "null".to_owned(),
    }
}
