//! Two engines over one log: what one acknowledged the other knows, and it makes no difference which is asked.

use offhook_core::Config;
use offhook_tests::memory::write::{get, request};
use offhook_tests::memory::{Peer, World};
use proptest::prelude::*;

use crate::common::{
    COLLECTION, EVERYTHING, KEEPALIVE_XML, assert_xms_error, create, identifier, instance, listen_again,
    listen_on, one_each, post_handler, publish_on, put_handler, ringing, ringing_xml, xml,
};

fn two() -> World {
    World::with(Config::default(), 2)
}

fn ask(world: &mut World, shard: usize, request: Vec<u8>) -> offhook_tests::memory::read::Reply {
    let peer = world.connect_to(shard);
    let reply = world.ask(peer, request);
    world.break_off(peer);
    reply
}

fn listing(world: &mut World, shard: usize) -> String {
    ask(world, shard, get("/v1/xms/eventhandlers")).text().to_owned()
}

#[test]
fn what_one_has_acknowledged_the_other_never_denies() {
    for shard in [0, 1] {
        let mut world = two();
        let other = 1 - shard;
        // The records wait on their way until the other engine needs them.
        world.hold_records(other);
        let reply = ask(&mut world, shard, post_handler(EVERYTHING));
        let id = identifier(&reply);
        assert_eq!(ask(&mut world, other, get(&format!("{}&view=state", instance(&id)))).status, 200);
        let edits = "<eventsubscribe type=\"dtmf\"/>";
        let put = ask(&mut world, shard, put_handler(&id, edits));
        assert_eq!(ask(&mut world, other, put_handler(&id, edits)).text(), put.text());
        assert_eq!(
            ask(&mut world, other, get(COLLECTION)).text(),
            ask(&mut world, shard, get(COLLECTION)).text()
        );
        assert_eq!(ask(&mut world, shard, request("DELETE", &instance(&id), "", "")).status, 204);
        assert_xms_error(&ask(&mut world, other, get(&instance(&id))), 404);
        assert_xms_error(&ask(&mut world, other, request("DELETE", &instance(&id), "", "")), 404);
    }
}

#[test]
fn events_reach_the_streams_of_both_in_one_order() {
    let mut world = two();
    let id = create(&mut world, EVERYTHING);
    let streams = [listen_on(&mut world, 0, &id), listen_on(&mut world, 1, &id)];
    let readers: Vec<Peer> = (0..2)
        .map(|shard| {
            let peer = world.connect_to(shard);
            world.open(peer, get("/v1/events"));
            world.take(peer);
            peer
        })
        .collect();
    for n in 0..20 {
        publish_on(&mut world, n % 2, &[ringing(&n.to_string())]);
    }
    let expected: Vec<String> = (0..20).map(|n| ringing_xml(&n.to_string())).collect();
    for stream in streams {
        assert_eq!(xml(&mut world, stream), expected);
    }
    let texts = readers.iter().map(|peer| world.chunks(*peer).texts()).collect::<Vec<_>>();
    assert_eq!((texts[0].len(), &texts[0]), (20, &texts[1]), "the same ids and the same bytes");
}

#[test]
fn the_first_stream_gets_the_replay_whichever_engine_has_it() {
    for shard in [0, 1] {
        let mut world = two();
        let id = create(&mut world, EVERYTHING);
        publish_on(&mut world, 0, &[ringing("1"), ringing("2")]);
        world.hold_records(1 - shard);
        let (first, _, events) = listen_again(&mut world, shard, &id);
        assert_eq!(events, [ringing_xml("1"), ringing_xml("2")]);
        let (second, _, events) = listen_again(&mut world, 1 - shard, &id);
        assert_eq!(events, Vec::<String>::new());
        publish_on(&mut world, 1 - shard, &[ringing("3")]);
        world.release_records(1 - shard);
        assert_eq!((xml(&mut world, first).len(), xml(&mut world, second).len()), (1, 1));
        // Both leave; what comes then waits, and the other engine replays it.
        world.break_off(first);
        world.break_off(second);
        publish_on(&mut world, shard, &[ringing("4")]);
        let (_, head, events) = listen_again(&mut world, 1 - shard, &id);
        assert_eq!((head.field("offhook-missed"), events), (None, vec![ringing_xml("4")]));
    }
}

#[test]
fn of_two_streams_that_open_at_once_exactly_one_gets_the_replay() {
    let mut world = two();
    let id = create(&mut world, EVERYTHING);
    publish_on(&mut world, 0, &[ringing("1"), ringing("2")]);
    let peers = [world.connect_to(0), world.connect_to(1)];
    for peer in peers {
        world.queue(peer, get(&instance(&id)));
    }
    world.turn();
    let mut counts = peers.map(|peer| {
        let mut received = world.take(peer);
        offhook_tests::memory::read::take_head(&mut received).unwrap();
        one_each(&offhook_tests::memory::read::chunks(&received).chunks).len()
    });
    counts.sort_unstable();
    assert_eq!(counts, [1, 3]);
}

