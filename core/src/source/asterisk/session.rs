//! One connection to a manager port, from its banner to its end: login, signs of life, actions and their answers.
//!
//! What is absent here: what events mean, what is asked and why, connecting and connecting again.

use std::fmt;

use crate::ground::limits::Limits;
use crate::ground::time::Mono;
use crate::wire::ami::action::{self, Unsayable};
use crate::wire::ami::{Framed, Message, Skip, Stream};

/// The oldest version of the protocol: that of Asterisk 16.
const MAJOR_MIN: u32 = 5;

/// How a session logs in, and what it waits for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The manager user.
    pub user: Box<str>,
    /// Its password.
    pub password: Password,
    /// The password is not sent: a challenge is answered with it.
    pub md5: bool,
    /// Classes of events, as `Events` of a login takes them.
    pub events: Box<str>,
    /// The silence after which a sign of life is asked for.
    pub ping_ms: u64,
    /// How all our `ActionID`s begin; other clients' differ.
    pub prefix: Box<str>,
    /// From the connection to the answer to the login.
    pub login_ms: u64,
    /// From there until Asterisk has to be started up.
    pub boot_ms: u64,
    /// Patience with an answer.
    pub answer_ms: u64,
    /// The longest message.
    pub message_bytes: usize,
}

/// A password. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub Box<str>);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

impl Settings {
    /// What the limits say.
    #[must_use]
    pub fn within(self, limits: &Limits) -> Settings {
        Settings {
            login_ms: limits.source_login_ms,
            boot_ms: limits.source_boot_ms,
            answer_ms: limits.source_answer_ms,
            message_bytes: limits.source_message_bytes as usize,
            ..self
        }
    }
}

/// What a session heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    /// Logged in, and Asterisk is started up; or it did not say so in time (`booted` is false).
    Open {
        /// It said so.
        booted: bool,
    },
    /// An event that nobody asked for.
    Event(Message<'a>),
    /// An answer to the action of this number, or an event that belongs to it.
    Answer(u64, Message<'a>),
    /// Something was passed over.
    Skipped(Skip),
    /// The session is over.
    Over(Fault),
    /// Something that concerns the session alone.
    Nothing,
    /// Nothing until more input comes.
    More,
}

/// Why a session is over, or there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No name server knows the host, or no connection can be made.
    Unreachable(Box<str>),
    /// TLS failed.
    Tls(Box<str>),
    /// What answers is not the manager of an Asterisk; its first line.
    NotAsterisk(Box<str>),
    /// It says nothing.
    NoBanner,
    /// It speaks an older version of the protocol.
    TooOld(Box<str>),
    /// User or password are wrong, or may not come from here; what Asterisk says.
    LoginRefused(Box<str>),
    /// The login, or a question, was not answered in time.
    NoAnswer,
    /// The user may not ask for what has to be known; the action.
    MissingRights(Box<str>),
    /// Not even a ping is answered any more.
    Silent,
    /// Asterisk has closed the connection.
    Closed,
    /// It does not take what is sent to it.
    Unsayable(Box<str>),
}

impl Fault {
    /// The word for it: the `reason` of `source.down`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Fault::Unreachable(_) => "unreachable",
            Fault::Tls(_) => "tls",
            Fault::NotAsterisk(_) => "not_asterisk",
            Fault::NoBanner => "no_banner",
            Fault::TooOld(_) => "too_old",
            Fault::LoginRefused(_) => "login_refused",
            Fault::NoAnswer => "no_answer",
            Fault::MissingRights(_) => "missing_rights",
            Fault::Silent => "silent",
            Fault::Closed => "closed",
            Fault::Unsayable(_) => "unsayable",
        }
    }

    /// Whether the next try will hardly go better: somebody has to change something first.
    #[must_use]
    pub const fn is_lasting(&self) -> bool {
        match self {
            Fault::NotAsterisk(_)
            | Fault::TooOld(_)
            | Fault::LoginRefused(_)
            | Fault::MissingRights(_)
            | Fault::Unsayable(_) => true,
            Fault::Unreachable(_)
            | Fault::Tls(_)
            | Fault::NoBanner
            | Fault::NoAnswer
            | Fault::Silent
            | Fault::Closed => false,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Unreachable(why) | Fault::Tls(why) => f.write_str(why),
            Fault::NotAsterisk(line) => {
                write!(f, "what answers there is not the manager of an Asterisk: it begins with \"{line}\"")
            }
            Fault::NoBanner => f.write_str("it says nothing, where the manager of an Asterisk greets"),
            Fault::TooOld(version) => {
                write!(f, "it speaks version {version} of the protocol; Asterisk 16 and later are supported")
            }
            Fault::LoginRefused(why) => {
                write!(f, "the login was refused: {why} (see user, secret and permit in its manager.conf)")
            }
            Fault::NoAnswer => f.write_str("it does not answer in time"),
            Fault::MissingRights(action) => {
                write!(f, "the user may not ask for {action}: add \"reporting\" to write in its manager.conf")
            }
            Fault::Silent => f.write_str("it no longer answers a ping"),
            Fault::Closed => f.write_str("it has closed the connection"),
            Fault::Unsayable(key) => write!(f, "the value of {key} is more than one line"),
        }
    }
}

