//! Readers that stop. They are cut at the bound, without a last chunk; nobody else notices, and nothing is lost below
//! the bound.

use super::peer::{Peer, get, value_after};
use super::replay::{large, summary};
use super::server::{Server, Subject};
use super::xms::{create, delete, digits, digits_to_end, instance, metric, open, open_on, publish};

/// Publishes until the server has cut a stream; how many events that took. Everybody in `others` gets each of them.
fn publish_until_cut(server: &Server, peer: &mut Peer, others: &mut [Peer], read: fn(&[u8]) -> u64) -> u64 {
    let mut next = 0;
    while !server.has_logged("was cut: its reader is too slow") {
        assert!(next < 5_000, "nobody was cut");
        publish(peer, &large(next));
        for other in &mut *others {
            assert_eq!(read(&other.chunk()), next);
        }
        next += 1;
    }
    next
}

/// X32: an XMS reader that stops is cut at the bound; what the kernel had not taken is replayed, the rest is counted.
pub fn slow_xms_reader(subject: &Subject) {
    const BOUND: u64 = 30;
    for shards in [1, 2] {
        let config = format!(
            "[xms]\nkeepalive = \"600s\"\nreplay = {{ events = {BOUND}, age = \"5m\" }}\n\
             [limits]\nsend_buffer_bytes = \"16KiB\"\n"
        );
        let server = subject.shards(shards, &config);
        let peer = &mut Peer::connect(server.address);
        let slow = create(peer, "<eventsubscribe/>");
        let mut stream = Peer::connect(server.address);
        rustix::net::sockopt::set_socket_recv_buffer_size(&stream.stream, 32_768).unwrap();
        open_on(&mut stream, &slow);
        let other = create(peer, "<eventsubscribe/>");
        let mut others = [open(&server, &other), open(&server, &other), open(&server, &other)];
        let published = publish_until_cut(&server, peer, &mut others, digits);
        assert_eq!(metric(peer, "offhook_streams_cut_total{dialect=\"xms\"}"), 1);

        let (first, whole) = digits_to_end(&mut stream);
        assert!(!whole, "X32: a cut stream has no last chunk");
        let taken = first.len() as u64;
        assert_eq!(first, (0..taken).collect::<Vec<_>>());
        assert!(published > taken + BOUND, "X32: cut before the bound: {taken} of {published} were taken");

        let mut stream = Peer::connect(server.address);
        stream.send(get(&instance(&slow)));
        let head = stream.head();
        let missed: u64 = head.field("Offhook-Missed").map_or(0, |n| n.parse().unwrap());
        stream.chunk();
        assert_eq!(missed, published - taken - BOUND, "X31: {}", head.raw);
        for number in published - BOUND..published {
            assert_eq!(digits(&stream.chunk()), number, "X30");
        }
        let found = summary(peer, &slow);
        assert_eq!(value_after(&found, "\"dropped\":"), missed.to_string(), "X44");
        assert_eq!(peer.ask(delete(&other)).status(), 204);
        for other in &mut others {
            assert_eq!(other.chunk(), super::peer::LAST_CHUNK);
        }
    }
}

