//! Sessions of WCS over the websocket: their beginning, what keeps them alive, and their end.

use offhook_core::Completion;
use offhook_core::ground::config::{HookPolicy, Keepalive, WcsApp};
use offhook_tests::memory::World;
use offhook_tests::memory::write::get;
use offhook_tests::memory::ws::{Frame, upgrade};
use serde_json::{Value, json};

use crate::wcs_common::{
    NODE, answer, app, ask, assert_closed, begin, config, established, fail, hook, hooks, one, overwriting,
    say, stream, told, world, world_with,
};

/// What the Web SDK sends first.
fn sdk_connection() -> Value {
    json!({
        "appKey": "defaultApp", "mediaProviders": ["WebRTC", "MSE"], "keepAlive": false, "authToken": "forged",
        "clientVersion": "2.0", "clientOSVersion": "5.0 (X11)", "clientBrowserVersion": "Chrome/120",
        "msePacketizationVersion": 2, "custom": {"token": [1, 2.0]}, "sipLogin": "100", "sipPassword": "secret",
    })
}

#[test]
fn w6_connect_with_200_gives_get_user_data() {
    let mut world = world(app(&["connect"]), 1);
    let client = world.websocket_to(0, "/", "Origin: https://page.example.com\r\n");
    say(&mut world, client, "connection", sdk_connection());
    assert!(told(&mut world, client).is_empty(), "the backend is asked first");
    let asked = hook(&mut world, "connect");
    let id = asked.body["sessionId"].clone();
    assert!(id.as_str().is_some_and(|id| id.starts_with("/127.0.0.1:40000/localhost")), "{id}");
    let mut expected = sdk_connection();
    expected["nodeId"] = NODE.into();
    expected["sessionId"] = id.clone();
    expected["origin"] = "https://page.example.com".into();
    assert_eq!(asked.body, expected, "what the client said, its authToken and password included");
    answer(&mut world, &asked, 200, "{}");
    let (name, data) = one(&mut world, client);
    assert_eq!(name, "getUserData");
    // W14: sipPassword is not there. authToken is the server's own.
    let token = data["authToken"].as_str().expect("a token");
    assert!(token.len() == 32 && token.bytes().all(|b| b.is_ascii_hexdigit()), "{token}");
    let mut expected = sdk_connection();
    let fields = expected.as_object_mut().expect("an object");
    fields.remove("sipPassword");
    expected["sessionId"] = id;
    expected["origin"] = "https://page.example.com".into();
    expected["status"] = "ESTABLISHED".into();
    expected["authToken"] = token.into();
    assert_eq!(data, expected);
}

#[test]
fn w6_connect_with_anything_else_gives_fail_and_close() {
    for status in [201, 204, 301, 403, 500] {
        let mut world = world(app(&["connect"]), 1);
        let client = ask(&mut world, 0, json!({}));
        let asked = hook(&mut world, "connect");
        answer(&mut world, &asked, status, "");
        let info = format!("REST hook connect failed: HTTP {status}");
        assert_closed(&mut world, client, &[fail(&info)], 1008);
        world.send_close(client, 1008, "");
        assert!(world.is_ended(client) && hooks(&mut world).is_empty());
    }
}

#[test]
fn w6_connect_without_a_backend_gives_fail_and_close() {
    let mut world = World::with(config(app(&["connect"])), 1);
    let client = ask(&mut world, 0, json!({}));
    assert_closed(&mut world, client, &[fail("REST hook connect failed: connection failed")], 1008);
    assert_eq!(std::iter::from_fn(|| world.take_dialed()).count(), 4, "W25: one attempt and three more");
}

#[test]
fn w7_connect_with_no_content_is_accepted_and_with_text_declined() {
    for (body, accepted) in [("", true), ("hello", false), ("[]", false)] {
        let mut world = world(app(&["connect"]), 1);
        let client = ask(&mut world, 0, json!({}));
        let asked = hook(&mut world, "connect");
        answer(&mut world, &asked, 200, body);
        if accepted {
            established(&mut world, client);
        } else {
            assert_closed(&mut world, client, &[fail("REST hook connect failed: bad response")], 1008);
        }
    }
}

