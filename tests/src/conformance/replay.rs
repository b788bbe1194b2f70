//! What happens to an eventhandler's events while no stream takes them, and to handlers that nobody wants.

use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;

use super::QUIET;
use super::peer::{Peer, get, value_after};
use super::server::{Server, Subject};
use super::transcript::Transcript;
use super::xms::{
    COLLECTION, create, delete, digits, digits_to_end, dtmf, instance, metric, open, open_on, publish,
};

/// The server counts whole milliseconds, so a second of its clock may be a little shorter than one of ours.
const ALMOST_A_SECOND: Duration = Duration::from_millis(998);

/// An event of about 8 KiB with a number.
pub(super) fn large(number: u64) -> String {
    let filler = "x".repeat(8_000);
    format!(r#"{{"type":"call.dtmf","subject":"call/1","data":{{"digits":"{number}","filler":"{filler}"}}}}"#)
}

/// The entry of one eventhandler in the operators' list.
pub(super) fn summary(peer: &mut Peer, id: &str) -> String {
    let text = peer.ask(get("/v1/xms/eventhandlers")).text();
    let start = text.find(id).unwrap_or_else(|| panic!("{id} is not in {text}"));
    text[start..].split(id).nth(1).unwrap().to_owned()
}

fn number(summary: &str, name: &str) -> u64 {
    value_after(summary, &format!("\"{name}\":")).parse().unwrap()
}

/// Waits until the server has noticed that the streams of a handler are gone.
fn wait_until_closed(peer: &mut Peer, id: &str) {
    let start = Instant::now();
    while number(&summary(peer, id), "streams") > 0 {
        assert!(start.elapsed() < super::server::PATIENCE, "the stream's end was not noticed");
    }
}

/// X30: after a broken connection a new GET brings what the kernel had not taken whole, in order and without loss; on
/// one shard and on two.
pub fn replay_after_a_broken_connection(subject: &Subject) {
    const EVENTS: u64 = 100;
    for shards in [1, 2] {
        let server = subject.shards(shards, &format!("{QUIET}send_buffer_bytes = \"16KiB\"\n"));
        let peer = &mut Peer::connect(server.address);

        // The peer ends its side while the socket is full. What the kernel took is still delivered, so the new stream
        // goes on exactly there.
        let (id, mut stream) = stalled(&server, peer, EVENTS);
        stream.end();
        let (first, whole) = digits_to_end(&mut stream);
        assert!(!whole, "X30: no last chunk for a stream that broke");
        assert!(first.len() < EVENTS as usize, "the socket was not full");
        assert_eq!(
            second_stream(&server, peer, &id),
            (first.len() as u64..EVENTS).collect::<Vec<_>>(),
            "X30"
        );

        // A reset destroys what the kernel had taken: that counts as sent. The rest comes, in order.
        let (id, mut stream) = stalled(&server, peer, EVENTS);
        let read: Vec<u64> = (0..5).map(|_| digits(&stream.chunk())).collect();
        assert_eq!(read, [0, 1, 2, 3, 4]);
        set_socket_linger(&stream.stream, Some(Duration::ZERO)).unwrap();
        drop(stream);
        let second = second_stream(&server, peer, &id);
        let from = second[0];
        assert!((5..EVENTS).contains(&from), "X30: the replay starts at {from}");
        assert_eq!(second, (from..EVENTS).collect::<Vec<_>>(), "X30");

        // A stream that had everything leaves nothing to replay.
        let id = create(peer, "<eventsubscribe/>");
        let mut stream = open(&server, &id);
        publish(peer, &dtmf("1", 7));
        assert_eq!(digits(&stream.chunk()), 7);
        drop(stream);
        assert!(second_stream(&server, peer, &id).is_empty());
    }
}

/// A stream whose socket is full.
fn stalled(server: &Server, peer: &mut Peer, events: u64) -> (String, Peer) {
    let id = create(peer, "<eventsubscribe/>");
    let mut stream = Peer::connect(server.address);
    rustix::net::sockopt::set_socket_recv_buffer_size(&stream.stream, 32_768).unwrap();
    open_on(&mut stream, &id);
    for number in 0..events {
        publish(peer, &large(number));
    }
    (id, stream)
}

/// What a new stream of a handler replays; it ends by DELETE.
fn second_stream(server: &Server, peer: &mut Peer, id: &str) -> Vec<u64> {
    wait_until_closed(peer, id);
    let mut stream = open(server, id);
    assert_eq!(peer.ask(delete(id)).status(), 204);
    let (all, whole) = digits_to_end(&mut stream);
    assert!(whole);
    all
}

/// X31: beyond the bound the oldest go, and the next GET says how many.
pub fn replay_bounds(subject: &Subject) {
    let config = "[xms]\nkeepalive = \"600s\"\nreplay = { events = 5, age = \"5m\" }\n";
    let server = subject.server(config);
    let peer = &mut Peer::connect(server.address);
    let mut t = Transcript::new("replay_bounds");
    let id = create(peer, "<eventsubscribe/>");
    for number in 1..=8 {
        publish(peer, &dtmf("1", number));
    }
    let mut stream = Peer::connect(server.address);
    t.title("X31: eight events where five are kept");
    t.open(&mut stream, get(&instance(&id)));
    t.chunks(&mut stream, 6);
    drop(stream);
    wait_until_closed(peer, &id);
    t.title("X31: none missed the next time, and no header");
    publish(peer, &dtmf("1", 9));
    let mut stream = Peer::connect(server.address);
    t.open(&mut stream, get(&instance(&id)));
    t.chunks(&mut stream, 2);
    t.check();
    let found = summary(peer, &id);
    let counted = ["matched", "sent", "replayed", "dropped", "pending"].map(|name| number(&found, name));
    assert_eq!(counted, [9, 0, 6, 3, 0], "X44: {found}");
}

/// X31: events that are too old are dropped as well.
pub fn replay_ages(subject: &Subject) {
    let server = subject.server("[xms]\nkeepalive = \"600s\"\nreplay = { age = \"1s\" }\n");
    let peer = &mut Peer::connect(server.address);
    let id = create(peer, "<eventsubscribe/>");
    let start = Instant::now();
    publish(peer, &dtmf("1", 1));
    while number(&summary(peer, &id), "pending") > 0 {
        assert!(start.elapsed() < super::server::PATIENCE, "an old event is still kept");
    }
    assert!(start.elapsed() >= ALMOST_A_SECOND, "X31: an event was dropped early");
    publish(peer, &dtmf("1", 2));
    let mut stream = Peer::connect(server.address);
    stream.send(get(&instance(&id)));
    assert_eq!(stream.head().field("Offhook-Missed"), Some("1"), "X31");
    stream.chunk();
    assert_eq!(digits(&stream.chunk()), 2);
}

/// X40: a handler without a stream goes after the configured time and not before; one with a stream stays.
pub fn idle_handlers_expire(subject: &Subject) {
    for shards in [1, 2] {
        let server = subject.shards(shards, "[xms]\nidle = \"1s\"\n");
        let peer = &mut Peer::connect(server.address);
        let start = Instant::now();
        let idle: Vec<String> = (0..4).map(|_| create(peer, "<eventsubscribe/>")).collect();
        let busy = create(peer, "<eventsubscribe/>");
        let mut stream = open(&server, &busy);
        let mut list = peer.ask(get(COLLECTION)).text();
        while list.contains("size=\"5\"") {
            assert!(start.elapsed() < super::server::PATIENCE, "X40: idle handlers stay: {list}");
            list = peer.ask(get(COLLECTION)).text();
        }
        assert!(start.elapsed() >= ALMOST_A_SECOND, "X40: a handler went early");
        while !list.contains("size=\"1\"") {
            assert!(start.elapsed() < super::server::PATIENCE, "X40: idle handlers stay: {list}");
            list = peer.ask(get(COLLECTION)).text();
        }
        assert!(list.contains(&busy));
        assert_eq!(peer.ask(get(&instance(&idle[0]))).status(), 404);
        publish(peer, &dtmf("1", 1));
        assert_eq!(digits(&stream.chunk()), 1);
    }
}

/// X44: sent, replayed and dropped events add up to those that matched, per handler and per application.
pub fn counters_add_up(subject: &Subject) {
    for shards in [1, 2] {
        let server =
            subject.shards(shards, "[xms]\nkeepalive = \"600s\"\nreplay = { events = 10, age = \"5m\" }\n");
        let peer = &mut Peer::connect(server.address);
        let ids =
            ["<eventsubscribe/>", "<eventsubscribe type=\"dtmf\"/>", "<eventsubscribe type=\"hangup\"/>"]
                .map(|subscriptions| create(peer, subscriptions));
        let mut next = 0;
        let mut publish_some = |peer: &mut Peer, count: u64| {
            for _ in 0..count {
                publish(peer, &dtmf("1", next));
                next += 1;
            }
        };
        publish_some(peer, 13);
        let mut streams: Vec<Peer> = ids.iter().map(|id| open(&server, id)).collect();
        publish_some(peer, 7);
        for stream in &mut streams[..2] {
            assert_eq!(
                (0..17).map(|_| digits(&stream.chunk())).collect::<Vec<_>>(),
                (3..20).collect::<Vec<_>>()
            );
        }
        drop(streams);
        ids.iter().for_each(|id| wait_until_closed(peer, id));
        publish_some(peer, 4);
        for (id, expected) in ids.iter().zip([[24, 7, 10, 3, 4], [24, 7, 10, 3, 4], [0; 5]]) {
            let found = summary(peer, id);
            let counted =
                ["matched", "sent", "replayed", "dropped", "pending"].map(|name| number(&found, name));
            assert_eq!(counted, expected, "X44: {shards} shards: {found}");
        }
        let counted = ["matched", "sent", "replayed", "dropped"]
            .map(|name| metric(peer, &format!("offhook_xms_events_{name}_total{{appid=\"app\"}}")));
        assert_eq!(counted, [48, 14, 20, 6], "X44: {shards} shards");
    }
}