#[test]
fn a_stream_that_breaks_on_one_engine_goes_on_at_the_other() {
    let mut world = two();
    let id = create(&mut world, EVERYTHING);
    let mut stream = listen_on(&mut world, 0, &id);
    for n in 0..6u32 {
        world.limit_room(stream, 0);
        publish_on(&mut world, 0, &[ringing(&n.to_string()), ringing("x")]);
        world.hold_records(1);
        world.break_off(stream);
        let (next, _, events) = listen_again(&mut world, (n as usize + 1) % 2, &id);
        assert_eq!(events, [ringing_xml(&n.to_string()), ringing_xml("x")]);
        stream = next;
    }
}

#[test]
fn put_and_delete_at_one_engine_act_on_the_streams_of_both() {
    let mut world = two();
    let id = create(&mut world, "<eventsubscribe resource_id=\"1\"/>");
    let streams = [listen_on(&mut world, 0, &id), listen_on(&mut world, 1, &id)];
    let edits = "<eventsubscribe resource_id=\"2\"/><eventsubscribe action=\"remove\" resource_id=\"1\"/>";
    assert_eq!(ask(&mut world, 1, put_handler(&id, edits)).status, 200);
    publish_on(&mut world, 0, &[ringing("1"), ringing("2")]);
    for stream in streams {
        assert_eq!(xml(&mut world, stream), [ringing_xml("2")]);
    }
    publish_on(&mut world, 1, &[ringing("2")]);
    assert_eq!(ask(&mut world, 0, request("DELETE", &instance(&id), "", "")).status, 204);
    for stream in streams {
        let chunks = world.chunks(stream);
        assert_eq!((one_each(&chunks.chunks), chunks.ended), (vec![ringing_xml("2")], true));
        assert!(world.is_finished(stream));
        world.end(stream);
    }
    assert_eq!(listing(&mut world, 0), listing(&mut world, 1));
    assert_eq!(world.stats().connections_open, 0);
}

#[test]
fn a_delete_and_an_opening_at_once_leave_nothing_behind() {
    for first in [0, 1] {
        let mut world = two();
        let id = create(&mut world, EVERYTHING);
        let (opener, deleter) = (world.connect_to(first), world.connect_to(1 - first));
        world.queue(opener, get(&instance(&id)));
        world.queue(deleter, request("DELETE", &instance(&id), "", ""));
        world.turn();
        assert_eq!(world.next_reply(deleter).unwrap().status, 204);
        let reply = world.next_reply(opener).expect("a 404, or a stream that ends cleanly");
        match reply.status {
            200 => assert_eq!(reply.text().matches("keepalive").count(), 1),
            _ => assert_xms_error(&reply, 404),
        }
        world.break_off(opener);
        world.break_off(deleter);
        let stats = world.stats();
        assert_eq!(
            (stats.connections_open, stats.dialects.get("xms").map_or(0, |xms| xms.streams_open)),
            (0, 0)
        );
        assert_eq!(stats.xms_apps["app"].handlers, 0);
    }
}

#[test]
fn an_expiry_is_said_once_and_seen_by_both() {
    let mut config = Config::default();
    config.xms.idle_ms = 60_000;
    let mut world = World::with(config, 2);
    let ids: Vec<String> = (0..10).map(|_| create(&mut world, EVERYTHING)).collect();
    let before = world.records();
    world.pass(59_999);
    assert_eq!(world.records(), before);
    world.pass(1);
    assert_eq!(world.records(), before + 10, "one engine owns each expiry");
    for shard in [0, 1] {
        assert!(ask(&mut world, shard, get(COLLECTION)).text().contains("size=\"0\""));
        assert_xms_error(&ask(&mut world, shard, get(&instance(&ids[3]))), 404);
    }
}

#[test]
fn an_expiry_that_meets_an_opening_gives_way() {
    let mut config = Config::default();
    config.xms.idle_ms = 60_000;
    let mut world = World::with(config, 2);
    let ids: Vec<String> = (0..10).map(|_| create(&mut world, EVERYTHING)).collect();
    // Each engine gets requests for streams in the very turn in which the handlers fall due.
    world.pass(59_000);
    let peers: Vec<Peer> = (0..10).map(|n| world.connect_to(n % 2)).collect();
    for (peer, id) in peers.iter().zip(&ids) {
        world.queue(*peer, get(&instance(id)));
    }
    world.jump(1_000);
    for peer in peers {
        let mut received = world.take(peer);
        let head = offhook_tests::memory::read::take_head(&mut received).unwrap();
        if head.status == 200 {
            let chunks = offhook_tests::memory::read::chunks(&received);
            assert_eq!(one_each(&chunks.chunks), [KEEPALIVE_XML]);
            assert!(!chunks.ended, "a stream that was given is not taken away");
        } else {
            assert_eq!(head.status, 404);
        }
    }
    assert_eq!(ask(&mut world, 0, get(COLLECTION)).text(), ask(&mut world, 1, get(COLLECTION)).text());
}

