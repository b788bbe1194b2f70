//! A delivery allocates nothing: what is allocated to publish is shared by all that read.
//!
//! This is a test binary of its own because it counts with a global allocator.

use offhook_core::dialect::receiver;
use offhook_core::event::vocabulary::Vocabulary;
use offhook_core::event::{Data, Event, Fact};
use offhook_core::outbox::receiver::Letter;
use offhook_core::wire::ami::{Framed, Stream};
use offhook_core::wire::ws::session::{Next, Session};
use offhook_core::{Config, Seq, Wall};
use offhook_tests::bare::{Bare, publish};
use offhook_tests::memory::ws::masked;

/// Allocations while one event goes to `streams` streams at `target`, after a few that fill all buffers.
fn allocations(streams: usize, target: &str) -> u64 {
    let mut bare = Bare::new();
    let publisher = bare.connect();
    let target = match target {
        "" => bare.create(publisher, "<eventsubscribe/>") + "?appid=app",
        other => other.to_owned(),
    };
    bare.streams(streams, &target);
    let request = publish("call/1");
    for _ in 0..200 {
        bare.feed(publisher, &request, None);
    }
    let before = bare.delivered;
    let counted = allocation_counter::measure(|| {
        for _ in 0..100 {
            bare.feed(publisher, &request, None);
        }
    });
    assert_eq!(bare.delivered - before, 100 * (streams as u64 + 1), "each stream, and the publisher's reply");
    counted.count_total
}

#[test]
fn a_delivery_allocates_nothing() {
    for target in ["", "/v1/events?type=call.*"] {
        let (few, many) = (allocations(10, target), allocations(1_000, target));
        // 99,000 deliveries more; the slack is for tables that double once.
        assert!(many <= few + 20, "{target}: {few} allocations with 10 streams, {many} with 1,000");
    }
}

/// An event of about 300 bytes as JSON.
fn event() -> Event {
    let text = |name: &str, text: &str| (name.into(), Fact::Text(text.into()));
    Event {
        id_given: false,
        id: "01927f5c-7c1e-7a3b-8d52-1f0a9c6b4e21".into(),
        source: "pbx-1".into(),
        event_type: "call.ringing".into(),
        subject: Some("call/e686876c-e446-4be7-9b70-beb3059b5fc9".into()),
        time: "2026-01-01T00:00:00.000Z".into(),
        wall: Wall(1_767_225_600_000),
        content_type: None,
        schema: None,
        extensions: Vec::new(),
        data: Data::Facts(vec![
            text("caller_uri", "sip:alice@example.com"),
            text("called_uri", "sip:100@example.com"),
        ]),
    }
}

