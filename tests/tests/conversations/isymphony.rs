//! iSymphony's websocket: who comes in, and what an event looks like. The numbers are those of its checklist.

use offhook_core::Config;
use offhook_core::ground::config::{Only, User};
use offhook_core::hub::action::Level;
use offhook_tests::memory::checks::hash;
use offhook_tests::memory::write::{get, request};
use offhook_tests::memory::{Peer, World};

use crate::access_common::{bearer, token};
use crate::common::publish_all;

/// Where the websocket is.
pub(crate) const EVENTS: &str = "/communication_manager/ws/event";

/// `manager` and `example-password`.
pub(crate) const MANAGER: &str = "Authorization: Basic bWFuYWdlcjpleGFtcGxlLXBhc3N3b3Jk\r\n";

/// The moment at which every world begins, in milliseconds.
pub(crate) const BEGINNING_MS: u64 = 1_446_561_431_000;

pub(crate) fn user(name: &str, only: &[(&str, &str)]) -> User {
    let only = only.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    User { name: name.to_owned(), password_hash: hash("example-password"), only: Only(only.collect()) }
}

/// A config with the user `manager`.
pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.isymphony.users = [user("manager", &[])].into();
    config
}

/// A websocket of the manager.
pub(crate) fn listen(world: &mut World) -> Peer {
    world.websocket_to(0, EVENTS, MANAGER)
}

