//! Readers that stop: they are cut at their bounds without a clean end, nobody else notices, and they can come back.

use offhook_core::Config;
use offhook_tests::memory::read::{chunks, server_sent};
use offhook_tests::memory::write::{get, publish, request};
use offhook_tests::memory::{Peer, World};

use crate::common::{
    EVERYTHING, KEEPALIVE, create, frame, instance, listen, listen_again, one_each, publish_all, put_handler,
    ringing, ringing_xml, xml,
};

fn numbered(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| ringing(&n.to_string())).collect()
}

fn numbered_xml(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| ringing_xml(&n.to_string())).collect()
}

fn cut(world: &World, dialect: &str) -> u64 {
    world.stats().dialects.get(dialect).map_or(0, |dialect| dialect.streams_cut)
}

/// Nothing but the beginning of a frame lies behind the whole ones, and no last chunk.
fn assert_torn(world: &mut World, peer: Peer) -> Vec<Vec<u8>> {
    let received = chunks(&world.take(peer));
    assert!(!received.ended, "a stream that is cut has no final chunk");
    received.chunks
}

#[test]
fn x32_a_reader_that_stops_is_cut_beyond_a_thousand_events() {
    let mut world = World::new();
    let id = create(&mut world, EVERYTHING);
    let stuck = listen(&mut world, &id);
    let other = create(&mut world, EVERYTHING);
    let well = listen(&mut world, &other);
    world.limit_room(stuck, 2 * frame(&ringing_xml("1000")).len() + 50);
    publish_all(&mut world, &numbered(1_000..2_002));
    assert!(!world.is_closed(stuck), "two are sent, a thousand wait");
    let publisher = world.connect();
    let reply = world.ask(publisher, publish(ringing("2002")));
    assert_eq!(reply.status, 202, "the publisher is not delayed");
    assert!(world.is_closed(stuck) && !world.is_finished(stuck));
    assert_eq!(one_each(&assert_torn(&mut world, stuck)), numbered_xml(1_000..1_002));
    assert_eq!((cut(&world, "xms"), xml(&mut world, well)), (1, numbered_xml(1_000..2_003)));
    // What the kernel had not taken whole is replayed, and what is beyond the bound is said.
    let (again, head, events) = listen_again(&mut world, 0, &id);
    assert_eq!((head.field("offhook-missed"), events.len()), (Some("1"), 1_000));
    assert_eq!(events, numbered_xml(1_003..2_003));
    publish_all(&mut world, &numbered(2_003..2_004));
    assert_eq!(xml(&mut world, again), numbered_xml(2_003..2_004));
}

#[test]
fn x32_a_reader_that_stops_is_cut_after_five_minutes() {
    let mut world = World::new();
    let id = create(&mut world, EVERYTHING);
    let stuck = listen(&mut world, &id);
    let well = listen(&mut world, &id);
    world.limit_room(stuck, 10);
    publish_all(&mut world, &numbered(0..3));
    world.pass(299_999);
    assert!(!world.is_closed(stuck));
    world.pass(1);
    assert!(world.is_closed(stuck) && !world.is_finished(stuck));
    assert_eq!(assert_torn(&mut world, stuck).len(), 0);
    assert!(!world.is_closed(well));
}

/// Taking a byte now and then is no reading: what waits may be five minutes old, and no older.
#[test]
fn x32_a_reader_that_drips_is_cut_by_the_age_of_what_waits() {
    let mut world = World::new();
    let id = create(&mut world, EVERYTHING);
    let stream = listen(&mut world, &id);
    world.limit_room(stream, 0);
    publish_all(&mut world, &numbered(0..100));
    for _ in 0..40 {
        world.pass(10_000);
        world.give_room(stream, 1);
    }
    assert!(world.is_closed(stream), "after 400 s of 300 s");
}

/// The same while others publish, as on every server that is in use.
#[test]
fn x32_a_reader_that_drips_is_cut_while_events_go_on() {
    let mut world = World::new();
    let id = create(&mut world, EVERYTHING);
    let stream = listen(&mut world, &id);
    world.limit_room(stream, 0);
    for n in 0..40 {
        publish_all(&mut world, &numbered(n..n + 1));
        world.pass(10_000);
        world.give_room(stream, 1);
    }
    assert!(world.is_closed(stream));
    assert_eq!(assert_torn(&mut world, stream).len(), 0);
    let (_, head, events) = listen_again(&mut world, 0, &id);
    // The youngest is 10 s old, and those of the last five minutes are kept.
    assert_eq!((head.field("offhook-missed"), events), (Some("11"), numbered_xml(11..40)));
}

#[test]
fn a_reader_that_is_slow_but_keeps_up_is_not_cut() {
    let mut world = World::new();
    let id = create(&mut world, EVERYTHING);
    let stream = listen(&mut world, &id);
    world.limit_room(stream, 0);
    let length = frame(&ringing_xml("1000")).len();
    for n in 0..100 {
        publish_all(&mut world, &numbered(1_000 + 20 * n..1_020 + 20 * n));
        for _ in 0..20 {
            world.pass(1_000);
            world.give_room(stream, length + 10);
        }
    }
    world.lift_limit(stream);
    let events = xml(&mut world, stream);
    let numbered = numbered_xml(1_000..3_000);
    assert!(events.iter().filter(|xml| !xml.contains("keepalive")).eq(&numbered));
}

