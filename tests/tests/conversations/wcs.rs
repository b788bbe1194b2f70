//! WCS hooks of events that come in over the native API, and of sessions that nobody here has.

use offhook_core::Config;
use offhook_core::ground::stats::NotSent;
use offhook_tests::memory::World;
use offhook_tests::memory::write::{get, request};
use serde_json::json;

use crate::wcs_common::{
    BACKEND, NODE, answer, app, begin, config, hook, hooks, send, stream, stream_fields, told, world,
};

/// Whoever took the event: one engine calls, in order and over one connection.
#[test]
fn w27_with_two_engines_one_calls_in_order() {
    let mut world = world(app(&["StreamStatusEvent"]), 2);
    for shard in [0, 1, 0, 1] {
        stream(&mut world, shard, "elsewhere", &format!("from-{shard}"));
    }
    let mut served = Vec::new();
    let mut peers = Vec::new();
    while let Some(one) = hooks(&mut world).pop() {
        served.push(one.body["name"].as_str().expect("a name").to_owned());
        peers.push(one.made.peer);
        answer(&mut world, &one, 200, "");
    }
    assert_eq!(served, ["from-0", "from-1", "from-0", "from-1"]);
    assert!(peers.iter().all(|peer| *peer == peers[0]), "over one connection: {peers:?}");
}

/// W44: with appkey and no sessionid an event reaches the backend alone; without appkey, neither.
#[test]
fn w44_the_scope_decides_who_hears() {
    let mut world = world(app(&["StreamStatusEvent"]), 1);
    let (client, id) = begin(&mut world, 0);
    stream(&mut world, 0, "", "b4e7");
    let called = hook(&mut world, "StreamStatusEvent");
    let mut expected = stream_fields("b4e7");
    expected["nodeId"] = NODE.into();
    expected["appKey"] = "defaultApp".into();
    expected["sessionId"] = "".into();
    assert_eq!(called.body, expected);
    answer(&mut world, &called, 200, "");
    for event in [
        json!({"type": "stream.status", "sessionid": id, "data": {"status": "PUBLISHING"}}),
        json!({"type": "stream.status", "sessionid": id, "appkey": "other", "data": {"status": "PUBLISHING"}}),
        json!({"type": "dtmf", "sessionid": id, "appkey": "defaultApp", "data": {"digits": "1"}}),
    ] {
        let event = offhook_tests::memory::write::publish(event.to_string());
        assert_eq!(world.ask_alone(event).status, 202, "it is an event all the same");
    }
    assert!(told(&mut world, client).is_empty() && hooks(&mut world).is_empty());
    let counted = &world.stats().dialects["wcs"].not_sent;
    assert_eq!((counted.get(&NotSent::Scope), counted.get(&NotSent::NoWord)), (Some(&1), Some(&1)));
}

/// The hook is called with its sessionId; for the client it is counted.
#[test]
fn w44_an_event_of_a_session_that_is_gone_reaches_the_backend() {
    let mut world = world(app(&["StreamStatusEvent"]), 1);
    let (client, id) = begin(&mut world, 0);
    world.break_off(client);
    stream(&mut world, 0, &id, "b4e7");
    let called = hook(&mut world, "StreamStatusEvent");
    assert_eq!(called.body["sessionId"], id);
    assert_eq!(world.stats().dialects["wcs"].not_sent.get(&NotSent::NoSession), Some(&1));
}

/// W42: a hook that finally failed is a dead letter with its reason, and can be sent again; with `redeliver` that
/// happens by itself.
#[test]
fn w42_a_failed_hook_is_a_dead_letter_and_is_sent_again() {
    for redeliver_ms in [0, 3_600_000] {
        let mut config: Config = config(app(&["StreamStatusEvent"]));
        config.wcs.apps[0].redeliver_ms = redeliver_ms;
        let mut world = World::with(config, 2);
        world.serve(BACKEND);
        let data = json!({"media_session_id": "m", "status": "PUBLISHING"});
        send(&mut world, 0, "stream.status", "elsewhere", data);
        let first = hook(&mut world, "StreamStatusEvent");
        answer(&mut world, &first, 500, "");
        let list = |world: &mut World, target: &str| -> serde_json::Value {
            serde_json::from_slice(&world.ask_alone(get(target)).body).expect("a list")
        };
        if redeliver_ms == 0 {
            let dead = list(&mut world, "/v1/dead-letters");
            let letter = &dead["dead_letters"][0];
            assert_eq!(letter["reason"], "REST hook StreamStatusEvent failed: HTTP 500");
            assert_eq!(letter["destination"], "wcs.defaultApp");
            let fields = "Content-Type: application/json\r\n";
            let body = format!(r#"{{"id":{}}}"#, letter["id"]);
            let redrive = request("POST", "/v1/dead-letters/redrive", fields, body);
            assert_eq!(world.ask_alone(redrive).status, 200);
        } else {
            assert_eq!(list(&mut world, "/v1/deliveries")["deliveries"][0]["state"], "retrying");
            world.pass(2_000);
        }
        // The owner of the destination may be another engine than that of the application.
        let again = hook(&mut world, "StreamStatusEvent");
        assert_eq!(again.body, first.body, "as it was");
        answer(&mut world, &again, 200, "");
        assert_eq!(list(&mut world, "/v1/dead-letters")["dead_letters"], json!([]));
        assert_eq!(list(&mut world, "/v1/deliveries")["deliveries"], json!([]));
    }
}
