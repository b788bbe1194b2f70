//! The outbox's operators: destinations, deliveries and dead letters under `/v1`, and what is refused.

use offhook_core::ground::config::Brought;
use offhook_core::{Completion, Config};
use offhook_tests::memory::World;
use offhook_tests::memory::read::Reply;
use offhook_tests::memory::write::{get, publish, request};
use serde_json::{Value, json};

use crate::common::{assert_problem, publish_all, ringing};

fn send(world: &mut World, method: &str, target: &str, body: &Value) -> Reply {
    let fields = "Content-Type: application/json\r\n";
    world.ask_alone(request(method, target, fields, body.to_string()))
}

fn body(reply: &Reply) -> Value {
    assert_eq!(reply.field("content-type"), Some("application/json"), "{}", reply.text());
    serde_json::from_slice(&reply.body).expect("JSON")
}

fn read(world: &mut World, target: &str) -> Value {
    let reply = world.ask_alone(get(target));
    assert_eq!(reply.status, 200, "{}", reply.text());
    body(&reply)
}

fn crm() -> Value {
    json!({"name": "crm", "url": "http://192.0.2.5:8081/hook", "types": ["call.*"]})
}

/// A world in which documentation addresses may be reached, with one webhook.
fn world(shards: u16) -> World {
    let mut config = Config::default();
    config.outbox.allow_private = vec!["192.0.2.0/24".parse().expect("a network")];
    let mut world = World::with(config, shards);
    world.serve("192.0.2.5:8081");
    let reply = send(&mut world, "POST", "/v1/webhooks", &crm());
    assert_eq!(reply.status, 201, "{}", reply.text());
    world
}

