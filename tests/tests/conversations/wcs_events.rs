//! Events of WCS sessions: what their clients and their backend hear, in which order, and what failed hooks lead to.

use offhook_core::Config;
use offhook_core::ground::config::{ErrorEvent, HookPolicy, VocabularyRow, WcsApp};
use offhook_tests::memory::{Peer, World};
use serde_json::{Value, json};

use crate::wcs_common::{
    Hook, answer, app, ask, begin, config, established, fail, failing, hook, hooks, one, say, send, stream,
    stream_fields, told, world, world_with,
};

/// A client whose session has the policies that its backend answers `connect` with; and the session's name.
fn begin_with(world: &mut World, policies: &Value) -> (Peer, String) {
    let client = ask(world, 0, json!({}));
    let asked = hook(world, "connect");
    answer(world, &asked, 200, &json!({"restClientConfig": policies}).to_string());
    let id = established(world, client);
    (client, id)
}

/// A configuration in which `call.incoming` is `OnCallEvent`.
fn with_incoming(app: WcsApp) -> Config {
    let mut config = config(app);
    for (event_type, word) in [("call.incoming", "OnCallEvent"), ("message.incoming", "OnMessageEvent")] {
        config.vocabulary.push(VocabularyRow {
            event_type: event_type.to_owned(),
            wcs: Some(word.to_owned()),
            ..VocabularyRow::default()
        });
    }
    config
}

/// The client does not wait for the backend, which has not answered the first hook yet.
#[test]
fn w15_the_client_has_the_event_before_the_backend_answers() {
    let mut world = world(app(&["StreamStatusEvent"]), 1);
    let (client, id) = begin(&mut world, 0);
    stream(&mut world, 0, &id, "one");
    stream(&mut world, 0, &id, "two");
    let expected = ["one", "two"].map(|name| ("notifyStreamStatusEvent".to_owned(), stream_fields(name)));
    assert_eq!(told(&mut world, client), expected);
    let first = hook(&mut world, "StreamStatusEvent");
    assert_eq!((&first.body["name"], &first.body["sessionId"]), (&json!("one"), &json!(id)));
    answer(&mut world, &first, 200, "");
    assert_eq!(hook(&mut world, "StreamStatusEvent").body["name"], "two");
}

/// The event stands first even if the hook fails at once.
#[test]
fn w15_the_client_has_the_event_before_the_backend_is_called() {
    let mut world = World::with(config(failing(&["StreamStatusEvent"])), 1);
    let (client, id) = begin(&mut world, 0);
    stream(&mut world, 0, &id, "b4e7");
    let told = told(&mut world, client);
    let names: Vec<&str> = told.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["notifyStreamStatusEvent", "fail", "ErrorEvent"]);
    assert_eq!(told[1].1["info"], "REST hook StreamStatusEvent failed: connection failed");
}

#[test]
fn w16_with_log_the_client_gets_nothing_more() {
    let mut world = world(app(&["StreamStatusEvent"]), 1);
    let (client, id) = begin(&mut world, 0);
    stream(&mut world, 0, &id, "b4e7");
    assert_eq!(one(&mut world, client).0, "notifyStreamStatusEvent");
    let called = hook(&mut world, "StreamStatusEvent");
    answer(&mut world, &called, 500, "");
    assert!(world.received(client).is_empty());
    let counted = world.stats().wcs_hooks.into_values().next().expect("the hook is counted");
    assert_eq!((counted.failed, counted.done), (1, 0));
}

#[test]
fn w17_w18_with_fail_the_client_is_told_and_the_stream_goes_on() {
    let info = "REST hook StreamStatusEvent failed: HTTP 500";
    let error =
        ("ErrorEvent", json!({"info": info, "apiMethod": "StreamStatusEvent", "mediaSessionId": "m"}));
    for (which, expected) in [
        (ErrorEvent::Both, vec![fail(info), error.clone()]),
        (ErrorEvent::Fail, vec![fail(info)]),
        (ErrorEvent::ErrorEvent, vec![error]),
    ] {
        let mut config = config(failing(&["StreamStatusEvent"]));
        config.wcs.error_event = which;
        let mut world = world_with(config, 1);
        let (client, id) = begin(&mut world, 0);
        stream(&mut world, 0, &id, "b4e7");
        assert_eq!(one(&mut world, client), ("notifyStreamStatusEvent".to_owned(), stream_fields("b4e7")));
        let called = hook(&mut world, "StreamStatusEvent");
        answer(&mut world, &called, 500, "");
        let told = told(&mut world, client);
        let told: Vec<(&str, Value)> = told.iter().map(|(name, data)| (&**name, data.clone())).collect();
        assert_eq!(told, expected);
        stream(&mut world, 0, &id, "b4e7");
        assert_eq!(one(&mut world, client).1["status"], "PUBLISHING");
    }
}

