//! Eventhandlers over a restart (X41): ids, subscriptions and what waits; streams that were open go on where the log was
//! last told; and nothing of that hangs on records that have left the log.

use offhook_core::{Config, Seq};
use offhook_tests::memory::World;
use offhook_tests::memory::write::{get, request};

use crate::common::{
    EVERYTHING, create, instance, listen, listen_again, publish_all, put_handler, ringing, ringing_xml, xml,
};

fn publish_numbered(world: &mut World, range: std::ops::Range<u32>) {
    let all: Vec<String> = range.map(|n| ringing(&n.to_string())).collect();
    publish_all(world, &all);
}

fn numbered_xml(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| ringing_xml(&n.to_string())).collect()
}

/// Everything that the log holds leaves it.
fn retire_all(world: &mut World) {
    let all = Seq(world.records());
    world.retire(all);
}

#[test]
fn x41_ids_subscriptions_and_waiting_events_stay() {
    for retire in [false, true] {
        let mut world = World::keeping(Config::default(), 2);
        let all = create(&mut world, EVERYTHING);
        let some =
            create(&mut world, "<eventsubscribe resource_id=\"3\"/><eventsubscribe resource_id=\"7\"/>");
        let gone = create(&mut world, EVERYTHING);
        publish_numbered(&mut world, 0..10);
        world.ask_alone(put_handler(&some, "<eventsubscribe resource_id=\"7\" action=\"remove\"/>"));
        assert_eq!(world.ask_alone(request("DELETE", &instance(&gone), "", "")).status, 204);
        publish_numbered(&mut world, 0..10);
        let before = world.ask_alone(get("/default/eventhandlers?appid=app")).body;
        if retire {
            retire_all(&mut world);
            publish_numbered(&mut world, 20..22);
        }
        world.restart(Config::default());
        assert_eq!(world.ask_alone(get("/default/eventhandlers?appid=app")).body, before, "{retire}");
        assert_eq!(world.ask_alone(get(&instance(&gone))).status, 404);
        let (_, head, events) = listen_again(&mut world, 1, &all);
        let mut expected =
            if retire { Vec::new() } else { [numbered_xml(0..10), numbered_xml(0..10)].concat() };
        if retire {
            // The events themselves have left the log, but for those that came after.
            expected = numbered_xml(20..22);
        }
        assert_eq!(events, expected, "{retire}");
        assert_eq!(head.field("offhook-missed"), retire.then_some("20"));
        let (_, _, events) = listen_again(&mut world, 0, &some);
        let expected: Vec<String> = ["3", "7", "3"].iter().map(|call| ringing_xml(call)).collect();
        assert_eq!(events, if retire { Vec::new() } else { expected }, "{retire}");
    }
}

#[test]
fn x41_an_open_stream_goes_on_where_the_log_was_told() {
    for retire in [false, true] {
        let mut world = World::keeping(Config::default(), 1);
        let id = create(&mut world, EVERYTHING);
        let stream = listen(&mut world, &id);
        publish_numbered(&mut world, 0..5);
        assert_eq!(xml(&mut world, stream), numbered_xml(0..5));
        world.pass(1_500);
        if retire {
            retire_all(&mut world);
        }
        publish_numbered(&mut world, 5..7);
        assert_eq!(xml(&mut world, stream), numbered_xml(5..7));
        world.restart(Config::default());
        let (stream, head, events) = listen_again(&mut world, 0, &id);
        // The crash came before the log heard of the last two: they come twice, and none is lost.
        assert_eq!((events, head.field("offhook-missed")), (numbered_xml(5..7), None), "{retire}");
        publish_numbered(&mut world, 7..8);
        assert_eq!(xml(&mut world, stream), numbered_xml(7..8));
    }
}

#[test]
fn x41_a_stream_that_was_closed_cleanly_repeats_nothing() {
    let mut world = World::keeping(Config::default(), 2);
    let id = create(&mut world, EVERYTHING);
    let stream = listen(&mut world, &id);
    publish_numbered(&mut world, 0..5);
    world.pass(5_000);
    publish_numbered(&mut world, 5..7);
    world.break_off(stream);
    publish_numbered(&mut world, 7..9);
    world.restart(Config::default());
    let (_, _, events) = listen_again(&mut world, 1, &id);
    assert_eq!(events, numbered_xml(7..9));
}

#[test]
fn x41_a_deleted_eventhandler_does_not_come_back_by_being_said_anew() {
    let mut world = World::keeping(Config::default(), 2);
    let id = create(&mut world, EVERYTHING);
    let last = Seq(world.records());
    world.hold_records(0);
    world.hold_records(1);
    // Said anew by its owner, while its deletion stands in the log already and was not applied.
    let peer = world.connect_to(0);
    world.queue(peer, request("DELETE", &instance(&id), "", ""));
    world.retire(last);
    world.release_records(0);
    world.release_records(1);
    world.restart(Config::default());
    assert_eq!(world.ask_alone(get(&instance(&id))).status, 404);
}

#[test]
fn x42_idle_time_starts_anew_with_the_server() {
    let mut world = World::keeping(Config::default(), 1);
    let id = create(&mut world, EVERYTHING);
    let stream = listen(&mut world, &id);
    world.pass(23 * 3_600_000);
    world.restart(Config::default());
    let _ = stream;
    world.pass(23 * 3_600_000);
    assert_eq!(world.ask_alone(get(&format!("{}&view=state", instance(&id)))).status, 200);
    world.pass(2 * 3_600_000);
    assert_eq!(world.ask_alone(get(&format!("{}&view=state", instance(&id)))).status, 404);
}
