//! A whole connection after the upgrade: iSymphony's or that of WCS, at an engine with all its dialects, in virtual time.
//! The first byte chooses the dialect; what follows are lines, each ended by a form feed. The first byte of a line says
//! what happens, the rest is its text.

use offhook_core::ground::config::{HookPolicy, OnError, Only, User, WcsApp};
use offhook_core::{Completion, Config};
use serde_json::Value;

use super::split;
use crate::memory::calls::Made;
use crate::memory::checks::hash;
use crate::memory::write::publish;
use crate::memory::ws::{Frame, masked, take_frame};
use crate::memory::{Peer, World};

const END: u8 = 0x0c;
const BACKEND: &str = "127.0.0.1:8081";

/// How long the engine runs after the input: beyond all deadlines of a websocket and of its hooks.
const REST_MS: u64 = 200_000;

/// `manager` and `example-password`.
const MANAGER: &str = "Authorization: Basic bWFuYWdlcjpleGFtcGxlLXBhc3N3b3Jk\r\n";

/// How bytes get to the engine.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Split {
    Whole,
    Pieces,
    Bytes,
}

/// Plays `data` three times: what comes of it does not depend on where it is cut.
pub fn run(data: &[u8]) {
    let Some((choice, script)) = data.split_first() else { return };
    let whole = Play::new(*choice).play(script, Split::Whole);
    for split in [Split::Pieces, Split::Bytes] {
        if split == Split::Bytes && script.len() > 256 {
            continue;
        }
        assert_eq!(Play::new(*choice).play(script, split), whole, "it depends on where the input is cut");
    }
}

/// All that left the engine on account of one input: frames, and requests of the backend.
#[derive(Debug, Default, PartialEq, Eq)]
struct Transcript {
    frames: Vec<Frame>,
    hooks: Vec<(String, String)>,
    /// The client reads too slowly: what it is spared depends on when it is written.
    slow: bool,
}

struct Play {
    world: World,
    client: Peer,
    is_wcs: bool,
    /// Hooks that the backend has not answered.
    open: Vec<Made>,
    said: Transcript,
}

impl Play {
    fn new(choice: u8) -> Play {
        let is_wcs = choice & 1 == 1;
        let mut world = World::with(config(choice), 1);
        world.serve(BACKEND);
        let client = match is_wcs {
            true => world.websocket("/"),
            false => world.websocket_to(0, "/communication_manager/ws/event", MANAGER),
        };
        Play { world, client, is_wcs, open: Vec::new(), said: Transcript::default() }
    }

    fn play(mut self, script: &[u8], split: Split) -> Transcript {
        for line in script.split(|byte| *byte == END) {
            if let Some((verb, text)) = line.split_first() {
                self.step(*verb, text, split);
                self.look();
            }
        }
        self.world.lift_limit(self.client);
        self.world.pass(REST_MS);
        self.look();
        self.finish();
        if std::mem::take(&mut self.said.slow) {
            return Transcript::default();
        }
        self.said
    }

    fn step(&mut self, verb: u8, text: &[u8], split: Split) {
        match verb {
            // A frame, its first byte in front; a message of text; or bytes of the wire.
            b'f' => {
                let Some((first, payload)) = text.split_first() else { return };
                let mask = [verb, *first, 0, text.len() as u8];
                self.send(&masked(*first, mask, payload), split);
            }
            b'm' => self.send(&masked(0x81, [1, 2, 3, 4], text), split),
            b'b' => self.send(text, split),
            // A source publishes.
            b'p' => drop(self.world.ask_alone(publish(text))),
            b't' => self.world.pass(text.iter().map(|byte| u64::from(*byte) * 50).sum()),
            // The backend answers its oldest hook: the first digit of the status, then the content; 0 and 1 break off.
            b'a' if !self.open.is_empty() => {
                let made = self.open.remove(0);
                let (digit, content) = text.split_first().unwrap_or((&b'2', &[]));
                let status = u16::from(digit % 6) * 100;
                let mut answer =
                    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", content.len()).into_bytes();
                answer.extend_from_slice(content);
                if status >= 200 {
                    self.world.send(made.peer, answer);
                } else {
                    self.world.break_off(made.peer);
                }
            }
            b'r' => {
                self.said.slow = true;
                self.world.limit_room(self.client, text.len());
            }
            b'u' => self.world.lift_limit(self.client),
            b'e' => self.world.end(self.client),
            _ => {}
        }
    }

