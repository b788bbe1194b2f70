//! Frames of a client, whole and in pieces.

use proptest::prelude::*;

use super::super::frame;
use super::*;
use crate::ground::rng::Rng;

/// The mask of the examples in section 5.7.
const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// What a message may hold in most of these tests.
const MESSAGE_MAX: u64 = 70_000;

/// A frame as a client sends it, good or not; `first` is its first byte.
fn masked(first: u8, mask: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader {
        is_final: first & 0x80 != 0,
        rsv1: first & 0x40 != 0,
        rsv2: first & 0x20 != 0,
        rsv3: first & 0x10 != 0,
        opcode: (first & 0x0F).into(),
        mask: Some(mask),
    };
    let mut out = Vec::new();
    header.format(payload.len() as u64, &mut out).unwrap();
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

fn client(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    masked(first, MASK, payload.as_ref())
}

/// A Close as a client sends it.
fn close(code: u16, reason: impl AsRef<[u8]>) -> Vec<u8> {
    client(0x88, [&code.to_be_bytes()[..], reason.as_ref()].concat())
}

/// Drives a session until it has taken all; what came, and what is sent back.
fn drive(session: &mut Session, pieces: &[&[u8]]) -> (Vec<Next>, Vec<u8>) {
    let (mut came, mut reply) = (Vec::new(), Vec::new());
    for mut input in pieces.iter().copied() {
        loop {
            let next = session.next(&mut input, &mut reply);
            if next == Next::More {
                break;
            }
            came.push(next);
        }
        assert!(input.is_empty(), "More has taken all");
    }
    (came, reply)
}

/// Raised in the middle: a message in fragments, a frame that is not whole, and what comes after them; never lowered.
#[test]
fn the_largest_message_is_raised() {
    let mut session = Session::new(4);
    let (begin, end) = (client(0x01, "1234"), client(0x80, "5678"));
    assert_eq!(drive(&mut session, &[&begin, &end[..3]]).0, []);
    session.raise_message_max(8);
    session.raise_message_max(6);
    assert_eq!(drive(&mut session, &[&end[3..]]).0, [Next::Text("12345678".to_owned())]);
    assert_eq!(drive(&mut session, &[&client(0x81, "12345678")]).0, [Next::Text("12345678".to_owned())]);
    assert_eq!(drive(&mut session, &[&client(0x81, "123456789")]).0, [Next::Broken(Broken::TOO_BIG)]);
}

fn take(message_max: u64, pieces: &[&[u8]]) -> (Vec<Next>, Vec<u8>) {
    drive(&mut Session::new(message_max), pieces)
}

/// What came, in short.
fn told(came: &[Next]) -> Vec<String> {
    let tell = |next: &Next| match next {
        Next::Text(text) => format!("text {text}"),
        Next::Binary(bytes) => format!("binary {}", String::from_utf8_lossy(bytes)),
        Next::Broken(broken) => format!("{} {}", broken.code, broken.reason),
        Next::Ping | Next::Pong | Next::Close | Next::More => format!("{next:?}").to_lowercase(),
    };
    came.iter().map(tell).collect()
}

/// One row: a section of RFC 6455, what a client sends, what comes of it (the beginning of each), and what is sent back.
type Row<'a> = (&'a str, &'a [&'a [u8]], &'a [&'a str], &'a [u8]);

#[track_caller]
fn check((section, frames, expected, replied): Row<'_>) {
    let bytes = frames.concat();
    let (came, reply) = take(MESSAGE_MAX, &[&bytes]);
    let told = told(&came);
    let as_expected = told.len() == expected.len()
        && told.iter().zip(expected).all(|(told, expected)| told.starts_with(expected));
    assert!(as_expected, "{section}: {bytes:02x?}: {told:?}, expected {expected:?}");
    assert_eq!(reply, replied, "{section}: {bytes:02x?}");
}

