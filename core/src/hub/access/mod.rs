//! Who makes the request that is being served, and what keeps guesses dear: passwords are checked off the loop
//! ([`checks`]), and failures are counted by address (`attempts`). Which credentials there are, and what they look like
//! on the wire, is the dialects' affair ([`crate::dialect::access`]).

mod attempts;
pub mod audit;
pub mod checks;

use std::collections::BTreeMap;
use std::sync::Arc;

use attempts::Attempts;
use audit::{Audit, What};
use checks::{Checked, Checks, Claim};

use super::Hub;
use crate::ground::config::{Only, Rights};
use crate::ground::id::ConnId;
use crate::hub::action::{Action, Level};
use crate::log::record::Actor;
use crate::wire::http::head::Head;

/// Who came in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// The user's or the token's name; empty for one who had to name no credential.
    pub name: Box<str>,
    /// What may be done on `/v1`.
    pub rights: Rights,
    /// What may be seen.
    pub only: Only,
}

/// Why the request that is being judged will be refused. It is said once, when the refusal is answered.
#[derive(Debug)]
struct Refusal {
    text: String,
    /// The user or token that was named.
    who: Option<Box<str>>,
    /// A credential was wrong: it counts against the peer's address.
    guess: bool,
}

/// What the hub knows of those who come in.
#[derive(Debug)]
pub(super) struct Access {
    checks: Checks,
    attempts: Attempts,
    refusal: Option<Refusal>,
    anybody: Arc<Who>,
    /// Those who came in, by name: all connections of one share it.
    known: BTreeMap<Box<str>, Arc<Who>>,
    /// This second, and the refusals that the audit log got in it.
    audited: Pace,
}

/// Lines of a log in one second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    second: u64,
    lines: u64,
}

impl Pace {
    /// Whether one more line is written in this second, and how many the one before left out.
    pub(super) fn admit(&mut self, second: u64, bound: u64) -> (bool, u64) {
        let mut left_out = 0;
        if self.second != second {
            left_out = self.lines.saturating_sub(bound);
            *self = Pace { second, lines: 0 };
        }
        self.lines += 1;
        (self.lines <= bound, left_out)
    }
}

impl Access {
    pub(super) fn new(seed: u64) -> Access {
        let everybody = Rights { publish: true, read: true, admin: true, subscribe: true };
        Access {
            checks: Checks::new(seed),
            attempts: Attempts::default(),
            refusal: None,
            anybody: Arc::new(Who { rights: everybody, ..Who::default() }),
            known: BTreeMap::new(),
            audited: Pace::default(),
        }
    }
}

impl Hub {
    /// Who makes the request that is being served on a connection; `None` if no credential was asked for.
    #[must_use]
    pub fn who(&self, id: ConnId) -> Option<Arc<Who>> {
        self.conns.get(id)?.who.clone()
    }

    /// One who had to name no credential.
    pub(crate) fn anybody(&self) -> Arc<Who> {
        Arc::clone(&self.access.anybody)
    }

    /// Whoever makes the request that is being judged is known.
    pub(crate) fn admit(&mut self, id: ConnId, who: Who) -> Arc<Who> {
        let known = &mut self.access.known;
        let who = match known.get(&who.name) {
            Some(known) if **known == who => Arc::clone(known),
            Some(_) | None => {
                let who = Arc::new(who);
                known.insert(who.name.clone(), Arc::clone(&who));
                who
            }
        };
        if let Some(conn) = self.conns.get_mut(id) {
            conn.who = Some(Arc::clone(&who));
        }
        who
    }

    /// Who causes a record by the request that is being served on a connection.
    #[must_use]
    pub fn actor(&self, id: ConnId) -> Actor {
        let Some(conn) = self.conns.get(id) else { return Actor::Server("server") };
        match &conn.who {
            Some(who) => Actor::Named(conn.peer, who.name.as_ref().into()),
            None => Actor::Address(conn.peer),
        }
    }

    /// Why the request that is being judged will be refused: it goes to the log and the audit log.
    /// `who` is the user or token that was named, if one was.
    pub(crate) fn give_reason(&mut self, who: Option<&str>, text: impl Into<String>) {
        let who = who.map(Into::into);
        self.access.refusal = Some(Refusal { text: text.into(), who, guess: false });
    }

    /// The same for a wrong credential, which counts against the peer's address.
    pub(crate) fn wrong_credential(&mut self, who: Option<&str>, text: impl Into<String>) {
        let who = who.map(Into::into);
        self.access.refusal = Some(Refusal { text: text.into(), who, guess: true });
    }

