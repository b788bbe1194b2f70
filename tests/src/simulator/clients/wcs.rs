//! A page with a session of WCS: it connects, asks for operations and pings. It is told what its backend decided and
//! nothing else; while its session is open it sees each event of it once, in the order of the log, and an answer to each
//! operation.

use std::collections::VecDeque;

use offhook_core::Seq;
use serde_json::{Value, json};

use super::super::books::{Books, Key};
use super::super::client::{Client, Io};
use super::super::net::{End, LinkId};
use super::connection::Connection;
use crate::memory::ws::{Frame, masked, take_frame, upgrade};

/// From one operation to the next, at most.
const PAUSE_MS: u64 = 4_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Upgrading,
    /// The session is asked for.
    Connecting,
    Open,
}

/// A page.
#[derive(Debug)]
pub struct Wcs {
    number: u64,
    connection: Connection,
    state: State,
    /// Names of sessions and operations so far.
    named: u64,
    /// What it calls its session.
    token: String,
    /// What the server calls it.
    session: String,
    after: Seq,
    /// Operations that were not answered, and whether they are `sendData`.
    asked: VecDeque<(String, bool)>,
    /// It answers no ping.
    silent: bool,
    /// Sessions that began and ended.
    past: Vec<String>,
    /// A refused OnDataEvent stops the operation.
    data_may_fail: bool,
    /// Backends hear of each session's end.
    redelivers: bool,
}

impl Wcs {
    /// The page of this number. `data_may_fail`: its application has `restOnError` FAIL for OnDataEvent; `redelivers`: its
    /// hooks are sent again until they arrive.
    #[must_use]
    pub fn new(number: u64, data_may_fail: bool, redelivers: bool) -> Wcs {
        Wcs {
            number,
            connection: Connection::default(),
            state: State::Upgrading,
            named: 0,
            token: String::new(),
            session: String::new(),
            after: Seq(0),
            asked: VecDeque::new(),
            silent: false,
            past: Vec::new(),
            data_may_fail,
            redelivers,
        }
    }

    fn name_one(&mut self) -> String {
        self.named += 1;
        format!("w{}x{}", self.number, self.named)
    }

    fn frame(&mut self, io: &mut Io<'_>, first: u8, payload: &[u8]) {
        let mask = io.rng.next_u64().to_be_bytes();
        self.connection.send(io, masked(first, [mask[0], mask[1], mask[2], mask[3]], payload));
    }

    fn say(&mut self, io: &mut Io<'_>, name: &str, data: &Value) {
        let text = json!({"message": name, "data": [data]}).to_string();
        self.frame(io, 0x81, text.as_bytes());
    }

    fn connect(&mut self, io: &mut Io<'_>) {
        self.state = State::Connecting;
        self.token = self.name_one();
        let token = self.token.clone();
        self.say(io, "connection", &json!({"appKey": "defaultApp", "token": token}));
    }

    fn operate(&mut self, io: &mut Io<'_>) {
        let name = self.name_one();
        let is_data = io.rng.below(2) == 0;
        if is_data {
            self.say(io, "sendData", &json!({"operationId": name, "payload": {"n": self.named}}));
        } else {
            self.say(io, "publishStream", &json!({"mediaSessionId": name, "name": "camera"}));
        }
        self.asked.push_back((name, is_data));
    }

    fn take(&mut self, io: &mut Io<'_>, frame: Frame, is_current: bool) {
        match frame {
            Frame::Text(text) => {
                let message: Value = serde_json::from_str(&text).expect("a message is JSON");
                let name = message["message"].as_str().expect("a message has a name");
                self.hear(io, name, &message["data"][0], is_current);
            }
            Frame::Ping(payload) => self.frame(io, 0x8A, &payload),
            Frame::Pong(_) => {}
            Frame::Close(..) => {
                self.connection.close(io);
                self.over();
            }
            Frame::Binary(_) => panic!("no page expects {frame:?}"),
        }
    }