#[test]
fn rfc6455_5_2_framing() {
    for row in [
        ("5.1", &[&b"\x81\x05Hello"[..]][..], &["1002 a frame of a client is not masked"][..], &b""[..]),
        ("5.1", &[b"\x89\x00"], &["1002 a frame of a client is not masked"], b""),
        ("5.2 RSV1", &[&client(0xC1, "a")], &["1002 a reserved bit"], b""),
        ("5.2 RSV2", &[&client(0xA1, "a")], &["1002 a reserved bit"], b""),
        ("5.2 RSV3", &[&client(0x91, "a")], &["1002 a reserved bit"], b""),
        ("5.2 RSV", &[&client(0xF9, "")], &["1002 a reserved bit"], b""),
        // The fewest bytes encode a length.
        ("5.2", &[b"\x81\xFE\x00\x7D\0\0\0\0"], &["1002 a length is not in its shortest"], b""),
        ("5.2", &[b"\x81\xFE\x00\x00\0\0\0\0"], &["1002 a length is not in its shortest"], b""),
        ("5.2", &[b"\x82\xFF\0\0\0\0\0\0\xFF\xFF\0\0\0\0"], &["1002 a length is not in its shortest"], b""),
        ("5.2", &[b"\x89\xFE\x00\x05\0\0\0\0"], &["1002 a length is not in its shortest"], b""),
        // The most significant bit of 64 must be 0.
        ("5.2", &[b"\x82\xFF\x80\0\0\0\0\0\0\0\0\0\0\0"], &["1002 a length has its highest bit"], b""),
        ("5.2", &[&[b"\x82\xFF".as_slice(), &[0xFF; 8], &[0; 4]].concat()], &["1002 a length has"], b""),
        ("5.3", &[&masked(0x81, [0; 4], b"plain")], &["text plain"], b""),
        ("5.3", &[&masked(0x81, [1, 2, 3, 4], b"another")], &["text another"], b""),
        ("5.3", &[&client(0x82, "12345678901")], &["binary 12345678901"], b""),
        ("5.6", &[&client(0x81, "ü€😀"), &client(0x82, "ab")], &["text ü€😀", "binary ab"], b""),
        ("5.6", &[&client(0x81, ""), &client(0x82, "")], &["text ", "binary "], b""),
        ("5.7", &[b"\x81\x85\x37\xFA\x21\x3D\x7F\x9F\x4D\x51\x58"], &["text Hello"], b""),
        ("5.7", &[b"\x8A\x85\x37\xFA\x21\x3D\x7F\x9F\x4D\x51\x58"], &["pong"], b""),
        ("5.7", &[&client(0x82, [b'x'; 256])], &["binary xxx"], b""),
        ("5.7", &[&client(0x82, [b'x'; 65_536])], &["binary xxx"], b""),
        ("5.8", &[&client(0x81, "a"), &client(0xC1, "b")], &["text a", "1002 a reserved bit"], b""),
    ] {
        check(row);
    }
    for opcode in [3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF] {
        check(("5.2", &[&client(0x80 | opcode, "")], &["1002 an opcode is reserved"], b""));
        check(("5.2", &[&client(opcode, "a")], &["1002 an opcode is reserved"], b""));
    }
    for len in [0, 1, 124, 125, 126, 127, 65_535, 65_536] {
        let (came, _) = take(MESSAGE_MAX, &[&client(0x82, vec![7; len])]);
        assert_eq!(came, [Next::Binary(vec![7; len])], "5.2: {len}");
    }
}