#[test]
fn x32_a_reader_that_the_arena_overtakes_is_cut() {
    let length = frame(&ringing_xml("100")).len() as u64;
    let mut config = Config::default();
    config.limits.xms_arena_bytes = 20 * length;
    let mut world = World::with(config, 1);
    let id = create(&mut world, EVERYTHING);
    let (stuck, well) = (listen(&mut world, &id), listen(&mut world, &id));
    world.limit_room(stuck, 10);
    publish_all(&mut world, &numbered(100..120));
    assert!(!world.is_closed(stuck));
    publish_all(&mut world, &numbered(120..121));
    assert!(world.is_closed(stuck) && !world.is_closed(well));
    assert_eq!(assert_torn(&mut world, stuck).len(), 0);
    assert_eq!(xml(&mut world, well), numbered_xml(100..121));
}

/// In the turn in which its frames are overwritten a stream changes its feed, or ends: it is cut, not continued in
/// the middle of another frame.
#[test]
fn x32_an_overtaken_stream_is_never_continued_with_a_hole() {
    let length = frame(&ringing_xml("100")).len();
    for delete in [false, true] {
        for half in [0, 10, length - 1, length, length + 9] {
            let mut config = Config::default();
            config.limits.xms_arena_bytes = 20 * length as u64;
            let mut world = World::with(config, 1);
            let id = create(&mut world, EVERYTHING);
            let stuck = listen(&mut world, &id);
            world.limit_room(stuck, half);
            publish_all(&mut world, &numbered(100..105));
            let (publisher, editor) = (world.connect(), world.connect());
            world.queue(publisher, publish(format!("[{}]", numbered(200..240).join(","))));
            let change = if delete {
                request("DELETE", &instance(&id), "", "")
            } else {
                put_handler(&id, "<eventsubscribe type=\"dtmf\"/>")
            };
            world.queue(editor, change);
            world.turn();
            assert_eq!(world.next_reply(publisher).unwrap().status, 202);
            world.lift_limit(stuck);
            // The reader panics on bytes that are no chunks, and on chunks that are no events.
            let whole = one_each(&assert_torn(&mut world, stuck));
            assert_eq!(
                whole,
                numbered_xml(100..100 + (half / length) as u32),
                "delete: {delete}, {half} bytes"
            );
            assert!(world.is_closed(stuck) && !world.is_finished(stuck));
        }
    }
}

/// What was sent ends exactly where the next event of its own was overwritten.
#[test]
fn x32_a_narrow_stream_that_is_overtaken_is_cut_and_not_continued_with_a_hole() {
    let length = frame(&ringing_xml("100")).len();
    let mut config = Config::default();
    config.limits.xms_arena_bytes = 6 * length as u64;
    let mut world = World::with(config, 1);
    let id = create(&mut world, "<eventsubscribe resource_id=\"777\"/>");
    create(&mut world, EVERYTHING);
    let stream = listen(&mut world, &id);
    world.limit_room(stream, length);
    publish_all(
        &mut world,
        &[ringing("777"), ringing("100"), ringing("777"), ringing("777"), ringing("100")],
    );
    assert_eq!(xml(&mut world, stream), [ringing_xml("777")]);
    // The first own event that waits is overwritten, the second is not.
    publish_all(&mut world, &numbered(200..204));
    world.lift_limit(stream);
    assert!(world.is_closed(stream) && world.received(stream).is_empty());
    let (_, head, events) = listen_again(&mut world, 0, &id);
    assert_eq!((head.field("offhook-missed"), events), (Some("1"), vec![ringing_xml("777")]));
}

#[test]
fn many_readers_that_stop_cost_a_bounded_time_and_bounded_memory() {
    let mut config = Config::default();
    config.xms.replay_events = 100;
    config.limits.retained_bytes = 50_000;
    let mut world = World::with(config, 1);
    let mut stuck = Vec::new();
    for _ in 0..100 {
        let id = create(&mut world, EVERYTHING);
        let peer = listen(&mut world, &id);
        world.limit_room(peer, 0);
        stuck.push(peer);
    }
    let other = create(&mut world, EVERYTHING);
    let well = listen(&mut world, &other);
    for batch in 0..20 {
        publish_all(&mut world, &numbered(batch * 50..batch * 50 + 50));
        assert!(world.stats().retained_bytes <= 50_000);
    }
    assert_eq!(xml(&mut world, well), numbered_xml(0..1_000));
    assert!(stuck.iter().all(|peer| world.is_closed(*peer)));
    assert_eq!((cut(&world, "xms"), world.stats().connections_open), (100, 1));
}

