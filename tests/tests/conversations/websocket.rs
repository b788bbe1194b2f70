//! What all websockets have in common (RFC 6455), on iSymphony's path: the handshake, pings, closes, limits, and what
//! stands between frames. The sections are those of the RFC.

use offhook_core::{Completion, Config};
use offhook_tests::memory::read::take_head;
use offhook_tests::memory::write::{get, publish, request};
use offhook_tests::memory::ws::{Frame, upgrade};
use offhook_tests::memory::{DATE, Peer, World};

use crate::common::publish_all;
use crate::isymphony::{EVENTS, MANAGER, config, event, listen};

/// A message that is answered.
const ASK: &str = r#"{"type":"filter","filters":[]}"#;

/// Its answer, at the beginning of the world.
const ANSWER: &str = r#"{"correlationId":null,"time":1446561431000,"type":"success"}"#;

fn text(text: &str) -> Frame {
    Frame::Text(text.to_owned())
}

fn closes(code: u16, reason: &str) -> Frame {
    Frame::Close(Some(code), reason.to_owned())
}

fn open(world: &World) -> u64 {
    world.stats().dialects["isymphony"].streams_open
}

/// The engine has sent what it had to, and lets go of the connection once the peer ends as well.
#[track_caller]
fn assert_ends(world: &mut World, peer: Peer) {
    assert!(world.is_finished(peer) && !world.is_closed(peer), "the sending direction has ended");
    assert_eq!(open(world), 0);
    world.send_text(peer, ASK);
    world.end(peer);
    assert!(world.is_closed(peer) && world.received(peer).is_empty(), "what comes late is swallowed");
}