#[test]
fn rfc6455_5_4_fragmentation() {
    let (ping, pong) = (client(0x89, "?"), b"\x8A\x01?");
    for row in [
        ("5.4", &[&client(0x01, "Hel")[..], &client(0x80, "lo")][..], &["text Hello"][..], &b""[..]),
        ("5.4", &[&client(0x02, "Hel"), &client(0x00, "l"), &client(0x80, "o")], &["binary Hello"], b""),
        ("5.4", &[&client(0x01, ""), &client(0x00, ""), &client(0x80, "")], &["text "], b""),
        ("5.4", &[&client(0x01, "a"), &client(0x80, ""), &client(0x81, "b")], &["text a", "text b"], b""),
        // Control frames stand between fragments.
        ("5.4", &[&client(0x01, "a"), &ping, &client(0x80, "b")], &["ping", "text ab"], pong),
        ("5.4", &[&client(0x01, "a"), &client(0x8A, ""), &client(0x80, "b")], &["pong", "text ab"], b""),
        (
            "5.4",
            &[&client(0x02, "a"), &ping, &client(0x00, "b"), &ping, &client(0x80, "c")],
            &["ping", "ping", "binary abc"],
            b"\x8A\x01?\x8A\x01?",
        ),
        ("5.4", &[&client(0x01, "a"), &close(1000, ""), &client(0x80, "b")], &["close"], b"\x88\x02\x03\xE8"),
        ("5.4", &[&client(0x80, "a")], &["1002 there is nothing to continue"], b""),
        ("5.4", &[&client(0x00, "a")], &["1002 there is nothing to continue"], b""),
        (
            "5.4",
            &[&client(0x01, "a"), &client(0x80, "b"), &client(0x80, "c")],
            &["text ab", "1002 there is nothing to continue"],
            b"",
        ),
        ("5.4", &[&client(0x01, "a"), &client(0x81, "b")], &["1002 a message starts inside another"], b""),
        ("5.4", &[&client(0x01, "a"), &client(0x02, "b")], &["1002 a message starts inside another"], b""),
        ("5.4", &[&client(0x01, "a"), &client(0x40, "b")], &["1002 a reserved bit"], b""),
        ("5.4", &[&client(0x01, "a"), b"\x80\x01b"], &["1002 a frame of a client is not masked"], b""),
    ] {
        check(row);
    }
}

#[test]
fn rfc6455_5_5_control_frames() {
    let long = [b'x'; 125];
    for row in [
        ("5.5", &[&client(0x09, "a")[..]][..], &["1002 a control frame is in fragments"][..], &b""[..]),
        ("5.5", &[&client(0x08, "")], &["1002 a control frame is in fragments"], b""),
        ("5.5", &[&client(0x0A, "")], &["1002 a control frame is in fragments"], b""),
        ("5.5", &[&client(0x89, [0; 126])], &["1002 a control frame is longer"], b""),
        ("5.5", &[&client(0x88, [3; 126])], &["1002 a control frame is longer"], b""),
        ("5.5.1", &[&client(0x88, "")], &["close"], b"\x88\x00"),
        ("5.5.1", &[&close(1000, "")], &["close"], b"\x88\x02\x03\xE8"),
        ("5.5.1", &[&close(1001, "bye")], &["close"], b"\x88\x05\x03\xE9bye"),
        ("5.5.1", &[&client(0x88, [3])], &["1002 a Close holds half of a code"], b""),
        ("5.5.1", &[&close(1000, b"\xFF")], &["1007 text is not UTF-8"], b""),
        // Nothing counts after a Close.
        (
            "5.5.1",
            &[&close(1000, ""), &client(0x89, "a"), &client(0x81, "b")],
            &["close"],
            b"\x88\x02\x03\xE8",
        ),
        ("5.5.1", &[&close(1000, ""), b"\xFF\xFF\xFF"], &["close"], b"\x88\x02\x03\xE8"),
        ("5.5.2", &[&client(0x89, "")], &["ping"], b"\x8A\x00"),
        ("5.5.2", &[&client(0x89, "ab"), &client(0x89, "c")], &["ping", "ping"], b"\x8A\x02ab\x8A\x01c"),
        ("5.5.2", &[&client(0x89, b"\xFF")], &["ping"], b"\x8A\x01\xFF"),
        ("5.5.2", &[&client(0x89, long)], &["ping"], &[b"\x8A\x7D".as_slice(), &long].concat()),
        ("5.5.3", &[&client(0x8A, ""), &client(0x8A, "unsolicited")], &["pong", "pong"], b""),
    ] {
        check(row);
    }
}

