//! What a PBX sends to a source, from the banner to the end: a script whose lines are ended by form feeds. A line that begins
//! with `@` passes so many milliseconds, `!` breaks the connection and makes it anew; all else comes from the PBX.
//!
//! `{id}` stands for the number of the last action that was asked.

use std::collections::BTreeMap;

use offhook_core::ground::config::Source;
use offhook_core::ground::limits::Limits;
use offhook_core::source::asterisk::told::Open;
use offhook_core::source::asterisk::{Asterisk, Said};
use offhook_core::wire::ami::Message;
use offhook_core::{Mono, Now, Wall};

/// Things of a kind that are held; there are fewer kinds than ten.
const THINGS: u64 = 5;

/// Plays a script to one source.
pub fn run(data: &[u8]) {
    let limits = Limits {
        source_message_bytes: 2_000,
        source_things: THINGS,
        source_questions: 20,
        ..Limits::default()
    };
    let source = Source {
        user: "offhook".into(),
        password: "test".into(),
        md5: data.len().is_multiple_of(2),
        ..Source::default()
    };
    let mut play = Play {
        asterisk: Asterisk::new(&source, &limits, "oh-".to_owned()),
        now: Now { mono: Mono(0), wall: Wall(1_446_561_431_000) },
        asked: 0,
        open: BTreeMap::new(),
    };
    play.asterisk.connected(play.now);
    for line in data.split(|byte| *byte == b'\x0c') {
        play.line(line);
    }
    // Whatever happened, an end is an end.
    play.asterisk.lost(false);
    play.asterisk.end(play.now);
    play.listen();
    assert!(play.open.is_empty(), "left open: {:?}", play.open);
}

struct Play {
    asterisk: Asterisk,
    now: Now,
    /// The number of the last action.
    asked: u64,
    /// What was told to be open.
    open: BTreeMap<String, ()>,
}

impl Play {
    fn line(&mut self, line: &[u8]) {
        let done = match line {
            [b'@', ms @ ..] => {
                let ms = std::str::from_utf8(ms).ok().and_then(|ms| ms.trim().parse().ok()).unwrap_or(1_000);
                self.pass(u64::min(ms, 1_000_000))
            }
            [b'!', ..] => Err(()),
            bytes => {
                let bytes = replaced(bytes, b"{id}", format!("oh-{}", self.asked).as_bytes());
                bytes.chunks(500).try_for_each(|piece| self.asterisk.receive(self.now, piece)).map_err(drop)
            }
        };
        self.listen();
        if done.is_err() {
            self.asterisk.lost(false);
            self.asterisk.connected(self.now);
        }
    }

    /// Deadlines are met one after the other, and end.
    fn pass(&mut self, ms: u64) -> Result<(), ()> {
        let end = self.now.mono.plus_ms(ms);
        for _ in 0..10_000 {
            let due = self.asterisk.poll_timeout();
            let at = due.min(end).max(self.now.mono);
            self.now = Now { mono: at, wall: Wall(self.now.wall.0 + at.since(self.now.mono)) };
            if due > end {
                return Ok(());
            }
            self.asterisk.handle_timeout(self.now, false).map_err(drop)?;
            self.listen();
            assert!(self.asterisk.poll_timeout() > self.now.mono, "a deadline is left in the past");
        }
        panic!("deadlines do not end");
    }

    /// What it says is sound: whole actions, beginnings and ends in order, and no more is held than is allowed.
    fn listen(&mut self) {
        let output = self.asterisk.take_output();
        let output = std::str::from_utf8(&output).expect("actions are text");
        assert!(output.is_empty() || output.ends_with("\r\n\r\n"));
        for action in output.split_terminator("\r\n\r\n") {
            let message = Message::of(action.as_bytes());
            let id = message.text("ActionID").expect("each action has an id");
            let number: u64 =
                id.strip_prefix("oh-").and_then(|number| number.parse().ok()).expect("one of ours");
            assert!(number > 0 && action.starts_with("Action: "));
            self.asked = number;
        }
        while let Some(said) = self.asterisk.poll_said() {
            let Said::Told(told) = said else { continue };
            assert!(told.event_type.contains('.') && told.subject.contains('/'));
            match told.open {
                Open::No => {}
                Open::Opens(key) => _ = self.open.insert(key.as_str().to_owned(), ()),
                Open::Closes(key) => {
                    assert!(self.open.remove(key.as_str()).is_some(), "{} was not open", key.as_str());
                }
            }
        }
        assert!(self.asterisk.held() as u64 <= 11 * THINGS, "{} things", self.asterisk.held());
    }
}

fn replaced(bytes: &[u8], what: &[u8], with: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = memchr::memmem::find(rest, what) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(with);
        rest = &rest[at + what.len()..];
    }
    out.extend_from_slice(rest);
    out
}
