//! The life of iSymphony's websockets: pings, frames in pieces and broken ones, slow readers that are told what they
//! missed, and the end. The numbers are those of its checklist; what all websockets have in common is in `websocket`.

use offhook_core::ground::stats::NotSent;
use offhook_core::{Completion, Config};
use offhook_tests::memory::ws::Frame;
use offhook_tests::memory::{Peer, World};

use crate::common::publish_all;
use crate::isymphony::{BEGINNING_MS, config, event, events, listen};

/// Lets dial events alone through.
const DIAL: &str = r#"{"type":"filter","filters":[{"property":"type","value":"dial"}]}"#;

/// Events with the numbers `range`.
fn numbered(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|n| event("x", &format!("\"n\":{n}"))).collect()
}

/// The same, as [`events`] returns them.
fn told(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|n| format!(r#"{{"n":{n},"type":"x"}}"#)).collect()
}

/// A notice that so many events were missed, as [`events`] returns it.
fn missed(count: u64) -> String {
    format!(r#"{{"count":{count},"type":"eventsDropped"}}"#)
}

fn closes(world: &mut World, peer: Peer) -> u16 {
    world.close_frame(peer).0
}

/// A config in which so few events may wait.
fn with_backlog(events: u64) -> Config {
    let mut config = config();
    config.limits.isymphony_backlog_events = events;
    config
}

#[test]
fn i30_pings_and_a_client_without_pongs() {
    for (ping_ms, silence_ms) in [(30_000, 60_000), (10_000, 25_000)] {
        let mut config = config();
        (config.isymphony.ping_ms, config.isymphony.silence_ms) = (ping_ms, silence_ms);
        assert!(
            (ping_ms, silence_ms) != (30_000, 60_000) || Config::default().isymphony.silence_ms == 60_000
        );
        let mut world = World::with(config, 1);
        let (answers, silent) = (listen(&mut world), listen(&mut world));
        let mut passed = 0;
        while passed + ping_ms < silence_ms {
            world.pass(ping_ms - 1);
            assert!(world.frames(silent).is_empty());
            world.pass(1);
            passed += ping_ms;
            assert_eq!(world.frames(silent), [Frame::Ping(Vec::new())]);
            world.send_pong(answers, "");
        }
        world.pass(silence_ms - passed - 1);
        assert!(world.frames(silent).is_empty());
        world.pass(1);
        assert_eq!(closes(&mut world, silent), 1011);
        world.frames(answers);
        publish_all(&mut world, &numbered(0..1));
        assert_eq!(world.texts(answers).len(), 1, "who answers stays");
    }
}

#[test]
fn i29_frames_that_are_no_messages() {
    let mut world = World::with(config(), 1);
    let (bytes, torn, long) = (listen(&mut world), listen(&mut world), listen(&mut world));
    world.send_binary(bytes, DIAL);
    let answer = format!(
        r#"{{"correlationId":null,"error":"send text frames","time":{BEGINNING_MS},"type":"error"}}"#
    );
    assert_eq!(world.texts(bytes), [answer]);
    world.send_frame(torn, 0x81, b"{\"type\":\"\xFF\"}");
    assert_eq!(closes(&mut world, torn), 1007);
    let longest = DIAL.to_owned() + &" ".repeat(65_536 - DIAL.len());
    world.send_text(long, &longest);
    assert_eq!(world.texts(long).len(), 1);
    world.send_text(long, longest + " ");
    assert_eq!(closes(&mut world, long), 1009);
    publish_all(&mut world, &[event("call.hangup", "")]);
    assert_eq!(events(&mut world, bytes).len(), 1, "and the connection is as it was");
}

#[test]
fn i34_a_message_in_pieces_with_a_ping_between() {
    let mut world = World::with(config(), 1);
    let peer = listen(&mut world);
    let (first, rest) = DIAL.split_at(20);
    let (second, third) = rest.split_at(1);
    world.send_frame(peer, 0x01, first);
    world.send_ping(peer, "?");
    assert_eq!(world.frames(peer), [Frame::Pong(b"?".to_vec())]);
    world.send_frame(peer, 0x00, second);
    publish_all(&mut world, &[event("call.hangup", ""), event("call.dial", "")]);
    assert_eq!(events(&mut world, peer).len(), 2, "half a message says nothing");
    world.send_frame(peer, 0x80, third);
    assert!(world.texts(peer)[0].ends_with(r#""type":"success"}"#));
    publish_all(&mut world, &[event("call.hangup", ""), event("call.dial", "")]);
    assert_eq!(events(&mut world, peer).len(), 1);
}

#[test]
fn i31_a_slow_reader_is_told_how_many_it_missed() {
    let mut world = World::with(config(), 1);
    let (slow, well) = (listen(&mut world), listen(&mut world));
    world.limit_room(slow, 0);
    publish_all(&mut world, &numbered(0..1_000));
    publish_all(&mut world, &numbered(1_000..1_017));
    assert_eq!(events(&mut world, well), told(0..1_017), "others lose none");
    world.lift_limit(slow);
    let expected = [vec![missed(17)], told(17..1_017)].concat();
    assert_eq!(events(&mut world, slow), expected);
    // From here on it loses none.
    publish_all(&mut world, &numbered(0..3));
    assert_eq!(events(&mut world, slow), told(0..3));
    assert_eq!(world.stats().dialects["isymphony"].not_sent[&NotSent::SlowReader], 17);
}

/// What waits for it was pushed out of memory by events for others; then it changes its filters.
#[test]
fn i31_a_slow_reader_that_speaks_is_told_as_well() {
    let mut config = config();
    config.limits.isymphony_arena_bytes = 20_000;
    let mut world = World::with(config, 1);
    let slow = listen(&mut world);
    world.send_text(slow, DIAL);
    assert_eq!(world.texts(slow).len(), 1);
    listen(&mut world);
    world.limit_room(slow, 0);
    publish_all(&mut world, &[event("call.dial", ""), event("call.dial", "")]);
    publish_all(&mut world, &vec![event("x", &format!("\"t\":\"{}\"", "t".repeat(1_000))); 100]);
    world.send_text(slow, r#"{"type":"filter","filters":[]}"#);
    world.lift_limit(slow);
    publish_all(&mut world, &numbered(0..1));
    let texts = world.texts(slow);
    assert_eq!(texts.len(), 3, "{texts:?}");
    assert!(texts[0].contains(r#""count":2"#) && texts[1].contains("success"), "{texts:?}");
}

/// It skips ahead while its socket is full, and before it was told of that it changes its filters, or is closed.
#[test]
fn i31_nothing_follows_what_a_slow_reader_missed_before_the_notice() {
    for closes_instead in [false, true] {
        let mut world = World::with(with_backlog(3), 1);
        let slow = listen(&mut world);
        world.limit_room(slow, 0);
        publish_all(&mut world, &numbered(0..4));
        publish_all(&mut world, &numbered(4..5));
        if closes_instead {
            world.pass(60_000);
            world.lift_limit(slow);
            assert_eq!(closes(&mut world, slow), 1013);
        } else {
            world.send_text(slow, DIAL);
            world.lift_limit(slow);
            let texts = world.texts(slow);
            assert!(texts.len() == 5 && texts[0].contains(r#""count":2"#), "{texts:?}");
        }
    }
}

/// A reload that leaves no user opens the door to nobody; who is in stays in.
#[test]
fn whoever_came_in_before_the_users_went_stays() {
    let mut world = World::with(config(), 1);
    let peer = listen(&mut world);
    world.tell(|| Completion::Reloaded(Box::default()));
    publish_all(&mut world, &numbered(0..2));
    assert_eq!(events(&mut world, peer), told(0..2));
}

#[test]
fn i31_no_event_is_lost_without_a_notice_wherever_the_socket_was_full() {
    for room in 0..300 {
        let mut world = World::with(with_backlog(3), 1);
        let slow = listen(&mut world);
        world.limit_room(slow, room);
        for n in 0..10 {
            publish_all(&mut world, &numbered(n..n + 1));
        }
        world.lift_limit(slow);
        publish_all(&mut world, &numbered(10..11));
        let mut next = 0;
        for text in events(&mut world, slow) {
            match text.strip_prefix(r#"{"count":"#) {
                Some(rest) => {
                    next += rest.split(',').next().and_then(|n| n.parse::<u64>().ok()).expect("a count")
                }
                None => {
                    assert_eq!(text, told(next..next + 1)[0], "room for {room}");
                    next += 1;
                }
            }
        }
        assert_eq!(next, 11, "room for {room}");
    }
}

#[test]
fn i31_bytes_are_a_bound_as_well() {
    let mut config = config();
    config.limits.isymphony_backlog_bytes = 10_000;
    let mut world = World::with(config, 1);
    let slow = listen(&mut world);
    world.limit_room(slow, 0);
    let large: Vec<String> =
        (0..30).map(|n| event("x", &format!(r#""n":{n},"text":"{}""#, "t".repeat(1_000)))).collect();
    let (last, before) = large.split_last().expect("thirty");
    publish_all(&mut world, before);
    publish_all(&mut world, std::slice::from_ref(last));
    world.lift_limit(slow);
    let got = events(&mut world, slow);
    assert_eq!((got.len(), &got[0]), (10, &missed(21)), "a notice and nine of about 1,100 bytes");
    assert!(got[9].starts_with(r#"{"n":29,"#));
}

/// The notice passes all filters, and stands where the events are missing.
#[test]
fn i31_the_notice_and_filters() {
    let mut world = World::with(with_backlog(2), 1);
    let slow = listen(&mut world);
    world.send_text(slow, DIAL);
    assert_eq!(world.texts(slow).len(), 1);
    world.limit_room(slow, 0);
    for n in 0..5 {
        publish_all(&mut world, &[event("call.hangup", ""), event("call.dial", &format!("\"n\":{n}"))]);
    }
    world.lift_limit(slow);
    let got = events(&mut world, slow);
    assert_eq!((got.len(), &got[0]), (3, &missed(3)), "what its filters keep away is not missed");
    assert!(got[2].contains("\"n\":4,"), "{got:?}");
}

#[test]
fn i31_the_notice_can_be_switched_off() {
    let mut config = with_backlog(2);
    config.isymphony.dropped_notice = false;
    let mut world = World::with(config, 1);
    let slow = listen(&mut world);
    world.limit_room(slow, 0);
    publish_all(&mut world, &numbered(0..4));
    publish_all(&mut world, &numbered(4..5));
    world.lift_limit(slow);
    assert_eq!(events(&mut world, slow), told(3..5));
    assert_eq!(world.stats().dialects["isymphony"].not_sent[&NotSent::SlowReader], 3);
}

#[test]
fn a_client_that_reads_nothing_is_closed_with_1013() {
    let mut world = World::with(config(), 1);
    let (slow, well) = (listen(&mut world), listen(&mut world));
    world.limit_room(slow, 10);
    publish_all(&mut world, &numbered(0..1));
    world.pass(30_000);
    // It lives, but it does not read.
    world.send_pong(slow, "");
    world.send_pong(well, "");
    world.pass(29_999);
    world.lift_limit(well);
    publish_all(&mut world, &numbered(1..2));
    world.pass(1);
    world.lift_limit(slow);
    let frames = world.frames(slow);
    assert!(
        matches!(&frames[..], [Frame::Text(_), Frame::Text(_), Frame::Close(Some(1013), _)]),
        "{frames:?}"
    );
    assert!(!world.frames(well).iter().any(|frame| matches!(frame, Frame::Close(..))));
}

#[test]
fn more_than_a_hundred_messages_in_ten_seconds_are_too_many() {
    let mut world = World::with(config(), 1);
    let peer = listen(&mut world);
    for _ in 0..100 {
        world.send_text(peer, "no JSON");
    }
    assert_eq!(world.texts(peer).len(), 100);
    world.send_text(peer, DIAL);
    assert_eq!(closes(&mut world, peer), 1008);
}

#[test]
fn i32_a_server_that_stops_says_so() {
    let mut world = World::with(config(), 2);
    let peers =
        [0, 0, 1].map(|shard| world.websocket_to(shard, crate::isymphony::EVENTS, crate::isymphony::MANAGER));
    world.tell(|| Completion::Stop);
    for peer in peers {
        assert_eq!(closes(&mut world, peer), 1001);
        world.send_close(peer, 1001, "");
        world.end(peer);
    }
    assert!(world.is_drained());
}