/// A webhook's request is one buffer, made once: no string goes into it by way of another.
#[test]
fn a_webhooks_request_is_one_allocation() {
    let secret = "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH";
    let (event, vocabulary, config) = (event(), Vocabulary::new(&[]), Config::default());
    let letter = Letter { id: uuid::Uuid::from_u128(7), seq: Seq(1), event: &event, attempts: 0 };
    for (spec, letters) in [
        (r#"{"url":"http://127.0.0.1:9/hooks"}"#.to_owned(), 1),
        (format!(r#"{{"url":"http://127.0.0.1:9/hooks","secret":["{secret}","{secret}"]}}"#), 1),
        (r#"{"url":"http://127.0.0.1:9/hooks","mode":"binary"}"#.to_owned(), 1),
        (format!(r#"{{"url":"http://127.0.0.1:9/hooks","batch":100,"secret":"{secret}"}}"#), 100),
    ] {
        let receiver = receiver("webhook", "crm", &spec, &config, true).expect("a webhook");
        let letters = vec![letter; letters];
        let counted = allocation_counter::measure(|| {
            assert!(!receiver.request(&letters, Wall(1), &vocabulary).is_empty());
        });
        assert_eq!(counted.count_total, 1, "{spec}");
    }
}

/// Bytes that a websocket session holds more after these frames than before.
fn held(session: &mut Session, frames: &[&[u8]]) -> i64 {
    let mut reply = Vec::with_capacity(1_000);
    let counted = allocation_counter::measure(|| {
        for mut input in frames.iter().copied() {
            while session.next(&mut input, &mut reply) != Next::More {}
        }
    });
    counted.bytes_current
}

/// A session holds what has come, and nothing for what was announced; when a message is whole, it holds nothing.
#[test]
fn a_websocket_session_holds_little() {
    const MESSAGE_MAX: usize = 65_536;
    let mut session = Session::new(MESSAGE_MAX as u64);
    let (half, quarter) = (vec![b'x'; MESSAGE_MAX / 2], vec![b'x'; MESSAGE_MAX / 4]);
    let whole = masked(0x81, [1, 2, 3, 4], &[&half[..], &half[..]].concat());
    let begun = held(&mut session, &[&whole[..20]]);
    assert!((1..=1_000).contains(&begun), "{begun} bytes for a frame of which 20 came");
    let mut now = begun + held(&mut session, &[&whole[20..whole.len() - 1]]);
    assert!(now <= MESSAGE_MAX as i64 + 1_000, "{now} bytes for a frame that lacks its last");
    now += held(&mut session, &[&whole[whole.len() - 1..]]);
    assert_eq!(now, 0, "the message has left");
    // Fragments, and a frame that is not whole: both buffers, each with the slack of one that has doubled.
    let last = masked(0x80, [1, 2, 3, 4], &quarter);
    let (first, next) = (masked(0x01, [0; 4], &half), masked(0x00, [9; 4], &quarter));
    now = held(&mut session, &[&first, &next, &masked(0x89, [3; 4], b"?"), &last[..last.len() - 1]]);
    assert!(now <= 3 * MESSAGE_MAX as i64, "{now} bytes for a message that lacks its last");
    assert!(session.held_bytes() <= now as u64);
    now += held(&mut session, &[&last[last.len() - 1..]]);
    assert_eq!(now, 0, "the message has left");
    held(&mut session, &[&first]);
    assert!(held(&mut session, &[&masked(0x88, [0; 4], b"")]) < 0);
    assert_eq!(session.held_bytes(), 0, "what has ended holds nothing");
}

/// Events that nobody wants cost nothing but the look for their end, wherever they are cut; those that are wanted are lent.
#[test]
fn an_event_of_a_pbx_is_read_without_allocating() {
    let unwanted = "Event: VarSet\r\nPrivilege: dialplan,all\r\nVariable: X\r\nValue: 1\r\n\r\n";
    let wanted = "Event: Hangup\r\nPrivilege: call,all\r\nCause: 16\r\n\r\n";
    let stream_of = |events: &str| events.repeat(1_000).into_bytes();
    let (unwanted, both) = (stream_of(unwanted), stream_of(&format!("{unwanted}{wanted}")));
    for (input, piece, messages) in
        [(&unwanted, 1_000, 0), (&unwanted, 7, 0), (&both, usize::MAX, 1_000), (&both, 1_000, 1_000)]
    {
        let mut stream = Stream::new(65_536);
        assert!(matches!(
            stream.next(&mut &b"Asterisk Call Manager/5.0.4\r\n"[..], |_| true),
            Framed::Banner(_)
        ));
        let mut come = 0;
        let counted = allocation_counter::measure(|| {
            for mut piece in input.chunks(piece) {
                loop {
                    match stream.next(&mut piece, |name| name != b"VarSet") {
                        Framed::More => break,
                        Framed::Message(message) => come += u64::from(message.get("Cause").is_some()),
                        other @ (Framed::Banner(_) | Framed::Skipped(_) | Framed::Stranger(_)) => {
                            panic!("{other:?}")
                        }
                    }
                }
            }
        });
        assert_eq!((come, stream.unwanted()), (messages, 1_000));
        // One buffer, which has grown once or twice, for what is cut.
        assert!(counted.count_total <= 4, "{} allocations", counted.count_total);
    }
}
