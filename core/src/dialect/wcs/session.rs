//! Sessions: one for each websocket of this engine, and what all engines know of those that are open. Nothing is sent
//! here, and no hook is called.

use std::collections::{BTreeMap, VecDeque};

use super::config::Policies;
use super::hook::Fields;
use crate::ground::id::{ConnId, Seq, ShardId};
use crate::ground::limits::Limits;
use crate::ground::slots::Slots;
use crate::ground::time::Mono;

/// A session, from the handshake of its websocket until its last hook has ended.
#[derive(Debug)]
pub struct Session {
    /// Its name; no other that is open has it.
    pub id: Box<str>,
    /// Its socket; `None` when that is gone.
    pub conn: Option<ConnId>,
    /// How far it has come.
    pub stage: Stage,
    /// A Close frame was sent: nothing more is said or heard.
    pub closing: bool,
    /// When `connection` must have come.
    pub due: Mono,
    /// The handshake's `Origin`.
    pub origin: Option<Box<str>>,
    /// Its application's key, once `connection` named it.
    pub app: Box<str>,
    /// What the answer to `connect` said of its hooks.
    pub policies: Policies,
    /// What ConnectionStatusEvent says of it, but for the status.
    pub fields: Fields,
    /// Where the log last said that it is open.
    pub said: Seq,
    /// What does not reach the log: `authToken`, and `sipPassword`, which does not reach the client either.
    pub secrets: Fields,
    /// Operations whose hooks have not ended.
    pub operations: u64,
    /// What these take in memory.
    pub operation_bytes: u64,
    /// Frames that the socket has perhaps not taken, and the sum of their bytes.
    unsent: (VecDeque<u32>, u64),
}

/// How far a session has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// There is a socket, and no session yet, or none any more.
    Silent,
    /// The hook `connect` has not ended.
    Connecting,
    /// It was accepted; the log is about to say so.
    Accepted,
    /// The client was told.
    Open,
    /// The backend was told of its end, or is about to be, behind what else waits for it.
    Ended,
}

impl Session {
    /// A session whose websocket was just opened.
    #[must_use]
    pub fn new(id: Box<str>, conn: ConnId, origin: Option<Box<str>>, due: Mono) -> Session {
        Session {
            id,
            conn: Some(conn),
            stage: Stage::Silent,
            closing: false,
            due,
            origin,
            app: "".into(),
            policies: Policies::new(),
            fields: Fields::new(),
            said: Seq(0),
            secrets: Fields::new(),
            operations: 0,
            operation_bytes: 0,
            unsent: (VecDeque::new(), 0),
        }
    }

    /// Whether one more frame may wait on its socket, which is full, and on which so many bytes wait.
    pub fn may_wait(&mut self, waiting: u64, limits: &Limits) -> bool {
        self.forget_sent(waiting);
        (self.unsent.0.len() as u64) < limits.wcs_unsent_messages && waiting < limits.wcs_unsent_bytes
    }

    /// A frame goes to the socket, on which so many bytes wait already.
    pub fn sends(&mut self, waiting: u64, bytes: usize) {
        self.forget_sent(waiting);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.unsent.0.push_back(bytes);
        self.unsent.1 += u64::from(bytes);
    }

    fn forget_sent(&mut self, waiting: u64) {
        let (frames, bytes) = &mut self.unsent;
        while let Some(first) = frames.front().copied().map(u64::from)
            && *bytes - first >= waiting
        {
            frames.pop_front();
            *bytes -= first;
        }
    }
}

/// The sessions of one engine, by small numbers (the tags of their streams) and by name.
#[derive(Debug, Default)]
pub struct Sessions {
    slots: Slots<Session>,
    tags: BTreeMap<Box<str>, u32>,
}

impl Sessions {
    /// Adds a session, and gives its tag.
    pub fn insert(&mut self, session: Session) -> u32 {
        let id = session.id.clone();
        let tag = self.slots.insert(session);
        self.tags.insert(id, tag);
        tag
    }

    /// Takes a session out.
    pub fn remove(&mut self, tag: u32) {
        if let Some(session) = self.slots.remove(tag) {
            self.tags.remove(&session.id);
        }
    }

    /// The session with this tag.
    #[must_use]
    pub fn get(&self, tag: u32) -> Option<&Session> {
        self.slots.get(tag)
    }

    /// The session with this tag.
    pub fn get_mut(&mut self, tag: u32) -> Option<&mut Session> {
        self.slots.get_mut(tag)
    }

    /// The tag of the session of this name.
    #[must_use]
    pub fn tag(&self, id: &str) -> Option<u32> {
        self.tags.get(id).copied()
    }

    /// The session of this name.
    #[must_use]
    pub fn named(&self, id: &str) -> Option<&Session> {
        self.get(self.tag(id)?)
    }

    /// All tags.
    #[must_use]
    pub fn tags(&self) -> Vec<u32> {
        self.slots.iter().map(|(tag, _)| tag).collect()
    }
}

/// What every engine knows of a session that is open: its events are that engine's affair whose socket it has.
#[derive(Debug)]
pub struct Place {
    /// The application.
    pub app: Box<str>,
    /// The engine.
    pub shard: ShardId,
    /// Its last event in the log.
    pub last: Seq,
    /// Its socket is gone, and hooks are left.
    pub gone: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: &str) -> Session {
        Session::new(id.into(), ConnId { slot: 0, generation: 0 }, None, Mono(0))
    }

    #[test]
    fn sessions_have_tags_and_names() {
        let mut sessions = Sessions::default();
        let tags = ["a", "b"].map(|id| sessions.insert(session(id)));
        assert_eq!((tags, sessions.tag("b"), sessions.tags()), ([0, 1], Some(1), vec![0, 1]));
        sessions.remove(0);
        assert!(sessions.tag("a").is_none() && sessions.get(0).is_none() && sessions.named("b").is_some());
        assert_eq!(sessions.insert(session("c")), 0);
    }

    #[test]
    fn w45_messages_wait_up_to_a_number_and_a_size() {
        let limits = Limits { wcs_unsent_messages: 3, wcs_unsent_bytes: 100, ..Limits::default() };
        let mut slow = session("s");
        let mut waiting = 0;
        for _ in 0..3 {
            assert!(slow.may_wait(waiting, &limits));
            slow.sends(waiting, 10);
            waiting += 10;
        }
        assert!(!slow.may_wait(waiting, &limits), "three wait");
        // Of 30 bytes the socket has taken 15: one frame, and a part of the next.
        assert!(slow.may_wait(15, &limits), "two wait");
        slow.sends(15, 90);
        assert!(!slow.may_wait(105, &limits), "100 bytes wait");
        assert!(slow.may_wait(0, &limits));
    }
}