/// An event of this type with this `data`, at the beginning of the world.
pub(crate) fn event(event_type: &str, data: &str) -> String {
    format!(r#"{{"type":"{event_type}","data":{{{data}}}}}"#)
}

/// The events that came, without `coreServerId`, which is checked, and `time`, which is the beginning of the world.
pub(crate) fn events(world: &mut World, peer: Peer) -> Vec<String> {
    let bare = |text: String| {
        let (before, rest) = text.split_once(r#""coreServerId":""#).expect("coreServerId");
        let (id, rest) = rest.split_at(36);
        assert!(uuid::Uuid::parse_str(id).is_ok_and(|id| !id.is_nil()), "{id} is a UUID");
        let rest = rest.strip_prefix("\",").expect("a property follows");
        let time = format!("\"time\":{BEGINNING_MS},");
        assert!(rest.contains(&time), "{rest}");
        format!("{before}{}", rest.replacen(&time, "", 1))
    };
    world.texts(peer).into_iter().map(bare).collect()
}

fn status(world: &mut World, request: impl AsRef<[u8]>) -> u16 {
    world.ask_alone(request).status
}

#[test]
fn i1_user_and_password_are_asked_for() {
    let mut world = World::with(config(), 1);
    // Nobody; a wrong password; a wrong user; another scheme; no Base64.
    for fields in [
        "",
        "Authorization: Basic bWFuYWdlcjp3cm9uZw==\r\n",
        "Authorization: Basic Ym9zczpleGFtcGxlLXBhc3N3b3Jk\r\n",
        "Authorization: Bearer bWFuYWdlcjpleGFtcGxlLXBhc3N3b3Jk\r\n",
        "Authorization: Basic %%%\r\n",
    ] {
        let peer = world.connect();
        let reply = world.upgrade(peer, EVENTS, fields);
        let challenge = r#"Basic realm="communication_manager", charset="UTF-8""#;
        assert_eq!((reply.status, reply.field("www-authenticate")), (401, Some(challenge)), "{fields}");
    }
    let peer = listen(&mut world);
    assert!(world.frames(peer).is_empty(), "nothing is said unasked");
    assert_eq!(world.stats().dialects["isymphony"].streams_open, 1);
}

#[test]
fn i2_addresses_are_looked_at_first() {
    let mut world = World::with(config(), 1);
    for (from, status) in
        [("127.9.9.9:1", 101), ("[::1]:1", 101), ("192.0.2.1:1", 403), ("[2001:db8::1]:1", 403)]
    {
        let peer = world.connect_from(0, from);
        assert_eq!(world.upgrade(peer, EVENTS, MANAGER).status, status, "{from}");
    }
    let notes = world.take_notes();
    assert!(notes.iter().any(|note| note.text.contains("[isymphony] allow = [\"192.0.2.1\"]")), "{notes:?}");
    let mut open = config();
    open.isymphony.allow = vec!["192.0.2.0/24".parse().unwrap()];
    let mut world = World::with(open, 1);
    for (from, status) in [("127.0.0.1:1", 403), ("192.0.2.1:1", 101)] {
        let peer = world.connect_from(0, from);
        assert_eq!(world.upgrade(peer, EVENTS, MANAGER).status, status, "{from}");
    }
}

#[test]
fn i3_without_users_it_is_closed_and_the_log_says_why() {
    let mut world = World::new();
    let peer = world.connect();
    assert_eq!(world.upgrade(peer, EVENTS, MANAGER).status, 503);
    let notes = world.take_notes();
    let told = notes.iter().find(|note| note.text.contains("[isymphony] users"));
    assert_eq!(told.map(|note| note.level), Some(Level::Info), "{notes:?}");
    // Other dialects work on.
    publish_all(&mut world, &[event("x", "")]);
    assert_eq!(status(&mut world, get("/default/calls?appid=app")), 200);
}

#[test]
fn i4_other_requests() {
    let mut world = World::with(config(), 1);
    for (method, target, expected) in [
        ("GET", EVENTS, 426),
        ("POST", EVENTS, 405),
        ("PUT", EVENTS, 405),
        ("GET", "/communication_manager", 404),
        ("GET", "/communication_manager/", 404),
        ("GET", "/communication_manager/ws/event/", 404),
        ("GET", "/communication_manager/ws", 404),
        ("GET", "/communication_manager/rest/live/users", 501),
        ("POST", "/communication_manager/rest/live/users", 501),
        ("GET", "/communication_managers", 404),
    ] {
        for fields in ["", MANAGER] {
            assert_eq!(
                status(&mut world, request(method, target, fields, "")),
                expected,
                "{method} {target}"
            );
        }
    }
    let reply = world.ask_alone(get(EVENTS));
    assert_eq!(reply.field("upgrade"), Some("websocket"));
    let fields = format!(
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{MANAGER}"
    );
    let reply = world.ask_alone(request("GET", EVENTS, &fields, ""));
    assert_eq!((reply.status, reply.field("sec-websocket-version")), (426, Some("13")));
    let reply = world.ask_alone(request(
        "GET",
        EVENTS,
        &fields.replace("Version: 8", "Version: 13").replace("dGhl", ""),
        "",
    ));
    assert_eq!(reply.status, 400);
}

#[test]
fn i5_pages_of_other_hosts_stay_out() {
    let mut config = config();
    config.isymphony.allowed_origins = vec!["https://crm.example.com".to_owned()];
    let mut world = World::with(config, 1);
    for (origin, status) in [
        ("http://localhost", 101),
        ("https://crm.example.com", 101),
        ("http://localhost:8080", 403),
        ("http://crm.example.com", 403),
        ("https://evil.example", 403),
        ("null", 403),
    ] {
        let peer = world.connect();
        let reply = world.upgrade(peer, EVENTS, &format!("Origin: {origin}\r\n{MANAGER}"));
        assert_eq!(reply.status, status, "{origin}");
    }
    let notes = world.take_notes();
    let told = |note: &offhook_core::hub::action::Note| {
        note.text.contains("[isymphony] allowed_origins = [\"https://evil.example\"]")
    };
    assert!(notes.iter().any(told), "{notes:?}");
}

#[test]
fn i6_tokens_in_the_query_if_they_are_switched_on() {
    let tokens = vec![
        token("wallboard", "wallboard", "read", &[]),
        token("agent", "agent", "read", &[("username", "mike")]),
        token("pbx", "pbx", "publish", &[]),
    ];
    for (users, query_token) in [(true, false), (true, true), (false, true), (false, false)] {
        let mut config = config();
        config.auth.tokens.clone_from(&tokens);
        config.isymphony.query_token = query_token;
        if !users {
            config.isymphony.users = [].into();
        }
        let mut world = World::with(config, 1);
        let mut ask = |token: &str, fields: &str| {
            let peer = world.connect();
            world.upgrade(peer, &format!("{EVENTS}{token}"), fields).status
        };
        let closed = !users && !query_token;
        for (token, status) in [
            ("?access_token=wallboard", 101),
            ("?x=y&access_token=wallboard", 101),
            ("?access_token=pbx", 403),
            ("?access_token=nobody", 401),
            ("?access_token=", 401),
            ("", 401),
        ] {
            let expected = if closed {
                503
            } else if query_token {
                status
            } else {
                401
            };
            assert_eq!(ask(token, ""), expected, "{token}, users: {users}, tokens: {query_token}");
        }
        let expected = if closed {
            503
        } else if users {
            101
        } else {
            401
        };
        assert_eq!(ask("", MANAGER), expected);
        assert_ne!(ask("", &bearer("wallboard")), 101);
        if query_token {
            // I42 for tokens.
            let peer = world.websocket_to(0, &format!("{EVENTS}?access_token=agent"), "");
            let reply = world.ask_alone(publish_with("pbx", &event("x", r#""username":"anna""#)));
            assert_eq!(reply.status, 202);
            world.ask_alone(publish_with("pbx", &event("x", r#""username":"mike""#)));
            assert_eq!(events(&mut world, peer), [r#"{"type":"x","username":"mike"}"#]);
        }
    }
}

/// A publish request with a token.
fn publish_with(token: &str, body: &str) -> Vec<u8> {
    let fields = format!("Content-Type: application/json\r\n{}", bearer(token));
    request("POST", "/v1/events", &fields, body)
}

#[test]
fn i7_i8_i9_every_event_arrives_with_its_kinds() {
    let mut world = World::with(config(), 1);
    let peer = listen(&mut world);
    let facts =
        r#""username":"mike","user_id":"e7577c7b","user_login_id":"0c51236d","ip":"127.0.0.1","port":57042"#;
    publish_all(
        &mut world,
        &[
            event("user.login", facts),
            event(
                "user.status",
                r#""username":"mike","status_type":"dnd","return_time":-1,"user_created":true"#,
            ),
            event("door.opened", r#""duration":1.50,"serial":12345678901234567890,"by":null"#),
        ],
    );
    assert_eq!(
        events(&mut world, peer),
        [
            r#"{"ip":"127.0.0.1","port":57042,"type":"userLogin","userId":"e7577c7b","userLoginId":"0c51236d","username":"mike"}"#,
            r#"{"name":null,"note":null,"returnTime":-1,"statusType":"dnd","type":"userStatus","userCreated":true,"userId":null,"username":"mike"}"#,
            r#"{"by":null,"duration":1.50,"serial":12345678901234567890,"type":"doorOpened"}"#,
        ]
    );
}

#[test]
fn i8_time_is_the_events_own() {
    let mut world = World::with(config(), 1);
    let peer = listen(&mut world);
    publish_all(&mut world, &[r#"{"type":"x","time":"2015-07-14T16:05:15.953Z"}"#.to_owned()]);
    let texts = world.texts(peer);
    assert!(texts[0].ends_with(r#","time":1436889915953,"type":"x"}"#), "{texts:?}");
}

#[test]
fn i36_ids_stay_and_the_servers_own_survives_a_restart() {
    let mut world = World::keeping(config(), 2);
    let id = |world: &mut World, shard: usize| {
        let peer = world.websocket_to(shard, EVENTS, MANAGER);
        publish_all(world, &[event("call.dial", r#""call_id":"c2dcaa4f-2b31""#)]);
        let texts = world.texts(peer);
        assert!(texts[0].contains(r#""callSegmentId":"c2dcaa4f-2b31""#), "{texts:?}");
        let (_, id) = texts[0].split_once(r#""coreServerId":""#).expect("coreServerId");
        id[..36].to_owned()
    };
    let first = id(&mut world, 0);
    assert_eq!(id(&mut world, 1), first, "all engines say the same");
    world.restart(config());
    assert_eq!(id(&mut world, 0), first);
    // Also when the record that said it is gone.
    let last = offhook_core::Seq(world.records());
    world.retire(last);
    world.restart(config());
    assert_eq!((id(&mut world, 0), id(&mut world, 1)), (first.clone(), first));
}

#[test]
fn i38_what_has_no_place_there_is_counted() {
    use offhook_core::ground::stats::NotSent;
    let mut world = World::with(config(), 2);
    let peer = listen(&mut world);
    publish_all(
        &mut world,
        &[
            event("x", r#""a":[1]"#),
            event("x", r#""a":{}"#),
            r#"{"type":"x","data":5}"#.to_owned(),
            event("success", ""),
            event("error", ""),
            event("filter", ""),
            event("events.dropped", ""),
            event("y", ""),
        ],
    );
    assert_eq!(events(&mut world, peer), [r#"{"type":"y"}"#]);
    let not_sent = &world.stats().dialects["isymphony"].not_sent;
    assert_eq!((not_sent[&NotSent::Nested], not_sent[&NotSent::NoWord]), (3, 4));
}

#[test]
fn i37_i39_i41_the_projection() {
    let mut world = World::with(config(), 1);
    let peer = listen(&mut world);
    publish_all(
        &mut world,
        &[
            event("call.hangup", r#""call_id":"c","caller_number":"+1555","extension":"100""#),
            event(
                "call.dial",
                r#""call_id":"c","queue_position":3,"type":"no","time":1,"core_server_id":"no""#,
            ),
            event("call.incoming", r#""caller_number":"1""#),
            event("conference.leave", r#""conference_id":"r","conference_name":"Room 1""#),
            event(
                "call.link_end",
                r#""call_id_1":"a","call_id_2":"b","caller_number_1":"7","extension_2":"101""#,
            ),
        ],
    );
    assert_eq!(
        events(&mut world, peer),
        [
            r#"{"callSegmentId":"c","callerIdName":null,"callerIdNumber":"+1555","did":null,"extensionId":null,"extensionNumber":"100","type":"hangup","userId":null,"username":null}"#,
            r#"{"callSegmentId":"c","callerIdName":null,"callerIdNumber":null,"did":null,"extensionId":null,"extensionNumber":null,"queuePosition":3,"type":"dial","userId":null,"username":null}"#,
            r#"{"callerIdNumber":"1","type":"callIncoming"}"#,
            r#"{"callSegmentId":null,"callerIdName":null,"callerIdNumber":null,"conferenceRoomId":"r","conferenceRoomName":"Room 1","did":null,"extensionId":null,"extensionNumber":null,"type":"confRoomCallLeave","userId":null,"username":null}"#,
            r#"{"callSegmentId1":"a","callSegmentId2":"b","callerIdName1":null,"callerIdName2":null,"callerIdNumber1":"7","callerIdNumber2":null,"did1":null,"did2":null,"extensionId1":null,"extensionId2":null,"extensionNumber1":null,"extensionNumber2":"101","type":"linkEnd","userId1":null,"userId2":null,"username1":null,"username2":null}"#,
        ]
    );
}

#[test]
fn more_websockets_than_there_is_room_for_are_refused() {
    let mut config = config();
    config.limits.isymphony_connections = 3;
    config.limits.isymphony_connections_per_address = 2;
    let mut world = World::with(config, 1);
    let first = listen(&mut world);
    listen(&mut world);
    let ask = |world: &mut World, from: &str| {
        let peer = world.connect_from(0, from);
        world.upgrade(peer, EVENTS, MANAGER)
    };
    let reply = ask(&mut world, "127.0.0.1:9");
    assert_eq!((reply.status, reply.field("retry-after")), (503, Some("5")));
    assert_eq!(ask(&mut world, "127.0.0.2:9").status, 101);
    assert_eq!(ask(&mut world, "127.0.0.3:9").status, 503);
    // One that ends leaves its place.
    world.break_off(first);
    assert_eq!(ask(&mut world, "127.0.0.1:9").status, 101);
}
