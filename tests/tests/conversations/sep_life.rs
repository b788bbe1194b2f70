//! The life of SIP subscriptions: changes, ends, restarts, and engines that share them (sep.md 2.5).

use offhook_core::ground::id::Seq;
use offhook_core::ground::time::Wall;
use offhook_tests::memory::World;
use offhook_tests::memory::write::{get, request};

use crate::sep_common::*;

fn delete(world: &mut World, path: &str) {
    assert_eq!(world.ask_alone(request("DELETE", path, "", "")).status, 204);
}

#[track_caller]
fn last_call(world: &mut World, version: u64, ended: &str) {
    let (made, head) = one_call(world);
    assert_eq!(head.version(), version);
    let text = head.text();
    assert!(text.contains(&format!(" event=\"reg\" ended=\"{ended}\">")), "{text}");
    assert!(text.contains("state=\"terminated\" reason=\"timeout\"/>"), "{text}");
    assert!(!text.contains("state=\"active\""), "{text}");
    world.answer(&made, 200);
    assert!(world.take_calls().is_empty());
}

#[test]
fn s35_put_replaces_what_it_brings() {
    let mut world = world(1);
    let path = create(&mut world);
    tell_text(&mut world, &path, "bill is there");
    let (made, _) = one_call(&mut world);
    world.answer(&made, 200);
    let before = world.ask_alone(get(&path)).text().to_owned();
    let refresh = subscribe("", &[], "<expires>2026-01-02T02:00:00+02:00</expires>");
    let reply = world.ask_alone(xml("PUT", &path, &refresh));
    assert_eq!((reply.status, reply.field("content-type")), (200, Some("application/xml;charset=UTF-8")));
    let refreshed =
        before.replace("<expires>2026-01-01T01:02:41+00:00", "<expires>2026-01-02T00:00:00+00:00");
    assert_eq!(reply.text(), refreshed, "a plain refresh");
    // One URI stays with its state, one goes, one is new.
    let list = subscribe("reg", &["sip:ted@example.net", "sip:bill@example.com"], "");
    let text = world.ask_alone(xml("PUT", &path, &list)).text().to_owned();
    let ted = text.find("<resource uri=\"sip:ted@example.net\"/>").expect("it is new");
    let bill = text.find("<resource uri=\"sip:bill@example.com\"><instance").expect("it keeps its state");
    assert!(ted < bill && !text.contains("sip:joe@example.org") && text.contains("version=\"1\""), "{text}");
    assert!(text.contains(CALLBACK) && text.contains("2026-01-02T00:00:00"), "what is absent stays");
    assert!(world.take_calls().is_empty(), "no NOTIFY has told anything");
}

#[test]
fn s36_another_event_is_a_conflict() {
    let mut world = world(1);
    let path = create(&mut world);
    let before = world.kept_records().len();
    assert_error(&world.ask_alone(xml("PUT", &path, &subscribe("dialog", &[], ""))), 409, "dialog");
    let past = subscribe("reg", &[], "<expires>2009-06-01T18:00:00+00:00</expires>");
    assert_error(&world.ask_alone(xml("PUT", &path, &past)), 400, "past");
    let blocked = subscribe("reg", &[], "<notify url=\"http://10.0.0.1/\"/>");
    assert_error(&world.ask_alone(xml("PUT", &path, &blocked)), 403, "10.0.0.1");
    let form = request("PUT", &path, "Content-Type: text/plain\r\n", "x");
    assert_error(&world.ask_alone(form), 415, "text/xml");
    assert_eq!(world.kept_records().len(), before, "nothing was changed");
    assert_eq!(world.ask_alone(xml("PUT", &path, &subscribe("reg", &[], ""))).status, 200);
}

#[test]
fn s37_delete() {
    let mut world = world(2);
    let path = create(&mut world);
    tell_text(&mut world, &path, "bill is there");
    let (made, _) = one_call(&mut world);
    world.answer(&made, 200);
    delete(&mut world, &path);
    last_call(&mut world, 2, "deleted");
    for shard in 0..2 {
        for (method, body) in [("GET", ""), ("PUT", "<x/>"), ("DELETE", "")] {
            let peer = world.connect_to(shard);
            assert_error(&world.ask(peer, request(method, &path, "", body)), 410, "was deleted");
        }
    }
    assert!(!world.ask_alone(get(SEP)).text().contains("href"), "it is not listed");
    world.pass(3_600_000 - 1_000);
    assert_error(&world.ask_alone(get(&path)), 410, "was deleted");
    world.pass(2_000);
    for shard in 0..2 {
        let peer = world.connect_to(shard);
        assert_error(&world.ask(peer, get(&path)), 404, "no such subscription");
    }
    let removed = records_of(&world, "outbox").last().expect("changes").1.clone();
    assert!(removed.starts_with(b"{\"Removed\""), "its destination is gone as well");
    assert_eq!(world.stats().destinations["sep"].delivered, 2, "and stays counted");
}

#[test]
fn s38_expiry() {
    let mut world = world(2);
    let path = create(&mut world);
    tell_text(&mut world, &path, "bill is there");
    let (made, _) = one_call(&mut world);
    world.answer(&made, 200);
    world.pass(3_600_000);
    let put = subscribe("", &[], "<expires>2026-01-01T01:30:00Z</expires>");
    assert_eq!(world.ask_alone(xml("PUT", &path, &put)).status, 200);
    world.pass(1_800_000 - 1);
    assert_eq!(world.ask_alone(get(&path)).status, 200);
    world.pass(1);
    last_call(&mut world, 2, "expired");
    assert_error(&world.ask_alone(get(&path)), 410, "has expired");
    world.pass(3_600_001);
    assert_error(&world.ask_alone(get(&path)), 404, "no such");
}

