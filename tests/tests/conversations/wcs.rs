//! WCS hooks through the doorway: an event comes in over the native API, the backend is called, and what a client would
//! get comes out as Server-Sent Events.

use offhook_core::Config;
use offhook_core::ground::config::{HookPolicy, OnError, WcsApp};
use offhook_tests::memory::write::{get, publish, request};
use offhook_tests::memory::{Peer, World};

fn config(on_error: OnError) -> Config {
    let mut config = Config::default();
    let policy = HookPolicy { on_error, ..HookPolicy::default() };
    config.wcs.apps.push(WcsApp {
        url: "http://127.0.0.1:8081/apps/EchoApp".to_owned(),
        hooks: vec!["StreamStatusEvent".to_owned()],
        policies: [("StreamStatusEvent".to_owned(), policy)].into(),
        ..WcsApp::default()
    });
    config
}

fn stream_event(session: &str, name: &str) -> String {
    format!(
        r#"{{"type":"stream.status","subject":"stream/{name}","appkey":"defaultApp","sessionid":"{session}","data":{{"media_session_id":"m","name":"{name}","status":"PUBLISHING"}}}}"#
    )
}

fn follow(world: &mut World) -> Peer {
    let peer = world.connect();
    assert_eq!(world.open(peer, get("/v1/events?type=stream.status&type=wcs.error")).status, 200);
    world.take(peer);
    peer
}

fn send(world: &mut World, event: &str) {
    let reply = world.ask_alone(publish(event));
    assert_eq!(reply.status, 202, "{}", reply.text());
}

const BACKEND: &str = "127.0.0.1:8081";

fn world(on_error: OnError, shards: u16) -> World {
    let mut world = World::with(config(on_error), shards);
    world.serve(BACKEND);
    world
}

/// The connection that the one call came on, and its request.
fn one_call(world: &mut World) -> (Peer, String) {
    let (peer, address) = world.take_dialed().expect("the backend is called");
    assert_eq!((address.as_str(), world.take_dialed()), (BACKEND, None));
    (peer, String::from_utf8(world.take(peer)).expect("a request is text"))
}

fn answer(world: &mut World, backend: Peer, status: u16) {
    world.send(backend, format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\n{{}}"));
}

/// The `data` of the events that came on a stream.
fn events(world: &mut World, peer: Peer) -> Vec<serde_json::Value> {
    let taken = String::from_utf8(world.take(peer)).expect("events are text");
    let lines = taken.lines().filter_map(|line| line.strip_prefix("data: "));
    lines.map(|line| serde_json::from_str(line).expect("an event is JSON")).collect()
}

#[test]
fn w15_the_client_has_the_event_before_the_backend_answers() {
    let mut world = world(OnError::Fail, 1);
    let client = follow(&mut world);
    send(&mut world, &stream_event("s", "b4e7"));
    // Nothing has come of the call yet, and the client has its event.
    let seen = events(&mut world, client);
    assert_eq!((seen.len(), &seen[0]["type"]), (1, &"stream.status".into()));
    let (backend, request) = one_call(&mut world);
    assert!(request.starts_with("POST /apps/EchoApp/StreamStatusEvent HTTP/1.1\r\n"), "{request}");
    let body =
        r#","appKey":"defaultApp","sessionId":"s","mediaSessionId":"m","name":"b4e7","status":"PUBLISHING"}"#;
    assert!(request.ends_with(body), "{request}");
    answer(&mut world, backend, 200);
    assert!(events(&mut world, client).is_empty() && world.received(backend).is_empty());
}

/// W17: FAIL and a 500: `fail` with the info alone, then `ErrorEvent`.
#[test]
fn w17_a_failed_hook_reaches_the_client_after_its_event() {
    let mut world = world(OnError::Fail, 1);
    let client = follow(&mut world);
    send(&mut world, &stream_event("s", "b4e7"));
    let (backend, _) = one_call(&mut world);
    answer(&mut world, backend, 500);
    let seen = events(&mut world, client);
    let types: Vec<&str> = seen.iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!(types, ["stream.status", "wcs.error", "wcs.error"]);
    let info = "REST hook StreamStatusEvent failed: HTTP 500";
    assert_eq!(seen[1]["data"], serde_json::json!({"message": "fail", "info": info}));
    let error = serde_json::json!({"message": "ErrorEvent", "info": info, "api_method": "StreamStatusEvent",
        "media_session_id": "m"});
    assert_eq!(seen[2]["data"], error);
    assert_eq!((&seen[2]["subject"], &seen[2]["sessionid"]), (&"stream/b4e7".into(), &"s".into()));
}

/// W16: LOG and a 500.
#[test]
fn w16_with_log_nothing_follows() {
    let mut world = world(OnError::Log, 1);
    let client = follow(&mut world);
    send(&mut world, &stream_event("s", "b4e7"));
    let (backend, _) = one_call(&mut world);
    answer(&mut world, backend, 500);
    assert_eq!(events(&mut world, client).len(), 1);
    let counted = world.stats().wcs_hooks.into_values().next().expect("the hook is counted");
    assert_eq!((counted.failed, counted.done), (1, 0));
}

/// One engine of several owns an application: it calls, whoever took the event.
#[test]
fn w27_with_two_engines_one_calls_in_order() {
    let mut world = world(OnError::Log, 2);
    for shard in [0, 1, 0, 1] {
        let peer = world.connect_to(shard);
        let reply = world.ask(peer, publish(stream_event("s", &format!("from-{shard}"))));
        assert_eq!(reply.status, 202);
    }
    let (backend, mut request) = one_call(&mut world);
    let mut served = Vec::new();
    while let Some((_, name)) = request.split_once(r#""name":"from-"#) {
        served.push(name[..1].to_owned());
        answer(&mut world, backend, 200);
        request = String::from_utf8(world.take(backend)).expect("a request is text");
    }
    assert_eq!(served, ["0", "1", "0", "1"], "one engine alone calls, over one connection");
    assert_eq!(world.take_dialed(), None);
}

/// W42: a hook that finally failed is a dead letter with its reason, and can be sent again; with `redeliver` that
/// happens by itself.
#[test]
fn w42_a_failed_hook_is_a_dead_letter_and_is_sent_again() {
    for redeliver_ms in [0, 3_600_000] {
        let mut config = config(OnError::Log);
        config.wcs.apps[0].redeliver_ms = redeliver_ms;
        let mut world = World::with(config, 2);
        world.serve(BACKEND);
        send(&mut world, &stream_event("s", "b4e7"));
        let (backend, first) = one_call(&mut world);
        answer(&mut world, backend, 500);
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
        let again = world.take_calls();
        let text = String::from_utf8_lossy(&again[0].request).into_owned();
        let body = |request: &str| request.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        assert_eq!(body(&text), body(&first), "as it was");
        world.answer(&again[0], 200);
        assert_eq!(list(&mut world, "/v1/dead-letters")["dead_letters"], serde_json::json!([]));
        assert_eq!(list(&mut world, "/v1/deliveries")["deliveries"], serde_json::json!([]));
    }
}