/// One session.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    stream: Stream,
    phase: Phase,
    /// When the phase must be over.
    due: Mono,
    /// When something came last.
    heard_at: Mono,
    /// A ping went out since.
    is_pinged: bool,
    is_booted: bool,
    /// Of the protocol.
    version: Box<str>,
    asked: u64,
    output: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The banner is to come.
    Greeting,
    /// The challenge of this action is to come.
    Challenging(u64),
    /// The answer to the login is to come.
    LoggingIn(u64),
    /// Asterisk is to say that it is started up.
    Booting,
    Open,
    Over,
}

impl Session {
    /// A connection that was just made.
    #[must_use]
    pub fn new(settings: Settings, now: Mono) -> Session {
        Session {
            stream: Stream::new(settings.message_bytes),
            phase: Phase::Greeting,
            due: now.plus_ms(settings.login_ms),
            heard_at: now,
            is_pinged: false,
            is_booted: false,
            version: "".into(),
            asked: 0,
            output: Vec::new(),
            settings,
        }
    }

    /// Something came: it is alive. Called before [`Session::next`], and while nothing is read on purpose.
    pub fn alive(&mut self, now: Mono) {
        (self.heard_at, self.is_pinged) = (now, false);
    }

    /// Takes the next thing off the front of `input`. [`Heard::More`] has taken all of it; after [`Heard::Over`] nothing
    /// is read any more. Of the events that nobody asked for, those that are not wanted are passed over.
    pub fn next<'a, 'i: 'a>(
        &'a mut self,
        now: Mono,
        input: &mut &'i [u8],
        wants: impl Fn(&[u8]) -> bool,
    ) -> Heard<'a> {
        let Session { settings, stream, phase, due, is_booted, version, asked, output, .. } = self;
        let is_open = *phase == Phase::Open;
        if *phase == Phase::Over {
            *input = &[];
            return Heard::More;
        }
        let booted = |name: &[u8]| name.eq_ignore_ascii_case(b"FullyBooted");
        let framed = stream.next(input, |name| if is_open { wants(name) } else { booted(name) });
        let message = match framed {
            Framed::More => return Heard::More,
            Framed::Skipped(skip) => return Heard::Skipped(skip),
            Framed::Stranger(line) => {
                *phase = Phase::Over;
                return Heard::Over(Fault::NotAsterisk(text(line)));
            }
            Framed::Banner(greeted) if is_too_old(greeted) => {
                *phase = Phase::Over;
                return Heard::Over(Fault::TooOld(text(greeted)));
            }
            Framed::Banner(greeted) => {
                *version = text(greeted);
                *asked += 1;
                let (next, said) = match settings.md5 {
                    true => (Phase::Challenging(*asked), settings.challenge(*asked, output)),
                    false => (Phase::LoggingIn(*asked), settings.login(*asked, None, output)),
                };
                *phase = next;
                return said.map_or_else(|unsayable| over(phase, unsayable.into()), |()| Heard::Nothing);
            }
            Framed::Message(message) => message,
        };
        let id = message.get("ActionID").and_then(|id| settings.number(id));
        let is_success = message.response().is_some_and(|said| said.eq_ignore_ascii_case(b"Success"));
        match (*phase, id) {
            (Phase::Open, Some(id)) => return Heard::Answer(id, message),
            (Phase::Open, None) if message.event().is_some() => return Heard::Event(message),
            (Phase::Challenging(asked_with), Some(id)) if id == asked_with => {
                let Some(challenge) = message.get("Challenge").filter(|_| is_success) else {
                    return over(phase, refused(message));
                };
                *asked += 1;
                *phase = Phase::LoggingIn(*asked);
                if let Err(unsayable) = settings.login(*asked, Some(challenge), output) {
                    return over(phase, unsayable.into());
                }
            }
            (Phase::LoggingIn(asked_with), Some(id)) if id == asked_with => {
                if !is_success {
                    return over(phase, refused(message));
                }
                (*phase, *due) = (Phase::Booting, now.plus_ms(settings.boot_ms));
            }
            _ => *is_booted |= message.event().is_some_and(booted),
        }
        if *phase == Phase::Booting && *is_booted {
            (*phase, *due) = (Phase::Open, Mono::NEVER);
            return Heard::Open { booted: true };
        }
        Heard::Nothing
    }

    /// Asks for something, under a number by which its answers are known.
    ///
    /// # Errors
    /// A value that cannot be said.
    pub fn ask<'a>(
        &mut self,
        action: &str,
        fields: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<u64, Unsayable> {
        self.asked += 1;
        action::write(&mut self.output, action, &self.settings.id(self.asked), fields)?;
        Ok(self.asked)
    }

    /// What is to be sent.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// The version of the protocol.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Events that were passed over because nobody wants them.
    #[must_use]
    pub const fn unwanted(&self) -> u64 {
        self.stream.unwanted()
    }

    /// The connection has ended.
    #[must_use]
    pub const fn closed(&self) -> Fault {
        match self.phase {
            Phase::Greeting => Fault::NoBanner,
            Phase::Challenging(_) | Phase::LoggingIn(_) | Phase::Booting | Phase::Open | Phase::Over => {
                Fault::Closed
            }
        }
    }

    /// The earliest moment at which something is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Mono {
        self.due.min(self.silent_at())
    }

    /// Looks after what is due.
    pub fn handle_timeout(&mut self, now: Mono) -> Heard<'static> {
        if self.due <= now {
            match self.phase {
                Phase::Greeting => return over(&mut self.phase, Fault::NoBanner),
                Phase::Challenging(_) | Phase::LoggingIn(_) => return over(&mut self.phase, Fault::NoAnswer),
                Phase::Booting => {
                    (self.phase, self.due) = (Phase::Open, Mono::NEVER);
                    return Heard::Open { booted: false };
                }
                Phase::Open | Phase::Over => self.due = Mono::NEVER,
            }
        }
        if self.silent_at() <= now {
            if self.is_pinged {
                return over(&mut self.phase, Fault::Silent);
            }
            self.is_pinged = true;
            if let Err(unsayable) = self.ask("Ping", []) {
                return over(&mut self.phase, unsayable.into());
            }
        }
        Heard::Nothing
    }

    /// When silence is too long: for a ping, or, after one, at all.
    fn silent_at(&self) -> Mono {
        if self.phase != Phase::Open {
            return Mono::NEVER;
        }
        let patience = if self.is_pinged { self.settings.answer_ms } else { 0 };
        self.heard_at.plus_ms(self.settings.ping_ms + patience)
    }
}

