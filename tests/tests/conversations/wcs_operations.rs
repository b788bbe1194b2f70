//! What clients of WCS ask for: the hooks that come first, and what follows from them.

use offhook_core::ground::config::{HookPolicy, RestPolicy, WcsApp};
use offhook_tests::memory::World;
use offhook_tests::memory::write::get;
use serde_json::{Value, json};

use crate::wcs_common::{
    NODE, answer, app, begin, config, fail, failing, hook, hooks, one, overwriting, say, told, world,
    world_with,
};

fn publish_stream() -> Value {
    json!({
        "mediaSessionId": "m", "name": "b4e7", "published": true, "hasVideo": true, "hasAudio": true, "status": "PENDING",
        "record": false, "width": 0, "mediaProvider": "WebRTC", "sdp": "v=0", "constraints": {"audio": true}, "createDate": 1e3,
    })
}

fn not_supported() -> Value {
    json!({"mediaSessionId": "m", "name": "b4e7", "status": "FAILED", "info": "operation not supported"})
}

fn send_data(world: &mut World, client: offhook_tests::memory::Peer) {
    say(world, client, "sendData", json!({"operationId": "7e", "payload": {"a": [1, 2.50]}}));
}

/// There is no engine of media here: once the hook has let it pass, the operation fails in its own event.
#[test]
fn w20_with_log_an_operation_goes_on_after_a_refusal() {
    for status in [200, 403] {
        let mut world = world(app(&["publishStream"]), 1);
        let (client, id) = begin(&mut world, 0);
        say(&mut world, client, "publishStream", publish_stream());
        assert!(told(&mut world, client).is_empty(), "the hook comes first");
        let asked = hook(&mut world, "publishStream");
        let mut expected = publish_stream();
        expected["nodeId"] = NODE.into();
        expected["appKey"] = "defaultApp".into();
        expected["sessionId"] = id.into();
        assert_eq!(asked.body, expected, "W3");
        answer(&mut world, &asked, status, "{}");
        assert_eq!(one(&mut world, client), ("notifyStreamStatusEvent".to_owned(), not_supported()));
    }
}

#[test]
fn w19_with_fail_a_refusal_stops_the_operation() {
    let mut world = world(failing(&["publishStream"]), 1);
    let (client, _) = begin(&mut world, 0);
    say(&mut world, client, "publishStream", publish_stream());
    let asked = hook(&mut world, "publishStream");
    answer(&mut world, &asked, 403, "{}");
    let mut expected = not_supported();
    expected["info"] = "REST hook publishStream failed: HTTP 403".into();
    assert_eq!(one(&mut world, client), ("notifyStreamStatusEvent".to_owned(), expected));
}

/// Every operation of the vendor's, and the message in which the Web SDK looks for its end.
#[test]
fn w4_w35_an_operation_that_nobody_serves_fails_in_its_own_event() {
    let info = "operation not supported";
    let of_stream = json!({"mediaSessionId": "m", "name": "n", "status": "FAILED", "info": info});
    let of_call = json!({"callId": "c", "status": "FAILED", "info": info});
    let mut world = world(app(&[]), 1);
    let (client, _) = begin(&mut world, 0);
    for (message, told, expected) in [
        ("publishStream", "notifyStreamStatusEvent", &of_stream),
        ("playStream", "notifyStreamStatusEvent", &of_stream),
        ("unPublishStream", "notifyStreamStatusEvent", &of_stream),
        ("stopStream", "notifyStreamStatusEvent", &of_stream),
        ("snapshot", "notifyStreamStatusEvent", &of_stream),
        ("availableStream", "availableStream", &json!({"id": "m", "status": "FAILED", "info": info})),
        ("call", "finish", &of_call),
        ("answer", "finish", &of_call),
        ("hold", "finish", &of_call),
        ("unhold", "finish", &of_call),
        ("hangup", "finish", &of_call),
        ("transfer", "notifyTransferEvent", &of_call),
        // What fails here must not end the call.
        ("sendDtmf", "fail", &json!({"info": info})),
        ("sendDTMF", "fail", &json!({"info": info})),
        ("submitBugReport", "BugReportStatusEvent", &json!({"status": "FAILED", "info": info})),
        ("sessionDebug", "notifySessionDebugEvent", &json!({"status": "FAILED", "info": info})),
        ("sendStreamEvent", "fail", &json!({"info": format!("sendStreamEvent: {info}")})),
    ] {
        let mut data = expected.clone();
        let fields = data.as_object_mut().expect("an object");
        fields.retain(|name, _| name != "status" && name != "info");
        if let Some(id) = fields.remove("id") {
            fields.insert("mediaSessionId".to_owned(), id);
        }
        say(&mut world, client, message, data);
        assert_eq!(one(&mut world, client), (told.to_owned(), expected.clone()), "{message}");
    }
    say(&mut world, client, "pushLogs", json!({"logs": "…"}));
    assert!(world.received(client).is_empty() && hooks(&mut world).is_empty());
}

