//! Asterisk as a source: its manager interface (AMI) tells what happens there, and canonical events follow. A [`Session`]
//! speaks with it, a [`Mirror`] knows what it contains, and [`Asterisk`] joins the two: after each login, and after each gap,
//! what it contains is asked for and compared with what was told.
//!
//! What is absent here: the connection and its TLS, when to try again, ids of events, the log.

pub mod mirror;
pub mod resync;
pub mod scope;
pub mod session;
pub mod told;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use crate::ground::config::Source;
use crate::ground::limits::Limits;
use crate::ground::time::{Mono, Now};
use crate::wire::ami::{Message, Skip};
use mirror::Mirror;
use resync::Resync;
use scope::Rules;
use session::{Fault, Heard, Password, Session, Settings};
use told::{Key, Told};

/// The classes of events that mean something here.
pub const EVENTS: &str = "system,call,agent,dtmf,dialplan";

/// What a source has to say.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// Logged in; the version of Asterisk, or of its protocol if it does not tell the former.
    Up {
        /// The version.
        version: Box<str>,
    },
    /// What follows is told because of an event of this name; only after [`Asterisk::explain`].
    Heard(Box<str>),
    /// Something happened at the PBX.
    Told(Told),
    /// Messages are missing.
    Gap {
        /// Why, in a word.
        reason: &'static str,
        /// How many, if that is known.
        dropped: Option<u64>,
    },
    /// A resync is over; the actions whose answers are missing, and what they were refused with.
    Resynced {
        /// The actions.
        unanswered: Vec<&'static str>,
    },
    /// Asterisk does not say whether it is started up.
    Unbooted,
}

/// What one source counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Events that were passed over because nobody wants them.
    pub skipped: u64,
    /// Messages that are too long, or none.
    pub dropped: u64,
    /// Resyncs that came to their end.
    pub resyncs: u64,
    /// Things that left because there were too many of their kind.
    pub forgotten: u64,
}

/// One PBX.
#[derive(Debug)]
pub struct Asterisk {
    settings: Settings,
    limits: Limits,
    mirror: Mirror,
    session: Option<Session>,
    opening: Option<Opening>,
    /// The actions that the user may use; `None` if Asterisk does not say.
    allowed: Option<Commands>,
    is_up: bool,
    resync: Option<Resync>,
    /// Answers of the last one were lost.
    is_incomplete: bool,
    /// When the last one was begun.
    resynced_at: Option<Mono>,
    /// Messages that are missing, by reason, and were not told of yet; how many, if that is known.
    missing: BTreeMap<&'static str, Option<u64>>,
    /// Each event is said as well.
    explains: bool,
    said: VecDeque<Said>,
    told: Vec<Told>,
    counted: Counted,
    unwanted_before: u64,
}

/// What is asked before anything is told: the version, and what the user may ask for.
#[derive(Debug)]
struct Opening {
    /// Asterisk has said that it is started up.
    is_booted: bool,
    version: Asked<Box<str>>,
    commands: Asked<Commands>,
    due: Mono,
}

/// Actions, and what Asterisk says of each.
type Commands = BTreeMap<Box<str>, Box<str>>;

/// A question and its answer.
#[derive(Debug)]
enum Asked<T> {
    Under(u64),
    Answered(Option<T>),
}

impl Asterisk {
    /// The PBX of this config, of which nothing is known. `prefix` makes its `ActionID`s our own.
    #[must_use]
    pub fn new(source: &Source, limits: &Limits, prefix: String) -> Asterisk {
        let settings = Settings {
            user: source.user.clone(),
            password: Password(source.password.clone()),
            md5: source.md5,
            events: source.events.clone().unwrap_or_else(|| EVENTS.into()),
            ping_ms: source.ping_ms,
            prefix: prefix.into(),
            login_ms: 0,
            boot_ms: 0,
            answer_ms: 0,
            message_bytes: 0,
        };
        Asterisk {
            settings: settings.within(limits),
            limits: limits.clone(),
            mirror: Mirror::new(Rules::new(&source.scope), limits),
            session: None,
            opening: None,
            allowed: None,
            is_up: false,
            resync: None,
            is_incomplete: false,
            resynced_at: None,
            missing: BTreeMap::new(),
            explains: false,
            said: VecDeque::new(),
            told: Vec::new(),
            counted: Counted::default(),
            unwanted_before: 0,
        }
    }

