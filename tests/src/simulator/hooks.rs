//! What backends of WCS have said, and to whom: the books of hooks. A client may be told of nothing that its backend did
//! not decide.

use std::collections::{BTreeMap, BTreeSet};

/// Attempts of one call: one, and three more at once.
const ATTEMPTS_MAX: u64 = 4;

/// Names of sessions that are remembered.
const SESSIONS_MAX: usize = 8;

/// The books of hooks.
#[derive(Debug, Default)]
pub struct Hooks {
    /// What the backend has answered, by hook and by what it is about.
    said: BTreeSet<(String, String, u16)>,
    /// Requests of hooks that come before something, by life, hook and what they are about.
    asked: BTreeMap<(u64, String, String), u64>,
    /// Sessions that clients have, the youngest last.
    sessions: Vec<String>,
    /// Sessions whose client was told of its beginning, and those whose backend was told of their end.
    begun: BTreeSet<String>,
    ended: BTreeSet<String>,
}

impl Hooks {
    /// The backend answers a hook.
    pub fn says(&mut self, hook: &str, about: &str, status: u16) {
        self.said.insert((hook.to_owned(), about.to_owned(), status));
    }

    /// A hook that comes before something has come.
    ///
    /// # Panics
    /// If it has come too often.
    pub fn asked(&mut self, life: u64, hook: &str, about: &str) {
        let count = self.asked.entry((life, hook.to_owned(), about.to_owned())).or_default();
        *count += 1;
        assert!(*count <= ATTEMPTS_MAX, "{hook} of {about} is asked for the {count}th time");
    }

    /// A client is told of a hook, which was answered so.
    ///
    /// # Panics
    /// If it was not.
    pub fn told(&self, hook: &str, about: &str, status: u16) {
        let said = (hook.to_owned(), about.to_owned(), status);
        assert!(
            self.said.contains(&said),
            "{hook} of {about}: nobody said {status}, and the client is told so"
        );
    }

    /// A client is told what failed: `REST hook NAME failed: HTTP CODE`.
    ///
    /// # Panics
    /// If its backend said nothing of the kind.
    pub fn told_failure(&self, about: &str, info: &str) {
        let Some((hook, why)) = info.strip_prefix("REST hook ").and_then(|rest| rest.split_once(" failed: "))
        else {
            return;
        };
        if let Some(status) = why.strip_prefix("HTTP ") {
            self.told(hook, about, status.parse().expect("a status"));
        }
    }

    /// A client's session is established; `token` is what the client calls it.
    pub fn begun(&mut self, token: &str, session: &str) {
        self.begun.insert(token.to_owned());
        if self.sessions.len() == SESSIONS_MAX {
            self.sessions.remove(0);
        }
        self.sessions.push(session.to_owned());
    }

    /// The backend has taken the news of a session's end.
    pub fn ended(&mut self, token: &str) {
        self.ended.insert(token.to_owned());
    }

    /// Names of sessions, the youngest last; some may have ended.
    #[must_use]
    pub fn sessions(&self) -> &[String] {
        &self.sessions
    }

    /// Sessions that have begun, and of whose end the backend has not heard.
    pub fn open(&self) -> impl Iterator<Item = &str> {
        self.begun.difference(&self.ended).map(String::as_str)
    }
}