#[test]
fn destinations_are_made_shown_changed_and_removed() {
    let mut world = world(1);
    let mut secret = crm();
    secret["name"] = json!("b");
    secret["secret"] = json!("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    secret["headers"] = json!({"X-Tenant": "acme"});
    let reply = send(&mut world, "POST", "/v1/webhooks", &secret);
    assert_eq!((reply.status, reply.field("location")), (201, Some("/v1/webhooks/b")));
    for text in [reply.text().to_owned(), world.ask_alone(get("/v1/webhooks")).text().to_owned()] {
        assert!(!text.contains("MfKQ9r8") && !text.contains("acme"), "secrets are masked: {text}");
    }
    let all = read(&mut world, "/v1/webhooks");
    let names: Vec<_> = all["destinations"].as_array().unwrap().iter().map(|d| d["name"].clone()).collect();
    assert_eq!(names, ["b", "crm"]);
    assert_eq!(read(&mut world, "/v1/isr/destinations"), json!({"destinations": []}));
    let one = read(&mut world, "/v1/webhooks/crm");
    assert_eq!((&one["state"], &one["brought_by"]), (&json!("active"), &json!("api")));
    assert_eq!(one["specification"]["url"], "http://192.0.2.5:8081/hook");

    let mut changed = crm();
    changed["url"] = json!("http://192.0.2.6/");
    assert_eq!(send(&mut world, "PUT", "/v1/webhooks/crm", &changed).status, 200);
    assert_eq!(read(&mut world, "/v1/webhooks/crm")["specification"]["url"], "http://192.0.2.6/");
    changed["name"] = json!("new");
    let reply = send(&mut world, "PUT", "/v1/webhooks/new", &changed);
    assert_eq!((reply.status, reply.field("location")), (201, Some("/v1/webhooks/new")));
    assert_eq!(world.ask_alone(request("DELETE", "/v1/webhooks/new", "", "")).status, 204);
    assert_problem(&world.ask_alone(get("/v1/webhooks/new")), 404);
    assert_problem(&world.ask_alone(request("DELETE", "/v1/webhooks/new", "", "")), 404);
}

#[test]
fn what_is_wrong_is_said_in_a_problem_document() {
    let mut world = world(1);
    let with = |key: &str, value: Value| {
        let mut spec = crm();
        spec["name"] = json!("other");
        spec[key] = value;
        spec
    };
    for (target, spec, status, words) in [
        ("/v1/webhooks", crm(), 409, vec!["taken"]),
        ("/v1/webhooks", json!([]), 400, vec!["JSON object"]),
        ("/v1/webhooks", json!({"url": "http://192.0.2.5/"}), 422, vec!["`name`"]),
        ("/v1/webhooks", with("name", json!("a b")), 422, vec!["`name`"]),
        ("/v1/webhooks", with("colour", json!("red")), 422, vec!["colour"]),
        ("/v1/webhooks", with("url", json!("ftp://192.0.2.5/")), 422, vec!["`url`"]),
        (
            "/v1/webhooks",
            with("url", json!("http://10.0.0.1/")),
            422,
            vec!["`url`", "10.0.0.1", "[outbox] allow_private"],
        ),
        (
            "/v1/webhooks",
            with("url", json!("http://[::ffff:127.0.0.1]/")),
            422,
            vec!["[outbox] allow_private"],
        ),
        ("/v1/webhooks", with("secret", json!("***")), 422, vec!["`secret`", "masked"]),
    ] {
        let reply = send(&mut world, "POST", target, &spec);
        let problem = assert_problem(&reply, status);
        for word in words {
            assert!(problem["detail"].as_str().unwrap().contains(word), "{word}: {problem}");
        }
    }
    let other_kind = json!({"url": "http://192.0.2.5/", "global": true, "events": ["RECORDING_ENDED_EVENT"]});
    assert_problem(&send(&mut world, "PUT", "/v1/isr/destinations/crm", &other_kind), 409);
    assert_problem(&world.ask_alone(request("POST", "/v1/webhooks", "", crm().to_string())), 415);
    assert_problem(&world.ask_alone(request("DELETE", "/v1/webhooks", "", "")), 405);
    assert_problem(&world.ask_alone(get("/v1/webhooks/a/b")), 404);
    for target in [
        "/v1/deliveries?limit=0",
        "/v1/deliveries?after=x",
        "/v1/deliveries?state=x",
        "/v1/dead-letters?after=1.2",
    ] {
        assert_problem(&world.ask_alone(get(target)), 400);
    }
    let stranger = world.connect_from(0, "192.0.2.1:1");
    assert_problem(&world.ask(stranger, get("/v1/webhooks")), 403);
    let fields = "Content-Type: application/json\r\nOrigin: https://evil.example\r\n";
    assert_problem(&world.ask_alone(request("POST", "/v1/webhooks", fields, crm().to_string())), 403);
}

#[test]
fn replies_to_changes_leave_when_they_are_durable() {
    let mut world = World::new();
    world.hold_durability();
    let peer = world.connect();
    let spec = json!({"name": "x", "url": "http://93.184.216.34/"});
    world.send(peer, request("POST", "/v1/webhooks", "Content-Type: application/json\r\n", spec.to_string()));
    assert!(world.next_reply(peer).is_none());
    world.release_durability();
    assert_eq!(world.next_reply(peer).unwrap().status, 201);
}

/// An event goes out, fails, is listed with its reason, and arrives at last.
#[test]
fn deliveries_are_listed_with_state_and_reason() {
    let mut world = world(1);
    publish_all(&mut world, &[ringing("1"), ringing("2"), ringing("1")]);
    let calls = world.take_calls();
    assert_eq!(calls.len(), 2, "one of each subject");
    assert_eq!(calls[0].address, "192.0.2.5:8081");
    world.answer(&calls[0], 500);
    let list = read(&mut world, "/v1/deliveries?destination=crm");
    let all = list["deliveries"].as_array().unwrap();
    assert_eq!(all.len(), 3);
    assert_eq!((&all[0]["state"], &all[0]["attempts"]), (&json!("retrying"), &json!(1)));
    assert!(all[0]["reason"].as_str().unwrap().contains("500"), "{list}");
    assert!(all[0]["next"].is_string() && all[1]["next"].is_null());
    assert_eq!((&all[1]["state"], &all[1]["event"]["subject"]), (&json!("waiting"), &json!("call/2")));
    assert_eq!(read(&mut world, "/v1/deliveries?state=retrying")["deliveries"].as_array().unwrap().len(), 1);
    assert_eq!(read(&mut world, "/v1/deliveries?destination=x")["deliveries"], json!([]));

    let mut seen = Vec::new();
    let mut target = "/v1/deliveries?limit=2".to_owned();
    loop {
        let page = read(&mut world, &target);
        seen.extend(
            page["deliveries"].as_array().unwrap().iter().map(|d| d["event"]["seq"].as_u64().unwrap()),
        );
        let Some(next) = page["next"].as_str() else { break };
        target = format!("/v1/deliveries?limit=2&after={next}");
    }
    assert_eq!(seen, [2, 3, 4], "pages hold all of it once");

    world.answer(&calls[1], 204);
    world.pass(1_300);
    let again = world.take_calls();
    assert_eq!(again.len(), 1);
    let id = |request: &[u8]| {
        let text = String::from_utf8_lossy(request).to_lowercase();
        text.split("webhook-id: ").nth(1).unwrap().split("\r\n").next().unwrap().to_owned()
    };
    assert_eq!(id(&again[0].request), id(&calls[0].request), "the same id at each attempt");
    world.answer(&again[0], 200);
    let last = world.take_calls();
    world.answer(&last[0], 200);
    assert_eq!(read(&mut world, "/v1/deliveries")["deliveries"], json!([]));
    let stats = world.stats().destinations["crm"];
    assert_eq!((stats.delivered, stats.failed, stats.pending), (3, 1, 0));
}

#[test]
fn dead_letters_are_listed_shown_deleted_and_redriven() {
    let mut world = world(1);
    let mut impatient = crm();
    impatient["retry"] = json!({"first": "10s", "give_up_after": "1s"});
    assert_eq!(send(&mut world, "PUT", "/v1/webhooks/crm", &impatient).status, 200);
    for number in 0..5 {
        publish_all(&mut world, &[ringing(&number.to_string())]);
        let calls = world.take_calls();
        world.answer(&calls[0], 500);
        world.pass(1);
    }
    let list = read(&mut world, "/v1/dead-letters?limit=3");
    let page = list["dead_letters"].as_array().unwrap().clone();
    assert_eq!((page.len(), &page[0]["attempts"], &page[0]["destination"]), (3, &json!(1), &json!("crm")));
    assert!(
        page[0]["reason"].as_str().unwrap().contains("500")
            && page[0]["request"].as_str().unwrap().contains("POST")
    );
    let next = list["next"].as_str().unwrap();
    let rest = read(&mut world, &format!("/v1/dead-letters?limit=3&after={next}"));
    assert_eq!((rest["dead_letters"].as_array().unwrap().len(), &rest["next"]), (2, &Value::Null));

    let id = page[0]["id"].as_str().unwrap();
    let one = read(&mut world, &format!("/v1/dead-letters/{id}"));
    assert_eq!(one["body"]["subject"], "call/0");
    let target = format!("/v1/dead-letters/{id}");
    assert_eq!(world.ask_alone(request("DELETE", &target, "", "")).status, 204);
    assert_problem(&world.ask_alone(get(&target)), 404);
    assert_problem(&world.ask_alone(request("DELETE", &target, "", "")), 404);

    let redrive = "/v1/dead-letters/redrive";
    assert_problem(&send(&mut world, "POST", redrive, &json!({"id": id})), 404);
    assert_problem(&send(&mut world, "POST", redrive, &json!({})), 422);
    assert_problem(&send(&mut world, "POST", redrive, &json!({"subjects": "x"})), 422);
    assert_problem(&send(&mut world, "POST", redrive, &json!({"before": "yesterday"})), 422);
    let reply = send(&mut world, "POST", redrive, &json!({"id": page[1]["id"]}));
    let done = body(&reply);
    assert_eq!((reply.status, &done["redriven"], &done["more"]), (200, &json!(1), &json!(0)));
    assert!(done["note"].as_str().unwrap().contains("order"), "it says that it may reorder");
    assert_eq!(world.take_calls().len(), 1);
    let filter = json!({"destination": "crm", "type": "call.*", "subject": "call/3"});
    assert_eq!(body(&send(&mut world, "POST", redrive, &filter))["redriven"], 1);
    let none = json!({"destination": "crm", "before": "2015-11-03T14:37:11Z"});
    assert_eq!(body(&send(&mut world, "POST", redrive, &none))["redriven"], 0);
    assert_eq!(body(&send(&mut world, "POST", redrive, &json!({"all": true})))["redriven"], 2);
    assert_eq!(world.stats().dead_letters, 0);
}

#[test]
fn a_receiver_that_answers_410_is_disabled_and_enabled_again() {
    let mut world = world(1);
    publish_all(&mut world, &[ringing("1")]);
    let calls = world.take_calls();
    world.answer(&calls[0], 410);
    let one = read(&mut world, "/v1/webhooks/crm");
    assert_eq!(one["state"], "disabled");
    publish_all(&mut world, &[ringing("2")]);
    assert!(world.take_calls().is_empty());
    assert_eq!(world.ask_alone(request("POST", "/v1/webhooks/crm/enable", "", "")).status, 200);
    publish_all(&mut world, &[ringing("3")]);
    assert_eq!(world.take_calls().len(), 1);
}

/// All engines list the same; only the owner of a destination calls.
#[test]
fn only_the_owner_sends() {
    let mut world = world(3);
    for number in 0..6 {
        world.serve(&format!("192.0.2.5:{}", 1_000 + number));
        let spec =
            json!({"name": format!("d{number}"), "url": format!("http://192.0.2.5:{}/", 1_000 + number)});
        let peer = world.connect_to(number % 3);
        let fields = "Content-Type: application/json\r\n";
        let reply = world.ask(peer, request("POST", "/v1/webhooks", fields, spec.to_string()));
        assert_eq!(reply.status, 201);
    }
    publish_all(&mut world, &[ringing("1")]);
    let calls = world.take_calls();
    assert_eq!(calls.len(), 7, "each destination once");
    let shards: std::collections::BTreeSet<_> = calls.iter().map(|made| made.shard).collect();
    assert!(shards.len() > 1, "the work is spread");
    let lists: Vec<_> = (0..3)
        .map(|shard| {
            let peer = world.connect_to(shard);
            world.ask(peer, get("/v1/deliveries")).text().to_owned()
        })
        .collect();
    assert!(lists[0] == lists[1] && lists[1] == lists[2] && lists[0].contains("d5"));
}

#[test]
fn publishers_are_refused_while_too_much_waits() {
    let mut config = Config::default();
    config.outbox.pending_bytes = 2_000;
    let mut world = World::with(config, 1);
    world.serve("93.184.216.34:80");
    let spec = json!({"name": "x", "url": "http://93.184.216.34/"});
    assert_eq!(send(&mut world, "POST", "/v1/webhooks", &spec).status, 201);
    let events: Vec<String> = (0..10).map(|number| ringing(&number.to_string())).collect();
    publish_all(&mut world, &events);
    let reply = world.ask_alone(publish(ringing("11")));
    assert_problem(&reply, 503);
    assert!(reply.field("retry-after").is_some());
    for made in world.take_calls() {
        world.answer(&made, 200);
    }
    assert_eq!(world.ask_alone(publish(ringing("11"))).status, 202);
}

#[test]
fn what_the_config_file_brings_is_changed_there() {
    let brought = |name: &str| Brought {
        kind: "webhook",
        name: name.to_owned(),
        spec: json!({"url": "http://127.0.0.1:8081/"}).to_string(),
    };
    let config = Config { destinations: vec![brought("file")], ..Config::default() };
    let mut world = World::with(config.clone(), 2);
    world.serve("127.0.0.1:8081");
    world.turn();
    assert_eq!(read(&mut world, "/v1/webhooks/file")["brought_by"], "file");
    let spec = json!({"url": "http://93.184.216.34/"});
    assert_problem(&send(&mut world, "PUT", "/v1/webhooks/file", &spec), 409);
    assert_problem(&world.ask_alone(request("DELETE", "/v1/webhooks/file", "", "")), 409);
    publish_all(&mut world, &[ringing("1")]);
    let calls = world.take_calls();
    assert_eq!(calls.len(), 1, "a URL of the file may reach any address");
    let reloaded = Config { destinations: vec![brought("other")], ..config };
    world.tell(|| Completion::Reloaded(Box::new(reloaded.clone())));
    assert_problem(&world.ask_alone(get("/v1/webhooks/file")), 404);
    assert_eq!(read(&mut world, "/v1/webhooks/other")["pending"], 0);
    let dead = read(&mut world, "/v1/dead-letters");
    assert_eq!(dead["dead_letters"][0]["reason"], "its destination was removed");
}

/// R34: what is handed in is acknowledged only when it is stored, and what it leads to is stored with it (R21): after a
/// crash it is sent.
#[test]
fn r34_r21_an_event_is_acknowledged_when_it_is_stored_and_sent_after_a_crash() {
    let mut config = Config::default();
    let spec = json!({"url": "http://127.0.0.1:8081/notify", "global": true, "events": ["RECORDING_STARTED_EVENT"],
        "parameters": "ucid=%UCID%"});
    config.destinations = vec![Brought { kind: "isr", name: "face".to_owned(), spec: spec.to_string() }];
    let mut world = World::keeping(config.clone(), 2);
    world.turn();
    let recording = |ucid: &str| {
        format!(r#"{{"type":"recording.started","subject":"recording/{ucid}","data":{{"ucid":"{ucid}"}}}}"#)
    };
    world.hold_durability();
    let lost = world.connect();
    world.send(lost, publish(recording("lost")));
    assert!(world.received(lost).is_empty(), "nothing is acknowledged that is not stored");
    world.release_durability();
    assert_eq!(world.next_reply(lost).expect("the acknowledgement").status, 202);
    publish_all(&mut world, &[recording("2")]);
    world.restart(config);
    world.serve("127.0.0.1:8081");
    // Refused connections had been noted; their retries are due by now.
    world.pass(10_000);
    let mut asked: Vec<String> = Vec::new();
    loop {
        let calls = world.take_calls();
        if calls.is_empty() {
            break;
        }
        for made in calls {
            let line = String::from_utf8_lossy(&made.request).lines().next().unwrap_or_default().to_owned();
            asked.push(line);
            world.answer(&made, 200);
        }
    }
    asked.sort();
    assert_eq!(asked, ["GET /notify?ucid=2 HTTP/1.1", "GET /notify?ucid=lost HTTP/1.1"]);
    assert_eq!(read(&mut world, "/v1/deliveries")["deliveries"], json!([]));
}