/// A reader of Server-Sent Events is cut when what it has still to get is no longer retained; it resumes with a gap.
pub fn slow_sse_reader(subject: &Subject) {
    for shards in [1, 2] {
        let config =
            "[limits]\nsse_heartbeat_ms = \"1h\"\nsend_buffer_bytes = \"16KiB\"\nretained_events = 30\n";
        let server = subject.shards(shards, config);
        let peer = &mut Peer::connect(server.address);
        let mut stream = Peer::connect(server.address);
        rustix::net::sockopt::set_socket_recv_buffer_size(&stream.stream, 32_768).unwrap();
        let mut others = [Peer::connect(server.address), Peer::connect(server.address)];
        for reader in others.iter_mut().chain([&mut stream]) {
            reader.send(get("/v1/events"));
            assert_eq!(reader.head().status, 200);
            reader.chunk();
        }
        let seq = |chunk: &[u8]| -> u64 {
            let text = String::from_utf8_lossy(chunk).into_owned();
            text.split_once("id: ")
                .and_then(|(_, id)| id.split_once('-'))
                .unwrap()
                .1
                .lines()
                .next()
                .unwrap()
                .parse()
                .unwrap()
        };
        let published = publish_until_cut(&server, peer, &mut others, |chunk| {
            let text = String::from_utf8_lossy(chunk).into_owned();
            value_after(&text, "\"digits\":\"").parse().unwrap()
        });
        assert_eq!(metric(peer, "offhook_streams_cut_total{dialect=\"native\"}"), 1);
        let bytes = stream.rest();
        assert!(!bytes.ends_with(super::peer::LAST_CHUNK), "a cut stream has no last chunk");
        let text = String::from_utf8_lossy(&bytes);
        // The last event may be cut in two; the one before it is whole.
        let events: Vec<&str> = text.split("\n\n").filter(|event| event.contains("id: ")).collect();
        let last = &events[events.len() - 2];
        let id = last.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
        let from: u64 = id.split('-').nth(1).unwrap().parse().unwrap();

        let mut again = Peer::connect(server.address);
        again.send(super::peer::request("GET /v1/events", &format!("Last-Event-ID: {id}\r\n"), ""));
        again.head();
        again.chunk();
        let gap = String::from_utf8(again.chunk()).unwrap();
        assert!(gap.contains("event: gap\n"), "{gap}");
        let to: u64 = value_after(&gap, "\"to\":\"").split('-').nth(1).unwrap().parse().unwrap();
        let gap_from: u64 = value_after(&gap, "\"from\":\"").split('-').nth(1).unwrap().parse().unwrap();
        assert_eq!(gap_from, from + 1, "{gap}");
        let rest: Vec<u64> = (to..published).map(|_| seq(&again.chunk())).collect();
        assert_eq!(rest, (to + 1..=published).collect::<Vec<_>>());
        assert!(rest.len() <= 30, "{} events are retained", rest.len());
    }
}

/// Peers that stop in every state cost no time: no loop goes round for a full socket, an unread one, or one that is
/// half closed. The server's own time on a core is read while the heartbeats of a stream show that time passes.
pub fn stalled_peers_cost_nothing(subject: &Subject) {
    for shards in [1, 2] {
        let config = "[xms]\nkeepalive = \"600s\"\n[limits]\nsse_heartbeat_ms = 100\nsend_buffer_bytes = \"16KiB\"\n\
                      linger_ms = \"1h\"\nhead_ms = \"1h\"\nwrite_stall_ms = \"1h\"\nreply_bytes = \"4KiB\"\n";
        let server = subject.shards(shards, config);
        let peer = &mut Peer::connect(server.address);
        let id = create(peer, "<eventsubscribe/>");
        // Enough handlers that their list does not fit into the buffers of a socket.
        (0..600).for_each(|_| drop(create(peer, "<eventsubscribe type=\"tone\"/>")));
        let list = || get(super::xms::COLLECTION);
        let stalled = |send: &dyn Fn(&mut Peer)| -> Vec<Peer> {
            // Several of each, so that every shard has some.
            let mut all: Vec<Peer> = (0..4).map(|_| Peer::connect(server.address)).collect();
            for one in &mut all {
                rustix::net::sockopt::set_socket_recv_buffer_size(&one.stream, 4_096).unwrap();
                send(one);
            }
            all
        };
        let replies = get("/v1/xms/eventhandlers").repeat(20_000);
        let flood = |one: &mut Peer| {
            // More than all buffers hold: the server has stopped reading when this gives up.
            one.stream.set_write_timeout(Some(std::time::Duration::from_millis(100))).unwrap();
            one.try_send(&replies);
        };
        let held = [
            stalled(&|_| {}),
            stalled(&|one| one.send("GET /healthz HTTP/1.1\r\nHost: loc")),
            stalled(&|one| {
                one.send("POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n123");
                one.end();
            }),
            stalled(&|one| one.send("nonsense\r\n\r\nand what follows it")),
            stalled(&|one| open_on(one, &id)),
            stalled(&|one| one.send(get("/v1/events"))),
            stalled(&|one| one.send(list())),
            stalled(&|one| {
                one.send(list());
                one.end();
            }),
            stalled(&flood),
            stalled(&|one| {
                flood(one);
                one.end();
            }),
        ];
        for number in 0..100 {
            publish(peer, &large(number));
        }
        let mut clock = Peer::connect(server.address);
        clock.send(get("/v1/events?type=none"));
        clock.head();
        let (before, start) = (server.ran_ns(), std::time::Instant::now());
        (0..8).for_each(|_| drop(clock.chunk()));
        let (ran, passed) = (server.ran_ns() - before, start.elapsed().as_nanos());
        assert!(u128::from(ran) < passed / 4, "{shards} shards: {ran} ns of {passed} on a core, for nothing");
        drop(held);
        assert_eq!(peer.ask(get("/healthz")).status(), 200);
    }
}
