//! A small office for newcomers: calls come in, ring, connect, send DTMF and hang up; users log in and out; recordings
//! and streams start and end. About three events a second of all kinds.

use uuid::Uuid;

use crate::event::{Data, Event, Fact};
use crate::ground::rng::Rng;
use crate::ground::time::Mono;
use crate::hub::Hub;
use crate::log::record::{Actor, Body};

/// Mean time between two events.
const PACE_MS: u64 = 330;

/// Calls that are under way at most.
const CALLS_MAX: usize = 6;

const PEOPLE: [(&str, &str, &str); 6] = [
    ("alice", "Alice Adler", "100"),
    ("bob", "Bob Brandt", "101"),
    ("carol", "Carol Conti", "102"),
    ("dan", "Dan Dubois", "103"),
    ("erin", "Erin Ek", "104"),
    ("frank", "Frank Fischer", "105"),
];

const CALLERS: [(&str, &str); 4] = [
    ("+15551230001", "Mike Miller"),
    ("+15551230002", "Nina Novak"),
    ("+15551230003", ""),
    ("+15551230004", "Olga Orlova"),
];

/// The office.
#[derive(Debug)]
pub struct Demo {
    rng: Rng,
    calls: Vec<Call>,
    logged_in: [bool; PEOPLE.len()],
    streams: Vec<Uuid>,
}

#[derive(Debug)]
struct Call {
    id: Uuid,
    caller: usize,
    called: usize,
    step: usize,
    recording: Option<Uuid>,
}

type Facts = Vec<(&'static str, Fact)>;

fn text(value: impl Into<String>) -> Fact {
    Fact::Text(value.into().into_boxed_str())
}

impl Demo {
    /// An empty office; the same seed plays the same day.
    #[must_use]
    pub fn new(seed: u64) -> Demo {
        Demo { rng: Rng::new(seed), calls: Vec::new(), logged_in: [false; PEOPLE.len()], streams: Vec::new() }
    }

    /// Lets the next thing happen, and says when the one after will.
    pub fn handle_timeout(&mut self, hub: &mut Hub) -> Mono {
        match self.rng.below(10) {
            0 => self.user(hub),
            1 => self.stream(hub),
            2 if self.calls.len() < CALLS_MAX => self.incoming(hub),
            _ if self.calls.is_empty() => self.incoming(hub),
            _ => self.call_goes_on(hub),
        }
        hub.now.mono.plus_ms(PACE_MS / 2 + self.rng.below(PACE_MS))
    }

    fn publish(&mut self, hub: &mut Hub, event_type: &str, subject: String, facts: Facts) {
        let event = Event {
            id_given: false,
            id: self.rng.uuid_v7(hub.now.wall).to_string().into_boxed_str(),
            source: "demo".into(),
            event_type: event_type.into(),
            subject: Some(subject.into_boxed_str()),
            time: hub.now.wall.to_rfc3339().into_boxed_str(),
            wall: hub.now.wall,
            content_type: None,
            schema: None,
            extensions: Vec::new(),
            data: Data::Facts(facts.into_iter().map(|(name, fact)| (name.into(), fact)).collect()),
        };
        hub.append(Actor::Server("demo"), None, true, true, Body::Event(event.into()));
    }

    fn user(&mut self, hub: &mut Hub) {
        let who = self.rng.below(PEOPLE.len() as u64) as usize;
        let (username, name, _) = PEOPLE[who];
        self.logged_in[who] = !self.logged_in[who];
        let event_type = if self.logged_in[who] { "user.login" } else { "user.logout" };
        let facts = vec![
            ("username", text(username)),
            ("name", text(name)),
            ("ip", text(format!("192.0.2.{}", 10 + who))),
            ("port", Fact::Number("57042".into())),
        ];
        self.publish(hub, event_type, format!("user/{username}"), facts);
    }

    fn stream(&mut self, hub: &mut Hub) {
        let (id, status) = if self.streams.len() > 2 {
            (self.streams.remove(0), "UNPUBLISHED")
        } else {
            let id = self.rng.uuid_v4();
            self.streams.push(id);
            (id, "PUBLISHING")
        };
        let facts = vec![
            ("name", text("lobby-camera")),
            ("status", text(status)),
            ("has_video", Fact::Bool(true)),
            ("has_audio", Fact::Bool(true)),
            ("media_session_id", text(id.to_string())),
        ];
        self.publish(hub, "stream.status", format!("stream/{id}"), facts);
    }

    fn incoming(&mut self, hub: &mut Hub) {
        let call = Call {
            id: self.rng.uuid_v4(),
            caller: self.rng.below(CALLERS.len() as u64) as usize,
            called: self.rng.below(PEOPLE.len() as u64) as usize,
            step: 0,
            recording: None,
        };
        self.calls.push(call);
        let at = self.calls.len() - 1;
        self.step(hub, at);
    }

    fn call_goes_on(&mut self, hub: &mut Hub) {
        let at = self.rng.below(self.calls.len() as u64) as usize;
        self.step(hub, at);
    }

    /// The next step in a call's life.
    fn step(&mut self, hub: &mut Hub, at: usize) {
        let call = &mut self.calls[at];
        let (number, name) = CALLERS[call.caller];
        let (username, _, extension) = PEOPLE[call.called];
        let mut facts: Facts = vec![
            ("call_id", text(call.id.to_string())),
            ("caller_uri", text(format!("sip:{number}@example.com"))),
            ("caller_number", text(number)),
            ("called_uri", text(format!("sip:{extension}@example.net"))),
            ("extension", text(extension)),
            ("username", text(username)),
        ];
        if !name.is_empty() {
            facts.push(("caller_name", text(name)));
        }
        let subject = format!("call/{}", call.id);
        let step = call.step;
        call.step += 1;
        let event_type = match step {
            0 => "call.incoming",
            1 => "call.ringing",
            2 => {
                facts.push(("media", text("audio")));
                facts.push(("reason", text("unknown")));
                "call.connected"
            }
            3 | 7 => {
                let started = step == 3;
                let id = match call.recording.take() {
                    Some(id) if !started => id,
                    _ => self.rng.uuid_v4(),
                };
                self.calls[at].recording = started.then_some(id);
                facts.push(("recording_id", text(id.to_string())));
                let event_type = if started { "recording.started" } else { "recording.ended" };
                return self.publish(hub, event_type, format!("recording/{id}"), facts);
            }
            4..=6 => {
                let digit = self.rng.below(10);
                facts.push(("digits", text(digit.to_string())));
                "call.dtmf"
            }
            _ => {
                self.calls.remove(at);
                facts.push(("reason", text("800 Bye")));
                "call.hangup"
            }
        };
        self.publish(hub, event_type, subject, facts);
    }
}