    fn send(&mut self, bytes: &[u8], split: Split) {
        let pieces = match split {
            Split::Whole => vec![bytes],
            Split::Pieces => split::pieces(bytes),
            Split::Bytes => split::bytes(bytes),
        };
        pieces
            .into_iter()
            .filter(|piece| !piece.is_empty())
            .for_each(|piece| self.world.send(self.client, piece));
    }

    /// Takes what came, and asserts what holds of it.
    fn look(&mut self) {
        let mut received = self.world.take(self.client);
        if self.said.slow {
            // Frames that are not whole so far would have to be kept; the world's own rules hold all the same.
            return;
        }
        while let Some(frame) = take_frame(&mut received) {
            assert!(!matches!(self.said.frames.last(), Some(Frame::Close(..))), "nothing follows a Close");
            self.check(&frame);
            self.said.frames.push(frame);
        }
        assert!(received.is_empty(), "whole frames alone");
        for made in self.world.take_calls() {
            let request = String::from_utf8(made.request.clone()).expect("a request is text");
            let (head, body) = request.split_once("\r\n\r\n").expect("a head ends");
            assert!(head.starts_with("POST /apps/EchoApp/") && made.address == BACKEND, "{head}");
            let length = head.split_once("Content-Length: ").expect("a length").1;
            assert_eq!(length.split("\r\n").next(), Some(&*body.len().to_string()), "one request at a time");
            assert!(serde_json::from_str::<Value>(body).is_ok(), "a hook is JSON: {body}");
            self.said.hooks.push((head.lines().next().unwrap_or_default().to_owned(), body.to_owned()));
            self.open.push(made);
        }
    }

    fn check(&self, frame: &Frame) {
        let Frame::Text(text) = frame else {
            assert!(!matches!(frame, Frame::Binary(_)), "no dialect sends bytes");
            return;
        };
        let message: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        if self.is_wcs {
            assert!(message["message"].is_string() && message["data"].is_array(), "W33: {text}");
        } else {
            assert!(message["type"].is_string() && !message["time"].is_null(), "{text}");
        }
    }

    /// A client that says nothing more is gone, and so is everybody after a stop.
    fn finish(&mut self) {
        assert!(self.world.is_closed(self.client), "nobody is waited for without end");
        self.world.tell(|| Completion::Stop);
        self.world.pass(REST_MS);
        assert!(self.world.is_drained(), "a stop has its time");
        let stats = self.world.stats();
        assert_eq!((stats.connections_open, stats.call_connections_open), (0, 0));
        let open: u64 = stats.dialects.values().map(|dialect| dialect.streams_open).sum();
        assert_eq!(open, 0, "streams are counted right");
    }
}

/// Limits that a small input reaches.
fn config(choice: u8) -> Config {
    let mut config = Config::default();
    let hash = hash("example-password");
    config.isymphony.users =
        [User { name: "manager".into(), password_hash: hash, only: Only::default() }].into();
    config.isymphony.lenient = choice & 2 == 0;
    config.limits.isymphony_backlog_events = 4;
    let hooks = ["connect", "ConnectionStatusEvent", "StreamStatusEvent", "OnDataEvent", "publishStream"];
    let policy = HookPolicy { on_error: OnError::Fail, ..HookPolicy::default() };
    config.wcs.node_id = Some("node@127.0.0.1".to_owned());
    config.wcs.apps.push(WcsApp {
        url: format!("http://{BACKEND}/apps/EchoApp"),
        hooks: hooks.iter().skip(usize::from(choice & 4 != 0)).map(|hook| (*hook).to_owned()).collect(),
        policies: [("StreamStatusEvent".to_owned(), policy)].into(),
        ..WcsApp::default()
    });
    config
}
