//! Callbacks of SIP subscriptions (sep.md 2.6): what they carry, their order, and what their answers mean.

use offhook_core::hub::action::Level;
use offhook_tests::memory::World;
use offhook_tests::memory::write::{get, request};
use serde_json::{Value, json};

use crate::sep_common::*;

fn answer(world: &mut World, status: u16) {
    let (made, _) = one_call(world);
    world.answer(&made, status);
}

fn read(world: &mut World, target: &str) -> Value {
    let reply = world.ask_alone(get(target));
    assert_eq!(reply.status, 200, "{}", reply.text());
    serde_json::from_slice(&reply.body).expect("JSON")
}

#[test]
fn s30_each_change_makes_one_callback() {
    let mut world = world(1);
    let path = create(&mut world);
    assert!(world.take_calls().is_empty(), "none for version 0");
    for version in 1..=3 {
        tell_text(&mut world, &path, &format!("state {version}"));
        let (made, head) = one_call(&mut world);
        assert_eq!(head.line, "POST /hook?a=b HTTP/1.1");
        assert_eq!(head.field("host"), Some("192.0.2.5:8081"));
        assert_eq!(head.field("content-type"), Some("application/xml;charset=UTF-8"));
        assert_eq!(head.version(), version);
        assert!(head.text().contains("fullState=\"true\""));
        assert!(head.text().contains(&format!("<![CDATA[state {version}]]>")), "{}", head.text());
        assert!(head.text().contains("<resource uri=\"sip:joe@example.org\"/>"), "it stands alone");
        assert_eq!(head.text(), world.ask_alone(get(&path)).text(), "the document that GET shows");
        world.answer(&made, 200 + u16::try_from(version).unwrap());
    }
    assert!(world.take_calls().is_empty());
    assert_eq!(read(&mut world, "/v1/deliveries")["deliveries"], json!([]));
}

#[test]
fn without_a_notify_url_the_client_polls() {
    let mut world = world(1);
    let path = create_with(&mut world, &subscribe("reg", &["sip:bill@example.com"], ""));
    tell_text(&mut world, &path, "hello");
    assert!(world.take_calls().is_empty() && world.ask_alone(get(&path)).text().contains("hello"));
    // A PUT brings one, another moves it.
    for (url, line) in [(CALLBACK, "POST /hook?a=b"), ("http://192.0.2.5:8081/other", "POST /other")] {
        let put = subscribe("", &[], &format!("<notify url=\"{url}\"/>"));
        assert!(world.ask_alone(xml("PUT", &path, &put)).text().contains(url));
        tell_text(&mut world, &path, url);
        let (made, head) = one_call(&mut world);
        assert!(head.line.starts_with(line), "{}", head.line);
        world.answer(&made, 200);
    }
}

#[test]
fn s31_a_repeat_has_the_same_delivery_id() {
    let mut world = world(1);
    let path = create(&mut world);
    tell_text(&mut world, &path, "one");
    let (made, first) = one_call(&mut world);
    assert_eq!(first.field("content-location"), Some(&*format!("http://localhost{path}")));
    let id = first.field("offhook-delivery-id").unwrap().to_owned();
    assert!(id.parse::<uuid::Uuid>().is_ok(), "{id}");
    world.answer(&made, 500);
    world.pass(1_001);
    let (made, again) = one_call(&mut world);
    assert_eq!(again.field("offhook-delivery-id"), Some(&*id));
    assert_eq!((again.version(), again.text()), (1, first.text()));
    world.answer(&made, 200);
    tell_text(&mut world, &path, "two");
    let (_, next) = one_call(&mut world);
    assert!(next.field("offhook-delivery-id") != Some(&*id) && next.version() == 2);
}

#[test]
fn s32_a_failing_callback_keeps_the_order() {
    let mut world = world(1);
    let path = create(&mut world);
    for text in ["one", "two", "three"] {
        tell_text(&mut world, &path, text);
    }
    // One at a time; the delay doubles.
    for (status, delay_ms) in [(500, 1_000), (404, 2_000), (503, 4_000), (301, 8_000)] {
        let (made, head) = one_call(&mut world);
        assert_eq!(head.version(), 1);
        world.answer(&made, status);
        assert!(world.take_calls().is_empty());
        world.pass(delay_ms - 1);
        assert!(world.take_calls().is_empty(), "after {status}");
        world.pass(1);
    }
    // No answer within 15 s is a failure, too.
    let (made, head) = one_call(&mut world);
    assert_eq!(head.version(), 1);
    world.pass(15_000);
    assert!(world.is_closed(made.peer));
    world.pass(16_000);
    for version in 1..=3 {
        let (made, head) = one_call(&mut world);
        assert_eq!(head.version(), version);
        world.answer(&made, 204);
    }
    assert!(world.take_calls().is_empty());
}