    /// From here on says which event of the PBX each thing follows from.
    pub fn explain(&mut self) {
        self.explains = true;
    }

    /// The actions that a resync asks for.
    #[must_use]
    pub fn questions() -> Vec<&'static str> {
        let mut mirror = Mirror::new(Rules::default(), &Limits::default());
        mirror.begin_resync();
        mirror.questions().into_iter().map(|question| question.action).collect()
    }

    /// Takes back something open that [`Asterisk::keep`] gave.
    pub fn restore(&mut self, kept: &[u8]) {
        self.mirror.restore(kept);
    }

    /// What is to be kept of something open.
    #[must_use]
    pub fn keep(&self, key: &Key) -> Option<Box<[u8]>> {
        self.mirror.keep(key)
    }

    /// A connection is there.
    pub fn connected(&mut self, now: Now) {
        self.session = Some(Session::new(self.settings.clone(), now.mono));
    }

    /// Bytes of it.
    ///
    /// # Errors
    /// The connection is of no use any more.
    pub fn receive(&mut self, now: Now, mut input: &[u8]) -> Result<(), Fault> {
        let Asterisk { session: Some(session), .. } = self else { return Ok(()) };
        session.alive(now.mono);
        while let Some(session) = &mut self.session {
            // Lists of answers are events as well. What happens before it is up is found by the first resync.
            let (is_up, is_asking) = (self.is_up, self.resync.is_some());
            let wants = |name: &[u8]| Mirror::wants(name) || is_asking && Mirror::lists(name);
            match session.next(now.mono, &mut input, |name| is_up && wants(name)) {
                Heard::More => break,
                Heard::Nothing => {}
                Heard::Over(fault) => return Err(fault),
                Heard::Open { booted } => self.open(now, booted)?,
                Heard::Skipped(skip) => self.skipped(skip),
                Heard::Event(message) => {
                    if let Some(name) = message.text("Event").filter(|_| self.explains) {
                        self.said.push_back(Said::Heard(name.into()));
                    }
                    self.mirror.apply(&message, now, &mut self.told);
                    self.say_told();
                }
                Heard::Answer(id, message) => {
                    if let Some(opening) = &mut self.opening {
                        opening.answer(id, &message);
                    } else if let Some(resync) = &mut self.resync {
                        resync.answer(&mut self.mirror, id, &message, now.mono)?;
                    }
                }
            }
        }
        self.go_on(now)
    }

    /// The connection has ended by its peer: why, as far as it can be said.
    #[must_use]
    pub fn ended(&self) -> Fault {
        self.session.as_ref().map_or(Fault::Closed, Session::closed)
    }

    /// The connection is gone. What was open stays so until the next resync decides. `unread`: the PBX may have closed it
    /// because nothing was read.
    pub fn lost(&mut self, unread: bool) {
        if unread && self.is_up {
            self.missing.insert("slow", None);
        }
        if let Some(session) = self.session.take() {
            self.unwanted_before += session.unwanted();
        }
        (self.opening, self.resync, self.is_up) = (None, None, false);
        self.mirror.lost();
    }

    /// Nobody will ever say how things go on: all that is open ends.
    pub fn end(&mut self, now: Now) {
        self.mirror.begin_resync();
        self.mirror.finish_resync(&[], now, &mut self.told);
        self.say_told();
    }

    /// Says goodbye.
    pub fn log_off(&mut self) {
        if let Some(session) = &mut self.session {
            // It has no values.
            let _ = session.ask("Logoff", []);
        }
    }

    /// What is to be sent.
    pub fn take_output(&mut self) -> Vec<u8> {
        self.session.as_mut().map(Session::take_output).unwrap_or_default()
    }

    /// The next thing to say.
    pub fn poll_said(&mut self) -> Option<Said> {
        self.said.pop_front()
    }

    /// Whether it is logged in.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.is_up
    }

    /// What it may ask for, if Asterisk says that.
    #[must_use]
    pub const fn allowed(&self) -> Option<&Commands> {
        self.allowed.as_ref()
    }

    /// What was counted.
    #[must_use]
    pub fn counted(&self) -> Counted {
        let unwanted = self.session.as_ref().map_or(0, Session::unwanted);
        Counted {
            skipped: self.unwanted_before + unwanted,
            forgotten: self.mirror.forgotten(),
            ..self.counted
        }
    }

    /// Things of the PBX that are known.
    #[must_use]
    pub fn held(&self) -> usize {
        self.mirror.len()
    }

    /// When something is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Mono {
        let Some(session) = &self.session else { return Mono::NEVER };
        let opening = self.opening.as_ref().map_or(Mono::NEVER, |opening| opening.due);
        let resync = self.resync.as_ref().map_or_else(|| self.next_resync(), Resync::due);
        session.poll_timeout().min(opening).min(resync)
    }

    /// Looks after what is due. While it is not read, its silence means nothing.
    ///
    /// # Errors
    /// The connection is of no use any more.
    pub fn handle_timeout(&mut self, now: Now, paused: bool) -> Result<(), Fault> {
        let Some(session) = &mut self.session else { return Ok(()) };
        if paused {
            session.alive(now.mono);
            self.resync.iter_mut().for_each(|resync| resync.wait(now.mono));
        }
        match session.handle_timeout(now.mono) {
            Heard::Over(fault) => return Err(fault),
            Heard::Open { booted } => self.open(now, booted)?,
            Heard::Nothing | Heard::More | Heard::Skipped(_) | Heard::Event(_) | Heard::Answer(..) => {}
        }
        if let Some(opening) = self.opening.as_mut().filter(|opening| opening.due <= now.mono) {
            opening.give_up();
        }
        if let Some(resync) = self.resync.as_mut().filter(|resync| resync.due() <= now.mono) {
            resync.give_up();
        }
        self.go_on(now)
    }

    /// Logged in: asks who is there.
    fn open(&mut self, now: Now, booted: bool) -> Result<(), Fault> {
        let Some(session) = &mut self.session else { return Ok(()) };
        let (version, commands) = (session.ask("CoreSettings", [])?, session.ask("ListCommands", [])?);
        self.opening = Some(Opening {
            is_booted: booted,
            version: Asked::Under(version),
            commands: Asked::Under(commands),
            due: now.mono.plus_ms(self.limits.source_answer_ms),
        });
        Ok(())
    }

    /// Does what has become possible.
    fn go_on(&mut self, now: Now) -> Result<(), Fault> {
        let Some(session) = &mut self.session else { return Ok(()) };
        if let Some((version, commands)) = self.opening.as_mut().and_then(Opening::take) {
            let is_booted = self.opening.as_ref().is_some_and(|opening| opening.is_booted);
            (self.opening, self.allowed) = (None, commands);
            if !may(&self.allowed, resync::ESSENTIAL) {
                return Err(Fault::MissingRights(resync::ESSENTIAL.into()));
            }
            let protocol = || format!("manager {}", session.version()).into();
            self.said.push_back(Said::Up { version: version.unwrap_or_else(protocol) });
            if !is_booted {
                self.said.push_back(Said::Unbooted);
            }
            self.is_up = true;
            self.begin_resync(now);
            return Ok(());
        }
        if let Some(resync) = &mut self.resync {
            resync.ask(&self.mirror, session, |action| may(&self.allowed, action), now.mono);
            if !resync.is_over() {
                return Ok(());
            }
            self.finish_resync(now);
        }
        if self.next_resync() <= now.mono {
            self.begin_resync(now);
        }
        Ok(())
    }

    /// When a gap asks for a resync, or one that was incomplete.
    fn next_resync(&self) -> Mono {
        if !self.is_up || self.missing.is_empty() && !self.is_incomplete {
            return Mono::NEVER;
        }
        let pause_ms = self.limits.source_resync_pause_ms;
        self.resynced_at.map_or(Mono(0), |at| at.plus_ms(pause_ms))
    }

    fn begin_resync(&mut self, now: Now) {
        let Some(session) = &mut self.session else { return };
        for (reason, dropped) in std::mem::take(&mut self.missing) {
            self.said.push_back(Said::Gap { reason, dropped });
        }
        self.resynced_at = Some(now.mono);
        let allowed = |action: &str| may(&self.allowed, action);
        let resync = Resync::begin(&mut self.mirror, session, allowed, &self.limits, now.mono);
        let is_over = resync.is_over();
        self.resync = Some(resync);
        if is_over {
            self.finish_resync(now);
        }
    }

    fn finish_resync(&mut self, now: Now) {
        let Some(resync) = self.resync.take() else { return };
        let is_lost = resync.is_lost();
        let unanswered = resync.into_unanswered();
        let missed = self.mirror.finish_resync(&unanswered, now, &mut self.told);
        self.is_incomplete = is_lost || missed.all;
        if missed.events > 0 {
            self.missing.insert("flood", Some(missed.events));
        }
        self.say_told();
        self.counted.resyncs += 1;
        let unanswered = unanswered.into_iter().map(|question| question.action);
        let unanswered = unanswered.chain(missed.answers).collect();
        self.said.push_back(Said::Resynced { unanswered });
    }

    fn skipped(&mut self, skip: Skip) {
        self.counted.dropped += 1;
        if self.is_up {
            let reason = match skip {
                Skip::TooLong => "too_long",
                Skip::Garbage => "garbage",
            };
            let dropped = self.missing.get(reason).copied().flatten().unwrap_or_default();
            self.missing.insert(reason, Some(dropped + 1));
        }
    }

    fn say_told(&mut self) {
        self.said.extend(self.told.drain(..).map(Said::Told));
    }
}