/// The policies of a session come from its backend's answer to `connect`.
#[test]
fn w8_w9_exclusions_of_a_session_hold_on_their_side_alone() {
    for (key, of_client, of_backend) in [("restExclude", true, false), ("clientExclude", false, true)] {
        let mut world = world(app(&["connect", "StreamStatusEvent"]), 1);
        let (client, id) = begin_with(&mut world, &json!({"StreamStatusEvent": {key: ["sdp", " name "]}}));
        let data = json!({"media_session_id": "m", "name": "n", "status": "PUBLISHING", "sdp": "v=0"});
        send(&mut world, 0, "stream.status", &id, data);
        let (_, seen) = one(&mut world, client);
        let called = hook(&mut world, "StreamStatusEvent").body;
        for name in ["sdp", "name"] {
            assert_eq!(
                (seen.get(name).is_some(), called.get(name).is_some()),
                (of_client, of_backend),
                "{key}"
            );
        }
        assert_eq!((&seen["status"], &called["status"]), (&json!("PUBLISHING"), &json!("PUBLISHING")));
    }
}

/// FAIL for one session is no matter of another's, nor of the application's own settings.
#[test]
fn w41_policies_are_of_their_session() {
    let mut world = world(app(&["connect", "StreamStatusEvent"]), 1);
    let odd = json!({"StreamStatusEvent": {"restOnError": "fail", "restPolicy": "SOMETHING"}});
    let (strict, of_strict) = begin_with(&mut world, &odd);
    let (lenient, of_lenient) = begin_with(&mut world, &json!({}));
    for (client, id, told_more) in [(strict, of_strict, 2), (lenient, of_lenient, 0)] {
        stream(&mut world, 0, &id, "b4e7");
        one(&mut world, client);
        let called = hook(&mut world, "StreamStatusEvent");
        answer(&mut world, &called, 403, "");
        assert_eq!(told(&mut world, client).len(), told_more);
    }
}

#[test]
fn w14_sip_password_is_in_no_event_that_a_client_gets() {
    let mut world = world(app(&["RegistrationStatusEvent"]), 1);
    let (client, id) = begin(&mut world, 0);
    let data = json!({"sip_login": "100", "sip_password": "secret", "status": "REGISTERED"});
    send(&mut world, 0, "registration.status", &id, data);
    let registered = json!({"sipLogin": "100", "status": "REGISTERED"});
    assert_eq!(one(&mut world, client), ("registered".to_owned(), registered));
    assert_eq!(hook(&mut world, "RegistrationStatusEvent").body["sipPassword"], "secret");
}

/// The backend is asked first; the caller hears of a refusal by an event without a session.
#[test]
fn w21_what_arrives_waits_for_the_backend() {
    let data = json!({"call_id": "c", "caller": "100", "callee": "200", "status": "PENDING"});
    let told_of = json!({"callId": "c", "caller": "100", "callee": "200", "status": "PENDING"});
    for (app, status, delivered) in [
        (app(&["OnCallEvent"]), 403, true),
        (failing(&["OnCallEvent"]), 200, true),
        (failing(&["OnCallEvent", "CallStatusEvent"]), 403, false),
    ] {
        let mut world = world_with(with_incoming(app), 1);
        let (client, id) = begin(&mut world, 0);
        send(&mut world, 0, "call.incoming", &id, data.clone());
        assert!(told(&mut world, client).is_empty(), "the backend comes first");
        let asked = hook(&mut world, "OnCallEvent");
        assert_eq!(asked.body["callId"], "c");
        answer(&mut world, &asked, status, "");
        let (name, data) = one(&mut world, client);
        if delivered {
            assert_eq!((&*name, &data), ("notifyIncomingCall", &told_of));
            assert!(hooks(&mut world).is_empty());
            continue;
        }
        let info = "REST hook OnCallEvent failed: HTTP 403";
        assert_eq!((&*name, data), fail(info));
        let refused = hook(&mut world, "CallStatusEvent").body;
        let found = ["sessionId", "callId", "status", "info"].map(|name| refused[name].clone());
        assert_eq!(found, ["", "c", "FAILED", info].map(Value::from));
    }
}