#[test]
fn section_4_2_2_the_answer_to_the_handshake() {
    let mut world = World::with(config(), 1);
    let peer = world.connect();
    world.send(peer, upgrade(EVENTS, MANAGER));
    assert_eq!((world.finish_checks(), open(&world)), (1, 1));
    let expected = format!(
        "HTTP/1.1 101 Switching Protocols\r\nDate: {DATE}\r\nServer: offhook\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    );
    assert_eq!(String::from_utf8_lossy(&world.take(peer)), expected);
    world.send_text(peer, ASK);
    assert_eq!(world.texts(peer), [ANSWER]);
}

#[test]
fn section_4_2_1_a_refused_handshake_leaves_the_connection_open() {
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let version = "Sec-WebSocket-Version: 13\r\n";
    let both = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
    let mut world = World::with(config(), 1);
    let peer = world.connect();
    for (method, fields, status, field) in [
        ("GET", vec![], 426, ("upgrade", "websocket")),
        ("GET", vec!["Upgrade: h2c\r\nConnection: Upgrade\r\n", key, version], 426, ("upgrade", "websocket")),
        ("GET", vec![both, key], 426, ("sec-websocket-version", "13")),
        ("GET", vec![both, key, "Sec-WebSocket-Version: 8\r\n"], 426, ("sec-websocket-version", "13")),
        (
            "GET",
            vec!["Upgrade: websocket\r\n", key, version],
            400,
            ("content-type", "application/problem+json"),
        ),
        ("GET", vec![both, version], 400, ("content-type", "application/problem+json")),
        ("GET", vec![both, key, key, version], 400, ("content-type", "application/problem+json")),
        (
            "GET",
            vec![both, "Sec-WebSocket-Key: AAAA\r\n", version],
            400,
            ("content-type", "application/problem+json"),
        ),
        ("POST", vec![both, key, version], 405, ("allow", "GET")),
    ] {
        let reply = world.ask(peer, request(method, EVENTS, &(fields.concat() + MANAGER), ""));
        let (name, value) = field;
        assert_eq!((reply.status, reply.field(name)), (status, Some(value)), "{method} {fields:?}");
        assert_eq!(reply.field("sec-websocket-accept"), None);
        assert!(!world.is_ended(peer), "{method} {fields:?}");
    }
    assert_eq!(world.upgrade(peer, EVENTS, MANAGER).status, 101);
    // What several header fields and lists may look like.
    for fields in [
        "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n",
        "CONNECTION: keep-alive\r\nconnection: UPGRADE\r\nupgrade: h2c,WebSocket\r\n",
    ] {
        let peer = world.connect();
        world.send(peer, request("GET", EVENTS, &[fields, key, version, MANAGER].concat(), ""));
        let head = take_head(&mut world.take(peer)).expect("a head");
        assert_eq!(head.status, 101, "{fields}");
    }
    let peer = world.connect();
    let offers = "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n";
    assert_eq!(world.upgrade(peer, EVENTS, &(MANAGER.to_owned() + offers)).status, 101, "none is chosen");
}

#[test]
fn requests_before_the_handshake_are_answered_first() {
    let mut world = World::with(config(), 1);
    let peer = world.connect();
    assert_eq!(world.ask(peer, get("/healthz")).status, 200);
    world.hold_durability();
    let frame = world.masked(0x81, ASK);
    world.send(peer, [publish(event("x", "")), upgrade(EVENTS, MANAGER), frame].concat());
    assert!(world.received(peer).is_empty(), "the answer before it is not ready");
    world.release_durability();
    world.finish_checks();
    assert_eq!(world.next_reply(peer).map(|reply| reply.status), Some(202));
    assert_eq!(world.next_reply(peer).map(|reply| reply.status), Some(101));
    assert_eq!(world.texts(peer), [ANSWER]);
    // From here on a request is nothing but a broken frame.
    world.send(peer, get("/healthz"));
    assert_eq!(world.close_frame(peer).0, 1002);
}

/// What is sent at once, in two pieces, and byte by byte, means the same.
#[test]
fn frames_right_behind_the_handshake_and_in_pieces() {
    let mut world = World::with(config(), 1);
    let (front, back) = ASK.split_at(9);
    let wire = [
        upgrade(EVENTS, MANAGER),
        world.masked(0x89, "1"),
        world.masked(0x01, front),
        world.masked(0x89, "2"),
        world.masked(0x80, back),
        world.masked(0x88, 1000u16.to_be_bytes()),
        world.masked(0x89, "late"),
    ]
    .concat();
    // The password is checked as soon as the head is here, or while all the rest comes in.
    let talk = |pieces: &[&[u8]], at_once: bool| {
        let mut world = World::with(config(), 1);
        let peer = world.connect();
        for piece in pieces {
            world.send(peer, piece);
            if at_once {
                world.finish_checks();
            }
        }
        world.finish_checks();
        assert!(world.is_finished(peer));
        world.take(peer)
    };
    let whole = talk(&[&wire], true);
    let peer = world.connect();
    world.send(peer, &wire);
    world.finish_checks();
    assert_eq!(world.next_reply(peer).map(|reply| reply.status), Some(101));
    let frames = [Frame::Pong(b"1".to_vec()), Frame::Pong(b"2".to_vec()), text(ANSWER), closes(1000, "")];
    assert_eq!(world.frames(peer), frames);
    let handshake = upgrade(EVENTS, MANAGER).len();
    for at_once in [true, false] {
        assert_eq!(talk(&wire.chunks(1).collect::<Vec<_>>(), at_once), whole, "byte by byte");
        for cut in (1..handshake).step_by(17).chain(handshake..wire.len()) {
            assert_eq!(talk(&[&wire[..cut], &wire[cut..]], at_once), whole, "cut at {cut}");
        }
    }
}

#[test]
fn section_5_4_fragments_and_what_stands_between_them() {
    let mut world = World::with(config(), 1);
    let peer = listen(&mut world);
    world.send_fragments(peer, &[&ASK[..3], "", &ASK[3..20], &ASK[20..]]);
    assert_eq!(world.texts(peer), [ANSWER]);
    world.send_frame(peer, 0x01, &ASK[..5]);
    world.send_ping(peer, "still there?");
    assert_eq!(world.frames(peer), [Frame::Pong(b"still there?".to_vec())], "it does not wait for the rest");
    publish_all(&mut world, &[event("x", "")]);
    assert_eq!(world.texts(peer).len(), 1, "nor do events");
    world.send_frame(peer, 0x80, &ASK[5..]);
    assert_eq!(world.texts(peer), [ANSWER]);
}

#[test]
fn section_5_5_2_pings_are_answered_and_unasked_pongs_are_none_of_our_business() {
    let mut world = World::with(config(), 1);
    let peer = listen(&mut world);
    for payload in [&b""[..], b"a", &[0xFF; 125]] {
        world.send_ping(peer, payload);
        assert_eq!(world.frames(peer), [Frame::Pong(payload.to_vec())]);
    }
    world.send_pong(peer, "unasked");
    assert_eq!(world.frames(peer), []);
    // Each of many is answered, and they are no messages: nobody is closed for them.
    let pings: Vec<u8> = (0..1_000u16).flat_map(|at| world.masked(0x89, at.to_be_bytes())).collect();
    world.send(peer, pings);
    let pongs: Vec<Frame> = (0..1_000u16).map(|at| Frame::Pong(at.to_be_bytes().to_vec())).collect();
    assert_eq!(world.frames(peer), pongs);
}

#[test]
fn a_peer_without_a_sign_of_life_is_closed_with_1011() {
    let mut world = World::with(config(), 1);
    let peer = listen(&mut world);
    // Half a frame is no sign of life.
    let frame = world.masked(0x81, ASK);
    world.pass(29_999);
    assert_eq!(world.frames(peer), []);
    world.send(peer, &frame[..10]);
    world.pass(1);
    assert_eq!(world.frames(peer), [Frame::Ping(Vec::new())]);
    world.pass(29_999);
    assert_eq!(world.frames(peer), []);
    world.pass(1);
    assert_eq!(world.close_frame(peer).0, 1011);
    assert!(!world.is_ended(peer), "it may answer");
    world.pass(1_999);
    assert!(!world.is_ended(peer));
    world.pass(1);
    assert!(world.is_closed(peer) && world.frames(peer).is_empty());
    assert_eq!(open(&world), 0);
}

#[test]
fn any_whole_frame_is_a_sign_of_life() {
    let mut world = World::with(config(), 1);
    let peer = listen(&mut world);
    for turn in 0..20 {
        world.pass(30_000);
        assert_eq!(world.frames(peer), [Frame::Ping(Vec::new())], "{turn}");
        world.pass(29_000);
        match turn % 3 {
            0 => world.send_pong(peer, ""),
            1 => world.send_ping(peer, ""),
            _ => world.send_text(peer, ASK),
        }
        assert_eq!(world.frames(peer).len(), usize::from(turn % 3 != 0), "{turn}");
        world.pass(1_000);
        assert_eq!(world.frames(peer), [Frame::Ping(Vec::new())], "{turn}");
        world.send_pong(peer, "");
    }
}

#[test]
fn section_5_5_1_the_peer_closes() {
    for (payload, echo) in [
        (&b""[..], Frame::Close(None, String::new())),
        (b"\x03\xE8", closes(1000, "")),
        (b"\x03\xE9bye", closes(1001, "bye")),
        (b"\x0F\xA0", closes(4000, "")),
        // Codes that nobody may send.
        (b"\x03\xED", closes(1002, "Protocol violation")),
        (b"\x03", closes(1002, "a Close holds half of a code")),
        (b"\x03\xE8\xFF", closes(1007, "text is not UTF-8")),
    ] {
        let mut world = World::with(config(), 1);
        let peer = listen(&mut world);
        world.send_frame(peer, 0x88, payload);
        assert_eq!(world.frames(peer), [echo], "{payload:02x?}");
        publish_all(&mut world, &[event("x", "")]);
        assert_ends(&mut world, peer);
    }
    // One that does not end has a moment, and no more.
    let mut world = World::with(config(), 1);
    let peer = listen(&mut world);
    world.send_close(peer, 1000, "");
    world.pass(1_999);
    assert!(!world.is_closed(peer));
    world.pass(1);
    assert!(world.is_closed(peer));
}

#[test]
fn section_7_1_2_the_server_closes() {
    let mut world = World::with(config(), 1);
    let (answers, silent, gone) = (listen(&mut world), listen(&mut world), listen(&mut world));
    world.tell(|| Completion::Stop);
    for peer in [answers, silent, gone] {
        assert_eq!(world.close_frame(peer).0, 1001);
        assert!(!world.is_ended(peer), "the peer's Close is waited for");
    }
    // What was on its way is no error, and is not answered.
    world.send_text(answers, ASK);
    world.send_ping(answers, "?");
    assert!(world.frames(answers).is_empty() && !world.is_ended(answers));
    world.send_close(answers, 1001, "");
    assert!(world.frames(answers).is_empty() && world.is_finished(answers), "the server ends first");
    world.end(answers);
    assert!(world.is_closed(answers));
    world.end(gone);
    assert!(world.is_closed(gone));
    assert!(!world.is_closed(silent) && !world.is_drained());
    world.pass(2_000);
    assert!(world.is_closed(silent) && world.is_drained());
}

#[test]
fn section_7_4_1_what_is_broken_is_closed_with_its_code() {
    type Frames = fn(&mut World) -> Vec<u8>;
    let broken: [(&str, u16, Frames); 11] = [
        ("5.1", 1002, |_| b"\x81\x05Hello".to_vec()),
        ("5.2", 1002, |world| world.masked(0xC1, ASK)),
        ("5.2", 1002, |world| world.masked(0x83, ASK)),
        ("5.2", 1002, |_| b"\x81\xFE\x00\x01\0\0\0\0a".to_vec()),
        ("5.4", 1002, |world| world.masked(0x80, ASK)),
        ("5.4", 1002, |world| [world.masked(0x01, ASK), world.masked(0x81, ASK)].concat()),
        ("5.5", 1002, |world| world.masked(0x89, [0; 126])),
        ("5.5", 1002, |world| world.masked(0x09, "")),
        ("8.1", 1007, |world| world.masked(0x81, b"\xC0\xAF")),
        ("8.1", 1007, |world| world.masked(0x01, b"\xED\xA0\x80")),
        // The header alone.
        ("10.4", 1009, |_| b"\x81\xFF\0\0\0\0\0\x01\0\x01\0\0\0\0".to_vec()),
    ];
    for (section, code, frames) in broken {
        let mut world = World::with(config(), 1);
        let (peer, other) = (listen(&mut world), listen(&mut world));
        world.send_text(peer, ASK);
        let wire = [frames(&mut world), world.masked(0x89, "late")].concat();
        world.send(peer, wire);
        let sent = world.frames(peer);
        assert!(
            matches!(&sent[..], [Frame::Text(_), Frame::Close(Some(c), _)] if *c == code),
            "{section}: {sent:?}"
        );
        assert!(world.is_finished(peer), "{section}");
        world.send_close(peer, 1002, "");
        world.end(peer);
        assert!(world.is_closed(peer) && world.received(peer).is_empty(), "{section}");
        world.send_text(other, ASK);
        assert_eq!(world.texts(other), [ANSWER], "others go on");
    }
}

#[test]
fn section_10_4_limits() {
    let mut world = World::with(config(), 1);
    let peer = listen(&mut world);
    // As large as a message may be, in one frame and in many.
    let largest = ASK.to_owned() + &" ".repeat(65_536 - ASK.len());
    world.send_text(peer, &largest);
    assert_eq!(world.texts(peer), [ANSWER]);
    let fragments: Vec<&str> = (0..256).map(|at| &largest[at * 256..(at + 1) * 256]).collect();
    world.send_fragments(peer, &fragments);
    assert_eq!(world.texts(peer), [ANSWER]);
    world.send_fragments(peer, &[&largest, "."]);
    assert_eq!(world.close_frame(peer).0, 1009);
    assert_ends(&mut world, peer);
    // So many messages, and no more.
    let mut world = World::with(config(), 1);
    let peer = listen(&mut world);
    let messages: Vec<u8> = (0..100).flat_map(|_| world.masked(0x81, ASK)).collect();
    world.send(peer, &messages);
    assert_eq!(world.texts(peer), vec![ANSWER; 100]);
    world.pass(10_000);
    world.send(peer, &messages);
    assert_eq!(world.texts(peer).len(), 100, "counted anew");
    world.send_text(peer, ASK);
    assert_eq!(world.close_frame(peer), (1008, "too many messages".to_owned()));
    world.send_close(peer, 1008, "");
    assert_ends(&mut world, peer);
}

/// An answer to this connection alone never stands inside a frame of the feed, wherever the socket was full.
#[test]
fn what_is_private_stands_between_the_frames_of_the_feed() {
    let mut lens = Vec::new();
    for room in 0..400 {
        let mut world = World::with(config(), 1);
        let peer = listen(&mut world);
        world.limit_room(peer, room);
        publish_all(&mut world, &[event("first", r#""a":"b""#), event("second", "")]);
        world.send_ping(peer, "?");
        publish_all(&mut world, &[event("third", "")]);
        world.send_text(peer, ASK);
        publish_all(&mut world, &[event("fourth", "")]);
        assert_eq!(world.received(peer).len(), room.min(world.received(peer).len()));
        // A few bytes at a time from here on.
        for _ in 0..30 {
            world.give_room(peer, 7);
        }
        world.lift_limit(peer);
        let frames = world.frames(peer);
        let word = |frame: &Frame| match frame {
            Frame::Text(text) if text == ANSWER => "answer",
            Frame::Text(text) => ["first", "second", "third", "fourth"]
                .into_iter()
                .find(|word| text.contains(&format!("\"type\":\"{word}\"")))
                .unwrap_or("?"),
            Frame::Pong(_) => "pong",
            Frame::Binary(_) | Frame::Ping(_) | Frame::Close(..) => "?",
        };
        let words: Vec<&str> = frames.iter().map(word).collect();
        let events: Vec<&str> =
            words.iter().copied().filter(|word| !["pong", "answer"].contains(word)).collect();
        assert_eq!(events, ["first", "second", "third", "fourth"], "room for {room}: {words:?}");
        let at = |what| words.iter().position(|word| *word == what).expect("each stands there");
        assert!(at("pong") < at("answer"), "room for {room}: {words:?}");
        // What was published before the message is sent before its answer, the rest after it.
        assert!(at("third") < at("answer") && at("answer") < at("fourth"), "room for {room}: {words:?}");
        lens.push(words.len());
    }
    assert!(lens.iter().all(|len| *len == 6), "{lens:?}");
}

/// A peer that pings and does not read is not read either, once enough waits for it.
#[test]
fn pongs_for_a_peer_that_does_not_read_are_bounded() {
    let mut world = World::with(config(), 1);
    let peer = listen(&mut world);
    world.limit_room(peer, 0);
    let ping = world.masked(0x89, [b'x'; 125]);
    let pings = ping.repeat(20_000);
    world.send(peer, &pings);
    let limit = Config::default().limits.reply_bytes as usize;
    let taken = (pings.len() - world.held_back(peer)) / ping.len();
    assert!((limit / 127..limit / 127 + 1_000).contains(&taken), "{taken} pings were taken");
    world.lift_limit(peer);
    assert_eq!(world.held_back(peer), 0);
    assert_eq!(world.frames(peer), vec![Frame::Pong(vec![b'x'; 125]); 20_000], "each is answered in the end");
}

#[test]
fn ends_without_a_close() {
    for (half, breaks) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut world = World::with(config(), 1);
        let peer = listen(&mut world);
        if half {
            let frame = world.masked(0x81, ASK);
            world.send(peer, &frame[..frame.len() - 1]);
        }
        if breaks {
            world.break_off(peer)
        } else {
            world.end(peer)
        }
        assert!(world.is_closed(peer) && world.received(peer).is_empty(), "nobody is there to be told");
        assert_eq!(open(&world), 0);
        publish_all(&mut world, &[event("x", "")]);
    }
}

#[test]
fn a_close_waits_for_what_is_queued_and_no_longer_than_its_time() {
    for reads in [false, true] {
        let mut world = World::with(config(), 1);
        let peer = listen(&mut world);
        world.limit_room(peer, 5);
        publish_all(&mut world, &[event("first", ""), event("second", "")]);
        world.tell(|| Completion::Stop);
        world.pass(1_999);
        assert!(!world.is_ended(peer) && world.received(peer).len() == 5);
        if reads {
            world.lift_limit(peer);
            let frames = world.frames(peer);
            assert!(
                matches!(&frames[..], [Frame::Text(_), Frame::Text(_), Frame::Close(Some(1001), _)]),
                "{frames:?}"
            );
        }
        world.pass(1);
        assert!(world.is_closed(peer) && world.is_drained());
    }
}