/// Whether the user may ask for this, as far as that is known.
fn may(allowed: &Option<Commands>, action: &str) -> bool {
    allowed.as_ref().is_none_or(|allowed| allowed.contains_key(action))
}

impl Opening {
    fn answer(&mut self, id: u64, message: &Message<'_>) {
        if matches!(self.version, Asked::Under(asked) if asked == id) {
            let version = message.text("AsteriskVersion").filter(|version| !version.is_empty());
            self.version = Asked::Answered(version.map(|version| version.into_owned().into()));
        } else if matches!(self.commands, Asked::Under(asked) if asked == id) {
            let is_told = message.response().is_some_and(|said| said.eq_ignore_ascii_case(b"Success"));
            self.commands = Asked::Answered(is_told.then(|| commands(message)));
        }
    }

    fn give_up(&mut self) {
        if let Asked::Under(_) = self.version {
            self.version = Asked::Answered(None);
        }
        if let Asked::Under(_) = self.commands {
            self.commands = Asked::Answered(None);
        }
    }

    /// Both answers, once they are there.
    fn take(&mut self) -> Option<(Option<Box<str>>, Option<Commands>)> {
        match (&mut self.version, &mut self.commands) {
            (Asked::Answered(version), Asked::Answered(commands)) => Some((version.take(), commands.take())),
            (Asked::Under(_), _) | (_, Asked::Under(_)) => None,
        }
    }
}

/// What `ListCommands` lists.
fn commands(message: &Message<'_>) -> Commands {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned().into_boxed_str();
    message.fields().skip(1).map(|(name, what)| (text(name), text(what))).collect()
}