    fn hear(&mut self, io: &mut Io<'_>, name: &str, data: &Value, is_current: bool) {
        let info = data["info"].as_str().unwrap_or_default();
        let text = |name: &str| data[name].as_str().unwrap_or_default();
        match name {
            "ping" if self.silent && !io.calm => {}
            "ping" => self.say(io, "pong", &Value::Null),
            "pong" => {}
            "getUserData" => {
                assert_eq!((self.state, text("token")), (State::Connecting, &*self.token), "its own session");
                io.books.hooks.told("connect", &self.token, 200);
                self.session = text("sessionId").to_owned();
                io.books.hooks.begun(&self.token, &self.session);
                io.books.seen.sessions += 1;
                self.connection.answered();
                // Nobody knew its name before.
                (self.state, self.after) = (State::Open, io.books.last());
                self.silent = io.rng.below(8) == 0;
                io.wake_in(PAUSE_MS);
            }
            "fail" if self.state == State::Connecting => io.books.hooks.told_failure(&self.token, info),
            // Of which event it is, ErrorEvent says.
            "fail" => assert!(info.starts_with("REST hook StreamStatusEvent failed: "), "{data}"),
            "ErrorEvent" => io.books.hooks.told_failure(text("mediaSessionId"), info),
            "notifyStreamStatusEvent" => match Key::of(text("key")) {
                Some(key) if is_current => self.event(io, key),
                Some(_) => {}
                None => self.answered(io, text("mediaSessionId"), false, text("status"), info),
            },
            "DataStatusEvent" => self.answered(io, text("operationId"), true, text("status"), info),
            other => panic!("no page expects {other}: {data}"),
        }
    }

    fn event(&mut self, io: &mut Io<'_>, key: Key) {
        assert_eq!(self.state, State::Open, "{} comes before the session", key.id());
        let seq = io.books.place(key).unwrap_or_else(|| panic!("{} is in the log", key.id()));
        let missing = io.books.of_session(&self.session, self.after).next();
        assert_eq!(missing, Some((seq, key)), "the next event of the session");
        self.after = seq;
    }

    fn answered(&mut self, io: &mut Io<'_>, name: &str, is_data: bool, status: &str, info: &str) {
        let asked = self.asked.pop_front();
        assert_eq!(asked, Some((name.to_owned(), is_data)), "operations are answered in their order");
        io.books.seen.operations += 1;
        match (status, info) {
            ("FAILED", "operation not supported") if !is_data => {}
            ("FAILED", "the server has no room for more") if is_data => {}
            ("FAILED", _) if info.starts_with("REST") => io.books.hooks.told_failure(name, info),
            ("ACCEPTED", "") if is_data && self.data_may_fail => {
                io.books.hooks.told("OnDataEvent", name, 200)
            }
            ("ACCEPTED", "") if is_data => {}
            _ => panic!("{name} is answered {status}, {info}"),
        }
    }

    /// The session is over, if there was one.
    fn over(&mut self) {
        if std::mem::replace(&mut self.state, State::Upgrading) == State::Open {
            self.past.push(std::mem::take(&mut self.token));
        }
        self.asked.clear();
    }
}

impl Client for Wcs {
    fn name(&self) -> &'static str {
        "a page with a session of WCS"
    }

    fn wake(&mut self, io: &mut Io<'_>) {
        self.connection.tend(io);
        if !self.connection.up {
            self.over();
        }
        if self.state != State::Open || io.calm {
            return;
        }
        match io.rng.below(20) {
            // Both ways to leave: with a word, and without.
            0 => {
                if io.rng.below(2) == 0 {
                    self.frame(io, 0x88, &1_000_u16.to_be_bytes());
                }
                self.connection.close(io);
                self.over();
            }
            1 => self.say(io, "ping", &Value::Null),
            _ => self.operate(io),
        }
        let pause = 1 + io.rng.below(PAUSE_MS);
        io.wake_in(pause);
    }

    fn connected(&mut self, io: &mut Io<'_>, _link: LinkId) {
        self.connection.connected();
        self.connection.ask(io, upgrade("/", ""));
    }

    fn received(&mut self, io: &mut Io<'_>, link: LinkId, bytes: &[u8]) {
        self.connection.received.extend_from_slice(bytes);
        if self.state == State::Upgrading {
            if !self.connection.upgraded(io) {
                return;
            }
            self.connect(io);
        }
        while self.connection.is(link)
            && let Some(frame) = take_frame(&mut self.connection.received)
        {
            let is_current = io.is_current(link);
            self.take(io, frame, is_current);
        }
    }

    fn ended(&mut self, io: &mut Io<'_>, link: LinkId, _how: End) {
        if self.connection.is(link) {
            self.connection.ended(io);
            self.over();
        }
    }

    fn waits_for(&self, books: &Books) -> Option<String> {
        if self.state != State::Open {
            return Some("its session".to_owned());
        }
        if let Some((name, _)) = self.asked.front() {
            return Some(format!("an answer to {name}"));
        }
        if let Some((seq, key)) = books.of_session(&self.session, self.after).next() {
            return Some(format!("{}, which is record {seq}", key.id()));
        }
        let is_open = |token: &&str| self.past.iter().any(|past| past == token);
        let open = books.hooks.open().find(is_open).filter(|_| self.redelivers)?;
        Some(format!("its backend to hear of the end of {open}"))
    }

    fn leave(&mut self, io: &mut Io<'_>) {
        self.connection.leave(io);
    }
}