#[test]
fn a_full_socket_gets_no_keepalives_on_top() {
    let mut world = World::new();
    let id = create(&mut world, EVERYTHING);
    let stream = listen(&mut world, &id);
    world.limit_room(stream, 5);
    publish_all(&mut world, &numbered(0..1));
    world.pass(200_000);
    world.lift_limit(stream);
    assert_eq!(world.take(stream), frame(&ringing_xml("0")).as_bytes());
    world.pass(10_000);
    assert_eq!(world.take(stream), KEEPALIVE.as_bytes());
}

fn sse(world: &mut World, target: &str) -> Peer {
    let peer = world.connect();
    assert_eq!(world.open(peer, get(target)).status, 200);
    world.take(peer);
    peer
}

#[test]
fn an_sse_reader_that_takes_nothing_for_a_minute_is_cut_and_can_resume() {
    let mut world = World::new();
    let (stuck, well) = (sse(&mut world, "/v1/events"), sse(&mut world, "/v1/events"));
    world.limit_room(stuck, 300);
    publish_all(&mut world, &numbered(0..5));
    world.pass(59_999);
    assert!(!world.is_closed(stuck));
    world.pass(1);
    assert!(world.is_closed(stuck) && !world.is_finished(stuck) && !world.is_closed(well));
    assert_eq!(cut(&world, "native"), 1);
    let seen = assert_torn(&mut world, stuck);
    let last = server_sent(&seen.concat()).pop().unwrap().id.unwrap();
    let again = sse_after(&mut world, &last);
    assert_eq!(seen.len() + again.len(), 5);
}

/// What a reader that comes back gets, `retry` aside.
fn sse_after(world: &mut World, id: &str) -> Vec<String> {
    let peer = world.connect();
    world.open(peer, request("GET", "/v1/events", &format!("Last-Event-ID: {id}\r\n"), ""));
    world.chunks(peer).texts().split_off(1)
}

#[test]
fn an_sse_reader_that_is_overtaken_is_cut_and_told_of_the_gap() {
    let mut config = Config::default();
    config.limits.retained_events = 10;
    let mut world = World::with(config, 1);
    let (stuck, well) = (sse(&mut world, "/v1/events"), sse(&mut world, "/v1/events"));
    world.limit_room(stuck, 300);
    for n in 0..11 {
        publish_all(&mut world, &numbered(n..n + 1));
    }
    assert!(!world.is_closed(stuck), "its next ten are kept");
    for n in 11..30 {
        publish_all(&mut world, &numbered(n..n + 1));
    }
    assert!(world.is_closed(stuck));
    let seen = server_sent(&assert_torn(&mut world, stuck).concat());
    assert_eq!((seen.len(), world.chunks(well).chunks.len()), (1, 30));
    let again = sse_after(&mut world, &seen[0].id.clone().unwrap());
    assert_eq!(again.len(), 11);
    assert_eq!(
        again[0],
        "event: gap\ndata: {\"from\":\"a1-2\",\"to\":\"a1-20\",\"reason\":\"no longer retained\"}\n\n"
    );
}

#[test]
fn an_sse_reader_of_a_narrow_filter_is_not_cut_for_what_it_does_not_want() {
    let mut config = Config::default();
    config.limits.retained_events = 10;
    let mut world = World::with(config, 1);
    let narrow = sse(&mut world, "/v1/events?subject=call/none");
    world.limit_room(narrow, 0);
    publish_all(&mut world, &numbered(0..100));
    world.pass(1_000);
    assert!(!world.is_closed(narrow));
    world.lift_limit(narrow);
    publish_all(&mut world, &[ringing("none")]);
    assert_eq!(world.chunks(narrow).chunks.len(), 1);
}

#[test]
fn a_resume_that_is_overtaken_is_cut_and_can_resume() {
    let mut config = Config::default();
    (config.limits.retained_events, config.limits.resume_step_events) = (20, 2);
    let mut world = World::with(config, 1);
    publish_all(&mut world, &numbered(0..20));
    let peer = world.connect();
    world.limit_room(peer, 400);
    world.send(peer, get("/v1/events?last_event_id=a1-0"));
    publish_all(&mut world, &numbered(20..100));
    assert!(world.is_closed(peer));
    let mut received = world.take(peer);
    offhook_tests::memory::read::take_head(&mut received).unwrap();
    assert!(!chunks(&received).ended);
}

/// One request may bring more events than a stream may lag: a reader with room for all of them gets all of them, also
/// where others' events lie between its own.
#[test]
fn a_burst_beyond_the_bound_does_not_cut_a_reader_that_reads() {
    let mut world = World::new();
    let narrow = create(&mut world, "<eventsubscribe resource_id=\"mine\"/>");
    let all = create(&mut world, EVERYTHING);
    let (narrow, all) = (listen(&mut world, &narrow), listen(&mut world, &all));
    let events: Vec<String> =
        (0..4_000).map(|n| ringing(if n % 2 == 0 { "mine" } else { "other" })).collect();
    publish_all(&mut world, &events);
    assert_eq!(xml(&mut world, all).len(), 4_000);
    assert!(!world.is_closed(narrow), "the reader is not slow");
    assert_eq!(xml(&mut world, narrow).len(), 2_000);
}