#[test]
fn a_last_callback_is_tried_until_nothing_is_known_any_more() {
    let mut world = world(1);
    world.close_port(CALLBACK_ADDRESS);
    let path = create(&mut world);
    tell_text(&mut world, &path, "one");
    delete(&mut world, &path);
    world.pass(3_600_001);
    assert_eq!(world.stats().dead_letters, 2);
    let dead = world.ask_alone(get("/v1/dead-letters")).text().to_owned();
    assert!(dead.contains("its destination was removed"), "{dead}");
}

#[test]
fn replies_leave_when_they_are_durable() {
    let mut world = world(2);
    world.hold_durability();
    let peer = world.connect_to(1);
    world.send(peer, xml("POST", SEP, &subscribe("reg", &["sip:a@b"], "")));
    assert!(world.next_reply(peer).is_none());
    world.release_durability();
    let path = path_of(&world.next_reply(peer).expect("a reply"));
    // What one engine has acknowledged, any other shows.
    for shard in 0..2 {
        let peer = world.connect_to(shard);
        assert_eq!(world.ask(peer, get(&path)).status, 200);
    }
}

#[test]
fn a_put_that_comes_after_the_end() {
    let mut world = world(2);
    let path = create(&mut world);
    let peers = [world.connect_to(1), world.connect_to(0)];
    world.queue(peers[0], request("DELETE", &path, "", ""));
    world.queue(peers[1], xml("PUT", &path, &subscribe("reg", &["sip:x@y"], "")));
    world.turn();
    let statuses = peers.map(|peer| world.next_reply(peer).expect("a reply").status);
    assert!(matches!(statuses, [204, 410 | 200]), "{statuses:?}");
    assert_error(&world.ask_alone(get(&path)), 410, "deleted");
}

#[test]
fn a_restart_shows_the_last_state_at_once() {
    for retired in [false, true] {
        let mut world = world(2);
        let path = create(&mut world);
        let ended = create(&mut world);
        tell_text(&mut world, &path, "before");
        let put = subscribe("", &["sip:bill@example.com", "sip:ted@example.net"], "");
        assert_eq!(world.ask_alone(xml("PUT", &path, &put)).status, 200);
        delete(&mut world, &ended);
        let calls = world.take_calls();
        assert_eq!(calls.len(), 2);
        world.answer(&calls[1], 200);
        world.answer(&calls[0], 500);
        if retired {
            let last = world.kept_records().last().expect("records").0;
            world.retire(Seq(last.0 - 1));
        }
        tell_text(&mut world, &path, "after");
        let shown = world.ask_alone(get(&path)).text().to_owned();
        assert!(shown.contains("after") && shown.contains("sip:ted@example.net"), "{shown}");
        world.restart(config());
        for shard in 0..2 {
            let peer = world.connect_to(shard);
            assert_eq!(world.ask(peer, get(&path)).text(), shown, "retired: {retired}");
            let peer = world.connect_to(shard);
            assert_error(&world.ask(peer, get(&ended)), 410, "deleted");
        }
        // What waited still comes, in its order.
        world.pass(1_500);
        for version in 1..=2 {
            let (made, head) = one_call(&mut world);
            assert_eq!(head.version(), version, "retired: {retired}");
            world.answer(&made, 200);
        }
        // It expires as it would have, and is forgotten.
        let ends = Wall::from_rfc3339("2026-01-01T01:02:41Z").expect("a date");
        world.pass(ends.since(world.now().wall));
        let (made, head) = one_call(&mut world);
        // After a start versions jump: no number of before a crash is given twice.
        assert!(head.version() == 1_003 && head.text().contains("ended=\"expired\""), "{}", head.text());
        world.answer(&made, 200);
        assert_error(&world.ask_alone(get(&path)), 410, "expired");
        world.pass(3_600_001);
        for path in [&path, &ended] {
            assert_error(&world.ask_alone(get(path)), 404, "no such");
        }
    }
}

#[test]
fn no_version_is_given_twice_however_often_the_server_starts() {
    for retired in [false, true] {
        let mut world = world(1);
        let path = create(&mut world);
        tell_text(&mut world, &path, "bill is there");
        let (made, _) = one_call(&mut world);
        world.answer(&made, 200);
        for _ in 0..2 {
            // What was told of it in this life may be lost, and its callback may have left.
            world.restart(config());
            if retired {
                let last = world.kept_records().last().expect("records").0;
                world.retire(Seq(last.0 - 1));
            }
        }
        delete(&mut world, &path);
        last_call(&mut world, 2_002, "deleted");
    }
}

#[test]
fn what_ended_while_the_server_was_down() {
    let mut world = world(1);
    let path = create(&mut world);
    tell_text(&mut world, &path, "bill is there");
    let (made, _) = one_call(&mut world);
    world.answer(&made, 200);
    world.set_wall(Wall(world.now().wall.0 + 4_000_000));
    world.restart(config());
    world.pass(1);
    last_call(&mut world, 1_002, "expired");
    assert_error(&world.ask_alone(get(&path)), 410, "expired");
}
