//! `POST /rest-api/data/send`, and sessions on several engines.

use offhook_core::Config;
use offhook_core::ground::config::{Only, Rights, Token, User};
use offhook_tests::memory::World;
use offhook_tests::memory::checks::hash;
use offhook_tests::memory::read::Reply;
use offhook_tests::memory::write::{get, request};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::wcs_common::{
    answer, app, begin, config, failing, hook, hooks, one, send, stream, stream_fields, told, world,
    world_with,
};

/// Pushes through an engine, with these header fields.
fn push(world: &mut World, shard: usize, fields: &str, body: impl AsRef<[u8]>) -> Reply {
    let peer = world.connect_to(shard);
    push_from(world, peer, fields, body)
}

fn push_from(
    world: &mut World,
    peer: offhook_tests::memory::Peer,
    fields: &str,
    body: impl AsRef<[u8]>,
) -> Reply {
    let fields = format!("Content-Type: application/json\r\n{fields}");
    world.send(peer, request("POST", "/rest-api/data/send", &fields, body));
    world.finish_checks();
    let reply = world.next_reply(peer).expect("a whole reply");
    world.break_off(peer);
    reply
}

fn body(session: &str) -> String {
    json!({"nodeId": "n", "operationId": "7e", "sessionId": session, "payload": {"a": [1, null]}}).to_string()
}

#[test]
fn w38_a_push_reaches_its_session_through_every_engine() {
    let mut world = world(app(&[]), 2);
    for (home, through) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let (client, id) = begin(&mut world, home);
        let reply = push(&mut world, through, "", body(&id));
        assert_eq!((reply.status, reply.text()), (200, "{}"));
        let expected = json!({"operationId": "7e", "payload": {"a": [1, null]}});
        assert_eq!(one(&mut world, client), ("OnDataEvent".to_owned(), expected));
        world.break_off(client);
        assert_eq!(push(&mut world, through, "", body(&id)).status, 404, "it is gone");
    }
}

#[test]
fn w38_bad_pushes_are_answered() {
    let mut world = world(app(&[]), 1);
    let (client, id) = begin(&mut world, 0);
    for (body, status, detail) in [
        (body("/1.2.3.4:5/6.7.8.9:10"), 404, "no session of this `sessionId` is open"),
        ("{".to_owned(), 400, ""),
        ("[]".to_owned(), 400, ""),
        (String::new(), 400, ""),
        ("{}".to_owned(), 400, "`sessionId` is missing"),
        (json!({"sessionId": []}).to_string(), 400, "`sessionId` is missing"),
    ] {
        let reply = push(&mut world, 0, "", &body);
        assert_eq!(reply.status, status, "{body}");
        assert!(reply.text().contains(detail), "{}", reply.text());
    }
    let peer = world.connect();
    assert_eq!(push_from(&mut world, peer, "", b"\xff").status, 400);
    assert_eq!(world.ask_alone(get("/rest-api/data/send")).status, 405);
    assert_eq!(world.ask_alone(get("/rest-api/data/other")).status, 404);
    assert!(told(&mut world, client).is_empty());
    // Without an operationId it is still something.
    let bare = json!({"sessionId": id, "payload": 1}).to_string();
    assert_eq!(push(&mut world, 0, "", bare).status, 200);
    assert_eq!(one(&mut world, client).1, json!({"payload": 1}));
}

/// Basic credentials of `[wcs] push_users`; without any, the rule of the native API.
#[test]
fn w38_who_may_push() {
    let basic = |credentials: &str| {
        format!("Authorization: Basic {}\r\n", data_encoding::BASE64.encode(credentials.as_bytes()))
    };
    let mut users = config(app(&[]));
    users.wcs.push_users =
        [User { name: "backend".to_owned(), password_hash: hash("sesame"), only: Only::default() }].into();
    let mut tokens = config(app(&[]));
    let rights = [
        ("publisher", Rights { publish: true, ..Rights::default() }),
        ("reader", Rights { read: true, ..Rights::default() }),
    ];
    tokens.auth.tokens = rights
        .map(|(name, may)| Token {
            name: name.to_owned(),
            sha256: Sha256::digest(name.as_bytes()).into(),
            may,
            only: Only::default(),
        })
        .into();
    let check = |config: Config, from: &str, fields: &str, status: u16| {
        let mut world = world_with(config, 1);
        let (client, id) = begin(&mut world, 0);
        let peer = world.connect_from(0, from);
        let reply = push_from(&mut world, peer, fields, body(&id));
        assert_eq!(reply.status, status, "{from} {fields}");
        assert_eq!(told(&mut world, client).len(), usize::from(status == 200));
        reply.field("www-authenticate").map(str::to_owned)
    };
    let (here, there) = ("127.0.0.1:9", "192.0.2.1:9");
    check(users.clone(), there, &basic("backend:sesame"), 200);
    for fields in [String::new(), basic("backend:x"), basic("x:sesame")] {
        let asked = check(users.clone(), here, &fields, 401);
        assert_eq!(asked.as_deref(), Some("Basic realm=\"wcs\", charset=\"UTF-8\""));
    }
    check(config(app(&[])), here, "", 200);
    check(config(app(&[])), there, "", 403);
    check(tokens.clone(), there, "Authorization: Bearer publisher\r\n", 200);
    check(tokens.clone(), here, "Authorization: Bearer reader\r\n", 403);
    check(tokens, here, "", 401);
}