#[test]
fn replies_wait_for_durability_on_both() {
    let mut world = two();
    world.hold_durability();
    let peers = [world.connect_to(0), world.connect_to(1)];
    for peer in peers {
        world.send(peer, post_handler(EVERYTHING));
    }
    assert!(peers.iter().all(|peer| world.received(*peer).is_empty()));
    world.release_durability();
    for peer in peers {
        assert_eq!(world.next_reply(peer).unwrap().status, 201);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Create(usize),
    Delete(usize, usize),
    Put(usize, usize, usize),
    Open(usize, usize),
    Break(usize),
    Publish(usize, usize),
    Hold(usize, bool),
    Room(usize, usize),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0usize..2).prop_map(Step::Create),
        1 => (0usize..2, 0usize..8).prop_map(|(shard, at)| Step::Delete(shard, at)),
        2 => (0usize..2, 0usize..8, 0usize..6).prop_map(|(shard, at, n)| Step::Put(shard, at, n)),
        4 => (0usize..2, 0usize..8).prop_map(|(shard, at)| Step::Open(shard, at)),
        2 => (0usize..8).prop_map(Step::Break),
        6 => (0usize..2, 1usize..5).prop_map(|(shard, count)| Step::Publish(shard, count)),
        2 => (0usize..2, any::<bool>()).prop_map(|(shard, held)| Step::Hold(shard, held)),
        3 => (0usize..8, 0usize..1_500).prop_map(|(at, room)| Step::Room(at, room)),
        1 => (0u64..30_000).prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever happens where, and however late records come: both engines tell the same, and their sums add up.
    #[test]
    fn both_tell_the_same(steps in steps()) {
        let mut config = Config::default();
        config.xms.replay_events = 8;
        config.xms.idle_ms = 60_000;
        let mut world = World::with(config, 2);
        let mut ids: Vec<String> = Vec::new();
        let mut streams: Vec<Peer> = Vec::new();
        let mut next = 0;
        let pick = |ids: &[String], at: usize| ids.get(at % ids.len().max(1)).cloned();
        for step in steps {
            match step {
                Step::Create(shard) => ids.push(identifier(&ask(&mut world, shard, post_handler(EVERYTHING)))),
                Step::Delete(shard, at) => if let Some(id) = pick(&ids, at) {
                    ask(&mut world, shard, request("DELETE", &instance(&id), "", ""));
                },
                Step::Put(shard, at, n) => if let Some(id) = pick(&ids, at) {
                    let action = if n % 2 == 0 { "add" } else { "remove" };
                    let edit = format!("<eventsubscribe action=\"{action}\" resource_id=\"{}\"/>", n / 2);
                    ask(&mut world, shard, put_handler(&id, &edit));
                },
                Step::Open(shard, at) => if let Some(id) = pick(&ids, at) {
                    let peer = world.connect_to(shard);
                    world.limit_room(peer, 300);
                    world.send(peer, get(&instance(&id)));
                    streams.push(peer);
                },
                Step::Break(at) => if !streams.is_empty() {
                    let peer = streams.remove(at % streams.len());
                    world.break_off(peer);
                },
                Step::Publish(shard, count) => {
                    let events: Vec<String> = (next..next + count).map(|n| ringing(&n.to_string())).collect();
                    next += count;
                    publish_on(&mut world, shard, &events);
                }
                Step::Hold(shard, true) => world.hold_records(shard),
                Step::Hold(shard, false) => world.release_records(shard),
                Step::Room(at, room) => if !streams.is_empty() {
                    let peer = streams[at % streams.len()];
                    world.give_room(peer, room);
                },
                Step::Pass(ms) => world.pass(ms),
            }
        }
        for peer in streams {
            world.break_off(peer);
        }
        world.release_records(0);
        world.release_records(1);
        prop_assert_eq!(listing(&mut world, 0), listing(&mut world, 1));
        let [first, second] = [0, 1].map(|shard| ask(&mut world, shard, get(COLLECTION)));
        prop_assert_eq!(first.text(), second.text());
        let page: serde_json::Value = serde_json::from_str(&listing(&mut world, 0)).unwrap();
        for entry in page["eventhandlers"].as_array().unwrap() {
            prop_assert_eq!(&entry["streams"], 0);
        }
        let stats = world.stats();
        prop_assert_eq!(stats.connections_open, 0);
        prop_assert_eq!(stats.dialects.get("xms").map_or(0, |xms| xms.streams_open), 0);
    }
}