#[test]
fn rfc6455_7_closing() {
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999] {
        let mut echo = Vec::new();
        frame::close(code, "why", &mut echo);
        check(("7.4.1", &[&close(code, "why")], &["close"], &echo));
    }
    // Codes that are reserved, are never sent, or have no meaning: the echo says so.
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        let mut echo = Vec::new();
        frame::close(1002, "Protocol violation", &mut echo);
        check(("7.4.2", &[&close(code, "why")], &["close"], &echo));
    }
    // 7.1.7: after a failure nothing is processed, not even a Close.
    let after = [client(0xC1, "a"), client(0x89, "b"), close(1000, "")].concat();
    check(("7.1.7", &[&after], &["1002 a reserved bit"], b""));
}

#[test]
fn rfc6455_7_1_2_this_side_closes_first() {
    for (before, after, expected) in [
        (&b""[..], close(1000, "bye"), &[Next::Close][..]),
        (b"", client(0x88, ""), &[Next::Close]),
        // What was under way is passed over.
        (b"", [client(0x81, "text"), client(0x89, "ping"), close(1001, "")].concat(), &[Next::Close]),
        (
            &client(0x81, "abcdef")[..9],
            [&client(0x81, "abcdef")[9..], &close(1000, "")].concat(),
            &[Next::Close],
        ),
        (
            &client(0x81, "abcdef")[..1],
            [&client(0x81, "abcdef")[1..], &close(1000, "")].concat(),
            &[Next::Close],
        ),
        (&close(1000, "abcdef")[..9], close(1000, "abcdef")[9..].to_vec(), &[Next::Close]),
        (&client(0x01, "a"), [client(0x80, "b"), close(1000, "")].concat(), &[Next::Close]),
        // What could not have been read is passed over as well, for it may be long.
        (b"", [client(0x82, vec![7; 100_000]), client(0xC1, "a"), close(1000, "")].concat(), &[Next::Close]),
        (b"", [b"\x81\x05Hello".to_vec(), close(1000, "")].concat(), &[Next::Close]),
        (b"", [close(1000, ""), close(1000, "")].concat(), &[Next::Close]),
        // There is no frame any more.
        (b"", [client(0x83, "a"), close(1000, "")].concat(), &[]),
        (b"", b"\x82\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\0\0\0\0".to_vec(), &[]),
    ] {
        let mut session = Session::new(MESSAGE_MAX);
        assert_eq!(drive(&mut session, &[before]).0, []);
        session.closing();
        for pieces in [vec![&after[..]], after.chunks(1).collect()] {
            let mut session = Session::new(MESSAGE_MAX);
            drive(&mut session, &[before]);
            session.closing();
            let (came, reply) = drive(&mut session, &pieces);
            assert_eq!((&came[..], &reply[..]), (expected, &b""[..]), "7.1.2: {before:02x?} {after:02x?}");
        }
    }
    let mut session = Session::new(MESSAGE_MAX);
    assert_eq!(drive(&mut session, &[&close(1000, "")]).0, [Next::Close]);
    session.closing();
    assert_eq!(drive(&mut session, &[&close(1000, "")]).0, [], "it was closed already");
}