/// NOTIFY and OVERWRITE, as the event shows that other consumers get.
#[test]
fn w10_w11_overwrite_replaces_the_named_fields_and_no_other() {
    for (app, expected) in [
        (app(&["OnDataEvent"]), json!({"operation_id": "7e", "payload": {"a": [1, 2.50]}})),
        (overwriting("OnDataEvent", &["payload"]), json!({"operation_id": "7e", "payload": "theirs"})),
    ] {
        let mut world = world(app, 1);
        let reader = world.connect();
        world.open(reader, get("/v1/events?type=data.sent"));
        world.take(reader);
        let (client, _) = begin(&mut world, 0);
        send_data(&mut world, client);
        let asked = hook(&mut world, "OnDataEvent");
        answer(&mut world, &asked, 200, r#"{"operationId":"x","payload":"theirs"}"#);
        assert_eq!(one(&mut world, client).1, json!({"operationId": "7e", "status": "ACCEPTED"}));
        let text = String::from_utf8(world.take(reader)).expect("events are text");
        let event = text.lines().find_map(|line| line.strip_prefix("data: ")).expect("an event");
        assert_eq!(serde_json::from_str::<Value>(event).expect("JSON")["data"], expected);
    }
}

#[test]
fn w12_a_disabled_hook_is_not_called_and_the_operation_proceeds() {
    let policy = HookPolicy { policy: RestPolicy::Disable, ..HookPolicy::default() };
    let app = WcsApp { policies: [("OnDataEvent".to_owned(), policy)].into(), ..app(&["OnDataEvent"]) };
    let mut world = world(app, 1);
    let (client, _) = begin(&mut world, 0);
    send_data(&mut world, client);
    assert_eq!(one(&mut world, client).1["status"], "ACCEPTED");
    assert!(hooks(&mut world).is_empty());
}

#[test]
fn w22_data_is_accepted_or_failed_under_its_operation_id() {
    let accepted = json!({"operationId": "7e", "status": "ACCEPTED"});
    let info = "REST hook OnDataEvent failed: HTTP 403";
    let failed = json!({"operationId": "7e", "status": "FAILED", "info": info});
    for (app, status, expected) in [
        (app(&["OnDataEvent"]), 200, &accepted),
        (failing(&["OnDataEvent"]), 200, &accepted),
        (app(&["OnDataEvent"]), 403, &accepted),
        (failing(&["OnDataEvent"]), 403, &failed),
    ] {
        let mut world = world(app, 1);
        let (client, _) = begin(&mut world, 0);
        send_data(&mut world, client);
        let asked = hook(&mut world, "OnDataEvent");
        assert_eq!(
            (&asked.body["operationId"], &asked.body["payload"]),
            (&json!("7e"), &json!({"a": [1, 2.5]}))
        );
        answer(&mut world, &asked, status, "");
        assert_eq!(one(&mut world, client), ("DataStatusEvent".to_owned(), expected.clone()));
    }
}

/// An application without the hook takes all data; one that lists DataStatusEvent hears what came of it.
#[test]
fn w22_data_without_its_hook_is_accepted() {
    let mut world = world(app(&["DataStatusEvent"]), 1);
    let (client, id) = begin(&mut world, 0);
    send_data(&mut world, client);
    let told = json!({"operationId": "7e", "status": "ACCEPTED"});
    assert_eq!(one(&mut world, client), ("DataStatusEvent".to_owned(), told));
    let mut expected = json!({"operationId": "7e", "status": "ACCEPTED"});
    expected["nodeId"] = NODE.into();
    expected["appKey"] = "defaultApp".into();
    expected["sessionId"] = id.into();
    assert_eq!(hook(&mut world, "DataStatusEvent").body, expected);
}

/// The answer to an operation comes when its hook has ended, even if later ones are not asked about.
#[test]
fn operations_are_answered_in_their_order() {
    let mut world = world(app(&["OnDataEvent"]), 1);
    let (client, _) = begin(&mut world, 0);
    send_data(&mut world, client);
    say(&mut world, client, "stopStream", json!({"mediaSessionId": "m"}));
    assert!(told(&mut world, client).is_empty());
    let asked = hook(&mut world, "OnDataEvent");
    answer(&mut world, &asked, 200, "");
    let names: Vec<String> = told(&mut world, client).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["DataStatusEvent", "notifyStreamStatusEvent"]);
}

#[test]
fn operations_before_the_session_are_refused() {
    let mut world = world(app(&["connect"]), 1);
    let client = crate::wcs_common::ask(&mut world, 0, json!({}));
    send_data(&mut world, client);
    let (name, data) = one(&mut world, client);
    assert_eq!((&*name, data), fail("sendData: the session is not established yet"));
}

#[test]
fn operations_that_wait_are_bounded() {
    let mut config = config(app(&["OnDataEvent"]));
    config.limits.wcs_operation_bytes = 4_000;
    let mut world = world_with(config, 1);
    let (client, _) = begin(&mut world, 0);
    let big = json!({"operationId": "1", "payload": "x".repeat(3_000)});
    say(&mut world, client, "sendData", big.clone());
    say(&mut world, client, "sendData", big.clone());
    let info = "REST hook OnDataEvent failed: too many hooks wait";
    assert_eq!(one(&mut world, client).1["info"], info);
    let asked = hook(&mut world, "OnDataEvent");
    answer(&mut world, &asked, 200, "");
    assert_eq!(one(&mut world, client).1["status"], "ACCEPTED");
    say(&mut world, client, "sendData", big);
    hook(&mut world, "OnDataEvent");
}