#[test]
fn s32_what_is_given_up_is_a_dead_letter() {
    let mut config = config();
    config.outbox.retry.give_up_after_ms = 5_000;
    let mut world = world_with(config, 1);
    let path = create(&mut world);
    tell_text(&mut world, &path, "one");
    let waiting = read(&mut world, "/v1/deliveries");
    let id = path.rsplit('/').next().unwrap();
    assert_eq!(waiting["deliveries"][0]["destination"], format!("sep/{id}"));
    assert_eq!(waiting["deliveries"][0]["request"], format!("POST {CALLBACK}"));
    for _ in 0..3 {
        answer(&mut world, 500);
        world.pass(4_001);
        if world.stats().dead_letters > 0 {
            break;
        }
    }
    let dead = read(&mut world, "/v1/dead-letters");
    let letter = &dead["dead_letters"][0];
    assert_eq!((&letter["kind"], &letter["reason"]), (&json!("sep"), &json!("the answer was 500")));
    assert_eq!(letter["event"]["subject"], format!("subscription/{id}"));
    let whole = read(&mut world, &format!("/v1/dead-letters/{}", letter["id"].as_str().unwrap()));
    assert!(whole["body"]["data"]["content"].as_str().unwrap().contains("<![CDATA[one]]>"), "{whole}");
    // The queue goes on, and the dead letter can be sent again.
    tell_text(&mut world, &path, "two");
    answer(&mut world, 200);
    let redrive = json("POST", "/v1/dead-letters/redrive", &json!({"all": true}));
    assert_eq!(world.ask_alone(redrive).status, 200);
    let (made, head) = one_call(&mut world);
    assert_eq!((head.version(), head.field("offhook-delivery-id")), (1, letter["id"].as_str()));
    world.answer(&made, 200);
}

#[test]
fn s33_a_callback_that_wants_no_more_ends_the_subscription() {
    for shards in [1, 3] {
        let mut world = world(shards);
        let path = create(&mut world);
        tell_text(&mut world, &path, "one");
        tell_text(&mut world, &path, "two");
        answer(&mut world, 410);
        assert!(world.take_calls().is_empty(), "what waited is dead");
        for (method, body) in [("GET", ""), ("PUT", "<x/>"), ("DELETE", "")] {
            assert_error(
                &world.ask_alone(request(method, &path, "", body)),
                410,
                "its callback answered 410",
            );
        }
        assert_eq!((world.stats().sep_subscriptions, world.stats().dead_letters), (0, 2));
        // No last callback, and after an hour nothing is known.
        world.pass(40_000);
        assert!(world.take_calls().is_empty());
        world.pass(3_600_000);
        assert_error(&world.ask_alone(get(&path)), 404, "no such");
    }
}

#[test]
fn s34_addresses_that_may_not_be_reached() {
    let mut world = world(1);
    let with = |url: &str| subscribe("reg", &["sip:bill@example.com"], &format!("<notify url=\"{url}\"/>"));
    for url in ["http://127.0.0.1/", "http://localhost.example/"] {
        let reply = world.ask_alone(xml("POST", SEP, &with(url)));
        assert_eq!(reply.status, if url.contains("127") { 403 } else { 201 }, "{}", reply.text());
    }
    // A name that stands for loopback when it is looked up is refused at the connection.
    world.name("localhost.example", &["127.0.0.1"]);
    let all = world.ask_alone(get(SEP)).text().to_owned();
    let path = all.split("href=\"http://localhost").nth(1).unwrap().split('"').next().unwrap().to_owned();
    tell_text(&mut world, &path, "one");
    assert!(world.take_calls().is_empty() && world.take_dialed().is_none(), "nobody is dialed");
    let waiting = read(&mut world, "/v1/deliveries");
    let reason = waiting["deliveries"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("127.0.0.1 is a loopback address"), "{reason}");
    // A redirect is not followed; it is a failure.
    let path = create(&mut world);
    tell_text(&mut world, &path, "two");
    let (made, _) = one_call(&mut world);
    world.send(
        made.peer,
        "HTTP/1.1 302 Found\r\nLocation: http://192.0.2.5:8081/elsewhere\r\nContent-Length: 0\r\n\r\n",
    );
    assert!(world.take_calls().is_empty());
    world.pass(1_001);
    let (made, head) = one_call(&mut world);
    assert_eq!(head.line, "POST /hook?a=b HTTP/1.1");
    world.answer(&made, 200);
    // Unless the config opens the range.
    let mut config = config();
    config.outbox.allow_private.push("127.0.0.0/8".parse().unwrap());
    let mut world = world_with(config, 1);
    assert_eq!(world.ask_alone(xml("POST", SEP, &with("http://127.0.0.1/"))).status, 201);
}