#[test]
fn w4_w5_without_hooks_and_without_an_app_key_there_is_a_session_of_default_app() {
    let mut world = world(app(&[]), 1);
    let client = ask(&mut world, 0, json!({"mediaProviders": []}));
    let (_, data) = one(&mut world, client);
    assert_eq!((&data["appKey"], &data["status"]), (&json!("defaultApp"), &json!("ESTABLISHED")));
    assert!(hooks(&mut world).is_empty());
}

#[test]
fn an_unknown_application_is_declined() {
    let mut world = world(app(&[]), 1);
    let client = ask(&mut world, 0, json!({"appKey": "other"}));
    assert_closed(&mut world, client, &[fail("there is no application other")], 1008);
}

#[test]
fn w13_overwrite_in_the_answer_to_connect_applies_to_it() {
    let mut world = world(app(&["connect"]), 1);
    let client = ask(&mut world, 0, json!({"sipLogin": "old", "sipDomain": "here"}));
    let asked = hook(&mut world, "connect");
    let body = json!({"sipLogin": "new", "sipPassword": "secret", "sipDomain": "there", "restClientConfig": {
        "connect": {"restPolicy": "OVERWRITE", "restOverwrite": "sipLogin, sipPassword"}}});
    answer(&mut world, &asked, 200, &body.to_string());
    let (_, data) = one(&mut world, client);
    assert_eq!((&data["sipLogin"], &data["sipDomain"]), (&json!("new"), &json!("here")));
    assert!(data.get("sipPassword").is_none(), "W14");
}

/// The vendor's sample keeps sip credentials from the client so.
#[test]
fn w9_client_exclude_of_connect_and_of_its_event_trim_get_user_data() {
    let mut world = world(app(&["connect"]), 1);
    let client = ask(&mut world, 0, json!({"sipLogin": "100", "clientVersion": "2", "custom": {}}));
    let asked = hook(&mut world, "connect");
    let body = json!({"restClientConfig": {"connect": {"clientExclude": "sipLogin,authToken"},
        "ConnectionStatusEvent": {"clientExclude": ["custom"]}}});
    answer(&mut world, &asked, 200, &body.to_string());
    let (_, data) = one(&mut world, client);
    let names: Vec<&String> = data.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["appKey", "clientVersion", "sessionId", "status"]);
}

#[test]
fn w37_the_backend_hears_of_the_beginning_and_the_end() {
    let mut world = world(app(&["connect", "ConnectionStatusEvent"]), 1);
    let client = ask(&mut world, 0, json!({"custom": {"a": 1}, "sipPassword": "secret"}));
    let asked = hook(&mut world, "connect");
    answer(&mut world, &asked, 200, "{}");
    let (_, data) = one(&mut world, client);
    let begun = hook(&mut world, "ConnectionStatusEvent");
    let expected = json!({"nodeId": NODE, "appKey": "defaultApp", "sessionId": asked.body["sessionId"],
        "custom": {"a": 1}, "status": "ESTABLISHED", "authToken": data["authToken"], "sipPassword": "secret"});
    assert_eq!(begun.body, expected);
    // The end waits behind the beginning, which the backend has not answered.
    world.send_close(client, 1000, "");
    assert!(hooks(&mut world).is_empty());
    answer(&mut world, &begun, 200, "{}");
    let ended = hook(&mut world, "ConnectionStatusEvent");
    let mut expected = expected;
    expected["status"] = "DISCONNECTED".into();
    assert_eq!(ended.body, expected);
    answer(&mut world, &ended, 200, "{}");
    assert!(hooks(&mut world).is_empty());
}

#[test]
fn w37_however_a_socket_goes_the_backend_hears_of_it() {
    for end in 0..4 {
        let mut world = world(app(&["ConnectionStatusEvent"]), 1);
        let (client, _) = begin(&mut world, 0);
        let begun = hook(&mut world, "ConnectionStatusEvent");
        answer(&mut world, &begun, 200, "{}");
        match end {
            0 => world.break_off(client),
            1 => world.end(client),
            // A frame that breaks the protocol.
            2 => world.send_frame(client, 0xC1, "x"),
            _ => world.pass(60_000),
        }
        world.pass(10_000);
        assert_eq!(hook(&mut world, "ConnectionStatusEvent").body["status"], "DISCONNECTED", "{end}");
    }
}