/// W11, W12 for what arrives: OVERWRITE replaces, DISABLE asks nobody.
#[test]
fn w21_what_arrives_is_as_the_backend_says() {
    let overwriting = crate::wcs_common::overwriting("OnMessageEvent", &["body"]);
    let mut world = world_with(with_incoming(overwriting), 1);
    let (client, id) = begin(&mut world, 0);
    send(&mut world, 0, "message.incoming", &id, json!({"id": "1", "body": "theirs"}));
    let asked = hook(&mut world, "OnMessageEvent");
    answer(&mut world, &asked, 200, r#"{"id":"2","body":"ours"}"#);
    assert_eq!(one(&mut world, client), ("OnMessageEvent".to_owned(), json!({"id": "1", "body": "ours"})));

    let policy =
        HookPolicy { policy: offhook_core::ground::config::RestPolicy::Disable, ..HookPolicy::default() };
    let disabled =
        WcsApp { policies: [("OnMessageEvent".to_owned(), policy)].into(), ..app(&["OnMessageEvent"]) };
    let mut world = world_with(with_incoming(disabled), 1);
    let (client, id) = begin(&mut world, 0);
    send(&mut world, 0, "message.incoming", &id, json!({"id": "1"}));
    assert_eq!(one(&mut world, client).0, "OnMessageEvent");
    assert!(hooks(&mut world).is_empty());
}

#[test]
fn w23_a_failed_keepalive_ends_the_stream() {
    let data = json!({"media_session_id": "m", "name": "b4e7", "status": "PUBLISHING", "published": true});
    for enabled in [true, false] {
        let app =
            WcsApp { stream_keepalive: enabled, ..failing(&["StreamKeepAliveEvent", "StreamStatusEvent"]) };
        let mut world = world(app, 1);
        let (client, id) = begin(&mut world, 0);
        send(&mut world, 0, "stream.keepalive", &id, data.clone());
        assert!(told(&mut world, client).is_empty(), "it is for the backend alone");
        if !enabled {
            assert!(hooks(&mut world).is_empty(), "off unless enabled");
            continue;
        }
        let asked = hook(&mut world, "StreamKeepAliveEvent");
        assert_eq!(asked.body["published"], true);
        answer(&mut world, &asked, 403, "");
        let (name, told) = one(&mut world, client);
        let info = "REST hook StreamKeepAliveEvent failed: HTTP 403";
        let found = ["mediaSessionId", "status", "info"].map(|name| told[name].clone());
        assert_eq!((&*name, found), ("notifyStreamStatusEvent", ["m", "FAILED", info].map(Value::from)));
        assert_eq!(hook(&mut world, "StreamStatusEvent").body["status"], "FAILED");
    }
}

#[test]
fn w43_call_statuses_have_their_messages() {
    let mut world = world(app(&[]), 1);
    let (client, id) = begin(&mut world, 0);
    for (status, message) in [
        ("TRYING", "notifyTryingResponse"),
        ("RING", "ring"),
        ("SESSION_PROGRESS", "ring"),
        ("ESTABLISHED", "talk"),
        ("HOLD", "hold"),
        ("BUSY", "finish"),
        ("FAILED", "finish"),
        ("FINISH", "finish"),
    ] {
        send(&mut world, 0, "call.status", &id, json!({"call_id": "c", "status": status}));
        let expected = (message.to_owned(), json!({"callId": "c", "status": status}));
        assert_eq!(one(&mut world, client), expected);
    }
    assert!(hooks(&mut world).is_empty());
}

/// The session's own name in an event of another application means nothing.
#[test]
fn an_event_of_another_application_does_not_reach_the_session() {
    let mut config = config(app(&[]));
    config.wcs.apps.push(WcsApp { key: "other".to_owned(), ..app(&["StreamStatusEvent"]) });
    let mut world = world_with(config, 1);
    let (client, id) = begin(&mut world, 0);
    let event =
        json!({"type": "stream.status", "appkey": "other", "sessionid": id, "data": {"status": "STOPPED"}});
    let event = offhook_tests::memory::write::publish(event.to_string());
    assert_eq!(world.ask_alone(event).status, 202);
    assert!(told(&mut world, client).is_empty());
    assert_eq!(hook(&mut world, "StreamStatusEvent").body["appKey"], "other");
}

/// A source of events may end a session.
#[test]
fn a_connection_that_failed_is_told_and_closed() {
    let mut world = world(app(&["ConnectionStatusEvent"]), 1);
    let (client, id) = begin(&mut world, 0);
    let begun = hook(&mut world, "ConnectionStatusEvent");
    answer(&mut world, &begun, 200, "");
    let data = json!({"status": "FAILED", "info": "no registrar", "sip_login": "100"});
    send(&mut world, 0, "connection.status", &id, data);
    let told = ("fail", json!({"status": "FAILED", "info": "no registrar"}));
    crate::wcs_common::assert_closed(&mut world, client, &[told], 1008);
    assert_eq!(hook(&mut world, "ConnectionStatusEvent").body["status"], "FAILED");
}

/// One hook at a time, whether the client asked or an event came.
#[test]
fn w27_operations_and_events_of_a_session_are_in_one_order() {
    let mut world = world(app(&["StreamStatusEvent", "OnDataEvent"]), 1);
    let (client, id) = begin(&mut world, 0);
    stream(&mut world, 0, &id, "one");
    say(&mut world, client, "sendData", json!({"operationId": "1", "payload": {}}));
    stream(&mut world, 0, &id, "two");
    say(&mut world, client, "sendData", json!({"operationId": "2", "payload": {}}));
    let mut order = Vec::new();
    while let Some(Hook { name, body, made }) = hooks(&mut world).pop() {
        let which = body.get("name").or(body.get("operationId")).cloned().expect("one of them");
        order.push(which);
        answer(&mut world, &Hook { name, body, made }, 200, "{}");
    }
    assert_eq!(order, ["one", "1", "two", "2"]);
}

#[test]
fn w28_a_slow_backend_of_one_session_does_not_delay_anothers() {
    let mut world = world(app(&["OnDataEvent"]), 1);
    let clients = [0, 1].map(|_| begin(&mut world, 0).0);
    let slow: Vec<Hook> = [clients[0], clients[1]]
        .map(|client| {
            say(&mut world, client, "sendData", json!({"operationId": "1", "payload": {}}));
            hook(&mut world, "OnDataEvent")
        })
        .into();
    answer(&mut world, &slow[1], 200, "{}");
    assert_eq!(one(&mut world, clients[1]).1["status"], "ACCEPTED");
    assert!(told(&mut world, clients[0]).is_empty());
}

/// Its bound is a number of messages or their size; the others get theirs all the while.
#[test]
fn w45_a_client_that_stops_reading_is_closed_at_the_bound() {
    for (messages, bytes) in [(20, 1 << 20), (1_000, 2_000)] {
        let mut config = config(app(&["ConnectionStatusEvent"]));
        config.limits.wcs_unsent_messages = messages;
        config.limits.wcs_unsent_bytes = bytes;
        let mut world = world_with(config, 1);
        let sessions = [0, 1].map(|_| {
            let begun = begin(&mut world, 0);
            let hook = hook(&mut world, "ConnectionStatusEvent");
            answer(&mut world, &hook, 200, "");
            begun
        });
        let [(slow, of_slow), (other, of_other)] = sessions;
        world.limit_room(slow, 0);
        let mut sent = 0;
        while world.stats().dialects["wcs"].not_sent.is_empty() {
            stream(&mut world, 0, &of_slow, "b4e7");
            stream(&mut world, 0, &of_other, "b4e7");
            assert_eq!(one(&mut world, other).0, "notifyStreamStatusEvent");
            sent += 1;
            assert!(sent < 100, "there is a bound");
        }
        assert!(sent >= 15, "{sent} is not the bound");
        // It reads on: what had been queued, and why it was closed.
        world.lift_limit(slow);
        let frames = world.frames(slow);
        let (last, before) = frames.split_last().expect("frames");
        assert_eq!(before.len() + 1, sent, "all but the one too many");
        assert!(matches!(last, offhook_tests::memory::ws::Frame::Close(Some(1013), _)), "{last:?}");
        world.send_close(slow, 1013, "");
        assert_eq!(hook(&mut world, "ConnectionStatusEvent").body["status"], "DISCONNECTED");
    }
}

/// One that never reads again is cut, and its end is told.
#[test]
fn w45_a_client_that_never_reads_again_is_cut() {
    let mut world = world(app(&["ConnectionStatusEvent"]), 1);
    let (client, _) = begin(&mut world, 0);
    let begun = hook(&mut world, "ConnectionStatusEvent");
    answer(&mut world, &begun, 200, "");
    world.limit_room(client, 0);
    world.pass(120_000);
    assert!(world.is_closed(client));
    assert_eq!(hook(&mut world, "ConnectionStatusEvent").body["status"], "DISCONNECTED");
}
