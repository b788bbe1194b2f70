//! Websockets behind TLS: nothing of them differs from plain ones, also where the socket is full in the middle of a record.

use std::io::Write as _;

use offhook_core::ground::stats::NotSent;
use offhook_core::{Completion, Config};
use offhook_tests::memory::World;
use offhook_tests::memory::write::{get, publish};
use offhook_tests::memory::ws::{Frame, masked, take_frame, upgrade};
use proptest::prelude::*;

use crate::certificates::Signed;
use crate::isymphony::{EVENTS, MANAGER, config, event};
use crate::tls_client::{Client, Serves, TLS12, TLS13, connected, ours, shake, trusting};

/// The config of a listener with this certificate and the user `manager`.
fn served(signed: &Signed) -> Config {
    Config { listeners: Serves::with(&[signed]).config().listeners, ..config() }
}

/// Opens a websocket of the manager.
fn listen(world: &mut World, client: &mut Client) {
    client.say(world, upgrade(EVENTS, MANAGER));
    world.finish_checks();
    client.talk(world).expect("records");
    let end = client.plain.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head") + 4;
    let head: Vec<u8> = client.plain.drain(..end).collect();
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
}

fn frames(client: &mut Client) -> Vec<Frame> {
    std::iter::from_fn(|| take_frame(&mut client.plain)).collect()
}

/// The number in an event, or how many a notice says are missing.
#[derive(Debug, PartialEq)]
enum Said {
    Event(u64),
    Missing(u64),
}

fn said(frames: Vec<Frame>) -> Vec<Said> {
    let member = |text: &str, name: &str| -> Option<u64> {
        let (_, rest) = text.split_once(&format!("\"{name}\":"))?;
        rest.split([',', '}']).next()?.parse().ok()
    };
    let read = |frame| match frame {
        Frame::Text(text) if text.contains("eventsDropped") => member(&text, "count").map(Said::Missing),
        Frame::Text(text) => member(&text, "n").map(Said::Event),
        Frame::Ping(_) => None,
        other => panic!("{other:?}"),
    };
    frames.into_iter().filter_map(read).collect()
}

fn numbered(n: u64, len: usize) -> String {
    event("x", &format!("\"n\":{n},\"text\":\"{}\"", "t".repeat(len)))
}

#[test]
fn i33_the_path_is_the_same_with_tls() {
    let (authority, signed) = ours();
    for version in [TLS12, TLS13] {
        let mut world = World::with(served(&signed), 1);
        let (mut client, outcome) = shake(&mut world, trusting(&authority, None, version), "h.example");
        outcome.expect("a handshake");
        listen(&mut world, &mut client);
        let mut publisher = connected(&mut world, &authority);
        for event in [numbered(0, 1), numbered(1, 20_000)] {
            assert_eq!(publisher.ask(&mut world, publish(event)).status, 202);
        }
        client.talk(&mut world).expect("records");
        assert_eq!(said(frames(&mut client)), [Said::Event(0), Said::Event(1)]);
        // A ping in a record of its own, in one with a close, and in pieces.
        client.piece = 3;
        client.say(&mut world, masked(0x89, [1, 2, 3, 4], b"one"));
        let both = [masked(0x89, [0; 4], b"two"), masked(0x88, [9; 4], &[0x03, 0xE8])].concat();
        client.say(&mut world, both);
        let pong = |text: &str| Frame::Pong(text.as_bytes().to_vec());
        assert_eq!(frames(&mut client), [pong("one"), pong("two"), Frame::Close(Some(1000), String::new())]);
        assert!(client.ended && world.is_ended(client.peer), "the end of TLS is said behind the Close");
    }
}

/// Frames that come in the record of the upgrade itself are heard.
#[test]
fn frames_right_behind_the_upgrade() {
    let (authority, signed) = ours();
    let mut world = World::with(served(&signed), 1);
    let mut client = connected(&mut world, &authority);
    let both = [upgrade(EVENTS, MANAGER), masked(0x89, [1, 2, 3, 4], b"early")].concat();
    client.say(&mut world, both);
    world.finish_checks();
    client.talk(&mut world).expect("records");
    let end = client.plain.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head") + 4;
    client.plain.drain(..end);
    assert_eq!(frames(&mut client), [Frame::Pong(b"early".to_vec())]);
}

#[test]
fn a_stop_closes_with_1001() {
    let (authority, signed) = ours();
    let mut world = World::with(served(&signed), 1);
    let mut client = connected(&mut world, &authority);
    listen(&mut world, &mut client);
    world.tell(|| Completion::Stop);
    client.talk(&mut world).expect("records");
    let frames = frames(&mut client);
    assert!(matches!(&frames[..], [Frame::Close(Some(1001), _)]), "{frames:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// However little the socket takes at a time, events come in order, what is missing is told where it is missing, and
    /// pongs stand between frames.
    #[test]
    fn i31_with_tls_no_event_is_lost_without_a_notice(
        steps in prop::collection::vec((0..6000_usize, 0..5_u32, 0..3000_usize, any::<bool>()), 1..24),
    ) {
        let (authority, signed) = ours();
        let mut config = served(&signed);
        config.limits.isymphony_backlog_events = 3;
        let mut world = World::with(config, 1);
        let mut slow = connected(&mut world, &authority);
        listen(&mut world, &mut slow);
        let mut publisher = connected(&mut world, &authority);
        world.limit_room(slow.peer, 0);
        let (mut published, mut pings, mut heard, mut pongs) = (0, 0, Vec::new(), 0);
        for (room, count, len, asks) in steps {
            for _ in 0..count {
                publisher.ask(&mut world, publish(numbered(published, len)));
                published += 1;
            }
            if asks {
                slow.conn.writer().write_all(&masked(0x89, [1; 4], b"?")).expect("memory");
                slow.send_sealed(&mut world);
                pings += 1;
            }
            world.give_room(slow.peer, room);
        }
        world.lift_limit(slow.peer);
        publisher.ask(&mut world, publish(numbered(published, 1)));
        slow.talk(&mut world).expect("records");
        for frame in frames(&mut slow) {
            match frame {
                Frame::Pong(text) if text == b"?" => pongs += 1,
                other => heard.push(other),
            }
        }
        prop_assert!(slow.plain.is_empty(), "no half a frame");
        prop_assert_eq!(pongs, pings);
        let (mut next, mut missing) = (0, 0);
        for said in said(heard) {
            match said {
                Said::Missing(count) => {
                    next += count;
                    missing += count;
                }
                Said::Event(n) => {
                    prop_assert_eq!(n, next);
                    next += 1;
                }
            }
        }
        prop_assert_eq!(next, published + 1);
        let not_sent = world.stats().dialects["isymphony"].not_sent.get(&NotSent::SlowReader).copied();
        prop_assert_eq!(not_sent.unwrap_or_default(), missing);
    }
}

/// `GET` without an upgrade is told so, as without TLS.
#[test]
fn a_request_before_the_upgrade() {
    let (authority, signed) = ours();
    let mut world = World::with(served(&signed), 1);
    let mut client = connected(&mut world, &authority);
    assert_eq!(client.ask(&mut world, get(EVENTS)).status, 426);
    listen(&mut world, &mut client);
}