impl Settings {
    fn id(&self, number: u64) -> String {
        format!("{}{number}", self.prefix)
    }

    /// The number of an action of ours.
    fn number(&self, id: &[u8]) -> Option<u64> {
        std::str::from_utf8(id.strip_prefix(self.prefix.as_bytes())?).ok()?.parse().ok()
    }

    fn challenge(&self, number: u64, out: &mut Vec<u8>) -> Result<(), Unsayable> {
        action::write(out, "Challenge", &self.id(number), [("AuthType", "MD5")])
    }

    fn login(&self, number: u64, challenge: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), Unsayable> {
        let key = challenge.map(|challenge| action::md5_key(challenge, &self.password.0));
        let proof = match &key {
            Some(key) => [("AuthType", "MD5"), ("Key", key)],
            None => [("AuthType", "plaintext"), ("Secret", &*self.password.0)],
        };
        let who = [("Username", &*self.user), ("Events", &*self.events)];
        action::write(out, "Login", &self.id(number), who.into_iter().chain(proof))
    }
}

impl From<Unsayable> for Fault {
    fn from(Unsayable(key): Unsayable) -> Fault {
        Fault::Unsayable(key)
    }
}

const fn over<'a>(phase: &mut Phase, fault: Fault) -> Heard<'a> {
    *phase = Phase::Over;
    Heard::Over(fault)
}

fn refused(message: Message<'_>) -> Fault {
    Fault::LoginRefused(text(message.get("Message").unwrap_or_default()))
}

/// Whether a version is older than ours, or none.
fn is_too_old(version: &[u8]) -> bool {
    let major = version.split(|byte| *byte == b'.').next().unwrap_or_default();
    std::str::from_utf8(major).ok().and_then(|major| major.parse::<u32>().ok()).is_none_or(|v| v < MAJOR_MIN)
}

fn text(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(bytes).escape_debug().to_string().into()
}

#[cfg(test)]
mod tests;
