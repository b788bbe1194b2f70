//! What a manager of Asterisk sends on a connection.

use offhook_core::wire::ami::{Framed, Message, Skip, Stream, action};

use super::split;

/// What came, as something of its own.
#[derive(Debug, PartialEq)]
enum Come {
    Banner(Vec<u8>),
    Message(Vec<u8>),
    Skipped(Skip),
    Stranger(Vec<u8>),
}

/// Takes messages off `data` at once and in pieces, under a small and a roomy bound.
pub fn run(data: &[u8]) {
    for bytes_max in [80, 65_536] {
        let whole = take(bytes_max, &[data]);
        for pieces in [split::pieces(data), split::bytes(data)] {
            assert_eq!(take(bytes_max, &pieces), whole, "what comes depends on how it was split");
        }
        for (at, come) in whole.0.iter().enumerate() {
            judge(at, come, bytes_max);
        }
    }
}

/// `VarSet` stands for what nobody wants.
fn wants(event: &[u8]) -> bool {
    !event.eq_ignore_ascii_case(b"VarSet")
}

fn take(bytes_max: usize, pieces: &[&[u8]]) -> (Vec<Come>, u64) {
    let mut stream = Stream::new(bytes_max);
    let mut come = Vec::new();
    for mut input in pieces.iter().copied() {
        loop {
            come.push(match stream.next(&mut input, wants) {
                Framed::More => break,
                Framed::Banner(version) => Come::Banner(version.to_vec()),
                Framed::Message(message) => Come::Message(message.block().to_vec()),
                Framed::Skipped(skip) => Come::Skipped(skip),
                Framed::Stranger(line) => Come::Stranger(line.to_vec()),
            });
        }
        assert!(input.is_empty(), "nothing is left behind");
        assert!(stream.held_bytes() <= bytes_max.max(128), "what is held is bounded");
    }
    (come, stream.unwanted())
}

/// A message says what it is; its fields are those of a second, plain reading, and what can be said again is the same.
fn judge(at: usize, come: &Come, bytes_max: usize) {
    match come {
        Come::Banner(_) | Come::Stranger(_) => assert_eq!(at, 0, "a greeting comes first, and once"),
        Come::Skipped(_) => assert!(at > 0),
        Come::Message(block) => {
            assert!(at > 0 && block.len() < bytes_max);
            let message = Message::of(block);
            assert!(message.event().is_some() != message.response().is_some());
            assert!(message.event().is_none_or(wants));
            fields(message);
        }
    }
}

fn fields(message: Message<'_>) {
    let lines =
        message.block().split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let plain = lines.filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':').filter(|at| *at > 0)?;
        Some((&line[..colon], line[colon + 1..].strip_prefix(b" ").unwrap_or(&line[colon + 1..])))
    });
    assert!(message.fields().eq(plain), "a second reading agrees");
    let _ = message.output().count();
    for (key, value) in message.fields() {
        let (Ok(key), Ok(value)) = (std::str::from_utf8(key), std::str::from_utf8(value)) else { continue };
        assert!(message.all(key).any(|known| known == value.as_bytes()));
        let mut out = Vec::new();
        match action::write(&mut out, "Ping", "1", [(key, value)]) {
            Ok(()) => {
                let again = Message::of(&out[..out.len() - 4]);
                assert_eq!(again.fields().count(), 3, "an action says no more than it should");
                assert_eq!(again.fields().last(), Some((key.as_bytes(), value.as_bytes())));
            }
            Err(_) => assert!(out.is_empty() && format!("{key}{value}").contains(['\r', '\0'])),
        }
    }
}