    /// For how many milliseconds a connection's peer may not try any more credentials, if so.
    pub(crate) fn barred_ms(&self, id: ConnId) -> Option<u64> {
        let peer = self.conns.get(id)?.peer;
        self.access.attempts.barred_ms(peer, self.now.mono, &self.config.limits)
    }

    /// What is known of a password that a request came with.
    pub(crate) fn check(&mut self, id: ConnId, claim: Claim<'_>) -> Checked {
        let checked = self.access.checks.ask(id, claim, &self.config.limits);
        // One that proves wrong is counted before the next begins.
        if checked == Checked::Waits {
            self.start_checks();
        }
        checked
    }

    /// Lets checks that wait begin, as many as may be under way.
    pub(crate) fn start_checks(&mut self) {
        loop {
            let Hub { access, conns, config, now, .. } = self;
            let Access { checks, attempts, .. } = access;
            let limits = &config.limits;
            let may_try = |id| {
                let peer = conns.get(id).map(|conn| conn.peer);
                peer.is_some_and(|peer| attempts.barred_ms(peer, now.mono, limits).is_none())
            };
            let (begun, left_out) = checks.start(limits, may_try);
            self.resumed.extend(left_out);
            match begun {
                Some(action) => self.act(action),
                None => return,
            }
        }
    }

    /// A check is done: the requests that waited for it are judged again.
    pub(crate) fn checked(&mut self, ticket: u64, right: bool) {
        self.resumed.extend(self.access.checks.done(ticket, right, &self.config.limits));
    }

    /// A connection's next request is about to be judged, anew perhaps.
    pub(crate) fn begin_judging(&mut self, id: ConnId) {
        self.access.refusal = None;
        if let Some(conn) = self.conns.get_mut(id) {
            conn.who = None;
        }
    }

    /// A connection's request needs no check any more.
    pub(crate) fn leave_checks(&mut self, id: ConnId) {
        self.access.checks.leave(id);
    }

    /// A request is answered with a refusal; if somebody gave a reason that concerns who asks, it is told.
    pub(crate) fn tell_refusal(&mut self, id: ConnId, dialect: &'static str, head: &Head<'_>, status: u16) {
        let Some(refusal) = self.access.refusal.take() else { return };
        let Some(conn) = self.conns.get(id) else { return };
        let peer = conn.peer;
        let who = refusal.who;
        if refusal.guess {
            self.access.attempts.fail(peer, self.now.mono, &self.config.limits);
        }
        self.note(Level::Info, format!("{dialect}: {peer} was refused: {}", refusal.text));
        let line = Audit { status: Some(status), reason: Some(refusal.text), who, ..Audit::default() };
        self.audit_refusal(id, dialect, Some(head), line);
    }

    /// Somebody is refused who came in as far as a websocket: the audit log hears of it.
    pub(crate) fn tell_declined(&mut self, id: ConnId, dialect: &'static str, reason: &str) {
        let line = Audit { reason: Some(reason.to_owned()), ..Audit::default() };
        self.audit_refusal(id, dialect, None, line);
    }

    fn audit_refusal(&mut self, id: ConnId, dialect: &'static str, head: Option<&Head<'_>>, line: Audit) {
        let second = self.now.mono.0 / 1_000;
        let (room, left_out) = self.access.audited.admit(second, self.config.limits.audits_per_s);
        if left_out > 0 {
            self.audit(Audit { what: What::LeftOut, lines: Some(left_out), ..Audit::default() });
        }
        if room {
            self.audit_of(id, dialect, head, line);
        }
    }

    /// An operator asks for a change.
    pub(crate) fn tell_admin(&mut self, id: ConnId, dialect: &'static str, head: &Head<'_>) {
        let who = self.who(id).map(|who| who.name.clone());
        self.audit_of(id, dialect, Some(head), Audit { what: What::Admin, who, ..Audit::default() });
    }

    fn audit_of(&mut self, id: ConnId, dialect: &'static str, head: Option<&Head<'_>>, line: Audit) {
        // Peers' words are in it, and no long ones.
        let chars_max = self.config.limits.note_chars as usize;
        let cut = |text: &str| Some(text.chars().take(chars_max).collect::<String>().into_boxed_str());
        let address = self.conns.get(id).map(|conn| conn.peer);
        let who = line.who.as_deref().and_then(cut);
        let (method, path) = (head.and_then(|head| cut(head.method)), head.and_then(|head| cut(head.path)));
        let reason = line.reason.as_deref().and_then(cut).map(String::from);
        self.audit(Audit { dialect: Some(dialect), address, who, method, path, reason, ..line });
    }

    fn audit(&mut self, line: Audit) {
        let line = Audit { time: self.now.wall.to_rfc3339(), ..line };
        self.act(Action::Audit(Box::new(line)));
    }
}