/// Pages of other hosts push nothing, with users and without, whatever pages the native API admits.
#[test]
fn w38_pages_of_other_origins_push_nothing() {
    let users = [User { name: "backend".to_owned(), password_hash: hash("sesame"), only: Only::default() }];
    for users in [&users[..], &[]] {
        let mut config = config(app(&[]));
        config.wcs.push_users = users.into();
        config.native.allowed_origins = vec!["https://crm.example.com".to_owned()];
        let mut world = world_with(config, 1);
        let (client, id) = begin(&mut world, 0);
        world.take_notes();
        let credentials = "Authorization: Basic YmFja2VuZDpzZXNhbWU=\r\n";
        for origin in ["https://crm.example.com", "null"] {
            let fields = format!("Origin: {origin}\r\n{credentials}");
            assert_eq!(push(&mut world, 0, &fields, body(&id)).status, 403, "{origin}");
            let line = format!(
                "wcs: 127.0.0.1 was refused: its origin {origin} is another host's, whose pages may not ask here"
            );
            let notes = world.take_notes();
            assert!(notes.iter().any(|note| note.text == line), "{notes:?}");
        }
        assert!(told(&mut world, client).is_empty());
        for own in ["Origin: http://localhost\r\n", ""] {
            assert_eq!(push(&mut world, 0, &format!("{own}{credentials}"), body(&id)).status, 200, "{own}");
        }
    }
}

/// The log names the setting that would admit.
#[test]
fn w38_the_log_says_what_would_admit_a_push() {
    let mut config = config(app(&[]));
    config.wcs.push_users =
        [User { name: "backend".to_owned(), password_hash: hash("sesame"), only: Only::default() }].into();
    let mut world = world_with(config, 1);
    world.take_notes();
    push(&mut world, 0, "Authorization: Basic eDp5\r\n", body("s"));
    let notes = world.take_notes();
    let hint = "[wcs] push_users = [{ name = \"x\", password_hash = \"...\" }] admits it";
    assert!(notes.iter().any(|note| note.text.ends_with(hint)), "{notes:?}");
}

/// Whichever engine takes the event: that of the socket tells the client and calls the hook.
#[test]
fn w15_w27_a_sessions_events_are_the_affair_of_its_engine() {
    let mut world = world(failing(&["StreamStatusEvent"]), 3);
    for home in 0..3 {
        let (client, id) = begin(&mut world, home);
        for through in [2, 0, 1] {
            stream(&mut world, through, &id, &format!("{through}"));
            let expected = ("notifyStreamStatusEvent".to_owned(), stream_fields(&format!("{through}")));
            assert_eq!(one(&mut world, client), expected);
            let called = hook(&mut world, "StreamStatusEvent");
            assert_eq!(called.made.shard, home);
            answer(&mut world, &called, 500, "");
            let names: Vec<String> = told(&mut world, client).into_iter().map(|(name, _)| name).collect();
            assert_eq!(names, ["fail", "ErrorEvent"]);
        }
        world.break_off(client);
    }
}

/// What waits when the socket goes is still called by the same engine, one at a time; then the application's engine has
/// what comes.
#[test]
fn w27_hooks_of_a_session_stay_in_order_beyond_its_end() {
    let mut world = world(app(&["StreamStatusEvent", "ConnectionStatusEvent"]), 2);
    for home in 0..2 {
        let (client, id) = begin(&mut world, home);
        stream(&mut world, 0, &id, "one");
        world.break_off(client);
        stream(&mut world, 1, &id, "two");
        let mut seen = Vec::new();
        for _ in 0..4 {
            let mut made = hooks(&mut world);
            assert_eq!(made.len(), 1, "one at a time");
            let called = made.remove(0);
            assert_eq!((called.made.shard, &called.body["sessionId"]), (home, &json!(id)));
            let what = called.body.get("name").unwrap_or(&called.body["status"]);
            seen.push(what.as_str().expect("text").to_owned());
            answer(&mut world, &called, 200, "");
        }
        assert_eq!(seen, ["ESTABLISHED", "one", "DISCONNECTED", "two"]);
    }
    let mut engines = Vec::new();
    for through in 0..2 {
        stream(&mut world, through, "gone", "b4e7");
        let called = hook(&mut world, "StreamStatusEvent");
        engines.push(called.made.shard);
        answer(&mut world, &called, 200, "");
    }
    assert_eq!(engines[0], engines[1], "that of the application");
}

/// Two engines whose records come at different times agree on who acts.
#[test]
fn w27_an_engine_that_is_behind_decides_the_same() {
    let mut world = world(app(&["StreamStatusEvent"]), 2);
    for (home, other) in [(0, 1), (1, 0)] {
        world.hold_records(other);
        let (client, id) = begin(&mut world, home);
        let data = json!({"name": "b4e7", "status": "PUBLISHING"});
        send(&mut world, home, "stream.status", &id, data.clone());
        assert_eq!(one(&mut world, client).0, "notifyStreamStatusEvent");
        world.break_off(client);
        let called = hook(&mut world, "StreamStatusEvent");
        assert_eq!(called.made.shard, home);
        answer(&mut world, &called, 200, "");
        world.release_records(other);
        assert!(hooks(&mut world).is_empty(), "the other engine leaves it alone");
        let left: Vec<Value> = hooks(&mut world).into_iter().map(|hook| hook.body).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