#[test]
fn rfc6455_8_1_text_is_utf8() {
    for payload in [
        &b"\xC0\xAF"[..],
        b"a\xFFb",
        b"\xED\xA0\x80",
        b"\xF4\x90\x80\x80",
        b"\xF8\x88\x80\x80\x80",
        b"\x80",
        b"ends\xE2\x82",
    ] {
        check(("8.1", &[&client(0x81, payload)], &["1007"], b""));
        check(("8.1", &[&client(0x01, payload), &client(0x80, "")], &["1007"], b""));
        check(("8.1", &[&client(0x82, payload)], &["binary"], b""));
    }
    // A character may stand across fragments, and is judged as early as they allow.
    check(("8.1", &[&client(0x01, b"\xE2\x82"), &client(0x80, b"\xAC")], &["text €"], b""));
    check((
        "8.1",
        &[&client(0x01, b"\xF0"), &client(0x00, b"\x9F\x98"), &client(0x80, b"\x80")],
        &["text 😀"],
        b"",
    ));
    check((
        "8.1",
        &[&client(0x01, b"\xE2"), &client(0x89, ""), &client(0x80, b"\x82\xAC")],
        &["ping", "text €"],
        b"\x8A\x00",
    ));
    check(("8.1", &[&client(0x01, b"a\xFF")], &["1007"], b""));
    check(("8.1", &[&client(0x01, b"\xE2"), &client(0x00, b"\x28")], &["1007"], b""));
}

#[test]
fn rfc6455_10_4_limits_and_10_7_what_is_invalid() {
    let too_big = || vec![Next::Broken(Broken::TOO_BIG)];
    let text = |len: usize| vec![Next::Text("x".repeat(len))];
    for (section, frames, expected) in [
        ("10.4", vec![client(0x81, [b'x'; 200])], text(200)),
        ("10.4", vec![client(0x81, [b'x'; 201])], too_big()),
        // The header alone is enough, and nothing is kept for what it announces.
        ("10.4", vec![client(0x81, [b'x'; 201])[..8].to_vec()], too_big()),
        ("10.4", vec![b"\x82\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\0\0\0\0".to_vec()], too_big()),
        ("10.4", vec![b"\x02\xFF\0\0\0\x01\0\0\0\0\0\0\0\0".to_vec()], too_big()),
        // So is the bound of a message in fragments.
        ("10.4", vec![client(0x01, [b'x'; 100]), client(0x80, [b'x'; 100])], text(200)),
        ("10.4", vec![client(0x01, [b'x'; 100]), client(0x80, [b'x'; 101])[..6].to_vec()], too_big()),
        ("10.4", vec![client(0x01, [b'x'; 200]), client(0x00, ""), client(0x80, "")], text(200)),
        ("10.4", vec![client(0x01, [b'x'; 200]), client(0x00, "x")], too_big()),
        // One message after another has the whole bound.
        ("10.4", vec![client(0x01, [b'x'; 150]), client(0x80, ""), client(0x81, [b'x'; 151])], {
            vec![Next::Text("x".repeat(150)), Next::Text("x".repeat(151))]
        }),
        ("10.7", vec![client(0x81, b"\xFF")], vec![Next::Broken(Broken::NOT_UTF8)]),
    ] {
        let (came, _) = take(200, &[&frames.concat()]);
        assert_eq!(came, expected, "{section}: {frames:02x?}");
    }
    // A control frame is no message.
    assert_eq!(take(0, &[&client(0x89, [7; 125])]).0, [Next::Ping]);
    assert_eq!(take(0, &[&client(0x81, "")]).0, text(0));
}

#[test]
fn an_idle_session_holds_nothing() {
    assert!(size_of::<Session>() <= 32, "{}", size_of::<Session>());
    let mut session = Session::new(MESSAGE_MAX);
    for frame in [client(0x81, "a"), client(0x89, "b"), [client(0x01, "a"), client(0x80, "b")].concat()] {
        let (front, back) = frame.split_at(3);
        drive(&mut session, &[front]);
        assert!(session.held_bytes() > 0);
        drive(&mut session, &[back]);
        assert!(session.partial.is_none() && session.held_bytes() == 0);
    }
    drive(&mut session, &[&client(0x01, "a"), &close(1000, "")]);
    assert!(session.partial.is_none(), "nor does one that has ended");
}

/// Frames, some of them broken.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        6 => prop::sample::select(vec![0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8A]),
        1 => Just(0x88),
        1 => any::<u8>(),
    ];
    let payload = prop_oneof![
        4 => "[a-zü€😀]{0,40}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..300),
    ];
    let good =
        (first, any::<[u8; 4]>(), payload).prop_map(|(first, mask, payload)| masked(first, mask, &payload));
    let any_bytes = prop::collection::vec(any::<u8>(), 0..20);
    prop::collection::vec(prop_oneof![12 => good, 1 => any_bytes], 0..12).prop_map(|frames| frames.concat())
}

