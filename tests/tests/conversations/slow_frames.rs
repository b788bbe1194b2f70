//! Frames stay whole whatever a socket takes at a time: events, keepalives, changes of the subscriptions, and ends.

use offhook_core::Config;
use offhook_tests::memory::read::{chunks, server_sent, take_head, xms_events};
use offhook_tests::memory::write::{get, request};
use offhook_tests::memory::{Peer, World};
use proptest::prelude::*;

use crate::common::{
    COLLECTION, EVERYTHING, KEEPALIVE_XML, create, instance, publish_all, put_handler, ringing, ringing_xml,
};

#[derive(Clone, Debug)]
enum Step {
    Publish(usize),
    Room(usize, usize),
    Pass(u64),
    /// The subscriptions become another pair of resource ids.
    Put(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1usize..8).prop_map(Step::Publish),
        8 => (0usize..4, prop_oneof![0usize..40, 0usize..900]).prop_map(|(at, room)| Step::Room(at, room)),
        2 => (0u64..15_000).prop_map(Step::Pass),
        1 => (0usize..4).prop_map(Step::Put),
    ];
    proptest::collection::vec(step, 1..80)
}

struct Streams {
    handler: String,
    xms: Peer,
    xms_old: Peer,
    sse: Peer,
    sse_old: Peer,
}

fn open_all(world: &mut World) -> Streams {
    let handler = create(world, EVERYTHING);
    let mut open = |target: &str, version: &str| {
        let peer = world.connect();
        world.limit_room(peer, 0);
        world.send(peer, format!("GET {target} HTTP/{version}\r\nHost: localhost\r\n\r\n"));
        peer
    };
    let target = instance(&handler);
    let (xms, xms_old) = (open(&target, "1.1"), open(&target, "1.0"));
    let (sse, sse_old) = (open("/v1/events", "1.1"), open("/v1/events", "1.0"));
    Streams { handler, xms, xms_old, sse, sse_old }
}

/// The content of a stream, taken out of its framing, and whether it ended cleanly.
fn content(world: &mut World, peer: Peer) -> (Vec<u8>, bool) {
    let mut received = world.take(peer);
    let head = take_head(&mut received).expect("the head of a stream");
    if head.field("transfer-encoding").is_none() {
        return (received, world.is_ended(peer));
    }
    let chunks = chunks(&received);
    assert!(chunks.rest.is_empty(), "no chunk is left open: {:?}", String::from_utf8_lossy(&chunks.rest));
    (chunks.content(), chunks.ended)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// Whatever room there is for each write, every stream can be taken apart, and holds every event once, in order.
    #[test]
    fn whatever_the_socket_takes_at_a_time(steps in steps(), one_write_per_event: bool, delete: bool) {
        let mut config = Config::default();
        config.xms.apps[0].one_write_per_event = one_write_per_event;
        let mut world = World::with(config, 1);
        let streams = open_all(&mut world);
        let peers = [streams.xms, streams.xms_old, streams.sse, streams.sse_old];
        let (mut published, mut wanted): (u64, Vec<String>) = (0, Vec::new());
        let mut subscribed: Option<usize> = None;
        for step in steps {
            match step {
                Step::Publish(count) => {
                    let ids: Vec<String> = (0..count).map(|n| (n % 5).to_string()).collect();
                    for id in &ids {
                        published += 1;
                        if subscribed.is_none_or(|n| [n, n + 1].iter().any(|m| m.to_string() == *id)) {
                            wanted.push(ringing_xml(id));
                        }
                    }
                    publish_all(&mut world, &ids.iter().map(|id| ringing(id)).collect::<Vec<_>>());
                }
                Step::Room(at, room) => world.give_room(peers[at], room),
                Step::Pass(ms) => world.pass(ms),
                Step::Put(n) => {
                    let remove = match subscribed {
                        None => "<eventsubscribe action=\"remove\"/>".to_owned(),
                        Some(old) => [old, old + 1]
                            .map(|id| format!("<eventsubscribe action=\"remove\" resource_id=\"{id}\"/>"))
                            .concat(),
                    };
                    let add = [n, n + 1].map(|id| format!("<eventsubscribe resource_id=\"{id}\"/>")).concat();
                    prop_assert_eq!(world.ask_alone(put_handler(&streams.handler, &(remove + &add))).status, 200);
                    subscribed = Some(n);
                }
            }
            prop_assume!(!peers.iter().any(|peer| world.is_closed(*peer)));
        }
        if delete {
            let reply = world.ask_alone(request("DELETE", &instance(&streams.handler), "", ""));
            prop_assert_eq!(reply.status, 204);
        }
        for peer in peers {
            // A last tug of a few bytes each, so that the end is cut as well.
            for room in [1, 2, 3, 5, 8, 13, 21] {
                world.give_room(peer, room);
            }
            world.lift_limit(peer);
        }
        for peer in [streams.xms, streams.xms_old] {
            let (content, ended) = content(&mut world, peer);
            let events: Vec<String> = xms_events(&content);
            prop_assert_eq!(&*events[0], KEEPALIVE_XML);
            let events: Vec<String> = events.into_iter().filter(|xml| xml != KEEPALIVE_XML).collect();
            prop_assert_eq!((&events, ended), (&wanted, delete));
        }
        for peer in [streams.sse, streams.sse_old] {
            let (content, ended) = content(&mut world, peer);
            let ids: Vec<String> = server_sent(&content).into_iter().filter_map(|event| event.id).collect();
            prop_assert_eq!((ids.len() as u64, ended), (published, false));
        }
    }

    /// Small bounds, so that streams are cut all the time: what came before a cut is whole, and never ends cleanly.
    #[test]
    fn a_cut_leaves_nothing_but_a_torn_frame(steps in steps(), events in 1u64..12, bytes in 500u64..4_000) {
        let mut config = Config::default();
        config.xms.replay_events = events;
        (config.limits.xms_arena_bytes, config.limits.retained_bytes) = (bytes, bytes);
        let mut world = World::with(config, 1);
        let streams = open_all(&mut world);
        let peers = [streams.xms, streams.xms_old, streams.sse, streams.sse_old];
        for step in steps {
            match step {
                Step::Publish(count) => publish_all(&mut world, &(0..count).map(|n| ringing(&n.to_string())).collect::<Vec<_>>()),
                Step::Room(at, room) => world.give_room(peers[at], room),
                Step::Pass(ms) => world.pass(ms),
                Step::Put(n) => {
                    let edit = format!("<eventsubscribe resource_id=\"{n}\"/>");
                    world.ask_alone(put_handler(&streams.handler, &edit));
                }
            }
        }
        for peer in [streams.xms, streams.sse] {
            let mut received = world.take(peer);
            if take_head(&mut received).is_none() {
                continue;
            }
            let chunks = chunks(&received);
            prop_assert!(!chunks.ended);
            if peer == streams.xms {
                crate::common::one_each(&chunks.chunks);
            } else {
                let ids: Vec<u64> = server_sent(&chunks.content())
                    .into_iter()
                    .filter_map(|event| event.id?.strip_prefix("a1-")?.parse().ok())
                    .collect();
                prop_assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
            }
        }
        prop_assert_eq!(world.ask_alone(get(COLLECTION)).status, 200);
    }
}