/// Whoever leaves before it was let in had no session.
#[test]
fn w37_a_client_that_leaves_before_the_answer_to_connect_had_no_session() {
    let mut world = world(app(&["connect", "ConnectionStatusEvent"]), 1);
    let client = ask(&mut world, 0, json!({}));
    let asked = hook(&mut world, "connect");
    world.break_off(client);
    answer(&mut world, &asked, 200, "{}");
    assert!(hooks(&mut world).is_empty());
}

#[test]
fn w34_pings_come_every_5_s_and_silence_ends_the_session() {
    let mut world = world(app(&[]), 1);
    let (client, _) = begin(&mut world, 0);
    let ping = r#"{"message":"ping","data":[null]}"#;
    for _ in 0..10 {
        world.pass(4_999);
        assert!(world.texts(client).is_empty());
        world.pass(1);
        assert_eq!(world.texts(client), [ping]);
    }
    world.pass(4_999);
    assert!(world.received(client).is_empty() && !world.is_ended(client), "the tenth may still be answered");
    world.pass(1);
    assert_eq!(world.close_frame(client).0, 1011);
}

/// Any message resets the count, also one that is a fault, and control frames.
#[test]
fn w34_any_sign_of_life_keeps_the_session() {
    let mut world = world(app(&[]), 1);
    let (client, _) = begin(&mut world, 0);
    for round in 0..8 {
        world.pass(50_000);
        match round % 4 {
            0 => say(&mut world, client, "pong", Value::Null),
            1 => world.send_text(client, "odd"),
            2 => world.send_pong(client, ""),
            _ => say(&mut world, client, "ping", Value::Null),
        }
        let frames = world.frames(client);
        let last = frames.last().expect("pings at least");
        match round % 4 {
            1 => assert!(matches!(last, Frame::Text(text) if text.contains("fail"))),
            3 => assert_eq!(*last, Frame::Text(r#"{"message":"pong","data":[null]}"#.to_owned())),
            _ => assert_eq!(*last, Frame::Text(r#"{"message":"ping","data":[null]}"#.to_owned())),
        }
        assert!(!world.is_ended(client));
    }
}

#[test]
fn w34_keepalives_are_control_frames_or_none_at_all() {
    for keepalive in [Keepalive::Internal, Keepalive::None] {
        let mut config = config(app(&[]));
        config.wcs.keepalive = keepalive;
        config.wcs.keepalive_interval_ms = 1_000;
        config.wcs.keepalive_count = 3;
        let mut world = world_with(config, 1);
        let (client, _) = begin(&mut world, 0);
        world.pass(3_000);
        if keepalive == Keepalive::None {
            world.pass(3_600_000);
            assert!(world.received(client).is_empty() && !world.is_ended(client));
        } else {
            assert_eq!(world.frames(client), vec![Frame::Ping(Vec::new()); 3]);
            world.send_pong(client, "");
            world.pass(4_000);
            assert!(matches!(world.frames(client).last(), Some(Frame::Close(Some(1011), _))));
        }
    }
}

#[test]
fn w35_faults_and_unknown_messages_are_told_and_the_session_lives() {
    let mut world = world(app(&[]), 1);
    let (client, session) = begin(&mut world, 0);
    for (text, info) in [
        ("hello", "a message is a JSON object"),
        ("[]", "a message is a JSON object"),
        ("{\"data\":[]}", "a message needs its name"),
        ("{\"message\":\"x\",\"data\":{}}", "x: `data` is an array"),
        ("{\"message\":\"dance\",\"data\":[null]}", "unknown message dance"),
        ("{\"message\":\"connection\",\"data\":[{}]}", "the session has begun already"),
        ("{\"message\":\"sendData\",\"data\":[{\"payload\":1}]}", "sendData needs an `operationId`"),
    ] {
        world.send_text(client, text);
        let (name, data) = one(&mut world, client);
        assert_eq!((&*name, data.as_object().map(|data| data.len())), ("fail", Some(1)), "info alone");
        assert!(data["info"].as_str().is_some_and(|found| found.starts_with(info)), "{data}");
    }
    stream(&mut world, 0, &session, "b4e7");
    assert_eq!(one(&mut world, client).0, "notifyStreamStatusEvent");
}

#[test]
fn w36_without_connection_within_10_s_the_socket_is_closed() {
    let mut world = world(app(&[]), 1);
    let client = world.websocket_to(0, "/", "");
    world.pass(9_999);
    assert!(!world.frames(client).iter().any(|frame| matches!(frame, Frame::Close(..))));
    world.pass(1);
    let frames = world.frames(client);
    assert!(
        matches!(&frames[frames.len() - 2..], [Frame::Text(text), Frame::Close(Some(1008), _)]
        if text.contains("no `connection` came in time")),
        "{frames:?}"
    );
    // A session that was open for longer is not touched.
    let (open, _) = begin(&mut world, 0);
    world.pass(20_000);
    assert!(!world.is_ended(open));
}

#[test]
fn w36_another_first_message_is_refused() {
    let mut world = world(app(&[]), 1);
    let client = world.websocket_to(0, "/", "");
    say(&mut world, client, "sendData", json!({"operationId": "1"}));
    assert_closed(&mut world, client, &[fail("the first message must be `connection`")], 1008);
    // Text that is no message is not yet a first one.
    let client = world.websocket_to(0, "/", "");
    world.send_text(client, "{}");
    assert_eq!(one(&mut world, client).0, "fail");
    say(&mut world, client, "connection", json!({}));
    established(&mut world, client);
}

#[test]
fn w39_binary_frames_are_ignored_and_messages_are_bounded() {
    let mut world = world(app(&[]), 1);
    let (client, _) = begin(&mut world, 0);
    world.send_binary(client, [0, 159, 146, 150]);
    assert!(world.received(client).is_empty() && !world.is_ended(client));
    let text = |len: usize| format!(r#"{{"message":"{}","data":[]}}"#, "x".repeat(len - 24));
    world.send_text(client, text(1 << 20));
    assert_eq!(one(&mut world, client).0, "fail", "1 MiB is a message");
    world.send_text(client, text((1 << 20) + 1));
    assert_eq!(world.close_frame(client).0, 1009);
    let (client, _) = begin(&mut world, 0);
    world.send_frame(client, 0x81, [0xff]);
    assert_eq!(world.close_frame(client).0, 1007, "text is UTF-8");
}

#[test]
fn too_many_messages_close_a_session() {
    let mut config = config(app(&[]));
    config.limits.wcs_messages = 5;
    let mut world = world_with(config, 1);
    let (client, _) = begin(&mut world, 0);
    for _ in 0..4 {
        say(&mut world, client, "pong", Value::Null);
    }
    assert!(world.received(client).is_empty());
    say(&mut world, client, "pong", Value::Null);
    assert_eq!(world.close_frame(client).0, 1008);
}

#[test]
fn the_path_takes_websockets_alone() {
    let mut world = world(app(&[]), 1);
    assert_eq!(world.ask_alone(get("/")).status, 426);
    assert_eq!(world.ask_alone(get("/other")).status, 404);
    assert_eq!(world.ask_alone(upgrade("/other", "")).status, 404);
    let mut elsewhere = config(app(&[]));
    elsewhere.wcs.paths.push("/ws".to_owned());
    world_with(elsewhere, 1).websocket("/ws");
    // Without an application there is no WCS.
    assert_eq!(World::new().ask_alone(upgrade("/", "")).status, 404);
}

#[test]
fn origins_that_no_application_or_not_this_one_admits_are_refused() {
    let page = "https://page.example.com";
    let only = WcsApp { allowed_origins: vec![page.to_owned()], ..app(&[]) };
    let mut world = world(only.clone(), 1);
    let foreign = "Origin: https://evil.example.com\r\n";
    assert_eq!(world.ask_alone(upgrade("/", foreign)).status, 403);
    let notes = world.take_notes();
    let hint = "allowed_origins = [\"https://evil.example.com\"] in a [wcs.apps.NAME] admits it";
    assert!(notes.iter().any(|note| note.text.ends_with(hint)), "{notes:?}");
    for fields in ["", "Origin: https://page.example.com\r\n"] {
        let client = world.websocket_to(0, "/", fields);
        say(&mut world, client, "connection", json!({}));
        established(&mut world, client);
    }
    // Another application admits it: the first message decides.
    let mut both = config(only);
    both.wcs.apps.push(WcsApp { key: "open".to_owned(), ..app(&[]) });
    let mut world = world_with(both, 1);
    let client = world.websocket_to(0, "/", foreign);
    say(&mut world, client, "connection", json!({}));
    assert_closed(&mut world, client, &[fail("this origin may not use the application")], 1008);
    let client = world.websocket_to(0, "/", foreign);
    say(&mut world, client, "connection", json!({"appKey": "open"}));
    established(&mut world, client);
}

#[test]
fn w12_a_disabled_connect_is_not_called() {
    let policy =
        HookPolicy { policy: offhook_core::ground::config::RestPolicy::Disable, ..HookPolicy::default() };
    let mut world =
        world(WcsApp { policies: [("connect".to_owned(), policy)].into(), ..app(&["connect"]) }, 1);
    begin(&mut world, 0);
    assert!(hooks(&mut world).is_empty());
}

#[test]
fn w24_a_backend_that_never_answers_connect_fails_after_15_s() {
    let mut world = world(app(&["connect"]), 1);
    let client = ask(&mut world, 0, json!({}));
    hook(&mut world, "connect");
    world.pass(15_000);
    let frames = world.frames(client);
    let close = matches!(frames.last(), Some(Frame::Close(Some(1008), _)));
    let told = frames
        .iter()
        .any(|f| matches!(f, Frame::Text(t) if t.contains("connect failed: timeout after 15 s")));
    assert!(close && told && hooks(&mut world).is_empty(), "{frames:?}");
}

#[test]
fn w10_w11_notify_ignores_what_overwrite_takes_over() {
    for (policy, expected) in
        [(app(&["connect"]), "ours"), (overwriting("connect", &["clientVersion"]), "theirs")]
    {
        let mut world = world(policy, 1);
        let client = ask(&mut world, 0, json!({"clientVersion": "ours", "custom": "ours"}));
        let asked = hook(&mut world, "connect");
        answer(&mut world, &asked, 200, r#"{"clientVersion":"theirs","custom":"theirs"}"#);
        let (_, data) = one(&mut world, client);
        assert_eq!((&data["clientVersion"], &data["custom"]), (&json!(expected), &json!("ours")));
    }
}

#[test]
fn a_stop_closes_sessions_and_their_ends_are_told_after_the_next_start() {
    let config = config(app(&["ConnectionStatusEvent"]));
    let mut world = World::keeping(config.clone(), 2);
    world.serve(crate::wcs_common::BACKEND);
    let (client, id) = begin(&mut world, 1);
    let begun = hook(&mut world, "ConnectionStatusEvent");
    answer(&mut world, &begun, 200, "{}");
    world.tell(|| Completion::Stop);
    assert_eq!(world.close_frame(client).0, 1001);
    world.send_close(client, 1001, "");
    assert!(hooks(&mut world).is_empty());
    world.restart(config);
    let ended = hook(&mut world, "ConnectionStatusEvent");
    assert_eq!((&ended.body["status"], &ended.body["sessionId"]), (&json!("DISCONNECTED"), &json!(id)));
    assert!(ended.body.get("authToken").is_none(), "the log does not hold it");
}

/// A crash ends sessions too; a new crash before the hook's answer does not tell it twice.
#[test]
fn w37_the_ends_that_a_crash_made_are_told_after_the_next_start() {
    let config = config(app(&["ConnectionStatusEvent"]));
    for retired in [false, true] {
        let mut world = World::keeping(config.clone(), 2);
        world.serve(crate::wcs_common::BACKEND);
        let sessions = [0, 1].map(|shard| begin(&mut world, shard).1);
        let (left, _) = begin(&mut world, 0);
        world.break_off(left);
        for _ in 0..4 {
            for begun in hooks(&mut world) {
                answer(&mut world, &begun, 200, "");
            }
        }
        if retired {
            let all = offhook_core::Seq(world.records());
            world.retire(all);
        }
        for _ in 0..2 {
            world.restart(config.clone());
            let mut ended: Vec<Value> = hooks(&mut world)
                .into_iter()
                .map(|hook| {
                    assert_eq!(
                        (&hook.body["status"], &hook.body["appKey"]),
                        (&json!("DISCONNECTED"), &json!("defaultApp"))
                    );
                    hook.body["sessionId"].clone()
                })
                .collect();
            ended.sort_by_key(Value::to_string);
            assert_eq!(ended, sessions.each_ref().map(|id| json!(id)), "{retired}");
        }
    }
}

/// No hook of an application that was removed tells of its sessions' end; their names are free again all the same.
#[test]
fn sessions_of_a_removed_application_are_forgotten() {
    let of_app = config(app(&[]));
    let mut world = world_with(of_app.clone(), 2);
    let mut names = Vec::new();
    for _ in 0..2 {
        let client = world.connect_from(0, "192.0.2.1:4000");
        assert_eq!(world.upgrade(client, "/", "").status, 101);
        say(&mut world, client, "connection", json!({"appKey": "defaultApp"}));
        names.push(established(&mut world, client));
        let mut without = of_app.clone();
        without.wcs.apps.clear();
        world.tell(|| Completion::Reloaded(Box::new(without.clone())));
        world.break_off(client);
        world.tell(|| Completion::Reloaded(Box::new(of_app.clone())));
    }
    assert_eq!(names[0], names[1], "a number would follow if the name were taken");
}

/// `connection`, in so many bytes.
fn connection_of(bytes: usize) -> String {
    let text = |custom: &str| json!({"message": "connection", "data": [{"custom": custom}]}).to_string();
    text(&"x".repeat(bytes - text("").len()))
}

/// W6: before the backend has admitted a client, it cannot make the server keep much.
#[test]
fn messages_are_small_until_the_session_is_open() {
    let mut world = world(app(&["connect"]), 1);
    let text = connection_of(65_537);
    let (begin, end) = text.split_at(65_000);
    for pieces in [vec![&*text], vec![begin, end]] {
        let client = world.websocket_to(0, "/", "");
        world.send_fragments(client, &pieces);
        assert_closed(&mut world, client, &[], 1009);
    }
    assert!(hooks(&mut world).is_empty(), "the backend heard of none of them");
    let large = |bytes: usize| json!({"message": "ping", "data": ["x".repeat(bytes)]}).to_string();
    let [waiting, client] = [0, 1].map(|_| {
        let client = world.websocket_to(0, "/", "");
        world.send_text(client, connection_of(65_536));
        client
    });
    world.send_text(waiting, large(65_536));
    assert_closed(&mut world, waiting, &[], 1009);
    for asked in hooks(&mut world) {
        answer(&mut world, &asked, 200, "{}");
    }
    established(&mut world, client);
    world.send_text(client, large(1_000_000));
    assert_eq!(one(&mut world, client).0, "pong");
    world.send_text(client, large(1_048_576));
    assert_closed(&mut world, client, &[], 1009);
}

/// A session's name is kept for long: the client adds no more to it than a host's name can have.
#[test]
fn w6_a_sessions_name_is_short() {
    let mut world = world(app(&[]), 1);
    for (host_bytes, is_taken) in [(255, true), (256, false)] {
        let host = "h".repeat(host_bytes);
        let peer = world.connect();
        let asked = String::from_utf8(upgrade("/", "")).expect("text");
        world.send(peer, asked.replace("Host: localhost", &format!("Host: {host}")));
        assert_eq!(world.next_reply(peer).map(|reply| reply.status), Some(101));
        say(&mut world, peer, "connection", json!({}));
        let id = established(&mut world, peer);
        let server = if is_taken { &*host } else { "127.0.0.1" };
        assert!(id.starts_with("/127.0.0.1:") && id.ends_with(&format!("/{server}")), "{id}");
    }
}

/// Whoever is declined stands in the audit log, with the reason and without a word of what it sent.
#[test]
fn the_declined_are_audited() {
    let mut world = world(app(&["connect"]), 1);
    ask(&mut world, 0, json!({"appKey": "other", "custom": "secret"}));
    ask(&mut world, 0, json!({"custom": "secret"}));
    let asked = hooks(&mut world).remove(0);
    answer(&mut world, &asked, 403, "{}");
    let lines: Vec<String> =
        world.take_audit().iter().map(|line| serde_json::to_string(line).expect("JSON")).collect();
    let line = |reason: &str| {
        format!(
            r#"{{"time":"2015-11-03T14:37:11.000Z","what":"refused","dialect":"wcs","address":"127.0.0.1","reason":"{reason}"}}"#
        )
    };
    let expected = ["there is no application other", "REST hook connect failed: HTTP 403"].map(line);
    assert_eq!(lines, expected);
}