/// A message, in how many fragments it is sent, and what stands between them.
type Sent = (Result<String, Vec<u8>>, usize, Vec<Vec<u8>>);

fn messages() -> impl Strategy<Value = Vec<Sent>> {
    let message = prop_oneof![
        "[ -~ü€😀]{0,300}".prop_map(Ok),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Err)
    ];
    let pings = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..=125), 0..3);
    prop::collection::vec((message, 1..5usize, pings), 0..6)
}

fn split_at<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.sort_unstable();
    let mut from = 0;
    let mut pieces: Vec<&[u8]> = Vec::new();
    for cut in cuts.into_iter().chain([bytes.len()]) {
        pieces.push(&bytes[from..cut]);
        from = cut;
    }
    pieces
}

proptest! {
    #[test]
    fn splitting_changes_nothing(bytes in frames(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let whole = take(400, &[&bytes]);
        prop_assert_eq!(&take(400, &split_at(&bytes, &cuts)), &whole);
        prop_assert_eq!(&take(400, &bytes.chunks(1).collect::<Vec<_>>()), &whole);
    }

    #[test]
    fn what_is_held_is_bounded(
        bytes in prop_oneof![frames(), prop::collection::vec(any::<u8>(), 0..2_000)],
        message_max in 0..500u64,
        closing_after in 0..3_000usize,
    ) {
        let mut session = Session::new(message_max);
        let mut reply = Vec::new();
        for (at, byte) in bytes.iter().enumerate() {
            if at == closing_after {
                session.closing();
            }
            let mut input = std::slice::from_ref(byte);
            while session.next(&mut input, &mut reply) != Next::More {}
            // A whole message but for its end, and a control frame.
            prop_assert!(session.held_bytes() <= message_max + 14 + 125 + 14);
        }
        prop_assert!(reply.len() <= bytes.len() + 32, "an answer is no longer than what it answers, but for a verdict");
    }

    /// A client of our own, whose masks come from a seed, and the session: all that is sent comes, and all is answered.
    #[test]
    fn a_pair_agrees(
        seed in any::<u64>(),
        messages in messages(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut rng = Rng::new(seed);
        let mut wire = Vec::new();
        let mut send = |first: u8, payload: &[u8]| {
            let mask = (rng.next_u64() as u32).to_be_bytes();
            wire.extend_from_slice(&masked(first, mask, payload));
        };
        let (mut expected, mut answers) = (Vec::new(), Vec::new());
        for (message, parts, pings) in messages {
            let (opcode, payload) = match &message {
                Ok(text) => (0x01, text.as_bytes()),
                Err(bytes) => (0x02, &bytes[..]),
            };
            let mut pings = pings.iter();
            for part in 0..parts {
                let (from, to) = (payload.len() * part / parts, payload.len() * (part + 1) / parts);
                let is_last = part + 1 == parts;
                let first = if part == 0 { opcode } else { 0 } | if is_last { 0x80 } else { 0 };
                send(first, &payload[from..to]);
                if let Some(ping) = pings.next().filter(|_| !is_last) {
                    send(0x89, ping);
                    expected.push(Next::Ping);
                    frame::header(frame::Opcode::Pong, ping.len(), &mut answers);
                    answers.extend_from_slice(ping);
                }
            }
            expected.push(message.map_or_else(Next::Binary, Next::Text));
        }
        send(0x88, &1000u16.to_be_bytes());
        expected.push(Next::Close);
        frame::close(1000, "", &mut answers);
        let (came, reply) = take(2_000, &split_at(&wire, &cuts));
        prop_assert_eq!(came, expected);
        prop_assert_eq!(reply, answers);
    }
}