#[test]
fn s50_overflow_drops_the_oldest() {
    let mut config = config();
    config.limits.sep_callbacks = 3;
    let mut world = world_with(config, 1);
    world.close_port(CALLBACK_ADDRESS);
    let path = create(&mut world);
    for at in 1..=10 {
        tell_text(&mut world, &path, &format!("state {at}"));
    }
    assert_eq!(world.stats().dead_letters, 7);
    let dead = read(&mut world, "/v1/dead-letters");
    let reason = dead["dead_letters"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("more than 3 were waiting"), "{reason}");
    world.serve(CALLBACK_ADDRESS);
    // The next try of the oldest that is left, after one failure of its own or with the destination's rest.
    world.pass(2_000);
    for version in 8..=10 {
        let (made, head) = one_call(&mut world);
        assert_eq!(head.version(), version, "the gap shows, and the last state is right");
        world.answer(&made, 200);
    }
    assert!(world.ask_alone(get(&path)).text().contains("state 10"));
}

#[test]
fn callbacks_of_many_subscriptions_do_not_wait_for_each_other() {
    let mut world = world(2);
    let paths = [create(&mut world), create(&mut world)];
    for path in &paths {
        tell_text(&mut world, path, "one");
        tell_text(&mut world, path, "two");
    }
    let calls = world.take_calls();
    assert_eq!(calls.len(), 2, "one of each");
    world.answer(&calls[0], 500);
    world.answer(&calls[1], 200);
    let (made, head) = one_call(&mut world);
    assert_eq!(head.version(), 2);
    world.answer(&made, 200);
    world.pass(1_001);
    let (_, head) = one_call(&mut world);
    assert_eq!(head.version(), 1);
}

#[test]
fn the_multipart_form_of_callbacks() {
    let mut world = world(1);
    let children = notify() + "<accept>multipart/related</accept>";
    let path = create_with(&mut world, &subscribe("message-summary", &["sip:bill@example.com"], &children));
    tell_text(&mut world, &path, "Messages-Waiting: no\r\n");
    let (_, head) = one_call(&mut world);
    let media = head.field("content-type").unwrap();
    assert!(media.starts_with("multipart/related;type=\"application/rlmi+xml\";start=\"<1."), "{media}");
    assert_eq!(head.field("content-location"), Some(&*format!("http://localhost{path}")));
    assert_eq!(head.field("offhook-event"), Some("message-summary"));
    assert_eq!(head.field("offhook-expires"), Some("2026-01-01T01:00:00+00:00"));
    assert!(head.text().contains("\r\n\r\nMessages-Waiting: no\r\n\r\n--offhook-"), "{}", head.text());
    // Bytes that are no text come as they are.
    tell(&mut world, &path, vec![active("sip:bill@example.com", "x/y", b"\xff\0\r\n")]);
    let calls = world.take_calls();
    assert!(calls.is_empty(), "one at a time");
}

#[test]
fn bytes_that_are_no_text_arrive_as_they_are() {
    let mut world = world(1);
    let children = notify() + "<accept>multipart/related</accept>";
    let path = create_with(&mut world, &subscribe("presence", &["sip:bill@example.com"], &children));
    tell(&mut world, &path, vec![active("sip:bill@example.com", "x/y", b"\xff\0\r\n")]);
    let (_, head) = one_call(&mut world);
    let at = head.body.windows(4).position(|w| w == b"\xff\0\r\n");
    assert!(at.is_some(), "{:?}", head.body);
}

#[test]
fn destinations_of_subscriptions_are_nobody_elses() {
    let mut world = world(1);
    create(&mut world);
    assert_eq!(read(&mut world, "/v1/webhooks"), json!({"destinations": []}));
    // Published events do not go there.
    crate::common::publish_all(&mut world, &[crate::common::ringing("7")]);
    assert!(world.take_calls().is_empty());
    // They do not take the places of others, and have one label among them.
    let mut config = config();
    config.limits.outbox_destinations = 1;
    let mut world = world_with(config, 1);
    let path = create(&mut world);
    create(&mut world);
    let webhook = json!({"name": "crm", "url": "http://192.0.2.5:8081/crm"});
    assert_eq!(world.ask_alone(json("POST", "/v1/webhooks", &webhook)).status, 201);
    tell_text(&mut world, &path, "one");
    let stats = world.stats();
    let names: Vec<&str> = stats.destinations.keys().map(String::as_str).collect();
    assert_eq!(names, ["crm", "sep"]);
    assert_eq!(stats.destinations["sep"].pending, 1);
    answer(&mut world, 200);
    assert_eq!(world.stats().destinations["sep"].delivered, 1);
    assert!(
        world.take_notes().iter().all(|note| note.level != Level::Warn || note.text.contains("isymphony"))
    );
}
